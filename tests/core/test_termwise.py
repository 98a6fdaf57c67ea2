"""What all objectives have in common: their order, their state, what may be assigned, and what may not be made."""

import copy
import math
import pickle
import re
from abc import ABCMeta

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro import poutine
from torch import Tensor, nn

import zoo.elbos
from guides import Amortized, Concrete, ConjugateDirichlet, DirichletHead, Exact, MeanField
from tests.objectives import EVERY
from tests.pairs import NUM_DATA, cvae_pair, images, joint_pair, vae_pair
from tests.type_pairs import pair as type_pair
from zoo import JointVAE, NaturalClustering
from zoo.elbos import (
    DIPVAE,
    DIPVAEI,
    DIPVAEII,
    HFVAE,
    OBJECTIVES,
    AnchoredCorEx,
    BetaVAE,
    Capacity,
    Decomposition,
    FactorVAE,
    InfoVAE,
    NaturalClusteringELBO,
    PlainELBO,
    TermwiseELBO,
    TypeInformation,
)
from zoo.hyperparameters import Hyperparameter
from zoo.lab.data import Batch
from zoo.lab.networks import MLPDecoder
from zoo.lab.training import compiled
from zoo.lab.training.fit import fit
from zoo.likelihoods import bernoulli
from zoo.terms import elbo_terms


def test_the_objectives_are_all_there_in_the_order_of_the_page():
    on_the_page = [c for c in vars(zoo.elbos).values() if type(c) is ABCMeta and issubclass(c, TermwiseELBO)]
    assert [c for c in on_the_page if c is not TermwiseELBO] == list(OBJECTIVES)


# Every class is final.


def test_an_objective_of_an_objective_is_refused_where_it_is_made():
    # It lost beta from its state: 5 after loading where 2 was saved.
    with pytest.raises(TypeError, match=r"Warm inherits from BetaVAE.*TermwiseELBO alone.*elbo_terms"):
        type("Warm", (BetaVAE,), {})


def test_a_mixin_would_keep_its_hyperparameters_to_itself_and_is_refused():
    class Weighted:
        weight = Hyperparameter()

    with pytest.raises(TypeError, match=r"Mine inherits from Weighted, TermwiseELBO"):
        type("Mine", (Weighted, TermwiseELBO), {"terms": lambda self, m, g: {}})


class Mine(TermwiseELBO):
    """A user's own, which knows no `kl`."""

    weight = Hyperparameter()

    def __init__(self):
        super().__init__()
        self.weight = 2.0

    def terms(self, model_trace, guide_trace):
        return elbo_terms(model_trace, guide_trace, self.weight)


def test_an_objective_of_ones_own_keeps_its_state():
    saved, loaded = Mine(), Mine()
    saved.weight = 5.0
    loaded.load_state_dict(saved.state_dict())
    assert loaded.weight.item() == 5.0


EMPTY = [
    lambda: BetaVAE(beta={}),
    lambda: TypeInformation(gamma={}, capacity={}, information=1.0, balance=1.0, smoothness=1.0),
]


@pytest.mark.parametrize("make", EMPTY)
@pytest.mark.parametrize("compile", [False, True])
def test_an_objective_without_a_weight_of_its_own_for_any_site_trains(make, compile, monkeypatch):
    monkeypatch.setattr(compiled.torch, "compile", lambda graph, **options: graph)
    model, guide = joint_pair()
    batches = [Batch(images(), None, torch.arange(11))] * 2
    (_, first), (_, last) = fit(model, guide, make(), batches, lr=1e-3, compile=compile)
    assert last.terms.keys() == first.terms.keys()
    assert last.loss != first.loss


@pytest.mark.parametrize("make", EMPTY)
def test_an_empty_mapping_is_saved_and_loaded(make):
    saved, loaded = make(), make()
    loaded.load_state_dict(saved.state_dict())
    name = "beta" if isinstance(saved, BetaVAE) else "gamma"
    assert getattr(loaded, name) == {}


def test_a_state_that_lacks_a_number_changes_none():
    elbo = HFVAE(alpha=1.0, beta=2.0, gamma=3.0, num_data=9)
    with pytest.raises(ValueError, match="the state has no 'gamma', which HFVAE needs"):
        elbo.load_state_dict({"alpha": torch.tensor(5.0), "beta": torch.tensor(5.0)})
    assert (elbo.alpha.item(), elbo.beta.item()) == (1.0, 2.0)


# What an objective of one's own returns.


class Returning(TermwiseELBO):
    """Returns what it is made with."""

    def __init__(self, made):
        super().__init__()
        self.made = made

    def terms(self, model_trace, guide_trace):
        return self.made


