"""Restarts of a recipe over a grid of hyperparameters, with one table of results.

Each setting and seed has a folder: a sweep that was killed can be resumed, and nothing is trained twice.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from zoo.arguments import between, checked
from zoo.lab.analysis.evaluate import evaluate
from zoo.lab.analysis.posterior import needs_labels
from zoo.lab.device import find_device
from zoo.lab.files import write_file
from zoo.lab.runs.finished import FinishedRun, configure
from zoo.lab.runs.folder import Settings, read_settings
from zoo.lab.runs.train import MINUTE, Every
from zoo.lab.training.experiment import Recipe
from zoo.lab.trials.together import train_together
from zoo.lab.trials.trial import Trial, run_trials
from zoo.metrics import Encoded, Inapplicable, clusters, dci, factor_vae, information_about_factors, mig

GridPoint = Mapping[str, Any]
"""Hyperparameters on the grid, by name."""


@dataclass(frozen=True, repr=False)
class Sweep:
    """The result of a sweep.

    Attributes:
        table: a row for each finished run: its hyperparameters on the grid, its seed, its quantities.
        axes: the names of the hyperparameters on the grid.
        failures: the errors of runs that failed.
        files: table.csv with every digit, and table.md.
    """

    table: pd.DataFrame
    axes: tuple[str, ...]
    failures: tuple[str, ...]
    files: tuple[Path, ...]

    def summary(self) -> pd.DataFrame:
        """Mean and standard deviation over seeds of each point of the grid; see `summary`."""
        return summary(self.table, self.axes)

    def __repr__(self) -> str:
        return self._repr_markdown_()

    def _repr_markdown_(self) -> str:
        return f"{_means(self.table, self.axes)}\n"


@checked(jobs=between(1, 256))
def sweep(
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
    jobs: int = 1,
    device: str | None = None,
    compile: bool = False,
    data_dir: Path | None = None,
    download: bool = False,
    every: Every = MINUTE,
    together: bool = False,
    command: str = "",
) -> Sweep:
    """Trains the recipe at every point of a grid with every seed from 0, and writes one table of results.

    Every point is built before any is trained, so that an invalid one is refused first. Finished runs are kept, and a
    stopped run resumes.

        found = sweep(recipe("beta-vae"), Path("sweep"), grid=[{"beta": 1.0}, {"beta": 4.0}], steps=2_000)
        found.summary()

    Args:
        recipe: the recipe to train.
        folder: output folder; each run is in FOLDER/POINT/seed-K.
        grid: the points, hyperparameters by name, the same names in each.
        seeds: number of seeds.
        hyperparameters: the same for all points.
        data, data_options, steps, epochs, batch_size, lr: see `zoo.lab.runs.finished.configure`.
        jobs: runs at once.
        device, compile, data_dir, download, every: see `zoo.lab.trials.trial.Trial`.
        together: whether runs of one form are trained as one, in this process; see `zoo.lab.trials.together`.
        command: the command that repeats the sweep, for table.md.

    Raises:
        LookupError, TypeError, ValueError, FileNotFoundError: as `configure`; or the folder holds runs with other
            settings; raised before anything is trained.
        FileNotFoundError: every run failed.
    """
    if not grid:
        raise ValueError("sweep: the grid has no point; [{}] trains the recipe with its own hyperparameters")
    if seeds < 1:
        raise ValueError(f"sweep: seeds must be at least 1, got {seeds}")
    axes = tuple(grid[0])
    options: dict[str, Any] = {"data": data, "data_options": data_options, "steps": steps, "epochs": epochs}
    options |= {"batch_size": batch_size, "lr": lr}
    where: dict[str, Any] = {"data_dir": data_dir, "download": download, "device": str(find_device(device))}
    where["compile"] = compile
    fixed = dict(hyperparameters or {})
    settings = check(recipe, grid, hyperparameters=fixed, **options, **where)
    work = [
        (point, partial(measure, recipe=recipe.name, plan={**options, "hyperparameters": {**fixed, **point}}), trial)
        for point in grid
        for trial in _trials(point, folder, seeds, recipes={recipe.name: recipe}, every=every, **where)
    ]
    for point, own in zip(grid, settings, strict=True):
        for trial in [trial for other, _, trial in work if other is point]:
            refuse_other_settings(trial, own)
    if together:
        train_together([(measure, trial) for _, measure, trial in work], folder=folder, jobs=jobs)
    failures = run_trials([(measure, trial) for _, measure, trial in work], jobs=jobs, folder=folder)
    table = rows([(point, trial) for point, _, trial in work])
    if table.empty:
        raise FileNotFoundError(f"no run of the sweep in {folder} is finished: {'; '.join(failures)}")
    text = markdown(table, axes, command=command, failures=failures)
    return Sweep(table, axes, tuple(failures), tuple(write(folder, table, text)))


def _trials(point: GridPoint, folder: Path, seeds: int, **options: Any) -> list[Trial]:
    return [Trial(seed, "full", folder / _name(point) / f"seed-{seed}", **options) for seed in range(seeds)]


def check(
    recipe: Recipe, grid: Sequence[GridPoint], *, hyperparameters: Mapping[str, Any], **options: Any
) -> list[Settings]:
    """The settings of every point, each built once on data that are loaded once.

    Raises:
        LookupError, TypeError, ValueError, FileNotFoundError: as `zoo.lab.runs.finished.configure`.
    """
    first, split, _ = configure(recipe, hyperparameters={**hyperparameters, **grid[0]}, **options)
    settings = [first]
    for point in grid[1:]:
        experiment = recipe.build(split, **hyperparameters, **point)
        size = options["batch_size"] or experiment.batch_size
        split.train.check(size)
        asked = options["epochs"] and max(1, round(options["epochs"] * (len(split.train) // size)))
        own = replace(
            first,
            hyperparameters={**hyperparameters, **point},
            steps=asked or options["steps"] or experiment.steps,
            batch_size=size,
            lr=options["lr"] or experiment.lr,
        )
        settings.append(own)
    return settings


def refuse_other_settings(trial: Trial, settings: Settings) -> None:
    """Refuses a finished trial of a run with other settings, whose quantities would be mistaken for the requested ones.

    Raises:
        ValueError: its settings differ; the message says which.
    """
    if not trial.is_finished():
        return
    there, _ = read_settings(trial.folder)
    same = ("recipe", "hyperparameters", "data", "data_options", "steps", "batch_size", "lr")
    differ = [
        f"{name} is {getattr(there, name)!r} there, {getattr(settings, name)!r} here"
        for name in same
        if getattr(there, name) != getattr(settings, name)
    ]
    if differ:
        raise ValueError(
            f"{trial.folder} holds a finished run with other settings ({'; '.join(differ)}): remove it, or name "
            "another folder with --out"
        )


def measure(trial: Trial, *, recipe: str, plan: Mapping[str, Any]) -> Mapping[str, float]:
    """Trains, and returns the ELBO with its parts on the test set, and the metrics of the codes that apply."""
    run = trial.train(recipe, **plan)
    experiment, test = run.experiment, run.data.test
    evaluation = evaluate(run.model, run.guide, test, labels=experiment.labels, kl=experiment.elbo.kl)
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
        codes = Encoded.of(run.encode, test, device=run.settings.device)
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


# The table.


def rows(work: Sequence[tuple[GridPoint, Trial]]) -> pd.DataFrame:
    """A row for each finished run: its hyperparameters on the grid, its seed, its quantities."""
    finished = [(point, trial) for point, trial in work if trial.is_finished()]
    records = [{**point, "seed": trial.seed, **trial.quantities()} for point, trial in finished]
    table = pd.DataFrame(records, dtype=object)  # so that hyperparameters keep their types in columns with None
    quantities = table.columns.drop([*work[0][0], "seed"], errors="ignore")
    return table.astype(dict.fromkeys(quantities, float))


def summary(table: pd.DataFrame, axes: Sequence[str]) -> pd.DataFrame:
    """The mean and the standard deviation of each quantity over the seeds of a point, (quantity, "mean" | "std").

    A row for each point, in the table's order, with the number of its seeds; a single seed has no deviation (NaN).
    """
    quantities = [name for name in table.columns if name not in (*axes, "seed")]
    by = table.groupby(list(axes), sort=False, dropna=False) if axes else table.groupby(lambda _: 0)
    found = by[quantities].agg(["mean", "std"])
    found.insert(0, ("seeds", ""), by.size())
    return found.reset_index() if axes else found.reset_index(drop=True)


def markdown(table: pd.DataFrame, axes: Sequence[str], *, command: str, failures: Sequence[str] = ()) -> str:
    """Both tables, first mean +- sd of each point, then every run; and the failures."""
    runs = table.copy()
    for name in runs.columns:
        runs[name] = runs[name].map(_typed if name in (*axes, "seed") else _number)
    failed = "".join(f"- {failure}\n" for failure in failures)
    said = f"\nFailed, and therefore not in the tables:\n\n{failed}" if failed else ""
    return f"""    {command}

