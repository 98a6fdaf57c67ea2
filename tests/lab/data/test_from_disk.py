"""Your own data: folders of images, .npz and .pt files, by their path."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import TensorDataset

from zoo.lab.data import load
from zoo.lab.data.image_folder import Files, _arrange, _walk
from zoo.lab.data.rows import Rows


@pytest.fixture(autouse=True)
def caches(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the test's caches go."""
    folder = tmp_path_factory.mktemp("caches")
    monkeypatch.setenv("ZOO_CACHE", str(folder))
    return folder


def picture(path: Path, level: int = 0, mode: str = "L", size: tuple[int, int] = (5, 7)) -> Path:
    """An image of one colour, 5 wide and 7 high."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, level if mode in "L1" else (level, level + 1, level + 2)).save(path)
    return path


class TestFolder:
    """A folder of images."""

    def test_folders_are_labels(self, tmp_path: Path) -> None:
        for n in range(5):
            picture(tmp_path / "pets" / ("cat" if n % 2 else "ape") / f"{n}.png", 10 * n)
        for _ in range(2):  # decoded, and from the cache
            data = load(str(tmp_path / "pets"), held_out=0).train
            assert data.name == "pets"
            assert data.classes == ("ape", "cat")
            assert data.shape == (1, 7, 5)
            np.testing.assert_array_equal(data.y, [0, 0, 0, 1, 1])
            np.testing.assert_array_equal(data.x[:, 0, 3, 2], [0, 20, 40, 10, 30])

    @pytest.mark.parametrize("letter", ["a", "é", "字"])
    def test_a_name_may_be_as_long_as_file_systems_allow(self, tmp_path: Path, caches: Path, letter: str) -> None:
        name = letter * (250 // len(letter.encode()))  # the caches add to it
        for n in range(4):
            picture(tmp_path / name / f"{n}.png", n)
        assert load(str(tmp_path / name), held_out=0).train.name == name
        assert all(len(os.fsencode(file)) < 150 for file in os.listdir(caches))

    def test_colours_come_as_channels(self, tmp_path: Path) -> None:
        picture(tmp_path / "a.png", 10, "RGB")
        picture(tmp_path / "b.png", 40)
        data = load(str(tmp_path), held_out=0).train
        assert data.y is None
        np.testing.assert_array_equal(data.x[:, :, 0, 0], [[10, 11, 12], [40, 40, 40]])
        assert data.batch(torch.tensor([0])).x[0, 1, 0, 0] == 11 / 255

    def test_train_and_test_are_the_split(self, tmp_path: Path) -> None:
        for n, place in enumerate(("test/b", "train/a", "train/b", "train/c")):
            picture(tmp_path / place / "1.png", n)
        train, test = load(str(tmp_path))
        assert train.classes == test.classes == ("a", "b", "c")
        np.testing.assert_array_equal(train.x[:, 0, 0, 0], [1, 2, 3])
        np.testing.assert_array_equal(train.y, [0, 1, 2])
        np.testing.assert_array_equal(test.y, [1])

    def test_a_tenth_is_held_out(self, tmp_path: Path) -> None:
        for n in range(20):
            picture(tmp_path / f"{n:02}.png", n)
        train, test = load(str(tmp_path))
        assert len(test) == 2
        found = np.concatenate([train.x, test.x])[:, 0, 0, 0]
        np.testing.assert_array_equal(np.sort(found), np.arange(20))

    def test_factors_from_a_table(self, tmp_path: Path) -> None:
        for n in range(3):
            picture(tmp_path / f"{n}.png", n)
        (tmp_path / "factors.csv").write_text(
            "file,angle,who\n2.png,-5,b\n0.png,30.5,a\n1.png,-5,a\n", encoding="utf-8"
        )
        factors = load(str(tmp_path), held_out=0).train.factors
        assert factors is not None
        assert factors.names == ("angle", "who")
        np.testing.assert_array_equal(factors.values[0], [-5.0, 30.5])
        np.testing.assert_array_equal(factors.classes, [[1, 0], [0, 0], [0, 1]])
        (tmp_path / "factors.csv").write_text("file,angle\n0.png,1\n", encoding="utf-8")
        with pytest.raises(ValueError, match=r"factors.csv has no line for 1.png, one of 2 such images"):
            load(str(tmp_path))
        (tmp_path / "factors.csv").write_text("file,angle,who\n0.png,1,a\n1.png,2\n2.png,3,a\n", encoding="utf-8")
        with pytest.raises(
            ValueError, match=r"factors.csv: line 3, for 1.png, has 2 values and the first line 3 names"
        ):
            load(str(tmp_path))

    def test_sizes_must_agree_or_be_given(self, tmp_path: Path) -> None:
        picture(tmp_path / "a.png", 50)
        picture(tmp_path / "b.png", 60, size=(9, 3))
        with pytest.raises(ValueError, match=r"a.png has \(5, 7\) pixels and .*b.png \(9, 3\); .* size=64"):
            load(str(tmp_path))
        data = load(str(tmp_path), size=4, held_out=0).train
        assert data.shape == (1, 4, 4)
        assert (data.x[0] == 50).all()
        assert (data.x[1] == 60).all()

    def test_a_stranger_is_named(self, tmp_path: Path, caches: Path) -> None:
        picture(tmp_path / "pets" / "a.png")
        (tmp_path / "pets" / ".DS_Store").write_text("hidden, and so of no matter", encoding="utf-8")
        assert len(load(str(tmp_path / "pets"), held_out=0).train) == 1
        (tmp_path / "pets" / "notes.txt").write_text("not an image", encoding="utf-8")
        with pytest.raises(ValueError, match=r"notes.txt is not an image, one of 1 such files; move them elsewhere"):
            load(str(tmp_path / "pets"))
        (tmp_path / "pets" / "notes.txt").rename(tmp_path / "pets" / "notes.png")
        with pytest.raises(ValueError, match=r"notes.png cannot be read as an image"):
            load(str(tmp_path / "pets"))
        assert len(list(caches.glob("*.images"))) == 1  # the first one

    def test_a_truncated_image_is_named(self, tmp_path: Path) -> None:
        for n in range(3):
            noise = np.random.default_rng(n).integers(256, size=(40, 40), dtype=np.uint8)
            Image.fromarray(noise).save(tmp_path / f"{n}.png")
        broken = tmp_path / "1.png"
        whole = broken.read_bytes()
        for length in range(0, len(whole) - 12, 101):  # the last 12 bytes only say that it ends
            broken.write_bytes(whole[:length])
            with pytest.raises(ValueError, match=rf"{broken} cannot be read"):
                load(str(tmp_path))
        broken.write_bytes(whole.replace(b"IDAT", b"IDOT", 1))
        with pytest.raises(ValueError, match=rf"{broken} cannot be read"):
            load(str(tmp_path))
        broken.write_bytes(whole)  # mended, it is taken
        np.testing.assert_array_equal(load(str(tmp_path), held_out=0).train.x[1, 0], np.asarray(Image.open(broken)))

    @pytest.mark.parametrize(
        "name",
        [".ipynb_checkpoints", ".thumbnails", "__MACOSX", ".git", "@eaDir", "$RECYCLE.BIN", "lost+found", "#recycle"],
    )
    def test_what_systems_hide_is_no_class(self, tmp_path: Path, name: str) -> None:
        for place in ("a", "b", name, f"a/{name}"):
            picture(tmp_path / place / "1.png")
        for file in ("Thumbs.db", "desktop.ini", ".DS_Store", "a/thumbs.db", "b/Desktop.ini"):
            (tmp_path / file).write_bytes(b"of the system")
        data = load(str(tmp_path), held_out=0).train
        assert data.classes == ("a", "b")
        assert len(data) == 2

    def test_a_hidden_folder_of_ones_own_is_read(self, tmp_path: Path) -> None:
        picture(tmp_path / ".cache" / "pets" / "1.png", 7)
        assert load(str(tmp_path / ".cache" / "pets"), held_out=0).train.x.max() == 7

    @pytest.mark.parametrize(
        ("parts", "tested", "left_out"),
        [
            (("train", "val", "test"), "test", {"val": 2}),
            (("Train", "Test"), "Test", {}),
            (("training", "validation"), "validation", {}),
            (("train", "valid"), "valid", {}),
            (("train", "dev", "testing"), "testing", {"val": 2}),
            (("train", "eval"), "eval", {}),
        ],
    )
    def test_parts_are_no_classes(
        self, tmp_path: Path, parts: tuple[str, ...], tested: str, left_out: dict[str, int]
    ) -> None:
        for level, part in enumerate(parts):
            for label in "ab":
                picture(tmp_path / part / label / "1.png", 10 * level + (label == "b"))
        train, test = load(str(tmp_path))
        assert train.classes == test.classes == ("a", "b")
        assert train.x[:, 0, 0, 0].tolist() == [0, 1]
        first = 10 * parts.index(tested)
        assert test.x[:, 0, 0, 0].tolist() == [first, first + 1]
        assert train.left_out == test.left_out == left_out

    def test_parts_without_classes(self, tmp_path: Path) -> None:
        for part in ("train", "test"):
            picture(tmp_path / part / "1.png")
        train, test = load(str(tmp_path))
        assert train.y is test.y is None
        assert (len(train), len(test)) == (1, 1)

    def test_a_single_part_is_no_class_either(self, tmp_path: Path) -> None:
        for n, label in enumerate("aabb"):
            picture(tmp_path / "train" / label / f"{n}.png")
        train, test = load(str(tmp_path), held_out=0.25)
        assert train.classes == ("a", "b")
        assert (len(train), len(test)) == (3, 1)

    def test_vehicles_may_be_trains(self, tmp_path: Path) -> None:
        for label in ("bus", "car", "train"):
            picture(tmp_path / label / "1.png")
        assert load(str(tmp_path), held_out=0).train.classes == ("bus", "car", "train")

    @pytest.mark.parametrize(
        ("places", "message"),
        [
            (("train/a", "test/a", "extra/a"), r"extra/a/1.png is next to the folders test, train, which split"),
            (("train/a", "test/a", "."), r"1.png is next to the folders test, train, which split the set; move it"),
            (("val/a", "test/a"), r"has the folders test, val, but no folder train to train on"),
            (("a", "b", "."), r"1.png is next to the folders of the classes, one of 1 such images; move it into"),
            (("train/a", "train", "test/a"), r"train/1.png is next to the folders of the classes"),
        ],
    )
    def test_what_lies_between_is_named(self, tmp_path: Path, places: tuple[str, ...], message: str) -> None:
        for place in places:
            picture(tmp_path / place / "1.png")
        with pytest.raises(ValueError, match=message):
            load(str(tmp_path))

    @pytest.mark.parametrize(
        ("places", "part"),
        [
            (("pets/train/a", "pets/train/b", "pets/test/a", "pets/test/b"), "pets/train"),
            (("a/train", "a/test", "b/train", "b/test"), "a/train"),
            (("a/train", "b/train", "b/test"), "b/train"),
            (("pets_train/a", "pets_test/a"), "pets_train"),
            (("training_set/a", "test_set/a"), "training_set"),
            (("trainA", "trainB", "testA", "testB"), "trainA"),
            (("train2017", "val2017"), "train2017"),
            (("a", "b/c/TRAIN", "b/c/VALID"), "b/c/TRAIN"),
        ],
    )
    def test_parts_elsewhere_or_with_other_names_are_no_classes(
        self, tmp_path: Path, places: tuple[str, ...], part: str
    ) -> None:
        for place in places:
            picture(tmp_path / place / "1.png")
        with pytest.raises(ValueError, match=rf"{part} looks like one part of a set that is split, .*; call the parts"):
            load(str(tmp_path))

    @pytest.mark.parametrize(
        "labels",
        [("a/train", "b"), ("tester", "trainer"), ("car", "training shoe"), ("a/train", "b/test"), ("tests", "val")],
    )
    def test_names_that_are_no_parts_are_classes(self, tmp_path: Path, labels: tuple[str, ...]) -> None:
        for label in labels:
            picture(tmp_path / label / "1.png")
        assert load(str(tmp_path), held_out=0).train.classes == labels

    @pytest.mark.parametrize("empty", ["b", "test", "train/b", "b/deeper"])
    def test_an_empty_folder_is_named_and_is_no_missing_class(self, tmp_path: Path, empty: str) -> None:
        picture(tmp_path / "train" / "a" / "1.png")
        (tmp_path / empty).mkdir(parents=True)
        (tmp_path / empty / ".hidden").write_text("not an image")
        with pytest.raises(FileNotFoundError, match=rf"{empty} is empty; put its images there, or remove it"):
            load(str(tmp_path))

    @pytest.mark.skipif(os.name != "posix", reason="makes POSIX links and named pipes")
    def test_links_that_lead_back_and_files_that_are_none(self, tmp_path: Path) -> None:
        picture(tmp_path / "pets" / "a" / "1.png")
        (tmp_path / "pets" / "a" / "all").symlink_to(tmp_path / "pets")
        with pytest.raises(ValueError, match=r"pets/a/all links to a folder that contains it; remove this link"):
            load(str(tmp_path / "pets"))
        (tmp_path / "pets" / "a" / "all").unlink()
        for make in (lambda place: place.symlink_to(tmp_path / "gone.png"), os.mkfifo):
            make(strange := tmp_path / "pets" / "a" / "2.png")  # a pipe, if opened, would never answer
            with pytest.raises(ValueError, match=r"pets/a/2.png is not an image, one of 1 such files"):
                load(str(tmp_path / "pets"))
            strange.unlink()
        picture(tmp_path / "elsewhere" / "2.png", 9)
        (tmp_path / "pets" / "b").symlink_to(tmp_path / "elsewhere")  # a class kept elsewhere is one
        assert load(str(tmp_path / "pets"), held_out=0).train.classes == ("a", "b")

    def test_folders_of_one_name_have_images_of_their_own(self, tmp_path: Path) -> None:
        for level, parent in ((3, "here"), (5, "there")):
            os.utime(picture(tmp_path / parent / "pets" / "1.png", level), ns=(0, 0))
            assert load(str(tmp_path / parent / "pets"), held_out=0).train.x.max() == level

    def test_many_images_are_mapped(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("zoo.lab.data.image_folder.MAPPED", 100)
        for n in range(6):
            picture(tmp_path / ("a" if n % 2 else "b") / f"{n}.png", n)
        train, test = load(str(tmp_path), held_out=0.5)
        assert isinstance(train.x, Rows)
        for part in (train, test):
            x = part.batch(torch.arange(3)).x
            levels = (x[:, 0, 0, 0] * 255).round().int()
            assert torch.equal(x, x[:, :, :1, :1].expand_as(x))
            np.testing.assert_array_equal(part.y, 1 - levels % 2)

    def test_options_that_mean_nothing_here_are_refused(self, tmp_path: Path) -> None:
        picture(tmp_path / "pets" / "1.png")
        np.savez(tmp_path / "mine.npz", x=np.eye(3))
        for path, options, message in (
            ("pets", {"x_max": 3.0}, r"x_max is for an .npz or a .pt"),
            ("pets", {"size": 0}, r"size must be from 1 to 1,024 pixels, got 0"),
            ("pets", {"size": 10**6}, r"size must be from 1 to 1,024 pixels, got 1000000"),  # 1 TB for each image
            ("mine.npz", {"x_max": 3.0}, r"x_max is for bytes, and x holds float64; leave it out, and divide x by 3"),
            ("pets", {"background": "wite"}, r"background must be a colour"),
            ("mine.npz", {"size": 8}, r"size and background are for a folder"),
            ("mine.npz", {"background": "black"}, r"size and background are for a folder"),
        ):
            with pytest.raises(ValueError, match=message):
                load(str(tmp_path / path), **options)

    def test_photographs_are_refused_before_they_fill_the_memory(self, tmp_path: Path) -> None:
        """256 images are decoded at a time: 9 GB of a phone's, 4032 x 3024 in colours; no byte of these is decoded."""
        picture(tmp_path / "photo.png", size=(1025, 1024))
        with pytest.raises(ValueError, match=r"photo.png has 1,025 x 1,024 pixels, more than .* with size=64"):
            load(str(tmp_path))
        assert load(str(tmp_path), size=64, held_out=0).train.shape == (1, 64, 64)

    def test_deep_images_are_refused(self, tmp_path: Path) -> None:
        Image.fromarray(np.full((5, 5), 40_000, np.uint16)).save(tmp_path / "deep.png")
        with pytest.raises(ValueError, match=r"deep.png has mode I;16; save it with 8 bits per channel"):
            load(str(tmp_path))

    def test_an_empty_folder(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError, match=r"there are no images in this folder"):
            load(str(tmp_path))

    def test_a_folder_that_must_not_be_listed(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        picture(tmp_path / "a" / "1.png")
        picture(tmp_path / "b" / "1.png")
        scan = os.scandir

        def denied(path: Any) -> Any:
            if str(path).endswith("b"):
                raise PermissionError(13, "Permission denied", str(path))
            return scan(path)

        monkeypatch.setattr(os, "scandir", denied)
        with pytest.raises(PermissionError, match=rf"{tmp_path}/b cannot be listed: Permission denied"):
            load(str(tmp_path))


class TestFile:
    """An .npz or a .pt."""

    def test_npz(self, tmp_path: Path) -> None:
        x = np.arange(5 * 12, dtype=np.uint8).reshape(5, 4, 3)
        angle = np.array([[0.5], [1.0], [0.5], [2.0], [0.5]])
        np.savez(tmp_path / "mine.npz", x=x, y=[0, 1, 2, 0, 1], classes=["a", "b", "c"], factors=angle)
        data = load(str(tmp_path / "mine.npz"), held_out=0).train
        assert data.name == "mine"
        assert data.shape == (1, 4, 3)
        assert data.classes == ("a", "b", "c")
        assert data.factors is not None
        assert data.factors.sizes == (3,)
        assert torch.equal(data.batch(torch.arange(5)).x[:, 0], torch.from_numpy(x) / 255.0)
        assert [len(part) for part in load(str(tmp_path / "mine.npz"), held_out=0.4, seed=1)] == [3, 2]

    def test_a_test_set_of_its_own(self, tmp_path: Path) -> None:
        x = np.array([[0], [4]], np.uint8)
        arrays = {"x": x, "y": ["u", "w"], "x_test": x[1:], "y_test": ["v"]}
        angles = {"factors": [[10, 1], [30, 1]], "factors_test": [[20, 1]], "factor_names": ["angle", "one"]}
        np.savez(tmp_path / "mine.npz", **arrays, **angles)
        train, test = load(str(tmp_path / "mine.npz"), x_max=8)
        assert test.classes == train.classes == ("u", "v", "w")
        np.testing.assert_array_equal(train.y, [0, 2])
        np.testing.assert_array_equal(test.y, [1])
        assert train.factors is not None
        assert test.factors is not None
        assert train.factors.sizes == test.factors.sizes == (3, 1)
        np.testing.assert_array_equal(test.factors.classes, [[1, 0]])
        assert test.batch(torch.tensor([0])).x.item() == 0.5
        del arrays["y_test"]
        np.savez(tmp_path / "mine.npz", **arrays)
        with pytest.raises(ValueError, match=r"has y and x_test, but no y_test"):
            load(str(tmp_path / "mine.npz"))

    @pytest.mark.parametrize(
        ("arrays", "message"),
        [
            ({"factors": np.eye(4)[:, :2], "factor_names": ["a", "a"]}, r"factor_names must be one name each, got"),
            ({"factor_names": ["a"]}, r"has factor_names, but no factors"),
            ({"classes": ["a", "b"]}, r"classes are the names of labels, and there is no y"),
            ({"x_test": np.eye(4, dtype=np.uint8)}, r"x holds float64 and x_test uint8, .* save both with one type"),
        ],
    )
    def test_what_would_be_read_wrongly_or_not_at_all(
        self, tmp_path: Path, arrays: dict[str, Any], message: str
    ) -> None:
        np.savez(tmp_path / "mine.npz", x=np.eye(4), **arrays)
        with pytest.raises(ValueError, match=message):
            load(str(tmp_path / "mine.npz"))

    def test_grey_test_images_beside_black_and_white_ones_are_refused(self, tmp_path: Path) -> None:
        few, grey = np.eye(4, dtype=np.uint8), np.full((4, 4), 248, np.uint8)
        for x in (few, few.astype(bool)):
            np.savez(tmp_path / "mine.npz", x=x, x_test=grey)
            with pytest.raises(
                ValueError, match=r"only the bytes 0 and 1, .* x_test has bytes up to 248; save both on"
            ):
                load(str(tmp_path / "mine.npz"))
        np.savez(tmp_path / "mine.npz", x=few, x_test=grey)
        for given, seen in ((255, 248 / 255), (248, 1.0)):
            test = load(str(tmp_path / "mine.npz"), x_max=given).test
            assert test.batch(torch.arange(4)).x.unique().item() == pytest.approx(seen)
        with pytest.raises(ValueError, match="x_test has bytes up to 248, above x_max = 15"):
            load(str(tmp_path / "mine.npz"), x_max=15)

    def test_bits_and_bytes_are_one_type(self, tmp_path: Path) -> None:
        np.savez(tmp_path / "mine.npz", x=np.eye(4, dtype=bool), x_test=np.eye(4, dtype=np.uint8))
        assert [part.x_max for part in load(str(tmp_path / "mine.npz"))] == [1, 1]

    def test_endings_in_capitals(self, tmp_path: Path) -> None:
        np.savez(tmp_path / "mine.npz", x=np.eye(4))
        (tmp_path / "mine.npz").rename(tmp_path / "mine.NPZ")
        torch.save(torch.eye(4), tmp_path / "mine.PT")
        for name in ("mine.NPZ", "mine.PT"):
            assert len(load(str(tmp_path / name), held_out=0).train) == 4

    @pytest.mark.skipif(os.name != "posix", reason="makes a named pipe")
    def test_a_pipe_is_not_waited_for(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "mine.npz")
        with pytest.raises(ValueError, match=r"mine.npz': it must be a folder of images, an .npz or a .pt"):
            load(str(tmp_path / "mine.npz"))

    def test_tensors(self, tmp_path: Path) -> None:
        x = torch.rand(6, 2)
        torch.save({"x": x, "y": torch.arange(6)}, tmp_path / "both.pt")
        torch.save(x, tmp_path / "x.pt")
        for name in ("both", "x"):
            data = load(str(tmp_path / f"{name}.pt"), held_out=0).train
            assert torch.equal(data.batch(torch.arange(6)).x, x)
            assert (data.y is None) == (name == "x")

    @pytest.mark.parametrize("kind", [list, tuple])
    def test_two_tensors_are_images_and_labels(self, tmp_path: Path, kind: Any) -> None:
        x, y = torch.rand(6, 1, 8, 8), torch.arange(6) % 2
        torch.save(kind((x, y)), tmp_path / "pair.pt")
        torch.save(kind((x,)), tmp_path / "one.pt")
        data = load(str(tmp_path / "pair.pt"), held_out=0).train
        assert torch.equal(data.batch(torch.arange(6)).x, x)
        np.testing.assert_array_equal(data.y, y)
        assert load(str(tmp_path / "one.pt"), held_out=0).train.y is None

    def test_tensors_as_training_leaves_them(self, tmp_path: Path) -> None:
        x = torch.tensor([[0.5, 1.0], [2.0, -1.0]])
        torch.save({"x": x.bfloat16().requires_grad_(), "factors": x.bfloat16()}, tmp_path / "half.pt")
        data = load(str(tmp_path / "half.pt"), held_out=0).train
        assert torch.equal(data.batch(torch.arange(2)).x, x.double())
        assert data.factors is not None
        assert data.factors.names == ("0", "1")

    @pytest.mark.parametrize(
        ("saved", "message"),
        [
            (
                {"x": np.zeros((3, 2))},
                r"holds more than tensors \(as NumPy's arrays or objects\); save a dictionary of",
            ),
            (TensorDataset(torch.eye(3)), r"holds more than tensors .*save a dictionary of tensors, torch.save"),
            ((torch.eye(3), torch.eye(3), torch.eye(3)), r"holds a tuple; save a dictionary of tensors"),
            ("text", r"holds a str; save a dictionary of tensors"),
            (torch.nn.Linear(2, 2).state_dict(), r"holds \['bias', 'weight'\]; it must have x"),
            ({f"layer{n}": torch.zeros(1) for n in range(50)}, r"'layer17', '...'\]; it must have x"),
            ({0: torch.eye(3)}, r"holds \['0'\]; it must have x"),
            ({"x": torch.eye(3), "x_train": torch.eye(3)}, r"holds \['x', 'x_train'\]; it must have x"),
            ({"x": torch.eye(3).to_sparse()}, r"x cannot be taken as an array: it is a sparse tensor; .to_dense\(\)"),
            ({"x": torch.tensor(3.0)}, r"x must be \[N, ...\], got \(\)"),
            ({"x": "text"}, r"x cannot be taken as an array: it is a str"),
            ({"x": torch.eye(3), "y_test": torch.arange(3)}, r"has y_test, but no x_test"),
            ({"x": torch.eye(3), "x_test": torch.eye(2)}, r"datapoints of x are \(3,\) and of x_test \(2,\)"),
            ({"x": torch.eye(3), "y": [0, 1, None]}, r"y has 1 missing values"),
        ],
    )
    def test_other_things_in_a_pt(self, tmp_path: Path, saved: Any, message: str) -> None:
        torch.save(saved, tmp_path / "mine.pt")
        with pytest.raises((ValueError, TypeError), match=message) as caught:
            load(str(tmp_path / "mine.pt"))
        assert "mine" in str(caught.value)
        assert len(str(caught.value).splitlines()) == 1

    @pytest.mark.parametrize("key", ["classes", "factor_names"])
    @pytest.mark.parametrize(
        "names", [{"dog": 1, "cat": 0}, {0: "cat", 1: "dog"}, {"cat", "dog"}, 2, [["cat"], ["dog"]]]
    )
    def test_names_without_an_order_are_refused(self, tmp_path: Path, key: str, names: Any) -> None:
        y = torch.arange(4) % 2
        torch.save({"x": torch.eye(4), "y": y, "factors": torch.stack([y, y], 1), key: names}, tmp_path / "mine.pt")
        with pytest.raises(TypeError, match=rf"mine.pt': {key} must be a list of names in their order, got ") as caught:
            load(str(tmp_path / "mine.pt"))
        assert len(str(caught.value).splitlines()) == 1

    def test_names_of_two_axes_are_refused(self, tmp_path: Path) -> None:
        np.savez(tmp_path / "mine.npz", x=np.eye(4), y=np.arange(4) % 2, classes=np.array([["cat"], ["dog"]]))
        with pytest.raises(
            TypeError, match=r"classes must be a list of names in their order, got ndarray of <U3 \[2, 1\]"
        ):
            load(str(tmp_path / "mine.npz"))

    def test_none_in_a_pt_is_not_there(self, tmp_path: Path) -> None:
        torch.save({"x": torch.eye(4), **dict.fromkeys(("y", "classes", "factors", "x_test"))}, tmp_path / "mine.pt")
        data = load(str(tmp_path / "mine.pt"), held_out=0).train
        assert (data.y, data.classes, data.factors) == (None, (), None)
        torch.save({"x": None}, tmp_path / "mine.pt")
        with pytest.raises(ValueError, match=r"holds \[\]; it must have x"):
            load(str(tmp_path / "mine.pt"))

    def test_objects_in_an_npz(self, tmp_path: Path) -> None:
        np.savez(tmp_path / "mine.npz", x=np.eye(4), y=np.array(["cat", "dog"] * 2, dtype=object))
        with pytest.raises(
            ValueError, match=r"mine.npz cannot be read: array 'y': it holds Python objects; save it wit"
        ):
            load(str(tmp_path / "mine.npz"))
        np.savez(tmp_path / "mine.npz", x=np.eye(4), y=np.array([b"cat", b"dog"] * 2))
        assert load(str(tmp_path / "mine.npz"), held_out=0).train.classes == ("cat", "dog")

    def test_names_that_others_give_the_parts(self, tmp_path: Path) -> None:
        x, y = np.eye(4, dtype=np.float32), np.arange(4)
        np.savez(tmp_path / "mine.npz", x_train=x, y_train=y, x_test=x[:2], y_test=y[:2])
        train, test = load(str(tmp_path / "mine.npz"))
        assert (len(train), len(test)) == (4, 2)
        np.testing.assert_array_equal(test.y, [0, 1])

    def test_factors_with_names_of_their_own(self, tmp_path: Path) -> None:
        table = np.array([(0.5, "u"), (1.5, "v"), (0.5, "v")], [("angle", "f8"), ("who", "U1")])
        np.savez(tmp_path / "mine.npz", x=np.eye(3), factors=table)
        factors = load(str(tmp_path / "mine.npz"), held_out=0).train.factors
        assert factors is not None
        assert factors.names == ("angle", "who")
        np.testing.assert_array_equal(factors.classes, [[0, 0], [1, 1], [0, 1]])

    def test_names_of_arrays_are_looked_at_before_the_arrays(self, tmp_path: Path) -> None:
        # dSprites' own layout: imgs, and metadata that would have to be unpickled
        np.savez(tmp_path / "d.npz", imgs=np.eye(3), metadata=np.array({"a": 1}, dtype=object))
        with pytest.raises(ValueError, match=r"holds \['imgs', 'metadata'\]; it must have x"):
            load(str(tmp_path / "d.npz"))

    @pytest.mark.parametrize(
        ("arrays", "message"),
        [
            ({"images": np.eye(3)}, r"holds \['images'\]; it must have x, and may have y, "),
            ({"x": np.eye(3), "label": np.arange(3)}, r"holds \['label', 'x'\]"),
            ({"x": np.eye(3), "y": np.arange(2)}, r"x has 3 datapoints and y 2"),
            (
                {"x": np.eye(3), "factors": np.eye(3), "factor_names": ["a"]},
                r"factors must be \[N, F\] with F factor_names, got \(3, 3\) and 1 names",
            ),
            ({"x": np.eye(3), "factors": np.eye(2), "factor_names": ["a", "b"]}, r"x has 3 datapoints and factors 2"),
            ({"x": np.eye(3, dtype=np.int32)}, r"x holds int32; .astype"),
        ],
    )
    def test_what_does_not_fit_is_told(self, tmp_path: Path, arrays: dict[str, Any], message: str) -> None:
        np.savez(tmp_path / "mine.npz", **arrays)
        with pytest.raises(ValueError, match=message):
            load(str(tmp_path / "mine.npz"))

    @pytest.mark.parametrize("name", ["mine.npz", "mine.pt"])
    def test_damaged_files_are_named(self, tmp_path: Path, name: str) -> None:
        path = tmp_path / name
        if name == "mine.npz":
            np.savez(path, x=np.eye(30))
        else:
            torch.save(torch.eye(30), path)
        path.write_bytes(path.read_bytes()[:500])
        with pytest.raises(ValueError, match=rf"{path}.* (cannot be read|can be read)"):
            load(str(path))

    @pytest.mark.parametrize(
        ("key", "train", "test"),
        [
            ("y", np.array(["cat", "dog"]), np.array([0, 1])),  # NumPy would make four classes of them
            ("y", np.array([0, 1]), np.array(["0", "1"])),
            ("factors", np.array([["a"], ["b"]]), np.array([[0], [1]])),
            ("factors", np.zeros(2, [("n", "i4"), ("m", "i4")]), np.zeros(2, [("m", "i4"), ("n", "i4")])),
        ],
    )
    def test_names_are_not_joined_with_numbers(
        self, tmp_path: Path, key: str, train: np.ndarray, test: np.ndarray
    ) -> None:
        x = np.zeros((2, 3))
        np.savez(tmp_path / "mine.npz", x=x, x_test=x, **{key: train, f"{key}_test": test})
        with pytest.raises(ValueError, match=rf"{key} holds .* and {key}_test .*; save both with one type"):
            load(str(tmp_path / "mine.npz"))

    def test_names_saved_as_bytes(self, tmp_path: Path) -> None:
        names = {"classes": np.array([b"a", b"b"]), "factor_names": np.array([b"size", b"kind"])}
        arrays = {"x": np.zeros((4, 3)), "y": np.array([b"b", b"a"] * 2), "factors": np.array([[1, 2], [3, 4]] * 2)}
        np.savez(tmp_path / "mine.npz", **arrays, **names)  # type: ignore[arg-type]
        data = load(str(tmp_path / "mine.npz"), held_out=0).train
        assert data.classes == ("a", "b")
        assert data.factors is not None
        assert data.factors.names == ("size", "kind")
        np.testing.assert_array_equal(data.y, [1, 0, 1, 0])

    def test_one_label_without_an_axis(self, tmp_path: Path) -> None:
        np.savez(tmp_path / "mine.npz", x=np.zeros((1, 3)), y=2)
        np.testing.assert_array_equal(load(str(tmp_path / "mine.npz"), held_out=0).train.y, [2])

    def test_paths_that_are_nothing(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError, match=r"mine.npz': there is no such file or folder"):
            load(str(tmp_path / "mine.npz"))
        (tmp_path / "mine.csv").write_text("1,2", encoding="utf-8")
        with pytest.raises(ValueError, match=r"mine.csv': it must be a folder of images, an .npz or a .pt"):
            load(str(tmp_path / "mine.csv"))
        with pytest.raises(
            TypeError, match=r"has no option \['sise'\]; it has \['background', 'held_out', 'seed', 'size', 'x_max'\]"
        ):
            load(str(tmp_path / "mine.csv"), sise=3)


def test_a_folder_is_walked_in_the_order_of_paths_and_its_files_are_kept_by_name(tmp_path: Path) -> None:
    names = ["a/x.png", "a.png", "a-b/y.png", "a/b/z.png", "B/1.png", "a/b.png", "0.png", "\u00e9/1.png"]
    for name in [*names, ".hidden/1.png", "a/.DS_Store", "__MACOSX/1.png"]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    found = [place for place, is_file in _walk(tmp_path, tmp_path) if is_file]
    assert [tmp_path / place for place in found] == sorted(tmp_path / name for name in names)
    files = Files(tmp_path, found)
    assert len(files) == len(names)
    assert list(files) == sorted(tmp_path / name for name in names)
    assert files[2:5] == sorted(tmp_path / name for name in names)[2:5]
    assert files[-1] == tmp_path / found[-1]
    (tmp_path / "broken.png").symlink_to(tmp_path / "nosuch")
    assert ("broken.png", False) in list(_walk(tmp_path, tmp_path))


def test_images_of_a_class_share_the_name_of_their_folder(tmp_path: Path) -> None:
    places = [f"{folder}/{n}.png" for folder in ("one", "two") for n in range(1_000)]
    parts, labels = _arrange(tmp_path, places)
    assert parts == []
    assert labels == ["one"] * 1_000 + ["two"] * 1_000
    assert len({id(label) for label in labels}) == 2
