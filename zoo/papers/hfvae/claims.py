"""HFVAE's claims about its figures for images, as checks on reproduced results."""

import math
import statistics
from collections.abc import Callable, Sequence

from scipy import special

from zoo.lab.trials.card import VERDICTS
from zoo.lab.trials.claims import NOT_RUN, Comparison, Verdict, both, exceeds, on_seeds
from zoo.lab.trials.reproduction import Check, Results


def prunes(variant: str, count: int) -> Comparison:
    """`count` units of z have less than 0.1 nats, give or take one."""
    note = f"Pruned is a unit with less than 0.1 nats. Holds from {count - 1} to {count + 1} in every seed."
    return on_seeds((variant, "pruned"), lambda found: abs(found - count) <= 1, note)


def similar(quantity: str, ours: str, others: Sequence[str]) -> Comparison:
    """A variant's mean differs from each other one's by less than their root mean square standard deviation."""

    def decide(results: Results) -> Verdict:
        a = results.values(ours, quantity)
        verdicts = []
        for other in others:
            b = results.values(other, quantity)
            deviation = math.sqrt((statistics.variance(a) + statistics.variance(b)) / 2)
            verdicts += [exceeds(a, b, plus=-deviation), exceeds(b, a, plus=-deviation)]
        return both(*verdicts)

    cells = tuple((variant, quantity) for variant in (ours, *others))
    return Comparison(cells, decide, "Holds for means that differ by less than the standard deviation over seeds.")


def seeds_matter_more(quantity: str, variants: Sequence[str]) -> Comparison:
    """The variance over the seeds of a setting exceeds that over settings.

    One-way analysis of variance: with n seeds each, n times the variance of the settings' means over that of the seeds
    is a draw of F times n v_settings / v_seeds + 1, which is n + 1 where the two variances are equal. Where the seeds
    of each setting agree, the settings alone matter, if they differ.
    """

    def decide(results: Results) -> Verdict:
        values = [results.values(variant, quantity) for variant in variants]
        seeds = statistics.harmonic_mean(map(len, values))
        over_settings = seeds * statistics.variance(map(statistics.fmean, values))
        over_seeds = statistics.fmean(map(statistics.variance, values))
        if over_seeds == 0:
            return False if over_settings > 0 else None
        ratio = over_settings / over_seeds / (seeds + 1)
        below = special.fdtr(len(values) - 1, sum(map(len, values)) - len(values), ratio)
        return True if below < 0.025 else False if below > 0.975 else None

    return Comparison(tuple((variant, quantity) for variant in variants), decide)


def on_minibatches(check: Callable[[Callable[[str], str]], Comparison]) -> Check:
    """A check by the paper's estimator on batches of 512, with the same check of the exact sum next to it.

    The verdict is that of the paper's estimator, and "cannot tell" where results do not have it.

    Args:
        check: function of a renaming of quantities to the comparison, such as `lambda name: rising(name("TC"), ...)`.
    """

    def graded(results: Results) -> tuple[Verdict, str]:
        verdict, evidence = check(lambda quantity: f"{quantity}, B = 512")(results)
        exact, beside = check(lambda quantity: quantity)(results)
        evidence = "These runs do not have it by the paper's estimator." if evidence == NOT_RUN else evidence
        return verdict, f"{evidence} By the exact sum over the test set ({VERDICTS[exact]}): {beside}"

    return graded
