"""2D Shapes: the row renderer against one that asks every pixel, and what the published set is known for."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from zoo.lab.data import Dataset, load
from zoo.lab.data.bit_packing import WORD
from zoo.lab.data.shapes import FACTORS, render

LIT = np.array([bin(byte).count("1") for byte in range(256)])  # of a byte


def heart() -> np.ndarray:
    """The heart's outline at scale 1, [200, 2], right and down: the classic curve, 19.2 x 19.2 pixels."""
    t = 2 * np.pi * np.arange(200) / 200
    y = 13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)
    return np.stack([9.6 * np.sin(t) ** 3, -0.663 * y - 1.45], axis=1)


def slowly(index: int) -> np.ndarray:
    """One image [64, 64]: each centre of a pixel is turned back into the shape's own frame, and asked."""
    shape, scale, angle, pos_x, pos_y = FACTORS.values_at(index)
    down, right = np.indices((64, 64)) + 0.5
    dx, dy = right - 16 - 32 * pos_x, down - 16 - 32 * pos_y
    u, v = dx * np.cos(angle) - dy * np.sin(angle), dx * np.sin(angle) + dy * np.cos(angle)
    if shape == 1:
        return (np.abs(u) <= 9.6 * scale) & (np.abs(v) <= 9.6 * scale)
    if shape == 2:
        return (u / (12.8 * scale)) ** 2 + (v / (7.2 * scale)) ** 2 <= 1
    inside = np.zeros((64, 64), bool)
    corners = scale * heart()
    for (u0, v0), (u1, v1) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        if v0 != v1:  # a ray to the right meets this edge
            inside ^= ((v0 <= v) != (v1 <= v)) & (u < u0 + (v - v0) / (v1 - v0) * (u1 - u0))
    return inside


def areas(**options: Any) -> np.ndarray:
    """How many pixels are lit, in the shape of the grid."""
    data = load("shapes", **options).train
    assert data.factors is not None
    return np.concatenate([lit(words) for words in in_parts(data)]).reshape(data.factors.sizes)


