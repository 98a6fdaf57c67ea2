"""Trials in a precision that was asked for: what they train in and record, and that two precisions are never mixed.

A run of a trial has to equal, byte for byte, the run that `train` makes with the same settings; runs in bf16 and in
float32 differ from the first step.
"""

import json
import re
from dataclasses import asdict

import pytest
import torch

from tests.processes import copied_interpreters
from tests.small_recipe import RECIPES
from zoo.lab.runs.finished import configure
from zoo.lab.runs.folder import SETTINGS, new_folder, read_settings
from zoo.lab.runs.train import train
from zoo.lab.trials import queue
from zoo.lab.trials.card import Claims, card, headline_table, unfinished_table
from zoo.lab.trials.reproduce import graded, reproduce
from zoo.lab.trials.reproduction import Quantity, Reproduction
from zoo.lab.trials.reproduction_plan import plan_trials
from zoo.lab.trials.result_file import read_result
from zoo.lab.trials.stored import save, stored
from zoo.lab.trials.sweep import sweep
from zoo.lab.trials.sweep_plan import plan_sweep
from zoo.lab.trials.trial import Trial

pytestmark = pytest.mark.usefixtures("_quick_pictures")
STEPS = 4


@pytest.fixture(autouse=True)
def _single_precision():
    torch.set_default_dtype(torch.float32)


def weights(folder):
    return (folder / "weights.safetensors").read_bytes()


@pytest.fixture
def alone(tmp_path):
    """The weights of seed 0 by `train`, in a precision."""

    def trained(precision):
        folder = new_folder(tmp_path / f"alone-{precision}")
        settings, split, experiment = configure(RECIPES["small"], steps=STEPS, device="cpu", precision=precision)
        train(experiment, split, settings, folder, command="", progress=False)
        return weights(folder)

    return trained


# A sweep.


@pytest.mark.parametrize("jobs", [1, 2])
@copied_interpreters()
def test_every_run_of_a_sweep_is_the_one_that_train_makes(jobs, alone, tmp_path):
    options = {"seeds": 2, "steps": STEPS, "device": "cpu", "jobs": jobs}
    done = sweep(RECIPES["small"], tmp_path / "bf16", precision="bf16", **options)
    folders = [tmp_path / "bf16/restarts" / f"seed-{seed}" for seed in (0, 1)]
    assert done.failures == ()
    assert [read_settings(folder)[0].precision for folder in folders] == ["bf16", "bf16"]
    assert json.loads((folders[1] / "quantities.json").read_text())["precision"] == "bf16"
    assert weights(folders[0]) == alone("bf16") != alone("float32")
    before = (tmp_path / "bf16/table.csv").read_bytes()
    with pytest.raises(ValueError, match=r"\(precision is 'bf16' there, 'float32' here\): remove it, or name another "):
        sweep(RECIPES["small"], tmp_path / "bf16", **options)
    assert (tmp_path / "bf16/table.csv").read_bytes() == before


def test_a_begun_run_of_a_sweep_is_not_resumed_in_another_precision(tmp_path):
    planned = plan_sweep(RECIPES["small"], tmp_path, seeds=1, steps=STEPS, device="cpu", precision="bf16")
    planned.run_only(1)
    (tmp_path / "restarts/seed-0/quantities.json").unlink()  # killed after the training
    float32 = plan_sweep(RECIPES["small"], tmp_path, seeds=1, steps=STEPS, device="cpu")
    with pytest.raises(ValueError, match=r"trial 1 of 1 failed: .* \(precision is 'bf16' there, 'float32' here\)"):
        float32.run_only(1)
    # Settings of an earlier version have no precision; its sweeps were in float32.
    path = tmp_path / "restarts/seed-0" / SETTINGS
    record = json.loads(path.read_text())
    del record["precision"], record["digest"]
    path.write_text(json.dumps(record))
    with pytest.raises(ValueError, match=r"trial 1 of 1 failed: .* \(precision is 'float32' there, 'bf16' here\)"):
        planned.run_only(1)


@pytest.mark.parametrize("wrong", ["half", "BF16", 16, None, ["bf16"]])
def test_another_precision_is_refused_before_anything_is_written(wrong, tmp_path):
    with pytest.raises((ValueError, TypeError), match="precision must be 'float32' or 'medium' or 'bf16', got"):
        sweep(RECIPES["small"], tmp_path / "out", steps=STEPS, device="cpu", precision=wrong)
    assert not list(tmp_path.iterdir())


# A reproduction.


