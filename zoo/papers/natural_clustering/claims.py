"""The paper's claims, as checks on reproduced results."""

from collections.abc import Sequence
from itertools import pairwise

from zoo.lab.trials.claims import (
    Comparison,
    above,
    at_least,
    at_most,
    every,
    fails,
    falling,
    highest,
    lowest,
    most,
    near_share,
    rising,
    some,
)
from zoo.papers.natural_clustering.augmentation import MODELS, SIGMAS, error_at, key
from zoo.papers.natural_clustering.labels import SPREADS, with_shared, wrong_at
from zoo.papers.natural_clustering.measures import SETS, with_decoder

OWN, SHARED = (
    "KL of z_cy",
    "KL of a unit of z_s",
)  # the mean over the units of the right class's block, and the largest of the shared units


def yale_empty() -> Comparison:
    """On Yale B the faces' own units have less than 0.1 nats, and less than a tenth of z_s's effect on images."""
    empty = at_most(("Yale B", OWN), 0.1)
    still = above(("Yale B", "effect of z_s"), ("Yale B", "effect of z_c"), times=10)
    return every(empty, still, note="A guide that cannot distinguish the faces cannot choose the right block.")


def fashion_own_above_shared() -> Comparison:
    """On Fashion-MNIST the right class's unit has more nats than any shared one."""
    return above(("Fashion-MNIST", OWN), ("Fashion-MNIST", SHARED))


def linear_own_above_shared(s_dim: int) -> Comparison:
    """With a linear decoder, on Fashion-MNIST, the right class's unit has more nats than any shared one."""
    variant = with_decoder("Fashion-MNIST", 0, s_dim)
    return above((variant, OWN), (variant, SHARED))


def linear_fashion_above_mnist(s_dim: int) -> Comparison:
    """With a linear decoder the right class's unit has more nats on Fashion-MNIST than on MNIST."""
    return falling(OWN, [with_decoder(data, 0, s_dim) for data in ("Fashion-MNIST", "MNIST")])


def linear_holds_more(s_dim: int) -> Comparison:
    """On either set the right class's unit has more nats with a linear decoder than with a hidden layer."""
    return every(*(falling(OWN, [with_decoder(data, depth, s_dim) for depth in (0, 1)]) for data in SETS[:2]))


def fashion_most() -> Comparison:
    """The classes' own units have the most nats on Fashion-MNIST of the three sets."""
    return highest(OWN, "Fashion-MNIST", ("MNIST", "Yale B"))


def both_kinds() -> Comparison:
    """MNIST uses the right class's unit and shared ones."""
    return every(at_least(("MNIST", OWN), 0.1), at_least(("MNIST", SHARED), 0.1), note="Both above 0.1 nats.")


def others_empty() -> Comparison:
    """The blocks of the wrong classes have less than a tenth of the right one's nats, where that has at least 0.1."""
    return every(
        *(some(at_most((v, OWN), 0.1), above((v, OWN), (v, "KL of others"), times=10)) for v in SETS),
        note="Less than a tenth of the right one's, where that has at least 0.1 nats.",
    )


def bias_saves() -> Comparison:
    """The right class's unit has a larger KL without the bias."""
    return above(("MNIST, no bias", OWN), ("MNIST", OWN))


def digits_apart() -> Comparison:
    """The share of the means' variance that is between classes is larger under beta-VAE than in N-VAE's z_s."""
    return above(("beta-VAE", "between classes"), ("MNIST, s_dim = 2", "between classes"))


def matches_prior_better() -> Comparison:
    """The aggregate posterior of N-VAE's two shared units diverges less from the prior than that of beta-VAE's two."""
    return above(("beta-VAE", "KL(q(z) || p(z))"), ("MNIST, s_dim = 2", "KL(q(z) || p(z))"))


def insensitive() -> Comparison:
    """beta_c = 4 has the same result as beta_c = 2: the right class's KL differs by at most a quarter."""
    return near_share(("MNIST, beta_c = 4", OWN), ("MNIST, beta_c = 2", OWN), 0.25)


def lowest_error(
    data: str, share: float, sigma: float, best: str = "N-VAE", models: Sequence[str] = MODELS
) -> Comparison:
    """A model has the lowest error of these."""
    others = [key(data, model) for model in models if model != best]
    return lowest(error_at(share, sigma), key(data, best), others)


def keeps_falling() -> Comparison:
    """N-VAE's error falls at every step of sigma, and no other model's does."""

    def falls(model: str) -> Comparison:
        variant = key("mnist", model)
        steps = pairwise(SIGMAS)
        return every(*(above((variant, error_at(0.4, a)), (variant, error_at(0.4, b))) for a, b in steps))

    return every(falls("N-VAE"), *(fails(falls(model)) for model in MODELS if model != "N-VAE"))


def below_baseline() -> Comparison:
    """Most models' errors are below the baseline on MNIST at p = 0.4 and sigma = 1."""
    baseline = (key("mnist", "baseline"), "no samples")
    return most(*(above(baseline, (key("mnist", model), error_at(0.4, 1))) for model in MODELS))


def worse_without_real() -> Comparison:
    """Generated data alone are worse than real data, for every model and set."""
    return every(
        *(
            above((key(data, model), error_at(1, 1)), (key(data, "baseline"), "no samples"))
            for data in ("mnist", "fashion-mnist")
            for model in MODELS
        )
    )


def cgan_then_nvae() -> Comparison:
    """CGAN is best on MNIST at p = 1 and sigma = 1, and N-VAE second."""
    rest = [model for model in MODELS if model != "CGAN"]
    return every(lowest_error("mnist", 1, 1, "CGAN"), lowest_error("mnist", 1, 1, "N-VAE", rest))


def fewer_wrong(data: str) -> Comparison:
    """With one shared unit less than half as many samples have a wrong label as with four, at each sigma."""
    four, one = (with_shared(data, s_dim) for s_dim in (4, 1))
    return every(*(above((four, wrong_at(sigma)), (one, wrong_at(sigma)), times=2) for sigma in SPREADS))


def one_shared_holds(data: str) -> Comparison:
    """With one shared unit the right class's unit has at least 0.1 nats."""
    return at_least((with_shared(data, 1), OWN), 0.1)


def one_shared_harms_less(data: str) -> Comparison:
    """With one shared unit the error from samples is below that with four, at each sigma."""
    four, one = (with_shared(data, s_dim) for s_dim in (4, 1))
    return every(*(above((four, error_at(0.4, sigma)), (one, error_at(0.4, sigma))) for sigma in SPREADS))


def one_shared_lowers(data: str) -> Comparison:
    """With one shared unit the error from samples at sigma = 1 is below that of real data alone."""
    one = with_shared(data, 1)
    return above((one, "no samples"), (one, error_at(0.4, 1)))


def one_shared_falls(data: str) -> Comparison:
    """With one shared unit the error from samples falls from sigma = 1 to 2."""
    one = with_shared(data, 1)
    return above((one, error_at(0.4, 1)), (one, error_at(0.4, 2)))


def unlabelled_help(labelled: int) -> Comparison:
    """Datapoints without labels raise the accuracy."""
    return rising("accuracy", [f"{labelled:,} labels, {rest}" for rest in ("alone", "and the rest")])
