"""CGAN and AC-GAN: their losses by hand, and that each learns what a class looks like; samples by class."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from tests.pairs import SHAPE, cvae_pair, nvae_pair
from zoo.lab.analysis.posterior import decode
from zoo.lab.data import Dataset
from zoo.papers.natural_clustering.augmentation import generate
from zoo.papers.natural_clustering.gans import Critic, Generator, critic_loss, generator_loss, train_gan


def split_set(num=600, *, shade=0.25, noise=0.05, seed=0, y=None):
    """Dark and light images of 3 x 5 pixels, class by class."""
    rng = np.random.default_rng(seed)
    y = np.arange(num) % 2 if y is None else y
    x = (shade + (1 - 2 * shade) * y)[:, None, None, None] + noise * rng.standard_normal((num, *SHAPE))
    return Dataset.from_arrays(x.clip(0, 1), y)


def test_the_losses_are_the_papers_log_likelihoods():
    real, fake = (torch.tensor([0.3, -1.0]), torch.randn(2, 3)), (torch.tensor([2.0, 0.1]), torch.randn(2, 3))
    y = torch.tensor([2, 0])
    source = class_of_real = class_of_fake = seen = 0.0
    for n in range(2):
        d_real, d_fake = (1 / (1 + math.exp(-out[0][n])) for out in (real, fake))
        source += (math.log(d_real) + math.log(1 - d_fake)) / 2
        seen += math.log(d_fake) / 2
        class_of_real += math.log(real[1].softmax(-1)[n, y[n]]) / 2
        class_of_fake += math.log(fake[1].softmax(-1)[n, y[n]]) / 2
    assert critic_loss(real, fake, y, auxiliary=False).item() == pytest.approx(-source)
    assert critic_loss(real, fake, y, auxiliary=True).item() == pytest.approx(-source - class_of_real - class_of_fake)
    assert generator_loss(fake, y, auxiliary=False).item() == pytest.approx(-seen)
    assert generator_loss(fake, y, auxiliary=True).item() == pytest.approx(-seen - class_of_fake)


def test_cgans_critic_is_told_the_class_and_acgans_is_not():
    x, y = torch.rand(2, *SHAPE), torch.tensor([0, 1])
    for sees_class in (True, False):
        critic = Critic(classes=2, shape=SHAPE, sees_class=sees_class).eval()
        here, there = critic(x, y)[0], critic(x, 1 - y)[0]
        assert torch.equal(here, there) != sees_class


@pytest.mark.parametrize("auxiliary", [False, True], ids=["cgan", "acgan"])
def test_each_gan_learns_the_classes_means(auxiliary):
    data = split_set()
    torch.manual_seed(0)
    batches = data.batches(40, seed=0, steps=200, labels=True)
    generator = train_gan(batches, auxiliary=auxiliary, classes=2, shape=SHAPE, z_dim=4, lr=1e-3)
    images = generate(generator, sigma=1.0)
    for y, mean in ((0, 0.25), (1, 0.75)):
        assert images(torch.full((500,), y)).mean().item() == pytest.approx(mean, abs=0.1)


def test_what_a_gan_cannot_train_on_is_refused():
    data = split_set(20)
    wrong = split_set(20, y=np.full(20, 3))
    for batches, error, message in (
        (data.batches(10, seed=0, steps=1), ValueError, "draw batches with labels=True"),
        (wrong.batches(10, seed=0, steps=1, labels=True), ValueError, "from 0 to 1, got 3 to 3"),
        ([], ValueError, "batches is empty"),
    ):
        with pytest.raises(error, match=message):
            train_gan(batches, auxiliary=True, classes=2, shape=SHAPE)


@pytest.mark.parametrize("steps", [1, 40, 100, 140])
def test_a_loss_that_is_not_finite_at_the_end_is_an_error_too(steps):
    """Before: losses were looked at in steps 1, 101, 201, ... alone, and a GAN that diverged later was returned."""
    batches = list(split_set(40).batches(20, seed=0, steps=steps, labels=True))
    batches[-1] = batches[-1]._replace(x=torch.full_like(batches[-1].x, math.nan))
    with pytest.raises(FloatingPointError, match=f"step {steps}: a loss is not finite"):
        train_gan(batches, auxiliary=False, classes=2, shape=SHAPE)


# Samples by class.


@pytest.mark.parametrize("pair", [nvae_pair, cvae_pair], ids=["nvae", "cvae"])
def test_samples_are_means_at_draws_of_that_spread(pair):
    model, _ = pair()
    y = torch.tensor([0, 2, 1])
    sizes = {"z_c": 6, "z_s": 4} if pair is nvae_pair else {"z": 4}
    torch.manual_seed(3)
    made = generate(model, sigma=1.5)(y)
    torch.manual_seed(3)
    latents = {name: 1.5 * torch.randn(3, size) for name, size in sizes.items()}
    torch.testing.assert_close(made, decode(model, {"y": torch.eye(3)[y], **latents}))
    at_zero = generate(model, sigma=0.0)(y)
    torch.testing.assert_close(at_zero, generate(model, sigma=0.0)(y))


def test_samples_of_a_generator_are_its_images():
    generator = Generator(z_dim=3, classes=2, shape=SHAPE).eval()
    y = torch.tensor([0, 1])
    torch.manual_seed(1)
    made = generate(generator, sigma=2.0)(y)
    torch.manual_seed(1)
    torch.testing.assert_close(made, generator(2.0 * torch.randn(2, 3), y))


def test_a_model_without_classes_generates_nothing():
    with pytest.raises(TypeError, match="Linear does not generate by class"):
        generate(nn.Linear(1, 1), sigma=1.0)
