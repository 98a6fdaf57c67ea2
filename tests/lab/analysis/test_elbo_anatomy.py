"""The anatomy of an ELBO: slow loops, exact small cases, and the estimators beside the exact sum."""

import importlib
import math

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro import poutine
from torch import nn

from guides import Amortized, Concrete, MeanField
from tests.pairs import SHAPE, vae_pair
from zoo.lab.analysis.elbo_anatomy import elbo_anatomy, table
from zoo.lab.data import Dataset

ESTIMATORS = ["stratified", "weighted", "minibatch-stratified", "batch"]


class Story(nn.Module):
    """z ~ Normal(0, I), c ~ uniform Concrete where there is one, x ~ Normal."""

    def __init__(self, size, classes=0):
        super().__init__()
        self.size, self.classes = size, classes
        self.decoder = nn.Linear(size + classes, size)

    def forward(self, x):
        with pyro.plate("data", len(x)):
            code = []
            if self.classes:
                uniform = dist.RelaxedOneHotCategorical(torch.tensor(0.5), logits=torch.zeros(self.classes))
                code = [pyro.sample("c", uniform)]
            code.append(pyro.sample("z", dist.Normal(torch.zeros(self.size), 1).to_event(1)))
            pyro.sample("x", dist.Normal(self.decoder(torch.cat(code, -1)), 1).to_event(1), obs=x.flatten(1))


class Around(nn.Module):
    """q(z | x) = Normal(a x + b, sd): posteriors whose means one sees."""

    def __init__(self, *, sd, a=1.0, b=0.0):
        super().__init__()
        self.a, self.b, self.sd = nn.Parameter(torch.tensor(a)), b, sd

    def forward(self, x):
        with pyro.plate("data", len(x)):
            pyro.sample("z", dist.Normal(self.a * x.flatten(1) + self.b, self.sd).to_event(1))


module = importlib.import_module("zoo.lab.analysis.elbo_anatomy")  # the package exports the function of this name


def points(num, size, **options):
    return Dataset.from_arrays(torch.randn(num, size), **options)


def style_given_type():
    """z depends on c: together they score at the sample's own c, z alone at each datapoint's."""
    guide = Amortized(nn.Linear(2, 6), c=Concrete(3, temperature=0.5), z=MeanField(2, given=("c",)))
    with torch.no_grad():
        guide.layers["z"][0].weight[:2, 6:] *= 20
        guide.layers["c"][0].weight *= 5
    return Story(2, classes=3), guide


# Exact.


@pytest.mark.parametrize("groups", [None, [["c", "z"]]], ids=["apart", "together"])
def test_every_term_against_a_slow_loop(monkeypatch, groups):
    model, guide = style_given_type()
    data = points(11, 2)
    x, N = torch.from_numpy(data.x), 11
    drawn = []

    def spy(model_trace, guide_trace, ours=module._draws):
        drawn.append({**{s: guide_trace.nodes[s]["value"] for s in ("c", "z")}, "x": model_trace.nodes["x"]["value"]})
        return ours(model_trace, guide_trace)

    passes = []

    def spy_on_sites(guide_trace, ours=module.aggregate_sites):
        passes.append(guide_trace.nodes["c"]["value"])
        return ours(guide_trace)

    monkeypatch.setattr(module, "_draws", spy)
    monkeypatch.setattr(module, "aggregate_sites", spy_on_sites)
    # batches of 4, 4 and 3, which a running log-sum-exp has to join
    ours = elbo_anatomy(model, guide, data, num_data=N, groups=groups, num_samples=25, batch_size=4)
    c, z, own_x = (torch.cat([part[s] for part in drawn]) for s in ("c", "z", "x"))
    assert len(z) == 25
    others_c = torch.cat(passes[-3:])  # what the second pass, under which values are scored, drew for each datapoint

    features = guide.trunk(x)
    rows = []
    for i in range(25):
        k = c[i].argmax()
        own = next(n for n in range(N) if torch.equal(x[n], own_x[i]))
        log_c, log_z, alone = [], [], []  # log q(c_i | x_n), log q(z_id | x_n, c_i), log q(z_id | x_n, c_n)
        for n in range(N):
            log_c.append(guide.posterior("c", features[n], {}).logits.log_softmax(-1)[k])
            log_z.append(guide.posterior("z", features[n], {"c": c[i]}).base_dist.log_prob(z[i]))
            alone.append(guide.posterior("z", features[n], {"c": others_c[n]}).base_dist.log_prob(z[i]))
        log_c, log_z, alone = torch.stack(log_c), torch.stack(log_z), torch.stack(alone)
        own_z = guide.posterior("z", features[own], {"c": c[i]}).base_dist.log_prob(z[i])

        def log_mean(log_q):
            return log_q.exp().mean(0).log()

        q, q_c, q_z = log_mean(log_c + log_z.sum(-1)), log_mean(log_c), log_mean(alone.sum(-1))
        q_units = log_mean(alone)
        p_c, p_units = -math.log(3), dist.Normal(0, 1).log_prob(z[i])
        apart = groups is None
        rows.append(
            {
                "reconstruction": dist.Normal(model.decoder(torch.cat([c[i], z[i]])), 1).log_prob(own_x[i]).sum(),
                "mutual_information": log_c[own] + own_z.sum() - q,
                "between": q - q_c - q_z if apart else torch.zeros(()),
                # c is one unit, which has no total correlation within
                "within": torch.stack([q_c - q_c, q_z - q_units.sum()] if apart else [q - q_c - q_units.sum()]),
                "c": (q_c - p_c).reshape(1),
                "z": q_units - p_units,
                "kl": log_c[own] + own_z.sum() - p_c - p_units.sum(),
                "marginal_kl": q - p_c - p_units.sum(),
            }
        )
    for name in rows[0]:
        by_loop = torch.stack([row[name] for row in rows]).detach()
        estimate = {"reconstruction": ours.reconstruction.get("x"), **ours.units}.get(name) or getattr(ours, name)
        torch.testing.assert_close(estimate.mean, by_loop.mean(0), msg=name)
        torch.testing.assert_close(estimate.error, by_loop.std(0) / math.sqrt(25), msg=name)


