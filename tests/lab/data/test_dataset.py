"""The seam: batches are a function of seed and step, and x arrives as the floats it stands for, however it is kept."""

from collections.abc import Callable
from operator import length_hint
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy import sparse

from zoo.lab.data import Dataset, Factors
from zoo.lab.data import bit_packing as bits
from zoo.lab.data.rows import Rows
from zoo.lab.data.split import split

N = 13  # prime, so that no batch size divides it


def grey(**options: Any) -> Dataset:
    """13 images 1 x 3 x 5 of different bytes, image n starting with the byte n."""
    return Dataset("grey", np.arange(N * 15, dtype=np.uint8).reshape(15, N).T.reshape(N, 1, 3, 5).copy(), **options)


def test_order_is_a_function_of_seed_and_step() -> None:
    whole = [b.index for b in grey().batches(5, seed=3, steps=9)]
    late = [b.index for b in grey().batches(5, seed=3, steps=9, start=4)]
    assert len(whole) == 9
    assert all(torch.equal(a, b) for a, b in zip(whole[4:], late, strict=True))
    other = torch.cat([b.index for b in grey().batches(5, seed=4, steps=9)])
    assert not torch.equal(torch.cat(whole), other)


def test_an_epoch_draws_no_datapoint_twice() -> None:
    indices = [b.index for b in grey().batches(5, seed=0, steps=20)]
    for epoch in range(10):  # 13 // 5 = 2 batches each, three datapoints left over
        assert len(torch.cat(indices[2 * epoch : 2 * epoch + 2]).unique()) == 10


def test_in_order_is_every_datapoint_once() -> None:
    batches = list(grey(y=np.arange(N)).in_order(5, labels=True))
    assert [len(b.index) for b in batches] == [5, 5, 3]
    assert torch.equal(torch.cat([b.index for b in batches]), torch.arange(N))
    labels = [b.y for b in batches if b.y is not None]
    assert torch.equal(torch.cat(labels), torch.arange(N))


def test_bytes_become_floats_in_the_default_dtype() -> None:
    data = grey(x_max=200.0)
    batch = data.batch(torch.tensor([7, 2]))
    assert batch.x.dtype == torch.float64
    assert torch.equal(batch.x, torch.from_numpy(data.x[[7, 2]]) / 200.0)
    torch.set_default_dtype(torch.float32)
    assert data.batch(torch.tensor([7])).x.dtype == torch.float32
    assert batch.y is None
    assert data.shape == (1, 3, 5)


def test_words_hold_the_leftmost_pixel_in_the_lowest_bit() -> None:
    words = np.array([1, 2**63, 6, 0], bits.WORD).reshape(1, 1, 2, 2)  # two rows of 128 pixels
    data = Dataset("bits", words)
    assert data.shape == (1, 2, 128)
    lit = data.batch(torch.tensor([0])).x[0, 0].nonzero().tolist()
    assert lit == [[0, 0], [0, 127], [1, 1], [1, 2]]


@pytest.mark.parametrize("shape", [(1, 64), (5, 1, 7, 64), (3, 2, 5, 192)])
def test_packing_is_undone_by_unpacking(shape: tuple[int, ...]) -> None:
    images = np.random.default_rng(0).integers(2, size=shape, dtype=np.uint8)
    words = bits.pack(images)
    assert words.nbytes * 8 == images.size
    assert torch.equal(bits.unpack(torch.from_numpy(words.view(np.int64))), torch.from_numpy(images).double())


def test_packing_refuses_rows_that_do_not_fill_words() -> None:
    with pytest.raises(ValueError, match=r"rows of 28 pixels"):
        bits.pack(np.zeros((2, 28), np.uint8))


def test_sparse_counts_are_dense_in_a_batch() -> None:
    dense = np.random.default_rng(0).poisson(0.3, (N, 7)).astype(np.float32)
    data = Dataset("counts", sparse.csr_array(dense))
    assert len(data) == N
    assert data.shape == (7,)
    for batch in data.batches(5, seed=0, steps=4):
        assert torch.equal(batch.x, torch.from_numpy(dense)[batch.index].double())
    assert torch.equal(data.subset(np.array([3, 1])).batch(torch.tensor([1])).x, torch.from_numpy(dense[[1]]).double())


