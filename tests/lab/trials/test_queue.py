"""A queue: its order, its table, and what is left when its time is up."""

import math
from dataclasses import replace

import pytest
import torch

from tests.processes import copied_interpreters
from tests.small_recipe import RECIPES
from zoo.lab.runs.checkpoint import load
from zoo.lab.runs.folder import CHECKPOINT, is_finished
from zoo.lab.trials import queue
from zoo.lab.trials.processes import Loky
from zoo.lab.trials.reproduction import Claim, Quantity, Reproduction
from zoo.lab.trials.stored import save


def quick(trial):
    return {"score": 10.0 + trial.seed}


def slow(trial):
    """A minute of training, in steps of 2 ms."""
    return {"score": trial.train("small", steps=30_000).settings.steps}


def toy(measure, *, claims=1, seeds=2, variants=("ours",)):
    return Reproduction(
        title="A toy",
        paper="",
        variants=dict.fromkeys(variants, measure),
        quantities={"score": Quantity("score", better="high")},
        seeds={"full": seeds, "short": seeds},
        claims=[Claim(f"{k}", lambda r: (len(r.values("ours", "score")) > 1 or None, "")) for k in range(claims)],
    )


def record(seed, seconds):
    about = {"hardware": "1 of 2 CPU cores", "versions": {"torch": "2"}}
    return {"seed": seed, "quantities": {"score": 1.0}, "steps": 100, "seconds": seconds, **about}


def keep(tmp_path, name, seconds, *, seeds=(0,), budget="full", variants=("ours",)):
    """A stored result whose runs are elsewhere."""
    records = {variant: [record(seed, seconds) for seed in seeds] for variant in variants}
    texts = {"name": name, "title": "A toy", "paper": "", "command": "", "budget": budget}
    tables = {"quantities": {}, "reported": {}, "headline": [], "claims": [], "deviations": [], "pictures": {}}
    save({**texts, **tables, "variants": records}, tmp_path / "results")


def planned(tmp_path, reproductions, *, in_given_order=False, seeds=None, budget="full", precision=None):
    torch.set_default_dtype(torch.float32)
    return queue.plan(
        reproductions,
        dict.fromkeys(reproductions, tmp_path / "results"),
        tmp_path / "runs",
        budget=budget,
        seeds=seeds,
        precision=precision,
        in_given_order=in_given_order,
        recipes=RECIPES,
        device="cpu",
    )


def names(plan):
    return list(dict.fromkeys(one.name for one in plan.trials))


def test_open_claims_per_core_hour_decide_the_order_unless_it_is_given(tmp_path):
    # one missing seed each: 1 claim for 10 minutes, 3 for 15, 2 for 60, none for 1
    wanted = {"a": (1, 600), "b": (3, 900), "c": (2, 3600), "d": (0, 60)}
    for name, (_, seconds) in wanted.items():
        keep(tmp_path, name, seconds)
    toys = {name: toy(quick, claims=claims) for name, (claims, _) in wanted.items()}
    assert names(planned(tmp_path, toys)) == ["b", "a", "c", "d"]
    assert names(planned(tmp_path, toys, in_given_order=True)) == ["a", "b", "c", "d"]


@pytest.mark.parametrize(("budget", "count"), [("short", 2), ("full", 1)])
def test_a_claim_that_does_not_hold_at_the_papers_length_is_not_open(tmp_path, budget, count):
    # Of four claims one holds, one does not, one cannot be told, and one that does not hold is not the paper's.
    claims = [Claim("a", lambda _: (True, "")), Claim("b", lambda _: (False, "")), Claim("c", lambda _: (None, ""))]
    claims.append(Claim("d", lambda _: (False, ""), own=True))
    toys = {"a": replace(toy(quick), claims=claims)}
    assert planned(tmp_path, toys).open_claims == {"a": 3}  # nothing was run
    keep(tmp_path, "a", 60, budget=budget)
    assert planned(tmp_path, toys).open_claims == {"a": count}


def test_only_what_is_missing_is_run_seed_by_seed(tmp_path):
    keep(tmp_path, "a", 60, seeds=(0, 2), variants=("ours", "theirs"))
    plan = planned(tmp_path, {"a": toy(quick, variants=("ours", "theirs"))}, seeds=4)
    assert [(one.variant, one.trial.seed, one.minutes) for one in plan.trials] == [
        ("ours", 1, 1.0),
        ("theirs", 1, 1.0),
        ("ours", 3, 1.0),
        ("theirs", 3, 1.0),
    ]
    row = "| a | ours | 1, 3 | full | 1.0 | 2.0 | 0 |"  # its claim holds with two stored seeds
    assert row in plan.table()
    assert "4 trials, 0.1 core-hours." in plan.table()


def test_what_a_short_result_decides_is_known_in_whatever_precision_the_full_one_is_asked_for(tmp_path):
    keep(tmp_path, "a", 60, seeds=(0, 1), budget="short")
    plan = planned(tmp_path, {"a": toy(quick)}, precision="bf16")
    assert [(one.trial.seed, one.trial.precision) for one in plan.trials] == [(0, "bf16"), (1, "bf16")]
    assert plan.open_claims == {"a": 0}  # its claim holds with two short seeds
    keep(tmp_path, "a", 60, seeds=(0, 1))
    assert planned(tmp_path, {"a": toy(quick)}, budget="short", precision="bf16").left_out == {
        "a": "there is a result of the full budget"
    }


