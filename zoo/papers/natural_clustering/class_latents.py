"""The KL of N-VAE's two kinds of latents, and its classification accuracy, over a whole set."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, Normal

from zoo.arguments import checked
from zoo.estimators import closed_kl
from zoo.lab.analysis.posterior import decode, posteriors
from zoo.lab.data import Dataset
from zoo.lab.device import device_of
from zoo.seeds import torch_stream


@dataclass(frozen=True)
class Clustering:
    """KL(q || p) in nats per datapoint, over a whole set, and the accuracy of the class.

    Attributes:
        accuracy: the share of datapoints whose inferred class, arg max q(y | x), is the label.
        shared: of z_s, [s_dim].
        by_class: of each class's block of z_c (second axis) on the datapoints of each class (first), [L, L, c_dim];
            NaN in the rows of classes that do not occur.
        counts: datapoints of each class, [L].
    """

    accuracy: float
    shared: Tensor
    by_class: Tensor
    counts: Tensor

    @property
    def own(self) -> Tensor:
        """KL of the block of the datapoint's own class, [c_dim]: z_cy in the paper's Figure 5."""
        return self._mean(torch.eye(len(self.counts), dtype=self.by_class.dtype))

    @property
    def others(self) -> Tensor:
        """KL of the blocks of the other classes, averaged over blocks, [c_dim]."""
        size = len(self.counts)
        return self._mean((1 - torch.eye(size, dtype=self.by_class.dtype)) / (size - 1))

    def _mean(self, blocks: Tensor) -> Tensor:
        shares = self.counts / self.counts.sum()
        return torch.einsum("l,li,lid->d", shares, blocks, self.by_class.nan_to_num())


def measure(guide: nn.Module, data: Dataset, *, classes: int, batch_size: int = 1000) -> Clustering:
    """Runs the guide of a `zoo.NaturalClustering` once over the data, without labels.

    Raises:
        ValueError: the data have no labels, or labels of more than `classes` classes.
    """
    if data.y is None:
        raise ValueError(f"data {data.name!r} has no labels to measure classes by")
    if data.y.max() >= classes:
        raise ValueError(f"data {data.name!r} has labels up to {data.y.max()}, but the pair has {classes} classes")
    here = device_of(guide)
    counts = torch.zeros(classes, dtype=torch.double)
    right = 0
    shared: list[Tensor] = []
    by_class: list[Tensor] = []
    for batch in data.in_order(batch_size, labels=True, device=here):
        assert batch.y is not None
        q = posteriors(guide, batch.x)
        prior = {name: standard_normal(q[name]) for name in ("z_c", "z_s")}
        kl_c = closed_kl(q["z_c"], prior["z_c"]).double().cpu()
        kl_s = closed_kl(q["z_s"], prior["z_s"]).double().cpu()
        member = torch.eye(classes, dtype=torch.double)[batch.y.cpu()]
        right += (q["pi"].mean.argmax(-1) == batch.y).sum().item()
        shared.append(kl_s.sum(0))
        by_class.append(torch.einsum("bl,bid->lid", member, kl_c.unflatten(-1, (classes, -1))))
        counts += member.sum(0)
    blocks = torch.stack(by_class).sum(0) / counts[:, None, None]
    return Clustering(right / len(data), torch.stack(shared).sum(0) / len(data), blocks, counts)


@checked()
def effect(model: nn.Module, guide: nn.Module, data: Dataset, *, site: str, seed: int = 0) -> float:
    """The effect of a site on the reconstruction: the root mean square change of the mean of p(x | ...), per pixel.

    The site is drawn again from its prior, all others stay at their posterior means, the class at the label.
    """
    batch = data.batch(torch.arange(min(500, len(data))), labels=True, device=device_of(model))
    assert batch.y is not None
    q = posteriors(guide, batch.x)
    latents = {"y": torch.eye(q["pi"].event_shape[0], device=batch.x.device)[batch.y]}
    latents |= {name: q[name].mean for name in ("z_c", "z_s")}
    generator = torch_stream(seed)
    drawn = torch.randn(latents[site].shape, generator=generator, dtype=batch.x.dtype).to(batch.x.device)
    difference = decode(model, latents | {site: drawn}) - decode(model, latents)
    return difference.square().mean().sqrt().item()


def standard_normal(q: Distribution) -> Distribution:
    """Normal(0, I) in the shape of q."""
    mean = q.mean
    return Independent(Normal(torch.zeros_like(mean), torch.ones_like(mean)), 1)
