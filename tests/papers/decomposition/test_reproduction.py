"""The decomposition paper's recipes, networks, planes and claims; log evidence against exact ones; its theorem 1."""

import math
from functools import partial

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro import poutine
from torch import nn

from guides import Amortized, FullRank, MeanField
from tests.pairs import SHAPE, images
from zoo import VAE, AnisotropicVAE, ClusteredVAE
from zoo.elbos import ELBO, BetaVAE
from zoo.lab.analysis.grid import Grid2D, divergences, information, log_aggregate, log_prior
from zoo.lab.analysis.importance_sampling import log_evidence
from zoo.lab.data import Dataset, load
from zoo.lab.networks import MLPDecoder, MLPEncoder
from zoo.lab.plots.curves import two_errors
from zoo.lab.trials.reproduction import Results
from zoo.likelihoods import normal
from zoo.papers.decomposition import plots
from zoo.papers.decomposition.claims import ALPHA_NAMES
from zoo.papers.decomposition.measures import SPARSE
from zoo.papers.decomposition.networks import NormedConvDecoder, NormedConvEncoder
from zoo.papers.decomposition.recipes import PLACES, fashion_mnist, pinwheel, principal_variances, shapes
from zoo.papers.decomposition.reproduction import REPRODUCTIONS

# Section 4: what beta does.


def test_theorem_1_annealed_prior_and_maximum_entropy():
    # L_beta = L(prior p^beta / F) + (beta - 1) H[q] + log F, with F = prod_d (2 pi s_d^2)^((1 - beta) / 2) / sqrt(beta)
    beta, variances = 3.0, torch.tensor([1.5, 0.5])
    decoder = MLPDecoder(2, SHAPE, hidden=(7,))
    guide = Amortized(MLPEncoder(SHAPE, hidden=(7,)), z=MeanField(2))
    x, losses = images(11), []
    for prior, elbo in ((variances, BetaVAE(beta=beta)), (variances / beta, ELBO())):
        pyro.set_rng_seed(1)
        losses.append(elbo.loss(AnisotropicVAE(decoder, variances=prior), guide, x))
    entropy = poutine.trace(guide).get_trace(x).nodes["z"]["fn"].entropy().mean()
    log_f = (0.5 * (1 - beta) * (2 * math.pi * variances).log() - 0.5 * math.log(beta)).sum()
    assert -losses[0] == pytest.approx(-losses[1] + ((beta - 1) * entropy + log_f).item(), rel=1e-10)


def test_theorem_2_a_rotation_changes_nothing_under_an_isotropic_prior_and_much_under_another():
    turn = torch.tensor([[math.cos(1.0), -math.sin(1.0)], [math.sin(1.0), math.cos(1.0)]])
    decoder = MLPDecoder(2, SHAPE, hidden=(7,))
    turned_back = nn.Sequential(nn.Linear(2, 2, bias=False), decoder)
    turned_back[0].weight = nn.Parameter(turn.mT.contiguous())
    guide = Amortized(MLPEncoder(SHAPE, hidden=(7,)), z=FullRank(2))
    x = images(11)
    q = poutine.trace(guide).get_trace(x).nodes["z"]["fn"]
    noise = torch.randn(11, 2)
    losses = {}
    for name, variances in (("iso", [1.0, 1.0]), ("not", [1.8, 0.2])):
        for net, rotation in ((decoder, torch.eye(2)), (turned_back, turn)):
            z = (q.loc + (q.scale_tril @ noise.unsqueeze(-1)).squeeze(-1)) @ rotation.mT
            turned = dist.MultivariateNormal(q.loc @ rotation.mT, rotation @ q.covariance_matrix @ rotation.mT)
            losses.setdefault(name, []).append(beta_vae_at(AnisotropicVAE(net, variances=variances), turned, z, x))
    assert losses["iso"][0] == pytest.approx(losses["iso"][1], rel=1e-9)
    assert abs(losses["not"][0] - losses["not"][1]) > 0.01


def beta_vae_at(model, q, z, x):
    """The objective with q's closed KL and log p(x | z) at given draws."""

    def guide(x):
        with pyro.plate("data", len(x)):
            pyro.sample("z", q)

    elbo = BetaVAE(beta=4.0)
    elbo.loss(model, guide, x)
    log_x = poutine.trace(poutine.condition(model, {"z": z})).get_trace(x).nodes["x"]["fn"].log_prob(x).mean()
    return (4 * elbo.report().kl["z"].sum() - log_x).item()


