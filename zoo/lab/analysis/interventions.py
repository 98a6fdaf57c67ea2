"""Interventions on a story: latents set to given values, traversals of one latent, and the decoded images.

`Latents` hold a value of every latent site for each of N datapoints. Nothing here calls a decoder: `decode` sets sites
with `poutine.do` and reads the mean of p(x | ...) off the story's trace.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from pyro import poutine
from torch import Tensor, nn
from torch.distributions import Normal, constraints

from zoo.arguments import NOT_EMPTY, checked, is_number, number_from
from zoo.lab.analysis.posterior import centre_of, check_lengths, decode, needs_labels, posterior_means
from zoo.lab.data import Dataset
from zoo.lab.device import device_of, fork_random_state
from zoo.lab.errors import unknown_name
from zoo.lab.isolation import evaluating
from zoo.sites import is_deterministic, sampled
from zoo.termwise import family

Latents: TypeAlias = dict[str, Tensor]  # by latent site, [N, ...]

RANGE_3 = torch.arange(-3.0, 3.5, 0.5)  # -3, -2.5, ..., 3: the usual values of a traversal
AT_ONCE = 512  # images decoded at once


@dataclass(frozen=True)
class LatentSites:
    """A story's latent sites that can be traversed, in its order.

    Attributes:
        units: number of units of each vector of real numbers.
        classes: number of classes of each one-hot categorical, relaxed or not.
    """

    units: Mapping[str, int]
    classes: Mapping[str, int]

    @classmethod
    def of(cls, model: nn.Module) -> "LatentSites":
        """Finds them in a draw from the prior; the random state is left as it was."""
        with fork_random_state(device_of(model)):
            found = {name: node for name, node in _latents(model).items() if not node["is_observed"]}
        fns = {name: node["fn"] for name, node in found.items() if len(node["fn"].event_shape) == 1}
        classes = {name: fn.event_shape[0] for name, fn in fns.items() if _is_type(fn)}
        units = {name: fn.event_shape[0] for name, fn in fns.items() if name not in classes and _is_real(fn)}
        return cls(units, classes)

    @property
    def combinations(self) -> int:
        """The number of combinations of a class of each type."""
        return math.prod(self.classes.values())

    def check(self, site: str, unit: int | None = None) -> None:
        """Checks that the story has this site, and the site has this unit or class.

        Raises:
            LookupError: there is no such site.
            ValueError: it has no such unit or class.
        """
        known = {**self.units, **self.classes}
        if site not in known:
            raise LookupError(unknown_name("site", site, known))
        if unit is not None and not 0 <= unit < known[site]:
            what = "units" if site in self.units else "classes"
            raise ValueError(f"site {site!r} has the {what} 0 to {known[site] - 1}, got {unit}")


@dataclass(frozen=True)
class Unit:
    """One unit of a site, and its KL in nats; None where the guide couples the site's units."""

    site: str
    index: int
    nats: float | None = None

    def __str__(self) -> str:
        return f"{self.site}[{self.index}]"

    @property
    def label(self) -> str:
        """The unit's name and its nats."""
        return f"{self}" if self.nats is None else f"{self}  {self.nats:.2f} nats"


@checked()
def ranked(sites: LatentSites, kl: Mapping[str, Tensor]) -> list[Unit]:
    """Every real unit, from the largest KL to the smallest; units without their own KL come last, in order.

    Args:
        sites: of the story.
        kl: nats by site, [units] or, where the guide couples them, [1]; from `evaluate`.
    """
    every = [
        Unit(site, index, float(kl[site][index]) if site in kl and len(kl[site]) == size else None)
        for site, size in sites.units.items()
        for index in range(size)
    ]
    return sorted(every, key=lambda unit: (unit.nats is None, -(unit.nats or 0.0)))


@checked(num=number_from(1))
def quantiles(num: int = 13) -> Tensor:
    """The quantiles 0.05 to 0.95 of a standard normal, evenly spaced in probability, as in Joint-VAE's code."""
    return Normal(0.0, 1.0).icdf(torch.linspace(0.05, 0.95, num))


