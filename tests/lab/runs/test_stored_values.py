"""Hyperparameters as settings.json holds them: a run is built from the same values when it is opened."""

import math
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch

from guides import Amortized, MeanField
from zoo.elbos import PlainELBO
from zoo.lab.files import read_record, write_record
from zoo.lab.networks import MLPDecoder, MLPEncoder
from zoo.lab.runs.finished import configure
from zoo.lab.runs.folder import Settings, as_stored
from zoo.lab.runs.train import train
from zoo.lab.training.experiment import Experiment, Recipe
from zoo.lab.trials.sweep import sweep
from zoo.lab.trials.sweep_plan import plan_sweep
from zoo.vae import VAE

GIVEN: list[object] = []


def build(data, *, hidden=(16,), weights=None, name=""):
    """A small VAE that keeps what it was built with."""
    GIVEN.append((hidden, weights, name))
    shape = data.train.shape
    model = VAE(MLPDecoder(2, shape, hidden=tuple(hidden)), z_dim=2, num_data=len(data.train))
    guide = Amortized(MLPEncoder(shape, hidden=tuple(hidden)), num_data=len(data.train), z=MeanField(2))
    return Experiment(model, guide, PlainELBO(), steps=2, batch_size=64)


OWN = Recipe("own", build, "digits", "none")


@pytest.mark.parametrize(
    ("value", "stored"),
    [
        ((8, 4), [8, 4]),
        ([(1, 2), [3.5, None]], [[1, 2], [3.5, None]]),
        ({"z": (1.0, 2.0)}, {"z": [1.0, 2.0]}),
        (np.float64(0.5), 0.5),
        (np.int64(3), 3),
        (np.bool_(True), True),
        (np.array(2.5), 2.5),
        (torch.tensor(3), 3),
        (Path("a/b"), str(Path("a/b"))),
        (math.inf, math.inf),
        (True, True),
        ("text", "text"),
        (None, None),
    ],
    ids=repr,
)
def test_a_value_is_what_the_file_returns(value, stored, tmp_path):
    found = as_stored({"name": value})["name"]
    assert found == stored
    assert type(found) is type(stored)
    settings = Settings("own", {"name": value}, "digits", {"option": value}, 2, 64, 1e-3, 0, "cpu")
    write_record(tmp_path / "settings.json", asdict(settings))
    assert Settings.of(read_record(tmp_path / "settings.json")) == settings
    assert settings.hyperparameters == {"name": stored} == {"name": settings.data_options["option"]}


def test_numpys_numbers_of_steps_batch_size_rate_and_seed_become_pythons(tmp_path):
    settings, *_ = configure(
        OWN, steps=np.int64(3), batch_size=np.int32(16), lr=np.float32(0.5), seed=np.int64(1), device="cpu"
    )
    numbers = (settings.steps, settings.batch_size, settings.lr, settings.seed)
    assert numbers == (3, 16, 0.5, 1)
    assert [type(number) for number in numbers] == [int, int, float, int]
    write_record(tmp_path / "settings.json", asdict(settings))
    assert Settings.of(read_record(tmp_path / "settings.json")) == settings


def test_a_run_is_not_trained_over_another_one(tmp_path):
    # The experiment is trained already: its second training would be stored as one of 2 steps.
    settings, data, experiment = configure(OWN, device="cpu")
    train(experiment, data, settings, tmp_path, command="mine", progress=False)
    before = (tmp_path / "weights.safetensors").read_bytes()
    with pytest.raises(FileExistsError, match="holds a run: give a new folder, or resume=True"):
        train(experiment, data, settings, tmp_path, command="mine", progress=False)
    assert (tmp_path / "weights.safetensors").read_bytes() == before


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (math.nan, "nan"),
        ([1.0, float("nan")], "nan"),
        ({1, 2}, r"\{1, 2\}"),
        ({1: 2.0}, r"\{1: 2.0\}"),  # JSON would make the key "1" of it
        (np.zeros(2), r"ndarray of float64 \[2\]"),
        (torch.zeros(2, dtype=torch.float64), r"Tensor of torch.float64 \[2\]"),
        (math.sqrt, "the function sqrt"),
        (b"bytes", "b'bytes'"),
        (1j, "1j"),
    ],
    ids=repr,
)
def test_what_the_file_cannot_hold_is_refused_before_data_are_loaded(value, shown, tmp_path):
    GIVEN.clear()
    must = "must be what settings.json can hold: a number but not NaN, .*; got "
    with pytest.raises(ValueError, match=f"hyperparameter weights {must}{shown}"):
        configure(OWN, hyperparameters={"weights": value}, data_dir=tmp_path)
    with pytest.raises(ValueError, match=f"option of the data size {must}{shown}"):
        configure(OWN, data_options={"size": value}, data_dir=tmp_path)
    with pytest.raises(ValueError, match=f"hyperparameter weights {must}{shown}"):
        plan_sweep(OWN, tmp_path, grid=[{"weights": 1.0}, {"weights": value}])
    with pytest.raises(ValueError, match=f"hyperparameter weights {must}{shown}"):
        plan_sweep(OWN, tmp_path, hyperparameters={"weights": value})
    assert not GIVEN
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("_without_pictures")
def test_a_sweep_over_tuples_mappings_and_numpys_numbers_is_found_again(tmp_path):
    torch.set_default_dtype(torch.float32)
    grid: list[Mapping[str, object]] = [
        {"hidden": (8,), "weights": np.float64(0.5)},
        {"hidden": (8, 4), "weights": {"z": (1.0, 2.0)}},
    ]
    options: dict[str, object] = {"grid": grid, "seeds": 2, "device": "cpu", "jobs": 1}
    GIVEN.clear()
    done = sweep(OWN, tmp_path, **options)
    assert done.failures == ()
    assert done.summary()["seeds"].tolist() == [2, 2]
    assert done.table["hidden"].tolist() == [[8], [8], [8, 4], [8, 4]]
    # The recipe gets what it would get from the file, wherever it is built.
    assert {repr(given) for given in GIVEN} == {"([8], 0.5, '')", "([8, 4], {'z': [1.0, 2.0]}, '')"}
    trained = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("weights.safetensors")}
    again = sweep(OWN, tmp_path, **options)
    assert again.table.equals(done.table)
    assert trained == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("weights.safetensors")}


def test_a_points_folder_is_one_folder_whatever_its_text(tmp_path):
    planned = plan_sweep(OWN, tmp_path, grid=[{"name": "a/../../b"}, {"name": "c\\d"}], seeds=1, device="cpu")
    assert [trial.folder for _, trial in planned.trials] == [
        tmp_path / "name=a-..-..-b" / "seed-0",
        tmp_path / "name=c-d" / "seed-0",
    ]
    with pytest.raises(
        ValueError, match="sweep: the folder of point 1 of the grid would have a name of 305 bytes, name="
    ):
        plan_sweep(OWN, tmp_path, grid=[{"name": "a"}, {"name": "é" * 150}], seeds=1, device="cpu")
