"""Scores without factors: Gaussian Wasserstein correlation, information among codes, and UDR of several models."""

import math
import warnings

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm
from scipy.stats import spearmanr
from sklearn.linear_model import Lasso
from torch.distributions import Independent, Normal, OneHotCategorical

from zoo.lab.data import Dataset
from zoo.metrics import (
    Inapplicable,
    hoyer,
    information_among_codes,
    suite,
    total_correlation_gaussian,
    udr,
    wasserstein_correlation,
    wasserstein_correlation_normed,
)
from zoo.metrics.result import Result
from zoo.metrics.udr import of_similarity
from zoo.metrics.wasserstein import of_covariance


def mixed(seed: int = 0, N: int = 200, D: int = 4) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.standard_normal((N, D)) @ rng.standard_normal((D, D))


# Gaussian Wasserstein correlation.


def test_wasserstein_by_matrix_square_roots():
    # W_2^2 of two centred Gaussians is tr(C + D - 2 (D^1/2 C D^1/2)^1/2)
    z = mixed()
    C = np.cov(z.T)
    D = np.diag(np.diag(C))
    root = sqrtm(np.sqrt(D) @ C @ np.sqrt(D))
    expected = np.trace(C + D - 2 * root).real
    assert float(wasserstein_correlation(z)) == pytest.approx(expected)
    assert float(wasserstein_correlation_normed(z)) == pytest.approx(expected / np.trace(C))
    # the root of C D, as disentanglement_lib takes it, has the same trace
    assert expected == pytest.approx(2 * np.trace(C) - 2 * np.trace(sqrtm(C @ D)).real)


@pytest.mark.parametrize("rho", [-1.0, -0.9, 0.0, 0.5, 1.0])
def test_wasserstein_of_two_latents(rho):
    # eigenvalues 1 + rho and 1 - rho; 0.9 is the case of a public test
    expected = 4 - 2 * (math.sqrt(1 + rho) + math.sqrt(1 - rho))
    assert of_covariance(np.array([[1.0, rho], [rho, 1.0]])) == pytest.approx(expected, abs=1e-12)


def test_wasserstein_of_one_latent_many_times_nears_2():
    # D copies have the eigenvalue D once: (2 D - 2 sqrt D) / D
    z = np.random.default_rng(0).standard_normal((100, 1))
    for D in (1, 4, 100):
        assert float(wasserstein_correlation_normed(np.tile(z, D))) == pytest.approx(2 - 2 / math.sqrt(D), abs=1e-6)


def test_wasserstein_leaves_out_what_is_dead_or_adds_up_to_1():
    z = mixed()
    c = OneHotCategorical(torch.eye(3)[torch.arange(len(z)) % 3])
    found = wasserstein_correlation({"z": np.c_[z, np.ones(len(z))], "c": c})
    assert float(found) == pytest.approx(float(wasserstein_correlation(z)))
    assert found.protocol["dead_latents"] == ["z_4", "c_0", "c_1", "c_2"]
    with pytest.raises(Inapplicable, match=r"Wasserstein correlation: no continuous latent has a standard deviation"):
        wasserstein_correlation({"c": c})
    assert float(wasserstein_correlation(3 * z)) == pytest.approx(9 * float(wasserstein_correlation(z)))
    assert float(wasserstein_correlation_normed(3 * z)) == pytest.approx(float(wasserstein_correlation_normed(z)))


# Information among codes.


def test_information_among_codes_by_a_loop_over_cells():
    z = mixed(D=3)
    bins = np.empty(z.shape, int)
    for d, column in enumerate(z.T):
        bins[:, d] = np.minimum(((column - column.min()) / np.ptp(column) * 5).astype(int), 4)
    total = 0.0
    for d, e in ((0, 1), (0, 2), (1, 2)):
        for a in range(5):
            for b in range(5):
                both = np.mean((bins[:, d] == a) & (bins[:, e] == b))
                if both:
                    total += both * math.log(both / np.mean(bins[:, d] == a) / np.mean(bins[:, e] == b))
    found = information_among_codes(z, num_bins=5)
    assert float(found) == pytest.approx(total / 3)
    assert found.unit == "nats"
    # a dead latent has information about none, and is one of four then: three pairs of six
    assert float(information_among_codes(np.c_[z, np.ones(len(z))], num_bins=5)) == pytest.approx(total / 6)
    with pytest.raises(Inapplicable, match="needs 2 latents"):
        information_among_codes(z[:, :1])