@checked(num=number_from(1))
def from_prior(model: nn.Module, num: int, *, seed: int, given: Latents | None = None) -> Latents:
    """`num` draws of every latent from the prior; a relaxed type is replaced by its nearest class.

    The random state is left as it was.

    Args:
        model: the story.
        num: number of draws.
        seed: of the draws.
        given: values [num, ...] of some sites, which are set before the others are drawn given them.

    Raises:
        ValueError: a site is outside of the plate "data".
    """
    with fork_random_state(device_of(model)):
        torch.manual_seed(seed)
        found = [
            _latents(model, given={site: value[n : n + 1] for site, value in (given or {}).items()}) for n in range(num)
        ]
    _check_each_datapoint_has_its_own(found[0])
    draws = [{name: node["value"] for name, node in sites.items()} for sites in found]
    return harden(model, {name: torch.cat([draw[name] for draw in draws]) for name in draws[0]})


@checked()
def encode_modes(
    model: nn.Module,
    guide: nn.Module,
    x: Tensor,
    y: Tensor | None = None,
    *,
    index: Tensor | None = None,
    seed: int = 0,
) -> Latents:
    """The posterior means for x [N, ...], and of a type the most probable class, as in Joint-VAE's code.

    A site that the guide does not infer is drawn, with `seed`, given those that it infers; a type is then set to its
    most probable class, or to the label's class where labels y [N] are given, for a guide that needs them. `seed` is
    also used for draws on which a head depends. `index` [N] is as for `posteriors`. The random state is left as it was.

    Raises:
        ValueError: a site is outside of the plate "data".
    """
    with fork_random_state(device_of(model)):
        _check_each_datapoint_has_its_own(_latents(model))
        torch.manual_seed(seed)
        centres = harden(model, posterior_means(guide, x, y, index=index, seed=seed))
        found = _latents(model, x, *([] if y is None else [y]), given=centres)
        for name in found.keys() - centres.keys():
            node = found[name]
            inferred = _is_type(node["fn"]) and not node["is_observed"]
            centres[name] = centre_of(name, node["fn"]) if inferred else node["value"]
    return harden(model, centres)


@checked()
def guide_inputs(guide: nn.Module, data: Dataset, index: Sequence[int], device: torch.device) -> list[Tensor]:
    """The arguments of the guide for the datapoints at `index`: x, and y where it needs labels."""
    batch = data.batch(torch.tensor(list(index)), labels=needs_labels(guide), device=device)
    return [batch.x] if batch.y is None else [batch.x, batch.y]


@checked(at_most=number_from(1))
def types(sites: LatentSites, latents: Latents, *, at_most: int = 20) -> tuple[Latents, list[str]]:
    """Latents [1, ...] under every combination of types, the last one varying fastest: [K, ...], and a name for each.

    Combinations beyond `at_most` are left out.
    """
    combinations = list(itertools.islice(itertools.product(*map(range, sites.classes.values())), at_most))
    many = repeat(latents, len(combinations))
    for site, classes in zip(sites.classes, zip(*combinations, strict=True), strict=True):
        many[site] = one_hot(many[site], sites.classes[site])[list(classes)]
    return many, [" ".join(f"{s}={k}" for s, k in zip(sites.classes, c, strict=True)) for c in combinations]


def repeat(latents: Latents, times: int) -> Latents:
    """Each datapoint's latents `times` times in a row: [N, ...] to [N times, ...]."""
    return {name: value.repeat_interleave(times, 0) for name, value in latents.items()}


