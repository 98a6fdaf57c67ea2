"""Correlations with an angle, which has no beginning: 359 degrees and 1 are neighbours.

Mardia and Jupp 2000, Directional Statistics (https://doi.org/10.1002/9780470316979), sections 11.2 and 11.3.
"""

import numpy as np


def linear(codes: np.ndarray, angle: np.ndarray, *, harmonics: int = 1) -> np.ndarray:
    """Of each latent [N, D] with an angle [N] in radians: the multiple correlation with its cosine and sine, [D].

    Between 0 and 1, and the same wherever the angle's zero is. It is 1 for a latent a + b cos(angle - t), and
    sqrt(6) / pi = 0.780 for one that is the angle itself and jumps once around the circle. With two harmonics, those of
    twice the angle count too: a latent that cannot tell front from back has 0 with one and up to 1 with two.
    A latent that does not change has 0.

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
    """Of two angles [N] in radians: Fisher and Lee 1983, https://doi.org/10.1093/biomet/70.2.327; -1 to 1.

    It is E[sin(a - a') sin(b - b')] over pairs of points, divided by the root of both angles' own. 1 if one is the
    other turned, -1 if turned and mirrored; 0 if one is symmetric in the other. Neither zero matters.

    Raises:
        ValueError: lengths differ, or an angle is not finite; or one angle never changes but by half a turn.
    """
    a, b = _checked(a), _checked(b)
    if a.shape != b.shape:
        raise ValueError(f"angles {a.shape} and {b.shape} differ in length")
    cosines, sines = np.cos(a), np.sin(a)
    across = (cosines @ np.cos(b)) * (sines @ np.sin(b)) - (cosines @ np.sin(b)) * (sines @ np.cos(b))
    spread = [len(t) ** 2 - np.cos(2 * t).sum() ** 2 - np.sin(2 * t).sum() ** 2 for t in (a, b)]
    if min(spread) <= 1e-12 * len(a) ** 2:
        raise ValueError("an angle that never changes but by half a turn has no correlation")
    return float(4 * across / np.sqrt(spread[0] * spread[1]))


def as_angle(code: np.ndarray) -> np.ndarray:
    """A latent [N] wound once around the circle by its ranks, [N]: what `circular` may compare with an angle.

    A latent that rises once with the angle, wherever it jumps, so has 1 or -1, whatever its distribution.
    """
    from scipy.stats import rankdata

    return np.asarray(2 * np.pi * (rankdata(code) - 0.5) / len(code))


def _checked(angle: np.ndarray) -> np.ndarray:
    angle = np.asarray(angle, float)
    if angle.ndim != 1 or not np.isfinite(angle).all():
        raise ValueError(f"an angle must be finite numbers [N], in radians; got {angle.shape}")
    return angle
