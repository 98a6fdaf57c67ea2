"""Reproductions: trials that are run once, results with every seed, cards and the README's table made of them."""

import json
import math
import statistics
import sys
from dataclasses import replace

import pytest
import torch

from tests.processes import copied_interpreters, processes
from zoo.lab.plots import ImageGrid, Picture
from zoo.lab.runs import train as run
from zoo.lab.trials.card import (
    BEGIN,
    END,
    Claims,
    card,
    count_verdicts,
    headline_table,
    unfinished_table,
    verdicts_table,
    write_readme_table,
)
from zoo.lab.trials.processes import Loky
from zoo.lab.trials.reproduce import best, collect, draw, graded
from zoo.lab.trials.reproduction import Claim, Quantity, Reproduction, Results
from zoo.lab.trials.reproduction_plan import trials
from zoo.lab.trials.result_file import read_result
from zoo.lab.trials.stored import save
from zoo.lab.trials.trial import Trial, best_of, run_trial, run_trials
from zoo.papers.recipes import RECIPES

pytestmark = pytest.mark.usefixtures("_quick_pictures")


def measured(trial):
    """Quantities that are known: 10 + seed, and a count of how often this trial was run."""
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
        quantities={"score": Quantity("score, nats", better="high", digits=1), "length": Quantity("steps", digits=0)},
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


def test_this_projects_own_claims_stand_apart_and_are_not_counted_as_the_papers():
    own = Claim("ours uses fewer steps.", lambda r: (True, "They do."), own=True)
    records = {"ours": [{"seed": k, "quantities": {"score": 1.0 + k}} for k in range(2)]}
    result = {
        "claims": replace(reproduction(), claims=[*reproduction().claims[1:], own]).verdicts(Results.of(records)),
    }
    assert [claim.get("own", False) for claim in result["claims"]] == [False, True]
    assert count_verdicts([result]).startswith(
        "1 claims of the paper were checked. By our results 0 hold and 0 do not;"
    )
    assert "| toy | 1 | 0 | 0 | 1 |" in verdicts_table([("toy", [result])])


def variants_in(folder):
    return trials("a/toy", reproduction(), folder, seeds=3, budget="short", recipes=RECIPES)


@pytest.fixture
def variants(tmp_path):
    return variants_in(tmp_path / "runs")


def work(variants):
    return [(reproduction().variants[variant], trial) for variant, seeds in variants.items() for trial in seeds]


def test_each_trial_has_a_folder_of_its_own(variants, tmp_path):
    folders = [trial.folder.relative_to(tmp_path).as_posix() for seeds in variants.values() for trial in seeds]
    assert folders[0] == "runs/a-toy-short/ours/seed-0"
    assert folders[3] == "runs/a-toy-short/other--2/seed-0"
    assert len(set(folders)) == 6


def test_variants_whose_names_give_one_folder_are_refused(tmp_path):
    """Before: the second variant had the first one's numbers."""
    two = replace(reproduction(), variants={"beta = 1": measured, "beta_=_1": measured})
    with pytest.raises(ValueError, match=r"a/toy: the variants 'beta = 1' and 'beta_=_1' would have the same folder"):
        trials("a/toy", two, tmp_path, seeds=1, budget="short", recipes={})


def run_two_at_once(folder):
    """In a process of its own, which starts others; what failed is in the file `said`."""
    with (folder / "printed").open("w") as sys.stderr, copied_interpreters():
        failures = run_trials(work(variants_in(folder / "runs")), Loky(2))
    (folder / "said").write_text(json.dumps(failures))


@pytest.mark.parametrize("jobs", [1, 2])
def test_what_is_finished_is_not_run_again_and_what_fails_does_not_stop_the_rest(variants, jobs, tmp_path):
    for _ in range(2):
        if jobs == 1:
            failures = run_trials(work(variants))
        else:
            process = processes.Process(target=run_two_at_once, args=(tmp_path,))
            process.start()
            process.join()
            failures = json.loads((tmp_path / "said").read_text())
            assert f"failed: {failures[0]}" in (tmp_path / "printed").read_text()
        assert len(failures) == 1
        assert failures[0].endswith("seed-1: seed 1 cannot")
    assert [(trial.folder / "times").read_text() for trial in variants["ours"]] == ["x", "x", "x"]
    assert variants["ours"][2].quantities() == {"score": 12.0, "length": 7.0}


