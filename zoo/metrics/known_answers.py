"""Synthetic codes whose scores are known, to check the metrics and their libraries."""

from collections.abc import Callable, Iterator
from functools import cache, partial
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy.special import gammaln
from torch.distributions import Independent, Normal, OneHotCategorical

from zoo.metrics.attributes import attribute_accuracy
from zoo.metrics.correlations import factor_correlations, latent_correlations, neighbours
from zoo.metrics.dci import DCI, dci
from zoo.metrics.explicitness import explicitness
from zoo.metrics.factor_vae import factor_vae
from zoo.metrics.higgins import higgins_logistic, higgins_svm
from zoo.metrics.hoyer import hoyer
from zoo.metrics.information import (
    information_about_data,
    information_about_data_by_latent,
    information_about_factors,
    information_among_codes,
    information_of_means,
)
from zoo.metrics.irs import irs
from zoo.metrics.mig import mig, mig_aggregate, mig_unnormalised
from zoo.metrics.modularity import modularity
from zoo.metrics.result import Result
from zoo.metrics.sap import sap
from zoo.metrics.total_correlation import total_correlation, total_correlation_gaussian
from zoo.metrics.udr import udr
from zoo.metrics.wasserstein import wasserstein_correlation, wasserstein_correlation_normed


class Known(NamedTuple):
    """One row: a description of the codes, the metric, the expected value, the tolerance, and the computation."""

    codes: str
    metric: str
    expected: float
    tolerance: float
    measure: Callable[[], Result | float]


LOG_2 = float(np.log(2))
VOTES: dict[str, Any] = {"num_train": 2_000, "num_eval": 1_000, "repeats": 3}
SAMPLES: dict[str, Any] = {"num_samples": 400, "repeats": 3}
WHOLE: dict[str, Any] = {"repeats": 2}  # for metrics whose value is that of all points: repeats do not change it


def self_check() -> str:
    """Computes every known score, in some seconds, and returns a table of expected and computed values.

    Raises:
        ValueError: a value is wrong; the message contains the table.
    """
    lines = [f"{'codes':30}{'metric':32}{'expected':>9}{'got':>9}{'within':>9}"]
    wrong = 0
    for row in known_answers():
        got = float(row.measure())
        # an infinite answer must be met exactly
        good = got == row.expected or abs(got - row.expected) <= row.tolerance
        wrong += not good
        numbers = f"{row.expected:9.4f}{got:9.4f}{row.tolerance:9.0e}"
        lines.append(f"{row.codes:30}{row.metric:32}{numbers}{'' if good else '  WRONG'}")
    table = "\n".join(lines)
    if wrong:
        raise ValueError(f"{wrong} of the known scores are wrong\n{table}")
    return table


def known_answers() -> Iterator[Known]:
    """Every row, without computing the scores."""
    y = grid(5, 5, times=40)
    z = (y - 2) / np.sqrt(2)  # mean 0, standard deviation 1
    a, b = z.T
    constant = np.full(len(z), 0.3)
    noise = 1e-3 * np.random.default_rng(0).standard_normal(len(z))
    yield from _perfect("identity", z, y)
    yield from _perfect("permuted", z[:, ::-1], y)
    yield from _perfect("identity and a dead latent", np.stack([a, constant, b], axis=1), y)
    yield from _perfect("identity, constant factor", z, np.c_[y, np.full(len(y), 7)])
    barely = np.stack([noise, a, b], axis=1)
    yield Known("identity, noise of 0.001", "FactorVAE", 1, 0, lambda: factor_vae(barely, y, **VOTES))
    yield from _rotated(np.stack([a + b, a - b], axis=1) / np.sqrt(2), y)
    yield from _several(z)
    yield from _duplicated(np.stack([a, b, a, b], axis=1), y)
    yield from _packed(np.stack([5 * a + b, constant], axis=1), y)
    yield from _all_dead(np.ones_like(z), y)
    yield from _places()
    yield from _binary()
    yield from _posteriors()
    yield from _moments()


