"""A trial: one seed of one variant of an experiment, in its own folder, so that nothing is run twice."""

import math
import os
import platform
import signal
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import pyro
import torch
from tqdm import tqdm

from zoo.lab.data import Split
from zoo.lab.device import hardware
from zoo.lab.errors import in_a_line
from zoo.lab.files import REMEDY, read_record, write_record
from zoo.lab.runs import checkpoint
from zoo.lab.runs import train as run
from zoo.lab.runs.command import train_command
from zoo.lab.runs.finished import FinishedRun, configure, finished_run, open_run
from zoo.lab.runs.folder import CHECKPOINT, SETTINGS, Settings, has_begun, is_finished, read_settings
from zoo.lab.runs.interrupt import Stopped
from zoo.lab.runs.lock import TRIAL_LOCK, claim, locked, unclaim
from zoo.lab.training.experiment import Experiment, Recipe, find_recipe
from zoo.lab.training.precision import Precision
from zoo.lab.trials.parallel import in_parallel
from zoo.lab.trials.processes import Backend, Loky, limited_threads

Budget = Literal["full", "short"]
Measure = Callable[["Trial"], Mapping[str, float]]
QUANTITIES = "quantities.json"
QUANTITIES_BEFORE = "figures.json"  # its name in version 0.1, with the key "figures"
ONE_PROCESS = Loky(1)
ORPHANS = 30.0  # seconds to wait for the workers of a killed command, which end within a second


class RunNotHereError(FileNotFoundError):
    """A trial is finished according to a stored result, and its run is not on this machine."""


@dataclass(frozen=True)
class Trial:
    """One seed of one variant.

    Attributes:
        seed: of weights, batches and draws.
        budget: "full" is the paper's length, "short" is feasible on a CPU.
        folder: the trial's folder.
        recipes: by name, those that it may train.
        data_dir, download: see `zoo.lab.data.load`.
        device, compile: see `fit`. A run that was begun is resumed compiled or not, as it began.
        precision: of all its runs, see `fit`; when not given, the one that its measure passes to `train`.
        progress: whether to show a progress bar.
        every: the interval of a run's checkpoints.
        stored: the record of this trial in a stored result, whose run may be on another machine.
    """

    seed: int
    budget: Budget
    folder: Path
    recipes: Mapping[str, Recipe]
    data_dir: Path | None = None
    download: bool = False
    device: str | None = None
    compile: bool = False
    precision: Precision | None = None
    progress: bool = True
    every: run.Every = run.MINUTE
    stored: Mapping[str, Any] | None = None

    def steps(self, *, full: int, short: int) -> int:
        """The number of steps for the budget."""
        return full if self.budget == "full" else short

    def train(
        self,
        recipe: str,
        *,
        steps: int | None = None,
        epochs: float | None = None,
        data: str | None = None,
        data_options: Mapping[str, Any] | None = None,
        batch_size: int | None = None,
        lr: float | None = None,
        precision: Precision = "float32",
        within: str = "",
        hyperparameters: Mapping[str, Any] | None = None,
        **more_hyperparameters: Any,
    ) -> FinishedRun:
        """The recipe's run in this trial's folder: opened if it is finished, resumed if it was stopped, else trained.

        Args:
            recipe, steps, epochs, data, data_options, batch_size, lr: see `zoo.lab.runs.finished.configure`.
            precision: of the run, unless the trial has one.
            within: the run's folder within the trial's, for a trial of several runs.
            hyperparameters, more_hyperparameters: of the recipe; the first for those with the name of an argument
                above, such as steps.

        Raises:
            ValueError: the folder holds a run with other settings; the message says which differ.
        """
        folder = self.folder / within
        settings, split, experiment = self.configured(
            recipe,
            hyperparameters={**(hyperparameters or {}), **more_hyperparameters},
            data=data,
            data_options=data_options,
            steps=steps,
            epochs=epochs,
            batch_size=batch_size,
            lr=lr,
            precision=self.precision or precision,
        )
        claim(folder, wait=ORPHANS)
        try:
            begun = has_begun(folder)
            if begun:
                there, _ = read_settings(folder)
                _check_same(there, settings, folder, own_precision=self.precision is None)
                settings = replace(settings, compile=there.compile)
            if not is_finished(folder):
                run.train(
                    experiment,
                    split,
                    settings,
                    folder,
                    command=train_command(settings, self.recipes[recipe], experiment),
                    progress=self.progress,
                    every=self.every,
                    resume=begun,
                )
        finally:
            unclaim(folder)
        return finished_run(folder, split, experiment)

    def configured(self, recipe: str, **options: Any) -> tuple[Settings, Split, Experiment]:
        """Settings, data and experiment of a run of this trial; options as for `zoo.lab.runs.finished.configure`."""
        return configure(
            find_recipe(recipe, self.recipes),
            **options,
            seed=self.seed,
            device=self.device,
            compile=self.compile,
            data_dir=self.data_dir,
            download=self.download,
        )

    @property
    def written(self) -> Path | None:
        """The file of a finished trial, under its current name or that of version 0.1."""
        paths = [self.folder / name for name in (QUANTITIES, QUANTITIES_BEFORE)]
        return next((path for path in paths if path.is_file()), None)

    def is_finished(self) -> bool:
        """Whether it has been measured, here or where its stored record comes from."""
        return self.written is not None or self.stored is not None

    def record(self) -> dict[str, Any]:
        """The record that `run_trial` wrote for a finished trial, or the stored one.

        Raises:
            FileNotFoundError: the trial is not finished.
            ValueError: the file is damaged; the message names it.
        """
        if self.stored is not None and self.written is None:
            return dict(self.stored)
        path = self.written or self.folder / QUANTITIES
        record = {"quantities" if key == "figures" else key: value for key, value in read_record(path).items()}
        measured = record.get("quantities")
        if not isinstance(measured, dict) or not all(isinstance(value, (int, float)) for value in measured.values()):
            raise ValueError(f"{path} is damaged: quantities must be numbers by name, got {measured!r}; {REMEDY}")
        return record

    def quantities(self) -> dict[str, float]:
        """The measured quantities of a finished trial; raises as `record` does."""
        measured: dict[str, float] = self.record()["quantities"]
        return measured

    def open(self, within: str = "") -> FinishedRun:
        """A finished run of this trial.

        Raises:
            RunNotHereError: the trial's record is stored, and there is no run here.
        """
        if self.stored is not None and not has_begun(self.folder / within):
            raise RunNotHereError(f"seed {self.seed} is in the stored result, and its run is not here: {self.folder}")
        return open_run(self.folder / within, self.recipes, self.data_dir, self.download)