@pytest.mark.parametrize("estimator", ["exact", *ESTIMATORS])
@pytest.mark.parametrize("groups", [None, [["c", "z"]], [["z"], ["c"]]], ids=["none", "one", "two"])
def test_the_terms_sum_to_the_elbo_of_the_same_draws(estimator, groups):
    model, guide = style_given_type()
    ours = elbo_anatomy(
        model, guide, points(30, 2), num_data=30, groups=groups, estimator=estimator, num_samples=40, batch_size=10
    )
    marginal_kl = ours.between.mean + ours.within.mean.sum() + torch.cat([u.mean for u in ours.units.values()]).sum()
    assert ours.marginal_kl.mean.item() == pytest.approx(marginal_kl.item(), abs=1e-10)
    assert ours.kl.mean.item() == pytest.approx((ours.mutual_information.mean + marginal_kl).item(), abs=1e-10)
    assert ours.elbo.mean.item() == pytest.approx((ours.reconstruction["x"].mean - ours.kl.mean).item(), abs=1e-10)


def test_posteriors_that_do_not_overlap_tell_datapoints_apart():
    # I = log N; q(z) is N narrow normals, so 4 = KL - log N
    data = Dataset.from_arrays(torch.arange(6.0).unsqueeze(1))
    ours = elbo_anatomy(Story(1), Around(sd=0.01), data, num_data=6, num_samples=12)
    assert ours.mutual_information.mean.item() == pytest.approx(math.log(6))
    assert ours.mutual_information.error.item() == pytest.approx(0, abs=1e-12)
    assert ours.marginal_kl.mean.item() == pytest.approx(ours.kl.mean.item() - math.log(6))


def test_posteriors_that_are_the_prior_tell_nothing():
    ours = elbo_anatomy(Story(2), Around(sd=1.0, a=0.0), points(6, 2), num_data=6, num_samples=12)
    for term in (ours.mutual_information, ours.between, ours.within, ours.units["z"], ours.kl):
        torch.testing.assert_close(term.mean, torch.zeros_like(term.mean), rtol=0, atol=1e-12)


def test_the_standard_error_is_that_of_a_mean():
    # q = Normal(3, 1) for all: log q - log p = 3 z - 9/2 with z ~ Normal(3, 1) has the mean 9/2 and the sd 3
    ours = elbo_anatomy(Story(1), Around(sd=1.0, a=0.0, b=3.0), points(5, 1), num_data=5, num_samples=4000)
    assert ours.kl.error.item() == pytest.approx(3 / math.sqrt(4000), rel=0.05)
    assert abs(ours.kl.mean.item() - 4.5) < 4 * ours.kl.error.item()


