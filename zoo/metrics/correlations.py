"""Pearson correlations among latents, and of latents with factors.

DIP-VAE (Kumar 2017, https://arxiv.org/abs/1711.00848): Tables 3 and 4, Figure 2, appendices A and B. The value of a
factor is its class index. A factor with three or more names has no such value and is left out, unless the names are
ordered categories of pandas.
"""

from collections.abc import Collection
from itertools import combinations
from typing import NamedTuple

import numpy as np

from zoo.arguments import at_least, checked, number_from
from zoo.metrics.encoded import Classes, Codes, Encoded, Inapplicable
from zoo.metrics.result import HALVES, Result, generators


@checked(prune=at_least(0))
def latent_correlations(
    codes: Codes, factors: Classes = None, *, prune: float = 0.0, seed: int = 0, repeats: int = 10
) -> Result:
    """Correlations of the latents' means with each other, [A, A]: Tables 3 and 4, top.

    Args:
        codes: as `Encoded.of`.
        factors: not needed.
        prune: latents with a standard deviation up to this are left out; at 0, constant latents, which have no
            correlation.
        seed: of the repeats.
        repeats: how many.

    Raises:
        Inapplicable: no latent is left.
        ValueError: as `Encoded.of`.
    """
    return _correlations("latent correlations", Encoded.of(codes, factors), prune, seed, repeats)


@checked(prune=at_least(0))
def factor_correlations(
    codes: Codes, factors: Classes = None, *, prune: float = 0.0, seed: int = 0, repeats: int = 10
) -> Result:
    """Correlations of each factor with each latent's mean, [K, A]: Tables 3 and 4, bottom; see `latent_correlations`.

    Raises:
        Inapplicable: no factor varies, or no latent is left.
        ValueError: as `Encoded.of`.
    """
    metric = "factor correlations"
    encoded = Encoded.of(codes, factors).with_order().require(metric, factors=1)
    return _correlations(metric, encoded, prune, seed, repeats, rows=encoded.names)


@checked()
def neighbours(codes: Codes, factors: Classes = None, *, seed: int = 0, repeats: int = 10) -> Result:
    """Correlations of each attribute's latent with every attribute, [K, K]: their entanglement, as in Figure 2.

    An attribute's latent is the one with the largest absolute correlation with it on all points; the protocol names
    it. `closest` returns the bars of the figure.

    Raises:
        Inapplicable: fewer than two factors vary, or no latent does.
        ValueError: as `Encoded.of`.
    """
    encoded = Encoded.of(codes, factors).with_order().require("neighbours", factors=2)
    if not len(encoded.active(0.0)):
        raise Inapplicable("neighbours: no latent varies, so none is correlated with an attribute")
    table = pearson(encoded.factors, encoded.codes)
    chosen = np.abs(table).argmax(1)
    runs = [pearson(half.codes[:, chosen], half.factors) for half in map(encoded.half, generators(seed, repeats))]
    latents = {name: encoded.latents[d] for name, d in zip(encoded.names, chosen, strict=True)}
    protocol = {**encoded.protocol, "latent_of": latents, "seed": seed, "a run": HALVES}
    axes = (encoded.names, encoded.names)
    return Result.of("neighbours", runs, protocol, unit="correlation", value=table[:, chosen].T, axes=axes)


@checked(count=number_from(1))
def closest(result: Result, attribute: str, count: int = 4) -> list[tuple[str, float]]:
    """The other attributes most correlated with an attribute's latent, with the correlations; from `neighbours`.

    Raises:
        LookupError: there is no such attribute.
    """
    names = result.axes[0]
    if attribute not in names:
        raise LookupError(f"no attribute {attribute!r}; there are {', '.join(names)}")
    row = result.value[names.index(attribute)]
    others = [k for k in np.argsort(-np.abs(row), kind="stable") if names[k] != attribute]
    return [(names[k], float(row[k])) for k in others[:count]]


class Pair(NamedTuple):
    """Two latents, and the correlation of their means."""

    first: str
    second: str
    correlation: float


@checked(count=number_from(1))
def strongest(result: Result, count: int = 5, *, across: bool, among: Collection[str] | None = None) -> list[Pair]:
    """The pairs of latents with the largest absolute correlations, the largest first; from `latent_correlations`.

    HFVAE, section 5.2 (https://arxiv.org/abs/1804.02086), where each site is a group.

    Args:
        result: of `latent_correlations`, with latents named site_unit.
        count: the largest number of pairs.
        across: True for pairs from two sites, False for pairs within a site.
        among: the latents to choose from; all when not given.
    """
    latents = [(place, name) for place, name in enumerate(result.axes[0]) if among is None or name in among]
    pairs = [
        Pair(a, b, float(result.value[i, j]))
        for (i, a), (j, b) in combinations(latents, 2)
        if (a.rsplit("_", 1)[0] != b.rsplit("_", 1)[0]) == across
    ]
    return sorted(pairs, key=lambda pair: -abs(pair.correlation))[:count]


def pearson(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Correlations of the columns of a [N, A] with those of b [N, B], [A, B]; 0 where a column is constant."""

    def unit(table: np.ndarray) -> np.ndarray:
        centred = table - table.mean(0)
        length = np.linalg.norm(centred, axis=0)
        varies = (np.ptp(table, axis=0) > 0) & (length > 0)
        return np.where(varies, centred, 0.0) / np.where(varies, length, 1.0)

    return unit(a).T @ unit(b)


def standardise(table: np.ndarray, train: np.ndarray) -> np.ndarray:
    """Columns [N, A] with mean 0 and standard deviation 1 in the training set; a constant one is only centred."""
    centred = table - table[train].mean(0)
    scale = table[train].std(0)
    return centred / np.where((np.ptp(table[train], axis=0) > 0) & (scale > 0), scale, 1.0)


def _correlations(
    metric: str, encoded: Encoded, prune: float, seed: int, repeats: int, rows: tuple[str, ...] | None = None
) -> Result:
    """Correlations of the active latents, or of the factors in `rows`, with the active latents."""
    active = encoded.active(prune)
    if not len(active):
        raise Inapplicable(f"{metric}: no latent has a standard deviation above {prune:g}")

    def table(some: Encoded) -> np.ndarray:
        z = some.codes[:, active]
        return pearson(some.factors if rows else z, z)

    runs = [table(encoded.half(rng)) for rng in generators(seed, repeats)]
    names = tuple(encoded.latents[d] for d in active)
    protocol = {
        **encoded.protocol,
        "prune": prune,
        "dead_latents": encoded.dead(active),
        "seed": seed,
        "a run": HALVES,
    }
    return Result.of(metric, runs, protocol, unit="correlation", value=table(encoded), axes=(rows or names, names))
