"""The ELBO split into HFVAE's terms over a whole set, with q(z) summed exactly or estimated by minibatches."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Literal, NamedTuple

import pyro
import torch
from pyro import poutine
from pyro.poutine.trace_struct import Trace
from pyro.poutine.util import prune_subsample_sites
from torch import Tensor, nn

from zoo.aggregate import dissect, samples, scaled, score_pairs
from zoo.aggregate_sites import aggregate_sites, batch_scale, check_one_prior, check_priors, looks_at
from zoo.arguments import checked, number_from
from zoo.elbos import PlainELBO
from zoo.estimators import Anatomy, Estimator, Marginals, Scores, anatomy, log_marginals
from zoo.handlers import ScorePairs
from zoo.lab.data import Batch, Dataset
from zoo.lab.device import device_of
from zoo.lab.isolation import isolated
from zoo.parents import MarkParents
from zoo.sites import Groups, nodes_of, partition
from zoo.termwise import Program, observed

Concrete = Literal["mass", "density"]


class Estimate(NamedTuple):
    """A mean over draws, and its standard error, which does not include an estimator's bias; both of one shape."""

    mean: Tensor
    error: Tensor


@dataclass(frozen=True, eq=False)
class ElboAnatomy:
    """The parts of an ELBO in nats per datapoint: reconstruction - mutual_information - marginal_kl.

    They are the terms of Figures 1 and 3 of Esmaeili et al. 2019, https://arxiv.org/abs/1804.02086. As in `zoo.elbos`,
    a letter is a signed term, ELBO = (1 + 3) + 2 + 4 with 4 = A + i + ii; the attributes are the parts of the KL, which
    are minus these terms.

    Attributes:
        estimator: of q(z): "exact", or one of `zoo.estimators.log_weights`.
        num_data: N, the number of datapoints whose posteriors q(z) averages.
        num_draws: number of draws of the means, the same draws for all terms.
        groups: the latent sites in groups.
        reconstruction: terms 1 and 3 together, E[log p(x | z)] of each observed site.
        mutual_information: minus term 2, I(x; z) = E[log q(z | x) - log q(z)], which is at most log N.
        between: minus term A, the total correlation between groups, less the prior's.
        within: minus term i, the total correlation within each group, less the prior's, [groups].
        units: minus term ii, KL(q(z_d) || p(z_d)) of each latent site, [units].
        marginal_kl: minus term 4, KL(q(z) || p(z)).
        kl: E[log q(z | x) - log p(z)], the sampled KL of the same draws: mutual_information + marginal_kl.
        elbo: reconstruction minus kl.
    """

    estimator: str
    num_data: int
    num_draws: int
    groups: Groups
    reconstruction: dict[str, Estimate]
    mutual_information: Estimate
    between: Estimate
    within: Estimate
    units: dict[str, Estimate]
    marginal_kl: Estimate
    kl: Estimate
    elbo: Estimate


