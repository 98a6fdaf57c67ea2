"""Log evidence by importance sampling, with the guide as proposal."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pyro
import torch
from pyro import poutine
from pyro.poutine.util import prune_subsample_sites
from torch import Tensor, nn

from zoo.lab.device import fork_random_state
from zoo.lab.isolation import OwnParameters
from zoo.termwise import latent, observed


@dataclass(frozen=True)
class Importance:
    """What K importance weights w_k = p(x, z_k) / q(z_k | x) of each datapoint say: all [B], in nats.

    Attributes:
        elbo: mean of log w, the bound on log p(x) that q gives, by K draws.
        log_evidence: log of the mean of w; low in expectation, and less so as K grows.
        log_effective: log of (sum w)^2 / sum w^2, the effective number of draws: few of many say that q is far off.
    """

    elbo: Tensor
    log_evidence: Tensor
    log_effective: Tensor


def importance(
    model: nn.Module,
    guide: nn.Module,
    x: Tensor,
    y: Tensor | None = None,
    *,
    num_samples: int,
    seed: int = 0,
    at_once: int = 1_000,
) -> Importance:
    """The weights of z_k ~ q(z | x), k = 1 ... K, summed up in chunks.

    Burda, Grosse, Salakhutdinov 2016, https://arxiv.org/abs/1509.00519, equation (8); K = 1 is the ELBO by one draw.
    Every site is scored by its density, or by its mass where it is one-hot in both programs. A guide that is refined
    for a batch (it has `refined`, as `guides.SemiAmortized`) is refined once.

    Args:
        model, guide: the pair, in evaluation mode.
        x, y: data [B, ...] and, where the pair takes them, labels [B].
        num_samples: K.
        seed: of the draws; the random state is left as it was.
        at_once: how many datapoints to decode at a time, all draws counted: the bound on memory. At least B.

    Raises:
        ValueError: K is not positive; a site is a mass in one program and a density in the other, or has no density.
    """
    total, first, second = (x.new_full((len(x),), start) for start in (0.0, -torch.inf, -torch.inf))
    for log_w, _ in _chunks(model, guide, x, y, num_samples, seed, at_once):
        total = total + log_w.sum(0)
        first = torch.logaddexp(first, log_w.logsumexp(0))
        second = torch.logaddexp(second, (2 * log_w).logsumexp(0))
    return Importance(total / num_samples, first - math.log(num_samples), 2 * first - second)


def resampled(
    model: nn.Module,
    guide: nn.Module,
    x: Tensor,
    y: Tensor | None = None,
    *,
    num_samples: int,
    num: int,
    seed: int = 0,
    at_once: int = 1_000,
) -> dict[str, Tensor]:
    """`num` of the guide's K draws, chosen by their weights: nearer to p(z | x) than q is, the more so as K grows.

    Sampling importance resampling (Rubin 1988), with replacement: what a guide that is too narrow or too plain can
    still tell of the posterior. Where few draws are effective, the same ones come again and again.

    Args:
        model, guide, x, y, num_samples, seed, at_once: as `importance` takes them.
        num: how many for each datapoint.

    Returns:
        By latent site, [num, B, ...].
    """
    weights, drawn = zip(*_chunks(model, guide, x, y, num_samples, seed, at_once), strict=True)
    log_w = torch.cat(weights)
    with fork_random_state(x.device):
        torch.manual_seed(seed)
        chosen = torch.distributions.Categorical(logits=log_w.mT).sample((num,))
    every = {site: torch.cat([values[site] for values in drawn]) for site in drawn[0]}
    return {site: values[chosen, torch.arange(len(x), device=x.device)] for site, values in every.items()}


def log_evidence(
    model: nn.Module, guide: nn.Module, x: Tensor, *, num_samples: int, seed: int = 0, at_once: int = 1_000
) -> Tensor:
    """log 1/K sum_k p(x, z_k) / q(z_k | x), [B]; as `importance` has it."""
    return importance(model, guide, x, num_samples=num_samples, seed=seed, at_once=at_once).log_evidence


def _chunks(
    model: nn.Module, guide: nn.Module, x: Tensor, y: Tensor | None, num_samples: int, seed: int, at_once: int
) -> Iterator[tuple[Tensor, dict[str, Tensor]]]:
    """log w of some draws at a time, [draws, B], and their values by site, [draws, B, ...]."""
    if num_samples < 1:
        raise ValueError(f"num_samples must be at least 1, got {num_samples}")
    batch = (x,) if y is None else (x, y)
    chunk = max(1, at_once // len(x))
    random_states = fork_random_state(x.device)
    with random_states, torch.no_grad(), poutine.block(), OwnParameters():
        torch.manual_seed(seed)
        refined: Any = getattr(guide, "refined", None)
        proposal: Any = refined(*batch) if refined else guide
        for start in range(0, num_samples, chunk):
            draws = min(chunk, num_samples - start)
            with pyro.validation_enabled(start == 0), pyro.plate("draws", draws, dim=-2):
                proposed = poutine.trace(proposal).get_trace(*batch)
                told = poutine.trace(poutine.replay(model, trace=proposed)).get_trace(*batch)
            proposed, told = prune_subsample_sites(proposed), prune_subsample_sites(told)
            if start == 0:
                _check(dict(latent(told)), dict(latent(proposed)))
            log_w = x.new_zeros(draws, len(x))
            for sign, sites in ((1, observed(told)), (1, latent(told)), (-1, latent(proposed))):
                for _, site in sites:
                    log_w = log_w + sign * site["fn"].log_prob(site["value"])
            yield log_w, {name: site["value"] for name, site in latent(proposed)}


def _check(in_model: dict[str, Any], in_guide: dict[str, Any]) -> None:
    """Refuses weights that would mean nothing."""
    for name, site in in_guide.items():
        q = site["fn"]
        if name in in_model and in_model[name]["fn"].support.is_discrete != q.support.is_discrete:
            raise ValueError(
                f"site {name!r}: a weight would mix a mass with a density: the guide's {type(q).__name__} and the "
                f"model's {type(in_model[name]['fn']).__name__}; take a prior and a head that are both one-hot (for "
                "JointVAE, temperature=None) or both relaxed"
            )
        if type(q).__name__ == "Delta":
            raise ValueError(f"site {name!r}: a point has no density to weigh by; take a head that has one (MeanField)")
