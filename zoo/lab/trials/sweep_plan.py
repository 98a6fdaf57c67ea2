"""The trials of a sweep: a recipe at every point of a grid with every seed, checked before any is trained."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from zoo.arguments import checked
from zoo.lab.analysis.posterior import needs_labels
from zoo.lab.device import find_device
from zoo.lab.runs.finished import FinishedRun, configure, num_steps
from zoo.lab.runs.folder import SETTINGS, Settings, as_stored, read_settings
from zoo.lab.runs.same_run import Fingerprints, check_same_data, fingerprints
from zoo.lab.runs.train import MINUTE, Every
from zoo.lab.training.experiment import Recipe
from zoo.lab.training.precision import Precision
from zoo.lab.trials.job_array import listed, run_only
from zoo.lab.trials.trial import Measure, Trial
from zoo.metrics import Encoded, Inapplicable, clusters, dci, factor_vae, information_about_factors, mig
from zoo.tables import typed

LONGEST = 255  # bytes of a file's name
GridPoint = Mapping[str, Any]
"""Hyperparameters on the grid, by name."""


@dataclass(frozen=True)
class SweepPlan:
    """What a sweep trains; printed, it is a line for each trial, with its number from 1.

    Attributes:
        axes: the names of the hyperparameters on the grid.
        trials: each with its point on the grid, in the order of the table.
        work: each with its measurement, in the same order.
    """

    axes: tuple[str, ...]
    trials: Sequence[tuple[GridPoint, Trial]]
    work: Sequence[tuple[Measure, Trial]]

    def __str__(self) -> str:
        return listed(self.work)

    def run_only(self, number: int) -> Trial:
        """Trains one trial in this process; several processes may train others of them. See `run_only`."""
        return run_only(self.work, number)


@checked()
def plan_sweep(
    recipe: Recipe,
    folder: Path,
    *,
    grid: Sequence[GridPoint] = ({},),
    seeds: int = 3,
    hyperparameters: Mapping[str, Any] | None = None,
    data: str | None = None,
    data_options: Mapping[str, Any] | None = None,
    steps: int | None = None,
    epochs: float | None = None,
    batch_size: int | None = None,
    lr: float | None = None,
    device: str | None = None,
    compile: bool = False,
    precision: Precision = "float32",
    data_dir: Path | None = None,
    download: bool = False,
    every: Every = MINUTE,
) -> SweepPlan:
    """The trials of a sweep. Nothing is trained or written.

        planned = plan_sweep(recipe("beta-vae"), Path("sweep"), grid=[{"beta": 1.0}, {"beta": 4.0}], steps=2_000)
        print(planned)
        planned.run_only(1)

    Args:
        recipe: the recipe to train.
        folder: output folder; each run is in FOLDER/POINT/seed-K.
        grid: the points, hyperparameters by name, the same names in each.
        seeds: number of seeds.
        hyperparameters: the same for all points.
        data, data_options, steps, epochs, batch_size, lr: see `zoo.lab.runs.finished.configure`.
        device, compile, precision, data_dir, download, every: see `zoo.lab.trials.trial.Trial`.

    Raises:
        LookupError, TypeError, ValueError, FileNotFoundError: as `configure`; two points have other names or are the
            same, or one sets a hyperparameter that is set for all; or the folder holds a run itself, or runs with other
            settings or on other data.
    """
    grid = [as_stored(point) for point in grid]
    _check_grid(grid, fixed := as_stored(hyperparameters or {}))
    if seeds < 1:
        raise ValueError(f"sweep: seeds must be at least 1, got {seeds}")
    if (folder / SETTINGS).is_file():
        raise ValueError(f"the folder {folder} holds a run: name another one for the sweep, with --out")
    options: dict[str, Any] = {"data": data, "data_options": data_options, "steps": steps, "epochs": epochs}
    options |= {"batch_size": batch_size, "lr": lr}
    where: dict[str, Any] = {"data_dir": data_dir, "download": download, "device": str(find_device(device))}
    where |= {"compile": compile, "precision": precision}
    settings, found = check(recipe, grid, hyperparameters=fixed, **options, **where)
    trials: list[tuple[GridPoint, Trial]] = []
    work: list[tuple[Measure, Trial]] = []
    for point, own in zip(grid, settings, strict=True):
        plan = {**options, "hyperparameters": {**fixed, **point}}
        for trial in _trials(point, folder, seeds, recipes={recipe.name: recipe}, every=every, **where):
            refuse_other_runs(trial, own, found)
            trials.append((point, trial))
            work.append((partial(measure, recipe=recipe.name, plan=plan), trial))
    return SweepPlan(tuple(grid[0]), trials, work)


def _check_grid(grid: Sequence[GridPoint], fixed: Mapping[str, Any]) -> None:
    """Refuses points whose runs could not be told apart in the folder and in the table."""
    if not grid:
        raise ValueError("sweep: the grid has no point; [{}] trains the recipe with its own hyperparameters")
    folders: set[str] = set()
    for number, point in enumerate(grid):
        if point.keys() != grid[0].keys():
            raise ValueError(
                f"sweep: point {number} of the grid sets {[*point]}, and point 0 sets {[*grid[0]]}: give all points "
                "the same hyperparameters"
            )
        if both := point.keys() & fixed.keys():
            raise ValueError(f"sweep: {min(both)} is in hyperparameters and on the grid: give it once")
        if (size := len((name := _name(point)).encode())) > LONGEST:
            raise ValueError(
                f"sweep: the folder of point {number} of the grid would have a name of {size} bytes, {name[:40]}..., "
                f"and file systems allow {LONGEST}: give shorter values"
            )
        if name in folders:
            raise ValueError(f"sweep: the grid has the point {name} twice: give it once")
        folders.add(name)


def _trials(point: GridPoint, folder: Path, seeds: int, **options: Any) -> list[Trial]:
    return [Trial(seed, "full", folder / _name(point) / f"seed-{seed}", **options) for seed in range(seeds)]


def check(
    recipe: Recipe, grid: Sequence[GridPoint], *, hyperparameters: Mapping[str, Any], **options: Any
) -> tuple[list[Settings], Fingerprints]:
    """The settings of every point, each built once on data that are loaded once, and the fingerprints of the data.

    Raises:
        LookupError, TypeError, ValueError, FileNotFoundError: as `zoo.lab.runs.finished.configure`.
    """
    first, split, _ = configure(recipe, hyperparameters={**hyperparameters, **grid[0]}, **options)
    settings = [first]
    for point in grid[1:]:
        experiment = recipe.build(split, **hyperparameters, **point)
        size = options["batch_size"] or experiment.batch_size
        split.train.check(size)
        own = replace(
            first,
            hyperparameters={**hyperparameters, **point},
            steps=num_steps(experiment, options["steps"], options["epochs"], per_epoch=len(split.train) // size),
            batch_size=size,
            lr=options["lr"] or experiment.lr,
        )
        settings.append(own)
    return settings, fingerprints(split)


def refuse_other_runs(trial: Trial, settings: Settings, found: Fingerprints) -> None:
    """Refuses a finished trial of a run with other settings or on other data, whose quantities would be mistaken for
    the requested ones.

    Raises:
        ValueError: its settings or its data differ; the message says in what.
    """
    if not trial.is_finished():
        return
    there, _ = read_settings(trial.folder)
    asked = replace(settings, seed=trial.seed)  # those of a point of a sweep are for all seeds
    same = ("recipe", "hyperparameters", "data", "data_options", "steps", "batch_size", "lr", "seed", "precision")
    differ = [
        f"{name} is {getattr(there, name)!r} there, {getattr(asked, name)!r} here"
        for name in same
        if getattr(there, name) != getattr(asked, name)
    ]
    if differ:
        raise ValueError(
            f"{trial.folder} holds a finished run with other settings ({'; '.join(differ)}): remove it, or name "
            "another folder with --out"
        )
    check_same_data(trial.folder, found)


def measure(trial: Trial, *, recipe: str, plan: Mapping[str, Any]) -> Mapping[str, float]:
    """Trains, and returns the ELBO with its parts on the test set, and the metrics of the codes that apply."""
    run = trial.train(recipe, **plan)
    evaluation = run.evaluate()
    return {
        "ELBO": evaluation.elbo,
        **{f"log p({site})": value for site, value in evaluation.reconstruction.items()},
        **{f"KL({site})": kl.sum().item() for site, kl in evaluation.kl.items()},
        **scores(run),
    }


def scores(run: FinishedRun) -> dict[str, float]:
    """The metrics of a run's codes that apply.

    A type against labels: accuracy by majority vote, %, I(y; c), and the gap to the largest I(y; z_d), nats. Several
    factors: FactorVAE, MIG by bins, and DCI disentanglement by a random forest.
    """
    test = run.data.test
    if needs_labels(run.guide) or (test.y is None and test.factors is None):
        return {}
    try:
        codes = Encoded.of(run.codes, test, device=run.settings.device)
    except Inapplicable:  # few points, or a family without a mean
        return {}
    metrics: list[Callable[[Encoded], Mapping[str, float]]] = [_of_types, _about_labels, _of_factors]
    found: dict[str, float] = {}
    for metric in metrics:
        try:
            found |= metric(codes)
        except Inapplicable:
            continue
    return found


def _of_types(codes: Encoded) -> Mapping[str, float]:
    return {"accuracy": 100 * float(clusters(codes, repeats=2).majority)}


def _about_labels(codes: Encoded) -> Mapping[str, float]:
    """Metrics for one factor, the label, and one type."""
    types = [name for name, site in codes.sites.items() if site.categorical]
    if len(types) != 1 or len(codes.names) != 1:
        raise Inapplicable("these are for one type and one label")
    about = information_about_factors(codes, repeats=2)
    nats = dict(zip(codes.units, np.asarray(about.value)[0].tolist(), strict=True))
    c = nats.pop(types[0])
    return {f"I(y; {types[0]})": c, **({"MIG, nats": c - max(nats.values())} if nats else {})}


def _of_factors(codes: Encoded) -> Mapping[str, float]:
    codes.require("metrics of factors", factors=2, latents=2)
    return {
        "FactorVAE": float(factor_vae(codes, repeats=2)),
        "MIG": float(mig(codes, repeats=2)),
        "DCI": float(dci(codes, regressor="forest", repeats=2).disentanglement),
    }


def _name(point: GridPoint) -> str:
    """The name of a point's folder; "restarts" where there is only one point."""
    text = ",".join(f"{name}={typed(value)}" for name, value in point.items()) or "restarts"
    return re.sub(r"[/\\]", "-", text)
