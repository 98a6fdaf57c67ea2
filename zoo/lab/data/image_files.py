"""Reads image files as a viewer shows them: rotated by their EXIF data, on a background where transparent."""

import contextlib
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")  # no others: EPS would start an interpreter
DAMAGE = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    struct.error,
    Image.DecompressionBombError,
)  # the error that Pillow raises
ORIENTATION = 0x0112  # EXIF tag; from 5 on, width and height are swapped


class Kind(NamedTuple):
    """Properties of an image before it is scaled.

    Attributes:
        grey: whether it has no colours.
        width: in pixels, as shown.
        height: in pixels, as shown.
        on_white: whether it is visible on white; false only where its whole content is in the transparency.
        on_black: whether it is visible on black.
    """

    grey: bool
    width: int
    height: int
    on_white: bool = True
    on_black: bool = True


def kind(file: Path) -> Kind:
    """The properties of an image; only an image that may be transparent is decoded.

    Raises:
        ValueError: the file is not an image, is damaged, has more than 8 bits per channel, or more than one frame.
    """
    with _opened(file) as image:
        if image.mode[0] in "IF":
            raise ValueError(f"{file} has mode {image.mode}; save it with 8 bits per channel")
        if (frames := count_frames(image)) > 1:
            raise ValueError(f"{file} has {frames} frames; save each frame as an image")
        width, height = image.size
        # Image's own getexif, since that of a PNG decodes the whole file to find EXIF data
        if image.format != "TIFF" and Image.Image.getexif(image).get(ORIENTATION, 1) >= 5:  # a TIFF is already rotated
            width, height = height, width
        grey = _is_grey(image)
        if not image.has_transparency_data:
            return Kind(grey, width, height)
        try:
            return Kind(grey, width, height, *(_is_seen(image, background) for background in ("white", "black")))
        except DAMAGE as error:
            raise ValueError(f"{file} cannot be read: {error}; fix or remove it") from error


def count_frames(image: Image.Image) -> int:
    """The number of frames of a film or a stack; the others of a photograph are previews of it."""
    return getattr(image, "n_frames", 1) if image.format in ("GIF", "PNG", "TIFF", "WEBP") else 1


def read(file: Path, *, grey: bool, size: tuple[int, int], background: str) -> np.ndarray:
    """Bytes [C, H, W], scaled bilinearly over the area that a pixel covers.

    Args:
        file: the image.
        grey: whether to read it as grey (C = 1) or in colour (C = 3).
        size: width and height.
        background: the colour behind transparent pixels.

    Raises:
        ValueError: the file is damaged.
    """
    with _opened(file) as image:
        try:
            image.load()  # rotates a TIFF, which must not be rotated twice
            shown = ImageOps.exif_transpose(image)
            if shown.has_transparency_data:
                shown = _on(background, shown)
            pixels = np.asarray(shown.convert("L" if grey else "RGB").resize(size, Image.Resampling.BILINEAR))
        except DAMAGE as error:
            raise ValueError(f"{file} cannot be read: {error}; fix or remove it") from error
    return pixels.reshape(size[1], size[0], -1).transpose(2, 0, 1)


@contextlib.contextmanager
def _opened(file: Path) -> Iterator[Image.Image]:
    with contextlib.ExitStack() as stack:
        try:  # not by name: Pillow would memory-map an uncompressed TIFF and then rotate it wrongly
            content = stack.enter_context(file.open("rb"))
            image = Image.open(content, formats=FORMATS)
        except UnidentifiedImageError:
            raise ValueError(
                f"{file} cannot be read as an image: it is none of {', '.join(FORMATS)}; fix or remove it"
            ) from None
        except DAMAGE as error:
            raise ValueError(f"{file} cannot be read as an image: {error}; fix or remove it") from error
        yield image


def _is_grey(image: Image.Image) -> bool:
    if image.mode in ("P", "PA"):
        palette = np.array(image.getpalette("RGB")).reshape(-1, 3)
        return bool((palette == palette[:, :1]).all())
    return image.mode in ("1", "L", "LA", "La") or _is_grey_of_16_bits(image)


def _is_grey_of_16_bits(image: Image.Image) -> bool:
    """Whether this is a PNG of 16 bits that is grey with transparency: Pillow opens it as RGBA, with equal channels."""
    return image.format == "PNG" and any(str(tile.args).startswith("LA") for tile in getattr(image, "tile", ()))


def _on(background: str, image: Image.Image) -> Image.Image:
    return Image.alpha_composite(Image.new("RGBA", image.size, background), image.convert("RGBA"))


def _is_seen(image: Image.Image, background: str) -> bool:
    """Whether the image shows more than one colour on the background; true where its transparency is uniform."""
    alpha, shown = np.asarray(image.convert("RGBA"))[..., 3], np.asarray(_on(background, image))
    return bool(np.ptp(alpha) == 0 or np.ptp(shown, axis=(0, 1)).any())
