"""The latent sites of N datapoints, read from an encoder's output."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn
from torch.distributions import (
    Categorical,
    Distribution,
    Independent,
    OneHotCategorical,
    RelaxedOneHotCategorical,
)

from zoo.estimators import centre
from zoo.metrics.families import (
    INDEPENDENT,
    has_unit_densities,
    name_of,
    other_parameters,
    positive_parameters,
    rebuilt,
)
from zoo.metrics.result import Inapplicable
from zoo.modes import evaluation_mode
from zoo.seeds import stream

MIN_POINTS = 10

Latents: TypeAlias = "np.ndarray | Tensor | Distribution"
Encoder: TypeAlias = "Callable[[Tensor], Latents | Mapping[str, Latents]]"


class Site(NamedTuple):
    """q(site | x_n) for all n.

    Attributes:
        mean: [N, size]; a categorical's probabilities, and the median of a Student-t, whose mean may not exist.
        vector: a distribution of vectors whose units have densities, batch [N], event [size]; None where q is unknown,
            of another family, or categorical.
        categorical: whether it is one discrete unit.
    """

    mean: np.ndarray
    vector: Any = None
    categorical: bool = False

    def at(self, rows: np.ndarray) -> "Site":
        """The site at some datapoints."""
        index = torch.from_numpy(rows)
        vector = None if self.vector is None else rebuilt(lambda parameter: parameter[index], self.vector)
        return Site(self.mean[rows], vector, self.categorical)

    @property
    def q(self) -> Any:
        """The distribution, batch [N]; None where it is unknown."""
        if self.categorical:
            probs = self.mean / self.mean.sum(1, keepdims=True)  # in single precision the sum is only about 1
            return OneHotCategorical(probs=torch.from_numpy(probs))
        return self.vector

    @property
    def kind(self) -> tuple[int, bool, str]:
        """Its size, whether it is categorical, and the family of q where it is known: the same in every batch."""
        return self.mean.shape[1], self.categorical, "" if self.vector is None else name_of(self.vector)


def sites_of(codes: Any) -> dict[str, Site]:
    """Codes by site, each checked; a single one is called z.

    Raises:
        Inapplicable: a distribution has no mean.
        ValueError: codes are not finite numbers [N, D], or a standard deviation is not positive and finite.
    """
    if isinstance(codes, Mapping):
        if not codes:
            raise ValueError("codes: the mapping is empty; give at least one, as in {'z': means}")
        found = {str(name): _site(name, value) for name, value in codes.items()}
    else:
        found = {"z": _site("z", codes)}
    for name, site in found.items():
        _check(name, site)
    return found


def encode(
    encoder: Any, data: Any, *, num_points: int, batch_size: int, device: str | torch.device | None, seed: int
) -> tuple[dict[str, Site], Any]:
    """Encodes some datapoints: returns their sites, and the data set of these datapoints.

    The encoder's modules run in evaluation mode, and their mode is restored afterwards.

    Raises:
        TypeError: the encoder is a class, or there is no data set.
        ValueError: as `sites_of`, for the first such batch; or batches differ in their sites.
    """
    if isinstance(encoder, type):
        raise TypeError(f"the encoder is the class {encoder.__name__}: give an instance of it")
    if not hasattr(data, "in_order"):
        raise TypeError(
            f"an encoder needs a data set as the second argument, got {type(data).__name__}; "
            "or encode the data first, and give codes [N, D] and factors [N, K]"
        )
    for setting, count in (("num_points", num_points), ("batch_size", batch_size)):
        if count < 1:
            raise ValueError(f"{setting} = {count}: give 1 or more")
    if num_points < len(data):
        rows = stream(seed).choice(len(data), num_points, replace=False)
        data = data.subset(np.sort(rows))
    batches: list[dict[str, Site]] = []
    done = 0
    with torch.no_grad(), evaluation_mode(_module(encoder)):
        for batch in data.in_order(batch_size, device=device or _device(encoder)):
            returned = encoder(batch.x)
            try:
                sites = sites_of(returned)
                _check_batch(sites, len(batch.x), batches[0] if batches else sites)
            except ValueError as error:
                place = f"what the encoder returned for points {done} to {done + len(batch.x) - 1}"
                raise type(error)(f"{place}: {error}") from error
            batches.append(sites)
            done += len(batch.x)
    return {name: _join([batch[name] for batch in batches]) for name in batches[0]}, data


def count_points(sites: Mapping[str, Site]) -> int:
    """Returns N after checking that it is the same for all sites.

    Raises:
        Inapplicable: there are fewer than 10.
        ValueError: the sites have different numbers of points.
    """
    lengths = {name: len(site.mean) for name, site in sites.items()}
    if len(set(lengths.values())) != 1:
        raise ValueError(f"codes: the sites differ in their number of points, {lengths}; give one code per point each")
    length = next(iter(lengths.values()))
    if length < MIN_POINTS:
        raise Inapplicable(f"codes of {length} points are too few for any metric: give at least {MIN_POINTS}")
    return length


def to_numpy(values: Any) -> np.ndarray:
    """An array of anything array-like, on the CPU.

    Raises:
        ValueError: values are masked: NumPy would ignore the mask.
    """
    if isinstance(values, Tensor):
        values = values.detach().cpu()
        if values.layout != torch.strided:
            values = values.to_dense()
        if values.is_floating_point():
            values = values.double()  # NumPy has no bfloat16
        return np.asarray(values.numpy())
    if hasattr(values, "toarray"):  # SciPy's sparse matrices
        values = values.toarray()
    if np.ma.is_masked(values):
        raise ValueError(f"{np.ma.count_masked(values)} values are masked: leave these points out")
    return np.asarray(values)


def _site(name: str, q: Any) -> Site:
    if isinstance(q, Site):
        return q
    if not isinstance(q, Distribution):
        return Site(_numbers(name, q))
    base: Any = q
    while isinstance(base, Independent) or type(base).__name__ == "MaskedDistribution":  # Pyro's, of `q.mask(...)`
        base = base.base_dist
    if isinstance(base, (Categorical, OneHotCategorical, RelaxedOneHotCategorical)):
        return Site(_numbers(name, base.probs), categorical=True)
    try:
        mean = _numbers(name, centre(q))
    except NotImplementedError:
        raise Inapplicable(
            f"codes of site {name!r}: {type(q).__name__} has no mean; give the mean of some samples, as in "
            "q.sample((256,)).mean(0), or another centre"
        ) from None
    vector = Independent(base, 1) if isinstance(base, INDEPENDENT) and mean.ndim == 2 else base
    if not has_unit_densities(vector):
        return Site(mean)
    each: Any = vector.expand(vector.batch_shape)  # a mixture's shares may be one for all datapoints
    return Site(mean, rebuilt(lambda parameter: torch.from_numpy(_numbers(name, parameter)), each))


def _numbers(name: str, values: Any) -> np.ndarray:
    if isinstance(values, (tuple, list)) and any(isinstance(v, Distribution) or np.ndim(v) > 1 for v in values):
        raise ValueError(
            f"codes of site {name!r}: a {type(values).__name__} of {len(values)} arrays or distributions; give one of "
            "them, as in encoder(x)[0], or a distribution, as in Independent(Normal(mean, scale), 1)"
        )
    try:
        array = to_numpy(values)
        if np.iscomplexobj(array):
            raise TypeError("they are complex")
        return np.asarray(array, np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"codes of site {name!r}: codes must be numbers [N, D], or distributions of them, got "
            f"{type(values).__name__}: {error}"
        ) from error


def _check(name: str, site: Site) -> None:
    if site.mean.ndim != 2 or site.mean.shape[1] == 0:
        advice = "codes[:, None] makes one latent" if site.mean.ndim < 2 else "codes.reshape(len(codes), -1) makes rows"
        raise ValueError(f"codes of site {name!r} must be [N, D], got {site.mean.shape}; {advice}")
    if not (finite := np.isfinite(site.mean)).all():
        n, d = np.argwhere(~finite)[0]
        raise ValueError(
            f"codes of site {name!r}: {(~finite).sum()} values are not finite, the first {site.mean[n, d]} at "
            f"point {n}, latent {d}; leave such points out, or train an encoder that did not diverge"
        )
    if site.vector is not None:
        _check_parameters(name, site.vector)
    if site.categorical and not (good := (site.mean >= 0).all(1) & (site.mean.sum(1) > 0)).all():
        n = np.flatnonzero(~good)[0]
        raise ValueError(f"codes of site {name!r}: point {n} has the class probabilities {site.mean[n]}")


def _check_parameters(name: str, vector: Any) -> None:
    for parameter, values in positive_parameters(vector).items():
        if not (good := values.isfinite() & (values > 0)).all():
            n, *component, d = np.argwhere(~good.numpy())[0].tolist()
            where = f"component {component[0]}, latent {d}" if component else f"latent {d}"
            raise ValueError(
                f"codes of site {name!r}: the {parameter} is {values[~good][0]} at point {n}, {where}; it must be "
                "positive and finite, or give only the means"
            )
    for parameter, values in other_parameters(vector).items():
        if not (good := values.isfinite()).all():
            n = int(np.argwhere(~good.numpy())[0, 0])
            raise ValueError(
                f"codes of site {name!r}: the {parameter} is {values[~good][0]} at point {n}; it must be finite, or "
                "give only the means"
            )


def _check_batch(sites: Mapping[str, Site], size: int, first: Mapping[str, Site]) -> None:
    for name, site in sites.items():
        if len(site.mean) != size:
            raise ValueError(f"codes of site {name!r} are {site.mean.shape} for {size} points: give a row for each")
    kinds = {name: site.kind for name, site in sites.items()}
    before = {name: site.kind for name, site in first.items()}
    if kinds != before:
        raise ValueError(f"sites (size, categorical, family) are {kinds}, but {before} in the first batch")


def _join(batches: list[Site]) -> Site:
    means = np.concatenate([batch.mean for batch in batches])
    vectors = [batch.vector for batch in batches if batch.vector is not None]
    joined = rebuilt(lambda *parameters: torch.cat(parameters), *vectors) if vectors else None
    return Site(means, joined, batches[0].categorical)


def _module(encoder: Any) -> nn.Module | None:
    """The encoder's module: itself, or the module of which it is a method."""
    owner = encoder if isinstance(encoder, nn.Module) else getattr(encoder, "__self__", None)
    return owner if isinstance(owner, nn.Module) else None


def _device(encoder: Any) -> torch.device:
    """The device of the parameters of an encoder's module; the CPU for any other function."""
    module = _module(encoder)
    parameter = None if module is None else next(module.parameters(), None)
    return torch.device("cpu") if parameter is None else parameter.device
