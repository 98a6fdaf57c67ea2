"""What HFVAE's paper says of its figures for images, and how to tell from ours whether it held."""

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import TypeAlias

import numpy as np

from zoo.lab.trials.reproduction import Results

Held: TypeAlias = Callable[[Results], tuple[bool | None, str]]

NOT_RUN = "Not all of it was run."


def prunes(variant: str, count: int) -> Held:
    """Whether the seeds prune so many units of z, in the mean, to the nearest whole number."""

    def held(results: Results) -> tuple[bool | None, str]:
        values = results.values(variant, "pruned")
        if not values:
            return None, NOT_RUN
        said = ", ".join(f"{value:.0f}" for value in values)
        return abs(statistics.fmean(values) - count) <= 0.5, f"Of 10 units have less than 0.1 nats, by seed: {said}."

    return held


def above(one: tuple[str, str], other: tuple[str, str], digits: int = 2) -> Held:
    """Whether the mean of one variant's figure exceeds that of another's."""

    def held(results: Results) -> tuple[bool | None, str]:
        a, b = results.mean(*one), results.mean(*other)
        if math.isnan(a + b):
            return None, NOT_RUN
        return a > b, f"{one[0]}, {one[1]}: {a:.{digits}f}; {other[0]}, {other[1]}: {b:.{digits}f}."

    return held


def falls_by(figure: str, variants: Sequence[str], least: float, most: float) -> Held:
    """Whether a figure's mean falls by between `least` and `most` nats from the first variant to the last."""

    def held(results: Results) -> tuple[bool | None, str]:
        means = [results.mean(variant, figure) for variant in variants]
        if any(math.isnan(mean) for mean in means):
            return None, NOT_RUN
        fall = means[0] - means[-1]
        return least <= fall <= most, (
            f"{figure}: {_list(means)}, a fall of {fall:.2f}; counted as held from {least:g} to {most:g}."
        )

    return held


def rises(figure: str, variants: Sequence[str]) -> Held:
    """Whether a figure's means rise from each variant to the next."""

    def held(results: Results) -> tuple[bool | None, str]:
        means = [results.mean(variant, figure) for variant in variants]
        if any(math.isnan(mean) for mean in means):
            return None, NOT_RUN
        return all(a < b for a, b in pairwise(means)), f"{figure}: {_list(means)}."

    return held


def correlated(one: str, other: str, variants: Sequence[str]) -> Held:
    """Whether two figures are positively correlated over all runs of these variants."""

    def held(results: Results) -> tuple[bool | None, str]:
        a = [value for variant in variants for value in results.values(variant, one)]
        b = [value for variant in variants for value in results.values(variant, other)]
        if len(a) < 3 or len(a) != len(b):
            return None, NOT_RUN
        r = float(np.corrcoef(a, b)[0, 1])
        return r > 0, f"Pearson's r {r:+.2f} over {len(a)} runs."

    return held


def parity(figure: str, ours: str, others: Sequence[str]) -> Held:
    """Whether a variant's mean differs from each other's by less than the two's root mean square deviation."""

    def held(results: Results) -> tuple[bool | None, str]:
        values = {variant: results.values(variant, figure) for variant in (ours, *others)}
        if min(map(len, values.values())) < 2:
            return None, NOT_RUN
        mean = {variant: statistics.fmean(of_it) for variant, of_it in values.items()}
        spread = {
            other: math.sqrt((statistics.variance(values[ours]) + statistics.variance(values[other])) / 2)
            for other in others
        }
        said = ", ".join(f"{variant} {value:.2f}" for variant, value in mean.items())
        return all(abs(mean[ours] - mean[other]) <= spread[other] for other in others), f"{said}."

    return held


def seeds_matter_more(figure: str, variants: Sequence[str]) -> Held:
    """Whether a figure varies more over the seeds of a setting than its means do over the settings.

    The variance of the settings' means holds a share 1 / seeds of the seeds' own, which is taken out.
    """

    def held(results: Results) -> tuple[bool | None, str]:
        values = [results.values(variant, figure) for variant in variants]
        if min(map(len, values)) < 2:
            return None, NOT_RUN
        within, between = components(values)
        return within > between, (
            f"{figure}: standard deviation {math.sqrt(within):.3f} over seeds, {math.sqrt(between):.3f} over settings."
        )

    return held


def components(values: Sequence[Sequence[float]]) -> tuple[float, float]:
    """The variance over the seeds of a setting, and over settings beyond it, from each setting's values.

    One-way analysis of variance with as many seeds everywhere; a negative estimate of the latter counts as 0.
    """
    within = statistics.fmean(statistics.variance(of_it) for of_it in values)
    means = [statistics.fmean(of_it) for of_it in values]
    shares = statistics.fmean(1 / len(of_it) for of_it in values)
    return within, max(0.0, statistics.variance(means) - within * shares)


def generalises(figure: str, variant: str, other: tuple[str, float]) -> Held:
    """Whether the mean of a figure is within so many per cent of another figure's of the same variant."""

    def held(results: Results) -> tuple[bool | None, str]:
        a, b = results.mean(variant, figure), results.mean(variant, other[0])
        if math.isnan(a + b):
            return None, NOT_RUN
        within = other[1]
        return abs(a - b) <= within / 100 * abs(
            b
        ), f"{a:.1f} against {b:.1f} nats; counted as held within {within:g} %."

    return held


def at_least(figures: Mapping[str, float], variant: str) -> Held:
    """Whether each figure's mean is at least so much."""

    def held(results: Results) -> tuple[bool | None, str]:
        means = {figure: results.mean(variant, figure) for figure in figures}
        if any(math.isnan(mean) for mean in means.values()):
            return None, NOT_RUN
        said = ", ".join(f"{figure}: {mean:.2f}" for figure, mean in means.items())
        return all(mean >= figures[figure] for figure, mean in means.items()), f"{said}."

    return held


def _list(values: Sequence[float]) -> str:
    return ", ".join(f"{value:.2f}" for value in values)
