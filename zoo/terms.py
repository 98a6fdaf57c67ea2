"""Terms that several objectives have."""

from collections.abc import Iterable, Mapping
from typing import Literal

from pyro.poutine.trace_struct import Trace
from torch import Tensor
from torch.distributions import Dirichlet, Independent

from zoo.estimators import CATEGORICAL
from zoo.sites import (
    chances_of,
    family,
    known_sites,
    latent,
    mean_over_data,
    num_data_of_all_ranks,
    observed,
    plates_of,
    total,
)


def check_divergence(divergence: str) -> None:
    """Refuses an unknown divergence."""
    if divergence not in ("kl", "mmd-marginal", "mmd-joint"):
        raise ValueError(f"divergence must be 'kl', 'mmd-marginal' or 'mmd-joint', got {divergence!r}")


def mmd_kernel(divergence: str) -> Literal["marginal", "joint"]:
    """The kernel named at the end of a divergence's name; refuses an unknown divergence."""
    check_divergence(divergence)
    return "marginal" if divergence == "mmd-marginal" else "joint"


def reconstruction(model_trace: Trace) -> dict[str, Tensor]:
    """log p of each observed site."""
    return {f"log p({name})": total(site) for name, site in observed(model_trace)}


def elbo_terms(
    model_trace: Trace, guide_trace: Trace, weights: Tensor | Mapping[str, Tensor] | None = None
) -> dict[str, Tensor]:
    """log p of each observed site and minus the KL of each latent one.

    Args:
        model_trace, guide_trace: of the batch.
        weights: of the KLs: one number for all, or a mapping from site to weight; sites that it leaves out have 1.

    Raises:
        ValueError: a weight's site is not latent.
    """
    if isinstance(weights, Mapping):
        known_sites("a weight", weights, guide_trace)
        check_whole_kl(weights, guide_trace)
    kls = {name: total(site) for name, site in latent(guide_trace)}
    for name in kls:
        weight = weights.get(name) if isinstance(weights, Mapping) else weights
        kls[name] = kls[name] if weight is None else weight * kls[name]
    return reconstruction(model_trace) | {f"-KL({name})": -kl for name, kl in kls.items()}


def check_whole_kl(weights: Iterable[str], guide_trace: Trace) -> None:
    """Refuses the weight of a site whose log q is at another site, as in the guides of `pyro.infer.autoguide`.

    They draw an auxiliary site, and the site itself as a point mass at a function of it.
    """
    sites = dict(latent(guide_trace))
    auxiliary = [name for name, site in sites.items() if site["infer"].get("is_auxiliary") and name not in weights]
    for name in weights:
        if auxiliary and family(sites[name]["fn"]) == "Delta":
            raise ValueError(
                f"a weight of site {name!r} would leave out a part of its KL: the guide draws it by the auxiliary site "
                f"{auxiliary[0]!r}; use guides.Automatic, or one number as the weight of all sites"
            )


def recounted(model_trace: Trace, guide_trace: Trace) -> dict[str, Tensor]:
    """(D - 1) E[log p] of each latent site whose prior couples its D units; other sites have no entry.

    A categorical site is a single unit, relaxed or not, and so are a Dirichlet and a single number.
    """
    again = {}
    for name, site in latent(model_trace):
        if isinstance(site["fn"], (Independent, Dirichlet, *CATEGORICAL)) or not site["fn"].event_shape:
            continue
        log_p = site["fn"].log_prob(site["value"])
        plates = plates_of(site)
        mean = mean_over_data(log_p, site, chances_of(guide_trace, plates))
        # The prior of a latent of the whole data counts once.
        copies = 1 if "data" in plates else 1 / num_data_of_all_ranks(model_trace)
        again[name] = (site["fn"].event_shape.numel() - 1) * copies * mean
    return again


def dip_terms(cov: Tensor, lambda_od: Tensor, lambda_d: Tensor, scale: float | Tensor = 1.0) -> dict[str, Tensor]:
    """DIP-VAE's penalties on a covariance [D, D]: its squared entries off the diagonal, and (diagonal - 1)^2.

    Args:
        cov: the covariance.
        lambda_od, lambda_d: their weights.
        scale: the user's `poutine.scale` of the site.
    """
    diagonal = cov.diagonal()
    return {
        "-Cov_ij^2": -lambda_od * (scale * (cov.square().sum() - diagonal.square().sum())),
        "-(Cov_ii - 1)^2": -lambda_d * (scale * (diagonal - 1).square().sum()),
    }