@checked(values=NOT_EMPTY)
def traverse_unit(model: nn.Module, latents: Latents, site: str, unit: int, values: Tensor) -> Tensor:
    """Images of latents [N] with one real unit set to each value [V], all else unchanged: [N, V, ...].

    Raises:
        LookupError, ValueError: as `LatentSites.check`.
        ValueError: the site is a type; or as `decode`.
    """
    sites = LatentSites.of(model)
    if site in sites.classes:
        raise ValueError(f"site {site!r} is a one-hot type, which has classes and no units: use traverse_classes")
    sites.check(site, unit)
    _check_latents(latents, site)
    many = repeat(latents, len(values))
    many[site] = _as_floats(many[site])
    many[site][:, unit] = values.to(many[site]).repeat(len(many[site]) // len(values))
    return decoded(model, many).unflatten(0, (-1, len(values)))


@checked()
def traverse_classes(model: nn.Module, latents: Latents, site: str) -> Tensor:
    """Images of latents [N] with a one-hot site set to each of its K classes, all else unchanged: [N, K, ...].

    Raises:
        LookupError: as `LatentSites.check`.
        ValueError: the site is a vector of real numbers; or as `decode`.
    """
    sites = LatentSites.of(model)
    if site in sites.units:
        raise ValueError(f"site {site!r} is a vector of numbers, which has units and no classes: use traverse_unit")
    sites.check(site)
    _check_latents(latents, site)
    num_classes = sites.classes[site]
    many = repeat(latents, num_classes)
    many[site] = one_hot(many[site], num_classes).repeat(len(many[site]) // num_classes, 1)
    return decoded(model, many).unflatten(0, (-1, num_classes))


@checked()
def intervene(sites: LatentSites, latents: Latents, changes: Sequence[tuple[str, int, float]]) -> Latents:
    """A copy with some units set: (site, unit, value), or (site, class, any number) of a one-hot site.

    Raises:
        LookupError, ValueError: as `LatentSites.check`.
    """
    new = dict(latents)
    for change in changes:
        if len(change) != 3 or not is_number(change[2]) or not math.isfinite(change[2]):
            raise ValueError(f"intervene: changes must be (site, unit, value), with finite values, got {change!r}")
        site, unit, value = change
        sites.check(site, unit)
        _check_latents(new, site)
        if site in sites.classes:
            new[site] = one_hot(new[site], sites.classes[site])[unit].repeat(len(new[site]), 1)
        else:
            new[site] = _as_floats(new[site])
            new[site][:, unit] = value
    return new


def decoded(model: nn.Module, latents: Latents) -> Tensor:
    """The mean of p(x | latents), [N, ...]; errors as those of `decode`."""
    check_lengths(latents)
    size = len(next(iter(latents.values())))
    parts = [
        {name: value[start : start + AT_ONCE] for name, value in latents.items()} for start in range(0, size, AT_ONCE)
    ]
    return torch.cat([decode(model, part) for part in parts])


def _check_latents(latents: Latents, site: str) -> None:
    """Checks that all sites have as many datapoints, and that this one is there."""
    check_lengths(latents)
    if site not in latents:
        raise LookupError(f"latents: {unknown_name('site', site, latents)}")


def _as_floats(value: Tensor) -> Tensor:
    """A copy; whole numbers as floats, in which a unit may be set to any value."""
    return value.clone() if value.is_floating_point() else value.to(torch.get_default_dtype(), copy=True)


def _latents(model: nn.Module, *args: Any, given: Latents | None = None) -> dict[str, Any]:
    """The sampled sites of one run of the story except x, with `given` ones set; outer handlers do not see the run.

    A deterministic site is left out: it has to follow the sites that it is computed from.
    """
    values: Any = given or {}
    with evaluating(model):
        trace = poutine.trace(poutine.do(model, values)).get_trace(*args)
    return {name: node for name, node in sampled(trace) if name != "x" and not is_deterministic(node)}


def _check_each_datapoint_has_its_own(sites: Mapping[str, Any]) -> None:
    for name, node in sites.items():
        plates = [frame.name for frame in node["cond_indep_stack"]]
        if "data" not in plates and not node["is_observed"]:
            raise ValueError(
                f"site {name!r} is outside of the plate 'data': it is drawn once for all datapoints, and the latents "
                "of a picture are those of one datapoint; give the story a value of it, such as its posterior mean"
            )


def harden(model: nn.Module, latents: Latents) -> Latents:
    """Every type set to its most probable class, as one-hot."""
    sites = LatentSites.of(model)
    return {
        name: one_hot(value, sites.classes[name])[value.argmax(-1)] if name in sites.classes else value
        for name, value in latents.items()
    }


def one_hot(like: Tensor, num_classes: int) -> Tensor:
    """The one-hot vectors of all classes, [K, K], of the type and device of `like`."""
    return torch.eye(num_classes, dtype=like.dtype, device=like.device)


def _is_type(fn: Any) -> bool:
    return "OneHot" in family(fn)


def _is_real(fn: Any) -> bool:
    support = fn.support
    while hasattr(support, "base_constraint"):  # of independent units, of a mixture's components
        support = support.base_constraint
    return support is constraints.real
