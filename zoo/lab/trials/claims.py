"""Claims as checks of results: a claim holds, does not hold, or the seeds cannot tell.

One mean over seeds exceeds another if the 95 % confidence interval of their difference is above 0, and does not exceed
it if the interval is below 0. If it contains 0, or if there are fewer than two seeds, the verdict is "cannot tell". The
runs of two variants are independent: Welch's interval (1947, https://doi.org/10.2307/2332510). Two quantities of one
variant are of the same runs: Student's interval of their difference in each run. `every`, `some`, `most` and `fails`
combine verdicts by Kleene's three-valued logic. `of_geometric_means` compares geometric means.
"""

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, pairwise

import numpy as np
from scipy import special

from zoo.lab.trials.card import average, deviation
from zoo.lab.trials.reproduction import Results

Cell = tuple[str, str]  # variant, quantity
Verdict = bool | None  # None: cannot tell

NOT_RUN = "Not all of it was run."
ONE_SEED = "One seed is not enough to tell."


@dataclass(frozen=True)
class Comparison:
    """A check: the compared cells, the decision, and a note.

    Attributes:
        cells: variants and quantities, in the order of the evidence.
        decide: function from results, in which every cell has at least two seeds, to the verdict.
        note: a remark for the reader.
        geometric: whether the evidence is geometric means and standard deviations.
    """

    cells: tuple[Cell, ...]
    decide: Callable[[Results], Verdict]
    note: str = ""
    geometric: bool = False

    def __call__(self, results: Results) -> tuple[Verdict, str]:
        """The verdict and its evidence: each cell's mean and standard deviation over seeds."""
        values = {cell: results.values(*cell) for cell in self.cells}
        if not all(values.values()):
            return None, NOT_RUN
        by_quantity: dict[str, list[str]] = {}
        for (variant, quantity), seeds in values.items():
            by_quantity.setdefault(quantity, []).append(f"{variant}: {_number(seeds, self.geometric)}")
        evidence = ". ".join(f"{quantity}: {', '.join(means)}" for quantity, means in by_quantity.items()) + "."
        evidence += f" {self.note}" if self.note else ""
        if min(map(len, values.values())) < 2:
            return None, f"{evidence} {ONE_SEED}"
        return self.decide(results), evidence


# Comparisons of means over seeds.


def exceeds(one: Sequence[float], other: Sequence[float], *, times: float = 1.0, plus: float = 0.0) -> Verdict:
    """Whether one mean exceeds `times` the other plus `plus`; None where Welch's 95 % interval contains 0.

    Also None where a value is not finite, so that the difference has no interval.

    Args:
        one, other: values by seed, of independent runs.
        times, plus: of the other's mean.
    """
    if min(len(one), len(other)) < 2 or not all(map(math.isfinite, (*one, *other))):
        return None
    difference = statistics.fmean(one) - times * statistics.fmean(other) - plus
    errors = [statistics.variance(one) / len(one), times**2 * statistics.variance(other) / len(other)]
    width = 0.0
    if (total := sum(errors)) > 0:
        shares = [error / total for error in errors]
        freedom = 1 / (shares[0] ** 2 / (len(one) - 1) + shares[1] ** 2 / (len(other) - 1))
        width = float(special.stdtrit(freedom, 0.975)) * math.sqrt(total)
    return None if abs(difference) < width else bool(difference > 0)


def above(one: Cell, other: Cell, *, times: float = 1.0, plus: float = 0.0, note: str = "") -> Comparison:
    """One mean exceeds `times` the other plus `plus`."""
    return Comparison((one, other), lambda results: compare(results, one, other, times=times, plus=plus), note)


def compare(results: Results, one: Cell, other: Cell, *, times: float = 1.0, plus: float = 0.0) -> Verdict:
    """Whether one cell's mean exceeds `times` the other's plus `plus`; two cells of one variant are compared by run."""
    if one[0] != other[0]:
        return exceeds(results.values(*one), results.values(*other), times=times, plus=plus)
    differences = [a - times * b for a, b in results.pairs(one[0], one[1], other[1])]
    return exceeds(differences, [plus, plus])


def at_least(cell: Cell, bound: float, note: str = "") -> Comparison:
    """The mean is above a number."""
    return Comparison((cell,), lambda r: exceeds(r.values(*cell), [bound, bound]), note or f"Holds above {bound:g}.")


def at_most(cell: Cell, bound: float, note: str = "") -> Comparison:
    """The mean is below a number."""
    return Comparison((cell,), lambda r: exceeds([bound, bound], r.values(*cell)), note or f"Holds below {bound:g}.")


def near(cell: Cell, target: float, within: float) -> Comparison:
    """The mean differs from `target` by at most `within`."""
    low, high = target - within, target + within
    return every(fails(at_most(cell, low)), fails(at_least(cell, high)), note=f"Holds from {low:.4g} to {high:.4g}.")


def near_share(one: Cell, other: Cell, share: float) -> Comparison:
    """One mean differs from the other by at most a share of the other's size."""

    def decide(results: Results) -> Verdict:
        size = math.copysign(share, results.mean(*other))
        less = compare(results, other, one, times=1 / (1 - size))
        more = compare(results, one, other, times=1 + size)
        return both(_not(less), _not(more))

    return Comparison((one, other), decide, f"Holds within {share:.0%}.")


def falls_by(quantity: str, variants: Sequence[str], least: float, most: float) -> Comparison:
    """From the first variant to the last the mean falls by between `least` and `most`."""
    first, last = (variants[0], quantity), (variants[-1], quantity)
    fall = every(fails(above(last, first, plus=-least)), fails(above(first, last, plus=most)))
    cells = tuple((variant, quantity) for variant in variants)
    return Comparison(cells, fall.decide, f"Holds for a fall from {least:g} to {most:g}.")