@pytest.mark.parametrize(
    ("made", "said"),
    [
        ({"log p": torch.zeros(6)}, r"has Tensor of torch.float32 \[6\] for 'log p'"),  # was summed over the batch
        ({"a": torch.zeros(()), "b": torch.zeros(2)}, r"has Tensor of torch.float32 \[2\] for 'b'"),
        ({"log p": -1.5}, "has -1.5 for 'log p'"),
        ({}, r"returned \{\}"),
        (torch.zeros(()), r"returned Tensor of torch.float32 \[\]"),
        (None, "returned None"),
    ],
)
def test_terms_are_numbers_by_name(made, said):
    with pytest.raises(
        ValueError, match=rf"^Returning.terms\(\) must return one or more 0-dim tensors by name.*{said}"
    ):
        Returning(made).loss(*vae_pair(), images())


# What is assigned after an objective was made.


def loss_of(elbo, pair, *args, seed=1, **kwargs):
    pyro.set_rng_seed(seed)
    return elbo.loss(*pair, *args, **kwargs)


@pytest.mark.parametrize(("first", "then"), [(1, 3), (3, 1), (3, 5)])
def test_num_particles_may_be_assigned(first, then):
    pair, x = vae_pair(), images()
    elbo = PlainELBO(num_particles=first)
    loss_of(elbo, pair, x)
    elbo.num_particles = then
    assert loss_of(elbo, pair, x) == loss_of(PlainELBO(num_particles=then), pair, x)
    with pytest.raises(ValueError, match="num_particles must be a whole number of at least 1, got 0"):
        elbo.num_particles = 0


@pytest.mark.parametrize("wrong", [0, 1.5, True, "3"])
def test_a_number_of_particles_is_a_whole_one(wrong):
    with pytest.raises(ValueError, match=r"num_particles must be a whole number( of at least 1)?, got"):
        PlainELBO(num_particles=wrong)


def test_kl_is_looked_at_where_it_is_assigned():
    pair, x = vae_pair(), images()
    elbo = PlainELBO()
    elbo.kl = "sampled"
    assert loss_of(elbo, pair, x) == loss_of(PlainELBO(kl="sampled"), pair, x)
    with pytest.raises(ValueError, match="kl must be 'closed' or 'sampled', got 'smapled'"):
        elbo.kl = "smapled"
    with pytest.raises(ValueError, match=r"kl must be 'closed' or 'sampled', got \{'z': 'both'\}"):
        elbo.kl = {"z": "both"}
    with pytest.raises(ValueError, match=r"kl names \['zz'\]; the guide has the latent sites \['z'\]"):
        PlainELBO(kl={"zz": "sampled"}).loss(*pair, x)


def test_what_is_by_site_is_assigned_whole():
    # An entry that is set in place would be looked at by nobody.
    elbo = BetaVAE(beta={"z": 2.0}, kl={"z": "closed"})
    for by_site, value in ((elbo.beta, -1.0), (elbo.kl, "smapled")):
        with pytest.raises(TypeError, match="does not support item assignment"):
            by_site["z"] = value
    assert copy.deepcopy(elbo).state_dict() == elbo.state_dict()


@pytest.mark.parametrize(
    "assign",
    [
        lambda elbo: setattr(elbo, "kl", "sampled"),
        lambda elbo: setattr(elbo, "num_particles", 3),
        lambda elbo: setattr(elbo, "estimator", "weighted"),
        lambda elbo: setattr(elbo, "groups", [["c", "z"]]),
    ],
    ids=["kl", "num_particles", "estimator", "groups"],
)
def test_a_compiled_step_sees_what_is_assigned(assign, monkeypatch):
    monkeypatch.setattr(compiled.torch, "compile", lambda graph, **options: graph)
    curves = []
    for compile in (False, True):
        model, guide = type_pair(lambda size: Concrete(size, temperature=0.67))
        elbo = HFVAE(alpha=1.0, beta=2.0, gamma=3.0, num_data=NUM_DATA)
        pyro.set_rng_seed(2)
        x = images(NUM_DATA)
        steps = fit(model, guide, elbo, [Batch(x, None, torch.arange(NUM_DATA))] * 4, lr=1e-2, compile=compile)
        losses = []
        for step, report in steps:
            losses.append((report.loss.item(), report.kl["z"].sum().item()))
            if step == 2:
                assign(elbo)
        curves.append(torch.tensor(losses))
    torch.testing.assert_close(*curves)


def test_an_anchor_is_named_once():
    with pytest.raises(ValueError, match=r"anchors of site 'z' name unit 1 more than once: \[1, 0, 1\]"):
        AnchoredCorEx(lambda_=1.0, anchors={"z": [1, 0, 1]}, num_data=9)


