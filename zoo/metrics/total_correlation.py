"""Total correlation of the latents, in nats: KL(q(z) || prod_d q(z_d))."""

import numpy as np
import torch

from zoo.arguments import at_least, checked, number_from
from zoo.estimators import gaussian_total_correlation
from zoo.metrics.correlations import pearson
from zoo.metrics.densities import draws
from zoo.metrics.encoded import Classes, Codes, Encoded, Inapplicable
from zoo.metrics.information import sampled
from zoo.metrics.result import HALVES, Result, generators


@checked(num_samples=number_from(1))
def total_correlation(
    codes: Codes, factors: Classes = None, *, num_samples: int = 500, seed: int = 0, repeats: int = 10
) -> Result:
    """E[log q(z) - sum_d log q(z_d)], with the mixture of all N posteriors summed exactly.

    The mean is over `num_samples` samples of q(z | x); Chen 2018, https://arxiv.org/abs/1802.04942, equation (2).

    Raises:
        Inapplicable: q(z | x) is unknown.
        ValueError: as `Encoded.of`.
    """
    encoded = Encoded.of(codes, factors).require("TC", densities=True)
    runs = []
    for repeat, _ in enumerate(generators(seed, repeats)):
        mixed = draws(encoded, num_samples, seed, repeat).mixed
        runs.append((mixed.joint - mixed.units.sum(-1)).mean().item())
    return Result.of("TC (exact)", runs, sampled(encoded, num_samples, seed), unit="nats")


@checked(prune=at_least(0))
def total_correlation_gaussian(
    codes: Codes, factors: Classes = None, *, prune: float = 0.0, seed: int = 0, repeats: int = 10
) -> Result:
    """Half of sum_d log C_dd - log det C, with C the covariance of the means: as if they were Gaussian.

    As in disentanglement_lib (https://arxiv.org/abs/1811.12359). Infinite where a latent is a linear function of
    others. A categorical's probabilities add up to 1, so they are left out.

    .. warning::
        It depends on the covariance alone: dependence that is not linear is not seen. It is of the means, and not of
        samples of q(z | x).

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
        >>> round(float(total_correlation_gaussian(z, repeats=2)), 2)  # -log(1 - 0.6^2) / 2 = 0.22
        0.22
    """
    encoded = Encoded.of(codes, factors)
    active = encoded.active_continuous(prune)
    if not len(active):
        raise Inapplicable(f"TC: no continuous latent has a standard deviation above {prune:g}")
    z = encoded.codes[:, active]
    runs = []
    for rng in generators(seed, repeats):
        runs.append(_gaussian(z[rng.permutation(len(z))[: len(z) // 2]]))
    protocol = {
        **encoded.protocol,
        "prune": prune,
        "dead_latents": encoded.dead(active),
        "seed": seed,
        "a run": HALVES,
    }
    return Result.of("TC (Gaussian)", runs, protocol, unit="nats", value=_gaussian(z))


def _gaussian(z: np.ndarray) -> float:
    z = z[:, np.ptp(z, axis=0) > 0]  # a latent that is constant in a half is independent of the others
    correlation = pearson(z, z)  # has the same total correlation as the covariance, and is better conditioned
    if np.linalg.matrix_rank(correlation, tol=1e-10, hermitian=True) < len(correlation):
        return np.inf
    return float(gaussian_total_correlation(torch.from_numpy(correlation)))
