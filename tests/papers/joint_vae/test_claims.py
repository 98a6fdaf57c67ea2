"""Joint-VAE's claims, with numbers for which each holds, does not, and cannot be told."""

import math

from zoo.lab.trials.reproduction import Results
from zoo.papers.joint_vae import claims


def results(quantity, *values, variant="Joint-VAE"):
    return Results({variant: {seed: {quantity: value} for seed, value in enumerate(values)}})


def test_the_best_seed_is_held_against_the_papers_selected_run():
    check = claims.best_accuracy_reaches(88.7)
    assert check(results("majority", 60.0, 90.0))[0] is True
    assert check(results("majority", 60.0, 60.1))[0] is False
    assert check(results("majority", 60.0, 88.0))[0] is None  # another seed may
    assert check(results("majority", 90.0))[0] is None


def test_capacities():
    check = claims.at_capacity("c", math.log(10), 0.08)
    assert [check(results("KL of c", value, value))[0] for value in (2.25, 2.20)] == [True, False]
    low, high = results("overshoot of z", 5.0, 6.0, variant="gamma = 3"), {0: {"overshoot of z": 0.1}}
    both = Results({**low.table, "gamma = 30": {**high, 1: {"overshoot of z": 0.2}}})
    assert claims.capacity_exceeded_at_low_gamma()(both)[0] is None  # 5.5 +- 0.7 of two seeds
    same = {seed: {"overshoot of z": 5.0} for seed in (0, 1)}
    assert claims.capacity_exceeded_at_low_gamma()(Results({"gamma = 3": same, "gamma = 30": high | {1: high[0]}}))[0]
    assert claims.capacity_exceeded_at_low_gamma()(Results({"gamma = 3": same, "gamma = 30": same}))[0] is False


def test_the_type_is_found_first_or_not():
    assert claims.type_first()(results("found first", 1, 1, 1))[0] is True
    assert claims.type_first()(results("found first", 2, math.nan))[0] is False
    assert claims.type_first()(results("found first", 1, 2))[0] is None


def test_not_all_classes_are_discovered():
    check = claims.misses_labels()
    found = [check(results("labels found", *counts))[0] for counts in ((7, 8), (10, 10), (9, 10))]
    assert found == [True, False, None]
