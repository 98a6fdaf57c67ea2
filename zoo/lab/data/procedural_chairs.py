"""Chairs that this project renders, so that experiments on chairs need no download; they are not 3D Chairs."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from zoo.lab.data.dataset import Dataset
from zoo.lab.data.factors import Factors
from zoo.lab.data.renderer import WHITE, Solid, draw
from zoo.lab.data.split import Split, split
from zoo.seeds import stream

TYPES = ("dining chair", "bar stool", "armchair", "swivel chair")

FACTORS = Factors.grid(
    {
        "type": np.arange(len(TYPES)),
        "leg length": np.linspace(0.30, 0.50, 5),  # metres, of a dining chair; in proportion for the other types
        "width": np.linspace(0.40, 0.64, 5),  # of the seat
        "back height": np.linspace(0.25, 0.61, 5),  # above the seat, of a dining chair
        "elevation": np.array([10.0, 20.0, 30.0, 40.0]),  # degrees
        "azimuth": np.arange(-16, 16) * 360 / 32,  # degrees; 0, in the middle, is the front
    }
)

SIDE = 64
VIEWS = 4 * 32  # of each chair
BLOCK = 128  # images that are drawn at once
SCALE = 44.0  # pixels per metre
MIDDLE = 0.58  # metres above the floor, in the middle of the picture
WOOD, CLOTH, METAL, RUBBER = 0.62, 0.88, 0.45, 0.25  # albedos


class RenderedChairs:
    """All 64,000 images, rendered on access; indexes like a uint8 array [64000, 1, 64, 64]."""

    def __init__(self, *, masks: bool = False) -> None:
        self.masks = masks

    shape = (len(FACTORS), 1, SIDE, SIDE)
    dtype = np.dtype(np.uint8)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: Any) -> np.ndarray:
        rows = np.arange(len(self))[index] if isinstance(index, slice) else np.asarray(index)
        images = np.concatenate(
            [render(part, masks=self.masks) for part in np.array_split(rows.ravel(), rows.size // BLOCK + 1)]
        )
        return images.reshape(*rows.shape, *self.shape[1:])


def render(index: np.ndarray, *, masks: bool = False) -> np.ndarray:
    """The images at `index` [B] of the whole grid, bytes [B, 64, 64]: shaded on white; or masks, 1 for the chair."""
    kind, *sizes, elevation, azimuth = FACTORS.values_at(index).T
    images = np.empty((len(index), SIDE, SIDE), np.uint8)
    for k, build in enumerate(BUILDERS):
        if len(rows := np.flatnonzero(kind == k)):
            solids = build(*(size[rows] for size in sizes))
            if masks:
                solids = [solid._replace(albedo=0.0) for solid in solids]
            images[rows] = draw(solids, azimuth[rows], elevation[rows], middle=MIDDLE, scale=SCALE, side=SIDE)
    return (images <= (WHITE + 1) // 2).view(np.uint8) if masks else images


def procedural_chairs(
    folder: Path,
    *,
    download: bool = False,
    masks: bool = False,
    drawn: bool = False,
    by: str = "chair",
    held_out: float = 0.2,
    seed: int = 0,
) -> Split:
    """Procedural chairs, 64,000 grey images 1 x 64 x 64 that this project renders; labels are the four types.

    These are not 3D Chairs (Aubry et al., CVPR 2014; here `chairs`), and results on the two are not comparable: they
    let experiments on chairs run without a download. The factors are the type (dining chair, bar stool, armchair,
    swivel chair), leg length, width and back height (five values each), elevation (four) and azimuth (32, all around).
    The projection is orthographic, the shading flat, the background white. Nothing is read from `folder` or downloaded.

    Args:
        folder: unused.
        download: unused.
        masks: binary images, 1 where the chair covers half of a pixel or more, instead of grey ones.
        drawn: render all images now, 4,096 bytes each, instead of on access.
        by: "chair" holds out combinations of type and sizes, so that no view of a test chair is seen in training;
            "image" holds out random images.
        held_out: the share of the chairs, or the images, that are used for testing only; 0 to test on the training
            set.
        seed: of their random choice.

    Raises:
        ValueError: `by` is neither; the share leaves nothing to train on or to test on.
    """
    if by not in ("chair", "image"):
        raise ValueError(f"data 'procedural-chairs': by is 'chair' or 'image', got {by!r}")
    x: Any = RenderedChairs(masks=masks)
    if drawn:
        starts = tqdm(range(0, len(x), BLOCK), "drawing procedural-chairs", unit_scale=BLOCK, unit=" images")
        x = np.concatenate([x[start : start + BLOCK] for start in starts])
    y = FACTORS.at(np.arange(len(FACTORS)))[:, 0]
    data = Dataset("procedural-chairs", x, y, x_max=1.0 if masks else 255.0, classes=TYPES, factors=FACTORS)
    if by == "image" or held_out == 0:
        return split(data, held_out, seed=seed)
    chairs = len(FACTORS) // VIEWS
    count = round(held_out * chairs)
    if not 0 < count < chairs:
        raise ValueError(
            f"data 'procedural-chairs': held_out = {held_out:g} of {chairs} chairs leaves nothing to train on or to "
            "test on; choose a share between 0 and 1, or 0 to test on the training set"
        )
    order = stream(seed).permutation(chairs)
    parts = np.sort(order[count:]), np.sort(order[:count])
    return Split(*(data.subset((part[:, None] * VIEWS + np.arange(VIEWS)).ravel()) for part in parts))


def _rectangle(x: Any, y: Any, z: Any, wide: Any, deep: Any, *, turn: float = 0.0) -> np.ndarray:
    """A level rectangle [B, 4, 3] around (x, y, z), then rotated by `turn` radians about the origin's vertical axis."""
    x, y, z, wide, deep = np.broadcast_arrays(*(np.atleast_1d(v)[:, None] for v in (x, y, z, wide, deep)))
    u, v = x + wide / 2 * [-1, 1, 1, -1], y + deep / 2 * [-1, -1, 1, 1]
    cos, sin = np.cos(turn), np.sin(turn)
    return np.stack([u * cos - v * sin, u * sin + v * cos, np.broadcast_to(z, u.shape)], axis=-1)