def test_info_vae_never_seeks_the_divergence():
    elbo = InfoVAE(alpha=0.5, lambda_=2.0, divergence="kl", num_data=9)
    for name, value in {"alpha": -2.0, "lambda_": 0.4}.items():
        with pytest.raises(ValueError, match=r"InfoVAE: alpha \+ lambda_ must be at least 1.*first assign the one"):
            setattr(elbo, name, value)
    assert (elbo.alpha.item(), elbo.lambda_.item()) == (0.5, 2.0)  # as they were
    elbo.lambda_ = 4.0
    elbo.alpha = -3.0


def test_a_running_covariance_of_another_number_of_units_is_refused():
    # [1, 1] was broadcast to [2, 2].
    elbo = DIPVAE(lambda_od=1.0, lambda_d=1.0, rate=0.1)
    elbo.differentiable_loss(*vae_pair(z_dim=1), images())
    with pytest.raises(ValueError, match=r"is of 1 units, and site 'z' has 2: .* assign elbo.covariance = None"):
        elbo.differentiable_loss(*vae_pair(z_dim=2), images())
    elbo.covariance = None
    elbo.differentiable_loss(*vae_pair(z_dim=2), images())


def test_an_evaluation_leaves_the_running_covariance_alone():
    pair, x = vae_pair(), images()
    elbo = DIPVAE(lambda_od=1.0, lambda_d=1.0, rate=0.5)
    svi = pyro.infer.SVI(*pair, pyro.optim.Adam({"lr": 0.0}), loss=elbo)
    svi.evaluate_loss(x)
    assert elbo.covariance is None
    svi.step(x)
    before = elbo.covariance.clone()
    svi.evaluate_loss(images(5))
    assert torch.equal(elbo.covariance, before)
    # It is read all the same: half of it and half of the batch's.
    elbo.covariance = 10 * torch.eye(2)
    with_memory = elbo.loss(*pair, x)
    elbo.covariance = None
    assert with_memory > elbo.loss(*pair, x) + 10


@pytest.mark.parametrize(
    "elbo",
    [
        DIPVAE(lambda_od=1.0, lambda_d=1.0, rate=0.5),
        DIPVAEI(lambda_od=1.0, lambda_d=1.0),
        DIPVAEII(lambda_od=1.0, lambda_d=1.0),
    ],
)
def test_a_batch_of_one_has_no_covariance(elbo):
    """Before: a covariance of 0, which entered the running estimate."""
    with pytest.raises(ValueError, match="a batch of one has no covariance: use at least two datapoints"):
        elbo.loss(*vae_pair(), images(1))


def test_a_misspelt_hyperparameter_is_refused_where_it_is_assigned():
    """Before: the assignment succeeded, and the schedule had no effect."""
    made = BetaVAE(beta=2.0)
    for elbo in (made, copy.deepcopy(made), pickle.loads(pickle.dumps(made))):
        with pytest.raises(
            AttributeError, match=r"BetaVAE has no 'bta' to assign to \(did you mean 'beta'\?\): it has"
        ):
            elbo.bta = 4.0
        assert "bta" not in elbo.settings()
        elbo.beta, elbo.kl, elbo.num_particles = 3.0, "sampled", 2

    class Own(TermwiseELBO):
        def __init__(self):
            super().__init__()
            self.offset = 1.0

        def terms(self, model_trace, guide_trace):
            return {**elbo_terms(model_trace, guide_trace), "offset": torch.tensor(self.offset)}

    own = Own()
    own.offset = 3.0  # set in __init__, so it may be assigned
    with pytest.raises(AttributeError, match="an attribute of your own has to be in the class or set in __init__"):
        own.ofset = 4.0
    own.loss(*vae_pair(), images())
    assert own.report().terms["offset"] == 3.0


def test_a_factor_in_a_guide_is_refused():
    class Reweighted(nn.Module):
        def __init__(self, guide):
            super().__init__()
            self.guide = guide

        def forward(self, x):
            self.guide(x)
            pyro.factor("bonus", torch.tensor(1.0), has_rsample=True)

    model, guide = vae_pair()
    with pytest.raises(ValueError, match=r"the guide observes site 'bonus'.*not part of the objective"):
        PlainELBO().loss(model, Reweighted(guide), images())


