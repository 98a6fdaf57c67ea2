"""Contact sheets: an overview of a data set."""

import numpy as np
import torch
from matplotlib.figure import Figure

from zoo.lab.data.dataset import Dataset
from zoo.lab.plots.image_grid import ImageGrid
from zoo.lab.plots.style import figure, scatter_by_class, styled
from zoo.seeds import stream

COLUMNS = 16


@styled
def contact_sheet(data: Dataset, *, seed: int = 0) -> Figure:
    """A few datapoints of each kind.

    Images: where the set is a full grid of factors, a row per factor, which varies from its first to its last value
    with the others at their middle value, and two random rows; else a random row per label, ten at most. For points in
    the plane: a scatter plot. For word counts: a list of the ten words most typical of each label that occurs, or where
    there are fewer than two labels, the ten most frequent words.

    Raises:
        ValueError: the set is neither of images, nor of points in the plane, nor of words.
    """
    if data.vocabulary:
        return _words(data)
    if data.are_images:
        return _images(data, seed)
    if data.shape == (2,):
        return _points(data)
    raise ValueError(f"data {data.name!r}: datapoints of shape {data.shape} cannot be drawn")


def _images(data: Dataset, seed: int) -> Figure:
    rows = _rows(data, seed)
    images = torch.full((len(rows), COLUMNS, *data.shape), 0.5)  # grey where a row is short
    for row, index in zip(images, rows.values(), strict=True):
        row[: len(index)] = data.batch(torch.from_numpy(np.asarray(index))).x
    title = f"{data.name}: {len(data):,} x {' x '.join(map(str, data.shape))}"
    return ImageGrid(images, title, row_labels=list(rows)).figure()


def _rows(data: Dataset, seed: int) -> dict[str, np.ndarray]:
    """The datapoints of each row, by the row's name."""
    rng = stream(seed)
    rows = {}
    if data.factors is not None and data.factors.table is None:
        sizes = data.factors.sizes
        for f, (name, size) in enumerate(zip(data.factors.names, sizes, strict=True)):
            values = np.linspace(0, size - 1, min(size, COLUMNS)).round().astype(int)
            classes = np.tile([s // 2 for s in sizes], (len(values), 1))
            classes[:, f] = values
            rows[name] = data.factors.index(classes)
    elif data.y is not None:
        for label in np.unique(data.y)[:10]:
            there = np.flatnonzero(data.y == label)
            rows[data.class_name(label)] = rng.permutation(there)[:COLUMNS]
        return rows
    return rows | {f"random {k}": rng.integers(len(data), size=COLUMNS) for k in (1, 2)}


def _points(data: Dataset) -> Figure:
    canvas = figure(6, 6)
    axes = canvas.subplots()
    scatter_by_class(axes, data.batch(torch.arange(len(data))).x.numpy(), data.y, data.classes)
    axes.set(aspect="equal", title=f"{data.name}: {len(data):,} points")
    return canvas


def _words(data: Dataset) -> Figure:
    y = np.zeros(len(data), int) if data.y is None else data.y
    labels = np.unique(y)
    shares = []
    for label in labels:
        counts = np.asarray(data.x[np.flatnonzero(y == label)].sum(axis=0)).ravel() + 1.0
        shares.append(np.log(counts / counts.sum()))
    several = len(labels) > 1
    lifts = np.array(shares) - (np.mean(shares, axis=0) if several else 0.0)
    names = [data.class_name(label) for label in labels] if several else ["all"]
    lines = [
        f"{name:<26} {' '.join(data.vocabulary[w] for w in np.argsort(-lift)[:10])}"
        for name, lift in zip(names, lifts, strict=True)
    ]
    those = "those most typical of each label" if several else "the most frequent ones"
    title = f"{data.name}: {len(data):,} posts, {len(data.vocabulary):,} words; {those}\n\n"
    canvas = figure(6.4, 4.8)
    canvas.text(0.0, 0.0, title + "\n".join(lines), family="monospace")
    return canvas
