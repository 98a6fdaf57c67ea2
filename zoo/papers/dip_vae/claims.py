"""DIP-VAE's claims about its tables, as checks on reproduced results."""

import math
from collections.abc import Iterable, Mapping, Sequence

from zoo.lab.trials.claims import Comparison, Verdict, above, at_least, every, exceeds, near, some
from zoo.lab.trials.reproduction import Results
from zoo.papers.dip_vae.measures import DIP

ERRORS = ("squared_error", "cross_entropy")
LITTLE_COST = 1 / 1.1  # an error times this is below the VAE's where it is at most a tenth larger


def reconstructs_like_the_vae(vae: str, beta_vae: str) -> Comparison:
    """DIP-VAE's squared error is at most a tenth above the VAE's, and below a beta-VAE's."""
    ours, others = (DIP, "squared_error"), ((vae, "squared_error"), (beta_vae, "squared_error"))
    return every(above(others[0], ours, times=LITTLE_COST), above(others[1], ours))


def dominates(dip_vaes: Sequence[str], beta_vaes: Sequence[str]) -> Comparison:
    """For each beta-VAE there is a DIP-VAE with a higher metric and a smaller squared error."""

    def better(ours: str, theirs: str) -> Comparison:
        higher = above((ours, "metric"), (theirs, "metric"))
        return every(higher, above((theirs, "squared_error"), (ours, "squared_error")))

    return every(*(some(*(better(ours, theirs) for ours in dip_vaes)) for theirs in beta_vaes))


def higher_at_little_cost(dip_vaes: Sequence[str], vae: str) -> Comparison:
    """Some DIP-VAE's metric is at least five points above the VAE's, its squared error at most a tenth above it."""
    return some(
        *(
            every(
                above((ours, "metric"), (vae, "metric"), plus=5.0),
                above((vae, "squared_error"), (ours, "squared_error"), times=LITTLE_COST),
            )
            for ours in dip_vaes
        ),
        note="Higher by 5 points, at an error at most 10% larger.",
    )


def nearer_to_squared_error(reported: Mapping[str, Mapping[str, float]]) -> Comparison:
    """The squared error is closer to Table 1 than the cross-entropy, by the mean |log ratio| over the variants."""

    def distances(results: Results, kind: str) -> list[float]:
        by_variant = [
            [abs(math.log(value / errors[kind])) for value in results.values(variant, kind)]
            for variant, errors in reported.items()
        ]
        return [sum(seed) / len(seed) for seed in zip(*by_variant, strict=False)]

    def decide(results: Results) -> Verdict:
        squared, cross = (distances(results, kind) for kind in ERRORS)  # of the same runs
        return exceeds([b - a for a, b in zip(squared, cross, strict=True)], [0.0, 0.0])

    cells = tuple((variant, kind) for kind in ERRORS for variant in reported)
    paper = ", ".join(f"{errors[ERRORS[0]]:g}" for errors in reported.values())
    return Comparison(cells, decide, f"The paper's: {paper}.")


def all_at_least(variant: str, protocols: Iterable[str], bound: float) -> Comparison:
    """The metric is above `bound` under every protocol."""
    return every(*(at_least((variant, name), bound) for name in protocols), note=f"Holds above {bound:g}.")


def all_near(variant: str, protocols: Iterable[str], target: float, within: float) -> Comparison:
    """The metric differs from `target` by at most `within` under every protocol."""
    note = f"Holds from {target - within:g} to {target + within:g}."
    return every(*(near((variant, name), target, within) for name in protocols), note=note)


def always_above(one: str, others: Sequence[str], protocols: Iterable[str]) -> Comparison:
    """A variant's metric is above each other's under every protocol."""
    return every(*(above((one, name), (other, name)) for name in protocols for other in others))