@pytest.mark.parametrize("name", sorted(EVERY))
def test_where_every_site_is_observed_the_loss_is_that_of_the_data_or_the_objective_needs_a_latent_site(name):
    model, guide = vae_pair()
    x, z = images(5), torch.randn(5, 2)
    model, guide = poutine.condition(model, data={"z": z}), poutine.block(guide)
    if name in ("PlainELBO", "BetaVAE"):
        trace = poutine.trace(model).get_trace(x)
        assert EVERY[name]().loss(model, guide, x) == pytest.approx(-trace.log_prob_sum().item() / 5)
    else:
        with pytest.raises(ValueError, match=r"every site is observed.*PlainELBO|the guide has the latent sites \[\]"):
            EVERY[name]().loss(model, guide, x)


def test_a_relaxed_type_has_no_density_at_a_one_hot_value():
    def reconstruction(temperature, c):
        model = JointVAE(nn.Bilinear(2, 3, 5), z_dim=2, c_dims=[3], temperature=temperature)
        elbo = PlainELBO()
        elbo.loss(
            poutine.condition(model, data={"c": c}), Amortized(nn.Linear(5, 4), z=MeanField(2)), torch.zeros(4, 5)
        )
        return elbo.report().reconstruction["c"].item()

    corners = torch.eye(3)[[0, 1, 2, 0]]
    with pytest.raises(ValueError, match=r"site 'c' is observed .* no density; .* \(temperature=None\)"):
        reconstruction(0.67, corners)
    # The density at (a, b, b) with uniform logits and K = 3: log(2 t^2) - log(abb) - t log(abb) - 3 log(sum of x^-t).
    a, b, t = 1.1 / 1.3, 0.1 / 1.3, 0.67
    log_abb = math.log(a) + 2 * math.log(b)
    log_p = math.log(2 * t**2) - (t + 1) * log_abb - 3 * math.log(a**-t + 2 * b**-t)
    assert reconstruction(t, (corners + 0.1) / 1.3) == pytest.approx(log_p)
    assert reconstruction(None, corners) == pytest.approx(-math.log(3))


def test_n_vae_refuses_shares_that_look_at_the_label():
    model = NaturalClustering(MLPDecoder(3 * 2 + 2, (1, 3, 5), hidden=(8,)), classes=3, c_dim=1, s_dim=2)
    trunk = nn.Sequential(nn.Flatten(), nn.Linear(15, 4))
    for pi in (ConjugateDirichlet(3, alpha=1.0), DirichletHead(3, given=("y",))):
        guide = Amortized(trunk, classes=3, pi=pi, z_c=MeanField(3), z_s=MeanField(2))
        with pytest.raises(
            ValueError, match=r"NaturalClusteringELBO: the head of 'pi' depends on 'y', so its mean is not q\(y \| x\)"
        ):
            NaturalClusteringELBO(beta_c=2.0).loss(model, guide, images(6), torch.arange(6) % 3)


@pytest.mark.parametrize("kind", [dist.OneHotCategorical, dist.Categorical])
@pytest.mark.parametrize("shares", [(0.7, 0.2, 0.1), (1 / 3, 1 / 3, 1 / 3)])
def test_the_most_that_a_categorical_holds_is_of_its_priors_rarest_class(shares, kind):
    # KL(q || p) is at most -log min p, where q is sure of the rarest class.
    logits = torch.tensor(shares).log()

    def uneven(x):
        with pyro.plate("data", len(x)):
            pyro.sample("c", kind(logits=logits))

    def sure(x):
        with pyro.plate("data", len(x)):
            c = kind(logits=torch.tensor([0.0, 0.0, 900.0]).expand(len(x), 3))
            pyro.sample("c", c, infer={"enumerate": "parallel"})

    most = -math.log(min(shares))
    held = Capacity(gamma={"c": 1.0}, capacity={"c": most - 1e-3})
    held.loss(uneven, sure, torch.randn(5, 2))
    assert held.report().loss.item() == pytest.approx(1e-3)  # not clamped
    with pytest.warns(UserWarning, match=f"9 nats are asked of c, whose KL is at most {most:.4g}"):
        held.capacity = {"c": 9.0}
    assert held.loss(uneven, sure, torch.randn(5, 2)) == pytest.approx(0, abs=1e-9)


# What mutants of the pass and of its checks would get away with.


class Auxiliary(nn.Module):
    """q(u | x) q(z | u), where u is the guide's own, with q(u) = N(0, 3) and q(z | u) = N(u, 1)."""

    def forward(self, x):
        with pyro.plate("data", len(x)):
            u = pyro.sample("u", dist.Normal(torch.zeros(len(x), 2), 3.0).to_event(1), infer={"is_auxiliary": True})
            pyro.sample("z", dist.Normal(u, 1.0).to_event(1))


