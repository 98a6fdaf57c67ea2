"""Terms of the aggregate posterior q(z), computed from the traces that the messengers of `zoo.handlers` prepared."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import torch
from pyro.poutine.trace_struct import Trace
from torch import Tensor
from torch.distributions import Independent

from zoo import ranks
from zoo.estimators import Anatomy, Estimator, Marginals, Score, Scores, anatomy, log_marginals, log_weights, mmd
from zoo.sites import (
    Groups,
    Site,
    common_scale,
    family,
    known_sites,
    latent,
    nodes_of,
    num_data_of,
    other_plates,
    partition,
    summed_out,
)


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
            hold each site once, a site cannot be scored pairwise, or one depends on a latent site that is not among
            them.

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
    _check_scored([model_trace, guide_trace], chosen)
    _check_measures(model_trace, chosen)
    for name, looked_at in looks_at(chosen).items():
        if outside := [other for other, _ in latent(guide_trace) if other in looked_at and other not in chosen]:
            raise ValueError(f"site {name!r} depends on {outside[0]!r}, which is not among the sites: name it too")
    groups = partition(groups, list(chosen))
    values = {name: samples(site) for name, site in chosen.items()}
    own = {name: ranks.gather(site["score_own"]().joint.movedim(-1, 0)) for name, site in chosen.items()}
    weights = batch_weights(model_trace, chosen, num_data, estimator)
    marginals = _marginals(score_pairs(chosen), values, weights, groups, chosen, own_scores(chosen))
    prior = {name: _sample_first(nodes_of(model_trace)[name]["score_own"]()) for name in chosen}
    return _scaled(anatomy(own, marginals, prior, groups), batch_scale(chosen))


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
    _check_scored([guide_trace], sites)

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

    looking = list(looks_at(sites))
    if looking and len(sites) < len(latent(guide_trace)):
        raise ValueError(f"anchors {sorted(anchors)}: {looking} depend on other sites; anchor those too")
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
    return ranks.own(log_weights(ranks.count() * shard_size, num_data, estimator, like=value), dim=1)


def aggregate_sites(guide_trace: Trace, only: Sequence[str] | None = None) -> dict[str, Site]:
    """Returns the latent sites, or the named ones, after checking that each can be scored pairwise.

    Raises:
        ValueError: a site has a mask, a scale per datapoint, or an event that is not a vector; it is outside the plate
            "data"; it is auxiliary; it is summed out or depends on a site that is; or it depends on an earlier site
            and has no infer["rerun"].
    """
    every = dict(latent(guide_trace))
    known_sites("sites", only or (), guide_trace)
    sites = {name: site for name, site in every.items() if only is None or name in only}
    for name, site in sites.items():
        looked_at = {*site["infer"].get("given", ()), *site.get("parents", ())}
        summed = [other for other in every if other in looked_at and summed_out(every[other])]
        frames = {frame.name: frame.dim for frame in site["cond_indep_stack"]}
        problem = None
        if site["infer"].get("is_auxiliary"):
            problem = "is an auxiliary site, which the model does not have"
        elif summed_out(site):
            problem = "is summed out, and q(z) needs draws: use Concrete or StraightThrough"
        elif summed:
            problem = f"depends on {summed[0]!r}, which is summed out, and q(z) needs draws of both"
        elif frames.get("data") != -1:
            problem = "is not in the plate 'data' as its last dimension"
        elif len(site["fn"].event_shape) != 1:
            problem = f"has an event of shape {tuple(site['fn'].event_shape)}, not a vector"
        elif hidden := _hidden_parents(site):
            problem = f"depends on {hidden} without infer['rerun'], so it cannot be scored pairwise"
        if problem:
            raise ValueError(f"site {name!r} {problem}; use a guide such as guides.Amortized")
    batch_scale(sites)
    return sites


def batch_scale(sites: Mapping[str, Site]) -> float | Tensor:
    """The user's `poutine.scale` of these sites, by which a term over the whole batch is multiplied like the ELBO's.

    Raises:
        ValueError: a site has a mask or a scale per datapoint; the sites' scales differ; or a site is in another plate
            than "data", over which the ELBO sums.
    """
    for name, site in sites.items():
        if site["mask"] is not None or (isinstance(site["scale"], Tensor) and site["scale"].dim()):
            raise ValueError(
                f"site {name!r} has a mask or a scale per datapoint, and a term over the whole batch counts each "
                "datapoint once; leave datapoints out of the batch instead, or use PlainELBO, BetaVAE or "
                "NaturalClusteringELBO"
            )
        if plates := [frame.name for frame in other_plates(site)]:
            raise ValueError(
                f"site {name!r} is in the plate {plates[0]!r} as well as in 'data', and a term over the whole batch "
                "supports the plate 'data' only; remove the plate, or use PlainELBO, BetaVAE or NaturalClusteringELBO"
            )
    return common_scale(sites)


def check_priors(model_trace: Trace, sites: Iterable[str]) -> None:
    """Refuses priors that depend on each other; checked where Pyro's validation is on.

    A trace of the model scores and draws p(z1 | z2) at the guide's z2, but the terms of q(z) need the marginal p(z1).

    Raises:
        ValueError: a site's prior depends on another latent site.
    """
    for name in sites:
        if parents := sorted(nodes_of(model_trace)[name].get("parents", ())):
            raise ValueError(
                f"site {name!r}: its prior depends on {', '.join(map(repr, parents))}, and the terms of q(z) need "
                "priors that are independent of each other; use PlainELBO, BetaVAE or Capacity, or make the two one "
                "site"
            )


def samples(site: Site) -> Tensor:
    """A site's values with the sample in front, of all ranks: [(P,) B, size] to [B, (P,) 1, size]."""
    value: Tensor = site["value"]
    return ranks.gather(value.movedim(-2, 0)).unsqueeze(-2)


