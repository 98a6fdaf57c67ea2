"""Reproduction: what is run of a paper's experiments, and what the paper reports.

`zoo.lab.trials.reproduction_plan` makes its trials, and `zoo.lab.trials.reproduce` runs them over seeds.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from zoo.lab.plots.picture import Picture
from zoo.lab.trials.card import average
from zoo.lab.trials.trial import Budget, Measure, Trial


@dataclass(frozen=True)
class Quantity:
    """A number that is measured for each run.

    Attributes:
        what: its description, with its unit.
        better: whether high or low values are better, if either is.
        digits: after the decimal point.
    """

    what: str
    better: Literal["high", "low", ""] = ""
    digits: int = 2


@dataclass(frozen=True)
class Results:
    """All quantities of all seeds, by variant, seed and quantity."""

    table: Mapping[str, Mapping[int, Mapping[str, float]]]

    @classmethod
    def of(cls, records: Mapping[str, Sequence[Mapping[str, Any]]]) -> "Results":
        """Builds them from each variant's records in a result's JSON."""
        return cls({v: {record["seed"]: record["quantities"] for record in of_one} for v, of_one in records.items()})

    def values(self, variant: str, quantity: str) -> list[float]:
        """The quantity's values, in the order of the seeds that have it."""
        seeds = self.table.get(variant, {})
        return [seeds[seed][quantity] for seed in sorted(seeds) if quantity in seeds[seed]]

    def pairs(self, variant: str, one: str, other: str) -> list[tuple[float, float]]:
        """Two quantities of each run, in the order of the seeds that have both."""
        seeds = self.table.get(variant, {})
        return [(q[one], q[other]) for _, q in sorted(seeds.items()) if one in q and other in q]

    def mapped(self, function: Callable[[float], float]) -> "Results":
        """The results with a function of each number in its place."""
        table = {
            variant: {seed: {name: function(value) for name, value in q.items()} for seed, q in seeds.items()}
            for variant, seeds in self.table.items()
        }
        return Results(table)

    def mean(self, variant: str, quantity: str) -> float:
        """The mean over seeds, as `average`; NaN where there are none."""
        values = self.values(variant, quantity)
        return average(values) if values else math.nan


Check: TypeAlias = Callable[[Results], tuple[bool | None, str]]  # the verdict, None where seeds cannot tell; evidence


@dataclass(frozen=True)
class Claim:
    """A paper's claim with a check of whether it holds; `zoo.lab.trials.claims` has checks.

    Attributes:
        text: the claim.
        check: function from the results to the verdict, None where they are not sufficient, and the evidence.
        own: whether it is this project's claim, about a variant of its own; it is not counted among the paper's.
    """

    text: str
    check: Check
    own: bool = False


@dataclass(frozen=True)
class Reproduction:
    """A reproduction of a paper's results.

    Attributes:
        title: of the reproduction.
        paper: citation, section, URL.
        variants: by name, a function from a trial to its quantities, in the order of the table.
        quantities: their definitions, by name.
        reported: the paper's values, by variant and quantity.
        headline: the rows of the README's table: variant, quantity.
        best: the variant and the quantity that define the best seed, whose weights can be kept.
        seeds: number of seeds, by budget.
        claims: of the paper, and this project's own.
        deviations: all known deviations from the paper.
        shortened: how the short budget deviates further, which a result of the full budget does not state.
        pictures: functions from the trials by variant to pictures by file name. Pictures that only show quantities have
            a function of their own, since other pictures open runs, which may not be on this machine.
        other_networks: whether it also trains networks that no recipe builds, whose precision cannot be chosen.
    """

    title: str
    paper: str
    variants: Mapping[str, Measure]
    quantities: Mapping[str, Quantity]
    reported: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    headline: Sequence[tuple[str, str]] = ()
    best: tuple[str, str] | None = None
    seeds: Mapping[Budget, int] = field(default_factory=lambda: {"full": 5, "short": 3})
    claims: Sequence[Claim] = ()
    deviations: Sequence[str] = ()
    shortened: Sequence[str] = ()
    pictures: Sequence[Callable[[Mapping[str, Sequence[Trial]]], Mapping[str, Picture]]] = ()
    other_networks: bool = False

    def verdicts(self, results: Results) -> list[dict[str, Any]]:
        """Each claim with its verdict and evidence, as in a result's JSON."""
        rows = []
        for claim in self.claims:
            verdict, evidence = claim.check(results)
            own = {"own": True} if claim.own else {}
            rows.append({"claim": claim.text, "verdict": verdict, "evidence": evidence, **own})
        return rows
