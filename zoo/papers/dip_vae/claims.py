"""What DIP-VAE's paper says of its tables, and how to tell from ours whether it holds."""

import math
from collections.abc import Mapping

from zoo.lab.trials.claims import Comparison, Verdict, above, every, exceeds
from zoo.lab.trials.reproduction import Results
from zoo.papers.dip_vae.measures import DIP

ERRORS = ("squared_error", "cross_entropy")


def reconstructs_like_the_vae(vae: str, beta_vae: str, *, within: float = 0.1) -> Comparison:
    """DIP-VAE's squared error is at most a tenth above the VAE's, and below a beta-VAE's."""
    ours, others = (DIP, "squared_error"), ((vae, "squared_error"), (beta_vae, "squared_error"))
    little_more = above(others[0], ours, times=1 / (1 + within))
    return every(little_more, above(others[1], ours))


def nearer_to_squared_error(reported: Mapping[str, Mapping[str, float]]) -> Comparison:
    """Squared error is nearer than cross-entropy to the errors of Table 1, by the mean |log ratio| of the variants."""

    def distances(results: Results, kind: str) -> list[float]:
        by_variant = [
            [abs(math.log(value / errors[kind])) for value in results.values(variant, kind)]
            for variant, errors in reported.items()
        ]
        return [sum(seed) / len(seed) for seed in zip(*by_variant, strict=False)]

    def decide(results: Results) -> Verdict:
        squared, cross = (distances(results, kind) for kind in ERRORS)
        return exceeds(cross, squared)

    cells = tuple((variant, kind) for kind in ERRORS for variant in reported)
    paper = ", ".join(f"{errors[ERRORS[0]]:g}" for errors in reported.values())
    return Comparison(cells, decide, f"The paper's: {paper}.")
