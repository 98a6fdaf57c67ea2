"""Densities of every family with densities of its units: SciPy's and loops, rows and batches, exact information."""

import math
from functools import cache

import numpy as np
import pyro.distributions as dist
import pytest
import torch
from scipy import stats
from torch.distributions import (
    Beta,
    Categorical,
    Gamma,
    Independent,
    Laplace,
    LogNormal,
    LowRankMultivariateNormal,
    MixtureSameFamily,
    MultivariateNormal,
    Normal,
    StudentT,
)

from tests.pairs import SHAPE
from zoo.lab.data import Dataset
from zoo.metrics import Encoded, Inapplicable, information_about_data, information_about_data_by_latent, mig, udr
from zoo.metrics.densities import draws
from zoo.metrics.sites import sites_of

N, D, K = 12, 3, 2
RNG = np.random.default_rng(0)
LOC, SCALE = RNG.normal(size=(N, D)), RNG.uniform(0.3, 1.0, (N, D))
LOWER = np.tril(RNG.normal(size=(N, D, D)), -1) * 0.5 + np.stack([np.diag(s) for s in SCALE])
FACTOR = RNG.normal(size=(N, D, 1))
SHARES = RNG.dirichlet(np.ones(K), N)
LOCS, SCALES = RNG.normal(size=(N, K, D)), RNG.uniform(0.3, 1.0, (N, K, D))
COV = {
    "full-rank": LOWER @ LOWER.transpose(0, 2, 1),
    "low-rank": FACTOR @ FACTOR.transpose(0, 2, 1) + np.stack([np.diag(s) for s in SCALE**2]),
}


def t(values):
    return torch.from_numpy(np.asarray(values))


FAMILIES = {
    "normal": Independent(Normal(t(LOC), t(SCALE)), 1),
    "laplace": Independent(Laplace(t(LOC), t(SCALE)), 1),
    "student-t": Independent(StudentT(t(5.0), t(LOC), t(SCALE)), 1),
    "log-normal": Independent(LogNormal(t(LOC), t(SCALE)), 1),
    "gamma": Independent(Gamma(t(1 / SCALE), t(SCALE)), 1),
    "beta": Independent(Beta(t(1 / SCALE), t(1 + SCALE)), 1),
    "full-rank": MultivariateNormal(t(LOC), scale_tril=t(LOWER)),
    "low-rank": LowRankMultivariateNormal(t(LOC), t(FACTOR), t(SCALE**2)),
    "mixture": MixtureSameFamily(Categorical(t(SHARES)), Independent(Normal(t(LOCS), t(SCALES)), 1)),
    "pyro's": dist.Laplace(t(LOC), t(SCALE)).to_event(1),
    "not one event": Laplace(t(LOC), t(SCALE)),
}


def joint(name, n, z):
    """log q(z | x_n) by SciPy."""
    if name in COV:
        return stats.multivariate_normal.logpdf(z, LOC[n], COV[name][n])
    if name == "mixture":
        return math.log(sum(SHARES[n, k] * stats.norm.pdf(z, LOCS[n, k], SCALES[n, k]).prod() for k in range(K)))
    return sum(unit(name, n, d, z[d]) for d in range(D))


def unit(name, n, d, z):
    """log q(z_d | x_n) by SciPy."""
    if name == "mixture":
        return math.log(sum(SHARES[n, k] * stats.norm.pdf(z, LOCS[n, k, d], SCALES[n, k, d]) for k in range(K)))
    return by_scipy(name, n, d).logpdf(z)


@cache  # a frozen distribution takes 2 ms to make
def by_scipy(name, n, d):
    """q(z_d | x_n), but for a mixture, which SciPy does not have."""
    loc, scale = LOC[n, d], SCALE[n, d]
    if name in COV:
        return stats.norm(loc, COV[name][n, d, d] ** 0.5)
    return {
        "normal": stats.norm(loc, scale),
        "student-t": stats.t(5.0, loc, scale),
        "log-normal": stats.lognorm(s=scale, scale=math.exp(loc)),
        "gamma": stats.gamma(1 / scale, scale=1 / scale),
        "beta": stats.beta(1 / scale, 1 + scale),
    }.get(name, stats.laplace(loc, scale))


@pytest.mark.parametrize("name", FAMILIES)
def test_densities_of_the_mixture_of_all_posteriors(name):
    drawn = draws(Encoded.of(FAMILIES[name]), 7, 0, 0)
    values = drawn.values["z"].squeeze(1).numpy()
    for s, (row, z) in enumerate(zip(drawn.rows, values, strict=True)):
        assert drawn.own.joint[s] == pytest.approx(joint(name, row, z), rel=1e-9)
        every = [joint(name, n, z) for n in range(N)]
        assert drawn.mixed.joint[s] == pytest.approx(np.logaddexp.reduce(every) - math.log(N), rel=1e-9)
        for d in range(D):
            assert drawn.own.units[s, d] == pytest.approx(unit(name, row, d, z[d]), rel=1e-9)
            one = [unit(name, n, d, z[d]) for n in range(N)]
            assert drawn.mixed.units[s, d] == pytest.approx(np.logaddexp.reduce(one) - math.log(N), rel=1e-9)


