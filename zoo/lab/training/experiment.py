"""An experiment is everything that a run trains; a recipe builds one from data and hyperparameters."""

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
    """A pair, an objective, and the settings of their training.

    Attributes:
        model, guide, elbo: arguments of `fit`.
        steps, batch_size, lr, optimizer: arguments of `fit` and `Dataset.batches`.
        schedule: called after each step with the step and the objective; changes hyperparameters.
        labels: whether the pair is called with labels, in training and on the test set.
        batches: returns the training batches, with the same arguments as the default, which include `labels`.
        pictures: draws this pair where the usual pictures do not apply: a function of model, guide, test data and
            evaluation, which returns `zoo.lab.plots.Picture` by file name.
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
        name: the name to type.
        build: function of a `Split` and of hyperparameters, its keyword arguments, that returns an experiment.
        data: the name of its data set; a user may choose another.
        paper: citation.
        data_options: options of the data set's function, such as the size of images.
        text: its description, in the form of a docstring; where it is empty, the docstring of `build`.
    """

    name: str
    build: Callable[..., Experiment]
    data: str
    paper: str
    data_options: Mapping[str, Any] = field(default_factory=dict)
    text: str = ""

    @property
    def description(self) -> str:
        """The whole description."""
        return inspect.cleandoc(self.text) or inspect.getdoc(self.build) or ""


def offering(build: Callable[..., Experiment], *names: str, **values: Any) -> Callable[..., Experiment]:
    """`build` with other defaults, and with only the named hyperparameters available to `--set` and `--grid`.

    Args:
        build: returns an experiment.
        names: of the hyperparameters that are available.
        values: defaults that replace those of `build`, of any hyperparameters.

    Raises:
        TypeError: `build` has no hyperparameter of such a name.
    """
    if isinstance(build, partial):  # so that hyperparameters which it hides can be offered
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
        LookupError: there is none; the message shows the nearest name and lists all recipes.
    """
    if name not in recipes:
        raise LookupError(unknown_name("recipe", name, recipes))
    return recipes[name]
