"""Figures on a whole set, and what interventions show."""

import random
from functools import partial

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro import poutine
from torch import nn

from guides import Concrete, FullRank, SemiAmortized
from tests.pairs import SHAPE, vae_pair
from zoo.elbos import PlainELBO
from zoo.lab.analysis.elbo_anatomy import elbo_anatomy
from zoo.lab.analysis.evaluate import Evaluation, evaluate
from zoo.lab.analysis.posterior import decode, draw, posterior_means
from zoo.lab.data import Dataset


def dataset(num=23):
    rng = np.random.default_rng(0)
    return Dataset("noise", rng.integers(0, 256, (num, *SHAPE), dtype=np.uint8))


def test_the_closed_kl_is_averaged_over_every_datapoint_whatever_the_batches():
    model, guide = vae_pair()
    data = dataset(23)
    x = data.batch(torch.arange(23)).x
    q = poutine.trace(guide).get_trace(x).nodes["z"]["fn"].base_dist
    exact = torch.distributions.kl_divergence(q, torch.distributions.Normal(0.0, 1.0)).mean(0)
    for batch_size in (23, 10, 1):  # 10 leaves a last batch of 3
        torch.testing.assert_close(evaluate(model, guide, data, batch_size=batch_size).kl["z"], exact)


def test_the_elbo_of_one_batch_is_the_elbo():
    model, guide = vae_pair()
    data = dataset(23)
    evaluation = evaluate(model, guide, data, batch_size=23, seed=7)
    pyro.set_rng_seed(7)
    assert -evaluation.elbo == pytest.approx(PlainELBO().loss(model, guide, data.batch(torch.arange(23)).x), abs=1e-10)
    assert evaluation.num_data == 23


def test_evaluation_leaves_mode_and_every_random_state_and_is_seen_by_nobody():
    model, guide = vae_pair()
    model.train(), guide.eval()
    states = torch.get_rng_state(), random.getstate()
    with poutine.trace() as outside:
        evaluate(model, guide, dataset())
    assert not outside.trace.nodes
    assert torch.equal(torch.get_rng_state(), states[0])
    assert random.getstate() == states[1]
    assert (model.training, guide.training) == (True, False)


def test_decoding_is_an_intervention_on_the_story():
    model, _ = vae_pair()
    z = torch.randn(5, 2)
    torch.testing.assert_close(decode(model, {"z": z}), model.decoder(z).sigmoid().detach())


def test_draws_come_from_the_prior_one_per_image():
    model, _ = vae_pair()
    pyro.set_rng_seed(2)
    images = draw(model, 6)
    assert images.shape == (6, *SHAPE)
    assert images.flatten(1).std(0).min() > 0


def test_the_centre_of_a_posterior_is_its_mean_or_its_class_probabilities():
    _, guide = vae_pair(head=FullRank(2))
    x = torch.rand(3, *SHAPE)
    fn = poutine.trace(guide).get_trace(x).nodes["z"]["fn"]
    torch.testing.assert_close(posterior_means(guide, x)["z"], fn.loc.detach())
    _, relaxed = vae_pair(head=Concrete(3, temperature=0.5))
    fn = poutine.trace(relaxed).get_trace(x).nodes["z"]["fn"]
    torch.testing.assert_close(posterior_means(relaxed, x)["z"], fn.probs.detach())


def test_an_evaluation_is_printed_and_shown_with_its_headlines():
    found = Evaluation(1200, {"x": -20.25}, {"z": torch.tensor([1.5, 0.25]), "c": torch.tensor([2.0])})
    assert str(found).splitlines() == [
        "1,200 datapoints, nats per datapoint",
        "  -ELBO 24.00",
        "  reconstruction of x -20.25",
        "  KL of z 1.75",
        "  KL of c 2.00",
    ]
    assert "<td>KL of z</td><td>1.75</td>" in found._repr_html_()


class Scaled(nn.Module):
    """A program under a scale of the user's."""

    def __init__(self, program, scale):
        super().__init__()
        self.program, self.scale = program, scale

    def forward(self, *args, **kwargs):
        with poutine.scale(scale=self.scale):
            return self.program(*args, **kwargs)


def nats(found):
    """All means of an anatomy in one vector."""
    parts = [*found.reconstruction.values(), found.mutual_information, found.between, found.within]
    parts += [*found.units.values(), found.marginal_kl, found.kl, found.elbo]
    return torch.cat([part.mean.reshape(-1) for part in parts])


@pytest.mark.parametrize("how", [{"num_samples": 22}, {"estimator": "stratified", "batch_size": 5}])
def test_a_scale_around_the_pair_multiplies_every_part(how):
    # Before: the reconstruction was scaled, and of the KL some parts or none, so that they did not add up.
    pair, data = vae_pair(), dataset(11)
    plain = elbo_anatomy(*pair, data, num_data=11, **how)
    times = [Scaled(program, 3.0) for program in pair]
    found = elbo_anatomy(*times, data, num_data=11, **how)
    torch.testing.assert_close(nats(found), 3 * nats(plain))
    assert found.elbo.mean == pytest.approx(sum(x.mean for x in found.reconstruction.values()) - found.kl.mean)
    assert evaluate(*times, data).elbo == pytest.approx(3 * evaluate(*pair, data).elbo)


class Sometimes(nn.Module):
    """z is in every batch, and e ~ N(loc, 1) in large ones only."""

    def __init__(self, loc, observes):
        super().__init__()
        self.loc, self.observes = loc, observes

    def forward(self, x):
        with pyro.plate("data", len(x)):
            z = pyro.sample("z", dist.Normal(torch.zeros(len(x)), 1.0))
            if len(x) > 3:
                pyro.sample("e", dist.Normal(torch.full((len(x),), self.loc), 1.0))
            if self.observes:
                pyro.sample("x", dist.Normal(z, 1.0), obs=x[:, 0])


def test_a_site_that_the_last_batch_lacks_is_counted():
    # KL(N(1, 1) || N(0, 1)) = 1/2 for the 8 of 11 points in batches of four, and none for the last three.
    data = Dataset.from_arrays(torch.zeros(11, 1))
    found = evaluate(Sometimes(0.0, True), Sometimes(1.0, False), data, batch_size=4)
    assert found.kl["e"].tolist() == pytest.approx([0.5 * 8 / 11])
    assert found.kl["z"].tolist() == pytest.approx([0.0])
    assert found.elbo == pytest.approx(found.reconstruction["x"] - 0.5 * 8 / 11)


def test_an_exact_anatomy_of_a_guide_that_is_refined_is_refused():
    # Draws were scored under posteriors of another refinement: with posteriors narrower than a step, I(x; z) was 6.9
    # of 23 datapoints, whose log is 3.1.
    model, guide = vae_pair()
    semi = SemiAmortized(guide, partial(PlainELBO().differentiable_loss, model), steps=2, lr=0.1)
    with pytest.raises(ValueError, match=r"the guide is refined for each batch.*or estimator='stratified'"):
        elbo_anatomy(model, semi, dataset(11), num_data=11, num_samples=22)
    found = elbo_anatomy(model, semi, dataset(11), num_data=11, estimator="stratified", batch_size=11)
    assert found.mutual_information.mean <= np.log(11) + 1e-9
