"""Reproductions: trials that are run once, results with every seed, cards and the README's table made of them."""

import json
import math
import statistics
from pathlib import Path

import pytest
import torch

from zoo.lab.plots import ImageGrid, Picture
from zoo.lab.runs import train as run
from zoo.lab.trials.card import BEGIN, END, card, claims, readme_table, write_readme_table
from zoo.lab.trials.reproduction import Claim, Figure, Reproduction, Results, best, collect, draw, save, trials
from zoo.lab.trials.trial import run_trial, run_trials
from zoo.papers.recipes import RECIPES
from zoo.papers.reproductions import REPRODUCTIONS

ROOT = Path(__file__).parents[3]


def measured(trial):
    """Figures that are known: 10 + seed, and a count of how often this trial was run."""
    with (trial.folder / "times").open("a") as file:
        file.write("x")
    return {"score": 10.0 + trial.seed, "length": trial.steps(full=100, short=7)}


def other(trial):
    if trial.seed == 1:
        raise ValueError("seed 1 cannot")
    return {"score": -1.0}


def reproduction(**more):
    return Reproduction(
        title="A toy",
        paper="Nobody 1999",
        variants={"ours": measured, "Other (2)": other},
        figures={"score": Figure("score, nats", better="high", digits=1), "length": Figure("steps", digits=0)},
        reported={"ours": {"score": 11.0}},
        headline=[("ours", "score")],
        best=("ours", "score"),
        claims=[
            Claim(
                "ours is above the other.", lambda r: (r.mean("ours", "score") > r.mean("Other (2)", "score"), "So.")
            ),
            Claim("nobody can tell.", lambda r: (None, "")),
        ],
        deviations=["It is a toy."],
        **more,
    )


@pytest.fixture
def tried(tmp_path):
    return trials("a/toy", reproduction(), tmp_path / "runs", seeds=3, budget="short", recipes=RECIPES)


def work(tried):
    return [(reproduction().variants[variant], trial) for variant, of_it in tried.items() for trial in of_it]


def test_each_trial_has_a_folder_of_its_own(tried, tmp_path):
    folders = [trial.folder.relative_to(tmp_path).as_posix() for of_it in tried.values() for trial in of_it]
    assert folders[0] == "runs/a-toy-short/ours/seed-0"
    assert folders[3] == "runs/a-toy-short/other--2/seed-0"
    assert len(set(folders)) == 6


@pytest.mark.parametrize("jobs", [1, 2])
def test_what_is_finished_is_not_run_again_and_what_fails_does_not_stop_the_rest(tried, jobs):
    for _ in range(2):
        failures = run_trials(work(tried), jobs=jobs)
        assert len(failures) == 1
        assert failures[0].endswith("seed-1: seed 1 cannot")
    assert [(trial.folder / "times").read_text() for trial in tried["ours"]] == ["x", "x", "x"]
    assert tried["ours"][2].figures() == {"score": 12.0, "length": 7.0}


def test_the_result_holds_every_seed_and_the_claims(tried, tmp_path):
    run_trials(work(tried))
    result = collect("a/toy", reproduction(), tried, command="python -m zoo reproduce a/toy")
    assert [record["figures"]["score"] for record in result["variants"]["ours"]] == [10.0, 11.0, 12.0]
    assert [record["seed"] for record in result["variants"]["Other (2)"]] == [0, 2]
    assert [claim["held"] for claim in result["claims"]] == [True, None]
    assert best(reproduction(), tried, result).seed == 2
    with pytest.raises(ValueError, match="no figure says which seed is best"):
        best(Reproduction("", "", {}, {}), tried, result)


def test_the_card_shows_mean_spread_best_and_every_seed(tried, tmp_path):
    run_trials(work(tried))
    path = save(collect("a/toy", reproduction(), tried, command="the command"), tmp_path / "results")
    text = path.read_text()
    assert path.name == "a-toy.md"
    spread = statistics.stdev([10, 11, 12])
    assert f"| ours | score, nats | 11.0 | 11.0 +- {spread:.1f} | 12.0 | 10.0, 11.0, 12.0 |" in text
    assert "- **held**: ours is above the other. So." in text
    assert "- **cannot be told**: nobody can tell." in text
    for part in ("the command", "It is a toy.", "Budget: short", "| ours | 2 | 0 |"):
        assert part in text
    assert card(json.loads((tmp_path / "results/a-toy.json").read_text())) == text


def test_a_notebook_has_the_claims_beside_the_papers_values(tried, tmp_path):
    run_trials(work(tried))
    save(collect("a/toy", reproduction(), tried, command="the command"), tmp_path)
    shown = str(claims("a-toy", tmp_path))
    spread = statistics.stdev([10, 11, 12])
    reported = reproduction().reported
    assert {(v, f) for v, of_it in reported.items() for f in of_it} == {("ours", "score")}  # the rest is left out
    assert f"| ours | score, nats | 11.0 | 11.0 +- {spread:.1f} |" in shown
    assert "| steps |" not in shown
    assert "| ours is above the other. | **held** | So. |" in shown
    assert "| nobody can tell. | **cannot be told** |" in shown
    assert "3 seeds, short budget" in shown
    assert "- It is a toy." in shown


def test_claims_of_what_is_not_there_say_what_is(tried, tmp_path):
    run_trials(work(tried))
    save(collect("a/toy", reproduction(), tried, command="the command"), tmp_path)
    with pytest.raises(LookupError, match="did you mean 'a-toy'"):
        claims("a-toi", tmp_path)
    with pytest.raises(FileNotFoundError, match="results come with the repository"):
        claims("a-toy", tmp_path / "nowhere")


