"""A stored result is added to: seeds of another machine stay, and a full result waits until it has as many seeds."""

import json
from dataclasses import replace

import pytest
import torch

from tests.small_recipe import RECIPES
from zoo.lab.plots import ImageGrid, Picture
from zoo.lab.trials.card import Claims, card
from zoo.lab.trials.reproduce import reproduce
from zoo.lab.trials.reproduction import Claim, Quantity, Reproduction
from zoo.lab.trials.reproduction_plan import trials
from zoo.lab.trials.result_file import read_result
from zoo.lab.trials.stored import num_seeds, place, save, stored, with_stored
from zoo.lab.trials.trial import RunNotHereError, run_trials


def measured(trial):
    return {"score": 10.0 + trial.seed}


def pictures(tried):
    """The picture of the best seed's run."""
    best = max(tried["ours"], key=lambda trial: trial.quantities()["score"])
    if not (best.folder / "quantities.json").is_file():
        best.open()
    return {"best.png": Picture(ImageGrid(torch.zeros(1, 1, 1, 4, 4)), f"Seed {best.seed}.")}


def counts(tried):
    """A picture of quantities alone."""
    return {"count.png": Picture(ImageGrid(torch.zeros(1, 1, 1, 4, 4)), f"{len(tried['ours'])} seeds.")}


TOY = Reproduction(
    title="A toy",
    paper="Nobody 1999",
    variants={"ours": measured, "theirs": measured},
    quantities={"score": Quantity("score", better="high", digits=1)},
    best=("ours", "score"),
    claims=[Claim("There are three seeds.", lambda r: (len(r.values("ours", "score")) >= 3 or None, "So."))],
    pictures=[counts, pictures],
)


def reproduced(tmp_path, machine, **options):
    """The reproduction on a machine of that name, which has runs of its own and shares the results."""
    alone = {"device": "cpu", "jobs": 1}  # the toy's trials take less time than a worker that imports the zoo
    given = {"budget": "short", **alone, "runs": tmp_path / machine, **options}
    return reproduce("toy", {"toy": TOY}, RECIPES, tmp_path / "results", **given)


def seeds_of(result, variant="ours"):
    return [record["seed"] for record in result["variants"][variant]]


def test_a_second_machine_adds_a_seed_and_the_first_ones_stay(tmp_path):
    first = reproduced(tmp_path, "first", seeds=3).result
    theirs = trials("toy", TOY, tmp_path / "second", seeds=4, budget="short", recipes=RECIPES)
    fourth = [(measured, of_one[3]) for of_one in theirs.values()]
    assert run_trials(fourth) == []
    merged = with_stored(theirs, stored("toy", tmp_path / "results", "short"))
    assert [(t.seed, t.is_finished(), t.stored is None) for t in merged["ours"]] == [
        (0, True, False),
        (1, True, False),
        (2, True, False),
        (3, True, True),
    ]
    assert [trial.quantities()["score"] for trial in merged["theirs"]] == [10.0, 11.0, 12.0, 13.0]
    assert merged["ours"][0].record() == first["variants"]["ours"][0]


def test_a_run_here_takes_the_place_of_the_stored_record_of_its_seed_and_no_other(tmp_path):
    reproduced(tmp_path, "first", seeds=3)
    path = tmp_path / "results" / "toy.json"
    result = json.loads(path.read_text())
    for record in result["variants"]["ours"]:
        record["quantities"]["score"] = 99.0
    path.write_text(json.dumps(result))
    again = reproduced(tmp_path, "second", seeds=1).result
    assert [record["quantities"]["score"] for record in again["variants"]["ours"]] == [10.0, 99.0, 99.0]
    assert again["command"].endswith("--seeds 3")
    alone = reproduced(tmp_path, "second", seeds=1, replace=True).result
    assert seeds_of(alone) == [0]


def test_pictures_are_drawn_again_only_where_the_best_seeds_run_is_here(tmp_path):
    first = reproduced(tmp_path, "first", seeds=2)
    assert first.result["pictures"] == {"toy/count.png": "2 seeds.", "toy/best.png": "Seed 1."}
    drawn = (tmp_path / "results" / "toy" / "best.png").stat().st_mtime_ns
    path = tmp_path / "results" / "toy.json"
    result = json.loads(path.read_text())
    for variant in result["variants"].values():
        variant[0]["seed"] = 7
    path.write_text(json.dumps(result))
    second = reproduced(tmp_path, "second", seeds=1)  # the best of all, seed 1, ran on the first machine
    assert seeds_of(second.result) == [0, 1, 7]
    assert second.result["pictures"] == {"toy/count.png": "3 seeds.", "toy/best.png": "Seed 1."}
    assert (tmp_path / "results" / "toy" / "best.png").stat().st_mtime_ns == drawn
    third = reproduced(tmp_path, "second", seeds=3).result
    assert third["pictures"] == {"toy/count.png": "4 seeds.", "toy/best.png": "Seed 2."}
    with pytest.raises(RunNotHereError, match="seed 1 is in the stored result, and its run is not here"):
        second.trials["ours"][1].open()


