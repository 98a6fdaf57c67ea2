"""Trials of a sweep trained together in one process, as if each had been trained by itself.

The runs of one form are trained by `fit_restarts` up to their last checkpoint. What follows a training, its evaluation,
pictures and measurements, is left to `run_trials`, which finds runs that only have to be finished.
"""

import signal
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from zoo.lab.data import Batch, Split
from zoo.lab.device import find_device
from zoo.lab.runs import checkpoint
from zoo.lab.runs.command import train_command
from zoo.lab.runs.folder import CHECKPOINT, Settings, has_begun, is_finished, read_settings
from zoo.lab.runs.interrupt import DeferredInterrupt, Stopped
from zoo.lab.runs.lock import locked
from zoo.lab.runs.same_run import check_same_data, check_same_run, describe, fingerprints, write_settings
from zoo.lab.runs.training_log import TrainingLog, truncate
from zoo.lab.training.experiment import Experiment, find_recipe
from zoo.lab.training.fit import prepare
from zoo.lab.training.members import check_alike
from zoo.lab.training.stack import Stack, refuse_diverged
from zoo.lab.training.together import CannotStackError, DivergedError, Member
from zoo.lab.trials.trial import ORPHANS, Trial

Work = Sequence[tuple[Callable[..., Any], Trial]]


@dataclass(eq=False)
class _Run:
    """A run in the folder of its trial, at its last checkpoint or at its beginning.

    Attributes:
        random: the states of all generators; see `checkpoint.capture`.
        seconds: of training so far.
        tables: digests of its tables.
    """

    trial: Trial
    settings: Settings
    data: Split
    experiment: Experiment
    optimizer: torch.optim.Optimizer
    random: dict[str, Any]
    step: int = 0
    seconds: float = 0.0
    tables: dict[str, str] | None = None

    def member(self, until: int) -> Member:
        """The run up to a step, as one of several that are trained together."""
        made, own = self.experiment, self.random["device"]
        return Member(
            made.model,
            made.guide,
            made.elbo,
            self.batches(start=self.step, steps=until),
            random=self.random["cpu"] if own is None else own,
            optimizer=self.optimizer,
        )

    def batches(self, **options: Any) -> Iterator[Batch]:
        """The batches that the run is trained on."""
        settings, made = self.settings, self.experiment
        return made.batches(self.data.train, settings.batch_size, seed=settings.seed, labels=made.labels, **options)

    def save(self, member: Member, step: int, seconds: float, tables: dict[str, str]) -> None:
        """Writes a checkpoint, as the run by itself would."""
        made = self.experiment
        state = checkpoint.capture(made.model, made.guide, made.elbo, self.optimizer, step=step)
        own = "cpu" if self.random["device"] is None else "device"
        self.random = {**self.random, own: member.random}
        state |= {"random": self.random, "seconds": self.seconds + seconds, "tables": tables}
        checkpoint.save(self.trial.folder / CHECKPOINT, state, about=describe(self.settings, self.data))


def train_together(work: Work, *, folder: Path, jobs: int = 1) -> None:
    """Trains the runs of a sweep's trials in groups of one form, each group as one; leaves them to be finished.

    Runs that cannot be stacked, and forms with a single run, are left as they are, to be trained by themselves. So is
    a run whose loss is not finite, which then fails by itself at the same step. A killed sweep goes on from the last
    checkpoints: the runs that were not saved at the last step are first trained up to it.

    Args:
        work: the trials, each with its measurement, a `functools.partial` with the keywords `recipe` and `plan`.
        folder: of the sweep.
        jobs: number of processes that train runs which are not trained together.

    Warns:
        RuntimeWarning: runs cannot be stacked, or would on this CPU take longer together than by themselves in `jobs`
            processes, by a measurement of one step; they are trained by themselves.

    Raises:
        BlockingIOError: another process trains in a folder.
        Stopped: on Ctrl-C and SIGTERM, when every run has saved.
    """
    apart: set[Path] = set()
    with locked(folder):
        while group := _next_group(work, apart):
            try:
                _train(*group, jobs)
            except CannotStackError as error:
                apart |= {run.trial.folder for run in group[0]}
                warnings.warn(f"{len(group[0])} runs are trained by themselves: {error}", RuntimeWarning, stacklevel=2)
            except DivergedError as error:
                apart.add(group[0][error.member].trial.folder)


def _next_group(work: Work, apart: set[Path]) -> tuple[list[_Run], int] | None:
    """Runs of one form that are the furthest behind, and the step up to which they are trained; None at the end."""
    left = [(measure, trial) for measure, trial in work if not _is_left_alone(trial, apart)]
    group: list[_Run] = []
    for measure, trial in left:
        keywords = measure.keywords if isinstance(measure, partial) else {}
        try:
            run = _open(trial, keywords["recipe"], keywords["plan"])
        except (ValueError, OSError):  # it fails by itself, with its own message
            apart.add(trial.folder)
            continue
        if run.step < run.settings.steps and (not group or _same_form(group[0], run)):
            group.append(run)
    if len(group) == 1:
        apart.add(group[0].trial.folder)
        return _next_group(work, apart)
    if not group:
        return None
    behind = min(run.step for run in group)
    until = min([run.step for run in group if run.step > behind] + [group[0].settings.steps])
    return [run for run in group if run.step == behind], until


