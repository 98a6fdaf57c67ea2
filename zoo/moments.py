"""Means and covariances of q(z | x), averaged over the sites that z depends on."""

import math

import torch
from pyro.poutine.trace_struct import Trace
from torch import Tensor

from zoo import ranks
from zoo.aggregate_sites import batch_scale, check_vectors
from zoo.estimators import covariance_of
from zoo.sites import chances_of, drawn_parents, family, known_sites, nodes_of, plates_of


def posterior_moments(guide_trace: Trace, site: str) -> tuple[Tensor, Tensor]:
    """Means [B, D] and covariances [B, D, D] of q(site | x_j), averaged over the classes and draws it depends on.

    By the laws of total expectation and covariance: summed-out classes are weighted by their probabilities, particles
    equally.

    Raises:
        ValueError: there is no such latent site, it is not a vector for each datapoint, it has a mask, or its family
            has no moments in closed form.
    """
    known_sites("site", [site], guide_trace)
    node = nodes_of(guide_trace)[site]
    check_vectors({site: node})
    batch_scale({site: node})  # refuses a mask, with which a distribution has no known covariance
    q = node["fn"]
    try:
        means = q.mean
    except NotImplementedError:
        raise ValueError(
            f"site {site!r}: {family(q)} has no mean in closed form; use a head that has one (MeanField, FullRank)"
        ) from None
    try:
        covariances = covariance_of(q)
    except NotImplementedError:
        raise ValueError(
            f"site {site!r}: {family(q)} has no known covariance; use a head that has one (MeanField, FullRank)"
        ) from None
    B, D = means.shape[-2:]
    if math.prod(means.shape[:-2]) == 1:  # it depends on nothing that has several values
        return ranks.gather(means.reshape(B, D)), ranks.gather(covariances.reshape(B, D, D))
    chances = chances_of(guide_trace, plates_of(node))
    chances = means.new_ones(means.shape[:-1]) if chances is None else chances
    batch = torch.broadcast_shapes(means.shape[:-1], chances.shape)
    weights = chances.expand(batch).reshape(-1, B)
    weights = (weights / weights.sum(0)).unsqueeze(-1)
    means = means.expand(*batch, D).reshape(-1, B, D)
    mean = (weights * means).sum(0)
    centred = means - mean
    covariances = covariances.expand(*batch, D, D).reshape(-1, B, D, D)
    between = centred.unsqueeze(-1) * centred.unsqueeze(-2)
    return ranks.gather(mean), ranks.gather((weights.unsqueeze(-1) * (covariances + between)).sum(0))


def posterior_means(guide_trace: Trace, site: str) -> Tensor:
    """Means E[site | x_j], [B, D].

    Raises:
        ValueError: as `posterior_moments`; or the site depends on one that is drawn: a few draws do not give its mean.
    """
    known_sites("site", [site], guide_trace)
    if drawn := drawn_parents(guide_trace, site):
        raise ValueError(
            f"site {site!r} depends on {', '.join(map(repr, drawn))}, which is drawn, so its mean given x is unknown; "
            "sum it out (Exact), or use DIPVAEII, which needs the covariance of q(z) only"
        )
    return posterior_moments(guide_trace, site)[0]
