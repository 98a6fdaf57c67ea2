"""Pictures of every run: data and reconstructions, samples, and the terms of the objective over training."""

import csv
import math
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import nn

from zoo.lab.analysis.interventions import decoded, encode_modes, guide_inputs
from zoo.lab.analysis.posterior import draw
from zoo.lab.analysis.selection import spread
from zoo.lab.data import Dataset
from zoo.lab.device import device_of
from zoo.lab.isolation import isolated
from zoo.lab.plots.image_grid import ImageGrid
from zoo.lab.plots.style import FAINT, INK, figure, styled

BLOCKS, BLOCK = 100, 10  # at most BLOCKS means per curve, each over at least BLOCK steps


def reconstructions(model: nn.Module, guide: nn.Module, data: Dataset, *, num: int = 12, seed: int = 0) -> ImageGrid:
    """Datapoints in the first row; below, the mean of p(x | ...) at their posterior means and most probable types.

    Args:
        model, guide: the pair.
        data: the set.
        num: number of datapoints, spread over the classes.
        seed: of their random choice.
    """
    seen = guide_inputs(guide, data, spread(data, num, seed=seed), device_of(model))
    images = torch.stack([seen[0], decoded(model, encode_modes(model, guide, *seen))])
    labels = ["x", "p(x | mean z)"]
    return ImageGrid(images, f"{data.name}: test data and reconstructions", row_labels=labels)


def samples(model: nn.Module, *, rows: int = 6, columns: int = 12, seed: int = 0) -> ImageGrid:
    """Means of p(x | z) for draws of z from the prior, with `seed`; the random state is left as it was."""
    with isolated(model, seed=seed):
        images = draw(model, rows * columns)
    return ImageGrid(images.unflatten(0, (rows, columns)), "p(x | z) for z drawn from the prior")


@styled
def plot_terms(folder: Path) -> Figure:
    """Every column of a run's terms.csv over the steps: a dot for each step's batch, and means over blocks of steps.

    Raises:
        FileNotFoundError: there is no terms.csv.
        ValueError: it has no row of numbers, or is damaged.
    """
    path = folder / "terms.csv"
    with path.open(newline="") as file:
        header, *rows = list(csv.reader(file)) or [[]]
    if not rows:
        raise ValueError(f"{path} has no row: nothing was trained")
    try:
        table = np.array([[cell or "nan" for cell in row] for row in rows], float)
    except ValueError as error:
        raise ValueError(f"{path} is damaged: {error}") from error
    if table.shape[1] != len(header) or len(header) < 2:
        raise ValueError(f"{path} is damaged: it names {len(header)} columns and has rows of {table.shape[1]} numbers")
    steps, names = table[:, 0], header[1:]
    columns = min(3, len(names))
    canvas = figure(3.3 * columns, 1.7 * math.ceil(len(names) / columns))
    blocks = np.array_split(np.arange(len(steps)), max(1, min(BLOCKS, len(steps) // BLOCK)))
    dots = slice(None, None, max(1, len(steps) // 2000))
    for place, name in enumerate(names):
        values = table[:, place + 1]
        axes = canvas.add_subplot(math.ceil(len(names) / columns), columns, place + 1)
        axes.plot(steps[dots], values[dots], ".", color=FAINT, markersize=1.5)
        # A step whose batch has labels can lack a number that others have.
        known = [block[~np.isnan(values[block])] for block in blocks]
        known = [block for block in known if len(block)]
        means = [values[block].mean() for block in known]
        axes.plot([steps[block].mean() for block in known], means, color=INK, marker="." if len(known) < 3 else "")
        axes.set_title(_in_words(name))
        finite = values[np.isfinite(values)]
        if len(finite) and np.ptp(finite) > 0:  # limits that leave out the first steps, which would hide the rest
            low, high = np.quantile(finite, [0.02, 0.98])
            margin = 0.15 * (high - low) or 1.0
            axes.set_ylim(max(finite.min(), low - margin), min(finite.max(), high + margin))
    canvas.supxlabel("step")
    canvas.supylabel("nats per datapoint")
    return canvas


def _in_words(column: str) -> str:
    """A column of terms.csv: "kl/z" is the KL of z, "term/..." a term of the objective."""
    kind, _, name = column.partition("/")
    words = {"kl": "KL of {}", "term": "term: {}", "reconstruction": "reconstruction of {}"}
    return words.get(kind, kind).format(name)