def test_seeds_of_other_lengths_are_refused_and_the_stored_result_stays(tmp_path):
    reproduced(tmp_path, "first", seeds=2)
    path = tmp_path / "results" / "toy.json"
    result = json.loads(path.read_text())
    result["variants"]["ours"][1]["steps"] = 30_000
    path.write_text(json.dumps(result))
    before = path.read_bytes()
    said = r"toy, ours: seeds with different numbers of steps .*seed 0 has 0, seed 1 has 30,000.*--replace.*--out"
    with pytest.raises(ValueError, match=said):
        reproduced(tmp_path, "second", seeds=1)
    assert path.read_bytes() == before


def test_budgets_are_never_merged(tmp_path):
    reproduced(tmp_path, "first", seeds=2)
    full = reproduced(tmp_path, "second", seeds=1, budget="full")
    assert seeds_of(full.result) == [0]
    assert stored("toy", tmp_path / "results", "short") == read_result(tmp_path / "results" / "toy.json")


def test_a_full_result_waits_apart_until_it_has_as_many_seeds(tmp_path):
    results = tmp_path / "results"
    reproduced(tmp_path, "first", seeds=2)
    full = reproduced(tmp_path, "first", seeds=1, budget="full")
    assert full.path == results / "full" / "toy.json"
    assert full.result["pictures"] == {}  # those in toy/ are of the short runs
    assert full.result["claims"][0]["verdict"] is None  # graded on what there is
    assert read_result(results / "toy.json")["budget"] == "short"
    more = reproduced(tmp_path, "second", seeds=2, budget="full")  # seed 0 again, on another machine
    assert more.path == results / "toy.json"
    assert not (results / "full" / "toy.json").exists()
    assert more.result["pictures"] == {"toy/count.png": "2 seeds.", "toy/best.png": "Seed 1."}
    with pytest.raises(FileExistsError, match=r"holds more \(full budget\) than this result \(short budget\)"):
        reproduced(tmp_path, "first", seeds=3)


def test_a_full_result_that_lacks_a_variant_or_a_seed_of_one_is_not_complete(tmp_path):
    short = reproduced(tmp_path, "first", seeds=2).result
    full = {**short, "budget": "full"}
    assert place(full, tmp_path / "results") == tmp_path / "results" / "toy.json"
    some = {**full, "variants": {"ours": full["variants"]["ours"]}}
    assert place(some, tmp_path / "results").parent.name == "full"
    fewer = {**full, "variants": {**full["variants"], "theirs": full["variants"]["theirs"][:1]}}
    assert num_seeds(fewer) == 1
    assert save(fewer, tmp_path / "results").parent.name == "full"
    assert stored("toy", tmp_path / "results", "full") == fewer


def test_another_reproductions_file_is_refused(tmp_path):
    reproduced(tmp_path, "first", seeds=1)
    path = tmp_path / "results" / "toy.json"
    path.write_text(path.read_text().replace('"name": "toy"', '"name": "other"'))
    with pytest.raises(ValueError, match="holds the result of other, not of toy"):
        stored("toy", tmp_path / "results", "short")


def test_a_card_of_runs_with_different_versions_says_which_seeds_have_which(tmp_path):
    result = reproduced(tmp_path, "first", seeds=2).result
    own = result["variants"]["ours"][0]["versions"]
    assert f"torch {own['torch']}, pyro" in card(result).splitlines()[-3]
    for records in result["variants"].values():
        records[1]["versions"] = {**own, "torch": "1.0"}
    text = card(result)
    assert f"- seeds 0: torch {own['torch']}, " in text
    assert "- seeds 1: torch 1.0, " in text


def test_the_versions_of_a_seed_that_differ_between_variants_are_those_of_each_variant(tmp_path):
    """Before: "seeds 0, 1" stood before both versions, so that nobody could tell which runs had which."""
    result = reproduced(tmp_path, "first", seeds=2).result
    first, *others = result["variants"]
    own = result["variants"][first][0]["versions"]
    for record in result["variants"][first]:
        record["versions"] = {**own, "torch": "1.0"}
    text = card(result)
    assert f"- {first}, seeds 0, 1: torch 1.0, " in text
    assert f"- {'; '.join(f'{other}, seeds 0, 1' for other in others)}: torch {own['torch']}, " in text


def test_unequal_numbers_of_seeds_are_said(tmp_path):
    """Before: the largest number, as if every variant had so many."""
    result = reproduced(tmp_path, "first", seeds=2).result
    assert ": 2 seeds; budget: " in str(Claims(result))
    first, *_ = result["variants"]
    fewer = {**result, "variants": {**result["variants"], first: result["variants"][first][:1]}}
    assert ": 1 to 2 seeds; budget: " in str(Claims(fewer))


def test_a_stored_trial_of_a_variant_that_is_gone_is_left_out(tmp_path):
    result = reproduced(tmp_path, "first", seeds=1).result
    only = replace(TOY, variants={"ours": measured})
    fresh = trials("toy", only, tmp_path / "second", seeds=1, budget="short", recipes=RECIPES)
    assert list(with_stored(fresh, result)) == ["ours"]
