"""Interventions on a story: settings of its latents, one of them swept, and what is then decoded.

A `Settings` holds a value of every latent site for each of N datapoints. Nothing here calls a decoder: `decode` sets
sites with `poutine.do` and reads the mean of p(x | ...) off the story's trace.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from pyro import poutine
from pyro.poutine.util import site_is_subsample
from torch import Tensor, nn
from torch.distributions import Normal, constraints

from zoo.lab.analysis.posterior import decode, posterior_means
from zoo.lab.data import Dataset
from zoo.lab.device import device_of, fork_random_state
from zoo.lab.errors import unknown_name
from zoo.lab.isolation import OwnParameters
from zoo.termwise import family

Settings: TypeAlias = dict[str, Tensor]  # by latent site, [N, ...]

AT_ONCE = 512  # images


@dataclass(frozen=True)
class Sites:
    """A story's latent sites that can be swept, in its order.

    Attributes:
        units: how many units each vector of real numbers has.
        classes: how many classes each one-hot categorical has, relaxed or not.
    """

    units: Mapping[str, int]
    classes: Mapping[str, int]

    @classmethod
    def of(cls, model: nn.Module) -> "Sites":
        """Read off a draw from the prior, which leaves the random state as it was."""
        with fork_random_state(device_of(model)):
            fns = {name: node["fn"] for name, node in _latents(model).items() if len(node["fn"].event_shape) == 1}
        classes = {name: fn.event_shape[0] for name, fn in fns.items() if _is_type(fn)}
        units = {name: fn.event_shape[0] for name, fn in fns.items() if name not in classes and _is_real(fn)}
        return cls(units, classes)

    def check(self, site: str, unit: int | None = None) -> None:
        """Whether the story has this site, and the site this unit or class.

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
        """With its nats."""
        return f"{self}" if self.nats is None else f"{self}  {self.nats:.2f} nats"


def ranked(sites: Sites, kl: Mapping[str, Tensor]) -> list[Unit]:
    """Every real unit, from the largest KL to the least; those that have no KL of their own come last, as they are.

    Args:
        sites: of the story.
        kl: nats by site, [units] or, where these are coupled, [1]; of `evaluate`.
    """
    every = [
        Unit(site, index, float(kl[site][index]) if site in kl and len(kl[site]) == size else None)
        for site, size in sites.units.items()
        for index in range(size)
    ]
    return sorted(every, key=lambda unit: (unit.nats is None, -(unit.nats or 0.0)))


def wide() -> Tensor:
    """-3, -2.5, ..., 3: what papers draw."""
    return torch.arange(-3.0, 3.5, 0.5)


def quantiles(num: int = 13) -> Tensor:
    """The quantiles 0.05 to 0.95 of a standard normal, evenly spaced in probability: what Joint-VAE's code draws."""
    return Normal(0.0, 1.0).icdf(torch.linspace(0.05, 0.95, num))


def from_prior(model: nn.Module, num: int, *, seed: int) -> Settings:
    """`num` draws of every latent from the prior; relaxed types go to the corner they are nearest to.

    The random state is left as it was.
    """
    with fork_random_state(device_of(model)):
        torch.manual_seed(seed)
        draws = [{name: node["value"] for name, node in _latents(model).items()} for _ in range(num)]
    return _hard(model, {name: torch.cat([draw[name] for draw in draws]) for name in draws[0]})


def inferred(model: nn.Module, guide: nn.Module, x: Tensor, y: Tensor | None = None, *, seed: int = 0) -> Settings:
    """The posterior's centres for x [N, ...], and of a type the most probable class, as Joint-VAE's code evaluates.

    A site that the guide does not infer is drawn given those that it does, from `seed`, a type again at its most
    probable class; with labels y [N], for a guide that needs them, the class is theirs. From `seed` are draws that a
    head looks at, too. The random state is left as it was.
    """
    with fork_random_state(device_of(model)):
        torch.manual_seed(seed)
        centres = _hard(model, posterior_means(guide, x, y))
        found = _latents(model, x, *([] if y is None else [y]), given=centres)
        for name in found.keys() - centres.keys():
            fn = found[name]["fn"]
            centres[name] = found[name]["value"] if found[name]["is_observed"] or not _is_type(fn) else fn.probs
    return _hard(model, centres)


