"""What a trained pair is worth, on every datapoint of a set."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyro
import torch
from pyro import poutine
from torch import Tensor, nn

from zoo.elbos import ELBO
from zoo.lab.data import Dataset
from zoo.lab.isolation import set_aside
from zoo.lab.training.fit import OwnParameters, arguments
from zoo.termwise import How, family


@dataclass(frozen=True)
class Evaluation:
    """The ELBO and its parts: nats per datapoint, averaged over a whole set, unweighted whatever trained the pair.

    Attributes:
        num_data: how many datapoints.
        reconstruction: E[log p(x | ...)] by observed site.
        kl: KL by latent site, [units].
    """

    num_data: int
    reconstruction: dict[str, float]
    kl: dict[str, Tensor]

    @property
    def elbo(self) -> float:
        """Reconstruction minus KL."""
        return sum(self.reconstruction.values()) - sum(kl.sum().item() for kl in self.kl.values())


def evaluate(
    model: nn.Module,
    guide: nn.Module,
    data: Dataset,
    *,
    labels: bool = False,
    kl: How | Mapping[str, How] = "closed",
    batch_size: int = 500,
    seed: int = 0,
) -> Evaluation:
    """Runs the pair once over all of `data`, in evaluation mode, with one draw per datapoint from `seed`.

    With `labels` the pair sees them, as (x, y). The KL is as `TermwiseELBO` takes it: "sampled" for a prior, such as a
    mixture, from which there is none in closed form. The random state and the modules' modes are left as they were.
    """
    device = _device(model)
    elbo = ELBO(kl=kl)
    sums: dict[str, Tensor] = {}
    with set_aside(model, guide, seed=seed, device=device):
        for batch in data.in_order(batch_size, labels=labels, device=device):
            # Without its index a batch stands for itself, so that the test set may have another size.
            args, _ = arguments(batch)
            elbo.loss(model, guide, *args)
            report = elbo.report()
            for name, value in _flat(report.reconstruction, report.kl).items():
                sums[name] = sums.get(name, 0) + value.double() * len(batch.x)
    means = {name: (value / len(data)).cpu() for name, value in sums.items()}
    return Evaluation(
        num_data=len(data),
        reconstruction={name: means[f"reconstruction/{name}"].item() for name in report.reconstruction},
        kl={name: means[f"kl/{name}"] for name in report.kl},
    )


def posterior_means(guide: nn.Module, x: Tensor, y: Tensor | None = None) -> dict[str, Tensor]:
    """The centre of q(site | x) for each latent site: its mean, or the class probabilities of a categorical.

    A family without a mean in closed form, as a flow, gives that of 256 draws.
    """
    return {name: fn.probs if "OneHot" in family(fn) else _mean(fn) for name, fn in posteriors(guide, x, y).items()}


def posteriors(guide: nn.Module, x: Tensor, y: Tensor | None = None) -> dict[str, Any]:
    """q(site | x) for each latent site, or q(site | x, y), as the distributions that a guide's trace holds."""
    args = (x,) if y is None else (x, y)
    with torch.no_grad(), poutine.block(), OwnParameters():
        trace = poutine.trace(guide).get_trace(*args)
    return {name: site["fn"] for name, site in trace.nodes.items() if site["type"] == "sample" and name != "data"}


def _mean(fn: Any) -> Tensor:
    try:
        mean: Tensor = fn.mean
    except NotImplementedError:
        mean = fn.sample((256,)).mean(0)
    return mean


def decode(model: nn.Module, latents: dict[str, Tensor], *, site: str = "x") -> Tensor:
    """The mean of p(x | latents): an intervention on the story, latents [N, size] to [N, ...]."""
    values = {name: value.unsqueeze(1) for name, value in latents.items()}  # [N, 1, size]: one datapoint, N times
    with torch.no_grad(), poutine.block(), OwnParameters():
        trace = poutine.trace(poutine.do(model, values)).get_trace()
    mean: Tensor = trace.nodes[site]["fn"].mean
    return mean.squeeze(1)


def draw(model: nn.Module, num: int, *, site: str = "x") -> Tensor:
    """Means of p(x | z) for `num` draws of the latents from the prior, [num, ...]."""
    with torch.no_grad(), poutine.block(), OwnParameters(), pyro.plate("draws", num, dim=-2):
        trace = poutine.trace(model).get_trace()
    mean: Tensor = trace.nodes[site]["fn"].mean
    return mean.squeeze(1)


def _flat(reconstruction: dict[str, Tensor], kl: dict[str, Tensor]) -> dict[str, Tensor]:
    return {f"reconstruction/{name}": value for name, value in reconstruction.items()} | {
        f"kl/{name}": value for name, value in kl.items()
    }


def _device(module: nn.Module) -> torch.device:
    return next(module.parameters()).device
