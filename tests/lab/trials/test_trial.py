"""Trials end with the process that runs them, save when it is asked to stop, and are none the worse for it."""

import json
import os
import pickle
import signal
import socket
import sys
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from joblib.externals.loky.backend.context import set_start_method

from tests.processes import processes
from tests.small_recipe import small
from zoo.lab.data import Split
from zoo.lab.runs import train as run
from zoo.lab.runs.checkpoint import load
from zoo.lab.runs.folder import CHECKPOINT, SETTINGS
from zoo.lab.runs.interrupt import DeferredInterrupt, Stopped
from zoo.lab.runs.lock import claim, is_lock, locked, unclaim
from zoo.lab.training.experiment import Experiment, Recipe
from zoo.lab.trials.parallel import STOP
from zoo.lab.trials.processes import Loky
from zoo.lab.trials.trial import QUANTITIES, Trial, run_trial, run_trials

pytestmark = pytest.mark.usefixtures("_quick_pictures")

STEPS = 60
HOLD = "hold"  # a file with a step, after which the trials beside it wait until they are killed or asked to stop
training: list[Path] = []  # the folder of the trial that this process trains


def train(trial: Trial) -> dict[str, float]:
    """Trains, and says in which process."""
    training[:] = [trial.folder]
    (trial.folder / "pid").write_text(str(os.getpid()))
    return {"score": trial.seed + trial.train("small", steps=STEPS).settings.steps}


def hold(step: int, elbo: object) -> None:
    """The schedule: no trial ends before the other has begun, however much longer one of them takes to begin."""
    together = training[0].parent
    if (together / HOLD).exists() and int((together / HOLD).read_text()) <= step:
        while not (together / STOP).exists():
            time.sleep(0.01)
        time.sleep(0.3)  # a worker looks for the file in a thread, several times a second


def build(split: Split) -> Experiment:
    return replace(small(split), schedule=hold)


RECIPES = {"small": Recipe("small", build, data="digits", paper="")}


def toy(trial: Trial) -> dict[str, float]:
    """Counts how often it is measured."""
    with (trial.folder / "times").open("a") as file:
        file.write("x")
    return {"score": 0.5 + trial.seed}


def trials(folder: Path, count: int = 2) -> list[Trial]:
    every = run.Every.parse("10")
    return [
        Trial(seed, "short", folder / f"seed-{seed}", RECIPES, every=every, progress=False) for seed in range(count)
    ]


def command(folder: Path, jobs: int) -> None:
    """What `sweep` and `reproduce` do, in a process of its own; its workers, copies, need not import everything."""
    set_start_method("fork")
    os.register_at_fork(after_in_child=lambda: setattr(DeferredInterrupt, "inside", 0))  # as in a fresh process
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float32)
    with (folder / "said").open("w") as sys.stderr:
        try:
            assert run_trials([(train, trial) for trial in trials(folder)], Loky(jobs)) == []
        except Stopped as stopped:
            (folder / "stopped").write_text(str(stopped))
            sys.exit(128 + stopped.signal)


def start(folder: Path, *, jobs: int, until: int = STEPS):
    """Begins the command; with two jobs both trials wait after step `until`."""
    folder.mkdir(exist_ok=True)
    for path in folder.glob("*/pid"):
        path.unlink()
    if jobs == 2:
        (folder / HOLD).write_text(str(until))
    else:
        (folder / HOLD).unlink(missing_ok=True)
    process = processes.Process(target=command, args=(folder, jobs))
    process.start()
    return process


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def on_the_way(folder: Path, process, beyond: int) -> list[int]:
    """Waits until both trials have saved a step beyond this one; returns their processes."""
    while any((step_of(trial) or 0) <= beyond for trial in trials(folder)):
        assert process.is_alive(), (folder / "said").read_text()
        time.sleep(0.02)
    return [int((trial.folder / "pid").read_text()) for trial in trials(folder)]


def step_of(trial: Trial) -> int | None:
    path = trial.folder / CHECKPOINT
    while path.is_file():
        with suppress(ValueError):  # a worker replaced it between its header and its tensors
            return load(path)["step"]
    return None