def _is_left_alone(trial: Trial, apart: set[Path]) -> bool:
    return trial.folder in apart or trial.is_finished() or is_finished(trial.folder)


def _open(trial: Trial, recipe: str, plan: dict[str, Any]) -> _Run:
    """The trial's run at its last checkpoint, or at its beginning.

    Raises:
        ValueError: its folder holds a run with other settings or data, or a damaged one.
    """
    settings, data, made = trial.configured(recipe, **plan, precision=trial.precision or "float32")
    first = next(iter(made.batches(data.train, settings.batch_size, seed=settings.seed, labels=made.labels, steps=1)))
    optimizer = made.optimizer(prepare(made.model, made.guide, made.elbo, first, settings.device), lr=settings.lr)
    random_states = checkpoint.capture(made.model, made.guide, made.elbo, optimizer, step=0)["random"]
    run = _Run(trial, settings, data, made, optimizer, random_states)
    if has_begun(trial.folder):
        there, _ = read_settings(trial.folder)
        settings = run.settings = replace(settings, compile=there.compile)
        if replace(there, device=settings.device) != settings:
            raise ValueError(f"{trial.folder} holds a run with other settings")
        check_same_data(trial.folder, fingerprints(data))
    if (trial.folder / CHECKPOINT).is_file():
        state = checkpoint.load(trial.folder / CHECKPOINT)
        check_same_run(state, describe(settings, data))
        run.step = checkpoint.restore(state, made.model, made.guide, made.elbo, optimizer)
        run.random, run.seconds, run.tables = state["random"], state["seconds"], state.get("tables", {})
    return run


def _same_form(first: _Run, other: _Run) -> bool:
    """Whether two runs can be trained as one, as far as their experiments and settings show."""
    own = replace(other.settings, seed=first.settings.seed, hyperparameters=first.settings.hyperparameters)
    try:
        check_alike([run.member(run.settings.steps) for run in (first, other)])
    except CannotStackError:
        return False
    return own == first.settings


def _train(runs: list[_Run], until: int, jobs: int) -> None:
    """Trains runs that are at the same step up to a later one, with checkpoints on the way."""
    settings, every = runs[0].settings, runs[0].trial.every
    start, quiet = runs[0].step, tqdm(disable=True)
    members = [run.member(until) for run in runs]
    # This may refuse the runs, so it comes before anything is written.
    where, how = find_device(settings.device), (settings.compile, settings.precision)
    stacked = Stack(members, None, runs[0].experiment.optimizer, where, *how)
    _check_worthwhile(stacked, jobs)
    steps = stacked.steps(start)
    with ExitStack() as stack:
        for run in runs:
            _begin(run, stack)
        interrupt = stack.enter_context(DeferredInterrupt())
        logs = [stack.enter_context(TrainingLog(run.trial.folder, quiet, start=start)) for run in runs]
        bar = tqdm(
            steps,
            total=settings.steps,
            initial=start,
            desc=f"{len(runs)} runs",
            unit=" steps",
            dynamic_ncols=True,
            disable=not runs[0].trial.progress,
        )
        stack.callback(getattr(steps, "close"))  # noqa: B009 (a generator: its end gives the modules their tensors)
        began = saved_at = time.perf_counter()
        saved = start
        try:
            for step, reports in bar:
                for run, member, log, report in zip(runs, members, logs, reports, strict=True):
                    log.add(step, report)
                    if run.experiment.schedule:
                        run.experiment.schedule(step, member.elbo)
                now = time.perf_counter()
                asked = interrupt.signal
                if not (step == until or asked or every.since(step - saved, now - saved_at)):
                    continue
                # On a GPU the steps check losses some steps later; a checkpoint must not hold a diverged state.
                for position, report in enumerate(reports):
                    refuse_diverged(position, step, report.loss, report)
                for run, member, log in zip(runs, members, logs, strict=True):
                    run.save(member, step, (now - began) / len(runs), log.sync())
                saved, saved_at = step, time.perf_counter()
                if asked and step < settings.steps:
                    raise Stopped(
                        f"stopped by {signal.Signals(asked).name} after step {step:,} of {settings.steps:,}, and saved "
                        f"{len(runs)} runs; run the command again to resume them",
                        asked,
                    )
        except DivergedError:
            for log in logs:
                log.flush()
            raise


def _check_worthwhile(stacked: Stack, jobs: int) -> None:
    """Refuses runs that take longer together than by themselves in `jobs` processes.

    Raises:
        CannotStackError: training together takes longer; on an accelerator this is not measured.
    """
    if stacked.device.type == "cpu" and stacked.gain < jobs:
        raise CannotStackError(
            f"on this CPU, training them together would take {jobs / stacked.gain:.1f} times as long as --jobs {jobs}"
        )


def _begin(run: _Run, stack: ExitStack) -> None:
    """Locks the run's folder, and writes its settings or cuts its tables to its last checkpoint."""
    folder, settings = run.trial.folder, run.settings
    stack.enter_context(locked(folder, wait=ORPHANS))
    if not (folder / CHECKPOINT).is_file():  # begun, or begun again with the versions of today
        recipe = find_recipe(settings.recipe, run.trial.recipes)
        write_settings(folder, settings, train_command(settings, recipe, run.experiment), run.data)
    if run.step:
        truncate(folder, run.step, run.tables or {})
