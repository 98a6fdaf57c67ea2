"""The decomposition paper's claims about its figures, as checks on reproduced results."""

from collections.abc import Sequence

from zoo.lab.trials.claims import (
    Comparison,
    above,
    at_least,
    every,
    falling,
    in_order,
    lowest,
    of_geometric_means,
    some,
)
from zoo.papers.decomposition import measures
from zoo.papers.decomposition.measures import ALPHAS, BETAS, DENSE, FASHION_MNIST_BETAS, LARGE_ALPHA, NUS, SPARSE

PINWHEEL_ALPHAS = [f"alpha {alpha:g}" for alpha in measures.PINWHEEL_ALPHAS]
PINWHEEL_BETAS = [f"beta {beta:g}" for beta in measures.PINWHEEL_BETAS]
LARGER_BETAS = [f"beta {beta:g}" for beta in measures.LARGER_BETAS]


def isotropic_without_gain() -> Comparison:
    """Under an isotropic prior no larger beta's metric exceeds the smallest's by 0.05."""
    first, *others = ((f"iso, beta {beta:g}", "metric") for beta in BETAS)
    return every(*(above(first, other, plus=-0.05) for other in others), note="By less than 0.05.")


def best_between(quantity: str, variants: Sequence[str]) -> Comparison:
    """Some variant exceeds both the first and the last."""
    first, *middle, last = ((variant, quantity) for variant in variants)
    return some(*(every(above(cell, first), above(cell, last)) for cell in middle))


def smaller_nu_better() -> Comparison:
    """Some nu between has a higher metric than both the largest and the smallest."""
    return best_between("metric", [f"Student-t, nu {nu:g}" for nu in NUS])


def mismatch(suffix: str) -> Comparison:
    """Both divergences are larger at the largest beta than at some smaller one; `suffix` ends the variants' names.

    They differ between runs by orders of magnitude, so their geometric means are compared, as in `better_match`.
    """

    def worse(quantity: str) -> Comparison:
        variants = [name + suffix for name in PINWHEEL_BETAS + LARGER_BETAS]
        *others, largest = ((variant, quantity) for variant in variants)
        return in_order(some(*(above(largest, other) for other in others)), quantity, variants)

    return of_geometric_means(every(worse("KL(p || q)"), worse("KL(q || p)")))


def better_match() -> Comparison:
    """KL(p || q) falls with alpha: geometric means, since a run that loses a cluster has several times the KL."""
    return of_geometric_means(falling("KL(p || q)", PINWHEEL_ALPHAS))


def no_collapse() -> Comparison:
    """Every cluster keeps a tenth of the encodings."""
    return at_least(("alpha 8", "least cluster"), 0.1)


def variant(prior: str, alpha: float) -> str:
    """The variant of a prior and an alpha on Fashion-MNIST."""
    return f"{prior}, alpha {alpha:g}"


def along_alpha(quantity: str, priors: Sequence[str], *checks: Comparison, note: str = "") -> Comparison:
    """All checks hold, of the means for each prior along alpha."""
    variants = [variant(prior, alpha) for prior in priors for alpha in ALPHAS]
    return in_order(every(*checks, note=note), quantity, variants)


def sparser(prior: str) -> Comparison:
    """A sparse prior's Hoyer score exceeds that of gamma = 0 by 0.05, at each alpha above 0."""
    checks = (above((variant(prior, a), "Hoyer"), (variant(DENSE, a), "Hoyer"), plus=0.05) for a in ALPHAS[1:])
    return along_alpha("Hoyer", (DENSE, prior), *checks, note="By at least 0.05.")


def alpha_sparsifies(prior: str) -> Comparison:
    """Each alpha above 0 raises a sparse prior's Hoyer score by 0.05."""
    none = (variant(prior, 0), "Hoyer")
    checks = (above((variant(prior, alpha), "Hoyer"), none, plus=0.05) for alpha in ALPHAS[1:])
    return along_alpha("Hoyer", (prior,), *checks, note="By at least 0.05.")


def reconstructs_as_well(prior: str) -> Comparison:
    """A sparse prior reaches 95 % of the E[log p(x)] of gamma = 0, which is positive here, at each alpha."""
    of = "reconstruction"
    checks = (above((variant(prior, alpha), of), (variant(DENSE, alpha), of), times=0.95) for alpha in ALPHAS)
    return along_alpha(of, (DENSE, prior), *checks, note="Within 5 % of gamma 0's.")


def large_alpha_reconstructs_worse(prior: str) -> Comparison:
    """The largest alpha reconstructs worse than alpha = 0, by at most a tenth."""
    none, largest = ((variant(prior, alpha), "reconstruction") for alpha in (0, ALPHAS[-1]))
    checks = above(none, largest), above(largest, none, times=0.9)
    return along_alpha("reconstruction", (prior,), *checks, note="By at most 10 %.")


def mmd_lowest_without_sparsity(prior: str) -> Comparison:
    """The MMD is lower with gamma = 0 than under a sparse prior, at each alpha."""
    checks = (lowest("MMD", variant(DENSE, alpha), [variant(prior, alpha)]) for alpha in ALPHAS)
    return along_alpha("MMD", (DENSE, prior), *checks)


def sparsest_at_middle_beta() -> Comparison:
    """The sparsity is best neither at the smallest nor at the largest beta."""
    return best_between("Hoyer", [f"{SPARSE[0]}, beta {beta:g}" for beta in FASHION_MNIST_BETAS])


def alpha_costs_less_than_beta() -> Comparison:
    """From alpha = 100 and beta = 1, ten times the alpha reconstructs better than ten times the beta."""
    largest = FASHION_MNIST_BETAS[-1]
    return above((LARGE_ALPHA, "reconstruction"), (f"{SPARSE[0]}, beta {largest:g}", "reconstruction"))
