"""The messengers that objectives install, on model and guide alike.

A messenger changes what is written on a site, never the site's distribution or its value.
"""

from collections.abc import Mapping
from typing import Any

from pyro.poutine.messenger import Messenger
from pyro.poutine.trace_struct import Trace
from pyro.poutine.util import site_is_subsample
from torch import Tensor
from torch.distributions import constraints


class ScaleSites(Messenger):
    """Multiplies the scale of latent sites: beta on z, in model and guide alike.

    On each such site `infer` then holds `weight`, the factor, and `unweighted_scale`, the scale without it.

    Args:
        weights: one 0-dim factor for every latent site, or one for each that is named.
    """

    def __init__(self, weights: Tensor | Mapping[str, Tensor]) -> None:
        super().__init__()
        self.weights = weights

    def _pyro_sample(self, msg: dict[str, Any]) -> None:
        if msg["is_observed"] or site_is_subsample(msg):
            return
        weight = self.weights if isinstance(self.weights, Tensor) else self.weights.get(msg["name"])
        if weight is not None:
            msg["infer"].update(weight=weight, unweighted_scale=msg["scale"])
            msg["scale"] = weight * msg["scale"]


class RefuseMisfits(Messenger):
    """On a model that is replayed: refuses a guide's value that the site cannot take, before the model uses it.

    Raises:
        ValueError: the guide's event has another shape, or values outside the model's support.
    """

    def __init__(self, guide_trace: Trace) -> None:
        super().__init__()
        self.guide_trace = guide_trace

    def _pyro_sample(self, msg: dict[str, Any]) -> None:
        name, p = msg["name"], msg["fn"]
        if msg["is_observed"] or site_is_subsample(msg) or name not in self.guide_trace:
            return
        q, value = self.guide_trace.nodes[name]["fn"], self.guide_trace.nodes[name]["value"]
        if p.event_shape != q.event_shape:
            raise ValueError(
                f"site {name!r}: the model's event has shape {tuple(p.event_shape)}, the guide's "
                f"{tuple(q.event_shape)}; give the head the model's size"
            )
        # A simplex is a thin slice of the reals: densities on the two do not compare, though the values would pass.
        if _on_simplex(p) != _on_simplex(q) or not p.support.check(value).all():
            raise ValueError(
                f"site {name!r}: the model's values lie in {p.support}, the guide's in {q.support}; "
                "take a head for the model's support"
            )


def _on_simplex(distribution: Any) -> bool:
    return distribution.support in (constraints.simplex, constraints.one_hot)
