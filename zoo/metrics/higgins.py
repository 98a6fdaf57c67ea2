"""The beta-VAE metric: predicts the factor that was held fixed from the differences between the codes of pairs.

Higgins et al. 2017, https://openreview.net/forum?id=Sy2fzU9gl, in the two forms that papers compare.
"""

import warnings
from typing import Any

import numpy as np

from zoo.arguments import POSITIVE, checked, number_from
from zoo.metrics.encoded import Classes, Codes, Encoded
from zoo.metrics.result import Result, generators


@checked(num_pairs=number_from(1), num_train=number_from(1), num_eval=number_from(1), C=POSITIVE)
def higgins_svm(
    codes: Codes,
    factors: Classes = None,
    *,
    num_pairs: int = 64,
    num_train: int = 10_000,
    num_eval: int = 5_000,
    C: float = 0.01,
    seed: int = 0,
    repeats: int = 10,
) -> Result:
    """The form of DIP-VAE (Kumar 2017, https://arxiv.org/abs/1711.00848v1, section 3): a one-vs-rest linear SVM.

    A vote for factor k uses `num_pairs` pairs of datapoints, where the two datapoints of a pair have the same class of
    factor k. Its feature is the mean absolute difference of the codes over the pairs, and its label is k. Every factor
    has the same number of votes. The score is the accuracy on other votes; chance is 1/K.

    The regulariser, half the squared norm, has the weight 1, and the hinge loss, summed over the votes, the weight C.
    scikit-learn's LinearSVC also regularises the bias. The paper states neither the number of pairs nor that of votes,
    nor whether the loss is a sum or a mean.

    .. warning::
        Features are not normalised, so the score depends on the scale of the codes, on num_train and on num_pairs. The
        reproduction `dip-vae/metric` shows by how much, and the scores of codes that were not learnt. Where a class has
        few points, many pairs consist of one point twice. Their differences are 0 and give the factor away: with 40
        classes of a dozen points, pure noise scores 0.9. The `caveat` says so if more than 1 % of a factor's pairs are
        one point twice.

    Raises:
        Inapplicable: fewer than two factors vary.
        ValueError: as `Encoded.of`.
    """
    settings = {"num_pairs": num_pairs, "num_train": num_train, "num_eval": num_eval, "votes": "as many per factor"}

    def classifier(seed: int) -> Any:
        from sklearn.svm import LinearSVC  # here and below: scikit-learn takes seconds to import

        return LinearSVC(loss="hinge", C=C, max_iter=10_000, random_state=seed)

    return _higgins("Higgins (SVM)", Encoded.of(codes, factors), classifier, settings, seed, repeats)


@checked(num_pairs=number_from(1), num_train=number_from(1), num_eval=number_from(1))
def higgins_logistic(
    codes: Codes,
    factors: Classes = None,
    *,
    num_pairs: int = 64,
    num_train: int = 10_000,
    num_eval: int = 5_000,
    seed: int = 0,
    repeats: int = 10,
) -> Result:
    """The form of disentanglement_lib (Locatello 2019, https://arxiv.org/abs/1811.12359): logistic regression.

    Votes are as in `higgins_svm`, with factors drawn uniformly.

    .. warning::
        Because of scikit-learn's default penalty the score depends on the scale of the codes, though less than that of
        `higgins_svm`.

    Raises:
        Inapplicable: fewer than two factors vary.
        ValueError: as `Encoded.of`.

    Example:
        >>> import numpy as np
        >>> y = np.repeat([[0, 0], [0, 1], [1, 0], [1, 1]], 100, axis=0)  # two factors, all combinations
        >>> float(higgins_logistic(y + 0.0, y, num_train=100, num_eval=100, repeats=2))
        1.0
    """
    settings = {"num_pairs": num_pairs, "num_train": num_train, "num_eval": num_eval, "votes": "of a factor at random"}

    def classifier(seed: int) -> Any:
        from sklearn.linear_model import LogisticRegression

        return LogisticRegression(max_iter=1_000, random_state=seed)

    return _higgins("Higgins (logistic)", Encoded.of(codes, factors), classifier, settings, seed, repeats)


def _higgins(
    metric: str, encoded: Encoded, classifier: Any, settings: dict[str, Any], seed: int, repeats: int
) -> Result:
    from sklearn.exceptions import ConvergenceWarning

    encoded.require(metric, factors=2)
    balanced = settings["votes"] == "as many per factor"
    runs = []
    unconverged = 0
    for rng in generators(seed, repeats):
        fitted = classifier(int(rng.integers(2**31)))
        features, labels = votes(encoded, settings["num_train"], settings["num_pairs"], rng, balanced=balanced)
        if unseen := [name for k, name in enumerate(encoded.names) if k not in labels]:
            raise ValueError(f"num_train = {settings['num_train']}: no vote is for the factor {unseen[0]!r}; give more")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # the protocol counts them
            fitted.fit(features, labels)
        unconverged += int(np.max(fitted.n_iter_) >= fitted.max_iter)
        features, labels = votes(encoded, settings["num_eval"], settings["num_pairs"], rng, balanced=balanced)
        runs.append(fitted.score(features, labels))
    alike = max(float(np.mean(1 / encoded.counts(k))) for k in range(len(encoded.names)))
    caveat = {"caveat": f"may be too high: {alike:.0%} of a factor's pairs are one point twice"} if alike > 0.01 else {}
    protocol = {
        **encoded.protocol,
        **settings,
        "classifier": repr(classifier(0)),
        "unconverged_fits": unconverged,
        "seed": seed,
        "a run": "fresh votes, and the classifier's seed",
        **caveat,
    }
    return Result.of(metric, runs, protocol)


def votes(
    encoded: Encoded, count: int, num_pairs: int, rng: np.random.Generator, *, balanced: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Mean absolute differences [count, D], and the factor that the pairs share, [count].

    The class that a pair shares is drawn uniformly for each pair, and its two datapoints uniformly among those that
    have this class.
    """
    num_factors = len(encoded.names)
    labels = np.arange(count) % num_factors if balanced else rng.integers(num_factors, size=count)
    features = np.empty((count, len(encoded.latents)))
    for k, size in enumerate(encoded.sizes):
        rows = np.flatnonzero(labels == k)
        for some in np.array_split(rows, len(rows) // 1_000 + 1):  # bounds the memory
            classes = rng.integers(size, size=(len(some), num_pairs))
            first, second = encoded.draw(k, classes, rng), encoded.draw(k, classes, rng)
            features[some] = np.abs(encoded.codes[first] - encoded.codes[second]).mean(1)
    return features, labels
