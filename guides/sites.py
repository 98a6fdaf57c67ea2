"""What the guides with a head for each site share: the order of the sites, their distributions, and the draws."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import pyro
import torch
from pyro.distributions.torch_distribution import TorchDistribution
from torch import Tensor, nn
from torch.distributions import constraints

from guides.heads import Head, Predicted
from guides.program import Misfit, shown, whole

Raw = Callable[[str, Mapping[str, Tensor]], Tensor]


def sizes_of(heads: Mapping[str, Head], classes: int | None) -> dict[str, int]:
    """The size of each site that a head may depend on, including labels "y" of `classes` classes.

    Raises:
        TypeError, ValueError: there is no head, or a value that is not a head; a site has a name under which PyTorch
            keeps no module, such as "type"; a head depends on a site that does not come before it; or there are both
            `classes` and a head for "y".
    """
    if not heads:
        raise ValueError("a guide needs at least one head, as in Amortized(trunk, z=MeanField(10))")
    if "y" in heads and classes is not None:
        raise ValueError("give either classes= or a head for y, which defines the number of classes, not both")
    sizes = {} if classes is None else {"y": whole("classes", classes, least=2)}
    for site, head in heads.items():
        if not isinstance(head, Head):
            raise TypeError(f"site {site!r}: expected a head such as MeanField(10), got {shown(head)}")
        if hasattr(nn.ModuleDict(), site) or hasattr(nn.ParameterDict(), site) or "." in site:
            raise ValueError(
                f"site {site!r}: PyTorch cannot keep a module under this name; give the site another one in story and "
                "guide"
            )
        looks_at = {*head.given, *([head.of] if isinstance(head, Predicted) else [])}
        if unknown := looks_at - sizes.keys():
            raise ValueError(
                f"site {site!r} is given {sorted(unknown)}, but no such head comes before it: "
                f"the order is {list(heads)}" + ("; for labels, give classes=" if unknown == {"y"} else "")
            )
        sizes[site] = head.size
    return sizes


def distribution(heads: Mapping[str, Any], site: str, given: Mapping[str, Tensor], raw: Raw) -> TorchDistribution:
    """q(site | x, given), from `raw`, which returns a site's raw numbers, and the earlier sites' values [..., size]."""
    head = heads[site]
    made: TorchDistribution
    if isinstance(head, Predicted):
        made = head(_mean(site, head.of, distribution(heads, head.of, given, raw)))
    else:
        numbers = raw(site, given) if head.learnt else side_by_side([given[name] for name in head.given])
        # Under autocast the layers return half precision, in which the entries of a simplex do not add up to 1.
        made = head(numbers.float() if numbers.dtype in (torch.float16, torch.bfloat16) else numbers)
    return made


def _mean(site: str, of: str, q: TorchDistribution) -> Tensor:
    """The mean of the probabilities q(of | x), for the head Predicted of a site.

    Raises:
        ValueError: q is not of probabilities, or has no mean in closed form.
    """
    try:
        if q.support is not constraints.simplex:
            raise NotImplementedError
        mean: Tensor = q.mean
    except NotImplementedError:
        raise Misfit(
            f"site {site!r}: Predicted(of={of!r}) takes the mean of {of!r} as class probabilities, and the head of "
            f"{of!r} has no such mean; use DirichletHead for {of!r}, or Exact for {site!r}"
        ) from None
    return mean


def sample_sites(heads: Mapping[str, Any], values: dict[str, Tensor], raw: Raw) -> dict[str, Tensor]:
    """Samples, in order, every site that has no value yet. Returns all values."""

    # Sites that `given` leaves out keep the datapoint's values: its label, and what was drawn for it.
    def again(site: str, given: Mapping[str, Tensor]) -> TorchDistribution:
        return distribution(heads, site, {**values, **given}, raw)

    for site, head in heads.items():
        if site in values:
            continue
        # For objectives that score one datapoint's sample under another's posterior.
        rerun = {"given": head.given, "rerun": partial(again, site)} if head.given else {}
        infer: Any = {**head.infer(), **rerun}
        values[site] = pyro.sample(site, distribution(heads, site, values, raw), infer=infer)
    return values


def side_by_side(tensors: list[Tensor]) -> Tensor:
    """Concatenates the tensors [..., width] after expanding their batch dimensions to one shape."""
    batch = torch.broadcast_shapes(*(t.shape[:-1] for t in tensors))
    return torch.cat([t.expand(*batch, t.shape[-1]) for t in tensors], dim=-1)
