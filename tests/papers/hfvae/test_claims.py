"""HFVAE's claims: parity and seeds against settings, by hand; information and correlation are in the kit's tests."""

import math

import pytest
from scipy import stats

from zoo.lab.trials.claims import NOT_RUN, falls_by
from zoo.lab.trials.reproduction import Results
from zoo.papers.hfvae import claims
from zoo.papers.hfvae.reproduction import EQUAL_WEIGHTS as EQUAL
from zoo.papers.reproductions import REPRODUCTIONS


def results(quantity, **variants):
    return Results({v: {s: {quantity: x} for s, x in enumerate(values)} for v, values in variants.items()})


def test_pruned_units_give_or_take_one():
    check = claims.prunes("a", 3)
    found = [check(results("pruned", a=values))[0] for values in ([3, 3], [4, 2], [2, 5], [5, 1], [3], [])]
    assert found == [True, True, None, False, None, None]


def around(mean, sd):
    """Two seeds with this mean and standard deviation."""
    return [mean - sd / math.sqrt(2), mean + sd / math.sqrt(2)]


def many(mean, sd, num=50):
    """As `around`, many seeds: half of them on each side."""
    side = sd * math.sqrt((num - 1) / num)
    return [mean - side, mean + side] * (num // 2)


def test_similar_is_within_the_deviation_of_the_seeds():
    # 0.63 +- 0.08 next to 0.62 +- 0.07: the root mean square deviation is 0.075; 50 seeds know means to 0.015
    check = claims.similar("Kim", "ours", ["other"])
    assert check(results("Kim", ours=many(0.63, 0.08), other=many(0.62, 0.07)))[0] is True
    assert check(results("Kim", ours=many(0.63, 0.08), other=many(0.50, 0.07)))[0] is False
    assert check(results("Kim", ours=many(0.63, 0.08), other=many(0.56, 0.07)))[0] is None
    assert check(results("Kim", ours=around(0.63, 0.08), other=around(0.62, 0.07)))[0] is None  # two seeds each
    assert check(results("Kim", ours=[0.6, 0.6])) == (None, NOT_RUN)


@pytest.mark.parametrize("share", [0.02, 0.03, 0.97, 0.98])
def test_seeds_and_settings_are_separation_by_f(share):
    # 4 settings of 3 seeds: the mean squares have 3 and 8 degrees of freedom, and their ratio is (3 + 1) F where the
    # two variances are equal. Seeds of each setting are -1, 0, 1 about its mean, so within is 1.
    ratio = 4 * stats.f.ppf(share, 3, 8)
    spread = math.sqrt(ratio / 3)  # the means' standard deviation, so that 3 var / 1 is the ratio
    means = [-1.5, -0.5, 0.5, 1.5]
    unit = math.sqrt(sum(m * m for m in means) / 3)
    values = {f"s{k}": [spread * m / unit + seed for seed in (-1, 0, 1)] for k, m in enumerate(means)}
    check = claims.seeds_matter_more("MIG", list(values))
    expected = {0.02: True, 0.03: None, 0.97: None, 0.98: False}[share]
    assert check(results("MIG", **values))[0] is expected


def test_where_the_seeds_of_each_setting_agree_only_the_settings_matter():
    """Before: a division by zero, and no result."""
    check = claims.seeds_matter_more("MIG", ["a", "b"])
    assert check(results("MIG", a=[1.0, 1.0], b=[2.0, 2.0]))[0] is False
    assert check(results("MIG", a=[1.0, 1.0], b=[1.0, 1.0]))[0] is None
    assert check(results("MIG", a=[math.inf, 1.0], b=[1.0, 1.0]))[0] is None


def test_the_claims_of_figure_7_are_of_the_model_that_saw_them():
    def verdicts(unseen, apart):
        seeds = {"unseen": unseen, "seen": -100.0, "told apart": apart}
        table = {k: {f"{name}, {q}": v for name in ("thick 7s", "narrow 0s") for q, v in seeds.items()} for k in (0, 1)}
        (variant,) = REPRODUCTIONS["hfvae/figure-7"].variants
        return [claim.check(Results({variant: table}))[0] for claim in REPRODUCTIONS["hfvae/figure-7"].claims]

    assert verdicts(-109.0, 0.95) == [True] * 4
    assert verdicts(-111.0, 0.85) == [False] * 4


def test_a_claim_is_decided_by_the_papers_estimator_with_the_exact_sum_next_to_it():
    """Falls of 0.3 by the estimator and of 1.3 by the sum, against a bound of 1."""
    check = claims.on_minibatches(lambda name: falls_by(name("I"), ["a", "b"], 0.0, 1.0))
    exact = {"a": [8.96, 8.95], "b": [7.67, 7.66]}
    paper = {"a": [6.15, 6.14], "b": [5.88, 5.87]}
    both = Results(
        {v: {s: {"I": exact[v][s], "I, B = 512": paper[v][s]} for s in (0, 1)} for v in exact}  # by variant and seed
    )
    verdict, evidence = check(both)
    assert verdict is True
    assert evidence.startswith("I, B = 512: a: 6.145 +- ")
    assert "By the exact sum over the test set (does not hold): I: a: 8.955 +- " in evidence
    verdict, evidence = check(Results({v: {s: {"I": exact[v][s]} for s in (0, 1)} for v in exact}))
    assert verdict is None
    assert evidence.startswith("These runs do not have it by the paper's estimator. By the exact sum")


def test_the_claims_about_nats_are_decided_that_way_in_figure_6():
    wanted = REPRODUCTIONS["hfvae/figure-6"]
    for quantity, fall in (("TC", 5.0), ("I(x; z, c)", 0.5)):
        (claim,) = [claim for claim in wanted.claims if claim.text.startswith(f"{quantity} falls by {fall:g} nats")]
        assert {f"{quantity}, B = 512", quantity} <= wanted.quantities.keys()

        def verdict(times, claim=claim, quantity=quantity, fall=fall):
            steps = {v: 9.0 - times * fall * k / (len(EQUAL) - 1) for k, v in enumerate(EQUAL)}
            table = {v: {s: {f"{quantity}, B = 512": x + 1e-3 * s} for s in (0, 1)} for v, x in steps.items()}
            return claim.check(Results(table))[0]

        assert [verdict(times) for times in (0.7, 0.8, 1.0, 1.2, 1.3)] == [False, True, True, True, False]


def test_the_claims_on_2d_shapes_have_their_bounds():
    wanted = REPRODUCTIONS["hfvae/shapes"]
    (variant,) = wanted.variants

    def verdicts(pruned, shape):
        seeds = {s: {"pruned": pruned[s], "I(shape; c)": shape[s]} for s in (0, 1)}
        return [claim.check(Results({variant: seeds}))[0] for claim in wanted.claims]

    assert verdicts([2, 2], [0.1, 0.1]) == [True, True]
    assert verdicts([0, 0], [0.6, 0.6]) == [False, False]  # log 3 / 2 = 0.549
    assert verdicts([0, 1], [0.1, 1.0]) == [None, None]