def test_the_result_holds_every_seed_and_the_claims(variants, tmp_path):
    run_trials(work(variants))
    result = collect("a/toy", reproduction(), variants, command="python -m zoo reproduce a/toy")
    assert [record["quantities"]["score"] for record in result["variants"]["ours"]] == [10.0, 11.0, 12.0]
    assert [record["seed"] for record in result["variants"]["Other (2)"]] == [0, 2]
    assert [claim["verdict"] for claim in result["claims"]] == [True, None]
    assert best("a/toy", reproduction(), variants).seed == 2
    with pytest.raises(ValueError, match="no quantity defines the best seed"):
        best("a/toy", Reproduction("", "", {}, {}), variants)


def test_the_best_seed_is_the_best_of_those_that_have_a_number(tmp_path):
    four = [Trial(seed, "short", tmp_path / f"seed-{seed}", RECIPES) for seed in range(4)]
    for trial, score in zip(four, (math.nan, 1.0, 3.0, math.nan), strict=True):
        assert not run_trial(lambda _, score=score: {"score": score, "length": 1.0}, trial)
    assert best_of(four, "score").seed == 2
    assert best_of(four, "score", "low").seed == 1
    result = collect("a/toy", reproduction(), {"ours": four}, command="")
    ours = next(line for line in card(result).splitlines() if line.startswith("| ours"))
    assert "| 3.0 |" in ours


def test_the_card_shows_mean_spread_best_and_every_seed(variants, tmp_path):
    run_trials(work(variants))
    result = collect("a/toy", reproduction(), variants, command="the command")
    path = save(result, tmp_path / "results")
    assert path.name == "a-toy.json"
    text = card(result)
    spread = statistics.stdev([10, 11, 12])
    assert f"| ours | score, nats | 11.0 | 11.0 +- {spread:.1f} | 12.0 | 10.0, 11.0, 12.0 |" in text
    assert "- **holds**: ours is above the other. So." in text
    assert "- **cannot tell**: nobody can tell." in text
    for part in ("the command", "It is a toy.", "Budget: short", "| ours | 2 | 0 |"):
        assert part in text
    assert card(read_result(path)) == text
    own = card({**result, "claims": [{**claim, "own": True} for claim in result["claims"]]})
    assert [title in text for title in ("### What the paper says", "### What this project says")] == [True, False]
    assert [title in own for title in ("### What the paper says", "### What this project says")] == [False, True]
    assert count_verdicts([result, result]) == (
        "4 claims of the paper were checked. By our results 2 hold and 0 do not; for 2 the seeds cannot tell."
    )


def test_the_card_says_which_seeds_were_compiled_if_any_was(variants):
    run_trials(work(variants))
    result = collect("a/toy", reproduction(), variants, command="")
    records = result["variants"]["ours"]
    assert [record["compiled"] for record in records] == [False, False, False]
    assert "compiled" not in card(result)
    records[1]["compiled"] = True
    del records[2]["compiled"]  # a record of an earlier version
    header, _, *rows = card(result).split("Runs</summary>")[1].strip().splitlines()
    assert header.endswith("| compiled |")
    assert [row.split(" | ")[-1].rstrip(" |") for row in rows[:3]] == ["no", "yes", ""]


def test_a_value_that_is_no_number_is_shown_as_such(variants):
    run_trials(work(variants))
    result = collect("a/toy", reproduction(), variants, command="")
    result["variants"]["ours"][1]["quantities"]["score"] = math.nan
    assert "| nan +- nan | " in card(result)
    result["variants"]["ours"][1]["quantities"]["score"] = math.inf
    assert "| inf +- nan | inf | 10.0, inf, 12.0 |" in card(result)
    result["variants"]["ours"][2]["quantities"]["score"] = -math.inf
    assert "| nan +- nan | inf | 10.0, inf, -inf |" in card(result)


