"""Classifiers of real and generated images, and the labels that they give to generated ones."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from tests.pairs import SHAPE
from zoo.lab.data import Dataset, load
from zoo.papers.natural_clustering import labels
from zoo.papers.natural_clustering.classifiers import classification_error, train_classifier, wrong_labels
from zoo.papers.natural_clustering.recipes import digits


def split_set(num=600, *, shape=SHAPE, noise=0.05, seed=0):
    """Dark and light images, class by class."""
    rng = np.random.default_rng(seed)
    y = np.arange(num) % 2
    x = (0.25 + 0.5 * y)[:, None, None, None] + noise * rng.standard_normal((num, *shape))
    return Dataset.from_arrays(x.clip(0, 1), y)


SMALL = {"classes": 2, "epochs": 30, "hidden": 8, "batch_size": 50, "lr": 1e-2}


def test_real_data_that_tell_the_class_leave_no_error_and_wrong_ones_leave_all():
    train, test = split_set(), split_set(100, seed=1)
    assert classification_error(train, test, **SMALL) == 0

    def swapped(y):
        return (0.75 - 0.5 * y).reshape(-1, 1, 1, 1).expand(-1, *SHAPE).to(torch.get_default_dtype())

    assert classification_error(train, test, generate=swapped, share=1.0, **SMALL) == 100
    asked = []

    def counting(y):
        asked.append(len(y))
        return torch.zeros(len(y), *SHAPE)

    classification_error(train, test, generate=counting, share=0.4, **SMALL)
    # 30 epochs of 600 points, each replaced with probability 0.4; 5 standard deviations
    assert sum(asked) == pytest.approx(0.4 * 18_000, abs=5 * math.sqrt(18_000 * 0.24))


def test_a_repeat_is_the_same_and_leaves_the_random_state():
    train, test = split_set(noise=0.5), split_set(100, seed=1, noise=0.5)
    torch.manual_seed(5)
    before = torch.get_rng_state()
    quick = SMALL | {"epochs": 1}
    errors = [classification_error(train, test, **quick, seed=seed) for seed in (0, 0, 1)]
    assert torch.equal(torch.get_rng_state(), before)
    assert errors[0] == errors[1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"share": 1.5}, r"share must be in \[0, 1\].*got 1.5"),
        ({"share": 0.4}, "generate= must be given"),
    ],
)
def test_a_share_that_makes_no_sense_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        classification_error(split_set(60), split_set(60), **SMALL, **options)


def test_a_set_without_labels_is_refused():
    unlabelled = Dataset.from_arrays(np.zeros((60, *SHAPE), dtype=np.uint8))
    with pytest.raises(ValueError, match="has no labels, so there is nothing to classify"):
        classification_error(unlabelled, unlabelled, **SMALL)


def test_a_conv_classifier_learns_and_one_that_does_not_exist_is_refused():
    train, test = (split_set(num, shape=(1, 8, 8), seed=seed) for seed, num in enumerate((600, 100)))
    assert classification_error(train, test, **SMALL | {"epochs": 5}, network="conv") == 0
    net = train_classifier(train, **SMALL | {"epochs": 0}, network="conv")
    # 4 x 4 convolutions to 16 and 32 channels, 8 to 2 pixels a side, then 8 dense units and 2 logits
    sizes = [16 * 1 * 16, 16, 32 * 16 * 16, 32, 8 * 32 * 4, 8, 2 * 8, 2]
    assert [p.numel() for p in net.parameters()] == sizes
    with pytest.raises(ValueError, match="network must be 'mlp' or 'conv', got 'cnn'"):
        train_classifier(train, **SMALL, network="cnn")


# Labels of samples.


class ByShade(nn.Module):
    """Classifies an image by its first pixel, which is the class."""

    def forward(self, x):
        return -(x.flatten(1)[:, :1] - torch.arange(3)).abs()


def test_wrong_labels_are_the_share_that_comes_out_as_another_class():
    asked = []

    def images(y):
        """Class 2 looks like class 0 in half of the samples, the others like themselves."""
        asked.append(y)
        shown = torch.where((y == 2) & (torch.rand(len(y)) < 0.5), 0, y)
        return shown.reshape(-1, 1, 1, 1).expand(-1, *SHAPE)

    torch.manual_seed(4)
    before = torch.get_rng_state()
    found = [wrong_labels(images, ByShade(), classes=3, num=3_000, seed=seed) for seed in (0, 0, 1)]
    assert torch.equal(torch.get_rng_state(), before)
    assert found[0] == found[1] != found[2]
    # 1,000 of 3,000 are of class 2, each wrong with probability 1/2; 5 standard deviations
    assert found[0] == pytest.approx(100 / 6, abs=5 * 100 * math.sqrt(250) / 3_000)
    assert torch.cat(asked[:2]).bincount().tolist() == [1_000] * 3

    def swapped(y):
        return ((y + 1) % 3).reshape(-1, 1, 1, 1).expand(-1, *SHAPE)

    assert wrong_labels(swapped, ByShade(), classes=3, num=30) == 100


def test_a_trial_measures_every_quantity_and_finds_that_an_untrained_model_has_no_classes():
    split = load("digits")
    experiment = digits(split)
    trained = SimpleNamespace(model=experiment.model, guide=experiment.guide, data=split)
    trial = SimpleNamespace(seed=0, device=None, steps=lambda **_: 1, train=lambda *_, **__: trained)
    found = labels.labels("digits", 1)(trial)
    assert found.keys() == labels.QUANTITIES.keys()
    # all grey, so that nearly all samples are taken for the same of the ten classes
    assert found[labels.wrong_at(1)] == pytest.approx(90, abs=5)
    assert found["no samples"] < 30
