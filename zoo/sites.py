"""The sites of a trace, and what objectives read from them."""

import functools
import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from pyro.distributions.util import scale_and_mask
from pyro.poutine.indep_messenger import CondIndepStackFrame
from pyro.poutine.trace_struct import Trace
from pyro.poutine.util import site_is_subsample
from torch import Tensor
from torch.distributions import constraints

from zoo import ranks

Site = dict[str, Any]
Groups = Sequence[Sequence[str]]

PARTICLES = "num_particles_vectorized"  # Pyro's name for the plate
PLATES = 4  # the most that a pair may nest, particles included; left of them are the dimensions of summed-out sites


def nodes_of(trace: Trace) -> dict[str, Site]:
    """The sites of a trace by name, with what objectives and messengers add to them, which Pyro's own type lacks."""
    sites: Any = trace.nodes
    nodes: dict[str, Site] = sites
    return nodes


def is_subsample(site: Site) -> bool:
    """Whether a site is the choice of a plate's datapoints, and no random variable of the program."""
    message: Any = site
    return bool(site_is_subsample(message))


def is_deterministic(site: Site) -> bool:
    """Whether a site is computed from others, by `pyro.deterministic`."""
    return bool(site["infer"].get("_deterministic"))


def total(site: Site) -> Tensor:
    """A site's nats per datapoint, summed over its units: 0-dim."""
    nats: Tensor = site["nats"].sum()
    return nats


def sampled(trace: Trace) -> list[tuple[str, Site]]:
    """The sites of `pyro.sample` and `pyro.deterministic` by name, without the subsampling of plates."""
    return [(n, site) for n, site in nodes_of(trace).items() if site["type"] == "sample" and not is_subsample(site)]


def observed(trace: Trace) -> list[tuple[str, Site]]:
    """The observed sites by name, without deterministic sites, whose score is zero."""
    return [
        (name, site)
        for name, site in nodes_of(trace).items()
        if site["type"] == "sample" and site["is_observed"] and not is_deterministic(site)
    ]


def latent(trace: Trace) -> list[tuple[str, Site]]:
    """The sites that were sampled, by name."""
    return [
        (name, site) for name, site in nodes_of(trace).items() if site["type"] == "sample" and not site["is_observed"]
    ]


def known_sites(what: str, sites: Iterable[str], guide_trace: Trace) -> None:
    """Refuses a setting for a site that is not latent."""
    there_are = [name for name, _ in latent(guide_trace)]
    if wrong := sorted(set(sites) - set(there_are)):
        raise ValueError(f"{what} names {wrong}; the guide has the latent sites {there_are}")


def check_some_latent(sites: Collection[str]) -> None:
    """Refuses a pair of which every site is observed, for a term of latent ones."""
    if not sites:
        raise ValueError(
            "every site is observed, and this objective needs a latent one; use PlainELBO, whose loss is then -log p, "
            "or leave a site unobserved"
        )


def num_data_of(model_trace: Trace) -> int:
    """The full size of the plate "data"."""
    return int(_data_plate(model_trace).full_size)


def num_data_of_all_ranks(model_trace: Trace) -> int:
    """`num_data_of` over all ranks: without a subsample, each rank's plate has the size of its part of the batch."""
    plate = _data_plate(model_trace)
    return int(plate.full_size) * (ranks.count() if plate.size == plate.full_size else 1)


def _data_plate(model_trace: Trace) -> Any:
    for site in nodes_of(model_trace).values():
        for frame in site["cond_indep_stack"] if site["type"] == "sample" else ():
            if frame.name == "data":
                return frame
    raise ValueError("the model has no plate called 'data', so there is no datapoint to count nats by")


def summed_out(site: Site) -> bool:
    """Whether a site of the guide is enumerated: it has all of its values at once instead of a draw."""
    return site["infer"].get("_enumerate_dim") is not None


def drawn_parents(guide_trace: Trace, name: str) -> list[str]:
    """The latent sites that a site of the guide depends on and that are drawn, not summed out."""
    node = nodes_of(guide_trace)[name]
    looked_at = {*node["infer"].get("given", ()), *node.get("parents", ())}
    return [other for other, site in latent(guide_trace) if other in looked_at and not summed_out(site)]


def unwrapped(fn: Any) -> Any:
    """A distribution without the wrappers of `to_event`, `mask` and `expand_by`."""
    while type(fn).__name__ in ("Independent", "MaskedDistribution", "ExpandedDistribution"):
        fn = fn.base_dist
    return fn


def family(fn: Any) -> str:
    """The name of a distribution's family, without wrappers."""
    return type(unwrapped(fn)).__name__


def plates_of(site: Site) -> frozenset[str]:
    """The names of the plates that a site is in."""
    return frozenset(frame.name for frame in site["cond_indep_stack"])


def mask_of(fn: Any) -> bool | Tensor | None:
    """The mask that a distribution has by `fn.mask(...)`; None where it has none, or leaves nothing out."""
    while type(fn).__name__ in ("Independent", "ExpandedDistribution"):
        fn = fn.base_dist
    mask: bool | Tensor | None = fn._mask if type(fn).__name__ == "MaskedDistribution" else None
    return None if mask is True else mask


