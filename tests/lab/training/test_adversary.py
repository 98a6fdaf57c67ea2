"""FactorVAE's discriminator: on its own loss, its own half of the batch, and nobody else's parameters."""

import math

import pytest
import torch
from torch import nn

from tests.pairs import SHAPE, vae_pair
from zoo.elbos import FactorVAE, PlainELBO
from zoo.lab.data import Batch
from zoo.lab.networks import Discriminator
from zoo.lab.training.adversary import Adversary, sample
from zoo.lab.training.fit import fit


def batches(num, size=12):
    generator = torch.Generator().manual_seed(5)
    x = torch.rand(70, *SHAPE, generator=generator)
    for _ in range(num):
        index = torch.randperm(70, generator=generator)[:size]
        yield Batch(x[index], None, index)


def test_it_learns_the_total_correlation_of_a_correlated_normal():
    rho = 0.8
    tril = torch.tensor([[1.0, 0.0], [rho, math.sqrt(1 - rho**2)]])
    log_ratio = Discriminator(2, hidden=(64, 64))
    adversary = Adversary(log_ratio, lr=3e-3)
    losses = [adversary.step(torch.randn(256, 2) @ tril.T).item() for _ in range(300)]
    assert losses[0] == pytest.approx(math.log(2), abs=0.02)  # knowing nothing
    estimate = log_ratio(torch.randn(20_000, 2) @ tril.T).mean().item()
    # Too little rather than too much: the estimate is E[log ratio] of a discriminator that has not quite arrived.
    assert estimate == pytest.approx(-0.5 * math.log(1 - rho**2), abs=0.1)


def test_the_pair_sees_the_first_half_and_the_adversary_the_second():
    seen = []

    class Spying(Adversary):
        def step(self, z):
            seen.append(z)
            return super().step(z)

    model, guide = vae_pair()
    network = Discriminator(2, hidden=(5,))
    (batch,) = batches(1)
    halves = []
    guide.trunk.register_forward_hook(lambda module, args, out: halves.append(args[0]))
    elbo = FactorVAE(gamma=1.0, log_ratio=network)
    list(fit(model, guide, elbo, [batch], lr=1e-2, adversary=Spying(network, lr=1e-2)))
    trial, first, second = halves
    assert torch.equal(trial, batch.x)
    assert torch.equal(first, batch.x[:6])
    assert torch.equal(second, batch.x[6:])
    assert [z.shape for z in seen] == [(6, 2)]
    assert not seen[0].requires_grad


def test_each_side_trains_its_own_parameters_alone():
    model, guide = vae_pair()
    network = Discriminator(2, hidden=(5,))
    before = [p.clone() for p in network.parameters()]
    elbo = FactorVAE(gamma=5.0, log_ratio=network)
    # Without the adversary the discriminator stands still, though the objective differentiates through it.
    list(fit(model, guide, elbo, batches(3), lr=1e-2))
    assert all(torch.equal(a, b) for a, b in zip(before, network.parameters(), strict=True))
    list(fit(model, guide, elbo, batches(3), lr=1e-2, adversary=Adversary(network, lr=1e-2)))
    assert not any(torch.equal(a, b) for a, b in zip(before, network.parameters(), strict=True))


def test_a_guide_is_not_moved_by_the_adversary():
    _, guide = vae_pair()
    network = Discriminator(2, hidden=(5,))
    adversary = Adversary(network, lr=1e-2)
    before = [p.clone() for p in guide.parameters()]
    adversary.step(sample(guide, torch.rand(8, *SHAPE)))
    assert all(torch.equal(a, b) for a, b in zip(before, guide.parameters(), strict=True))
    assert all(p.grad is None for p in guide.parameters())


def test_compiled_steps_read_the_discriminator_as_it_learns(as_traced):
    # gamma = 1 and a log ratio that is one number: the term must follow the number from step to step.
    class Constant(nn.Module):
        def __init__(self):
            super().__init__()
            self.value = nn.Parameter(torch.tensor(1.0))

        def forward(self, z):
            return self.value.expand(z.shape[:-1])

    network = Constant()
    elbo = FactorVAE(gamma=1.0, log_ratio=network)
    terms = []
    for _, report in fit(*vae_pair(), elbo, batches(3), lr=1e-2, compile=True):
        terms.append(report.terms["-TC"].item())
        with torch.no_grad():
            network.value += 1.0
    assert terms == [-1.0, -2.0, -3.0]
    assert len(as_traced) == 1


def test_a_batch_too_small_to_halve_is_refused():
    network = Discriminator(2, hidden=(5,))
    elbo = FactorVAE(gamma=1.0, log_ratio=network)
    with pytest.raises(ValueError, match="its own half of each batch, at least 2 datapoints; got 3"):
        list(fit(*vae_pair(), elbo, batches(1, size=3), lr=1e-2, adversary=Adversary(network, lr=1e-2)))


def test_fit_without_an_adversary_uses_the_whole_batch():
    model, guide = vae_pair()
    sizes = []
    guide.trunk.register_forward_hook(lambda module, args, out: sizes.append(len(args[0])))
    list(fit(model, guide, PlainELBO(), batches(2), lr=1e-2))
    assert sizes == [12, 12, 12]
