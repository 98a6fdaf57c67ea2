"""The result of a metric: a value, an interval over repeats, and the protocol that both depend on."""

import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from itertools import product
from typing import Any, Literal

import numpy as np
from scipy.special import stdtrit

from zoo.arguments import is_number
from zoo.seeds import stream

# A score is from 0 to 1; an error is best at 0; a variance has the codes' unit squared; a ratio has no unit.
Unit = Literal["score", "nats", "error", "correlation", "words", "variance", "ratio"]

VERSIONS = {"python": platform.python_version()} | {
    name: version(name) for name in ("numpy", "scipy", "scikit-learn", "torch")
}


class Inapplicable(ValueError):
    """The metric is not defined for these codes or factors, though they are valid."""


@dataclass(frozen=True, eq=False)
class Result:
    """A metric's value, with its protocol.

    Attributes:
        metric: its name.
        value: a number, as an array [], or one along each of `axes`; the mean over the runs, or the value on all points
            where a run takes a random half of them (the protocol's "a run" says which).
        low: the value minus t sd, with sd that of the runs and t Student's 97.5 % point. Where runs use fresh draws,
            single runs fall between low and high in 95 % of cases. Where a run uses a random half, sd is to first order
            the standard error of the value on all points (the delete-half jackknife: Shao and Wu 1989,
            https://doi.org/10.1214/aos/1176347263). A score's interval is clipped to 0 and 1. Where a run is infinite,
            low and high are the smallest and the largest run.
        high: the value plus t sd.
        runs: the value in each repeat, [repeats, *value].
        unit: "score", "nats", "error", "correlation", "words", "variance" or "ratio".
        axes: the names of the entries along each axis of the value.
        protocol: the settings, the counts, the seed, what was left out, and the versions of the libraries.
    """

    metric: str
    value: np.ndarray
    low: np.ndarray
    high: np.ndarray
    runs: np.ndarray
    unit: Unit
    axes: tuple[tuple[str, ...], ...]
    protocol: Mapping[str, Any]

    @classmethod
    def of(
        cls,
        metric: str,
        runs: Sequence[Any],
        protocol: Mapping[str, Any],
        *,
        unit: Unit = "score",
        value: Any = None,
        axes: tuple[tuple[str, ...], ...] = (),
    ) -> "Result":
        """A result from the runs of a metric; without a `value` it is their mean."""
        every = np.asarray(runs, float)
        centre = every.mean(0) if value is None else np.asarray(value, float)
        finite = np.isfinite(every).all(0) & np.isfinite(centre)
        width = stdtrit(len(every) - 1, 0.975) * np.where(finite, every, 0.0).std(0, ddof=1)
        width = np.where(
            (every == every[0]).all(0), 0.0, width
        )  # rounding: the mean of equal numbers may differ from them
        low = np.where(finite, centre - width, np.minimum(every.min(0), centre))
        high = np.where(finite, centre + width, np.maximum(every.max(0), centre))
        if unit == "score":
            low, high = low.clip(0, 1), high.clip(0, 1)
        protocol = {**protocol, "repeats": len(every), "versions": VERSIONS}
        plain = {key: value.item() if _is_of_numpy(value) else value for key, value in protocol.items()}
        return cls(metric, centre, low, high, every, unit, axes, plain)

    @property
    def caveat(self) -> str:
        """A warning that must be read with the value; empty if there is none."""
        return str(self.protocol.get("caveat", ""))

    def __float__(self) -> float:
        return float(self.value)

    def entries(self) -> list[tuple[str, float, float, float]]:
        """Name, value, low and high of every entry; the name of a single number is empty."""
        names = [", ".join(path) for path in product(*self.axes)]
        return list(
            zip(names, self.value.ravel().tolist(), self.low.ravel().tolist(), self.high.ravel().tolist(), strict=True)
        )

    def as_dict(self) -> dict[str, Any]:
        """All fields as JSON types; numbers that are not finite become text."""
        arrays = {name: _plain(getattr(self, name)) for name in ("value", "low", "high", "runs")}
        return {"metric": self.metric, "unit": self.unit, **arrays, "axes": self.axes, "protocol": dict(self.protocol)}


# The protocol's "a run" of a metric without random draws.
HALVES = "a random half of the points; the value is of all"


def generators(seed: int, repeats: int) -> list[np.random.Generator]:
    """A stream of random numbers for each repeat.

    Raises:
        ValueError: fewer than two repeats, for which there is no interval; or a negative seed.
    """
    if repeats < 2:
        raise ValueError(f"repeats = {repeats}: an interval needs at least 2")
    if seed < 0:
        raise ValueError(f"seed = {seed}: give 0 or more")
    return [stream([seed, repeat]) for repeat in range(repeats)]


def _is_of_numpy(value: Any) -> bool:
    """Whether a setting is a number of NumPy or a tensor [], which JSON lacks."""
    return is_number(value) and hasattr(value, "item")


def _plain(array: np.ndarray) -> Any:
    """Nested lists of numbers; infinities and NaN, which JSON lacks, as text."""
    if array.ndim:
        return [_plain(np.asarray(entry)) for entry in array]
    number = float(array)
    return number if np.isfinite(number) else str(number)