def is_masked(fn: Any) -> bool:
    """Whether a distribution has a mask of its own, by `fn.mask(...)`."""
    return mask_of(fn) is not None


def on_simplex(fn: Any) -> bool:
    """Whether a distribution's values are positive and add up to 1, such as one-hot ones."""
    return fn.support in (constraints.simplex, constraints.one_hot)


def chances_of(guide_trace: Trace, plates: frozenset[str]) -> Tensor | None:
    """q of every combination of the summed-out values that matter to a site, [K, ..., *batch]; None if there are none.

    Args:
        guide_trace: of the batch.
        plates: those of the site. A summed-out site in another plate does not matter to it, as the types of datapoints
            do not matter to a latent of the whole data: whatever the type, the KL of that latent is the same.
    """
    log_q = [
        site["fn"].log_prob(site["value"])
        for _, site in latent(guide_trace)
        if summed_out(site) and plates_of(site) <= plates
    ]
    return sum(log_q[1:], start=log_q[0]).exp() if log_q else None


def expected(values: Tensor, chances: Tensor | None) -> Tensor:
    """Averages values [K, ..., *batch, units] over the summed-out classes, with the probabilities `chances_of` them.

    A class of probability 0 does not count, whatever its value: where q is 0, log q is -inf.
    """
    if chances is None:
        return values
    share = chances.unsqueeze(-1)
    weighted = torch.where(share > 0, values, 0.0) * share
    return weighted.sum(tuple(range(weighted.dim() - PLATES - 1)))


def users_scale(site: Site) -> float | Tensor:
    """The factor of a user's `poutine.scale` on a site: its scale without that of the plates."""
    plates = 1.0
    for frame in site["cond_indep_stack"]:
        plates = plates * (frame.full_size or frame.size) / frame.size
    scale: float | Tensor = site["scale"]
    return scale if plates == 1.0 else scale / plates


def common_scale(sites: Mapping[str, Site]) -> float | Tensor:
    """The user's scale of these sites, for a term that is computed from all of them.

    Raises:
        ValueError: their scales differ.
    """
    scales = [users_scale(site) for site in sites.values()]
    if not all(same(scale, scales[0]) for scale in scales):
        raise ValueError(
            f"sites {sorted(sites)} have different scales, {scales}, but a term over all of them needs one"
        )
    return scales[0]


def mean_over_data(values: Tensor, site: Site, chances: Tensor | None = None) -> Tensor:
    """Nats per datapoint of values [..., B] that belong to a site, under its mask and the user's scale: 0-dim.

    The mean is over the particles as well as the data; other plates are summed over. Values that depend on summed-out
    classes are averaged with their probabilities, `chances_of` the site's plates.
    """
    scaled: Tensor = scale_and_mask(values, users_scale(site), site["mask"])  # they may depend on the class
    mean = expected(scaled.unsqueeze(-1), chances).mean()
    copies = math.prod(int(frame.full_size or frame.size) for frame in other_plates(site))
    return ranks.mean(mean if copies == 1 else copies * mean)


def other_plates(site: Site) -> list[CondIndepStackFrame]:
    """The plates that a site is in, without "data" and that of the particles."""
    return [frame for frame in site["cond_indep_stack"] if frame.name not in ("data", PARTICLES)]


def partition(groups: Groups | None, sites: Sequence[str]) -> Groups:
    """Returns the groups after checking that they hold each site once; without groups, each site by itself.

    Raises:
        ValueError: there is no latent site; or a site is missing, unknown, or in two groups.
    """
    check_some_latent(sites)
    if groups is None:
        return [[site] for site in sites]
    named = [site for group in groups for site in group]
    if sorted(named) != sorted(sites):
        wrong = {
            "left out": set(sites) - set(named),
            "unknown": set(named) - set(sites),
            "in two groups": {site for site in named if named.count(site) > 1},
        }
        said = "; ".join(f"{what}: {sorted(which)}" for what, which in wrong.items() if which)
        raise ValueError(f"groups must hold each of the latent sites {list(sites)} once; {said}")
    return groups


def same(a: Any, b: Any) -> bool:
    """Whether two scales or two masks, numbers or tensors or None, are the same.

    Scales are the same up to rounding: 1.6 inside a plate of 3 is 1.6 * 3 / 3, which is not 1.6.
    """
    if a is None or b is None or a is b:
        return a is b
    a, b = torch.as_tensor(a), torch.as_tensor(b)
    kind = functools.reduce(torch.promote_types, (a.dtype, b.dtype, torch.float32))
    return bool(torch.isclose(a.to(b.device, kind), b.to(kind), rtol=1e-6, atol=0.0).all())


@contextmanager
def naming(site: Site) -> Iterator[None]:
    """Adds the site's name to an error that is raised while the site is scored."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"site {site['name']!r}: {error}") from error
