"""Pearson correlations among latents, and of latents with factors.

DIP-VAE (Kumar 2017, https://arxiv.org/abs/1711.00848): Tables 3 and 4, Figure 2, appendices A and B. A factor counts by
its class index, as a number.
"""

from collections.abc import Collection
from itertools import combinations
from typing import NamedTuple

import numpy as np

from zoo.metrics.encoded import Classes, Codes, Encoded, Inapplicable
from zoo.metrics.result import HALVES, Result, generators


def latent_correlations(
    codes: Codes, factors: Classes = None, *, prune: float = 0.0, seed: int = 0, repeats: int = 10
) -> Result:
    """Of each latent's mean with each other's, [A, A]: Tables 3 and 4, top.

    Args:
        codes: as `Encoded.of`.
        factors: not needed.
        prune: latents with a standard deviation up to this are left out; one that never changes is at 0 too, since it
            has no correlation.
        seed: of the repeats.
        repeats: how many.

    Raises:
        Inapplicable: no latent is left.
        ValueError: as `Encoded.of`.
    """
    return _correlations("latent correlations", Encoded.of(codes, factors), prune, seed, repeats)


def factor_correlations(
    codes: Codes, factors: Classes = None, *, prune: float = 0.0, seed: int = 0, repeats: int = 10
) -> Result:
    """Of each factor with each latent's mean, [K, A]: Tables 3 and 4, bottom. Arguments as `latent_correlations`.

    Raises:
        Inapplicable: no factor varies, or no latent is left.
        ValueError: as `Encoded.of`.
    """
    metric = "factor correlations"
    encoded = Encoded.of(codes, factors).require(metric, factors=1)
    return _correlations(metric, encoded, prune, seed, repeats, rows=encoded.names)


def neighbours(codes: Codes, factors: Classes = None, *, seed: int = 0, repeats: int = 10) -> Result:
    """Of each attribute's latent with every attribute, [K, K]: how entangled they are, as Figure 2.

    An attribute's latent is the one of largest absolute correlation with it on all points; the protocol names it.
    `closest` gives the bars of the figure.

    Raises:
        Inapplicable: fewer than two factors vary, or no latent does.
        ValueError: as `Encoded.of`.
    """
    encoded = Encoded.of(codes, factors).require("neighbours", factors=2)
    if not len(encoded.active(0.0)):
        raise Inapplicable("neighbours: no latent varies, so none is correlated with an attribute")
    table = pearson(encoded.factors, encoded.codes)
    chosen = np.abs(table).argmax(1)
    runs = [pearson(half.codes[:, chosen], half.factors) for half in map(encoded.half, generators(seed, repeats))]
    latents = {name: encoded.latents[d] for name, d in zip(encoded.names, chosen, strict=True)}
    protocol = {**encoded.protocol, "latent_of": latents, "seed": seed, "a run": HALVES}
    axes = (encoded.names, encoded.names)
    return Result.of("neighbours", runs, protocol, unit="correlation", value=table[:, chosen].T, axes=axes)


def closest(result: Result, attribute: str, count: int = 4) -> list[tuple[str, float]]:
    """The other attributes that an attribute's latent is most correlated with, and how much; of `neighbours`.

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
    """Two latents, and how their means are correlated."""

    first: str
    second: str
    correlation: float


def strongest(result: Result, count: int = 5, *, across: bool, among: Collection[str] | None = None) -> list[Pair]:
    """The pairs of different latents of largest absolute correlation, the strongest first; of `latent_correlations`.

    HFVAE, section 5.2 (https://arxiv.org/abs/1804.02086), where each site is a group.

    Args:
        result: latents are called site_unit.
        count: how many pairs, at most.
        across: whether of two sites, or of one.
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
    """Correlations of the columns of a [N, A] with those of b [N, B], [A, B]; 0 where a column does not change."""

    def unit(table: np.ndarray) -> np.ndarray:
        centred = table - table.mean(0)
        length = np.linalg.norm(centred, axis=0)
        varies = (np.ptp(table, axis=0) > 0) & (length > 0)
        return np.where(varies, centred, 0.0) / np.where(varies, length, 1.0)

    return unit(a).T @ unit(b)


def _correlations(
    metric: str, encoded: Encoded, prune: float, seed: int, repeats: int, rows: tuple[str, ...] | None = None
) -> Result:
    """Of the active latents, or of factors where `rows` names them, with the active latents."""
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
