"""DIP-VAE's claims hold of the paper's own table, and by hand where they are not a plain order."""

import pytest

from zoo.lab.trials.claims import NOT_RUN
from zoo.lab.trials.reproduction import Results
from zoo.papers.dip_vae.claims import (
    dominates,
    higher_at_little_cost,
    nearer_to_squared_error,
    reconstructs_like_the_vae,
)
from zoo.papers.dip_vae.measures import DIP
from zoo.papers.dip_vae.reproduction import GRID, GRID_BETA, GRID_DIP, TABLE_1
from zoo.papers.reproductions import REPRODUCTIONS

VAE, BETA_4 = "VAE", "beta-VAE, beta = 4"


def twice(**errors):
    """Squared errors of two seeds that agree."""
    names = {"vae": VAE, "b4": BETA_4, "dip": DIP}
    return Results({names[n]: {seed: {"squared_error": error} for seed in (0, 1)} for n, error in errors.items()})


def test_the_claims_hold_of_the_papers_own_numbers():
    own = Results({variant: {seed: dict(values) for seed in (0, 1)} for variant, values in TABLE_1.items()})
    verdicts = {claim.text: claim.check(own)[0] for claim in REPRODUCTIONS["dip-vae/shapes"].claims}
    in_table_3 = [text for text in verdicts if "correlated" in text]
    assert [verdicts.pop(text) for text in in_table_3] == [None, None]
    # the paper's number is as near to one sense as to the other: to itself
    (nearer,) = (text for text in verdicts if "does not name" in text)
    assert verdicts.pop(nearer) is False
    assert len(verdicts) == 4
    assert all(verdicts.values())


def test_each_sentence_about_table_3_is_a_claim():
    def verdicts(dip, vae, beta):
        values = {DIP: dip, VAE: vae, BETA_4: beta}
        found = Results({v: {s: {"correlation": x} for s in (0, 1)} for v, x in values.items()})
        return [c.check(found)[0] for c in REPRODUCTIONS["dip-vae/shapes"].claims if "correlated" in c.text]

    assert verdicts(0.1, 0.2, 0.3) == [True, True]
    assert verdicts(0.1, 0.2, 0.15) == [True, False]
    assert verdicts(0.25, 0.2, 0.3) == [False, True]


@pytest.mark.parametrize(
    ("errors", "expected"),
    [((0.010, 0.02, 0.0109), True), ((0.010, 0.02, 0.0111), False), ((0.010, 0.0105, 0.0108), False)],
)
def test_the_error_that_is_like_the_vaes(errors, expected):
    check = reconstructs_like_the_vae(VAE, BETA_4)
    assert check(twice(**dict(zip(("vae", "b4", "dip"), errors, strict=True))))[0] is expected
    assert check(twice(vae=0.01, dip=0.01)) == (None, NOT_RUN)


def test_which_error_is_nearer_by_its_mean_log_ratio():
    reported = {v: {"squared_error": 0.1, "cross_entropy": 0.1} for v in (VAE, DIP)}

    def measured(cross):
        rows = {VAE: {"squared_error": 0.2, "cross_entropy": 0.1}, DIP: {"squared_error": 0.05, "cross_entropy": cross}}
        return Results({variant: {0: row, 1: row} for variant, row in rows.items()})

    # squared: factors 2 and 1 / 2, so 2 in the mean; cross-entropy: 1 and 9, so 3, or 1 and 3.9, less than 2
    assert nearer_to_squared_error(reported)(measured(0.9))[0] is True
    assert nearer_to_squared_error(reported)(measured(0.39))[0] is False


def points(of_one):
    """Metric and squared error by variant, of two seeds that agree."""
    return Results(
        {v: {s: {"metric": metric, "squared_error": error} for s in (0, 1)} for v, (metric, error) in of_one.items()}
    )


@pytest.mark.parametrize(
    ("dips", "expected"),
    [
        ({"d1": (90, 0.001)}, True),  # better than both in both
        ({"d1": (70, 0.001), "d2": (90, 0.004)}, True),  # each beta-VAE is beaten by another one
        ({"d1": (70, 0.001), "d2": (70, 0.004)}, False),  # none beats the second's metric
        ({"d1": (90, 0.006)}, False),  # no error is as small as the first's
    ],
)
def test_a_curve_dominates_where_each_point_of_the_other_is_beaten_in_both(dips, expected):
    check = dominates(list(dips), ["b4", "b60"])
    assert check(points({"b4": (60, 0.002), "b60": (80, 0.005), **dips}))[0] is expected


@pytest.mark.parametrize(
    ("metric", "error", "expected"), [(86, 0.00219, True), (84, 0.002, False), (90, 0.0023, False)]
)
def test_a_higher_metric_at_little_cost(metric, error, expected):
    check = higher_at_little_cost(["d1", "d2"], "VAE")
    assert check(points({"VAE": (80, 0.002), "d1": (metric, error), "d2": (79, 0.002)}))[0] is expected


def test_figure_1_has_the_papers_grids_and_its_claims_hold_of_curves_like_the_papers():
    assert [float(v.rpartition(" ")[2]) for v in GRID_DIP] == [1, 2, 5, 10, 20, 50]
    assert {2, 4, 8, 16, 25, 32, 64, 100, 128, 200, 256} < {float(v.rpartition(" ")[2]) for v in GRID_BETA}
    wanted = REPRODUCTIONS["dip-vae/figure1"]
    assert list(wanted.variants) == ["VAE", *GRID_BETA, *GRID_DIP] == list(GRID)
    curves = {v: (70 + k, 0.002 + 0.001 * k) for k, v in enumerate(["VAE", *GRID_BETA])}
    curves |= {v: (90 + k, 0.002) for k, v in enumerate(GRID_DIP)}
    assert [claim.check(points(curves))[0] for claim in wanted.claims] == [True, True, True]
    curves |= dict.fromkeys(GRID_DIP, (60, 0.02))
    assert [claim.check(points(curves))[0] for claim in wanted.claims] == [False, False, True]
