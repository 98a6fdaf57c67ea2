"""A run is opened on the data that it was trained on, on a device that is here, and goes on as it began."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from tests.pictures import without_pictures
from tests.small_recipe import RECIPES
from zoo.lab.data import Dataset, Split, load
from zoo.lab.runs import same_run
from zoo.lab.runs import train as run
from zoo.lab.runs.checkpoint import load as load_checkpoint
from zoo.lab.runs.finished import configure, finished_run, open_run, restore_experiment
from zoo.lab.runs.folder import CHECKPOINT, SETTINGS, how_to_resume, new_folder, read_settings
from zoo.lab.runs.same_run import check_same_data, fingerprints
from zoo.lab.trials.sweep_plan import plan_sweep

STEPS = 4


def pictures(folder, numbers, seed=0):
    """Images of 8 x 8 pixels in two classes; those of other numbers stay as they are."""
    rng = np.random.default_rng(seed)
    for number in numbers:
        path = folder / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (8, 8), dtype=np.uint8)).save(path)


def arrays(path, seed=0, shape=(1, 8, 8), labels=2):
    x = np.random.default_rng(seed).integers(0, 256, (100, *shape), dtype=np.uint8)
    np.savez(path, x=x, y=np.arange(100) % labels)


def train(folder, data, *, resume=False, device="cpu"):
    torch.set_default_dtype(torch.float32)  # as for a user
    settings, split, experiment = configure(
        RECIPES["small"], data=str(data), steps=STEPS, batch_size=16, device=device, seed=3
    )
    with without_pictures():
        run.train(experiment, split, settings, folder, command="c", progress=False, resume=resume)
    return folder


def edit(folder, **changes):
    """Changes settings.json on purpose; None removes an entry."""
    path = folder / SETTINGS
    record = {**json.loads(path.read_text()), **changes, "digest": None}
    path.write_text(json.dumps({name: value for name, value in record.items() if value is not None}))


def without_checkpoint(folder):
    """As a run that was killed before its first checkpoint."""
    for path in [*folder.glob("*.safetensors"), folder / "summary.md", folder / "kl.csv", folder / "SHA256SUMS"]:
        path.unlink()


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return train(new_folder(tmp_path_factory.mktemp("whole") / "run"), "digits")


@pytest.fixture
def copied(whole, tmp_path):
    shutil.copytree(whole, tmp_path / "run")
    return tmp_path / "run"


def test_a_run_is_not_opened_on_a_folder_that_has_more_images(tmp_path):
    """Before: what it was trained on became its test set, without a word."""
    pictures(tmp_path / "pics", range(50))
    folder = train(tmp_path / "run", tmp_path / "pics")
    open_run(folder, RECIPES)
    pictures(tmp_path / "pics", range(50, 100))
    with pytest.raises(ValueError, match="are not those of the run in") as error:
        open_run(folder, RECIPES)
    assert str(error.value) == (
        f"the data '{tmp_path / 'pics'}' are not those of the run in {folder}: the training set has 90 datapoints "
        "here, 45 there; the test set has 10 datapoints here, 5 there; put the data of the run back, or train a new run"
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": 1}, "the training set has the same size, 90 datapoints, and other values; the test set has the same"),
        ({"labels": 4}, "the training set has other labels; the test set has other labels; put"),
        ({"shape": (1, 4, 16)}, r"the training set has datapoints of the shape \[1, 4, 16\] here, \[1, 8, 8\] there"),
    ],
)
def test_a_run_is_not_opened_on_other_data_of_the_same_size(change, message, tmp_path):
    arrays(tmp_path / "mine.npz")
    folder = train(tmp_path / "run", tmp_path / "mine.npz")
    arrays(tmp_path / "mine.npz", **change)
    with pytest.raises(ValueError, match=message):
        open_run(folder, RECIPES)
    split = load(str(tmp_path / "mine.npz"))
    with pytest.raises(ValueError, match=message):  # as a trial of a sweep opens one
        finished_run(folder, split, RECIPES["small"].build(split))
    edit(folder, fingerprints=None)  # as a run of an earlier version
    open_run(folder, RECIPES)


def test_one_corrected_label_is_another_label(tmp_path):
    """Before: only those of 64 datapoints were compared, and a run went on with other labels, without a word."""
    x, y = np.random.default_rng(0).integers(0, 256, (2_000, 1, 2, 2), dtype=np.uint8), np.arange(2_000) % 3
    sampled = torch.linspace(0, 1_999, same_run.SAMPLED).long()
    assert 1 not in sampled
    corrected = y.copy()
    corrected[1] = 2
    before, same, after = (Dataset.from_arrays(x, labels) for labels in (y, y.astype(np.int16), corrected))
    settings = configure(RECIPES["small"], device="cpu")[0]
    same_run.write_settings(tmp_path, settings, "c", Split(before, before))
    check_same_data(tmp_path, fingerprints(Split(same, same)))
    with pytest.raises(ValueError, match="the training set has other labels; the test set has other labels; put"):
        check_same_data(tmp_path, fingerprints(Split(after, after)))
    there = json.loads((tmp_path / SETTINGS).read_text())["fingerprints"]
    for of_set in there.values():
        del of_set["all labels"]
    edit(tmp_path, fingerprints=there)  # as a run of an earlier version, which is opened as before
    check_same_data(tmp_path, fingerprints(Split(after, after)))


def test_a_sweep_does_not_mix_runs_on_old_and_on_new_data(tmp_path):
    """Before: its table had both, without a word."""
    torch.set_default_dtype(torch.float32)
    arrays(tmp_path / "mine.npz")
    options = {"data": str(tmp_path / "mine.npz"), "steps": 2, "batch_size": 16, "device": "cpu"}
    with without_pictures():
        plan_sweep(RECIPES["small"], tmp_path / "out", seeds=2, **options).run_only(1)
    plan_sweep(RECIPES["small"], tmp_path / "out", seeds=2, **options)
    arrays(tmp_path / "mine.npz", seed=1)
    with pytest.raises(ValueError, match=r"are not those of the run in .*seed-0: the training set has the same size"):
        plan_sweep(RECIPES["small"], tmp_path / "out", seeds=2, **options)


def test_runs_on_data_of_the_zoo_are_compared_as_well(copied):
    there = json.loads((copied / SETTINGS).read_text())["fingerprints"]
    edit(copied, fingerprints={**there, "test set": {**there["test set"], "datapoints": 7}})
    with pytest.raises(ValueError, match=r"'digits' are not those of the run in .*: the test set has 297 .*, 7 there"):
        open_run(copied, RECIPES)


@pytest.mark.parametrize(
    "damaged", [[], {"training set": 3}, {"training set": {"datapoints": 1500, "shape": [1, 8, 8]}}]
)
def test_damaged_fingerprints_are_refused_by_name(damaged, copied):
    edit(copied, fingerprints=damaged)
    with pytest.raises(ValueError, match=r"settings.json is damaged: fingerprints must be those of two data sets"):
        open_run(copied, RECIPES)


def test_other_last_digits_are_the_same_data(tmp_path):
    """Pictures are decoded, and values computed, with other last digits on another machine."""
    rng = np.random.default_rng(0)
    x = rng.integers(20, 230, (90, 3, 16, 16), dtype=np.uint8)
    noisy = x + rng.integers(-1, 2, x.shape).astype(np.uint8)
    floats = rng.standard_normal((90, 2))
    for there, here in ((x, noisy), (floats, np.float32(floats) * (1 + 1e-6))):
        before, now = (Dataset.from_arrays(one) for one in (there, here))
        same_run.write_settings(tmp_path, configure(RECIPES["small"], device="cpu")[0], "c", Split(before, before))
        check_same_data(tmp_path, fingerprints(Split(now, now)))
        rolled = Dataset.from_arrays(np.roll(there, 1, 0))
        with pytest.raises(ValueError, match="and other values"):
            check_same_data(tmp_path, fingerprints(Split(rolled, rolled)))


def test_a_large_constant_does_not_hide_other_data(tmp_path):
    """Each row of a table is another one, and its column of years makes all its numbers nearly the same."""
    rng = np.random.default_rng(0)

    def table():
        return np.column_stack([1900.0 + rng.integers(0, 100, 500), rng.normal(size=(500, 4))])

    x = table()
    before, again, other = (Dataset.from_arrays(one) for one in (x, np.float32(x) * (1 + 1e-6), table()))
    same_run.write_settings(tmp_path, configure(RECIPES["small"], device="cpu")[0], "c", Split(before, before))
    check_same_data(tmp_path, fingerprints(Split(again, again)))
    with pytest.raises(ValueError, match="the training set has the same size, 500 datapoints, and other values"):
        check_same_data(tmp_path, fingerprints(Split(other, other)))
    single = before.subset(np.array([0]))  # does not vary: compared by its size
    same_run.write_settings(tmp_path, configure(RECIPES["small"], device="cpu")[0], "c", Split(single, single))
    near = Dataset.from_arrays(x[:1] * 1.001)
    check_same_data(tmp_path, fingerprints(Split(near, near)))


def test_a_stopped_run_is_not_resumed_on_another_test_set(copied):
    split = load("digits")
    other = Split(split.train, split.test.subset(np.arange(50)))
    settings, _ = read_settings(copied)
    _, experiment = restore_experiment(settings, RECIPES)
    (copied / "summary.md").unlink()
    with pytest.raises(ValueError, match="the test set has 50 datapoints here, 297 there"):
        run.train(experiment, other, settings, copied, command="c", progress=False, resume=True)


@pytest.mark.parametrize("device", ["cuda", "cuda:7", "mps"])
def test_a_run_of_a_device_that_is_not_here_is_opened_on_the_cpu(device, copied, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    expected = open_run(copied, RECIPES)
    edit(copied, device=device)
    with pytest.warns(RuntimeWarning, match=f"trained on {device}, which is not on this machine, is opened on the CPU"):
        opened = open_run(copied, RECIPES)
    assert opened.settings == replace(expected.settings, device="cpu")
    pairs = zip(opened.model.parameters(), expected.model.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
    settings, _ = read_settings(copied)
    with pytest.raises(ValueError, match=f"there is no device '{device}' here"):  # to go on it needs its own device
        restore_experiment(settings, RECIPES)
    edit(copied, device="a GPU")
    with pytest.raises(ValueError, match=r"settings\.json is damaged: device must be one of PyTorch's, got 'a GPU'"):
        open_run(copied, RECIPES)


@pytest.mark.parametrize("saved", [True, False])
def test_a_run_of_two_processes_is_resumed_by_two(saved, copied):
    """Before: one that was killed before its first checkpoint was trained by one process, without a word."""
    edit(copied, processes=2)
    (copied / "summary.md").unlink()
    if not saved:
        (copied / CHECKPOINT).unlink()
    expected = f"torchrun --nproc-per-node=2 -m zoo train --resume {copied}"
    assert how_to_resume(copied) == expected
    with pytest.raises(ValueError, match="trained by 2 processes, and this is 1: resume it with torchrun --nproc-per"):
        train(copied, "digits", resume=True)
    edit(copied, processes=None)  # as a run of an earlier version
    assert how_to_resume(copied) == f"python -m zoo train --resume {copied}"
    train(copied, "digits", resume=True)


def test_a_run_of_one_process_is_not_resumed_by_several(copied, monkeypatch):
    monkeypatch.setattr(run, "group", lambda: (0, 2))
    without_checkpoint(copied)
    with pytest.raises(ValueError, match="trained by 1 process, and this is 2: resume it without torchrun"):
        train(copied, "digits", resume=True)


def test_a_run_that_begins_again_records_the_versions_of_its_second_beginning(copied):
    """Before: settings.json kept those of a beginning of which nothing is left."""
    recorded = json.loads((copied / SETTINGS).read_text())["versions"]
    without_checkpoint(copied)
    edit(copied, versions={**recorded, "torch": "2.0.0", "threads": 77})
    train(copied, "digits", resume=True)
    assert json.loads((copied / SETTINGS).read_text())["versions"] == recorded
    assert load_checkpoint(copied / CHECKPOINT)["about"]["versions"] == recorded
    assert read_settings(copied)[1] == "c"
