"""FactorVAE's discriminator: on its own loss, its own half of the batch, and nobody else's parameters."""

import math

import pytest
import torch
from torch import nn

from tests.pairs import SHAPE, images, vae_pair
from tests.type_pairs import HEADS
from tests.type_pairs import pair as type_pair
from zoo.elbos import FactorVAE, PlainELBO
from zoo.estimators import permute_units
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
        def step(self, z, sizes=None):
            seen.append(z)
            return super().step(z, sizes)

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
    adversary.step(*sample(guide, torch.rand(8, *SHAPE)))
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


@pytest.mark.parametrize("head", ["concrete", "straight-through"])
def test_a_type_is_permuted_as_one_unit(head):
    # A unit has the same values in another order. Entries of a type that are permuted by themselves do not add up to 1.
    _, guide = type_pair(HEADS[head], c_dims=(3, 4))
    z, sizes = sample(guide, images(50))
    assert sizes == [3, 4, 1, 1]  # c1, c2, and the two units of z
    permuted = permute_units(z, sizes)
    for before, after in zip(z.split(sizes, 1), permuted.split(sizes, 1), strict=True):
        assert sorted(after.tolist()) == sorted(before.tolist())
        assert not torch.equal(after, before)
