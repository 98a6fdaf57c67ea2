"""Renders convex solids into small grey images, many at once: orthographic, flat shaded, with a depth buffer."""

import itertools
from typing import NamedTuple

import numpy as np

WHITE = 255
SAMPLES = 2  # per pixel and direction; a pixel is the mean of SAMPLES^2 samples
KEY = np.dtype("<i4")
STEPS = 2**14  # of the depth buffer, per sample's width
LIGHT = np.array([-0.45, 0.60, 0.66])  # direction from the object to the light: left, above, and towards the viewer
AMBIENT = 0.35  # the share of ambient light


class Solid(NamedTuple):
    """A convex solid between two polygons with parallel edges, in each of B pictures; B is 1 if all show the same one.

    Attributes:
        bottom: corners [B, n, 3], n even, counter-clockwise as seen from the top.
        top: corners [B, n, 3], in the same order.
        albedo: the share of light that it reflects, above 0 and below 1.
    """

    bottom: np.ndarray
    top: np.ndarray
    albedo: float


def turned(points: np.ndarray, azimuth: np.ndarray, elevation: np.ndarray) -> np.ndarray:
    """Points [B, V, 3] in the viewer's coordinates: right, up, and towards the viewer.

    Args:
        points: right, to the back, and up, of an object that is seen from its front.
        azimuth: rotation of the object about the vertical axis, clockwise as seen from above, in degrees, [B].
        elevation: angle of the viewer above the horizontal, in degrees, [B].
    """
    t, p = np.radians(azimuth)[:, None], np.radians(elevation)[:, None]
    x, y, z = np.moveaxis(points, -1, 0)
    right, back = x * np.cos(t) + y * np.sin(t), y * np.cos(t) - x * np.sin(t)
    return np.stack([right, z * np.cos(p) + back * np.sin(p), z * np.sin(p) - back * np.cos(p)], axis=-1)


