"""CelebA from small trees in torchvision's layout."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import transforms

from zoo.lab.data import load
from zoo.lab.data.celeba import read_face

NAMES = [f"Attribute_{k:02d}" for k in range(40)]
PARTS = [0, 0, 1, 2, 0, 2, 1, 0, 0, 2]
IMAGES = [f"{n:06d}.jpg" for n in range(1, 11)]


def has(n: int, k: int) -> bool:
    """Whether the n-th face of the tree has the k-th attribute: bit k % 4 of n, so all columns differ from some."""
    return bool(n >> (k % 4) & 1)


def face(n: int) -> Image.Image:
    """178 x 218 pixels: red rises to the right, green downwards, blue tells which face it is."""
    down, right = np.indices((218, 178))
    return Image.fromarray(np.stack([right, down, np.full_like(down, 20 * n)], axis=-1).astype(np.uint8))


def write(folder: Path) -> Path:
    """Ten faces and their two lists, as distributed."""
    root = folder / "celeba"
    (root / "img_align_celeba").mkdir(parents=True)
    for n, name in enumerate(IMAGES):
        face(n).save(root / "img_align_celeba" / name, quality=95)
    lines = [f"{name} {' '.join(f'{1 if has(n, k) else -1:2d}' for k in range(40))}" for n, name in enumerate(IMAGES)]
    (root / "list_attr_celeba.txt").write_text(
        "\n".join(["10", " ".join(NAMES) + " ", *lines]) + "\n", encoding="utf-8"
    )
    rows = [f"{name} {part}\n" for name, part in zip(IMAGES, PARTS, strict=True)]
    (root / "list_eval_partition.txt").write_text("".join(rows), encoding="utf-8")
    return root


@pytest.fixture(autouse=True)
def caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the test's caches go."""
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "caches"))
    return tmp_path / "caches"


def which(data: Any) -> list[int]:
    """The faces' numbers, by their blue."""
    return np.round(data.x[np.arange(len(data))][:, 2].mean((1, 2)) / 20).astype(int).tolist()


def test_the_official_partition_and_the_attributes(tmp_path: Path) -> None:
    write(tmp_path)
    train, test = load("celeba", folder=tmp_path)
    assert which(train) == [n for n in range(10) if PARTS[n] == 0]
    assert which(test) == [n for n in range(10) if PARTS[n] == 2]
    assert which(load("celeba", folder=tmp_path, test="valid").test) == [2, 6]
    assert train.shape == (3, 64, 64)
    assert train.left_out == {"valid": 2}
    for data in (train, test):
        assert data.factors is not None
        assert data.factors.names == tuple(NAMES)
        expected = [[int(has(n, k)) for k in range(40)] for n in which(data)]
        np.testing.assert_array_equal(data.factors.values_at(np.arange(len(data))), expected)
    batch = train.sample(9, fixed={"Attribute_00": 1}, seed=0)
    assert {which(train)[i] % 2 for i in batch.index.tolist()} == {1}


def test_the_crop_is_torchvisions(tmp_path: Path) -> None:
    write(tmp_path)
    path = tmp_path / "celeba" / "img_align_celeba" / IMAGES[3]
    for crop, size in ((148, 64), (178, 64), (100, 50)):
        found = load("celeba", folder=tmp_path, crop=crop, size=size, held_out=0.0).train
        theirs = transforms.Compose([transforms.CenterCrop(crop), transforms.Resize(size), transforms.ToTensor()])
        with Image.open(path) as image:
            expected = theirs(image)
        torch.testing.assert_close(found.batch(torch.tensor([3])).x[0], expected, rtol=0, atol=1e-9)


def test_the_crop_is_in_the_middle(tmp_path: Path) -> None:
    # 148 of 178 x 218 leaves 15 at the left and 35 above, so red goes from 15 to 162 and green from 35 to 182; a pixel
    # of 64 is 148 / 64 = 2.3125 wide, so the centre of the first is 1.156 from the edge, less the pixel's half
    write(tmp_path)
    pixels = load("celeba", folder=tmp_path, held_out=0).train.x[0].astype(float)
    centres = 148 / 64 * (np.arange(64) + 0.5) - 0.5
    np.testing.assert_allclose(pixels[0].mean(axis=0)[2:-2], 15 + centres[2:-2], atol=1.5)
    np.testing.assert_allclose(pixels[1].mean(axis=1)[2:-2], 35 + centres[2:-2], atol=1.5)


def test_a_tenth_by_chance_as_an_option(tmp_path: Path) -> None:
    write(tmp_path)
    train, test = load("celeba", folder=tmp_path, held_out=0.1, seed=3)
    assert (len(train), len(test)) == (9, 1)
    assert sorted(which(train) + which(test)) == list(range(10))


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"img_align_celeba, .*attr.*, .*partition.txt not found.*ZOO_DATA"):
        load("celeba", folder=tmp_path)
    root = write(tmp_path)
    (root / "img_align_celeba" / IMAGES[4]).unlink()
    with pytest.raises(FileNotFoundError, match=r"img_align_celeba has no 000005.jpg, one of 1 images"):
        load("celeba", folder=tmp_path)