def grid(*sizes: int, times: int) -> np.ndarray:
    """Every combination of classes, each `times` times, [N, K]: factors that are exactly independent."""
    return np.repeat(np.stack(np.unravel_index(np.arange(np.prod(sizes)), sizes), axis=1), times, axis=0)


def _dci(z: np.ndarray, y: np.ndarray) -> tuple[Callable[[], DCI], Callable[[], DCI], Callable[[], DCI]]:
    """DCI by forests, by the lasso and by boosted trees; each is fitted once, when its first score is asked for."""
    forest = partial(dci, z, y, regressor="forest", num_trees=30, max_depths=(4,), repeats=2)
    lasso = partial(dci, z, y, regressor="lasso", repeats=2)
    boosted = partial(dci, z, y, regressor="boosted", num_trees=10, repeats=2)
    return cache(forest), cache(lasso), cache(boosted)


def _perfect(codes: str, z: np.ndarray, y: np.ndarray) -> Iterator[Known]:
    """One latent for each factor."""
    forest, lasso, boosted = _dci(z, y)
    yield Known(codes, "Higgins (SVM)", 1, 1e-3, lambda: higgins_svm(z, y, **VOTES))
    yield Known(codes, "Higgins (logistic)", 1, 1e-3, lambda: higgins_logistic(z, y, **VOTES))
    yield Known(codes, "FactorVAE", 1, 0, lambda: factor_vae(z, y, **VOTES))
    yield Known(codes, "DCI disentanglement (forest)", 1, 0.01, lambda: forest().disentanglement)
    yield Known(codes, "DCI completeness (forest)", 1, 0.01, lambda: forest().completeness)
    yield Known(codes, "DCI informativeness (forest)", 0, 1e-9, lambda: forest().informativeness)
    yield Known(codes, "DCI disentanglement (lasso)", 1, 1e-9, lambda: lasso().disentanglement)
    yield Known(codes, "DCI completeness (lasso)", 1, 1e-9, lambda: lasso().completeness)
    # the lasso shrinks a coefficient of 1 by alpha = 0.02, which is the error
    yield Known(codes, "DCI informativeness (lasso)", 0.02, 2e-3, lambda: lasso().informativeness)
    yield Known(codes, "DCI disentanglement (boosted)", 1, 0.01, lambda: boosted().disentanglement)
    yield Known(codes, "DCI completeness (boosted)", 1, 0.01, lambda: boosted().completeness)
    yield Known(codes, "DCI informativeness (boosted)", 1, 0, lambda: boosted().informativeness)
    yield Known(codes, "MIG (bins)", 1, 1e-9, lambda: mig(z, y, **WHOLE))
    yield Known(codes, "SAP", 1 - 1 / 5, 0.06, lambda: sap(z, y))  # 1 minus chance
    yield Known(codes, "SAP (continuous)", 1, 0.01, lambda: sap(z, y, continuous=True))
    # a dead latent counts as 0
    yield Known(codes, "Modularity", np.mean(np.ptp(z, axis=0) > 0), 1e-9, lambda: modularity(z, y, **WHOLE))
    yield Known(codes, "Explicitness", 1, 1e-9, lambda: explicitness(z, y, repeats=2).value.min())
    yield Known(codes, "IRS", 1, 1e-9, lambda: irs(z, y, **WHOLE))
    yield Known(codes, "I(mean_d; mean_e)", 0, 1e-9, lambda: information_among_codes(z, **WHOLE))
    yield Known(codes, "Wasserstein correlation", 0, 1e-9, lambda: wasserstein_correlation(z, **WHOLE))


