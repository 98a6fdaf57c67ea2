"""Pictures: sheets of images and bars of KL, in one style, drawn without a window."""

from pathlib import Path

import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from torch import Tensor, nn

from zoo.lab.data import Dataset
from zoo.lab.evaluate import Evaluation, decode, draw, posterior_means

INK = "#1b4f72"  # one dark blue, which prints as dark grey


def reconstructions(model: nn.Module, guide: nn.Module, data: Dataset, path: Path, *, num: int = 12) -> None:
    """The first `num` datapoints over what the pair makes of their posterior means."""
    x = data.batch(torch.arange(min(num, len(data))), device=_device(model)).x
    sheet = torch.stack([x, decode(model, posterior_means(guide, x))])
    _save_sheet(sheet, path, row_labels=["x", "p(x | mean z)"], title=f"{data.name}: test data and reconstructions")


def samples(model: nn.Module, path: Path, *, rows: int = 6, columns: int = 12) -> None:
    """Means of p(x | z) for draws of z from the prior."""
    images = draw(model, rows * columns).unflatten(0, (rows, columns))
    _save_sheet(images, path, title="p(x | z) for z drawn from the prior")


def traversals(
    model: nn.Module, guide: nn.Module, data: Dataset, evaluation: Evaluation, path: Path, *, site: str = "z"
) -> None:
    """One row per unit, from the most to the least informative: that unit set to -3 ... 3, the rest as inferred.

    The starting point is the posterior mean of the test set's first datapoint.
    """
    start = posterior_means(guide, data.batch(torch.arange(1), device=_device(model)).x)
    kl, size = evaluation.kl[site], start[site].shape[-1]
    ranked = len(kl) == size  # a family that couples its units has one KL for them all
    units = (kl.argsort(descending=True) if ranked else torch.arange(size))[:10].tolist()
    values = torch.arange(-3.0, 3.5, 0.5)
    rows = []
    for unit in units:
        latents = {name: value.repeat(len(values), 1) for name, value in start.items()}
        latents[site][:, unit] = values.to(latents[site])
        rows.append(decode(model, latents))
    _save_sheet(
        torch.stack(rows),
        path,
        row_labels=[f"{site}[{unit}]" + (f"  {kl[unit]:.2f} nats" if ranked else "") for unit in units],
        column_labels=[f"{value:g}" for value in values.tolist()],
        title="One unit at a time" + (", most informative first" if ranked else ""),
    )


def kl_bars(evaluation: Evaluation, path: Path) -> None:
    """KL of every latent unit over the test set, in nats."""
    figure = _figure(6.4, 0.6 * len(evaluation.kl) + 0.26 * sum(len(kl) for kl in evaluation.kl.values()))
    names, heights = [], []
    for site, kl in evaluation.kl.items():
        for unit in kl.argsort(descending=True).tolist():
            names.append(f"{site}[{unit}]" if len(kl) > 1 else site)
            heights.append(kl[unit].item())
    axes = figure.add_subplot()
    bars = axes.barh(range(len(names)), heights, color=INK)
    axes.bar_label(bars, fmt="%.2f", padding=3, fontsize=8)
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.invert_yaxis()
    axes.margins(x=0.12)
    axes.set_xlabel("KL(q || p), nats per datapoint, test set")
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, bbox_inches="tight")


def _save_sheet(
    images: Tensor,
    path: Path,
    *,
    title: str,
    row_labels: list[str] | None = None,
    column_labels: list[str] | None = None,
) -> None:
    """Images [rows, columns, C, H, W] on one sheet, dark on light as they are in the data."""
    rows, columns, channels, height, width = images.shape
    gap = max(1, height // 14)
    sheet = np.ones((rows * (height + gap) - gap, columns * (width + gap) - gap, channels))
    for row in range(rows):
        for column in range(columns):
            top, left = row * (height + gap), column * (width + gap)
            sheet[top : top + height, left : left + width] = images[row, column].movedim(0, -1).clamp(0, 1).cpu()
    cell = 0.55
    figure = _figure(columns * cell + 1.6, rows * cell + 0.7)
    axes = figure.add_subplot()
    axes.imshow(sheet.squeeze(-1) if channels == 1 else sheet, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    axes.set_yticks([row * (height + gap) + height / 2 for row in range(rows if row_labels else 0)], row_labels)
    axes.set_xticks([c * (width + gap) + width / 2 for c in range(columns if column_labels else 0)], column_labels)
    axes.tick_params(length=0, labelsize=8)
    axes.spines[:].set_visible(False)
    axes.set_title(title, fontsize=9, loc="left")
    figure.savefig(path, bbox_inches="tight")


def _figure(width: float, height: float) -> Figure:
    figure = Figure(figsize=(width, height), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _device(module: nn.Module) -> torch.device:
    return next(module.parameters()).device
