"""Modularity, explicitness and IRS: by loops, by hand, and by the values that public tests state."""

import math

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.linear_model import LogisticRegression

from zoo.metrics import Encoded, Inapplicable, explicitness, information_of_means, irs, modularity
from zoo.metrics.known_answers import grid
from zoo.metrics.modularity import of_information
from zoo.metrics.result import generators


def some(seed: int = 0, N: int = 240) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = np.stack([rng.integers(size, size=N) for size in (2, 3, 4)], axis=1)
    z = rng.standard_normal((N, 4))
    z[:, :3] += 1.5 * y @ (np.eye(3) + 0.3)
    return z, y


# Modularity.


@pytest.mark.parametrize(
    ("information", "expected"),  # [latents, factors], as in the tests of disentanglement_lib
    [
        (5 * np.eye(5), 1.0),
        ([[1, 0], [0, 1], [0, 0]], 2 / 3),
        (np.zeros((10, 10)), 0.0),
        (np.vstack([5 * np.eye(5)] * 2), 1.0),
        (5 * np.eye(5)[:2], 1.0),
        (np.hstack([5 * np.eye(5)] * 2), 1 - 1 / 9),
    ],
    ids=["diagonal", "empty code", "zero", "redundant codes", "missed factors", "one code for two factors"],
)
def test_modularity_of_the_tables_of_public_tests(information, expected):
    assert of_information(np.array(information, float).T) == pytest.approx(expected)


def test_modularity_by_a_loop():
    z, y = some()
    information = information_of_means(z, y, num_bins=7).value
    scores = []
    for d in range(4):
        m = sorted((information[k, d] for k in range(3)), reverse=True)
        scores.append(1 - (m[1] ** 2 + m[2] ** 2) / (m[0] ** 2 * 2))
    result = modularity(z, y, num_bins=7)
    assert float(result) == pytest.approx(np.mean(scores))
    assert result.protocol["num_bins"] == 7
    assert result.low <= result.value <= result.high


def test_information_below_0_by_rounding_is_none():
    # squared it would be all that the second latent has, and about one factor alone
    assert of_information(np.array([[1.0, -1e-16], [0.0, 0.0]])) == 0.5


@pytest.mark.parametrize("seed", range(6))
def test_a_dead_latent_counts_as_0_whatever_rounding_makes_of_its_information(seed):
    # its information is a sum of p log(p / p), which rounding leaves at up to 1e-16; half of the score is left
    rng = np.random.default_rng(seed)
    y = np.stack([rng.integers(3, size=97), rng.integers(4, size=97)], axis=1)
    z = y[:, :1] + 0.1 * rng.standard_normal((97, 1))
    assert float(modularity(np.c_[z, np.zeros(97)], y, repeats=2)) == pytest.approx(float(modularity(z, y)) / 2)


def test_a_latent_that_is_independent_of_every_factor_counts_as_0():
    # on a grid of y_0, y_1 and w, all combinations alike often, w has no information about either
    y = grid(7, 6, 5, times=1)
    assert 0 < information_of_means(y[:, 2:], y[:, :2], repeats=2).value.max() < 1e-14  # what rounding leaves of 0
    assert float(modularity(y, y[:, :2], repeats=2)) == pytest.approx(2 / 3)


# Explicitness.


def test_explicitness_of_one_latent_is_its_own_area():
    # logistic regression of one latent rises with it, so the area is the share of pairs in order, counted one by one
    rng = np.random.default_rng(0)
    y = rng.integers(2, size=200)
    z = (y + rng.standard_normal(200)).round(1)[:, None]  # with ties
    found = explicitness(z, y, repeats=3)
    for run, stream in zip(found.runs[:, 0], generators(0, 3), strict=True):
        train, test = Encoded.of(z, y).split(1 / 3, stream)
        assert (len(train), len(test)) == (133, 67)
        pairs = [np.sign(a - b) for a in z[test][y[test] == 1, 0] for b in z[test][y[test] == 0, 0]]
        assert run == pytest.approx((1 + np.mean(pairs)) / 2)
    assert found.axes == (("factor 0",),)


def test_explicitness_standardises_with_the_training_set():
    z, y = some(N=60)
    z[0] = 100  # far out, so that it matters in which set it is
    found = explicitness(z, y[:, :1], repeats=4)
    for run, stream in zip(found.runs[:, 0], generators(0, 4), strict=True):
        train, test = Encoded.of(z, y).split(1 / 3, stream)
        mean, scale = z[train].mean(0), z[train].std(0)
        fitted = LogisticRegression().fit((z[train] - mean) / scale, y[train, 0])
        scores = fitted.decision_function((z[test] - mean) / scale)
        pairs = [np.sign(a - b) for a in scores[y[test, 0] == 1] for b in scores[y[test, 0] == 0]]
        assert run == pytest.approx((1 + np.mean(pairs)) / 2)


def test_explicitness_of_a_shift_is_phi():
    # P(a > b) of two normals one apart is Phi(1 / sqrt 2)
    rng = np.random.default_rng(0)
    y = np.arange(6_000) % 2
    z = np.c_[rng.standard_normal(6_000), y + rng.standard_normal(6_000)]
    assert explicitness(z, y, repeats=2).value[0] == pytest.approx(norm.cdf(1 / math.sqrt(2)), abs=0.02)


