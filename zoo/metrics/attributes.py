"""Attribute classification along one vector per attribute.

DIP-VAE (Kumar 2017, https://arxiv.org/abs/1711.00848v1), Table 2 and "Binary attribute classification" in section 3.
"""

import numpy as np

from zoo.arguments import SHARE, checked
from zoo.metrics.encoded import Classes, Codes, Encoded, Inapplicable
from zoo.metrics.result import Result, generators


@checked(test_share=SHARE)
def attribute_accuracy(
    codes: Codes, factors: Classes = None, *, test_share: float = 0.1, seed: int = 0, repeats: int = 10
) -> Result:
    """Test accuracy for each attribute y, [A]: w = mean(code | y = 1) - mean(code | y = 0), and a bias by hinge loss.

    The attributes are the factors with two classes. The paper holds out 10 %.

    .. warning::
        Where most points have the same value of an attribute, a constant answer has a high accuracy; the protocol
        states this accuracy for comparison. w is not normalised, so the bias, and the accuracy with it, depends on the
        scale of the codes.

    Raises:
        Inapplicable: no factor has two classes; or all training points, or none, have an attribute.
        ValueError: as `Encoded.of`.
    """
    metric = "attribute accuracy"
    encoded = Encoded.of(codes, factors).require(metric, factors=1)
    columns = zip(encoded.names, encoded.sizes, encoded.factors.T, strict=True)
    attributes = {name: column == 1 for name, size, column in columns if size == 2}
    if not attributes:
        raise Inapplicable(
            f"{metric} needs a factor of two classes, got {dict(zip(encoded.names, encoded.sizes, strict=True))}: "
            "make one, as in {'heart': shape == 2}"
        )
    runs = []
    for rng in generators(seed, repeats):
        train, test = encoded.split(test_share, rng)
        accuracies = []
        for name, y in attributes.items():
            if len(np.unique(y[train])) < 2:
                raise Inapplicable(f"{name!r} is the same for all {len(train)} training points: give more points")
            z = encoded.codes
            w = z[train][y[train]].mean(0) - z[train][~y[train]].mean(0)
            bias = hinge_bias(z[train] @ w, y[train])
            accuracies.append(np.mean((z[test] @ w + bias > 0) == y[test]))
        runs.append(accuracies)
    shares = {name: float(max(y.mean(), 1 - y.mean())) for name, y in attributes.items()}
    protocol = {
        **encoded.protocol,
        "classifier": "the sign of the projection on w plus the bias of least hinge loss, without a regulariser",
        "test_share": test_share,
        "accuracy_of_a_constant": shares,
        "seed": seed,
        "a run": "a fresh split",
    }
    return Result.of(metric, runs, protocol, axes=(tuple(attributes),))


def hinge_bias(projection: np.ndarray, y: np.ndarray) -> float:
    """The b that minimises sum_n max(0, 1 - s_n (p_n + b)) with s = +1 where y and -1 elsewhere; p and y [N].

    The loss has a kink at s - p of each point, and its slope at b is the number of kinks below b minus n, the number of
    points with y. So it is smallest between the n-th kink and the next one; the middle between the two is returned.
    """
    kinks = np.sort(np.where(y, 1.0, -1.0) - projection)
    rank = int(y.sum())
    return float((kinks[rank - 1] + kinks[rank]) / 2)
