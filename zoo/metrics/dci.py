"""Disentanglement, completeness, informativeness: the importance of latents for predictors of each factor.

Eastwood and Williams 2018, https://openreview.net/forum?id=By-7dz-AZ, with the settings of their code, qedr; and with
boosted trees as in Locatello et al. 2019, https://arxiv.org/abs/1811.12359, whose numbers most papers compare with.
"""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from scipy.special import entr

from zoo.arguments import POSITIVE, SOME_COUNTS, checked, number_from
from zoo.metrics.correlations import standardise
from zoo.metrics.encoded import Classes, Codes, Encoded, Inapplicable
from zoo.metrics.result import Result, generators

Regressor = Literal["forest", "lasso", "boosted"]


class DCI(NamedTuple):
    """The three numbers.

    Attributes:
        disentanglement: best at 1. Where the predictors are hardly better than a constant, its `caveat` says so.
        completeness: best at 1, with the same `caveat`.
        informativeness: with lasso or forest an error, best at 0, and 1 for a prediction of the mean; with boosted
            trees the accuracy, best at 1.
    """

    disentanglement: Result
    completeness: Result
    informativeness: Result


class Fit(NamedTuple):
    """The prediction of a factor.

    Attributes:
        importances: of each latent, [D], not negative.
        score: the error or the accuracy on the test points.
        gain: the relative reduction of the error of a constant prediction: 1 for no error, about 0 where the latents
            have no information about the factor.
    """

    importances: np.ndarray
    score: float
    gain: float


@checked(alpha=POSITIVE, num_trees=number_from(1), max_depths=SOME_COUNTS)
def dci(
    codes: Codes,
    factors: Classes = None,
    *,
    regressor: Regressor,
    alpha: float = 0.02,
    num_trees: int | None = None,
    max_depths: Sequence[int] = (4, 8, 12),
    seed: int = 0,
    repeats: int = 10,
) -> DCI:
    """The scores of a matrix R, where R[d, k] is the importance of latent d when factor k is predicted from the codes.

    Lasso and forest predict the factor's class index, as a number. Codes and index are standardised with the mean and
    the standard deviation of the training set, which is 80 % of the points. The depth of the forest is chosen for each
    factor, by the smallest error on 10 %. The reported error is on the other 10 %. R is the lasso's absolute
    coefficient, or the forest's impurity decrease. HFVAE's "Eastwood" number is assumed to be the forest's
    disentanglement.

    Boosted trees classify: scikit-learn's GradientBoostingClassifier with its defaults. R is its impurity decrease, and
    the reported accuracy is on 20 % of the points. Locatello et al. use 10,000 training and 5,000 test points. The
    classifier fits 100 trees for each class, so it takes minutes where factors have many classes.

    The scores do not depend on the scale of a latent (with trees, up to ties). A categorical is one latent, with the
    sum of its probabilities' importances.

    .. warning::
        Disentanglement and completeness mean nothing where the prediction is no better than a guess. The importances
        are then those of noise, and a lasso, which sets most of them to 0, can score 0.9 on pure noise. So read them
        together with the informativeness. Their `caveat` says so where the error is smaller than that of a constant
        prediction by less than a tenth.

    .. warning::
        The class index of a factor whose classes are names without an order, such as shapes, is their position in the
        alphabet. With lasso and forest, other names for the same classes give other scores, and the `caveat` says so.
        Boosted trees classify, so their scores do not depend on names. A categorical of pandas with `ordered=True`
        has an order of its own.

    Args:
        codes: as `Encoded.of`.
        factors: as `Encoded.of`.
        regressor: "forest", "lasso" or "boosted".
        alpha: the lasso's penalty.
        num_trees: of the forest, or per class with boosting; 10 and 100 when not given.
        max_depths: depths of the forest to choose from.
        seed: of splits and trees.
        repeats: number of splits.

    Returns:
        Disentanglement and completeness, see the functions of these names; informativeness, which is the root mean
        square error in training standard deviations, or the accuracy, as a mean over factors.

    Raises:
        Inapplicable: fewer than two factors or two latents; or the training points have only one class of a factor.
        ValueError: as `Encoded.of`; or the regressor is unknown.

    Example:
        >>> import numpy as np
        >>> y = np.repeat([[0, 0], [0, 1], [1, 0], [1, 1]], 100, axis=0)  # two factors, all combinations
        >>> result = dci(y + 0.0, y, regressor="lasso", repeats=2)
        >>> [round(float(part), 4) for part in (result.disentanglement, result.completeness)]
        [1.0, 1.0]
    """
    if regressor not in ("forest", "lasso", "boosted"):
        raise ValueError(f"regressor must be 'forest', 'lasso' or 'boosted', got {regressor!r}")
    encoded = Encoded.of(codes, factors).require("DCI", factors=2, latents=2)
    trees = num_trees or (100 if regressor == "boosted" else 10)

    def fit(k: int, train: np.ndarray, rest: np.ndarray, seed: int) -> Fit:
        if np.ptp(encoded.factors[train, k]) == 0:  # a perfect prediction, without any latent
            raise Inapplicable(
                f"{encoded.names[k]!r} has one class among {len(train)} training points: give more points"
            )
        if regressor == "boosted":
            return _classify(encoded, k, train, rest, trees, seed)
        if regressor == "lasso":
            return _regress(encoded, k, train, rest, _lasso(alpha))
        return _regress(encoded, k, train, rest, _forests(trees, max_depths, seed))

    runs, gains = [], []
    for rng in generators(seed, repeats):
        train, rest = encoded.split(0.2, rng)
        fits = [fit(k, train, rest, int(rng.integers(2**31))) for k in range(len(encoded.names))]
        R = np.stack([one.importances for one in fits], axis=1)
        R = np.stack([R[columns].sum(0) for columns in encoded.columns])
        runs.append((disentanglement(R), completeness(R), float(np.mean([one.score for one in fits]))))
        gains.append(np.mean([one.gain for one in fits]))
    protocol = {**encoded.protocol, **_settings(regressor, alpha, trees, max_depths), "seed": seed}
    protocol["a run"] = "a fresh split, and the trees' seed"
    order = f"depends on the order of the names of {', '.join(map(repr, encoded.unordered))}"
    order = order if encoded.unordered and regressor != "boosted" else ""
    gain = max(0.0, float(np.mean(gains)))
    guess = f"means nothing: {gain:.0%} better than a constant guess" if gain < 0.1 else ""
    of_errors = protocol | ({"caveat": order} if order else {})
    both = "; ".join(filter(None, [guess, order]))
    of_importances = protocol | ({"caveat": both} if both else {})
    d, c, i = np.transpose(runs)
    return DCI(
        Result.of(f"DCI disentanglement ({regressor})", d, of_importances),
        Result.of(f"DCI completeness ({regressor})", c, of_importances),
        Result.of(
            f"DCI informativeness ({regressor})", i, of_errors, unit="score" if regressor == "boosted" else "error"
        ),
    )