def test_what_cannot_be_run_here_is_left_out_with_the_reason(tmp_path):
    def nowhere(trial):
        raise FileNotFoundError("data 'faces': not found")

    keep(tmp_path, "b", 60)
    toys = {"a": toy(nowhere), "b": toy(quick)}
    plan = planned(tmp_path, toys)
    assert plan.left_out == {"a": "data 'faces': not found"}
    assert names(plan) == ["b"]
    assert "left out: a: data 'faces': not found" in plan.table()
    assert planned(tmp_path, {"b": toy(quick)}, budget="short").left_out == {
        "b": "there is a result of the full budget"
    }


def test_damaged_data_of_one_reproduction_do_not_end_the_plan_of_the_others(tmp_path):
    """Before: only files that were missing left a reproduction out, and an error of another kind left out all."""

    def damaged(trial):
        raise ValueError("faces/list.txt is damaged")

    keep(tmp_path, "b", 60)
    plan = planned(tmp_path, {"a": toy(damaged), "b": toy(quick)})
    assert (names(plan), plan.left_out) == (["b"], {"a": "faces/list.txt is damaged"})


def test_a_trial_of_unknown_cost_is_queued_last_and_other_networks_are_not_trained_to_find_it(tmp_path):
    def train_a_gan(trial):
        raise AssertionError("trained")

    keep(tmp_path, "c", 60)
    toys = {"a": toy(quick), "b": replace(toy(train_a_gan), other_networks=True), "c": toy(quick)}
    plan = planned(tmp_path, toys)
    assert (names(plan), plan.left_out) == (["c", "a", "b"], {})
    assert [one.minutes for one in plan.trials] == pytest.approx([1.0] + 4 * [math.nan], nan_ok=True)
    assert "| b | ours | 0 to 1 | full | unknown | unknown | 1 |" in plan.table()
    assert "5 trials, 0.0 core-hours, and the unknown cost of 4 trials." in plan.table()


@copied_interpreters()
def test_it_runs_in_order_and_says_so_after_each_trial(tmp_path):
    for name in "ab":
        keep(tmp_path, name, 60, seeds=())
        (tmp_path / "results" / f"{name}.json").unlink()
    keep(tmp_path, "a", 60)
    plan = planned(tmp_path, {"a": toy(quick)}, seeds=3)
    told = []
    done, failures = queue.run(plan, Loky(1), hours=None, finished=told.append)
    assert [one.trial.seed for one in done] == [1, 2]
    assert (told, failures) == (["a", "a"], [])
    assert [trial.quantities()["score"] for trial in plan.variants["a"]["ours"]] == [1.0, 11.0, 12.0]
    assert planned(tmp_path, {"a": toy(quick)}, seeds=3).trials == []
    assert queue.run(planned(tmp_path, {"a": toy(quick)}, seeds=3), Loky(1), hours=1, finished=told.append) == ([], [])


def test_an_error_is_printed_while_the_others_still_run(tmp_path, monkeypatch, capsys):
    def broken(trial):
        raise ValueError("why")

    def in_this_process(run, work, on, **_):
        for measure, trial in work:
            yield (measure, trial), run((broken if trial.seed == 1 else measure, trial))

    printed = []
    monkeypatch.setattr(queue, "in_parallel", in_this_process)
    keep(tmp_path, "a", 60)
    plan = planned(tmp_path, {"a": toy(quick)}, seeds=3)
    done, failures = queue.run(plan, Loky(1), hours=None, finished=lambda name: printed.append(capsys.readouterr().err))
    folder = plan.trials[0].trial.folder
    assert ([one.trial.seed for one in done], failures) == ([2], [f"{folder}: why"])
    assert f"failed: {folder}: why" in printed[0]


@copied_interpreters()
def test_when_the_time_is_up_running_trials_save_and_the_rest_is_left(tmp_path, monkeypatch):
    keep(tmp_path, "a", 60)
    plan = planned(tmp_path, {"a": toy(slow)}, seeds=4)
    first, *others = [one.trial.folder for one in plan.trials]
    # the hour is over as soon as the first trial trains
    monkeypatch.setattr("zoo.lab.trials.parallel.monotonic", lambda: 3600.0 * (first / "terms.csv").is_file())
    done, failures = queue.run(plan, Loky(1), hours=1, finished=lambda name: None)
    assert (done, failures) == ([], [])
    assert 0 < load(first / CHECKPOINT)["step"] < 30_000
    assert not is_finished(first)
    assert not any(folder.exists() for folder in others)
    assert not (first.parent / ".stop").exists()
    again = planned(tmp_path, {"a": toy(slow)}, seeds=4)
    assert [one.trial.folder for one in again.trials] == [one.trial.folder for one in plan.trials]
    assert again.trials[0].minutes < 1.0  # what it has trained is subtracted


def test_hours_out_of_range_are_refused(tmp_path):
    keep(tmp_path, "a", 60)
    with pytest.raises(ValueError, match="--hours must be positive"):
        queue.run(planned(tmp_path, {"a": toy(quick)}), Loky(1), hours=0.0, finished=print)


def test_spans():
    assert queue.spans([0]) == "0"
    assert queue.spans([3, 1, 2, 7, 9, 10]) == "1 to 3, 7, 9 to 10"
