"""3D Chairs from small trees as distributed: 62 views of a few models, drawn so that an image tells its view."""

import functools
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from zoo.lab.data import data_folder, load

# What the archive's names say: 20 and 30 degrees, and 31 azimuths, k 360 / 31 without what follows the point
ELEVATIONS = [20, 30]
AZIMUTHS = [
    0,
    11,
    23,
    34,
    46,
    58,
    69,
    81,
    92,
    104,
    116,
    127,
    139,
    150,
    162,
    174,
    185,
    197,
    209,
    220,
    232,
    243,
    255,
    267,
]
AZIMUTHS += [278, 290, 301, 313, 325, 336, 348]


def colour(model: int, elevation: int, azimuth: int) -> tuple[int, int, int]:
    """The chair's red, green and blue, which tell the view."""
    return 10 * model, elevation, azimuth // 2


def picture(model: int, elevation: int, azimuth: int) -> Image.Image:
    """White, 600 x 600, and a square chair in one colour around the middle."""
    image = Image.new("RGB", (600, 600), "white")
    image.paste(colour(model, elevation, azimuth), (200, 200, 400, 400))
    return image


def grey(model: int, elevation: int, azimuth: int) -> float:
    """The chair's grey as television weighs colours (ITU-R 601)."""
    red, green, blue = colour(model, elevation, azimuth)
    return 0.299 * red + 0.587 * green + 0.114 * blue


@functools.cache
def encoded(model: int, elevation: int, azimuth: int) -> bytes:
    """The picture's file, with a palette, which is read in less time."""
    image = Image.new("P", (600, 600))
    image.paste(1, (200, 200, 400, 400))
    image.putpalette([255, 255, 255, *colour(model, elevation, azimuth)])
    file = io.BytesIO()
    image.save(file, "png", compress_level=1)
    return file.getvalue()


def write(folder: Path, models: int = 2) -> Path:
    """The views of some models, numbered as in the archive: 000 to 030, and 032 to 062."""
    root = folder / "rendered_chairs"
    for m in range(models):
        renders = root / f"model{m}" / "renders"
        renders.mkdir(parents=True)
        for e, elevation in enumerate(ELEVATIONS):
            for a, azimuth in enumerate(AZIMUTHS):
                name = f"image_{32 * e + a:03d}_p{elevation:03d}_t{azimuth:03d}_r096.png"
                (renders / name).write_bytes(encoded(m, elevation, azimuth))
    (root / "all_chair_names.mat").write_bytes(b"")  # lies there in the archive
    (root / "model0" / "renders" / ".hidden").write_text("", encoding="utf-8")
    return root


@pytest.fixture(autouse=True)
def caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the test's caches go."""
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "caches"))
    return tmp_path / "caches"


def two(folder: Path, **options: Any) -> Any:
    """Two models, of which one is to train on: each image more takes some milliseconds to decode."""
    return load("chairs", folder=folder, **{"models": 2, "train_share": 0.5, **options})


def test_views_factors_and_the_split_by_model(tmp_path: Path) -> None:
    write(tmp_path, models=3)
    train, test = load("chairs", folder=tmp_path, models=3)
    assert (len(train), len(test)) == (2 * 62, 62)
    assert train.shape == (1, 64, 64)
    assert train.classes == tuple(f"model{m}" for m in range(3))
    assert (set(train.y), set(test.y)) == ({0, 1}, {2})
    for data in (train, test):
        assert data.factors.names == ("model", "elevation", "azimuth")
        assert data.factors.sizes == (3, 2, 31)
        assert len(np.unique(data.factors.classes, axis=0)) == len(data)
        for x, (model, elevation, azimuth), y in zip(
            data.x[:], data.factors.values_at(np.arange(len(data))), data.y, strict=True
        ):
            assert model == f"model{y}"
            assert x[0, 30:34, 30:34] == pytest.approx(grey(y, int(elevation), int(azimuth)), abs=0.6)
    train, test = load("chairs", folder=tmp_path, models=3, train_share=0.4)
    assert (len(train), len(test)) == (62, 2 * 62)


def test_the_crop(tmp_path: Path) -> None:
    # A chair of 200 pixels in a crop of 400 is 32 of 64, from 16 on; in all 600 it is 21 1/3 of 64, from 21 1/3 on.
    # Corners inside are blurred over the support of two pixels, and everything else is the chair's grey or white.
    write(tmp_path)
    for crop, first, last in ((400, 16, 48), (600, 64 / 3, 128 / 3)):
        image = two(tmp_path, crop=crop).train.x[61][0]
        dark = image < 128
        assert dark[32].sum() == dark[:, 32].sum() == round(last) - round(first)
        assert (image[: int(first) - 1] == 255).all()
        assert (image[:, int(last) + 2 :] == 255).all()
        inside = image[int(first) + 2 : int(last) - 2, int(first) + 2 : int(last) - 2]
        assert len(set(inside.ravel())) == 1


def test_masks_are_binary_and_ask_for_half_a_pixel(tmp_path: Path) -> None:
    root = write(tmp_path)
    image = picture(0, 20, 0)
    image.paste((254, 255, 255), (200, 400, 400, 402))  # 2 of a pixel's 6.25 rows, less than half
    image.save(root / "model0" / "renders" / "image_000_p020_t000_r096.png")
    train, test = two(tmp_path, masks=True)
    assert train.x_max == 1.0
    expected = np.zeros((64, 64), np.uint8)
    expected[16:48, 16:48] = 1
    for data, i in ((train, 1), (train, 61), (test, 61)):
        np.testing.assert_array_equal(data.x[i][0], expected)
    assert train.batch(torch.tensor([5])).x.unique().tolist() == [0.0, 1.0]
    np.testing.assert_array_equal(train.x[0][0], expected)
    image.paste((254, 255, 255), (200, 400, 400, 405))  # 5 of 6.25 rows; nearly white is chair
    image.save(root / "model0" / "renders" / "image_000_p020_t000_r096.png")
    expected[48, 16:48] = 1
    np.testing.assert_array_equal(two(tmp_path, masks=True).train.x[0][0], expected)