@checked(num_data=number_from(1), num_samples=number_from(2), batch_size=number_from(1))
def elbo_anatomy(
    model: nn.Module,
    guide: nn.Module,
    data: Dataset,
    *,
    num_data: int,
    groups: Groups | None = None,
    estimator: Literal["exact"] | Estimator = "exact",
    num_samples: int = 1000,
    batch_size: int = 500,
    concrete: Concrete = "mass",
    seed: int = 0,
) -> ElboAnatomy:
    """The terms of a pair's ELBO over a whole set, in evaluation mode.

    "exact" draws `num_samples` values, each from the posterior of one datapoint (the numbers of draws of any two
    datapoints differ by at most one), and scores each under all N posteriors; time is O(num_samples N), memory that of
    one batch's scores. The other estimators draw one value per datapoint, over one pass of shuffled batches, and
    average; an incomplete last batch is dropped.

    The random state, the param store and the modules' modes are left as they were. A `poutine.scale` around sites of
    the pair multiplies their nats, as in the objectives and in `evaluate`.

    .. warning::
        The standard errors do not include the bias of the minibatch estimators, for which a total correlation can be
        negative; "exact" has no such bias.

    Args:
        model, guide, data: the pair and the set.
        num_data: N, the number of datapoints over whose posteriors q(z) is the average; for "exact" the size of `data`.
        groups: the latent sites in groups; each site by itself when not given.
        estimator: "exact", or one of `zoo.estimators.log_weights`.
        num_samples: S, for "exact" only.
        batch_size: number of datapoints that are encoded at once; for the minibatch estimators their B.
        concrete: how a Concrete site is scored, see `zoo.estimators.scores`.
        seed: of the draws.

    Raises:
        ValueError: the estimator is unknown; for "exact", num_data is not the size of the data, the guide is refined
            for each batch as `guides.SemiAmortized`, or there are fewer than two samples; for the others, the batch is
            larger than the data; an observed site is outside the plate "data"; or as for `zoo.aggregate.dissect`.
    """
    if estimator == "exact" and num_data != len(data):
        raise ValueError(
            f"num_data = {num_data}, but data {data.name!r} has {len(data)}: an exact q(z) averages all of them; "
            f"give num_data={len(data)}"
        )
    if estimator == "exact" and hasattr(guide, "refined"):
        raise ValueError(
            "the guide is refined for each batch, by new draws each time, so an exact q(z) would score the draws of "
            "one posterior under another; use the guide that it starts from, or estimator='stratified'"
        )
    device = device_of(model)
    with isolated(model, guide, seed=seed):
        names, scale = _trial(model, guide, data.batch(torch.arange(min(2, len(data))), device=device).x)
        groups = partition(groups, names)
        scoring = ScorePairs(concrete)
        pair = scoring(model), scoring(guide)
        if estimator == "exact":
            rows = _exact(pair, data, groups, num_samples=num_samples, batch_size=batch_size, device=device)
            rows = rows._replace(anatomy=scaled(rows.anatomy, scale))
        else:
            batches = data.batches(batch_size, seed=seed, steps=len(data) // batch_size, device=device)
            rows = _minibatches(pair, batches, groups, num_data=num_data, estimator=estimator)
        rows = rows._replace(kl=scale * rows.kl)
    kl = rows.anatomy
    marginal_kl = kl.between + kl.within.sum(-1) + torch.cat(list(kl.units.values()), dim=-1).sum(-1)
    return ElboAnatomy(
        estimator=estimator,
        num_data=num_data,
        num_draws=num_samples if estimator == "exact" else len(rows.kl) * batch_size,
        groups=groups,
        reconstruction={site: _estimate(log_p) for site, log_p in rows.reconstruction.items()},
        mutual_information=_estimate(kl.mutual_information),
        between=_estimate(kl.between),
        within=_estimate(kl.within),
        units={site: _estimate(units) for site, units in kl.units.items()},
        marginal_kl=_estimate(marginal_kl),
        kl=_estimate(rows.kl),
        elbo=_estimate(torch.stack([*rows.reconstruction.values(), -rows.kl]).sum(0)),
    )


def table(found: ElboAnatomy) -> str:
    """The terms as plain text, one per line: its letter in the paper's figures, its meaning, nats, standard error.

    The numbers are the parts of the KL, so their letters have a minus sign: -2 is I(x; z).
    """
    d = found
    how = "summed over all" if d.estimator == "exact" else f"by the {d.estimator} estimator for"
    lines = [
        "ELBO = (1+3) + 2 + 4, and 4 = A + i + ii, each TC less the prior's",
        f"nats per datapoint, means of {d.num_draws:,} draws; q(z) {how} {d.num_data:,} datapoints",
        "",
        f"{'term':<8}{'':<30}{'nats':>10}  {'s.e.':>7}",
    ]

    def add(term: str, what: str, mean: Tensor, error: Tensor) -> None:
        nats = round(mean.item(), 3) + 0.0  # no -0.000
        lines.append(f"{term:<8}{what:<30}{nats:10.3f}  " + (f"{error:7.3f}" if error.isfinite() else f"{'-':>7}"))

    for site, log_p in d.reconstruction.items():
        add("1+3", f"E[log p({site} | ...)]", *log_p)
    add("-2", f"I(x; z), of log N = {math.log(d.num_data):.3f}", *d.mutual_information)
    add("-4", "KL(q(z) || p(z))", *d.marginal_kl)
    add("  -A", "TC between groups", *d.between)
    for group, mean, error in zip(d.groups, *d.within, strict=True):
        add("  -i", f"TC within {', '.join(group)}", mean, error)
    for site, units in d.units.items():
        for unit, (mean, error) in enumerate(zip(*units, strict=True)):
            name = f"{site}[{unit}]" if len(units.mean) > 1 else site
            add("  -ii", f"KL(q || p) of {name}", mean, error)
    add("ELBO", "", *d.elbo)
    return "\n".join(lines)


class _Rows(NamedTuple):
    """The terms of each of R draws, or of each of R batches: every tensor has the leading dimension R."""

    reconstruction: dict[str, Tensor]
    kl: Tensor
    anatomy: Anatomy


def _exact(
    pair: tuple[Program, Program],
    data: Dataset,
    groups: Groups,
    *,
    num_samples: int,
    batch_size: int,
    device: torch.device,
) -> _Rows:
    """Draws from posteriors and scores each draw under all posteriors: two passes over the data."""
    model, guide = pair
    # How often each datapoint is drawn: all equally often, and the remainder at random.
    times = torch.full((len(data),), num_samples // len(data))
    times[torch.randperm(len(data))[: num_samples % len(data)]] += 1
    drawn = []
    for batch in data.in_order(batch_size, device=device):
        x = batch.x.repeat_interleave(times.to(device)[batch.index], dim=0)
        if len(x):
            drawn.append(_draws(*_traces(model, guide, x)))
    values, own, prior_joint, prior_units, log_p = (_joined(parts) for parts in zip(*drawn, strict=True))
    prior = {site: Scores(prior_joint[site], prior_units[site]) for site in values}

    def under(batch: Batch) -> Marginals:
        sites = aggregate_sites(_trace(guide, batch.x))
        log_weights = batch.x.new_full((len(batch.x),), -math.log(len(data)))
        return log_marginals(score_pairs(sites), values, log_weights, groups, looks_at=looks_at(sites))

    marginals = reduce(_added, map(under, data.in_order(batch_size, device=device)))
    # vmap treats each draw as a batch of one, so that standard errors over draws can be computed.
    each = torch.vmap(lambda q, q_z, p: anatomy(q, q_z, p, groups))(own, marginals, prior)
    kl = torch.stack([own[site] - prior_joint[site] for site in values]).sum(0).squeeze(1)
    return _Rows(log_p, kl, each)


def _minibatches(
    pair: tuple[Program, Program], batches: Iterator[Batch], groups: Groups, *, num_data: int, estimator: Estimator
) -> _Rows:
    """The terms batch by batch."""
    kls, parts, log_ps = [], [], []
    for batch in batches:
        traces = _traces(*pair, batch.x)
        parts.append(dissect(*traces, num_data=num_data, groups=groups, estimator=estimator))
        _, own, prior_joint, _, log_p = _draws(*traces)
        kls.append(torch.stack([own[site] - prior_joint[site] for site in own]).sum(0).mean())
        log_ps.append({site: value.mean().unsqueeze(0) for site, value in log_p.items()})
    each = Anatomy(
        mutual_information=torch.stack([part.mutual_information for part in parts]),
        between=torch.stack([part.between for part in parts]),
        within=torch.stack([part.within for part in parts]),
        units={site: torch.stack([part.units[site] for part in parts]) for site in parts[0].units},
    )
    return _Rows(_joined(log_ps), torch.stack(kls), each)


def _draws(model_trace: Trace, guide_trace: Trace) -> tuple[dict[str, Tensor], ...]:
    """The quantities of a batch of b draws, by site, with a dimension for `anatomy` to average over.

    Values [b, 1, 1, size]; their log densities under their own posteriors [b, 1], under the prior [b, 1], and by unit
    [b, 1, units]; and of each observed site log p [b].
    """
    sites = aggregate_sites(guide_trace)
    prior = {name: nodes_of(model_trace)[name]["score_own"]() for name in sites}
    model_trace.compute_log_prob(site_filter=lambda _, site: site["is_observed"])
    log_p = {}
    for name, site in observed(model_trace):
        if all(frame.name != "data" for frame in site["cond_indep_stack"]):
            raise ValueError(f"observed site {name!r} is not in the plate 'data', so it belongs to no datapoint")
        log_p[name] = site["log_prob"].reshape(-1, site["log_prob"].shape[-1]).sum(0)
    return (
        {name: samples(site).unsqueeze(1) for name, site in sites.items()},
        {name: site["score_own"]().joint.unsqueeze(1) for name, site in sites.items()},
        {name: of_prior.joint.unsqueeze(1) for name, of_prior in prior.items()},
        {name: of_prior.units.unsqueeze(1) for name, of_prior in prior.items()},
        log_p,
    )


def _joined(parts: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


def _added(a: Marginals, b: Marginals) -> Marginals:
    """Log densities of the sum of two mixtures."""
    units = {site: torch.logaddexp(a.units[site], b.units[site]) for site in a.units}
    return Marginals(torch.logaddexp(a.joint, b.joint), torch.logaddexp(a.groups, b.groups), units)


def _traces(model: Program, guide: Program, x: Tensor) -> tuple[Trace, Trace]:
    """Traces of the pair on a batch, without its index: the set may have another size than the training set."""
    guide_trace = _trace(guide, x)
    return _trace(poutine.replay(model, trace=guide_trace), x), guide_trace


def _trace(program: Program, x: Tensor) -> Trace:
    return prune_subsample_sites(poutine.trace(program).get_trace(x))


def _trial(model: nn.Module, guide: nn.Module, x: Tensor) -> tuple[list[str], float | Tensor]:
    """Refuses a pair that does not fit, or cannot be scored pairwise, before the computation.

    Returns its latent sites, and the user's `poutine.scale` of them.
    """
    with pyro.validation_enabled():
        PlainELBO(kl="sampled").loss(model, guide, x)
        guide_trace = _trace(MarkParents()(guide), x)
        sites = aggregate_sites(guide_trace)
        model_trace = _trace(poutine.replay(MarkParents()(model), trace=guide_trace), x)
        check_priors(model_trace, sites)
        check_one_prior(model_trace, sites)
        return list(sites), batch_scale(sites)


def _estimate(rows: Tensor) -> Estimate:
    """The mean of [R, ...] over R and its standard error, which is undefined for one row."""
    rows = rows.cpu().double()
    error = rows.std(0) / math.sqrt(len(rows)) if len(rows) > 1 else torch.full_like(rows[0], math.nan)
    return Estimate(rows.mean(0), error)
