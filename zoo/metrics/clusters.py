"""Agreement of a type that was learnt without labels with the labels.

Joint-VAE (Dupont 2018, https://arxiv.org/abs/1804.00104, section 4.2) reads the digit off the arg max of q(c | x); it
does not say how types were matched with digits, so both usual methods are here. A type is the arg max of a categorical
site, or of several together.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.distributions import Distribution

from zoo.arguments import checked, is_number, shown
from zoo.metrics.classes import is_data
from zoo.metrics.encoded import Classes, Codes, Encoded, Inapplicable
from zoo.metrics.result import HALVES, Result, generators
from zoo.metrics.sites import Site, to_numpy

MOST_TYPES = 1000  # of which there may be more than points


class Clusters(NamedTuple):
    """The results of `clusters`.

    Attributes:
        majority: accuracy when each type is assigned the most frequent label of its points.
        hungarian: accuracy of the best one-to-one assignment of types to labels (Kuhn 1955,
            https://doi.org/10.1002/nav.3800020109); points of types without a label count as wrong.
        purity: the share of each type's points that have its most frequent label, [K]; 0 for a type without points.
        confusion: the share of all points by type and label, [K, L]; it sums to 1.
    """

    majority: Result
    hungarian: Result
    purity: Result
    confusion: Result

    @property
    def types_in_use(self) -> np.ndarray:
        """Whether each type has more than 1 % of all points, [K]."""
        return np.asarray(self.confusion.value.sum(1) > 0.01)


@checked()
def clusters(
    codes: Codes,
    factors: Classes = None,
    *,
    sites: tuple[str, ...] = (),
    factor: str | None = None,
    seed: int = 0,
    repeats: int = 10,
) -> Clusters:
    """How well types agree with labels.

    Where no two types are assigned the same label, majority and Hungarian accuracy are equal; otherwise the majority
    accuracy is higher.

    .. warning::
        Types are matched with labels on the same points that are scored, so the accuracies of small sets are too high.
        The majority accuracy rises with the number of types (with one type for each point it is 1): compare it only for
        equal numbers.

    Args:
        codes: as `Encoded.of`; or types [N] from 0; or their probabilities [N, K].
        factors: as `Encoded.of`.
        sites: the sites whose arg max is the type, combined if there are several; all categorical ones when not given.
        factor: the factor that is the label; needed where several vary.
        seed: of the repeats.
        repeats: their number.

    Raises:
        Inapplicable: there is no categorical site, no such site or factor, or several factors and none is named.
        ValueError: as `Encoded.of`; types are not class indices.
    """
    metric = "clusters"
    encoded = Encoded.of(_by_site(codes), factors).require(metric, factors=1)
    y, label = _labels(metric, encoded, factor)
    types, names = _types(metric, encoded, sites)
    values = encoded.values[encoded.names.index(label)].tolist()
    whole = (int(value) if isinstance(value, float) else value for value in values)  # classes are whole, or names
    labels = tuple(f"{label} {value}" for value in whole)
    table = confusion(types, y, len(names))
    halves = []
    for rng in generators(seed, repeats):
        rows = rng.permutation(len(y))[: len(y) // 2]
        halves.append(confusion(types[rows], y[rows], len(names), len(labels)))
    protocol = {
        **encoded.protocol,
        "factor": label,
        "majority_label": {name: labels[row.argmax()] for name, row in zip(names, table, strict=True) if row.any()},
        "hungarian_label": {names[k]: labels[label] for k, label in zip(*assignment(table), strict=True)},
        "unused_types": [name for name, row in zip(names, table, strict=True) if not row.any()],
        "seed": seed,
        "a run": HALVES,
    }

    def result(name: str, of: Any, axes: tuple[tuple[str, ...], ...] = ()) -> Result:
        return Result.of(name, [of(half) for half in halves], protocol, value=of(table), axes=axes)

    return Clusters(
        majority=result("cluster accuracy (majority)", majority_accuracy),
        hungarian=result("cluster accuracy (Hungarian)", hungarian_accuracy),
        purity=result("cluster purity", purity, (names,)),
        confusion=result("confusion", lambda table: table / table.sum(), (names, labels)),
    )


def confusion(types: np.ndarray, labels: np.ndarray, num_types: int = 0, num_labels: int = 0) -> np.ndarray:
    """The number of points with each type and label, [K, L], at least `num_types` x `num_labels`; from indices [N].

    Raises:
        ValueError: types and labels differ in length, or are not class indices.
    """
    types, labels = _indices("types", types), _indices("labels", labels)
    if len(types) != len(labels) or not len(types):
        raise ValueError(f"a confusion matrix needs a type and a label per point, got {len(types)} and {len(labels)}")
    table = np.zeros((max(num_types, types.max() + 1), max(num_labels, labels.max() + 1)), np.int64)
    np.add.at(table, (types, labels), 1)
    return table


def majority_accuracy(table: np.ndarray) -> float:
    """The share of points whose label is the most frequent one of their type; from counts [K, L]."""
    return float(table.max(1).sum() / table.sum())


def hungarian_accuracy(table: np.ndarray) -> float:
    """The largest share of points that a one-to-one match of types with labels gets right; from counts [K, L]."""
    return float(table[assignment(table)].sum() / table.sum())


def assignment(table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The matched types and labels, [min(K, L)] each."""
    from scipy.optimize import linear_sum_assignment

    types, labels = linear_sum_assignment(table, maximize=True)
    return types, labels


def purity(table: np.ndarray) -> np.ndarray:
    """The share of each type's most frequent label, [K]; from counts [K, L]."""
    return np.asarray(table.max(1) / np.maximum(table.sum(1), 1))


def _by_site(codes: Any) -> Any:
    """Plain types or probabilities as a categorical site c; everything else unchanged."""
    if isinstance(codes, (Mapping, Distribution, Encoded, Site)) or callable(codes) or is_data(codes):
        return codes
    if isinstance(codes, (list, tuple)) and not all(map(is_number, codes)):
        return codes
    tolerance = max(1e-4, _precision(codes))  # of the sum of a row
    try:
        array = to_numpy(codes)
    except (TypeError, ValueError) as error:
        raise ValueError(f"clusters: types or probabilities cannot be read: {error}") from error
    if array.ndim == 1:
        types = _indices("types", array)
        if types.max(initial=0) >= max(MOST_TYPES, len(types)):
            raise ValueError(
                f"clusters: there is a type {types.max()} among {len(types)} points: number the types from 0, as "
                "np.unique(types, return_inverse=True)[1] does"
            )
        return {"c": Site(np.eye(int(types.max(initial=0)) + 1)[types], categorical=True)}
    numbers = array.ndim == 2 and array.dtype.kind in "biuf"
    if numbers and (array >= 0).all() and np.allclose(array.sum(1, dtype=np.float64), 1, atol=tolerance):
        return {"c": Site(array.astype(np.float64), categorical=True)}
    raise ValueError(f"clusters needs types [N] or their probabilities [N, K], whose rows sum to 1; got {shown(codes)}")


def _precision(codes: Any) -> float:
    """The rounding of a probability near 1: 0.008 of bfloat16, and 0.001 of float16, whose rows miss a sum of 1."""
    if isinstance(codes, Tensor):
        return torch.finfo(codes.dtype).eps if codes.is_floating_point() else 0.0
    return float(np.finfo(codes.dtype).eps) if isinstance(codes, np.ndarray) and codes.dtype.kind == "f" else 0.0


def _indices(what: str, values: Any) -> np.ndarray:
    array = to_numpy(values)
    if array.ndim != 1 or array.dtype.kind not in "iu" or (array.size and array.min() < 0):
        raise ValueError(f"{what} must be class indices [N] from 0, got {array.dtype} of shape {array.shape}")
    return array.astype(np.int64)


def _labels(metric: str, encoded: Encoded, factor: str | None) -> tuple[np.ndarray, str]:
    if factor is None and len(encoded.names) > 1:
        raise Inapplicable(f"{metric}: name the factor that is the label with factor=, one of {list(encoded.names)}")
    name = factor or encoded.names[0]
    if name not in encoded.names:
        raise Inapplicable(f"{metric}: no factor {name!r} varies; there are {list(encoded.names)}")
    return encoded.factors[:, encoded.names.index(name)], name


def _types(metric: str, encoded: Encoded, sites: tuple[str, ...]) -> tuple[np.ndarray, tuple[str, ...]]:
    """Each point's type [N], several sites counted as one with the last fastest; and the names of the types."""
    if missing := [name for name in sites if name not in encoded.sites]:
        raise Inapplicable(f"{metric}: no site {missing[0]!r}; there are {list(encoded.sites)}")
    chosen = sites or tuple(name for name, site in encoded.sites.items() if site.categorical)
    if not chosen:
        raise Inapplicable(f"{metric} needs a categorical site, and the sites are {list(encoded.sites)}")
    shape = tuple(encoded.sites[name].mean.shape[1] for name in chosen)
    classes = [encoded.sites[name].mean.argmax(1) for name in chosen]
    names = tuple(" ".join(f"{s}={k}" for s, k in zip(chosen, index, strict=True)) for index in np.ndindex(*shape))
    return np.ravel_multi_index(classes, shape), names
