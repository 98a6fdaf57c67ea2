"""A run that is stopped at any moment and resumed leaves, digit for digit, what one that was not leaves.

ZOO_KILLS=50 pytest tests/test_resume.py -k kills -s
"""

import json
import os
import random
import shutil
import signal
import time
from pathlib import Path

import pytest

from tests.processes import start, zoo
from zoo.lab.runs import checkpoint
from zoo.lab.runs import train as run
from zoo.lab.runs.folder import CHECKPOINT, how_to_resume

KILLS = int(os.environ.get("ZOO_KILLS", "4"))
STEPS = 100
RUN = ["train", "small", "--steps", str(STEPS), "--seed", "3", "--checkpoint-every", "10", "--out", "run"]
RESUME = ["train", "--resume", "run", "--checkpoint-every", "10"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run that nothing disturbed, and how many seconds it took."""
    cwd = tmp_path_factory.mktemp("whole")
    zoo(cwd, "list")  # the imports
    began = time.perf_counter()
    zoo(cwd, *RUN)
    return cwd / "run", time.perf_counter() - began


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """A run that SIGTERM stopped half way, and what it said."""
    cwd = tmp_path_factory.mktemp("stopped")
    return cwd, _stop(cwd, signal.SIGTERM)


def _stop(cwd: Path, number: int) -> str:
    process = start(cwd, *RUN)
    while not (cwd / "run" / CHECKPOINT).is_file():
        assert process.is_alive()
        time.sleep(0.001)
    os.kill(process.pid, number)
    process.join(60)
    assert process.exitcode == 128 + number
    return (cwd / "said").read_text()


def assert_equal(folder: Path, whole: Path) -> None:
    for name in ("terms.csv", "units.csv", "weights.safetensors", "kl.csv"):
        assert (folder / name).read_bytes() == (whole / name).read_bytes(), name
    ended = [checkpoint.load(path / CHECKPOINT) for path in (folder, whole)]
    assert str(ended[0]["random"]) == str(ended[1]["random"])
    assert (folder / "summary.md").is_file()


def test_kills_at_random_moments_leave_no_trace(whole, tmp_path):
    folder, seconds = whole
    rng = random.Random(0)
    kills = runs = 0
    steps = []
    while kills < KILLS:
        cwd = tmp_path / str(runs)
        cwd.mkdir()
        arguments = RUN
        while kills < KILLS:
            process = start(cwd, *arguments)
            process.join(rng.uniform(0, seconds))
            if process.exitcode is not None:
                assert process.exitcode == 0, (cwd / "said").read_text()
                break
            process.kill()
            process.join()
            kills += 1
            settings = cwd / "run" / "settings.json"
            if settings.is_file() and settings.read_bytes():
                arguments = RESUME
            else:  # nothing was begun, and the command says so
                shutil.rmtree(cwd / "run", ignore_errors=True)
            saved = cwd / "run" / CHECKPOINT
            steps.append(checkpoint.load(saved)["step"] if saved.is_file() else 0)
        else:
            zoo(cwd, *arguments)
        assert_equal(cwd / "run", folder)
        runs += 1
    print(f"{kills} kills in {runs} runs of {STEPS} steps, at the checkpoints {steps}; every run equal")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_and_sigterm_save_first_and_say_how_to_go_on(number, whole, tmp_path):
    said = _stop(tmp_path, number).splitlines()[-1]
    name = signal.Signals(number).name
    step = checkpoint.load(tmp_path / "run" / CHECKPOINT)["step"]
    assert 10 <= step < STEPS
    assert (
        said
        == f"stopped by {name} after step {step} of {STEPS}, and saved; resume it with {how_to_resume(Path('run'))}"
    )
    rows = (tmp_path / "run/terms.csv").read_text().splitlines()
    assert len(rows) == 1 + step
    zoo(tmp_path, *RESUME)
    assert_equal(tmp_path / "run", whole[0])
    again = zoo(tmp_path, *RESUME)
    assert again.startswith("the run in run is finished, and there is nothing to resume")


def test_rows_and_halves_of_rows_after_the_checkpoint_are_taken_back(whole, stopped, tmp_path):
    shutil.copytree(stopped[0], tmp_path, dirs_exist_ok=True)
    with (tmp_path / "run/terms.csv").open("a") as file:
        file.write("97,1,2,3,4,5,6\r\n98,1.2")
    (tmp_path / "run" / (CHECKPOINT + ".part")).write_bytes(b"half a checkpoint")
    zoo(tmp_path, *RESUME)
    assert_equal(tmp_path / "run", whole[0])


def test_a_full_disk_is_reported_and_the_last_good_checkpoint_kept(whole, stopped, tmp_path):
    shutil.copytree(stopped[0], tmp_path, dirs_exist_ok=True)
    path = tmp_path / "run" / CHECKPOINT
    before = path.read_bytes()
    # No file may grow beyond half a checkpoint: the curve fits, the next checkpoint does not.
    said = zoo(tmp_path, *RESUME, code=1, largest=len(before) // 2).splitlines()[-1]
    assert said == (
        "error: the run was cut short: the checkpoint run/checkpoint.safetensors could not be written "
        "(File too large): the one from before is kept; once that is fixed, resume from the last checkpoint with "
        "python -m zoo train --resume run"
    )
    assert path.read_bytes() == before
    # And where the curve itself finds no room.
    assert "error: the run was cut short" in zoo(tmp_path, *RESUME, code=1, largest=2_000)
    assert path.read_bytes() == before
    zoo(tmp_path, *RESUME)
    assert_equal(tmp_path / "run", whole[0])


def _edit(folder: Path, **changes) -> None:
    """Changes settings on purpose, as the message says that one does."""
    path = folder / "settings.json"
    record = {**json.loads(path.read_text()), **changes}
    del record["digest"]
    path.write_text(json.dumps(record))


def _flip(path: Path, after: bytes) -> None:
    """Flips the last bit of the byte at which the text `after` ends."""
    content = bytearray(path.read_bytes())
    content[content.index(after) + len(after) - 1] ^= 1
    path.write_bytes(content)


def _swap_about(folder: Path, what: str, **changes) -> None:
    path = folder / CHECKPOINT
    state = checkpoint.load(path)
    about = state.pop("about")
    about[what].update(changes)
    checkpoint.save(path, state, about=about)


@pytest.mark.parametrize(
    ("change", "arguments", "message"),
    [
        (None, ["--lr", "0.5"], "can only be resumed with its own settings: lr is 0.001 there, 0.5 was asked for"),
        (None, ["vae"], "recipe is 'small' there, 'vae' was asked for"),
        (None, ["--set", "beta=3"], "hyperparameters is {'beta': 1.0} there, {'beta': 3.0} was asked for"),
        (None, ["--epochs", "3"], "--epochs cannot be combined with --resume"),
        (
            lambda f: _edit(f, lr=0.5),
            [],
            "with other settings: lr is 0.001 in the checkpoint, 0.5 here; put those of the checkpoint back, or begin",
        ),
        (
            lambda f: _edit(f, hyperparameters={"z_dim": 3}),
            [],
            "other settings: hyperparameters is {} in the checkpoint, {'z_dim': 3} here",
        ),
        (
            lambda f: _swap_about(f, "data", datapoints=7),
            [],
            "with other data: datapoints is 7 in the checkpoint, 1500 here",
        ),
        (lambda f: _swap_about(f, "data", digest="x"), [], "with other data: digest is 'x' in the checkpoint, '"),
        (
            lambda f: (
                _edit(f, hyperparameters={"z_dim": 3}),
                _swap_about(f, "settings", hyperparameters={"z_dim": 3}),
            ),
            [],
            "weight is torch.float32 [64, 2] in the checkpoint, and torch.float32 [64, 3] here",
        ),
        (
            lambda f: (f / CHECKPOINT).write_bytes(b"PK\x03\x04 nonsense"),
            [],
            "checkpoint.safetensors is not a checkpoint, or only a part of one",
        ),
        (lambda f: (f / "terms.csv").write_text("step,loss\r\n1,2\r\n"), [], "terms.csv lacks rows of the"),
        (
            lambda f: (f / "settings.json").write_text(""),
            [],
            "run/settings.json is missing or empty, and run holds a run's files: put a copy of it back",
        ),
        (lambda f: (f / "settings.json").write_text("{"), [], "settings.json is damaged"),
        (lambda f: _flip(f / "settings.json", b'"seed": 3'), [], "settings.json is damaged, or was changed since"),
        (lambda f: _flip(f / "terms.csv", b"\n2,"), [], "terms.csv is damaged, or was changed since it was written"),
        (shutil.rmtree, [], "run holds no run: there is no settings.json in it"),
    ],
)
def test_what_does_not_fit_the_run_is_said_and_nothing_is_touched(change, arguments, message, stopped, tmp_path):
    shutil.copytree(stopped[0], tmp_path, dirs_exist_ok=True)
    folder = tmp_path / "run"
    if change is not None:
        change(folder)
    before = {path.name: path.read_bytes() for path in folder.glob("*")}
    said = zoo(tmp_path, *RESUME, *arguments, code=1).splitlines()[-1]
    assert said.startswith("error: ")
    assert message in said
    assert {path.name: path.read_bytes() for path in folder.glob("*")} == before


def test_other_versions_are_a_warning(stopped, whole, tmp_path):
    shutil.copytree(stopped[0], tmp_path, dirs_exist_ok=True)
    _swap_about(tmp_path / "run", "versions", torch="1.0")
    said = zoo(tmp_path, *RESUME)
    assert "the last digits of this run may differ: torch is '1.0' in the checkpoint" in said
    assert_equal(tmp_path / "run", whole[0])


def test_a_run_without_a_checkpoint_begins_again(whole, stopped, tmp_path):
    shutil.copytree(stopped[0], tmp_path, dirs_exist_ok=True)
    (tmp_path / "run" / CHECKPOINT).unlink()
    zoo(tmp_path, *RESUME)
    assert_equal(tmp_path / "run", whole[0])


@pytest.mark.parametrize("text", ["0", "-5", "5m", "s", "1.5s", ""])
def test_how_often_is_a_number_of_steps_or_of_seconds(text):
    with pytest.raises(ValueError, match="give a number of steps, such as 500, or of seconds, such as 60s"):
        run.Every.parse(text)


def test_a_checkpoint_is_due_after_so_many_steps_or_seconds():
    assert [run.Every.parse("20").since(steps, 1e9) for steps in (19, 20, 21)] == [False, True, True]
    assert [run.Every.parse("20s").since(10**9, seconds) for seconds in (19.9, 20.0, 21.0)] == [False, True, True]