def run_trial(measure: Measure, trial: Trial) -> str | None:
    """Runs a trial unless it is finished; writes quantities.json into its folder. Returns the error's text, or None.

    A trial that fails does not stop the others. One whose quantities.json is damaged is measured again. One that
    another process runs, such as the worker of a command that was just killed, is waited for.
    """
    try:
        if _is_measured(trial):
            return None
        with locked(trial.folder, wait=ORPHANS, lock=TRIAL_LOCK):
            if not _is_measured(trial):  # by the process that was waited for
                write_record(trial.folder / QUANTITIES, _run(measure, trial))
    except Exception as error:  # also one of a measure's own mistakes: the other trials may have run for days
        return f"{trial.folder}: {in_a_line(error)}"
    return None


def _run(measure: Measure, trial: Trial) -> dict[str, Any]:
    """Trains and measures; returns what quantities.json holds."""
    began = time.perf_counter()
    quantities = {name: float(value) for name, value in measure(trial).items()}
    settings = [read_settings(path.parent)[0] for path in trial.folder.rglob(SETTINGS)]
    return {
        "seed": trial.seed,
        "quantities": quantities,
        "steps": sum(one.steps for one in settings),
        "precision": ", ".join(sorted({one.precision for one in settings})),
        "compiled": any(one.compile for one in settings),
        "seconds": trained_seconds(trial.folder) or time.perf_counter() - began,
        "hardware": hardware(trial.device),
        "versions": {"torch": torch.__version__, "pyro": pyro.__version__, "python": platform.python_version()},
    }


def run_quietly(work: tuple[Measure, Trial]) -> str | None:
    """`run_trial` without a progress bar, for one process of several."""
    measure, trial = work
    return run_trial(measure, replace(trial, progress=False))


def best_of(trials: Sequence[Trial], quantity: str, better: Literal["high", "low"] = "high") -> Trial:
    """The finished trial whose quantity is the best; NaN is worse than any number."""
    sign = 1.0 if better == "high" else -1.0

    def score(trial: Trial) -> float:
        value = sign * trial.quantities()[quantity]
        return -math.inf if math.isnan(value) else value

    return max(trials, key=score)