def observed(guide: nn.Module, data: Dataset, index: Sequence[int], device: torch.device) -> list[Tensor]:
    """The datapoints at `index` as the guide takes them: x, and y where it needs labels."""
    batch = data.batch(torch.tensor(list(index)), labels=getattr(guide, "needs_labels", False), device=device)
    return [batch.x] if batch.y is None else [batch.x, batch.y]


def types(sites: Sites, settings: Settings, *, at_most: int = 20) -> tuple[Settings, list[str]]:
    """One setting [1, ...] under every combination of types, the last fastest: [K, ...], and what each is called.

    Beyond `at_most` combinations the rest is left out.
    """
    combinations = list(itertools.islice(itertools.product(*map(range, sites.classes.values())), at_most))
    many = repeat(settings, len(combinations))
    for site, classes in zip(sites.classes, zip(*combinations, strict=True), strict=True):
        many[site] = _corners(many[site], sites.classes[site])[list(classes)]
    return many, [" ".join(f"{s}={k}" for s, k in zip(sites.classes, c, strict=True)) for c in combinations]


def repeat(settings: Settings, times: int) -> Settings:
    """Each setting so many times in a row."""
    return {name: value.repeat_interleave(times, 0) for name, value in settings.items()}


def sweep(model: nn.Module, settings: Settings, site: str, unit: int, values: Tensor) -> Tensor:
    """Every setting [N] with one real unit at every value [V], decoded: [N, V, ...]; all else stays as it is."""
    many = repeat(settings, len(values))
    many[site] = many[site].clone()
    many[site][:, unit] = values.to(many[site]).repeat(len(many[site]) // len(values))
    return decoded(model, many).unflatten(0, (-1, len(values)))


def across(model: nn.Module, settings: Settings, site: str) -> Tensor:
    """Every setting [N] with a one-hot site at every one of its K classes, decoded: [N, K, ...]."""
    num_classes = settings[site].shape[-1]
    many = repeat(settings, num_classes)
    many[site] = _corners(many[site], num_classes).repeat(len(many[site]) // num_classes, 1)
    return decoded(model, many).unflatten(0, (-1, num_classes))


def changed(sites: Sites, settings: Settings, changes: Sequence[tuple[str, int, float]]) -> Settings:
    """The settings with some units changed: (site, unit, value), or (site, class, anything) of a one-hot site.

    Raises:
        LookupError, ValueError: as `Sites.check`.
    """
    new = dict(settings)
    for site, unit, value in changes:
        sites.check(site, unit)
        new[site] = new[site].clone()
        if site in sites.classes:
            new[site][:] = _corners(new[site], sites.classes[site])[unit]
        else:
            new[site][:, unit] = value
    return new


def decoded(model: nn.Module, settings: Settings) -> Tensor:
    """The mean of p(x | settings), [N, ...]."""
    size = len(next(iter(settings.values())))
    parts = [
        {name: value[start : start + AT_ONCE] for name, value in settings.items()} for start in range(0, size, AT_ONCE)
    ]
    return torch.cat([decode(model, part) for part in parts])


def _latents(model: nn.Module, *args: Any, given: Settings | None = None) -> dict[str, Any]:
    """The sites of one run of the story but x, which nobody outside sees; given ones as they would be drawn."""
    with torch.no_grad(), poutine.block(), OwnParameters():
        trace = poutine.trace(poutine.do(model, given or {})).get_trace(*args)
    return {
        name: node
        for name, node in trace.nodes.items()
        if node["type"] == "sample" and name != "x" and not site_is_subsample(node)
    }


def _hard(model: nn.Module, settings: Settings) -> Settings:
    sites = Sites.of(model)
    return {
        name: _corners(value, sites.classes[name])[value.argmax(-1)] if name in sites.classes else value
        for name, value in settings.items()
    }


def _corners(like: Tensor, num_classes: int) -> Tensor:
    return torch.eye(num_classes, dtype=like.dtype, device=like.device)


def _is_type(fn: Any) -> bool:
    return "OneHot" in family(fn)


def _is_real(fn: Any) -> bool:
    support = fn.support
    while hasattr(support, "base_constraint"):  # of independent units, of a mixture's components
        support = support.base_constraint
    return support is constraints.real
