"""A sweep as a job array: a numbered list, and each trial by a command of its own."""

import re
import signal
import time
from pathlib import Path

import pytest
import torch

from tests.processes import start, zoo
from tests.small_recipe import RECIPES
from zoo.lab.runs.folder import read_settings
from zoo.lab.trials.job_array import listed, run_only
from zoo.lab.trials.sweep_plan import plan_sweep
from zoo.lab.trials.trial import Trial

SWEEP = ["sweep", "small", "--grid", "beta=1,4", "--seeds", "2", "--out", "out"]
SWEEP += ["--steps", "20", "--checkpoint-every", "10", "--precision", "bf16"]
FOLDERS = [Path("out", point, f"seed-{seed}") for point in ("beta=1", "beta=4") for seed in (0, 1)]


def test_a_job_array_comes_to_the_same_bytes_as_the_whole_sweep(tmp_path):
    whole, array = tmp_path / "whole", tmp_path / "array"
    whole.mkdir()
    array.mkdir()
    zoo(whole, *SWEEP, "--jobs", "1")
    plan = zoo(array, *SWEEP, "--plan")
    assert plan.splitlines() == [f"{number}  {folder}" for number, folder in enumerate(FOLDERS, 1)]
    assert not (array / "out").exists()

    for number in (1, 2, 3):
        (array / str(number)).mkdir()
    shared = (array / "out").as_posix()
    tasks = [
        start(array / str(number), *SWEEP, "--out", shared, "--only", str(number)) for number in (1, 2, 3)
    ]  # at once
    for number, task in enumerate(tasks, 1):
        task.join(300)
        said = (array / str(number) / "said").read_text()
        assert task.exitcode == 0, said
        assert said.splitlines()[-1] == f"finished trial {number} of 4: {array / FOLDERS[number - 1]}"
    assert not (array / "out/table.csv").exists()
    assert zoo(array, *SWEEP, "--plan").splitlines() == [
        *(f"{number}  {folder}  finished" for number, folder in enumerate(FOLDERS[:3], 1)),
        f"4  {FOLDERS[3]}",
    ]
    before = {folder: (array / folder / "quantities.json").stat().st_mtime_ns for folder in FOLDERS[:3]}
    zoo(array, *SWEEP, "--jobs", "1")  # the last trial, and the table
    assert {folder: (array / folder / "quantities.json").stat().st_mtime_ns for folder in before} == before
    for name in ("table.csv", "table.md", *(folder / "terms.csv" for folder in FOLDERS)):
        path = name if isinstance(name, Path) else Path("out", name)
        assert (array / path).read_bytes() == (whole / path).read_bytes()
    assert {read_settings(root / folder)[0].precision for root in (whole, array) for folder in FOLDERS} == {"bf16"}


def test_a_task_that_is_stopped_saves_and_its_repetition_resumes(tmp_path):
    arguments = [*SWEEP, "--steps", "150", "--only", "2"]
    task = start(tmp_path, *arguments)
    while not (tmp_path / FOLDERS[1] / "checkpoint.safetensors").is_file():
        assert task.is_alive(), (tmp_path / "said").read_text()
        time.sleep(0.001)
    task.terminate()
    task.join(60)
    assert task.exitcode == 128 + signal.SIGTERM
    assert zoo(tmp_path, *SWEEP, "--steps", "150", "--plan").splitlines()[1] == f"2  {FOLDERS[1]}  begun"
    zoo(tmp_path, *arguments)
    steps = [line.split(",")[0] for line in (tmp_path / FOLDERS[1] / "terms.csv").read_text().splitlines()[1:]]
    assert steps == [str(step) for step in range(1, 151)]


def works(trial: Trial) -> dict[str, float]:
    return {"threads": torch.get_num_threads()}


def fails(trial: Trial) -> dict[str, float]:
    raise ValueError("why")


def trials(folder: Path, count: int) -> list[Trial]:
    return [Trial(seed, "full", folder / f"seed-{seed}", RECIPES) for seed in range(count)]


def test_numbers_are_aligned_and_begin_with_one(tmp_path):
    lines = listed([(works, trial) for trial in trials(tmp_path, 10)]).splitlines()
    assert lines[0] == f" 1  {tmp_path / 'seed-0'}"
    assert lines[9] == f"10  {tmp_path / 'seed-9'}"


@pytest.mark.parametrize("number", [-1, 0, 3])
def test_a_number_without_a_trial_is_refused(number, tmp_path):
    with pytest.raises(ValueError, match=f"--only must be from 1 to 2, got {number}: --plan lists the trials"):
        run_only([(works, trial) for trial in trials(tmp_path, 2)], number)
    assert not list(tmp_path.iterdir())


def test_a_trial_that_fails_says_why_and_threads_are_those_of_a_worker(tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    torch.set_num_threads(2)
    try:
        first, second = trials(tmp_path, 2)
        assert run_only([(works, first), (fails, second)], 1).quantities() == {"threads": 1}
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)
    with pytest.raises(ValueError, match=re.escape(f"trial 2 of 2 failed: {second.folder}: why")):
        run_only([(works, first), (fails, second)], 2)


def test_a_plan_is_checked_and_writes_nothing(tmp_path):
    torch.set_default_dtype(torch.float32)
    planned = plan_sweep(RECIPES["small"], tmp_path / "out", grid=[{"beta": 1.0}, {"beta": 4.0}], seeds=2, steps=3)
    assert planned.axes == ("beta",)
    assert str(planned).splitlines()[3] == f"4  {tmp_path / 'out/beta=4/seed-1'}"
    with pytest.raises(LookupError, match="unknown hyperparameter of small 'betta'"):
        plan_sweep(RECIPES["small"], tmp_path / "out", grid=[{"betta": 1.0}])
    assert not list(tmp_path.iterdir())
    assert planned.run_only(2).folder == tmp_path / "out/beta=1/seed-1"
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["beta=1"]
