"""Time of restarts that are trained together, compared with `fit` on each: python -m zoo bench --rows together.

All variants of a table take turns within one process on data of noise, so that other load affects all of them equally.
The numbers are medians over the turns, per step of one member. On a CPU it is CPU time, which other processes lengthen
less than the time on the clock.
"""

import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyro
import torch
from tabulate import tabulate

from zoo.lab.data import Dataset, Split
from zoo.lab.training.experiment import Experiment, find_recipe
from zoo.lab.training.fit import fit
from zoo.lab.training.together import Member, fit_restarts
from zoo.papers.recipes import RECIPES

SIZES = (1, 4, 16, 64)
ALONE, ALONE_COMPILED = "fit", "fit(compile=True)"


@dataclass(frozen=True)
class RestartTask:
    """A recipe to train on noise, as the time of a step does not depend on the values of the data.

    Attributes:
        title: its title in the tables.
        recipe: its name.
        pixels: the height and width of an image.
    """

    title: str
    recipe: str
    pixels: int

    def experiment(self, seed: int) -> tuple[Experiment, Dataset]:
        """The recipe's pair and objective, and its data."""
        x = np.random.default_rng(0).integers(0, 256, (1024, 1, self.pixels, self.pixels), np.uint8)
        data = Dataset("noise", x)
        pyro.set_rng_seed(seed)
        return find_recipe(self.recipe, RECIPES).build(Split(data, data)), data


TASKS = (
    RestartTask("digits, MLP (beta-vae)", "beta-vae", 8),
    RestartTask("MNIST, convolutional (joint-vae/mnist)", "joint-vae/mnist", 32),
    RestartTask("digits, MLP with pairwise scores (hfvae/digits)", "hfvae/digits", 8),
)


def alone(task: RestartTask, device: torch.device, *, compile: bool) -> Iterator[Any]:
    """The steps of one pair by `fit`."""
    made, data = task.experiment(0)
    batches = data.batches(made.batch_size, seed=0, device=device)
    return fit(made.model, made.guide, made.elbo, batches, lr=made.lr, device=device, compile=compile, progress=False)


def together(task: RestartTask, size: int, device: torch.device, *, compile: bool) -> Iterator[Any]:
    """The steps of `size` pairs by `fit_restarts`."""
    members = []
    for seed in range(size):
        made, data = task.experiment(seed)
        batches = data.batches(made.batch_size, seed=seed, device=device)
        members.append(Member(made.model, made.guide, made.elbo, batches, random=seed))
    return fit_restarts(members, lr=made.lr, device=device, compile=compile, progress=False)


def milliseconds(
    task: RestartTask,
    device: torch.device,
    *,
    turns: int,
    steps: int,
    sizes: Sequence[int] = SIZES,
    compile: bool = False,
) -> dict[str, float]:
    """The median over `turns` of the time per step of one member: by `fit`, and together for each of the sizes.

    A turn takes `steps` steps of one pair alone. Pairs together take as many in all, but at least one each.
    """
    variants: dict[str, tuple[Iterator[Any], int]] = {ALONE: (alone(task, device, compile=False), 1)}
    if compile:
        variants[ALONE_COMPILED] = (alone(task, device, compile=True), 1)
    for size in sizes:
        variants[f"R = {size}"] = (together(task, size, device, compile=compile), size)
    clock = _clock(device)
    times: dict[str, list[float]] = {name: [] for name in variants}
    for turn in range(turns + 1):
        for name, (iterator, size) in variants.items():
            count = max(1, steps // size)
            began = clock()
            for _ in range(count):
                next(iterator)
            if turn:  # the first turn is a warm-up for compilers and caches
                times[name].append((clock() - began) / count / size * 1e3)
    return {name: statistics.median(values) for name, values in times.items()}


def _clock(device: torch.device) -> Callable[[], float]:
    if device.type == "cpu":
        return time.process_time

    def wall() -> float:
        torch.get_device_module(device).synchronize(device)
        return time.perf_counter()

    return wall


def table(title: str, times: Mapping[str, float]) -> str:
    """Time per step of one member, and the time that `fit` takes, divided by it."""
    rows = [[name, value, times[ALONE] / value] for name, value in times.items()]
    return (
        f"{title}\n\n{tabulate(rows, ['', 'ms per member-step', 'fit / this'], 'plain', floatfmt=('', '.2f', '.2f'))}\n"
    )


def main(device: torch.device, *, turns: int, steps: int, compile: bool = False) -> None:
    """Prints a table for each task."""
    how = "CPU time" if device.type == "cpu" else "time"
    print(
        f"R members trained together, {how} per step of one member, {device}, {torch.get_num_threads()} threads, torch "
        f"{torch.__version__}, medians of {turns} turns of {steps} member-steps{', compiled' if compile else ''}\n"
    )
    for task in TASKS:
        print(table(task.title, milliseconds(task, device, turns=turns, steps=steps, compile=compile)), flush=True)
