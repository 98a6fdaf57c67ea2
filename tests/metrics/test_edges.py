"""Metrics at their edges: the protocols that the papers' numbers depend on, and the smallest cases by hand."""

import inspect
from functools import partial

import numpy as np
import pyro.distributions as dist
import pytest
import torch

from zoo import metrics
from zoo.metrics.circular import as_angle

THIRD = 1 / 3
# What a metric does unless it is told otherwise is what its numbers in the literature were computed with.
PROTOCOLS = {
    # disentanglement_lib (arXiv:1811.12359): 20 bins; a lasso, forests and boosted trees; a third of the points to test
    "mig": {"num_bins": 20},
    "modularity": {"num_bins": 20},
    "information_among_codes": {"num_bins": 20},
    "information_of_means": {"num_bins": 20},
    "explicitness": {"test_share": THIRD},
    "sap": {"C": 0.01, "test_share": THIRD, "classifier": "thresholds", "continuous": False},
    # Eastwood & Williams 2018: the lasso's weight, and the depths from which the forest's is chosen
    "dci": {"alpha": 0.02, "max_depths": (4, 8, 12)},
    # Chen 2018 (arXiv:1802.04942): samples of the aggregate posterior
    **{name: {"num_samples": 500} for name in ("mig_aggregate", "mig_unnormalised", "total_correlation")},
    **{f"information_about_{of}": {"num_samples": 500} for of in ("data", "data_by_latent", "factors")},
    # Kim & Mnih 2018 (arXiv:1802.05983), Higgins 2017, Kumar 2018 (arXiv:1711.00848)
    "factor_vae": {"num_points": 64, "num_train": 10_000, "num_eval": 5_000, "prune": 0.05},
    "higgins_logistic": {"num_pairs": 64, "num_train": 10_000, "num_eval": 5_000},
    "higgins_svm": {"num_pairs": 64, "num_train": 10_000, "num_eval": 5_000, "C": 0.01},
    "attribute_accuracy": {"test_share": 0.1},
    # Suter 2019 (arXiv:1811.00007), Duan 2020 (arXiv:1905.12614)
    "irs": {"quantile": 0.99, "prune": 0.0},
    "udr": {"similarity": "lasso", "alpha": 0.1, "threshold": 0.01, "num_points": 10_000},
    # nothing but constant latents is left out
    **{name: {"prune": 0.0} for name in ("hoyer", "latent_correlations", "factor_correlations")},
    **{name: {"prune": 0.0} for name in ("total_correlation_gaussian", "wasserstein_correlation")},
    "wasserstein_correlation_normed": {"prune": 0.0},
    "perplexity": {"per": "document"},
    "npmi": {},
    "neighbours": {},
    "clusters": {},
    "suite": {"num_points": 10_000, "batch_size": 500, "slow": False},
}


@pytest.mark.parametrize("name", PROTOCOLS)
def test_a_metric_keeps_to_its_protocol_unless_told_otherwise(name):
    takes = inspect.signature(getattr(metrics, name)).parameters
    defaults = {key: parameter.default for key, parameter in takes.items()}
    assert {key: defaults[key] for key in PROTOCOLS[name]} == PROTOCOLS[name]
    assert (defaults["seed"], defaults["repeats"]) == (0, 10)


def test_every_metric_with_repeats_has_a_protocol_here():
    functions = {name for name in metrics.__all__ if inspect.isfunction(getattr(metrics, name))}
    repeated = {name for name in functions if "repeats" in inspect.signature(getattr(metrics, name)).parameters}
    assert repeated == set(PROTOCOLS)


# A run of a metric without random draws is on a random half of the points.

RANDOM = np.random.default_rng(0)
CODES, FACTORS = RANDOM.standard_normal((300, 3)), RANDOM.integers(3, size=(300, 2))
ON_HALVES = {
    "mig": (CODES, FACTORS),
    "modularity": (CODES, FACTORS),
    "irs": (CODES, FACTORS),
    "information_among_codes": (CODES,),
    "information_of_means": (CODES, FACTORS),
    "hoyer": (CODES,),
    "latent_correlations": (CODES,),
    "factor_correlations": (CODES, FACTORS),
    "total_correlation_gaussian": (CODES,),
    "wasserstein_correlation": (CODES,),
    "wasserstein_correlation_normed": (CODES,),
}


@pytest.mark.parametrize("name", ON_HALVES)
def test_runs_are_on_halves_and_the_value_is_of_all_points(name):
    metric, given = getattr(metrics, name), ON_HALVES[name]
    result = metric(*given, repeats=4)
    assert result.protocol["a run"] == "a random half of the points; the value is of all"
    assert len({run.tobytes() for run in result.runs}) == 4  # every half is another one
    other = metric(*given, repeats=4, seed=1)
    np.testing.assert_array_equal(other.value, result.value)
    assert not np.array_equal(other.runs, result.runs)
    # Twice the same points: the value may change by the N - 1 of a variance, and no more.
    twice = metric(*(np.concatenate([part, part]) for part in given), repeats=2)
    np.testing.assert_allclose(twice.value, result.value, rtol=2e-2, atol=1e-9)


