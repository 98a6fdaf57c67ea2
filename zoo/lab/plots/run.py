"""Pictures in one style, drawn without a window: what a run leaves, and the sheets, bars and films that others draw.

Ink and greys print; where colours tell curves apart they are those of Okabe and Ito (https://jfly.uni-koeln.de/color/),
which colour-blind eyes tell apart too, and the curves are named beside them.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from PIL import Image
from torch import Tensor, nn

from zoo.lab.analysis.evaluate import Evaluation, decode, draw, posterior_means
from zoo.lab.analysis.interventions import Sites, inferred, observed, ranked, sweep, wide
from zoo.lab.data import Dataset

INK = "#1b4f72"  # one dark blue, which prints as dark grey
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
MARKERS = ("o", "^", "s", "D")  # the colours come round: classes of one colour have another marker
FAINT = "#b0b0b0"
CELL = 0.55  # inches of an image on a sheet


def reconstructions(model: nn.Module, guide: nn.Module, data: Dataset, path: Path, *, num: int = 12) -> None:
    """The first `num` datapoints over what the pair makes of their posterior means."""
    x = data.batch(torch.arange(min(num, len(data))), device=device(model)).x
    sheet = torch.stack([x, decode(model, posterior_means(guide, x))])
    save_sheet(sheet, path, row_labels=["x", "p(x | mean z)"], title=f"{data.name}: test data and reconstructions")


def samples(model: nn.Module, path: Path, *, rows: int = 6, columns: int = 12) -> None:
    """Means of p(x | z) for draws of z from the prior."""
    images = draw(model, rows * columns).unflatten(0, (rows, columns))
    save_sheet(images, path, title="p(x | z) for z drawn from the prior")


def traversals(
    model: nn.Module, guide: nn.Module, data: Dataset, evaluation: Evaluation, path: Path, *, at_most: int = 10
) -> None:
    """One row per unit, from the most to the least informative: that unit set to -3 ... 3, the rest as inferred.

    The starting point is the posterior mean of the test set's first datapoint, under its most probable type. A story
    without a vector of real numbers has nothing to traverse, and gets no picture.
    """
    units = ranked(Sites.of(model), evaluation.kl)[:at_most]
    if not units:
        return
    start = inferred(model, guide, *observed(guide, data, [0], device(model)))
    rows = [sweep(model, start, unit.site, unit.index, wide())[0] for unit in units]
    save_sheet(
        torch.stack(rows),
        path,
        row_labels=[unit.label for unit in units],
        column_labels=[f"{value:g}" for value in wide().tolist()],
        title="One unit at a time" + (", most informative first" if units[0].nats is not None else ""),
    )


def kl_bars(evaluation: Evaluation, path: Path) -> None:
    """KL of every latent unit over the test set, in nats."""
    canvas = figure(6.4, 0.6 * len(evaluation.kl) + 0.26 * sum(len(kl) for kl in evaluation.kl.values()))
    names, heights = [], []
    for site, kl in evaluation.kl.items():
        for unit in kl.argsort(descending=True).tolist():
            names.append(f"{site}[{unit}]" if len(kl) > 1 else site)
            heights.append(kl[unit].item())
    axes = plain(canvas.add_subplot())
    bars = axes.barh(range(len(names)), heights, color=INK)
    axes.bar_label(bars, fmt="%.2f", padding=3, fontsize=8)
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.invert_yaxis()
    axes.margins(x=0.12)
    axes.set_xlabel("KL(q || p), nats per datapoint, test set")
    canvas.savefig(path, bbox_inches="tight")


def save_sheet(
    images: Tensor,
    path: Path,
    *,
    title: str,
    row_labels: Sequence[str] = (),
    column_labels: Sequence[str] = (),
) -> None:
    """Images [rows, columns, C, H, W] on one sheet, dark on light as they are in the data."""
    canvas = figure(*_inches(images))
    draw_sheet(canvas.add_subplot(), images, title, row_labels, column_labels)
    canvas.savefig(path, bbox_inches="tight")


def save_sheets(
    sheets: Sequence[Tensor],
    path: Path,
    *,
    titles: Sequence[str],
    row_labels: Sequence[Sequence[str]],
    column_labels: Sequence[str] = (),
) -> None:
    """Several sheets of one size side by side, [rows, columns, C, H, W] each."""
    width, height = _inches(sheets[0])
    canvas = figure(width * len(sheets), height)
    grid = canvas.subplots(1, len(sheets), squeeze=False)[0]
    for axes, images, title, labels in zip(grid, sheets, titles, row_labels, strict=True):
        draw_sheet(axes, images, title, labels, column_labels)
    canvas.savefig(path, bbox_inches="tight")


def save_film(
    frames: Tensor,
    path: Path,
    *,
    titles: Sequence[str],
    row_labels: Sequence[str] = (),
    column_labels: Sequence[str] = (),
    milliseconds: int = 120,
) -> None:
    """Sheets [frames, rows, columns, C, H, W] as a GIF that runs there and back without end."""
    canvas = figure(*_inches(frames[0]))
    axes = canvas.add_subplot()
    draw_sheet(axes, frames[0], titles[0], row_labels, column_labels)
    pictures = []
    for images, title in zip(frames, titles, strict=True):
        axes.images[0].set_data(_mosaic(images))
        axes.set_title(title, fontsize=9, loc="left")
        canvas.canvas.draw()
        pixels = np.asarray(canvas.canvas.buffer_rgba())[..., :3]  # type: ignore[attr-defined]
        pictures.append(Image.fromarray(pixels).quantize(64))
    there_and_back = pictures + pictures[-2:0:-1]
    there_and_back[0].save(
        path, format="GIF", save_all=True, append_images=there_and_back[1:], duration=milliseconds, loop=0
    )


def save_table(
    shares: np.ndarray, path: Path, *, title: str, rows: Sequence[str], columns: Sequence[str], shade: np.ndarray
) -> None:
    """Numbers [R, C], as written, each on a ground as dark as its `shade` in 0 ... 1."""
    canvas = figure(0.5 * len(columns) + 2.2, 0.34 * len(rows) + 1.1)
    axes = canvas.add_subplot()
    axes.imshow(shade, cmap="Greys", vmin=0, vmax=1, aspect="auto")
    for row, column in np.ndindex(*shares.shape):
        colour = "white" if shade[row, column] > 0.5 else "black"
        axes.text(column, row, f"{shares[row, column]:g}", ha="center", va="center", fontsize=8, color=colour)
    axes.set_yticks(range(len(rows)), rows, fontsize=8)
    axes.set_xticks(range(len(columns)), columns, fontsize=8, rotation=0 if max(map(len, columns)) < 5 else 45)
    axes.tick_params(length=0)
    axes.set_title(title, fontsize=9, loc="left")
    canvas.savefig(path, bbox_inches="tight")


def draw_sheet(
    axes: Axes, images: Tensor, title: str, row_labels: Sequence[str] = (), column_labels: Sequence[str] = ()
) -> None:
    """Images [rows, columns, C, H, W] and what they are called."""
    rows, columns, _, height, width = images.shape
    gap = _gap(height)
    axes.imshow(_mosaic(images), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    axes.set_yticks([r * (height + gap) + height / 2 for r in range(rows if row_labels else 0)], row_labels)
    axes.set_xticks([c * (width + gap) + width / 2 for c in range(columns if column_labels else 0)], column_labels)
    axes.tick_params(length=0, labelsize=8)
    axes.spines[:].set_visible(False)
    axes.set_title(title, fontsize=9, loc="left")


def scatter_by_class(axes: Axes, points: np.ndarray, y: np.ndarray | None, names: Sequence[str] = ()) -> None:
    """Points [N, 2], a colour and a marker for each class of y [N], and each class's name at its median."""
    if y is None:
        axes.scatter(points[:, 0], points[:, 1], s=5, color=INK, linewidths=0)
        return
    halo = [withStroke(linewidth=2.5, foreground="white")]
    for k in np.unique(y):
        own, colour = points[y == k], COLOURS[k % len(COLOURS)]
        marker = MARKERS[k // len(COLOURS) % len(MARKERS)]
        axes.scatter(own[:, 0], own[:, 1], s=9, color=colour, marker=marker, linewidths=0, alpha=0.6)
        name = names[k] if names else str(k)
        x, up = np.median(own, 0).tolist()
        axes.text(x, up, name, color=colour, fontsize=9, weight="bold", ha="center", path_effects=halo)


def figure(width: float, height: float) -> Figure:
    """An empty one, in inches."""
    empty = Figure(figsize=(width, height), dpi=110, layout="constrained")
    FigureCanvasAgg(empty)
    return empty


def plain(axes: Axes) -> Axes:
    """Without the lines above and to the right."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8)
    return axes


def legend_below(canvas: Figure, axes: Axes) -> None:
    """The names of the axes' curves under all panels, where they hide nothing."""
    handles, labels = axes.get_legend_handles_labels()
    canvas.legend(handles, labels, loc="outside lower center", ncols=len(labels), fontsize=7, frameon=False)


def device(module: nn.Module) -> torch.device:
    """Where a module is."""
    return next(module.parameters()).device


def _inches(images: Tensor) -> tuple[float, float]:
    rows, columns = images.shape[:2]
    return columns * CELL + 1.6, rows * CELL + 0.7


def _mosaic(images: Tensor) -> np.ndarray:
    """[rows, columns, C, H, W] side by side, with white between: [H', W'] of grey ones, else [H', W', 3]."""
    rows, columns, channels, height, width = images.shape
    gap = _gap(height)
    sheet = np.ones((rows * (height + gap) - gap, columns * (width + gap) - gap, channels))
    for row in range(rows):
        for column in range(columns):
            top, left = row * (height + gap), column * (width + gap)
            sheet[top : top + height, left : left + width] = images[row, column].movedim(0, -1).clamp(0, 1).cpu()
    return sheet.squeeze(-1) if channels == 1 else sheet


def _gap(height: int) -> int:
    return max(1, height // 14)
