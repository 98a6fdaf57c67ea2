"""Hoyer sparsity of normalised codes.

Mathieu et al. 2019, https://arxiv.org/abs/1812.02833, section 6.3, after Hurley and Rickard 2009.
"""

import numpy as np

from zoo.arguments import at_least, checked
from zoo.metrics.encoded import Classes, Codes, Encoded, Inapplicable
from zoo.metrics.result import HALVES, Result, generators


@checked(prune=at_least(0))
def hoyer(codes: Codes, factors: Classes = None, *, prune: float = 0.0, seed: int = 0, repeats: int = 10) -> Result:
    """(sqrt D - |y|_1 / |y|_2) / (sqrt D - 1) for y = code / sd, averaged over points: 0 dense, 1 one latent at a time.

    Each latent is divided by its standard deviation over all points and is not centred, so that different scales of the
    latents do not count as sparsity.

    .. warning::
        A dense code does not score 0: with D = 50, codes that are exactly Gaussian score 0.23. Samples of the paper's
        sparse prior score 0.42, or 0.65 with the narrow component of its code.

    Args:
        codes: as `Encoded.of`.
        factors: not needed.
        prune: latents with a standard deviation up to this are left out, and D counts the others. The paper does not
            prune; at 0, only constant latents are left out, whose standard deviation is 0.
        seed: of the repeats.
        repeats: how many.

    Raises:
        Inapplicable: fewer than two latents are left, or all points of a half are at zero.
        ValueError: as `Encoded.of`.

    Example:
        >>> import numpy as np
        >>> round(float(hoyer(np.tile(np.eye(3), (4, 1)), repeats=2)), 4)  # one latent at a time
        1.0
    """
    encoded = Encoded.of(codes, factors)
    active = encoded.active(prune)
    if len(active) < 2:
        raise Inapplicable(f"Hoyer sparsity needs two latents that vary, got {len(active)} of {len(encoded.latents)}")
    z = encoded.codes[:, active]
    runs = []
    for rng in generators(seed, repeats):
        half = rng.permutation(len(z))[: len(z) // 2]
        runs.append(_sparsity(z[half] / z.std(0, ddof=1)))
    protocol = {
        **encoded.protocol,
        "prune": prune,
        "dead_latents": encoded.dead(active),
        "points_at_zero": int((z == 0).all(1).sum()),
        "seed": seed,
        "a run": HALVES,
    }
    return Result.of("Hoyer", runs, protocol, value=_sparsity(z / z.std(0, ddof=1)))


def _sparsity(y: np.ndarray) -> float:
    """The mean Hoyer score of points [N, D], without points at zero, where it is undefined."""
    y = y[(y != 0).any(1)]
    if not len(y):
        raise Inapplicable("Hoyer sparsity: all points of a half are at zero, where it is undefined: give more points")
    root = np.sqrt(y.shape[1])
    return float(np.mean((root - np.abs(y).sum(1) / np.linalg.norm(y, axis=1)) / (root - 1)))
