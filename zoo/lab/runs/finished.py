"""From a recipe's name to a run, and from a run's folder back to its pair."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyro
from torch import Tensor, nn

from zoo.lab.analysis.evaluate import posteriors
from zoo.lab.data import Split, load
from zoo.lab.errors import unknown
from zoo.lab.runs import train as run
from zoo.lab.training.fit import find_device
from zoo.papers.recipes import RECIPES, Experiment, Recipe


@dataclass(frozen=True)
class Trained:
    """A run that has come to its end.

    Attributes:
        settings: how it was made.
        experiment: the pair with its weights, in evaluation mode, on the settings' device.
        data: what it was trained on, and its test set.
        folder: where its curves and pictures are.
    """

    settings: run.Settings
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

    def encode(self, x: Tensor) -> dict[str, Any]:
        """q(site | x) by latent site; what `zoo.metrics.suite` takes as an encoder."""
        return posteriors(self.guide, x)


def recipe(name: str) -> Recipe:
    """The recipe called `name`.

    Raises:
        LookupError: there is none; says which there are, and the nearest name.
    """
    if name not in RECIPES:
        raise LookupError(unknown("recipe", name, RECIPES))
    return RECIPES[name]


def plan(
    name: str,
    *,
    knobs: Mapping[str, Any] | None = None,
    data: str | None = None,
    data_options: Mapping[str, Any] | None = None,
    steps: int | None = None,
    epochs: float | None = None,
    batch_size: int | None = None,
    lr: float | None = None,
    seed: int = 0,
    device: str | None = None,
    compile: bool = False,
    data_dir: Path | None = None,
    download: bool = False,
) -> tuple[run.Settings, Split, Experiment]:
    """What `zoo.lab.runs.train.train` takes: the recipe's own, unless told otherwise.

    Raises:
        LookupError, TypeError, ValueError: there is no such recipe, data, device or option, or a number makes no sense.
    """
    chosen = recipe(name)
    where = find_device(device)
    if lr is not None and not 0 < lr < float("inf"):
        raise ValueError(f"--lr must be positive and finite, got {lr:g}")
    source = data or chosen.data
    options = {**(chosen.data_options if source == chosen.data else {}), **(data_options or {})}
    split = load(source, folder=data_dir, download=download, **options)
    pyro.set_rng_seed(seed)
    experiment = chosen.build(split, **(knobs or {}))
    size = batch_size or experiment.batch_size
    settings = run.Settings(
        recipe=name,
        knobs=dict(knobs or {}),
        data=source,
        data_options=options,
        steps=_steps(experiment, steps, epochs, len(split.train) // size),
        batch_size=size,
        lr=lr or experiment.lr,
        seed=seed,
        device=str(where),
        compile=compile,
    )
    split.train.check(size)
    return settings, split, experiment


def rebuild(settings: run.Settings, data_dir: Path | None = None, download: bool = False) -> tuple[Split, Experiment]:
    """The data and the experiment of a run, as they were when it began."""
    find_device(settings.device)
    split = load(settings.data, folder=data_dir, download=download, **settings.data_options)
    pyro.set_rng_seed(settings.seed)
    return split, recipe(settings.recipe).build(split, **settings.knobs)


def open_run(folder: Path, data_dir: Path | None = None, download: bool = False) -> Trained:
    """The finished run in `folder`, with its data and its weights.

    Raises:
        FileNotFoundError: there is no run, it has not come to its end, or its data is missing.
        ValueError: its settings or weights are damaged.
    """
    settings, _ = run.read(folder)
    if not (folder / "weights.safetensors").is_file():  # before its data is loaded, which may take long
        raise FileNotFoundError(f"the run in {folder} has not come to its end; go on with {run.how_to_resume(folder)}")
    split, experiment = rebuild(settings, data_dir, download)
    return finished_run(folder, split, experiment)


def finished_run(folder: Path, split: Split, experiment: Experiment) -> Trained:
    """The same for data and an experiment that stand already. What is drawn from then on is a function of the seed."""
    settings, _ = run.read(folder)
    run.load_weights(experiment, folder)
    for module in (experiment.model, experiment.guide):
        module.to(settings.device).eval()
    pyro.set_rng_seed(settings.seed)
    return Trained(settings, experiment, split, folder)


def _steps(experiment: Experiment, steps: int | None, epochs: float | None, per_epoch: int) -> int:
    if steps and epochs:
        raise ValueError("give --steps or --epochs, not both")
    if epochs:
        return max(1, round(epochs * per_epoch))
    return steps or experiment.steps