def disentanglement(R: np.ndarray) -> float:
    """sum_d rho_d (1 - H_K(R[d] / sum R[d])), with rho_d the share of row d in all of R, [D, K], not negative.

    H_K is the entropy in units of log K. A latent without any importance has share 0; without any important latent the
    result is 0.
    """
    rows = R.sum(1)
    matters = rows > 0
    if not matters.any():
        return 0.0
    score = 1 - entr(R[matters] / rows[matters, None]).sum(1) / np.log(R.shape[1])
    return float(rows[matters] @ score / rows.sum())


def completeness(R: np.ndarray) -> float:
    """The mean over factors k of 1 - H_D(R[:, k] / sum R[:, k]); 0 for a factor for which no latent is important."""
    columns = R.sum(0)
    found = columns > 0
    score = np.zeros(R.shape[1])
    score[found] = 1 - entr(R[:, found] / columns[found]).sum(0) / np.log(R.shape[0])
    return float(score.mean())


def _lasso(alpha: float) -> list[Any]:
    from sklearn.linear_model import Lasso  # here and below: scikit-learn takes seconds to import

    return [Lasso(alpha=alpha, random_state=0)]  # without one it draws from NumPy's global generator


def _forests(num_trees: int, max_depths: Sequence[int], seed: int) -> list[Any]:
    from sklearn.ensemble import RandomForestRegressor

    threads = torch.get_num_threads()  # the number of threads does not change a forest
    return [
        RandomForestRegressor(num_trees, max_depth=depth, n_jobs=threads, random_state=seed) for depth in max_depths
    ]


def _regress(encoded: Encoded, k: int, train: np.ndarray, rest: np.ndarray, regressors: list[Any]) -> Fit:
    """Uses the regressor with the smallest error on half of the rest; the reported error is on the other half."""
    validation, test = np.array_split(rest, 2)
    z, y = standardise(encoded.codes, train), standardise(encoded.factors[:, [k]], train)[:, 0]
    fitted = [regressor.fit(z[train], y[train]) for regressor in regressors]
    best = min(fitted, key=lambda r: _error(r, z[validation], y[validation]))
    error = _error(best, z[test], y[test])
    importances = np.abs(best.coef_) if hasattr(best, "coef_") else _of_trees(best)
    return Fit(importances, error, 1 - error)


def _classify(encoded: Encoded, k: int, train: np.ndarray, test: np.ndarray, num_trees: int, seed: int) -> Fit:
    from sklearn.ensemble import GradientBoostingClassifier

    # Trees are in single precision, and treat values that are closer than 1e-7 as equal.
    z, y = standardise(encoded.codes, train), encoded.factors[:, k]
    fitted = GradientBoostingClassifier(n_estimators=num_trees, random_state=seed).fit(z[train], y[train])
    accuracy = float(fitted.score(z[test], y[test]))
    most_frequent = np.bincount(y[train]).argmax()
    wrong = float(np.mean(y[test] != most_frequent))
    return Fit(_of_trees(fitted), accuracy, (accuracy - (1 - wrong)) / wrong if wrong else 0.0)


def _of_trees(fitted: Any) -> np.ndarray:
    """Impurity decreases; rounding leaves some at -1e-19, for which the entropy is undefined."""
    return np.asarray(fitted.feature_importances_).clip(min=0)


def _settings(regressor: Regressor, alpha: float, num_trees: int, max_depths: Sequence[int]) -> dict[str, Any]:
    """The predictor's settings in the protocol."""
    numbers = {"split": "80 / 10 / 10 %", "targets": "class indices as numbers"}
    if regressor == "lasso":
        return {"regressor": f"Lasso(alpha={alpha})", **numbers}
    if regressor == "forest":
        return {"regressor": f"RandomForestRegressor({num_trees})", "max_depths": list(max_depths), **numbers}
    return {"classifier": f"GradientBoostingClassifier(n_estimators={num_trees})", "split": "80 / 20 %"}


def _error(regressor: Any, z: np.ndarray, y: np.ndarray) -> float:
    return float(np.sqrt(np.mean((regressor.predict(z) - y) ** 2)))
