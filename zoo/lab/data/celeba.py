"""CelebA: faces of celebrities, each with forty attributes."""

import functools
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from zoo.lab.data.cache import cached, fingerprint
from zoo.lab.data.dataset import Dataset
from zoo.lab.data.decoded_images import decoded
from zoo.lab.data.factors import Factors
from zoo.lab.data.split import Split, split

FOLDER = "celeba/img_align_celeba"
ATTRIBUTES = "celeba/list_attr_celeba.txt"
PARTITION = "celeba/list_eval_partition.txt"
NUM_ATTRIBUTES = 40
PARTS = ("train", "valid", "test")  # numbered 0, 1, 2 in the partition
WIDTH, HEIGHT = 178, 218


def celeba(
    folder: Path,
    *,
    download: bool = False,
    size: int = 64,
    crop: int = 148,
    test: str = "test",
    held_out: float | None = None,
    seed: int = 0,
) -> Split:
    """CelebA, 202,599 aligned faces 3 x 64 x 64; the factors are its 40 attributes, 1 where a face has it, else 0.

    Liu, Luo, Wang, Tang, Deep learning face attributes in the wild, ICCV 2015, arXiv:1411.7766; for research that is
    not commercial. https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html, to be put into `folder`/celeba in torchvision's
    layout: the .jpg of img_align_celeba, list_attr_celeba.txt, list_eval_partition.txt.

    The images have 178 x 218 pixels. DIP-VAE's authors take "64 x 64 x 3 cropped images as used in several earlier
    works"; those of HFVAE and Joint-VAE do not state a crop either. Here the crop is the square of 148 pixels in the
    middle, as in most public codes of VAEs; crop=178 keeps the full width. Scaling is bilinear over the area a pixel
    covers.

    The official partition trains on 162,770 faces and tests on 19,962; the 19,867 for validation are left out, or used
    as the test set with test="valid". DIP-VAE's "90% for training and 10% for test" is held_out=0.1, of all faces.

    The first call decodes the images to a file of 2.5 GB in `folder`/decoded (or ZOO_CACHE); later calls map it into
    memory. If decoding is interrupted, the next call resumes it.

    Args:
        folder: contains celeba/img_align_celeba and so on.
        download: unused; the images have to be fetched by hand.
        size: of the images in pixels.
        crop: the side of the square in the middle that is kept, in pixels, at most 178.
        test: the official part to test on, "test" or "valid".
        held_out: the share of all images to test on, chosen at random; replaces the official partition.
        seed: of the random choice.

    Raises:
        FileNotFoundError: a file or images are missing.
        OSError: the decoded images cannot be written.
        ValueError: a list is damaged, the lists and the images do not match, an image is damaged or of another size;
            there is no such part or crop.
    """
    if test not in ("test", "valid"):
        raise ValueError(f"data 'celeba': test is 'test' or 'valid', got {test!r}")
    if not 1 <= crop <= WIDTH:
        raise ValueError(f"data 'celeba': the images are {WIDTH} pixels wide, so crop is 1 to {WIDTH}, got {crop}")
    if missing := [name for name in (FOLDER, ATTRIBUTES, PARTITION) if not (folder / name).exists()]:
        raise FileNotFoundError(
            f"data 'celeba': {', '.join(missing)} not found in {folder}. Fetch them from "
            "https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html, or name another folder with --data-dir or ZOO_DATA; "
            "--download cannot fetch them"
        )
    lists = [folder / ATTRIBUTES, folder / PARTITION]
    table = cached("celeba-lists", {"files": fingerprint(folder, lists)}, lambda: _lists(*lists))
    names = table["images"].tolist()
    _check(folder / FOLDER, set(names))
    decode = functools.partial(read_face, crop=crop, size=size)
    x = decoded("celeba", folder, [folder / FOLDER / name for name in names], (3, size, size), decode, {"crop": crop})
    values = (np.array([0, 1]),) * NUM_ATTRIBUTES
    data = Dataset("celeba", x, factors=Factors(tuple(table["names"].tolist()), values, table["attributes"]))
    if held_out is not None:
        return split(data, held_out, seed=seed)
    train = np.flatnonzero(table["parts"] == PARTS.index("train"))
    tested = np.flatnonzero(table["parts"] == PARTS.index(test))
    if not len(train) or not len(tested):
        raise ValueError(
            f"data 'celeba': {lists[1]} has {len(train)} images for 'train' and {len(tested)} for {test!r}"
        )
    left_out = {"valid" if test == "test" else "test": len(data) - len(train) - len(tested)}
    return Split(*(replace(data.subset(rows), left_out=left_out) for rows in (train, tested)))


