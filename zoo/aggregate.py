"""Terms of the aggregate posterior q(z), computed from the traces that the messengers of `zoo.handlers` prepared."""

import functools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal

import torch
from pyro.poutine.trace_struct import Trace
from torch import Tensor
from torch.distributions import Independent

from zoo import ranks
from zoo.aggregate_sites import (
    aggregate_sites,
    batch_scale,
    check_groups,
    check_inside,
    check_left,
    check_measures,
    check_one_prior,
    check_priors,
    check_scored,
    looks_at,
)
from zoo.estimators import (
    Anatomy,
    Estimator,
    Marginals,
    Score,
    Scores,
    anatomy,
    log_marginals,
    log_weights,
    mmd,
)
from zoo.sites import (
    Groups,
    Site,
    family,
    known_sites,
    nodes_of,
    num_data_of,
    partition,
)

MOST_KEPT = 8  # tensors of each kind of constant


def dissect(
    model_trace: Trace,
    guide_trace: Trace,
    *,
    num_data: int,
    groups: Groups | None = None,
    estimator: Estimator,
    sites: Sequence[str] | None = None,
) -> Anatomy:
    """The parts of KL(q(z | x) || p(z)), in nats per datapoint, estimated from one batch; needs `ScorePairs`.

    .. warning::
        A batch only estimates q(z), with a bias that depends on its size and on the estimator: see
        `zoo.estimators.log_weights`. A total correlation can come out negative.

    Args:
        model_trace, guide_trace: of the batch.
        num_data: N, the number of datapoints in the training set, over whose posteriors q(z) is the average.
        groups: the latent sites in groups; each site by itself when not given.
        estimator: the name of an estimator of q(z); `zoo.estimators.log_weights` lists them.
        sites: the latent sites that make up z; all of them when not given.

    Raises:
        ValueError: num_data contradicts the plate or the batch, the batch holds one datapoint only, the groups do not
            hold each site once, a site cannot be scored pairwise, one depends on a latent site that is not among them,
            or its prior differs between datapoints.

    Example:
        >>> from functools import partial
        >>> from guides import Amortized, MeanField
        >>> from torch import nn
        >>> from zoo import VAE
        >>> from zoo.handlers import ScorePairs
        >>> from zoo.likelihoods import normal
        >>> from zoo.termwise import TermwiseELBO
        >>> class Information(TermwiseELBO):
        ...     def messengers(self):
        ...         return [ScorePairs("mass")]
        ...     def terms(self, model_trace, guide_trace):
        ...         parts = dissect(model_trace, guide_trace, num_data=4, estimator="batch")
        ...         return {"I(x; z)": parts.mutual_information}
        >>> model = VAE(nn.Linear(2, 5), z_dim=2, likelihood=partial(normal, scale=1.0))
        >>> guide = Amortized(nn.Linear(5, 8), z=MeanField(2))
        >>> abs(round(Information().loss(model, guide, torch.ones(4, 5)), 4))  # of equal datapoints
        0.0
    """
    chosen = aggregate_sites(guide_trace, sites)
    check_priors(model_trace, chosen)
    check_one_prior(model_trace, chosen)
    check_scored([model_trace, guide_trace], chosen)
    check_measures(model_trace, chosen)
    check_inside(chosen, guide_trace)
    groups = partition(groups, list(chosen))
    check_groups(groups, guide_trace)
    values = {name: samples(site) for name, site in chosen.items()}
    own = {name: ranks.gather(site["score_own"]().joint.movedim(-1, 0)) for name, site in chosen.items()}
    weights = batch_weights(model_trace, chosen, num_data, estimator)
    marginals = _marginals(score_pairs(chosen), values, weights, groups, chosen, own_scores(chosen))
    prior = {name: _sample_first(nodes_of(model_trace)[name]["score_own"]()) for name in chosen}
    return scaled(anatomy(own, marginals, prior, groups), batch_scale(chosen))