def draw(
    solids: list[Solid], azimuth: np.ndarray, elevation: np.ndarray, *, middle: float, scale: float, side: int
) -> np.ndarray:
    """Pictures [B, side, side] of the same solids in B shapes and views, dark on white.

    Args:
        solids: the same number of corners in each picture; coordinates as in `turned`, in any unit. Whatever
            lies outside the picture is cut off.
        azimuth: [B], see `turned`.
        elevation: [B], see `turned`.
        middle: height above the origin of the point in the middle of a picture.
        scale: pixels per unit.
        side: of a picture in pixels.
    """
    width = side * SAMPLES
    faces, solid, picture, albedo = _faces(solids, azimuth, elevation)
    faces -= turned(np.array([[[0.0, 0.0, middle]]]), azimuth, elevation)[picture]
    normal = np.cross(faces[:, 2] - faces[:, 0], faces[:, 3] - faces[:, 1])
    light = np.maximum(normal @ (LIGHT / np.linalg.norm(LIGHT)), 0.0) / np.linalg.norm(normal, axis=-1)
    shade = (WHITE * albedo * (AMBIENT + (1 - AMBIENT) * light)).astype(KEY)
    faces *= np.array([1, -1, 1]) * scale * SAMPLES
    faces[..., :2] += width / 2  # column, row, depth, in samples
    span_face, row, left, right = _spans(faces, width)

    # A face covers the samples whose centres lie in it; `first` is the first one right of its left edge
    first = np.clip(np.ceil(left - 0.5), 0, width).astype(np.int32)
    count = np.clip(np.ceil(right - 0.5), 0, width).astype(np.int32) - first
    count = np.maximum(count, 0)
    ahead = np.cumsum(count) - count  # samples before this span
    slope = -normal[:, :2] / normal[:, 2:] * [1, -1]  # of the depth, to the right and downwards
    corner = faces[span_face, 0]
    depth = corner[:, 2] + slope[span_face, 0] * (first + 0.5 - corner[:, 0])
    depth += slope[span_face, 1] * (row + 0.5 - corner[:, 1])
    total = int(count.sum())
    run = np.arange(total, dtype=np.int32)
    run -= np.repeat(ahead.astype(np.int32), count)  # samples since the span's first one
    place = run + np.repeat(((picture[span_face] * width + row) * width + first).astype(np.int32), count)
    steps = run * np.repeat((slope[span_face, 0] * STEPS).astype(np.float32), count)
    steps += np.repeat((depth * STEPS).astype(np.float32), count)
    # A key has the shade in its lowest byte and the depth above it, so the largest key is the nearest face's
    key = steps.astype(KEY)
    key <<= 8
    key |= np.repeat(shade[span_face], count)
    nearest = np.full(len(azimuth) * width * width, WHITE - 2**31, KEY)
    ends = np.append(ahead, total)[np.searchsorted(solid[span_face], np.arange(len(solids) + 1))]
    for start, stop in itertools.pairwise(ends):  # the front of one convex solid covers a sample once
        there = place[start:stop]
        nearest[there] = np.maximum(nearest[there], key[start:stop])
    shades = nearest.view(np.uint8)[::4].reshape(-1, side, SAMPLES, side, SAMPLES)
    light_sum = np.full((len(azimuth), side, side), SAMPLES**2 // 2, np.uint16)  # start at a half, for rounding
    for i, j in np.ndindex(SAMPLES, SAMPLES):
        light_sum += shades[:, :, i, :, j]
    return (light_sum // SAMPLES**2).astype(np.uint8)


def _faces(
    solids: list[Solid], azimuth: np.ndarray, elevation: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The faces that are turned to the viewer [F, 4, 3], solid by solid; their solids, pictures and albedos [F]."""
    rings = [ring for solid in solids for ring in (solid.bottom, solid.top)]
    corners = np.concatenate([np.broadcast_to(ring, (len(azimuth), *ring.shape[1:])) for ring in rings], axis=1)
    seen = turned(corners, azimuth, elevation)
    quads, start = [], 0
    for solid in solids:
        quads.append(start + _quads(solid.bottom.shape[1]))
        start += 2 * solid.bottom.shape[1]
    of_solid = np.repeat(np.arange(len(solids)), [len(q) for q in quads])
    faces = seen.transpose(1, 0, 2)[np.concatenate(quads)]  # [Q, 4, B, 3]
    a, b = faces[:, 2] - faces[:, 0], faces[:, 3] - faces[:, 1]
    area = a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]
    quad, picture = np.nonzero(area > 1e-9)
    albedo = np.array([solid.albedo for solid in solids])
    return faces[quad, :, picture], of_solid[quad], picture, albedo[of_solid[quad]]


def _quads(n: int) -> np.ndarray:
    """The faces of a solid, corner by corner [Q, 4], counter-clockwise from outside; bottom first, then top corners."""
    i = np.arange(n)
    sides = np.stack([i, (i + 1) % n, n + (i + 1) % n, n + i], axis=1)
    fan = np.array([[0, k, k + 1, k + 2] for k in range(1, n - 2, 2)])  # a polygon cut into pieces of four corners
    return np.concatenate([sides, fan[:, ::-1], n + fan])


def _spans(faces: np.ndarray, height: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The rows of samples that faces [F, 4, column, row] cover: the face, the row, and both ends' columns, [S] each."""
    x, y = faces[..., 0], faces[..., 1]
    rows = np.clip(np.ceil(y - 0.5), 0, height).astype(np.int32)  # the first row below a corner
    top, count = rows.min(axis=1), np.ptp(rows, axis=1)
    offset = np.cumsum(count) - count
    face = np.repeat(np.arange(len(faces)), count)
    ends = np.empty((2, len(face)))
    nxt = [1, 2, 3, 0]
    for side, down in enumerate((True, False)):  # counter-clockwise, the left side goes down and the right one up
        f, c = np.nonzero(rows[:, nxt] > rows if down else rows[:, nxt] < rows)
        d = np.take(nxt, c)
        if not down:
            c, d = d, c
        times = rows[f, d] - rows[f, c]
        slope = (x[f, d] - x[f, c]) / (y[f, d] - y[f, c])
        slot = offset[f] + rows[f, c] - top[f]
        ahead = np.cumsum(times) - times
        step = np.arange(int(times.sum())) - np.repeat(ahead, times)
        at = x[f, c] + slope * (rows[f, c] + 0.5 - y[f, c])  # where the first row's centres cross the edge
        ends[side, np.repeat(slot, times) + step] = np.repeat(at, times) + np.repeat(slope, times) * step
    return face, np.repeat(top - offset, count) + np.arange(len(face)), ends[0], ends[1]
