"""The interventional robustness score: how little a latent changes with other factors while its factor is fixed.

Suter et al. 2019, https://arxiv.org/abs/1811.00007, section 4.
"""

import numpy as np

from zoo.arguments import PROBABILITY, at_least, checked
from zoo.metrics.encoded import Classes, Codes, Encoded
from zoo.metrics.result import HALVES, Result, generators


@checked(quantile=PROBABILITY, prune=at_least(0))
def irs(
    codes: Codes,
    factors: Classes = None,
    *,
    quantile: float = 0.99,
    prune: float = 0.0,
    seed: int = 0,
    repeats: int = 10,
) -> Result:
    """The mean over latents d of max_k (1 - E_c[deviation_d given y_k = c] / deviation_d), weighted by deviation_d.

    deviation_d is the largest distance of a point's mean from the mean of all; given y_k = c, it is the `quantile` of
    the distances among the points of class c from their own mean; and E_c is the mean over the classes of factor k.
    1 where each latent depends on one factor only. A score below 0, where a class deviates more from its mean than all
    points from theirs, counts as 0.

    The paper uses the largest distance given y_k = c, which is `quantile` = 1. Its authors' code and
    disentanglement_lib (https://arxiv.org/abs/1811.12359) use 0.99. Scaling all latents by one factor does not change
    the score; scaling one latent changes its weight.

    .. warning::
        The factors are assumed to be independent of each other. A latent of several factors can score high if one of
        them is large: 5 y_0 + y_1 with five classes each has 5/6. Independent noise has nearly 0, but more with fewer
        points per class.

    Args:
        codes: as `Encoded.of`.
        factors: as `Encoded.of`.
        quantile: of the distances, see above; from 0 to 1.
        prune: latents with a standard deviation up to this are left out; at 0, constant latents.
        seed: of the repeats.
        repeats: how many.

    Returns:
        The score; 0 where no latent is left.

    Raises:
        Inapplicable: no factor varies.
        ValueError: as `Encoded.of`; or the quantile is not within 0 and 1.

    Example:
        >>> import numpy as np
        >>> y = np.repeat([[0, 0], [0, 1], [1, 0], [1, 1]], 100, axis=0)  # two factors, all combinations
        >>> float(irs(y + 0.0, y, repeats=2))
        1.0
    """
    encoded = Encoded.of(codes, factors).require("IRS", factors=1)
    active = encoded.active(prune)
    runs = [_robustness(encoded.half(rng), active, quantile) for rng in generators(seed, repeats)]
    protocol = {
        **encoded.protocol,
        "quantile": quantile,
        "prune": prune,
        "dead_latents": encoded.dead(active),
        "seed": seed,
        "a run": HALVES,
    }
    return Result.of("IRS", runs, protocol, value=_robustness(encoded, active, quantile))


def _robustness(encoded: Encoded, active: np.ndarray, quantile: float) -> float:
    z = encoded.codes[:, active]
    largest = np.abs(z - z.mean(0)).max(0, initial=0)
    z, largest = z[:, largest > 0], largest[largest > 0]
    if not len(largest):
        return 0.0
    scores = []
    for y in encoded.factors.T:
        groups = (z[y == c] for c in range(y.max() + 1))
        deviations = [np.quantile(np.abs(group - group.mean(0)), quantile, axis=0) for group in groups]
        scores.append(1 - np.mean(deviations, axis=0) / largest)
    return float(np.average(np.max(scores, axis=0).clip(min=0), weights=largest))