def in_parts(data: Dataset) -> list[np.ndarray]:
    return [data.x[rows] for rows in np.array_split(np.arange(len(data)), max(1, len(data) // 4096))]


def lit(words: np.ndarray) -> np.ndarray:
    return LIT[words.view(np.uint8)].reshape(len(words), -1).sum(axis=1)


def test_rows_agree_with_pixels() -> None:
    index = np.arange(0, 737_280, 1_499)  # a prime, so that every factor takes all its values
    assert all(len(np.unique(c)) == s for c, s in zip(FACTORS.at(index).T, FACTORS.sizes, strict=True))
    images = np.unpackbits(render(index).view(np.uint8).reshape(-1, 64, 8), axis=2, bitorder="little")
    for i, image in zip(index, images, strict=True):
        np.testing.assert_array_equal(image, slowly(int(i)), err_msg=f"image {i}")


def test_some_rows_of_a_heart_are_two_intervals() -> None:
    upright = FACTORS.index([2, 5, 0, 0, 0])  # the tip down, the notch up
    pixels = np.unpackbits(render(upright[None]).view(np.uint8).reshape(64, 8), axis=1, bitorder="little")
    starts = (np.diff(pixels.astype(int), axis=1, prepend=0) == 1).sum(axis=1)
    assert set(starts) == {0, 1, 2}
    assert starts.tolist().index(2) == starts.tolist().index(1) - starts.tolist().count(2)  # at the top
    np.testing.assert_array_equal(pixels[:, :32], pixels[:, 31::-1])  # and mirror-symmetric


def test_grid_order_is_mixed_radix() -> None:
    index = np.array([0, 1, 32, 1_024, 40_960, 245_760, 737_279])
    bases = np.array([245_760, 40_960, 1_024, 32, 1])
    classes = FACTORS.at(index)
    np.testing.assert_array_equal(classes @ bases, index)
    np.testing.assert_array_equal(classes[1:6], np.eye(5)[::-1])
    assert len(FACTORS) == 737_280
    np.testing.assert_allclose(FACTORS.values[1], [0.5, 0.6, 0.7, 0.8, 0.9, 1.0])
    assert FACTORS.values[2][1] == pytest.approx(0.16111, abs=5e-6)  # the published step, both ends included


def test_orientations_0_and_39_are_one() -> None:
    x = load("shapes", orientation=(0, 39), posX=range(0, 32, 7), posY=range(0, 32, 7)).train.x
    images = x[np.arange(len(x.index))].reshape(18, 2, -1)
    np.testing.assert_array_equal(images[:, 0], images[:, 1])


def test_the_ends_of_a_position_are_32_pixels_apart() -> None:
    x = load("shapes", posX=(0, 31), posY=(0, 31)).train.x
    images = x[np.arange(len(x.index))].reshape(720, 2, 2, 64)
    np.testing.assert_array_equal(images[:, 1], images[:, 0] << WORD.type(32))  # to the right, none lost
    np.testing.assert_array_equal(images[:, :, 1, 32:], images[:, :, 0, :32])  # down
    assert not images[:, :, 1, :32].any()
    assert not images[:, :, 0, 32:].any()


def test_areas_at_full_scale() -> None:
    # Over centres spread evenly within a pixel (posX and posY 0 to 30), lit pixels average to the area.
    x, y = heart().T
    shoelace = 0.5 * abs(x @ np.roll(y, -1) - y @ np.roll(x, -1))
    expected = [19.2**2, np.pi * 12.8 * 7.2, shoelace]
    np.testing.assert_allclose(expected, [368.6, 289.5, 225], atol=0.3)  # as measured on the published pictures
    found = areas(scale=[5], orientation=range(0, 39, 5), posX=range(31), posY=range(31))
    np.testing.assert_allclose(found.mean((1, 2, 3, 4)), expected, rtol=1e-3)


def test_an_upright_square_on_whole_pixels() -> None:
    # from 16 - 9.6 = 6.4 to 25.6: the 20 centres 6.5 to 25.5 both ways
    assert areas(shape=[0], scale=[5], orientation=[0], posX=[0, 31], posY=[0, 31]).ravel().tolist() == [400] * 4


def test_mean_area_over_the_whole_grid() -> None:
    index = np.arange(0, 737_280, 37)
    mean = lit(render(index)).mean()
    assert mean == pytest.approx(174, abs=0.7)
    assert mean / 4096 == pytest.approx(0.0425, abs=2e-4)


def test_all_of_it_fits_in_400_megabytes_and_on_demand_in_none() -> None:
    data = load("shapes").train
    assert len(data) == 737_280
    assert data.shape == (1, 64, 64)
    sub = load("shapes", posX=[3, 5], posY=[2], packed=True).train
    assert isinstance(sub.x, np.ndarray)
    assert sub.x.nbytes / len(sub) * 737_280 <= 400e6
    assert not isinstance(data.x, np.ndarray)


def test_packed_and_on_demand_are_the_same() -> None:
    options: dict[str, Any] = {"orientation": range(0, 40, 3), "posX": (0, 13), "posY": (7, 5, 31)}
    drawn, packed = (load("shapes", packed=packed, **options).train for packed in (False, True))
    for a, b in zip(drawn.batches(64, seed=0, steps=5, labels=True), packed.batches(64, seed=0, steps=5), strict=True):
        assert torch.equal(a.x, b.x)
        assert a.x.dtype == torch.float64
        assert a.x.shape == (64, 1, 64, 64)


def test_a_sub_grid_is_that_part_of_the_grid() -> None:
    chosen = {"shape": [2, 0], "scale": [1, 5], "orientation": [3], "posX": [31, 4, 9], "posY": [0, 17]}
    data = load("shapes", **chosen).train
    assert data.factors is not None
    assert data.factors.sizes == (2, 2, 1, 3, 2)
    np.testing.assert_array_equal(data.y, np.repeat([2, 0], 12))
    values = data.factors.values_at(np.arange(24))
    for i in (0, 5, 11, 17, 23):
        whole = [int(np.argmin(np.abs(v - x))) for v, x in zip(FACTORS.values, values[i], strict=True)]
        np.testing.assert_array_equal(data.x[np.array([i])].ravel(), render(FACTORS.index([whole]))[0])


def test_sampling_with_a_position_fixed() -> None:
    data = load("shapes").train
    batch = data.sample(64, fixed={"posX": 0, "scale": 5}, seed=3)
    assert data.factors is not None
    classes = data.factors.at(batch.index.numpy())
    assert (classes[:, [1, 3]] == [5, 0]).all()
    assert len(np.unique(classes[:, 4])) > 16
    assert not batch.x[..., 30:].any()  # within 13.6 of column 16
    assert torch.equal(batch.x, data.sample(64, fixed={"posX": 0, "scale": 5}, seed=3).x)


def test_the_papers_hold_nothing_out_and_we_can() -> None:
    whole = load("shapes", posX=[0], posY=[0])
    assert whole.train is whole.test
    train, test = load("shapes", posX=[0], posY=[0], held_out=0.1, seed=2)
    assert (len(train), len(test)) == (648, 72)
    assert train.factors is not None
    assert test.factors is not None
    both = np.concatenate([train.factors.classes, test.factors.classes])
    assert len(np.unique(both, axis=0)) == 720
    np.testing.assert_array_equal(test.y, test.factors.classes[:, 0])


@pytest.mark.parametrize("classes", [[], [40], [-1], [3, 3]])
def test_classes_that_are_not_there_are_refused(classes: list[int]) -> None:
    with pytest.raises(ValueError, match=r"orientation has the classes 0 to 39, each once at most"):
        load("shapes", orientation=classes)


def test_nothing_is_read_or_written(tmp_path: Path) -> None:
    load("shapes", folder=tmp_path / "nowhere", posX=[0]).train.batch(torch.arange(2))
    assert not list(tmp_path.iterdir())
