"""`reproduce`: what there is, what is missing, and a whole one from the command line and from a notebook."""

import json
import re
from pathlib import Path

import pytest
import torch

from tests import small_recipe
from zoo import papers
from zoo.lab.trials import reproduction
from zoo.lab.trials.reproduction import Reproduction
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

    quantities = {"steps": reproduction.Quantity("steps"), "seed": reproduction.Quantity("the seed", "high")}
    wanted = Reproduction("A small one", "nobody", {"vae": measure}, quantities, best=("vae", "seed"))
    monkeypatch.setitem(REPRODUCTIONS, "small", wanted)
    monkeypatch.setitem(RECIPES, "small", small_recipe.RECIPES["small"])
    torch.set_default_dtype(torch.float32)
    return wanted


def test_a_reproduction_runs_from_the_command_line_and_is_kept(small, run, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    arguments = ["reproduce", "small", "--budget", "short", "--seeds", "2", "--device", "cpu"]
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
    more = reproduction.reproduce(
        "small", REPRODUCTIONS, RECIPES, tmp_path, seeds=2, budget="short", runs=tmp_path / "runs"
    )
    assert len(more.result["variants"]["vae"]) == 2
    with pytest.raises(FileExistsError, match="holds more"):
        papers.reproduce("small", out=tmp_path, seeds=1, budget="short", runs=tmp_path / "runs")


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
