"""Every recipe's step on a device that is not the CPU: no tensor of it is made or left on another device.

No GPU is needed: PyTorch's fake tensors have a device and a shape, no values, and refuse to mix devices as real ones
do. The pair and the batch are on the device "meta", so that whatever a program makes on the CPU is found.
"""

from dataclasses import replace

import numpy as np
import pyro
import pytest
import torch
from torch import library as kernel_library
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from tests.small_recipe import RECIPES as SMALL
from zoo.elbos import DIPVAE, FactorVAE
from zoo.lab.data import Batch, Dataset, Split
from zoo.lab.device import fork_random_state, random_state, set_random_state
from zoo.lab.runs import checkpoint
from zoo.lab.runs import train as run
from zoo.lab.runs.finished import configure
from zoo.lab.training.fit import _Watch, adam, fit, prepare
from zoo.lab.training.pair_loss import PairLoss
from zoo.papers.recipes import RECIPES

DEVICE = "meta"
SHAPES = {
    "digits": (1, 8, 8),
    "mnist": (1, 28, 28),
    "fashion-mnist": (1, 28, 28),
    "shapes": (1, 64, 64),
    "celeba": (3, 64, 64),
    "chairs": (1, 64, 64),
    "procedural-chairs": (1, 64, 64),
    "yale-b": (1, 64, 64),
    "pinwheel": (2,),
    "newsgroups": (2000,),
}


def stand_in(recipe) -> Split:
    """64 random datapoints of the recipe's shape, with ten labels."""
    shape, rng = SHAPES[recipe.data], np.random.default_rng(0)
    size = recipe.data_options.get("size")
    if size and len(shape) == 3:
        shape = (shape[0], size, size)
    labels = np.arange(64) % 10
    if len(shape) == 3:
        data = Dataset.from_arrays(rng.integers(0, 256, (64, *shape)).astype(np.uint8), labels, x_max=255.0)
    else:
        data = Dataset.from_arrays(rng.integers(0, 3, (64, *shape)).astype(np.float32), labels)
        data = replace(data, vocabulary=tuple(f"word {k}" for k in range(shape[0])))
    return Split(data, data)


def moved(module: nn.Module) -> None:
    """Puts every parameter and buffer on the device, as `module.to` does on a real one; shared ones stay shared."""
    there: dict[int, torch.Tensor] = {}
    for part in module.modules():
        for store in (part._parameters, part._buffers):
            for name, tensor in store.items():
                if tensor is None:
                    continue
                if id(tensor) not in there:
                    fake = torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device=DEVICE)
                    trained = isinstance(tensor, nn.Parameter)
                    there[id(tensor)] = nn.Parameter(fake, requires_grad=tensor.requires_grad) if trained else fake
                store[name] = there[id(tensor)]


def batch_there(batch: Batch, mode: FakeTensorMode) -> Batch:
    return Batch(*(None if t is None else mode.from_tensor(t).to(DEVICE) for t in batch))


@pytest.fixture(scope="module")
def dirichlet_without_values():
    """The shapes of Dirichlet draws and of their derivatives, which PyTorch lacks for tensors without values."""
    kernels = kernel_library.Library("aten", "IMPL", "Meta")
    kernels.impl("_sample_dirichlet", lambda alpha, generator=None: torch.empty_like(alpha))
    kernels.impl("_dirichlet_grad", lambda x, alpha, total: torch.empty_like(x))
    yield
    kernels._destroy()


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.filterwarnings("ignore")
def test_a_step_of_every_recipe_stays_on_its_device(name, dirichlet_without_values):
    torch.set_default_dtype(torch.float32)
    split = stand_in(RECIPES[name])
    experiment = RECIPES[name].build(split)
    batch = next(iter(experiment.batches(split.train, 16, seed=0, steps=1, labels=experiment.labels)))
    mode = FakeTensorMode(allow_non_fake_inputs=True)
    with mode, pyro.validation_enabled(False):
        moved(experiment.model)
        moved(experiment.guide)
        args, kwargs = batch_there(batch, mode).arguments()
        program = PairLoss(experiment.elbo(experiment.model, experiment.guide))
        before = experiment.elbo.state_dict()
        for step in (1, 2):  # the second reads running statistics of the first, and what the schedule has changed
            with program.as_in_training(torch.device(DEVICE)):
                loss = program(*args, **kwargs)
                loss.backward()
            if experiment.schedule:
                experiment.schedule(step, experiment.elbo)
            after = experiment.elbo.state_dict()
            if after.keys() == before.keys() and all(after[name] is before[name] for name in after):
                break  # a second step would be the first one again
    assert loss.device.type == DEVICE
    gradients = [p.grad for p in program.parameters() if p.grad is not None]
    assert gradients
    assert {gradient.device.type for gradient in gradients} == {DEVICE}