# Log evidence.


class Linear(nn.Module):
    """The exact posterior of z ~ N(0, I), x ~ N(W z, s^2 I), its deviations times `stretch`."""

    def __init__(self, weight, s, stretch):
        super().__init__()
        self.weight, self.s, self.stretch = weight, s, stretch

    def forward(self, x, *, index=None):
        precision = torch.eye(2) + self.weight.mT @ self.weight / self.s**2
        cov = torch.linalg.inv(precision)
        loc = x.flatten(1) @ self.weight @ cov / self.s**2
        with pyro.plate("data", len(x)):
            return pyro.sample("z", dist.MultivariateNormal(loc, self.stretch**2 * cov))


def linear_pair(stretch):
    weight, s = torch.randn(3, 2), 0.7
    decoder = nn.Linear(2, 3, bias=False)
    decoder.weight = nn.Parameter(weight)
    model = VAE(decoder, z_dim=2, likelihood=partial(normal, scale=s))
    x = torch.randn(6, 3)
    exact = dist.MultivariateNormal(torch.zeros(3), weight @ weight.mT + s**2 * torch.eye(3)).log_prob(x)
    return model, Linear(weight, s, stretch), x, exact


def test_under_the_exact_posterior_every_draw_gives_the_evidence():
    model, guide, x, exact = linear_pair(1.0)
    for num_samples, at_once in ((1, 1_000), (7, 12)):  # whole, and in chunks of two that leave one over
        estimate = log_evidence(model, guide, x, num_samples=num_samples, at_once=at_once)
        torch.testing.assert_close(estimate, exact, rtol=1e-10, atol=1e-10)


def test_under_a_wide_posterior_draws_come_up_to_the_evidence():
    model, guide, x, exact = linear_pair(1.5)
    single = torch.stack([log_evidence(model, guide, x, num_samples=1, seed=seed) for seed in range(200)]).mean(0)
    # E log w = log p(x) - KL(q || posterior), and the KL is 2 log 1/1.5 + 2 (1.5^2 - 1) / 2
    gap = -2 * math.log(1.5) + (1.5**2 - 1)
    assert (exact - single).mean().item() == pytest.approx(gap, abs=0.15)
    torch.testing.assert_close(log_evidence(model, guide, x, num_samples=20_000), exact, rtol=0, atol=0.03)
    state = torch.get_rng_state()
    log_evidence(model, guide, x, num_samples=2)
    assert torch.equal(torch.get_rng_state(), state)
    with pytest.raises(ValueError, match="num_samples must be at least 1, got 0"):
        log_evidence(model, guide, x, num_samples=0)


# The plane.


def test_divergences_on_a_grid_are_those_of_normals():
    plane = Grid2D(reach=6.0, num=400)
    p = dist.Normal(torch.tensor([0.2, -0.1]), torch.tensor([0.5, 0.8])).to_event(1)
    q = dist.Normal(torch.tensor([0.0, 0.3]), torch.tensor([0.7, 0.6])).to_event(1)
    found = divergences(p.log_prob(plane.points), q.log_prob(plane.points), plane)
    assert found.p_from_q == pytest.approx(torch.distributions.kl_divergence(p, q).item(), abs=1e-6)
    assert found.q_from_p == pytest.approx(torch.distributions.kl_divergence(q, p).item(), abs=1e-6)
    assert found.mass_p == pytest.approx(1, abs=1e-9)
    assert found.mass_q == pytest.approx(1, abs=1e-9)


def test_the_aggregate_and_the_prior_at_points():
    q = dist.Normal(torch.randn(7, 2), torch.rand(7, 2) + 0.1).to_event(1)
    points = torch.randn(9, 2)
    by_loop = [math.log(sum(math.exp(q.log_prob(point)[n]) for n in range(7)) / 7) for point in points]
    for max_elements in (2**24, 30):  # whole, and in chunks of two points
        found = log_aggregate(q, points, max_elements=max_elements)
        torch.testing.assert_close(found, torch.tensor(by_loop))
    model = ClusteredVAE(nn.Linear(2, 3), places=PLACES, scale=0.2, likelihood=partial(normal, scale=1.0))
    by_loop = [
        math.log(sum(math.exp(-(point - torch.tensor(m)).square().sum() / 0.08) for m in PLACES) / 4 / (0.08 * math.pi))
        for point in points
    ]
    torch.testing.assert_close(log_prior(model, points), torch.tensor(by_loop))


