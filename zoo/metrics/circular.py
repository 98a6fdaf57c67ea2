"""Correlations with an angle, which is periodic: 359 degrees and 1 degree are neighbours.

Mardia and Jupp 2000, Directional Statistics (https://doi.org/10.1002/9780470316979), sections 11.2 and 11.3.
"""

import numpy as np


def linear(codes: np.ndarray, angle: np.ndarray, *, harmonics: int = 1) -> np.ndarray:
    """Multiple correlation of each latent [N, D] with the cosine and sine of an angle [N] in radians, [D].

    Between 0 and 1, and independent of the angle's zero. It is 1 for a latent a + b cos(angle - t), and sqrt(6) / pi =
    0.780 for one that is the angle itself, with one jump around the circle. With two harmonics, the cosine and sine of
    twice the angle are used as well: a latent that is equal for front and back has the correlation 0 with one harmonic,
    and up to 1 with two. A constant latent has 0.

    Raises:
        ValueError: lengths differ, there are too few points, or an angle is not finite.
    """
    codes, angle = np.asarray(codes, float), _checked(angle)
    if codes.ndim != 2 or len(codes) != len(angle) or len(angle) < 2 * harmonics + 2:
        raise ValueError(
            f"codes {codes.shape} and angles {angle.shape}: expected [N, D] and [N], N at least {2 * harmonics + 2}"
        )
    times = np.arange(1, harmonics + 1) * angle[:, None]
    design = np.concatenate([np.ones((len(angle), 1)), np.cos(times), np.sin(times)], axis=1)
    fitted = design @ np.linalg.lstsq(design, codes, rcond=None)[0]
    total, left = codes.var(0), (codes - fitted).var(0)
    varies = np.ptp(codes, axis=0) > 0
    return np.sqrt((1 - left / np.where(varies, total, 1.0)).clip(0, 1)) * varies


def circular(a: np.ndarray, b: np.ndarray) -> float:
    """Circular correlation of two angles [N] in radians, -1 to 1: Fisher and Lee 1983,
    https://doi.org/10.1093/biomet/70.2.327.

    It is E[sin(a - a') sin(b - b')] over pairs of points, divided by sqrt(E[sin^2(a - a')] E[sin^2(b - b')]): 1 if one
    is a rotation of the other, -1 if it is rotated and mirrored; 0 if one is symmetric in the other. It does not depend
    on the zeros of the angles.

    Raises:
        ValueError: lengths differ, or an angle is not finite; or one angle has only values that differ by half a turn.
    """
    a, b = _checked(a), _checked(b)
    if a.shape != b.shape:
        raise ValueError(f"angles {a.shape} and {b.shape} differ in length")
    cosines, sines = np.cos(a), np.sin(a)
    across = (cosines @ np.cos(b)) * (sines @ np.sin(b)) - (cosines @ np.sin(b)) * (sines @ np.cos(b))
    spread = [len(t) ** 2 - np.cos(2 * t).sum() ** 2 - np.sin(2 * t).sum() ** 2 for t in (a, b)]
    if min(spread) <= 1e-12 * len(a) ** 2:
        raise ValueError("an angle whose values differ only by half a turn has no correlation")
    return float(4 * across / np.sqrt(spread[0] * spread[1]))


def as_angle(code: np.ndarray) -> np.ndarray:
    """Maps the ranks of a latent [N] to angles once around the circle, [N], for `circular`.

    A latent that increases with the angle except for one jump then has the correlation 1 or -1, for every distribution.
    """
    from scipy.stats import rankdata

    return np.asarray(2 * np.pi * (rankdata(code) - 0.5) / len(code))


def _checked(angle: np.ndarray) -> np.ndarray:
    angle = np.asarray(angle, float)
    if angle.ndim != 1 or not np.isfinite(angle).all():
        raise ValueError(f"an angle must be finite numbers [N], in radians; got {angle.shape}")
    return angle
