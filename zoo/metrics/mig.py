"""The mutual information gap: the information of the best latent about a factor minus that of the second best.

Chen et al. 2018, https://arxiv.org/abs/1802.04942, section 4, in three forms that give different numbers.
"""

import numpy as np
from scipy.special import entr

from zoo.arguments import checked, number_from
from zoo.metrics.encoded import Classes, Codes, Encoded, Inapplicable
from zoo.metrics.information import about_factors, in_bins, sampled
from zoo.metrics.result import HALVES, Result, generators


@checked()
def mig(codes: Codes, factors: Classes = None, *, num_bins: int = 20, seed: int = 0, repeats: int = 10) -> Result:
    """The gap in units of H(y_k), its mean over factors; from means in bins of equal width.

    As in disentanglement_lib (https://arxiv.org/abs/1811.12359), with 20 bins and 10,000 points. It does not depend on
    the order of latents or of classes, nor on any latent's scale. A categorical is one latent, with its most probable
    class.

    .. warning::
        The value depends on the number of bins and of points: compare only scores with equal numbers.

    Raises:
        Inapplicable: no factor varies, or there is one latent.
        ValueError: as `Encoded.of`.

    Example:
        >>> import numpy as np
        >>> y = np.repeat([[0, 0], [0, 1], [1, 0], [1, 1]], 100, axis=0)  # two factors, all combinations
        >>> rotated = y @ [[1, 1], [1, -1]]
        >>> [round(float(mig(codes + 0.0, y, repeats=2)), 4) for codes in (y, rotated)]
        [1.0, 0.0]
    """
    encoded = Encoded.of(codes, factors).require("MIG", factors=1, latents=2)
    runs = [_normalised(in_bins(half, num_bins), half) for half in map(encoded.half, generators(seed, repeats))]
    protocol = {**encoded.protocol, "num_bins": num_bins, "seed": seed, "a run": HALVES}
    return Result.of("MIG (bins)", runs, protocol, value=_normalised(in_bins(encoded, num_bins), encoded))


@checked(num_samples=number_from(1))
def mig_aggregate(
    codes: Codes, factors: Classes = None, *, num_samples: int = 500, seed: int = 0, repeats: int = 10
) -> Result:
    """The gap in units of H(y_k), its mean over factors; from samples and the aggregate posterior, as in Chen.

    The mutual information is that of `information_about_factors`.

    .. warning::
        It is not `mig`: the two differ on the same codes. Chen's numbers for dSprites leave the shape out.

    Raises:
        Inapplicable: q(z | x) is not known, no factor varies, or there is one latent.
        ValueError: as `Encoded.of`.
    """
    metric = "MIG (aggregate)"
    encoded = Encoded.of(codes, factors).require(metric, factors=1, latents=2, densities=True)
    runs = []
    for repeat, _ in enumerate(generators(seed, repeats)):
        runs.append(_normalised(about_factors(encoded, num_samples, seed, repeat), encoded))
    return Result.of(metric, runs, sampled(encoded, num_samples, seed))


@checked(num_samples=number_from(1))
def mig_unnormalised(
    codes: Codes,
    factors: Classes = None,
    *,
    unit: str = "c",
    num_samples: int = 500,
    seed: int = 0,
    repeats: int = 10,
) -> Result:
    """I(y_k; c) - max_d I(y_k; z_d) of each factor, [K], in nats and not divided by H(y_k); it can be negative.

    As in HFVAE (Esmaeili 2019, https://arxiv.org/abs/1804.02086, Figure 6), where y is the label and c the discrete
    latent. The mutual information is that of `information_about_factors`.

    Args:
        codes: as `Encoded.of`; distributions by site, one of them c.
        factors: as `Encoded.of`.
        unit: the name of c among the units.
        num_samples: as in `mig_aggregate`.
        seed: of the samples.
        repeats: number of times that they are drawn.

    Raises:
        Inapplicable: q(z | x) is not known, no factor varies, or there is no such unit, or no other one.
        ValueError: as `Encoded.of`.
    """
    metric = "MIG (unnormalised)"
    encoded = Encoded.of(codes, factors).require(metric, factors=1, densities=True)
    if unit not in encoded.units or len(encoded.units) < 2:
        raise Inapplicable(f"{metric} compares unit {unit!r} with the others, but the units are {encoded.units}")
    c = encoded.units.index(unit)
    runs = []
    for repeat, _ in enumerate(generators(seed, repeats)):
        found = about_factors(encoded, num_samples, seed, repeat)
        runs.append(found[:, c] - np.delete(found, c, axis=1).max(1))
    protocol = {**sampled(encoded, num_samples, seed), "unit": unit}
    return Result.of(metric, runs, protocol, unit="nats", axes=(encoded.names,))


def _normalised(information: np.ndarray, encoded: Encoded) -> float:
    """(largest - second largest) / H(y_k), the mean over k, of [K, U]; information below 0 counts as 0."""
    second, first = np.sort(information.clip(min=0), axis=1)[:, -2:].T
    entropies = [entr(np.bincount(column) / len(column)).sum() for column in encoded.factors.T]
    return float(np.mean((first - second) / entropies))