def test_datapoints_are_drawn_without_replacement_as_long_as_there_are_some(monkeypatch):
    seen = []

    def spy(model_trace, guide_trace, ours=module._draws):
        seen.extend(model_trace.nodes["x"]["value"].flatten().tolist())
        return ours(model_trace, guide_trace)

    monkeypatch.setattr(module, "_draws", spy)
    data = Dataset.from_arrays(torch.arange(7.0).unsqueeze(1))
    times = {}
    for num_samples in (4, 17):
        seen.clear()
        elbo_anatomy(Story(1), Around(sd=0.1), data, num_data=7, num_samples=num_samples, batch_size=3)
        times[num_samples] = sorted(seen.count(x) for x in range(7))
    assert times == {4: [0, 0, 0, 1, 1, 1, 1], 17: [2, 2, 2, 2, 3, 3, 3]}


def test_a_set_that_is_binarised_anew_each_time_is_one_set_here():
    # Both passes must see the same pixels: else no posterior would be the draw's own, and I far above log N.
    grey = np.full((9, 1, 1, 30), 128, np.uint8)
    data = Dataset("grey", grey, dynamic=True)
    ours = elbo_anatomy(Story(30), Around(sd=0.01), data, num_data=9, num_samples=9, batch_size=4)
    assert ours.mutual_information.mean.item() == pytest.approx(math.log(9))


# Estimators beside the exact sum.


def test_a_gaussian_set_has_the_terms_of_its_closed_form_and_estimators_come_near():
    # x ~ Normal(0, A), q(z | x) = Normal(x, s^2), so q(z) = Normal(0, C) with C = A + s^2 as N grows
    s = 0.5
    A = torch.tensor([[1.0, 0.8], [0.8, 1.0]])
    C = A + s**2 * torch.eye(2)
    information = 0.5 * torch.logdet(C) - 2 * math.log(s)
    correlation = -0.5 * torch.log(torch.linalg.det(C) / C.diagonal().prod())
    units = 0.5 * (C.diagonal() - 1 - C.diagonal().log())
    data = Dataset.from_arrays(torch.randn(2000, 2) @ torch.linalg.cholesky(A).mT)
    pair = Story(2), Around(sd=s)
    for estimator in ("exact", "stratified", "minibatch-stratified", "batch"):
        ours = elbo_anatomy(*pair, data, num_data=2000, estimator=estimator, num_samples=2000, batch_size=400)
        # 2,000 draws: standard errors of about 0.03; B = 400: the log of a mean of 400 is low by about as much
        assert ours.mutual_information.mean.item() == pytest.approx(information.item(), abs=0.08), estimator
        assert ours.within.mean.item() == pytest.approx(correlation.item(), abs=0.08), estimator
        assert ours.units["z"].mean.tolist() == pytest.approx(units.tolist(), abs=0.08), estimator


def test_weighted_differs_from_batch_by_its_constants():
    # Its weights are 1 / (N B) where the batch has 1 / B: log q is log N lower, for z and for every unit alike.
    data, N = points(40, 3), 40
    pair = Story(3), Around(sd=0.5)
    batch, weighted = (
        elbo_anatomy(*pair, data, num_data=N, estimator=estimator, batch_size=10) for estimator in ("batch", "weighted")
    )
    rise = (weighted.mutual_information.mean - batch.mutual_information.mean).item()
    assert rise == pytest.approx(math.log(N))
    assert (weighted.within.mean - batch.within.mean).item() == pytest.approx(2 * math.log(N))  # (D - 1) log N
    torch.testing.assert_close(weighted.units["z"].mean, batch.units["z"].mean - math.log(N))


def test_one_batch_of_all_the_data_is_the_exact_sum():
    # (minibatch-stratified still gives two of the others unequal weights)
    data, pair = points(12, 2), (Story(2), Around(sd=0.5))
    ours, same = (
        elbo_anatomy(*pair, data, num_data=12, estimator=estimator, batch_size=12)
        for estimator in ("stratified", "batch")
    )
    for term in ("mutual_information", "within", "marginal_kl"):
        torch.testing.assert_close(getattr(ours, term).mean, getattr(same, term).mean)
    exact = elbo_anatomy(*pair, data, num_data=12, num_samples=20_000)
    assert ours.num_draws == 12
    assert math.isnan(ours.kl.error)  # one batch has no spread
    # 12 draws of log q(z | x) - log q(z), whose spread the exact sum's 20,000 tell
    spread = exact.mutual_information.error.item() * math.sqrt(20_000 / 12)
    assert abs(ours.mutual_information.mean - exact.mutual_information.mean) < 4 * spread


# What is left behind, what is printed, what is refused.