def test_a_memory_map_gives_what_the_array_gives(tmp_path: Path) -> None:
    data = grey(y=np.arange(N))
    np.save(tmp_path / "x.npy", data.x)
    mapped = Dataset("mapped", np.load(tmp_path / "x.npy", mmap_mode="r"), y=data.y)
    some = np.array([11, 2, 3, 5, 7])
    assert isinstance(mapped.subset(some).x, Rows)  # looked up, not copied
    for ours, theirs in ((mapped, data), (mapped.subset(some), data.subset(some))):
        for a, b in zip(ours.batches(2, seed=1, steps=7, labels=True), theirs.batches(2, seed=1, steps=7), strict=True):
            assert torch.equal(a.x, b.x)
            assert torch.equal(a.index, b.index)
    assert mapped.subset(some).subset(np.array([4])).batch(torch.tensor([0])).x[0, 0, 0, 0] == data.x[7, 0, 0, 0] / 255


@pytest.mark.parametrize("kept", ["in memory", "memory-mapped", "computed"])
def test_a_mask_takes_the_datapoints_where_it_is_true(kept: str, tmp_path: Path) -> None:
    x, y = grey().x, np.arange(N) % 3
    np.save(tmp_path / "x.npy", x)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    stored = {"in memory": x, "memory-mapped": mapped, "computed": Rows(mapped, np.arange(N))}[kept]
    data = Dataset("grey", stored, y, factors=Factors.of({"third": y}))
    mask = y == 1  # datapoints 1, 4, 7 and 10
    there = np.array([1, 4, 7, 10])
    some = data.subset(mask)
    assert len(some) == 4
    assert some.factors is not None
    assert np.array_equal(some.factors.classes[:, 0], y[there])
    batch = some.batch(torch.arange(4), labels=True)
    torch.testing.assert_close(batch.x, torch.tensor(x[there] / 255, dtype=batch.x.dtype))
    assert batch.y is not None
    assert batch.y.tolist() == [1, 1, 1, 1]
    assert data.batch(torch.from_numpy(mask)).index.tolist() == there.tolist()


@pytest.mark.parametrize("rows", [np.array(3), np.array([[0, 1], [2, 3]]), np.ones((N, 1), bool)])
def test_rows_that_are_not_a_list_of_positions_are_refused(rows: np.ndarray) -> None:
    with pytest.raises(IndexError, match=r"give their positions \[n\] as integers"):
        grey().subset(rows)


def test_static_binarisation_draws_once() -> None:
    data = grey()
    once, again, other = (data.binarised("static", seed=s) for s in (0, 0, 1))
    assert set(np.unique(once.x)) <= {0, 1}
    np.testing.assert_array_equal(once.x, again.x)
    assert (once.x != other.x).any()
    assert torch.equal(once.batch(torch.arange(N)).x, torch.from_numpy(once.x).double())


def test_dynamic_binarisation_is_a_function_of_seed_and_step() -> None:
    data = grey().binarised("dynamic")
    whole = [b.x for b in data.batches(5, seed=3, steps=9)]
    late = [b.x for b in data.batches(5, seed=3, steps=9, start=4)]
    assert all(torch.equal(a, b) for a, b in zip(whole[4:], late, strict=True))
    fixed = Dataset("one", np.full((N, 1, 8, 8), 128, np.uint8), dynamic=True)
    first, second = (b.x for b in fixed.batches(N, seed=0, steps=2))
    assert not torch.equal(first, second)


def test_dynamic_binarisation_in_order_does_not_depend_on_the_batch_size() -> None:
    data = grey().binarised("dynamic")
    whole = torch.cat([b.x for b in data.in_order(N)])
    for size in (1, 3, 7):
        assert torch.equal(torch.cat([b.x for b in data.in_order(size)]), whole)


@pytest.mark.parametrize("how", ["static", "dynamic"])
def test_pixels_are_lit_with_probability_x_over_x_max(how: str) -> None:
    # 40,000 pixels a level: the share lit is within 4.5 standard deviations sqrt(p (1 - p) / n), and exact at the ends
    levels = np.array([0, 1, 4, 9, 15, 16])
    data = Dataset("levels", np.repeat(levels, 40_000).reshape(6, 1, 200, 200).astype(np.uint8), x_max=16.0)
    x = data.binarised(how).batch(torch.arange(6)).x
    assert set(x.unique().tolist()) == {0.0, 1.0}
    p = torch.from_numpy(levels / 16)
    assert ((x.mean((1, 2, 3)) - p).abs() <= 4.5 * (p * (1 - p) / 40_000).sqrt()).all()


def test_binarise_no_leaves_grey_values() -> None:
    data = grey()
    assert data.binarised("no") is data


