"""A run: an experiment trained into a folder with its settings and results."""

import re
import signal
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from tqdm import tqdm

from zoo.arguments import shown
from zoo.lab.analysis.evaluate import Evaluation, evaluate
from zoo.lab.data import Split
from zoo.lab.files import write_file
from zoo.lab.runs import checkpoint
from zoo.lab.runs.digests import write_digests
from zoo.lab.runs.folder import CHECKPOINT, Settings, has_begun, how_to_resume, save_weights
from zoo.lab.runs.interrupt import DeferredInterrupt, Stopped
from zoo.lab.runs.lock import locked
from zoo.lab.runs.pictures import draw_run
from zoo.lab.runs.same_run import (
    check_same_data,
    check_same_processes,
    check_same_run,
    describe,
    fingerprints,
    write_settings,
)
from zoo.lab.runs.summary import summarise, write_kl
from zoo.lab.runs.training_log import TrainingLog, truncate
from zoo.lab.story import story
from zoo.lab.training.experiment import Experiment
from zoo.lab.training.fit import fit, prepare, refuse_unless_finite
from zoo.lab.training.processes import agree, check_shards, from_all, group


@dataclass(frozen=True)
class Every:
    """The interval of checkpoints, in steps or seconds.

    Raises:
        ValueError: from `parse`, for anything but a positive number, with an s for seconds.
    """

    amount: float
    in_seconds: bool

    @classmethod
    def parse(cls, text: str) -> "Every":
        """Parses "500", which means steps, or "60s"."""
        match = re.fullmatch(r"([1-9][0-9]{0,8})(s?)", text) if isinstance(text, str) else None
        if match is None:
            raise ValueError(
                f"--checkpoint-every {shown(text)}: give a number of steps, such as 500, or of seconds, such as 60s; "
                "at most 999,999,999"
            )
        return cls(float(match[1]), bool(match[2]))

    def since(self, steps: int, seconds: float) -> bool:
        """Whether a checkpoint is due, so many steps and seconds after the last."""
        return (seconds if self.in_seconds else steps) >= self.amount


MINUTE = Every(60, in_seconds=True)


def train(
    experiment: Experiment,
    data: Split,
    settings: Settings,
    folder: Path,
    *,
    command: str,
    progress: bool = True,
    every: Every = MINUTE,
    resume: bool = False,
) -> Evaluation | None:
    """Trains the experiment, and writes its results into `folder`.

    settings.json, terms.csv (a row per step), units.csv (KL by unit, every hundredth), checkpoint.safetensors,
    weights.safetensors, kl.csv, SHA256SUMS, the pictures of `draw_run`, and summary.md, which shows them. A picture
    that cannot be drawn is left out, and summary.md and a warning say why.

    A killed run resumes from its last checkpoint, or from its beginning where there is none, and ends with the same
    numbers, digit for digit, on the same machine. On Ctrl-C and SIGTERM it finishes the step, saves, and stops. The
    folder is locked meanwhile.

    Within `zoo.lab.training.processes.joined`, all processes call it, and train on shards of each batch; the first one
    writes, and the others return None.

    Args:
        experiment, data: the experiment to train, and its data.
        settings: the settings that they were built from, for settings.json.
        folder: an empty folder from `new_folder`; with `resume`, that of the run.
        command: the command that repeats the run.
        progress: whether to show a progress bar.
        every: the interval of checkpoints; the last one is always written at the end.
        resume: whether to resume the run in `folder`.

    Raises:
        BlockingIOError: another process trains in the folder; the message names it.
        FloatingPointError: the loss is not finite; terms.csv holds the steps up to there.
        ValueError: the run to resume has other data, shapes, settings or another number of processes (the message says
            which), or its checkpoint is damaged; or the trained pair cannot be evaluated, raised after everything else
            was written.
        FileExistsError: the folder holds a run, and `resume` is False.
        OSError: a file could not be written; the message names it, and the last good checkpoint is kept.
        Stopped: on Ctrl-C and SIGTERM.
    """
    rank, count = group()
    check_shards(settings.batch_size, count)
    if resume and has_begun(folder):
        check_same_processes(folder, count)
        check_same_data(folder, fingerprints(data))
    if rank:
        _train(experiment, data, settings, folder, False, every, resume)
        return None
    with locked(folder):
        if not resume and has_begun(folder):
            raise FileExistsError(f"{folder} holds a run: give a new folder, or resume=True to go on with that run")
        try:
            if not resume or not (folder / CHECKPOINT).is_file():  # which begins again, with the versions of today
                write_settings(folder, settings, command, data)
            seconds = _train(experiment, data, settings, folder, progress, every, resume)
            with _explained(folder):
                return _finish(experiment, data, settings, folder, command, seconds)
        except OSError as error:
            raise OSError(_cut_short(error, folder)) from error


@contextmanager
def _explained(folder: Path) -> Iterator[None]:
    """On Ctrl-C after the last step, says that the training is finished and how to have the rest.

    Raises:
        Stopped: in place of `KeyboardInterrupt`.
    """
    try:
        yield
    except KeyboardInterrupt:
        raise Stopped(
            f"stopped by SIGINT after the last step: the training is finished and saved, and {folder} lacks its "
            f"pictures and its summary; {how_to_resume(folder)} writes them, without training again",
            signal.SIGINT,
        ) from None


