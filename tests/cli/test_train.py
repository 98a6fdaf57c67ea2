"""`train`: what a run leaves, what it says, and that the same seed gives the same run."""

import csv
import json
import re
import shlex
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

from zoo.lab.data import load
from zoo.lab.device import find_device
from zoo.lab.runs.command import train_command
from zoo.lab.runs.folder import Settings, read_settings
from zoo.lab.runs.summary import unfinished_schedule
from zoo.lab.training import processes, threads
from zoo.lab.training.experiment import Experiment, Recipe
from zoo.lab.trials.trial import Trial
from zoo.papers.recipes import RECIPES

pytestmark = pytest.mark.usefixtures("_quick_pictures")


def read(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


def test_a_run_leaves_everything(finished):
    folder, _ = finished
    assert {path.name for path in folder.iterdir()} >= {
        "settings.json",
        "terms.csv",
        "units.csv",
        "weights.safetensors",
        "reconstructions.png",
        "traversals.png",
        "samples.png",
        "kl.png",
        "kl.csv",
        "summary.md",
    }
    settings = json.loads((folder / "settings.json").read_text())
    assert {key: settings[key] for key in ("recipe", "data", "steps", "batch_size", "seed")} == {
        "recipe": "joint-vae/digits",
        "data": "digits",
        "steps": 150,
        "batch_size": 64,
        "seed": 3,
    }


def test_the_curve_has_every_step_and_its_terms_add_up(finished):
    folder, _ = finished
    rows = read(folder / "terms.csv")
    assert [int(row["step"]) for row in rows] == list(range(1, 151))
    for row in rows:
        terms = sum(float(value) for name, value in row.items() if name.startswith("term/"))
        assert float(row["loss"]) == pytest.approx(-terms, rel=1e-5)
    assert sum(float(row["loss"]) for row in rows[-10:]) < sum(float(row["loss"]) for row in rows[:10]) - 50


def test_the_weights_rebuild_the_pair(finished):
    folder, _ = finished
    experiment = RECIPES["joint-vae/digits"].build(load("digits"))
    modules = torch.nn.ModuleDict({"model": experiment.model, "guide": experiment.guide}).float()
    before = experiment.model.decoder.layers[1].weight.clone()
    safetensors.torch.load_model(modules, str(folder / "weights.safetensors"))
    assert not torch.equal(before, experiment.model.decoder.layers[1].weight)


def test_the_summary_says_what_was_run_and_what_came_out(finished):
    folder, shown = finished
    summary = (folder / "summary.md").read_text()
    kl = sum(float(row["kl_nats"]) for row in read(folder / "kl.csv") if row["site"] == "z")
    assert f"| KL of z | {kl:.2f} |" in summary
    assert "python -m zoo train --steps 150 --seed 3" in summary
    assert "all 297 test datapoints" in summary
    assert "z ~ Normal(0, 1)" in summary
    assert f"KL of z {kl:.2f}" in shown


@pytest.mark.usefixtures("_without_pictures")
def test_the_same_seed_gives_the_same_run_and_a_used_folder_is_not_touched(finished, run, refused, monkeypatch):
    folder, _ = finished
    monkeypatch.chdir(folder.parents[1])
    run("train", "--steps", "30", "--seed", "3")
    again = folder.parent / "joint-vae-digits-2"
    first = (folder / "terms.csv").read_text().splitlines()[:31]
    assert (again / "terms.csv").read_text().splitlines() == first
    said = refused("train", "--steps", "5", "--out", again)
    assert re.fullmatch(r"error: the folder .*joint-vae-digits-2 is in use: name another one with --out, .*\n", said)


def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_curve(refused, tmp_path):
    said = refused("train", "--steps", "200", "--lr", "1e30")
    stopped = re.search(r"error: step (\d+): the loss is not finite: term .*site", said)
    assert stopped, said
    rows = (tmp_path / "runs/joint-vae-digits/terms.csv").read_text().splitlines()
    assert len(rows) == 1 + int(stopped[1]) - 1


def test_a_shortened_run_says_how_far_its_capacity_comes(finished):
    # Joint-VAE on digits ramps C_z to 4 and C_c to 2.3 over 3,000 of its 6,000 steps: at 150 steps, a twentieth.
    folder, shown = finished
    said = "The schedule is for 6,000 steps, and this run has 150: capacity.z reaches only 0.2 of 4 (5 %), "
    said += "capacity.c reaches only 0.115 of 2.3 (5 %); "
    assert said in shown
    assert said in (folder / "summary.md").read_text()


@pytest.mark.parametrize(
    ("recipe", "steps", "said"),
    [
        ("joint-vae/digits", 3_000, ""),  # the ramp's end
        ("joint-vae/digits", 2_999, "capacity.z reaches only 3.999 of 4 (99.97 %)"),
        (
            "joint-vae/digits",
            300,
            "capacity.z reaches only 0.4 of 4 (10 %), capacity.c reaches only 0.23 of 2.3 (10 %)",
        ),
        ("joint-vae/digits", 10_000, ""),
        ("vae", 5, ""),  # which has no schedule
    ],
)
def test_a_schedule_that_ends_in_time_needs_no_word(recipe, steps, said):
    experiment = RECIPES[recipe].build(load("digits"))
    before = experiment.elbo.state_dict()
    found = unfinished_schedule(experiment, steps)
    assert said in found
    assert bool(said) == bool(found)
    assert str(experiment.elbo.state_dict()) == str(before)


@pytest.mark.usefixtures("_without_pictures")
@pytest.mark.parametrize("option", [["--set", "labelled=50"], ["--set", "labelled=none"]])
def test_a_hyperparameter_whose_default_is_none_can_be_typed(option, run, tmp_path):
    # 10 classes: 5 labelled datapoints of each.
    run("train", "natural-clustering/digits", *option, "--steps", 2, "--out", tmp_path / "run")
    settings = json.loads((tmp_path / "run" / "settings.json").read_text())
    assert settings["hyperparameters"]["labelled"] == (50 if option[1].endswith("50") else None)


@pytest.fixture
def two_threads(monkeypatch, _without_pictures):
    """Two threads that nobody asked for, as on a machine with two cores."""
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("found", [1, 2])
def test_a_run_with_the_faster_number_of_threads_records_it_and_is_that_of_this_number(
    found, two_threads, run, monkeypatch, tmp_path
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(threads, "TURNS", 1)
    monkeypatch.setattr(threads, "STEPS", 1)
    search = threads.find_threads

    def searched(*args, **kwargs):  # takes its steps; what it finds is up to the machine
        assert search(*args, **kwargs) in (1, 2)
        return found

    monkeypatch.setattr(threads, "find_threads", searched)
    arguments = ["train", "beta-vae", "--steps", 3, "--device", "cpu"]
    said = run(*arguments, "--threads", "auto", "--out", "auto")
    assert f"the first steps are faster with {found} of 2 threads" in said
    assert json.loads(Path("auto/settings.json").read_text())["versions"]["threads"] == found
    torch.set_num_threads(2)
    run(*arguments, "--threads", found, "--out", "asked")
    for name in ("terms.csv", "units.csv", "kl.csv", "weights.safetensors"):
        assert Path("auto", name).read_bytes() == Path("asked", name).read_bytes()


def test_a_resumed_run_has_the_number_of_threads_that_it_began_with(two_threads, run, refused, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    run("train", "beta-vae", "--steps", 3, "--device", "cpu", "--threads", 1, "--out", "whole")
    shutil.copytree("whole", "cut")
    for name in ("checkpoint.safetensors", "summary.md", "weights.safetensors", "terms.csv", "units.csv"):
        Path("cut", name).unlink()  # killed before its first checkpoint
    torch.set_num_threads(2)
    run("train", "--resume", "cut")
    assert torch.get_num_threads() == 1
    assert Path("cut/terms.csv").read_bytes() == Path("whole/terms.csv").read_bytes()
    assert "--threads cannot be combined with --resume" in refused(
        "train", "--resume", tmp_path / "cut", "--threads", 2
    )


def test_the_environments_number_of_threads_decides(two_threads, run, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    said = run("train", "beta-vae", "--steps", 2, "--device", "cpu", "--threads", 1, "--out", "run")
    assert "OMP_NUM_THREADS is set, so the number of threads is 2" in said
    assert json.loads(Path("run/settings.json").read_text())["versions"]["threads"] == 2


@pytest.mark.parametrize("wrong", ["0", "-1", "many", "1.5", ""])
def test_a_number_of_threads_that_is_none_is_refused(wrong, refused):
    assert f"--threads must be auto, or a whole number from 1 to 1,024, got {wrong!r}" in refused(
        "train", f"--threads={wrong}"
    )


@pytest.mark.usefixtures("_without_pictures")
def test_a_run_is_resumed_with_options_that_it_has_in_whatever_form(run, refused, monkeypatch, tmp_path):
    """Before: the run's own data were refused in another form of their path, and so was a default."""
    monkeypatch.chdir(tmp_path)
    np.savez("mine.npz", x=np.random.default_rng(0).integers(0, 256, (60, 1, 8, 8), dtype=np.uint8))
    run("train", "beta-vae", "--data", "mine.npz", "--set", "beta=2", "--steps", 2, "--batch-size", 8, "--out", "run")
    Path("run/summary.md").unlink()
    own = ["--data", "./mine.npz", "--set", "beta=2.0", "--set", "z_dim=10", "--data-option", "held_out=0.1"]
    assert "the run is in run" in run("train", "beta-vae", "--resume", "run", *own)
    for option, message in (
        (["--set", "z_dim=9"], "hyperparameters is {'z_dim': 10} there, {'z_dim': 9} was asked for"),
        (["--data-option", "held_out=0.2"], "data_options is {'held_out': 0.1} there, {'held_out': 0.2} was asked for"),
        (["--data", "digits"], f"data is '{tmp_path / 'mine.npz'}' there, 'digits' was asked for"),
    ):
        assert message in refused("train", "--resume", "run", *option)


@pytest.mark.usefixtures("_without_pictures")
def test_the_command_of_one_run_of_many_trains_that_run(run, monkeypatch, tmp_path):
    """Before: it was python -m zoo train beta-vae --seed 1  # one of many, which trains another run."""
    monkeypatch.chdir(tmp_path)
    np.savez("my data.npz", x=np.random.default_rng(0).integers(0, 256, (60, 1, 8, 8), dtype=np.uint8))
    torch.set_default_dtype(torch.float32)
    about = {
        "data": "my data.npz",
        "data_options": {"held_out": 0.25},
        "steps": 2,
        "batch_size": 8,
        "lr": 0.000123456789,
    }
    about["data"] = str(tmp_path / about["data"])
    trial = Trial(1, "full", Path("trial"), RECIPES, device="cpu", precision="medium", progress=False)
    settings = trial.train("beta-vae", beta=1.23456789, z_dim=3, **about).settings
    _, command = read_settings(trial.folder)
    assert f"\n\n    {command}\n" in (trial.folder / "summary.md").read_text()
    assert "Hyperparameters: beta = 1.23456789, z_dim = 3; all others are" in (trial.folder / "summary.md").read_text()
    words = shlex.split(command)
    assert words[:4] == ["python", "-m", "zoo", "train"]
    run(*words[3:], "--out", "again")
    assert read_settings(Path("again"))[0] == settings
    assert Path("again/weights.safetensors").read_bytes() == (trial.folder / "weights.safetensors").read_bytes()


def test_the_command_of_a_run_types_every_kind_of_value():
    def build(data, *, sizes=(1, 2), limit=None, beta=1.0):
        raise AssertionError("built")

    recipe = Recipe("own", build, data="digits", paper="", data_options={"size": 8})
    made = Experiment(None, None, None, steps=5, batch_size=4)
    values = {"sizes": [3, 4], "limit": None, "beta": 1e-7}
    own = Settings("own", values, "digits", {"size": 8}, 5, 4, made.lr, 0, str(find_device()), compile=True)
    assert train_command(own, recipe, made) == (
        "python -m zoo train own --set sizes=3,4 --set limit=none --set beta=1e-07 --seed 0 --compile"
    )
    other = replace(own, data="pinwheel", device="cuda:7", hyperparameters={}, compile=False, steps=6)
    assert train_command(other, recipe, made) == (
        "python -m zoo train own --data pinwheel --data-option size=8 --steps 6 --device cuda:7 --seed 0"
    )


def test_what_several_processes_cannot_train_is_refused_before_there_is_a_folder(refused, monkeypatch, tmp_path):
    """Before: it was refused in the words of `fit`, and left a folder that could not be resumed."""
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr(processes, "joined", lambda *_: pytest.fail("it began"))
    said = refused("train", "--compile", "--steps", 2, "--out", tmp_path / "run")
    assert said == (
        "error: --compile cannot be combined with torchrun's 2 processes: leave it out, or train in one process with "
        "python -m zoo train\n"
    )
    build = RECIPES["joint-vae/digits"].build

    def normalised(split):
        experiment = build(split)
        experiment.guide.norm = torch.nn.BatchNorm1d(2)
        return experiment

    monkeypatch.setitem(RECIPES, "joint-vae/digits", replace(RECIPES["joint-vae/digits"], build=normalised))
    said = refused("train", "--steps", 2, "--out", tmp_path / "run")
    assert "norm is a BatchNorm1d" in said
    assert "train this pair in one process" in said
    assert list(tmp_path.iterdir()) == []
