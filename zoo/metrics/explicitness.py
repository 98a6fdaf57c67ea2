"""Explicitness: how well a linear classifier predicts each factor's class from the whole code.

Ridgeway and Mozer 2018, https://arxiv.org/abs/1802.05312, section 3.
"""

import warnings
from typing import Any

import numpy as np

from zoo.arguments import SHARE, checked
from zoo.metrics.encoded import Classes, Codes, Encoded, Inapplicable
from zoo.metrics.result import Result, generators


@checked(test_share=SHARE)
def explicitness(
    codes: Codes, factors: Classes = None, *, test_share: float = 1 / 3, seed: int = 0, repeats: int = 10
) -> Result:
    """The area under the ROC curve of each class against the rest, [K]: its mean over the classes of each factor.

    1 for perfect classification, 0.5 by chance; papers quote the mean over factors, `result.value.mean()`. The
    classifier is logistic regression of each class against the rest, on codes standardised with the training set's mean
    and standard deviation; the area is that of its probabilities on the test points, divided by their sum over classes.
    This is as in disentanglement_lib (https://arxiv.org/abs/1811.12359) with the scikit-learn of its time, which used
    10,000 training and 5,000 test points. Classes without a test point do not count. The result does not depend on the
    scale of latents.

    Raises:
        Inapplicable: no factor varies; or training or test points have only one class of a factor.
        ValueError: as `Encoded.of`.

    Example:
        >>> import numpy as np
        >>> y = np.repeat([[0, 0], [0, 1], [1, 0], [1, 1]], 100, axis=0)  # two factors, all combinations
        >>> explicitness(y + 0.0, y, repeats=2).value.round(4)
        array([1., 1.])
    """
    encoded = Encoded.of(codes, factors).require("Explicitness", factors=1)
    runs = []
    unconverged = 0
    for rng in generators(seed, repeats):
        train, test = encoded.split(test_share, rng)
        areas = []
        for name, y in zip(encoded.names, encoded.factors.T, strict=True):
            if min(len(np.unique(y[rows])) for rows in (train, test)) < 2:
                raise Inapplicable(
                    f"{name!r} has one class among {len(train)} training or {len(test)} test points: give more points"
                )
            area, failed = _area(encoded.codes, y, train, test)
            areas.append(area)
            unconverged += failed
        runs.append(areas)
    protocol = {
        **encoded.protocol,
        "classifier": f"OneVsRestClassifier({_logistic()!r})",
        "unconverged_fits": unconverged,
        "test_share": test_share,
        "seed": seed,
        "a run": "a fresh split",
    }
    return Result.of("Explicitness", runs, protocol, axes=(encoded.names,))


def _area(codes: np.ndarray, y: np.ndarray, train: np.ndarray, test: np.ndarray) -> tuple[float, int]:
    """The mean area over classes, and the number of fits that did not converge."""
    from sklearn.exceptions import ConvergenceWarning  # scikit-learn takes seconds to import
    from sklearn.metrics import roc_auc_score
    from sklearn.multiclass import OneVsRestClassifier
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler().fit(codes[train])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the protocol counts them
        fitted = OneVsRestClassifier(_logistic()).fit(scaler.transform(codes[train]), y[train])
    failed = sum(int(one.n_iter_.max() >= one.max_iter) for one in fitted.estimators_)
    probabilities = dict(zip(fitted.classes_, fitted.predict_proba(scaler.transform(codes[test])).T, strict=True))
    never = np.zeros(len(test))  # the score of a class that no training point has
    areas = [roc_auc_score(y[test] == c, probabilities.get(c, never)) for c in np.unique(y[test])]
    return float(np.mean(areas)), failed


def _logistic() -> Any:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression()