def _rotated(z: np.ndarray, y: np.ndarray) -> Iterator[Known]:
    """By the symmetry b -> -b both latents have the same relation to each factor: nothing is above chance."""
    codes = "rotated by 45 degrees"
    _, lasso, boosted = _dci(z, y)
    yield Known(codes, "Higgins (SVM)", 0.5, 0.04, lambda: higgins_svm(z, y, **VOTES))
    yield Known(codes, "Higgins (logistic)", 0.5, 0.04, lambda: higgins_logistic(z, y, **VOTES))
    yield Known(codes, "FactorVAE", 0.5, 0.04, lambda: factor_vae(z, y, **VOTES))
    yield Known(codes, "MIG (bins)", 0, 1e-9, lambda: mig(z, y, **WHOLE))
    yield Known(codes, "DCI disentanglement (lasso)", 0, 0.01, lambda: lasso().disentanglement)
    yield Known(codes, "DCI completeness (lasso)", 0, 0.01, lambda: lasso().completeness)
    yield Known(codes, "DCI disentanglement (boosted)", 0, 0.05, lambda: boosted().disentanglement)
    yield Known(codes, "Modularity", 0, 1e-9, lambda: modularity(z, y, **WHOLE))
    # a and b go from -2 to 2, a + b from -4 to 4; with a fixed, only b varies
    yield Known(codes, "IRS", 1 - 2 / 4, 1e-9, lambda: irs(z, y, **WHOLE))
    yield Known(codes, "Explicitness", 1, 1e-9, lambda: explicitness(z, y, repeats=2).value.min())  # linear still
    yield Known(codes, "Wasserstein correlation", 0, 1e-9, lambda: wasserstein_correlation(z, **WHOLE))


def _several(z: np.ndarray) -> Iterator[Known]:
    """Two models: one has the factors, the other has them in another order and sign, or rotated, or has noise."""
    other = z[:, ::-1] * [-1.0, 1.0]
    rotated = z @ np.array([[1.0, 1.0], [1.0, -1.0]]) / np.sqrt(2)
    codes = "two models, permuted"
    # the lasso shrinks a coefficient of 1 by alpha = 0.1, and r^2 / r is what is left
    yield Known(codes, "UDR (lasso)", 0.9, 1e-6, lambda: udr([z, other]).value.min())
    yield Known(codes, "UDR (Spearman)", 1, 1e-9, lambda: udr([z, other], similarity="spearman").value.min())
    # both coefficients of 1/sqrt 2 are shrunk by 0.1; for two equal ones r^2 / 2r is half of each
    yield Known("two models, rotated", "UDR (lasso)", (0.5**0.5 - 0.1) / 2, 1e-6, lambda: udr([z, rotated]).value[0])
    half = len(z) // 2
    noise = np.random.default_rng(1).standard_normal((half, 2))
    noise = np.r_[noise, -noise]  # of mean 0
    yield Known("two models, one noise", "UDR (lasso)", 0, 0, lambda: udr([z, noise]).value.max())


def _duplicated(z: np.ndarray, y: np.ndarray) -> Iterator[Known]:
    """Two latents for each factor: no gap; with an importance of a half each, completeness is 1 - log 2 / log 4."""
    codes = "duplicated"
    forest, _, boosted = _dci(z, y)
    yield Known(codes, "Higgins (SVM)", 1, 1e-3, lambda: higgins_svm(z, y, **VOTES))
    yield Known(codes, "Higgins (logistic)", 1, 1e-3, lambda: higgins_logistic(z, y, **VOTES))
    yield Known(codes, "FactorVAE", 1, 0, lambda: factor_vae(z, y, **VOTES))
    yield Known(codes, "MIG (bins)", 0, 1e-9, lambda: mig(z, y, **WHOLE))
    yield Known(codes, "SAP", 0, 0.01, lambda: sap(z, y))
    yield Known(codes, "DCI disentanglement (forest)", 1, 0.01, lambda: forest().disentanglement)
    yield Known(codes, "DCI completeness (forest)", 0.5, 0.03, lambda: forest().completeness)
    yield Known(codes, "TC (Gaussian)", np.inf, 0, lambda: total_correlation_gaussian(z, **WHOLE))
    yield Known(codes, "Modularity", 1, 1e-9, lambda: modularity(z, y, **WHOLE))
    yield Known(codes, "IRS", 1, 1e-9, lambda: irs(z, y, **WHOLE))
    yield Known(codes, "DCI disentanglement (boosted)", 1, 0.01, lambda: boosted().disentanglement)
    # two of the six pairs are one latent twice, of entropy log 5
    yield Known(codes, "I(mean_d; mean_e)", 2 / 6 * np.log(5), 1e-9, lambda: information_among_codes(z, **WHOLE))
    # the correlation has the eigenvalues 2, 2, 0, 0: (2 * 4 - 2 * 2 sqrt 2) / 4
    normed = wasserstein_correlation_normed
    yield Known(codes, "Wasserstein (normed)", 2 - np.sqrt(2), 1e-6, lambda: normed(z, **WHOLE))


