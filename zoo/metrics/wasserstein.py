"""Gaussian Wasserstein correlation: distance of the latents from independent ones, as if they were Gaussian.

Locatello et al. 2019, https://arxiv.org/abs/1811.12359, among the scores that need no factors.
"""

from collections.abc import Callable

import numpy as np

from zoo.arguments import at_least, checked
from zoo.metrics.encoded import Classes, Codes, Encoded, Inapplicable
from zoo.metrics.result import HALVES, Result, Unit, generators


@checked(prune=at_least(0))
def wasserstein_correlation(
    codes: Codes, factors: Classes = None, *, prune: float = 0.0, seed: int = 0, repeats: int = 10
) -> Result:
    """2 tr C - 2 tr (D^1/2 C D^1/2)^1/2, with C the covariance of the means and D its diagonal.

    That is the squared Wasserstein distance W_2 (Dowson and Landau 1982, https://doi.org/10.1016/0047-259X(82)90077-X)
    of N(0, C) from N(0, D), the product of its marginals: 0 where latents are uncorrelated. A categorical's
    probabilities add up to 1, so they are left out.

    .. warning::
        Its unit is that of the codes squared, so it depends on their scale. Dependence that is not linear is not seen.

    Args:
        codes: as `Encoded.of`.
        factors: not needed.
        prune: latents with a standard deviation up to this are left out; at 0, constant latents.
        seed: of the repeats.
        repeats: how many.

    Raises:
        Inapplicable: no latent is left.
        ValueError: as `Encoded.of`.

    Example:
        >>> import numpy as np
        >>> rng = np.random.default_rng(0)
        >>> z = rng.standard_normal((100_000, 2)) @ np.linalg.cholesky([[1.0, 0.6], [0.6, 1.0]]).T
        >>> round(float(wasserstein_correlation(z, repeats=2)), 2)  # eigenvalues 1.6 and 0.4: 4 - 2 (1.6^0.5 + 0.4^0.5)
        0.2
    """
    return _result("Wasserstein correlation", "variance", of_covariance, codes, factors, prune, seed, repeats)


@checked(prune=at_least(0))
def wasserstein_correlation_normed(
    codes: Codes, factors: Classes = None, *, prune: float = 0.0, seed: int = 0, repeats: int = 10
) -> Result:
    """`wasserstein_correlation` divided by tr C, the total variance of the latents; at least 0 and below 2.

    Scaling all latents by one factor does not change it; scaling one latent changes its weight. Arguments and errors
    are those of `wasserstein_correlation`.
    """

    def normed(C: np.ndarray) -> float:
        total = float(np.trace(C))
        return of_covariance(C) / total if total > 0 else 0.0  # no latent varies in this half

    return _result("Wasserstein correlation (normed)", "ratio", normed, codes, factors, prune, seed, repeats)


def of_covariance(C: np.ndarray) -> float:
    """The Wasserstein correlation of a covariance matrix [A, A]."""
    scale = np.sqrt(C.diagonal())
    eigenvalues = np.linalg.eigvalsh(scale[:, None] * C * scale).clip(min=0)
    return float(max(0.0, 2 * np.trace(C) - 2 * np.sqrt(eigenvalues).sum()))  # rounding may leave -1e-16


def _result(
    metric: str,
    unit: Unit,
    of: Callable[[np.ndarray], float],
    codes: Codes,
    factors: Classes,
    prune: float,
    seed: int,
    repeats: int,
) -> Result:
    encoded = Encoded.of(codes, factors)
    active = encoded.active_continuous(prune)
    if not len(active):
        raise Inapplicable(f"{metric}: no continuous latent has a standard deviation above {prune:g}")
    z = encoded.codes[:, active]
    runs = []
    for rng in generators(seed, repeats):
        runs.append(of(_covariance(z[rng.permutation(len(z))[: len(z) // 2]])))
    protocol = {
        **encoded.protocol,
        "prune": prune,
        "dead_latents": encoded.dead(active),
        "seed": seed,
        "a run": HALVES,
    }
    return Result.of(metric, runs, protocol, unit=unit, value=of(_covariance(z)))


def _covariance(z: np.ndarray) -> np.ndarray:
    return np.cov(z, rowvar=False).reshape(z.shape[1], z.shape[1])
