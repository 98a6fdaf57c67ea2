"""Images in rows and columns, as a picture or as an animation."""

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import IO, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor
from torch.nn.functional import interpolate, pad

from zoo.lab.plots.style import as_written, figure, styled

CELL = 0.55  # inches per image
SMALL, READABLE = 16, 32  # images of fewer pixels a side than SMALL are drawn with READABLE or more


@dataclass(frozen=True, eq=False, repr=False)
class ImageGrid:
    """Images in rows and columns; a notebook shows it, `save` writes it.

    Images of fewer than 16 pixels a side, such as digits of 8 x 8, are drawn enlarged by bicubic interpolation: as
    squares of one grey level each they are hard to read.

    Attributes:
        images: [rows, columns, C, H, W], C = 1 for grey or 3 for red, green, blue; from 0 to 1. Other values are
            clipped; the title says so if these are more than a tenth of the pixels.
        title: of the grid.
        row_labels, column_labels: one for each row and column, or none.

    Raises:
        ValueError: the images have another shape, or there are more or fewer labels than rows or columns.
    """

    images: Tensor
    title: str = ""
    row_labels: Sequence[str] = ()
    column_labels: Sequence[str] = ()

    def __post_init__(self) -> None:
        shape = tuple(self.images.shape)
        if len(shape) != 5 or shape[2] not in (1, 3):
            raise ValueError(f"a grid shows images [rows, columns, 1 or 3, height, width], got {list(shape)}")
        for what, labels, size in (("row", self.row_labels, shape[0]), ("column", self.column_labels, shape[1])):
            if labels and len(labels) != size:
                raise ValueError(f"a grid of {size} {what}s was given {len(labels)} {what} labels")

    @styled
    def figure(self) -> Figure:
        """The grid as a figure."""
        canvas = figure(*self.inches)
        self.draw(canvas.add_subplot())
        return canvas

    def draw(self, axes: Axes) -> None:
        """Draws the grid into axes."""
        drawn = self._readable()
        rows, columns, _, height, width = drawn.images.shape
        axes.imshow(drawn.pixels(), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        down, across = height + drawn._gap, width + drawn._gap
        axes.set_yticks([r * down + height / 2 for r in range(rows if self.row_labels else 0)], self.row_labels)
        axes.set_xticks(
            [c * across + width / 2 for c in range(columns if self.column_labels else 0)], self.column_labels
        )
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        outside = ((self.images < -0.01) | (self.images > 1.01)).double().mean().item()
        clipped = f"; {outside:.0%} of the pixels, outside [0, 1], are clipped" if outside > 0.1 else ""
        axes.set_title(self.title + clipped)

    def save(self, path: str | Path) -> None:
        """Writes it in the format given by the file's ending."""
        self.figure().savefig(path)

    def enlarged(self, times: int = 4) -> "ImageGrid":
        """The same grid with each image `times` as high and as wide, by bicubic interpolation."""
        large = interpolate(self.images.flatten(0, 1), scale_factor=times, mode="bicubic")
        return replace(self, images=large.unflatten(0, self.images.shape[:2]))

    @property
    def inches(self) -> tuple[float, float]:
        """Width and height of its figure, which has room for labels and a title even with a single column."""
        rows, columns = self.images.shape[:2]
        return max(columns, 3) * CELL + 1.6, rows * CELL + 0.7

    def pixels(self) -> np.ndarray:
        """The images as they are drawn, with white between them: [H', W'] of grey ones, else [H', W', 3]."""
        drawn = self._readable()
        gap = drawn._gap
        # [rows, columns, C, H + gap, W + gap]
        framed = pad(drawn.images.clamp(0, 1).cpu(), (0, gap, 0, gap), value=1.0)
        return framed.permute(0, 3, 1, 4, 2).flatten(2, 3).flatten(0, 1)[:-gap, :-gap].squeeze(-1).numpy()

    def _readable(self) -> "ImageGrid":
        side = min(self.images.shape[-2:])
        return self if side >= SMALL else self.enlarged(-(-READABLE // side))

    @property
    def _gap(self) -> int:
        return max(1, self.images.shape[-2] // 14)

    def __repr__(self) -> str:
        rows, columns, *size = self.images.shape
        return f"ImageGrid({self.title!r}, {rows} x {columns} images of {' x '.join(map(str, size))})"

    def _repr_png_(self) -> bytes:
        file = BytesIO()
        self.figure().savefig(file, format="png")
        return file.getvalue()


@styled
def side_by_side(grids: Sequence[ImageGrid]) -> Figure:
    """Several grids of one size next to each other."""
    width, height = grids[0].inches
    canvas = figure(width * len(grids), height)
    for axes, grid in zip(canvas.subplots(1, len(grids), squeeze=False)[0], grids, strict=True):
        grid.draw(axes)
    return canvas


@dataclass(frozen=True, eq=False, repr=False)
class Animation:
    """An endless animation of grids of one size, forwards and backwards; a notebook shows it as a GIF.

    Attributes:
        frames: the grids; the labels are those of the first.
        milliseconds: duration of each frame.
    """

    frames: Sequence[ImageGrid]
    milliseconds: int = 120

    def save(self, path: str | Path) -> None:
        """Writes a GIF."""
        Path(path).write_bytes(self.gif())

    @styled
    def gif(self) -> bytes:
        """The bytes of the GIF."""
        canvas = figure(*self.frames[0].inches)
        agg = FigureCanvasAgg(canvas)
        axes = canvas.add_subplot()
        self.frames[0].draw(axes)
        pictures = []
        for frame in self.frames:
            axes.images[0].set_data(frame.pixels())
            axes.set_title(frame.title)
            as_written(canvas)
            agg.draw()
            pictures.append(Image.fromarray(np.asarray(agg.buffer_rgba())[..., :3]).quantize(64))
        first, *others = pictures + pictures[-2:0:-1]
        file: IO[bytes] = BytesIO()
        first.save(file, "GIF", save_all=True, append_images=others, duration=self.milliseconds, loop=0)
        file.seek(0)
        return file.read()

    def __repr__(self) -> str:
        return f"Animation({len(self.frames)} frames, {self.frames[0]!r} first)"

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        return {"image/gif": b64encode(self.gif()).decode(), "text/plain": repr(self)}
