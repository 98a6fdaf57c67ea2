"""Parameters: every pair trains, however many there are and wherever they came from."""

import copy
import pickle
from pathlib import Path

import pyro
import pytest
import torch
from pyro.infer import SVI, Trace_ELBO
from torch import nn

from tests.pairs import images, vae_pair
from zoo.elbos import ELBO
from zoo.program import data_plate

ROOT = Path(__file__).parents[2]


def test_both_packages_hold_the_same_program_file():
    assert (ROOT / "zoo/program.py").read_text() == (ROOT / "guides/program.py").read_text()


def _fall(model, guide, loss, x, steps=60):
    """How far the loss falls under plain SVI."""
    svi = SVI(model, guide, pyro.optim.Adam({"lr": 1e-2}), loss=loss)
    losses = [svi.step(x) for _ in range(steps)]
    return (sum(losses[:5]) - sum(losses[-5:])) / 5


@pytest.mark.parametrize("loss", [ELBO(), Trace_ELBO()], ids=["ours", "pyro's"])
def test_fresh_pairs_copies_and_unpickled_ones_all_train_in_one_process(loss):
    x = images()
    unit = 1 if isinstance(loss, ELBO) else len(x)
    first = vae_pair()
    untrained = copy.deepcopy(first)
    assert _fall(*first, loss, x) > 1.0 * unit
    second = vae_pair()
    assert _fall(*second, loss, x) > 1.0 * unit
    # A copy made before training, and one that went through pickle after training others, start from their own values.
    assert _fall(*untrained, loss, x) > 1.0 * unit
    fresh = vae_pair()
    through_pickle = pickle.loads(pickle.dumps(fresh))
    assert _fall(*through_pickle, loss, x) > 1.0 * unit


def test_a_pair_can_be_pickled_after_svi_and_then_trains_on():
    x = images()
    pair = vae_pair()
    _fall(*pair, ELBO(), x, steps=5)
    before = pickle.loads(pickle.dumps(pair))
    torch.testing.assert_close(before[0].state_dict(), pair[0].state_dict())
    assert _fall(*before, ELBO(), x) > 0.5
    # The original did not move with it.
    assert not torch.equal(before[0].decoder[0].weight, pair[0].decoder[0].weight)


def test_training_one_pair_leaves_another_alone():
    x = images()
    one, other = vae_pair(), vae_pair()
    frozen = copy.deepcopy(other[0].state_dict())
    _fall(*one, ELBO(), x, steps=5)
    torch.testing.assert_close(other[0].state_dict(), frozen, rtol=0, atol=0)


def test_the_optimiser_sees_each_parameter_under_its_own_name():
    # pyro.optim hands per-parameter arguments out by name: the instance's, then the name within the module.
    names = set()
    svi = SVI(*vae_pair(), pyro.optim.Adam(lambda name: names.add(name) or {"lr": 1e-3}), loss=ELBO())
    svi.step(images())
    assert len(names) == 4 + 4
    within = {tuple(name.split(".", 1)) for name in names}
    assert {name for _, name in within} >= {"decoder.0.weight", "decoder.2.bias", "trunk.1.weight", "layers.z.0.bias"}
    assert {owner.split("-")[0] for owner, _ in within} == {"VAE", "Amortized"}


def test_a_parameter_that_pyro_would_copy_is_refused():
    model, guide = vae_pair()
    model.decoder[0].weight = nn.Parameter(torch.randn(2, 7).T)
    with pytest.raises(ValueError, match=r"'decoder.0.weight' is not contiguous"):
        SVI(model, guide, pyro.optim.Adam({}), loss=ELBO()).step(images())


@pytest.mark.parametrize(
    ("x", "index", "num_data", "message"),
    [
        (torch.zeros(3, 1), torch.arange(3), None, "give num_data="),
        (torch.zeros(3, 1), torch.arange(4), 9, r"shape \(4,\) for 3 datapoints"),
        (None, torch.zeros(2, 2), 9, r"shape \(2, 2\)"),
        (torch.zeros(3, 1), torch.arange(3), 2, "batch of 3 out of num_data = 2"),
    ],
)
def test_the_data_plate_refuses_an_index_that_does_not_fit(x, index, num_data, message):
    with pytest.raises(ValueError, match=message):
        data_plate(x, index, num_data)
