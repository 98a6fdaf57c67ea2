"""DIP-VAE's recipes: the paper's networks and weights, and baselines that differ in the objective alone."""

import pyro
import pytest
import torch

from tests.pairs import assert_same_but_for_the_objective
from tests.traced import fit
from zoo.elbos import DIPVAE, BetaVAE, PlainELBO
from zoo.lab.analysis.posterior import posterior_means
from zoo.lab.data import Dataset, Split, load
from zoo.papers import configure
from zoo.papers.dip_vae.recipes import BETAS, LAMBDAS
from zoo.papers.recipes import RECIPES


def built(name, data, **hyperparameters):
    pyro.set_rng_seed(0)
    return RECIPES[name].build(data, **hyperparameters)


def loss(experiment, x, elbo=None):
    pyro.set_rng_seed(1)
    return (elbo or experiment.elbo).loss(experiment.model, experiment.guide, x)


@pytest.fixture(scope="module")
def data():
    """The sets by name; noise of CelebA's shape stands in for it, other chairs for the chairs."""
    noise = torch.randint(256, (12, 3, 64, 64), generator=torch.Generator().manual_seed(0)).byte()
    faces = Dataset.from_arrays(noise, name="noise")
    return {
        "digits": load("digits"),
        "shapes": load("shapes", held_out=0.02),
        "celeba": Split(faces, faces),
        "chairs": load("procedural-chairs", masks=True),
    }


BESIDE = {
    "dip-vae/digits": "beta-vae",
    "dip-vae/shapes": "beta-vae/shapes",
    "dip-vae/celeba": "beta-vae/celeba",
    "dip-vae/chairs": "beta-vae/chairs",
}


# What the text fixes.


def test_the_grids_are_the_papers():
    assert LAMBDAS == (1, 2, 5, 10, 20, 50)
    assert BETAS == (1, 2, 4, 8, 16, 25, 32, 64, 100, 128, 200, 256)


@pytest.mark.parametrize("name", BESIDE)
def test_the_diagonal_weighs_ten_times_the_rest(name, data):
    elbo = built(name, data[name.split("/")[1]], lambda_od=5.0).elbo
    assert isinstance(elbo, DIPVAE)
    assert (elbo.lambda_od.item(), elbo.lambda_d.item()) == (5.0, 50.0)


def test_the_fully_connected_network_has_higgins_widths(data):
    encoder = [(4096, 1200), (1200, 1200), (1200, 20)]  # means and log variances of 10 units
    decoder = [(10, 1200), (1200, 1200), (1200, 1200), (1200, 4096)]
    experiment = built("dip-vae/shapes", data["shapes"])
    assert count(experiment.guide) == sum((before + 1) * after for before, after in encoder)
    assert count(experiment.model) == sum((before + 1) * after for before, after in decoder)
    assert sum(isinstance(layer, torch.nn.Tanh) for layer in experiment.model.modules()) == 3


@pytest.mark.parametrize(("name", "channels", "z_dim"), [("dip-vae/shapes", 1, 10), ("dip-vae/celeba", 3, 32)])
def test_the_convolutional_network_has_higgins_layers(name, channels, z_dim, data):
    hyperparameters = {"network": "conv"} if name == "dip-vae/shapes" else {}
    experiment = built(name, data[name.split("/")[1]], **hyperparameters)
    maps = [(channels, 32), (32, 32), (32, 64), (64, 64)]  # 4 x 4, stride 2: 64 pixels to 4
    convolutions = sum(16 * before * after for before, after in maps)
    dense = (1024 + 1) * 256 + (256 + 1) * 2 * z_dim
    assert count(experiment.guide) == convolutions + 32 + 32 + 64 + 64 + dense
    dense = (z_dim + 1) * 256 + (256 + 1) * 1024
    assert count(experiment.model) == convolutions + 64 + 32 + 32 + channels + dense


def count(module):
    return sum(p.numel() for p in module.parameters())


# Beside it.


@pytest.mark.parametrize("name", BESIDE)
def test_the_baseline_differs_in_the_objective_alone(name, data):
    split = data[name.split("/")[1]]
    ours, theirs = built(name, split), built(BESIDE[name], split)
    assert isinstance(theirs.elbo, BetaVAE)
    assert_same_but_for_the_objective(ours, theirs)
    assert RECIPES[name].data == name.split("/")[1]
    if name != "dip-vae/digits":
        assert RECIPES[name].data_options == RECIPES[BESIDE[name]].data_options


@pytest.mark.parametrize("name", BESIDE)
def test_the_loss_is_the_vaes_and_the_penalty_of_the_batchs_means(name, data):
    # the first pass has no running estimate yet, so Cov is the batch's own, by 1 / B; beta = 1 is the VAE
    split = data[name.split("/")[1]]
    ours, vae = built(name, split, lambda_od=3.0), built(BESIDE[name], split, beta=1.0)
    x = split.train.batch(torch.arange(9)).x
    means = posterior_means(ours.guide, x)["z"]
    assert means.shape == (9, 32 if name in ("dip-vae/celeba", "dip-vae/chairs") else 10)
    penalty = 0.0
    centred = means - means.mean(0)
    for i, column in enumerate(centred.T):
        for j, other in enumerate(centred.T):
            entry = sum(a * b for a, b in zip(column.tolist(), other.tolist(), strict=True)) / 9
            penalty += 30.0 * (entry - 1) ** 2 if i == j else 3.0 * entry**2
    assert loss(ours, x) - loss(vae, x) == pytest.approx(penalty)
    assert loss(vae, x) == pytest.approx(loss(vae, x, PlainELBO()))


def test_the_codes_of_digits_near_the_identity_unless_the_running_estimate_lags(data):
    everything = data["digits"].test.batch(torch.arange(len(data["digits"].test))).x

    def far_from_identity(steps, **hyperparameters):
        experiment = built("dip-vae/digits", data["digits"], **hyperparameters)
        batches = data["digits"].train.batches(64, seed=0, steps=steps)
        distances = []
        for step, _ in fit(experiment.model, experiment.guide, experiment.elbo, batches, lr=2e-3, device="cpu"):
            if step > steps - 100 and step % 10 == 0:
                means = posterior_means(experiment.guide, everything)["z"]
                distances.append((torch.cov(means.T) - torch.eye(10)).square().sum())
        return torch.stack(distances).mean()

    silent = 10  # the distance of codes that do not vary
    assert far_from_identity(300) < 0.5 * silent
    assert far_from_identity(150, rate=0.1) > silent


# What goes wrong.


@pytest.mark.parametrize("name", ["dip-vae/celeba", "beta-vae/celeba", "dip-vae/chairs", "beta-vae/chairs"])
def test_missing_data_is_said_by_its_loader(name, tmp_path):
    with pytest.raises(FileNotFoundError, match=rf"data '{name.split('/')[1]}': .*not found.*ZOO_DATA"):
        configure(name, data_dir=tmp_path)


def test_an_unknown_network_is_named(data):
    with pytest.raises(ValueError, match="network must be 'mlp' or 'conv', got 'cnn'"):
        built("dip-vae/shapes", data["shapes"], network="cnn")
