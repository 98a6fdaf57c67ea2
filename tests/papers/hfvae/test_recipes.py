"""HFVAE's recipes: Table 2's sizes, the library's networks, and baselines that differ in the objective alone."""

import math

import numpy as np
import pyro
import pytest
import torch
from torch import nn

from guides import Concrete, MeanField
from tests.pairs import assert_same_but_for_the_objective
from zoo import VAE, JointVAE
from zoo.elbos import HFVAE, BetaTCVAE, BetaVAE
from zoo.lab.data import Dataset, Split
from zoo.papers import configure
from zoo.papers.recipes import RECIPES


def stand_in(*shape, num=640):
    images = np.random.default_rng(0).integers(0, 256, (num, *shape), dtype=np.uint8)
    data = Dataset("stand-in", images)
    return Split(data, data)


def built(name, data, **hyperparameters):
    pyro.set_rng_seed(0)
    return RECIPES[name].build(data, **hyperparameters)


SHAPES = {"mnist": (1, 28, 28), "fashion-mnist": (1, 28, 28), "shapes": (1, 64, 64), "celeba": (3, 64, 64)}

# data, z_dim, c_dim (Table 2), steps: 200 epochs of 60,000 // 512, disentanglement_lib's images, 100 of 162,770 // 512
TABLE_2 = [
    ("mnist", 10, 10, 200 * 117),
    ("fashion-mnist", 10, 10, 200 * 117),
    ("shapes", 10, 3, 300_000 * 64 // 512),
    ("celeba", 20, 2, 100 * 317),
]


@pytest.mark.parametrize(("data", "z_dim", "c_dim", "steps"), TABLE_2)
def test_table_2(data, z_dim, c_dim, steps):
    experiment = built(f"hfvae/{data}", stand_in(*SHAPES[data]))
    model, guide, elbo = experiment.model, experiment.guide, experiment.elbo
    assert isinstance(model, JointVAE)
    assert (len(model.loc), model.types) == (z_dim, {"c": c_dim})
    assert isinstance(guide.heads["c"], Concrete)
    assert isinstance(guide.heads["z"], MeanField)
    assert guide.sites == ("c", "z")
    assert guide.heads["z"].given == ("c",)
    assert [t.item() for t in (model.temperature, guide.heads["c"].temperature)] == pytest.approx([0.66, 0.66])
    assert isinstance(elbo, HFVAE)
    assert [w.item() for w in (elbo.alpha, elbo.beta, elbo.gamma)] == [1.0, 4.0, 3.0]
    assert (elbo.concrete, elbo.estimator, elbo.num_data, elbo.groups) == ("mass", "stratified", 640, None)
    assert (experiment.batch_size, experiment.lr, experiment.steps) == (512, 1e-3, steps)
    assert RECIPES[f"hfvae/{data}"].data == data


def count(module):
    return sum(parameter.numel() for parameter in module.parameters())


def dense(*pairs):
    return sum((before + 1) * after for before, after in pairs)


def test_the_librarys_networks_for_mnist():
    experiment = built("hfvae/mnist", stand_in(1, 28, 28))
    # 784-400; 400-10 for the type; 400 and the type through 200 to means and log variances of 10
    assert count(experiment.guide) == dense((784, 400), (400, 10), (400 + 10, 200), (200, 20))
    assert count(experiment.model) == dense((10 + 10, 200), (200, 400), (400, 784))
    assert not any(isinstance(layer, nn.Tanh) for layer in experiment.model.modules())


def test_the_networks_for_shapes_and_faces():
    experiment = built("hfvae/shapes", stand_in(1, 64, 64))
    pairs = [(4096, 1200), (1200, 1200), (1200, 3), (1200 + 3, 200), (200, 20)]
    assert count(experiment.guide) == dense(*pairs)
    assert count(experiment.model) == dense((13, 400), (400, 1200), (1200, 1200), (1200, 4096))
    assert sum(isinstance(layer, nn.Tanh) for layer in experiment.model.modules()) == 3
    narrow = built("hfvae/shapes", stand_in(1, 64, 64), width=8)
    assert count(narrow.guide) == dense((4096, 8), (8, 8), (8, 3), (8 + 3, 200), (200, 20))
    faces = built("hfvae/celeba", stand_in(3, 64, 64))
    maps = [(3, 32), (32, 32), (32, 64), (64, 64)]  # 4 x 4 of stride 2, to 4 pixels
    convolutions = sum(16 * before * after + after for before, after in maps)
    assert count(faces.guide) == convolutions + dense((1024, 256), (256, 2), (256 + 2, 200), (200, 40))


BESIDE = {
    "hfvae/mnist-beta-vae": ("hfvae/mnist", BetaVAE),
    "hfvae/mnist-beta-tcvae": ("hfvae/mnist", BetaTCVAE),
    "hfvae/shapes-beta-vae": ("hfvae/shapes", BetaVAE),
    "hfvae/shapes-beta-tcvae": ("hfvae/shapes", BetaTCVAE),
}


@pytest.mark.parametrize("name", BESIDE)
def test_what_stands_beside_differs_in_the_objective_alone(name):
    beside, objective = BESIDE[name]
    data = stand_in(*SHAPES[RECIPES[name].data])
    ours, theirs = built(beside, data), built(name, data, beta=2.5)
    assert isinstance(theirs.elbo, objective)
    assert theirs.elbo.beta.item() == 2.5
    assert_same_but_for_the_objective(ours, theirs)
    assert (RECIPES[name].data, RECIPES[name].data_options) == (RECIPES[beside].data, RECIPES[beside].data_options)


@pytest.mark.parametrize("name", ["hfvae/mnist", "hfvae/shapes", *BESIDE])
def test_without_classes_there_is_a_style_alone(name):
    experiment = built(name, stand_in(*SHAPES[RECIPES[name].data]), c_dim=0)
    assert isinstance(experiment.model, VAE)
    assert experiment.guide.sites == ("z",)
    assert experiment.guide.heads["z"].hidden == (200,)
    x = stand_in(*SHAPES[RECIPES[name].data]).train.batch(torch.arange(4)).x
    assert math.isfinite(experiment.elbo.loss(experiment.model, experiment.guide, x))


def test_equal_weights_are_beta_tcvaes():
    # The TC of all units is that between the groups plus those within, so beta = gamma, alpha = 1 is beta-TCVAE.
    data = stand_in(1, 8, 8, num=40)
    x = data.train.batch(torch.arange(20)).x
    losses = []
    for name, hyperparameters in (
        ("hfvae/mnist", {"beta": 5.0, "gamma": 5.0}),
        ("hfvae/mnist-beta-tcvae", {"beta": 5.0}),
    ):
        experiment = built(name, data, **hyperparameters)
        pyro.set_rng_seed(1)
        losses.append(experiment.elbo.loss(experiment.model, experiment.guide, x))
    assert losses[0] == pytest.approx(losses[1], rel=1e-12)


def test_by_mass_the_terms_of_the_type_alone_do_not_move_it_and_by_density_they_do():
    # At the arg max k of a draw nothing flows through the draw, and E_q[d log q(k)] = sum_k d q(k) = 0. So where the
    # decoder and the style do not look at c, its logits stay where they are, in the mean over draws.
    data = stand_in(1, 2, 2, num=400)
    slopes = {}
    for concrete in ("mass", "density"):
        experiment = built("hfvae/mnist", data, concrete=concrete, beta=1.0)
        guide = experiment.guide
        with torch.no_grad():
            experiment.model.decoder.layers[0][0].weight[:, 10:] = 0
            guide.layers["z"][0].weight[:, 400:] = 0
            guide.layers["c"][0].weight.zero_()
            guide.layers["c"][0].bias.copy_(torch.tensor([2.0, *[0.0] * 9]))  # too sure of the first class
        bias = guide.layers["c"][0].bias
        for _ in range(10):
            experiment.elbo.loss_and_grads(experiment.model, guide, data.train.batch(torch.arange(100)).x)
        slopes[concrete] = bias.grad / 10
    # One draw's slope is 1 [k = j] - q(j), of standard deviation up to 1/2, and there are 1,000 draws.
    assert slopes["mass"].abs().max() < 5 * 0.5 / math.sqrt(1000)
    assert slopes["density"][0] > 10 * slopes["mass"].abs().max()  # going down it lowers the first logit


@pytest.mark.parametrize(
    ("hyperparameters", "message"),
    [
        ({"concrete": "mas"}, "concrete must be 'mass' or 'density', got 'mas'"),
        ({"beta": -1.0}, "beta must be finite and at least 0, got -1"),
        ({"gamma": math.nan}, "gamma must be finite, got nan"),
        ({"temperature": 0.0}, "temperature must be positive and finite, got 0"),
        ({"c_dim": 1}, r"a type needs at least 2 classes, got \[1\]"),
        ({"z_dim": 0}, "a site needs at least one unit, got 0"),
    ],
)
def test_settings_that_make_no_sense_are_refused_when_built(hyperparameters, message):
    for name in ("hfvae/mnist", "hfvae/digits"):
        if name == "hfvae/digits" and "z_dim" in hyperparameters:
            continue
        with pytest.raises(ValueError, match=message):
            built(name, stand_in(1, 8, 8), **hyperparameters)


def test_groups_that_name_unknown_sites_are_refused_before_a_step():
    experiment = built("hfvae/mnist", stand_in(1, 8, 8))
    elbo = HFVAE(alpha=1.0, beta=1.0, gamma=1.0, num_data=640, groups=[["z"], ["c", "s"]])
    x = stand_in(1, 8, 8).train.batch(torch.arange(4)).x
    with pytest.raises(ValueError, match=r"latent sites \['c', 'z'\] once; unknown: \['s'\]"):
        elbo.loss(experiment.model, experiment.guide, x)


def test_missing_faces_are_said_by_their_loader(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"data 'celeba': .*not found.*ZOO_DATA"):
        configure("hfvae/celeba", data_dir=tmp_path)
