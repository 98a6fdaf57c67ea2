"""What a trial costs: from records, scaled by datapoints, or from its first steps; nothing is trained or written."""

import math
from dataclasses import replace

import pytest
import torch

from tests.small_recipe import RECIPES, STEPS, small
from zoo.lab.data import load
from zoo.lab.training.experiment import Recipe
from zoo.lab.training.fit import fit
from zoo.lab.trials.cost import NoRunError, core_minutes, core_seconds, first_run, of_device
from zoo.lab.trials.trial import Trial


def measure(trial):
    """Two runs: 300 steps of 64, or 30 of 32 in the short budget; the second depends on what the first comes to."""
    short = trial.budget == "short"
    first = trial.train("small", within="a", steps=trial.steps(full=STEPS, short=30), batch_size=32 if short else 64)
    return {"score": trial.train("small", within="b", steps=first.settings.steps).settings.steps}


def in_medium(trial):
    return {"score": trial.train("small", steps=STEPS, precision="medium").settings.steps}


def without_a_run(trial):
    return {"score": 1.0}


@pytest.fixture
def trial(tmp_path):
    torch.set_default_dtype(torch.float32)
    return Trial(0, "full", tmp_path / "seed-0", RECIPES, device="cpu", progress=False)


def record(seconds, *, steps=60, hardware="1 of 2 CPU cores"):
    return {"seconds": seconds, "steps": steps, "hardware": hardware}


def test_the_first_run_is_found_without_training_it(trial, tmp_path):
    first = first_run(measure, trial)
    assert first[:2] == (STEPS, 64)
    assert math.isnan(first.step_seconds)
    assert first.datapoints == 64 * STEPS
    assert not list(tmp_path.iterdir())


def test_first_steps_are_timed_where_it_is_asked_for(trial, monkeypatch):
    cores, times = torch.get_num_threads(), iter([100.0, 100.0, 103.5, 103.5])
    monkeypatch.setattr("zoo.lab.trials.cost.time.perf_counter", lambda: next(times))
    found = first_run(measure, trial, timed=True)
    assert found.step_seconds == pytest.approx(cores * 3.5 / 5)  # five steps after two to warm up


def test_first_steps_are_timed_with_as_many_threads_as_a_trial_has(trial, monkeypatch):
    threads = []

    def spy(*args, **options):
        threads.append(torch.get_num_threads())
        return fit(*args, **options)

    monkeypatch.setattr("zoo.lab.trials.cost.fit", spy)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    times = iter([100.0, 100.0, 103.5, 103.5])
    monkeypatch.setattr("zoo.lab.trials.cost.time.perf_counter", lambda: next(times))
    before = torch.get_num_threads()
    torch.set_num_threads(2)  # as many as there are cores, in the process that plans; a trial has one
    try:
        found = first_run(measure, trial, timed=True)
    finally:
        torch.set_num_threads(before)
    assert threads == [1]
    assert found.step_seconds == pytest.approx(3.5 / 5)


@pytest.mark.parametrize(
    "options",
    [
        {"steps": 20},
        {"epochs": 1},
        {"data": "digits"},
        {"data_options": {}},
        {"batch_size": 16},
        {"lr": 0.01},
        {"precision": "medium"},
        {"hyperparameters": {}},
        {"within": "a"},
    ],
    ids=lambda options: next(iter(options)),
)
def test_every_option_of_a_trials_training_is_an_option_here_too(trial, options):
    assert first_run(lambda t: t.train("small", **options), trial, timed=True).step_seconds > 0


def test_runs_of_two_precisions_are_two_first_runs(trial):
    known = {}
    for precision in ("float32", "medium"):
        first_run(lambda t, precision=precision: t.train("small", precision=precision), trial, known=known)
    assert len(known) == 2


