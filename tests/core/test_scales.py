"""A user's own scales, masks and plates, around the programs or around the loss: every term takes them, or says no."""

import math
from contextlib import nullcontext
from functools import partial

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro import poutine
from pyro.infer import Trace_ELBO
from torch import nn

from guides import Amortized, Concrete, DirichletHead, Exact, MeanField, Predicted
from tests.objectives import EVERY
from tests.pairs import NUM_DATA, images, vae_pair
from tests.type_pairs import pair as type_pair
from zoo import ClusteredVAE, NaturalClustering
from zoo.elbos import HFVAE, BetaVAE, Decomposition, NaturalClusteringELBO, PlainELBO
from zoo.lab.networks import MLPDecoder

KEEP = torch.arange(11) < 5


def loss_of(elbo, pair, *args, seed=1, **kwargs):
    pyro.set_rng_seed(seed)
    return elbo.loss(*pair, *args, **kwargs)


@pytest.mark.parametrize("indexed", [False, True])
@pytest.mark.parametrize("elbo", EVERY.values(), ids=EVERY)
def test_a_scale_around_both_programs_or_around_the_loss_scales_all_of_it(elbo, indexed):
    pair, x = vae_pair(), images()
    kwargs = {"index": torch.arange(11)} if indexed else {}
    plain = loss_of(elbo(), pair, x, **kwargs)
    scaled = tuple(poutine.scale(program, scale=0.25) for program in pair)
    assert loss_of(elbo(), scaled, x, **kwargs) == pytest.approx(plain / 4)
    with poutine.scale(scale=2.0):
        assert loss_of(elbo(), pair, x, **kwargs) == pytest.approx(2 * plain)
    with poutine.scale(scale=torch.tensor(2.0)):
        assert loss_of(elbo(), pair, x, **kwargs) == pytest.approx(2 * plain)


def test_scales_that_differ_by_rounding_are_the_same():
    # Inside a plate of 3 the scale is 1.6 * 3 / 3 = 1.6000000000000003, around it 1 * 3 / 3 * 1.6 = 1.6.
    x = torch.linspace(-1.0, 1.0, 15).reshape(3, 5)
    inside, around = (poutine.scale(scale=1.6) for _ in range(2))

    def model(x, *, index=None):
        with pyro.plate("data", len(x)):
            with inside:
                pyro.sample("z", dist.Normal(torch.zeros(2), 1.0).to_event(1))
            with inside if same_for_w else nullcontext():
                pyro.sample("w", dist.Normal(torch.zeros(1), 1.0).to_event(1))
            pyro.sample("x", dist.Normal(torch.zeros(5), 1.0).to_event(1), obs=x)

    heads = Amortized(nn.Linear(5, 4), z=MeanField(2), w=MeanField(1))
    same_for_w = True
    elbo = HFVAE(alpha=1.0, beta=1.0, gamma=1.0, num_data=3, estimator="batch")
    assert math.isfinite(loss_of(elbo, (model, around(heads)), x))
    kl = elbo.report().kl["z"].sum().item()
    q = heads.posterior("z", heads.trunk(x), {})
    assert kl == pytest.approx(1.6 * 0.5 * (q.mean**2 + q.variance - q.variance.log() - 1).sum(-1).mean().item())
    same_for_w = False
    with pytest.raises(ValueError, match="site 'w': the scale differs"):
        loss_of(elbo, (model, around(heads)), x)


def test_beta_belongs_to_the_kl_whatever_the_scale_around_it():
    # 3 (log p - beta KL) by hand
    pair, x = vae_pair(), images()
    elbo = PlainELBO()
    loss_of(elbo, pair, x)
    report = elbo.report()
    by_hand = -3 * (report.reconstruction["x"] - 5 * report.kl["z"].sum()).item()
    with poutine.scale(scale=3.0):
        assert loss_of(BetaVAE(beta=5.0), pair, x) == pytest.approx(by_hand)
        assert loss_of(Decomposition(alpha=0.0, beta=5.0, divergence="kl"), pair, x) == pytest.approx(by_hand)


REFUSED = {name: build for name, build in EVERY.items() if name not in ("PlainELBO", "BetaVAE")}


@pytest.mark.parametrize("elbo", REFUSED.values(), ids=REFUSED)
@pytest.mark.parametrize("what", ["mask", "scale"])
def test_what_leaves_datapoints_out_has_no_term_over_the_whole_batch(what, elbo):
    handler = {"mask": poutine.mask, "scale": poutine.scale}[what]
    value = {"mask": KEEP, "scale": torch.rand(11) + 0.1}[what]
    pair = [handler(program, **{what: value}) for program in vae_pair()]
    with pytest.raises(ValueError, match=r"site 'z' has a mask or a scale per datapoint"):
        elbo().loss(*pair, images(11))


class MaskOwn(poutine.messenger.Messenger):
    """A mask that is part of the latents' distributions, as by `Normal(...).to_event(1).mask(KEEP)`."""

    def _pyro_sample(self, msg):
        if not msg["is_observed"] and msg["name"] != "data":
            msg["fn"] = msg["fn"].mask(KEEP)


@pytest.mark.parametrize("elbo", REFUSED.values(), ids=REFUSED)
def test_a_mask_of_the_distribution_itself_leaves_datapoints_out_too(elbo):
    # The KL leaves them out, and the term over the batch counted them. DIP-VAE said "Normal has no known covariance".
    pair, x = [MaskOwn()(program) for program in vae_pair()], images(11)
    with pytest.raises(ValueError, match=r"site 'z' has a mask or a scale per datapoint"):
        elbo().loss(*pair, x)


