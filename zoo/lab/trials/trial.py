"""A trial: one seed of one variant of an experiment, in a folder of its own, so that nothing is run twice."""

import json
import os
import platform
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import joblib
import pyro
import torch
from joblib.externals.loky.process_executor import TerminatedWorkerError
from tqdm import tqdm

from zoo.lab.files import write_file
from zoo.lab.runs import checkpoint
from zoo.lab.runs import train as run
from zoo.lab.runs.finished import FinishedRun, configure, finished_run, open_run
from zoo.lab.runs.folder import CHECKPOINT, Settings, is_finished, new_folder, read_settings
from zoo.lab.training.experiment import Recipe, find_recipe

Budget = Literal["full", "short"]
Measure = Callable[["Trial"], Mapping[str, float]]
QUANTITIES = "quantities.json"
QUANTITIES_BEFORE = "figures.json"  # as it was called, which says "figures"


@dataclass(frozen=True)
class Trial:
    """One seed of one variant.

    Attributes:
        seed: of weights, batches and draws.
        budget: "full" is the paper's length, "short" what a CPU can do.
        folder: this trial's own.
        recipes: by name, those that it may train.
        data_dir, download: as `zoo.lab.data.load` takes them.
        device, compile: as `fit` takes them.
        progress: whether to show a bar.
        every: how often a run writes a checkpoint.
    """

    seed: int
    budget: Budget
    folder: Path
    recipes: Mapping[str, Recipe]
    data_dir: Path | None = None
    download: bool = False
    device: str | None = None
    compile: bool = False
    progress: bool = True
    every: run.Every = run.MINUTE

    def steps(self, *, full: int, short: int) -> int:
        """How many the budget allows."""
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
        within: str = "",
        **hyperparameters: Any,
    ) -> FinishedRun:
        """The recipe's run in this trial's folder: trained, gone on with, or opened, as far as it is there already.

        Args:
            recipe, steps, epochs, data, data_options, batch_size, lr: as `zoo.lab.runs.finished.configure` takes them.
            within: a folder of the run's own, for a trial of several runs.
            hyperparameters: of the recipe.

        Raises:
            ValueError: the folder holds a run with other settings; says which differ.
        """
        folder = self.folder / within
        settings, split, experiment = configure(
            find_recipe(recipe, self.recipes),
            hyperparameters=hyperparameters,
            data=data,
            data_options=data_options,
            steps=steps,
            epochs=epochs,
            batch_size=batch_size,
            lr=lr,
            seed=self.seed,
            device=self.device,
            compile=self.compile,
            data_dir=self.data_dir,
            download=self.download,
        )
        claimed = (folder / "settings.json").is_file()
        begun = claimed and (folder / "settings.json").stat().st_size > 0  # a kill may fall in between
        if begun:
            _check_same(read_settings(folder)[0], settings, folder)
        if not is_finished(folder):
            command = f"python -m zoo train {recipe} --seed {self.seed}  # one of many"
            run.train(
                experiment,
                split,
                settings,
                folder if claimed else new_folder(folder),
                command=command,
                progress=self.progress,
                every=self.every,
                resume=begun,
            )
        return finished_run(folder, split, experiment)

    def is_finished(self) -> bool:
        """Whether it has been measured."""
        return any((self.folder / name).is_file() for name in (QUANTITIES, QUANTITIES_BEFORE))

    def record(self) -> dict[str, Any]:
        """What `run_trial` left in the folder of a finished trial.

        Raises:
            FileNotFoundError: it is not finished.
        """
        path = self.folder / QUANTITIES
        if path.is_file():
            record: dict[str, Any] = json.loads(path.read_text())
            return record
        before = json.loads((self.folder / QUANTITIES_BEFORE).read_text())
        return {"quantities" if key == "figures" else key: value for key, value in before.items()}

    def quantities(self) -> dict[str, float]:
        """What a finished trial measured."""
        measured: dict[str, float] = self.record()["quantities"]
        return measured

    def open(self, within: str = "") -> FinishedRun:
        """A finished run of this trial."""
        return open_run(self.folder / within, self.recipes, self.data_dir, self.download)


