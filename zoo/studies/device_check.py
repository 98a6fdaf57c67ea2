"""Each recipe's first steps on a device: compiled equals eager, resumed equals uninterrupted; time and memory.

    python -m zoo.studies.device_check --device cuda --minutes 10

On a GPU the compiled step is a CUDA graph, whose draws are those of the eager step. The exit status is 1 if any recipe
differs.
"""

import argparse
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyro
import torch

from zoo.lab.data import Batch, Split, load
from zoo.lab.device import find_device
from zoo.lab.errors import first_line
from zoo.lab.runs import checkpoint
from zoo.lab.training.experiment import Experiment, Recipe
from zoo.lab.training.fit import fit, prepare
from zoo.lab.trials.card import table
from zoo.papers.recipes import RECIPES
from zoo.report import Report

STEPS, SAVED_AT = 6, 3
RTOL = 1e-3  # of a term, times the step's number: sums in another order differ, and Adam amplifies it


@dataclass(frozen=True)
class Check:
    """The outcome of a recipe's check.

    Attributes:
        recipe: its name.
        compiled: whether the step was compiled, else why not.
        differences: the terms that differ, in words; empty where all are equal.
        eager, graph: milliseconds of a step, without the first two; `graph` of the compiled one.
        megabytes: peak memory of the eager steps on a GPU, else 0.
    """

    recipe: str
    compiled: str
    differences: Sequence[str]
    eager: float
    graph: float
    megabytes: float

    def outcome(self) -> str:
        """In words, whose first one scripts/one-gpu.sh reads: equal, differs or failed."""
        if not self.differences:
            return "equal"
        return f"{'failed' if self.compiled == 'failed' else 'differs'}: {'; '.join(self.differences)}"