def test_a_latent_that_rounding_alone_moves_has_bins():
    # 20 bins do not fit between two neighbouring numbers, which NumPy's histogram refuses
    z = np.c_[mixed(D=1), 1 + np.spacing(1.0) * (np.arange(200) % 2)]
    assert np.isfinite(float(information_among_codes(z)))


# UDR.


def udr_by_loops(models: list[np.ndarray], similarity: str) -> list[float]:
    """Of each model, by the definition: every latent of every pair of models."""
    standard = [(z - z.mean(0)) / z.std(0) for z in models]
    scores = []
    for i, own in enumerate(standard):
        pairs = []
        for j, other in enumerate(standard):
            if i == j:
                continue
            R = np.empty((other.shape[1], own.shape[1]))
            for b in range(own.shape[1]):
                fitted = Lasso(alpha=0.1).fit(other, own[:, b])
                for a in range(other.shape[1]):
                    R[a, b] = abs(fitted.coef_[a] if similarity == "lasso" else spearmanr(other[:, a], own[:, b])[0])
            total = sum(R[:, b].max() ** 2 / R[:, b].sum() for b in range(R.shape[1]) if R[:, b].sum())
            total += sum(R[a].max() ** 2 / R[a].sum() for a in range(R.shape[0]) if R[a].sum())
            pairs.append(total / (R.shape[0] + R.shape[1]))
        scores.append(float(np.median(pairs)))
    return scores


@pytest.mark.parametrize("similarity", ["lasso", "spearman"])
def test_udr_by_loops(similarity):
    z = mixed()
    rng = np.random.default_rng(1)
    models = [z, z[:, :3] ** 3, z[:, ::-1] + rng.standard_normal(z.shape), rng.standard_normal((200, 2))]
    found = udr(models, similarity=similarity, repeats=2)
    assert found.value.tolist() == pytest.approx(udr_by_loops(models, similarity))
    assert found.axes == (("model 0", "model 1", "model 2", "model 3"),)
    assert found.runs.shape == (2, 4)


def test_udr_of_a_table_of_similarities():
    assert of_similarity(np.eye(3)) == 1.0
    # rows 1/2, 1/2; columns 1, 1/4 + ... by hand: [[1, 1], [0, 0]]: rows 1 / 2 and 0, columns 1 and 1, over 4
    assert of_similarity(np.array([[1.0, 1.0], [0.0, 0.0]])) == pytest.approx((0.5 + 0 + 1 + 1) / 4)
    # a latent too many for one model: it is like none, and lowers the score from 1 to 4 of 5
    assert of_similarity(np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]])) == pytest.approx(4 / 5)
    assert of_similarity(np.empty((0, 2))) == 0.0


def test_udr_does_not_see_order_sign_and_scale_of_latents():
    z = mixed()
    other = z[:, [2, 0, 3, 1]] * [-1.0, 4.0, 0.5, -8.0]
    for similarity in ("lasso", "spearman"):
        here, there = (udr([z, some], similarity=similarity, repeats=2).value for some in (z, other))
        np.testing.assert_allclose(there, here, atol=1e-9)


def test_udr_tells_the_model_that_found_what_no_other_did():
    rng = np.random.default_rng(0)
    z = rng.standard_normal((500, 3))
    turn = np.linalg.qr(rng.standard_normal((3, 3)))[0]
    found = udr({"a": z, "b": -z[:, ::-1], "c": z[:, [1, 2, 0]], "odd": z @ turn}, repeats=2)
    assert found.axes == (("a", "b", "c", "odd"),)
    assert found.value.argmin() == 3
    assert found.value[:3] == pytest.approx([0.9] * 3, abs=0.03)


def test_latents_that_do_not_depend_on_x_do_not_count():
    # beside two latents that are alike in both models, one whose posterior is nearly the prior, with means of noise
    rng = np.random.default_rng(0)
    z = rng.standard_normal((300, 2))

    def model(noise: float) -> Independent:
        means = np.c_[z, noise * rng.standard_normal(300)]
        scale = torch.tensor([0.1, 0.1, 1.0])
        return Independent(Normal(torch.from_numpy(means), scale.expand(300, 3)), 1)

    pruned = udr([model(0.01), model(0.01)], similarity="spearman", repeats=2)
    assert pruned.value == pytest.approx([1.0, 1.0], abs=0.15)
    assert pruned.protocol["informative"] == {"model 0": ["z_0", "z_1"], "model 1": ["z_0", "z_1"]}
    assert pruned.protocol["informative_by"] == {"model 0": "KL", "model 1": "KL"}
    # KL of N(m, 1) from N(0, 1) is m^2 / 2: 0.02 on average for m of standard deviation 0.2, above the 0.01
    kept = udr([model(0.2), model(0.2)], similarity="spearman", repeats=2)
    assert kept.protocol["informative"]["model 0"] == ["z_0", "z_1", "z_2"]
    assert (kept.value < pruned.value - 0.1).all()


