"""Pinwheels: points in the plane on the arms of a spiral, as the decomposition paper's code draws them."""

from pathlib import Path

import numpy as np

from zoo.lab.data.dataset import Dataset
from zoo.lab.data.split import Split
from zoo.seeds import stream


def pinwheel(
    folder: Path,
    *,
    download: bool = False,
    arms: int = 4,
    points: int = 100,
    radial_std: float = 0.3,
    tangential_std: float = 0.1,
    rate: float = 0.25,
    seed: int = 0,
) -> Split:
    """A pinwheel of points in the plane, [arms x points, 2], and a second one for testing; labels are the arms.

    A point lies at (r, t), r ~ Normal(1, radial_std) along its arm and t ~ Normal(0, tangential_std) across, and is
    then turned clockwise by 2 pi arm / arms + rate exp(r). After R. P. Adams' generator (Johnson, Duvenaud, Wiltschko,
    Datta, Adams, arXiv:1603.06277), with the numbers of Mathieu, Rainforth, Siddharth, Teh's code
    (arXiv:1812.02833), where the two standard deviations are swapped in the call. Nothing is read or downloaded.

    Args:
        folder: unused.
        download: unused.
        arms: number of arms, at least one.
        points: number of points on each arm, at least one.
        radial_std: the standard deviation along an arm.
        tangential_std: the standard deviation across an arm.
        rate: curvature of the arms.
        seed: of the points.

    Raises:
        ValueError: there are no arms or points, or a deviation is negative.
    """
    if arms < 1 or points < 1 or radial_std < 0 or tangential_std < 0:
        raise ValueError(
            "data 'pinwheel': arms and points must be at least 1 and deviations not negative, got "
            f"arms={arms}, points={points}, radial_std={radial_std:g}, tangential_std={tangential_std:g}"
        )
    y = np.repeat(np.arange(arms), points)
    classes = tuple(f"arm {arm}" for arm in range(arms))
    parts = []
    for part in (0, 1):
        rng = stream([seed, part])
        r, t = rng.standard_normal((2, len(y))) * [[radial_std], [tangential_std]] + [[1.0], [0.0]]
        angle = 2 * np.pi * y / arms + rate * np.exp(r)
        x = np.stack([r * np.cos(angle) + t * np.sin(angle), t * np.cos(angle) - r * np.sin(angle)], axis=1)
        parts.append(Dataset("pinwheel", x.astype(np.float32), y, classes=classes))
    return Split(*parts)