def _lists(attributes: Path, partition: Path) -> dict[str, np.ndarray]:
    """The images' names [N], the attributes' names [40], the attributes [N, 40] and the parts [N] of the two lists."""
    lines = _lines(attributes)
    count, names, lines = "".join(lines[:1]).strip(), "".join(lines[1:2]).split(), lines[2:]
    if len(names) != NUM_ATTRIBUTES or count != str(len(lines)) or not lines:
        raise ValueError(
            f"data 'celeba': {attributes} announces {count!r} images with {len(names)} attributes and lists "
            f"{len(lines)}; the numbers must agree, with {NUM_ATTRIBUTES} attributes. Fetch it again"
        )
    images, table = [], np.empty((len(lines), NUM_ATTRIBUTES), np.uint8)
    for row, line in enumerate(lines):
        image, *values = line.split()
        if len(values) != NUM_ATTRIBUTES or not set(values) <= {"1", "-1"}:
            raise ValueError(
                f"data 'celeba': line {row + 3} of {attributes} must have an image and {NUM_ATTRIBUTES} times 1 or -1, "
                f"got {line[:80]!r}"
            )
        images.append(image)
        table[row] = [value == "1" for value in values]
    rest = _lines(partition)
    if len(rest) != len(images):
        raise ValueError(
            f"data 'celeba': {partition} has {len(rest)} lines and {attributes} {len(images)} images; fetch it again"
        )
    parts = []
    for row, (line, image) in enumerate(zip(rest, images, strict=True)):
        if line.split() not in ([image, part] for part in "012"):
            raise ValueError(
                f"data 'celeba': line {row + 1} of {partition} must have {image} and 0, 1 or 2, got {line[:80]!r}"
            )
        parts.append(int(line.split()[1]))
    return {
        "images": np.array(images),
        "names": np.array(names),
        "attributes": table,
        "parts": np.array(parts, np.uint8),
    }


def _lines(file: Path) -> list[str]:
    """The lines that are not blank."""
    try:
        return [line for line in file.read_text(encoding="ascii").splitlines() if line.strip()]
    except (OSError, ValueError) as error:
        raise ValueError(f"data 'celeba': {file} cannot be read: {error}. Fetch it again") from error


def _check(folder: Path, listed: set[str]) -> None:
    """Checks that the folder holds exactly the listed images."""
    there = {name for name in os.listdir(folder) if not name.startswith(".")}
    if missing := sorted(listed - there):
        raise FileNotFoundError(
            f"data 'celeba': {folder} has no {missing[0]}, one of {len(missing)} images that {ATTRIBUTES} lists; "
            "unpack img_align_celeba.zip again"
        )
    if strange := sorted(there - listed):
        raise ValueError(
            f"data 'celeba': {folder / strange[0]} is not in {ATTRIBUTES}, one of {len(strange)} such files; move them "
            "elsewhere"
        )


def read_face(file: Path, crop: int, size: int) -> np.ndarray:
    """Bytes [3, size, size] of the square of `crop` pixels in the middle."""
    left, top = (WIDTH - crop) // 2, (HEIGHT - crop) // 2
    try:
        with Image.open(file, formats=("JPEG", "PNG")) as image:
            if image.size != (WIDTH, HEIGHT) or image.mode != "RGB":
                raise ValueError(f"{image.mode} of {image.size} pixels, not RGB of {(WIDTH, HEIGHT)}")
            square = image.crop((left, top, left + crop, top + crop))
            return np.asarray(square.resize((size, size), Image.Resampling.BILINEAR)).transpose(2, 0, 1)
    except (OSError, SyntaxError, ValueError) as error:
        raise ValueError(f"data 'celeba': {file} cannot be read: {error}. Unpack it again") from error
