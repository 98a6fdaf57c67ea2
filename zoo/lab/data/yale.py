"""Extended Yale B, cropped: faces of 28 people, each under up to 64 light positions."""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from zoo.lab.data.cache import cached, fingerprint
from zoo.lab.data.dataset import Dataset
from zoo.lab.data.factors import Factors
from zoo.lab.data.split import Split, split

SUBJECTS = (11, 12, 13, *range(15, 40))  # the extended part; 1 to 10 are the older Yale B, and there is no 14
LIGHTS = 64
DAMAGED = {11: 4, 12: 5, 13: 4, 15: 1, 16: 2, 17: 1, 18: 1}  # images that were damaged when they were taken
WIDTH, HEIGHT = 168, 192
NAME = re.compile(r"yaleB\d\d_P00A([+-]\d{3})E([+-]\d\d)\.pgm")


def yale_b(
    folder: Path,
    *,
    download: bool = False,
    subjects: Sequence[int] = SUBJECTS,
    max_angle: float = 100.0,
    size: int = 64,
    held_out: float = 0.1,
    seed: int = 0,
) -> Split:
    """Extended Yale B, cropped: 1,442 grey faces of 28 people, 64 x 64; the factors are subject, azimuth, elevation.

    Georghiades, Belhumeur, Kriegman, PAMI 23(6), 2001; Lee, Ho, Kriegman, PAMI 27(5), 2005; free for research.
    http://vision.ucsd.edu/~iskwak/ExtYaleDatabase/ExtYaleB.html, to be unpacked to `folder`/CroppedYale.

    The natural-clustering paper keeps "images with illumination angles smaller than 100 degrees" and does not say
    which of a light's two angles. Here the limit applies to both: |azimuth| < 100 and |elevation| < 100. No elevation
    reaches 100, so only the azimuth matters: 12 of 64 lights are dropped. The paper does not say how it splits the
    images either; here a random tenth is held out.

    Images under ambient light and those marked damaged (.pgm.bad; some copies lack them) are left out and counted in
    `Dataset.left_out`, as are those under lights beyond the limit. Scaling is bilinear over the area a pixel covers.

    Args:
        folder: contains CroppedYale/yaleB11 and so on.
        download: unused; the images have to be fetched by hand.
        subjects: the people, by the numbers of their folders.
        max_angle: of the light, in degrees; only smaller angles are kept.
        size: of the images in pixels.
        held_out: the share of the images to test on.
        seed: of their random choice.

    Raises:
        FileNotFoundError: a person's folder is missing.
        ValueError: a folder has too few or too many images; an image is damaged, of another size, or its name does not
            state the light's angles; there is no such person.
    """
    if wrong := set(subjects) - (set(range(1, 40)) - {14}):
        raise ValueError(f"data 'yale-b': there is no subject {sorted(wrong)}; they go from 1 to 39, without 14")
    root = folder / "CroppedYale"
    people = {subject: root / f"yaleB{subject:02d}" for subject in subjects}
    if missing := [str(person.name) for person in people.values() if not person.is_dir()]:
        raise FileNotFoundError(
            f"data 'yale-b': {', '.join(missing)} not found in {root}. Unpack CroppedYale.zip of "
            "http://vision.ucsd.edu/~iskwak/ExtYaleDatabase/ExtYaleB.html there, or name another folder with "
            "--data-dir or ZOO_DATA; --download cannot fetch it"
        )
    rows = []
    left_out = {"ambient": 0, "damaged": 0, f"light at {max_angle:g} degrees or more": 0}
    for subject, person in people.items():
        images = sorted(person.glob("*.pgm"))
        lit = [file for file in images if not file.stem.endswith("Ambient")]
        left_out["ambient"] += len(images) - len(lit)
        left_out["damaged"] += DAMAGED.get(subject, 0)
        if len(lit) != (expected := LIGHTS - DAMAGED.get(subject, 0)):
            raise ValueError(f"data 'yale-b': {person} has {len(lit)} images, not {expected}; unpack it again")
        for file in lit:
            azimuth, elevation = _light(file)
            if abs(azimuth) < max_angle and abs(elevation) < max_angle:
                rows.append((file, subject, azimuth, elevation))
    left_out[f"light at {max_angle:g} degrees or more"] = sum(LIGHTS - DAMAGED.get(s, 0) for s in subjects) - len(rows)
    files = [row[0] for row in rows]
    settings = {"files": fingerprint(root, files), "size": size}
    x = cached("yale-b", settings, lambda: {"x": np.stack([_decode(file, size) for file in files])[:, None]})["x"]
    columns = {name: [row[1 + f] for row in rows] for f, name in enumerate(("subject", "azimuth", "elevation"))}
    factors = Factors.of(columns)
    classes = tuple(f"yaleB{subject:02d}" for subject in factors.values[0])
    y = factors.classes[:, 0]
    return split(Dataset("yale-b", x, y, classes=classes, factors=factors, left_out=left_out), held_out, seed=seed)


def _light(file: Path) -> tuple[int, int]:
    """Azimuth and elevation of the light in degrees, from the file's name."""
    match = NAME.fullmatch(file.name)
    if match is None:
        raise ValueError(
            f"data 'yale-b': the name of {file} does not state the light's angles as yaleB11_P00A+035E-20.pgm does; "
            "move it elsewhere"
        )
    return int(match[1]), int(match[2])


def _decode(file: Path, size: int) -> np.ndarray:
    """Bytes [size, size]."""
    try:
        with Image.open(file, formats=("PPM",)) as image:
            if image.size != (WIDTH, HEIGHT) or image.mode != "L":
                raise ValueError(f"{image.mode} of {image.size} pixels, not grey of {(WIDTH, HEIGHT)}")
            return np.asarray(image.resize((size, size), Image.Resampling.BILINEAR))
    except (OSError, SyntaxError, ValueError) as error:
        raise ValueError(f"data 'yale-b': {file} cannot be read: {error}. Unpack it again") from error
