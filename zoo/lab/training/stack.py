"""The tensors of several pairs in stacks, and the steps of all pairs on them."""

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from itertools import chain
from typing import Any

import torch
from torch import Tensor

from zoo.lab.data import Batch
from zoo.lab.device import fork_random_state
from zoo.lab.training.check_arguments import check_batch, check_optimizer, check_trainable, iterate
from zoo.lab.training.fit import Optimizer, prepare, refuse_unless_finite
from zoo.lab.training.members import DivergedError, Member, Reports, check_alike
from zoo.lab.training.pair_loss import PairLoss
from zoo.lab.training.precision import Networks, Precision, reduced_matmul_precision
from zoo.lab.training.stacked_optimizer import StackedOptimizer
from zoo.lab.training.stacked_pass import CannotStackError, StackedPass, draw_state
from zoo.lab.training.tensor_pass import TensorPass
from zoo.report import Report

DELAY = 100  # steps between two checks of the losses on an accelerator


class Stack:
    """The members' tensors in stacks, of which their modules hold views, and the steps of all.

    Args:
        members, lr, optimizer, device, compile, precision: of `fit_restarts`, which checks them.

    Attributes:
        gain: the time of the members' steps one by one, divided by that of a step of all; measured once, on a CPU.

    Raises:
        CannotStackError: as `fit_restarts`. The members are as before.
    """

    def __init__(
        self,
        members: list[Member],
        lr: float | None,
        optimizer: Optimizer,
        device: torch.device,
        compile: bool,
        precision: Precision = "float32",
    ) -> None:
        self.members, self.device, self.precision = members, device, precision
        self.passes = StackedPass(device, compile=compile, half=precision != "float32")
        self.batches = self._in_step([iterate(member.batches) for member in members])
        first = next(self.batches, None)
        if first is None:
            raise ValueError("there is no batch to train on: batches is empty")
        self.batches = chain([first], self.batches)
        networks = [Networks(m.model, m.guide) if precision == "bf16" else None for m in members]
        parameters = []
        for member, short, batch in zip(members, networks, first, strict=True):
            with short.watched() if short else nullcontext():
                parameters.append(prepare(member.model, member.guide, member.elbo, batch, device))
            check_trainable(parameters[-1])
        optimizers = [m.optimizer or optimizer(own, lr=lr) for m, own in zip(members, parameters, strict=True)]
        for member, made, own in zip(members, optimizers, parameters, strict=True):
            check_optimizer(made, own)
            member.random = self._begin(member.random)
        self.programs = [
            PairLoss(member.elbo(member.model, member.guide), networks=short)
            for member, short in zip(members, networks, strict=True)
        ]
        self.settings: list[Any] = []
        self.own: list[TensorPass] = []
        passes = self._tensor_passes(first)
        trained = [list(one.parameters.values()) for one in passes]
        self.trained = set(passes[0].parameters)
        self.parameters = [_view_of_stack(tensors) for tensors in zip(*trained, strict=True)]
        self.buffers = {n: _view_of_stack([one.buffers[n] for one in passes]) for n in passes[0].buffers}
        try:
            self.optimizer = StackedOptimizer(optimizers, trained, self.parameters)
            self._try(first)
        except CannotStackError:
            self._own_tensors()
            raise
        for member, made in zip(members, optimizers, strict=True):
            member.optimizer = made
        self.gain = self.passes.gain

    def steps(self, start: int) -> Iterator[tuple[int, Reports]]:
        """Takes the steps."""
        pending: list[tuple[int, Tensor, Reports]] = []
        try:
            for step, batches in enumerate(self.batches, start=start + 1):
                losses, gradients, figures, changed, learnt = self._pass(batches)
                reports = Reports(figures, len(self.members))
                pending.append((step, losses, reports))
                if self.device.type == "cpu" or len(pending) == DELAY:
                    _refuse_unless_finite(pending)
                self.optimizer.step(gradients)
                with torch.no_grad():
                    for name, value in changed.items():
                        self.buffers[name].copy_(value)
                self._learn(learnt)
                yield step, reports
            _refuse_unless_finite(pending)
        finally:
            self._own_tensors()
            self.optimizer.release()

    def _try(self, batches: list[Batch]) -> None:
        """Makes the graph for a batch, without an effect on the members."""
        random = [member.random for member in self.members]
        states = [member.elbo.state_dict() for member in self.members]
        *_, learnt = self._pass(batches)
        self._learn(learnt)
        self._pass(batches)  # now every statistic has a value
        for member, before, state in zip(self.members, random, states, strict=True):
            member.random = before
            member.elbo.load_state_dict(state)

    def _pass(self, batches: list[Batch]) -> Any:
        passes = self._tensor_passes(batches)
        settings = [[member.elbo.settings(), one.constants()] for member, one in zip(self.members, passes, strict=True)]
        if settings != self.settings:
            self._check_trained(passes)
            check_alike(self.members)
            self.settings = settings
            self.passes.graphs.clear()
        self._take_replaced()
        states = [member.elbo.state_dict() for member in self.members]
        stacks = (
            self.parameters,
            list(self.buffers.values()),
            [torch.stack([state[name] for state in states]).to(self.device) for name in states[0]],
            [
                torch.stack(parts).to(self.device, non_blocking=True)
                for parts in zip(*map(_tensors, batches), strict=True)
            ],
        )
        random: list[Any] = [member.random for member in self.members]
        with reduced_matmul_precision() if self.precision == "medium" else nullcontext():
            outputs = self.passes(passes, stacks, random)
        for member, state in zip(self.members, random, strict=True):
            member.random = state
        return outputs

    def _tensor_passes(self, batches: list[Batch]) -> list[TensorPass]:
        """The members' passes, as functions of tensors; made again when the objective's state or the batch has other
        parts.
        """
        args, kwargs = batches[0].arguments()
        form = (len(args), list(kwargs), list(self.members[0].elbo.state_dict()))
        if not self.own or form != (self.own[0].num_args, self.own[0].keywords, self.own[0].state):
            self.own = [
                TensorPass(program, member.elbo, args, kwargs)
                for program, member in zip(self.programs, self.members, strict=True)
            ]
        return self.own

    def _check_trained(self, passes: Sequence[TensorPass]) -> None:
        """Refuses parameters that are frozen, or trained again, between two steps, and hooks on gradients.

        Raises:
            CannotStackError: a parameter was frozen, or is trained again, or has a hook on its gradient.
        """
        for position, one in enumerate(passes):
            if hooked := one.hooked():
                raise CannotStackError(f"in member {position}, {hooked}: train such pairs by fit")
        for position, program in enumerate(self.programs):
            now = {name for name, parameter in program.named_parameters() if parameter.requires_grad}
            if other := sorted(now ^ self.trained):
                raise CannotStackError(
                    f"requires_grad of {other[0].removeprefix('pair.')} of member {position} changed between two "
                    "steps: train such pairs by fit"
                )

    def _take_replaced(self) -> None:
        """Where a member's buffer was replaced by another tensor, copies this into the stack and makes it a view of it.

        Raises:
            CannotStackError: it has another shape or type.
        """
        for position, one in enumerate(self.own):
            for name, buffer in one.buffers.items():
                view = self.buffers[name][position]
                if buffer.shape != view.shape or buffer.dtype != view.dtype:
                    now, before = (f"{t.dtype} {list(t.shape)}" for t in (buffer, view))
                    what = f"{name.removeprefix('pair.')} of member {position}"
                    raise CannotStackError(f"{what} became {now}, and was {before}: train such pairs by fit")
                if buffer.data_ptr() != view.data_ptr():
                    view.copy_(buffer.detach())
                    buffer.data = view

    def _in_step(self, iterators: list[Iterator[Any]]) -> Iterator[list[Batch]]:
        """The members' batches of each step."""
        while True:
            batches: list[Any] = [next(iterator, None) for iterator in iterators]
            if all(batch is None for batch in batches):
                return
            for member, batch in enumerate(batches):
                if batch is None:
                    raise ValueError(f"member {member} has fewer batches than others: give all the same number")
                check_batch(batch)
                shapes, first = ([list(t.shape) for t in _tensors(b)] for b in (batch, batches[0]))
                if shapes != first:
                    raise CannotStackError(
                        f"the batches of a step must have one form, and have the shapes {shapes} in member {member}, "
                        f"{first} in member 0: give all the same batch size"
                    )
            yield batches

    def _begin(self, random: int | Tensor) -> Tensor:
        if isinstance(random, Tensor):
            return random
        with fork_random_state(self.device):
            torch.manual_seed(random)
            return draw_state(self.device)

    def _learn(self, learnt: dict[str, Tensor]) -> None:
        """Gives the members' objectives their new statistics."""
        if learnt:
            for position, member in enumerate(self.members):
                own = {name: values[position] for name, values in learnt.items()}
                member.elbo.load_state_dict({**member.elbo.state_dict(), **own})

    def _own_tensors(self) -> None:
        """Gives the members' modules tensors of their own."""
        for one in self.own:
            for tensor in chain(one.parameters.values(), one.buffers.values()):
                tensor.data = tensor.data.clone()