def test_a_parallel_command_that_is_killed_and_stopped_comes_to_what_an_undisturbed_one_comes_to(tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    undisturbed = start(whole, jobs=1)

    process = start(killed, jobs=2, until=25)
    workers = on_the_way(killed, process, beyond=0)
    assert len({process.pid, *workers}) == 3
    process.kill()
    process.join()
    process = start(killed, jobs=2, until=45)  # at once
    deadline = time.time() + 5
    while any(map(alive, workers)) and time.time() < deadline:
        time.sleep(0.01)
    assert not any(map(alive, workers))

    workers = on_the_way(killed, process, beyond=25)  # which none of the killed ones can have saved
    os.kill(process.pid, signal.SIGTERM)
    process.join()
    assert process.exitcode == 128 + signal.SIGTERM
    assert not any(map(alive, workers))
    said = (killed / "stopped").read_text()
    assert said.startswith("stopped by SIGTERM, and saved; 0 of 2 trials are finished. Run the command again")
    for trial in trials(killed):
        step = step_of(trial)
        assert 25 < step < STEPS
        assert len((trial.folder / "terms.csv").read_text().splitlines()) == 1 + step  # saved after its last step
        assert not (trial.folder / "weights.safetensors").exists()
    assert not (killed / STOP).exists()

    process = start(killed, jobs=1)
    process.join()
    undisturbed.join()
    assert process.exitcode == undisturbed.exitcode == 0
    for ours, theirs in zip(trials(killed), trials(whole), strict=True):
        for name in ("terms.csv", "units.csv", "weights.safetensors", "kl.csv"):
            assert (ours.folder / name).read_bytes() == (theirs.folder / name).read_bytes()
        assert ours.quantities() == theirs.quantities() == {"score": ours.seed + STEPS}


def test_a_second_command_in_the_same_folder_is_refused(tmp_path):
    work = [(toy, trial) for trial in trials(tmp_path)]
    with (
        locked(tmp_path),
        pytest.raises(BlockingIOError, match=rf"in use by process {os.getpid()} on {socket.gethostname()}"),
    ):
        run_trials(work)
    with locked(tmp_path / "sweep"), pytest.raises(BlockingIOError, match="sweep is in use by process"):
        run_trials(work, folder=tmp_path / "sweep")
    assert not any(trial.folder.exists() for trial in trials(tmp_path))
    assert run_trials(work) == []


def test_a_run_that_somebody_else_trains_fails_its_trial_and_not_the_others(tmp_path, monkeypatch):
    monkeypatch.setattr("zoo.lab.trials.trial.ORPHANS", 0.1)
    monkeypatch.setattr(f"{__name__}.STEPS", 20)
    torch.set_default_dtype(torch.float32)
    first, second = trials(tmp_path)
    claim(first.folder)
    [failure] = run_trials([(train, first), (train, second)])
    assert f"seed-0 is in use by process {os.getpid()}" in failure
    assert second.quantities() == {"score": 1 + STEPS}
    unclaim(first.folder)


def slow_toy(trial: Trial) -> dict[str, float]:
    """A measurement that lasts until the file `measured` is there."""
    (trial.folder / "measuring").touch()
    while not (trial.folder.parent / "measured").exists():
        time.sleep(0.01)
    return toy(trial)


def test_a_trial_that_another_process_measures_is_waited_for_and_not_measured_again(tmp_path, monkeypatch):
    [trial] = trials(tmp_path, 1)
    other = processes.Process(target=run_trial, args=(slow_toy, trial))
    other.start()
    deadline = time.monotonic() + 60
    while not (trial.folder / "measuring").exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    with monkeypatch.context() as impatient:
        impatient.setattr("zoo.lab.trials.trial.ORPHANS", 0.1)
        failure = run_trial(toy, trial)
        assert failure is not None
        assert f"seed-0 is in use by process {other.pid} on {socket.gethostname()}: wait until" in failure
    (tmp_path / "measured").touch()
    assert run_trial(toy, trial) is None
    assert (trial.folder / "times").read_text() == "x"
    assert trial.quantities() == {"score": 0.5}
    other.join(60)
    assert other.exitcode == 0
    (trial.folder / QUANTITIES).unlink()
    (trial.folder / "measuring").unlink()
    (trial.folder / "times").unlink()
    assert all(map(is_lock, trial.folder.iterdir()))  # a new trial, for the commands that look for one


@pytest.mark.parametrize("compile", [False, True])
def test_a_trial_is_resumed_compiled_or_not_as_it_began(compile, tmp_path, monkeypatch):
    monkeypatch.setattr(torch, "compile", lambda graph, **options: graph)  # traced, without the compiler
    monkeypatch.setattr(f"{__name__}.STEPS", 20)
    torch.set_default_dtype(torch.float32)
    whole, begun = (replace(trials(tmp_path / name, 1)[0], compile=compile) for name in ("whole", "begun"))

    def fail(step: int, elbo: object) -> None:
        if step == 15:
            raise RuntimeError("step 15")

    failing = Recipe("small", lambda split: replace(build(split), schedule=fail), data="digits", paper="")
    assert run_trial(train, replace(begun, recipes={"small": failing})) == f"{begun.folder}: step 15"
    assert step_of(begun) == 10
    for trial in (whole, replace(begun, compile=not compile)):
        assert run_trial(train, trial) is None
        assert trial.record()["compiled"] is compile
    for name in (SETTINGS, "terms.csv", "weights.safetensors"):
        assert (begun.folder / name).read_bytes() == (whole.folder / name).read_bytes()


def broken(trial: Trial) -> dict[str, float]:
    raise ValueError("why")


def test_an_error_is_printed_while_the_others_still_run(tmp_path, capsys):
    printed = []

    def look(trial: Trial) -> dict[str, float]:
        printed.append(capsys.readouterr().err)
        return {}

    first, second = trials(tmp_path)
    assert run_trials([(broken, first), (look, second)]) == [f"{first.folder}: why"]
    assert f"failed: {first.folder}: why" in printed[0]


def mistaken(trial: Trial) -> dict[str, float]:
    return {"score": 1 / trial.seed}


def test_a_mistake_in_a_measure_fails_its_trial_and_not_the_others(tmp_path):
    """Before: an error of a kind that was not in a list, such as a division by zero, ended all of them."""
    three = trials(tmp_path, 3)
    (failure,) = run_trials([(mistaken, trial) for trial in three])
    line = mistaken.__code__.co_firstlineno + 1
    why = f"ZeroDivisionError: division by zero (test_trial.py, line {line})"
    assert failure == f"{three[0].folder}: {why}"
    assert [trial.is_finished() for trial in three] == [False, True, True]


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"quantities": {"score": "0.5"}}', b"\x80", None])
def test_a_damaged_result_names_itself_is_measured_again_and_does_not_stop_the_others(damage, tmp_path):
    work = [(toy, trial) for trial in trials(tmp_path, 3)]
    assert run_trials(work) == []
    path = tmp_path / "seed-1" / QUANTITIES
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b"1.5", b"1.7") if damage is None else damage)
    with pytest.raises(ValueError, match=r"seed-1/quantities.json is damaged"):
        work[1][1].quantities()
    with pytest.warns(
        UserWarning, match=r"seed-1/quantities.json is damaged.*quantities.json.damaged, and the trial is measur"
    ):
        assert run_trials(work) == []
    assert [trial.quantities() for _, trial in work] == [{"score": 0.5}, {"score": 1.5}, {"score": 2.5}]
    assert [(trial.folder / "times").read_text() for _, trial in work] == ["x", "xx", "x"]


