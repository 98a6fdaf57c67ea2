"""The two tellings of a story, and the view that joins them."""

import pyro
import pyro.distributions as dist
import torch
from torch import nn

from tests.pairs import images, vae_pair
from zoo.lab.data import Batch, Dataset
from zoo.lab.evaluate import draw, evaluate
from zoo.lab.story import Line, show, told


class Toy(nn.Module):
    """Something.

        pi ~ Dirichlet(alpha 1)      shares   [L]
        z_c ~ Normal(0, I)  [B, L, d]
        m = z_c * y                  masked, deterministic   [B, L]

    Prose with a ~ in it, and [brackets].
    """


def test_a_docstring_is_read_line_by_line():
    assert told(Toy) == [
        Line("pi", "~", "Dirichlet(alpha 1)", "shares", "[L]"),
        Line("z_c", "~", "Normal(0, I)", "", "[B, L, d]"),
        Line("m", "=", "z_c * y", "masked, deterministic", "[B, L]"),
    ]
    assert [line.family for line in told(Toy)] == ["Dirichlet", "Normal", "z_c * y"]


def test_the_view_shows_model_and_guide_with_this_batchs_shapes():
    lines = show(*vae_pair(), Batch(images(4), None, torch.arange(4))).splitlines()
    assert [" ".join(line.split()) for line in lines] == [
        "VAE",
        "z ~ Normal(0, I) code [B, 2]",
        "x ~ Bernoulli(decoder(z)) pixels (observed) [B, 1, 3, 5]",
        "Amortized",
        "z ~ Normal(guide(x)) [B, 2]",
    ]


def test_a_swapped_likelihood_is_shown_as_it_ran_not_as_the_docstring_has_it():
    model, guide = vae_pair(likelihood=lambda loc: dist.Laplace(loc, 0.1))
    text = show(model, guide, Batch(images(4), None, torch.arange(4)))
    assert "x ~ Laplace(decoder(z))" in text
    assert "Bernoulli" not in text


def test_showing_a_story_and_evaluating_it_leave_the_param_store_alone():
    before = set(pyro.get_param_store().keys())
    model, guide = vae_pair()
    show(model, guide, Batch(images(4), None, torch.arange(4)))
    evaluate(model, guide, Dataset("four", images(4).numpy()))
    draw(model, 3)
    assert set(pyro.get_param_store().keys()) == before
