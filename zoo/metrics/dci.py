"""Disentanglement, completeness, informativeness: what a regressor from codes to factors finds important.

Eastwood and Williams 2018, https://openreview.net/forum?id=By-7dz-AZ, with the settings of their code, qedr.
"""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from scipy.stats import entropy
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import Lasso

from zoo.metrics.encoded import Classes, Codes, Encoded
from zoo.metrics.result import Result, generators


class DCI(NamedTuple):
    """The three numbers: the first two are best at 1, the error is best at 0 and 1 for a guess of the mean."""

    disentanglement: Result
    completeness: Result
    informativeness: Result


def dci(
    codes: Codes,
    factors: Classes = None,
    *,
    regressor: Literal["forest", "lasso"],
    alpha: float = 0.02,
    num_trees: int = 10,
    max_depths: Sequence[int] = (4, 8, 12),
    seed: int = 0,
    repeats: int = 10,
) -> DCI:
    """Regresses each factor's class index, as a number, on the codes; both are standardised with the training set's.

    80 % of the points train; for the forest, each factor's depth is the one with the least error on 10 %; the error is
    that on the other 10 %. R[d, k] is the importance of latent d for factor k: a lasso's absolute coefficient, a
    forest's impurity decrease. HFVAE's "Eastwood" number is taken to be the forest's disentanglement.

    With the lasso the scores do not depend on the scale of a latent; nor with the forest, ties aside.

    Args:
        codes: as `Encoded.of`.
        factors: as `Encoded.of`.
        regressor: which.
        alpha: the lasso's penalty.
        num_trees: of the forest.
        max_depths: to choose from.
        seed: of splits and forests.
        repeats: how many splits.

    Returns:
        Disentanglement and completeness as the functions of these names have it; informativeness as the root mean
        square error in training standard deviations, its mean over factors.

    Raises:
        Inapplicable: fewer than two factors or two latents.
        ValueError: as `Encoded.of`; or the regressor is unknown.
    """
    if regressor not in ("forest", "lasso"):
        raise ValueError(f"regressor must be 'forest' or 'lasso', got {regressor!r}")
    encoded = Encoded.of(codes, factors).require("DCI", factors=2, latents=2)

    def regressors(seed: int) -> list[Any]:
        if regressor == "lasso":
            return [Lasso(alpha=alpha)]
        threads = torch.get_num_threads()  # they do not change a forest
        return [
            RandomForestRegressor(num_trees, max_depth=depth, n_jobs=threads, random_state=seed) for depth in max_depths
        ]

    runs = []
    for rng in generators(seed, repeats):
        train, rest = encoded.split(0.2, rng)
        validation, test = np.array_split(rest, 2)
        z = _standardise(encoded.codes, train)
        y = _standardise(encoded.factors, train)
        importances, errors = [], []
        for k in range(len(encoded.names)):
            fitted = [r.fit(z[train], y[train, k]) for r in regressors(int(rng.integers(2**31)))]
            best = min(fitted, key=lambda r: _error(r, z[validation], y[validation, k]))
            importances.append(np.abs(best.coef_) if regressor == "lasso" else best.feature_importances_)
            errors.append(_error(best, z[test], y[test, k]))
        R = np.stack(importances, axis=1)
        runs.append((disentanglement(R), completeness(R), float(np.mean(errors))))
    protocol = {
        **encoded.protocol,
        "regressor": f"Lasso(alpha={alpha})" if regressor == "lasso" else f"RandomForestRegressor({num_trees})",
        "split": "80 / 10 / 10 %",
        **({"max_depths": list(max_depths)} if regressor == "forest" else {}),
        "targets": "class indices as numbers",
        "seed": seed,
        "a run": "a fresh split, and the forest's seed",
    }
    d, c, i = np.transpose(runs)
    return DCI(
        Result.of(f"DCI disentanglement ({regressor})", d, protocol),
        Result.of(f"DCI completeness ({regressor})", c, protocol),
        Result.of(f"DCI informativeness ({regressor})", i, protocol, unit="error"),
    )


def disentanglement(R: np.ndarray) -> float:
    """sum_d rho_d (1 - H_K(R[d] / sum R[d])), with rho_d the share of row d in all of R, [D, K], not negative.

    H_K is the entropy in units of log K. A latent that matters for nothing has no share; where none matters it is 0.
    """
    rows = R.sum(1)
    if not rows.any():
        return 0.0
    matters = rows > 0
    score = 1 - entropy(R[matters], axis=1) / np.log(R.shape[1])
    return float(rows[matters] @ score / rows.sum())


def completeness(R: np.ndarray) -> float:
    """The mean over factors k of 1 - H_D(R[:, k] / sum R[:, k]); 0 for a factor that no latent matters for."""
    score = np.zeros(R.shape[1])
    found = R.sum(0) > 0
    score[found] = 1 - entropy(R[:, found], axis=0) / np.log(R.shape[0])
    return float(score.mean())


def _standardise(table: np.ndarray, train: np.ndarray) -> np.ndarray:
    """Columns with mean 0 and standard deviation 1 in the training set; one that never changes stays 0."""
    centred = table - table[train].mean(0)
    scale = table[train].std(0)
    return centred / np.where(np.ptp(table[train], axis=0) > 0, scale, 1.0)


def _error(regressor: Any, z: np.ndarray, y: np.ndarray) -> float:
    return float(np.sqrt(np.mean((regressor.predict(z) - y) ** 2)))