def test_explicitness_of_noise_and_of_a_dead_code_is_a_half():
    rng = np.random.default_rng(0)
    y = grid(3, 4, times=100)
    assert explicitness(rng.standard_normal((1200, 3)), y, repeats=3).value == pytest.approx([0.5, 0.5], abs=0.04)
    assert (explicitness(np.ones((1200, 3)), y, repeats=2).value == 0.5).all()


def test_explicitness_does_not_depend_on_order_scale_or_place_of_latents():
    z, y = some()
    there = 2.0 ** np.array([5, -3, 0, 2]) * z[:, [2, 0, 3, 1]] + 4
    np.testing.assert_allclose(explicitness(there, y, repeats=2).runs, explicitness(z, y, repeats=2).runs, atol=1e-3)


def test_a_class_that_training_points_lack_has_the_area_of_a_constant():
    # class 2 has one point, beyond those of class 1. Where it is a test point, no classifier knows its class: it looks
    # most like class 1, above n_1 points that are, and below none of the n_0 of class 0.
    y = np.r_[np.arange(29) % 2, 2]
    found = explicitness(10.0 * y[:, None], y, repeats=10)
    lacking = 0
    for run, rng in zip(found.runs[:, 0], generators(0, 10), strict=True):
        _, test = Encoded.of(y[:, None], y).split(1 / 3, rng)
        n_0 = (y[test] == 0).sum()
        lacking += 29 in test
        assert run == pytest.approx((1 + n_0 / (n_0 + 1) + 0.5) / 3 if 29 in test else 1)
    assert 0 < lacking < 10


def test_explicitness_counts_fits_that_did_not_converge(monkeypatch):
    import sys

    z, y = some()
    assert explicitness(z, y, repeats=2).protocol["unconverged_fits"] == 0
    monkeypatch.setattr(sys.modules["zoo.metrics.explicitness"], "_logistic", lambda: LogisticRegression(max_iter=1))
    # runs, and classes against the rest, of which two classes need one
    assert explicitness(z, y, repeats=2).protocol["unconverged_fits"] == 2 * (1 + 3 + 4)


def test_explicitness_of_a_factor_with_one_class_to_test_is_inapplicable():
    with pytest.raises(Inapplicable, match="'rare' has one class among 20 training or 10 test points"):
        explicitness(some()[0][:30], {"rare": np.arange(30) // 29})


# IRS.


def irs_by_loops(z: np.ndarray, y: np.ndarray, quantile: float) -> float:
    total, weight = 0.0, 0.0
    for column in z.T:
        largest = max(abs(value - column.mean()) for value in column)
        best = 0.0
        for factor in y.T:
            deviations = []
            for c in set(factor.tolist()):
                group = column[factor == c]
                deviations.append(np.quantile([abs(value - group.mean()) for value in group], quantile))
            best = max(best, 1 - np.mean(deviations) / largest)
        total, weight = total + largest * best, weight + largest
    return total / weight


@pytest.mark.parametrize("quantile", [0.5, 0.99, 1.0])
def test_irs_by_loops(quantile):
    z, y = some()
    result = irs(z, y, quantile=quantile)
    assert float(result) == pytest.approx(irs_by_loops(z, y, quantile))
    assert result.protocol["quantile"] == quantile
    assert result.low <= result.value <= result.high
    with_dead = irs(np.c_[z, np.full(len(z), 3.0), 1e-3 * z[:, 0]], y, quantile=quantile, prune=0.01)
    assert float(with_dead) == pytest.approx(float(result))
    assert with_dead.protocol["dead_latents"] == ["z_4", "z_5"]


def test_irs_weighs_a_latent_by_how_far_it_goes():
    # latent 0 is y_0 and goes 1 from its mean, with score 1; latent 1 is 3 (y_0 + y_1 - 1) and goes 3: with y_0 held it
    # still goes 1.5, and has a half
    y = grid(2, 2, times=10)
    z = np.stack([2.0 * y[:, 0], 3.0 * (y.sum(1) - 1)], axis=1)
    assert float(irs(z, y)) == pytest.approx((1 * 1 + 3 * 0.5) / 4)


def test_irs_of_noise_is_low_and_never_below_0():
    rng = np.random.default_rng(0)
    y = grid(2, 2, times=2_000)
    uniform = rng.random((len(y), 2))
    # the 0.99 quantile of |u - 1/2| is 0.495 of at most 0.5
    assert float(irs(uniform, y)) == pytest.approx(1 - 0.495 / 0.5, abs=0.005)
    # one point in four is 4 away, in the class as in all: 3 from the mean of 1, and 2 from that of all
    wrong = np.where(np.arange(400) % 4 == 0, 4 - 4.0 * (np.arange(400) // 200), 4.0 * (np.arange(400) // 200))
    assert float(irs(wrong[:, None], np.arange(400) // 200)) == 0.0


def test_a_quantile_that_is_none():
    for quantile in (-0.1, 99, math.nan):
        with pytest.raises(ValueError, match=r"irs: quantile must be (from 0 to 1|finite), got"):
            irs(*some(), quantile=quantile)