def test_transparent_is_white(tmp_path: Path) -> None:
    root = write(tmp_path)
    path = root / "model0" / "renders" / "image_000_p020_t000_r096.png"
    found = two(tmp_path).train.x[0]
    pixels = np.asarray(picture(0, 20, 0).convert("RGBA")).copy()
    pixels[(pixels == 255).all(axis=-1)] = 0
    Image.fromarray(pixels).save(path)
    np.testing.assert_array_equal(two(tmp_path).train.x[0], found)


def test_the_number_of_models_is_checked(tmp_path: Path) -> None:
    root = write(tmp_path, models=3)
    with pytest.raises(ValueError, match=rf"'chairs': {root} has 3 models, not 809. Name those to use in .*models.txt"):
        load("chairs", folder=tmp_path)
    assert len(load("chairs", folder=tmp_path, models=None).test) == 62


def test_models_are_chosen_by_a_list_and_in_its_order(tmp_path: Path) -> None:
    root = write(tmp_path, models=3)
    (root / "models.txt").write_text("model2\nmodel0\n", encoding="utf-8")
    train, test = load("chairs", folder=tmp_path, models=2, train_share=0.5)
    assert train.classes == ("model2", "model0")
    assert train.left_out == {"model": 1}
    assert train.x[0][0, 32, 32] == round(grey(2, 20, 0))
    assert test.x[0][0, 32, 32] == round(grey(0, 20, 0))
    (root / "models.txt").write_text("model2\nmodel7\n", encoding="utf-8")
    with pytest.raises(FileNotFoundError, match=r"has no folder model7, one of 1 that .*models.txt names"):
        load("chairs", folder=tmp_path, models=2)
    (root / "models.txt").write_text("model2\nmodel2\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"models.txt names a model twice"):
        load("chairs", folder=tmp_path, models=2)


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"rendered_chairs not found.*ZOO_DATA.*procedural-chairs"):
        load("chairs", folder=tmp_path)
    root = write(tmp_path)
    (root / "model1" / "renders" / "image_034_p030_t023_r096.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"model1/renders has 61 images, not 62; .* p030_t023. Unpack it again"):
        two(tmp_path)
    (root / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match=r"empty/renders not found; unpack it again"):
        load("chairs", folder=tmp_path, models=3)


@pytest.mark.parametrize(
    "name",
    ["holiday.png", "image_063_p040_t023_r096.png", "image_063_p030_t024_r096.png", "image_099_p030_t023_r096.png"],
)
def test_strangers_among_the_images(tmp_path: Path, name: str) -> None:
    root = write(tmp_path)
    (root / "model1" / "renders" / name).write_bytes(b"")
    with pytest.raises(ValueError, match=r"the name of .*model1/renders/.*png does not state one of the 62 views"):
        two(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"), [("half", "trunc"), ("", "cannot identify"), ("small", r"\(600, 599\)")]
)
def test_a_damaged_image_is_named_and_the_mended_one_taken(tmp_path: Path, content: str, message: str) -> None:
    path = write(tmp_path) / "model0" / "renders" / "image_034_p030_t023_r096.png"
    whole = path.read_bytes()
    if content == "small":
        picture(0, 0, 0).crop((0, 0, 600, 599)).save(path)
    else:
        path.write_bytes(whole[: len(whole) // 2] if content else b"")
    for _ in range(2):
        with pytest.raises(ValueError, match=rf"'chairs': {path} cannot be read: .*{message}.*Unpack it again"):
            two(tmp_path)
    path.write_bytes(whole)
    assert two(tmp_path).train.x[33][0, 32, 32] == round(grey(0, 30, 23))


def test_options_that_leave_nothing(tmp_path: Path) -> None:
    write(tmp_path)
    for share in (0.0, 1.0):
        with pytest.raises(ValueError, match=r"train_share = [01] of 2 models leaves nothing"):
            two(tmp_path, train_share=share)
    for crop in (0, 601):
        with pytest.raises(ValueError, match=rf"crop is 1 to 600, got {crop}"):
            two(tmp_path, crop=crop)


def in_the_middle_of_white(images: np.ndarray) -> bool:
    """Whether these are pictures [N, 1, 64, 64] of something dark in the middle of white."""
    return bool((images[:, :, 0] > 250).mean() > 0.99 and images[:, :, 24:40, 24:40].mean() < 200)


def test_chairs_stand_in_the_middle_of_white(tmp_path: Path) -> None:
    write(tmp_path)
    train, _ = two(tmp_path)
    assert in_the_middle_of_white(train.x[:1000])
    assert not in_the_middle_of_white(np.roll(train.x[:1000], 32, axis=2))
    assert not in_the_middle_of_white(255 - train.x[:1000])


@pytest.mark.skipif(not (data_folder() / "rendered_chairs").is_dir(), reason="ZOO_DATA has no rendered_chairs")
def test_counts_of_the_real_ones() -> None:
    train, test = load("chairs", models=None)
    assert len(train) + len(test) in (809 * 62, 1393 * 62)
    assert in_the_middle_of_white(train.x[:1000])
