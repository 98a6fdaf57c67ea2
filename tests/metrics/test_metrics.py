"""Metrics against slow loops, closed forms, invariances that hold, and the table of known answers."""

import json
import math
import random
import sys
from functools import cache, partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.optimize import minimize_scalar
from scipy.stats import norm
from sklearn.svm import LinearSVC
from torch.distributions import (
    Categorical,
    Dirichlet,
    Independent,
    MixtureSameFamily,
    MultivariateNormal,
    Normal,
    OneHotCategorical,
)

import zoo.metrics.densities
import zoo.metrics.known_answers
from zoo.lab.data import Dataset
from zoo.metrics import (
    Encoded,
    Inapplicable,
    attribute_accuracy,
    closest,
    dci,
    explicitness,
    factor_correlations,
    factor_vae,
    higgins_logistic,
    higgins_svm,
    hoyer,
    information_about_data,
    information_about_data_by_latent,
    information_about_factors,
    information_among_codes,
    information_of_means,
    latent_correlations,
    mig,
    mig_aggregate,
    mig_unnormalised,
    modularity,
    neighbours,
    sap,
    self_check,
    total_correlation,
    total_correlation_gaussian,
    udr,
)
from zoo.metrics.attributes import hinge_bias
from zoo.metrics.dci import completeness, disentanglement
from zoo.metrics.higgins import votes as higgins_votes
from zoo.metrics.known_answers import grid, known_answers
from zoo.metrics.result import Result, generators

FEW = {"num_train": 300, "num_eval": 200, "repeats": 2}