def run_trial(measure: Measure, trial: Trial) -> str | None:
    """Runs a trial unless it is finished; leaves quantities.json in its folder. Returns what went wrong, if anything.

    A trial that fails does not stop the others.
    """
    if trial.is_finished():
        return None
    trial.folder.mkdir(parents=True, exist_ok=True)
    began = time.perf_counter()
    try:
        quantities = {name: float(value) for name, value in measure(trial).items()}
    except (ValueError, TypeError, LookupError, OSError, FloatingPointError, RuntimeError) as error:
        return f"{trial.folder}: {error}"
    record = {
        "seed": trial.seed,
        "quantities": quantities,
        "steps": sum(read_settings(path.parent)[0].steps for path in trial.folder.rglob("settings.json")),
        "seconds": _trained_seconds(trial.folder) or time.perf_counter() - began,
        "hardware": hardware(trial.device),
        "versions": {"torch": torch.__version__, "pyro": pyro.__version__, "python": platform.python_version()},
    }
    write_file(trial.folder / QUANTITIES, (json.dumps(record, indent=2) + "\n").encode())
    return None


def run_trials(work: Sequence[tuple[Measure, Trial]], *, jobs: int = 1) -> list[str]:
    """Runs what is not finished, `jobs` at once, and returns what went wrong, trial by trial.

    Raises:
        ChildProcessError: a process was killed from outside; what is finished stays so, and runs go on where they were.
    """
    left = [(measure, trial) for measure, trial in work if not trial.is_finished()]
    done_before, alone = len(work) - len(left), len(work) == 1
    bar = partial(tqdm, total=len(work), initial=done_before, disable=alone, unit=" trials", dynamic_ncols=True)
    if jobs == 1:
        return [failure for measure, trial in bar(left) if (failure := run_trial(measure, trial))]
    threads = max(1, torch.get_num_threads() // jobs)
    parallel = joblib.Parallel(n_jobs=jobs, return_as="generator_unordered")
    done = parallel(joblib.delayed(_in_process)(measure, trial, threads) for measure, trial in left)
    try:
        return [failure for failure in bar(done) if failure]
    except TerminatedWorkerError:
        finished = sum(trial.is_finished() for _, trial in work)
        raise ChildProcessError(
            "a process was killed from outside, perhaps for want of memory, and the others were stopped with it: "
            f"{finished} of {len(work)} trials are finished. Run the command again, perhaps with fewer --jobs: these "
            "are kept, and runs go on from their last checkpoint"
        ) from None


@contextmanager
def reduced_matmul_precision() -> Iterator[None]:
    """Matrix products of floats with their factors in bfloat16, where the hardware is faster so; sums stay float32."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def hardware(device: str | None) -> str:
    """What it ran on, in words."""
    if torch.cuda.is_available() and (device is None or device.startswith("cuda")):
        return f"one {torch.cuda.get_device_name()}"
    return f"{torch.get_num_threads()} of {os.cpu_count()} CPU cores"


def _in_process(measure: Measure, trial: Trial, threads: int) -> str | None:
    torch.set_num_threads(threads)
    return run_trial(measure, replace(trial, progress=False))


def _trained_seconds(folder: Path) -> float:
    """Seconds of all runs in the folder, those before a kill included."""
    states = [checkpoint.load(path) for path in folder.rglob(CHECKPOINT)]
    return sum(state["seconds"] for state in states)


def _check_same(there: Settings, asked: Settings, folder: Path) -> None:
    differ = [
        f"{key} is {value!r} there, {vars(asked)[key]!r} here"
        for key, value in vars(there).items()
        if value != vars(asked)[key] and key not in ("device", "compile")
    ]
    if differ:
        raise ValueError(f"{folder} holds a run with other settings ({'; '.join(differ)}): remove it, or name --runs")
