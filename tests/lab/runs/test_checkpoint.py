"""A checkpoint holds everything, is written at once or not at all, and is refused where it is not whole."""

import errno
import os
import pickle
import random

import numpy as np
import pyro
import pytest
import safetensors.torch
import torch
from torch import nn

from tests.pairs import SHAPE, vae_pair
from zoo.elbos import DIPVAE, BetaVAE, FactorVAE, PlainELBO
from zoo.lab.data import Batch
from zoo.lab.networks import Discriminator
from zoo.lab.runs import checkpoint
from zoo.lab.runs.checkpoint import capture, load, restore, save
from zoo.lab.training.adversary import Adversary
from zoo.lab.training.fit import fit, prepare


def batches(start, stop):
    """A function of the step, as a data set's order is."""
    for step in range(start, stop):
        generator = torch.Generator().manual_seed(step)
        yield Batch(torch.rand(8, *SHAPE, generator=generator), None, torch.arange(8))


def begin(elbo, optimizer):
    pyro.set_rng_seed(1)
    model, guide = vae_pair()
    model.decoder.append(nn.BatchNorm2d(1))
    return model, guide, elbo, optimizer(prepare(model, guide, elbo, next(batches(0, 1)), "cpu"))


def losses(training, start, stop):
    model, guide, elbo, optimizer = training
    steps = fit(model, guide, elbo, batches(start, stop), optimizer=optimizer, start=start, device="cpu")
    rows = []
    for step, report in steps:
        elbo.beta = 1.0 + step / 10
        rows.append((step, report.loss.item()))
    return rows


