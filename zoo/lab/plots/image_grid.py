"""Images in rows and columns, as a picture or an animation."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from PIL import Image
from torch import Tensor

from zoo.lab.plots.style import figure

CELL = 0.55  # inches of an image on a sheet


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