def score_pairs(sites: Mapping[str, Site]) -> Score:
    """The `score` argument of `log_marginals`: a site's scores under all posteriors of the batch."""
    return lambda name, values: sites[name]["score_pairs"](values)


def looks_at(sites: Mapping[str, Site]) -> dict[str, Sequence[str]]:
    """The latent sites that each site's posterior depends on, where it does; labels belong to the datapoint, like x."""
    return {name: site["infer"]["given"] for name, site in sites.items() if site["infer"].get("rerun")}


def prior_draws(model_trace: Trace, sites: Iterable[str]) -> dict[str, Tensor]:
    """One draw of the prior per datapoint (and particle), by site, in the shape of its value; needs `DrawPriors`.

    Raises:
        ValueError: a prior has no sampler, or depends on another site.
    """
    draws = {}
    check_priors(model_trace, sites)
    for name in sites:
        _check_left(model_trace, name, "draw_prior", "DrawPriors()")
        try:
            draws[name] = nodes_of(model_trace)[name]["draw_prior"]()
        except NotImplementedError:
            raise ValueError(
                f"site {name!r}: {family(nodes_of(model_trace)[name]['fn'])} has no sampler, and a divergence from the "
                "prior needs draws of it"
            ) from None
    return draws


def prior_kl(model_trace: Trace, guide_trace: Trace, *, sites: Sequence[str] | None = None) -> Tensor:
    """KL(p(z) || q(z)) by draws of the prior, in nats per datapoint, with q(z) the average of the batch's posteriors.

    Args:
        model_trace, guide_trace: of the batch, under `DrawPriors` and `ScorePairs`.
        sites: the latent sites that make up z; all of them when not given. Where a posterior depends on a site that is
            left out, that site keeps the value that each datapoint drew.

    Raises:
        ValueError: a prior cannot be drawn from, or a posterior not be scored at its draws.
    """
    chosen = aggregate_sites(guide_trace, sites)
    draws = prior_draws(model_trace, chosen)
    _check_scored([guide_trace], chosen)
    _check_measures(model_trace, chosen)
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
    return batch_scale(chosen) * mmd(q.flatten(0, -2), p.flatten(0, -2), kernel=kernel)


def own_scores(sites: Mapping[str, Site]) -> dict[str, Scores]:
    """The scores under their own posterior of the values of sites whose posterior depends on others, sample first.

    The other sites have the same distribution for this score and for those of pairs, so that no two can differ.
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
        is_own = ranks.own(torch.eye(len(weights), dtype=torch.bool, device=weights.device), dim=1)
    joint, of_groups, units = log_marginals(
        score, values, weights, groups, looks_at=looks_at(sites), own=own, is_own=is_own
    )
    units = {name: ranks.logsumexp(log_q) for name, log_q in units.items()}
    return Marginals(ranks.logsumexp(joint), ranks.logsumexp(of_groups), units)


def _check_scored(traces: Iterable[Trace], sites: Iterable[str]) -> None:
    for trace in traces:
        for name in sites:
            _check_left(trace, name, "score_own", "ScorePairs(...)")


def _check_left(trace: Trace, name: str, what: str, messenger: str) -> None:
    """Refuses a site that lacks what an objective's messenger should have written on it for a term."""
    if what not in nodes_of(trace)[name]:
        raise ValueError(f"site {name!r} lacks {what!r}, which this term needs: return {messenger} from messengers()")


def _check_measures(model_trace: Trace, sites: Mapping[str, Site]) -> None:
    """Refuses a one-hot posterior with a relaxed prior: a log mass and a log density must not be subtracted."""
    for name, site in sites.items():
        q, p = site["fn"], nodes_of(model_trace)[name]["fn"]
        if site["concrete"] == "density" and q.support.is_discrete != p.support.is_discrete:
            raise ValueError(
                f"site {name!r}: log q - log p would mix a mass with a density: q is {family(q)}, p is {family(p)}; "
                "use concrete='mass' where the objective has it, or a prior and a head that are both one-hot or both "
                "relaxed"
            )


def _scaled(parts: Anatomy, scale: float | Tensor) -> Anatomy:
    """All the parts times a scale."""
    units = {site: scale * kl for site, kl in parts.units.items()}
    return Anatomy(scale * parts.mutual_information, scale * parts.between, scale * parts.within, units)


def _sample_first(own: Scores) -> Scores:
    """[(P,) B] and [(P,) B, units] to [B, (P)] and [B, (P,) units], of all ranks."""
    return Scores(ranks.gather(own.joint.movedim(-1, 0)), ranks.gather(own.units.movedim(-2, 0)))


def _hidden_parents(site: Site) -> str:
    """The sites whose values reach this site's distribution although infer["given"] does not name them."""
    said = site["infer"]["given"] if "rerun" in site["infer"] else ()
    return ", ".join(map(repr, sorted(site.get("parents", frozenset()) - set(said))))
