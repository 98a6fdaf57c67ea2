"""The members of a training of several pairs as one: what each is, what they may differ in, and their reports."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn

from zoo.lab.data import Batch
from zoo.lab.training.stacked_pass import CannotStackError
from zoo.report import Report
from zoo.termwise import TermwiseELBO


@dataclass(eq=False)
class Member:
    """One of several pairs that are trained together.

    Attributes:
        model, guide, elbo, batches: arguments of `fit`.
        random: a seed, or a state of the device's generator, from which its draws begin; during training, the current
            state.
        optimizer: an existing optimiser of its own, for a resumed run; see `zoo.lab.runs.checkpoint`.
    """

    model: nn.Module
    guide: nn.Module
    elbo: TermwiseELBO
    batches: Iterable[Batch]
    random: int | Tensor = 0
    optimizer: torch.optim.Optimizer | None = None


class DivergedError(FloatingPointError):
    """A member's loss is not finite.

    Attributes:
        member: its position.
    """

    def __init__(self, member: int, message: str) -> None:
        super().__init__(f"member {member}, {message}")
        self.member = member


class Reports(Sequence[Report]):
    """The members' reports of one step, by position; each is made when it is asked for."""

    def __init__(self, figures: Mapping[str, Mapping[str, Tensor]], size: int) -> None:
        self.figures, self.size = figures, size

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, member: Any) -> Any:
        if isinstance(member, slice):
            return [self[position] for position in range(*member.indices(self.size))]
        if not -self.size <= member < self.size:
            raise IndexError(f"there are {self.size} members, got {member}")
        return Report(**{what: {name: t[member] for name, t in part.items()} for what, part in self.figures.items()})


def check_alike(members: Sequence[Member]) -> None:
    """Checks, as far as the members' attributes show, that they differ only in what may differ among them.

    Raises:
        CannotStackError: the members differ in something else; the message says in what.
    """
    for elbo in (member.elbo for member in members):
        for name, value in vars(elbo).items():
            if isinstance(value, nn.Module):
                raise CannotStackError(
                    f"{type(elbo).__name__} has a network of its own ({name}), which has a second optimiser: train "
                    "such pairs by fit, or in a sweep leave out --together"
                )
    first = members[0]
    for position, member in enumerate(members[1:], start=1):
        differences = [
            f"{what}{name} is {theirs!r} in member {position}, {ours!r} in member 0"
            for what, mine, other in (
                ("elbo", _facts_of_objective(first.elbo), _facts_of_objective(member.elbo)),
                ("model", _facts_of_module(first.model), _facts_of_module(member.model)),
                ("guide", _facts_of_module(first.guide), _facts_of_module(member.guide)),
            )
            for name in mine | other
            if (ours := mine.get(name)) != (theirs := other.get(name))
        ]
        if differences:
            raise CannotStackError(
                f"only pairs of one form can be trained as one, and {differences[0]}: train each form by itself"
            )


def _facts_of_objective(elbo: TermwiseELBO) -> dict[str, Any]:
    settings = {f".{name}": value for name, value in elbo.settings().items()}
    return {"": type(elbo).__name__, ".state_dict()": [*elbo.state_dict()], **settings}


def _facts_of_module(module: nn.Module) -> dict[str, Any]:
    """Classes, numbers, and the shapes of tensors, by name."""
    facts: dict[str, Any] = {}
    for path, part in module.named_modules():
        at = f".{path}" if path else ""
        facts[at] = type(part).__name__
        for name, value in vars(part).items():
            if isinstance(value, (bool, int, float)) and name != "training":
                facts[f"{at}.{name}"] = value
        for name, tensor in chain(part.named_parameters(recurse=False), part.named_buffers(recurse=False)):
            facts[f"{at}.{name}"] = (list(tensor.shape), tensor.dtype, tensor.requires_grad)
    return facts