def _octagon(z: Any, wide: Any, deep: Any) -> np.ndarray:
    """A level octagon [B, 8, 3] around the vertical axis."""
    z, wide, deep = np.broadcast_arrays(*(np.atleast_1d(v)[:, None] for v in (z, wide, deep)))
    angle = np.pi / 8 + np.arange(8) * np.pi / 4
    u, v = wide / 2 * np.cos(angle) / np.cos(np.pi / 8), deep / 2 * np.sin(angle) / np.cos(np.pi / 8)
    return np.stack([u, v, np.broadcast_to(z, u.shape)], axis=-1)


def _box(x: Any, y: Any, z: tuple[Any, Any], wide: Any, deep: Any, albedo: float, *, lean: float = 0.0) -> Solid:
    """A box around (x, y) from one height to another; `lean` is in metres to the back per metre of height."""
    low, high = z
    return Solid(
        _rectangle(x, y, low, wide, deep), _rectangle(x, y + lean * (np.asarray(high) - low), high, wide, deep), albedo
    )


def _dining_chair(leg: np.ndarray, width: np.ndarray, back: np.ndarray) -> list[Solid]:
    seat, deep, lean = leg, 0.42, 0.16
    side, rear = width / 2 - 0.02, deep / 2 - 0.02
    solids = [_box(0.0, 0.0, (seat - 0.045, seat), width, deep, CLOTH)]
    for x in (-side, side):
        for y in (-rear, rear):
            foot = _rectangle(x, y, 0.0, 0.028, 0.028)
            solids.append(Solid(foot, _rectangle(x, y, seat - 0.045, 0.04, 0.04), WOOD))
        solids.append(_box(x, 0.0, (0.3 * seat, 0.3 * seat + 0.025), 0.02, 2 * rear, WOOD))
        solids.append(_box(x, rear, (seat, seat + back), 0.036, 0.036, WOOD, lean=lean))
    for low, high in ((0.3, 0.42), (0.54, 0.66), (0.78, 0.98)):
        at = rear + lean * low * back
        solids.append(_box(0.0, at, (seat + low * back, seat + high * back), 2 * side, 0.02, WOOD, lean=lean))
    return solids


