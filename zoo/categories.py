"""Terms of categorical sites, in nats per datapoint: the two parts of their KL, and how much they change near x."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from pyro.poutine.trace_struct import Trace
from torch import Tensor

from zoo import ranks
from zoo.aggregate_sites import batch_scale, check_one_prior, check_priors, check_vectors
from zoo.estimators import CATEGORICAL, kl_by_class, log_masses, x_log_x
from zoo.sites import chances_of, drawn_parents, expected, latent, mean_over_data, nodes_of, plates_of


class KLParts(NamedTuple):
    """The two parts of a categorical site's KL(q(c | x) || p(c)), averaged over the data: 0-dim each.

    Attributes:
        information: I(x; c) = E[KL(q(c | x) || q(c))], at most log K: high where q(c | x) is certain and q(c) even.
        divergence: KL(q(c) || p(c)), 0 where the classes are used as often as the prior says.
    """

    information: Tensor
    divergence: Tensor


def categorical_sites(guide_trace: Trace) -> list[str]:
    """The latent sites of the model that are categorical, relaxed or one-hot, drawn or summed out."""
    return [
        name
        for name, site in latent(guide_trace)
        if isinstance(site["fn"], CATEGORICAL) and not site["infer"].get("is_auxiliary")
    ]


def kl_parts(model_trace: Trace, guide_trace: Trace, name: str) -> KLParts:
    """Information and divergence of a categorical site, by the probabilities q(c | x) of the batch.

    .. warning::
        q(c) is the average over the batch, so the divergence is estimated too high and the information too low. If the
        types are certain and the whole data uses K classes evenly, the error is about (K - 1) / (2B) nats for batches
        of B.

    Where q(c | x) depends on another class that is summed out, information is that of x and this class together.

    Raises:
        ValueError: the site is outside the plate "data", or in another one, too; it has a mask or a scale per
            datapoint; its posterior depends on a site that is drawn, so that q(c | x) is unknown; or its prior depends
            on another latent site, or differs between datapoints.
    """
    check_priors(model_trace, [name])
    check_one_prior(model_trace, [name])
    if drawn := drawn_parents(guide_trace, name):
        raise ValueError(
            f"site {name!r} depends on {', '.join(map(repr, drawn))}, which is drawn, so q({name} | x) is unknown, and "
            f"I(x; {name}) would count what {name!r} takes from the draw; use a head that depends on x only"
        )
    site, prior = nodes_of(guide_trace)[name], nodes_of(model_trace)[name]["fn"]
    check_vectors({name: site})
    scale, chances = batch_scale({name: site}), chances_of(guide_trace, plates_of(site))
    q = log_masses(site["fn"]).exp()
    q_c = ranks.mean(expected(q, chances).flatten(0, -2).mean(0))
    negentropy = x_log_x(q_c).sum()
    information = ranks.mean(expected(x_log_x(q).sum(-1, keepdim=True), chances).mean()) - negentropy
    divergence = negentropy - (q_c * torch.where(q_c > 0, log_masses(prior), 0.0)).sum(-1).mean()
    return KLParts(scale * information, scale * divergence)


def roughness(guide_trace: Trace, names: Sequence[str], *, radius: float, probe: float) -> dict[str, Tensor]:
    """KL(q(c | x) || q(c | x + r)) of each site at a step r that changes them much, 0-dim; needs `RunAgain`.

    After virtual adversarial training (Miyato et al. 2018, https://arxiv.org/abs/1704.03976), with one gradient step:
    r has the direction in which the KL, summed over the sites, grows fastest at a random point around x. q(c | x) and r
    are constants: gradients pass through q(c | x + r) alone. Earlier sites that are drawn keep their values, and
    earlier sites that are summed out keep their probabilities at x. The term is 0 for a datapoint that the batch
    contains twice, since r has the length 0 there.

    Args:
        guide_trace: of the batch, under `RunAgain`.
        names: the categorical sites.
        radius: the length of r, as a share of the distance from x to the nearest other datapoint of the batch.
        probe: the distance of the random point from x, as a share of the same distance.

    Raises:
        ValueError: none of the sites depends on the data; the data is not the guide's first argument; the guide cannot
            be run at x + r; under `torch.inference_mode()`; or as `nearest`.
    """
    sites = {name: nodes_of(guide_trace)[name] for name in names}
    run_again = sites[names[0]]["run_again"]
    given = nodes_of(guide_trace)["_INPUT"]["args"]
    if not given or not isinstance(given[0], Tensor):
        raise ValueError(
            "the guide is run again near the data, which is its first argument, and was called without it; call the "
            "loss as loss(model, guide, x), with x not by name"
        )
    if torch.is_inference_mode_enabled():
        raise ValueError("roughness needs a gradient, which torch.inference_mode() excludes: use torch.no_grad()")
    x: Tensor = given[0]
    distance = nearest(x)
    targets = {name: log_masses(site["fn"]).detach() for name, site in sites.items()}
    with torch.no_grad():
        chances = {name: chances_of(guide_trace, plates_of(site)) for name, site in sites.items()}

    def kls(step: Tensor) -> dict[str, Tensor]:
        moved = nodes_of(run_again(x + step, guide_trace))
        by_class = {name: kl_by_class(log_q, log_masses(moved[name]["fn"])) for name, log_q in targets.items()}
        return {name: expected(kl, chances[name]).sum(-1) for name, kl in by_class.items()}

    with torch.enable_grad():
        random = _of_length(torch.randn_like(x), probe * distance).requires_grad_()
        total = torch.stack([kl.sum() for kl in kls(random).values()]).sum()
        (direction,) = torch.autograd.grad(total, random, allow_unused=True) if total.requires_grad else (None,)
    if direction is None:
        raise ValueError(
            f"sites {list(names)}: q does not depend on x, so it has no roughness; use an amortised guide, such as "
            "guides.Amortized"
        )
    return {name: mean_over_data(kl, sites[name]) for name, kl in kls(_of_length(direction, radius * distance)).items()}


def nearest(x: Tensor) -> Tensor:
    """The distance [B] of each datapoint [B, ...] to the nearest other one of the batch.

    Raises:
        ValueError: the batch has one datapoint only.
    """
    flat = x.detach().reshape(len(x), -1)
    if len(batch := ranks.gather(flat)) < 2:
        raise ValueError(
            "the batch has one datapoint, and so no other one that could be near: use batches of 2 or more"
        )
    # Around its centre, and in double precision: cdist squares the values, and where they are far from 0, or clusters
    # far from each other, the rounding of single precision is as large as distances.
    centre = batch.mean(0)
    flat, batch = (t if t.device.type == "mps" else t.double() for t in (flat - centre, batch - centre))
    distances = torch.cdist(flat, batch).to(x.dtype)
    return distances.topk(2, largest=False).values[:, 1]  # the first is the datapoint itself


def _of_length(direction: Tensor, length: Tensor) -> Tensor:
    """The direction of each datapoint [B, ...], scaled to a length [B]; 0 where it has none."""
    flat = direction.reshape(len(direction), -1)
    norm = flat.norm(dim=1, keepdim=True).clamp_min(torch.finfo(flat.dtype).tiny)
    return (flat / norm * length.unsqueeze(1)).view_as(direction)
