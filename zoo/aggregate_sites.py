"""The sites of the aggregate posterior q(z), and checks that its terms can be estimated of them."""

import math
from collections.abc import Iterable, Mapping, Sequence

import torch
from pyro.distributions.util import is_validation_enabled
from pyro.poutine.trace_struct import Trace
from torch import Tensor

from zoo.sites import (
    Groups,
    Site,
    check_some_latent,
    common_scale,
    family,
    is_masked,
    known_sites,
    latent,
    nodes_of,
    other_plates,
    summed_out,
)


def aggregate_sites(guide_trace: Trace, only: Sequence[str] | None = None) -> dict[str, Site]:
    """Returns the latent sites, or the named ones, after checking that each can be scored pairwise.

    Raises:
        ValueError: there is no latent site; a site has a mask, a scale per datapoint, or an event that is not a vector;
            it is outside the plate "data"; it is auxiliary; it is summed out or depends on a site that is; or it
            depends on an earlier site and has no infer["rerun"].
    """
    every = dict(latent(guide_trace))
    check_some_latent(every)
    known_sites("sites", only or (), guide_trace)
    sites = {name: site for name, site in every.items() if only is None or name in only}
    for name, site in sites.items():
        looked_at = {*site["infer"].get("given", ()), *site.get("parents", ())}
        summed = [other for other in every if other in looked_at and summed_out(every[other])]
        problem = None
        if site["infer"].get("is_auxiliary"):
            problem = "is an auxiliary site, which the model does not have"
        elif summed_out(site):
            problem = "is summed out, and q(z) needs draws: use Concrete or StraightThrough"
        elif summed:
            problem = f"depends on {summed[0]!r}, which is summed out, and q(z) needs draws of both"
        elif hidden := _hidden_parents(site):
            problem = f"depends on {hidden} without infer['rerun'], so it cannot be scored pairwise"
        if problem:
            raise ValueError(f"site {name!r} {problem}; use a guide such as guides.Amortized")
    check_vectors(sites)
    batch_scale(sites)
    return sites


def check_vectors(sites: Mapping[str, Site]) -> None:
    """Refuses sites that are not one vector for each datapoint.

    Raises:
        ValueError: a site has an event that is not a vector, or is outside the plate "data".
    """
    for name, site in sites.items():
        event = tuple(site["fn"].event_shape)
        if {frame.name: frame.dim for frame in site["cond_indep_stack"]}.get("data") != -1:
            raise ValueError(
                f"site {name!r} is not in the plate 'data' as its last dimension, and this term needs a value for each "
                "datapoint there; sample it in pyro.plate('data', ..., dim=-1)"
            )
        if len(event) != 1:
            raise ValueError(
                f"site {name!r} has an event of shape {event}, not a vector, and this term needs vectors; give it the "
                f"shape [{math.prod(event)}] in model and guide, and reshape it where it is used"
            )


def batch_scale(sites: Mapping[str, Site]) -> float | Tensor:
    """The user's `poutine.scale` of these sites, by which a term over the whole batch is multiplied like the ELBO's.

    Raises:
        ValueError: a site has a mask or a scale per datapoint; the sites' scales differ; or a site is in another plate
            than "data", over which the ELBO sums.
    """
    for name, site in sites.items():
        by_datapoint = isinstance(site["scale"], Tensor) and site["scale"].dim()
        if site["mask"] is not None or is_masked(site["fn"]) or by_datapoint:
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


def looks_at(sites: Mapping[str, Site]) -> dict[str, Sequence[str]]:
    """For each site whose posterior depends on latent sites, their names; labels are data, like x, and do not count."""
    return {name: site["infer"]["given"] for name, site in sites.items() if site["infer"].get("rerun")}


def check_inside(sites: Mapping[str, Site], guide_trace: Trace) -> None:
    """Refuses sites whose posterior depends on a latent site that is not among them.

    Raises:
        ValueError: a site depends on a latent site that is not among `sites`.
    """
    for name, looked_at in looks_at(sites).items():
        if outside := [other for other, _ in latent(guide_trace) if other in looked_at and other not in sites]:
            raise ValueError(f"site {name!r} depends on {outside[0]!r}, which is not among the sites: name it too")


def check_groups(groups: Groups, guide_trace: Trace) -> None:
    """Refuses a group with both ends of a chain and not its middle: w and c, with w given z and z given c.

    The group's density would score each w at a z that was drawn with another datapoint's c.

    Raises:
        ValueError: a site of a group depends on one outside of it that depends on a site of the group.
    """
    looked_at = looks_at(dict(latent(guide_trace)))
    ancestors: dict[str, set[str]] = {}
    for name, _ in latent(guide_trace):
        parents = looked_at.get(name, ())
        ancestors[name] = set(parents).union(*(ancestors.get(parent, ()) for parent in parents))
    for group in groups:
        for name in group:
            for between in (other for other in looked_at.get(name, ()) if other not in group):
                if ends := sorted(ancestors.get(between, set()) & set(group)):
                    raise ValueError(
                        f"site {name!r} depends on {between!r}, which depends on {ends[0]!r}, and {name!r} and "
                        f"{ends[0]!r} are to be scored together without {between!r}: add it to them, or separate them"
                    )


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


def check_one_prior(model_trace: Trace, sites: Iterable[str]) -> None:
    """Refuses a prior that differs between datapoints, as p(z | y) does given labels; checked as `check_priors`.

    KL(q(z) || p(z)) of the average of all posteriors needs one p(z).

    Raises:
        ValueError: the priors of two datapoints give the same value other densities.
    """
    if not is_validation_enabled():
        return
    for name in sites:
        site = nodes_of(model_trace)[name]
        with torch.no_grad():
            value = site["value"][..., :1, :].expand_as(site["value"])
            log_p = site["fn"].log_prob(value)
        if not torch.allclose(log_p, log_p[..., :1], rtol=1e-4, atol=1e-4, equal_nan=True):
            raise ValueError(
                f"site {name!r}: its prior differs between datapoints, as one that depends on labels does, and this "
                "term compares q(z), the average of all posteriors, with one prior; use PlainELBO, BetaVAE or Capacity"
            )


def check_scored(traces: Iterable[Trace], sites: Iterable[str]) -> None:
    """Refuses sites without the scores that `zoo.handlers.ScorePairs` writes."""
    for trace in traces:
        for name in sites:
            check_left(trace, name, "score_own", "ScorePairs(...)")


def check_left(trace: Trace, name: str, what: str, messenger: str) -> None:
    """Refuses a site that lacks what an objective's messenger should have written on it for a term."""
    if what not in nodes_of(trace)[name]:
        raise ValueError(f"site {name!r} lacks {what!r}, which this term needs: return {messenger} from messengers()")


def check_measures(model_trace: Trace, sites: Mapping[str, Site]) -> None:
    """Refuses a one-hot posterior with a relaxed prior: a log mass and a log density must not be subtracted."""
    for name, site in sites.items():
        q, p = site["fn"], nodes_of(model_trace)[name]["fn"]
        if site["concrete"] == "density" and q.support.is_discrete != p.support.is_discrete:
            raise ValueError(
                f"site {name!r}: log q - log p would mix a mass with a density: q is {family(q)}, p is {family(p)}; "
                "use concrete='mass' where the objective has it, or a prior and a head that are both one-hot or both "
                "relaxed"
            )


def _hidden_parents(site: Site) -> str:
    """The sites whose values reach this site's distribution although infer["given"] does not name them."""
    said = site["infer"]["given"] if "rerun" in site["infer"] else ()
    return ", ".join(map(repr, sorted(site.get("parents", frozenset()) - set(said))))
