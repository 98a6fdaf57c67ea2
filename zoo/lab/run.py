"""A run: an experiment trained into a folder that says what was done and what came out."""

import csv
import inspect
import json
import platform
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TextIO

import pyro
import safetensors.torch
import torch
from tqdm import tqdm

from zoo.lab import plots, story
from zoo.lab.data import Split
from zoo.lab.evaluate import Evaluation, evaluate
from zoo.lab.fit import fit
from zoo.lab.recipes import Experiment
from zoo.termwise import Report

FLUSH = 100  # steps between two looks at the figures, so that an accelerator is not kept waiting


@dataclass(frozen=True)
class Settings:
    """Everything that a run depends on beside the code; settings.json."""

    recipe: str
    knobs: dict[str, Any]
    data: str
    data_options: dict[str, Any]
    steps: int
    batch_size: int
    lr: float
    seed: int
    device: str


def new_folder(path: Path) -> Path:
    """Makes the folder of a run, before anything is trained for it.

    Raises:
        FileExistsError: it is in use.
        OSError: it cannot be made or written; says why.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        if any(path.iterdir()):
            raise FileExistsError
        (path / "settings.json").touch(exist_ok=False)  # the claim: of two runs that start at once, one fails here
    except FileExistsError:
        raise FileExistsError(f"the folder {path} is in use: name another one with --out, or remove it") from None
    except OSError as error:
        raise OSError(f"the folder {path} cannot be written ({error.strerror}): name another one with --out") from error
    return path


def free_folder(parent: Path, stem: str) -> Path:
    """Makes the first of parent/stem, parent/stem-2, ... that is not in use.

    Raises:
        OSError: it cannot be made or written; says why.
    """
    number = 1
    while True:
        try:
            return new_folder(parent / (stem if number == 1 else f"{stem}-{number}"))
        except FileExistsError:
            number += 1


def train(
    experiment: Experiment,
    data: Split,
    settings: Settings,
    folder: Path,
    *,
    command: str,
    progress: bool = True,
) -> Evaluation:
    """Trains the experiment, and leaves in `folder` what a reader wants to know of it.

    settings.json, terms.csv (a row per step), weights.safetensors, reconstructions.png, traversals.png, samples.png,
    kl.png, kl.csv, summary.md.

    Args:
        experiment, data: what to train, on what.
        settings: how they were made, for the record.
        folder: an empty folder of this run's own, from `new_folder`.
        command: how a reader repeats the run.
        progress: whether to show a bar.

    Raises:
        FloatingPointError: the loss is not finite; terms.csv holds the steps up to there.
    """
    versions = {"python": platform.python_version(), "torch": torch.__version__, "pyro": pyro.__version__}
    (folder / "settings.json").write_text(json.dumps({**asdict(settings), "versions": versions}, indent=2) + "\n")
    model, guide, elbo = experiment.model, experiment.guide, experiment.elbo
    batches = data.train.batches(settings.batch_size, seed=settings.seed, steps=settings.steps)
    started = time.perf_counter()
    with (
        (folder / "terms.csv").open("w", newline="") as file,
        tqdm(total=settings.steps, disable=not progress, unit=" steps", dynamic_ncols=True) as bar,
    ):
        curve = _Curve(file, bar)
        try:
            for step, report in fit(
                model,
                guide,
                elbo,
                batches,
                lr=settings.lr,
                optimizer=experiment.optimizer,
                device=settings.device,
            ):
                curve.add(step, report)
                if experiment.schedule:
                    experiment.schedule(step, elbo)
        finally:
            curve.flush()
    seconds = time.perf_counter() - started
    _save_weights(experiment, folder / "weights.safetensors")
    model.eval()
    guide.eval()
    evaluation = evaluate(model, guide, data.test)
    plots.reconstructions(model, guide, data.test, folder / "reconstructions.png")
    plots.traversals(model, guide, data.test, evaluation, folder / "traversals.png")
    plots.samples(model, folder / "samples.png")
    plots.kl_bars(evaluation, folder / "kl.png")
    _write_kl(evaluation, folder / "kl.csv")
    shown = story.show(model, guide, data.test.batch(torch.arange(1), device=settings.device))
    (folder / "summary.md").write_text(_summary(experiment, data, settings, evaluation, shown, seconds, command))
    return evaluation


class _Curve:
    """terms.csv and the progress bar: figures are read off the device in blocks."""

    def __init__(self, file: TextIO, bar: Any) -> None:
        self.file, self.bar = file, bar
        self.writer: Any = None
        self.pending: list[tuple[int, Report]] = []

    def add(self, step: int, report: Report) -> None:
        self.pending.append((step, report))
        if len(self.pending) == FLUSH:
            self.flush()

    def flush(self) -> None:
        if not self.pending:
            return
        figures = [(step, report.figures()) for step, report in self.pending]
        numbers = torch.stack([torch.stack(list(values.values())) for _, values in figures]).tolist()
        names = list(figures[0][1])
        if self.writer is None:
            self.writer = csv.writer(self.file)
            self.writer.writerow(["step", *names])
        self.writer.writerows([step, *row] for (step, _), row in zip(figures, numbers, strict=True))
        self.file.flush()
        self.bar.update(len(numbers))
        last = dict(zip(names, numbers[-1], strict=True))
        self.bar.set_postfix({n.removeprefix("term/"): f"{last[n]:.2f}" for n in names if n.startswith("term/")})
        self.pending.clear()


def _save_weights(experiment: Experiment, path: Path) -> None:
    """Both modules' state in one file, under model. and guide.; safetensors can hold no code."""
    modules = torch.nn.ModuleDict({"model": experiment.model, "guide": experiment.guide})
    safetensors.torch.save_model(modules, str(path))