def _packed(z: np.ndarray, y: np.ndarray) -> Iterator[Known]:
    """z_0 differs for every combination, and z_1 is dead: complete but not disentangled, and with a gap of 1."""
    codes = "one latent for two factors"
    forest, _, boosted = _dci(z, y)
    yield Known(codes, "FactorVAE", 0.5, 0.04, lambda: factor_vae(z, y, **VOTES))
    yield Known(codes, "MIG (25 bins)", 1, 1e-9, lambda: mig(z, y, num_bins=25, **WHOLE))
    yield Known(codes, "DCI disentanglement (forest)", 0, 1e-9, lambda: forest().disentanglement)
    yield Known(codes, "DCI completeness (forest)", 1, 1e-9, lambda: forest().completeness)
    yield Known(codes, "DCI disentanglement (boosted)", 0, 1e-9, lambda: boosted().disentanglement)
    yield Known(codes, "DCI completeness (boosted)", 1, 1e-9, lambda: boosted().completeness)
    yield Known(codes, "Modularity (25 bins)", 0, 1e-9, lambda: modularity(z, y, num_bins=25, **WHOLE))
    # 5 a + b goes from -12 to 12; with a fixed, only b varies, from -2 to 2
    yield Known(codes, "IRS", 1 - 2 / 12, 1e-9, lambda: irs(z, y, **WHOLE))


def _all_dead(z: np.ndarray, y: np.ndarray) -> Iterator[Known]:
    codes = "all dead"
    forest, lasso, boosted = _dci(z, y)
    yield Known(codes, "Higgins (SVM)", 0.5, 0.04, lambda: higgins_svm(z, y, **VOTES))
    yield Known(codes, "FactorVAE", 0, 0, lambda: factor_vae(z, y, **VOTES))
    yield Known(codes, "MIG (bins)", 0, 0, lambda: mig(z, y, **WHOLE))
    yield Known(codes, "SAP", 0, 0, lambda: sap(z, y))
    yield Known(codes, "DCI disentanglement (lasso)", 0, 0, lambda: lasso().disentanglement)
    yield Known(codes, "DCI informativeness (lasso)", 1, 0.1, lambda: lasso().informativeness)
    yield Known(codes, "DCI disentanglement (forest)", 0, 0, lambda: forest().disentanglement)
    yield Known(codes, "DCI disentanglement (boosted)", 0, 0, lambda: boosted().disentanglement)
    yield Known(codes, "Modularity", 0, 0, lambda: modularity(z, y, **WHOLE))
    yield Known(codes, "Explicitness", 0.5, 1e-9, lambda: explicitness(z, y, repeats=2).value.max())
    yield Known(codes, "IRS", 0, 0, lambda: irs(z, y, **WHOLE))
    yield Known(codes, "I(mean_d; mean_e)", 0, 0, lambda: information_among_codes(z, **WHOLE))


