"""The families of q(z | x) whose units have densities of their own: rows of a batch, and batches put together."""

from collections.abc import Callable
from typing import Any

from torch import Tensor
from torch.distributions import (
    Beta,
    Categorical,
    Distribution,
    Gamma,
    Independent,
    Laplace,
    LogNormal,
    LowRankMultivariateNormal,
    MixtureSameFamily,
    MultivariateNormal,
    Normal,
    StudentT,
)

PARAMETERS: dict[Any, tuple[str, ...]] = {
    Normal: ("loc", "scale"),
    Laplace: ("loc", "scale"),
    StudentT: ("df", "loc", "scale"),
    LogNormal: ("loc", "scale"),
    Gamma: ("concentration", "rate"),
    Beta: ("concentration1", "concentration0"),
    MultivariateNormal: ("loc", "scale_tril"),
    LowRankMultivariateNormal: ("loc", "cov_factor", "cov_diag"),
    Categorical: ("logits",),
}
INDEPENDENT = (Normal, Laplace, StudentT, LogNormal, Gamma, Beta)  # a density for each unit


def has_unit_densities(q: Distribution) -> bool:
    """Whether `zoo.estimators.scores` returns the density of each unit of a vector."""
    if isinstance(q, MixtureSameFamily):
        return isinstance(q.component_distribution, Independent) and has_unit_densities(q.component_distribution)
    if isinstance(q, Independent):
        return q.reinterpreted_batch_ndims == 1 and isinstance(q.base_dist, INDEPENDENT)
    return isinstance(q, (MultivariateNormal, LowRankMultivariateNormal))


def rebuilt(change: Callable[..., Tensor], *qs: Any) -> Distribution:
    """The distribution whose parameters are `change` of the parameters of one or several distributions of a family."""
    first = qs[0]
    if isinstance(first, Independent):
        return Independent(rebuilt(change, *(q.base_dist for q in qs)), 1, validate_args=False)
    if isinstance(first, MixtureSameFamily):
        shares: Any = rebuilt(change, *(q.mixture_distribution for q in qs))
        return MixtureSameFamily(shares, rebuilt(change, *(q.component_distribution for q in qs)), validate_args=False)
    family = _family(first)
    changed = {name: change(*(getattr(q, name) for q in qs)) for name in PARAMETERS[family]}
    made: Distribution = family(**changed, validate_args=False)
    return made


def positive_parameters(q: Any) -> dict[str, Tensor]:
    """The parameters that must be positive in a distribution of vectors, by name, [N, size]; of a mixture's components,
    [N, components, size].

    They are all parameters of its units except `loc`; for a multivariate normal, the diagonal of `scale_tril`; for one
    of low rank, `cov_diag`.
    """
    if isinstance(q, MixtureSameFamily):
        return positive_parameters(q.component_distribution)
    if isinstance(q, MultivariateNormal):
        return {"diagonal of scale_tril": q.scale_tril.diagonal(dim1=-2, dim2=-1)}
    if isinstance(q, LowRankMultivariateNormal):
        return {"cov_diag": q.cov_diag}
    base = q.base_dist if isinstance(q, Independent) else q
    called = {"scale": "standard deviation"} if isinstance(base, Normal) else {}
    return {called.get(name, name): getattr(base, name) for name in PARAMETERS[_family(base)] if name != "loc"}


def other_parameters(q: Any) -> dict[str, Tensor]:
    """The parameters, by name, [N, ...], that must be finite, besides the mean and the `positive_parameters`."""
    if isinstance(q, MultivariateNormal):
        return {"scale_tril": q.scale_tril}
    return {"cov_factor": q.cov_factor} if isinstance(q, LowRankMultivariateNormal) else {}


def name_of(q: Any) -> str:
    """The family's name, the same for all batches of one encoder."""
    if isinstance(q, Independent):
        return f"independent {name_of(q.base_dist)}"
    if isinstance(q, MixtureSameFamily):
        return f"mixture of {q.mixture_distribution.logits.shape[-1]} {name_of(q.component_distribution)}"
    return str(_family(q).__name__)


def _family(q: Any) -> Any:
    """The family of PyTorch; Pyro's are its subclasses."""
    return next(family for family in PARAMETERS if isinstance(q, family))
