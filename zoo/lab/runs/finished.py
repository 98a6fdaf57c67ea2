"""From a recipe to a run's settings, and from a finished run's folder back to its pair."""

import inspect
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyro
import torch
from torch import Tensor, nn

from zoo.arguments import POSITIVE, checked, number_from
from zoo.lab.analysis.evaluate import Evaluation, evaluate
from zoo.lab.analysis.posterior import codes, posteriors
from zoo.lab.data import Split, load
from zoo.lab.device import find_device
from zoo.lab.errors import unknown_name
from zoo.lab.files import REMEDY
from zoo.lab.runs.digests import check_digests
from zoo.lab.runs.folder import (
    SETTINGS,
    Settings,
    as_stored,
    how_to_resume,
    is_finished,
    load_weights,
    read_settings,
)
from zoo.lab.runs.same_run import check_same_data, fingerprints
from zoo.lab.runs.support import check_support
from zoo.lab.training.experiment import Experiment, Recipe, find_recipe
from zoo.lab.training.precision import Precision, check_precision


@dataclass(frozen=True)
class FinishedRun:
    """A finished run.

    Attributes:
        settings: its settings, with the device that the pair is on: the CPU where this machine lacks the run's own.
        experiment: the pair with its weights, in evaluation mode, on that device.
        data: its training and test set.
        folder: the folder of its tables and pictures.
    """

    settings: Settings
    experiment: Experiment
    data: Split
    folder: Path

    @property
    def model(self) -> nn.Module:
        """The story."""
        return self.experiment.model

    @property
    def guide(self) -> nn.Module:
        """The guide."""
        return self.experiment.guide

    def evaluate(self) -> Evaluation:
        """The ELBO and its parts on the test set."""
        experiment = self.experiment
        return evaluate(self.model, self.guide, self.data.test, labels=experiment.labels, kl=experiment.elbo.kl)

    def encode(self, x: Tensor) -> dict[str, Any]:
        """q(site | x) by latent site."""
        return posteriors(self.guide, x)

    def codes(self, x: Tensor) -> dict[str, Any]:
        """The encoder for `zoo.metrics`: `suite(run.codes, run.data.test)`; see `zoo.lab.analysis.codes`."""
        return codes(self.guide, x)


