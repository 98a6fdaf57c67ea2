"""Separated attribute predictability: how much better the best single latent predicts a factor than the next best.

Kumar et al. 2018, https://arxiv.org/abs/1711.00848 (from its second version on, section 3).
"""

import warnings
from collections.abc import Collection
from typing import Any, Literal

import numpy as np

from zoo.arguments import POSITIVE, SHARE, checked
from zoo.metrics.correlations import pearson, standardise
from zoo.metrics.encoded import Classes, Codes, Encoded, Inapplicable
from zoo.metrics.result import Result, generators

Classifier = Literal["thresholds", "svm"]


@checked(C=POSITIVE, test_share=SHARE)
def sap(
    codes: Codes,
    factors: Classes = None,
    *,
    continuous: bool | str | Collection[str] = False,
    classifier: Classifier = "thresholds",
    C: float = 0.01,
    test_share: float = 1 / 3,
    seed: int = 0,
    repeats: int = 10,
) -> Result:
    """The gap between the two latents that predict a factor best, each alone; its mean over factors.

    A categorical is one latent. A continuous factor is predicted by linear regression: the score is the squared
    correlation with its class index.
    Other factors are classified, and the score is an accuracy on test points, so that a perfect code of K equally
    frequent classes has a gap of 1 - 1/K:

    - "thresholds" is the paper's method: thresholds on the latent, here those of a decision tree with as many leaves as
      the factor has classes, and balanced accuracy. It is the default because it also classifies ordered classes, such
      as positions, on one latent: 8 values on one latent have 1 - 1/8. It does not depend on the latent's scale.
    - "svm" is disentanglement_lib's method, and that of most published numbers: a linear SVM, one class against the
      rest, with balanced classes and C = 0.01, and plain accuracy.

    .. warning::
        The two methods are not comparable. On one latent the decisions of "svm" are linear, so it finds only the first
        and the last of ordered classes: a perfect code of 8 values on one latent has 2/8 - 1/8 = 0.13. It also depends
        on the scale of the codes. A continuous factor that `continuous` does not name is scored as classes.

    Args:
        codes: as `Encoded.of`.
        factors: as `Encoded.of`.
        continuous: the names of the continuous factors; or True for all, False for none.
        classifier: of the other factors.
        C: the weight of the SVM's loss; that of the regulariser is 1.
        test_share: share of test points; disentanglement_lib has 10,000 training and 5,000 test points.
        seed: of splits and classifiers.
        repeats: number of splits.

    Raises:
        Inapplicable: no factor varies, or there is one latent; or a training split has only one class of a factor.
        LookupError: there is no such factor among those that vary.
        ValueError: as `Encoded.of`; the classifier is unknown; or a continuous factor has names without an order.

    Example:
        >>> import numpy as np
        >>> y = np.repeat([[0, 0], [0, 1], [1, 0], [1, 1]], 100, axis=0)  # two factors, all combinations
        >>> round(float(sap(y + 0.0, y, repeats=2)), 1)  # the best latent has accuracy 1, the other 1/2
        0.5
    """
    encoded = Encoded.of(codes, factors).require("SAP", factors=1, latents=2)
    if isinstance(continuous, bool):
        continuous = encoded.names if continuous else ()
    elif isinstance(continuous, str):
        continuous = (continuous,)
    if unknown := [name for name in continuous if name not in encoded.names]:
        raise LookupError(f"SAP: no factor {unknown[0]!r} varies; there are {', '.join(encoded.names)}")
    if names := [name for name in continuous if name in encoded.unordered]:
        raise ValueError(
            f"SAP: {names[0]!r} cannot be continuous, since its classes are names without an order; leave it out of "
            "`continuous`"
        )
    runs = []
    unconverged = 0
    for rng in generators(seed, repeats):
        train, test = encoded.split(test_share, rng)
        table = np.empty((len(encoded.names), len(encoded.units)))
        r2 = pearson(encoded.factors[test], encoded.codes[test]) ** 2
        for k, name in enumerate(encoded.names):
            if name in continuous:
                table[k] = [r2[k, columns].max() for columns in encoded.columns]
            else:
                table[k], failed = _accuracies(encoded, k, train, test, classifier, C, rng)
                unconverged += failed
        second, first = np.sort(table, axis=1)[:, -2:].T
        runs.append(float((first - second).mean()))
    protocol = {
        **encoded.protocol,
        "continuous": list(continuous),
        "score": "squared correlation where continuous, else accuracy",
        "classifier": classifier if classifier == "thresholds" else repr(_svm(C, 0)),
        "unconverged_fits": unconverged,
        "test_share": test_share,
        "seed": seed,
        "a run": "a fresh split, and the classifiers' seed",
    }
    return Result.of("SAP" if classifier == "thresholds" else "SAP (SVM)", runs, protocol)


def _accuracies(
    encoded: Encoded,
    k: int,
    train: np.ndarray,
    test: np.ndarray,
    classifier: Classifier,
    C: float,
    rng: np.random.Generator,
) -> tuple[np.ndarray, int]:
    """Test accuracy of factor k by unit, [U], and the number of fits that did not converge."""
    from sklearn.exceptions import ConvergenceWarning  # scikit-learn takes seconds to import
    from sklearn.utils.class_weight import compute_sample_weight

    y = encoded.factors[:, k]
    if len(np.unique(y[train])) < 2:
        raise Inapplicable(f"{encoded.names[k]!r} has one class among {len(train)} training points: give more points")
    balance = compute_sample_weight("balanced", y[test])
    found = np.empty(len(encoded.units))
    failed = 0
    for d, columns in enumerate(encoded.columns):
        z = encoded.codes[:, columns]
        seed = int(rng.integers(2**31))
        if classifier == "thresholds":
            z = standardise(z, train)  # trees are in single precision, and treat values closer than 1e-7 as equal
            guess = _thresholds(encoded.sizes[k], seed).fit(z[train], y[train]).predict(z[test])
            found[d] = np.average(guess == y[test], weights=balance)  # balanced accuracy
        else:
            svm = _svm(C, seed)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)  # the protocol counts them
                svm.fit(z[train], y[train])
            failed += int(svm.n_iter_ >= svm.max_iter)
            found[d] = svm.score(z[test], y[test])
    return found, failed


def _thresholds(num_classes: int, seed: int) -> Any:
    from sklearn.tree import DecisionTreeClassifier

    return DecisionTreeClassifier(max_leaf_nodes=num_classes, class_weight="balanced", random_state=seed)


def _svm(C: float, seed: int) -> Any:
    from sklearn.svm import LinearSVC

    return LinearSVC(C=C, class_weight="balanced", random_state=seed)
