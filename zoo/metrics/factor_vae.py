"""The FactorVAE metric: the latent that varies least while a factor is held fixed.

Kim and Mnih 2018, https://arxiv.org/abs/1802.05983, section 4.
"""

import numpy as np

from zoo.arguments import at_least, checked, number_from
from zoo.metrics.encoded import Classes, Codes, Encoded
from zoo.metrics.result import Result, generators


@checked(num_points=number_from(2), num_train=number_from(1), num_eval=number_from(0), prune=at_least(0))
def factor_vae(
    codes: Codes,
    factors: Classes = None,
    *,
    num_points: int = 64,
    num_train: int = 10_000,
    num_eval: int = 5_000,
    prune: float = 0.05,
    seed: int = 0,
    repeats: int = 10,
) -> Result:
    """Accuracy of a majority vote that predicts the fixed factor from the latent with the smallest relative variance.

    For one vote, draw a factor k and one of its classes, each uniformly, and `num_points` datapoints of this class; the
    vote goes from the latent d with the smallest ratio of its variance among them to its variance among all datapoints,
    to k. The prediction for latent d is the k with most of its votes. Chance is about 1/K.

    The defaults are those of disentanglement_lib (https://arxiv.org/abs/1811.12359). The decomposition paper's code has
    num_points=1000, num_train=20_000, num_eval=0, prune=0.

    .. warning::
        The score depends on these settings: the same codes can score 0.36 or 0.54. It does not depend on the scale of a
        latent, unless its standard deviation crosses `prune`. In a class with one point no latent varies, so its votes
        are all from the first latent; the `caveat` says if there are such classes.

    Args:
        codes: as `Encoded.of`.
        factors: as `Encoded.of`.
        num_points: L, the number of datapoints of a vote.
        num_train: number of votes for the table.
        num_eval: number of votes for the accuracy; with 0 the accuracy is computed on the votes of the table.
        prune: latents with a standard deviation up to this are left out; the prior's is 1. At 0, constant latents are
            left out, since their 0/0 would win every vote.
        seed: of all draws.
        repeats: number of times that all votes are drawn.

    Returns:
        The score; 0 where no latent is left.

    Raises:
        Inapplicable: fewer than two factors vary.
        ValueError: as `Encoded.of`; or there are no votes, or fewer than two points per vote.

    Example:
        >>> import numpy as np
        >>> y = np.repeat([[0, 0], [0, 1], [1, 0], [1, 1]], 100, axis=0)  # two factors, all combinations
        >>> float(factor_vae(y + 0.0, y, num_train=100, num_eval=100, repeats=2))
        1.0
    """
    encoded = Encoded.of(codes, factors).require("FactorVAE", factors=2)
    active = encoded.active(prune)
    runs = []
    for rng in generators(seed, repeats):
        if not len(active):
            runs.append(0.0)
            continue
        table = votes(encoded, active, num_train, num_points, rng)
        judged = votes(encoded, active, num_eval, num_points, rng) if num_eval else table
        runs.append(judged[np.arange(len(active)), table.argmax(1)].sum() / judged.sum())
    sizes = np.concatenate([encoded.counts(k) for k in range(len(encoded.names))])
    alone = int((sizes == 1).sum())
    caveat = {"caveat": f"means little: {alone} of {len(sizes)} classes have one point"} if alone else {}
    protocol = {
        **encoded.protocol,
        "num_points_per_vote": num_points,
        "num_train": num_train,
        "num_eval": num_eval,
        "prune": prune,
        "dead_latents": encoded.dead(active),
        "classifier": "majority vote",
        "seed": seed,
        "a run": "fresh votes",
        **caveat,
    }
    return Result.of("FactorVAE", runs, protocol)


def votes(encoded: Encoded, active: np.ndarray, count: int, num_points: int, rng: np.random.Generator) -> np.ndarray:
    """The number of votes from latent d, with the smallest relative variance, to the fixed factor k, [A, K]."""
    codes = encoded.codes[:, active]
    codes = codes / codes.std(0, ddof=1)
    table = np.zeros((len(active), len(encoded.names)), np.int64)
    labels = rng.integers(len(encoded.names), size=count)
    for k, size in enumerate(encoded.sizes):
        classes = rng.integers(size, size=(labels == k).sum())
        for some in np.array_split(classes, len(classes) * num_points // 100_000 + 1):  # bounds the memory
            points = encoded.draw(k, np.repeat(some[:, None], num_points, axis=1), rng)
            least = codes[points].var(1, ddof=1).argmin(1)
            table[:, k] += np.bincount(least, minlength=len(active))
    return table