def check(recipe: Recipe, split: Split, device: torch.device) -> Check:
    """Trains a recipe's first steps eagerly, compiled and resumed, on the same batches and draws, and compares them."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    eager, eager_ms = _trained(_built(recipe, split), split, device)
    megabytes = torch.cuda.max_memory_allocated(device) / 2**20 if device.type == "cuda" else 0.0
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        graph, graph_ms = _trained(_built(recipe, split), split, device, compile=True)
    refused = [str(w.message) for w in caught if "cannot be compiled" in str(w.message)]
    differences = [f"compiled, {text}" for text in compared(eager, graph)]
    differences += [f"resumed, {text}" for text in compared(eager, _resumed(recipe, split, device))]
    return Check(recipe.name, refused[0] if refused else "yes", differences, eager_ms, graph_ms, megabytes)


def compared(one: Sequence[dict[str, float]], other: Sequence[dict[str, float]]) -> list[str]:
    """The terms of each step, by name, that are not close, in words."""
    found = []
    for step, (a, b) in enumerate(zip(one, other, strict=True), start=1):
        for name in a:
            if not abs(a[name] - b[name]) <= step * RTOL * max(1.0, abs(a[name])):  # also where one is NaN
                found.append(f"step {step}: {name} is {b[name]:.6g}, not {a[name]:.6g}")
    return found


def _built(recipe: Recipe, split: Split) -> Experiment:
    pyro.set_rng_seed(0)
    return recipe.build(split)


def _batches(experiment: Experiment, split: Split, start: int = 0) -> Iterator[Batch]:
    size = min(experiment.batch_size, len(split.train))
    return experiment.batches(split.train, size, seed=0, start=start, steps=STEPS, labels=experiment.labels)


def _trained(
    experiment: Experiment,
    split: Split,
    device: torch.device,
    *,
    compile: bool = False,
    after: Callable[[int, torch.optim.Optimizer], None] = lambda step, optimizer: None,
) -> tuple[list[dict[str, float]], float]:
    """The terms of every step, and milliseconds of a step; `after` is called after each with the optimiser."""
    pair = experiment.model, experiment.guide, experiment.elbo
    first = next(iter(_batches(experiment, split)))
    optimizer = experiment.optimizer(prepare(*pair, first, device), lr=experiment.lr)
    pyro.set_rng_seed(1)
    batches, found, began = _batches(experiment, split), [], 0.0
    for step, report in fit(*pair, batches, optimizer=optimizer, device=device, compile=compile, progress=False):
        if experiment.schedule:
            experiment.schedule(step, experiment.elbo)
        found.append(_numbers(report))  # waits for the device
        after(step, optimizer)
        if step == 2:
            began = time.perf_counter()
    return found, 1e3 * (time.perf_counter() - began) / (STEPS - 2)


def _resumed(recipe: Recipe, split: Split, device: torch.device) -> list[dict[str, float]]:
    """The terms of a run that is saved in between, and continued from the file by another pair."""
    with tempfile.TemporaryDirectory() as folder:
        path, experiment = Path(folder, "checkpoint.safetensors"), _built(recipe, split)

        def save(step: int, optimizer: torch.optim.Optimizer) -> None:
            if step == SAVED_AT:
                pair = experiment.model, experiment.guide, experiment.elbo
                checkpoint.save(path, checkpoint.capture(*pair, optimizer, step=step))

        before, _ = _trained(experiment, split, device, after=save)
        again = _built(recipe, split)
        pair = again.model, again.guide, again.elbo
        optimizer = again.optimizer(prepare(*pair, next(iter(_batches(again, split))), device), lr=again.lr)
        start = checkpoint.restore(checkpoint.load(path), *pair, optimizer)
        found = []
        batches = _batches(again, split, start)
        for step, report in fit(*pair, batches, optimizer=optimizer, device=device, start=start, progress=False):
            if again.schedule:
                again.schedule(step, again.elbo)
            found.append(_numbers(report))
    return [*before[:start], *found]


def _numbers(report: Report) -> dict[str, float]:
    return {name: term.item() for name, term in report.terms.items()}


def check_all(device: torch.device, folder: Path | None, *, minutes: float, names: Sequence[str] = ()) -> list[Check]:
    """Checks recipes until the time is up, and prints each one's outcome, also that it fails or its data is missing."""
    end, checks = time.monotonic() + 60 * minutes, []
    for name in names or RECIPES:
        if time.monotonic() >= end:
            print(f"{name} and the following were not checked: the time is up", flush=True)
            break
        recipe = RECIPES[name]
        try:
            checks.append(check(recipe, load(recipe.data, folder=folder, **recipe.data_options), device))
        except FileNotFoundError as error:
            print(f"{name}: not checked, {first_line(error)}", flush=True)
            continue
        except (RuntimeError, ValueError, TypeError, FloatingPointError) as error:
            reason = f"{type(error).__name__}: {first_line(error)}"
            checks.append(Check(name, "failed", [reason], *3 * [float("nan")]))
        print(f"{name}: {checks[-1].outcome()}", flush=True)
    return checks


def main() -> None:
    """Checks, and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipes", nargs="*", help="recipes; all when not given")
    parser.add_argument("--device", default=None)
    parser.add_argument("--data-dir", type=Path, default=None)
    parser.add_argument("--minutes", type=float, default=10)
    asked = parser.parse_args()
    device = find_device(asked.device)
    checks = check_all(device, asked.data_dir, minutes=asked.minutes, names=asked.recipes)
    rows = [
        (c.recipe, c.compiled, f"{len(c.differences)}", f"{c.eager:.1f}", f"{c.graph:.1f}", f"{c.megabytes:.0f}")
        for c in checks
    ]
    headers = ("recipe", "compiled", "differences:", "eager, ms a step:", "compiled, ms a step:", "peak MB:")
    print(f"\n{device}\n\n{table(headers, rows)}")
    sys.exit(1 if any(c.differences for c in checks) else 0)


if __name__ == "__main__":
    main()