def _write_kl(evaluation: Evaluation, path: Path) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["site", "unit", "kl_nats"])
        for site, kl in evaluation.kl.items():
            writer.writerows([site, unit, value] for unit, value in enumerate(kl.tolist()))


def _summary(
    experiment: Experiment,
    data: Split,
    settings: Settings,
    evaluation: Evaluation,
    shown: str,
    seconds: float,
    command: str,
) -> str:
    objective = type(experiment.elbo)
    headline = (inspect.getdoc(objective) or objective.__name__).splitlines()[0]
    figures = {
        "-ELBO": -evaluation.elbo,
        **{f"reconstruction, E[log p({site})]": value for site, value in evaluation.reconstruction.items()},
        **{f"KL of {site}": kl.sum().item() for site, kl in evaluation.kl.items()},
    }
    rows = "\n".join(f"| {name} | {value:.2f} |" for name, value in figures.items())
    active = ", ".join(
        f"{(kl > 0.1).sum().item()} of {len(kl)} in {site}" for site, kl in evaluation.kl.items() if len(kl) > 1
    )
    epochs = settings.steps * settings.batch_size / len(data.train)
    return f"""# {settings.recipe} on {settings.data}

    {command}

The story, and the guide:

```
{shown}
```

Trained for {settings.steps:,} steps of {settings.batch_size} ({epochs:.1f} epochs of {len(data.train):,} datapoints) at
learning rate {settings.lr:g}, seed {settings.seed}, in {seconds:.0f} s on {settings.device}. Objective: {headline}

On all {evaluation.num_data:,} test datapoints, which training never saw, in nats per datapoint, unweighted:

| | nats |
| --- | ---: |
{rows}

Units with more than 0.1 nats: {active or "the guide couples its units, so their KL has one number"}.

Read this as one run of one seed with settings that nobody tuned on this data: another seed gives other figures, and
says by how much. The figures use one draw of the latents per datapoint; grey pixels are scored as in `zoo.likelihoods`,
so they compare with other figures only where those treat grey the same way.

| file | what it shows |
| --- | --- |
| reconstructions.png | test data over the mean of p(x given the posterior mean) |
| samples.png | means of p(x given z) for z from the prior |
| traversals.png | one unit of z at a time from -3 to 3, most informative first |
| kl.png, kl.csv | KL of every latent unit on the test set |
| terms.csv | every term of the objective at every step |
| settings.json, weights.safetensors | what was run, and what came of it |
"""