def test_figures_of_version_0_1_which_had_no_digest_are_read(tmp_path):
    [trial] = trials(tmp_path, 1)
    run_trial(toy, trial)
    path = trial.folder / QUANTITIES
    record = json.loads(path.read_text())
    assert len(record.pop("digest")) == 64
    path.write_text(json.dumps(record, indent=2))
    assert trial.quantities() == {"score": 0.5}
    assert run_trial(toy, trial) is None
    assert (trial.folder / "times").read_text() == "x"


def test_nobody_who_leaves_out_what_fails_leaves_out_the_wish_to_stop():
    assert not issubclass(Stopped, Exception)
    kept = pickle.loads(pickle.dumps(Stopped("by SIGTERM", signal.SIGTERM)))  # workers return it
    assert (str(kept), kept.signal) == ("by SIGTERM", signal.SIGTERM)


def test_no_more_processes_start_than_trials_are_left(tmp_path, monkeypatch):
    def start(processes, **_):
        raise RuntimeError(f"{processes} processes")

    work = [(toy, trial) for trial in trials(tmp_path, 3)]
    assert run_trials(work[:1]) == []
    monkeypatch.setattr("zoo.lab.trials.processes.ProcessPoolExecutor", start)
    for jobs, started in ((5, 2), (2, 2), (3, 2)):
        with pytest.raises(RuntimeError, match=f"^{started} processes"):
            run_trials(work, Loky(jobs))
    assert run_trials(work[:1], Loky(2)) == []  # when nothing is left, none starts


def test_a_full_disk_fails_a_trial_by_the_file_s_name(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    def filling(trial: Trial) -> dict[str, float]:
        monkeypatch.setattr(os, "fsync", full)
        return {"score": 0.0}

    [trial] = trials(tmp_path, 1)
    failure = run_trial(filling, trial)
    assert failure == f"{trial.folder}: [Errno 28] No space left on device: '{trial.folder / QUANTITIES}'"
    failure = run_trial(toy, trial)  # full from the beginning: nothing is measured in vain
    assert failure == f"{trial.folder}: [Errno 28] No space left on device: '{trial.folder / '.trial.lock.owner'}'"
    assert not (trial.folder / "times").exists()
    monkeypatch.undo()
    assert not (trial.folder / f"{QUANTITIES}.part").exists()
    assert run_trial(toy, trial) is None
