"""Numbers from distributions and samples: tensors in, tensors out, in nats. Imports torch alone."""

from typing import Any

from torch import Tensor
from torch.distributions import (
    Independent,
    MultivariateNormal,
    Normal,
    OneHotCategorical,
    RelaxedOneHotCategorical,
    kl_divergence,
    register_kl,
)


def closed_kl(q: Any, p: Any) -> Tensor:
    """KL(q || p) in closed form, unit by unit where both factorise.

    For relaxed one-hot categoricals it is the KL of the underlying categoricals, which is at most log K for a uniform
    p; the KL of the two Concrete densities has no closed form and no such bound.

    Returns:
        [*batch, units]: one entry for each unit of an independent family, a single one where the units are coupled.

    Raises:
        NotImplementedError: there is no closed form for this pair.
    """
    if isinstance(q, (RelaxedOneHotCategorical, OneHotCategorical)) and isinstance(
        p, (RelaxedOneHotCategorical, OneHotCategorical)
    ):
        log_q, log_p = q.logits.log_softmax(-1), p.logits.log_softmax(-1)
        return (log_q.exp() * (log_q - log_p)).sum(-1, keepdim=True)
    if _factorise_alike(q, p):
        return kl_divergence(q.base_dist, p.base_dist).flatten(len(q.batch_shape))
    return kl_divergence(q, p).unsqueeze(-1)


def sampled_kl(q: Any, p: Any, value: Tensor) -> Tensor:
    """log q(value) - log p(value), unit by unit where both factorise: one draw's estimate of KL(q || p).

    Returns:
        [*batch, units], as `closed_kl`.

    Raises:
        ValueError: one of the two is a mass and the other a density, whose difference means nothing.
    """
    if q.support.is_discrete != p.support.is_discrete:
        raise ValueError(
            f"log q - log p would mix a mass with a density: q is {type(q).__name__}, p is {type(p).__name__}"
        )
    if _factorise_alike(q, p):
        batch_dims = max(len(q.batch_shape), len(p.batch_shape))
        return (q.base_dist.log_prob(value) - p.base_dist.log_prob(value)).flatten(batch_dims)
    return (q.log_prob(value) - p.log_prob(value)).unsqueeze(-1)


def _factorise_alike(q: Any, p: Any) -> bool:
    """Whether both are independent over all units of the same event."""
    return all(isinstance(d, Independent) and d.reinterpreted_batch_ndims == len(d.event_shape) for d in (q, p))


@register_kl(MultivariateNormal, Independent)
def _kl_multivariate_normal_independent(q: MultivariateNormal, p: Independent) -> Tensor:
    """KL of a full-rank normal from independent ones, which neither torch nor Pyro has.

    1/2 (tr(S_p^-1 S_q) + |S_p^-1/2 (m_p - m_q)|^2 - D + log |S_p| - log |S_q|).
    """
    if not isinstance(p.base_dist, Normal) or p.reinterpreted_batch_ndims != 1:
        raise NotImplementedError
    loc, scale = p.base_dist.loc, p.base_dist.scale
    whitened = q.scale_tril / scale.unsqueeze(-1)
    trace = whitened.square().sum((-2, -1))
    distance = ((q.loc - loc) / scale).square().sum(-1)
    log_det = 2 * whitened.diagonal(dim1=-2, dim2=-1).log().sum(-1)
    kl: Tensor = 0.5 * (trace + distance - loc.shape[-1] - log_det)
    return kl