def anchor_information(
    model_trace: Trace,
    guide_trace: Trace,
    anchors: Mapping[str, Sequence[int]],
    *,
    num_data: int,
    estimator: Estimator,
) -> Tensor:
    """I(x; z_a) = E[log q(z_a | x) - log q(z_a)] of the named units together, in nats; needs `ScorePairs`.

    Raises:
        ValueError: as `dissect`; or an anchor is not a unit of a latent site, or several anchors belong to one site
            whose family couples its units.
    """
    known_sites("anchors", anchors, guide_trace)
    sites = aggregate_sites(guide_trace, list(anchors))
    check_scored([guide_trace], sites)

    def restrict(name: str, scored: Scores) -> Scores:
        units = scored.units.shape[-1]
        if wrong := [unit for unit in anchors[name] if not 0 <= unit < units]:
            raise ValueError(f"anchors of site {name!r}: there is no unit {wrong}; it has units 0 to {units - 1}")
        if len(anchors[name]) > 1 and not isinstance(sites[name]["fn"], Independent):
            raise ValueError(
                f"anchors of site {name!r}: {family(sites[name]['fn'])} couples its units; anchor one of them"
            )
        chosen = scored.units[..., list(anchors[name])]
        return Scores(chosen.sum(-1), chosen)

    def score(name: str, values: Mapping[str, Tensor]) -> Scores:
        return restrict(name, sites[name]["score_pairs"](values))

    check_inside(sites, guide_trace)
    for name, looked_at in looks_at(sites).items():
        for parent in [site for site in sites if site in looked_at]:
            units = sites[parent]["score_own"]().units.shape[-1]
            if len(anchors[parent]) < units:
                raise ValueError(
                    f"anchors of site {parent!r}: site {name!r}, which is anchored too, depends on all of its {units} "
                    f"units; anchor all of them, or leave {name!r} out"
                )
    own = torch.stack([restrict(name, _sample_first(site["score_own"]())).joint for name, site in sites.items()]).sum(0)
    weights = batch_weights(model_trace, sites, num_data, estimator)
    values = {name: samples(site) for name, site in sites.items()}
    rescored = {name: restrict(name, scored) for name, scored in own_scores(sites).items()}
    log_q = _marginals(score, values, weights, [list(sites)], sites, rescored).joint
    return batch_scale(sites) * (own - log_q).mean()


def batch_weights(model_trace: Trace, sites: Mapping[str, Site], num_data: int, estimator: Estimator) -> Tensor:
    """`log_weights` for the batch of these sites.

    Raises:
        ValueError: num_data contradicts the plate or the batch, or the batch holds one datapoint only.
    """
    value = next(iter(sites.values()))["value"]
    shard_size, full_size = value.shape[-2], num_data_of(model_trace)
    if full_size not in (shard_size, num_data):
        raise ValueError(f"num_data = {num_data}, but the plate 'data' has {full_size}: give both the same")
    weights = _log_weights(ranks.count() * shard_size, num_data, estimator, value.dtype, value.device)
    return ranks.own(weights, dim=1)


def samples(site: Site) -> Tensor:
    """A site's values with the sample in front, of all ranks: [(P,) B, size] to [B, (P,) 1, size]."""
    value: Tensor = site["value"]
    return ranks.gather(value.movedim(-2, 0)).unsqueeze(-2)


def score_pairs(sites: Mapping[str, Site]) -> Score:
    """The `score` argument of `log_marginals`: a site's scores under all posteriors of the batch."""
    return lambda name, values: sites[name]["score_pairs"](values)


def prior_draws(model_trace: Trace, sites: Iterable[str]) -> dict[str, Tensor]:
    """One draw of the prior per datapoint (and particle), by site, in the shape of its value; needs `DrawPriors`.

    Raises:
        ValueError: a prior has no sampler, or depends on another site, or is trained and has no reparameterised draws.
    """
    draws = {}
    check_priors(model_trace, sites)
    for name in sites:
        check_left(model_trace, name, "draw_prior", "DrawPriors()")
        prior = nodes_of(model_trace)[name]["fn"]
        try:
            draws[name] = nodes_of(model_trace)[name]["draw_prior"]()
        except NotImplementedError:
            raise ValueError(
                f"site {name!r}: {family(prior)} has no sampler, and a divergence from the prior needs draws of it"
            ) from None
        if not prior.has_rsample and prior.log_prob(draws[name]).requires_grad:
            raise ValueError(
                f"site {name!r}: its prior is trained, and draws of {family(prior)} have no gradient, so that of a "
                "divergence from the prior would be wrong; fix the prior's parameters, or use a family with "
                "reparameterised draws"
            )
    return draws


def prior_kl(model_trace: Trace, guide_trace: Trace, *, sites: Sequence[str] | None = None) -> Tensor:
    """KL(p(z) || q(z)) by draws of the prior, in nats per datapoint, with q(z) the average of the batch's posteriors.

    Args:
        model_trace, guide_trace: of the batch, under `DrawPriors` and `ScorePairs`.
        sites: the latent sites that make up z; all of them when not given. Where a posterior depends on a site that is
            left out, that site keeps the value that each datapoint drew.

    Raises:
        ValueError: a prior cannot be drawn from or differs between datapoints, or a posterior cannot be scored at the
            draws.
    """
    chosen = aggregate_sites(guide_trace, sites)
    draws = prior_draws(model_trace, chosen)
    check_one_prior(model_trace, chosen)
    check_scored([guide_trace], chosen)
    check_measures(model_trace, chosen)
    check_groups([list(chosen)], guide_trace)
    log_p = torch.stack([nodes_of(model_trace)[name]["fn"].log_prob(draw) for name, draw in draws.items()]).sum(0)
    values = {name: samples({"value": draw}) for name, draw in draws.items()}
    log_p = ranks.gather(log_p.movedim(-1, 0))
    batch_size = len(log_p)
    weights = ranks.own(log_p.new_full((batch_size,), -math.log(batch_size)), dim=0)
    log_q = _marginals(score_pairs(chosen), values, weights, [list(chosen)], chosen).joint
    return batch_scale(chosen) * (log_p - log_q).mean()