def test_zero_has_no_sign(variants):
    run_trials(work(variants))
    result = collect("a/toy", reproduction(), variants, command="")
    for record, score in zip(result["variants"]["ours"], (-0.049, 0.0, -0.051), strict=True):
        record["quantities"]["score"] = score
    (ours,) = (line for line in card(result).splitlines() if line.startswith("| ours | score"))
    assert ours.endswith("| 0.0 +- 0.0 | 0.0 | 0.0, 0.0, -0.1 |")  # the mean is -0.033


def test_a_result_of_before_is_read_and_graded_again(variants, tmp_path):
    run_trials(work(variants))
    result = collect("a/toy", reproduction(), variants, command="the command")
    before = {
        **{key: value for key, value in result.items() if key not in ("quantities", "variants", "claims")},
        "figures": result["quantities"],
        "variants": {
            variant: [{**{k: v for k, v in record.items() if k != "quantities"}, "figures": record["quantities"]}]
            for variant, (record, *_) in result["variants"].items()
        },
        "claims": [{"claim": "ours is above the other.", "held": False, "evidence": "Of old."}],
    }
    path = tmp_path / "before.json"
    path.write_text(json.dumps(before))
    read = read_result(path)
    assert read["claims"][0]["verdict"] is False
    again = graded(read, reproduction())
    assert again.keys() == result.keys()
    assert [record["quantities"]["score"] for record in again["variants"]["ours"]] == [10.0]
    assert [claim["verdict"] for claim in again["claims"]] == [True, None]


def test_a_full_result_does_not_state_how_the_short_budget_deviates(variants):
    run_trials(work(variants))
    shortened = reproduction(shortened=["Short budget: 7 steps."])
    result = collect("a/toy", shortened, variants, command="the command")
    assert result["deviations"] == ["It is a toy.", "Short budget: 7 steps."]
    assert graded({**result, "budget": "full"}, shortened)["deviations"] == ["It is a toy."]


def test_a_trial_of_before_is_finished_and_says_what_it_measured(tmp_path):
    trial = trials("a/toy", reproduction(), tmp_path, seeds=1, budget="short", recipes=RECIPES)["ours"][0]
    trial.folder.mkdir(parents=True)
    assert not trial.is_finished()
    (trial.folder / "figures.json").write_text(json.dumps({"seed": 0, "figures": {"score": 3.0}}))
    assert trial.is_finished()
    assert trial.record() == {"seed": 0, "quantities": {"score": 3.0}}
    assert run_trial(measured, trial) is None
    assert not (trial.folder / "times").exists()


def test_a_notebook_has_the_claims_next_to_the_papers_values(variants):
    run_trials(work(variants))
    found = Claims(collect("a/toy", reproduction(), variants, command="the command"))
    shown = str(found)
    assert repr(found) == shown == found._repr_markdown_()
    spread = statistics.stdev([10, 11, 12])
    reported = reproduction().reported
    assert {(v, q) for v, of_one in reported.items() for q in of_one} == {("ours", "score")}  # the rest is left out
    assert f"| ours | score, nats | 11.0 | 11.0 +- {spread:.1f} |" in shown
    assert "| steps |" not in shown
    assert "| ours is above the other. | **holds** | So. |" in shown
    assert "| nobody can tell. | **cannot tell** |" in shown
    assert "3 seeds; budget: short" in shown
    assert "- It is a toy." in shown


def test_a_lesser_result_does_not_replace_a_greater(variants, tmp_path):
    run_trials(work(variants))
    result = collect("a/toy", reproduction(), variants, command="")
    save({**result, "budget": "full"}, tmp_path)
    with pytest.raises(FileExistsError, match=r"holds more \(full budget\) than this result \(short budget\)"):
        save(result, tmp_path)
    save(result, tmp_path, replace=True)
    fewer = {**result, "variants": {"ours": result["variants"]["ours"][:1]}}
    with pytest.raises(FileExistsError):
        save(fewer, tmp_path)


