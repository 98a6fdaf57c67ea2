"""Modularity: whether each latent has information about one factor only.

Ridgeway and Mozer 2018, https://arxiv.org/abs/1802.05312, section 3.
"""

import numpy as np

from zoo.arguments import checked
from zoo.metrics.encoded import Classes, Codes, Encoded
from zoo.metrics.information import in_bins
from zoo.metrics.result import HALVES, Result, generators

NONE = 1e-12  # nats: no more than rounding, of which the information of independent columns has about 1e-16


@checked()
def modularity(
    codes: Codes, factors: Classes = None, *, num_bins: int = 20, seed: int = 0, repeats: int = 10
) -> Result:
    """The mean over latents d of 1 - sum_{k not k*} m_dk^2 / (m_dk*^2 (K - 1)), m_dk = I(y_k; mean_d), k* the largest.

    It is 1 where each latent has information about one factor, and 0 where it has equal information about all. Two
    latents may have the same factor. As in disentanglement_lib (https://arxiv.org/abs/1811.12359), means are in 20 bins
    of equal width, and a latent without information (less than 1e-12 nats about each factor) counts as 0. The scale of
    a latent does not matter.

    .. warning::
        Dead latents lower the score; the protocol names the constant ones. A latent of pure noise is scored like any
        other, because its estimated information is not exactly 0.

    Raises:
        Inapplicable: fewer than two factors vary.
        ValueError: as `Encoded.of`.

    Example:
        >>> import numpy as np
        >>> y = np.repeat([[0, 0], [0, 1], [1, 0], [1, 1]], 100, axis=0)  # two factors, all combinations
        >>> float(modularity(y + 0.0, y, repeats=2))
        1.0
    """
    encoded = Encoded.of(codes, factors).require("Modularity", factors=2)
    runs = [of_information(in_bins(encoded.half(rng), num_bins)) for rng in generators(seed, repeats)]
    protocol = {
        **encoded.protocol,
        "num_bins": num_bins,
        "dead_latents": encoded.dead(encoded.active(0.0)),
        "seed": seed,
        "a run": HALVES,
    }
    return Result.of("Modularity", runs, protocol, value=of_information(in_bins(encoded, num_bins)))


def of_information(information: np.ndarray) -> float:
    """The modularity of I(y_k; z_d), [K, D]; less than 1e-12 nats counts as 0.

    Rounding turns 0 into about 1e-16. The score of a latent is a ratio, so a latent with only rounding could score 1.
    """
    squared = np.where(information < NONE, 0.0, information) ** 2
    largest = squared.max(0)
    informed = largest > 0
    score = np.zeros(len(largest))
    others = squared[:, informed].sum(0) - largest[informed]
    score[informed] = 1 - others / (largest[informed] * (len(squared) - 1))
    return float(score.mean())
