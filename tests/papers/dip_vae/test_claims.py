"""DIP-VAE's claims hold of the paper's own table, and by hand where they are not a plain order."""

import pytest

from zoo.lab.trials.claims import NOT_RUN
from zoo.lab.trials.reproduction import Results
from zoo.papers.dip_vae.claims import nearer_to_squared_error, reconstructs_like_the_vae
from zoo.papers.dip_vae.measures import DIP
from zoo.papers.dip_vae.reproduction import TABLE_1
from zoo.papers.reproductions import REPRODUCTIONS

VAE, BETA_4 = "VAE", "beta-VAE, beta = 4"


def twice(**errors):
    """Squared errors of two seeds that agree."""
    names = {"vae": VAE, "b4": BETA_4, "dip": DIP}
    return Results({names[n]: {seed: {"squared_error": error} for seed in (0, 1)} for n, error in errors.items()})


def test_the_claims_hold_of_the_papers_own_numbers():
    own = Results({variant: {seed: dict(values) for seed in (0, 1)} for variant, values in TABLE_1.items()})
    verdicts = {claim.text: claim.check(own)[0] for claim in REPRODUCTIONS["dip-vae/shapes"].claims}
    not_in_table_1 = [text for text in verdicts if "correlated" in text or "covariances" in text]
    assert [verdicts.pop(text) for text in not_in_table_1] == [None, None]
    # the paper's number is as near to one sense as to the other: to itself
    (nearer,) = (text for text in verdicts if "does not name" in text)
    assert verdicts.pop(nearer) is False
    assert len(verdicts) == 4
    assert all(verdicts.values())


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