def _bar_stool(leg: np.ndarray, width: np.ndarray, back: np.ndarray) -> list[Solid]:
    seat, lean = 1.6 * leg, 0.1
    top, foot, rear = 0.3 * width, 0.46 * width, 0.15
    solids = [Solid(_octagon(seat - 0.05, 0.86 * width, 0.4), _octagon(seat, 0.86 * width, 0.4), CLOTH)]
    rest = 0.3  # relative height of the foot rest
    for x in (-1, 1):
        for y in (-1, 1):
            low = _rectangle(x * foot, y * 0.2, 0.0, 0.034, 0.034)
            solids.append(Solid(low, _rectangle(x * top, y * 0.12, seat - 0.05, 0.034, 0.034), METAL))
        out, z = foot + rest * (top - foot), rest * seat
        solids.append(_box(x * out, 0.0, (z, z + 0.026), 0.026, 0.36, METAL))
        solids.append(_box(0.0, x * 0.176, (z, z + 0.026), 2 * out, 0.026, METAL))
        solids.append(_box(x * 0.3 * width, rear, (seat, seat + 0.5 * back), 0.026, 0.026, METAL, lean=lean))
    heights = (seat + 0.28 * back, seat + 0.5 * back)
    solids.append(_box(0.0, rear - 0.02 + 0.28 * lean * back, heights, 0.76 * width, 0.04, CLOTH, lean=lean))
    return solids


def _armchair(leg: np.ndarray, width: np.ndarray, back: np.ndarray) -> list[Solid]:
    floor, deep, lean = 0.5 * leg, 0.56, 0.14
    base, seat = floor + 0.12, floor + 0.21
    arm = 0.09
    solids = [
        _box(0.0, 0.0, (floor, base), width, deep, WOOD),
        _box(0.0, -0.03, (base, seat), width, deep - 0.04, CLOTH),
        _box(0.0, deep / 2 - 0.03, (floor, seat + 0.9 * back), width + 2 * arm, 0.12, CLOTH, lean=lean),
    ]
    for x in (-1, 1):
        solids.append(_box(x * (width + arm) / 2, -0.03, (floor, seat + 0.14), arm, deep - 0.06, WOOD))
        for y in (-0.22, 0.2):
            low = _rectangle(x * width / 2, y, 0.0, 0.04, 0.04)
            solids.append(Solid(low, _rectangle(x * width / 2, y, floor, 0.06, 0.06), METAL))
    return solids


def _swivel_chair(leg: np.ndarray, width: np.ndarray, back: np.ndarray) -> list[Solid]:
    seat, deep, lean, reach = leg + 0.06, 0.44, 0.12, 0.28
    solids = []
    for turn in np.pi / 2 + np.arange(5) * 2 * np.pi / 5:
        arm = _rectangle(reach / 2, 0.0, 0.045, reach, 0.035, turn=turn)
        solids.append(Solid(arm, _rectangle(reach / 2, 0.0, 0.08, reach, 0.05, turn=turn), METAL))
        wheel = _rectangle(reach, 0.0, 0.0, 0.05, 0.035, turn=turn)
        solids.append(Solid(wheel, _rectangle(reach, 0.0, 0.05, 0.05, 0.035, turn=turn), RUBBER))
    solids += [
        Solid(_octagon(0.06, 0.06, 0.06), _octagon(seat - 0.07, 0.06, 0.06), METAL),
        Solid(_octagon(seat - 0.07, 0.92 * width, 0.92 * deep), _octagon(seat, width, deep), CLOTH),
        _box(0.0, deep / 2 - 0.02, (seat - 0.05, seat + 0.5 * back), 0.06, 0.03, METAL, lean=lean),
    ]
    heights = (seat + 0.24 * back, seat + back)
    solids.append(_box(0.0, deep / 2 - 0.04 + 0.3 * lean * back, heights, 0.86 * width, 0.05, CLOTH, lean=lean))
    for x in (-width / 2, width / 2):
        solids.append(_box(x, 0.03, (seat - 0.05, seat + 0.17), 0.03, 0.05, METAL))
        solids.append(_box(x, 0.0, (seat + 0.17, seat + 0.2), 0.055, 0.26, METAL))
    return solids


BUILDERS: tuple[Callable[[np.ndarray, np.ndarray, np.ndarray], list[Solid]], ...] = (
    _dining_chair,
    _bar_stool,
    _armchair,
    _swivel_chair,
)  # in the order of `TYPES`; legs, width and back height [B] in metres, the chair upright on the floor at 0
