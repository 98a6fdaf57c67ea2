"""An experiment is what a run trains; a recipe makes one from data and hyperparameters."""

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import nn

from zoo.elbos import TermwiseELBO
from zoo.lab.data import Batch, Dataset
from zoo.lab.errors import unknown_name
from zoo.lab.training.fit import adam


@dataclass(frozen=True)
class Experiment:
    """What `train` runs: a pair, an objective, and how long.

    Attributes:
        model, guide, elbo: as `fit` takes them.
        steps, batch_size, lr, optimizer: as `fit` and the data take them.
        schedule: called after each step with the step and the objective; changes hyperparameters.
        labels: whether the pair is handed labels, in training and on the test set.
        batches: what is trained on, called as the default is; `labels` is among its arguments.
        pictures: what draws this pair, from model, guide, test data and evaluation, where the usual pictures do not
            fit: `zoo.lab.plots.Picture` by file name.
    """

    model: nn.Module
    guide: nn.Module
    elbo: TermwiseELBO
    steps: int
    batch_size: int = 64
    lr: float = 1e-3
    optimizer: Callable[..., torch.optim.Optimizer] = adam
    schedule: Callable[[int, TermwiseELBO], None] | None = None
    labels: bool = False
    batches: Callable[..., Iterator[Batch]] = Dataset.batches
    pictures: Callable[..., Mapping[str, Any]] | None = None


@dataclass(frozen=True)
class Recipe:
    """A paper's settings under a name.

    Attributes:
        name: what people type.
        build: from a `Split` and hyperparameters, its keyword arguments, to an experiment.
        data: the data set that it is for; a user may choose another.
        paper: citation.
        data_options: options of the data set's function, such as the size of images.
        text: what it is, written as a docstring; the docstring of `build` where it is left empty.
    """

    name: str
    build: Callable[..., Experiment]
    data: str
    paper: str
    data_options: Mapping[str, Any] = field(default_factory=dict)
    text: str = ""

    @property
    def description(self) -> str:
        """What it is, in full."""
        return inspect.cleandoc(self.text) or inspect.getdoc(self.build) or ""


def offering(build: Callable[..., Experiment], *names: str, **values: Any) -> Callable[..., Experiment]:
    """`build` with other defaults, of whose hyperparameters `--set` and `--grid` offer these alone.

    Args:
        build: what makes an experiment.
        names: of hyperparameters that are offered.
        values: defaults instead of those of `build`, of hyperparameters that are offered or not.

    Raises:
        TypeError: `build` has no hyperparameter of such a name.
    """
    if isinstance(build, partial):  # to offer what it does not
        values = {**build.keywords, **values}
        build = build.func
    there = inspect.signature(build).parameters
    if unknown := {*names, *values} - there.keys():
        raise TypeError(f"there is no hyperparameter {sorted(unknown)}; there are {[*there][1:]}")
    made = partial(build, **values)
    signature = inspect.signature(made)
    kept = [p for p in signature.parameters.values() if p.kind is not p.KEYWORD_ONLY or p.name in names]
    setattr(made, "__signature__", signature.replace(parameters=kept))  # noqa: B010 (which inspect.signature reads)
    return made


def find_recipe(name: str, recipes: Mapping[str, Recipe]) -> Recipe:
    """The recipe called `name`.

    Raises:
        LookupError: there is none; lists those that there are, the nearest name first.
    """
    if name not in recipes:
        raise LookupError(unknown_name("recipe", name, recipes))
    return recipes[name]
