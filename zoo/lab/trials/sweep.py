"""Restarts of a recipe over a grid of hyperparameters, with one table of results.

Each setting and seed has a folder: a sweep that was killed can be resumed, and nothing is trained twice.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from zoo.arguments import between, checked
from zoo.lab.device import find_device
from zoo.lab.files import make_folder, write_file
from zoo.lab.training.experiment import Recipe
from zoo.lab.trials.backends import open_backend
from zoo.lab.trials.card import average, deviation
from zoo.lab.trials.processes import Loky, limited_threads
from zoo.lab.trials.sweep_plan import GridPoint, plan_sweep
from zoo.lab.trials.together import train_together
from zoo.lab.trials.trial import Trial, run_trials
from zoo.tables import typed


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
    jobs: int | None = None,
    backend: str = "loky",
    scheduler: str | None = None,
    together: bool = False,
    command: str = "",
    **settings: Any,
) -> Sweep:
    """Trains the recipe at every point of a grid with every seed from 0, and writes one table of results.

    Every point is built before any is trained, so that an invalid one is refused first. Finished runs are kept, and a
    stopped run resumes. The table depends neither on `jobs` nor on the backend.

        found = sweep(recipe("beta-vae"), Path("sweep"), grid=[{"beta": 1.0}, {"beta": 4.0}], steps=2_000)
        found.summary()

    Args:
        recipe: the recipe to train.
        folder: output folder; each run is in FOLDER/POINT/seed-K.
        jobs, backend, scheduler: where runs train; see `zoo.lab.trials.backends.open_backend`.
        together: whether runs of one form are trained as one, in this process; see `zoo.lab.trials.together`.
        command: the command that repeats the sweep, for table.md.
        settings: of `plan_sweep`: grid, seeds, hyperparameters, steps, device, precision, ...

    Raises:
        LookupError, TypeError, ValueError, FileNotFoundError: as `plan_sweep`, before anything is trained.
        ValueError: `together` with a cluster.
        ModuleNotFoundError, ConnectionError: as `open_backend`.
        FileNotFoundError: every run failed.
    """
    if together and backend != "loky":
        raise ValueError(f"--together trains in this process: leave out --backend {backend}, or --together")
    device = str(find_device(settings.pop("device", None)))
    with open_backend(backend, jobs=jobs, scheduler=scheduler, device=device) as on:
        planned = plan_sweep(recipe, folder, device=device, **settings)
        if together and isinstance(on, Loky):
            with limited_threads(on.threads):
                train_together(planned.work, folder=folder, jobs=on.jobs)
        failures = run_trials(planned.work, on, folder=folder)
    table = rows(planned.trials)
    if table.empty:
        raise FileNotFoundError(f"no run of the sweep in {folder} is finished: {'; '.join(failures)}")
    text = markdown(table, planned.axes, command=command, failures=failures)
    return Sweep(table, planned.axes, tuple(failures), tuple(write(folder, table, text)))


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

    A row for each point, in the table's order, with the number of its seeds; a single seed has no deviation (NaN). If a
    seed has no number (NaN), mean and deviation are NaN: they would be those of fewer seeds than the row says.
    """
    quantities = [name for name in table.columns if name not in (*axes, "seed")]
    # By text: a list has no hash, True equals 1, and None would come back as NaN.
    points = np.array(["\n".join(map(typed, point)) for point in table[list(axes)].to_numpy()], dtype=object)
    firsts = np.sort(np.unique(points, return_index=True)[1])
    by = table.groupby(points, sort=False)
    found = by[quantities].agg([("mean", _mean), ("std", _deviation)]).reset_index(drop=True)
    found.insert(0, ("seeds", ""), by.size().to_numpy())
    for place, name in enumerate(axes):
        found.insert(place, (name, ""), table[name].to_numpy()[firsts])
    return found


def _mean(values: pd.Series) -> float:
    return average(values.tolist())


def _deviation(values: pd.Series) -> float:
    return deviation(values.tolist()) if len(values) > 1 else math.nan


def markdown(table: pd.DataFrame, axes: Sequence[str], *, command: str, failures: Sequence[str] = ()) -> str:
    """Both tables, first mean +- sd of each point, then every run; and the failures."""
    runs = table.copy()
    for name in runs.columns:
        runs[name] = runs[name].map(typed if name in (*axes, "seed") else _number)
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
    cells = pd.DataFrame({name: found[name].map(typed) for name in axes})
    cells["seeds"] = found["seeds", ""].map(typed)
    for name in table.columns.drop([*axes, "seed"]):
        pairs = zip(found[name, "mean"], found[name, "std"], strict=True)
        cells[name] = [_number(mean) + ("" if pd.isna(sd) else f" +- {sd:.3f}") for mean, sd in pairs]
    return _markdown(cells)


def _markdown(cells: pd.DataFrame) -> str:
    text: str = cells.to_markdown(index=False, disable_numparse=True, stralign="right")
    return text


def write(folder: Path, table: pd.DataFrame, text: str) -> list[Path]:
    """Writes table.csv, a row for each run with every digit, and table.md into `folder`."""
    make_folder(folder)
    written = {folder / "table.csv": table.to_csv(index=False, lineterminator="\r\n"), folder / "table.md": text}
    for path, content in written.items():
        write_file(path, content)
    return list(written)


def _number(value: float) -> str:
    """Three digits, without a minus sign before zero; empty for NaN."""
    return "" if pd.isna(value) else f"{round(value, 3) + 0.0:.3f}"