def own_medium(trial):
    """A measure that asks for a precision of its own, in two runs."""
    runs = [trial.train("small", steps=STEPS, within=within, precision="medium") for within in ("a", "b")]
    return {"score": float(len({run.settings.precision for run in runs}))}


TOY = Reproduction(
    title="A toy",
    paper="Nobody 1999",
    variants={"ours": own_medium},
    quantities={"score": Quantity("precisions", better="low", digits=0)},
    headline=[("ours", "score")],
)


def reproduced(tmp_path, out="results", **options):
    given = {"budget": "short", "device": "cpu", "jobs": 1, "seeds": 1, "runs": tmp_path / "runs", **options}
    return reproduce("toy", {"toy": TOY}, RECIPES, tmp_path / out, **given)


def test_what_was_asked_for_takes_the_place_of_the_measures_own(alone, tmp_path):
    own = reproduced(tmp_path).result
    assert [record["precision"] for record in own["variants"]["ours"]] == ["medium"]
    assert "precision" not in own
    assert "--precision" not in own["command"]
    assert "Precision" not in card(own)
    assert re.search(r"\| ours \| 0 \| 8 \| 0\.\d \| .* \| medium \|", card(own))
    asked = reproduced(tmp_path, "bf16", precision="bf16").result
    assert [record["precision"] for record in asked["variants"]["ours"]] == ["bf16"]
    assert asked["precision"] == graded(asked, TOY)["precision"] == "bf16"
    assert asked["command"] == "python -m zoo reproduce toy --budget short --seeds 1 --precision bf16"
    assert asked == json.loads((tmp_path / "bf16/toy.json").read_text())
    folders = [tmp_path / "runs/toy-short-bf16/seed-0" / within for within in ("a", "b")]
    assert [read_settings(folder)[0].precision for folder in folders] == ["bf16", "bf16"]
    assert weights(folders[0]) == alone("bf16") != weights(tmp_path / "runs/toy-short/seed-0/a")
    assert "Budget: short. Precision: bf16, for every run. The command" in card(asked)
    assert "Finished seeds: 1 of 3. Precision: bf16, for every run. The verdicts" in unfinished_table(
        asked, ["ours"], 3
    )
    assert "| 1 seed, short, bf16 |" in headline_table([asked])
    assert "**A toy**: 1 seed; budget: short, bf16" in repr(Claims(asked))


def never(*_, **__):
    raise AssertionError("a trial ran")


def test_a_result_in_another_precision_is_refused_before_any_trial_runs(tmp_path, monkeypatch):
    reproduced(tmp_path)
    reproduced(tmp_path, "bf16", precision="bf16")
    files = {path: path.read_bytes() for path in tmp_path.rglob("*.json")}
    monkeypatch.setattr("zoo.lab.trials.reproduce.run_trials", never)
    said = r"results.toy.json holds a result in the reproduction's own precision, and this one is in bf16: name another"
    with pytest.raises(FileExistsError, match=said):
        reproduced(tmp_path, precision="bf16", seeds=2)
    with pytest.raises(
        FileExistsError, match=r"toy.json holds a result in bf16, and this one is in float32: .*--repla"
    ):
        reproduced(tmp_path, "bf16", precision="float32", seeds=2)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.json")} == files


def test_a_full_result_that_waits_apart_is_not_replaced_by_one_in_another_precision(tmp_path):
    results = tmp_path / "results"
    reproduced(tmp_path, seeds=2)
    waiting = reproduced(tmp_path, budget="full").path
    assert waiting == results / "full/toy.json"
    before = {path: path.read_bytes() for path in results.rglob("*.json")}
    for budget in ("full", "short"):
        with pytest.raises(FileExistsError, match="in the reproduction's own precision, and this one is in bf16"):
            reproduced(tmp_path, budget=budget, precision="bf16", seeds=3)
    (results / "toy.json").unlink()
    with pytest.raises(FileExistsError, match=r"full.toy.json holds a result in the reproduction's own"):
        save({**read_result(waiting), "precision": "bf16"}, results)
    assert waiting.read_bytes() == before[waiting]


def test_a_full_result_may_have_another_precision_than_the_short_one(tmp_path):
    """They are never added to each other: it waits apart, and then takes the short one's place."""
    results = tmp_path / "results"
    short = reproduced(tmp_path, seeds=2).path.read_bytes()
    waiting = reproduced(tmp_path, budget="full", precision="bf16")
    assert waiting.path == results / "full/toy.json"
    assert waiting.result["precision"] == "bf16"
    assert (results / "toy.json").read_bytes() == short
    complete = reproduced(tmp_path, budget="full", precision="bf16", seeds=2)
    assert list(results.rglob("*.json")) == [complete.path] == [results / "toy.json"]
    assert [record["precision"] for record in complete.result["variants"]["ours"]] == ["bf16", "bf16"]


