"""The objectives, one small class per paper, side by side.

Every term is in nats per datapoint, signed, and maximised; the loss is minus their sum. Every class is final.
"""

from collections.abc import Mapping, Sequence
from typing import Literal

from pyro.poutine.messenger import Messenger
from pyro.poutine.trace_struct import Trace
from torch import Tensor

from zoo.handlers import ScaleSites
from zoo.termwise import Hyperparameter, Report, TermwiseELBO, known_sites, latent, observed, weighted

__all__ = ["ELBO", "BetaVAE", "Report", "TermwiseELBO"]


class ELBO(TermwiseELBO):
    """The evidence lower bound: E_q[log p(x | z)] - KL(q(z | x) || p(z)).

    Equation (3) of Kingma & Welling 2014, https://arxiv.org/abs/1312.6114. With kl="closed" it is Pyro's
    `TraceMeanField_ELBO`, with kl="sampled" its `Trace_ELBO`, divided by the number of datapoints. A bound on log p(x).
    """

    def terms(self, model_trace: Trace, guide_trace: Trace) -> dict[str, Tensor]:
        """log p of each observed site, and minus the KL of each latent one."""
        return elbo_terms(model_trace, guide_trace)


class BetaVAE(TermwiseELBO):
    """beta-VAE: E_q[log p(x | z)] - beta KL(q(z | x) || p(z)).

    Equation (4) of Higgins et al. 2017, https://openreview.net/forum?id=Sy2fzU9gl. It is the ELBO of the two programs
    with their latent sites scaled by beta. A bound on log p(x) for beta >= 1; beta = 1 is the ELBO.

    Args:
        beta: one for all latent sites, or a mapping from site to beta in which an absent site keeps 1.

    Raises:
        ValueError: beta is negative or not finite, or names a site that is not latent.
    """

    beta = Hyperparameter()

    def __init__(
        self,
        *,
        beta: float | Mapping[str, float],
        kl: Literal["closed", "sampled"] = "closed",
        num_particles: int = 1,
    ) -> None:
        super().__init__(kl=kl, num_particles=num_particles)
        self.beta = beta

    def messengers(self) -> Sequence[Messenger]:
        """The scale on the latent sites of both."""
        return [ScaleSites(self.beta)]

    def terms(self, model_trace: Trace, guide_trace: Trace) -> dict[str, Tensor]:
        """As the ELBO's, under the scaled sites."""
        if not isinstance(self.beta, Tensor):
            known_sites("beta", self.beta, guide_trace)
        return elbo_terms(model_trace, guide_trace)


def elbo_terms(model_trace: Trace, guide_trace: Trace) -> dict[str, Tensor]:
    """The terms of an ELBO, each under the weight of its site."""
    return {
        **{f"log p({name})": weighted(site) for name, site in observed(model_trace)},
        **{f"-KL({name})": -weighted(site) for name, site in latent(guide_trace)},
    }
