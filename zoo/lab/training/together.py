"""Restarts of a pair in one process: several pairs trained as one, with one step for all of them."""

from collections.abc import Iterable, Iterator, Sequence
from operator import length_hint
from os import environ

import torch
from tqdm.auto import tqdm

from zoo.lab.device import find_device
from zoo.lab.training.check_arguments import check_gradients, check_options, check_pair, check_switches
from zoo.lab.training.fit import Optimizer, adam
from zoo.lab.training.members import DivergedError, Member, Reports, check_alike
from zoo.lab.training.precision import Precision, check_precision
from zoo.lab.training.stack import Stack
from zoo.lab.training.stacked_pass import CannotStackError

__all__ = ["CannotStackError", "DivergedError", "Member", "Reports", "fit_restarts"]


def fit_restarts(
    members: Sequence[Member],
    *,
    lr: float | None = None,
    optimizer: Optimizer = adam,
    device: str | torch.device | None = None,
    compile: bool = False,
    precision: Precision = "float32",
    start: int = 0,
    progress: bool = True,
) -> Iterator[tuple[int, Reports]]:
    """Trains R pairs as one, a step of all of them per turn, and yields the number of steps and the members' reports.

        members = []
        for seed, beta in enumerate([1.0, 2.0, 4.0]):
            pyro.set_rng_seed(seed)
            members.append(Member(*pair(), BetaVAE(beta=beta), data.batches(64, seed=seed, steps=10_000), random=seed))
        for step, reports in fit_restarts(members, lr=1e-3):
            print(step, [report.loss.item() for report in reports])

    Parameters are stacked, the pass of the first member is traced and mapped over the stacks (`torch.func.vmap`), and
    one optimiser takes the step. Members differ in their weights, batches, random numbers, and the hyperparameters and
    statistics of their objectives, which may change after every step, as under `fit`; so may buffers of the modules.
    All else has to be the same. Where a number of the modules changes, the pass is traced again.

    Each member is trained as `fit` trains it by itself with its batches, from the same random state: it draws the same
    random numbers, and its curve and parameters are the same up to the rounding of sums in another order. Its modules
    hold views of the stacks meanwhile, so that they can be evaluated and saved after every step. The global random
    state is left alone.

    Args:
        members: the pairs, each with objective, batches and random state.
        lr, device, precision, start, progress: see `fit`.
        optimizer: see `fit`; one that updates each number by its own gradients.
        compile: whether to compile the mapped graph.

    Raises:
        CannotStackError: the members cannot be trained as one: another architecture, class of objective, optimiser or
            batch size among them, or a pair that cannot be traced. Raised when `fit_restarts` is called, except for
            what appears in later batches.
        TypeError, ValueError: as `fit`, raised when `fit_restarts` is called.
        DivergedError: a member's loss is not finite. On a CPU no step is taken with it.
    """
    members = list(members) if isinstance(members, Iterable) else []
    if not members or not all(isinstance(member, Member) for member in members):
        raise TypeError("members must be one or more Member(model, guide, elbo, batches), as in [Member(...), ...]")
    check_switches(progress=progress)
    check_gradients()
    _check_apart(members)
    existing = [member.optimizer for member in members if member.optimizer is not None]
    if existing and len(existing) < len(members):
        raise ValueError("either every member has an optimizer, or none has")
    for member in members:
        check_pair(member.model, member.guide, member.elbo)
        check_options(
            member.elbo, lr=lr, optimizer=member.optimizer or optimizer, compile=compile, start=start, adversary=None
        )
        check_precision(precision, member.model, member.guide)
    check_alike(members)
    total = length_hint(members[0].batches) or None
    stack = Stack(members, lr, optimizer, find_device(device), compile, precision)
    steps = stack.steps(start)
    if not progress or environ.get("TQDM_DISABLE"):
        return steps
    return iter(tqdm(steps, total=total and start + total, initial=start, unit=" steps", dynamic_ncols=True))


def _check_apart(members: Sequence[Member]) -> None:
    """Checks that the members share nothing that training changes.

    Raises:
        ValueError: two have a module, a trained parameter, an objective or an iterator of batches in common.
    """
    for what in ("model", "guide", "elbo", "batches"):
        seen: dict[int, int] = {}
        for position, part in enumerate(getattr(member, what) for member in members):
            if what == "batches" and not isinstance(part, Iterator):
                continue  # such as a list, which can be read several times
            if id(part) in seen:
                raise ValueError(
                    f"member {position} has the same {what} as member {seen[id(part)]}: give each member its own"
                )
            seen[id(part)] = position
    owners: dict[int, int] = {}
    for position, member in enumerate(members):
        for program in (member.model, member.guide):
            for name, parameter in program.named_parameters():
                owner = owners.setdefault(id(parameter), position)
                if owner != position and parameter.requires_grad:
                    raise ValueError(
                        f"member {position} has a parameter of member {owner}, {type(program).__name__}.{name}, so "
                        "that each would change the other: give each member its own networks"
                    )