def _places() -> Iterator[Known]:
    """Two factors of 8 ordered classes, drawn at random, as two latents."""
    y = np.random.default_rng(0).integers(8, size=(4_000, 2))
    z = (y - 3.5) / 2
    codes = "identity, 8 places"
    yield Known(codes, "SAP", 1 - 1 / 8, 0.03, lambda: sap(z, y, repeats=3))  # 1 minus chance
    # a linear classifier finds only the first and the last class
    yield Known(codes, "SAP (SVM)", 2 / 8 - 1 / 8, 0.03, lambda: sap(z, y, classifier="svm", repeats=3))
    yield Known(codes, "SAP (continuous)", 1, 0.01, lambda: sap(z, y, continuous=True))


def _binary() -> Iterator[Known]:
    """Two binary factors; as they are, and flipped in exactly a quarter of the points."""
    table = grid(2, 2, 4, 4, times=32)
    y = table[:, :2]
    clear = 4.0 * y
    z = np.where(table[:, 2:] == 0, 4.0 - clear, clear)
    told = LOG_2 + 0.25 * np.log(0.25) + 0.75 * np.log(0.75)  # log 2 minus the entropy of (1/4, 3/4)
    codes = "identity, binary"
    yield Known(codes, "SAP", 0.5, 0.05, lambda: sap(clear, y))  # 1 minus chance
    yield Known(codes, "SAP (continuous)", 1, 0.01, lambda: sap(clear, y, continuous=True))
    yield Known(codes, "attribute accuracy", 1, 0, lambda: attribute_accuracy(clear, y).value.min())
    codes = "noisy, a quarter wrong"
    yield Known(codes, "MIG (bins)", told / LOG_2, 1e-9, lambda: mig(z, y, **WHOLE))
    yield Known(codes, "I(y; mean_d)", told, 1e-9, lambda: information_of_means(z, y, **WHOLE).value[0, 0])
    yield Known(codes, "SAP", 0.25, 0.04, lambda: sap(z, y))  # 3/4 minus chance
    yield Known(codes, "SAP (continuous)", 0.25, 0.03, lambda: sap(z, y, continuous=True))
    yield Known(codes, "attribute accuracy", 0.75, 0.03, lambda: attribute_accuracy(z, y).value.mean())
    yield Known(codes, "factor correlations", 0.5, 1e-9, lambda: factor_correlations(z, y, **WHOLE).value[1, 1])
    yield Known(codes, "neighbours", 0, 1e-9, lambda: neighbours(z, y, **WHOLE).value[0, 1])
    # the best threshold classifies 3/4 of each class: (1 + 3/4 - 1/4) / 2
    yield Known(codes, "Explicitness", 0.75, 0.03, lambda: explicitness(z, y).value.mean())


def _posteriors() -> Iterator[Known]:
    """q(z | x) so narrow that a sample determines the class: every information is the logarithm of a count."""
    y = grid(2, 2, times=25)

    def narrow(*columns: np.ndarray) -> "Independent[Normal]":
        return Independent(Normal(torch.from_numpy(np.stack(columns, axis=1) * 1.0), 0.01), 1)

    z = narrow(y[:, 0], y[:, 1])
    codes = "identity, narrow"
    yield Known(codes, "I(x; z)", 2 * LOG_2, 1e-9, lambda: information_about_data(z, **SAMPLES))
    by_latent = information_about_data_by_latent
    yield Known(codes, "I(x; z_0)", LOG_2, 1e-9, lambda: by_latent(z, **SAMPLES).value[0])
    yield Known(codes, "I(y_0; z_0)", LOG_2, 1e-9, lambda: information_about_factors(z, y, **SAMPLES).value[0, 0])
    yield Known(codes, "I(y_0; z_1)", 0, 1e-9, lambda: information_about_factors(z, y, **SAMPLES).value[0, 1])
    yield Known(codes, "MIG (aggregate)", 1, 1e-9, lambda: mig_aggregate(z, y, **SAMPLES))
    yield Known(codes, "TC (exact)", 0, 1e-9, lambda: total_correlation(z, **SAMPLES))
    twice = narrow(y[:, 0], y[:, 0])
    codes = "duplicated, narrow"
    yield Known(codes, "MIG (aggregate)", 0, 1e-9, lambda: mig_aggregate(twice, y[:, 0], **SAMPLES))
    yield Known(codes, "TC (exact)", LOG_2, 1e-9, lambda: total_correlation(twice, **SAMPLES))
    prior = Independent(Normal(torch.zeros(100, 2, dtype=torch.float64), 1.0), 1)
    codes = "dead: q(z | x) = p(z)"
    yield Known(codes, "I(x; z)", 0, 1e-9, lambda: information_about_data(prior, **SAMPLES))
    yield Known(codes, "TC (exact)", 0, 1e-9, lambda: total_correlation(prior, **SAMPLES))
    c = OneHotCategorical(torch.eye(2, dtype=torch.float64)[y[:, 0]])
    both = {"z": narrow(y[:, 1]), "c": c}
    codes = "c is y_0, z is y_1"
    yield Known(codes, "I(y_0; c) - I(y_0; z)", LOG_2, 1e-9, lambda: mig_unnormalised(both, y, **SAMPLES).value[0])
    yield Known(codes, "I(y_1; c) - I(y_1; z)", -LOG_2, 1e-9, lambda: mig_unnormalised(both, y, **SAMPLES).value[1])


