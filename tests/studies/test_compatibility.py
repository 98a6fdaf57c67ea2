"""The matrix: that it leaves nothing out, says what is so, and is what the README shows."""

from pathlib import Path

import pytest
import torch

import zoo
from zoo.__main__ import objectives
from zoo.studies.compatibility import matrix
from zoo.studies.compatibility.recipes import GUIDES, STORIES, data, guides_of, pair

ROOT = Path(__file__).parents[2]
WRITTEN = matrix.load(ROOT / "zoo/studies/compatibility/results/matrix.json")

# Few enough for the suite: every story, guide and objective is among them, and the refusals of each kind.
SOME = [
    *[(story, "mean-field", "ELBO") for story in STORIES],
    *[("VAE", guide, "BetaVAE") for guide in guides_of(STORIES["VAE"])],
    *[("JointVAE", guide, "Capacity") for guide in ("straight-through", "exact", "AutoNormal", "AutoDelta")],
    *[("NaturalClustering", "flow", objective) for objective in matrix.OBJECTIVES],
    ("NaturalClustering", "low-rank", "NVAE"),
    ("NaturalClustering, no labels", "semi-amortised", "NVAE"),
    ("NaturalClustering, no labels", "AutoNormal", "ELBO"),
    ("JointVAE", "exact", "FactorVAE"),
    ("JointVAE", "exact", "HFVAE"),
    ("JointVAE", "point", "HFVAE"),
    ("StudentTVAE", "student-t", "DIPVAEII"),
    ("SparseVAE", "mixture", "Decomposition"),
]


@pytest.fixture(autouse=True)
def _single_precision():
    torch.set_default_dtype(torch.float32)


def test_nothing_is_left_out():
    assert {story.split(",")[0] for story in STORIES} == set(zoo.__all__)
    assert set(matrix.OBJECTIVES) == {objective.__name__ for objective in objectives()}
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
                ways = ("take ", "give ", "hand ", "guide = Auto", "the guide has the latent sites")
                assert any(way in why for way in ways), (story, guide, objective, why)


def test_a_cross_went_through_the_compiler():
    cross = [(story, "mean-field", "ELBO") for story in STORIES]
    cross += [("VAE", "mean-field", objective) for objective in matrix.OBJECTIVES]
    wanted = {(s, g, o) for s, g, o in cross if WRITTEN[s][g][o]["fits"]}
    assert len(wanted) > 20
    assert wanted == {
        (s, g, o) for s, rows in WRITTEN.items() for g, row in rows.items() for o in row if "compiled" in row[o]
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
    cell = matrix.attempt("JointVAE", guide, "ELBO", ["traced"])
    assert cell["traced"] == "yes"


def test_the_small_data_are_what_a_small_pair_takes():
    for story in STORIES:
        batch = data(story)
        assert batch.x.shape == (40, *STORIES[story].shape)
        assert ((batch.x == 0) | (batch.x == 1)).all()
        assert (batch.y is not None) == STORIES[story].labels
        model, guide = pair(story, "mean-field", matrix.OBJECTIVES["ELBO"](STORIES[story]))
        assert sum(p.numel() for p in (*model.parameters(), *guide.parameters())) < 1_500
    assert len(GUIDES) >= 15


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
    assert "3 of these were traced" in said
    assert "and 3 take the eager steps" in said
    assert "2 were compiled too" in said
    assert "and 2 take the eager steps" in said
    assert "| g, h | ● | a |\n| i | ○ | a |" in written
    assert "| g | b | a |" in written
    assert written.count("site 'z': take another") == 1
    assert "- **b** hopeless" in written
    letters = [matrix._letters(number) for number in (0, 25, 26, 27, 52)]
    assert letters == ["a", "z", "aa", "ab", "ba"]


def test_the_summary_counts_guides():
    fits, no = {"fits": True, "traced": "yes"}, {"fits": False, "why": "hopeless"}
    small = {"A": {"g": {"E": fits, "F": no}, "h": {"E": fits, "F": no}}, "B": {"g": {"E": no, "F": fits}}}
    written = matrix.summary(small)
    assert "| story | guides | E | F |\n" in written
    assert "| A | 2 | 2 |  |\n| B | 1 |  | 1 |\n" in written
    assert "3 of 6 combinations fit" in written


def test_what_is_shown_is_the_matrix_that_was_written(tmp_path):
    assert (ROOT / "zoo/studies/compatibility/results/matrix.md").read_text() == matrix.markdown(WRITTEN)
    assert matrix.summary(WRITTEN) in (ROOT / "README.md").read_text()
    mine = tmp_path / "README.md"
    mine.write_text(f"before\n{matrix.BEGIN}\nold\n{matrix.END}\nafter\n")
    matrix.write_readme(mine, WRITTEN)
    assert mine.read_text() == f"before\n{matrix.summary(WRITTEN)}\nafter\n"
    mine.write_text("no place")
    with pytest.raises(ValueError, match="has no place for the matrix: it needs the lines"):
        matrix.write_readme(mine, WRITTEN)