@pytest.mark.parametrize("held_out", [0.1, 0.5])
def test_a_split_divides_the_set(held_out: float) -> None:
    data = grey(y=np.arange(N), factors=Factors.of({"parity": np.arange(N) % 2}))
    train, test = split(data, held_out, seed=5)
    assert len(test) == round(N * held_out)
    assert train.y is not None
    assert test.y is not None
    np.testing.assert_array_equal(np.sort(np.concatenate([train.y, test.y])), np.arange(N))
    np.testing.assert_array_equal(test.x, data.x[test.y])
    assert test.factors is not None
    np.testing.assert_array_equal(test.factors.classes[:, 0], test.y % 2)
    again, other = (split(data, held_out, seed=s).test.y for s in (5, 0))
    np.testing.assert_array_equal(again, test.y)
    assert (other != test.y).any()


def test_nothing_held_out_means_one_set_twice() -> None:
    data = grey()
    assert split(data, 0) == (data, data)


@pytest.mark.parametrize("held_out", [-0.5, 0.01, 0.99, 1.0])
def test_a_split_that_leaves_nothing_is_refused(held_out: float) -> None:
    with pytest.raises(ValueError, match=r"'grey': held_out = .* of 13 datapoints leaves nothing"):
        split(grey(), held_out)


def test_sampling_holds_factors_fixed() -> None:
    columns = {"row": np.arange(N) // 4, "column": np.arange(N) % 4}
    data = Dataset.from_arrays(np.arange(N, dtype=np.float32)[:, None], factors=columns)
    batch = data.sample(50, fixed={"column": 2}, seed=1)
    assert set(batch.index.tolist()) == {2, 6, 10}  # 14 is not there
    assert torch.equal(batch.x[:, 0], batch.index.double())
    assert torch.equal(batch.index, data.sample(50, fixed={"column": 2}, seed=1).index)
    with pytest.raises(ValueError, match=r"'grey' has no factors"):
        grey().sample(3)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Dataset("d", np.zeros((0, 2), np.float32)), "x is empty"),
        (lambda: Dataset("d", np.zeros((2, 2), np.int64)), "bytes or floats, got int64"),
        (lambda: Dataset("d", np.array([[1.0], [np.nan]])), "1 values that are not finite, the first in datapoint 1"),
        (lambda: Dataset("d", sparse.csr_array([[0.0, np.inf]])), "1 values that are not finite"),
        (lambda: grey(y=np.zeros(5, np.int64)), r"one integer per datapoint \(13\), got int64 of shape \(5,\)"),
        (lambda: grey(y=np.zeros(N)), "got float64"),
        (
            lambda: grey(y=np.arange(N) - 1),
            "1 labels of -1, which scikit-learn uses for datapoints without a label; leave",
        ),
        (
            lambda: grey(y=np.arange(N), classes=("a", "b")),
            "labels go from 0 to 1, one for each of the classes, got 0 to 12",
        ),
        (lambda: grey(factors=Factors.of({"f": [1, 2]})), "factors of 2 datapoints for 13"),
        (lambda: Dataset("d", np.ones((2, 2), np.float32), dynamic=True), "only bytes can be binarised"),
        (lambda: Dataset("d", np.ones((2, 2), np.float32)).binarised("static"), "only bytes can be binarised"),
        (lambda: grey().binarised("Static"), "'no', 'static' or 'dynamic', got 'Static'"),
        (lambda: grey().batches(14, seed=0), "a batch of 14 out of 13 datapoints; choose a batch size from 1 to 13"),
        (lambda: grey().batches(0, seed=0), "a batch of 0 out of 13"),
    ],
)
def test_what_cannot_be_is_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