def run_trials(
    work: Sequence[tuple[Measure, Trial]], on: Backend = ONE_PROCESS, *, folder: Path | None = None
) -> list[str]:
    """Runs the trials that are not finished, and returns the errors of those that failed.

    Of several trials, each error is printed at once.

    Args:
        work: the trials, each with its measurement.
        on: where they run; see `zoo.lab.trials.backends.open_backend`. One at a time on this machine run in this
            process, with the number of threads that they have in others.
        folder: of the whole, in which no other process runs trials meanwhile; when not given, the innermost that holds
            all trials' folders.

    Raises:
        BlockingIOError: another process runs trials in the folder; the message names it.
        ChildProcessError, ConnectionError: a process was killed from outside, or a cluster is gone; finished trials
            are kept, and runs can be resumed.
        Stopped: on Ctrl-C and SIGTERM, when every run has saved.
    """
    if not work:
        return []
    if folder is None:
        folder = Path(os.path.commonpath([trial.folder.parent.absolute() for _, trial in work]))
    with locked(folder):
        left = [(measure, trial) for measure, trial in work if not _is_measured(trial)]
        done_before, alone = len(work) - len(left), len(work) == 1
        bar = partial(tqdm, total=len(work), initial=done_before, disable=alone, unit=" trials", dynamic_ncols=True)
        try:
            if isinstance(on, Loky) and min(on.jobs, len(left)) <= 1:
                with limited_threads(on.threads):
                    return _failures((run_trial(*one) for one in bar(left)), alone)
            outcomes = bar(in_parallel(run_quietly, left, on, folder=folder))
            return _failures((failure for _, failure in outcomes), alone)
        except Stopped as stopped:
            raise Stopped(
                f"stopped by {signal.Signals(stopped.signal).name}, and saved; {_progress(work)}. Run the command "
                "again: these are kept, and runs resume from their last checkpoint",
                stopped.signal,
            ) from None
        except (ChildProcessError, ConnectionError) as error:
            how = ", perhaps with fewer --jobs" if isinstance(error, ChildProcessError) else " when the cluster runs"
            raise type(error)(
                f"{error}: {_progress(work)}. Run the command again{how}: these are kept, and runs resume from their "
                "last checkpoint"
            ) from error


def _failures(outcomes: Iterable[str | None], alone: bool) -> list[str]:
    failures = []
    for failure in filter(None, outcomes):
        if not alone:
            print_failure(failure)
        failures.append(failure)
    return failures


def print_failure(failure: str) -> None:
    """Prints a trial's error above the progress bar, at once: the other trials may run for days, or be stopped."""
    tqdm.write(f"failed: {failure}", file=sys.stderr)


def _progress(work: Sequence[tuple[Measure, Trial]]) -> str:
    return f"{sum(trial.is_finished() for _, trial in work)} of {len(work)} trials are finished"


def _is_measured(trial: Trial) -> bool:
    """Whether it is finished and its record can be read; renames a damaged quantities.json, and warns."""
    if not trial.is_finished():
        return False
    try:
        trial.record()
    except ValueError as error:
        path = trial.written
        assert path is not None
        aside = path.replace(path.with_name(f"{path.name}.damaged"))
        warnings.warn(f"{error}; it is now {aside.name}, and the trial is measured again", stacklevel=3)
        return False
    return True


def trained_seconds(folder: Path) -> float:
    """Seconds of all runs in the folder, including those before an interruption."""
    return sum(float(checkpoint.load(path)["seconds"]) for path in folder.rglob(CHECKPOINT))


def _check_same(there: Settings, asked: Settings, folder: Path, *, own_precision: bool) -> None:
    ignored = {"device", "compile"}
    if own_precision and "precision" not in read_record(folder / SETTINGS):  # earlier versions did not record it
        ignored.add("precision")
    differ = [
        f"{key} is {value!r} there, {vars(asked)[key]!r} here"
        for key, value in vars(there).items()
        if value != vars(asked)[key] and key not in ignored
    ]
    if differ:
        raise ValueError(
            f"{folder} holds a run with other settings ({'; '.join(differ)}): remove it, or name another folder"
        )
