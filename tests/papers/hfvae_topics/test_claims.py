"""The topics' claims hold of what the paper reports, and not of other numbers."""

from zoo.lab.trials.reproduction import Results
from zoo.papers.reproductions import REPRODUCTIONS


def verdicts(table):
    results = Results({variant: {0: row, 1: row} for variant, row in table.items()})
    return [claim.check(results)[0] for claim in REPRODUCTIONS["hfvae/topics"].claims]


def test_the_claims_as_the_paper_has_them_hold_and_others_do_not():
    # for each form of ProdLDA: eleven, all fifty, correlations, fewer topics, correlations across groups; NVDM's two
    vae, hfvae = {"in use": 50, "within": 0.15}, {"in use": 11, "within": 0.1, "across": 0.65}
    as_reported = {"ProdLDA, VAE": vae, "ProdLDA, HFVAE": hfvae}
    assert verdicts(as_reported) == [None] * 5 + [True] * 5 + [None] * 2
    with_dropout = {"ProdLDA with dropout, VAE": vae, "ProdLDA with dropout, HFVAE": hfvae}
    assert verdicts(with_dropout) == [True] * 5 + [None] * 7
    otherwise = {
        "ProdLDA with dropout, VAE": {"in use": 49, "within": 0.9},
        "ProdLDA with dropout, HFVAE": {"in use": 40, "within": 0.9, "across": 0.8},
        "ProdLDA, VAE": {"in use": 49, "within": 0.9},
        "ProdLDA, HFVAE": {"in use": 50, "within": 0.2, "across": 0.6},
        "NVDM, VAE": {"in use": 20},
        "NVDM, HFVAE": {"in use": 8, "within": 0.1, "across": 0.6},
    }
    assert verdicts(otherwise) == [False, False, False, True, False, False, False, False, False, True, True, True]
    correlated = {"ProdLDA, HFVAE": {"in use": 11, "within": 0.8, "across": 0.9}}
    assert verdicts(correlated)[9] is False  # HFVAE does not prevent those within a group
    assert all(verdict is None for verdict in verdicts({}))


def test_the_papers_claims_are_those_about_prodlda():
    own = [claim.text for claim in REPRODUCTIONS["hfvae/topics"].claims if claim.own]
    assert len(own) == 2
    assert all(text.startswith("NVDM: ") for text in own)
