"""The amortised guide: one forward pass from a datapoint to the distributions of its latents."""

import itertools
from collections.abc import Mapping
from functools import partial
from typing import Any

import pyro
import torch
from pyro.distributions.torch_distribution import TorchDistribution
from torch import Tensor, nn

from guides.heads import Head
from guides.program import data_plate, picklable_state, register


class Amortized(nn.Module):
    """One trunk, and one head per site: q(z, c | x) = prod over sites of q(site | trunk(x), earlier sites).

        guide = Amortized(trunk, z=MeanField(10))
        guide = Amortized(trunk, c=Concrete(10, temperature=0.67), z=MeanField(10, given=("c",)))

    Args:
        trunk: data [B, ...] to features [B, out_features]. It, or the last of its layers to have one, tells its
            `out_features`.
        num_data: how many datapoints there are in all; needed once batches come with their index.
        heads: the family of each site, sampled in the order given.

    Raises:
        ValueError: there is no head, a head looks at a site that does not come before it, or the width of the
            trunk's features cannot be told.
    """

    def __init__(self, trunk: nn.Module, *, num_data: int | None = None, **heads: Head) -> None:
        super().__init__()
        if not heads:
            raise ValueError("a guide needs at least one head, as in Amortized(trunk, z=MeanField(10))")
        width = _out_features(trunk)
        layers = {}
        for i, (site, head) in enumerate(heads.items()):
            if not isinstance(head, Head):
                raise TypeError(f"site {site!r}: expected a head such as MeanField(10), got {type(head).__name__}")
            unknown = set(head.given) - set(list(heads)[:i])
            if unknown:
                raise ValueError(
                    f"site {site!r} is given {sorted(unknown)}, of which no head comes before it: "
                    f"the order is {list(heads)}"
                )
            widths = [width + sum(heads[name].size for name in head.given), *head.hidden, head.num_raw]
            layers[site] = _layers(widths)
        self.trunk = trunk
        self.num_data = num_data
        self.sites = tuple(heads)
        self.heads = nn.ModuleDict(heads)
        self.layers = nn.ModuleDict(layers)

    def posterior(self, site: str, features: Tensor, given: Mapping[str, Tensor]) -> TorchDistribution:
        """q(site | features, given): features [..., out_features] and earlier sites' values [..., size]."""
        head: Any = self.heads[site]
        inputs = torch.cat(_broadcast([features, *(given[name] for name in head.given)]), dim=-1)
        return head(self.layers[site](inputs))

    def forward(self, x: Tensor, *, index: Tensor | None = None) -> dict[str, Tensor]:
        """Samples every site for the batch x [B, ...]; gives the values by site."""
        register(self)
        features = self.trunk(x)
        values: dict[str, Tensor] = {}
        with data_plate(x, index, self.num_data):
            for site in self.sites:
                # What an objective needs that scores one datapoint's sample under another's posterior.
                rerun = {"rerun": partial(self.posterior, site, features)} if self.heads[site].given else {}
                values[site] = pyro.sample(site, self.posterior(site, features, values), infer=rerun)
        return values

    def __getstate__(self) -> dict[str, Any]:
        return picklable_state(self)


def _out_features(trunk: nn.Module) -> int:
    """The width of the trunk's features, from the trunk itself or from the last layer that has one."""
    widths: list[Any] = [module.out_features for module in trunk.modules() if hasattr(module, "out_features")]
    if not widths:
        raise ValueError(
            "the trunk does not say how many features it gives: set trunk.out_features to the width of its output"
        )
    return int(getattr(trunk, "out_features", widths[-1]))


def _layers(widths: list[int]) -> nn.Sequential:
    """Linear layers of these widths with ReLU between them."""
    modules: list[nn.Module] = []
    for before, after in itertools.pairwise(widths):
        modules += [nn.Linear(before, after), nn.ReLU()]
    return nn.Sequential(*modules[:-1])


def _broadcast(tensors: list[Tensor]) -> list[Tensor]:
    """Expands the batch dimensions of each tensor [..., width] to their common shape."""
    batch = torch.broadcast_shapes(*(t.shape[:-1] for t in tensors))
    return [t.expand(*batch, t.shape[-1]) for t in tensors]
