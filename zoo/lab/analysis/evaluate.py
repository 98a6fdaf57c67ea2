"""The ELBO of a trained pair over a whole set."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from zoo.arguments import checked, number_from
from zoo.elbos import PlainELBO
from zoo.lab.data import Dataset
from zoo.lab.device import device_of
from zoo.lab.isolation import isolated
from zoo.tables import Rows, Tabulated
from zoo.termwise import How


@dataclass(frozen=True, repr=False)
class Evaluation(Tabulated):
    """The ELBO and its parts: nats per datapoint, averaged over a whole set, unweighted whatever the objective.

    Attributes:
        num_data: number of datapoints.
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

    def _table(self) -> tuple[str, Rows]:
        return f"{self.num_data:,} datapoints, nats per datapoint", [
            ("-ELBO", f"{-self.elbo:.2f}"),
            *((f"reconstruction of {site}", f"{value:.2f}") for site, value in self.reconstruction.items()),
            *((f"KL of {site}", f"{kl.sum():.2f}") for site, kl in self.kl.items()),
        ]


@checked(batch_size=number_from(1))
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

    With `labels` the pair is called with them, as (x, y). The KL is computed as in `TermwiseELBO`: where it has no
    closed form, as from a mixture, kl="sampled" avoids the warning. The random state and the modules' modes are left as
    they were. A guide with a row per datapoint needs all of its data, in their order, in one batch:
    `batch_size=len(data)`.
    """
    device = device_of(model)
    elbo = PlainELBO(kl=kl)
    reconstruction: dict[str, Tensor] = {}
    divergence: dict[str, Tensor] = {}
    with isolated(model, guide, seed=seed):
        for batch in data.in_order(batch_size, labels=labels, device=device):
            # Without index, so that the test set may have another size than num_data.
            args, _ = batch.arguments()
            elbo.loss(model, guide, *args)
            report = elbo.report()
            for sums, parts in ((reconstruction, report.reconstruction), (divergence, report.kl)):
                for name, value in parts.items():  # a site that a batch lacks has no nats there
                    sums[name] = sums.get(name, 0) + value.double() * len(batch.x)
    return Evaluation(
        num_data=len(data),
        reconstruction={name: (total / len(data)).item() for name, total in reconstruction.items()},
        kl={name: (total / len(data)).cpu() for name, total in divergence.items()},
    )
