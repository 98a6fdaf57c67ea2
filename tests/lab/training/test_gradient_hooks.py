"""Hooks on the gradients of parameters, such as a clamp, by which people clip gradients.

The oracle: under SGD with learning rate 1 no number moves by more than the bound of the clamp in a step.
"""

import copy
from functools import partial

import pytest
import torch
from torch import nn

from tests.lab.training.test_processes import connected, run
from tests.lab.training.test_together import batches, member, small, weights
from tests.pairs import images
from zoo.elbos import PlainELBO
from zoo.lab.data import Batch
from zoo.lab.training.fit import fit
from zoo.lab.training.together import CannotStackError, fit_restarts

BOUND = 1e-3


def clamp(parameter):
    parameter.grad.clamp_(-BOUND, BOUND)


def clamped(parameters, lr, *, by="register_hook"):
    parameters = list(parameters)
    for parameter in parameters:
        if by == "register_hook":
            parameter.register_hook(lambda gradient: gradient.clamp(-BOUND, BOUND))
        else:
            parameter.register_post_accumulate_grad_hook(clamp)
    return torch.optim.SGD(parameters, lr=lr)


def largest_moves(pair, **options):
    """The largest difference of each step, over all parameters."""
    now, moves = weights(pair), []
    for _ in fit(pair.model, pair.guide, pair.elbo, pair.batches, lr=1.0, device="cpu", progress=False, **options):
        before, now = now, weights(pair)
        moves.append(max((a - b).abs().max().item() for a, b in zip(before, now, strict=True)))
    return moves


@pytest.mark.parametrize("by", ["register_hook", "register_post_accumulate_grad_hook"])
def test_a_compiled_run_goes_on_eagerly_where_a_gradient_has_a_hook(by):
    """Before: the hooks were not called, without a word."""
    optimizer = partial(clamped, by=by)
    eager = largest_moves(member(0, small, PlainELBO()), optimizer=optimizer)
    with pytest.warns(RuntimeWarning, match=r"cannot be compiled.*\.\w+ has a hook on its gradient"):
        compiled = largest_moves(member(0, small, PlainELBO()), optimizer=optimizer, compile=True)
    assert compiled == eager
    assert eager == pytest.approx([BOUND] * len(eager))


def test_a_hook_that_comes_later_counts_from_then_on(as_traced):
    pair = member(0, small, PlainELBO())
    moves, handles = [], []

    def train():
        now = weights(pair)
        options = {"optimizer": torch.optim.SGD, "lr": 0.1, "device": "cpu", "compile": True, "progress": False}
        for step, _ in fit(pair.model, pair.guide, pair.elbo, pair.batches, **options):
            before, now = now, weights(pair)
            moves.append(max((a - b).abs().max().item() for a, b in zip(before, now, strict=True)))
            if step == 2:
                for parameter in [*pair.model.parameters(), *pair.guide.parameters()]:
                    handles.append(parameter.register_hook(lambda gradient: gradient.clamp(-BOUND, BOUND)))
            elif step == 3:
                for handle in handles:
                    handle.remove()

    with pytest.warns(RuntimeWarning, match=r"whether there is a hook on the gradient of \S+ was False, and is True"):
        train()
    assert moves[2] == pytest.approx(0.1 * BOUND)
    assert min(moves[:2] + moves[3:]) > BOUND


@pytest.mark.parametrize("by", ["register_hook", "register_post_accumulate_grad_hook"])
def test_pairs_with_hooks_are_not_trained_together(by):
    """Before: they were trained as if there were none."""
    members = [member(seed, small, PlainELBO()) for seed in range(2)]
    with pytest.raises(CannotStackError, match=r"in member 0, \S+ has a hook on its gradient.*train such pairs by fit"):
        fit_restarts(members, lr=1.0, optimizer=partial(clamped, by=by), device="cpu")
    members = [member(seed, small, PlainELBO()) for seed in range(2)]
    steps = fit_restarts(members, lr=1e-2, device="cpu", progress=False)
    next(steps)
    next(iter(members[1].model.parameters())).register_hook(lambda gradient: 2 * gradient)
    with pytest.raises(CannotStackError, match=r"in member 1, .*has a hook on its gradient"):
        next(steps)


def on_shards(rank, count, port):
    with connected(rank, count, port):
        pair = member(0, small, PlainELBO())
        pair.batches = [Batch(images(8), None, torch.arange(8))]
        with pytest.raises(ValueError, match=r"has a hook on its gradient.*register_step_pre_hook"):
            largest_moves(pair, optimizer=clamped, shards=True)


def test_a_hook_would_get_the_gradient_of_one_shard():
    """Before: each process clamped the gradient of its shard, and the mean of the clamped ones was applied."""
    run(on_shards)


def with_own_step(parameters, lr):
    """An optimiser that clips by norm in a step of its own, which takes the place of its class's."""
    parameters = list(parameters)
    made = torch.optim.SGD(parameters, lr=lr)
    steps = made.step

    def step(closure=None):
        nn.utils.clip_grad_norm_(parameters, BOUND)
        return steps(closure)

    made.step = step
    return made


def test_an_optimiser_whose_step_was_replaced_is_not_stacked():
    """Before: the step of its class was taken."""
    members = [member(seed, small, PlainELBO()) for seed in range(2)]
    with pytest.raises(CannotStackError, match=r"the optimiser SGD may mix.*with its own step"):
        fit_restarts(members, lr=1.0, optimizer=with_own_step, device="cpu")


def test_hooks_of_any_members_optimiser_are_refused():
    """Before: only those of member 0 were."""
    members = [member(seed, small, PlainELBO()) for seed in range(2)]
    for one in members:
        one.optimizer = torch.optim.SGD([*one.model.parameters(), *one.guide.parameters()], lr=1.0)
    members[1].optimizer.register_step_pre_hook(lambda *_: None)
    with pytest.raises(CannotStackError, match="without hooks"):
        fit_restarts(members, device="cpu")


def test_a_scheduler_of_each_members_optimiser():
    # The scheduler warns if no step was taken before its own; here the members' optimisers take none themselves.
    members = [member(seed, small, PlainELBO()) for seed in range(2)]
    own = []
    for one in map(copy.deepcopy, members):
        torch.set_rng_state(one.random)
        made = []

        def optimizer(parameters, lr, made=made):
            adam = torch.optim.Adam(parameters, lr=lr)
            made.append(torch.optim.lr_scheduler.ExponentialLR(adam, gamma=0.5))
            return adam

        for _ in fit(one.model, one.guide, one.elbo, one.batches, lr=0.1, optimizer=optimizer, device="cpu"):
            made[0].step()
        own.append(weights(one))
    steps = fit_restarts(members, lr=0.1, optimizer=torch.optim.Adam, device="cpu")
    schedulers = [torch.optim.lr_scheduler.ExponentialLR(one.optimizer, gamma=0.5) for one in members]
    for _ in steps:
        for scheduler in schedulers:
            scheduler.step()
    for one, alone in zip(members, own, strict=True):
        torch.testing.assert_close(weights(one), alone, rtol=1e-10, atol=1e-10)
        assert one.optimizer.param_groups[0]["lr"] == 0.1 * 0.5 ** len(batches(0))