def _view_of_stack(tensors: Sequence[Tensor]) -> Tensor:
    """The tensors' stack, of which they become views."""
    with torch.no_grad():
        stack = torch.stack([tensor.detach() for tensor in tensors])
    for position, tensor in enumerate(tensors):
        tensor.data = stack[position]
    return stack


def _tensors(batch: Batch) -> list[Tensor]:
    args, kwargs = batch.arguments()
    return [*args, *kwargs.values()]


def _refuse_unless_finite(pending: list[tuple[int, Tensor, Reports]]) -> None:
    """Checks the losses of steps that were not checked yet; waits for the device.

    Raises:
        DivergedError: a loss is not finite.
    """
    finite = torch.stack([losses for _, losses, _ in pending]).isfinite().tolist() if pending else []
    for (step, losses, reports), of_step in zip(pending, finite, strict=True):
        for member, is_finite in enumerate(of_step):
            if not is_finite:
                refuse_diverged(member, step, losses[member], reports[member])
    pending.clear()


def refuse_diverged(member: int, step: int, loss: Tensor, report: Report) -> None:
    """`refuse_unless_finite` for one of the members.

    Raises:
        DivergedError: the loss is not finite.
    """
    try:
        refuse_unless_finite(step, loss, report)
    except FloatingPointError as error:
        raise DivergedError(member, str(error)) from None
