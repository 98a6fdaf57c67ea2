"""HFVAE's Figure 2: the four terms are the ELBO, and leaving one out does what the caption says."""

import math
from functools import cache, partial

import pyro
import pytest
import torch
from matplotlib.image import imread
from torch import nn

from tests import traced
from zoo.elbos import PlainELBO
from zoo.likelihoods import normal
from zoo.papers.hfvae import term_ablation
from zoo.papers.hfvae.term_ablation import (
    NOISE,
    POINTS,
    Encoder,
    FourTerms,
    draw,
    log_evidence,
    table,
    train_every_panel,
    train_without,
)
from zoo.vae import VAE

N = len(POINTS)


def pair():
    decoder = nn.Sequential(nn.Linear(1, 5), nn.Tanh(), nn.Linear(5, 1))
    return VAE(decoder, z_dim=1, likelihood=partial(normal, scale=NOISE), num_data=N), Encoder(N)


def batch():
    return torch.tensor(POINTS).unsqueeze(1), torch.arange(N)


def one_pass(elbo, model, encoder):
    x, index = batch()
    for _ in range(2):  # with several particles Pyro's first pass draws more, to count the plates
        pyro.set_rng_seed(5)
        elbo.loss(model, encoder, x, index=index)
    return elbo.report()


# The terms.


def test_the_evidence_of_a_linear_decoder_is_normal():
    # x = 2 z + 1 + noise with z ~ Normal(0, 1), so x ~ Normal(1, sqrt(4 + NOISE^2))
    model, _ = pair()
    model.decoder = nn.Linear(1, 1)
    nn.init.constant_(model.decoder.weight, 2.0)
    nn.init.constant_(model.decoder.bias, 1.0)
    x = torch.tensor([[-3.0], [0.0], [1.0], [4.0]])
    exact = torch.distributions.Normal(1.0, math.sqrt(4 + NOISE**2)).log_prob(x.squeeze(1))
    torch.testing.assert_close(log_evidence(model, x), exact, rtol=0, atol=1e-3)


@pytest.mark.parametrize("num_particles", [1, 3])
def test_the_four_terms_are_the_elbo_of_the_same_draws(num_particles):
    model, encoder = pair()
    ours = one_pass(FourTerms(model, num_particles=num_particles), model, encoder)
    elbo = one_pass(PlainELBO(kl="sampled", num_particles=num_particles), model, encoder)
    assert list(ours.terms) == ["1", "2", "3", "4"]
    assert ours.loss.item() == pytest.approx(elbo.loss.item(), abs=1e-10)


@pytest.mark.parametrize("without", ["1", "2", "3", "4"])
def test_a_term_that_is_left_out_is_missing_from_the_loss(without):
    model, encoder = pair()
    whole = one_pass(FourTerms(model), model, encoder)
    rest = one_pass(FourTerms(model, without=without), model, encoder)
    assert rest.loss.item() == pytest.approx((whole.loss + whole.terms[without]).item())
    assert abs(whole.terms[without]) > 1e-4  # so that its absence shows


def test_terms_two_and_four_against_a_loop():
    model, encoder = pair()
    x, _ = batch()
    ours = one_pass(FourTerms(model), model, encoder)
    pyro.set_rng_seed(5)
    z = encoder(x)
    q = encoder.posterior(x).base_dist
    information, marginal_kl = 0.0, 0.0
    for n in range(N):
        densities = q.log_prob(z[n]).exp().squeeze(1)  # of z_n under each of the six
        mixture = densities.mean().log()
        information += (densities[n].log() - mixture).item() / N
        marginal_kl += (mixture - torch.distributions.Normal(0.0, 1.0).log_prob(z[n, 0])).item() / N
    assert -ours.terms["2"].item() == pytest.approx(information)
    assert -ours.terms["4"].item() == pytest.approx(marginal_kl)


def test_an_unknown_term_is_refused():
    with pytest.raises(ValueError, match="without must be one of the terms '1', '2', '3', '4', got '5'"):
        train_without("5", steps=1, seed=0)


# What happens without each.


@cache
def trained(without):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(term_ablation, "fit", traced.fit)
        return train_without(without, steps={"1": 150, "4": 200}.get(without, 100), seed=1)  # as many as each needs


def test_the_elbo_fits_both_marginals():
    terms = trained(None).terms
    assert terms["4"] < 0.1
    # p(x) is as high on the points as q(x), blurred by the noise, on draws of its own: minus its entropy, by quadrature
    x = torch.linspace(-6, 6, 2001)
    blurred = torch.distributions.Normal(torch.tensor(POINTS).unsqueeze(1), NOISE).log_prob(x).exp().mean(0)
    assert terms["3"] > torch.trapezoid(blurred * blurred.log(), x).item()
    assert terms["ELBO"] == pytest.approx(terms["1"] - terms["2"] + terms["3"] - terms["4"])


def test_without_1_every_point_is_mapped_to_the_prior_and_the_model_fits_nonetheless():
    panel = trained("1")
    assert panel.terms["2"] < 0.01
    q = panel.encoder.posterior(batch()[0]).base_dist
    assert torch.distributions.kl_divergence(q, torch.distributions.Normal(0.0, 1.0)).max() < 0.02
    assert panel.terms["3"] > trained(None).terms["3"] - 0.1


def test_without_2_every_point_has_a_region_of_its_own():
    assert trained(None).terms["2"] < 0.75 * math.log(N) < 0.85 * math.log(N) < trained("2").terms["2"] <= math.log(N)
    assert trained("2").terms["4"] < 0.2  # q(z) still follows the prior


def test_without_3_the_model_does_not_fit_the_data():
    terms = trained("3").terms
    assert terms["3"] < trained(None).terms["3"] - 2
    # what is left is -E KL(q(z | x) || p(z | x)), which is at its best
    assert terms["1"] - terms["2"] - terms["4"] == pytest.approx(0, abs=0.02)


def test_without_4_the_codes_leave_the_prior():
    assert trained("4").terms["4"] > 1 > 10 * trained(None).terms["4"]


# The command.


def test_the_table_says_what_the_panels_hold():
    lines = table([trained(None), trained("2")]).splitlines()
    assert [line.split()[:2] for line in lines[-2:]] == [["A", "nothing"], ["C", "2"]]
    figures = [float(figure) for figure in lines[-1].split()[2:]]
    assert figures == pytest.approx(list(trained("2").terms.values()), abs=0.0051)


def test_the_command_draws_five_panels_and_leaves_the_random_state(tmp_path):
    state = torch.get_rng_state()
    panels = train_every_panel(steps=2, seed=1)
    draw(panels).savefig(tmp_path / "figure2.png")
    assert torch.equal(torch.get_rng_state(), state)
    rows = [line.split()[:2] for line in table(panels).splitlines()[-5:]]
    assert rows == [["A", "nothing"], ["B", "1"], ["C", "2"], ["D", "3"], ["E", "4"]]
    picture = imread(tmp_path / "figure2.png")
    assert picture.shape[1] > 3 * 5 * 100
    assert picture[..., :3].std() > 0.05  # something is on it


def test_a_seed_gives_the_same_figures_again():
    first, again, other = (train_without("2", steps=3, seed=seed).terms for seed in (0, 0, 1))
    assert first == again != other