def test_a_stored_seed_counts_for_its_own_precision_alone(tmp_path):
    reproduced(tmp_path, precision="bf16")
    assert stored("toy", tmp_path / "results", "short", "bf16") == read_result(tmp_path / "results/toy.json")
    assert stored("toy", tmp_path / "results", "short") is None
    more = reproduced(tmp_path, precision="bf16", seeds=2, runs=tmp_path / "elsewhere").result
    assert [record["seed"] for record in more["variants"]["ours"]] == [0, 1]
    mine = reproduced(tmp_path, seeds=1, replace=True).result  # which takes the place of the other
    assert [record["precision"] for record in mine["variants"]["ours"]] == ["medium"]


def test_seeds_of_which_each_was_trained_in_another_precision_are_not_one_result(tmp_path):
    reproduced(tmp_path, seeds=2)
    path = tmp_path / "results/toy.json"
    result = json.loads(path.read_text())
    result["variants"]["ours"][1]["precision"] = "float32"  # by another version of the measure
    path.write_text(json.dumps(result))
    said = r"toy, ours: seeds with different precisions .*\(seed 0 has medium, seed 1 has float32\): give --replace"
    with pytest.raises(ValueError, match=said):
        reproduced(tmp_path, seeds=1, runs=tmp_path / "elsewhere")
    del result["variants"]["ours"][1]["precision"]  # a record of an earlier version, which has none
    path.write_text(json.dumps(result))
    assert len(reproduced(tmp_path, seeds=1, runs=tmp_path / "elsewhere").result["variants"]["ours"]) == 2


def test_a_reproduction_with_networks_of_its_own_cannot_be_asked_for_a_precision():
    others = Reproduction("Others", "", {"gan": never}, {}, other_networks=True)
    with pytest.raises(ValueError, match="--precision bf16 cannot be chosen for others, which also trains networks th"):
        plan_trials("others", {"others": others}, RECIPES, device="cpu", precision="bf16")
    assert len(plan_trials("others", {"others": others}, RECIPES, device="cpu", seeds=2)[1]) == 2
    with pytest.raises(ValueError, match="precision must be one of float32, medium, bf16, got 'half'"):
        plan_trials("others", {"others": TOY}, RECIPES, device="cpu", precision="half")


def planned(tmp_path, precision):
    others = Reproduction("Others", "", {"gan": never}, {}, seeds={"full": 1, "short": 1}, other_networks=True)
    return queue.plan(
        {"toy": TOY, "others": others},
        dict.fromkeys(("toy", "others"), tmp_path / "results"),
        tmp_path / "runs",
        budget="short",
        seeds=2,
        precision=precision,
        in_given_order=True,
        recipes=RECIPES,
        device="cpu",
    )


def test_a_queue_leaves_out_what_it_would_mix(tmp_path):
    reproduced(tmp_path)
    left = planned(tmp_path, "bf16").left_out
    assert left["toy"].endswith(
        "own precision, and this one is in bf16: name another folder with --out, or give --replace"
    )
    assert left["others"].startswith("--precision bf16 cannot be chosen for others")
    reproduced(tmp_path, precision="bf16", replace=True)
    plan = planned(tmp_path, "bf16")
    assert [(one.trial.seed, one.trial.precision) for one in plan.trials] == [(1, "bf16")]
    assert plan.trials[0].trial.folder == tmp_path / "runs/toy-short-bf16/seed-1"


def test_an_asked_precision_does_not_ignore_settings_that_have_none(tmp_path):
    trial = Trial(0, "short", tmp_path / "seed-0", RECIPES, device="cpu", progress=False)
    settings = asdict(trial.train("small", steps=STEPS).settings)
    del settings["precision"]
    (trial.folder / SETTINGS).write_text(json.dumps({**settings, "command": "", "versions": {}}))
    assert trial.train("small", steps=STEPS, precision="medium")  # the measure's own, which was not recorded then
    asked = Trial(0, "short", trial.folder, RECIPES, device="cpu", progress=False, precision="medium")
    with pytest.raises(ValueError, match="precision is 'float32' there, 'medium' here"):
        asked.train("small", steps=STEPS)