def _cut_short(error: OSError, folder: Path) -> str:
    """The message of a failed write: the error, the file's name, and how to resume."""
    said = f"{error.filename or folder}: {error.strerror}" if error.strerror else str(error)
    if not has_begun(folder):
        return f"the run was cut short: {said}; once that is fixed, give the command again"
    where = "the last checkpoint" if (folder / CHECKPOINT).is_file() else "its beginning"
    return f"the run was cut short: {said}; once that is fixed, resume from {where} with {how_to_resume(folder)}"


def _finish(
    experiment: Experiment, data: Split, settings: Settings, folder: Path, command: str, seconds: float
) -> Evaluation:
    """Writes everything after training: weights, evaluation, pictures, digests, and last the summary."""
    save_weights(experiment, folder / "weights.safetensors")
    model, guide = experiment.model.eval(), experiment.guide.eval()
    evaluation, failure = None, None
    try:
        evaluation = evaluate(model, guide, data.test, labels=experiment.labels, kl=experiment.elbo.kl)
    except Exception as error:  # raised again once everything else is written
        failure = error
    else:
        write_kl(evaluation, folder / "kl.csv")
    captions, left_out = draw_run(experiment, data.test, evaluation, folder, seed=settings.seed)
    try:
        first = data.test.batch(torch.arange(1), labels=experiment.labels, device=settings.device)
        shown = str(story(model, guide, batch=first))
    except Exception as error:  # the run is trained, and its summary lists what is missing
        shown, left_out["the story"] = "", f"{type(error).__name__}: {error}"
    if failure is not None:
        left_out["the evaluation"] = f"{type(failure).__name__}: {failure}"
    summary = summarise(experiment, data, settings, evaluation, shown, captions, left_out, seconds, command, folder)
    write_digests(folder)
    write_file(folder / "summary.md", summary)
    if evaluation is None:
        raise ValueError(
            f"the run in {folder} is trained and its weights are saved, but it cannot be evaluated: {failure}"
        ) from failure
    if left_out:
        reasons = "; ".join(f"{what} ({why})" for what, why in left_out.items())
        warnings.warn(f"left out of {folder}, whose training is complete: {reasons}", stacklevel=2)
    return evaluation


def _train(
    experiment: Experiment, data: Split, settings: Settings, folder: Path, progress: bool, every: Every, resume: bool
) -> float:
    """Runs the remaining steps; returns the seconds of all steps. Of several processes, the first one writes."""
    rank, count = group()
    model, guide, elbo = experiment.model, experiment.guide, experiment.elbo
    about = describe(settings, data)
    draw = partial(experiment.batches, data.train, settings.batch_size, seed=settings.seed, labels=experiment.labels)
    first = next(iter(draw(steps=1)))
    optimizer = experiment.optimizer(prepare(model, guide, elbo, first, settings.device), lr=settings.lr)
    start, before = 0, 0.0
    if rank:
        torch.manual_seed(settings.seed + 1_000_003 * rank)  # each process has its own draws
    if resume and (folder / CHECKPOINT).is_file():
        state = checkpoint.load(folder / CHECKPOINT)
        check_same_processes(folder, count, recorded=len(state.get("ranks", [0])))
        if count > 1:
            state["random"] = state["ranks"][rank]
        check_same_run(state, about)
        start, before = checkpoint.restore(state, model, guide, elbo, optimizer), state["seconds"]
        if rank == 0:
            truncate(folder, start, state.get("tables", {}))
    if start == settings.steps:
        return before
    batches = draw(start=start, steps=settings.steps)
    began = time.perf_counter()
    saved, saved_at = start, began
    with (
        DeferredInterrupt() as interrupt,
        tqdm(total=settings.steps, initial=start, disable=not progress, unit=" steps", dynamic_ncols=True) as bar,
        TrainingLog(folder, bar, start=start) if rank == 0 else nullcontext() as log,
    ):
        steps = fit(
            model,
            guide,
            elbo,
            batches,
            optimizer=optimizer,
            device=settings.device,
            compile=settings.compile,
            precision=settings.precision,
            start=start,
            shards=count > 1,
            progress=False,  # the log's bar is there
        )
        try:
            for step, report in steps:
                if log:
                    log.add(step, report)
                if experiment.schedule:
                    experiment.schedule(step, elbo)
                now = time.perf_counter()
                asked = interrupt.signal
                due = step == settings.steps or bool(asked) or every.since(step - saved, now - saved_at)
                if count > 1:  # all save and stop at the same step
                    agreed = agree(2 * asked + due)  # in one message
                    asked, due = agreed // 2, bool(agreed % 2)
                if due:
                    # On a GPU `fit` checks the loss some steps later; a checkpoint must not hold a diverged state.
                    refuse_unless_finite(step, report.loss, report)
                    state = checkpoint.capture(model, guide, elbo, optimizer, step=step)
                    if count > 1:
                        state["ranks"] = from_all(state["random"])
                    if log:
                        tables = log.sync()  # before the checkpoint, so that they are never behind it
                        state |= {"seconds": before + now - began, "tables": tables}
                        checkpoint.save(folder / CHECKPOINT, state, about=about)
                    saved, saved_at = step, time.perf_counter()
                if asked and step < settings.steps:
                    name = signal.Signals(asked).name
                    raise Stopped(
                        f"stopped by {name} after step {step:,} of {settings.steps:,}, and saved; "
                        f"resume it with {how_to_resume(folder)}",
                        asked,
                    )
        except FloatingPointError:
            if log:
                log.flush()
            raise
    return before + time.perf_counter() - began