def some_codes(seed: int = 0, N: int = 240, D: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """Codes that show three factors of 2, 3 and 4 classes imperfectly."""
    rng = np.random.default_rng(seed)
    y = np.stack([rng.integers(size, size=N) for size in (2, 3, 4)], axis=1)
    z = rng.standard_normal((N, D))
    z[:, :3] += 1.5 * y @ (np.eye(3) + 0.3)
    return z, y


def posteriors(means: np.ndarray, scale: float | np.ndarray) -> Independent:
    loc = torch.from_numpy(means * 1.0)
    return Independent(Normal(loc, torch.as_tensor(scale).expand_as(loc)), 1)


# Known answers.


def test_the_known_answers():
    table = self_check()
    for what in ("identity", "permuted", "rotated", "duplicated", "dead", "noisy", "one latent for two", "constant"):
        assert what in table
    assert "WRONG" not in table
    assert len(table.splitlines()) == 1 + len(list(known_answers()))


def test_the_self_check_tells_which_answer_is_off(monkeypatch):
    row = next(row for row in known_answers() if row.metric == "TC (Gaussian)" and row.codes == "correlated by 0.6")
    wrong = row._replace(expected=0.5)
    monkeypatch.setattr(zoo.metrics.known_answers, "known_answers", lambda: [row, wrong])
    with pytest.raises(ValueError, match=r"1 of the known scores are wrong") as caught:
        self_check()
    right_line, wrong_line = str(caught.value).splitlines()[2:]
    assert "WRONG" in wrong_line
    assert "0.5000   0.2231" in wrong_line
    assert "WRONG" not in right_line


def test_nan_is_no_known_answer(monkeypatch):
    nan = next(known_answers())._replace(measure=lambda: math.nan)
    monkeypatch.setattr(zoo.metrics.known_answers, "known_answers", lambda: [nan])
    with pytest.raises(ValueError, match="WRONG"):
        self_check()


def test_every_dci_is_fitted_once_for_its_three_scores(monkeypatch):
    fitted = []

    def fit(z, y, *, regressor, **_):
        fitted.append(regressor)
        return SimpleNamespace(disentanglement=1.0, completeness=1.0, informativeness=0.0)

    monkeypatch.setattr(zoo.metrics.known_answers, "dci", fit)
    rows = [row for row in known_answers() if row.codes == "identity" and row.metric.startswith("DCI")]
    assert [row.measure() for row in rows] == 3 * [1.0, 1.0, 0.0]
    assert fitted == ["forest", "lasso", "boosted"]


# Against slow loops and closed forms.


def test_mig_by_hand():
    # y_0 in {0, 1}, y_1 in {0, 1, 2}; z_0 = y_0, z_1 = y_1, z_2 = (y_0 or not y_0) with y_1 = 2 told
    y = grid(2, 3, times=10)
    z = np.c_[y, y[:, 1] == 2].astype(float)
    # H(y_1) = log 3; I(y_1; [y_1 = 2]) = H(1/3, 2/3). So the gaps are 1 and (log 3 - H(1/3, 2/3)) / log 3.
    told = -(1 / 3) * math.log(1 / 3) - (2 / 3) * math.log(2 / 3)
    assert float(mig(z, y)) == pytest.approx((1 + (math.log(3) - told) / math.log(3)) / 2, abs=1e-12)


def test_information_below_0_counts_as_none_in_a_gap():
    # the estimate of a latent that tells nothing is below 0 in some runs; the best latent does not lead by more for it
    y = np.arange(60) % 2
    noise = np.random.default_rng(4).standard_normal(60)
    q = posteriors(np.stack([2.0 * y, noise], axis=1), 0.3)
    settings = {"num_samples": 20, "repeats": 8, "seed": 0}
    information = information_about_factors(q, y, **settings).runs[:, 0]
    assert (information[:, 1] < 0).any()
    assert (information[:, 0] > 0).all()
    gaps = mig_aggregate(q, y, **settings).runs
    np.testing.assert_allclose(gaps, (information[:, 0] - information[:, 1].clip(min=0)) / math.log(2))
    # where no latent tells anything there is no gap, whichever is farther below 0
    nothing = posteriors(np.random.default_rng(4).standard_normal((60, 2)), 0.3)
    information = information_about_factors(nothing, y, **settings).runs[:, 0]
    neither = (information < 0).all(1)
    assert neither.any()
    assert (mig_aggregate(nothing, y, **settings).runs[neither] == 0).all()


def test_information_of_means_by_a_loop_over_cells():
    z, y = some_codes()
    result = information_of_means(z, y, num_bins=7)
    for k in range(3):
        for d in range(4):
            width = (z[:, d].max() - z[:, d].min()) / 7
            bins = np.minimum(((z[:, d] - z[:, d].min()) / width).astype(int), 6)
            information = 0.0
            for b in range(7):
                for c in range(4):
                    both = np.mean((bins == b) & (y[:, k] == c))
                    if both:
                        information += both * math.log(both / np.mean(bins == b) / np.mean(y[:, k] == c))
            assert result.value[k, d] == pytest.approx(information, abs=1e-9)


def test_information_about_a_factor_by_quadrature():
    # z | y ~ N(+-1, 0.7^2): I(y; z) = H(z) - H(z | y), the first entropy by quadrature
    y = np.repeat([0, 1], 50)
    q = posteriors((2 * y - 1)[:, None], 0.7)

    def surprise(z: float) -> float:
        p = 0.5 * norm.pdf(z, 1, 0.7) + 0.5 * norm.pdf(z, -1, 0.7)
        return -p * math.log(p)

    expected = quad(surprise, -8, 8)[0] - 0.5 * math.log(2 * math.pi * math.e * 0.7**2)
    result = information_about_factors(q, y, num_samples=4_000, repeats=4)
    # the standard deviation of one run is about 0.5 / sqrt(4,000) = 0.008
    assert result.value[0, 0] == pytest.approx(expected, abs=0.02)
    assert result.low[0, 0] < expected < result.high[0, 0]
    # x tells no more than y does, for all points of a class have one posterior
    assert float(information_about_data(q, num_samples=4_000, repeats=4)) == pytest.approx(result.value[0, 0], abs=1e-9)


def test_densities_by_loops_over_all_posteriors():
    rng = np.random.default_rng(1)
    N, y = 40, np.arange(40) % 3
    loc, scale = rng.standard_normal((N, 2)), rng.uniform(0.2, 1.0, (N, 2))
    logits = torch.from_numpy(rng.standard_normal((N, 3)))
    q = {"z": posteriors(loc, torch.from_numpy(scale)), "c": OneHotCategorical(logits=logits)}
    encoded = Encoded.of(q, y)
    assert encoded.units == ("z_0", "z_1", "c")
    assert encoded.latents == ("z_0", "z_1", "c_0", "c_1", "c_2")
    S = 25
    drawn = zoo.metrics.densities.draws(encoded, S, 3, 0)
    given_y = zoo.metrics.densities.given_factors(encoded, S, 3, 0)
    probs = logits.softmax(-1).numpy()
    for s in range(S):
        z, c = drawn.values["z"][s, 0].numpy(), int(drawn.values["c"][s, 0].argmax())
        units = np.array([[*norm.pdf(z, loc[n], scale[n]), probs[n, c]] for n in range(N)])  # [N, 3]
        own = drawn.rows[s]
        assert drawn.own.units[s].exp().tolist() == pytest.approx(units[own].tolist())
        assert drawn.mixed.units[s].exp().tolist() == pytest.approx(units.mean(0).tolist())
        assert drawn.mixed.joint[s].exp().item() == pytest.approx(units.prod(1).mean())
        assert given_y[s, 0].exp().tolist() == pytest.approx(units[y == y[own]].mean(0).tolist())


def test_the_decomposition_of_the_kl_adds_up():
    # E log q(z|x)/p(z) = I(x; z) + TC + sum_d KL(q(z_d) || p(z_d)) on the same samples
    rng = np.random.default_rng(2)
    q = posteriors(rng.standard_normal((60, 3)), 0.4)
    encoded = Encoded.of(q)
    settings = {"num_samples": 60, "repeats": 2}
    information, tc = information_about_data(encoded, **settings), total_correlation(encoded, **settings)
    for repeat in range(2):
        drawn = zoo.metrics.densities.draws(encoded, 60, 0, repeat)
        log_p = Normal(0.0, 1.0).log_prob(drawn.values["z"].squeeze(1))
        kl = (drawn.own.joint - log_p.sum(-1)).mean().item()
        marginal = (drawn.mixed.units - log_p).sum(-1).mean().item()
        assert information.runs[repeat] + tc.runs[repeat] + marginal == pytest.approx(kl)


def test_information_about_the_data_is_at_most_log_n_and_reaches_it():
    apart = posteriors(np.arange(50)[:, None] * [1.0, 0.0], 1e-3)
    result = information_about_data(apart, num_samples=50, repeats=2)
    assert float(result) == pytest.approx(math.log(50))
    by_latent = information_about_data_by_latent(apart, num_samples=50, repeats=2)
    assert by_latent.value.tolist() == pytest.approx([math.log(50), 0.0])
    assert by_latent.axes == (("z_0", "z_1"),)


def test_votes_share_their_factor_and_nothing_else():
    # codes are the classes, so a feature is 0 exactly where the factor is shared
    y = grid(3, 4, 5, times=2)
    features, labels = higgins_votes(Encoded.of(y, y), 300, 30, np.random.default_rng(0), balanced=True)
    assert np.bincount(labels).tolist() == [100, 100, 100]
    assert ((features == 0) == (labels[:, None] == np.arange(3))).all()
    # mean |a - b| of two uniform draws from 0..m-1 is (m^2 - 1) / 3m
    for k, m in enumerate((3, 4, 5)):
        assert features[labels != k, k].mean() == pytest.approx((m**2 - 1) / (3 * m), abs=0.05)


def test_factor_vae_by_a_loop_over_votes():
    # sd of z_1 within a class of y_0 is least, next to its own sd; the score is that of the majority
    z, y = some_codes(D=3)
    score = float(factor_vae(z, y, num_points=16, num_train=3_000, num_eval=0, repeats=3))
    rng = np.random.default_rng(9)
    table = np.zeros((3, 3))
    for _ in range(6_000):
        k = rng.integers(3)
        c = rng.integers(y[:, k].max() + 1)
        points = rng.choice(np.flatnonzero(y[:, k] == c), 16)
        table[np.argmin(np.var(z[points], axis=0, ddof=1) / np.var(z, axis=0, ddof=1)), k] += 1
    # each side's standard error is at most 0.5 / sqrt(6,000) = 0.0065
    assert score == pytest.approx(table.max(1).sum() / 6_000, abs=0.03)


def test_unpruned_dead_latents_would_win_the_vote():
    y = grid(4, 4, times=20)
    dead = np.c_[1e-3 * np.random.default_rng(0).permutation(y[:, 0]), y]
    pruned = factor_vae(dead, y, **FEW)
    assert float(pruned) == 1.0
    assert pruned.protocol["prune"] == 0.05
    assert pruned.protocol["dead_latents"] == ["z_0"]
    constant = factor_vae(np.c_[np.full(len(y), 0.1), y], y, prune=0.0, **FEW)
    assert float(constant) == 1.0
    assert constant.protocol["dead_latents"] == ["z_0"]


def test_disentanglement_and_completeness_of_an_importance_matrix():
    assert disentanglement(np.eye(3)) == completeness(np.eye(3)) == pytest.approx(1.0)
    assert disentanglement(np.ones((3, 2))) == pytest.approx(0.0)
    assert completeness(np.ones((3, 2))) == pytest.approx(0.0)
    # row 0 has 3/4 of all importance and is split evenly; row 1 is pure; row 2 matters for nothing
    R = np.array([[3.0, 3.0], [2.0, 0.0], [0.0, 0.0]])
    assert disentanglement(R) == pytest.approx(6 / 8 * 0 + 2 / 8 * 1)
    # column 0: 1 - H(3/5, 2/5) / log 3; column 1: one latent
    split = -(0.6 * math.log(0.6) + 0.4 * math.log(0.4))
    assert completeness(R) == pytest.approx((1 - split / math.log(3) + 1) / 2)
    assert completeness(np.array([[1.0, 0.0], [0.0, 0.0]])) == pytest.approx(0.5)  # nothing for the second factor


@pytest.mark.parametrize("seed", range(5))
def test_the_bias_of_least_hinge_loss(seed):
    rng = np.random.default_rng(seed)
    p, y = rng.standard_normal(51), rng.random(51) < 0.3
    signs = np.where(y, 1, -1)

    def loss(b: float) -> float:
        return np.maximum(0, 1 - signs * (p + b)).sum()

    found = minimize_scalar(loss, bounds=(-10, 10), method="bounded", options={"xatol": 1e-9})
    assert loss(hinge_bias(p, y)) <= found.fun + 1e-6


def test_attribute_accuracy_by_the_paper_s_sentence():
    rng = np.random.default_rng(0)
    y = rng.integers(2, size=400)
    z = rng.standard_normal((400, 3)) + y[:, None] * [3.0, 0.0, 0.0]
    result = attribute_accuracy(z, {"hat": y, "size": np.arange(400) % 3})
    assert result.axes == (("hat",),)  # the other has three classes
    # the optimal direction separates means by 3 standard deviations: accuracy Phi(1.5) = 0.933
    assert result.value[0] == pytest.approx(norm.cdf(1.5), abs=0.03)
    assert result.protocol["accuracy_of_a_constant"] == {"hat": max(y.mean(), 1 - y.mean())}


def test_hoyer_by_a_loop_and_of_two_latents():
    z, _ = some_codes()
    scores = []
    for point in z / z.std(0, ddof=1):
        scores.append((2 - np.abs(point).sum() / math.sqrt((point**2).sum())) / (2 - 1))  # sqrt 4 = 2
    assert float(hoyer(z)) == pytest.approx(np.mean(scores))
    # a dead latent is left out, and so is a point at zero
    with_dead = hoyer(np.c_[np.r_[z, np.zeros((1, 4))], np.full(len(z) + 1, 5.0)])
    assert with_dead.protocol["dead_latents"] == ["z_4"]
    assert with_dead.protocol["points_at_zero"] == 1
    scale = np.r_[z, np.zeros((1, 4))].std(0, ddof=1)
    again = [2 - np.abs(p).sum() / np.linalg.norm(p) for p in z / scale]
    assert float(with_dead) == pytest.approx(np.mean(again))


def test_gaussian_total_correlation_by_determinants():
    z, _ = some_codes()
    cov = np.cov(z.T)
    expected = 0.5 * (np.log(np.diag(cov)).sum() - math.log(np.linalg.det(cov)))
    assert float(total_correlation_gaussian(z)) == pytest.approx(expected)
    assert float(total_correlation_gaussian(np.c_[z, np.ones(len(z))])) == pytest.approx(expected)
    c = np.eye(3)[np.arange(len(z)) % 3]  # adds up to 1, and is left out
    assert float(total_correlation_gaussian({"z": z, "c": OneHotCategorical(torch.from_numpy(c))})) == pytest.approx(
        expected
    )


def test_exact_total_correlation_of_a_gaussian_pair():
    # many narrow posteriors around points of a Gaussian with correlation 0.8: TC = -1/2 log(1 - 0.8^2) = 0.511
    rng = np.random.default_rng(0)
    z = rng.standard_normal((1_500, 2)) @ np.linalg.cholesky([[1.0, 0.8], [0.8, 1.0]]).T
    # widening by a variance of 0.1 gives the mixture the correlation 0.8 / 1.1
    result = total_correlation(posteriors(z, math.sqrt(0.1)), num_samples=500, repeats=4)
    assert float(result) == pytest.approx(-0.5 * math.log(1 - (0.8 / 1.1) ** 2), abs=0.06)


def test_correlations_and_neighbours_against_numpy():
    z, y = some_codes()
    z = np.c_[z, np.ones(len(z))]
    latents = latent_correlations(z)
    np.testing.assert_allclose(latents.value, np.corrcoef(z[:, :4].T), atol=1e-12)
    assert latents.axes == (("z_0", "z_1", "z_2", "z_3"),) * 2
    assert latents.protocol["dead_latents"] == ["z_4"]
    factors = factor_correlations(z, {"a": y[:, 0], "b": y[:, 1], "c": y[:, 2]})
    both = np.corrcoef(np.c_[y, z[:, :4]].T)[:3, 3:]
    np.testing.assert_allclose(factors.value, both, atol=1e-12)
    assert factors.axes == (("a", "b", "c"), ("z_0", "z_1", "z_2", "z_3"))
    near = neighbours(z, {"a": y[:, 0], "b": y[:, 1], "c": y[:, 2]})
    for k, name in enumerate("abc"):
        latent = int(np.abs(both[k]).argmax())
        assert near.protocol["latent_of"][name] == f"z_{latent}"
        np.testing.assert_allclose(near.value[k], both[:, latent], atol=1e-12)
    (first, r), (_, other) = closest(near, "a")
    assert first in "bc"
    assert abs(r) >= abs(other)
    assert len(closest(near, "a", count=1)) == 1
    with pytest.raises(LookupError, match="no attribute 'd'; there are a, b, c"):
        closest(near, "d")


def test_hfvae_s_gap_can_be_negative():
    y = np.arange(60) % 2
    # c says nothing, z everything
    q = {"z": posteriors(y[:, None], 0.01), "c": OneHotCategorical(torch.full((60, 2), 0.5))}
    assert mig_unnormalised(q, y, repeats=2, num_samples=60).value.tolist() == pytest.approx([-math.log(2)])


# Invariances. Higgins and SAP by SVM are left out of those to scale: C = 0.01 is against a regulariser of 1; so are IRS
# and the Wasserstein correlation, in which a latent of larger scale weighs more.

exact = {
    "mig": lambda z, y: mig(z, y, repeats=2),
    "factor_vae": lambda z, y: factor_vae(z, y, prune=0.0, **FEW),
    "dci_lasso": lambda z, y: dci(z, y, regressor="lasso", repeats=2).disentanglement,
    "sap": lambda z, y: sap(z, y, repeats=2),
    "modularity": lambda z, y: modularity(z, y, repeats=2),
    "information_among_codes": lambda z, y: information_among_codes(z, repeats=2),
    "sap_continuous": lambda z, y: sap(z, y, continuous=True, repeats=2),
    "hoyer": lambda z, y: hoyer(z, repeats=2),
    "total_correlation_gaussian": lambda z, y: total_correlation_gaussian(z, repeats=2),
}
higgins = [partial(higgins_svm, **FEW), partial(higgins_logistic, **FEW)]
permutations = st.permutations(range(4)).map(list)
powers_of_two = st.lists(st.integers(-6, 6), min_size=4, max_size=4).map(lambda powers: 2.0 ** np.array(powers))
property_test = settings(max_examples=10, deadline=None, derandomize=True)


@cache
def of_some_codes(metric, seed: int = 0):
    return metric(*some_codes(seed))


@pytest.mark.parametrize("metric", exact.values(), ids=exact)
@property_test
@given(order=permutations, scale=powers_of_two, seed=st.integers(0, 3))
def test_neither_order_nor_scale_nor_place_of_latents_matters(metric, order, scale, seed):
    z, y = some_codes(seed)
    here, there = of_some_codes(metric, seed), metric(z[:, order] * scale, y)
    np.testing.assert_allclose(there.runs, here.runs, atol=2e-3 if metric is exact["dci_lasso"] else 1e-9)
    np.testing.assert_allclose(float(there), float(here), atol=2e-3 if metric is exact["dci_lasso"] else 1e-9)


@property_test
@given(order=permutations)
def test_the_order_of_latents_matters_little_to_fitted_classifiers(order):
    z, y = some_codes()
    for metric in higgins:
        # the votes are the same; solvers stop within a tolerance
        np.testing.assert_allclose(metric(z[:, order], y).runs, of_some_codes(metric).runs, atol=0.02)


@property_test
@given(relabel=st.permutations(range(4)), order=st.permutations(range(3)))
def test_names_of_classes_and_order_of_factors_do_not_matter_to_mig(relabel, order):
    z, y = some_codes()
    other = y.copy()
    other[:, 2] = np.array(relabel)[y[:, 2]]
    here, there = of_some_codes(exact["mig"]), mig(z, other[:, order], repeats=2)
    np.testing.assert_allclose(there.runs, here.runs, atol=1e-12)
    assert float(there) == pytest.approx(float(here), abs=1e-12)


@property_test
@given(scale=powers_of_two)
def test_densities_do_not_depend_on_scale(scale):
    z, y = some_codes()
    here, there = posteriors(z, 0.5), posteriors(z * scale, torch.from_numpy(0.5 * scale))
    few = {"num_samples": 40, "repeats": 2}
    for metric in (mig_aggregate, information_about_factors, information_about_data, total_correlation):
        np.testing.assert_allclose(metric(there, y, **few).runs, metric(here, y, **few).runs, atol=1e-9)


def test_classifiers_of_constant_weight_depend_on_scale():
    # small features cannot pay for the norm of large weights
    z, y = some_codes()
    for metric in (
        lambda z: higgins_svm(z, y, **FEW),
        lambda z: higgins_logistic(z, y, **FEW),
        lambda z: sap(z, y, classifier="svm", repeats=2),
    ):
        assert float(metric(z)) > float(metric(1e-3 * z)) + 0.1


def test_fits_that_do_not_converge_are_counted(monkeypatch):
    z, y = some_codes()
    assert higgins_svm(z, y, **FEW).protocol["unconverged_fits"] == 0
    assert higgins_svm(1e3 * z, y, **FEW).protocol["unconverged_fits"] == FEW["repeats"]
    assert sap(z, y, classifier="svm", repeats=2).protocol["unconverged_fits"] == 0
    hasty = LinearSVC(max_iter=1)
    monkeypatch.setattr(sys.modules["zoo.metrics.sap"], "_svm", lambda C, seed: hasty)
    unconverged = sap(z, y, classifier="svm", repeats=2).protocol["unconverged_fits"]
    assert unconverged == 2 * 3 * 4  # runs, factors, latents


# Results.


def test_a_result_carries_its_protocol():
    z, y = some_codes()
    result = higgins_svm(z, y, num_pairs=16, seed=3, **FEW)
    protocol = result.protocol
    assert (protocol["seed"], protocol["repeats"], protocol["num_pairs"]) == (3, 2, 16)
    assert (protocol["num_points"], protocol["num_train"], protocol["num_eval"]) == (240, 300, 200)
    assert "C=0.01" in protocol["classifier"]
    assert "loss='hinge'" in protocol["classifier"]
    assert protocol["factors"] == {"factor 0": 2, "factor 1": 3, "factor 2": 4}
    assert protocol["versions"]["numpy"] == np.__version__
    assert len(result.runs) == 2


def test_the_interval_is_student_s():
    # runs 0.2, 0.4, 0.6: mean 0.4, sd 0.2, and t of two degrees of freedom is 4.3027
    result = Result.of("m", [0.2, 0.4, 0.6], {}, unit="nats")
    assert float(result) == pytest.approx(0.4)
    assert float(result.low) == pytest.approx(0.4 - 4.3027 * 0.2, abs=1e-4)
    assert float(result.high) == pytest.approx(0.4 + 4.3027 * 0.2, abs=1e-4)
    score = Result.of("m", [0.2, 0.4, 0.6], {})
    assert (float(score.low), float(score.high)) == (0.0, 1.0)


def test_infinite_runs_have_no_spread_and_survive_json():
    result = Result.of("TC", [math.inf, math.inf], {}, unit="nats", value=math.inf)
    assert result.low == result.high == math.inf
    assert json.loads(json.dumps(result.as_dict()))["runs"] == ["inf", "inf"]


def test_half_samples_have_the_spread_of_the_whole():
    # The Gaussian TC of independent samples has the standard error that fresh samples of this size show.
    def fresh(seed: int) -> Result:
        return total_correlation_gaussian(np.random.default_rng(seed).standard_normal((400, 2)) @ [[1, 0.8], [0, 0.6]])

    results = [fresh(seed) for seed in range(60)]
    truth = -0.5 * math.log(0.36)
    covered = np.mean([result.low <= truth <= result.high for result in results])
    assert covered > 0.85  # 95 %, less 4 standard errors of sqrt(.95 * .05 / 60) = 0.028


def test_every_draw_is_seeded():
    z, y = some_codes()
    found = [
        metric(z, y, seed=seed).runs.tolist()
        for seed in (0, 0, 1)
        for metric in (
            lambda *a, **k: factor_vae(*a, **FEW, **k),
            lambda *a, **k: higgins_svm(*a, **FEW, **k),
            lambda *a, **k: dci(*a, regressor="forest", repeats=2, **k).informativeness,
            lambda *a, **k: sap(*a, repeats=2, **k),
            lambda *a, **k: mig(*a, repeats=2, **k),
            lambda z, y, **k: mig_aggregate(posteriors(z, 0.5), y, repeats=2, num_samples=50, **k),
        )
    ]
    assert found[:6] == found[6:12]
    assert all(a != b for a, b in zip(found[:6], found[12:], strict=True))


def test_the_random_states_are_left_alone():
    z, y = some_codes()

    def numpy_state():  # with its place in the 624 words, which alone moves with the first draws
        name, words, *more = np.random.get_state()  # noqa: NPY002  # that nobody draws from it
        return name, words.tolist(), more

    before = torch.get_rng_state(), numpy_state(), random.getstate()
    for measure in (
        lambda: dci(z, y, regressor="forest", repeats=2),
        lambda: dci(z, y, regressor="lasso", repeats=2),
        lambda: dci(z, y, regressor="boosted", num_trees=2, repeats=2),
        lambda: udr([z, z[:, ::-1]], repeats=2),
        lambda: udr([z, z[:, ::-1]], similarity="spearman", repeats=2),
        lambda: sap(z, y, repeats=2),
        lambda: sap(z, y, classifier="svm", repeats=2),
        lambda: higgins_svm(z, y, num_train=50, num_eval=50, repeats=2),
        lambda: higgins_logistic(z, y, num_train=50, num_eval=50, repeats=2),
        lambda: explicitness(z, y, repeats=2),
        lambda: mig_aggregate(posteriors(z, 0.5), y, repeats=2, num_samples=20),
    ):
        measure()
        assert torch.equal(torch.get_rng_state(), before[0])
        assert (numpy_state(), random.getstate()) == before[1:]


@pytest.mark.parametrize("seed", [np.int64(3), np.uint8(3), np.array(3), torch.tensor(3)])
def test_a_seed_of_any_type_of_whole_number(seed):
    z, y = some_codes()
    measures = (
        lambda seed: mig(z, y, repeats=2, seed=seed),
        lambda seed: total_correlation(posteriors(z, 0.5), repeats=2, num_samples=20, seed=seed),
        lambda seed: mig(lambda x: x, Dataset.from_arrays(z, factors={"a": y[:, 0]}), repeats=2, seed=seed),
        lambda seed: mig(Encoded.of(lambda x: x, Dataset.from_arrays(z, y[:, 0]), num_points=50, seed=seed), repeats=2),
    )
    for measure in measures:
        ours, theirs = measure(seed), measure(3)
        assert np.array_equal(ours.runs, theirs.runs)
        assert json.dumps(ours.as_dict()) == json.dumps(theirs.as_dict())


# Whatever codes come as.


def test_codes_and_factors_come_in_many_forms():
    z, y = some_codes()
    expected = float(mig(z, y))
    assert float(mig(torch.from_numpy(z), torch.from_numpy(y))) == expected
    assert float(mig({"a": z[:, :2], "b": z[:, 2:]}, dict(zip("abc", y.T, strict=True)))) == expected
    assert float(mig(posteriors(z, 1.0), y)) == expected
    assert float(mig(Normal(torch.from_numpy(z), 1.0), y.astype(float))) == expected
    assert float(mig(Encoded.of(z, y))) == expected
    full = MultivariateNormal(torch.from_numpy(z), torch.eye(4))
    assert float(mig(full, y)) == expected


def test_a_family_without_densities_is_refused_by_name():
    z, y = some_codes()
    correlated = MultivariateNormal(torch.from_numpy(np.stack([z, -z], 1)), torch.eye(4).double())
    mixture = MixtureSameFamily(Categorical(torch.ones(240, 2)), correlated)
    for q in (z, {"z": Dirichlet(torch.ones(240, 3))}, mixture):
        for metric in (mig_aggregate, information_about_factors, information_about_data, total_correlation):
            with pytest.raises(Inapplicable, match=r"needs q\(z \| x\), but site 'z'"):
                metric(q, y)


def test_a_constant_factor_is_dropped_and_named():
    z, y = some_codes()
    with_constant = {"colour": np.full(240, 7), "a": y[:, 0], "b": y[:, 1]}
    for metric in (
        lambda *a: mig(*a, repeats=2),
        lambda *a: factor_vae(*a, **FEW),
        lambda *a: higgins_svm(*a, **FEW),
        lambda *a: dci(*a, regressor="lasso", repeats=2).disentanglement,
        lambda *a: sap(*a, repeats=2),
        lambda *a: factor_correlations(*a, repeats=2),
    ):
        dropped, without = metric(z, with_constant), metric(z, {"a": y[:, 0], "b": y[:, 1]})
        np.testing.assert_array_equal(dropped.runs, without.runs)
        assert dropped.protocol["constant_factors"] == {"colour": 7}
        assert "colour" not in dropped.protocol["factors"]


# Bad input.


Z, Y = some_codes()
NAN = np.where(np.indices(Z.shape)[0] + np.indices(Z.shape)[1] == 7, np.nan, Z)


@pytest.mark.parametrize(
    ("codes", "factors", "message"),
    [
        (NAN, Y, r"site 'z': 4 values are not finite, the first nan at point 4, latent 3"),
        (Z[:9], Y[:9], r"9 points are too few for any metric: give at least 10"),
        (Z[:, 0], Y, r"must be \[N, D\], got \(240,\); codes\[:, None\]"),
        (Z[:, :0], Y, r"must be \[N, D\], got \(240, 0\)"),
        (np.char.add(Z.astype(str)[:, :1], "x"), Y, r"codes must be numbers"),
        ({"a": Z, "b": Z[:5]}, Y, r"the sites differ in their number of points, \{'a': 240, 'b': 5\}"),
        ({}, Y, r"the mapping is empty"),
        (Z, Y[:100], r"'factor 0' has values of shape \(100,\) for codes of 240 points"),
        (Z, {"size": Z[:, 0]}, r"'size' is not categorical: .* at point 0 is not a class index; np.unique"),
        (
            Z,
            {"day": np.full(240, np.datetime64("2020-01-01"))},
            r"'day' is not categorical: .* got datetime64",
        ),
        (Z, {"size": np.full(240, "big")}, r"MIG needs a factor that varies, got \[\]; 'size' has one value, 'big'"),
        (Z, {"id": np.arange(240)}, r"'id' is not categorical: 240 classes in 240 points"),
        (Z, np.zeros((240, 2, 2), int), r"factors must be class indices \[N, K\], got \(240, 2, 2\)"),
        (Z, {"colour": np.full(240, 7)}, r"MIG needs a factor that varies, got \[\]; 'colour' has one value, 7"),
        (Z, None, r"MIG needs a factor that varies, got \[\]"),
        (Z[:, :1], Y, r"MIG needs 2 latents, got 1"),
        (
            Normal(torch.from_numpy(Z), torch.zeros(()), validate_args=False),
            Y,
            r"deviation is 0.0 at point 0, latent 0",
        ),
    ],
)
def test_bad_input_is_named(codes, factors, message):
    with pytest.raises(ValueError, match=message):
        mig(codes, factors)


def test_metrics_that_tell_factors_apart_need_two():
    for metric in (higgins_svm, higgins_logistic, factor_vae, neighbours):
        with pytest.raises(Inapplicable, match=r"needs 2 factors that vary, got \['a'\]; 'b' has one value, 0"):
            metric(Z, {"a": Y[:, 0], "b": np.zeros(240, int)})
    with pytest.raises(Inapplicable, match=r"DCI needs 2 factors"):
        dci(Z, Y[:, 0], regressor="lasso")
    with pytest.raises(Inapplicable, match=r"a factor of two classes, got \{'size': 4\}"):
        attribute_accuracy(Z, {"size": Y[:, 2]})
    with pytest.raises(Inapplicable, match="Hoyer sparsity needs two latents that vary, got 1 of 2"):
        hoyer(np.c_[Z[:, 0], np.ones(240)])
    with pytest.raises(Inapplicable, match=r"compares unit 'c' with the others, but the units are \('z_0',"):
        mig_unnormalised(posteriors(Z, 1.0), Y)
    for metric in (latent_correlations, total_correlation_gaussian, neighbours):
        with pytest.raises(Inapplicable, match=r"no (continuous )?latent"):
            metric(np.ones((240, 2)), Y)


def test_bad_settings_are_named():
    with pytest.raises(ValueError, match="repeats = 1: an interval needs at least 2"):
        mig(Z, Y, repeats=1)
    with pytest.raises(ValueError, match="seed = -1"):
        generators(-1, 3)
    with pytest.raises(ValueError, match="num_bins = 1"):
        mig(Z, Y, num_bins=1)
    with pytest.raises(ValueError, match="dci: regressor must be 'forest' or 'lasso' or 'boosted', got 'boosting'"):
        dci(Z, Y, regressor="boosting")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="an encoder needs a data set as the second argument, got ndarray"):
        mig(lambda x: x, Y)


def test_a_class_too_rare_for_a_part_of_the_points():
    y = np.zeros(40, int)
    y[0] = 1
    with pytest.raises(ValueError, match="'rare' has one value in 20 of the 40 points"):
        mig(Z[:40], {"rare": y})
    with pytest.raises(ValueError, match="'rare' has one class among 27 training points"):
        sap(Z[:40], {"rare": y})
    with pytest.raises(ValueError, match="'rare' is the same for all 36 training points"):
        attribute_accuracy(Z[:40], {"rare": y}, repeats=60)
