"""The input of every metric: the codes of N datapoints and the classes of their factors, checked once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
import torch
from torch.distributions import Distribution

from zoo.arguments import checked
from zoo.metrics.classes import Classes, NotCategorical, classes_of, columns, has_order, is_data
from zoo.metrics.result import Inapplicable
from zoo.metrics.sites import Encoder, Latents, Site, count_points, encode, sites_of

__all__ = ["Classes", "Codes", "Encoded", "Inapplicable"]

Codes: TypeAlias = "Latents | Mapping[str, Latents] | Encoder | Encoded"


@dataclass(frozen=True, eq=False)
class Encoded:
    """The codes of N datapoints and their factors; made by `Encoded.of`.

    Attributes:
        sites: the latent sites by name.
        factors: class indices [N, K] from 0, of the factors that vary; each class occurs.
        names: of these factors, [K].
        constant: the factors that do not vary, with their only value. They have entropy 0, and metrics ignore them.
        left_out: the factors of a data set that have no classes, such as measurements, with the reason.
        values: what the classes of each factor were given as, [K] of [size]: numbers, or names.
        unordered: the factors with three or more classes that are names without an order.
        memo: a cache of quantities that several metrics need.
    """

    sites: Mapping[str, Site]
    factors: np.ndarray
    names: tuple[str, ...]
    constant: Mapping[str, Any]
    left_out: Mapping[str, str]
    values: Sequence[np.ndarray]
    unordered: tuple[str, ...] = ()
    memo: dict[Any, Any] = field(default_factory=dict, repr=False)

    @classmethod
    @checked()
    def of(
        cls,
        codes: Codes,
        factors: Classes = None,
        *,
        num_points: int = 10_000,
        batch_size: int = 500,
        device: str | torch.device | None = None,
        seed: int = 0,
    ) -> "Encoded":
        """Reads codes and factors in any of the following forms.

        Args:
            codes: means, [N, D]; or a distribution with batch shape [N], whose mean is the code, or whose median if it
                is a Student-t, which may have no mean (metrics that need densities accept families with a density of
                each unit, see `zoo.metrics.families`, and categoricals, also one-hot and relaxed ones); or several of
                these by site; or an encoder, a function from x [B, ...] to one of these; or an `Encoded`. Arrays and
                tensors may have any precision, device and layout. An encoder's modules run in evaluation mode without
                gradients, and their mode is restored afterwards.
            factors: class indices or names, [N, K] or [N]; or columns [N] by name, or a data frame; or a data set,
                whose factors are used, or else its labels. For an encoder it must be a data set. None where a metric
                needs no factors. A column must have classes, with at least two points each on average; columns of a
                data set that have none are left out.
            num_points: for an encoder: number of datapoints, drawn without replacement; all of a smaller set.
            batch_size: for an encoder.
            device: for an encoder, the device of x; when not given, that of the encoder's parameters, and the CPU for
                a function that is not a module.
            seed: of the choice of datapoints.

        Raises:
            TypeError: an encoder without a data set, a data set in the encoder's place, or a class for an encoder.
            Inapplicable: there are fewer than 10 points, or a distribution has no mean.
            ValueError: codes are not finite or not [N, D]; a standard deviation is not positive; factors differ from
                codes in length, are neither whole numbers nor names, or have about as many classes as points; codes are
                already encoded, and factors are given again; or two latents have one name, as of sites z and z_0.
        """
        if isinstance(codes, Encoded):
            if factors is not None:
                raise ValueError("these codes already have their factors: do not give factors again")
            return codes
        if is_data(codes):
            raise TypeError("the first argument is a data set: give the encoder first, and the data set second")
        # Pyro's distributions are callable, but not encoders.
        if callable(codes) and not isinstance(codes, Distribution):
            sites, factors = encode(
                codes, factors, num_points=num_points, batch_size=batch_size, device=device, seed=seed
            )
        else:
            sites = sites_of(codes)
        length = count_points(sites)
        _check_names(sites)
        kept, constant, left_out, found = {}, {}, {}, []
        for name, column in columns(factors).items():
            try:
                values, classes = classes_of(name, column, length)
            except NotCategorical as why:
                if not is_data(factors):
                    raise
                left_out[name] = str(why)
                continue
            if len(values) == 1:
                constant[name] = values[0].item()
            else:
                kept[name] = classes
                found.append(values)
        table = np.stack(list(kept.values()), axis=1) if kept else np.empty((length, 0), np.int64)
        unordered = tuple(
            name for name, values in zip(kept, found, strict=True) if not has_order(name, factors, values)
        )
        return cls(sites, table, tuple(kept), constant, left_out, found, unordered)

    def __len__(self) -> int:
        return len(self.factors)

    @cached_property
    def codes(self) -> np.ndarray:
        """The concatenated means of all sites, [N, D]; class probabilities where a site is categorical."""
        return np.concatenate([site.mean for site in self.sites.values()], axis=1)

    @cached_property
    def latents(self) -> tuple[str, ...]:
        """The names of the columns of `codes`, [D]."""
        return tuple(f"{name}_{d}" for name, site in self.sites.items() for d in range(site.mean.shape[1]))

    @cached_property
    def units(self) -> tuple[str, ...]:
        """The names of the units, entries with their own density, [U]: a categorical is one unit."""
        names: list[str] = []
        for name, site in self.sites.items():
            names += [name] if site.categorical else [f"{name}_{d}" for d in range(site.mean.shape[1])]
        return tuple(names)

    @cached_property
    def columns(self) -> tuple[np.ndarray, ...]:
        """The columns of `codes` that belong to each unit, [U]: one, or all probabilities of a categorical."""
        found, start = list[np.ndarray](), 0
        for site in self.sites.values():
            columns = np.arange(start, start := start + site.mean.shape[1])
            found += [columns] if site.categorical else np.split(columns, len(columns))
        return tuple(found)

    @cached_property
    def sizes(self) -> tuple[int, ...]:
        """The number of classes of each factor, [K]."""
        return tuple(int(size) for size in self.factors.max(0, initial=-1) + 1)

    @property
    def protocol(self) -> dict[str, Any]:
        """The first entries of every metric's protocol."""
        return {
            "num_points": len(self),
            "num_latents": len(self.latents),
            "factors": dict(zip(self.names, self.sizes, strict=True)),
            "constant_factors": dict(self.constant),
            "left_out_factors": dict(self.left_out),
        }

    def active(self, prune: float) -> np.ndarray:
        """The positions [A] of latents with a standard deviation above `prune`; constant latents are never active.

        Raises:
            ValueError: `prune` is negative or NaN.
        """
        if not prune >= 0:
            raise ValueError(f"prune = {prune}: a standard deviation is 0 or more")
        alive = (np.ptp(self.codes, axis=0) > 0) & (self.codes.std(0, ddof=1) > prune)
        return np.flatnonzero(alive)

    def active_continuous(self, prune: float) -> np.ndarray:
        """The `active` latents without the probabilities of categoricals."""
        continuous = [not site.categorical for site in self.sites.values() for _ in range(site.mean.shape[1])]
        active = self.active(prune)
        return active[np.array(continuous)[active]]

    def dead(self, active: np.ndarray) -> list[str]:
        """The names of the latents that are not among `active`."""
        return [name for d, name in enumerate(self.latents) if d not in active]

    def require(self, metric: str, *, factors: int = 0, latents: int = 1, densities: bool = False) -> "Encoded":
        """Returns itself after checking that it has what a metric needs.

        Raises:
            Inapplicable: there are fewer factors that vary, or fewer latents, or q(z | x) is unknown.
        """
        if len(self.names) < factors:
            missing = "".join(f"; {name!r} has one value, {value!r}" for name, value in self.constant.items())
            missing += "".join(f"; {why}" for why in self.left_out.values())
            raise Inapplicable(
                f"{metric} needs {'a factor that varies' if factors == 1 else f'{factors} factors that vary'}, "
                f"got {list(self.names)}{missing}: use points in which more of them vary"
            )
        if len(self.units) < latents:
            raise Inapplicable(f"{metric} needs {latents} latents, got {len(self.units)}: {list(self.units)}")
        if densities and (unknown := [name for name, site in self.sites.items() if site.q is None]):
            raise Inapplicable(
                f"{metric} needs q(z | x), but site {unknown[0]!r} has only means, or a family without a density of "
                "each unit: give Independent(Normal(means, scales), 1), also of Laplace, StudentT, LogNormal, Gamma or "
                "Beta, a MultivariateNormal, a mixture of independent ones, or a one-hot categorical"
            )
        return self

    def subset(self, rows: np.ndarray) -> "Encoded":
        """Some of the datapoints, with classes renumbered where one does not occur.

        Raises:
            Inapplicable: a factor that varies does not vary among them.
        """
        columns, found = [], []
        for name, column, values in zip(self.names, self.factors[rows].T, self.values, strict=True):
            there, classes = np.unique(column, return_inverse=True)
            if len(there) == 1:
                raise Inapplicable(
                    f"{name!r} has one value in {len(rows)} of the {len(self)} points: these are too few to repeat a "
                    "metric on a part of them; give more"
                )
            columns.append(classes)
            found.append(values[there])
        table = np.stack(columns, axis=1) if columns else self.factors[rows]
        sites = {name: site.at(rows) for name, site in self.sites.items()}
        return Encoded(sites, table, self.names, self.constant, self.left_out, found, self.unordered)

    def with_order(self) -> "Encoded":
        """Without the factors whose classes are names without an order, for metrics that take a class for a number."""
        if not self.unordered:
            return self
        kept = [k for k, name in enumerate(self.names) if name not in self.unordered]
        why = {
            name: f"{name!r} has {size} classes that are names without an order, so they are no numbers"
            for name, size in zip(self.names, self.sizes, strict=True)
            if name in self.unordered
        }
        names, values = tuple(self.names[k] for k in kept), [self.values[k] for k in kept]
        return Encoded(self.sites, self.factors[:, kept], names, self.constant, {**self.left_out, **why}, values)

    def half(self, rng: np.random.Generator) -> "Encoded":
        """A random half of the datapoints."""
        return self.subset(rng.permutation(len(self))[: len(self) // 2])

    def split(self, share: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Two disjoint random sets of datapoints; the second is this share of all.

        Raises:
            ValueError: one of them is empty.
        """
        order = rng.permutation(len(self))
        count = round(share * len(self))
        if not 0 < count < len(self):
            raise ValueError(f"a test share of {share:g} of {len(self)} points leaves no training or no test points")
        return order[count:], order[:count]

    def draw(self, k: int, classes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Datapoints [...] whose factor k has the classes [...], uniformly and with replacement."""
        order, starts, counts = self._by_class[k]
        return order[starts[classes] + (rng.random(classes.shape) * counts[classes]).astype(np.intp)]

    def counts(self, k: int) -> np.ndarray:
        """The number of datapoints of each class of factor k, [size]."""
        return self._by_class[k][2]

    @cached_property
    def _by_class(self) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Per factor, the datapoints sorted by class, and each class's start and size."""
        found = []
        for column in self.factors.T:
            counts = np.bincount(column)
            found.append((np.argsort(column, kind="stable"), np.cumsum(counts) - counts, counts))
        return found


def _check_names(sites: Mapping[str, Site]) -> None:
    """Refuses sites whose units, site_0, site_1, ..., have the name of another site's."""
    owners: dict[str, str] = {}
    for site, found in sites.items():
        for name in [site] * found.categorical + [f"{site}_{d}" for d in range(found.mean.shape[1])]:
            if owners.setdefault(name, site) != site:
                raise ValueError(
                    f"codes: sites {owners[name]!r} and {site!r} both have a latent {name!r}, so results could not be "
                    "told apart; rename one of them"
                )
