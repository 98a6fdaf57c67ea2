"""The topics' claims hold of what the paper reports, and not of other numbers."""

from zoo.lab.trials.reproduction import Results
from zoo.papers.reproductions import REPRODUCTIONS


def verdicts(table):
    results = Results({variant: {0: row, 1: row} for variant, row in table.items()})
    return [claim.check(results)[0] for claim in REPRODUCTIONS["hfvae/topics"].claims]


def test_the_claims_as_the_paper_has_them_hold_and_others_do_not():
    as_reported = {
        "ProdLDA with dropout, VAE": {"in use": 50},
        "ProdLDA, VAE": {"in use": 50, "within": 0.15},
        "ProdLDA, HFVAE": {"in use": 11, "within": 0.1, "across": 0.65},
    }
    # eleven, all fifty, correlations, fewer topics by model, correlations across groups by model
    assert verdicts(as_reported) == [True, True, True, True, None, None, True, None, None]
    otherwise = {
        "ProdLDA with dropout, VAE": {"in use": 49},
        "ProdLDA with dropout, HFVAE": {"in use": 40, "within": 0.9, "across": 0.8},
        "ProdLDA, VAE": {"in use": 49, "within": 0.9},
        "ProdLDA, HFVAE": {"in use": 50, "within": 0.8, "across": 0.6},
        "NVDM, VAE": {"in use": 20},
        "NVDM, HFVAE": {"in use": 8, "within": 0.1, "across": 0.6},
    }
    assert verdicts(otherwise) == [False, False, False, False, True, True, False, False, True]
    correlated = {"ProdLDA, HFVAE": {"in use": 11, "within": 0.8, "across": 0.9}}
    assert verdicts(correlated)[6] is False  # HFVAE does not prevent those within a group
    assert all(verdict is None for verdict in verdicts({}))
