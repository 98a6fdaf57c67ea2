"""Mutual information of latents with datapoints and with factors, in nats."""

import numpy as np
from sklearn.metrics import mutual_info_score

from zoo.metrics.densities import draws, given_factors
from zoo.metrics.encoded import Classes, Codes, Encoded
from zoo.metrics.result import HALVES, Result, generators


def information_about_data(
    codes: Codes, factors: Classes = None, *, num_samples: int = 500, seed: int = 0, repeats: int = 10
) -> Result:
    """I(x; z) = E[log q(z | x) - log q(z)], at most log N; HFVAE's term 2 (https://arxiv.org/abs/1804.02086).

    q(z) is the mixture of all N posteriors, summed exactly; the mean is over `num_samples` samples of q(z | x).

    Raises:
        Inapplicable: q(z | x) is not known.
        ValueError: as `Encoded.of`.
    """
    encoded = Encoded.of(codes, factors).require("I(x; z)", densities=True)
    runs = []
    for repeat, _ in enumerate(generators(seed, repeats)):
        drawn = draws(encoded, num_samples, seed, repeat)
        runs.append((drawn.own.joint - drawn.mixed.joint).mean().item())
    return Result.of("I(x; z)", runs, sampled(encoded, num_samples, seed), unit="nats")


def information_about_data_by_latent(
    codes: Codes, factors: Classes = None, *, num_samples: int = 500, seed: int = 0, repeats: int = 10
) -> Result:
    """I(x; z_d) = E[log q(z_d | x) - log q(z_d)] of each unit, [U]; near 0 where a latent is pruned.

    HFVAE, Figures 4 and 5. Otherwise as `information_about_data`.

    Raises:
        Inapplicable: q(z | x) is not known.
        ValueError: as `Encoded.of`.
    """
    encoded = Encoded.of(codes, factors).require("I(x; z_d)", densities=True)
    runs = []
    for repeat, _ in enumerate(generators(seed, repeats)):
        drawn = draws(encoded, num_samples, seed, repeat)
        runs.append((drawn.own.units - drawn.mixed.units).mean(0).numpy())
    protocol = sampled(encoded, num_samples, seed)
    return Result.of("I(x; z_d)", runs, protocol, unit="nats", axes=(encoded.units,))


def information_about_factors(
    codes: Codes, factors: Classes = None, *, num_samples: int = 500, seed: int = 0, repeats: int = 10
) -> Result:
    """I(y_k; z_d) = H(z_d) - H(z_d | y_k) of each factor and unit, [K, U].

    z is a sample of q(z | x), and both entropies are of mixtures of posteriors: of all datapoints, and of those of a
    class (Chen 2018, https://arxiv.org/abs/1802.04942, section 4).

    Raises:
        Inapplicable: q(z | x) is not known, or no factor varies.
        ValueError: as `Encoded.of`.
    """
    encoded = Encoded.of(codes, factors).require("I(y; z_d)", factors=1, densities=True)
    runs = [about_factors(encoded, num_samples, seed, repeat) for repeat, _ in enumerate(generators(seed, repeats))]
    protocol = sampled(encoded, num_samples, seed)
    return Result.of("I(y; z_d)", runs, protocol, unit="nats", axes=(encoded.names, encoded.units))


def information_of_means(
    codes: Codes, factors: Classes = None, *, num_bins: int = 20, seed: int = 0, repeats: int = 10
) -> Result:
    """I(y_k; mean_d) of each factor and latent, [K, D], with the means in bins of equal width, as disentanglement_lib.

    High by about (bins - 1)(classes - 1) / 2N, so both belong to the result.

    Raises:
        Inapplicable: no factor varies.
        ValueError: as `Encoded.of`.
    """
    encoded = Encoded.of(codes, factors).require("I(y; mean_d)", factors=1)
    runs = [in_bins(encoded.half(rng), num_bins) for rng in generators(seed, repeats)]
    protocol = {**encoded.protocol, "num_bins": num_bins, "seed": seed, "a run": HALVES}
    axes = (encoded.names, encoded.latents)
    return Result.of("I(y; mean_d)", runs, protocol, unit="nats", value=in_bins(encoded, num_bins), axes=axes)


def in_bins(encoded: Encoded, num_bins: int) -> np.ndarray:
    """Mutual information of each factor with each latent's mean in `num_bins` bins of equal width, [K, D]."""
    if num_bins < 2:
        raise ValueError(f"num_bins = {num_bins}: one bin tells nothing; take 2 or more")
    found = np.empty((len(encoded.names), len(encoded.latents)))
    for d, column in enumerate(encoded.codes.T):
        edges = np.histogram_bin_edges(column, num_bins)
        bins = np.digitize(column, edges[1:-1])
        found[:, d] = [mutual_info_score(classes, bins) for classes in encoded.factors.T]
    return found


def about_factors(encoded: Encoded, num_samples: int, seed: int, repeat: int) -> np.ndarray:
    """One run of `information_about_factors`, [K, U]."""
    drawn = draws(encoded, num_samples, seed, repeat)
    given = given_factors(encoded, num_samples, seed, repeat)
    return np.asarray((given - drawn.mixed.units.unsqueeze(1)).mean(0))


def sampled(encoded: Encoded, num_samples: int, seed: int) -> dict[str, object]:
    """The protocol of what is a mean over samples of q(z | x)."""
    return {
        **encoded.protocol,
        "num_samples": num_samples,
        "q(z)": f"the mixture of all {len(encoded)} posteriors",
        "seed": seed,
        "a run": "fresh samples",
    }