def rising(quantity: str, variants: Sequence[str]) -> Comparison:
    """The means rise from each variant to the next; false where any later one's mean is below an earlier one's."""
    cells = tuple((variant, quantity) for variant in variants)

    def decide(results: Results) -> Verdict:
        steps = [compare(results, later, earlier) for earlier, later in pairwise(cells)]
        pairs = [compare(results, later, earlier) for earlier, later in combinations(cells, 2)]
        return False if False in pairs else both(*steps)

    return Comparison(cells, decide)


def falling(quantity: str, variants: Sequence[str]) -> Comparison:
    """The means fall from each variant to the next."""
    return in_order(rising(quantity, variants[::-1]), quantity, variants)


def highest(quantity: str, best: str, others: Sequence[str]) -> Comparison:
    """A variant's mean exceeds each other's."""
    return every(*(above((best, quantity), (other, quantity)) for other in others))


def lowest(quantity: str, best: str, others: Sequence[str]) -> Comparison:
    """A variant's mean is below each other's."""
    return in_order(every(*(above((other, quantity), (best, quantity)) for other in others)), quantity, (best, *others))


def correlated(one: str, other: str, variants: Sequence[str]) -> Comparison:
    """Two quantities are positively correlated over all runs of these variants, by Fisher's interval at 95 %.

    Only runs that have both quantities count. The verdict is None if there are fewer than four of them, a value is not
    finite, or a quantity does not vary.
    """

    def decide(results: Results) -> Verdict:
        pairs = [pair for variant in variants for pair in results.pairs(variant, one, other)]
        if len(pairs) < 4 or not np.isfinite(pairs).all() or (np.ptp(pairs, axis=0) == 0).any():
            return None
        from scipy import stats

        low, high = stats.pearsonr(*zip(*pairs, strict=True)).confidence_interval(0.95)
        return True if low > 0 else False if high < 0 else None

    return Comparison(tuple((variant, quantity) for quantity in (one, other) for variant in variants), decide)


def on_seeds(cell: Cell, holds: Callable[[float], bool], note: str = "") -> Comparison:
    """`holds` is true of the value in every seed; false where it is true in no seed, and otherwise undecided."""

    def decide(results: Results) -> Verdict:
        found = [holds(value) for value in results.values(*cell)]
        return None if any(found) and not all(found) else all(found)

    return Comparison((cell,), decide, note)


# Three-valued logic.


def both(*verdicts: Verdict) -> Verdict:
    """Kleene's and: false if one is false, else undecided if one is undecided."""
    return False if False in verdicts else None if None in verdicts else True


def every(*checks: Comparison, note: str = "") -> Comparison:
    """All checks hold; false where one fails."""
    return _combined(checks, lambda verdicts: both(*verdicts), note)


def some(*checks: Comparison, note: str = "") -> Comparison:
    """At least one check holds; false where all fail."""
    return fails(every(*map(fails, checks)), note)


def most(*checks: Comparison, note: str = "") -> Comparison:
    """More than half of the checks hold; false where half or more fail."""

    def decide(verdicts: Sequence[Verdict]) -> Verdict:
        need = len(verdicts) // 2 + 1
        if verdicts.count(True) >= need:
            return True
        return False if len(verdicts) - verdicts.count(False) < need else None

    return _combined(checks, decide, note)


def fails(check: Comparison, note: str = "") -> Comparison:
    """The check does not hold."""
    return replace(check, decide=lambda results: _not(check.decide(results)), note=note)


def of_geometric_means(check: Comparison) -> Comparison:
    """The same check of the numbers' logarithms, so that it compares geometric means.

    For positive quantities that differ between runs by orders of magnitude, where the largest few decide the mean. A
    bound or a `plus` of the check has to be a logarithm, too; instead of `times`, give plus=math.log(times).
    """

    def decide(results: Results) -> Verdict:
        return check.decide(results.mapped(_log))

    note = " ".join([check.note, "Geometric means and standard deviations."]).strip()
    return replace(check, decide=decide, note=note, geometric=True)


def in_order(check: Comparison, quantity: str, variants: Sequence[str]) -> Comparison:
    """The same check with its evidence in the order of these variants."""
    return replace(check, cells=tuple((variant, quantity) for variant in variants))


def _not(verdict: Verdict) -> Verdict:
    return None if verdict is None else not verdict


def _combined(checks: Sequence[Comparison], decide: Callable[[Sequence[Verdict]], Verdict], note: str) -> Comparison:
    cells = dict.fromkeys(cell for check in checks for cell in check.cells)
    geometric = all(check.geometric for check in checks)
    return Comparison(
        tuple(cells), lambda results: decide([check.decide(results) for check in checks]), note, geometric
    )


def _log(value: float) -> float:
    return math.log(value) if value > 0 else math.nan


def _number(values: Sequence[float], geometric: bool) -> str:
    """The mean, and where there are several seeds the standard deviation over them: 3 +- 0.1; 3 */ 1.1 if geometric."""
    scaled, unscaled, sign = (_log, math.exp, "*/") if geometric else (float, float, "+-")
    numbers = [scaled(value) for value in values]
    mean = _digits(unscaled(average(numbers)), 4)
    return f"{mean} {sign} {_digits(unscaled(deviation(numbers)), 2)}" if len(values) > 1 else mean


def _digits(value: float, count: int) -> str:
    """The value with `count` significant digits, without an exponent."""
    return np.format_float_positional(value, precision=count, unique=False, fractional=False, trim="-")