@checked(steps=number_from(1), epochs=POSITIVE, batch_size=number_from(1), lr=POSITIVE)
def configure(
    recipe: Recipe,
    *,
    hyperparameters: Mapping[str, Any] | None = None,
    data: str | None = None,
    data_options: Mapping[str, Any] | None = None,
    steps: int | None = None,
    epochs: float | None = None,
    batch_size: int | None = None,
    lr: float | None = None,
    seed: int = 0,
    device: str | None = None,
    compile: bool = False,
    precision: Precision = "float32",
    data_dir: Path | None = None,
    download: bool = False,
) -> tuple[Settings, Split, Experiment]:
    """Settings, data and experiment for `zoo.lab.runs.train.train`: the recipe's, except where they are given here.

    Raises:
        LookupError, TypeError, ValueError: there is no such data set, device, hyperparameter or option, one of these
            cannot be stored (`zoo.lab.runs.folder.as_stored`), or a number is out of range. Raised before any data is
            loaded, except for errors that depend on the data.
    """
    where = find_device(device)
    check_precision(precision)
    if steps is not None and epochs is not None:
        raise ValueError("give --steps or --epochs, not both")
    _check_names(recipe, hyperparameters or {})
    hyperparameters = as_stored(hyperparameters or {})
    _check_once(hyperparameters, steps=steps, epochs=epochs, batch_size=batch_size, lr=lr)
    source = data or recipe.data
    given = {**(recipe.data_options if source == recipe.data else {}), **(data_options or {})}
    options = as_stored(given, "option of the data")
    split = load(source, folder=data_dir, download=download, **options)
    pyro.set_rng_seed(int(seed))  # Python's generator takes no number of NumPy
    experiment = recipe.build(split, **hyperparameters)
    size = batch_size or experiment.batch_size
    settings = Settings(
        recipe=recipe.name,
        hyperparameters=hyperparameters,
        data=source,
        data_options=options,
        steps=num_steps(experiment, steps, epochs, per_epoch=len(split.train) // size),
        batch_size=size,
        lr=lr or experiment.lr,
        seed=seed,
        device=str(where),
        compile=compile,
        precision=precision,
    )
    split.train.check(size)
    check_support(experiment, split)
    return settings, split, experiment


def _check_once(hyperparameters: Mapping[str, Any], **options: float | None) -> None:
    """Refuses an option together with a hyperparameter for the same number, which it would silently override."""
    for option, value in options.items():
        name = "steps" if option == "epochs" else option
        if value is not None and name in hyperparameters:
            raise ValueError(
                f"--{option.replace('_', '-')} {value} and the hyperparameter {name} = {hyperparameters[name]} are two "
                "values for one number: leave one of them out"
            )


def restore_experiment(
    settings: Settings, recipes: Mapping[str, Recipe], data_dir: Path | None = None, download: bool = False
) -> tuple[Split, Experiment]:
    """The data and the untrained experiment of a run, as at its beginning, to resume it on its own device.

    Raises:
        LookupError: the run's recipe is not among `recipes`.
        ValueError: its device is not on this machine.
    """
    recipe = find_recipe(settings.recipe, recipes)
    find_device(settings.device)
    split = load(settings.data, folder=data_dir, download=download, **settings.data_options)
    return split, _untrained(recipe, settings, split)


@checked()
def open_run(
    folder: Path, recipes: Mapping[str, Recipe], data_dir: Path | None = None, download: bool = False
) -> FinishedRun:
    """The finished run in `folder`, with its data and its weights. `zoo.papers.open_run` includes all papers' recipes.

    Raises:
        FileNotFoundError: there is no run, it is not finished, or its data is missing.
        LookupError: the run's recipe is not among `recipes`.
        ValueError: its settings or weights are damaged, or the data are no longer those that it was trained on.

    Warns:
        RuntimeWarning: the run's device is not on this machine, and the run is opened on the CPU.
    """
    settings, _ = read_settings(folder)
    if not is_finished(folder):  # before its data is loaded, which may take long
        raise FileNotFoundError(f"the run in {folder} is not finished; resume it with {how_to_resume(folder)}")
    try:
        recipe = find_recipe(settings.recipe, recipes)
    except LookupError as error:
        raise LookupError(f"the run in {folder} cannot be opened: {error}") from None
    split = load(settings.data, folder=data_dir, download=download, **settings.data_options)
    check_same_data(folder, fingerprints(split))  # before the pair is built, which may not fit other data
    return _trained(folder, split, _untrained(recipe, settings, split))


def finished_run(folder: Path, split: Split, experiment: Experiment) -> FinishedRun:
    """The run in `folder`, from data and an experiment that are loaded already; seeds the random state as the run's.

    Raises:
        ValueError: a file of the run was changed since it was written, and the message names it; or the data are not
            those that it was trained on.

    Warns:
        RuntimeWarning: as `open_run`.
    """
    check_same_data(folder, fingerprints(split))
    return _trained(folder, split, experiment)


def _untrained(recipe: Recipe, settings: Settings, split: Split) -> Experiment:
    pyro.set_rng_seed(settings.seed)
    return recipe.build(split, **settings.hyperparameters)


def _trained(folder: Path, split: Split, experiment: Experiment) -> FinishedRun:
    """The run, with its weights put into the experiment's pair."""
    settings, _ = read_settings(folder)
    settings = replace(settings, device=_device_here(settings.device, folder))
    check_digests(folder)
    load_weights(experiment, folder)
    for module in (experiment.model, experiment.guide):
        module.to(settings.device).eval()
    pyro.set_rng_seed(settings.seed)
    return FinishedRun(settings, experiment, split, folder)


def _device_here(device: str, folder: Path) -> str:
    """The run's device where this machine has it, else the CPU."""
    try:
        find_device(device)
    except ValueError:
        try:
            torch.device(device)
        except RuntimeError:
            raise ValueError(
                f"{folder / SETTINGS} is damaged: device must be one of PyTorch's, got {device!r}; {REMEDY}"
            ) from None
        warnings.warn(
            f"a run that was trained on {device}, which is not on this machine, is opened on the CPU",
            RuntimeWarning,
            stacklevel=2,
        )
        return "cpu"
    return device


def _check_names(recipe: Recipe, hyperparameters: Mapping[str, Any]) -> None:
    _, *parameters = inspect.signature(recipe.build).parameters.values()  # the first is the data
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return
    known = [parameter.name for parameter in parameters]
    for name in hyperparameters:
        if name not in known:
            raise LookupError(unknown_name(f"hyperparameter of {recipe.name}", name, known))


def num_steps(experiment: Experiment, steps: int | None, epochs: float | None, *, per_epoch: int) -> int:
    """The steps or the passes that were asked for, one at least, in steps; the experiment's own where neither was."""
    if epochs is not None:
        return max(1, round(epochs * per_epoch))
    return steps or experiment.steps