# The smallest settings that are allowed, and the next that are not.

Y = np.array([[a, b] for a in range(3) for b in range(3)] * 12)
Z = (Y + 0.1 * RANDOM.standard_normal(Y.shape)) @ np.array([[1.0, 0.2], [-0.3, 1.0]])
QUICK = {"repeats": 2}


@pytest.mark.parametrize(
    ("score", "setting", "least"),
    [
        (lambda **s: metrics.factor_vae(Z, Y, **{"num_train": 9, "num_eval": 9, **s}), "num_points", 2),
        (lambda **s: metrics.factor_vae(Z, Y, **{"num_points": 9, "num_eval": 9, **s}), "num_train", 1),
        (lambda **s: metrics.factor_vae(Z, Y, **{"num_points": 9, "num_train": 9, **s}), "num_eval", 0),
        (lambda **s: metrics.higgins_logistic(Z, Y, **{"num_train": 40, "num_eval": 9, **s}), "num_pairs", 1),
        (lambda **s: metrics.higgins_logistic(Z, Y, **{"num_pairs": 9, "num_train": 40, **s}), "num_eval", 1),
        (lambda **s: metrics.mig(Z, Y, **s), "num_bins", 2),
        (lambda **s: metrics.hoyer(Z, **s), "repeats", 2),
        (lambda **s: metrics.hoyer(Z, **s), "seed", 0),
        (lambda **s: metrics.irs(Z, Y, **s), "quantile", 0),
    ],
)
def test_a_setting_has_a_smallest_value(score, setting, least):
    score(**{**QUICK, setting: least})
    with pytest.raises(
        ValueError, match=rf"{setting} must be from {least} to [\d,]+, got {least - 1}|{setting} = {least - 1}"
    ):
        score(**{**QUICK, setting: least - 1})


@pytest.mark.parametrize(
    ("nats", "words", "message"),
    [
        ([3.0], [1.0], r"N >= 2, got \(1,\) and \(1,\)"),
        ([3.0, 2.0], [1.0], r"N >= 2, got \(2,\) and \(1,\)"),
        ([[3.0], [2.0]], [[1.0], [1.0]], "N >= 2"),
        ([3.0, 2.0], [1.0, 0.0], "document 1 has no words"),
        ([np.inf, 2.0], [1.0, 1.0], "document 0 has inf nats"),
    ],
)
def test_perplexity_needs_two_documents_with_words(nats, words, message):
    assert float(metrics.perplexity([np.log(4.0), 2 * np.log(9.0)], [1, 2], repeats=2)) == pytest.approx(6.0)  # 4 x 9
    with pytest.raises(ValueError, match=message):
        metrics.perplexity(nats, words)


@pytest.mark.parametrize(
    ("topics", "documents", "message"),
    [
        ([[0]], np.eye(3), "topics must be columns of words"),
        ([0, 1], np.eye(3), "topics must be columns of words"),
        ([[0.0, 1.0]], np.eye(3), "topics must be columns of words"),
        ([[0, 1]], np.eye(3)[:1], "a reference corpus of 1 documents"),
        ([[0, 3]], np.eye(3), "the documents have the columns 0 to 2"),
        ([[-1, 1]], np.eye(3), "topics name the words -1 to 1"),
        ([[1, 1]], np.eye(3), "topic 0 names a word twice"),
    ],
)
def test_coherence_needs_topics_of_the_documents_words(topics, documents, message):
    with pytest.raises(ValueError, match=message):
        metrics.npmi(topics, documents)


POSTERIORS = dist.Normal(torch.as_tensor(Z), 0.5).to_event(1)
UNITS = {
    "nats": {
        "information_about_data": (POSTERIORS,),
        "information_about_data_by_latent": (POSTERIORS,),
        "information_about_factors": (POSTERIORS, Y),
        "information_among_codes": (Z,),
        "information_of_means": (Z, Y),
        "total_correlation": (POSTERIORS,),
        "total_correlation_gaussian": (Z,),
    },
    "score": {"mig": (Z, Y), "mig_aggregate": (POSTERIORS, Y), "modularity": (Z, Y), "irs": (Z, Y), "hoyer": (Z,)},
    "correlation": {"latent_correlations": (Z,), "factor_correlations": (Z, Y)},
    "variance": {"wasserstein_correlation": (Z,)},
    "ratio": {"wasserstein_correlation_normed": (Z,)},
}


@pytest.mark.parametrize(("unit", "name"), [(unit, name) for unit, names in UNITS.items() for name in names])
def test_a_result_says_its_unit(unit, name):
    settings = {"num_samples": 5} if "num_samples" in PROTOCOLS[name] else {}
    assert getattr(metrics, name)(*UNITS[unit][name], repeats=2, **settings).unit == unit