OPTIMIZERS = {
    "adam": lambda parameters: torch.optim.Adam(parameters, lr=1e-2),
    "fused": lambda parameters: torch.optim.Adam(parameters, lr=1e-2, fused=True),
    "amsgrad": lambda parameters: torch.optim.AdamW(parameters, lr=torch.tensor(1e-2), amsgrad=True, capturable=False),
    "momentum": lambda parameters: torch.optim.SGD(parameters, lr=1e-3, momentum=0.9, nesterov=True),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_run_that_goes_on_takes_the_steps_it_would_have_taken_to_the_last_digit(name, tmp_path):
    path = tmp_path / "run.safetensors"
    whole = losses(begin(BetaVAE(beta=1.0), OPTIMIZERS[name]), 0, 9)
    first = begin(BetaVAE(beta=1.0), OPTIMIZERS[name])
    before = losses(first, 0, 4)
    save(path, capture(*first, step=4))
    torch.rand(5)  # whatever is drawn in between
    second = begin(BetaVAE(beta=7.0), OPTIMIZERS[name])
    start = restore(load(path), *second)
    assert start == 4
    assert before + losses(second, start, 9) == whole


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_state_in_memory_can_be_restored_again_and_again(name):
    # The moments of the optimisers and the objective's running statistic are updated by every step.
    training = begin(DIPVAE(lambda_od=1.0, lambda_d=1.0, rate=0.5), OPTIMIZERS[name])

    def reports(start, stop):
        steps = fit(*training[:3], batches(start, stop), optimizer=training[3], start=start, device="cpu")
        return [report.loss.item() for _, report in steps]

    reports(0, 3)
    state = capture(*training, step=3)
    whole = reports(3, 7)
    for _ in range(3):
        assert restore(state, *training) == 3
        assert reports(3, 7) == whole


def test_a_schedule_of_draws_and_kl_goes_on(tmp_path):
    """Before: a run that was resumed after the change went on with one draw and the closed form."""
    training, resumed = (begin(BetaVAE(beta=beta), OPTIMIZERS["adam"]) for beta in (2.0, 1.0))
    for model in (training[0], resumed[0]):
        del model.decoder[-1]  # the batch norm takes no particles
    training[2].kl, training[2].num_particles = {"z": "sampled"}, 3
    save(tmp_path / "c", capture(*training, step=4))
    whole = losses(training, 4, 7)
    restore(load(tmp_path / "c"), *resumed)
    assert (resumed[2].kl, resumed[2].num_particles) == ({"z": "sampled"}, 3)
    assert losses(resumed, 4, 7) == whole


def test_a_running_statistic_goes_on(tmp_path):
    def elbo():
        return DIPVAE(lambda_od=2.0, lambda_d=20.0, rate=0.1)

    training = begin(elbo(), OPTIMIZERS["adam"])

    def go_on(training, start, stop):
        model, guide, elbo, optimizer = training
        steps = fit(model, guide, elbo, batches(start, stop), optimizer=optimizer, start=start, device="cpu")
        return [report.loss.item() for _, report in steps]

    go_on(training, 0, 3)
    save(tmp_path / "c", capture(*training, step=3))
    whole = go_on(training, 3, 6)
    resumed = begin(elbo(), OPTIMIZERS["adam"])
    restore(load(tmp_path / "c"), *resumed)
    assert go_on(resumed, 3, 6) == whole


def test_an_adversary_goes_on(tmp_path):
    """Before: neither the discriminator nor its optimiser was kept, and a resumed run began with a new one."""

    def training():
        pyro.set_rng_seed(3)
        log_ratio = Discriminator(2, hidden=(4,))
        return begin(FactorVAE(gamma=5.0, log_ratio=log_ratio), OPTIMIZERS["adam"]), Adversary(log_ratio, lr=1e-2)

    def go_on(training, adversary, start, stop):
        *pair, optimizer = training
        data = batches(start, stop)
        steps = fit(*pair, data, optimizer=optimizer, start=start, device="cpu", adversary=adversary)
        return [report.loss.item() for _, report in steps]

    first, adversary = training()
    go_on(first, adversary, 0, 4)
    save(tmp_path / "c", capture(*first, step=4, adversary=adversary))
    whole = go_on(first, adversary, 4, 8)
    second, other = training()
    with pytest.raises(ValueError, match=r"an adversary is in the checkpoint, and not here: give adversary="):
        restore(load(tmp_path / "c"), *second)
    restore(load(tmp_path / "c"), *second, adversary=other)
    assert go_on(second, other, 4, 8) == whole


def test_the_random_state_of_all_generators_comes_back(tmp_path):
    training = begin(PlainELBO(), OPTIMIZERS["adam"])

    def draws():
        return random.random(), np.random.rand(), torch.rand(()).item(), random.gauss(0, 1), np.random.randn()  # noqa: NPY002

    draws()
    save(tmp_path / "c", capture(*training, step=1))
    expected = draws(), draws()
    restore(load(tmp_path / "c"), *training)
    assert (draws(), draws()) == expected


def test_buffers_that_a_state_dict_leaves_out_are_kept(tmp_path):
    training = begin(PlainELBO(), OPTIMIZERS["adam"])
    model = training[0]
    assert "scale" not in model.state_dict()
    model.scale.fill_(3.0)
    save(tmp_path / "c", capture(*training, step=1))
    model.scale.fill_(1.0)
    restore(load(tmp_path / "c"), *training)
    assert torch.equal(model.scale, torch.full((2,), 3.0))


def test_a_tree_comes_back_as_it_was(tmp_path):
    shared = torch.arange(6.0).view(2, 3)
    tree = {
        "pair": (1, [2.5, None, True, "word"], ()),
        "by number": {0: torch.tensor(1.5), 1: {"t": shared.T, "same": shared}},
        "exact": [0.1 + 0.2, 1e-320, float("inf"), 2**63],
        "empty": [{}, torch.zeros(0, 3), torch.tensor([True, False]), torch.zeros(2, dtype=torch.bfloat16)],
    }
    save(tmp_path / "c", tree)
    back = load(tmp_path / "c")
    assert back.pop("about") == {}
    assert back["pair"] == tree["pair"]
    assert back["exact"] == tree["exact"]
    torch.testing.assert_close(back["by number"], tree["by number"], rtol=0, atol=0)
    torch.testing.assert_close(back["empty"], tree["empty"], rtol=0, atol=0)
    with pytest.raises(TypeError, match="/hook: a checkpoint holds tensors, numbers and strings, got function"):
        save(tmp_path / "c", {"hook": restore})
    assert load(tmp_path / "c")["pair"] == tree["pair"]


@pytest.mark.parametrize("call", ["write", "fsync", "replace"])
def test_what_goes_wrong_while_writing_leaves_the_file_from_before(call, tmp_path, monkeypatch):
    path = tmp_path / "run.safetensors"
    save(path, {"step": 1})

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    if call == "write":
        usual = type(path).open

        class Full:
            def __init__(self, file):
                self.file = file

            def __enter__(self):
                return self

            def __exit__(self, *error):
                self.file.close()

            def close(self):
                self.file.close()

            def write(self, content):
                self.file.write(content[:100])
                full()

        monkeypatch.setattr(type(path), "open", lambda path, mode: Full(usual(path, mode)))
    elif call == "fsync":
        monkeypatch.setattr(os, "fsync", full)
    else:
        monkeypatch.setattr(type(path), "replace", full)
    with pytest.raises(OSError, match=r"run.safetensors could not be written \(No space left on device\): the one fr"):
        save(path, {"step": 2})
    monkeypatch.undo()
    assert load(path)["step"] == 1
    assert [p.name for p in tmp_path.iterdir()] == ["run.safetensors"]
    with pytest.raises(OSError, match=r"No such file or directory.*: there is none from before"):
        save(tmp_path / "no" / "folder", {"step": 2})


class Bomb:
    """What a pickle would run."""

    went_off = False

    def __reduce__(self):
        return (setattr, (Bomb, "went_off", True))


def test_a_pickle_is_refused_and_nothing_in_it_runs(tmp_path):
    path = tmp_path / "c"
    torch.save({"step": Bomb()}, path)
    with pytest.raises(ValueError, match="is not a checkpoint"):
        load(path)
    path.write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(
        ValueError, match=r"is not a checkpoint.*; put a copy back, or remove it, and the run begins ag"
    ):
        load(path)
    # One that is whole but for a pickle in place of its tree, under a digest that fits.
    tree = pickle.dumps(Bomb()).decode("latin-1")
    metadata = {"format": checkpoint.FORMAT, "tree": tree, "digest": checkpoint.digest(tree, {})}
    safetensors.torch.save_file({}, path, metadata)
    with pytest.raises(ValueError, match="does not have the structure of a checkpoint"):
        load(path)
    assert not Bomb.went_off
    pickle.loads(pickle.dumps(Bomb()))
    assert Bomb.went_off  # it would have


def test_a_checkpoint_that_is_cut_short_or_changed_anywhere_is_refused(tmp_path):
    path = tmp_path / "c"
    save(path, {"step": 3, "weight": torch.arange(4.0), "name": "x"})
    whole = path.read_bytes()
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r"is not a checkpoint|is damaged"):
            load(path)
    for at in range(len(whole)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        with pytest.raises(ValueError, match=r"not a checkpoint|is damaged"):
            load(path)


def test_another_safetensors_file_is_refused_and_none_is_an_error_of_its_own(tmp_path):
    safetensors.torch.save_file({"a": torch.zeros(2)}, tmp_path / "weights")
    with pytest.raises(ValueError, match="a safetensors file, but not a checkpoint"):
        load(tmp_path / "weights")
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "nothing")


