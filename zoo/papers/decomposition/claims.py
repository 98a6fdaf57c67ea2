"""What the decomposition paper says of its figures, and how to tell from ours whether it held."""

import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

from zoo.lab.trials.reproduction import Results
from zoo.papers.decomposition.measures import BETAS, GARMENT_BETAS, NUS, SPARSE

Held: TypeAlias = Callable[[Results], tuple[bool | None, str]]


def above(one: str, other: str, figure: str = "metric") -> Held:
    """Whether one variant's mean is above another's by more than two standard errors of their difference."""

    def held(results: Results) -> tuple[bool | None, str]:
        a, b = results.values(one, figure), results.values(other, figure)
        if min(len(a), len(b)) < 2:
            return None, "Too few seeds."
        difference = statistics.fmean(a) - statistics.fmean(b)
        error = (statistics.variance(a) / len(a) + statistics.variance(b) / len(b)) ** 0.5
        verdict = None if abs(difference) < 2 * error else difference > 0
        return verdict, f"{one} less {other}: {difference:+.3f}, standard error {error:.3f} ({len(a)}, {len(b)} seeds)."

    return held


def falls_least(results: Results) -> tuple[bool | None, str]:
    """Whether an isotropic prior does best with the least beta."""
    gains = [results.mean(f"iso, beta {beta:g}", "metric") for beta in BETAS]
    if any(gain != gain for gain in gains):
        return None, "Not run."
    return max(gains) == gains[0], f"Means for beta {BETAS}: {', '.join(f'{gain:.3f}' for gain in gains)}."


def falls_with_nu(results: Results) -> tuple[bool | None, str]:
    """Whether some smaller nu, but for the least, does better than the largest."""
    means = [results.mean(f"Student-t, nu {nu:g}", "metric") for nu in NUS]
    if any(mean != mean for mean in means):
        return None, "Not run."
    return max(means[1:-1]) > means[-1], f"Means for nu {NUS}: {', '.join(f'{mean:.3f}' for mean in means)}."


ALPHA_NAMES = ["alpha 1", "alpha 3", "alpha 5", "alpha 8"]
BETA_NAMES = ["beta 0.01", "beta 0.5", "beta 1", "beta 1.2"]


def rises(figure: str, names: Sequence[str], *, down: bool = False) -> Held:
    """Whether the means over seeds rise, or fall, along these variants."""

    def held(results: Results) -> tuple[bool | None, str]:
        means = [results.mean(name, figure) for name in names]
        if any(mean != mean for mean in means):
            return None, "Not run."
        ordered = sorted(means, reverse=down) == means
        return ordered, f"{figure} for {names[0]} to {names[-1]}: {', '.join(f'{mean:.2f}' for mean in means)}."

    return held


def mismatch(suffix: str) -> Held:
    """Whether both divergences are larger at the largest beta than at their best; `suffix` ends the variants' names."""

    def held(results: Results) -> tuple[bool | None, str]:
        names = [f"beta {beta}{suffix}" for beta in ("0.01", "0.5", "1", "1.2")]
        both = {figure: [results.mean(name, figure) for name in names] for figure in ("KL(p || q)", "KL(q || p)")}
        if any(value != value for values in both.values() for value in values):
            return None, "Not run."
        rose = [values[-1] > min(values[:-1]) for values in both.values()]
        said = "; ".join(f"{name}: {', '.join(f'{value:.2f}' for value in values)}" for name, values in both.items())
        return all(rose), f"For beta 0.01, 0.5, 1, 1.2: {said}."

    return held


def no_collapse(results: Results) -> tuple[bool | None, str]:
    """Whether every cluster keeps a tenth of the encodings, in each seed."""
    shares = results.values("alpha 8", "least cluster")
    if not shares:
        return None, "Not run."
    return min(shares) > 0.1, f"Least share of encodings near a cluster at alpha 8, by seed: {_list(shares)}."


def _means(figure: str) -> Callable[[Results], dict[str, list[float]]]:
    """The means for alpha 0, 100, 1000 by prior."""

    def of(results: Results) -> dict[str, list[float]]:
        names = ("gamma 0", *SPARSE)
        return {name: [results.mean(f"{name}, alpha {alpha}", figure) for alpha in (0, 100, 1000)] for name in names}

    return of


def along_alpha(
    figure: str, holds: Callable[[Mapping[str, list[float]]], bool], bar: str = "", digits: int = 3
) -> Held:
    """A claim on the means of a figure along alpha, by prior."""

    def held(results: Results) -> tuple[bool | None, str]:
        rows = _means(figure)(results)
        said = "; ".join(f"{name}: {_list(values, digits)}" for name, values in rows.items())
        if any(value != value for values in rows.values() for value in values):
            return None, f"Not all of it was run (nan). {bar}For alpha 0, 100, 1000, {said}."
        return holds(rows), f"{bar}For alpha 0, 100, 1000, {said}."

    return held


def sparser(rows: Mapping[str, list[float]]) -> bool:
    """Both sparse priors beat gamma = 0 by 0.05, at each alpha above 0."""
    return all(rows[name][i] > rows["gamma 0"][i] + 0.05 for name in SPARSE for i in (1, 2))


def alpha_sparsifies(rows: Mapping[str, list[float]]) -> bool:
    """Each alpha above 0 beats alpha = 0 by 0.05, under both sparse priors."""
    return all(min(rows[name][1:]) > rows[name][0] + 0.05 for name in SPARSE)


def as_good(rows: Mapping[str, list[float]]) -> bool:
    """Both sparse priors come within 5 % of gamma = 0, at each alpha."""
    return all(rows[name][i] > rows["gamma 0"][i] - 0.05 * abs(rows["gamma 0"][i]) for name in SPARSE for i in range(3))


def drops(rows: Mapping[str, list[float]]) -> bool:
    """The largest alpha is worse than none, under every prior."""
    return all(values[-1] < values[0] for values in rows.values())


def easier(rows: Mapping[str, list[float]]) -> bool:
    """gamma = 0 is lower than both sparse priors, at each alpha."""
    return all(rows["gamma 0"][i] < rows[name][i] for name in SPARSE for i in range(3))


def best_in_the_middle(results: Results) -> tuple[bool | None, str]:
    """Whether the sparsity is best neither at the least nor at the largest beta."""
    values = [results.mean(f"{SPARSE[0]}, beta {beta:g}", "Hoyer") for beta in GARMENT_BETAS]
    if any(value != value for value in values):
        return None, "Not run."
    return max(values[1:-1]) > max(values[0], values[-1]), f"For beta {GARMENT_BETAS}: {_list(values)}."


def _list(values: Sequence[float], digits: int = 3) -> str:
    return ", ".join(f"{value:.{digits}f}" for value in values)
