"""Scores of pairs that are computed in chunks, and so once more in the backward pass, which has to find there what the
forward pass found: no validation, the same parameters, the same precision of networks.

The oracle is the same run with all scores in one chunk.
"""

import copy
import itertools
import warnings
from functools import partial

import pyro
import pytest
import torch
from torch import nn

from guides import Amortized, Concrete, MeanField
from tests.lab.training.test_together import assert_each_as_alone, member
from tests.pairs import NUM_DATA, SHAPE
from zoo import JointVAE
from zoo.elbos import HFVAE
from zoo.estimators import log_marginals
from zoo.lab.data import Batch
from zoo.lab.networks import MLPDecoder, MLPEncoder
from zoo.lab.training.fit import fit

SIZE = 9


@pytest.fixture
def in_chunks(monkeypatch):
    """Chunks of at most 3 samples; sites of 3 and 2 units."""
    monkeypatch.setattr("zoo.aggregate.log_marginals", partial(log_marginals, max_elements=3 * SIZE * 5))


def pair(*, layers=None):
    """A style that depends on the type, so that pairs of samples have to be scored by the guide's layers."""
    pyro.set_rng_seed(0)
    guide = Amortized(
        MLPEncoder(SHAPE, hidden=(8,)),
        layers=layers,
        num_data=NUM_DATA,
        c=Concrete(3, temperature=0.67),
        z=MeanField(2, given=("c",), hidden=(6,)),
    )
    return JointVAE(MLPDecoder(5, SHAPE, hidden=(8,)), z_dim=2, c_dims=[3], temperature=0.67, num_data=NUM_DATA), guide


def objective():
    return HFVAE(alpha=0.5, beta=2.0, gamma=3.0, num_data=NUM_DATA)


def trained(*, compile=False, precision="float32", num=4):
    """Each step's figures, and the weights at the end."""
    generator = torch.Generator().manual_seed(5)
    x = torch.rand(NUM_DATA, *SHAPE, generator=generator)
    batches = [
        Batch(x[index], None, index)
        for index in (torch.randperm(NUM_DATA, generator=generator)[:SIZE] for _ in range(num))
    ]
    model, guide = copy.deepcopy(pair())
    pyro.set_rng_seed(7)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a pair that cannot be traced says so in a warning
        steps = fit(model, guide, objective(), batches, lr=1e-2, device="cpu", compile=compile, precision=precision)
        figures = [{name: value.item() for name, value in report.figures().items()} for _, report in steps]
    return figures, torch.cat([p.detach().flatten() for p in (*model.parameters(), *guide.parameters())])


@pytest.mark.parametrize("compile", [False, True], ids=["eager", "traced"])
def test_steps_in_chunks_are_those_in_one(compile, as_traced, request):
    figures, weights = trained()
    request.getfixturevalue("in_chunks")
    in_chunks, their_weights = trained(compile=compile)
    for ours, theirs in zip(in_chunks, figures, strict=True):
        assert ours == pytest.approx(theirs, abs=1e-9)
    torch.testing.assert_close(their_weights, weights, rtol=0, atol=1e-9)
    assert len(as_traced) == compile


def test_weights_of_the_backward_pass_are_inputs_of_the_graph(in_chunks, as_traced):
    """Before: they were constants of the trace, which a compiler may copy."""
    trained(compile=True, num=1)
    (graph,) = as_traced
    constants = [getattr(graph, str(node.target)) for node in graph.graph.nodes if node.op == "get_attr"]
    assert not any(constant.requires_grad for constant in constants)


@pytest.mark.parametrize("compile", [False, True], ids=["eager", "traced"])
def test_networks_are_in_bfloat16_in_both_passes(compile, as_traced, request, monkeypatch):
    """Eight bits of a mean or a log variance are right to 0.4 %, whatever the chunks."""
    torch.set_default_dtype(torch.float32)
    figures, weights = trained(precision="bf16")
    request.getfixturevalue("in_chunks")
    seen = []
    linear = nn.functional.linear
    monkeypatch.setattr(nn.functional, "linear", lambda *args: seen.append(linear(*args)) or seen[-1])
    in_chunks, their_weights = trained(compile=compile, precision="bf16")
    types = [out.dtype for out in seen]
    trial = types.index(torch.bfloat16)
    assert set(types[:trial]) == {torch.float32}  # the trial run
    assert set(types[trial:]) == {torch.bfloat16}
    for ours, theirs in zip(in_chunks, figures, strict=True):
        assert ours == pytest.approx(theirs, rel=0.02, abs=0.02)
    assert (their_weights - weights).norm() < 0.1 * weights.norm()


@pytest.mark.parametrize("seeds", [(0, 1)])
def test_pairs_in_chunks_train_together_as_alone(seeds, in_chunks):
    assert_each_as_alone([member(seed, pair, objective()) for seed in seeds])


@pytest.mark.parametrize("place", ["layers", "trunk"])
def test_random_layers_are_refused_where_scores_would_draw_them_anew(place):
    """Before: each chunk drew its own dropout, and once more in the backward pass, so that gradients were wrong.

    The trunk runs once a step, and its features are the same for a draw and for all scores.
    """

    def with_dropout(widths):
        return nn.Sequential(*(nn.Sequential(nn.Linear(a, b), nn.Dropout(0.5)) for a, b in itertools.pairwise(widths)))

    model, guide = pair(layers=with_dropout if place == "layers" else None)
    if place == "trunk":
        guide.trunk.layers.append(nn.Dropout(0.5))
    x = torch.rand(SIZE, *SHAPE)
    if place == "trunk":
        assert objective().loss(model, guide, x) > 0
    else:
        with pytest.raises(ValueError, match=r"site .z.: its layers draw random numbers, as dropout .* the trunk"):
            objective().loss(model, guide, x)
        guide.eval()  # draws nothing
        assert objective().loss(model, guide, x) > 0