def test_the_check_finds_a_tensor_on_another_device():
    mode = FakeTensorMode(allow_non_fake_inputs=True)
    with mode, pytest.raises(RuntimeError, match="on the same device"):
        mode.from_tensor(torch.ones(3)).to(DEVICE) + torch.zeros(3)


def test_no_checkpoint_holds_a_loss_that_is_not_finite_on_a_device_that_looks_later(monkeypatch, tmp_path):
    """A GPU's losses are read a hundred steps later: the weights of step 5 would be saved at steps 6 and 8 of 8."""
    torch.set_default_dtype(torch.float32)
    monkeypatch.setattr(_Watch, "look", lambda *_: None)
    settings, split, experiment = configure(SMALL["small"], steps=8, device="cpu")

    def break_it(step, elbo):
        if step == 5:
            with torch.no_grad():
                next(experiment.model.parameters()).fill_(torch.nan)

    broken = replace(experiment, schedule=break_it)
    every = run.Every.parse("2")
    with pytest.raises(FloatingPointError, match="step 6: the loss is not finite"):
        run.train(broken, split, settings, tmp_path / "run", command="", progress=False, every=every)
    assert checkpoint.load(tmp_path / "run" / "checkpoint.safetensors")["step"] == 4
    assert not (tmp_path / "run" / "weights.safetensors").exists()


@pytest.mark.parametrize(("device", "own"), [("cpu", False), ("meta", False), ("cuda", True), ("mps", True)])
def test_an_accelerator_has_a_random_state_of_its_own(device, own, monkeypatch):
    """The state is that of the device's module, which is not there without the device."""
    states = {}

    class Module:
        get_rng_state = staticmethod(lambda device: states[str(device)])
        set_rng_state = staticmethod(lambda state, device: states.update({str(device): state}))

    monkeypatch.setattr(torch, "get_device_module", lambda device: Module)
    there = torch.device(device)
    states[device] = torch.tensor([7], dtype=torch.uint8)
    state = random_state(there)
    assert (state is not None) == own
    with fork_random_state(there):
        states[device] = torch.tensor([8], dtype=torch.uint8)
        torch.rand(3)
    assert states[device].item() == (7 if own else 8)
    states[device] = torch.tensor([9], dtype=torch.uint8)
    set_random_state(there, state)
    assert states[device].item() == (7 if own else 9)
    set_random_state(there, None)  # of a checkpoint that was written on another device
    assert states[device].item() == (7 if own else 9)


def test_the_networks_of_an_objective_go_where_the_pair_goes():
    class Recorded(nn.Linear):
        def to(self, *args, **kwargs):
            self.moved = args
            return super().to(*args, **kwargs)

    experiment = pair_of_digits()
    log_ratio = nn.Sequential(Recorded(10, 1), nn.Flatten(0))
    log_ratio.to = log_ratio[0].to
    elbo = FactorVAE(gamma=2.0, log_ratio=log_ratio)
    batch = stand_in(RECIPES["dip-vae/digits"]).train.batch(torch.arange(16))
    prepare(experiment.model, experiment.guide, elbo, batch, "cpu")
    assert log_ratio[0].moved == (torch.device("cpu"),)


def pair_of_digits():
    recipe = RECIPES["dip-vae/digits"]
    return recipe.build(stand_in(recipe))


def test_a_running_statistic_is_restored_to_the_pairs_device(monkeypatch):
    """DIP-VAE's covariance, which the next step adds to the batch's; a checkpoint is read onto the CPU."""
    experiment = pair_of_digits()
    assert isinstance(experiment.elbo, DIPVAE)
    pair = experiment.model, experiment.guide, experiment.elbo
    batch = stand_in(RECIPES["dip-vae/digits"]).train.batch(torch.arange(16))
    optimizer = adam(prepare(*pair, batch, "cpu"), lr=1e-3)
    for _ in fit(*pair, [batch], optimizer=optimizer, device="cpu"):
        pass
    state = checkpoint.capture(*pair, optimizer, step=1)
    assert state["objective"]["covariance"].shape == (10, 10)
    assert state["random"]["device"] is None  # a CPU's is apart
    monkeypatch.setattr(checkpoint, "device_of", lambda *modules: torch.device(DEVICE))
    checkpoint.restore(state, *pair, optimizer)
    assert {tensor.device.type for tensor in experiment.elbo.state_dict().values()} == {DEVICE}
