"""Factors: a grid's order is mixed radix, and sampling holds fixed what it is told to."""

import itertools

import numpy as np
import pytest

from zoo.lab.data import Factors

SIZES = (2, 3, 5)  # primes


def grid() -> Factors:
    return Factors.grid({"a": [10, 20], "b": [0.0, 0.5, 1.0], "c": np.arange(5) - 2})


def test_order_is_that_of_nested_loops() -> None:
    expected = list(itertools.product(*map(range, SIZES)))
    factors = grid()
    assert len(factors) == 30
    assert factors.sizes == SIZES
    np.testing.assert_array_equal(factors.classes, expected)
    np.testing.assert_array_equal(factors.index(expected), np.arange(30))
    # by hand: 1 x 15 + 2 x 5 + 3
    assert factors.index([1, 2, 3]) == 28
    np.testing.assert_array_equal(factors.values_at(28), [20, 1.0, 1])


def test_shapes_of_indices_are_kept() -> None:
    index = np.arange(30).reshape(2, 3, 5)
    classes = grid().at(index)
    assert classes.shape == (2, 3, 5, 3)
    np.testing.assert_array_equal(grid().index(classes), index)


def test_sampling_a_grid_is_uniform_over_what_is_free() -> None:
    # 6 datapoints have c = 4; each has 6,000 / 6 = 1,000 draws, give or take 5 standard deviations sqrt(n p (1 - p))
    index = grid().sample(6_000, fixed={"c": 4}, seed=0)
    found, counts = np.unique(index, return_counts=True)
    np.testing.assert_array_equal(found, [4, 9, 14, 19, 24, 29])
    assert np.abs(counts - 1000).max() < 5 * np.sqrt(6_000 * 1 / 6 * 5 / 6)


def test_sampling_a_table_agrees_with_the_grid_it_lists() -> None:
    listed = grid().subset(np.arange(30))
    for fixed in ({}, {"a": 1}, {"a": 0, "b": 2}, {"a": 1, "b": 0, "c": 3}):
        there = set(grid().sample(500, fixed=fixed, seed=1).tolist())
        assert set(listed.sample(500, fixed=fixed, seed=2).tolist()) == there
        assert len(there) == np.prod([1 if n in fixed else s for n, s in zip("abc", SIZES, strict=True)])


def test_a_generator_goes_on_and_a_seed_starts_anew() -> None:
    rng = np.random.default_rng(0)
    first, second = (grid().sample(20, seed=rng) for _ in range(2))
    assert (first != second).any()
    np.testing.assert_array_equal(first, grid().sample(20, seed=0))


def test_a_subset_keeps_every_value() -> None:
    some = grid().subset(np.array([3, 28]))
    assert some.sizes == SIZES
    np.testing.assert_array_equal(some.classes, [[0, 0, 3], [1, 2, 3]])
    np.testing.assert_array_equal(some.values_at([1]), [[20, 1.0, 1]])


def test_classes_of_columns_are_their_sorted_values() -> None:
    factors = Factors.of({"angle": [30, -10, 30, 0]})
    np.testing.assert_array_equal(factors.values[0], [-10, 0, 30])
    np.testing.assert_array_equal(factors.classes[:, 0], [2, 0, 2, 1])


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(LookupError, match=r"unknown factor 'scal'; did you mean 'scale'"):
        Factors.grid({"scale": [0, 1], "posY": [0, 1]}).sample(1, fixed={"scal": 0})
    with pytest.raises(ValueError, match=r"factor 'b' has classes 0 to 2, got 3"):
        grid().sample(1, fixed={"b": 3})
    with pytest.raises(ValueError, match=r"no datapoint has the classes \{'a': 1, 'c': 0\}"):
        grid().subset(np.array([0, 29])).sample(1, fixed={"a": 1, "c": 0})
    with pytest.raises(ValueError, match=r"only in a complete grid"):
        grid().subset(np.array([0])).index([0, 0, 0])
    with pytest.raises(ValueError, match=r"within the sizes \(2, 3, 5\)"):
        grid().index([0, 3, 0])
    with pytest.raises(IndexError, match=r"from 0 to 29, got 30 to 30"):
        grid().at(30)
    with pytest.raises(ValueError, match=r"one name each"):
        Factors(("a", "a"), (np.arange(2), np.arange(2)))
    with pytest.raises(ValueError, match=r"\['b'\] have no values"):
        Factors.grid({"a": [1], "b": []})
    with pytest.raises(ValueError, match=r"a table \[N, 1\], got \(2, 2\)"):
        Factors(("a",), (np.arange(2),), np.zeros((2, 2), np.int64))
    with pytest.raises(ValueError, match=r"classes outside 0 to size - 1"):
        Factors(("a",), (np.arange(2),), np.array([[2]]))