def test_an_auxiliary_site_costs_its_log_density():
    # E[log q(u)] of Normal(0, 3) is minus its entropy, (1 + log(2 pi 9)) / 2 a unit; Pyro's ELBO has the same sum.
    model, x = vae_pair()[0], images(11)
    elbo = PlainELBO(kl="sampled", num_particles=20_000)
    elbo.loss(model, Auxiliary(), x)
    entropy = 0.5 * (1 + math.log(2 * math.pi * 9))
    # log q(u) has a sd of 1 over the 2 units, and there are 220,000 draws
    assert elbo.report().kl["u"].sum().item() == pytest.approx(-2 * entropy, abs=0.01)
    ours = loss_of(PlainELBO(kl="sampled"), (model, Auxiliary()), x)
    pyro.set_rng_seed(1)
    assert ours * 11 == pytest.approx(pyro.infer.Trace_ELBO().loss(model, Auxiliary(), x), abs=1e-9)


@pytest.mark.parametrize("way", ["loss", "loss_and_grads"])
def test_a_loss_that_is_not_a_number_is_warned_of(way):
    class Broken(TermwiseELBO):
        def terms(self, model_trace, guide_trace):
            return {"log p": guide_trace.nodes["z"]["value"].sum() * math.nan}

    with pytest.warns(UserWarning, match="Encountered NaN: loss"):
        getattr(Broken(), way)(*vae_pair(), images())


def test_shapes_that_differ_between_model_and_guide_are_refused():
    # Pyro's own check: without it 11 posteriors would be scored under one prior for all.
    class Outside(nn.Module):
        def forward(self, x):
            with pyro.plate("data", len(x)):
                pyro.sample("z", dist.Normal(torch.zeros(2), 1.0).to_event(1).expand([len(x)]))

    class Narrow(nn.Module):
        def forward(self, x):
            with pyro.plate("data", len(x)):
                pass
            pyro.sample("z", dist.Normal(torch.zeros(2), 1.0).to_event(1))

    with pytest.raises(ValueError, match="Model and guide"):
        PlainELBO().loss(Outside(), Narrow(), images())


def test_a_rate_is_at_most_one():
    with pytest.raises(ValueError, match=r"rate must be in \(0, 1\], got 1.5"):
        DIPVAE(lambda_od=1, lambda_d=1, rate=1.5)


# How a program is called.


class WithoutIndex(nn.Module):
    """A user's story that takes its batch alone."""

    def forward(self, x):
        with pyro.plate("data", len(x)):
            z = pyro.sample("z", dist.Normal(torch.zeros(2), 1.0).to_event(1))
            return pyro.sample("x", dist.Normal(z.sum(-1), 1.0), obs=x.flatten(1).sum(-1))


@pytest.mark.parametrize(
    ("args", "kwargs", "message"),
    [
        (1, {"index": torch.arange(11)}, r"WithoutIndex\.forward\(x\) cannot be called with \(x, index=\.\.\.\)"),
        (2, {}, r"WithoutIndex\.forward\(x\) cannot be called with \(x, y\)"),
    ],
)
def test_a_program_that_does_not_take_the_batch_is_named(args, kwargs, message):
    guide = vae_pair()[1]
    with pytest.raises(TypeError, match=message + r".*\(x, y=None, \*, index=None\)"):
        PlainELBO().loss(WithoutIndex(), guide, *[images(11), torch.arange(11)][:args], **kwargs)


@pytest.mark.parametrize("pair", [vae_pair, joint_pair])
@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (Tensor.numpy, "x must be a tensor, got ndarray; torch.as_tensor(x) makes one"),
        (Tensor.tolist, "x must be a tensor, got list; torch.as_tensor(x) makes one"),
        (
            Tensor.float,
            "the dtypes differ (x: torch.float32, the model: torch.float64, the guide: torch.float64); "
            "convert x by x.to(...), or convert the weights",
        ),
        (
            lambda x: x.to("meta"),
            "the devices differ (x: meta, the model: cpu, the guide: cpu); convert x by x.to(...), or convert the "
            "weights",
        ),
        (
            lambda x: x.clone().index_fill_(0, torch.tensor(4), torch.nan),
            "site 'x': 15 of 165 values are NaN or infinite, the first at [4, 0, 0, 0]; leave out these datapoints, or "
            "replace the values",
        ),
    ],
)
def test_a_batch_that_no_network_can_take_is_named(pair, spoil, message):
    model, guide = pair()
    svi = pyro.infer.SVI(model, guide, pyro.optim.Adam({"lr": 1e-3}), loss=PlainELBO())
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        svi.step(spoil(images()))
    svi.step(images())


