"""Runs in bfloat16: the precision is recorded, and a resumed run keeps it."""

import json
from dataclasses import asdict, replace

import pytest
import torch

from tests.pictures import quick_pictures
from tests.small_recipe import RECIPES
from zoo.lab.runs.finished import configure
from zoo.lab.runs.folder import SETTINGS, Settings, new_folder, read_settings
from zoo.lab.runs.train import Every, train
from zoo.lab.trials.trial import Trial

WEIGHTS = "weights.safetensors"


@pytest.fixture(autouse=True)
def _single_precision():
    torch.set_default_dtype(torch.float32)


def trained(folder, schedule=None, resume=False, **changes):
    """Six steps in bf16 with checkpoints; the types of the decoder's outputs in training and in evaluation."""
    settings, split, experiment = configure(RECIPES["small"], steps=6, seed=2, device="cpu", precision="bf16")
    experiment, settings = replace(experiment, schedule=schedule), replace(settings, **changes)
    model, types = experiment.model, set()
    model.decoder[0].register_forward_hook(lambda module, inputs, output: types.add((model.training, output.dtype)))
    every = Every.parse("2")
    train(experiment, split, settings, folder, command="", every=every, progress=False, resume=resume)
    return types


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run, and the types of its outputs."""
    folder = new_folder(tmp_path_factory.mktemp("precision") / "whole")
    with quick_pictures():
        return folder, trained(folder)


EACH = {(True, torch.float32), (True, torch.bfloat16), (False, torch.float32)}  # the trial run, steps, evaluation


def test_a_run_records_its_precision_and_is_evaluated_in_float32(whole):
    folder, types = whole
    assert types == EACH
    assert json.loads((folder / SETTINGS).read_text())["precision"] == "bf16"
    settings = read_settings(folder)[0]
    assert settings.precision == "bf16"
    assert "on cpu in precision bf16" in (folder / "summary.md").read_text()
    # settings of an earlier version have no precision
    record = asdict(settings)
    del record["precision"]
    assert Settings.of(record).precision == "float32"
    with pytest.raises(ValueError, match="precision must be one of float32, medium, bf16, got 'half'"):
        Settings.of({**record, "precision": "half"})


class Ended(Exception):
    pass


def ending(step, elbo):
    if step == 4:
        raise Ended


@pytest.mark.usefixtures("_quick_pictures")
def test_a_stopped_run_ends_as_one_that_was_not_stopped(whole, tmp_path):
    stopped = new_folder(tmp_path / "stopped")
    with pytest.raises(Ended):
        trained(stopped, schedule=ending)
    with pytest.raises(ValueError, match="precision is 'bf16' in the checkpoint, 'float32' here"):
        trained(stopped, resume=True, precision="float32")
    assert trained(stopped, resume=True) == EACH
    assert (stopped / WEIGHTS).read_bytes() == (whole[0] / WEIGHTS).read_bytes()


@pytest.mark.usefixtures("_quick_pictures")
def test_a_trial_of_an_earlier_version_which_recorded_no_precision_is_opened(tmp_path):
    trial = Trial(seed=0, budget="short", folder=tmp_path, recipes=RECIPES, device="cpu", progress=False)
    trial.train("small", steps=2)
    with pytest.raises(ValueError, match="precision is 'float32' there, 'medium' here"):
        trial.train("small", steps=2, precision="medium")
    path = tmp_path / SETTINGS
    record = json.loads(path.read_text())
    del record["precision"], record["digest"]
    path.write_text(json.dumps(record))
    (tmp_path / "SHA256SUMS").unlink()
    assert trial.train("small", steps=2, precision="medium").settings.precision == "float32"