def test_information_is_nothing_where_all_encodings_are_one_and_log_n_where_none_overlap():
    together = dist.Normal(torch.zeros(8, 2), 1.0).to_event(1)
    apart = dist.Normal(torch.arange(16.0).reshape(8, 2) * 100, 1.0).to_event(1)
    assert information(together) == pytest.approx(0, abs=1e-12)
    assert information(apart) == pytest.approx(math.log(8))


# Networks and recipes.


def num_parameters(module):
    return sum(p.numel() for p in module.parameters())


def test_the_batch_normed_networks_sizes():
    encoder, decoder = NormedConvEncoder((1, 32, 32)), NormedConvDecoder(50, (1, 32, 32))
    assert num_parameters(encoder) == 16 * (32 + 32 * 64 + 64 * 128) + 2 * (64 + 128)
    assert encoder.out_features == 128 * 4 * 4
    assert num_parameters(decoder) == 16 * (50 * 128 + 128 * 64 + 64 * 32 + 32) + 2 * (128 + 64 + 32)
    kinds = [type(layer).__name__ for layer in encoder.layers]
    assert kinds == ["Conv2d", "LeakyReLU", *["Conv2d", "BatchNorm2d", "LeakyReLU"] * 2, "Flatten"]
    weight = decoder.layers[1].weight
    assert weight.std().item() == pytest.approx(0.02, rel=5 / math.sqrt(2 * weight.numel()))
    decoder.double().eval()
    z = torch.randn(2, 3, 50)
    torch.testing.assert_close(decoder(z)[1, 2], decoder(z[1, 2][None])[0])
    with pytest.raises(ValueError, match=r"give 32 pixels, got \[1, 64, 64\]"):
        NormedConvDecoder(50, (1, 64, 64))


def test_the_heads_last_layer_is_their_convolution():
    # 4 x 4 on a 4 x 4 map is a dense layer on the flattened map
    convolution = nn.Conv2d(128, 50, 4)
    dense = nn.Linear(2048, 50)
    dense.weight, dense.bias = nn.Parameter(convolution.weight.flatten(1)), convolution.bias
    maps = torch.randn(3, 128, 4, 4)
    torch.testing.assert_close(dense(maps.flatten(1)), convolution(maps)[..., 0, 0])


def test_principal_variances_are_squared_singular_values():
    x = torch.randn(40, 12) @ torch.diag(torch.linspace(3, 1, 12))
    data = Dataset.from_arrays(x.float().numpy(), name="toy")
    squares = torch.linalg.svdvals(x.float().double()).square()
    expected = 4 * squares / squares[:4].sum()
    torch.testing.assert_close(principal_variances(data, 4), expected[:4], rtol=1e-6, atol=0)
    later = principal_variances(data, 3, first=5)
    torch.testing.assert_close(later, 3 * squares[4:7] / squares[4:7].sum(), rtol=1e-3, atol=0)
    with pytest.raises(ValueError, match="components 1 to 13 of 40 datapoints with 12 numbers each; there are 12"):
        principal_variances(data, 13)
    with pytest.raises(ValueError, match="components 8 to 17 of 40"):
        principal_variances(data, 10, first=8)


def small_shapes():
    return load("shapes", shape=[0], scale=[5], orientation=[0], posX=range(8), posY=range(8))


@pytest.mark.parametrize("prior", ["iso", "pca", "learnt", "student-t"])
def test_the_recipes_of_section_6_1(prior):
    experiment = shapes(small_shapes(), prior=prior, beta=2.0)
    trunk, decoder = experiment.guide.trunk, experiment.model.decoder
    dense, conv = (lambda a, b: a * b + b), (lambda a, b: 16 * a * b + b)
    assert num_parameters(trunk) == conv(1, 32) + conv(32, 32) + conv(32, 64) + conv(64, 64) + dense(1024, 128)
    assert num_parameters(decoder) == (
        dense(10, 128) + dense(128, 1024) + 2 * conv(64, 64) + conv(64, 32) + conv(32, 1)
    )
    assert (trunk(torch.rand(5, 1, 64, 64)) < 0).any()  # no activation on the features
    optimizer = experiment.optimizer(experiment.model.parameters(), lr=1e-3)
    assert optimizer.defaults["amsgrad"]
    assert math.isfinite(experiment.elbo.loss(experiment.model, experiment.guide, torch.rand(4, 1, 64, 64)))
    if prior != "student-t":
        assert experiment.model.variances.mean().item() == pytest.approx(1, abs=1e-6)
        assert experiment.model.log_variances.requires_grad == (prior == "learnt")


