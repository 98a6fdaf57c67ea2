"""The matrix: that it leaves nothing out, says what is so, and is what the README shows."""

import json
from pathlib import Path

import pytest
import torch

import zoo
from zoo.elbos import OBJECTIVES
from zoo.studies.compatibility import matrix
from zoo.studies.compatibility.recipes import GUIDES, STORIES, data, guides_of, pair

ROOT = Path(__file__).parents[2]
WRITTEN = matrix.load()

# Few enough for the suite: every story, guide and objective is among them, and the refusals of each kind.
SOME = [
    *[(story, "mean-field", "PlainELBO") for story in STORIES],
    *[("VAE", guide, "BetaVAE") for guide in guides_of(STORIES["VAE"])],
    *[("JointVAE", guide, "Capacity") for guide in ("straight-through", "exact", "AutoNormal", "AutoDelta")],
    *[("NaturalClustering", "flow", objective) for objective in matrix.OBJECTIVES],
    ("NaturalClustering", "low-rank", "NaturalClusteringELBO"),
    ("NaturalClustering, no labels", "semi-amortised", "NaturalClusteringELBO"),
    ("NaturalClustering, no labels", "AutoNormal", "PlainELBO"),
    ("JointVAE", "exact", "FactorVAE"),
    ("JointVAE", "exact", "HFVAE"),
    ("JointVAE", "point", "HFVAE"),
    ("StudentTVAE", "student-t", "DIPVAEII"),
    ("SparseVAE", "mixture", "Decomposition"),
]


@pytest.fixture(autouse=True)
def _single_precision():
    torch.set_default_dtype(torch.float32)


@pytest.fixture(autouse=True)
def _few_steps(monkeypatch):
    monkeypatch.setattr(matrix, "STEPS", 4)  # whether a loss falls shows as well


def test_nothing_is_left_out():
    assert {story.split(",")[0] for story in STORIES} == set(zoo.__all__)
    assert set(matrix.OBJECTIVES) == {objective.__name__ for objective in OBJECTIVES}
    for name, story in STORIES.items():
        assert list(WRITTEN[name]) == guides_of(story)
        for row in WRITTEN[name].values():
            assert list(row) == list(matrix.OBJECTIVES)
    assert list(WRITTEN) == list(STORIES)


def test_what_does_not_fit_says_so_in_words_and_names_a_way_out():
    for story, rows in WRITTEN.items():
        for guide, row in rows.items():
            for objective, cell in row.items():
                if cell["fits"]:
                    assert cell["loss"][1] < cell["loss"][0]
                    assert cell["traced"] == "yes", (story, guide, objective)
                    assert cell.get("compiled", "yes") == "yes", (story, guide, objective)
                    continue
                why = cell["why"]
                assert "Error:" not in why, (story, guide, objective)  # an error that nobody meant to raise
                ways = ("use ", "take ", "give ", "hand ", "guide = Auto", "the guide has the latent sites")
                assert any(way in why for way in ways), (story, guide, objective, why)


def test_a_cross_went_through_the_compiler():
    cross = [(story, "mean-field", "PlainELBO") for story in STORIES]
    cross += [("VAE", "mean-field", objective) for objective in matrix.OBJECTIVES]
    wanted = {(s, g, o) for s, g, o in cross if WRITTEN[s][g][o]["fits"]}
    assert len(wanted) > 20
    assert wanted == {
        (s, g, o) for s, rows in WRITTEN.items() for g, row in rows.items() for o in row if "compiled" in row[o]
    }


def test_only_a_missing_closed_form_sends_a_pair_to_draws(monkeypatch):
    assert matrix.attempt("VAE", "flow", "PlainELBO")["kl"] == "draws"
    assert matrix.attempt("VAE", "mean-field", "PlainELBO")["kl"] == "closed"

    def refuse(story):
        raise ValueError("there is no closed-form KL, says another error")

    monkeypatch.setitem(matrix.OBJECTIVES, "PlainELBO", refuse)
    assert matrix.attempt("VAE", "flow", "PlainELBO") == {
        "fits": False,
        "why": "there is no closed-form KL, says another error",
    }


@pytest.mark.parametrize(("story", "guide", "objective"), SOME, ids=lambda part: part.replace(" ", ""))
def test_a_cell_is_what_comes_out_again(story, guide, objective):
    written, again = WRITTEN[story][guide][objective], matrix.attempt(story, guide, objective)
    for what in ("fits", "kl", "why"):
        ours, theirs = (str(cell.get(what)) for cell in (again, written))
        if "_latent'" not in ours:
            assert ours == theirs


