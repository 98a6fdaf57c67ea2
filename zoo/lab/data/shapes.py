"""2D Shapes (dSprites), rendered without a download: every square, ellipse and heart of the grid.

Matthey, Higgins, Hassabis, Lerchner: dSprites (2017), https://github.com/google-deepmind/dsprites-dataset, zlib
licence. Sizes and the heart's curve were measured on the 320 frames of the animation published there.

A pixel is 1 where its centre lies in the shape, without anti-aliasing. An image is 64 words of 64 bits. A row of pixels
crosses a shape's outline at two points, a heart's at up to four. These do not depend on posX: they are computed once
per shape, scale, orientation and posY, and an image then needs a few look-ups per row.
"""

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from zoo.lab.data.bit_packing import WORD
from zoo.lab.data.dataset import Dataset
from zoo.lab.data.factors import Factors
from zoo.lab.data.rows import Rows
from zoo.lab.data.split import Split, split

SHAPES = ("square", "ellipse", "heart")

FACTORS = Factors.grid(
    {
        "shape": np.array([1.0, 2.0, 3.0]),
        "scale": np.linspace(0.5, 1.0, 6),
        "orientation": np.linspace(0.0, 2 * np.pi, 40),  # both ends, so the last repeats the first
        "posX": np.linspace(0.0, 1.0, 32),
        "posY": np.linspace(0.0, 1.0, 32),
    }
)

CENTRES = 16.0 + 32.0 * FACTORS.values[3]  # of a sprite, in pixels from the left or the top
TOPS = np.floor(CENTRES).astype(np.int64) - 14  # first row: a sprite reaches at most 13.6 pixels from its centre
ROWS = 29  # from there on, which hold any sprite
BEYOND = 64.0  # a crossing to the right of all pixels
FROM = np.array([2**64 - 2**pixel for pixel in range(65)] + [0] * 64, WORD)  # words lit from a pixel on


class RenderedShapes:
    """All 737,280 images, rendered on access; indexes like an array [737280, 1, 64, 1] of words."""

    shape = (len(FACTORS), 1, 64, 1)
    dtype = WORD

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: Any) -> np.ndarray:
        rows = np.arange(len(self))[index] if isinstance(index, slice) else np.asarray(index)
        return render(rows).reshape(-1, *self.shape[1:])


def shapes(
    folder: Path,
    *,
    download: bool = False,
    shape: Sequence[int] | None = None,
    scale: Sequence[int] | None = None,
    orientation: Sequence[int] | None = None,
    posX: Sequence[int] | None = None,
    posY: Sequence[int] | None = None,
    packed: bool = False,
    held_out: float = 0.0,
    seed: int = 0,
) -> Split:
    """2D Shapes (dSprites) rendered, 737,280 binary images of 64 x 64; labels are the shapes.

    The papers train and evaluate on all images, so training and test set are the same unless some are held out.
    Nothing is read from `folder` or downloaded.

    Args:
        folder: unused.
        download: unused.
        shape: the classes to keep of this factor, 0 to 2; all when not given, also for the next four.
        scale: classes to keep, 0 to 5.
        orientation: classes to keep, 0 to 39; 39 is the same as 0.
        posX: classes to keep, 0 to 31.
        posY: classes to keep, 0 to 31.
        packed: render all images now, 512 bytes each, instead of on access.
        held_out: the share of the images that are used for testing only.
        seed: of their random choice.

    Raises:
        ValueError: a class is out of range or occurs twice.
    """
    chosen = [
        _chosen(name, size, classes)
        for name, size, classes in zip(
            FACTORS.names, FACTORS.sizes, (shape, scale, orientation, posX, posY), strict=True
        )
    ]
    factors = Factors(FACTORS.names, tuple(v[c] for v, c in zip(FACTORS.values, chosen, strict=True)))
    x: Any = RenderedShapes()
    if len(factors) < len(FACTORS):
        x = Rows(x, np.ravel_multi_index(np.ix_(*chosen), FACTORS.sizes).ravel())
    if packed:
        x = _draw(x)
    y = np.repeat(chosen[0].astype(np.uint8), len(factors) // len(chosen[0]))
    return split(Dataset("shapes", x, y, classes=SHAPES, factors=factors), held_out, seed=seed)


def render(index: np.ndarray) -> np.ndarray:
    """The images at `index` [B] of the whole grid, as words [B, 64], top row first."""
    sprite, pos_x, pos_y = np.unravel_index(index, (3 * 6 * 40, 32, 32))
    # FROM[first] sets the pixels i with i + 1/2 >= c, right of a crossing c; the XOR of two sets those in between.
    first = np.ceil(crossings()[sprite, pos_y] + (CENTRES[pos_x] - 0.5)[:, None, None]).astype(np.intp)
    rows = np.bitwise_xor.reduce(FROM[first], axis=-1)
    images = np.zeros((len(index), 64), WORD)
    images[np.arange(len(index))[:, None], TOPS[pos_y][:, None] + np.arange(ROWS)] = rows
    return images


@functools.cache
def crossings() -> np.ndarray:
    """Where rows of pixel centres cross the outlines, in pixels right of a sprite's centre: [720, 32 posY, ROWS, 4]."""
    table = np.full((3, 6 * 40, 32, ROWS, 4), BEYOND)
    _fill(table[0], 9.6 * np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]))
    t = np.linspace(0, 2 * np.pi, 200, endpoint=False)
    y = 13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)
    _fill(table[2], np.stack([9.6 * np.sin(t) ** 3, -0.663 * y - 1.45], axis=1))
    table[1, ..., :2] = _ellipse(12.8, 7.2)
    return table.reshape(3 * 6 * 40, 32, ROWS, 4)


