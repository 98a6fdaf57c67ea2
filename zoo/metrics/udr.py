"""Unsupervised disentanglement ranking: a model scores well if other seeds have the same codes up to order and sign.

Duan et al. 2020, https://arxiv.org/abs/1905.12614, section 4.
"""

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import torch
from torch.distributions import Independent, Normal, kl_divergence

from zoo.arguments import POSITIVE, at_least, checked
from zoo.estimators import scores
from zoo.metrics.classes import Data
from zoo.metrics.correlations import pearson
from zoo.metrics.densities import sample
from zoo.metrics.encoded import Codes, Encoded, Inapplicable
from zoo.metrics.result import HALVES, Result, generators
from zoo.metrics.sites import Site

Similarity = Literal["lasso", "spearman"]


@checked(alpha=POSITIVE, threshold=at_least(0))
def udr(
    models: Mapping[str, Codes] | Sequence[Codes],
    data: Data | None = None,
    *,
    similarity: Similarity = "lasso",
    alpha: float = 0.1,
    threshold: float = 0.01,
    num_points: int = 10_000,
    batch_size: int = 500,
    device: str | torch.device | None = None,
    seed: int = 0,
    repeats: int = 10,
) -> Result:
    """The median UDR_ij of each model i over the other models j, [M]; needs no factors.

    UDR_ij = (sum_b r_b^2 / sum_a R_ab + sum_a r_a^2 / sum_b R_ab) / (D_i + D_j), with R_ab the similarity of latent a
    of model i with latent b of model j, r_a and r_b the largest value of a row and of a column, over the D_i and D_j
    informative latents. It is 1 if each informative latent equals one of the other model's, up to order, sign and, with
    ranks, any monotone map.

    With "lasso", R is the absolute coefficient of a lasso that predicts each latent of i from those of j, all
    standardised. With "spearman", R is the absolute value of Spearman's correlation. A row or column without similarity
    counts as 0.

    A latent is informative if its KL from the standard normal, or from equal classes, is above the threshold on
    average; where q(z | x) is unknown, if its mean varies.

    .. warning::
        The score compares seeds of one setting: train several, since it says nothing about a single model. Codes that
        every seed entangles in the same way score as high as disentangled ones. A lasso shrinks a coefficient of 1 by
        alpha = 0.1, so identical codes of independent latents have 0.9 and not 1; with "spearman" they have 1.

    Args:
        models: at least two encoders, or codes of the same datapoints in the same order, see `Encoded.of`; by name, or
            as a list. The sites of one model by name are not several models.
        data: for encoders, the data set; each encodes the same datapoints.
        similarity: "lasso" or "spearman".
        alpha: the lasso's penalty.
        threshold: in nats.
        num_points: for encoders: number of datapoints to encode.
        batch_size: for encoders.
        device: for encoders; as `Encoded.of`.
        seed: of the choice of datapoints and the repeats.
        repeats: how many.

    Raises:
        TypeError: there is only one model.
        Inapplicable: no two models have an informative latent.
        ValueError: as `Encoded.of`; models differ in their number of points; or the similarity is unknown.
    """
    if not isinstance(models, (Mapping, list, tuple)) or len(models) < 2:
        raise TypeError(f"UDR compares at least two models, in a list or by name; got {type(models).__name__}")
    named = models if isinstance(models, Mapping) else {f"model {m}": codes for m, codes in enumerate(models)}
    encoded = {
        name: Encoded.of(
            codes,
            None if isinstance(codes, Encoded) else data,
            num_points=num_points,
            batch_size=batch_size,
            device=device,
            seed=seed,
        )
        for name, codes in named.items()
    }
    lengths = {name: len(one) for name, one in encoded.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"models have codes of different numbers of points, {lengths}: encode the same for each")
    informative = {name: _informative(one, threshold) for name, one in encoded.items()}
    if sum(len(latents) > 0 for latents in informative.values()) < 2:
        raise Inapplicable("UDR: fewer than two models have an informative latent")
    tables = [one.codes[:, informative[name]] for name, one in encoded.items()]
    N = next(iter(lengths.values()))

    def scores(rows: np.ndarray) -> np.ndarray:
        some = [table[rows] for table in tables]
        return np.array(
            [np.median([_pair(other, own, similarity, alpha) for other in some if other is not own]) for own in some]
        )

    runs = [scores(rng.permutation(N)[: N // 2]) for rng in generators(seed, repeats)]
    protocol = {
        "num_points": N,
        "similarity": f"Lasso(alpha={alpha})" if similarity == "lasso" else "Spearman",
        "threshold": threshold,
        "informative": {name: [encoded[name].latents[d] for d in latents] for name, latents in informative.items()},
        "informative_by": {name: "KL" if _known(one) else "variance of means" for name, one in encoded.items()},
        "seed": seed,
        "a run": HALVES,
    }
    return Result.of("UDR", runs, protocol, value=scores(np.arange(N)), axes=(tuple(named),))


def of_similarity(R: np.ndarray) -> float:
    """UDR_ij of the similarities R [D_i, D_j], not negative; 0 where there is none."""
    if not R.size:
        return 0.0
    total = 0.0
    for axis in (0, 1):
        together = R.sum(axis)
        total += (R.max(axis)[together > 0] ** 2 / together[together > 0]).sum()
    return float(total / sum(R.shape))


def _pair(a: np.ndarray, b: np.ndarray, similarity: Similarity, alpha: float) -> float:
    """UDR of the informative latents of two models, [N, D_j] and [N, D_i]; the second is predicted from the first."""
    if not a.size or not b.size:
        return 0.0
    if similarity == "spearman":
        from scipy.stats import rankdata  # imported here because it takes seconds to import

        return of_similarity(np.abs(pearson(rankdata(a, axis=0), rankdata(b, axis=0))))
    from sklearn.linear_model import Lasso
    from sklearn.preprocessing import StandardScaler

    a = StandardScaler().fit_transform(a)
    b = StandardScaler().fit_transform(b)
    lasso = Lasso(alpha=alpha, random_state=0)  # without one it draws from NumPy's global generator
    return of_similarity(np.abs(lasso.fit(a, b).coef_.reshape(b.shape[1], a.shape[1])).T)


def _known(encoded: Encoded) -> bool:
    return all(site.q is not None for site in encoded.sites.values())


def _informative(encoded: Encoded, threshold: float) -> np.ndarray:
    """The latents [A] that depend on x: by their mean KL from the prior, or where q is unknown by whether they vary."""
    if not _known(encoded):
        return encoded.active(0.0)
    kl = []
    for site in encoded.sites.values():
        if site.categorical:
            probs = site.mean / site.mean.sum(1, keepdims=True)
            each = (probs * np.log(np.where(probs > 0, probs, 1.0))).sum(1).mean() + np.log(probs.shape[1])
            kl += [each] * probs.shape[1]
        else:
            kl += _kl_from_normal(site).mean(0).tolist()
    return np.flatnonzero((np.array(kl) > threshold) & (np.ptp(encoded.codes, axis=0) > 0))


def _kl_from_normal(site: Site) -> np.ndarray:
    """The KL of each unit from Normal(0, 1), [N, size]; estimated from a draw for other families than normals."""
    q, standard = site.q, Normal(torch.zeros((), dtype=torch.float64), 1.0)
    if isinstance(q, Independent) and isinstance(q.base_dist, Normal):
        return np.asarray(kl_divergence(q.base_dist, standard))
    value = sample(site, np.random.default_rng(0)).squeeze(1)
    return np.asarray(scores(q, value).units - standard.log_prob(value))
