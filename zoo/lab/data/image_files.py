"""Image files as a viewer shows them: turned as they say, on a background where they are transparent."""

import contextlib
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")  # no others: EPS, for one, would start an interpreter
DAMAGE = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    struct.error,
    Image.DecompressionBombError,
)  # what Pillow says of it
ORIENTATION = 0x0112  # of EXIF; from 5 on, width and height change places


class Kind(NamedTuple):
    """What an image is, before it is scaled.

    Attributes:
        grey: whether it has no colours.
        width: in pixels, as shown.
        height: in pixels, as shown.
        on_white: whether something is seen of it on white; false only where all that it shows is its transparency.
        on_black: and on black.
    """

    grey: bool
    width: int
    height: int
    on_white: bool = True
    on_black: bool = True


def kind(file: Path) -> Kind:
    """What an image is; only one that may be transparent is decoded for that.

    Raises:
        ValueError: it is no image, is damaged, has more than 8 bits a channel, or more than one frame.
    """
    with _opened(file) as image:
        if image.mode[0] in "IF":
            raise ValueError(f"{file} has mode {image.mode}; save it with 8 bits a channel")
        if image.format in ("GIF", "PNG", "TIFF", "WEBP") and (frames := getattr(image, "n_frames", 1)) > 1:
            raise ValueError(f"{file} has {frames} frames; save each as an image of its own")
        width, height = image.size  # the method of PNGs itself would decode all to look for EXIF data at their end
        if image.format != "TIFF" and Image.Image.getexif(image).get(ORIENTATION, 1) >= 5:  # a TIFF is turned already
            width, height = height, width
        grey = _is_grey(image)
        if not image.has_transparency_data:
            return Kind(grey, width, height)
        try:
            return Kind(grey, width, height, *(_is_seen(image, background) for background in ("white", "black")))
        except DAMAGE as error:
            raise ValueError(f"{file} cannot be read: {error}; mend or remove it") from error


def read(file: Path, *, grey: bool, size: tuple[int, int], background: str) -> np.ndarray:
    """Bytes [C, H, W], scaled bilinearly over the area that a pixel covers.

    Args:
        file: the image.
        grey: whether to take it as grey (C = 1) or as colours (C = 3).
        size: width and height.
        background: what is seen where the image is transparent.

    Raises:
        ValueError: it is damaged.
    """
    with _opened(file) as image:
        try:
            image.load()  # turns a TIFF, which must not be turned twice
            shown = ImageOps.exif_transpose(image)
            if shown.has_transparency_data:
                shown = _on(background, shown)
            pixels = np.asarray(shown.convert("L" if grey else "RGB").resize(size, Image.Resampling.BILINEAR))
        except DAMAGE as error:
            raise ValueError(f"{file} cannot be read: {error}; mend or remove it") from error
    return pixels.reshape(size[1], size[0], -1).transpose(2, 0, 1)


@contextlib.contextmanager
def _opened(file: Path) -> Iterator[Image.Image]:
    with contextlib.ExitStack() as stack:
        try:  # not by its name: Pillow would map an uncompressed TIFF into memory, and then turn it wrongly
            content = stack.enter_context(file.open("rb"))
            image = Image.open(content, formats=FORMATS)
        except UnidentifiedImageError:
            raise ValueError(
                f"{file} cannot be read as an image: it holds no {', '.join(FORMATS)}; mend or remove it"
            ) from None
        except DAMAGE as error:
            raise ValueError(f"{file} cannot be read as an image: {error}; mend or remove it") from error
        yield image


def _is_grey(image: Image.Image) -> bool:
    if image.mode in ("P", "PA"):
        palette = np.array(image.getpalette("RGB")).reshape(-1, 3)
        return bool((palette == palette[:, :1]).all())
    return image.mode in ("1", "L", "LA", "La")


def _on(background: str, image: Image.Image) -> Image.Image:
    return Image.alpha_composite(Image.new("RGBA", image.size, background), image.convert("RGBA"))


def _is_seen(image: Image.Image, background: str) -> bool:
    """Whether the image, if it is not equally transparent all over, is more than one colour on the background."""
    alpha, shown = np.asarray(image.convert("RGBA"))[..., 3], np.asarray(_on(background, image))
    return bool(np.ptp(alpha) == 0 or np.ptp(shown, axis=(0, 1)).any())