class ScaleOne(poutine.messenger.Messenger):
    """A user's scale on one site."""

    def __init__(self, site, scale):
        super().__init__()
        self.site, self.scale = site, scale

    def _pyro_sample(self, msg):
        if msg["name"] == self.site:
            msg["scale"] = self.scale * msg["scale"]


def test_sites_of_different_scales_are_refused_where_a_term_is_of_both():
    pair = [ScaleOne("c", 3.0)(program) for program in type_pair(partial(Concrete, temperature=0.67))]
    with pytest.raises(ValueError, match=r"sites \['c', 'z'\] have different scales"):
        HFVAE(alpha=1.0, beta=2.0, gamma=2.0, num_data=11).loss(*pair, images(11))


class Boxed(nn.Module):
    """A program in a plate of 3 around the data's."""

    def __init__(self, program, name="box", size=3, dim=-2):
        super().__init__()
        self.program, self.plate = program, partial(pyro.plate, name, size, dim=dim)

    def forward(self, *args, **kwargs):
        with self.plate():
            return self.program(*args, **kwargs)


@pytest.mark.parametrize("elbo", REFUSED.values(), ids=REFUSED)
def test_terms_over_the_whole_batch_refuse_a_plate_around_it(elbo):
    # The ELBO sums over the plate, where they would average.
    pair = [Boxed(program) for program in vae_pair()]
    with pytest.raises(ValueError, match=r"site 'z' is in the plate 'box'"):
        elbo().loss(*pair, images(11))


def test_the_elbo_sums_over_a_plate_around_the_data_as_pyros_does():
    pair = [Boxed(program) for program in vae_pair()]
    x = images(11)
    ours = loss_of(PlainELBO(kl="sampled"), pair, x)
    pyro.set_rng_seed(1)
    assert ours * 11 == pytest.approx(Trace_ELBO().loss(*pair, x), abs=1e-9)


# More plates than there is room for beside what is summed out.


@pytest.mark.parametrize("num_particles", [1, 2])
@pytest.mark.parametrize("plates", [1, 2, 3, 4])
def test_plates_beside_a_class_that_is_summed_out(plates, num_particles):
    # Each plate around the data doubles the loss of the programs, until there is no room for it.
    pair, x = type_pair(Exact), images()
    with torch.no_grad():  # no spread of z: all copies agree
        pair[1].layers["z"][0].weight[2:] = 0
        pair[1].layers["z"][0].bias[2:] = -60
    plain = loss_of(PlainELBO(), pair, x)

    around = pair
    for dim in range(2, plates + 1):
        around = [Boxed(program, name=f"box{dim}", size=2, dim=-dim) for program in around]
    elbo = PlainELBO(num_particles=num_particles)
    if plates + (num_particles > 1) <= 4:
        assert loss_of(elbo, around, x) == pytest.approx(2 ** (plates - 1) * plain)
    else:
        with pytest.raises(ValueError, match=r"of 5 plates; .* may nest 4, particles included"):
            elbo.loss(*around, x)


# N-VAE.


def labelled(classes=3):
    model = NaturalClustering(
        MLPDecoder(classes * 2 + 2, (1, 3, 5), hidden=(8,)), classes=classes, c_dim=1, s_dim=2, num_data=NUM_DATA
    )
    trunk = nn.Sequential(nn.Flatten(), nn.Linear(15, 4))
    heads = {"pi": DirichletHead(3), "y": Predicted(3, of="pi"), "z_c": MeanField(3), "z_s": MeanField(2)}
    return model, Amortized(trunk, num_data=NUM_DATA, **heads)


@pytest.mark.parametrize("with_labels", [True, False])
def test_the_class_terms_of_n_vae_take_masks_and_scales(with_labels):
    pair, x, y = labelled(), images(11), torch.arange(11) % 3
    args = (x, y) if with_labels else (x,)
    term = "log q(y | x)" if with_labels else "-KL(q(y | x) || p)"
    weight = torch.rand(11) + 0.1
    elbo = NaturalClusteringELBO(beta_c=2.0)

    def value(handler, *batch):
        pyro.set_rng_seed(1)
        elbo.loss(*(handler(program) for program in pair), *batch)
        return elbo.report().terms[term].item()

    each = torch.tensor([value(lambda f: f, *(a[[i]] for a in args)) for i in range(11)])
    assert value(lambda f: f, *args) == pytest.approx(each.mean().item())
    assert value(lambda f: poutine.mask(f, mask=KEEP), *args) == pytest.approx((each * KEEP).mean().item())
    assert value(lambda f: poutine.scale(f, scale=weight), *args) == pytest.approx((each * weight).mean().item())
    assert value(lambda f: poutine.scale(f, scale=3.0), *args) == pytest.approx(3 * each.mean().item())
    assert value(lambda f: Boxed(f), *args) == pytest.approx(3 * each.mean().item())


def test_the_codes_second_count_of_log_p_takes_masks():
    model = ClusteredVAE(MLPDecoder(2, (1, 3, 5), hidden=(8,)), places=[[0.0, 1.0], [1.0, 0.0]], scale=0.3)
    guide = vae_pair()[1]
    x, term = images(11), "(D - 1) log p(z)"
    elbo = Decomposition(alpha=0.0, beta=1.0, divergence="mmd-joint", log_p="per-unit", kl="sampled")
    pyro.set_rng_seed(1)
    elbo.loss(model, guide, x)
    once = elbo.report().terms[term].item()
    with poutine.scale(scale=2.0):
        pyro.set_rng_seed(1)
        elbo.loss(model, guide, x)
    assert elbo.report().terms[term].item() == pytest.approx(2 * once)
    assert math.isfinite(once)
