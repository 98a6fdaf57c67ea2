"""The estimators of q(z) next to exact values, on sets whose posteriors are given.

Posteriors q(z | x_n) = Normal(mu_n, sd^2 I) with mu_n drawn from Normal(0, A): as N grows, q(z) tends to
Normal(0, A + sd^2 I), whose total correlation and mutual information have closed forms. At N datapoints I(x; z) is at
most log N, so where the closed form is close to that, the exact value is the sum over q(z).
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, get_args

import torch
from tabulate import tabulate
from torch import Tensor
from torch.distributions import Independent, Normal

from zoo.arguments import COUNTS, FROM_0, POSITIVE, between, checked, number_from, shown
from zoo.estimators import Estimator, gaussian_total_correlation, log_marginals, log_weights, scores
from zoo.lab.networks import Discriminator
from zoo.lab.training.adversary import Adversary
from zoo.seeds import torch_stream

COLUMNS = ("exact", "mean", "bias", "spread")


@dataclass(frozen=True, eq=False)
class Toy:
    """N posteriors q(z | x_n) = Normal(means[n], sd^2 I); means [N, D]."""

    means: Tensor
    sd: float


class SmallTerms(NamedTuple):
    """In nats: TC(z) = KL(q(z) || prod_d q(z_d)), and I(x; z) = E[log q(z | x) - log q(z)]."""

    total_correlation: float
    mutual_information: float


@checked(size=number_from(1), correlation=between(-1, 1))
def equicorrelated(size: int, correlation: float) -> Tensor:
    """The covariance [size, size] of unit variances with one correlation between any two."""
    return torch.full((size, size), correlation).fill_diagonal_(1.0)


@checked(num_data=number_from(1), sd=POSITIVE)
def draw_toy(num_data: int, cov: Tensor, sd: float, *, seed: int = 0) -> Toy:
    """N means from Normal(0, cov), [D, D].

    Raises:
        ValueError: cov is not a positive definite matrix.
    """
    factor, failed = torch.linalg.cholesky_ex(cov) if cov.dim() == 2 else (cov, torch.tensor(True))
    if failed or not factor.isfinite().all():
        raise ValueError(f"draw_toy: cov must be a positive definite covariance [D, D], got {shown(cov)}")
    noise = torch.randn(num_data, len(cov), generator=torch_stream(seed), dtype=cov.dtype)
    return Toy(noise @ factor.mT, sd)


def closed_form(cov: Tensor, sd: float) -> SmallTerms:
    """The terms as N tends to infinity: q(z) = Normal(0, C) with C = cov + sd^2 I.

    TC = 1/2 (sum_d log C_dd - log |C|), and I(x; z) = 1/2 log |C| - D log sd, entropy less conditional entropy.
    """
    mixed = cov + sd**2 * torch.eye(len(cov), dtype=cov.dtype)
    information = 0.5 * torch.linalg.slogdet(mixed).logabsdet - len(cov) * math.log(sd)
    return SmallTerms(gaussian_total_correlation(mixed).item(), information.item())


@checked()
def summed(toy: Toy, num_samples: int, *, seed: int = 0) -> tuple[SmallTerms, SmallTerms]:
    """The terms with q(z) summed over all N posteriors, as means over samples, and their standard errors.

    Raises:
        ValueError: there are fewer than two samples, or more than datapoints.
    """
    if not 2 <= num_samples <= len(toy.means):
        raise ValueError(f"num_samples must be from 2 to the {len(toy.means)} datapoints, got {num_samples}")
    rows, z = _draw(toy, num_samples, torch_stream(seed))
    log_weights = z.new_full((len(toy.means),), -math.log(len(toy.means)))
    per_sample = _terms(toy.means, toy.means[rows], toy.sd, z, log_weights)
    means, errors = per_sample.mean(0), per_sample.std(0) / math.sqrt(num_samples)
    return SmallTerms(*means.tolist()), SmallTerms(*errors.tolist())


@checked(batch_size=number_from(1))
def estimate(toy: Toy, batch_size: int, estimator: Estimator, *, seed: int) -> SmallTerms:
    """The terms from one batch; every estimator sees the same draws under one seed.

    Raises:
        ValueError: as `zoo.estimators.log_weights` does.
    """
    weights = log_weights(batch_size, len(toy.means), estimator, like=toy.means)
    rows, z = _draw(toy, batch_size, torch_stream(seed))
    per_sample = _terms(toy.means[rows], toy.means[rows], toy.sd, z, weights)
    return SmallTerms(*per_sample.mean(0).tolist())


def bias_rows(toy: Toy, truth: SmallTerms, *, batch_size: int, seeds: int) -> list[list[int | str | float]]:
    """A row per estimator: batch size, name; for TC and I(x; z) the exact value, and mean, bias and spread over seeds.

    The spread is the standard deviation of one batch's value.

    Raises:
        ValueError: there are fewer than two seeds, or as `estimate` does.
    """
    if seeds < 2:
        raise ValueError(f"a spread needs two seeds or more, got {seeds}")
    rows: list[list[int | str | float]] = []
    for estimator in get_args(Estimator):
        over_seeds = torch.tensor([estimate(toy, batch_size, estimator, seed=seed) for seed in range(seeds)])
        row: list[int | str | float] = [batch_size, estimator]
        for exact, mean, spread in zip(truth, over_seeds.mean(0).tolist(), over_seeds.std(0).tolist(), strict=True):
            row += [exact, mean, mean - exact, spread]
        rows.append(row)
    return rows


@checked(seeds=number_from(2))
def estimator_table(seeds: int = 20) -> str:
    """Every estimator's total correlation and mutual information next to the exact values, on two sets of 20,000.

    Raises:
        ValueError: there are fewer than two seeds.
    """
    sd, num_data, num_samples = 0.3, 20_000, 2_000
    head = ["B", "estimator", *(f"{term}\n{column}" for term in ("TC", "I(x; z)") for column in COLUMNS)]
    digits = ("", "", *(".2f", ".2f", "+.2f", ".2f") * 2)
    parts = []
    for size, correlation in ((3, 0.6), (10, 0.4)):
        cov = equicorrelated(size, correlation)
        toy = draw_toy(num_data, cov, sd)
        limit, (exact, error) = closed_form(cov, sd), summed(toy, num_samples)
        closed = size == 3
        truth = limit if closed else exact
        rows = [row for B in (64, 1024) for row in bias_rows(toy, truth, batch_size=B, seeds=seeds)]
        parts.append(
            f"N = {num_data:,}, D = {size}, means with correlations {correlation}, encoder sd {sd}; "
            f"log N = {math.log(num_data):.2f}\n"
            f"  closed form as N tends to infinity: TC {limit[0]:.3f}, I(x; z) {limit[1]:.3f}\n"
            f"  q(z) summed over all N: TC {exact[0]:.3f} (s.e. {error[0]:.3f}), I(x; z) {exact[1]:.3f} "
            f"(s.e. {error[1]:.3f})\n"
            f"  exact below is {'the closed form' if closed else 'the sum'}; {seeds} seeds\n"
            f"{tabulate(rows, head, 'plain', floatfmt=digits)}"
        )
    return "\n\n".join(parts)


@checked(steps=FROM_0, num_data=number_from(1), batch_size=number_from(2), hidden=COUNTS, lr=POSITIVE)
def density_ratio_table(
    *,
    steps: Sequence[int] = (0, 100, 300, 1000),
    num_data: int = 20_000,
    batch_size: int = 64,
    hidden: Sequence[int] = (1000,) * 6,
    lr: float = 1e-4,
    seed: int = 0,
) -> str:
    """The total correlation by FactorVAE's discriminator during its training, next to exact values; D = 10.

    The network, Adam and learning rate of Kim & Mnih 2018, https://arxiv.org/abs/1802.05983, on fixed posteriors;
    the estimate is the mean over 5,000 fresh draws of q(z). Summed over N narrow posteriors, q(z) is a sum of narrow
    peaks, which contribute much of its total correlation. A discriminator sees only draws and smooths them: it
    converges near the closed form, that of q(z) as N tends to infinity.

    Raises:
        ValueError: the steps do not rise: one training passes through all of them.
    """
    if any(after <= before for before, after in itertools.pairwise(steps)):
        raise ValueError(
            f"density_ratio_table: steps must rise, since one training passes through all of them, got {shown(steps)}"
        )
    cov, sd = equicorrelated(10, 0.4), 0.3
    toy = draw_toy(num_data, cov, sd, seed=seed)
    (exact, _), (error, _) = summed(toy, min(2_000, num_data))
    limit, _ = closed_form(cov, sd)
    # Seeds of three streams, so that the network is not measured on draws that it was trained on.
    weights, *others = torch.randint(2**32, (3,), generator=torch_stream(seed)).tolist()
    training, fresh = map(torch_stream, others)
    _, z = _draw(toy, min(5_000, num_data), fresh)
    with torch.random.fork_rng():
        torch.manual_seed(weights)
        log_ratio = Discriminator(10, hidden=hidden)
        adversary = Adversary(log_ratio, lr=lr)
        rows = []
        done, loss = 0, math.log(2)
        for until in steps:
            for _ in range(done, until):
                loss = adversary.step(_draw(toy, batch_size, training)[1]).item()
            done = until
            with torch.no_grad():
                ratios = log_ratio(z)
            spread = ratios.std().item() / math.sqrt(len(ratios))
            rows.append([until, ratios.mean().item(), spread, loss])
    head = ["steps", "TC by density ratio", "s.e.", "cross-entropy"]
    return (
        f"N = {num_data:,}, D = 10; TC in closed form as N tends to infinity {limit:.3f}, "
        f"with q(z) summed over all N {exact:.3f} (s.e. {error:.3f})\n"
        f"{tabulate(rows, head, 'plain', floatfmt='.3f')}"
    )


def _draw(toy: Toy, num: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """`num` datapoints without replacement, and a z [num, D] from the posterior of each."""
    rows = torch.randperm(len(toy.means), generator=generator)[:num]
    noise = torch.randn(num, toy.means.shape[1], generator=generator, dtype=toy.means.dtype)
    return rows, toy.means[rows] + toy.sd * noise


def _terms(means: Tensor, own: Tensor, sd: float, z: Tensor, log_weights: Tensor) -> Tensor:
    """Each sample's contribution to TC and I(x; z), [S, 2], with q(z) the mixture of the posteriors at `means`."""
    mixed = Independent(Normal(means, sd, validate_args=False), 1)
    # Chunks that fit into the processor's cache take a quarter of the time.
    marginals = log_marginals(
        lambda _, values: scores(mixed, values["z"]), {"z": z.unsqueeze(-2)}, log_weights, [["z"]], max_elements=2**20
    )
    log_q = Normal(own, sd, validate_args=False).log_prob(z).sum(-1)
    correlation = marginals.joint - marginals.units["z"].sum(-1)
    return torch.stack([correlation, log_q - marginals.joint], dim=-1)
