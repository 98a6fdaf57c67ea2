"""A run: an experiment trained into a folder that says what was done and what came out."""

import hashlib
import json
import os
import platform
import re
import signal
import time
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pyro
import torch
from tqdm import tqdm

from zoo.lab.analysis.evaluate import Evaluation, evaluate
from zoo.lab.data import Dataset, Split
from zoo.lab.files import write_file
from zoo.lab.runs import checkpoint
from zoo.lab.runs.folder import CHECKPOINT, Settings, how_to_resume, save_weights
from zoo.lab.runs.interrupt import Stop, Stopped
from zoo.lab.runs.pictures import draw_run
from zoo.lab.runs.summary import summarise, write_kl
from zoo.lab.runs.training_log import Curve, cut
from zoo.lab.story import story
from zoo.lab.training.experiment import Experiment
from zoo.lab.training.fit import fit, prepare


@dataclass(frozen=True)
class Every:
    """How often a checkpoint is due: every so many steps, or seconds.

    Raises:
        ValueError: from `parse`, for anything but a positive number, with an s for seconds.
    """

    amount: float
    in_seconds: bool

    @classmethod
    def parse(cls, text: str) -> "Every":
        """Reads "500", which is steps, or "60s"."""
        match = re.fullmatch(r"([1-9]\d*)(s?)", text)
        if match is None:
            raise ValueError(f"--checkpoint-every {text!r}: give a number of steps, as 500, or of seconds, as 60s")
        return cls(float(match[1]), bool(match[2]))

    def since(self, steps: int, seconds: float) -> bool:
        """Whether one is due, so long after the last."""
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
) -> Evaluation:
    """Trains the experiment, and leaves in `folder` what a reader wants to know of it.

    settings.json, terms.csv (a row per step), units.csv (KL by unit, every hundredth), checkpoint.safetensors,
    weights.safetensors, kl.csv, the pictures of `draw_run`, and summary.md, which shows them. A picture that cannot be
    drawn is left out, and summary.md and a warning say why.

    A run that was killed goes on from its last checkpoint, or its beginning where there is none, and comes to the same
    figures, digit for digit, on the same machine. On Ctrl-C and SIGTERM it finishes the step, saves, and stops.

    Args:
        experiment, data: what to train, on what.
        settings: how they were made, for the record.
        folder: an empty folder of this run's own, from `new_folder`; with `resume`, that of the run.
        command: how a reader repeats the run.
        progress: whether to show a bar.
        every: how often to write_file a checkpoint; one is written at the end in any case.
        resume: whether to go on with the run in `folder`.

    Raises:
        FloatingPointError: the loss is not finite; terms.csv holds the steps up to there.
        ValueError: the run to resume has other data, shapes or settings (says which), or its checkpoint is damaged; or
            the trained pair cannot be evaluated, after everything else was written.
        OSError: something could not be written; the last good checkpoint is kept.
        Stopped: on Ctrl-C and SIGTERM.
    """
    if not resume:
        record = {**asdict(settings), "command": command, "versions": _versions()}
        write_file(folder / "settings.json", (json.dumps(record, indent=2) + "\n").encode())
    try:
        seconds = _train(experiment, data, settings, folder, progress, every, resume)
    except OSError as error:
        there = (folder / CHECKPOINT).is_file()
        rest = f"when that is mended, go on from the last checkpoint with {how_to_resume(folder)}" if there else ""
        raise OSError("; ".join(filter(None, [f"the run was cut short: {error}", rest]))) from error
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
    except Exception as error:  # the run is trained, and its summary says what is missing
        shown, left_out["the story"] = "", f"{type(error).__name__}: {error}"
    if failure is not None:
        left_out["the evaluation"] = f"{type(failure).__name__}: {failure}"
    summary = summarise(experiment, data, settings, evaluation, shown, captions, left_out, seconds, command, folder)
    write_file(folder / "summary.md", summary.encode())
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
    """The steps that are left; gives the seconds of all of them."""
    model, guide, elbo = experiment.model, experiment.guide, experiment.elbo
    about = {"settings": asdict(settings), "data": _fingerprint(data.train), "versions": _versions()}
    draw = partial(experiment.batches, data.train, settings.batch_size, seed=settings.seed, labels=experiment.labels)
    first = next(iter(draw(steps=1)))
    optimizer = experiment.optimizer(prepare(model, guide, elbo, first, settings.device), lr=settings.lr)
    start, before = 0, 0.0
    if resume and (folder / CHECKPOINT).is_file():
        state = checkpoint.load(folder / CHECKPOINT)
        then = {**state["about"], "settings": asdict(Settings.of(state["about"]["settings"]))}
        _check_same(then, about)
        start, before = checkpoint.restore(state, model, guide, elbo, optimizer), state["seconds"]
        cut(folder, start)
    if start == settings.steps:
        return before
    batches = draw(start=start, steps=settings.steps)
    began = time.perf_counter()
    saved, saved_at = start, began
    with (
        Stop() as stop,
        (folder / "terms.csv").open("a" if start else "w", newline="") as terms,
        (folder / "units.csv").open("a" if start else "w", newline="") as units,
        tqdm(total=settings.steps, initial=start, disable=not progress, unit=" steps", dynamic_ncols=True) as bar,
    ):
        curve = Curve(terms, units, bar, header=start == 0)
        steps = fit(
            model,
            guide,
            elbo,
            batches,
            optimizer=optimizer,
            device=settings.device,
            compile=settings.compile,
            start=start,
        )
        try:
            for step, report in steps:
                curve.add(step, report)
                if experiment.schedule:
                    experiment.schedule(step, elbo)
                now = time.perf_counter()
                if step == settings.steps or stop.signal or every.since(step - saved, now - saved_at):
                    curve.flush()
                    for file in (terms, units):
                        os.fsync(file.fileno())  # the curves are never behind the checkpoint
                    state = checkpoint.capture(model, guide, elbo, optimizer, step=step)
                    checkpoint.save(folder / CHECKPOINT, {**state, "seconds": before + now - began}, about=about)
                    saved, saved_at = step, time.perf_counter()
                if stop.signal and step < settings.steps:
                    name = signal.Signals(stop.signal).name
                    raise Stopped(
                        f"stopped by {name} after step {step:,} of {settings.steps:,}, and saved; "
                        f"go on with {how_to_resume(folder)}",
                        stop.signal,
                    )
        except FloatingPointError:
            curve.flush()
            raise
    return before + time.perf_counter() - began