def test_a_categorical_is_informative_by_its_kl_from_equal_classes():
    z = np.random.default_rng(0).standard_normal((60, 2))
    sure = torch.eye(3)[torch.arange(60) % 3]
    unsure = 1 / 3 + 0.02 * (sure - 1 / 3)  # a KL of about 0.02^2
    sites = {"z": Independent(Normal(torch.from_numpy(z), 0.1), 1)}
    found = udr([{**sites, "c": OneHotCategorical(c)} for c in (sure, unsure)], repeats=2)
    assert found.protocol["informative"]["model 0"] == ["z_0", "z_1", "c_0", "c_1", "c_2"]
    assert found.protocol["informative"]["model 1"] == ["z_0", "z_1"]


def test_udr_of_encoders_encodes_the_same_points_with_each():
    data = Dataset.from_arrays(np.random.default_rng(0).random((50, 3)))
    seen: list[list[float]] = [[], []]

    def encoder(m):
        def encode(x):
            seen[m] += x[:, 0].tolist()
            return (m + 1) * x

        return encode

    found = udr([encoder(0), encoder(1)], data, num_points=30, similarity="spearman", repeats=2)
    assert seen[0] == seen[1]
    assert len(seen[0]) == 30
    assert found.protocol["num_points"] == 30


def test_models_that_cannot_be_compared():
    z = mixed()
    with pytest.raises(TypeError, match="at least two models, in a list or by name; got ndarray"):
        udr(z)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="at least two models"):
        udr([z])
    with pytest.raises(ValueError, match=r"different numbers of points, \{'model 0': 200, 'model 1': 100\}"):
        udr([z, z[:100]])
    with pytest.raises(ValueError, match="'lasso' or 'spearman', got 'pearson'"):
        udr([z, z], similarity="pearson")  # type: ignore[arg-type]
    with pytest.raises(Inapplicable, match="fewer than two models have an informative latent"):
        udr([z, np.ones((200, 2))])


# Intervals of what is infinite in some runs.


def test_runs_of_which_some_are_infinite():
    result = Result.of("TC", [[1.0, 2.0], [math.inf, 2.0], [3.0, 2.0]], {}, unit="nats", value=[2.0, 2.0])
    assert result.low.tolist() == [1.0, 2.0]
    assert result.high.tolist() == [math.inf, 2.0]


def test_a_total_correlation_that_is_infinite_on_some_halves():
    # the second latent is the first but at one point, which some halves lack
    z = np.random.default_rng(0).standard_normal((40, 1))
    twice = np.c_[z, z]
    twice[0, 1] += 5
    found = total_correlation_gaussian(twice)
    assert np.isfinite(float(found))
    assert not np.isfinite(found.runs).all()
    assert found.high == math.inf
    assert found.low <= found.value


def test_a_latent_that_some_halves_lack_shares_nothing_there():
    # Constant in a half, it is independent of the others: their total correlation alone, and not infinity.
    rng = np.random.default_rng(0)
    pair = rng.standard_normal((20, 2))
    rare = np.c_[pair, np.eye(20)[:, [3]]]
    found = total_correlation_gaussian(rare)
    assert np.isfinite(found.runs).all()
    for repeat, run in enumerate(found.runs):
        half = np.random.default_rng([0, repeat]).permutation(20)[:10]
        if 3 not in half:
            r = np.corrcoef(pair[half].T)[0, 1]
            assert run == pytest.approx(-0.5 * np.log(1 - r**2))


def test_halves_in_which_no_latent_varies():
    # Two of twelve points are not at zero, so that some halves have neither.
    z = np.zeros((12, 2))
    z[0], z[1] = [1, 2], [2, 1]
    missing = [
        not {0, 1} & set(np.random.default_rng([0, repeat]).permutation(12)[:6].tolist()) for repeat in range(10)
    ]
    assert any(missing)
    normed = wasserstein_correlation_normed(z)
    assert normed.runs[missing].tolist() == [0.0] * sum(missing)
    assert np.isfinite(normed.runs).all()
    with pytest.raises(Inapplicable, match="all points of a half are at zero"):
        hoyer(z)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = suite(z, np.arange(12) % 2, progress=False)
    assert "hoyer" in found.inapplicable
    assert np.isfinite(found["total_correlation_gaussian"].runs[~np.array(missing)]).any()