def test_a_lesser_result_does_not_replace_a_greater(tried, tmp_path):
    run_trials(work(tried))
    result = collect("a/toy", reproduction(), tried, command="")
    save({**result, "budget": "full"}, tmp_path)
    with pytest.raises(FileExistsError, match=r"holds more \(full budget\) than this result \(short budget\)"):
        save(result, tmp_path)
    save(result, tmp_path, replace=True)
    fewer = {**result, "variants": {"ours": result["variants"]["ours"][:1]}}
    with pytest.raises(FileExistsError):
        save(fewer, tmp_path)


def test_nothing_finished_is_an_error(tried):
    with pytest.raises(FileNotFoundError, match="no trial of a/toy is finished"):
        collect("a/toy", reproduction(), tried, command="")


def test_means_over_seeds_and_none():
    results = Results({"ours": {2: {"a": 3.0}, 0: {"a": 1.0}, 1: {}}})
    assert results.values("ours", "a") == [1.0, 3.0]
    assert results.mean("ours", "a") == 2.0
    assert math.isnan(results.mean("theirs", "a"))


def test_pictures_are_of_finished_trials_and_their_captions_are_on_the_card(tried, tmp_path):
    seen = {}

    def pictures(finished):
        seen.update({variant: [trial.seed for trial in of_it] for variant, of_it in finished.items()})
        return {"a.png": Picture(ImageGrid(torch.zeros(1, 1, 1, 4, 4)), "What it shows.")}

    run_trials(work(tried))
    wanted = reproduction(pictures=pictures)
    captions = draw(wanted, tried, "a/toy", tmp_path / "results")
    assert seen == {"ours": [0, 1, 2], "Other (2)": [0, 2]}
    assert captions == {"a-toy/a.png": "What it shows."}
    assert (tmp_path / "results" / "a-toy" / "a.png").read_bytes().startswith(b"\x89PNG")
    result = {**collect("a/toy", wanted, tried, command=""), "pictures": captions}
    assert "![What it shows.](a-toy/a.png)" in card(result)


def test_the_readme_table_goes_between_its_marks(tried, tmp_path):
    run_trials(work(tried))
    save(collect("a/toy", reproduction(), tried, command=""), tmp_path / "results")
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    write_readme_table(readme, tmp_path / "results")
    text = readme.read_text()
    assert text.startswith("before\n")
    assert text.endswith("\nafter\n")
    assert "| [A toy](results/a-toy.md) | ours | score, nats | 11.0 | 11.0 +- 1.0 | 12.0 | 3 seeds, short |" in text
    assert "old" not in text
    (tmp_path / "bare.md").write_text("")
    with pytest.raises(ValueError, match="no place for the table"):
        write_readme_table(tmp_path / "bare.md", tmp_path / "results")


def trained(trial):
    run_of = trial.train("joint-vae/digits", steps=6, over=3)
    return {"steps": run_of.settings.steps, "seed": run_of.settings.seed}


def test_a_trial_trains_goes_on_or_opens(tried, monkeypatch):
    trial = tried["ours"][2]
    assert run_trial(trained, trial) is None
    assert trial.figures() == {"steps": 6.0, "seed": 2.0}
    record = json.loads((trial.folder / "figures.json").read_text())
    assert record["steps"] == 6
    assert 0 < record["seconds"] < 60

    def never(*_, **__):
        raise AssertionError("trained again")

    monkeypatch.setattr(run, "train", never)
    assert trial.train("joint-vae/digits", steps=6, over=3).settings.hyperparameters == {"over": 3}
    assert trial.open().settings.seed == 2
    with pytest.raises(ValueError, match=r"other settings \(hyperparameters is {'over': 3} there, {'over': 4} here\)"):
        trial.train("joint-vae/digits", steps=6, over=4)


def committed():
    return sorted(card.with_suffix(".json") for card in (ROOT / "results").glob("*.md"))


@pytest.mark.parametrize("path", committed(), ids=lambda path: path.stem)
def test_the_cards_are_those_of_the_results(path):
    result = json.loads(path.read_text())
    assert path.with_suffix(".md").read_text() == card(result)
    wanted = REPRODUCTIONS[result["name"]]
    assert set(result["variants"]) <= set(wanted.variants)
    for picture in result["pictures"]:
        assert (path.parent / picture).is_file()
    # What held is computed from the seeds, not remembered.
    results = Results({v: {r["seed"]: r["figures"] for r in of_it} for v, of_it in result["variants"].items()})
    for claim, told in zip(wanted.claims, result["claims"], strict=True):
        held, evidence = claim.held(results)
        assert (claim.text, held, evidence) == (told["claim"], told["held"], told["evidence"])


def test_the_readme_has_the_table_of_the_results():
    text = (ROOT / "README.md").read_text()
    assert readme_table(ROOT / "results") in text


def test_every_reproduction_can_say_what_it_wants():
    for name, wanted in REPRODUCTIONS.items():
        for variant, values in wanted.reported.items():
            assert variant in wanted.variants, name
            assert set(values) <= set(wanted.figures), name
        for variant, figure in [*wanted.headline, *([wanted.best] if wanted.best else [])]:
            assert variant in wanted.variants, name
            assert figure in wanted.figures, name
        assert set(wanted.seeds) == {"full", "short"}, name