def _versions() -> dict[str, Any]:
    """What digits depend on beside the settings; the order of a sum depends on the threads."""
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "pyro": pyro.__version__,
        "threads": torch.get_num_threads(),
    }


def _fingerprint(data: Dataset) -> dict[str, Any]:
    """What tells a data set from another: its size, and up to 256 of its datapoints."""
    batch = data.batch(torch.linspace(0, len(data) - 1, min(len(data), 256)).long(), labels=True)
    digest = hashlib.sha256(batch.x.numpy().tobytes())
    if batch.y is not None:
        digest.update(batch.y.numpy().tobytes())
    return {"name": data.name, "datapoints": len(data), "shape": list(data.shape), "digest": digest.hexdigest()[:16]}


def _check_same(then: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Refuses to go on with other data or settings; other versions may give other digits, which is said."""
    for what in ("settings", "data", "versions"):
        differ = [
            f"{key} is {then[what].get(key)!r} in the checkpoint, {now[what].get(key)!r} here"
            for key in then[what] | now[what]
            if then[what].get(key) != now[what].get(key)
        ]
        if differ and what == "versions":
            warnings.warn(f"the digits of this run may differ: {'; '.join(differ)}", stacklevel=4)
        elif differ:
            raise ValueError(f"the run cannot go on with other {what}: {'; '.join(differ)}")
