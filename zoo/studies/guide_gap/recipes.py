"""Another guide for a recipe's pair: only the heads of real sites are swapped."""

import copy
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from torch import Tensor, nn

from guides import (
    Amortized,
    Flow,
    FullRank,
    Head,
    LowRank,
    MeanField,
    MeanFieldLaplace,
    MeanFieldStudentT,
    Mixture,
    PointMass,
    SemiAmortized,
    SoftplusNormal,
    refine,
)
from zoo.elbos import TermwiseELBO
from zoo.lab.errors import unknown_name
from zoo.lab.training.experiment import Experiment

REAL: Mapping[str, Callable[..., Head]] = {
    "mean-field": MeanField,
    "full-rank": FullRank,
    "low-rank": lambda size, **options: LowRank(size, rank=min(2, size), **options),
    "flow": Flow,
    "coupling": partial(Flow, kind="coupling"),
    "mixture": partial(Mixture, components=4),
    "laplace": MeanFieldLaplace,
    "student-t": partial(MeanFieldStudentT, df=5.0),
}
"""Heads for a real site of `size` units, by their names in `compare-guides`."""

NO_CLOSED_KL = frozenset({"flow", "coupling", "mixture", "student-t"})
SEMI_AMORTIZED = "semi-amortised"
STEPS, LR = 5, 0.02  # of the semi-amortised guide; larger steps undo the result of a trained network


def names() -> list[str]:
    """The names of the guides that a recipe's pair can have."""
    return [*REAL, SEMI_AMORTIZED]


def swap(experiment: Experiment, name: str) -> Experiment:
    """The experiment with another guide: a new head for every real site, on the same trunk, for the same model.

    Heads of types, class probabilities and point masses are kept. Where the new head's KL has no closed form, the
    objective uses the sampled KL, at its sites only. "semi-amortised" takes a few steps of Adam from independent
    normals, on the experiment's objective.

    Raises:
        LookupError: there is no such guide.
        TypeError, ValueError: the recipe's guide is not amortised, or has no real site.
    """
    if name not in names():
        raise LookupError(unknown_name("guide", name, names()))
    old = experiment.guide
    if not isinstance(old, Amortized):
        raise TypeError(f"the recipe's guide is {type(old).__name__}; heads can be swapped only in an Amortized guide")
    family = REAL["mean-field" if name == SEMI_AMORTIZED else name]
    kept: dict[str, Any] = dict(old.heads.items())
    real = [site for site, head in kept.items() if is_real(head)]
    if not real:
        raise ValueError(f"the recipe's guide has no real site to swap the head of: it has {list(kept)}")
    heads = {
        site: family(head.size, given=head.given, hidden=head.hidden) if site in real else head
        for site, head in kept.items()
    }
    classes = None if "y" in kept else old.classes
    amortized = Amortized(old.trunk, num_data=old.num_data, classes=classes, layers=old.make_layers, **heads)
    elbo = copy.copy(experiment.elbo)
    if name in NO_CLOSED_KL and elbo.kl != "sampled":
        elbo.kl = {**(elbo.kl if isinstance(elbo.kl, Mapping) else {}), **dict.fromkeys(real, "sampled")}
    if name == SEMI_AMORTIZED:
        loss = partial(fresh_loss, elbo, experiment.model)
        return replace(experiment, guide=SemiAmortized(amortized, loss, steps=STEPS, lr=LR), elbo=elbo)
    return replace(experiment, guide=amortized, elbo=elbo)


def is_real(head: Head) -> bool:
    """Whether a head is for a real site."""
    families = (
        MeanField,
        SoftplusNormal,
        FullRank,
        LowRank,
        Flow,
        Mixture,
        MeanFieldLaplace,
        MeanFieldStudentT,
        PointMass,
    )
    return isinstance(head, families)


def fitted(
    guide: nn.Module, loss: Callable[..., Tensor], x: Tensor, y: Tensor | None, *, steps: int, lr: float
) -> nn.Module:
    """The guide with its raw numbers fitted to each datapoint of a batch separately; see `guides.refine`.

    Raises:
        TypeError: the guide is not amortised.
    """
    amortized = guide.amortized if isinstance(guide, SemiAmortized) else guide
    if not isinstance(amortized, Amortized):
        raise TypeError(f"{type(guide).__name__} has no raw numbers to fit to a datapoint; use an Amortized guide")
    return refine(amortized, loss, x, y, steps=steps, lr=lr)


def fresh_loss(elbo: TermwiseELBO, model: nn.Module, guide: nn.Module, *args: Any, **kwargs: Any) -> Tensor:
    """The loss of a copy of the objective, so that its report and statistics are not shared; hyperparameters are."""
    return copy.copy(elbo).differentiable_loss(model, guide, *args, **kwargs)
