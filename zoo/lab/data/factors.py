"""Generative factors: the value of each factor for every datapoint, and the datapoints that have given values."""

import operator
from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np

from zoo.arguments import checked, number_from, shown
from zoo.lab.data.conversion import as_columns
from zoo.lab.errors import unknown_name
from zoo.order import are_numbers, ordered_categories
from zoo.seeds import stream


@dataclass(frozen=True, eq=False)
class Factors:
    """The factors of a set; each has finitely many values, numbered by its classes from 0.

    Attributes:
        names: one per factor, [F].
        values: per factor the values that its classes stand for, [size].
        table: the classes of every datapoint, [N, F]; None where the set is the whole grid in order, the last factor
            varying fastest, and the classes follow from the index.
        ordered: the factors whose values are names in an order, as ordered categories of pandas are.

    Raises:
        ValueError: a name occurs twice, a factor has no value, or the table does not fit the values.
    """

    names: tuple[str, ...]
    values: tuple[np.ndarray, ...]
    table: np.ndarray | None = None
    ordered: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if len(set(self.names)) != len(self.names) or len(self.names) != len(self.values):
            raise ValueError(f"factors need one name each, got {self.names} for {len(self.values)} factors")
        if empty := [name for name, size in zip(self.names, self.sizes, strict=True) if size == 0]:
            raise ValueError(f"factors {empty} have no values; give each at least one")
        if self.table is None:
            return
        if self.table.ndim != 2 or self.table.shape[1] != len(self.names):
            raise ValueError(f"factors: expected a table [N, {len(self.names)}], got {self.table.shape}")
        if ((self.table < 0) | (self.table >= self.sizes)).any():
            raise ValueError(f"factors: the table has classes outside 0 to size - 1, the sizes being {self.sizes}")

    @classmethod
    @checked()
    def grid(cls, values: Mapping[str, Any]) -> "Factors":
        """Every combination of the given values once, the last factor varying fastest."""
        return cls(tuple(values), tuple(np.asarray(v) for v in values.values()))

    @classmethod
    def of(cls, factors: Any) -> "Factors":
        """Builds factors from their values at every datapoint, [N]; the classes are the sorted distinct values.

        Texts that are all numbers count as numbers, as in a table [N, F] that has names, too. Ordered categories of
        pandas keep their order.

        Args:
            factors: a mapping by name, a data frame, or a table [N, F], whose factors are called 0, 1, ...

        Raises:
            TypeError: `factors` is none of these.
            ValueError: the columns differ in length, two have one name, or a value is missing.
        """
        columns = as_columns(factors)
        lengths = {name: len(column) for name, column in columns.items()}
        if len(set(lengths.values())) != 1:
            raise ValueError(f"factors need one value per datapoint each, got {lengths}")
        pairs = {name: np.unique(column, return_inverse=True) for name, column in columns.items()}
        ordered = {name: found for name in columns if (found := ordered_categories(_column(factors, name)))}
        pairs |= ordered
        table = np.stack([classes for _, classes in pairs.values()], axis=1)
        return cls(tuple(columns), tuple(values for values, _ in pairs.values()), table, tuple(ordered))

    def has_order(self, name: str) -> bool:
        """Whether the classes of a factor are in an order: its values are numbers, or names in an order."""
        values = self.values[self.names.index(name)]
        return name in self.ordered or values.dtype.kind not in "OSU" or are_numbers(values)

    def __len__(self) -> int:
        return prod(self.sizes) if self.table is None else len(self.table)

    @property
    def sizes(self) -> tuple[int, ...]:
        """The number of values of each factor, [F]."""
        return tuple(len(values) for values in self.values)

    @property
    def classes(self) -> np.ndarray:
        """The classes of every datapoint, [N, F]."""
        return self.at(np.arange(len(self)))

    def at(self, index: Any) -> np.ndarray:
        """The classes [..., F] of the datapoints at `index` [...].

        Raises:
            IndexError: there is no such datapoint.
        """
        given, index = index, np.asarray(index)
        if not np.issubdtype(index.dtype, np.integer):
            raise IndexError(f"index must hold the positions of datapoints as integers, got {shown(given)}")
        if index.size and not (index.min() >= 0 and index.max() < len(self)):
            raise IndexError(f"index: datapoints go from 0 to {len(self) - 1}, got {index.min()} to {index.max()}")
        if self.table is not None:
            return self.table[index]
        return np.stack(np.unravel_index(index, self.sizes), axis=-1)

    def values_at(self, index: Any) -> np.ndarray:
        """The values [..., F] of the datapoints at `index` [...]."""
        classes = self.at(index)
        return np.stack([values[classes[..., f]] for f, values in enumerate(self.values)], axis=-1)

    def index(self, classes: Any) -> np.ndarray:
        """The positions [...] of the datapoints with these classes [..., F]: the inverse of `at`.

        Raises:
            ValueError: the set is not a complete grid, or a class is out of range.
        """
        if self.table is not None:
            raise ValueError("classes determine the datapoint only in a complete grid; use sample(fixed=...)")
        try:
            return np.asarray(np.ravel_multi_index(tuple(np.moveaxis(np.asarray(classes), -1, 0)), self.sizes))
        except ValueError as error:
            raise ValueError(f"classes must lie within the sizes {self.sizes} of {self.names}: {error}") from error

    @checked(count=number_from(1))
    def sample(self, count: int, *, fixed: Mapping[str, int] | None = None, seed: Any = 0) -> np.ndarray:
        """Datapoints [count], uniformly and with replacement among those whose factors have the `fixed` classes.

        Args:
            count: how many.
            fixed: factor name to class; the others vary.
            seed: of any type that `numpy.random.default_rng` accepts, including a generator.

        Raises:
            LookupError: there is no such factor.
            ValueError: it has no such class, or no datapoint has this combination of classes.
        """
        fixed = {name: operator.index(c) for name, c in (fixed or {}).items()}
        for name, c in fixed.items():
            if name not in self.names:
                raise LookupError(unknown_name("factor", name, self.names))
            if not 0 <= c < (size := self.sizes[self.names.index(name)]):
                raise ValueError(f"factor {name!r} has classes 0 to {size - 1}, got {c!r}")
        rng = stream(seed)
        if self.table is None:
            draws = [
                np.full(count, fixed[name]) if name in fixed else rng.integers(size, size=count)
                for name, size in zip(self.names, self.sizes, strict=True)
            ]
            return self.index(np.stack(draws, axis=-1))
        columns = [self.names.index(name) for name in fixed]
        there = np.flatnonzero((self.table[:, columns] == list(fixed.values())).all(axis=1))
        if not len(there):
            raise ValueError(f"no datapoint has the classes {dict(fixed)}")
        return there[rng.integers(len(there), size=count)]

    def subset(self, rows: np.ndarray) -> "Factors":
        """The factors of some datapoints; every factor keeps all its values."""
        return replace(self, table=self.at(rows))


def _column(factors: Any, name: str) -> Any:
    """A column as it was given, of a mapping or a data frame; names may have been numbers there."""
    given = factors.columns if hasattr(factors, "columns") else factors if isinstance(factors, Mapping) else ()
    return next((factors[one] for one in given if str(one) == name), None)
