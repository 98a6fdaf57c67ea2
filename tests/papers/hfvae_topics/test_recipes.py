"""The topic models' recipes, setting by setting, and what they refuse."""

import numpy as np
import pytest
import torch
from torch import nn

from tests.papers.hfvae_topics.posts import VOCABULARY, posts, split
from zoo import NVDM, ProdLDA
from zoo.elbos import HFVAE, PlainELBO
from zoo.lab.data import Dataset, Split
from zoo.papers.hfvae_topics.networks import UnitLength
from zoo.papers.hfvae_topics.recipes import from_unit_scales, newsgroups


def test_prodldas_settings():
    data = split(600)
    experiment = newsgroups(data)
    model, guide = experiment.model, experiment.guide
    assert isinstance(model, ProdLDA)
    assert list(model.groups.items()) == [("z1", 25), ("z2", 25)]
    elbo = experiment.elbo
    assert isinstance(elbo, HFVAE)
    assert (elbo.alpha.item(), elbo.beta.item(), elbo.gamma.item(), elbo.num_data) == (
        1.0,
        pytest.approx(0.1),
        4.0,
        600,
    )
    assert experiment.batch_size == 512
    assert experiment.lr == pytest.approx(0.002 * 512 / 200)
    assert experiment.steps == 100 * (600 // 512)
    kinds = [type(m).__name__ for m in guide.trunk.modules() if not list(m.children())]
    assert kinds == ["UnitLength", "Linear", "Softplus", "Linear", "Softplus", "Dropout"]
    widths = [(m.in_features, m.out_features) for m in guide.trunk.modules() if isinstance(m, nn.Linear)]
    assert widths == [(7, 100), (100, 100)]
    for hyperparameters, dropout, scale in (({}, 0.0, True), ({"dropout": 0.6, "scale": False}, 0.6, False)):
        made = newsgroups(data, **hyperparameters)
        layers = [m for net in (made.model, made.guide) for m in net.modules()]
        assert [m.p for m in layers if isinstance(m, nn.Dropout)] == [dropout] * 2
        assert [m.weight.requires_grad for m in layers if isinstance(m, nn.BatchNorm1d)] == [scale] * 3
    optimizer = experiment.optimizer(guide.parameters(), lr=experiment.lr)
    assert (type(optimizer), optimizer.defaults["betas"]) == (torch.optim.Adam, (0.99, 0.999))


def test_the_vae_that_it_is_compared_with():
    experiment = newsgroups(split(600), objective="vae", groups="50")
    assert isinstance(experiment.elbo, PlainELBO)
    assert list(experiment.model.groups.items()) == [("z", 50)]
    assert (experiment.batch_size, experiment.lr, experiment.steps) == (200, 0.002, 300)


def test_nvdms_settings():
    experiment = newsgroups(split(600), model="nvdm", objective="vae", groups="50")
    model, guide = experiment.model, experiment.guide
    assert isinstance(model, NVDM)
    assert (experiment.batch_size, experiment.lr) == (64, 5e-5)
    (linear,) = [m for m in model.modules() if isinstance(m, nn.Linear)]
    assert (linear.in_features, linear.out_features, linear.bias is not None) == (50, 7, True)
    kinds = [type(m).__name__ for m in guide.trunk.modules() if not list(m.children())]
    assert kinds == ["UnitLength", "Linear", "Tanh"]
    q = guide.posterior("z", torch.randn(5, 500), {}).base_dist
    torch.testing.assert_close(q.scale, torch.ones(5, 50))
    assert (q.loc != 0).any()
    assert from_unit_scales([3, 4]).bias.abs().sum() == 0


def test_documents_enter_as_vectors_of_one_length():
    x = torch.tensor([[3.0, 4.0, 0.0, 0.0], [6.0, 8.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0]])
    by_hand = torch.tensor([[1.2, 1.6, 0.0, 0.0], [1.2, 1.6, 0.0, 0.0], [0.0, 0.0, 2.0, 0.0]])
    torch.testing.assert_close(UnitLength()(x), by_hand)


def rows(x, vocabulary=VOCABULARY):
    return Dataset("mine", np.asarray(x, np.float32), vocabulary=vocabulary)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (rows(np.ones((9, 7)), ()), "'mine' has no vocabulary, which topics need: use --data newsgroups"),
        (rows(np.ones((9, 5))), r"'mine': 7 words for datapoints of shape \(5,\)"),
        (rows(np.ones((9, 7)) * (np.arange(9) != 4)[:, None]), "'mine': document 4 has no words"),
        (
            rows(np.full((9, 7), 0.3)),
            "document 0 has no words, or counts that are not whole .* not weights such as tf-",
        ),
        (rows(np.full((9, 7), -1.0)), "document 0 has no words, or counts"),
    ],
)
def test_data_that_are_no_documents_are_refused_before_anything_is_trained(data, message):
    with pytest.raises(ValueError, match=message):
        newsgroups(Split(posts(), data))


@pytest.mark.parametrize(
    ("hyperparameters", "message"),
    [
        ({"groups": "25,25"}, "write the topics of each group as 50 or 25[+]25, got '25,25'"),
        ({"groups": "25+0"}, r"each needs at least 1 topic, got \[25, 0\]"),
        ({"model": "lda"}, "model must be 'prodlda' or 'nvdm' and objective 'vae' or 'hfvae', got 'lda'"),
        ({"objective": "elbo"}, "got 'prodlda' and 'elbo'"),
    ],
)
def test_knobs_that_make_no_sense_are_refused(hyperparameters, message):
    with pytest.raises(ValueError, match=message):
        newsgroups(split(), **hyperparameters)
