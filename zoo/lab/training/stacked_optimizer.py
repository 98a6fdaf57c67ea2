"""One optimiser for the parameters of several pairs."""

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from zoo.lab.training.stacked_pass import CannotStackError

ELEMENTWISE = (
    torch.optim.Adam,
    torch.optim.AdamW,
    torch.optim.Adamax,
    torch.optim.NAdam,
    torch.optim.RAdam,
    torch.optim.Adagrad,
    torch.optim.Adadelta,
    torch.optim.ASGD,
    torch.optim.RMSprop,
    torch.optim.Rprop,
    torch.optim.SGD,
)
"""Optimisers that update every number by its own gradients alone: one for a stack updates it as the members' own do."""

SHARED = ("step", "mu_product", "eta", "mu")  # of an optimiser's state: the same for all members


class StackedOptimizer:
    """The optimisers of R pairs as one optimiser of the stacks of their parameters.

    Args:
        optimizers: the members' own.
        parameters: the members' parameters, [R][P].
        stacks: the parameters' stacks, each [R, ...].

    Raises:
        CannotStackError: the optimisers are not of one elementwise class of torch.optim, their options or their
            numbers of steps differ, or one has hooks or a replaced step.
    """

    def __init__(
        self,
        optimizers: Sequence[torch.optim.Optimizer],
        parameters: Sequence[Sequence[nn.Parameter]],
        stacks: Sequence[Tensor],
    ) -> None:
        self.optimizers, self.parameters, self.stacks = optimizers, parameters, stacks
        first = optimizers[0]
        if type(first) not in ELEMENTWISE or any(map(_is_altered, optimizers)):
            known = ", ".join(kind.__name__ for kind in ELEMENTWISE)
            raise CannotStackError(
                f"the optimiser {type(first).__name__} may mix the gradients of several members, as clipping by norm "
                f"does: give one of {known}, with its own step and without hooks, or train each pair by fit"
            )
        groups = self._groups_of_all()
        kind: Any = type(first)
        self.optimizer = kind([{**group, "params": [stacks[i] for i in group["params"]]} for group in groups])
        for position, stack in enumerate(stacks):
            states = [o.state.get(own[position], {}) for o, own in zip(optimizers, parameters, strict=True)]
            if any(state.keys() != states[0].keys() for state in states):
                raise CannotStackError(
                    "the members' optimisers have different numbers of steps (some have taken none): resume each by fit"
                )
            self.optimizer.state[stack] = {name: _merge(name, [s[name] for s in states]) for name in states[0]}
        self._share()

    def step(self, gradients: Sequence[Tensor | None]) -> None:
        """Takes one step with the options that the members' optimisers have now, such as a scheduled learning rate.

        A parameter without a gradient is left unchanged, as by the members' own optimisers.

        Raises:
            CannotStackError: the options differ among the members.
        """
        for group, options in zip(self.optimizer.param_groups, self._groups_of_all(), strict=True):
            group.update({name: value for name, value in options.items() if name != "params"})
        for stack, gradient in zip(self.stacks, gradients, strict=True):
            stack.grad = gradient
        before = sum(map(len, self.optimizer.state.values()))
        self.optimizer.step()
        for optimizer in self.optimizers:
            vars(optimizer)["_opt_called"] = True  # as by its own step: a scheduler of PyTorch warns without it
        if sum(map(len, self.optimizer.state.values())) != before:
            self._share()

    def release(self) -> None:
        """Gives the members' optimisers their own copies of the state."""
        self._share()
        for optimizer in self.optimizers:
            for state in optimizer.state.values():
                state.update({name: copy.deepcopy(value) for name, value in state.items()})

    def _groups_of_all(self) -> list[dict[str, Any]]:
        """The groups of the members' optimisers, which have to be the same."""
        first = self.optimizers[0]
        groups = _groups(first, self.parameters[0])
        for member, other in enumerate(self.optimizers):
            if type(other) is not type(first) or _groups(other, self.parameters[member]) != groups:
                raise CannotStackError(
                    f"the optimiser of member {member} differs from that of member 0 in its class, options or "
                    "parameters: give all the same"
                )
        return groups

    def _share(self) -> None:
        """Makes the members' states views of the stacks, which the optimiser changes in place."""
        for position, stack in enumerate(self.stacks):
            if state := self.optimizer.state.get(stack):
                for member, (optimizer, own) in enumerate(zip(self.optimizers, self.parameters, strict=True)):
                    optimizer.state[own[position]] = {
                        name: value[member] if isinstance(value, Tensor) and name not in SHARED else value
                        for name, value in state.items()
                    }


def _is_altered(optimizer: torch.optim.Optimizer) -> bool:
    """Whether its step does something else than that of its class; a scheduler of PyTorch only notes the step."""
    replaced = vars(optimizer).get("step")
    own = replaced is not None and not hasattr(replaced, "_wrapped_by_lr_sched")
    return own or bool(optimizer._optimizer_step_pre_hooks or optimizer._optimizer_step_post_hooks)


def _groups(optimizer: torch.optim.Optimizer, parameters: Sequence[nn.Parameter]) -> list[dict[str, Any]]:
    """The optimiser's groups with their options; each parameter, except frozen ones, is given by its position."""
    at = {id(parameter): position for position, parameter in enumerate(parameters)}
    return [{**g, "params": [at[id(p)] for p in g["params"] if id(p) in at]} for g in optimizer.param_groups]


def _merge(name: str, values: list[Any]) -> Any:
    """The members' states of one parameter: their stack, or one value that all share, such as the number of steps."""
    if isinstance(values[0], Tensor) and name not in SHARED:
        return torch.stack(values)
    if any(value != values[0] for value in values):
        raise CannotStackError(f"the members' optimisers have different numbers of steps ({name}): resume each by fit")
    return copy.deepcopy(values[0])
