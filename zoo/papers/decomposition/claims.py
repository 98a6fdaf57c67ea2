"""What the decomposition paper says of its figures, and how to tell from ours whether it holds."""

from collections.abc import Sequence

from zoo.lab.trials.claims import Comparison, above, at_least, every, highest, lowest, some
from zoo.papers.decomposition.measures import BETAS, FASHION_MNIST_BETAS, NUS, SPARSE

PINWHEEL_ALPHAS = ["alpha 1", "alpha 3", "alpha 5", "alpha 8"]
PINWHEEL_BETAS = ["beta 0.01", "beta 0.5", "beta 1", "beta 1.2"]
ALPHAS = (0, 100, 1000)


def isotropic_without_gain() -> Comparison:
    """Under an isotropic prior the least beta has the highest metric."""
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
    """Both divergences are larger at the largest beta than at some other; `suffix` ends the variants' names."""

    def worse(quantity: str) -> Comparison:
        *others, largest = ((name + suffix, quantity) for name in PINWHEEL_BETAS)
        return some(*(above(largest, other) for other in others))

    return every(worse("KL(p || q)"), worse("KL(q || p)"))


def no_collapse() -> Comparison:
    """Every cluster keeps a tenth of the encodings."""
    return at_least(("alpha 8", "least cluster"), 0.1)


def on_fashion_mnist(prior: str, alpha: int, quantity: str) -> tuple[str, str]:
    """The cell of a prior at an alpha."""
    return f"{prior}, alpha {alpha}", quantity


def sparser() -> Comparison:
    """Both sparse priors' Hoyer scores exceed that of gamma = 0 by 0.05, at each alpha above 0."""
    return every(
        *(
            above(on_fashion_mnist(prior, alpha, "Hoyer"), on_fashion_mnist("gamma 0", alpha, "Hoyer"), plus=0.05)
            for prior in SPARSE
            for alpha in ALPHAS[1:]
        ),
        note="By 0.05 at least.",
    )


def alpha_sparsifies() -> Comparison:
    """Each alpha above 0 raises the Hoyer score by 0.05, under both sparse priors."""
    return every(
        *(
            above(on_fashion_mnist(prior, alpha, "Hoyer"), on_fashion_mnist(prior, 0, "Hoyer"), plus=0.05)
            for prior in SPARSE
            for alpha in ALPHAS[1:]
        ),
        note="By 0.05 at least.",
    )


def reconstructs_as_well() -> Comparison:
    """Both sparse priors reach 95 % of the E[log p(x)] of gamma = 0, which is positive here, at each alpha."""
    quantity = "reconstruction"
    return every(
        *(
            above(on_fashion_mnist(prior, alpha, quantity), on_fashion_mnist("gamma 0", alpha, quantity), times=0.95)
            for prior in SPARSE
            for alpha in ALPHAS
        ),
        note="Within 5 % of gamma 0's.",
    )


def large_alpha_reconstructs_worse() -> Comparison:
    """The largest alpha reconstructs worse than none, under every prior."""
    quantity = "reconstruction"
    return every(
        *(
            above(on_fashion_mnist(prior, 0, quantity), on_fashion_mnist(prior, ALPHAS[-1], quantity))
            for prior in ("gamma 0", *SPARSE)
        )
    )


def mmd_lowest_without_sparsity() -> Comparison:
    """The MMD is lower with gamma = 0 than under both sparse priors, at each alpha."""
    sparse = {alpha: [f"{prior}, alpha {alpha}" for prior in SPARSE] for alpha in ALPHAS}
    return every(*(lowest("MMD", f"gamma 0, alpha {alpha}", others) for alpha, others in sparse.items()))


def sparsest_at_middle_beta() -> Comparison:
    """The sparsity is best neither at the smallest nor at the largest beta."""
    return best_between("Hoyer", [f"{SPARSE[0]}, beta {beta:g}" for beta in FASHION_MNIST_BETAS])