def test_what_does_not_fit_is_named_and_nothing_is_changed(tmp_path):
    training = begin(BetaVAE(beta=2.0), OPTIMIZERS["adam"])
    state = capture(*training, step=1)
    model, guide = vae_pair(z_dim=3)
    optimizer = torch.optim.Adam([*model.parameters()], lr=1e-2)
    before = [p.clone() for p in (*model.parameters(), *guide.parameters())]
    with pytest.raises(ValueError, match="does not fit what it is restored into: ") as refused:
        restore(state, model, guide, PlainELBO(), optimizer)
    said = str(refused.value)
    assert "model: decoder.0.weight is torch.float64 [7, 2] in the checkpoint, and torch.float64 [7, 3] here" in said
    assert "model: decoder.4.running_mean is in the checkpoint, and not here" in said
    assert "guide: layers.z.0.bias" in said
    assert "the optimiser has [10] parameters in the checkpoint, [4] here" in said
    with pytest.raises(ValueError, match="objective: beta is here, and not in the checkpoint"):
        restore({**state, "objective": {}}, *training)
    with pytest.raises(ValueError, match=r"PlainELBO has the state .*no 'beta'"):
        restore(state, *training[:2], PlainELBO(), training[3])
    assert all(torch.equal(a, b) for a, b in zip(before, (*model.parameters(), *guide.parameters()), strict=True))