class TestFromArrays:
    """Your own set from memory."""

    def test_tensors_and_arrays_and_lists_are_alike(self) -> None:
        x = [[0.0, 0.5], [1.0, 2.0], [3.0, 4.0]]
        for given in (x, np.array(x), torch.tensor(x, requires_grad=True)):
            data = Dataset.from_arrays(given, torch.tensor([0, 1, 1]))
            assert torch.equal(data.batch(torch.arange(3)).x, torch.tensor(x))
            np.testing.assert_array_equal(data.y, [0, 1, 1])

    @pytest.mark.parametrize(
        ("shape", "expected"),
        [((5, 8, 7), (1, 8, 7)), ((5, 8, 7, 3), (3, 8, 7)), ((5, 3, 8, 3), (3, 8, 3)), ((5, 7), (7,))],
    )
    def test_images_get_their_channels_first(self, shape: tuple[int, ...], expected: tuple[int, ...]) -> None:
        x = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)
        data = Dataset.from_arrays(x)
        assert data.shape == expected
        if shape[1:] == (8, 7, 3):
            np.testing.assert_array_equal(data.x[2, 1], x[2, :, :, 1])

    def test_bytes_up_to_one_are_binary(self) -> None:
        binary = np.eye(4, dtype=np.uint8)
        assert Dataset.from_arrays(binary).batch(torch.arange(4)).x.max() == 1.0
        assert Dataset.from_arrays(binary.astype(bool)).batch(torch.arange(4)).x.max() == 1.0
        assert Dataset.from_arrays(binary, x_max=255).batch(torch.arange(4)).x.max() == 1 / 255
        assert Dataset.from_arrays(binary * 2).x_max == 255.0

    def test_names_become_labels(self) -> None:
        data = Dataset.from_arrays(np.eye(3), ["cat", "ape", "cat"])
        assert data.classes == ("ape", "cat")
        np.testing.assert_array_equal(data.y, [1, 0, 1])

    def test_factors_come_by_value(self) -> None:
        data = Dataset.from_arrays(np.eye(3), factors={"angle": [30.0, -10.0, 30.0], "who": ["b", "a", "a"]})
        assert data.factors is not None
        assert data.factors.sizes == (2, 2)
        np.testing.assert_array_equal(data.factors.classes, [[1, 1], [0, 0], [1, 0]])

    @pytest.mark.parametrize(
        ("x", "options", "message"),
        [
            (np.zeros(3), {}, r"x must be \[N, ...\], got \(3,\)"),
            (np.zeros((3, 3), np.int64), {}, r"x holds int64; .astype\(np.uint8\)"),
            (np.full((3, 3), 17, np.uint8), {"x_max": 16}, "bytes up to 17, above x_max = 16"),
            (np.eye(3) > 0, {"x_max": 255}, "x holds booleans, and with x_max = 255 true would become 0.0039"),
            (torch.eye(3) > 0, {"x_max": 2.0}, "x holds booleans, and with x_max = 2 true would become 0.5"),
            (np.eye(3), {"factors": {"a": [1, 2, 3], "b": [1, 2]}}, "one value per datapoint each"),
            (np.eye(3), {"y": [[1], [0], [1]]}, "one integer per datapoint"),
        ],
    )
    def test_what_cannot_be_is_refused(self, x: np.ndarray, options: dict[str, Any], message: str) -> None:
        with pytest.raises(ValueError, match=message):
            Dataset.from_arrays(x, **options)


def test_a_set_shows_its_size_and_what_it_holds() -> None:
    factors = Factors.grid({"row": range(13), "one": [7]})
    labelled = grey(y=np.arange(N) % 3, classes=("a", "b", "c"), factors=factors, left_out={"broken": 2})
    assert repr(labelled).splitlines() == [
        "grey: 13 datapoints of shape [1, 3, 5]",
        "  values bytes, divided by 255 in a batch",
        "  labels 3 classes: a, b, c",
        "  factors, and how many values each has row 13, one 1",
        "  left out 2 broken",
    ]
    assert "<td>labels</td><td>3 classes: a, b, c</td>" in labelled._repr_html_()
    # Without names the classes are counted; of many words the first ten are listed.
    assert "labels 3 classes\n" in f"{grey(y=np.arange(N) % 3)}\n"
    words = Dataset("text", np.ones((2, 12), np.float32), vocabulary=tuple("abcdefghijkl"))
    assert repr(words).splitlines()[1:] == ["  values float32", "  words 12: a, b, c, d, e, f, g, h, i, j, and 2 more"]
    assert "binarised for each batch" in repr(grey(dynamic=True))
    packed = Dataset("bits", bits.pack(np.ones((2, 1, 2, 64), np.uint8)))
    assert "of shape [1, 2, 64]\n  values 0 and 1, stored as bits" in repr(packed)


def test_a_split_shows_both_of_its_sets() -> None:
    both = split(grey(), 4 / 13)
    assert repr(both) == f"train: {both.train!r}\ntest: {both.test!r}"
    assert "9 datapoints" in both._repr_html_()
    assert "4 datapoints" in both._repr_html_()


def test_batches_say_how_many_are_left() -> None:
    batches = grey().batches(5, seed=0, steps=9, start=4)
    assert length_hint(batches) == 5
    next(batches)
    assert length_hint(batches) == 4
    assert length_hint(grey().batches(5, seed=0), -1) == -1  # infinite
    assert length_hint(grey().batches(5, seed=0, steps=3, start=4)) == 0