def _moments() -> Iterator[Known]:
    rng = np.random.default_rng(0)
    D = 50
    gaussian = rng.standard_normal((20_000, D))
    # |z|_1 / |z|_2 of a Gaussian is D times the mean |u_1| on the sphere, Gamma(D/2) / (sqrt(pi) Gamma((D+1)/2))
    ratio = D * np.exp(gammaln(D / 2) - gammaln((D + 1) / 2)) / np.sqrt(np.pi)
    expected = (np.sqrt(D) - ratio) / (np.sqrt(D) - 1)
    yield Known("Gaussian, D = 50", "Hoyer", expected, 2e-3, lambda: hoyer(gaussian, **WHOLE))
    on = rng.random(gaussian.shape) > 0.8
    # expected values measured by this project, on other samples
    yield Known("sparse prior, sd 0.05", "Hoyer", 0.65, 0.01, lambda: hoyer(np.where(on, 1, 0.05) * gaussian, **WHOLE))
    yield Known(
        "sparse prior, variance 0.05",
        "Hoyer",
        0.42,
        0.01,
        lambda: hoyer(np.where(on, 1, 0.05**0.5) * gaussian, **WHOLE),
    )
    signs = 2.0 * rng.integers(2, size=(1_000, D)) - 1
    yield Known("all of one size", "Hoyer", 0, 1e-3, lambda: hoyer(signs, **WHOLE))
    yield Known("one latent at a time", "Hoyer", 1, 1e-9, lambda: hoyer(np.tile(np.eye(D), (20, 1)), **WHOLE))
    # two orthogonal columns of mean 0, mixed to a correlation of exactly 0.6
    basis, _ = np.linalg.qr(np.c_[np.ones(500), rng.standard_normal((500, 2))])
    mixed = basis[:, 1:] @ np.array([[1.0, 0.6], [0.0, 0.8]])
    codes = "correlated by 0.6"
    yield Known(codes, "latent correlations", 0.6, 1e-9, lambda: latent_correlations(mixed, **WHOLE).value[0, 1])
    yield Known(codes, "TC (Gaussian)", -0.5 * np.log(0.64), 1e-9, lambda: total_correlation_gaussian(mixed, **WHOLE))
    # the correlation has the eigenvalues 1.6 and 0.4: (2 * 2 - 2 (sqrt 1.6 + sqrt 0.4)) / 2
    expected = 2 - np.sqrt(1.6) - np.sqrt(0.4)
    unit = mixed / mixed.std(0, ddof=1)
    yield Known(codes, "Wasserstein correlation", 2 * expected, 1e-9, lambda: wasserstein_correlation(unit, **WHOLE))
    yield Known(
        codes, "Wasserstein (normed)", expected, 1e-9, lambda: wasserstein_correlation_normed(5 * unit, **WHOLE)
    )
