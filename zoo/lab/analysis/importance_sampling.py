"""Log evidence by importance sampling, with the guide as proposal."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pyro
import torch
from pyro import poutine
from pyro.distributions.util import scale_and_mask
from pyro.poutine.util import prune_subsample_sites
from torch import Tensor, nn

from zoo.arguments import checked, number_from
from zoo.handlers import RefuseMisfits
from zoo.lab.analysis.posterior import refine
from zoo.lab.device import fork_random_state
from zoo.lab.isolation import evaluating
from zoo.pairing import check_plates, check_sites
from zoo.termwise import latent, observed


@dataclass(frozen=True)
class Importance:
    """Summaries of K importance weights w_k = p(x, z_k) / q(z_k | x) of each datapoint: all [B], in nats.

    .. warning::
        The effective sample size cannot show that q misses a part of p(z | x): where q has almost no mass there are no
        draws. It can be large where log_evidence is far too low.

    Attributes:
        elbo: mean of log w, the estimate of the ELBO from K draws.
        log_evidence: log of the mean of w; its expectation is below log p(x), by less as K grows.
        log_effective: log of (sum w)^2 / sum w^2, the effective sample size. A value far below K shows that q differs
            from p(z | x) where q has its mass. Minus infinity where every weight is 0.
    """

    elbo: Tensor
    log_evidence: Tensor
    log_effective: Tensor


@checked(at_once=number_from(1))
def importance(
    model: nn.Module,
    guide: nn.Module,
    x: Tensor,
    y: Tensor | None = None,
    *,
    index: Tensor | None = None,
    num_samples: int,
    seed: int = 0,
    at_once: int = 1_000,
) -> Importance:
    """The weights of z_k ~ q(z | x), k = 1 ... K, computed in chunks.

    Burda, Grosse, Salakhutdinov 2016, https://arxiv.org/abs/1509.00519, equation (8); K = 1 is the ELBO from one draw.
    Every site is scored by its density, or by its mass where it is one-hot in both programs, under its mask and summed
    over plates of its own. A guide that is refined for a batch (it has a method `refined`, as `guides.SemiAmortized`)
    is refined once.

    Args:
        model, guide: the pair; it runs in evaluation mode.
        x, y: data [B, ...] and, where the pair needs them, labels [B].
        index: the positions [B] of the datapoints in the training set, for a guide with a row per datapoint.
        num_samples: K.
        seed: of the draws; the random state is left as it was.
        at_once: number of codes (datapoints times draws) to decode at a time, which bounds the memory. At least B.

    Raises:
        ValueError: K is not positive; a latent site is in one program only; the guide draws values that the story's
            site cannot have; or a site is a mass in one program and a density in the other, has no density, or has a
            dimension that no plate has.
    """
    total = torch.zeros(len(x), device=x.device)  # sum of log w
    log_sum = torch.full((len(x),), -torch.inf, device=x.device)  # log of the sum of w
    log_sum_squares = log_sum
    for log_w in _chunks(model, guide, x, y, index, num_samples, seed, at_once):
        total = total + log_w.sum(0)
        log_sum = torch.logaddexp(log_sum, log_w.logsumexp(0))
        log_sum_squares = torch.logaddexp(log_sum_squares, (2 * log_w).logsumexp(0))
    log_effective = torch.where(log_sum > -torch.inf, 2 * log_sum - log_sum_squares, -torch.inf)
    return Importance(total / num_samples, log_sum - math.log(num_samples), log_effective)


@checked(at_once=number_from(1))
def log_evidence(
    model: nn.Module,
    guide: nn.Module,
    x: Tensor,
    y: Tensor | None = None,
    *,
    index: Tensor | None = None,
    num_samples: int,
    seed: int = 0,
    at_once: int = 1_000,
) -> Tensor:
    """log 1/K sum_k p(x, z_k) / q(z_k | x), [B]; arguments and errors as for `importance`."""
    return importance(model, guide, x, y, index=index, num_samples=num_samples, seed=seed, at_once=at_once).log_evidence


def _chunks(
    model: nn.Module,
    guide: nn.Module,
    x: Tensor,
    y: Tensor | None,
    index: Tensor | None,
    num_samples: int,
    seed: int,
    at_once: int,
) -> Iterator[Tensor]:
    """log w of some draws at a time, [draws, B]."""
    if num_samples < 1:
        raise ValueError(f"num_samples must be at least 1, got {num_samples}")
    if len(x) == 0:
        raise ValueError(f"x must hold datapoints, [B, ...], got shape {list(x.shape)}")
    batch, position = (x,) if y is None else (x, y), {} if index is None else {"index": index}
    chunk = max(1, at_once // len(x))
    with fork_random_state(x.device), evaluating(model, guide):
        torch.manual_seed(seed)
        proposal = refine(guide, *batch, **position)
        for start in range(0, num_samples, chunk):
            draws = min(chunk, num_samples - start)
            with pyro.validation_enabled(start == 0), pyro.plate("draws", draws, dim=-2):
                proposed = poutine.trace(proposal).get_trace(*batch, **position)
                checked_model = RefuseMisfits(proposed)(model) if start == 0 else model
                scored = poutine.trace(poutine.replay(checked_model, trace=proposed)).get_trace(*batch, **position)
            proposed, scored = prune_subsample_sites(proposed), prune_subsample_sites(scored)
            if start == 0:
                _check(dict(latent(scored)), dict(latent(proposed)))
                check_sites(scored, proposed)
                for trace in (proposed, scored):
                    check_plates(proposed, trace)
            log_w = torch.zeros(draws, len(x), device=x.device)
            for sign, sites in ((1, observed(scored)), (1, latent(scored)), (-1, latent(proposed))):
                for _, site in sites:
                    log_prob = scale_and_mask(site["fn"].log_prob(site["value"]), mask=site["mask"])
                    other_plates = tuple(range(log_prob.dim() - 2))  # left of the draws and the data
                    log_w = log_w + sign * (log_prob.sum(other_plates) if other_plates else log_prob)
            yield log_w


def _check(in_model: dict[str, Any], in_guide: dict[str, Any]) -> None:
    """Refuses pairs whose weights would be meaningless."""
    for name, site in in_guide.items():
        q = site["fn"]
        if name in in_model and in_model[name]["fn"].support.is_discrete != q.support.is_discrete:
            raise ValueError(
                f"site {name!r}: a weight would mix a mass with a density: the guide's {type(q).__name__} and the "
                f"model's {type(in_model[name]['fn']).__name__}; use a prior and a head that are both one-hot (for "
                "JointVAE, temperature=None) or both relaxed"
            )
        if type(q).__name__ == "Delta":
            raise ValueError(
                f"site {name!r}: a point mass has no density for a weight; use a head that has one (MeanField)"
            )
    for name, site in in_guide.items():
        if name not in in_model and site["infer"].get("is_auxiliary"):
            raise ValueError(
                f"site {name!r}: the guide draws it and the model does not have it, so a weight cannot have its "
                "density; use a guide whose sites are all in the model"
            )
