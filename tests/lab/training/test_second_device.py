"""Every recipe's step on a device that is not the CPU: no tensor of it is made or left on another device.

No GPU is needed: PyTorch's fake tensors have a device and a shape, no values, and refuse to mix devices as real ones
do. The pair and the batch are on the device "meta", so that whatever a program makes on the CPU is found.
"""

import numpy as np
import pyro
import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from zoo.elbos import DIPVAE
from zoo.lab.data import Batch, Dataset, Split
from zoo.lab.runs import checkpoint
from zoo.lab.training.fit import _Program, adam, fit, prepare
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
    "20newsgroups": (2000,),
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
    return Split(data, data)


def moved(module: nn.Module, mode: FakeTensorMode) -> None:
    """Puts every parameter and buffer on the device, as `module.to` does on a real one; shared ones stay shared."""
    there: dict[int, torch.Tensor] = {}
    for part in module.modules():
        for store in (part._parameters, part._buffers):
            for name, tensor in store.items():
                if tensor is None:
                    continue
                if id(tensor) not in there:
                    fake = mode.from_tensor(tensor.detach()).to(DEVICE)
                    trained = isinstance(tensor, nn.Parameter)
                    there[id(tensor)] = nn.Parameter(fake, requires_grad=tensor.requires_grad) if trained else fake
                store[name] = there[id(tensor)]


def batch_there(batch: Batch, mode: FakeTensorMode) -> Batch:
    return Batch(*(None if t is None else mode.from_tensor(t).to(DEVICE) for t in batch))


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.filterwarnings("ignore")
def test_a_step_of_every_recipe_stays_on_its_device(name):
    torch.set_default_dtype(torch.float32)
    split = stand_in(RECIPES[name])
    experiment = RECIPES[name].build(split)
    batch = next(iter(experiment.batches(split.train, 16, seed=0, steps=1, labels=experiment.labels)))
    mode = FakeTensorMode(allow_non_fake_inputs=True)
    with mode, pyro.validation_enabled(False):
        moved(experiment.model, mode)
        moved(experiment.guide, mode)
        args, kwargs = batch_there(batch, mode).arguments()
        program = _Program(experiment.elbo(experiment.model, experiment.guide))
        for step in (1, 2):  # the second reads running statistics of the first
            loss = program(*args, **kwargs)
            loss.backward()
            if experiment.schedule:
                experiment.schedule(step, experiment.elbo)
    assert loss.device.type == DEVICE
    gradients = [p.grad for p in program.parameters() if p.grad is not None]
    assert gradients
    assert {gradient.device.type for gradient in gradients} == {DEVICE}


def test_the_check_finds_a_tensor_on_another_device():
    mode = FakeTensorMode(allow_non_fake_inputs=True)
    with mode, pytest.raises(RuntimeError, match="[Dd]evice"):
        mode.from_tensor(torch.ones(3)).to(DEVICE) + torch.zeros(3)


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
