"""Every file that a run writes and that is read again notices when it is changed; a full disk loses nothing."""

import errno
import json
import os
import random
import shutil
from pathlib import Path

import pytest
import torch

from tests.pictures import without_pictures
from tests.small_recipe import RECIPES
from zoo.lab.runs import checkpoint
from zoo.lab.runs import train as run
from zoo.lab.runs.digests import FILES, SUMS
from zoo.lab.runs.finished import configure, open_run
from zoo.lab.runs.folder import CHECKPOINT, how_to_resume, is_finished, new_folder

pytestmark = pytest.mark.usefixtures("_without_pictures")

STEPS = 12
NO_SPACE = "No space left on device"


def train(folder: Path, *, resume: bool = False) -> None:
    settings, split, experiment = configure(RECIPES["small"], steps=STEPS, device="cpu", seed=3)
    every = run.Every.parse("5")
    run.train(experiment, split, settings, folder, command="c", progress=False, every=every, resume=resume)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run that nothing disturbed."""
    torch.set_default_dtype(torch.float64)
    folder = new_folder(tmp_path_factory.mktemp("whole") / "run")
    with without_pictures():
        train(folder)
    return folder


@pytest.mark.parametrize("name", [*FILES, SUMS, CHECKPOINT, "settings.json"])
def test_every_flipped_bit_is_noticed_where_the_file_is_read(name, whole, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(whole, folder)
    content, rng = (folder / name).read_bytes(), random.Random(0)
    read = (lambda: checkpoint.load(folder / CHECKPOINT)) if name == CHECKPOINT else (lambda: open_run(folder, RECIPES))
    read()
    for _ in range(12):
        at = rng.randrange(len(content))
        (folder / name).write_bytes(content[:at] + bytes([content[at] ^ 1 << rng.randrange(8)]) + content[at + 1 :])
        if name == "settings.json" and json.loads(content) == _json(folder / name):
            continue  # white space
        with pytest.raises(ValueError, match=r"is damaged|is not a checkpoint|but not a checkpoint") as error:
            read()
        assert (SUMS if name == SUMS else name) in str(error.value)


def _json(path: Path):
    try:
        return json.loads(path.read_text())
    except ValueError:
        return None


def test_a_run_of_version_0_1_which_had_no_digests_opens(whole, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(whole, folder)
    (folder / SUMS).unlink()
    settings = json.loads((folder / "settings.json").read_text())
    del settings["digest"]
    settings["knobs"] = settings.pop("hyperparameters")
    (folder / "settings.json").write_text(json.dumps(settings))
    opened = open_run(folder, RECIPES)
    for ours, theirs in zip(opened.model.parameters(), open_run(whole, RECIPES).model.parameters(), strict=True):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize("name", ["settings.json", "terms.csv", CHECKPOINT, "weights.safetensors", SUMS, "summary.md"])
def test_a_full_disk_is_one_line_with_the_path_and_the_run_goes_on(name, whole, tmp_path, monkeypatch):
    folder, usual = new_folder(tmp_path / "run"), os.fsync

    def fsync(file: int) -> None:
        """What a file that finds no room ends with."""
        if Path(os.readlink(f"/proc/self/fd/{file}")).name.removesuffix(".part") == name:
            raise OSError(errno.ENOSPC, NO_SPACE)
        usual(file)

    monkeypatch.setattr(os, "fsync", fsync)
    begun = name != "settings.json"
    assert_cut_short(folder, name, begun)
    monkeypatch.undo()
    assert not list(folder.glob("*.part"))
    train(folder if begun else new_folder(folder), resume=begun)
    assert_equal(folder, whole)


def test_what_finds_no_room_after_the_training_does_not_lose_it(whole, tmp_path, monkeypatch):
    folder = new_folder(tmp_path / "run")

    def full(*_):
        raise OSError(errno.ENOSPC, NO_SPACE)

    monkeypatch.setattr(run, "write_kl", full)
    assert_cut_short(folder, "", True)
    monkeypatch.undo()
    steps = []
    monkeypatch.setattr(run, "fit", lambda *_, **__: steps.append(1))
    train(folder, resume=True)
    assert not steps  # nothing is trained again
    assert_equal(folder, whole)


def assert_cut_short(folder: Path, name: str, begun: bool) -> None:
    with pytest.raises(OSError, match=NO_SPACE) as error:
        train(folder)
    said = str(error.value)
    assert "\n" not in said
    assert said.startswith("the run was cut short: ")
    assert str(folder / name) in said
    assert said.endswith(f"with {how_to_resume(folder)}" if begun else "give the command again")
    assert not is_finished(folder)


def assert_equal(folder: Path, whole: Path) -> None:
    for name in FILES:
        assert (folder / name).read_bytes() == (whole / name).read_bytes(), name
