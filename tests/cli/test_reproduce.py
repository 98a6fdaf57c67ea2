"""`reproduce`: what there is, what is missing, and a whole one from the command line and from a notebook."""

import json
import re
import shutil
from pathlib import Path
from unittest import mock

import pytest
import torch

from tests import small_recipe
from tests.processes import copied_interpreters
from zoo import papers
from zoo.lab.trials.reproduce import reproduce
from zoo.lab.trials.reproduction import Quantity, Reproduction
from zoo.papers.queue import plan_queue
from zoo.papers.recipes import RECIPES
from zoo.papers.reproductions import REPRODUCTIONS, results_folder

pytestmark = pytest.mark.usefixtures("_quick_pictures")


def test_reproductions_are_listed(run):
    assert "joint-vae/mnist " in run("reproduce")


def test_a_reproduction_says_which_data_is_missing(refused, tmp_path):
    said = refused("reproduce", "joint-vae/mnist", "--seeds", "1", "--data-dir", tmp_path / "nowhere", "--out", "out")
    error = r"error: no trial of joint-vae/mnist is finished, .*seed-0: data 'mnist': train-images-idx3-ubyte, .*"
    assert re.fullmatch(error + r"--download.*\n", said)


def test_every_result_has_its_papers_room():
    rooms = {name: results_folder(name) for name in REPRODUCTIONS}
    assert all(room.name == "results" and (room.parent / "reproduction.py").is_file() for room in rooms.values())
    assert rooms["joint-vae/mnist"].parent.name == "joint_vae"
    assert rooms["hfvae/topics"].parent.name == "hfvae_topics"
    with pytest.raises(LookupError, match="did you mean 'joint-vae/mnist'"):
        results_folder("joint-vae/mnits")


@pytest.fixture
def small(monkeypatch):
    """A reproduction of a few steps on digits, under a name of its own."""

    def measure(trial):
        run = trial.train("small", steps=trial.steps(full=6, short=3))
        return {"steps": run.settings.steps, "seed": trial.seed}

    quantities = {"steps": Quantity("steps"), "seed": Quantity("the seed", "high")}
    wanted = Reproduction("A small one", "nobody", {"vae": measure}, quantities, best=("vae", "seed"))
    monkeypatch.setitem(REPRODUCTIONS, "small", wanted)
    monkeypatch.setitem(RECIPES, "small", small_recipe.RECIPES["small"])
    torch.set_default_dtype(torch.float32)
    return wanted


