"""The amortised guide: one forward pass from a datapoint to the distributions of its latents."""

import itertools
from collections.abc import Mapping
from functools import partial
from typing import Any

import pyro
import torch
from pyro.distributions.torch_distribution import TorchDistribution
from torch import Tensor, nn

from guides.heads import Head, Predicted
from guides.program import data_plate, one_hot, picklable_state, register


class Amortized(nn.Module):
    """One trunk, and one head per site: q(z, c | x) = prod over sites of q(site | trunk(x), earlier sites).

        guide = Amortized(trunk, z=MeanField(10))
        guide = Amortized(trunk, c=Concrete(10, temperature=0.67), z=MeanField(10, given=("c",)))

    Labels y are observed, so a batch that has them leaves the site "y" out, if there is a head for it; heads that are
    given "y" then see the labels, one-hot:

        guide = Amortized(trunk, pi=DirichletHead(10), y=Predicted(10, of="pi"), z=MeanField(10))     # q(z | x)
        guide = Amortized(trunk, classes=10, z=MeanField(10, given=("y",)))                          # q(z | x, y)

    Args:
        trunk: data [B, ...] to features [B, out_features]. It, or the last of its layers to have one, tells its
            `out_features`.
        num_data: how many datapoints there are in all; needed once batches come with their index.
        classes: of labels that heads are given as "y" where there is no head for it.
        heads: the family of each site, sampled in the order given.

    Raises:
        ValueError: there is no head, a head looks at a site that does not come before it, or the width of the
            trunk's features cannot be told.
    """

    def __init__(
        self, trunk: nn.Module, *, num_data: int | None = None, classes: int | None = None, **heads: Head
    ) -> None:
        super().__init__()
        if not heads:
            raise ValueError("a guide needs at least one head, as in Amortized(trunk, z=MeanField(10))")
        width = _out_features(trunk)
        if "y" in heads and classes is not None:
            raise ValueError("give classes= or a head for y, which says how many there are, not both")
        sizes = {name: head.size for name, head in heads.items() if isinstance(head, Head)}
        sizes |= {} if classes is None else {"y": classes}
        layers = {}
        for i, (site, head) in enumerate(heads.items()):
            if not isinstance(head, Head):
                raise TypeError(f"site {site!r}: expected a head such as MeanField(10), got {type(head).__name__}")
            looks_at = {*head.given, *([head.of] if isinstance(head, Predicted) else [])}
            unknown = looks_at - set(list(heads)[:i]) - ({"y"} if classes is not None else set())
            if unknown:
                raise ValueError(
                    f"site {site!r} is given {sorted(unknown)}, of which no head comes before it: "
                    f"the order is {list(heads)}"
                    + ("; for labels, say how many classes= they have" if unknown == {"y"} else "")
                )
            if head.learnt:
                widths = [width + sum(sizes[name] for name in head.given), *head.hidden, head.num_raw]
                layers[site] = _layers(widths)
        self.trunk = trunk
        self.num_data = num_data
        self.classes = sizes.get("y")
        self.needs_labels = "y" not in heads and any("y" in head.given for head in heads.values())
        self.sites = tuple(heads)
        self.heads = nn.ModuleDict(heads)
        self.layers = nn.ModuleDict(layers)

    def posterior(self, site: str, features: Tensor, given: Mapping[str, Tensor]) -> TorchDistribution:
        """q(site | features, given): features [..., out_features] and earlier sites' values [..., size]."""
        head: Any = self.heads[site]
        if isinstance(head, Predicted):
            distribution: TorchDistribution = head(self.posterior(head.of, features, given).mean)
            return distribution
        known = [given[name] for name in head.given]
        if not head.learnt:
            return head(torch.cat(_broadcast(known), dim=-1))
        inputs = torch.cat(_broadcast([features, *known]), dim=-1)
        return head(self.layers[site](inputs))

    def forward(self, x: Tensor, y: Tensor | None = None, *, index: Tensor | None = None) -> dict[str, Tensor]:
        """Samples every site for the batch x [B, ...], but for a y that is given [B]; gives the values by site.

        Raises:
            TypeError, ValueError: y is missing where a head needs it; or as `guides.program.one_hot`.
        """
        register(self)
        if y is None and self.needs_labels:
            raise ValueError(
                "the guide needs labels y, which its heads are given and no head says: call guide(x, y), with batches "
                "of labels=True"
            )
        features = self.trunk(x)
        values: dict[str, Tensor] = {}
        if y is not None and self.classes is not None:
            values["y"] = one_hot(y, self.classes, x)
        with data_plate(x, index, self.num_data):
            for site in self.sites:
                if site in values:
                    continue
                # What an objective needs that scores one datapoint's sample under another's posterior.
                rerun = {"rerun": partial(self.posterior, site, features)} if self.heads[site].given else {}
                infer = {**self.heads[site].infer(), **rerun}
                values[site] = pyro.sample(site, self.posterior(site, features, values), infer=infer)
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
