"""3D Chairs: renderings of chairs from 62 views."""

import functools
import re
from pathlib import Path

import numpy as np
from PIL import Image

from zoo.lab.data.dataset import Dataset
from zoo.lab.data.decoded_images import decoded
from zoo.lab.data.factors import Factors
from zoo.lab.data.split import Split

FOLDER = "rendered_chairs"
CHOSEN = "models.txt"
ELEVATIONS = (20, 30)  # degrees
AZIMUTHS = tuple(360 * k // 31 for k in range(31))  # degrees, rounded down as in the files' names
VIEWS = [(elevation, azimuth) for elevation in ELEVATIONS for azimuth in AZIMUTHS]
SIDE = 600
NAME = re.compile(r"image_\d{3}_p(\d{3})_t(\d{3})_r\d{3}\.png")


def chairs(
    folder: Path,
    *,
    download: bool = False,
    models: int | None = 809,
    masks: bool = False,
    size: int = 64,
    crop: int = 400,
    train_share: float = 0.8,
) -> Split:
    """3D Chairs, 809 models in 62 views, grey 1 x 64 x 64; labels: the models; factors: model, elevation, azimuth.

    Aubry, Maturana, Efros, Russell, Sivic, Seeing 3D chairs, CVPR 2014; no licence is stated.
    https://www.di.ens.fr/willow/research/seeing3Dchairs/, to be unpacked to `folder`/rendered_chairs, as
    <model>/renders/image_001_p020_t011_r096.png: p is the elevation (20 or 30 degrees), t the azimuth (31 of them).

    The archive has 1,393 models. The papers use 809, after Dosovitskiy, Springenberg, Brox (CVPR 2015), who left near
    duplicates out. The list of the 809 is not part of the archive: move the others elsewhere, or name those to use in a
    file rendered_chairs/models.txt, one folder per line; models=None uses all models.

    As in DIP-VAE, the first 80% of the models are for training and the rest for testing, so that no test chair is seen
    in training. The order is that of the names, or that of models.txt where there is one. The authors of DIP-VAE and of
    beta-VAE use binary masks (masks=True): a pixel is 1 where the chair, that is everything not white, covers at least
    half of it. Those of Joint-VAE use grey images, "center cropped and resized to (64, 64)", and do not state the size
    of the crop. Here it is the square of 400 pixels in the middle of 600, as in Dubois' disentangling-vae; scaling is
    bilinear over the area a pixel covers.

    The first call decodes the images to a file of 205 MB in `folder`/decoded (or ZOO_CACHE); later calls map it into
    memory. If decoding is interrupted, the next call resumes it.

    Args:
        folder: contains rendered_chairs.
        download: unused; the images have to be fetched by hand.
        models: the expected number of models; None for any number.
        masks: binary images instead of grey ones.
        size: of the images in pixels.
        crop: the side of the square in the middle that is kept, in pixels, at most 600.
        train_share: the share of the models to train on.

    Raises:
        FileNotFoundError: the folder is missing, or a model's folder, or one of its 62 views.
        OSError: the decoded images cannot be written.
        ValueError: there are not as many models as expected; a file's name does not state a view, or repeats one; an
            image is damaged or of another size; there is no such crop; the share leaves nothing to train on or to test
            on.
    """
    root = folder / FOLDER
    if not 1 <= crop <= SIDE:
        raise ValueError(f"data 'chairs': the images are {SIDE} pixels wide, so crop is 1 to {SIDE}, got {crop}")
    if not root.is_dir():
        raise FileNotFoundError(
            f"data 'chairs': {root} not found. Unpack rendered_chairs.tar of "
            "https://www.di.ens.fr/willow/research/seeing3Dchairs/ there, or name another folder with --data-dir or "
            "ZOO_DATA; --download cannot fetch it; --data procedural-chairs renders other chairs without any files"
        )
    names, left_out = _models(root, models)
    count = round(train_share * len(names))
    if not 0 < count < len(names):
        raise ValueError(
            f"data 'chairs': train_share = {train_share:g} of {len(names)} models leaves nothing to train or test on; "
            "choose a share between 0 and 1"
        )
    files = [file for name in names for file in _views(root / name / "renders")]
    decode = functools.partial(_mask if masks else _grey, crop=crop, size=size)
    x = decoded("chairs", folder, files, (1, size, size), decode, {"crop": crop, "masks": masks})
    factors = Factors.grid({"model": names, "elevation": ELEVATIONS, "azimuth": AZIMUTHS})
    y = np.repeat(np.arange(len(names)), len(VIEWS))
    data = Dataset(
        "chairs", x, y, x_max=1.0 if masks else 255.0, classes=tuple(names), factors=factors, left_out=left_out
    )
    return Split(*(data.subset(rows) for rows in np.split(np.arange(len(data)), [count * len(VIEWS)])))


def _models(root: Path, expected: int | None) -> tuple[list[str], dict[str, int]]:
    """The folders of the models to use, and how many others there are."""
    there = sorted(place.name for place in root.iterdir() if place.is_dir() and not place.name.startswith("."))
    names = there
    if (root / CHOSEN).is_file():
        names = (root / CHOSEN).read_text(encoding="utf-8").split()
        if strange := sorted(set(names) - set(there)):
            raise FileNotFoundError(
                f"data 'chairs': {root} has no folder {strange[0]}, one of {len(strange)} that {root / CHOSEN} names"
            )
        if len(set(names)) < len(names):
            raise ValueError(f"data 'chairs': {root / CHOSEN} names a model twice")
    if expected is not None and len(names) != expected:
        raise ValueError(
            f"data 'chairs': {root} has {len(names)} models, not {expected}. Name those to use in {root / CHOSEN}, one "
            "folder per line, or use all of them with models=None"
        )
    return names, {"model": len(there) - len(names)}


def _views(renders: Path) -> list[Path]:
    """The images of a model in the order of `VIEWS`."""
    if not renders.is_dir():
        raise FileNotFoundError(f"data 'chairs': {renders} not found; unpack it again, or move its folder elsewhere")
    views: dict[tuple[int, int], Path] = {}
    for file in sorted(renders.iterdir()):
        if file.name.startswith("."):
            continue
        match = NAME.fullmatch(file.name)
        view = (int(match[1]), int(match[2])) if match else None
        if view not in VIEWS or view in views:
            raise ValueError(
                f"data 'chairs': the name of {file} does not state one of the {len(VIEWS)} views, each once, as "
                "image_001_p020_t011_r096.png does; move it elsewhere"
            )
        views[view] = file
    if missing := [view for view in VIEWS if view not in views]:
        raise FileNotFoundError(
            f"data 'chairs': {renders} has {len(views)} images, not {len(VIEWS)}; the first that is missing is "
            f"p{missing[0][0]:03d}_t{missing[0][1]:03d}. Unpack it again"
        )
    return [views[view] for view in VIEWS]


def _grey(file: Path, crop: int, size: int) -> np.ndarray:
    """Bytes [1, size, size], the chair dark on white."""
    return np.asarray(_square(file, crop).convert("L").resize((size, size), Image.Resampling.BILINEAR))[None]


def _mask(file: Path, crop: int, size: int) -> np.ndarray:
    """Bytes [1, size, size], 1 where the chair covers half of a pixel or more."""
    red, green, blue = np.moveaxis(np.asarray(_square(file, crop)), -1, 0)
    chair = np.where((red & green & blue) < 255, np.uint8(255), np.uint8(0))  # & is 255 only where all are
    return (np.asarray(Image.fromarray(chair).resize((size, size), Image.Resampling.BOX)) > 127).view(np.uint8)[None]


def _square(file: Path, crop: int) -> Image.Image:
    """The square of `crop` pixels in the middle, in colour; transparent pixels become white."""
    at = (SIDE - crop) // 2
    try:
        with Image.open(file, formats=("PNG",)) as image:
            if image.size != (SIDE, SIDE):
                raise ValueError(f"it has {image.size} pixels, not {(SIDE, SIDE)}")
            square = image.crop((at, at, at + crop, at + crop))
        if not square.has_transparency_data:
            return square.convert("RGB")
        square = square.convert("RGBA")
        white = Image.new("RGBA", square.size, "white")
        return Image.alpha_composite(white, square).convert("RGB")
    except (OSError, SyntaxError, ValueError) as error:
        raise ValueError(f"data 'chairs': {file} cannot be read: {error}. Unpack it again") from error
