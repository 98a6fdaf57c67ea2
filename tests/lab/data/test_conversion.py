"""What people have at hand as data: taken for what it is, or refused in a line that says what to do."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from scipy import sparse
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

from zoo.lab.data import Dataset, Factors, load
from zoo.lab.data.array_like import as_array
from zoo.lab.data.conversion import as_labels
from zoo.metrics import factor_correlations
from zoo.metrics.encoded import Encoded

GREY = np.arange(6 * 20, dtype=np.uint8).reshape(6, 5, 4)
Items = torch.utils.data.Dataset


@pytest.fixture(autouse=True)
def caches(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path_factory.mktemp("caches")))


@pytest.mark.parametrize(
    "x",
    [
        GREY,
        GREY.tolist(),
        list(GREY),
        torch.from_numpy(GREY),
        list(torch.from_numpy(GREY)),
        [Image.fromarray(image) for image in GREY],
        GREY.copy(order="F"),
        GREY[::-1][::-1],
        np.ma.masked_array(GREY),
    ],
)
def test_one_set_in_many_guises(x: Any) -> None:
    x = np.array(x, np.uint8) if isinstance(x, list) and isinstance(x[0], list) else x
    data = Dataset.from_arrays(x)
    assert data.shape == (1, 5, 4)
    assert torch.equal(data.batch(torch.arange(6)).x[:, 0], torch.from_numpy(GREY) / 255)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
def test_tensors_of_every_precision(dtype: torch.dtype) -> None:
    x = torch.tensor([[0.5, -2.0], [0.25, 3.0]], dtype=dtype, requires_grad=True)
    assert torch.equal(Dataset.from_arrays(x).batch(torch.arange(2)).x, x.detach().double())


@pytest.mark.parametrize("order", "<>=")
def test_every_byte_order(order: str, tmp_path: Path) -> None:
    x, y = np.array([[0.5, -2.0], [0.25, 3.0]], f"{order}f4"), np.array([1, 0], f"{order}i4")
    np.save(tmp_path / "x.npy", x)
    for features in (x, np.load(tmp_path / "x.npy", mmap_mode="r")):
        for data in (Dataset.from_arrays(features, y), Dataset("direct", features, y)):
            batch = data.batch(torch.tensor([1, 0]), labels=True)
            assert batch.x.tolist() == [[0.25, 3.0], [0.5, -2.0]]
            assert batch.y is not None
            assert batch.y.tolist() == [0, 1]


@pytest.mark.parametrize("kind", ["u1", "i1", ">u2", "<u4", "i8", "u8", "?", "f8", ">f4"])
def test_labels_of_every_kind_of_number(kind: str) -> None:
    data = Dataset.from_arrays(np.eye(3), np.array([0, 1, 1]).astype(kind))
    batch = data.batch(torch.arange(3), labels=True)
    assert batch.y is not None
    assert batch.y.dtype == torch.int64
    assert batch.y.tolist() == [0, 1, 1]


@pytest.mark.parametrize(
    "y",
    [
        ["cat", "ape", "cat"],
        np.array(["cat", "ape", "cat"], dtype=object),
        np.array([b"cat", b"ape", b"cat"]),
        pd.Series(["cat", "ape", "cat"]),
        pd.Series(["cat", "ape", "cat"], dtype="category"),
        pd.Series(["cat", "ape", "cat"], index=[7, 8, 9], dtype=object),
    ],
)
def test_names_of_classes(y: Any) -> None:
    data = Dataset.from_arrays(np.eye(3), y)
    assert data.classes == ("ape", "cat")
    np.testing.assert_array_equal(data.y, [1, 0, 1])
    turned = Dataset.from_arrays(np.eye(3), y, classes=["cat", "ape", "dog"])
    assert turned.classes == ("cat", "ape", "dog")
    np.testing.assert_array_equal(turned.y, [0, 1, 0])


def test_objects_that_are_numbers() -> None:
    np.testing.assert_array_equal(as_labels("d", np.array([2, 0, 1], dtype=object))[0], [2, 0, 1])
    frame = pd.DataFrame({"a": [0.5, 1.5], "b": [1, 0], "c": [True, False]})
    np.testing.assert_array_equal(Dataset.from_arrays(frame).x, [[0.5, 1.0, 1.0], [1.5, 0.0, 0.0]])


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((6, 16, 16, 1), (1, 16, 16)),
        ((6, 16, 12, 3), (3, 16, 12)),
        ((6, 1, 16, 16), (1, 16, 16)),
        ((6, 3, 16, 3), (3, 16, 3)),
        ((6, 4, 16, 16), (4, 16, 16)),
        ((6, 64, 4, 4), (64, 4, 4)),  # a network's features
        ((6, 512, 1, 1), (512, 1, 1)),
        ((6, 64, 3, 3), (64, 3, 3)),
        ((6, 1, 4, 4, 4), (1, 4, 4, 4)),  # volumes
        ((6, 8, 8, 8, 1), (8, 8, 8, 1)),
        ((6, 28, 28), (1, 28, 28)),
        ((6, 7), (7,)),
    ],
)
def test_where_the_channels_are(shape: tuple[int, ...], expected: tuple[int, ...]) -> None:
    x = np.random.default_rng(0).random(shape)
    data = Dataset.from_arrays(x)
    assert data.shape == expected
    if len(shape) == 4 and shape[1:] != expected:
        np.testing.assert_array_equal(data.x[2, 0], x[2, :, :, 0])


class Pairs(Items):  # type: ignore[type-arg]
    """A torch Dataset of images and labels, as most write it: no end but its length."""

    def __init__(self, item: Callable[[int], Any], count: int = 6) -> None:
        self.item, self.count, self.asked = item, count, list[int]()

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, i: int) -> Any:
        self.asked.append(i)
        return self.item(i)


@pytest.mark.parametrize(
    "item",
    [
        lambda i: (torch.from_numpy(GREY[i])[None], i % 2),
        lambda i: (Image.fromarray(GREY[i]), i % 2),
        lambda i: [GREY[i], torch.tensor(i % 2)],
        lambda i: (GREY[i][..., None], np.int64(i % 2)),
    ],
)
def test_torch_datasets_of_pairs(item: Callable[[int], Any]) -> None:
    items = Pairs(item)
    data = Dataset.from_arrays(items)
    assert items.asked == list(range(6))  # each once, and no further
    np.testing.assert_array_equal(data.x.reshape(6, 5, 4), GREY)
    np.testing.assert_array_equal(data.y, [0, 1] * 3)


def test_other_torch_datasets() -> None:
    x = torch.rand(6, 1, 8, 8)
    assert torch.equal(Dataset.from_arrays(Pairs(lambda i: x[i])).batch(torch.arange(6)).x, x)
    assert Dataset.from_arrays(Pairs(lambda i: x[i])).y is None
    data = Dataset.from_arrays(TensorDataset(x, torch.arange(6)))
    np.testing.assert_array_equal(data.y, range(6))
    named = Dataset.from_arrays(Pairs(lambda i: (x[i], "ab"[i % 2])))
    assert named.classes == ("a", "b")
    np.testing.assert_array_equal(Dataset.from_arrays(TensorDataset(x), y=[1, 0] * 3).y, [1, 0] * 3)


class Endless(IterableDataset):  # type: ignore[type-arg]
    """One without a length."""

    def __iter__(self) -> Iterator[torch.Tensor]:
        while True:
            yield torch.zeros(3)


class EndlessWithLength(Endless):
    """One with a length, as some libraries give it, and still without items."""

    def __len__(self) -> int:
        return 5


class HasItems:
    """Something with a length and items, as data sets of other libraries are; asked for the items it has no end."""

    def __len__(self) -> int:
        return 5

    def __getitem__(self, i: int) -> dict[str, int]:
        return {"image": i}


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (Endless(), r"a Endless has no length and items; give an array, a tensor, a list, a data frame or a torch"),
        (EndlessWithLength(), r"a EndlessWithLength has no length and items; give"),
        (DataLoader(TensorDataset(torch.zeros(6, 2))), r"a DataLoader has no length and items; give"),
        (Pairs(lambda i: {"image": i}), r"the items of a Pairs must be a datapoint, or a datapoint and its label"),
        (Pairs(lambda i: (i, i, i)), r"the items of a Pairs must be"),
        (Pairs(lambda _: None, 0), r"the items of a Pairs must be .* got nothing"),
        (HasItems(), r"x cannot be taken as an array: it is a HasItems; give"),
        ((row for row in GREY), r"it is a generator; give"),
        ("pictures/", r"it is a str; give"),
        (7, r"it is a int; give"),
        (None, r"it is a NoneType; give"),
        ({"x": GREY}, r"it is a dict; give"),
        ({1, 2}, r"it is a set; give"),
    ],
)
def test_what_is_no_array_is_named(x: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message) as caught:
        Dataset.from_arrays(x)
    assert len(str(caught.value).splitlines()) == 1


TABLE = np.eye(4)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Dataset.from_arrays(np.zeros((6, 16, 16, 4), np.uint8)), r"4 channels last; x\[..., :-1\] leaves tr"),
        (lambda: Dataset.from_arrays(np.zeros((6, 16, 16, 2))), r"2 channels last; .*x.transpose\(0, 3, 1, 2\) keeps"),
        (lambda: Dataset.from_arrays(np.zeros((64, 64, 3))), r"\(64, 64, 3\) looks like one image; x\[None\]"),
        (
            lambda: Dataset.from_arrays(np.zeros((48, 64, 3), np.uint8)),
            r"\(48, 64, 3\) looks like one image; x\[Non",
        ),
        (lambda: Dataset.from_arrays(Image.new("RGB", (64, 48))), r"x is one image; \[x\] makes a set of it"),
        (lambda: Dataset.from_arrays(np.zeros(6, [("a", "f4"), ("b", "f4")])), r"x has the named columns a, b; struct"),
        (
            lambda: Dataset.from_arrays(["1.png", "2.png"]),
            r"x holds texts, <U5, and must hold numbers: x.asty",
        ),
        (lambda: Dataset.from_arrays(pd.DataFrame({"a": ["1.5"]})), r"x holds texts, <U3, and must hold numb"),
        (lambda: Dataset.from_arrays(pd.DataFrame({"a": [1.5], "b": ["u"]})), r"\(float, str\); .* leave columns that"),
        (lambda: Dataset.from_arrays([np.ma.masked_equal(TABLE, 0)] * 2), r"x has masked values; fill them in"),
        (lambda: Dataset.from_arrays(TABLE, list(np.ma.masked_equal([[0], [1]] * 2, 0))), r"y has masked values"),
        (
            lambda: Dataset.from_arrays([TABLE.astype(bool), GREY[0]]),
            r"its items hold bool and uint8; give all of",
        ),
        (lambda: Dataset.from_arrays([GREY[0] / 255, GREY[1]]), r"its items hold float64 and uint8; give all of them"),
        (
            lambda: Dataset.from_arrays([Image.new("1", (4, 4)), Image.new("L", (4, 4))]),
            r"hold bool and uint8; give",
        ),
        (lambda: Dataset.from_arrays([np.zeros(3), np.zeros(2)]), r"x cannot be taken as an array: all input arrays"),
        (lambda: Dataset.from_arrays([[1.0], [1.0, 2.0]]), r"x cannot be taken as an array: .*inhomogeneous"),
        (lambda: Dataset.from_arrays(torch.eye(3).to_sparse()), r"it is a sparse tensor; .to_dense\(\)"),
        (lambda: Dataset.from_arrays(np.array([[1, "a"]], dtype=object)), r"x holds Python objects \(int, str\)"),
        (lambda: Dataset.from_arrays(np.array([[1.0, None]], dtype=object)), r"x has 1 missing values, .*datapoint 1"),
        (lambda: Dataset.from_arrays(np.ma.masked_equal(TABLE, 0)), r"x has masked values; fill them in"),
        (lambda: Dataset.from_arrays(TABLE.astype(complex)), r"bytes or floats, got complex128"),
        (lambda: Dataset.from_arrays(TABLE, sparse.eye(4)), r"y cannot .* it is a sparse matrix; .toarray\(\)"),
        (lambda: Dataset.from_arrays(TABLE, [0, 1, -1, -1]), r"2 labels of -1, .* without a label; leave the unlabell"),
        (lambda: Dataset.from_arrays(TABLE, [0, 1, np.nan, 0]), r"1 missing labels \(NaN\); leave the unlabelled"),
        (lambda: Dataset.from_arrays(TABLE, np.array(["a", None] * 2)), r"y has 2 missing values, the first in datap"),
        (lambda: Dataset.from_arrays(TABLE, pd.Series(["a", None] * 2)), r"y has 2 missing values, the first in dat"),
        (lambda: Dataset.from_arrays(TABLE, [0.5, 1, 1, 0]), r"y holds float64; labels are integers or names, a meas"),
        (lambda: Dataset.from_arrays(TABLE, np.eye(4, dtype=int)), r"shape \(4, 4\); one-hot labels: y.argmax\(1\)"),
        (lambda: Dataset.from_arrays(TABLE, list("abca"), classes=["a", "b"]), r"label 'c', which is not in classes"),
        (lambda: Dataset.from_arrays(TABLE, np.eye(4)[:, :1]), r"shape \(4, 1\); y\[:, 0\] takes the column"),
        (lambda: Dataset.from_arrays(TABLE, np.array([["a"]] * 4)), r"shape \(4, 1\); y\[:, 0\] takes the column"),
        (lambda: Dataset.from_arrays(TABLE, np.array(["2026-01-01"] * 4, "M8[D]")), r"; .astype\(str\) makes names"),
        (lambda: Dataset.from_arrays(TABLE, ["a", "", "b", ""]), r"y has 2 empty labels; leave the unlabelled"),
        (lambda: Dataset.from_arrays(TABLE, [0, 1, np.inf, 0]), r"a measured quantity is a factor: .*; got inf"),
        (lambda: Dataset.from_arrays(TABLE, [0, 1, 1e300, 0]), r"a measured quantity is a factor: .*; got 1e\+300"),
        (lambda: Dataset.from_arrays(TABLE, [0, 1, 0, 1], classes=["a", "a"]), r"classes need one name each, got"),
        (
            lambda: Dataset.from_arrays(TABLE, [0, 1] * 2, classes={"a", "b"}),
            r"classes must be a sequence, each a text",
        ),
        (lambda: Dataset.from_arrays(TABLE, classes=["a", "b"]), r"the names of labels, and there is no y; give y"),
        (lambda: Dataset.from_arrays(np.zeros((4, 0))), r"x is empty, got \(4, 0\)"),
        (lambda: Dataset.from_arrays(np.zeros((4, 0, 8), np.uint8)), r"x is empty, got \(4, 1, 0, 8\)"),
        (lambda: Dataset.from_arrays(TABLE * 1e300), r"x has 4 values beyond 3.4e\+38, the largest float32, the first"),
        (lambda: Dataset.from_arrays(sparse.csr_array(TABLE * 1e300)), r"x has 4 values beyond 3.4e\+38"),
        (lambda: Dataset.from_arrays(sparse.csr_array(TABLE * 1j)), r"a sparse x must be \[N, V\] .* got complex128"),
        (lambda: Dataset.from_arrays(sparse.coo_array(np.ones(4))), r"a sparse x must be \[N, V\] .* \(4,\)"),
        (lambda: Dataset.from_arrays(TABLE, x_max=0.0), r"x_max must be above 0, got 0"),
        (lambda: Dataset.from_arrays(TABLE, x_max=float("nan")), r"x_max must be above 0, got nan"),
        (
            lambda: Dataset.from_arrays(TensorDataset(torch.eye(4), torch.arange(4)), [0, 1, 0, 1]),
            r"labels of their own, and y has others",
        ),
    ],
)
def test_what_does_not_fit_is_said_in_a_line(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        make()
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("x", "kind", "mend"),
    [
        (np.array([[0, 255]]), "int64", np.uint8),
        (np.array([[0, 1]], np.uint64), "uint64", np.uint8),  # words of bits come from this project alone
        (np.array([[0, 65535]], np.uint16), "uint16 from 0 to 65535", np.float32),
        (np.array([[-3, 5]], np.int8), "int8 from -3 to 5", np.float32),
    ],
)
def test_the_mend_for_integers_keeps_their_values(x: Any, kind: str, mend: Any) -> None:
    """`.astype(np.uint8)` takes what is left of a division by 256, so it is offered only where all values are bytes."""
    with pytest.raises(ValueError, match=rf"x holds {kind}[;,]") as caught:
        Dataset.from_arrays(x)
    assert ("uint8)" in str(caught.value)) == (mend is np.uint8)
    np.testing.assert_array_equal(x.astype(mend), x)
    Dataset.from_arrays(x.astype(mend))


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp"])
@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_images_of_pillow_are_rotated_as_those_of_a_folder_are(tmp_path: Path, suffix: str, orientation: int) -> None:
    image = Image.fromarray(np.kron(np.arange(6, dtype=np.uint8).reshape(2, 3) * 50, np.ones((8, 8), np.uint8)))
    exif = image.getexif()
    exif[0x0112] = orientation
    image.save(tmp_path / f"1.{suffix}", exif=exif)
    with (tmp_path / f"1.{suffix}").open("rb") as file:  # not by name: Pillow would rotate an uncompressed TIFF wrongly
        data = Dataset.from_arrays([Image.open(file)])
    folder = load(str(tmp_path), held_out=0).train
    assert data.shape[1:] == folder.shape[1:]
    np.testing.assert_array_equal(data.x[:, 0], folder.x[:, 0])


@pytest.mark.parametrize("suffix", ["gif", "tif", "webp", "png"])
def test_films_of_pillow_are_refused(tmp_path: Path, suffix: str) -> None:
    frames = [Image.new("RGB", (8, 8), (level, 0, 0)) for level in (0, 100, 200)]
    frames[0].save(tmp_path / f"film.{suffix}", save_all=True, append_images=frames[1:])
    with (
        Image.open(tmp_path / f"film.{suffix}") as film,
        pytest.raises(ValueError, match=r"an image has 3 frames; give each frame as an image"),
    ):
        Dataset.from_arrays([film])


@pytest.mark.parametrize("item", [np.asarray, torch.from_numpy, Image.fromarray, np.ndarray.tolist])
def test_a_column_of_images(item: Callable[[np.ndarray], Any]) -> None:
    """A data frame has the images of a column as objects."""
    column = pd.Series([item(image) for image in GREY], dtype=object)
    x = Dataset.from_arrays(column).x if item is not np.ndarray.tolist else as_array("yours", "x", column)
    np.testing.assert_array_equal(x.reshape(GREY.shape), GREY)


@pytest.mark.parametrize("mode", ["P", "CMYK", "YCbCr", "HSV"])
def test_images_of_pillow_in_colours(mode: str) -> None:
    """The bytes of these modes are numbers of a palette, or no red, green and blue; RGB is what a viewer shows."""
    images = [Image.new("RGB", (5, 6), (10 * n, 0, 255)).convert(mode) for n in range(3)]
    data = Dataset.from_arrays(images)
    assert data.shape == (3, 6, 5)
    np.testing.assert_array_equal(data.x[:, :, 0, 0], [image.convert("RGB").getpixel((0, 0)) for image in images])


SHAPES, ANGLES = np.arange(12) % 3, np.arange(12) % 4 * 0.5


@pytest.mark.parametrize(
    "factors",
    [
        {"shape": SHAPES, "angle": ANGLES},
        {"shape": SHAPES.tolist(), "angle": torch.from_numpy(ANGLES)},
        pd.DataFrame({"shape": SHAPES, "angle": ANGLES}),
        pd.DataFrame({"shape": SHAPES, "angle": ANGLES}, index=range(100, 112)),
        pd.DataFrame({"shape": SHAPES, "angle": ANGLES}).to_records(index=False),
        {"shape": SHAPES.astype(object), "angle": ANGLES.astype(">f4")},
    ],
)
def test_factors_keep_their_names(factors: Any) -> None:
    found = Dataset.from_arrays(np.eye(12), factors=factors).factors
    assert found is not None
    assert found.names == ("shape", "angle")
    assert found.sizes == (3, 4)
    np.testing.assert_array_equal(found.classes, np.stack([SHAPES, np.arange(12) % 4], axis=1))
    np.testing.assert_array_equal(found.values[1], [0.0, 0.5, 1.0, 1.5])


def test_factors_without_names() -> None:
    for table in (np.stack([SHAPES, ANGLES], axis=1), torch.from_numpy(np.stack([SHAPES, ANGLES], axis=1))):
        found = Factors.of(table)
        assert found.names == ("0", "1")
        assert found.sizes == (3, 4)
    assert Factors.of(pd.DataFrame({0: SHAPES, 7: ANGLES})).names == ("0", "7")


@pytest.mark.parametrize(
    ("factors", "message"),
    [
        ({"a": [1, 2, 3], "b": [1, 2]}, r"one value per datapoint each, got {'a': 3, 'b': 2}"),
        ({}, r"one value per datapoint each, got {}"),
        ({"a": np.eye(3)}, r"factor 'a' needs one value per datapoint, got \(3, 3\)"),
        ({"a": [1.0, np.nan]}, r"factor 'a' has values that are not finite, the first in datapoint 1; fill them in"),
        ({"a": np.array([1, None])}, r"'a' has 1 missing values, the first in datapoint 1"),
        ({"a": pd.Series(["u", None])}, r"'a' has 1 missing values, the first in datapoint 1"),
        (np.arange(3), r"factors must be a mapping, a data frame or a table \[N, F\], got \(3,\)"),
        ({"d": np.array(["2026-01-01", "NaT"], "M8[D]")}, r"factor 'd' has values that are not finite, .* datapoint 1"),
        ({1: [0, 1], "1": [1, 0]}, r"one name each, got \['1', '1'\]"),
        (pd.DataFrame(np.eye(2), columns=[1, "1"]), r"one name each, got \['1', '1'\]"),
        (pd.DataFrame(np.eye(2), columns=["a", "a"]), r"one name each, got columns \['a', 'a'\]"),
    ],
)
def test_factors_that_are_none(factors: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Factors.of(factors)


def test_a_memory_map_is_not_read(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.zeros((6, 2)))
    assert isinstance(as_array("d", "x", np.load(tmp_path / "x.npy", mmap_mode="r")), np.memmap)


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (["cat", float("nan"), "dog"], r"y has 1 missing values, the first in datapoint 1"),  # NumPy's name: "nan"
        (["cat", None, "dog"], r"y has 1 missing values, the first in datapoint 1"),
        ([1, "1", 2], r"y holds Python objects \(int, str\)"),  # of which NumPy makes two classes
    ],
)
def test_a_list_of_names_and_something_else_is_not_made_names(y: list[Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Dataset.from_arrays(np.zeros((3, 2)), y)
    with pytest.raises(ValueError, match=message.replace("y h", "'kind' h")):
        Dataset.from_arrays(np.zeros((3, 2)), factors={"kind": y})


def test_names_in_bytes_that_are_not_utf8_stay_apart() -> None:
    y, classes = as_labels("d", np.array([b"\xe9", b"\xe8", b"\xe9", b"ok"]))
    assert classes == ("\\xe8", "\\xe9", "ok")
    np.testing.assert_array_equal(y, [1, 0, 1, 2])  # type: ignore[arg-type]
    assert as_labels("d", [1, 0], [b"a", "b"])[1] == ("a", "b")  # type: ignore[list-item]
    assert as_labels("d", np.array([b"b"]), np.array([b"a", b"b"]))[1] == ("a", "b")  # type: ignore[arg-type]
    encoded = Encoded.of(np.random.default_rng(0).normal(size=(12, 2)), np.array([b"\xe9", b"\xe8"] * 6))
    assert encoded.sizes == (2,)


def test_numbers_in_a_table_of_texts_have_the_order_of_numbers() -> None:
    # A table with names, too, is one of texts in NumPy, where "10" comes before "2". By alphabet the ranks 0 1 2 3 are
    # 0 2 3 1, and their correlation is 1 - 6 * 6 / 60 = 0.4.
    size = np.array([1, 2, 3, 10] * 10)
    table = np.array([[str(n), kind, f"{n / 2}e1"] for n, kind in zip(size, "ab" * 20, strict=True)])
    factors = Factors.of(table)
    assert [values.tolist() for values in factors.values] == [[1, 2, 3, 10], ["a", "b"], [5, 10, 15, 50]]
    data = Dataset.from_arrays(np.array([[0.0], [1.0], [2.0], [3.0]] * 10), factors={"size": table[:, 0]})
    found = factor_correlations(lambda x: x, data)
    np.testing.assert_allclose(found.value, [[1.0]], atol=1e-12)
    for names in (["1", "10", "2a"], ["1_0", "2", "3"], ["nan", "1", "2"], ["inf", "1", "2"], ["٣", "1", "2"]):
        assert Factors.of({"a": names}).values[0].tolist() == sorted(names)