@pytest.mark.parametrize("kwargs", [{}, {"index": torch.arange(11)}])
def test_a_class_in_the_place_of_an_objective_is_named(kwargs):
    svi = pyro.infer.SVI(*vae_pair(), pyro.optim.Adam({"lr": 1e-3}), loss=BetaVAE)
    with pytest.raises(TypeError, match=r"^loss=BetaVAE is a class: give SVI an objective, as in loss=BetaVAE\("):
        svi.step(images(), **kwargs)


@pytest.mark.parametrize("which", ["model", "guide"])
def test_weights_of_two_types_are_named(which):
    pair = dict(zip(("model", "guide"), vae_pair(), strict=True))
    pair[which].float()
    types = {"model": "torch.float64", "guide": "torch.float64", which: "torch.float32"}
    message = f"(x: torch.float64, the model: {types['model']}, the guide: {types['guide']})"
    with pytest.raises(ValueError, match=re.escape(message)):
        PlainELBO().loss(*pair.values(), images())


@pytest.mark.parametrize("half", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("of_batch", [torch.float32, torch.bfloat16])
def test_a_pair_in_half_precision_is_named_with_what_trains_it(half, of_batch):
    """Before: a batch of the weights' own type ended in "mat1 and mat2", since heads draw in float32."""
    (model, guide), x = vae_pair(), images()
    model.to(half), guide.to(half)
    with pytest.raises(
        ValueError, match=rf"^x or weights are in half .* the guide: {half}\), .* \.float\(\) on x, on "
    ):
        PlainELBO().loss(model, guide, x.to(of_batch))
    assert math.isfinite(PlainELBO().loss(model.float(), guide.float(), x.float()))  # as the message says


def test_labels_and_positions_must_be_tensors_too():
    model, guide = cvae_pair()
    with pytest.raises(ValueError, match=r"^y must be a tensor, got list; torch\.as_tensor\(y\) makes one$"):
        PlainELBO().loss(model, guide, images(3), [0, 1, 2])
    model, guide = vae_pair()
    with pytest.raises(ValueError, match=r"^index must be a tensor, got ndarray; torch\.as_tensor\(index\) makes one$"):
        PlainELBO().loss(model, guide, images(3), index=torch.arange(3).numpy())


def test_a_network_may_convert_the_batch_and_its_other_errors_stay():
    def to_double(_, args):
        return args[0].double()

    def fails(*_):
        raise RuntimeError("out of patience")

    model, guide = vae_pair(likelihood=lambda logits: bernoulli(logits.float()))
    guide.trunk.register_forward_pre_hook(to_double)
    x = images().float()
    assert math.isfinite(PlainELBO().loss(model, guide, x))
    guide.trunk.register_forward_hook(fails)
    with pytest.raises(RuntimeError, match="out of patience"):
        PlainELBO().loss(model, guide, x)


# Capacities, ratios and weights where they do not apply.

TYPES = {"gamma": {"z": 3.0}, "capacity": {"z": 0.5}, "information": 2.0, "balance": 5.0, "smoothness": 7.0}


def test_a_relaxed_type_by_densities_has_no_maximum():
    # The KL of two Concrete densities is not bounded by log K = 2.3: here it is 36, and a capacity of 8 was cut to 2.3.
    pyro.set_rng_seed(0)
    model = JointVAE(nn.Bilinear(2, 10, 5), z_dim=2, c_dims=[10], temperature=0.1)
    guide = Amortized(nn.Linear(5, 8), z=MeanField(2), c=Concrete(10, temperature=0.1))
    with torch.no_grad():
        guide.layers["c"][0].weight.mul_(20)
    weights = {"gamma": {"z": 0.0, "c": 1.0}, "capacity": {"z": 0.0, "c": 8.0}}
    elbo = Capacity(**weights, kl={"c": "sampled"})
    elbo.loss(model, guide, torch.rand(50, 5))
    kl = elbo.report().kl["c"].item()
    assert kl > 20
    assert elbo.report().terms["-gamma |KL(c) - C|"].item() == pytest.approx(-(kl - 8))
    with pytest.warns(UserWarning, match=r"8 nats are asked of c, whose KL is at most 2.303"):
        Capacity(**weights).loss(model, guide, torch.rand(50, 5))


def test_a_capacity_holds_what_an_auxiliary_site_costs():
    # |E[log q(u) + log q(z | u) - log p(z)] - C|, where u has no prior and so no maximum.
    elbo = Capacity(gamma=2.0, capacity=1.0)
    elbo.loss(vae_pair()[0], Auxiliary(), images(11))
    kl = sum(kl.sum().item() for kl in elbo.report().kl.values())
    assert elbo.report().terms["-gamma |KL(u+z) - C|"].item() == pytest.approx(-2 * abs(kl - 1))


def test_the_total_correlation_of_an_auxiliary_site_is_none_of_the_models():
    with pytest.raises(ValueError, match="site 'u' is an auxiliary site, which the model does not have, and the total"):
        FactorVAE(gamma=1.0, log_ratio=lambda z: z.sum(-1)).loss(vae_pair()[0], Auxiliary(), images(11))


@pytest.mark.parametrize("num_particles", [1, 3])
def test_a_ratio_is_one_number_for_each_draw(num_particles):
    # The mean over two logits, as of a classifier, was taken for the mean of their difference.
    pair, x, network = vae_pair(), images(), nn.Linear(2, 2)
    with pytest.raises(ValueError, match=r"log_ratio must return .* of two logits, give their difference"):
        FactorVAE(gamma=1.0, log_ratio=network, num_particles=num_particles).loss(*pair, x)
    FactorVAE(gamma=1.0, log_ratio=nn.Linear(2, 1), num_particles=num_particles).loss(*pair, x)  # [..., 1] is one


@pytest.mark.parametrize(
    ("elbo", "name", "value"),
    [
        (HFVAE(alpha=1.0, beta=1.0, gamma=1.0, num_data=9), "beta", {"z": 3.0}),
        (InfoVAE(alpha=1.0, lambda_=1.0, divergence="kl", num_data=9), "alpha", {"z": 3.0}),
        (BetaVAE(beta=1.0), "beta", torch.tensor(True)),
        (TypeInformation(**TYPES), "gamma", torch.tensor(2.0)),
    ],
)
def test_what_an_objective_is_made_with_is_what_may_be_assigned(elbo, name, value):
    # A mapping was stored, and the next step failed on "bad operand type for unary -".
    before = getattr(elbo, name)
    with pytest.raises(TypeError, match=rf"^{type(elbo).__name__}: {name} must be (a number|values by name)"):
        setattr(elbo, name, value)
    assert getattr(elbo, name) == before


@pytest.mark.parametrize(
    ("make", "name", "value", "said"),
    [
        (
            lambda: Decomposition(alpha=1.0, beta=1.0, divergence="kl"),
            "divergence",
            "mmd_joint",
            "did you mean 'mmd-joint'",
        ),
        (
            lambda: Decomposition(alpha=1.0, beta=1.0, divergence="kl"),
            "log_p",
            "twice",
            "'once' or 'per-unit', got 'twice'",
        ),
        (lambda: HFVAE(alpha=1.0, beta=1.0, gamma=1.0, num_data=9), "estimator", "exact", "got 'exact'"),
        (lambda: HFVAE(alpha=1.0, beta=1.0, gamma=1.0, num_data=9), "num_data", 9.5, "number, got 9.5"),
    ],
)
def test_a_setting_that_would_be_refused_at_the_start_is_refused_later(make, name, value, said):
    # divergence = "mmd_marginal" was the joint MMD.
    elbo = make()
    before = getattr(elbo, name)
    with pytest.raises(ValueError, match=rf"^{type(elbo).__name__}: {name} must be .*{said}"):
        setattr(elbo, name, value)
    assert getattr(elbo, name) == before


def test_what_is_assigned_in_inference_mode_may_be_trained_with():
    elbo, pair = BetaVAE(beta=1.0), vae_pair()
    with torch.inference_mode():
        elbo.beta = 2.0
    elbo.loss_and_grads(*pair, images())
    assert all(parameter.grad.isfinite().all() for parameter in pair[0].parameters())


# The class terms of N-VAE, where the class depends on another one that is summed out.


class NestedClasses(nn.Module):
    """pi ~ Dirichlet(1), k ~ one-hot of 2, y ~ OneHotCategorical(pi), z_c ~ N(0, I), x ~ N(z_c, 1)."""

    def forward(self, x, y=None):
        with pyro.plate("data", len(x)):
            pi = pyro.sample("pi", dist.Dirichlet(torch.ones(3)))
            pyro.sample("k", dist.OneHotCategorical(logits=torch.zeros(2)))
            pyro.sample("y", dist.OneHotCategorical(pi), obs=None if y is None else torch.eye(3)[y])
            z = pyro.sample("z_c", dist.Normal(torch.zeros(2), 1.0).to_event(1))
            pyro.sample("x", dist.Normal(z, 1.0).to_event(1), obs=x)


@pytest.mark.parametrize("labelled", [False, True])
def test_the_class_terms_of_n_vae_are_averaged_over_a_class_that_is_summed_out(labelled):
    x, y = torch.randn(5, 2), torch.arange(5) % 3
    given = ("k",)
    heads = {"k": Exact(2), "pi": DirichletHead(3, given=given), "y": Exact(3, given=given), "z_c": MeanField(2)}
    guide = Amortized(nn.Linear(2, 4), **heads)
    with torch.no_grad():
        guide.layers["k"][0].bias.copy_(torch.tensor([1.5, 0.0]))
        for site in ("pi", "y"):
            guide.layers[site][0].weight.mul_(8)
    elbo = NaturalClusteringELBO(beta_c=1.0)
    elbo.loss(NestedClasses(), guide, *((x, y) if labelled else (x,)))
    features = guide.trunk(x)
    q_k = guide.posterior("k", features, {}).probs
    by_hand = 0.0
    for k in range(2):
        at = {"k": torch.eye(2)[k].expand(5, 2)}
        if labelled:
            each = guide.posterior("pi", features, at).mean[torch.arange(5), y].log()
        else:
            q_y = guide.posterior("y", features, at).probs
            each = -(q_y * (3 * q_y).log()).sum(-1)
        by_hand += (q_k[:, k] * each).mean().item()
    term = "log q(y | x)" if labelled else "-KL(q(y | x) || p)"
    assert elbo.report().terms[term].item() == pytest.approx(by_hand)


# A second count of log p, of sites beside the one that a divergence is of.


class Beside(nn.Module):
    """z ~ N(0, I); c ~ one-hot of 3; w given c, two units that depend on each other; v of one number; x ~ N(z, 1)."""

    def forward(self, x):
        with pyro.plate("data", len(x)):
            z = pyro.sample("z", dist.Normal(torch.zeros(2), 1.0).to_event(1))
            c = pyro.sample("c", dist.OneHotCategorical(logits=torch.zeros(3)))
            tril = torch.tensor([[1.0, 0.0], [0.9, 0.5]])
            pyro.sample("w", dist.MultivariateNormal(c[..., :2], scale_tril=tril))
            pyro.sample("v", dist.Normal(0.0, 1.0))
            pyro.sample("x", dist.Normal(z, 1.0).to_event(1), obs=x)


class GuideBeside(nn.Module):
    """q(c | x) = (0.7, 0.2, 0.1), and every other site near a point."""

    def forward(self, x):
        with pyro.plate("data", len(x)):
            for name in ("z", "w"):
                pyro.sample(name, dist.Normal(x, 1e-9).to_event(1))
            pyro.sample("c", dist.OneHotCategorical(torch.tensor([0.7, 0.2, 0.1])), infer={"enumerate": "parallel"})
            pyro.sample("v", dist.Normal(x[:, 0], 1e-9))


def test_log_p_is_counted_again_under_the_classes_it_depends_on_and_for_sites_of_several_units_alone():
    # (2 - 1) sum_k q(c = k) log p(w | k); the type c is one unit, and v is one number, so they are not counted again.
    x = torch.randn(4, 2)
    elbo = Decomposition(
        alpha=1.0, beta=3.0, divergence="mmd-joint", sites=["z"], log_p="per-unit", kl={"w": "sampled"}
    )
    elbo.loss(Beside(), GuideBeside(), x)
    tril, log_p = torch.tensor([[1.0, 0.0], [0.9, 0.5]]), 0.0
    for k, q in enumerate([0.7, 0.2, 0.1]):
        log_p += q * dist.MultivariateNormal(torch.eye(3)[k, :2], scale_tril=tril).log_prob(x).mean().item()
    again = {name: term.item() for name, term in elbo.report().terms.items() if name.startswith("(D - 1)")}
    assert again == {"(D - 1) log p(w)": pytest.approx(3 * log_p)}


def test_log_p_of_a_latent_of_the_whole_data_is_counted_again_once():
    # As in the KL, log p(w) belongs to all N datapoints together: (D - 1) log p(w) / N, with D = 3 and N = 6.
    p_w, q_w = (dist.MultivariateNormal(torch.full((3,), mean), torch.eye(3)) for mean in (0.0, 1.0))

    def model(x):
        w = pyro.sample("w", p_w)
        with pyro.plate("data", len(x)):
            z = pyro.sample("z", dist.Normal(torch.zeros(3), 1.0).to_event(1))
            pyro.sample("x", dist.Normal(z + w, 1.0).to_event(1), obs=x)

    def guide(x):
        pyro.sample("w", dist.Delta(q_w.mean).to_event(1))
        with pyro.plate("data", len(x)):
            pyro.sample("z", dist.Normal(x, 0.5).to_event(1))

    elbo = Decomposition(alpha=0.0, beta=1.0, divergence="mmd-joint", sites=["z"], log_p="per-unit")
    elbo.loss(model, guide, torch.randn(6, 3))
    assert elbo.report().terms["(D - 1) log p(w)"].item() == pytest.approx(2 * p_w.log_prob(q_w.mean).item() / 6)
