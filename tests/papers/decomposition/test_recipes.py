"""The decomposition paper's recipes, setting by setting."""

import math

import pytest
import torch

from zoo.lab.data import Dataset, load
from zoo.papers.decomposition.recipes import fashion_mnist, pinwheel, principal_variances, shapes


def num_parameters(module):
    return sum(p.numel() for p in module.parameters())


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
