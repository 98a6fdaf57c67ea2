"""The decomposition paper's claims about its figures, as checks on reproduced results."""

from collections.abc import Sequence

from zoo.lab.trials.claims import (
    Comparison,
    above,
    at_least,
    every,
    falling,
    highest,
    in_order,
    lowest,
    of_geometric_means,
    some,
)
from zoo.papers.decomposition import measures
from zoo.papers.decomposition.measures import BETAS, FASHION_MNIST_BETAS, NUS, SPARSE

PINWHEEL_ALPHAS = ["alpha 1", "alpha 3", "alpha 5", "alpha 8"]
PINWHEEL_BETAS = [f"beta {beta:g}" for beta in measures.PINWHEEL_BETAS]
LARGER_BETAS = [f"beta {beta:g}" for beta in measures.LARGER_BETAS]
ALPHAS = (0, 100, 1000)


def isotropic_without_gain() -> Comparison:
    """Under an isotropic prior the smallest beta has the highest metric."""
    first, *others = (f"iso, beta {beta:g}" for beta in BETAS)
    return highest("metric", first, others)


def best_between(quantity: str, variants: Sequence[str]) -> Comparison:
    """Some variant exceeds both the first and the last."""
    first, *middle, last = ((variant, quantity) for variant in variants)
    return some(*(every(above(cell, first), above(cell, last)) for cell in middle))


def smaller_nu_better() -> Comparison:
    """Some smaller nu, except for the smallest, has a higher metric than the largest."""
    _, *middle, last = ((f"Student-t, nu {nu:g}", "metric") for nu in NUS)
    return some(*(above(cell, last) for cell in middle))


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


def variant(prior: str, alpha: int) -> str:
    """The variant of a prior and an alpha on Fashion-MNIST."""
    return f"{prior}, alpha {alpha}"


def along_alpha(quantity: str, *checks: Comparison, note: str = "") -> Comparison:
    """All checks hold, of the means for each prior along alpha."""
    variants = [variant(prior, alpha) for prior in ("gamma 0", *SPARSE) for alpha in ALPHAS]
    return in_order(every(*checks, note=note), quantity, variants)


def sparser() -> Comparison:
    """Both sparse priors' Hoyer scores exceed that of gamma = 0 by 0.05, at each alpha above 0."""
    pairs = [(variant(prior, alpha), variant("gamma 0", alpha)) for prior in SPARSE for alpha in ALPHAS[1:]]
    checks = (above((sparse, "Hoyer"), (dense, "Hoyer"), plus=0.05) for sparse, dense in pairs)
    return along_alpha("Hoyer", *checks, note="By at least 0.05.")


def alpha_sparsifies() -> Comparison:
    """Each alpha above 0 raises the Hoyer score by 0.05, under both sparse priors."""
    pairs = [(variant(prior, alpha), variant(prior, 0)) for prior in SPARSE for alpha in ALPHAS[1:]]
    checks = (above((some_alpha, "Hoyer"), (none, "Hoyer"), plus=0.05) for some_alpha, none in pairs)
    return along_alpha("Hoyer", *checks, note="By at least 0.05.")


def reconstructs_as_well() -> Comparison:
    """Both sparse priors reach 95 % of the E[log p(x)] of gamma = 0, which is positive here, at each alpha."""
    pairs = [(variant(prior, alpha), variant("gamma 0", alpha)) for prior in SPARSE for alpha in ALPHAS]
    checks = (above((sparse, "reconstruction"), (dense, "reconstruction"), times=0.95) for sparse, dense in pairs)
    return along_alpha("reconstruction", *checks, note="Within 5 % of gamma 0's.")


def large_alpha_reconstructs_worse() -> Comparison:
    """The largest alpha reconstructs worse than alpha = 0, under every prior."""
    pairs = [(variant(prior, 0), variant(prior, ALPHAS[-1])) for prior in ("gamma 0", *SPARSE)]
    checks = (above((none, "reconstruction"), (largest, "reconstruction")) for none, largest in pairs)
    return along_alpha("reconstruction", *checks)


def mmd_lowest_without_sparsity() -> Comparison:
    """The MMD is lower with gamma = 0 than under both sparse priors, at each alpha."""
    sparse = {alpha: [variant(prior, alpha) for prior in SPARSE] for alpha in ALPHAS}
    checks = (lowest("MMD", variant("gamma 0", alpha), others) for alpha, others in sparse.items())
    return along_alpha("MMD", *checks)


def sparsest_at_middle_beta() -> Comparison:
    """The sparsity is best neither at the smallest nor at the largest beta."""
    return best_between("Hoyer", [f"{SPARSE[0]}, beta {beta:g}" for beta in FASHION_MNIST_BETAS])
