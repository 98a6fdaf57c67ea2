"""What a trained pair is worth, on every datapoint of a set."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from zoo.elbos import ELBO
from zoo.lab.data import Dataset
from zoo.lab.device import device_of
from zoo.lab.isolation import isolated
from zoo.lab.training.fit import arguments
from zoo.termwise import How


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
    device = device_of(model)
    elbo = ELBO(kl=kl)
    sums: dict[str, Tensor] = {}
    with isolated(model, guide, seed=seed):
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


def _flat(reconstruction: dict[str, Tensor], kl: dict[str, Tensor]) -> dict[str, Tensor]:
    return {f"reconstruction/{name}": value for name, value in reconstruction.items()} | {
        f"kl/{name}": value for name, value in kl.items()
    }
