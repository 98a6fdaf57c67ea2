"""Floats that are memory-mapped or computed row by row equal the same floats in memory, and are read in parts."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from zoo.lab.data import Dataset, load
from zoo.lab.data.rows import Rows, blocks
from zoo.lab.data.split import split
from zoo.lab.plots.contact_sheet import contact_sheet

N = 13


class Computed:
    """Rows that are computed when they are indexed: it has a shape and a dtype, and no length."""

    def __init__(self, x: np.ndarray) -> None:
        self.stored, self.shape, self.dtype, self.largest, self.read = x, x.shape, x.dtype, 0, 0

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        assert rows.dtype.kind == "i"  # an integer array is all that such an object has to take
        self.largest = max(self.largest, len(rows))
        self.read += len(rows)
        return self.stored[rows]


def mapped(x: np.ndarray, folder: Path) -> np.ndarray:
    np.save(folder / "x.npy", x)
    return np.load(folder / "x.npy", mmap_mode="r")


def stored(kept: str, x: np.ndarray, folder: Path) -> Any:
    return {"in memory": lambda: x, "memory-mapped": lambda: mapped(x, folder), "computed": lambda: Computed(x)}[kept]()


@pytest.mark.parametrize("dtype", ["<f2", "<f4", ">f4", "<f8", ">f8"])
@pytest.mark.parametrize("kept", ["memory-mapped", "computed"])
def test_floats_that_are_not_in_memory_are_split_and_looked_up(kept: str, dtype: str, tmp_path: Path) -> None:
    x = np.random.default_rng(0).random((N, 1, 4, 4)).astype(dtype)
    there, here = Dataset.from_arrays(stored(kept, x, tmp_path)), Dataset.from_arrays(x)
    for ours, theirs in zip(split(there, 0.3), split(here, 0.3), strict=True):
        assert isinstance(ours.x, Rows)
        every = torch.arange(len(ours))
        assert torch.equal(ours.batch(every).x, theirs.batch(every).x)
    twice = there.subset(np.array([9, 2, 5])).subset(np.array([2, 0]))
    assert torch.equal(twice.batch(torch.arange(2)).x, torch.from_numpy(x[[5, 9]].astype(np.float64)))


def test_a_large_npz_of_floats_is_mapped_and_split(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("npz", "cache"):
        monkeypatch.setattr(f"zoo.lab.data.{module}.MAPPED", 100)
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    x = np.random.default_rng(0).random((N, 1, 4, 4)).astype(np.float32)
    np.savez(tmp_path / "mine.npz", x=x)
    train, test = load(str(tmp_path / "mine.npz"), held_out=0.3)
    assert isinstance(train.x, Rows)
    rows = torch.cat([part.batch(torch.arange(len(part))).x for part in (train, test)])
    assert sorted(rows[:, 0, 0, 0].tolist()) == sorted(x[:, 0, 0, 0].astype(np.float64).tolist())


@pytest.mark.parametrize("kept", ["in memory", "memory-mapped", "computed"])
@pytest.mark.parametrize(
    ("dtype", "wrong", "message"),
    [
        ("<f4", np.nan, "x has 2 values that are not finite, the first in datapoint 7"),
        ("<f8", 1e300, r"x has 2 values beyond 3.4e\+38, the largest float32, the first in datapoint 7"),
        (">f8", 1e300, r"x has 2 values beyond 3.4e\+38, the largest float32, the first in datapoint 7"),
    ],
)
def test_wrong_values_are_found_in_any_block(
    kept: str, dtype: str, wrong: float, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zoo.lab.data.rows.BLOCK", 3 * 4 * 8)  # three rows of four doubles
    x = np.zeros((N, 4), dtype)
    x[7, 1] = x[N - 1, 0] = wrong
    with pytest.raises(ValueError, match=message):
        Dataset.from_arrays(stored(kept, x, tmp_path))


def test_blocks_are_the_rows_in_order_and_no_larger_than_they_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zoo.lab.data.rows.BLOCK", 3 * 4 * 8)
    x = np.arange(4.0 * N).reshape(N, 4)
    found = list(blocks(x))
    assert [start for start, _ in found] == [0, 3, 6, 9, 12]
    assert np.array_equal(np.concatenate([block for _, block in found]), x)
    data = Dataset("computed", computed := Computed(x))
    assert (computed.largest, computed.read) == (3, N)  # read once, three rows at a time
    data.subset(np.arange(N - 1)).subset(np.arange(2))
    assert computed.read == N  # rows of a set that was checked are not read again
    with pytest.raises(ValueError, match="1 values that are not finite, the first in datapoint 1"):
        Dataset("rows", Rows(np.array([[0.0], [1.0], [np.nan]]), np.array([0, 2])))  # of an array that nobody checked


@pytest.mark.parametrize("largest", [1, 7])
def test_bytes_without_a_length_are_read_for_the_largest(largest: int) -> None:
    x = np.zeros((N, 1, 2, 2), np.uint8)
    x[-1] = largest
    assert Dataset.from_arrays(Computed(x)).x_max == (1 if largest == 1 else 255)
    rows = Rows(x, np.arange(3))
    assert len(rows) == 3


def test_computed_bytes_are_binarised_as_bytes_in_memory() -> None:
    x = np.random.default_rng(0).integers(0, 256, (N, 1, 4, 4), np.uint8)
    one, other = (Dataset("x", kept).binarised("static", seed=1) for kept in (x, Computed(x)))
    assert np.array_equal(one.x, other.x)


def test_mapped_points_of_a_subset_are_drawn(tmp_path: Path) -> None:
    x = np.random.default_rng(0).standard_normal((N, 2))
    drawn = contact_sheet(Dataset("points", mapped(x, tmp_path)).subset(np.arange(4)))
    (points,) = drawn.axes[0].collections
    assert np.array_equal(points.get_offsets(), x[:4])
