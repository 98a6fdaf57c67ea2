"""Images as a viewer shows them: turned, on a background, grey where they are grey; and pictures alone are opened."""

import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from zoo.lab.data import image_files, load
from zoo.lab.data.image_files import Kind, kind, read

ORIENTED = {  # EXIF's orientation to what a viewer does with the stored pixels
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.T,
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].T,
    8: lambda a: np.rot90(a),
}


@pytest.fixture(autouse=True)
def caches(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the test's caches go."""
    folder = tmp_path_factory.mktemp("caches")
    monkeypatch.setenv("ZOO_CACHE", str(folder))
    return folder


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp"])
@pytest.mark.parametrize("orientation", ORIENTED)
def test_images_are_turned_as_they_say(tmp_path: Path, suffix: str, orientation: int) -> None:
    stored = np.zeros((16, 24), np.uint8)
    stored[:8, :8], stored[8:, :8] = 250, 120  # quarters that differ, so that every turn shows
    image = Image.fromarray(stored)
    exif = image.getexif()
    exif[0x0112] = orientation
    file = tmp_path / f"a.{suffix}"
    image.save(file, exif=exif, **({"lossless": True} if suffix == "webp" else {}))
    expected = ORIENTED[orientation](stored)
    found = kind(file)
    assert (found.height, found.width) == expected.shape
    pixels = read(file, grey=True, size=(found.width, found.height), background="white")
    np.testing.assert_allclose(pixels[0], expected, atol=12 if suffix == "jpg" else 0)


def test_photographs_of_both_ways_need_a_size(tmp_path: Path) -> None:
    for name, orientation in (("a", 1), ("b", 6)):  # stored alike, shown upright and across
        image = Image.new("RGB", (24, 16), (200, 0, 0))
        exif = image.getexif()
        exif[0x0112] = orientation
        image.save(tmp_path / f"{name}.jpg", exif=exif)
    with pytest.raises(ValueError, match=r"a.jpg has \(24, 16\) pixels and .*b.jpg \(16, 24\); .*size=64"):
        load(str(tmp_path))
    assert load(str(tmp_path), size=8, held_out=0).train.shape == (3, 8, 8)


def icon(mode: str, level: int) -> Image.Image:
    """A square in the middle, opaque and of one level; around it, transparent pixels of the same level."""
    pixels = np.full((8, 8, {"LA": 2, "RGBA": 4}[mode]), level, np.uint8)
    pixels[..., -1] = 0
    pixels[2:6, 2:6, -1] = 255
    return Image.fromarray(pixels, mode)


@pytest.mark.parametrize(("mode", "channels"), [("LA", 1), ("RGBA", 3)])
@pytest.mark.parametrize(("level", "background"), [(0, 255), (100, 255), (255, 0)])
def test_a_shape_in_transparency_is_seen(tmp_path: Path, mode: str, channels: int, level: int, background: int) -> None:
    icon(mode, level).save(tmp_path / "a.png")
    x = load(str(tmp_path), held_out=0).train.x
    expected = np.full((8, 8), background)
    expected[2:6, 2:6] = level
    assert x.shape == (1, channels, 8, 8)
    np.testing.assert_array_equal(x[0, 0], expected)


def test_one_background_for_all(tmp_path: Path) -> None:
    icon("LA", 255).save(tmp_path / "white.png")
    icon("LA", 100).save(tmp_path / "grey.png")
    x = load(str(tmp_path), held_out=0).train.x  # grey, white
    assert x[:, 0, 0, 0].tolist() == [0, 0]  # white hides one of them, so all are on black
    icon("LA", 0).save(tmp_path / "black.png")
    with pytest.raises(ValueError, match=r"white.png has all of its content in the transparency.*use background=grey"):
        load(str(tmp_path))
    with pytest.raises(ValueError, match=r"black.png has all .*invisible on black: use background=white"):
        load(str(tmp_path), background="black")
    x = load(str(tmp_path), held_out=0, background="grey").train.x
    assert x[:, 0, 0, 0].tolist() == [128, 128, 128]
    assert x[:, 0, 4, 4].tolist() == [0, 100, 255]


def test_what_is_opaque_all_over_keeps_its_colours(tmp_path: Path) -> None:
    Image.new("RGBA", (5, 5), (10, 20, 30, 255)).save(tmp_path / "a.png")
    assert load(str(tmp_path), held_out=0).train.x[0, :, 2, 2].tolist() == [10, 20, 30]


def palette(colours: list[int], **options: Any) -> Image.Image:
    image = Image.fromarray(np.array([[0, 1], [2, 1]], np.uint8), "P")
    image.putpalette(colours)
    image.info.update(options)
    return image


def png_of_16_bits(file: Path, pixels: np.ndarray, colour: int) -> None:
    """Writes a PNG, which Pillow cannot, from pixels [H, W, C]; `colour` is 4 for grey and 6 for RGB with alpha."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    height, width, _ = pixels.shape
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, colour, 0, 0, 0))
    rows = zlib.compress(b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels))
    file.write_bytes(b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", rows) + chunk(b"IEND", b""))


def test_a_png_of_16_bits_that_is_grey_with_alpha_is_grey(tmp_path: Path) -> None:
    levels = 4_000 * np.arange(16).reshape(4, 4)
    opaque = np.full((4, 4), 65_535)
    png_of_16_bits(tmp_path / "grey.png", np.stack([levels, opaque], axis=-1), 4)
    x = load(str(tmp_path), held_out=0).train.x
    assert x.shape == (1, 1, 4, 4)
    np.testing.assert_array_equal(x[0, 0], levels >> 8)
    png_of_16_bits(tmp_path / "rgb.png", np.stack([levels, levels, opaque // 2, opaque], axis=-1), 6)
    assert [kind(tmp_path / name).grey for name in ("grey.png", "rgb.png")] == [True, False]


def test_palettes_are_grey_where_their_colours_are(tmp_path: Path) -> None:
    palette([9, 9, 9, 50, 50, 50, 99, 99, 99]).save(tmp_path / "grey.png")
    palette([9, 9, 9, 50, 60, 50, 99, 99, 99]).save(tmp_path / "colour.png")
    palette([9, 9, 9, 50, 50, 50, 99, 99, 99], transparency=0).save(tmp_path / "clear.png")
    assert [kind(tmp_path / f"{name}.png").grey for name in ("grey", "colour", "clear")] == [True, False, True]
    pixels = read(tmp_path / "clear.png", grey=True, size=(2, 2), background="white")
    np.testing.assert_array_equal(pixels[0], [[255, 50], [99, 50]])


@pytest.mark.parametrize("suffix", ["gif", "tif", "png", "webp"])
def test_films_and_stacks_are_refused(tmp_path: Path, suffix: str) -> None:
    frames = [Image.fromarray(np.full((8, 8), 80 * n, np.uint8)) for n in range(3)]
    frames[0].save(tmp_path / f"a.{suffix}", save_all=True, append_images=frames[1:])
    with pytest.raises(ValueError, match=rf"a.{suffix} has 3 frames; save each frame as an image"):
        load(str(tmp_path))


def test_a_gif_of_one_frame_is_an_image(tmp_path: Path) -> None:
    Image.fromarray(np.full((8, 8), 80, np.uint8)).save(tmp_path / "a.gif")
    assert load(str(tmp_path), held_out=0).train.x[0].tolist() == [[[80] * 8] * 8]


EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n%%EOF\n"


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".pgm"])
def test_a_program_that_is_called_a_picture_is_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    monkeypatch.setattr("PIL.EpsImagePlugin.Ghostscript", _never)
    (tmp_path / f"a{suffix}").write_bytes(EPS)
    with pytest.raises(ValueError, match=rf"a{suffix} cannot be read as an image"):
        load(str(tmp_path))


def _never(*_: object, **__: object) -> None:
    raise AssertionError("Ghostscript was started")


@pytest.mark.parametrize("source", ["celeba", "chairs", "yale-b"])
def test_nor_where_a_set_lies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str) -> None:
    from zoo.lab.data.celeba import read_face
    from zoo.lab.data.chairs import _grey
    from zoo.lab.data.yale import _decode

    readers: dict[str, Callable[[Path], np.ndarray]] = {
        "celeba": lambda file: read_face(file, 64, 64),
        "chairs": lambda file: _grey(file, 64, 64),
        "yale-b": lambda file: _decode(file, 64),
    }
    monkeypatch.setattr("PIL.EpsImagePlugin.Ghostscript", _never)
    (tmp_path / "a.png").write_bytes(EPS)
    with pytest.raises(ValueError, match=rf"'{source}': .*a.png cannot be read: cannot identify image file"):
        readers[source](tmp_path / "a.png")


def test_every_opening_names_its_formats() -> None:
    folder = Path(image_files.__file__).parent
    openings = [
        line for file in folder.glob("*.py") for line in file.read_text("utf-8").split("\n") if "Image.open(" in line
    ]
    assert len(openings) == 4
    assert all("formats=" in line for line in openings)


def test_kinds(tmp_path: Path) -> None:
    Image.new("1", (3, 4)).save(tmp_path / "a.png")
    assert kind(tmp_path / "a.png") == Kind(True, 3, 4)
    Image.new("CMYK", (3, 4)).save(tmp_path / "b.jpg")
    assert kind(tmp_path / "b.jpg") == Kind(False, 3, 4)