@pytest.mark.parametrize("name", FAMILIES)
def test_samples_are_those_of_the_family_and_of_the_seed(name):
    encoded = Encoded.of(FAMILIES[name])
    state = torch.get_rng_state()
    drawn = draws(encoded, 6_000, 3, 1)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(drawn.values["z"], draws(Encoded.of(FAMILIES[name]), 6_000, 3, 1).values["z"])
    values = drawn.values["z"].squeeze(1).numpy()
    for n in range(0, N, 4):
        own = values[drawn.rows == n]
        error = own.std(0) / len(own) ** 0.5
        # Each of 9 means within 4.5 standard errors, which fails once in 16,000 seeds.
        assert (np.abs(own.mean(0) - encoded.codes[n]) < 4.5 * error).all()
        inside = [stats.kstest(own[:, d], lambda z, n=n, d=d: cdf(name, n, d, z)).pvalue for d in range(D)]
        assert min(inside) > 1e-5


def cdf(name, n, d, z):
    if name == "mixture":
        return sum(SHARES[n, k] * stats.norm.cdf(z, LOCS[n, k, d], SCALES[n, k, d]) for k in range(K))
    return by_scipy(name, n, d).cdf(z)


@pytest.mark.parametrize("name", FAMILIES)
def test_batches_of_an_encoder_are_put_together(name):
    family = FAMILIES[name]
    pixels = np.zeros((N, *SHAPE))
    pixels[:, 0, 0, 0] = np.arange(N) / N
    data = Dataset.from_arrays(pixels)

    def encoder(x):
        rows = (x[:, 0, 0, 0] * N).round().long().tolist()
        return Encoded.of(family).sites["z"].at(np.array(rows)).q

    whole, parts = Encoded.of(family), Encoded.of(encoder, data, batch_size=5)
    np.testing.assert_allclose(parts.codes, whole.codes, rtol=1e-12)
    one, other = draws(whole, 9, 0, 0), draws(parts, 9, 0, 0)
    torch.testing.assert_close(one.values["z"], other.values["z"], rtol=1e-12, atol=0)
    torch.testing.assert_close(one.mixed.units, other.mixed.units, rtol=1e-9, atol=0)


@pytest.mark.parametrize("num", [2, N])  # 2 is also the number of shares
def test_what_all_datapoints_share_is_that_of_each(num):
    components = Independent(Normal(t(LOCS[:num]), t(SCALES[:num])), 1)
    cov = t(COV["full-rank"][0])
    pairs = [
        (MixtureSameFamily(Categorical(t(shares)), components) for shares in (SHARES[0], SHARES[:1].repeat(num, 0))),
        (MultivariateNormal(t(LOC[:num]), shared) for shared in (cov, cov.expand(num, D, D))),
    ]
    z = torch.linspace(-1, 1, D, dtype=torch.float64)
    for one, other in pairs:
        found, expected = (sites_of({"z": q})["z"].at(np.arange(num)[::-1].copy()).q.log_prob(z) for q in (one, other))
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=0)
        torch.testing.assert_close(found, other.log_prob(z).flip(0), rtol=1e-12, atol=0)


@pytest.mark.parametrize(
    "family", [Laplace, lambda loc, scale: StudentT(4.0, loc, scale)], ids=["laplace", "student-t"]
)
def test_information_at_its_bounds(family):
    # Posteriors that do not overlap tell which of N datapoints it was; equal ones tell nothing.
    far = t(100.0 * np.arange(40.0)[:, None] + np.zeros((40, 2)))
    apart = Independent(family(far, torch.full_like(far, 1e-3)), 1)
    assert float(information_about_data(apart)) == pytest.approx(math.log(40), abs=1e-6)
    same = Independent(family(torch.zeros(40, 2).double(), torch.ones(40, 2).double()), 1)
    np.testing.assert_allclose(information_about_data_by_latent(same).value, 0.0, atol=1e-12)


def test_student_t_without_a_mean_has_its_median_as_code():
    # Cauchy's, df = 1: the same codes as means alone; where df > 1 the median is the mean.
    y = np.arange(60) % 3
    loc = t(RNG.normal(size=(60, 2)) + y[:, None])
    for df in (0.5, 1.0, 3.0):
        q = Independent(StudentT(df, loc, torch.full_like(loc, 0.1)), 1)
        np.testing.assert_array_equal(Encoded.of(q).codes, loc)
        assert float(mig(q, y, repeats=2)) == float(mig(loc, y, repeats=2))
        assert float(information_about_data(q, repeats=2)) > 0


