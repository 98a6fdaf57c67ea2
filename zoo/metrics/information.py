"""Mutual information of latents with datapoints and with factors, in nats."""

from itertools import combinations

import numpy as np
from scipy.special import rel_entr

from zoo.arguments import checked, number_from
from zoo.metrics.densities import draws, given_factors
from zoo.metrics.encoded import Classes, Codes, Encoded
from zoo.metrics.result import HALVES, Result, generators


@checked(num_samples=number_from(1))
def information_about_data(
    codes: Codes, factors: Classes = None, *, num_samples: int = 500, seed: int = 0, repeats: int = 10
) -> Result:
    """I(x; z) = E[log q(z | x) - log q(z)]; minus HFVAE's term 2 (https://arxiv.org/abs/1804.02086).

    q(z) is the mixture of all N posteriors, summed exactly; the mean is over `num_samples` samples of q(z | x).

    .. warning::
        It is at most log N, so sets of different sizes are not comparable where it is close to that.

    Raises:
        Inapplicable: q(z | x) is unknown.
        ValueError: as `Encoded.of`.
    """
    encoded = Encoded.of(codes, factors).require("I(x; z)", densities=True)
    runs = []
    for repeat, _ in enumerate(generators(seed, repeats)):
        drawn = draws(encoded, num_samples, seed, repeat)
        runs.append((drawn.own.joint - drawn.mixed.joint).mean().item())
    return Result.of("I(x; z)", runs, sampled(encoded, num_samples, seed), unit="nats")


@checked(num_samples=number_from(1))
def information_about_data_by_latent(
    codes: Codes, factors: Classes = None, *, num_samples: int = 500, seed: int = 0, repeats: int = 10
) -> Result:
    """I(x; z_d) = E[log q(z_d | x) - log q(z_d)] of each unit, [U]; near 0 for a latent that is not used.

    HFVAE, Figures 4 and 5. Otherwise as `information_about_data`.

    Raises:
        Inapplicable: q(z | x) is unknown.
        ValueError: as `Encoded.of`.
    """
    encoded = Encoded.of(codes, factors).require("I(x; z_d)", densities=True)
    runs = []
    for repeat, _ in enumerate(generators(seed, repeats)):
        drawn = draws(encoded, num_samples, seed, repeat)
        runs.append((drawn.own.units - drawn.mixed.units).mean(0).numpy())
    protocol = sampled(encoded, num_samples, seed)
    return Result.of("I(x; z_d)", runs, protocol, unit="nats", axes=(encoded.units,))


@checked(num_samples=number_from(1))
def information_about_factors(
    codes: Codes, factors: Classes = None, *, num_samples: int = 500, seed: int = 0, repeats: int = 10
) -> Result:
    """I(y_k; z_d) = H(z_d) - H(z_d | y_k) of each factor and unit, [K, U].

    z is a sample of q(z | x), and both entropies are of mixtures of posteriors: of all datapoints, and of those of a
    class (Chen 2018, https://arxiv.org/abs/1802.04942, section 4).

    Raises:
        Inapplicable: q(z | x) is unknown, or no factor varies.
        ValueError: as `Encoded.of`.
    """
    encoded = Encoded.of(codes, factors).require("I(y; z_d)", factors=1, densities=True)
    runs = [about_factors(encoded, num_samples, seed, repeat) for repeat, _ in enumerate(generators(seed, repeats))]
    protocol = sampled(encoded, num_samples, seed)
    return Result.of("I(y; z_d)", runs, protocol, unit="nats", axes=(encoded.names, encoded.units))


@checked()
def information_of_means(
    codes: Codes, factors: Classes = None, *, num_bins: int = 20, seed: int = 0, repeats: int = 10
) -> Result:
    """I(y_k; mean_d) of each factor and latent, [K, U], the means in bins of equal width, as in disentanglement_lib.

    Biased upwards by about (bins - 1)(classes - 1) / 2N, so report bins and points with the result.

    Raises:
        Inapplicable: no factor varies.
        ValueError: as `Encoded.of`.
    """
    encoded = Encoded.of(codes, factors).require("I(y; mean_d)", factors=1)
    runs = [in_bins(encoded.half(rng), num_bins) for rng in generators(seed, repeats)]
    protocol = {**encoded.protocol, "num_bins": num_bins, "seed": seed, "a run": HALVES}
    axes = (encoded.names, encoded.units)
    return Result.of("I(y; mean_d)", runs, protocol, unit="nats", value=in_bins(encoded, num_bins), axes=axes)


