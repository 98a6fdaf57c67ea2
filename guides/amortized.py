"""The amortised guide: one forward pass from a datapoint to the distributions of its latents."""

import itertools
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from pyro.distributions.torch_distribution import TorchDistribution
from torch import Tensor, nn

from guides.heads import Head
from guides.program import Misfit, data_plate, one_hot, picklable_state, register, shown, whole
from guides.sites import distribution, sample_sites, side_by_side, sizes_of

Layers = Callable[[list[int]], nn.Module]


class Amortized(nn.Module):
    """One trunk, and one head for each site: q(z, c | x) is the product over sites of q(site | trunk(x), earlier
    sites).

        guide = Amortized(trunk, z=MeanField(10))
        guide = Amortized(trunk, c=Concrete(10, temperature=0.67), z=MeanField(10, given=("c",)))

    For a batch with labels y, the site "y" is observed: its head is not sampled, and heads that are given "y" depend on
    the one-hot labels.

        guide = Amortized(trunk, pi=DirichletHead(10), y=Predicted(10, of="pi"), z=MeanField(10))     # q(z | x)
        guide = Amortized(trunk, classes=10, z=MeanField(10, given=("y",)))                          # q(z | x, y)

    Args:
        trunk: maps data [B, ...] to features [B, out_features]. The trunk or one of its layers has the attribute
            `out_features`, as nn.Linear has; of several layers the last counts.
        num_data: the number of datapoints in the training set; needed for batches with `index`.
        classes: the number of classes of the labels, for heads that are given "y" where "y" has no head.
        layers: builds the layers between the trunk and a head from a list of widths, the first that of the features,
            the last the head's `num_raw`. For a head that is given other sites they have to keep leading dimensions.
        heads: the head of each site. Sites are sampled in the order of the arguments.

    Raises:
        ValueError: there is no head, a head depends on a site that does not come before it, or the width of the
            trunk's features is unknown.

    Example:
        >>> import torch
        >>> from guides import Concrete, MeanField
        >>> guide = Amortized(nn.Linear(5, 8), c=Concrete(3, temperature=0.5), z=MeanField(2, given=("c",)))
        >>> {site: value.shape for site, value in guide(torch.zeros(4, 5)).items()}
        {'c': torch.Size([4, 3]), 'z': torch.Size([4, 2])}
        >>> guide.layers["z"]  # from 8 features and 3 classes to 2 means and 2 log variances
        Sequential(
          (0): Linear(in_features=11, out_features=4, bias=True)
        )
    """

    def __init__(
        self,
        trunk: nn.Module,
        *,
        num_data: int | None = None,
        classes: int | None = None,
        layers: Layers | None = None,
        **heads: Head,
    ) -> None:
        super().__init__()
        if not isinstance(trunk, nn.Module):
            raise TypeError(f"Amortized: trunk must be an nn.Module, from data to features, got {shown(trunk)}")
        if layers is not None and not callable(layers):
            raise TypeError(f"Amortized: layers must be a function from widths to a module, got {shown(layers)}")
        num_data = None if num_data is None else whole("Amortized: num_data", num_data)
        sizes = sizes_of(heads, classes)
        width = _out_features(trunk)
        make = layers or dense
        made = {}
        for site, head in heads.items():
            if head.learnt:
                made[site] = make([width + sum(sizes[name] for name in head.given), *head.hidden, head.num_raw])
        self.trunk = trunk
        self.num_data = num_data
        self.classes = sizes.get("y")
        self.needs_labels = "y" not in heads and any("y" in head.given for head in heads.values())
        self.sites = tuple(heads)
        self.heads = nn.ModuleDict(heads)
        self.make_layers = make
        self.layers = nn.ModuleDict(made)

    def raw(self, features: Tensor, offsets: Mapping[str, Tensor], site: str, given: Mapping[str, Tensor]) -> Tensor:
        """The raw numbers of a site's head, [..., num_raw], with the site's offsets added."""
        head: Any = self.heads[site]
        raw = through(self.layers[site], [features, *(given[name] for name in head.given)])
        return raw + offsets[site] if site in offsets else raw

    def posterior(self, site: str, features: Tensor, given: Mapping[str, Tensor]) -> TorchDistribution:
        """q(site | features, given): features [..., out_features] and earlier sites' values [..., size]."""
        return distribution(dict(self.heads.items()), site, given, partial(self.raw, features, {}))

    def forward(
        self,
        x: Tensor,
        y: Tensor | None = None,
        *,
        index: Tensor | None = None,
        offsets: Mapping[str, Tensor] | None = None,
    ) -> dict[str, Tensor]:
        """Samples every site for the batch x [B, ...], but not "y" if labels y [B] are given. Returns the values by
        site.

        Args:
            x, y: the batch.
            index: positions of these datapoints in the data set, [B].
            offsets: added to the raw numbers of each site, [B, num_raw]; `guides.refine` computes them.

        Raises:
            TypeError, ValueError: y is missing where a head needs it; or as `guides.program.one_hot`.
        """
        register(self)
        if y is None and self.needs_labels:
            raise Misfit(
                "the guide needs labels y: its heads are given y and no head infers it; call guide(x, y), with batches "
                "of labels=True"
            )
        plate = data_plate(x, index, self.num_data)  # checks the batch, before the trunk reads it
        raw = partial(self.raw, self.trunk(x), offsets or {})
        values: dict[str, Tensor] = {}
        if y is not None and self.classes is not None:
            values["y"] = one_hot(y, self.classes, x)
        with plate:
            return sample_sites(dict(self.heads.items()), values, raw)

    def __getstate__(self) -> dict[str, Any]:
        return picklable_state(self)


def dense(widths: list[int]) -> nn.Sequential:
    """Linear layers of these widths with ReLU between them."""
    modules: list[nn.Module] = []
    for before, after in itertools.pairwise(widths):
        modules += [nn.Linear(before, after), nn.ReLU()]
    return nn.Sequential(*modules[:-1])


def through(layers: Any, inputs: list[Tensor]) -> Tensor:
    """The layers applied to the concatenated inputs [..., width].

    Inputs may have different batch dimensions, such as B features and S given values. If the first layer is linear, its
    products with each input are added, which needs B + S products instead of B S.
    """
    first, *rest = layers if _is_plainly(layers, nn.Sequential) else [layers]
    same_shape = len({t.shape[:-1] for t in inputs}) == 1
    if same_shape or not _is_plainly(first, nn.Linear):
        out: Tensor = layers(side_by_side(inputs))
        return out
    parts = first.weight.split([t.shape[-1] for t in inputs], dim=1)
    out = first.bias if first.bias is not None else first.weight.new_zeros(())
    for t, weight in zip(inputs, parts, strict=True):
        out = out + t @ weight.mT
    for layer in rest:
        out = layer(out)
    return out


def _is_plainly(module: nn.Module, kind: type[nn.Module]) -> bool:
    """Whether a module is of exactly this class and has no hooks (as pruning has), which run only when it is called."""
    hooks = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return type(module) is kind and not any(getattr(module, hook) for hook in hooks)


def _out_features(trunk: nn.Module) -> int:
    """`out_features` of the trunk, or of its last layer that has one."""
    widths: list[Any] = [module.out_features for module in trunk.modules() if hasattr(module, "out_features")]
    if not widths:
        raise ValueError(
            "the number of the trunk's features is unknown: set trunk.out_features to the width of its output"
        )
    return int(getattr(trunk, "out_features", widths[-1]))
