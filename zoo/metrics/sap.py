"""Separated attribute predictability: how much better the best single latent predicts a factor than the next best.

Kumar et al. 2018, https://arxiv.org/abs/1711.00848 (from its second version on, section 3).
"""

import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.svm import LinearSVC

from zoo.metrics.correlations import pearson
from zoo.metrics.encoded import Classes, Codes, Encoded
from zoo.metrics.result import Result, generators


def sap(
    codes: Codes,
    factors: Classes = None,
    *,
    continuous: bool = False,
    C: float = 0.01,
    test_share: float = 1 / 3,
    seed: int = 0,
    repeats: int = 10,
) -> Result:
    """The gap between the two latents that predict a factor best, each by itself; its mean over factors.

    Categorical factors: test accuracy of a linear SVM with balanced classes, C = 0.01, on one latent, as
    disentanglement_lib (10,000 training and 5,000 test points there). Like every SVM on features that are not
    normalised it is not scale invariant. Continuous factors: squared correlation of the class index, which is.

    Raises:
        Inapplicable: no factor varies, or there is one latent.
        ValueError: as `Encoded.of`; or a training split lacks all classes of a factor but one.
    """
    encoded = Encoded.of(codes, factors).require("SAP", factors=1, latents=2)
    runs = []
    unconverged = 0
    for rng in generators(seed, repeats):
        train, test = encoded.split(test_share, rng)
        if continuous:
            table = pearson(encoded.factors[test], encoded.codes[test]) ** 2
        else:
            table, failed = _accuracies(encoded, train, test, C, rng)
            unconverged += failed
        second, first = np.sort(table, axis=1)[:, -2:].T
        runs.append(float((first - second).mean()))
    protocol = {
        **encoded.protocol,
        "score": "squared correlation" if continuous else repr(_classifier(C, 0)),
        "unconverged_fits": unconverged,
        "test_share": test_share,
        "seed": seed,
        "a run": "a fresh split, and the classifiers' seed",
    }
    return Result.of("SAP", runs, protocol)


def _classifier(C: float, seed: int) -> LinearSVC:
    return LinearSVC(C=C, class_weight="balanced", random_state=seed)


def _accuracies(
    encoded: Encoded, train: np.ndarray, test: np.ndarray, C: float, rng: np.random.Generator
) -> tuple[np.ndarray, int]:
    """Test accuracy by factor and latent, [K, D], and how many fits did not converge."""
    table = np.empty((len(encoded.names), len(encoded.latents)))
    failed = 0
    for k, (name, y) in enumerate(zip(encoded.names, encoded.factors.T, strict=True)):
        if len(np.unique(y[train])) < 2:
            raise ValueError(f"{name!r} has one class among {len(train)} training points: give more points")
        for d in range(len(encoded.latents)):
            z = encoded.codes[:, [d]]
            classifier = _classifier(C, int(rng.integers(2**31)))
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)  # the protocol tells
                classifier.fit(z[train], y[train])
            failed += int(classifier.n_iter_ >= classifier.max_iter)
            table[k, d] = classifier.score(z[test], y[test])
    return table, failed