def test_a_reproduction_runs_from_the_command_line_and_is_kept(small, run, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    arguments = ["reproduce", "small", "--budget", "short", "--seeds", "2", "--device", "cpu", "--jobs", "1"]
    printed = run(*arguments, "--out", "out", "--weights", "kept it")
    result = json.loads(Path("out/small.json").read_text())
    assert [record["quantities"] for record in result["variants"]["vae"]] == [
        {"steps": 3.0, "seed": 0.0},
        {"steps": 3.0, "seed": 1.0},
    ]
    assert result["command"] == "python -m zoo reproduce small --budget short --seeds 2 --weights 'kept it'"
    assert "# A small one" in printed
    assert papers.weights.pretrained("small", folder=Path("kept it")).about["seed"] == 1  # the best by "seed"
    times = {path: path.stat().st_mtime_ns for path in Path("runs").rglob("quantities.json")}
    assert len(times) == 2
    run(*arguments, "--out", "out")
    assert {path: path.stat().st_mtime_ns for path in times} == times


def test_a_reproduction_is_a_function_that_a_notebook_can_call(small, tmp_path):
    done = papers.reproduce("small", out=tmp_path, seeds=1, budget="short", runs=tmp_path / "runs", device="cpu")
    assert done.path == tmp_path / "small.json"
    assert json.loads((tmp_path / "small.json").read_text()) == json.loads(json.dumps(done.result))
    assert done.failures == []
    assert [trial.seed for trial in done.trials["vae"]] == [0]
    more = reproduce("small", REPRODUCTIONS, RECIPES, tmp_path, seeds=2, budget="short", runs=tmp_path / "runs", jobs=1)
    assert len(more.result["variants"]["vae"]) == 2
    again = papers.reproduce("small", out=tmp_path, seeds=1, budget="short", runs=tmp_path / "elsewhere")
    assert len(again.result["variants"]["vae"]) == 2  # the seed that is not run again is kept


def test_a_precision_is_asked_for_from_the_command_line_and_in_a_queue(small, run, refused, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    one = ["small", "--budget", "short", "--seeds", "2", "--device", "cpu"]
    arguments = [*one, "--jobs", "1", "--out", "out"]
    asked = ["reproduce", *arguments, "--precision", "bf16"]
    listed = run(*asked, "--plan").split()
    assert listed == [
        word for k in (0, 1) for word in (f"{k + 1}", str(Path(f"runs/reproduce/small-short-bf16/seed-{k}")))
    ]
    assert run("reproduce", *one, "--precision", "bf16", "--only", "1").startswith("finished trial 1 of 2")
    printed = run(*asked)
    assert "Precision: bf16, for every run." in printed
    result = json.loads(Path("out/small.json").read_text())
    assert result["precision"] == "bf16"
    assert [record["precision"] for record in result["variants"]["vae"]] == ["bf16", "bf16"]
    assert result["command"] == "python -m zoo reproduce small --budget short --seeds 2 --precision bf16"
    said = refused("reproduce", *arguments)
    assert re.search(
        r"out.small.json holds a result in bf16, and this one is in the reproduction's own precision", said
    )
    queued = ["reproduce", "--queue", *arguments]
    assert "left out: small: " in run(*queued, "--plan")
    assert "0 trials, 0.0 core-hours." in run(*queued, "--precision", "bf16", "--plan")
    assert "it must be one of float32, medium, bf16, got 'half'" in refused("reproduce", "small", "--precision", "half")
    with pytest.raises(ValueError, match="precision must be one of float32, medium, bf16, got 'half'"):
        plan_queue(["small"], precision="half")
    with pytest.raises(ValueError, match="--precision bf16 cannot be chosen for natural-clustering/augmentation"):
        papers.plan_reproduction("natural-clustering/augmentation", device="cpu", precision="bf16")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seeds": 0}, "--seeds must be at least 1, got 0"),
        ({"budget": "tiny"}, "--budget must be full or short, got 'tiny'"),
        ({"device": "gpu"}, "there is no device 'gpu' here"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_run(small, options, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        papers.reproduce("small", out=tmp_path / "out", runs=tmp_path / "runs", **options)
    assert not list(tmp_path.iterdir())


@copied_interpreters()
def test_a_queue_is_planned_run_and_continued_from_the_command_line(small, run, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    arguments = ["reproduce", "--queue", "small", "--budget", "short", "--device", "cpu", "--out", "out"]
    planned = run(*arguments, "--seeds", "2", "--plan")
    assert "| small | vae | 0 to 1 | short |" in planned
    assert not (tmp_path / "out").exists()
    said = run(*arguments, "--seeds", "2", "--weights", "kept")
    assert "2 trials finished, 0 are left" in said
    result = json.loads(Path("out/small.json").read_text())
    assert [record["quantities"]["seed"] for record in result["variants"]["vae"]] == [0.0, 1.0]
    assert result["command"] == "python -m zoo reproduce small --budget short --seeds 2"
    assert papers.weights.pretrained("small", folder=Path("kept")).about["seed"] == 1
    shutil.rmtree("runs")  # another machine
    assert "| small | vae | 2 | short |" in run(*arguments, "--seeds", "3", "--plan")
    done = papers.reproduce_queue(["small"], budget="short", seeds=3, out=Path("out"), device="cpu")
    assert [one.trial.seed for one in done.finished] == [2]
    result = json.loads(Path("out/small.json").read_text())
    assert [record["seed"] for record in result["variants"]["vae"]] == [0, 1, 2]
    assert "0 trials finished, 0 are left" in run(*arguments, "--seeds", "3")


def test_without_names_the_queue_has_every_reproduction_that_can_be_run_here(small, tmp_path):
    two = {name: REPRODUCTIONS[name] for name in ("small", "dip-vae/celeba")}
    with mock.patch.dict(REPRODUCTIONS, two, clear=True):  # which gives the order back, too
        plan = plan_queue(out=tmp_path / "out", runs=tmp_path / "runs", data_dir=tmp_path, device="cpu", seeds=1)
    assert [one.name for one in plan.trials] == ["small"]
    assert list(plan.left_out) == ["dip-vae/celeba"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["small", "--hours", "1"], "--hours can only be given with --queue"),
        (["--plan"], "--plan needs the name of a reproduction"),
        (["--only", "1"], "--only needs the name of a reproduction"),
        (["small", "--only", "9"], "--only must be from 1 to 5, got 9: --plan lists the trials"),
        (["small", "--only", "1", "--plan"], "give one of the two"),
        (["small", "--only", "1", "--weights", "kept"], "--weights cannot be combined with --only 1, which trains one"),
        (["small", "--only", "2", "--out", "out"], "--out cannot be combined with --only 2"),
        (["small", "--only", "1", "--replace"], "--replace cannot be combined with --only 1"),
        (["small", "--only", "1", "--jobs", "2"], "--jobs cannot be combined with --only 1"),
        (["--queue", "small", "--only", "1"], "--only 1 cannot be combined with --queue"),
        (["small", "--out", "out", "--backend", "joblib"], "--backend must be loky, dask or ray, got 'joblib'"),
        (
            ["--queue", "small", "--scheduler", "tcp://here:1"],
            "--scheduler tcp://here:1 can only be given with --backend d",
        ),
        (
            ["small", "joint-vae/mnist"],
            r"several reproductions \(small, joint-vae/mnist\) can only be given with --queue",
        ),
        (["--queue", "small", "--replace"], "--replace cannot be combined with --queue"),
        (["--queue", "--table"], "--table cannot be combined with --queue"),
        (["--queue", "smal"], "unknown reproduction 'smal'; did you mean 'small'"),
        (["--queue", "small", "--hours", "0"], "it must be positive and finite, got 0"),
        (["--queue", "small", "--budget", "tiny"], "--budget must be full or short, got 'tiny'"),
    ],
)
def test_options_that_do_not_fit_the_queue_are_refused(small, refused, arguments, message, tmp_path):
    assert re.search(message, refused("reproduce", *arguments))
    assert not list(tmp_path.iterdir())
