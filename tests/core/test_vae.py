"""The plain story: told and traced alike, from the prior and on data."""

import math
from functools import partial

import pyro
import pytest
import torch
from pyro import poutine
from pyro.infer import Predictive
from torch import nn

from tests.pairs import NUM_DATA, SHAPE, Z_DIM, images, vae_pair
from zoo import VAE
from zoo.lab.story import docstring_lines, trace_lines
from zoo.likelihoods import Bernoulli, laplace, normal


def test_the_docstring_tells_what_the_trace_shows():
    model, _ = vae_pair()
    shown = trace_lines(poutine.trace(model).get_trace(images()))
    as_told = docstring_lines(VAE)
    assert [(line.name, line.relation, line.family) for line in as_told] == [
        (line.name, line.relation, line.expression) for line in shown
    ]
    assert [line.shape for line in as_told] == ["[B, z_dim]", "[B, C, H, W]"]
    assert [line.shape for line in shown] == [f"[B, {Z_DIM}]", "[B, 1, 3, 5]"]


def test_without_data_it_draws_from_the_prior():
    model, _ = vae_pair()
    x = model()
    assert x.shape == (1, *SHAPE)
    assert set(x.unique().tolist()) <= {0.0, 1.0}
    draws = Predictive(model, num_samples=4_000, parallel=True)()
    assert draws["z"].shape == (4_000, 1, Z_DIM)
    # 5 standard errors of the mean and of the variance (sd sqrt(2 / n)) of 8,000 standard normals
    assert abs(draws["z"].mean()) < 5 / math.sqrt(8_000)
    assert abs(draws["z"].var() - 1) < 5 * math.sqrt(2 / 8_000)


def test_an_index_makes_the_plate_one_of_all_datapoints():
    model, _ = vae_pair()
    trace = poutine.trace(model).get_trace(images(11), index=torch.arange(20, 31))
    (frame,) = trace.nodes["z"]["cond_indep_stack"]
    assert (frame.name, frame.full_size, frame.size) == ("data", NUM_DATA, 11)
    assert trace.nodes["x"]["scale"] == pytest.approx(NUM_DATA / 11)
    assert torch.equal(trace.nodes["data"]["value"], torch.arange(20, 31))


def test_binary_pixels_score_as_a_bernoulli_and_grey_ones_as_its_expectation():
    logits = torch.randn(5, 7)
    binary = torch.bernoulli(torch.full((5, 7), 0.5))
    ours, pyros = Bernoulli(logits=logits), pyro.distributions.Bernoulli(logits=logits)
    torch.testing.assert_close(ours.log_prob(binary), pyros.log_prob(binary))
    # E over b ~ Bernoulli(x) of log p(b) = x log p(1) + (1 - x) log p(0)
    grey = torch.rand(5, 7)
    expected = grey * pyros.log_prob(torch.ones(())) + (1 - grey) * pyros.log_prob(torch.zeros(()))
    torch.testing.assert_close(ours.log_prob(grey), expected)


@pytest.mark.parametrize(("dtype", "nats"), [(torch.float64, 1e-13), (torch.float32, 1e-5)])
def test_a_pixel_scores_and_learns_as_pyros_at_every_logit(dtype, nats):
    """Without log1p: value and slope, as d log p / d l = x - sigmoid(l), down to where e^-|l| is nothing, and at 0."""
    every = torch.cat([torch.linspace(-120, 120, 4001), torch.zeros(1), torch.tensor([-700.0, 700.0])])
    logits = every.to(dtype).requires_grad_()
    grey = torch.rand(len(every))
    log_prob = Bernoulli(logits=logits).log_prob(grey.to(dtype))
    bits = pyro.distributions.Bernoulli(logits=logits.detach().double())
    expected = grey * bits.log_prob(torch.ones(())) + (1 - grey) * bits.log_prob(torch.zeros(()))
    torch.testing.assert_close(log_prob.double(), expected, rtol=1e-6 if dtype == torch.float32 else 0, atol=nats)
    [slope] = torch.autograd.grad(log_prob.sum(), logits)
    torch.testing.assert_close(slope.double(), grey - logits.detach().double().sigmoid(), rtol=0, atol=nats)


def test_a_pixel_outside_0_1_has_no_density_even_without_validation():
    with pyro.validation_enabled(False):
        log_prob = Bernoulli(logits=torch.zeros(4)).log_prob(torch.tensor([-0.01, 0.0, 1.0, 1.01]))
    assert log_prob.tolist() == [-math.inf, -math.log(2), -math.log(2), -math.inf]


@pytest.mark.parametrize(
    ("likelihood", "log_density"),
    [
        (partial(normal, scale=0.3), lambda r: -0.5 * (r / 0.3) ** 2 - math.log(0.3 * math.sqrt(2 * math.pi))),
        (partial(laplace, scale=0.1), lambda r: -abs(r) / 0.1 - math.log(0.2)),
    ],
    ids=["normal", "laplace"],
)
def test_real_valued_likelihoods(likelihood, log_density):
    model, _ = vae_pair(likelihood=likelihood)
    x = torch.randn(4, *SHAPE)
    trace = poutine.trace(model).get_trace(x)
    trace.compute_log_prob()
    residual = x - model.decoder(trace.nodes["z"]["value"])
    by_hand = torch.stack([sum(log_density(r) for r in row.flatten()) for row in residual])
    torch.testing.assert_close(trace.nodes["x"]["log_prob"], by_hand)


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (torch.full((2, *SHAPE), 255.0), ValueError, r"site 'x': values in \[255, 255\].*scale the images to \[0, 1\]"),
        (torch.zeros(2, *SHAPE, dtype=torch.uint8), TypeError, r"site 'x': expected floats, got torch.uint8.*/ 255"),
        (torch.zeros(2, 15), ValueError, r"site 'x'.*\(1, 3, 5\), got data of shape \(2, 15\)"),
        (torch.zeros(2, 1, 5, 3), ValueError, r"site 'x'.*expected \(B, 1, 3, 5\)"),
        (
            torch.full((2, *SHAPE), math.nan),
            ValueError,
            r"site 'x': 30 of 30 values are NaN or infinite, the first at \[",
        ),
    ],
)
def test_data_that_cannot_have_come_from_the_story_is_refused(x, error, message):
    model, _ = vae_pair()
    with pytest.raises(error, match=message):
        poutine.trace(model).get_trace(x)


def test_dtype_and_device_follow_the_module():
    model, guide = vae_pair()
    model.float(), guide.float()
    x = images().float()
    assert model().dtype == torch.float32
    assert guide(x)["z"].dtype == torch.float32
    assert isinstance(model, nn.Module)
    assert {buffer.dtype for buffer in model.buffers()} == {torch.float32}
