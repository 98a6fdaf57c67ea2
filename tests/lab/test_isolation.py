"""A pair that was evaluated within a training is trained on as before."""

import copy
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from guides import Amortized, MeanField, SemiAmortized
from zoo import VAE
from zoo.elbos import PlainELBO
from zoo.lab.analysis import decode, draw, encode_modes, importance, log_prior, posterior_means
from zoo.lab.analysis.interventions import Unit
from zoo.lab.data import Dataset
from zoo.lab.isolation import isolated
from zoo.lab.plots import aggregate


def test_every_part_keeps_its_mode():
    """Before: a part that was set to another mode than the whole, such as a frozen batch norm, was set to train."""
    network = nn.Sequential(nn.Linear(2, 2), nn.Sequential(nn.BatchNorm1d(2), nn.Dropout(0.5)))
    network[1][0].eval()
    with isolated(network):
        assert not any(part.training for part in network.modules())
    assert [part.training for part in network.modules()] == [True, True, True, False, True]


# After `fit` a pair is in training mode, in which a batch norm uses and changes statistics, and a dropout draws.


def network(inputs, outputs):
    return nn.Sequential(nn.Linear(inputs, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, outputs))


class Flat(nn.Module):
    """A network for codes [..., size]; a batch norm takes [B, size] only."""

    def __init__(self):
        super().__init__()
        self.inner = network(2, 4)

    def forward(self, z):
        return self.inner(z.flatten(0, -2)).unflatten(0, z.shape[:-1])


def trained_pair():
    """A pair that has seen data, in training mode, and a guide that improves its output under the same model."""
    model, guide = VAE(Flat(), z_dim=2), Amortized(network(4, 8), z=MeanField(2))
    for _ in range(3):
        model(torch.rand(20, 4)), guide(torch.rand(20, 4))
    semi = SemiAmortized(guide, partial(PlainELBO().differentiable_loss, model), steps=2, lr=0.1)
    return model, guide, semi


def densities(model, guide, x):
    """q(z) and p(z) of the picture of the first unit, [2, points, 2]."""
    figure = aggregate(model, guide, Dataset.from_arrays(x.numpy()), [Unit("z", 0)])
    return torch.tensor(np.array([line.get_data() for line in figure.axes[0].lines]))


READS = {
    "posterior_means": lambda model, guide, semi, x: posterior_means(guide, x)["z"],
    "semi-amortised": lambda model, guide, semi, x: posterior_means(semi, x)["z"],
    "encode_modes": lambda model, guide, semi, x: encode_modes(model, guide, x)["z"],
    "decode": lambda model, guide, semi, x: decode(model, {"z": x[:, :2]}),
    "draw": lambda model, guide, semi, x: draw(model, 5),
    "importance": lambda model, guide, semi, x: importance(model, guide, x, num_samples=3).elbo,
    "log_prior": lambda model, guide, semi, x: log_prior(model, x[:, :2]),
    "aggregate": lambda model, guide, semi, x: densities(model, guide, x),
}


@pytest.mark.parametrize("read", READS.values(), ids=READS)
def test_a_pair_in_training_mode_is_read_as_in_evaluation_mode(read):
    """Before: means were those of the batch's own statistics under dropout, and the running statistics moved."""
    parts = trained_pair()
    x = torch.rand(5, 4)
    frozen = [part.eval() for part in copy.deepcopy(parts)]
    before = [copy.deepcopy(part.state_dict()) for part in parts]
    results = []
    for some in (frozen, parts):
        torch.manual_seed(0)
        results.append(read(*some, x))
    torch.testing.assert_close(*results)
    assert all(module.training for part in parts for module in part.modules())
    for part, state in zip(parts, before, strict=True):
        torch.testing.assert_close(part.state_dict(), state, rtol=0, atol=0)
