"""The decomposition paper's claims, each with numbers for which it holds and others for which it does not."""

import pytest

from zoo.lab.trials.claims import NOT_RUN
from zoo.lab.trials.reproduction import Results
from zoo.papers.decomposition import claims
from zoo.papers.decomposition.claims import LARGER_BETAS, PINWHEEL_ALPHAS, PINWHEEL_BETAS
from zoo.papers.decomposition.measures import BETAS, FASHION_MNIST_BETAS, LARGE_ALPHA, NUS, SPARSE
from zoo.papers.reproductions import REPRODUCTIONS


def agreeing(quantity, values):
    """Two seeds that agree, by variant."""
    return Results({variant: {seed: {quantity: value} for seed in (0, 1)} for variant, value in values.items()})


def verdict(check, quantity, values):
    return check(agreeing(quantity, values))[0]


def check_of(name, number):
    return REPRODUCTIONS[name].claims[number].check


def test_a_larger_alpha_improves_the_match():
    check = check_of("decomposition/figure-3", 3)
    values = dict(zip(PINWHEEL_ALPHAS, (3.0, 2.0, 1.0, 0.5), strict=True))
    assert verdict(check, "KL(p || q)", values) is True
    assert check(agreeing("KL(p || q)", {**values, "alpha 8": 1.5})) == (
        False,
        "KL(p || q): alpha 1: 3 */ 1, alpha 3: 2 */ 1, alpha 5: 1 */ 1, alpha 8: 1.5 */ 1. Geometric means and "
        "standard deviations.",
    )
    assert check(Results({})) == (None, NOT_RUN)


def test_seeds_that_differ_as_much_as_the_priors_cannot_tell():
    check = check_of("decomposition/figure-2", 0)
    metric = {"pca, beta 1": {0: {"metric": 0.80}, 1: {"metric": 0.81}}}
    assert check(Results({**metric, "iso, beta 1": {0: {"metric": 0.60}, 1: {"metric": 0.61}}}))[0] is True
    assert check(Results({**metric, "iso, beta 1": {0: {"metric": 0.60}, 1: {"metric": 1.00}}}))[0] is None


def test_an_isotropic_prior_gains_nothing_where_no_larger_beta_is_better_by_a_twentieth():
    names = [f"iso, beta {beta:g}" for beta in BETAS]
    for values, expected in (
        ((0.7, 0.6, 0.74, 0.5), True),
        ((0.7, 0.7, 0.7, 0.7), True),
        ((0.7, 0.6, 0.76, 0.5), False),
    ):
        found = verdict(claims.isotropic_without_gain(), "metric", dict(zip(names, values, strict=True)))
        assert found is expected


def test_some_smaller_nu_is_better_than_the_largest_and_the_smallest():
    names = [f"Student-t, nu {nu:g}" for nu in NUS]
    for values, expected in (((1, 2, 4, 2, 3), True), ((9, 2, 1, 2, 3), False), ((9, 5, 4, 3, 2), False)):
        assert verdict(claims.smaller_nu_better(), "metric", dict(zip(names, values, strict=True))) is expected


def test_a_mismatch_is_of_both_divergences():
    def found(p_from_q, q_from_p):
        rows = zip(PINWHEEL_BETAS + LARGER_BETAS, p_from_q, q_from_p, strict=True)
        table = {name: {seed: {"KL(p || q)": a, "KL(q || p)": b} for seed in (0, 1)} for name, a, b in rows}
        return claims.mismatch("")(Results(table))[0]

    assert found((9, 2, 1, 1, 3, 4, 5), (9, 2, 1, 1, 3, 4, 5)) is True
    assert found((9, 2, 1, 1, 3, 4, 5), (9, 2, 6, 6, 3, 2, 1)) is False


@pytest.mark.parametrize("prior", SPARSE)
def test_sparser_codes_by_a_margin(prior):
    hoyer = {f"gamma 0, alpha {alpha}": 0.23 for alpha in (0, 100, 1000)}
    hoyer |= {f"{prior}, alpha {a}": v for a, v in ((0, 0.25), (100, 0.4), (1000, 0.5))}
    assert verdict(claims.sparser(prior), "Hoyer", hoyer) is True
    assert verdict(claims.alpha_sparsifies(prior), "Hoyer", hoyer) is True
    hoyer[f"{prior}, alpha 100"] = 0.26
    assert verdict(claims.sparser(prior), "Hoyer", hoyer) is False
    assert verdict(claims.alpha_sparsifies(prior), "Hoyer", hoyer) is False


@pytest.mark.parametrize("prior", SPARSE)
def test_reconstruction_and_mmd_under_a_sparse_prior(prior):
    cells = [(name, alpha) for name in ("gamma 0", prior) for alpha in (0, 100, 1000)]
    falls = {f"{name}, alpha {alpha}": 1000.0 - 0.05 * alpha - 40 * (name == prior) for name, alpha in cells}
    assert verdict(claims.reconstructs_as_well(prior), "reconstruction", falls) is True  # 960 for 1000, 910 for 950
    assert verdict(claims.large_alpha_reconstructs_worse(prior), "reconstruction", falls) is True  # 910 for 960
    assert verdict(claims.mmd_lowest_without_sparsity(prior), "MMD", falls) is False
    for value, expected in ((863.0, False), (865.0, True), (961.0, False)):  # nine tenths of 960 are 864
        some = falls | {f"{prior}, alpha 1000": value}
        assert verdict(claims.large_alpha_reconstructs_worse(prior), "reconstruction", some) is expected
    falls["gamma 0, alpha 1000"] = 1001.0
    assert verdict(claims.reconstructs_as_well(prior), "reconstruction", falls) is False
    rises = {f"{name}, alpha {alpha}": 1.0 + (name == prior) for name, alpha in cells}
    assert verdict(claims.mmd_lowest_without_sparsity(prior), "MMD", rises) is True


def test_each_reading_of_sigma_0_has_each_claim():
    texts = [claim.text for claim in REPRODUCTIONS["decomposition/figure-4"].claims]
    of_text, of_code = (
        [text.removeprefix(f"With {reading}, ") for text in texts if text.startswith(f"With {reading}, ")]
        for reading in ("sigma_0^2 = 0.05, as in the text", "sigma_0 = 0.05, as in the code")
    )
    assert of_text == of_code
    assert len(of_text) == 5


def test_the_sparsest_codes_at_a_middle_beta_and_no_collapse():
    names = [f"{SPARSE[0]}, beta {beta:g}" for beta in FASHION_MNIST_BETAS]
    for values, expected in (((1, 3, 2), True), ((1, 3, 4), False)):
        assert verdict(claims.sparsest_at_middle_beta(), "Hoyer", dict(zip(names, values, strict=True))) is expected
    for share, expected in ((0.2, True), (0.05, False)):
        assert verdict(claims.no_collapse(), "least cluster", {"alpha 8": share}) is expected


def test_alpha_costs_less_reconstruction_than_beta():
    tenfold_beta = f"{SPARSE[0]}, beta 10"
    for of_alpha, of_beta, expected in ((980.0, 900.0, True), (890.0, 900.0, False)):
        values = {LARGE_ALPHA: of_alpha, tenfold_beta: of_beta}
        assert verdict(claims.alpha_costs_less_than_beta(), "reconstruction", values) is expected