@pytest.mark.parametrize("estimator", ["exact", "stratified"])
def test_it_leaves_mode_random_state_and_store_and_depends_on_the_seed_alone(estimator):
    model, guide = vae_pair()
    data = Dataset("noise", np.random.default_rng(0).integers(0, 256, (23, *SHAPE), dtype=np.uint8))
    model.train(), guide.eval()
    state, stored = torch.get_rng_state(), set(pyro.get_param_store())
    first, again, other = (
        elbo_anatomy(model, guide, data, num_data=23, estimator=estimator, num_samples=20, batch_size=10, seed=seed)
        for seed in (0, 0, 1)
    )
    assert torch.equal(torch.get_rng_state(), state)
    assert set(pyro.get_param_store()) == stored
    assert (model.training, guide.training) == (True, False)
    assert first.elbo.mean == again.elbo.mean != other.elbo.mean


def test_the_table_has_a_line_per_term_group_and_unit():
    model, guide = style_given_type()
    ours = elbo_anatomy(model, guide, points(30, 2), num_data=30, num_samples=40)
    text = table(ours)
    assert "means of 40 draws; q(z) summed over all 30 datapoints" in text
    lines = {line[:8].strip() + " " + line[8:38].strip(): line[38:].split() for line in text.splitlines()[4:]}
    assert list(lines) == [
        "1+3 E[log p(x | ...)]",
        "-2 I(x; z), of log N = 3.401",
        "-4 KL(q(z) || p(z))",
        "-A TC between groups",
        "-i TC within c",
        "-i TC within z",
        "-ii KL(q || p) of c",
        "-ii KL(q || p) of z[0]",
        "-ii KL(q || p) of z[1]",
        "ELBO ",
    ]
    assert lines["-ii KL(q || p) of z[1]"] == [f"{e[1]:.3f}" for e in ours.units["z"]]
    assert lines["ELBO "] == [f"{e:.3f}" for e in ours.elbo]
    assert "-0.000" not in text


class Hiding(nn.Module):
    """z looks at c, and does not say so."""

    def __init__(self):
        super().__init__()
        self.c, self.z = nn.Linear(2, 3), nn.Linear(3, 2)

    def forward(self, x):
        with pyro.plate("data", len(x)):
            c = pyro.sample("c", dist.RelaxedOneHotCategorical(torch.tensor(0.5), logits=self.c(x)))
            pyro.sample("z", dist.Normal(self.z(c), 1).to_event(1))


class Outside(Story):
    """Observes something that is no datapoint's."""

    def forward(self, x):
        super().forward(x)
        pyro.sample("w", dist.Normal(0.0, 1.0), obs=torch.tensor(1.0))


@pytest.mark.parametrize(
    ("pair", "options", "message"),
    [
        (None, {"estimator": "mws"}, "estimator must be 'exact' or 'stratified' or 'weighted'"),
        (None, {"num_data": 50}, "num_data = 50, but data 'yours' has 9: an exact q"),
        (None, {"num_samples": 1}, "num_samples must be from 2 to 1,000,000,000, got 1"),
        (None, {"estimator": "batch", "batch_size": 10}, "a batch of 10 out of 9 datapoints"),
        (None, {"estimator": "stratified", "batch_size": 5, "num_data": 4}, "num_data = 4 is less than the batch of 5"),
        (None, {"groups": [["w"]]}, r"left out: \['z'\]; unknown: \['w'\]"),
        ((Story(2, classes=3), Around(sd=1.0)), {}, r"the guide has no site \['c'\]"),
        ((Story(2, classes=3), Hiding()), {}, "site 'z' depends on 'c' without infer"),
        ((Outside(2), Around(sd=1.0)), {}, "observed site 'w' is not in the plate 'data'"),
    ],
)
def test_bad_input_is_refused(pair, options, message):
    model, guide = pair or (Story(2), Around(sd=1.0))
    model.double(), guide.double()
    with pytest.raises(ValueError, match=message):
        elbo_anatomy(model, guide, points(9, 2), **{"num_data": 9, **options})
    assert model.training  # also when it ends in an error


def test_a_mask_is_refused():
    model, guide = vae_pair()
    data = Dataset("noise", np.random.default_rng(0).integers(0, 256, (23, *SHAPE), dtype=np.uint8))

    class Masked(nn.Module):
        def __init__(self, pair):
            super().__init__()
            self.pair = pair

        def forward(self, x):
            with poutine.mask(mask=torch.arange(len(x)) < 1):
                return self.pair(x)

    with pytest.raises(ValueError, match="site 'z' has a mask"):
        elbo_anatomy(Masked(model), Masked(guide), data, num_data=23)
