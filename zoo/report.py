"""The numbers that a pass of an objective reports."""

from dataclasses import dataclass

import torch
from torch import Tensor

from zoo.tables import Rows, Tabulated


@dataclass(frozen=True, repr=False)
class Report(Tabulated):
    """The terms of one pass in nats per datapoint: detached 0-dim tensors, left on their device until they are read.

    Attributes:
        terms: the terms that the objective adds up, signed and weighted, by name.
        reconstruction: E[log p(x | ...)] for each observed site, unweighted.
        kl: KL(q || p) for each latent site, unweighted: [units], or one entry where the units are coupled.
    """

    terms: dict[str, Tensor]
    reconstruction: dict[str, Tensor]
    kl: dict[str, Tensor]

    @property
    def loss(self) -> Tensor:
        """Minus the sum of the terms."""
        return -torch.stack(list(self.terms.values())).sum()

    @property
    def elbo(self) -> Tensor:
        """Reconstruction minus KL, unweighted."""
        return torch.stack([*self.reconstruction.values(), *(-kl.sum() for kl in self.kl.values())]).sum()

    def _table(self) -> tuple[str, Rows]:
        numbers = {
            **self.terms,
            "sum of these terms, which training maximises": -self.loss,
            **{f"reconstruction of {site}, unweighted": value for site, value in self.reconstruction.items()},
            **{f"KL of {site}, unweighted": kl.sum() for site, kl in self.kl.items()},
            "ELBO, unweighted": self.elbo,
        }
        return "nats per datapoint", [(name, f"{value.item():.3f}") for name, value in numbers.items()]

    def figures(self) -> dict[str, Tensor]:
        """All numbers by flat names: loss, elbo, term/..., reconstruction/SITE, kl/SITE."""
        return {
            "loss": self.loss,
            "elbo": self.elbo,
            **{f"term/{name}": term for name, term in self.terms.items()},
            **{f"reconstruction/{site}": value for site, value in self.reconstruction.items()},
            **{f"kl/{site}": kl.sum() for site, kl in self.kl.items()},
        }
