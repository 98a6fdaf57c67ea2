"""The cost of a trial before it is run, in core-minutes: from recorded seconds, or from the first steps of its run."""

import inspect
import math
import re
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, get_args

import torch

from zoo.lab.runs.finished import FinishedRun
from zoo.lab.training.fit import fit
from zoo.lab.trials.processes import limited_threads, threads_per_trial
from zoo.lab.trials.trial import Budget, Measure, Trial, trained_seconds

#: The arguments of `Trial.train` that are not hyperparameters of the recipe.
OPTIONS = tuple(
    name
    for name, parameter in inspect.signature(Trial.train).parameters.items()
    if parameter.kind is parameter.KEYWORD_ONLY and name not in ("within", "hyperparameters")
)

WARM_UP, TIMED = 2, 5  # steps

Records = Sequence[Mapping[str, Any]]


class First(NamedTuple):
    """A trial's first run: its length, and the core-seconds of a step, NaN where it was not timed."""

    steps: int
    batch_size: int
    step_seconds: float

    @property
    def datapoints(self) -> int:
        """The number of datapoints that all steps process."""
        return self.steps * self.batch_size


class NoRunError(RuntimeError):
    """A measure trains no run of a recipe, so its cost cannot be estimated before it runs."""


class _FirstRun(BaseException):  # no `Exception`: a measure must not catch it
    def __init__(self, first: First) -> None:
        super().__init__()
        self.first = first


@dataclass(frozen=True)
class _Look(Trial):
    """A trial that ends where its first run would begin.

    Attributes:
        timed: whether to time some steps of the run, which are not kept.
        known: first runs by their arguments, so that none is built twice. Hyperparameters that are floats, such as
            weights of terms, are left out, assuming that they do not change the cost; others can choose the objective
            or the batch size.
    """

    timed: bool = False
    known: dict[str, First] = field(default_factory=dict)

    def train(self, recipe: str, **options: Any) -> FinishedRun:
        options = {**options, "precision": self.precision or options.get("precision", "float32")}
        given = {key: options[key] for key in OPTIONS if key in options}
        more = {k: v for k, v in options.items() if k not in (*OPTIONS, "within", "hyperparameters")}
        hyperparameters = {**(options.get("hyperparameters") or {}), **more}
        about = [recipe, self.budget, self.timed]
        about += [options.get(key) for key in OPTIONS if key != "lr"]
        about += sorted((name, value) for name, value in hyperparameters.items() if not isinstance(value, float))
        if (key := repr(about)) not in self.known:
            self.known[key] = self._first(recipe, given, hyperparameters)
        raise _FirstRun(self.known[key])

    def _first(self, recipe: str, given: Mapping[str, Any], hyperparameters: Mapping[str, Any]) -> First:
        settings, split, experiment = self.configured(recipe, hyperparameters=hyperparameters, **given)
        if not self.timed:
            return First(settings.steps, settings.batch_size, math.nan)
        batches = experiment.batches(
            split.train, settings.batch_size, seed=0, steps=WARM_UP + TIMED, labels=experiment.labels
        )
        pair = experiment.model, experiment.guide, experiment.elbo
        how: dict[str, Any] = {"lr": settings.lr, "optimizer": experiment.optimizer, "precision": settings.precision}
        began = 0.0
        with limited_threads(threads_per_trial()):
            for step, report in fit(*pair, batches, device=self.device, progress=False, **how):
                if step in (WARM_UP, WARM_UP + TIMED):
                    report.loss.item()  # waits for the device
                    began, seconds = time.perf_counter(), time.perf_counter() - began
        return First(settings.steps, settings.batch_size, _cores(settings.device) * seconds / TIMED)


def first_run(measure: Measure, trial: Trial, *, timed: bool = False, known: dict[str, First] | None = None) -> First:
    """The first run that a trial's measure trains, without training it; nothing is written.

    Args:
        measure, trial: the trial.
        timed: whether to time its first steps.
        known: first runs that were found before, and to which this one is added.

    Raises:
        FileNotFoundError: its data is missing.
        NoRunError: the measure trains no run of a recipe.
    """
    options = {name: value for name, value in vars(trial).items() if name != "stored"}
    try:
        measure(_Look(**options, timed=timed, known={} if known is None else known))
    except _FirstRun as found:
        return found.first
    raise NoRunError(f"the measure of {trial.folder} trains no run of a recipe, so its cost is not known before")


def core_seconds(record: Mapping[str, Any]) -> float:
    """Seconds times cores of a stored record; of a GPU, its seconds."""
    cores = re.match(r"(\d+) of \d+ CPU cores", record["hardware"])
    return float(record["seconds"]) * (int(cores[1]) if cores else 1)


def of_device(records: Records, device: str | None) -> list[Mapping[str, Any]]:
    """The records that were measured on a device of the same kind, CPU or GPU."""
    return [record for record in records if ("CPU" in record["hardware"]) == _is_cpu(device)]


def core_minutes(
    measure: Measure, trial: Trial, records: Mapping[Budget, Records], *, known: dict[str, First] | None = None
) -> float:
    """The estimated core-minutes that a trial still takes; on a GPU, its minutes.

    The estimate is from the first of these sources that exists: the mean of the variant's recorded seeds; the seeds of
    the other budget, scaled by the number of datapoints that the first run processes; the first steps of the run, timed
    here. The time that a stopped run of the trial has already taken is subtracted.

    Args:
        measure, trial: the trial.
        records: of the variant in stored results, by budget.
        known: as for `first_run`.

    Raises:
        FileNotFoundError: as `first_run`.
        NoRunError: as `first_run`; or its records, of a measure that trains no run, are of the other kind of device.
    """
    mine = of_device(records.get(trial.budget, ()), trial.device)
    others = [(budget, of_device(records.get(budget, ()), trial.device)) for budget in get_args(Budget)]
    others = [(budget, found) for budget, found in others if found and budget != trial.budget]
    everything = [record for of_budget in records.values() for record in of_budget]
    if everything and not any(record["steps"] for record in everything):  # it trains no run of a recipe
        if not (found := mine or of_device(everything, trial.device)):
            raise NoRunError(f"{trial.folder} was only measured on another kind of device, so its cost is not known")
        seconds = statistics.fmean(map(core_seconds, found))
    elif mine:
        seconds = statistics.fmean(map(core_seconds, mine))
    elif others:
        ((budget, found),) = others
        seconds = statistics.fmean(map(core_seconds, found))
        of_other = first_run(measure, replace(trial, budget=budget), known=known)
        seconds *= first_run(measure, trial, known=known).datapoints / of_other.datapoints
    else:
        first = first_run(measure, trial, timed=True, known=known)
        seconds = first.steps * first.step_seconds
    return max(0.0, seconds - _cores(trial.device) * trained_seconds(trial.folder)) / 60


def _cores(device: str | None) -> int:
    """The cores that a trial takes on a CPU; 1 on a GPU, whose time is not multiplied."""
    return threads_per_trial() if _is_cpu(device) else 1


def _is_cpu(device: str | None) -> bool:
    return device is None or torch.device(device).type == "cpu"