def test_information_of_two_sites_is_of_the_pair():
    # 16 datapoints as a 4 x 4 grid, far apart for their width: each site tells 4 rows or columns apart, log 4 nats, and
    # both together all 16 datapoints, log 16. A categorical that is certain counts like a normal that is narrow.
    grid = torch.cartesian_prod(torch.arange(4.0), torch.arange(4.0))
    narrow = {site: dist.Normal(grid[:, [d]], 1e-3).to_event(1) for d, site in enumerate("ab")}
    certain = {**narrow, "b": dist.OneHotCategorical(torch.eye(4)[grid[:, 1].long()])}
    for codes in (narrow, certain):
        assert float(metrics.information_about_data(codes, repeats=2)) == pytest.approx(np.log(16))
        by_latent = metrics.information_about_data_by_latent(codes, repeats=2)
        assert by_latent.value.tolist() == pytest.approx([np.log(4)] * 2)
        # Rows and columns are independent of each other.
        assert float(metrics.total_correlation(codes, repeats=2)) == pytest.approx(0, abs=1e-9)


def test_ranks_lie_in_the_middle_of_equal_parts_of_the_circle():
    # Three values: the circle in thirds, each rank in the middle of its own.
    third = 2 * np.pi / 3
    np.testing.assert_allclose(as_angle(np.array([10.0, 30.0, 20.0])), [0.5 * third, 2.5 * third, 1.5 * third])


VALID = {"regressor": "lasso", "models": []}  # where None would be refused first


@pytest.mark.parametrize("name", PROTOCOLS)
def test_a_metric_checks_its_arguments_before_it_measures(name):
    """The codes are None or empty, which a metric would refuse by another message once it begins."""
    metric = getattr(metrics, name)
    required = [p.name for p in inspect.signature(metric).parameters.values() if p.default is p.empty]
    given = dict.fromkeys(required) | {key: value for key, value in VALID.items() if key in required}
    with pytest.raises(TypeError, match=rf"^{name}: repeats must be .*, got '10'"):
        metric(**given, repeats="10")


# Classes with few points.


def with_few_points(num_classes: int, each: int) -> np.ndarray:
    """Two factors: one of `num_classes` classes with `each` points, and one of two classes in turn."""
    n = np.arange(num_classes * each)
    return np.stack([n // each, n % 2], axis=1)


@pytest.mark.parametrize("metric", [partial(metrics.higgins_svm, C=10.0), metrics.higgins_logistic])
def test_pairs_of_one_point_twice_are_noticed(metric):
    # Of a class with n points, one pair in n is a point and itself, whose difference is 0. Where that is half of the
    # pairs, pure noise tells the factors apart, and scores 1 where chance is 1/2.
    settings = {"num_train": 200, "num_eval": 200, "repeats": 2}
    rng = np.random.default_rng(0)
    few, many = with_few_points(60, 2), with_few_points(2, 150)
    noise = rng.standard_normal((300, 10))
    found = metric(noise[:120], few, **settings)
    assert float(found) > 0.9
    assert found.caveat == "may be too high: 50% of a factor's pairs are one point twice"
    assert metric(noise, many, **settings).caveat == ""
    lonely = np.c_[np.r_[0, 1, 1, 2, 2, [1, 2] * 10], np.r_[0, 1, 0, 1, 0, [0, 1] * 10]]
    # classes of 1, 12 and 12 points: (1 + 1/12 + 1/12) / 3 of the pairs
    assert metric(noise[:25], lonely, **settings).caveat.startswith("may be too high: 39% ")


@pytest.mark.parametrize("metric", [metrics.higgins_svm, metrics.higgins_logistic])
def test_every_factor_needs_a_vote(metric):
    with pytest.raises(ValueError, match=r"num_train = 1: no vote is for the factor 'factor [01]'; give more"):
        metric(np.eye(40), with_few_points(2, 20), num_train=1, num_eval=5, repeats=2)


def test_classes_of_one_point_are_noticed_by_the_vote():
    # No latent varies in a class of one point: the vote is from the first, so the order of the latents matters.
    settings = {"num_train": 100, "num_eval": 0, "prune": 0.0, "repeats": 2}
    y = with_few_points(2, 20)
    y[:5, 0] = np.arange(5) + 2
    found = metrics.factor_vae(y + 0.0, y, **settings)
    assert found.caveat == "means little: 5 of 9 classes have one point"
    assert metrics.factor_vae(y + 0.0, with_few_points(2, 20), **settings).caveat == ""


def test_latents_of_two_sites_have_names_of_their_own():
    # The unit of z and the categorical were both z_1, and mig_unnormalised(unit="z_1") was that of the first.
    y = np.arange(40) % 2
    z, c = np.random.default_rng(0).standard_normal((40, 2)), dist.OneHotCategorical(torch.eye(2)[y])
    with pytest.raises(ValueError, match="sites 'z' and 'z_1' both have a latent 'z_1'"):
        metrics.Encoded.of({"z": z, "z_1": c}, y)
    with pytest.raises(ValueError, match="sites 'z_0' and 'z' both have a latent 'z_0'"):
        metrics.Encoded.of({"z_0": c, "z": z}, y)
    assert metrics.Encoded.of({"z": z, "z_1": z, "z_2": c}, y).units == ("z_0", "z_1", "z_1_0", "z_1_1", "z_2")