On the test set, in nats per datapoint unless said otherwise; mean +- standard deviation over seeds.

{_means(table, axes)}

Every run:

{_markdown(runs)}
{said}"""


def _means(table: pd.DataFrame, axes: Sequence[str]) -> str:
    """The summary in Markdown."""
    found = summary(table, axes)
    cells = pd.DataFrame({name: found[name].map(_typed) for name in axes})
    cells["seeds"] = found["seeds", ""].map(_typed)
    for name in table.columns.drop([*axes, "seed"]):
        pairs = zip(found[name, "mean"], found[name, "std"], strict=True)
        cells[name] = [_number(mean) + ("" if pd.isna(sd) else f" +- {sd:.3f}") for mean, sd in pairs]
    return _markdown(cells)


def _markdown(cells: pd.DataFrame) -> str:
    text: str = cells.to_markdown(index=False, disable_numparse=True, stralign="right")
    return text


def write(folder: Path, table: pd.DataFrame, text: str) -> list[Path]:
    """Writes table.csv, a row for each run with every digit, and table.md into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    written = {folder / "table.csv": table.to_csv(index=False, lineterminator="\r\n"), folder / "table.md": text}
    for path, content in written.items():
        write_file(path, content.encode())
    return list(written)


def _typed(value: Any) -> str:
    """A hyperparameter or a count in the form of the command line."""
    return f"{value:g}" if isinstance(value, float) else str(value)


def _number(value: float) -> str:
    """Three digits, without a minus sign before zero; empty for NaN."""
    return "" if pd.isna(value) else f"{round(value, 3) + 0.0:.3f}"


def _name(point: GridPoint) -> str:
    """The name of a point's folder; "restarts" where there is only one point."""
    return ",".join(f"{name}={_typed(value)}" for name, value in point.items()) or "restarts"
