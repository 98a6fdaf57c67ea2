"""Claims in three values: intervals against SciPy's Welch test and by hand, Kleene's tables, one wording of not run."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from zoo.lab.trials.card import average, deviation
from zoo.lab.trials.claims import (
    NOT_RUN,
    ONE_SEED,
    Comparison,
    above,
    at_least,
    at_most,
    both,
    compare,
    correlated,
    every,
    exceeds,
    fails,
    falling,
    falls_by,
    highest,
    lowest,
    most,
    near,
    near_share,
    of_geometric_means,
    on_seeds,
    rising,
    some,
)
from zoo.lab.trials.reproduction import Results


def results(**variants):
    """The quantity q of each variant, by seed."""
    return Results({name: {seed: {"q": v} for seed, v in enumerate(values)} for name, values in variants.items()})


def verdict(check, **variants):
    return check(results(**variants))[0]


def constant(value):
    """A check with a known verdict."""
    return Comparison((("a", "q"),), lambda _: value)


def test_geometric_means_are_compared_by_welchs_interval_of_logarithms():
    # Nine runs of ten halve the number; the tenth has 100 times as much, and decides the arithmetic mean.
    a, b = (
        [2.0, 2.2, 1.8, 2.1, 1.9, 2.0, 2.2, 1.8, 2.0, 2.1] * 3,
        [1.0, 1.1, 0.9, 1.0, 1.1, 0.9, 1.0, 1.1, 0.9, 9.0] * 3,
    )
    interval = stats.ttest_ind(np.log(a), np.log(b), equal_var=False).confidence_interval(0.95)
    assert interval.low > 0
    check = above(("a", "q"), ("b", "q"))
    assert verdict(check, a=a, b=b) is None
    assert verdict(of_geometric_means(check), a=a, b=b) is True
    assert verdict(of_geometric_means(check), a=b, b=a) is False
    assert verdict(of_geometric_means(check), a=[1.0, 0.0], b=[1.0, 1.0]) is None  # 0 has no logarithm
    assert verdict(of_geometric_means(above(("a", "q"), ("b", "q"), plus=math.log(2))), a=[5, 5], b=[2, 2]) is True


@pytest.mark.parametrize(
    "check",
    [
        of_geometric_means(falling("q", ["a", "b"])),
        fails(of_geometric_means(rising("q", ["a", "b"]))),
        every(of_geometric_means(at_least(("a", "q"), math.log(1.0))), of_geometric_means(falling("q", ["a", "b"]))),
    ],
)
def test_the_evidence_of_geometric_means_is_geometric(check):
    _, evidence = check(results(a=[1.0, 4.0], b=[0.25, 0.25]))  # exp((log 1 + log 4) / 2), exp(log 4 / sqrt(2))
    assert "q: a: 2 */ 2.7, b: 0.25 */ 1." in evidence


def test_the_interval_is_welchs():
    rng = np.random.default_rng(0)
    seen = set()
    for _ in range(200):
        a, b = rng.normal(1.0, 1.0, rng.integers(2, 6)), rng.normal(0.0, 0.3, rng.integers(2, 6))
        interval = stats.ttest_ind(a, b, equal_var=False).confidence_interval(0.95)
        expected = True if interval.low > 0 else False if interval.high < 0 else None
        assert exceeds(a.tolist(), b.tolist()) is expected
        seen.add(expected)
    assert seen >= {True, None}


def test_a_multiple_and_a_margin_are_of_the_other():
    # Means 2 and 1 with variances 0.02 / 2 and 4 * 0.02 / 2 of twice the other: Welch's freedom is 25 / 17 by hand,
    # (0.01 + 0.04)^2 / (0.01^2 + 0.04^2), and the error sqrt 0.05.
    a, b = [1.9, 2.1], [0.9, 1.1]
    width = stats.t.ppf(0.975, 25 / 17) * math.sqrt(0.05)
    assert exceeds(a, b, times=2, plus=-1.01 * width) is True
    assert exceeds(a, b, times=2, plus=-0.99 * width) is None
    assert exceeds(a, b, times=2, plus=1.01 * width) is False


def test_two_quantities_of_one_variant_are_compared_in_each_run():
    rng = np.random.default_rng(1)
    seen = set()
    for _ in range(200):
        run = rng.normal(0.0, 5.0, 4)  # what both quantities share in a run cancels in their difference
        a, b = run + rng.normal(0.5, 0.5, 4), run + rng.normal(0.0, 0.3, 4)
        same = Results({"v": {seed: {"a": x, "b": y} for seed, (x, y) in enumerate(zip(a, b, strict=True))}})
        apart = Results({"v": dict(enumerate({"a": x} for x in a)), "w": dict(enumerate({"b": y} for y in b))})
        interval = stats.ttest_rel(a, b).confidence_interval(0.95)
        expected = True if interval.low > 0 else False if interval.high < 0 else None
        assert above(("v", "a"), ("v", "b"))(same)[0] is expected
        assert above(("v", "a"), ("w", "b"))(apart)[0] is exceeds(a.tolist(), b.tolist())
        seen.add((expected, exceeds(a.tolist(), b.tolist())))
    assert (True, None) in seen


def test_a_multiple_and_a_margin_within_a_run_and_runs_that_lack_a_quantity():
    # a - 2 b is 0.1, 0.2 and 0.3: mean 0.2, deviation 0.1, and Student's t with 2 degrees of freedom.
    runs = {0: {"a": 2.1, "b": 1.0}, 1: {"a": 4.2, "b": 2.0}, 2: {"a": 6.3, "b": 3.0}, 3: {"a": 9.0}}
    width = stats.t.ppf(0.975, 2) * 0.1 / math.sqrt(3)
    for plus, expected in [(0.2 - 1.01 * width, True), (0.2 - 0.99 * width, None), (0.2 + 1.01 * width, False)]:
        assert above(("v", "a"), ("v", "b"), times=2, plus=plus)(Results({"v": runs}))[0] is expected
    # a is 1.05 b in each run: within 10 %, although b varies by more than that from run to run.
    larger = Results({"v": {seed: {"a": 1.05 * b, "b": b} for seed, b in enumerate([10.0, 11.0, 12.0])}})
    assert near_share(("v", "a"), ("v", "b"), 0.1)(larger)[0] is True
    assert near_share(("v", "a"), ("v", "b"), 0.03)(larger)[0] is False
    assert Results({"v": runs}).pairs("v", "a", "b") == [(2.1, 1.0), (4.2, 2.0), (6.3, 3.0)]


@pytest.mark.parametrize(("one", "other"), [([2.0], [1.0, 1.0]), ([], [1.0]), ([math.nan, 2.0], [1.0, 1.0])])
def test_one_seed_and_no_number_cannot_tell(one, other):
    assert exceeds(one, other) is None
    assert exceeds(other, one) is None


def test_seeds_that_agree_exactly_decide_and_equal_means_do_not_exceed():
    assert exceeds([2.0, 2.0], [1.0, 1.0]) is True
    assert exceeds([1.0, 1.0], [1.0, 1.0]) is False


def test_what_is_not_run_and_what_has_one_seed_say_so():
    check = above(("a", "q"), ("b", "q"))
    assert check(results(a=[1.0, 2.0])) == (None, NOT_RUN)
    assert check(results(a=[2.0], b=[1.0, 1.1])) == (None, f"q: a: 2, b: 1.05 +- 0.071. {ONE_SEED}")
    assert check(results(a=[2.0, 2.0], b=[1.0, 1.0])) == (True, "q: a: 2 +- 0, b: 1 +- 0.")


def test_evidence_is_in_plain_numbers():
    check = above(("a", "q"), ("b", "q"))
    said = check(results(a=[1180.0, 2000.0, 400.0], b=[0.00012345, 0.0002, math.nan]))[1]
    assert said == "q: a: 1193 +- 800, b: nan +- nan."


def test_bounds():
    assert [verdict(at_least(("a", "q"), 1.0), a=v) for v in ([1.1, 1.1], [0.9, 0.9], [0.0, 2.1])] == [
        True,
        False,
        None,
    ]
    assert [verdict(at_most(("a", "q"), 1.0), a=v) for v in ([1.1, 1.1], [0.9, 0.9], [0.0, 2.1])] == [False, True, None]
    check = near(("a", "q"), 5.0, 0.5)
    assert [verdict(check, a=[v, v]) for v in (4.4, 4.6, 5.4, 5.6)] == [False, True, True, False]
    assert verdict(check, a=[4.6, 5.4]) is None


def test_within_a_share_of_negative_numbers_too():
    check = near_share(("a", "q"), ("b", "q"), 0.1)
    for size in (100.0, -100.0):
        found = [verdict(check, a=[share * size] * 2, b=[size] * 2) for share in (0.89, 0.91, 1.09, 1.11)]
        assert found == [False, True, True, False]


def test_orders():
    assert [verdict(rising("q", ["a", "b", "c"]), a=[1, 1], b=[2, 2], c=[v, v]) for v in (3, 1.5)] == [True, False]
    assert [verdict(falling("q", ["a", "b"]), a=[a, a], b=[2, 2]) for a in (3, 1)] == [True, False]
    assert falling("q", ["a", "b"])(results(a=[3, 3], b=[2, 2]))[1] == "q: a: 3 +- 0, b: 2 +- 0."
    assert verdict(rising("q", ["a", "b", "c"]), a=[1, 1], b=[1.5, 2.5], c=[2.1, 2.2]) is None


def test_an_order_does_not_hold_where_two_means_that_are_not_neighbours_are_reversed():
    # b is too uncertain to tell its order with a and with c, but c is below a
    found = results(a=[2.0, 2.1], b=[0.0, 4.0], c=[1.0, 1.1])
    assert [compare(found, (later, "q"), (earlier, "q")) for earlier, later in ("ab", "bc")] == [None, None]
    assert [rising("q", list(order))(found)[0] for order in ("abc", "cba")] == [False, None]
    assert [verdict(highest("q", "a", ["b", "c"]), a=[v, v], b=[1, 1], c=[2, 2]) for v in (3, 1.5)] == [True, False]
    assert [verdict(lowest("q", "a", ["b", "c"]), a=[v, v], b=[1, 1], c=[2, 2]) for v in (0, 1.5)] == [True, False]


def test_a_fall_is_from_the_first_to_the_last():
    check = falls_by("q", ["a", "b", "c"], 2.5, 10)
    assert verdict(check, a=[9, 9], b=[70, 70], c=[4, 4]) is True
    assert verdict(check, a=[9, 9], b=[7, 7], c=[8, 8]) is False
    assert verdict(check, a=[29, 29], b=[7, 7], c=[8, 8]) is False
    assert verdict(check, a=[9, 9], c=[8, 8]) is None  # b is shown, and was not run


def test_a_correlation_by_fishers_interval():
    both_of = Results(
        {v: {s: {"I": x, "TC": y} for s, (x, y) in enumerate(rows)} for v, rows in {
            "a": [(1.0, 2.0), (2.0, 3.0), (3.0, 4.1)], "b": [(4.0, 5.0), (5.0, 5.9)],
        }.items()}
    )  # fmt: skip
    assert correlated("I", "TC", ["a", "b"])(both_of)[0] is True
    assert correlated("I", "TC", ["a"])(both_of)[0] is None  # three runs
    # r of five runs by hand: z = atanh r, and 1.96 / sqrt 2 to each side
    x, y = [1.0, 2.0, 3.0, 4.0, 5.0], [2.0, 1.0, 4.0, 3.0, 3.5]
    r = np.corrcoef(x, y)[0, 1]
    assert math.atanh(r) < 1.96 / math.sqrt(2)
    loose = Results({"a": {s: {"I": a, "TC": b} for s, (a, b) in enumerate(zip(x, y, strict=True))}})
    assert correlated("I", "TC", ["a"])(loose)[0] is None


def test_a_correlation_is_of_the_runs_that_have_both():
    # a is s in seeds 0 to 6, and b is s in seeds 1 to 7 with every second sign changed: both are known of six runs
    runs = {s: ({"a": float(s)} if s < 7 else {}) | ({"b": float(s) * (-1) ** s} if s else {}) for s in range(8)}
    found = Results({"v": runs})
    interval = stats.pearsonr([1, 2, 3, 4, 5, 6], [-1, 2, -3, 4, -5, 6]).confidence_interval(0.95)
    assert interval.low < 0 < interval.high
    assert correlated("a", "b", ["v"])(found)[0] is None
    # as many values of a as of b, and a and b are alike in all five runs that have both
    runs = {s: ({"a": float(s)} if s != 1 else {}) | ({"b": s + 0.1 * (-1) ** s} if s != 6 else {}) for s in range(7)}
    runs[1]["b"], runs[6]["a"] = 100.0, -100.0
    assert stats.pearsonr([0, 2, 3, 4, 5], [0.1, 2.1, 2.9, 4.1, 4.9]).confidence_interval(0.95).low > 0
    assert correlated("a", "b", ["v"])(Results({"v": runs}))[0] is True
    constant_b = {s: {"a": float(s), "b": 2.0} for s in range(5)}
    assert correlated("a", "b", ["v"])(Results({"v": constant_b}))[0] is None


def test_every_seed():
    check = on_seeds(("a", "q"), lambda value: value == 1)
    assert [verdict(check, a=values) for values in ([1, 1], [2, 2], [1, 2], [1])] == [True, False, None, None]


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
def test_no_claim_is_decided_by_a_value_that_is_not_finite(value):
    assert math.isnan(deviation([value, 1.0]))
    assert math.isnan(deviation([value, value]))
    for values in ([value, 1.0], [value, value], [value, -value]):
        numbers = results(a=values, b=[1.0, 1.1])
        for check in (
            above(("a", "q"), ("b", "q")),
            above(("b", "q"), ("a", "q")),
            at_least(("a", "q"), 0.0),
            at_most(("a", "q"), 0.0),
            near(("a", "q"), 1.0, 0.5),
            near_share(("a", "q"), ("b", "q"), 0.1),
            near_share(("b", "q"), ("a", "q"), 0.1),
            rising("q", ["a", "b"]),
            highest("q", "a", ["b"]),
            of_geometric_means(above(("a", "q"), ("b", "q"))),
        ):
            decided, evidence = check(numbers)
            assert decided is None
            assert "a: " in evidence
    runs = {seed: {"a": float(seed), "b": float(seed)} for seed in range(5)} | {5: {"a": value, "b": value}}
    for check in (correlated("a", "b", ["v"]), above(("v", "a"), ("v", "b"))):
        assert check(Results({"v": runs}))[0] is None


def test_the_mean_of_infinite_seeds_is_said():
    found = above(("a", "q"), ("b", "q"))(results(a=[math.inf, 2.0], b=[math.inf, -math.inf]))
    assert found == (None, "q: a: inf +- nan, b: nan +- nan.")
    assert average([1.0, 2.0, 6.0]) == 3.0


def test_kleenes_tables():
    values = (True, False, None)
    table = {(a, b): verdict(every(constant(a), constant(b)), a=[1, 1]) for a, b in itertools.product(values, values)}
    assert table == {
        (True, True): True,
        (True, False): False,
        (True, None): None,
        (False, True): False,
        (False, False): False,
        (False, None): False,
        (None, True): None,
        (None, False): False,
        (None, None): None,
    }
    for a, b in table:
        assert both(a, b) is table[a, b]
        # de Morgan
        either, neither = some(constant(a), constant(b)), fails(every(fails(constant(a)), fails(constant(b))))
        assert verdict(either, a=[1, 1]) is verdict(neither, a=[1, 1])
    assert [verdict(fails(constant(a)), a=[1, 1]) for a in values] == [False, True, None]


def test_most_is_more_than_half_whatever_the_unknown_ones_are():
    for verdicts in itertools.product((True, False, None), repeat=4):
        unknown = [i for i, v in enumerate(verdicts) if v is None]
        outcomes = set()
        for filled in itertools.product((True, False), repeat=len(unknown)):
            whole = list(verdicts)
            for i, value in zip(unknown, filled, strict=True):
                whole[i] = value
            outcomes.add(sum(whole) > 2)
        expected = outcomes.pop() if len(outcomes) == 1 else None
        assert verdict(most(*map(constant, verdicts)), a=[1, 1]) is expected


def test_a_number_on_the_bound_is_within_it():
    assert verdict(near(("a", "q"), 11, 3), a=[14.0, 14.0, 14.0]) is True
    assert verdict(near(("a", "q"), 11, 3), a=[8.0, 8.0]) is True
    assert verdict(near(("a", "q"), 1.0, 0.0), a=[1.0, 1.0]) is True
    assert verdict(near(("a", "q"), 11, 3), a=[14.5, 14.5]) is False
    assert verdict(near_share(("a", "q"), ("b", "q"), 0.5), a=[3.0, 3.0], b=[2.0, 2.0]) is True
    assert verdict(near_share(("a", "q"), ("b", "q"), 0.5), a=[-3.0, -3.0], b=[-2.0, -2.0]) is True
    assert verdict(near_share(("a", "q"), ("b", "q"), 0.5), a=[0.9, 0.9], b=[2.0, 2.0]) is False
    assert verdict(falls_by("q", ["a", "b"], 1.0, 2.0), a=[3.0, 3.0], b=[1.0, 1.0]) is True
    assert verdict(falls_by("q", ["a", "b"], 1.0, 2.0), a=[3.5, 3.5], b=[1.0, 1.0]) is False


def test_variances_whose_squares_underflow_have_an_interval():
    assert exceeds([1e-90, 2e-90], [0.0, 0.0]) is exceeds([1.0, 2.0], [0.0, 0.0])