@pytest.mark.parametrize("guide", ["mean-field", "exact", "semi-amortised", "per-datapoint"])
def test_a_traced_cell_is_the_eager_one(guide):
    cell = matrix.attempt("JointVAE", guide, "PlainELBO", ["traced"])
    assert cell["traced"] == "yes"


def test_the_small_data_are_what_a_small_pair_takes():
    for story in STORIES:
        batch = data(story)
        assert batch.x.shape == (40, *STORIES[story].shape)
        assert ((batch.x == 0) | (batch.x == 1)).all()
        assert (batch.y is not None) == STORIES[story].labels
        model, guide = pair(story, "mean-field", matrix.OBJECTIVES["PlainELBO"](STORIES[story]))
        assert sum(p.numel() for p in (*model.parameters(), *guide.parameters())) < 1_500
    assert len(GUIDES) >= 15


def cells(text: str) -> list[list[str]]:
    """The cells of Markdown tables, rulers left out."""
    lines = [line for line in text.splitlines() if line.startswith("|") and not line.startswith("|:")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_the_tables_merge_guides_of_one_row_and_say_each_reason_once():
    fits = {"fits": True, "kl": "closed", "loss": [2.0, 1.0], "traced": "yes", "compiled": "yes"}
    drawn = {"fits": True, "kl": "draws", "loss": [2.0, 1.0], "traced": "yes"}
    no = {"fits": False, "why": "site 'z': take another"}
    small = {
        "A": {"g": {"E": fits, "F": no}, "h": {"E": fits, "F": no}, "i": {"E": drawn, "F": no}},
        "B": {"g": {"E": {"fits": False, "why": "hopeless"}, "F": no}},
    }
    written = matrix.markdown(small)
    assert "3 of 8 combinations fit" in written
    said = " ".join(written.split())
    assert "3 of these were also traced" in said
    assert "3 of them take the same steps as without" in said
    assert "2 were compiled as well" in said
    assert "2 of them take the same steps." in said
    assert cells(written) == [
        ["story", "guides", "E", "F"],
        ["A", "3", "3", ""],
        ["B", "1", "", ""],
        ["guide", "E", "F"],
        ["g, h", "●", "a"],
        ["i", "○", "a"],
        ["guide", "E", "F"],
        ["g", "b", "a"],
    ]
    assert written.count("site 'z': take another") == 1
    assert "- **b** hopeless" in written
    letters = [matrix._letters(number) for number in (0, 25, 26, 27, 52)]
    assert letters == ["a", "z", "aa", "ab", "ba"]


def test_the_summary_counts_guides():
    fits, no = {"fits": True, "kl": "closed", "traced": "yes"}, {"fits": False, "why": "hopeless"}
    small = {"A": {"g": {"E": fits, "F": no}, "h": {"E": fits, "F": no}}, "B": {"g": {"E": no, "F": fits}}}
    written = matrix.summary(small)
    assert cells(written) == [["story", "guides", "E", "F"], ["A", "2", "2", ""], ["B", "1", "", "1"]]
    assert "3 of 6 combinations fit" in matrix.markdown(small)


def test_results_that_the_tables_would_overwrite_are_refused_before_anything_is_tried(tmp_path, monkeypatch):
    monkeypatch.setattr(matrix, "cells", lambda: pytest.fail("the work began"))
    with pytest.raises(ValueError, match=r"must end in .json, .* end in .md, got .*mx.md: name it mx.json"):
        matrix.write(tmp_path / "mx.md")
    assert not list(tmp_path.iterdir())


def test_what_is_shown_is_the_matrix_that_was_written(tmp_path):
    assert matrix.WRITTEN.with_suffix(".md").read_text(encoding="utf-8") == matrix.markdown(WRITTEN)
    (tmp_path / "matrix.json").write_text("{")
    with pytest.raises(ValueError, match=r"matrix.json is damaged: .*write it again with `python -m zoo matrix`"):
        matrix.load(tmp_path / "matrix.json")


@pytest.mark.parametrize(
    ("guides", "why"),
    [
        ({}, "must hold guides and objectives"),
        ({"mean-field": {}}, "must hold guides and objectives"),
        ({"mean-field": {"HFVAE": {"fits": True}}}, "must hold guides and objectives"),
        (
            {"mean-field": {"HFVAE": {"fits": False, "why": "x"}}, "laplace": {"DIPVAE": {"fits": False, "why": "x"}}},
            "every guide of VAE must have the same objectives",
        ),
    ],
)
def test_a_matrix_with_gaps_is_refused(guides, why, tmp_path):
    (tmp_path / "matrix.json").write_text(json.dumps({"VAE": guides}))
    with pytest.raises(ValueError, match=rf"matrix.json is damaged: .*{why}.*write it again with `python -m zoo"):
        matrix.load(tmp_path / "matrix.json")
