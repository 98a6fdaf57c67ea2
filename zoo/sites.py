"""The sites of a trace: which there are, and what objectives read of them."""

from collections.abc import Iterable
from typing import Any

from pyro.poutine.trace_struct import Trace
from torch import Tensor

Site = dict[str, Any]


def weighted(site: Site) -> Tensor:
    """A site's nats under the weight that `ScaleSites` gave it: 0-dim."""
    nats: Tensor = site["nats"].sum()
    return site.get("weight", 1.0) * nats


def observed(trace: Trace) -> list[tuple[str, Site]]:
    """The sites that were observed, by name; a deterministic site scores zero and is none."""
    return [
        (name, site)
        for name, site in trace.nodes.items()
        if site["type"] == "sample" and site["is_observed"] and not site["infer"].get("_deterministic")
    ]


def latent(trace: Trace) -> list[tuple[str, Site]]:
    """The sites that were sampled, by name."""
    return [(name, site) for name, site in trace.nodes.items() if site["type"] == "sample" and not site["is_observed"]]


def known_sites(what: str, sites: Iterable[str], guide_trace: Trace) -> None:
    """Refuses a setting for a site that is not latent."""
    there_are = [name for name, _ in latent(guide_trace)]
    if wrong := sorted(set(sites) - set(there_are)):
        raise ValueError(f"{what} names {wrong}; the guide has the latent sites {there_are}")


def num_data_of(model_trace: Trace) -> int:
    """The full size of the plate "data"."""
    for site in model_trace.nodes.values():
        for frame in site["cond_indep_stack"] if site["type"] == "sample" else ():
            if frame.name == "data":
                return int(frame.full_size)
    raise ValueError("the model has no plate called 'data', so there is no datapoint to count nats by")


def summed_out(site: Site) -> bool:
    """Whether a site of the guide has all of its values at once, instead of a draw."""
    return site["infer"].get("_enumerate_dim") is not None


def family(fn: Any) -> str:
    """The name of a distribution's family, behind `to_event`, `mask` and `expand_by`."""
    while type(fn).__name__ in ("Independent", "MaskedDistribution", "ExpandedDistribution"):
        fn = fn.base_dist
    return type(fn).__name__