def test_nothing_finished_is_an_error(variants):
    with pytest.raises(FileNotFoundError, match="no trial of a/toy is finished"):
        collect("a/toy", reproduction(), variants, command="")


def test_means_over_seeds_and_none():
    results = Results({"ours": {2: {"a": 3.0}, 0: {"a": 1.0}, 1: {}}})
    assert results.values("ours", "a") == [1.0, 3.0]
    assert results.mean("ours", "a") == 2.0
    assert math.isnan(results.mean("theirs", "a"))


def test_pictures_are_of_finished_trials_and_their_captions_are_on_the_card(variants, tmp_path):
    seen = {}

    def pictures(finished):
        seen.update({variant: [trial.seed for trial in trials] for variant, trials in finished.items()})
        return {"a.png": Picture(ImageGrid(torch.zeros(1, 1, 1, 4, 4)), "What it shows.")}

    run_trials(work(variants))
    wanted = reproduction(pictures=[pictures])
    captions = draw(wanted, variants, "a/toy", tmp_path / "results")
    assert seen == {"ours": [0, 1, 2], "Other (2)": [0, 2]}
    assert captions == {"a-toy/a.png": "What it shows."}
    assert (tmp_path / "results" / "a-toy" / "a.png").read_bytes().startswith(b"\x89PNG")
    result = {**collect("a/toy", wanted, variants, command=""), "pictures": captions}
    assert "![What it shows.](a-toy/a.png)" in card(result)


def test_the_headline_has_the_papers_value_and_ours(variants):
    run_trials(work(variants))
    text = headline_table([collect("a/toy", reproduction(), variants, command="")])
    assert "| A toy | ours | score, nats | 11.0 | 11.0 +- 1.0 | 12.0 | 3 seeds, short |" in text


def test_seeds_of_a_result_that_is_not_complete_are_shown_apart_from_its_claims(variants):
    run_trials(work(variants))
    result = collect("a/toy", reproduction(), variants, command="the command")
    text = unfinished_table(result, [*variants, "later"], 10)
    assert "Finished seeds, of 10: ours: 3; Other (2): 2; later: 0. The verdicts above do not use them." in text
    assert "Finished seeds: 3 of 10. The verdicts" in unfinished_table(result, ["ours"], 10)
    assert "The verdicts of these seeds alone:" in text
    assert "- **holds**: ours is above the other. So." in text
    assert "| ours | score, nats | 10.0, 11.0, 12.0 |" in text


def test_the_readme_table_counts_claims_and_goes_between_its_marks(tmp_path):
    results = [{"claims": [{"verdict": True}, {"verdict": None}]}, {"claims": [{"verdict": False}, {"verdict": True}]}]
    text = verdicts_table([("[A paper](a/README.md)", results)])
    assert [cell.strip() for cell in text.splitlines()[3].split("|")[1:-1]] == ["[A paper](a/README.md)", *"4211"]
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    write_readme_table(readme, text)
    assert readme.read_text() == f"before\n{text}\nafter\n"
    (tmp_path / "bare.md").write_text("")
    with pytest.raises(ValueError, match="no place for the table"):
        write_readme_table(tmp_path / "bare.md", text)


def trained(trial):
    run_of = trial.train("joint-vae/digits", steps=6, over=3)
    return {"steps": run_of.settings.steps, "seed": run_of.settings.seed}


def test_a_trial_trains_goes_on_or_opens(variants, monkeypatch):
    trial = variants["ours"][2]
    assert run_trial(trained, trial) is None
    assert trial.quantities() == {"steps": 6.0, "seed": 2.0}
    record = json.loads((trial.folder / "quantities.json").read_text())
    assert record["steps"] == 6
    assert 0 < record["seconds"] < 60

    def never(*_, **__):
        raise AssertionError("trained again")

    monkeypatch.setattr(run, "train", never)
    assert trial.train("joint-vae/digits", steps=6, over=3).settings.hyperparameters == {"over": 3}
    assert trial.open().settings.seed == 2
    with pytest.raises(ValueError, match=r"other settings \(hyperparameters is {'over': 3} there, {'over': 4} here\)"):
        trial.train("joint-vae/digits", steps=6, over=4)