def test_correlated_units_of_a_full_rank_normal_have_their_total_correlation():
    # TC of one normal with correlation r in two units is -log(1 - r^2) / 2.
    r, num = 0.8, 4_000
    cov = torch.tensor([[1.0, r], [r, 1.0]], dtype=torch.float64).expand(num, 2, 2)
    drawn = draws(Encoded.of(MultivariateNormal(torch.zeros(num, 2).double(), cov)), num, 0, 0)
    each = drawn.mixed.joint - drawn.mixed.units.sum(-1)
    error = each.std().item() / num**0.5
    assert each.mean().item() == pytest.approx(-0.5 * math.log(1 - r**2), abs=4 * error)


def test_udr_knows_which_units_of_a_family_are_the_priors():
    # In both models the first unit is the code, and the second is the prior whatever x is: N(0, 1), but for its mean,
    # which moves by 1e-6, so that it is no constant.
    code = RNG.normal(size=(300, 1))
    noise = 1e-6 * RNG.normal(size=(300, 2))
    models = []
    for k in range(2):
        loc = t(np.hstack([code, noise[:, k : k + 1]]))
        models.append(MultivariateNormal(loc, torch.diag_embed(torch.tensor([0.01, 1.0]).double().expand(300, 2))))
    np.testing.assert_allclose(udr(models, similarity="spearman", repeats=2).value, 1.0)
    # Laplace(0, 0.7) is 0.072 nats from N(0, 1), estimated from draws, and Laplace(code, 0.01) more than 3.
    models = [Independent(Laplace(q.loc, torch.tensor([0.01, 0.7]).double()), 1) for q in models]
    np.testing.assert_allclose(udr(models, similarity="spearman", threshold=0.5, repeats=2).value, 1.0)


@pytest.mark.parametrize("scale", [0.0, -1.0, math.nan, math.inf])
def test_a_scale_that_is_none_is_refused_in_every_family(scale):
    scales = torch.ones(N, D).double()
    scales[3, 1] = scale
    for family, called in ((Normal, "standard deviation"), (Laplace, "scale")):
        q = Independent(family(t(LOC), scales, validate_args=False), 1, validate_args=False)
        with pytest.raises(ValueError, match=rf"the {called} is {scale} at point 3, latent 1; it must be pos"):
            Encoded.of(q)
    several = t(SCALES).clone()
    several[3, 0, 1] = scale
    parts = Independent(Normal(t(LOCS), several, validate_args=False), 1, validate_args=False)
    lower = torch.diag_embed(scales)
    others = [
        (MultivariateNormal(t(LOC), scale_tril=lower, validate_args=False), "diagonal of scale_tril"),
        (MixtureSameFamily(Categorical(t(SHARES)), parts, validate_args=False), "standard deviation"),
    ]
    if not math.isnan(scale):  # of which PyTorch makes none
        others.append((LowRankMultivariateNormal(t(LOC), t(FACTOR / 9), scales, validate_args=False), "cov_diag"))
    for q, said in others:
        place = "component 0, latent 1" if said == "standard deviation" else "latent 1"
        with pytest.raises(ValueError, match=rf"the {said} is {scale} at point 3, {place}; it must be positive and"):
            Encoded.of(q)


def test_a_parameter_that_is_not_finite_is_refused():
    lower, factor = t(LOWER).clone(), t(FACTOR).clone()
    lower[5, 2, 0], factor[5, 2] = math.nan, math.inf
    low_rank = LowRankMultivariateNormal(t(LOC), t(FACTOR), t(SCALE**2))
    low_rank.cov_factor = factor
    for q, message in (
        (MultivariateNormal(t(LOC), scale_tril=lower, validate_args=False), r"the scale_tril is nan at point 5"),
        (low_rank, r"the cov_factor is inf at point 5; it must be finite"),
    ):
        with pytest.raises(ValueError, match=message):
            Encoded.of(q)


def test_a_parameter_that_must_be_positive_is_refused_by_its_name():
    rates = torch.ones(N, D).double()
    rates[3, 1] = -1.0
    with pytest.raises(ValueError, match=r"the rate is -1\.0 at point 3, latent 1; it must be positive and finite"):
        Encoded.of(Independent(Gamma(t(SCALE), rates, validate_args=False), 1, validate_args=False))


def test_a_point_mass_has_codes_and_no_densities():
    encoded = Encoded.of(dist.Delta(t(LOC)).to_event(1))
    np.testing.assert_array_equal(encoded.codes, LOC)
    with pytest.raises(Inapplicable, match=r"needs q\(z \| x\), but site 'z' has only means, or a family without"):
        information_about_data(encoded)