def test_the_recipe_of_section_6_2_is_told_about_bad_knobs():
    split = load("pinwheel")
    experiment = pinwheel(split, alpha=1.0, log_p="per-unit")
    assert experiment.batch_size == 400
    assert num_parameters(experiment.guide) == num_parameters(experiment.model) == 300 + 404
    with pytest.raises(ValueError, match="'paper' or 'code', got 'variance'"):
        fashion_mnist(split, sigma_0="variance")
    with pytest.raises(ValueError, match="'iso', 'pca', 'learnt' or 'student-t', got 'flat'"):
        shapes(small_shapes(), prior="flat")


# Pictures and claims.


def test_the_interpolated_unit_is_the_classes_largest_and_goes_outward(monkeypatch):
    # codes are the pixels themselves, and class k lights pixel k
    x = np.full((20, 1, 1, 3), 10, np.uint8)
    y = np.arange(20) % 2
    x[np.arange(20), 0, 0, 2 * y] = np.linspace(100, 200, 20)
    data = Dataset.from_arrays(x, y, classes=("a", "b"), x_max=255)

    def guide(x, **_):
        with pyro.plate("data", len(x)):
            pyro.sample("z", dist.Normal(-x.flatten(1), 0.1).to_event(1))

    model = VAE(nn.Unflatten(-1, (1, 1, 3)), z_dim=3, likelihood=partial(normal, scale=0.1))
    monkeypatch.setattr(plots, "device_of", lambda module: "cpu")
    grid, units = plots.interpolations(model, guide, data, classes=(0, 1), steps=3)
    assert units == {"a": 0, "b": 2}
    # column 0 is the datapoint; unit 0 goes from z to z - 1 as z is negative, the other units stay
    moved = grid.images[0, 1:, 0, 0]
    torch.testing.assert_close(moved[:, 0] - moved[0, 0], torch.tensor([0.0, -0.5, -1.0]))
    torch.testing.assert_close(moved[:, 1], torch.full((3,), -10 / 255))
    assert moved[0, 0] <= -x[y == 0, 0, 0, 0].mean() / 255  # as large as the class's average at least


def held(name, number, table):
    seeds = {variant: dict(enumerate(rows)) for variant, rows in table.items()}
    return REPRODUCTIONS[name].claims[number].held(Results(seeds))


def test_claims_are_told_from_the_results():
    falls = {name: [{"KL(p || q)": 3.0 - i}] for i, name in enumerate(ALPHA_NAMES)}
    assert held("decomposition/figure-3", 3, falls)[0] is True
    falls["alpha 8"] = [{"KL(p || q)": 1.5}]
    assert held("decomposition/figure-3", 3, falls) == (
        False,
        "KL(p || q) for alpha 1 to alpha 8: 3.00, 2.00, 1.00, 1.50.",
    )
    assert held("decomposition/figure-3", 3, {})[0] is None
    metric = {"pca, beta 1": [{"metric": 0.8}, {"metric": 0.82}], "iso, beta 1": [{"metric": 0.6}, {"metric": 0.62}]}
    assert held("decomposition/figure-2", 0, metric)[0] is True
    metric["iso, beta 1"][1] = {"metric": 1.0}  # the spread is then as large as the difference
    assert held("decomposition/figure-2", 0, metric)[0] is None
    hoyers = {f"gamma 0, alpha {alpha}": [{"Hoyer": 0.23}] for alpha in (0, 100, 1000)}
    for name in SPARSE:
        hoyers |= {
            f"{name}, alpha {alpha}": [{"Hoyer": value}] for alpha, value in ((0, 0.25), (100, 0.4), (1000, 0.5))
        }
    assert held("decomposition/figure-4", 0, hoyers)[0] is True
    assert held("decomposition/figure-4", 1, hoyers)[0] is True
    hoyers[f"{SPARSE[1]}, alpha 100"] = [{"Hoyer": 0.26}]
    assert held("decomposition/figure-4", 0, hoyers)[0] is False
    assert held("decomposition/figure-4", 1, hoyers)[0] is False


def test_two_standard_errors_as_the_paper_shades_them():
    assert two_errors([1.0, 2.0, 3.0, 4.0]) == pytest.approx(2 * math.sqrt(5 / 3) / 2)
    assert two_errors([1.0]) == 0.0