def _poses() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scale, cosine and sine of the 6 x 40 scales and orientations, [240, 1] each."""
    scale, angle = np.meshgrid(FACTORS.values[1], FACTORS.values[2] % (2 * np.pi), indexing="ij")
    return scale.reshape(-1, 1), np.cos(angle).reshape(-1, 1), np.sin(angle).reshape(-1, 1)


def _first_rows() -> np.ndarray:
    """The height of the first row's centres below the sprite's centre, per posY, [32]; negative."""
    return TOPS + 0.5 - CENTRES


def _fill(table: np.ndarray, vertices: np.ndarray) -> None:
    """Writes the crossings of a polygon with vertices [V, 2] (right, down) into `table` [240, 32, ROWS, 4]."""
    scale, cos, sin = _poses()
    u, v = scale * vertices[:, 0], scale * vertices[:, 1]
    x, y = u * cos + v * sin, v * cos - u * sin  # [240, V]: rotated counter-clockwise as seen in the image
    x_next, y_next = np.roll(x, -1, axis=1), np.roll(y, -1, axis=1)
    below = _first_rows()[:, None]
    start = np.ceil(np.minimum(y, y_next)[:, None] - below).astype(np.int64)  # [240, 32, V]
    stop = np.ceil(np.maximum(y, y_next)[:, None] - below).astype(np.int64)
    times = (stop - start).ravel()  # how many rows an edge crosses
    pose, pos_y, edge = (np.repeat(i.ravel(), times) for i in np.indices(start.shape))
    row = np.repeat(start.ravel() - np.cumsum(times) + times, times) + np.arange(times.sum())
    height = _first_rows()[pos_y] + row
    a = (pose, edge)
    crossing = x[a] + (height - y[a]) / (y_next[a] - y[a]) * (x_next[a] - x[a])
    line = np.ravel_multi_index((pose, pos_y, row), table.shape[:3])
    order = np.argsort(line, kind="stable")
    line = line[order]
    nth = np.arange(len(line)) - np.searchsorted(line, line)  # its number among the crossings of its row
    table.reshape(-1, 4)[line, nth] = crossing[order]


def _ellipse(a: float, b: float) -> np.ndarray:
    """Both crossings [240, 32, ROWS, 2] of an ellipse with semi-axes a (along the row at orientation 0) and b."""
    scale, cos, sin = (pose[..., None] for pose in _poses())
    y = _first_rows()[:, None] + np.arange(ROWS)  # [32, ROWS]
    # (x cos - y sin)^2 / a^2 + (x sin + y cos)^2 / b^2 = scale^2, a quadratic in x
    p = cos**2 / a**2 + sin**2 / b**2
    q = y * sin * cos * (1 / b**2 - 1 / a**2)
    r = y**2 * (sin**2 / a**2 + cos**2 / b**2) - scale**2
    root = np.sqrt(np.maximum(q**2 - p * r, 0.0))
    ends = np.stack([-q - root, -q + root], axis=-1) / p[..., None]
    return np.where((q**2 > p * r)[..., None], ends, BEYOND)


def _chosen(name: str, size: int, classes: Sequence[int] | None) -> np.ndarray:
    chosen = np.arange(size) if classes is None else np.atleast_1d(np.asarray(classes))
    if not len(chosen) or len(set(chosen.tolist())) < len(chosen) or chosen.min() < 0 or chosen.max() >= size:
        raise ValueError(f"data 'shapes': {name} has the classes 0 to {size - 1}, each once at most; got {classes}")
    return chosen


def _draw(x: Any) -> np.ndarray:
    """All of x at once, a few thousand images at a time."""
    drawn = np.empty(x.shape, WORD)
    for start in range(0, len(drawn), 4096):
        drawn[start : start + 4096] = x[np.arange(start, min(start + 4096, len(drawn)))]
    return drawn
