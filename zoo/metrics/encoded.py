"""What every metric reads: the codes of N datapoints and the classes of their factors, checked once."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple, Protocol, TypeAlias

import numpy as np
import torch
from torch import Tensor
from torch.distributions import Distribution, Independent, Normal, OneHotCategorical, RelaxedOneHotCategorical

MIN_POINTS = 10


class Data(Protocol):
    """What a metric asks of a data set: batches in order, each with its x, and factors or labels."""

    def __len__(self) -> int: ...
    def in_order(self, batch_size: int, *, device: Any = ...) -> Iterator[Any]: ...
    def subset(self, rows: np.ndarray) -> "Data": ...
    @property
    def name(self) -> str: ...
    @property
    def y(self) -> np.ndarray | None: ...
    @property
    def factors(self) -> Any: ...


Latents: TypeAlias = "np.ndarray | Tensor | Distribution"
Encoder: TypeAlias = "Callable[[Tensor], Latents | Mapping[str, Latents]]"
Codes: TypeAlias = "Latents | Mapping[str, Latents] | Encoder | Encoded"
Classes: TypeAlias = "np.ndarray | Tensor | Mapping[str, Any] | Data | None"


class Inapplicable(ValueError):
    """These codes or factors are sound, but not what the metric is about."""


class Site(NamedTuple):
    """q(site | x_n) for all n.

    Attributes:
        mean: [N, size]; a categorical's probabilities.
        scale: standard deviations of independent normals, [N, size]; None where q is not known, or of another family.
        categorical: whether it is one discrete unit.
    """

    mean: np.ndarray
    scale: np.ndarray | None = None
    categorical: bool = False

    def at(self, rows: np.ndarray) -> "Site":
        """The site at some datapoints."""
        return Site(self.mean[rows], None if self.scale is None else self.scale[rows], self.categorical)

    @property
    def q(self) -> Any:
        """The distribution, batch [N]; None where it is not known."""
        if self.categorical:
            probs = self.mean / self.mean.sum(1, keepdims=True)  # single precision adds up to 1 only roughly
            return OneHotCategorical(probs=torch.from_numpy(probs))
        if self.scale is None:
            return None
        return Independent(Normal(torch.from_numpy(self.mean), torch.from_numpy(self.scale)), 1)


@dataclass(frozen=True, eq=False)
class Encoded:
    """N datapoints as an encoder sees them, beside their factors; made by `Encoded.of`.

    Attributes:
        sites: the latent sites by name.
        factors: class indices [N, K] from 0, of the factors that vary; each class occurs.
        names: of these factors, [K].
        constant: the factors that do not vary, with their only value. They have entropy 0, and no metric sees them.
        memo: what several metrics need and one has worked out.
    """

    sites: Mapping[str, Site]
    factors: np.ndarray
    names: tuple[str, ...]
    constant: Mapping[str, Any]
    memo: dict[Any, Any] = field(default_factory=dict, repr=False)

    @classmethod
    def of(
        cls,
        codes: Codes,
        factors: Classes = None,
        *,
        num_points: int = 10_000,
        batch_size: int = 500,
        device: str | torch.device = "cpu",
        seed: int = 0,
    ) -> "Encoded":
        """Takes codes and factors in any of the forms that there are.

        Args:
            codes: means, [N, D]; or a distribution of batch [N], of which independent normals and one-hot categoricals,
                relaxed or not, tell metrics their densities too; or several of these by site; or an encoder, a function
                from x [B, ...] to one of these; or what this function gave earlier.
            factors: class indices [N, K] or [N]; or columns [N] by name; or a data set: its factors, or else its
                labels. For an encoder it must be a data set. None where a metric needs none.
            num_points: for an encoder: how many datapoints to encode, drawn without replacement; all of a smaller set.
            batch_size: for an encoder.
            device: where x goes to, for an encoder.
            seed: of the choice of datapoints.

        Raises:
            TypeError: an encoder without a data set.
            ValueError: codes are not finite, not [N, D], or fewer than 10 points; a standard deviation is not positive;
                factors differ from codes in length, are not whole numbers, or have about as many classes as points.
        """
        if isinstance(codes, Encoded):
            return codes
        # Pyro's distributions can be called, and are no encoders.
        if callable(codes) and not isinstance(codes, Distribution):
            sites, factors = _encode(codes, factors, num_points, batch_size, device, seed)
        else:
            sites = _sites(codes)
        length = _check(sites)
        kept, constant = {}, {}
        for name, column in _columns(factors).items():
            values, classes = _classes(name, column, length)
            if len(values) == 1:
                constant[name] = values[0].item()
            else:
                kept[name] = classes
        table = np.stack(list(kept.values()), axis=1) if kept else np.empty((length, 0), np.int64)
        return cls(sites, table, tuple(kept), constant)

    def __len__(self) -> int:
        return len(self.factors)

    @cached_property
    def codes(self) -> np.ndarray:
        """The means of every site side by side, [N, D]; class probabilities where a site is categorical."""
        return np.concatenate([site.mean for site in self.sites.values()], axis=1)

    @cached_property
    def latents(self) -> tuple[str, ...]:
        """The names of the columns of `codes`, [D]."""
        return tuple(f"{name}_{d}" for name, site in self.sites.items() for d in range(site.mean.shape[1]))

    @cached_property
    def units(self) -> tuple[str, ...]:
        """The names of what has a density of its own, [U]: a categorical is one unit."""
        names: list[str] = []
        for name, site in self.sites.items():
            names += [name] if site.categorical else [f"{name}_{d}" for d in range(site.mean.shape[1])]
        return tuple(names)

    @cached_property
    def sizes(self) -> tuple[int, ...]:
        """How many classes each factor has, [K]."""
        return tuple(int(size) for size in self.factors.max(0, initial=-1) + 1)

    @property
    def protocol(self) -> dict[str, Any]:
        """What every metric's protocol begins with."""
        return {
            "num_points": len(self),
            "num_latents": len(self.latents),
            "factors": dict(zip(self.names, self.sizes, strict=True)),
            "constant_factors": dict(self.constant),
        }

    def active(self, prune: float) -> np.ndarray:
        """Which latents [A] have a standard deviation above `prune`; one that never changes does not at 0 either."""
        alive = (np.ptp(self.codes, axis=0) > 0) & (self.codes.std(0, ddof=1) > prune)
        return np.flatnonzero(alive)

    def dead(self, active: np.ndarray) -> list[str]:
        """The names of the latents that are not among `active`."""
        return [name for d, name in enumerate(self.latents) if d not in active]

    def require(self, metric: str, *, factors: int = 0, latents: int = 1, densities: bool = False) -> "Encoded":
        """Itself, if it has what a metric needs.

        Raises:
            Inapplicable: there are fewer factors that vary, or fewer latents, or q(z | x) is not known.
        """
        if len(self.names) < factors:
            constant = "".join(f"; {name!r} has one value, {value!r}" for name, value in self.constant.items())
            raise Inapplicable(
                f"{metric} needs {'a factor that varies' if factors == 1 else f'{factors} factors that vary'}, "
                f"got {list(self.names)}{constant}: take points in which more of them vary"
            )
        if len(self.latents) < latents:
            raise Inapplicable(f"{metric} needs {latents} latents, got {len(self.latents)}: {list(self.latents)}")
        if densities and (unknown := [name for name, site in self.sites.items() if site.q is None]):
            raise Inapplicable(
                f"{metric} needs q(z | x), and of site {unknown[0]!r} there are points alone or a family other than "
                "independent normals: give Independent(Normal(means, scales), 1), or a one-hot categorical"
            )
        return self

    def subset(self, rows: np.ndarray) -> "Encoded":
        """Some of the datapoints, with classes renumbered where one is gone.

        Raises:
            ValueError: a factor that varies does not vary among them.
        """
        columns = []
        for name, column in zip(self.names, self.factors[rows].T, strict=True):
            values, classes = np.unique(column, return_inverse=True)
            if len(values) == 1:
                raise ValueError(
                    f"{name!r} has one value in {len(rows)} of the {len(self)} points: these are too few to repeat a "
                    "metric on a part of them; give more"
                )
            columns.append(classes)
        table = np.stack(columns, axis=1) if columns else self.factors[rows]
        return Encoded({name: site.at(rows) for name, site in self.sites.items()}, table, self.names, self.constant)

    def half(self, rng: np.random.Generator) -> "Encoded":
        """A random half of the datapoints."""
        return self.subset(rng.permutation(len(self))[: len(self) // 2])

    def split(self, share: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Two disjoint random sets of datapoints; the second is this share of all."""
        order = rng.permutation(len(self))
        count = round(share * len(self))
        return order[count:], order[:count]

    def draw(self, k: int, classes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Datapoints [...] whose factor k has the classes [...], uniformly and with replacement."""
        order, starts, counts = self._by_class[k]
        return order[starts[classes] + (rng.random(classes.shape) * counts[classes]).astype(np.intp)]

    @cached_property
    def _by_class(self) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Per factor the datapoints sorted by class, and where each class starts and how many it has."""
        found = []
        for column in self.factors.T:
            counts = np.bincount(column)
            found.append((np.argsort(column, kind="stable"), np.cumsum(counts) - counts, counts))
        return found


def _encode(
    encoder: Any, data: Any, num_points: int, batch_size: int, device: str | torch.device, seed: int
) -> tuple[dict[str, Site], Any]:
    """The sites of some datapoints, and the data set of these."""
    if not hasattr(data, "in_order"):
        raise TypeError(
            f"an encoder takes a data set beside it, got {type(data).__name__}; "
            "or encode yourself, and give codes [N, D] and factors [N, K]"
        )
    if num_points < len(data):
        rows = np.random.default_rng(seed).choice(len(data), num_points, replace=False)
        data = data.subset(np.sort(rows))
    with torch.no_grad():
        batches = [_sites(encoder(batch.x)) for batch in data.in_order(batch_size, device=device)]
    return {name: _join([batch[name] for batch in batches]) for name in batches[0]}, data


def _sites(q: Any) -> dict[str, Site]:
    """What an encoder gives, by site; a single one is called z."""
    if isinstance(q, Mapping):
        if not q:
            raise ValueError("codes: the mapping has no site in it; give at least one, as in {'z': means}")
        return {name: _site(name, value) for name, value in q.items()}
    return {"z": _site("z", q)}


def _site(name: str, q: Any) -> Site:
    if isinstance(q, Site):
        return q
    if not isinstance(q, Distribution):
        return Site(_array(q))
    if isinstance(q, (OneHotCategorical, RelaxedOneHotCategorical)):
        return Site(_array(q.probs), categorical=True)
    independent = isinstance(q, Independent) and q.reinterpreted_batch_ndims == 1
    base = q.base_dist if isinstance(q, Independent) and independent else q
    try:
        mean = _array(q.mean)
    except NotImplementedError:
        raise ValueError(f"codes of site {name!r}: {type(q).__name__} has no mean; give a sample or a centre") from None
    return Site(mean, _array(base.stddev) if isinstance(base, Normal) else None)


def _array(values: Any) -> np.ndarray:
    if isinstance(values, Tensor):
        values = values.detach().cpu().numpy()
    try:
        return np.asarray(values, np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"codes must be numbers [N, D], or distributions of them: {error}") from None


def _join(batches: list[Site]) -> Site:
    scales = [batch.scale for batch in batches if batch.scale is not None]
    means = np.concatenate([batch.mean for batch in batches])
    return Site(means, np.concatenate(scales) if scales else None, batches[0].categorical)


def _check(sites: Mapping[str, Site]) -> int:
    """N, if all sites are sound and agree on it."""
    for name, site in sites.items():
        if site.mean.ndim != 2 or site.mean.shape[1] == 0:
            raise ValueError(
                f"codes of site {name!r} must be [N, D], got {site.mean.shape}; codes[:, None] makes one latent"
            )
        if not (finite := np.isfinite(site.mean)).all():
            n, d = np.argwhere(~finite)[0]
            raise ValueError(
                f"codes of site {name!r}: {(~finite).sum()} values are not finite, the first {site.mean[n, d]} at "
                f"point {n}, latent {d}; leave such points out, or train an encoder that did not diverge"
            )
        if site.scale is not None and not (good := np.isfinite(site.scale) & (site.scale > 0)).all():
            n, d = np.argwhere(~good)[0]
            raise ValueError(
                f"codes of site {name!r}: the standard deviation is {site.scale[n, d]} at point {n}, latent {d}; it "
                "must be positive and finite, or give the means alone"
            )
    lengths = {name: len(site.mean) for name, site in sites.items()}
    if len(set(lengths.values())) != 1:
        raise ValueError(f"codes: the sites differ in their number of points, {lengths}; give one code per point each")
    length = next(iter(lengths.values()))
    if length < MIN_POINTS:
        raise ValueError(f"codes of {length} points are too few for any metric: give at least {MIN_POINTS}")
    return length


def _columns(factors: Any) -> dict[str, Any]:
    """Each factor's values by name."""
    if factors is None:
        return {}
    if hasattr(factors, "in_order"):
        if factors.factors is not None:
            return dict(zip(factors.factors.names, factors.factors.classes.T, strict=True))
        return {} if factors.y is None else {"label": factors.y}
    if isinstance(factors, Mapping):
        return dict(factors)
    table = factors.detach().cpu().numpy() if isinstance(factors, Tensor) else np.asarray(factors)
    if table.ndim == 1:
        table = table[:, None]
    if table.ndim != 2:
        raise ValueError(f"factors must be class indices [N, K], got {table.shape}")
    return {f"factor {k}": column for k, column in enumerate(table.T)}


def _classes(name: str, column: Any, length: int) -> tuple[np.ndarray, np.ndarray]:
    """The values of a factor that occur, and each point's class among them."""
    column = column.detach().cpu().numpy() if isinstance(column, Tensor) else np.asarray(column)
    if column.shape != (length,):
        raise ValueError(
            f"{name!r} has values of shape {column.shape} for codes of {length} points: give one class per point"
        )
    mend = "np.unique(column, return_inverse=True)[1] numbers the values it has, np.digitize cuts into ranges"
    if column.dtype.kind not in "biuf":
        raise ValueError(f"{name!r} is not categorical: expected class indices, got {column.dtype}; {mend}")
    if column.dtype.kind == "f":
        whole = np.isfinite(column) & (column == np.round(column))
        if not whole.all():
            n = np.flatnonzero(~whole)[0]
            raise ValueError(f"{name!r} is not categorical: {column[n]} at point {n} is no class index; {mend}")
    values, classes = np.unique(column, return_inverse=True)
    if 2 * len(values) > length:
        raise ValueError(
            f"{name!r} is not categorical: {len(values)} classes in {length} points, fewer than two points a class; "
            f"give more points, or {mend}"
        )
    return values, classes.astype(np.int64)