def by_objective(split, *, objective="plain", beta=1.0):
    """Ten passes, in batches whose size depends on the objective, as in `hfvae/newsgroups`."""
    size = 200 if objective == "plain" else 500
    return replace(small(split, beta=beta), batch_size=size, steps=10 * (len(split.train) // size))


def test_a_hyperparameter_may_change_batch_size_and_length_and_a_weight_does_not(trial):
    trial = replace(trial, recipes={"by": Recipe("by", by_objective, data="digits", paper="")})
    known = {}

    def first(**hyperparameters):
        return first_run(lambda t: t.train("by", **hyperparameters), trial, known=known)

    num = len(load("digits").train)
    assert first(objective="plain")[:2] == (10 * (num // 200), 200)
    assert first(objective="pairwise")[:2] == (10 * (num // 500), 500)
    assert first(hyperparameters={"objective": "pairwise", "beta": 4.0})[:2] == (10 * (num // 500), 500)
    assert len(known) == 2


@pytest.mark.parametrize(("asked", "timed"), [(None, "medium"), ("bf16", "bf16")])
def test_first_steps_are_timed_in_the_precision_of_the_run(trial, asked, timed, monkeypatch):
    precisions = []

    def spy(*args, precision, **options):
        precisions.append(precision)
        return fit(*args, precision=precision, **options)

    monkeypatch.setattr("zoo.lab.trials.cost.fit", spy)
    assert first_run(in_medium, replace(trial, precision=asked), timed=True).steps == STEPS
    assert precisions == [timed]


def test_core_seconds_count_cores_and_a_gpu_once():
    assert core_seconds(record(60.0)) == 60
    assert core_seconds(record(60.0, hardware="4 of 8 CPU cores")) == 240
    assert core_seconds(record(60.0, hardware="one NVIDIA H100")) == 60


def test_records_of_the_other_kind_of_device_say_nothing():
    cpu, gpu = record(1.0), record(2.0, hardware="one NVIDIA H100")
    assert of_device([cpu, gpu], "cpu") == of_device([cpu, gpu], None) == [cpu]
    assert of_device([cpu, gpu], "cuda:0") == [gpu]


def test_recorded_seeds_come_first_then_the_other_budget_scaled_by_datapoints(trial):
    mine, short = [record(60.0), record(180.0)], [record(30.0)]
    assert core_minutes(measure, trial, {"full": mine, "short": short}) == pytest.approx(2.0)
    # 300 steps of 64 datapoints next to 30 of 32: twenty times as many
    assert core_minutes(measure, trial, {"short": short}) == pytest.approx(30.0 * 20 / 60)


def test_a_measure_without_steps_is_not_run_to_find_out(trial):
    def never(_):
        raise AssertionError("run")

    assert core_minutes(never, trial, {"short": [record(120.0, steps=0)]}) == 2.0
    with pytest.raises(NoRunError, match="trains no run of a recipe"):
        core_minutes(without_a_run, trial, {})


def test_seconds_of_a_gpu_are_not_those_of_a_cpu_without_steps_either(trial):
    of_gpu = {"full": [record(6.0, steps=0, hardware="one NVIDIA H100")]}
    with pytest.raises(NoRunError, match="only measured on another kind of device"):
        core_minutes(without_a_run, trial, of_gpu)
    assert core_minutes(without_a_run, trial, {**of_gpu, "short": [record(120.0, steps=0)]}) == 2.0
    assert core_minutes(without_a_run, replace(trial, device="cuda"), of_gpu) == 0.1


def test_what_a_stopped_run_has_taken_is_subtracted(trial, monkeypatch):
    trial.folder.mkdir()
    (trial.folder / "checkpoint.safetensors").touch()
    monkeypatch.setattr("zoo.lab.runs.checkpoint.load", lambda path: {"seconds": 45.0})
    assert core_minutes(measure, trial, {"full": [record(60.0)]}) == pytest.approx(0.25)
    assert core_minutes(measure, trial, {"full": [record(30.0)]}) == 0


def test_what_a_stopped_run_of_several_threads_has_taken_counts_them(trial, monkeypatch):
    trial.folder.mkdir()
    (trial.folder / "checkpoint.safetensors").touch()
    monkeypatch.setattr("zoo.lab.runs.checkpoint.load", lambda path: {"seconds": 45.0})
    monkeypatch.setenv("OMP_NUM_THREADS", "4")
    records = {"full": [record(60.0, hardware="4 of 8 CPU cores")]}
    assert core_minutes(measure, trial, records) == pytest.approx(4 * 15 / 60)  # a quarter of it is left