@checked()
def information_among_codes(
    codes: Codes, factors: Classes = None, *, num_bins: int = 20, seed: int = 0, repeats: int = 10
) -> Result:
    """The mean of I(mean_d; mean_e) over pairs of different latents, with the means in bins of equal width.

    0 where latents are independent in pairs; a score of Locatello et al. 2019, https://arxiv.org/abs/1811.12359, that
    needs no factors. Biased upwards by about (bins - 1)^2 / 2N. The pairs of a constant latent have 0, and count.

    Raises:
        Inapplicable: there is one latent.
        ValueError: as `Encoded.of`.
    """
    encoded = Encoded.of(codes, factors).require("I(mean_d; mean_e)", latents=2)
    runs = [_among(encoded.half(rng), num_bins) for rng in generators(seed, repeats)]
    protocol = {**encoded.protocol, "num_bins": num_bins, "seed": seed, "a run": HALVES}
    return Result.of("I(mean_d; mean_e)", runs, protocol, unit="nats", value=_among(encoded, num_bins))


def in_bins(encoded: Encoded, num_bins: int) -> np.ndarray:
    """Mutual information of each factor with each unit's mean in `num_bins` bins, or its class, [K, U]."""
    table = _binned(encoded, num_bins)
    found = [[_of_classes(classes, bins) for bins in table.T] for classes in encoded.factors.T]
    return np.array(found).reshape(len(encoded.names), len(encoded.units))


def _among(encoded: Encoded, num_bins: int) -> float:
    pairs = combinations(_binned(encoded, num_bins).T, 2)
    return float(np.mean([_of_classes(a, b) for a, b in pairs]))


def _of_classes(a: np.ndarray, b: np.ndarray) -> float:
    """Mutual information of two columns of classes, each [N] and from 0."""
    shape = (a.max() + 1, b.max() + 1)
    joint = np.bincount(np.ravel_multi_index((a, b), shape), minlength=shape[0] * shape[1]).reshape(shape) / len(a)
    independent = np.outer(joint.sum(1), joint.sum(0))
    return float(rel_entr(joint, independent).sum())


def _binned(encoded: Encoded, num_bins: int) -> np.ndarray:
    """The bin of each unit's mean, [N, U], from 0; of equal width between the smallest and the largest value.

    A categorical has its most probable class instead, also where it has two.
    """
    if num_bins < 2:
        raise ValueError(f"num_bins = {num_bins}: all values fall into one bin; give 2 or more")
    # not NumPy's histogram_bin_edges, which refuses a range too small for distinct bin edges
    bins: list[np.ndarray] = []
    for site in encoded.sites.values():
        if site.categorical:
            bins.append(site.mean.argmax(1))
            continue
        edges = np.linspace(site.mean.min(0), site.mean.max(0), num_bins + 1)
        bins += [np.digitize(column, inner) for column, inner in zip(site.mean.T, edges[1:-1].T, strict=True)]
    return np.stack(bins, axis=1)


def about_factors(encoded: Encoded, num_samples: int, seed: int, repeat: int) -> np.ndarray:
    """One run of `information_about_factors`, [K, U]."""
    drawn = draws(encoded, num_samples, seed, repeat)
    given = given_factors(encoded, num_samples, seed, repeat)
    return np.asarray((given - drawn.mixed.units.unsqueeze(1)).mean(0))


def sampled(encoded: Encoded, num_samples: int, seed: int) -> dict[str, object]:
    """The protocol of a mean over samples of q(z | x)."""
    return {
        **encoded.protocol,
        "num_samples": num_samples,
        "q(z)": f"the mixture of all {len(encoded)} posteriors",
        "seed": seed,
        "a run": "fresh samples",
    }