def test_a_stranger_among_the_images(tmp_path: Path) -> None:
    root = write(tmp_path)
    (root / "img_align_celeba" / ".listing").write_text("", encoding="utf-8")
    load("celeba", folder=tmp_path)
    (root / "img_align_celeba" / "holiday.jpg").write_bytes(b"")
    with pytest.raises(ValueError, match=r"holiday.jpg is not in celeba/list_attr_celeba.txt, one of 1 such files"):
        load("celeba", folder=tmp_path)


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        ("list_attr_celeba.txt", r"^10\n", "11\n", r"announces '11' images with 40 attributes and lists 10"),
        ("list_attr_celeba.txt", r"000004.jpg.*\n", "", r"announces '10' images with 40 attributes and lists 9"),
        ("list_attr_celeba.txt", r"Attribute_07 ", "", r"announces '10' images with 39 attributes"),
        ("list_attr_celeba.txt", r"(?s).*", "", r"announces '' images with 0 attributes and lists 0"),
        ("list_attr_celeba.txt", r"(000004.jpg.*) -?1\n", r"\1\n", r"line 6 of .* 40 times 1 or -1, got '000004.jpg"),
        ("list_attr_celeba.txt", r"(000004.jpg.*) -?1\n", r"\1 0\n", r"line 6 of .* 40 times 1 or -1, got '000004.jpg"),
        ("list_attr_celeba.txt", r"Attribute_07", "Attribut\u00e9", r"attr_celeba.txt cannot be read: .*ascii"),
        ("list_eval_partition.txt", r"000004.jpg 2\n", "", r"has 9 lines and .*attr_celeba.txt 10 images"),
        (
            "list_eval_partition.txt",
            r"000004.jpg 2",
            "000004.jpg 3",
            r"line 4 of .* must have 000004.jpg and 0, 1 or 2",
        ),
        ("list_eval_partition.txt", r"000004.jpg", "000014.jpg", r"line 4 of .* must have 000004.jpg"),
        ("list_eval_partition.txt", r" [12]\n", " 0\n", r"has 10 images for 'train' and 0 for 'test'"),
    ],
)
def test_damaged_lists_are_told(tmp_path: Path, caches: Path, file: str, old: str, new: str, message: str) -> None:
    path = write(tmp_path) / file
    found = path.read_text(encoding="utf-8")
    changed = re.sub(old, new, found)
    assert changed != found
    path.write_text(changed, encoding="utf-8")
    with pytest.raises(ValueError, match=rf"data 'celeba': .*{message}"):
        load("celeba", folder=tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("half", "truncated"),
        ("", "cannot identify"),
        ("<html>", "cannot identify"),
        ("grey", "L of"),
        ("small", "RGB of"),
    ],
)
def test_a_damaged_image_is_named_and_the_mended_one_taken(tmp_path: Path, content: str, message: str) -> None:
    path = write(tmp_path) / "img_align_celeba" / IMAGES[4]
    whole = path.read_bytes()
    if content == "half":
        path.write_bytes(whole[: len(whole) // 2])
    elif content == "grey":
        face(4).convert("L").save(path)
    elif content == "small":
        face(4).crop((0, 0, 178, 217)).save(path)
    else:
        path.write_text(content, encoding="utf-8")
    for _ in range(2):  # never taken for whole
        with pytest.raises(ValueError, match=rf"'celeba': {path} cannot be read: .*{message}.*Unpack it again"):
            load("celeba", folder=tmp_path)
    path.write_bytes(whole)
    assert which(load("celeba", folder=tmp_path, held_out=0).train) == list(range(10))


def test_options_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"test is 'test' or 'valid', got 'train'"):
        load("celeba", folder=tmp_path, test="train")
    for crop in (0, 179):
        with pytest.raises(ValueError, match=rf"crop is 1 to 178, got {crop}"):
            load("celeba", folder=tmp_path, crop=crop)


def test_decoded_in_the_data_folder_unless_said_otherwise(
    tmp_path: Path, caches: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path)
    load("celeba", folder=tmp_path)
    assert [file.name[:6] for file in caches.glob("*.images")] == ["celeba"]
    monkeypatch.delenv("ZOO_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    load("celeba", folder=tmp_path)
    (file,) = (tmp_path / "decoded").iterdir()
    assert file.stat().st_size == 10 * 3 * 64 * 64 + 64  # the images, and one block's mark


def test_the_decoder_reads_what_pillow_reads(tmp_path: Path) -> None:
    face(5).save(tmp_path / "a.png")  # without loss, so a crop of 64 to size 64 is exact
    expected = np.asarray(face(5)).transpose(2, 0, 1)[:, 77 : 77 + 64, 57 : 57 + 64]
    np.testing.assert_array_equal(read_face(tmp_path / "a.png", crop=64, size=64), expected)