def prior_mmd(
    model_trace: Trace,
    guide_trace: Trace,
    kernel: Literal["marginal", "joint"],
    *,
    sites: Sequence[str] | None = None,
) -> Tensor:
    """Squared MMD, not in nats, between the batch's samples of q(z) and draws of the prior, with sites concatenated.

    Args:
        model_trace, guide_trace: of the batch, the model's under `DrawPriors`.
        kernel: "marginal" or "joint"; see `zoo.estimators.mmd`.
        sites: the latent sites that make up z; all of them when not given.

    Raises:
        ValueError: a prior cannot be drawn from, or a site is not a vector per datapoint.
    """
    chosen = aggregate_sites(guide_trace, sites)
    draws = prior_draws(model_trace, chosen)
    q = ranks.gather(torch.cat([site["value"] for site in chosen.values()], dim=-1), dim=-2)
    p = ranks.gather(torch.cat(list(draws.values()), dim=-1), dim=-2)
    # The mean over particles: two draws of one datapoint are not two independent draws of q(z).
    particles = zip(q.reshape(-1, *q.shape[-2:]), p.reshape(-1, *p.shape[-2:]), strict=True)
    return batch_scale(chosen) * torch.stack([mmd(*draws, kernel=kernel) for draws in particles]).mean()


def own_scores(sites: Mapping[str, Site]) -> dict[str, Scores]:
    """For each site whose posterior depends on other sites, the scores of its values under their own posteriors.

    The sample is the first dimension. Sites that depend on no other site are left out: their scores of pairs use the
    same distribution as this score, so the two cannot differ.
    """
    return {name: _sample_first(sites[name]["score_own"]()) for name in looks_at(sites)}


def _marginals(
    score: Score,
    values: Mapping[str, Tensor],
    weights: Tensor,
    groups: Groups,
    sites: Mapping[str, Site],
    own: Mapping[str, Scores] | None = None,
) -> Marginals:
    """`log_marginals` under the posteriors of all ranks; `weights` and `score` are those of this rank's.

    Args:
        own: where the values are the batch's draws, `own_scores`.
    """
    is_own = None
    if own:
        is_own = ranks.own(_diagonal(len(weights), weights.device), dim=1)
    joint, of_groups, units = log_marginals(
        score, values, weights, groups, looks_at=looks_at(sites), own=own, is_own=is_own
    )
    units = {name: ranks.logsumexp(log_q) for name, log_q in units.items()}
    return Marginals(ranks.logsumexp(joint), ranks.logsumexp(of_groups), units)


def scaled(parts: Anatomy, scale: float | Tensor) -> Anatomy:
    """All the parts times a scale."""
    units = {site: scale * kl for site, kl in parts.units.items()}
    return Anatomy(scale * parts.mutual_information, scale * parts.between, scale * parts.within, units)


def _sample_first(own: Scores) -> Scores:
    """[(P,) B] and [(P,) B, units] to [B, (P)] and [B, (P,) units], of all ranks."""
    return Scores(ranks.gather(own.joint.movedim(-1, 0)), ranks.gather(own.units.movedim(-2, 0)))


def _constant(make: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Decorates a function of hashable arguments: the last tensors that it made are kept, and given again.

    A traced step contains a kept tensor as a constant. A tensor that is made within the step would be computed in every
    step, inside loops that the compiler then cannot vectorise. Nothing may write to a kept tensor.
    """
    kept: dict[Any, Tensor] = {}

    @functools.wraps(make)
    def get(*key: Any) -> Tensor:
        if key in kept:
            return kept[key]
        made = make(*key)
        if type(made) is Tensor and not made.is_inference():  # neither without values, nor unfit for training
            kept[key] = made
            if len(kept) > MOST_KEPT:
                del kept[next(iter(kept))]
        return made

    return get


@_constant
def _log_weights(
    batch_size: int, num_data: int, estimator: Estimator, dtype: torch.dtype, device: torch.device
) -> Tensor:
    return log_weights(batch_size, num_data, estimator, like=torch.empty(0, dtype=dtype, device=device))


@_constant
def _diagonal(num: int, device: torch.device) -> Tensor:
    """The mask [num, num] of each sample's own datapoint."""
    return torch.eye(num, dtype=torch.bool, device=device)
