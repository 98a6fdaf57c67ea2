"""The messengers that objectives install, on model and guide alike.

A messenger changes what is written on a site, never the site's distribution or its value.
"""

from collections.abc import Mapping
from typing import Any

from pyro.poutine.messenger import Messenger
from pyro.poutine.util import site_is_subsample
from torch import Tensor


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
