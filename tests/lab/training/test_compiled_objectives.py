"""Every objective can be traced with its gradients: the traced step gives what the eager one gives, step by step."""

import copy
import warnings

import pyro
import pytest
import torch

from guides import FullRank
from tests.objectives import EVERY, type_information
from tests.pairs import NUM_DATA, SHAPE, nvae_pair, vae_pair
from tests.type_pairs import HEADS
from tests.type_pairs import pair as type_pair
from zoo.elbos import NaturalClusteringELBO
from zoo.lab.data import Batch
from zoo.lab.training.fit import fit


def batches(num=4, size=9):
    generator = torch.Generator().manual_seed(5)
    x = torch.rand(70, *SHAPE, generator=generator)
    return [
        Batch(x[index], None, index) for index in (torch.randperm(70, generator=generator)[:size] for _ in range(num))
    ]


@pytest.mark.parametrize("head", [None, FullRank(2)], ids=["mean-field", "full-rank"])
@pytest.mark.parametrize("elbo", EVERY.values(), ids=EVERY)
def test_a_traced_step_is_the_eager_one(elbo, head, as_traced):
    # What the compiler makes of a graph is in test_compiled.py.
    assert_same(vae_pair(head=head), elbo, as_traced)


@pytest.mark.parametrize("head", HEADS)
def test_a_traced_step_with_a_step_along_a_gradient_is_the_eager_one(head, as_traced):
    pair = type_pair(HEADS[head], temperature=0.67 if head == "concrete" else None)
    assert_same(pair, type_information, as_traced)


def assert_same(pair, elbo, as_traced):
    runs = []
    for compile in (False, True):
        model, guide = copy.deepcopy(pair)
        pyro.set_rng_seed(7)
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # a pair that cannot be traced says so in a warning
            steps = fit(model, guide, elbo(), batches(), lr=1e-2, compile=compile)
            reports = [{k: v.item() for k, v in report.figures().items()} for _, report in steps]
        runs.append((reports, [p.detach().clone() for p in (*model.parameters(), *guide.parameters())]))
    (eager, eager_weights), (by_trace, traced_weights) = runs
    assert len(as_traced) == 1
    for ours, theirs in zip(by_trace, eager, strict=True):
        assert ours == pytest.approx(theirs, abs=1e-9)
    torch.testing.assert_close(traced_weights, eager_weights, rtol=0, atol=1e-9)


def test_what_depends_on_no_datapoint_is_a_constant_of_the_traced_step(as_traced):
    """The weights of the pairs; made anew in each step, they would be in the loops over all pairs."""
    assert_same(vae_pair(), EVERY["HFVAE"], as_traced)
    (graph,) = as_traced
    made = [node for node in graph.graph.nodes if node.target == torch.ops.aten.eye.default]
    assert not made
    assert any(node.op == "get_attr" for node in graph.graph.nodes)


@pytest.mark.parametrize("first", [True, False])
def test_batches_with_and_without_labels_each_have_a_graph(first, as_traced):
    """Before: only the kind of the first batch had one, so a run resumed at the other kind ended with other digits."""
    index = torch.arange(9)
    x = torch.rand(9, *SHAPE, generator=torch.Generator().manual_seed(0))
    kinds = {True: Batch(x, index % 3, index), False: Batch(x, None, index)}
    data = [kinds[first], kinds[not first]] * 3
    states = []
    for compile in (False, True):
        pyro.set_rng_seed(0)
        model, guide = nvae_pair(num_data=NUM_DATA)
        calls, seen = [], []
        model.register_forward_pre_hook(lambda *_, calls=calls: calls.append(1))
        elbo = NaturalClusteringELBO(beta_c=2.0)
        for _ in fit(model, guide, elbo, data, lr=1e-2, device="cpu", compile=compile):
            seen.append(len(calls))
        states.append([*model.parameters(), *guide.parameters()])
    assert len(as_traced) == 2
    assert seen[1:] == [seen[1]] * 5
    torch.testing.assert_close(states[1], states[0], rtol=1e-7, atol=1e-9)
