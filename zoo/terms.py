"""Terms that several objectives have."""

from typing import Literal

from pyro.poutine.trace_struct import Trace
from torch import Tensor
from torch.distributions import Independent

from zoo.sites import latent, observed, weighted


def check_divergence(divergence: str) -> None:
    """Refuses the name of a divergence that there is not."""
    if divergence not in ("kl", "mmd-marginal", "mmd-joint"):
        raise ValueError(f"divergence must be 'kl', 'mmd-marginal' or 'mmd-joint', got {divergence!r}")


def mmd_kernel(divergence: str) -> Literal["marginal", "joint"]:
    """The kernel that a divergence's name ends in."""
    return "marginal" if divergence == "mmd-marginal" else "joint"


def reconstruction(model_trace: Trace) -> dict[str, Tensor]:
    """log p of each observed site, under its weight."""
    return {f"log p({name})": weighted(site) for name, site in observed(model_trace)}


def elbo_terms(model_trace: Trace, guide_trace: Trace) -> dict[str, Tensor]:
    """log p of each observed site and minus the KL of each latent one, each under its weight."""
    return reconstruction(model_trace) | {f"-KL({name})": -weighted(site) for name, site in latent(guide_trace)}


def recounted(model_trace: Trace) -> dict[str, Tensor]:
    """(D - 1) E[log p] of each latent site whose prior couples its D units; those of independent units count once."""
    coupled = {name: s for name, s in latent(model_trace) if not isinstance(s["fn"], Independent)}
    return {
        name: (site["value"].shape[-1] - 1) * site["fn"].log_prob(site["value"]).mean()
        for name, site in coupled.items()
    }


def dip_terms(cov: Tensor, lambda_od: Tensor, lambda_d: Tensor) -> dict[str, Tensor]:
    """DIP-VAE's penalties on a covariance [D, D]: its squared entries off the diagonal, and (diagonal - 1)^2."""
    diagonal = cov.diagonal()
    return {
        "-Cov_ij^2": -lambda_od * (cov.square().sum() - diagonal.square().sum()),
        "-(Cov_ii - 1)^2": -lambda_d * (diagonal - 1).square().sum(),
    }
