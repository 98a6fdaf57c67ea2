"""Contact sheets: a set at a glance, for whoever wants to see that it is what it should be."""

from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure

from zoo.lab.data.dataset import Dataset
from zoo.lab.plots.style import scatter_by_class

COLUMNS = 16


def contact_sheet(data: Dataset, path: Path, *, seed: int = 0) -> None:
    """Draws a set into a PNG.

    Images: where the set is a whole grid of factors, a row per factor that sweeps it, the others in the middle, and
    two rows by chance; else a row per label (ten at most) by chance. Points in the plane are scattered. Of counts of
    words, the ten that set each label off most from the others are listed.

    Raises:
        ValueError: the set is neither of images, nor of points in the plane, nor of words.
        OSError: the file cannot be written.
    """
    if data.vocabulary:
        figure = _words(data)
    elif len(data.shape) == 3 and data.shape[0] in (1, 3):
        figure = _images(data, seed)
    elif data.shape == (2,):
        figure = _points(data)
    else:
        raise ValueError(f"data {data.name!r}: no picture is known of datapoints of shape {data.shape}")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=100, bbox_inches="tight", metadata={"Software": None})


def _images(data: Dataset, seed: int) -> Figure:
    rows = _rows(data, seed)
    figure = Figure(figsize=(12, 0.85 * len(rows)))
    axes = figure.subplots(len(rows), 1, squeeze=False)
    for axis, (label, index) in zip(axes[:, 0], rows.items(), strict=True):
        x = data.batch(torch.from_numpy(np.asarray(index))).x.float()
        blank = torch.full((COLUMNS - len(x), *x.shape[1:]), 0.5)
        frame = torch.nn.functional.pad(torch.cat([x, blank]), (1, 1, 1, 1), value=0.5)  # [columns, C, H + 2, W + 2]
        axis.imshow(frame.permute(2, 0, 3, 1).flatten(1, 2).squeeze(-1).numpy(), cmap="gray", vmin=0, vmax=1)
        axis.set_ylabel(label, rotation=0, ha="right", va="center")
        axis.set(xticks=[], yticks=[])
    figure.suptitle(f"{data.name}: {len(data):,} x {' x '.join(map(str, data.shape))}", y=0.93)
    return figure


def _rows(data: Dataset, seed: int) -> dict[str, np.ndarray]:
    """Which datapoints each row shows, under the row's name."""
    rng = np.random.default_rng(seed)
    rows = {}
    if data.factors is not None and data.factors.table is None:
        sizes = data.factors.sizes
        for f, (name, size) in enumerate(zip(data.factors.names, sizes, strict=True)):
            swept = np.linspace(0, size - 1, min(size, COLUMNS)).round().astype(int)
            classes = np.tile([s // 2 for s in sizes], (len(swept), 1))
            classes[:, f] = swept
            rows[name] = data.factors.index(classes)
    elif data.y is not None:
        for label in np.unique(data.y)[:10]:
            there = np.flatnonzero(data.y == label)
            name = data.classes[label] if data.classes else str(label)
            rows[name] = rng.permutation(there)[:COLUMNS]
        return rows
    return rows | {f"by chance {k}": rng.integers(len(data), size=COLUMNS) for k in (1, 2)}


def _points(data: Dataset) -> Figure:
    figure = Figure(figsize=(6, 6))
    axis = figure.subplots()
    scatter_by_class(axis, np.asarray(data.x), data.y, data.classes)
    axis.set(aspect="equal", title=f"{data.name}: {len(data):,} points")
    return figure


def _words(data: Dataset) -> Figure:
    shares = []
    for label in range(len(data.classes)):
        counts = np.asarray(data.x[np.flatnonzero(data.y == label)].sum(axis=0)).ravel() + 1.0
        shares.append(np.log(counts / counts.sum()))
    lifts = np.array(shares) - np.mean(shares, axis=0)
    lines = [
        f"{name:<26} {' '.join(data.vocabulary[w] for w in np.argsort(-lift)[:10])}"
        for name, lift in zip(data.classes, lifts, strict=True)
    ]
    title = f"{data.name}: {len(data):,} posts, {len(data.vocabulary):,} words; what sets a group off\n\n"
    figure = Figure()
    figure.text(0.0, 0.0, title + "\n".join(lines), family="monospace", fontsize=9)
    return figure
