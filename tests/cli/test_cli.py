"""The command line, as a person types it: runs and what they leave, and what is said when something is wrong."""

import collections
import csv
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import safetensors.torch
import torch

from zoo.__main__ import main
from zoo.lab.data import load
from zoo.papers.recipes import RECIPES

ROOT = Path(__file__).parents[2]


def zoo(*arguments: str, cwd: Path, code: int = 0, data: str = "") -> subprocess.CompletedProcess[str]:
    """Runs python -m zoo, with no data folder but the one named."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "ZOO_DATA": data, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "zoo", *arguments], cwd=cwd, env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done


@pytest.fixture
def refused(monkeypatch, capsys, tmp_path):
    """The same in this process, for a command that fails: what it says."""

    def run(*arguments: str) -> str:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("ZOO_DATA", "")
        monkeypatch.setattr(sys, "argv", ["zoo", *arguments])
        with pytest.raises(SystemExit) as stopped:
            main()
        assert stopped.value.code == 1
        return capsys.readouterr().err

    return run


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A short run of the default recipe."""
    cwd = tmp_path_factory.mktemp("cwd")
    done = zoo("train", "--steps", "150", "--seed", "3", cwd=cwd)
    return cwd / "runs" / "joint-vae-digits", done.stdout


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


def test_the_same_seed_gives_the_same_run_and_a_used_folder_is_not_touched(finished, tmp_path):
    folder, _ = finished
    cwd = folder.parents[1]
    zoo("train", "--steps", "150", "--seed", "3", cwd=cwd)
    again = cwd / "runs" / "joint-vae-digits-2"
    assert (again / "terms.csv").read_text() == (folder / "terms.csv").read_text()
    refused = zoo("train", "--steps", "5", "--out", str(again), cwd=cwd, code=1)
    assert re.fullmatch(
        r"error: the folder .*joint-vae-digits-2 is in use: name another one with --out, .*\n", refused.stderr
    )


@pytest.fixture
def run(monkeypatch, capsys):
    """A command in this process that succeeds: what it prints."""

    def run(*arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", ["zoo", *arguments])
        torch.set_default_dtype(torch.float32)  # as for a user
        with pytest.raises(SystemExit) as stopped:
            main()
        assert stopped.value.code == 0
        return capsys.readouterr().out

    return run


def test_evaluating_a_run_takes_its_elbo_apart(finished, run):
    folder, shown = finished
    printed = run("evaluate", str(folder), "--num-samples", "500")
    # The same figures as at the end of training, from the weights on disk.
    for line in shown.split("nats per datapoint\n")[1].splitlines()[:3]:
        assert line in printed
    terms = collections.defaultdict(float)
    for m in re.finditer(r"^ *(1\+3|2|4|A|i|ELBO) .* (-?\d+\.\d{3}) ", printed, re.MULTILINE):
        terms[m[1]] += float(m[2])  # i has a line for each group
    assert terms["ELBO"] == pytest.approx(terms["1+3"] - terms["2"] - terms["4"], abs=2e-3)
    per_unit = [float(value) for value in re.findall(r"ii +KL\(q \|\| p\) of (?:z\[\d\]|c) +(-?\d+\.\d+)", printed)]
    assert len(per_unit) == 11
    assert terms["4"] == pytest.approx(terms["A"] + terms["i"] + sum(per_unit), abs=1e-2)
    assert (folder / "anatomy.png").read_bytes().startswith(b"\x89PNG")
    scored = json.loads((folder / "metrics.json").read_text())
    assert "seed" in str(scored)
    for metric in ("mig", "total_correlation", "information_about_data"):
        assert metric in str(scored)
        assert metric in printed


def test_metrics_are_listed(run):
    listed = run("metrics")
    for name in ("mig", "dci", "factor_vae", "hoyer"):
        assert re.search(rf"^  {name} ", listed, re.MULTILINE)


def test_data_is_listed_and_shown(run, tmp_path, monkeypatch):
    monkeypatch.setenv("ZOO_DATA", str(tmp_path))
    listed = run("data")
    assert re.search(r"digits\n.*\n +present: needs no files", listed)
    assert re.search(rf"mnist\n.*\n +absent: not in {tmp_path}/MNIST/raw", listed)
    run("data", "--sheet", "pinwheel", "--data-option", "arms=3", "--out", str(tmp_path / "sheet.png"))
    assert (tmp_path / "sheet.png").read_bytes().startswith(b"\x89PNG")


def test_list_and_story(run):
    listed = run("list")
    for name in ("beta-vae", "BetaVAE", "digits", "fashion-mnist", "Higgins"):
        assert name in listed
    told = run("story", "beta-vae", "--set", "z_dim=3")
    assert re.search(r"z ~ Normal\(0, 1\)\s+code\s+\[B, 3\]", told)
    assert re.search(r"x ~ Bernoulli\(logits\(z; θ\)\)\s+pixels \(observed\)\s+\[B, 1, 8, 8\]", told)
    assert "BetaVAE: (1 + 3) + beta (2 + 4), beta = 4" in told
    assert "Amortized" not in told


def test_a_story_beside_its_guide_in_latex_as_a_diagram_and_beside_another(run, tmp_path, monkeypatch):
    assert "z ~ Normal(loc(x; φ), scale(x; φ))" in run("story", "vae", "--guide")
    assert "z ~ MultivariateNormal(loc(x; φ), scale_tril(x; φ))" in run("story", "vae", "--swap", "full-rank")
    latex = run("story", "vae", "--latex", "--graph", str(tmp_path / "plates.gv"))
    assert latex == "\\begin{aligned}\np_\\theta(x, z) &= p(z)\\, p_\\theta(x \\mid z)\n\\end{aligned}\n"
    assert "z -> x" in (tmp_path / "plates.gv").read_text()
    changed = [line for line in run("story", "beta-vae", "--diff", "vae").splitlines() if line[0] in "+-"]
    assert changed == ["- ELBO: (1 + 3) + 2 + 4", "+ BetaVAE: (1 + 3) + beta (2 + 4), beta = 4"]
    assert "\x1b[34m+ BetaVAE" in run("story", "beta-vae", "--diff", "vae", "--color")
    assert "vae does not take pinwheel; told on digits" in run("story", "decomposition/pinwheel", "--diff", "vae")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "bta-vae"], r"unknown recipe 'bta-vae'; did you mean 'beta-vae'\? There are: .*vae"),
        (["story", "xyzzy"], r"unknown recipe 'xyzzy'. There are: .*vae"),
        (["train", "--data", "mnits"], r"unknown data set 'mnits'; did you mean 'mnist'\? There are: .*digits, "),
        (["train", "--device", "gpu"], r"no device 'gpu' here; there is cpu"),
        (["train", "--data", "mnist"], r"data 'mnist': train-images-idx3-ubyte, .*MNIST.raw.*--data-dir.*--download"),
        (["train", "--set", "bta=3", "beta-vae"], r"unknown knob 'bta'; did you mean 'beta'"),
        (["train", "--set", "beta", "beta-vae"], r"write it as name=value"),
        (["train", "--set", "beta=high", "beta-vae"], r"beta is of type float"),
        (["train", "--set", "beta=-1", "beta-vae"], r"BetaVAE: beta must be finite and at least 0, got -1"),
        (["train", "vae", "--set", "network=rnn"], r"network must be 'mlp' or 'conv', got 'rnn'"),
        (["train", "vae", "--set", "network=conv"], r"no paper has a convolutional network for 8 pixels"),
        (["train", "--data-option", "size=32"], r"unknown option 'size'"),
        (["data", "--sheet", "digitz"], r"unknown data set 'digitz'; did you mean 'digits'"),
        (["evaluate", "."], r". holds no run: there is no settings.json in it"),
        (["train", "--lr", "0"], r"--lr must be positive and finite, got 0"),
        (["train", "--lr", "nan"], r"--lr must be positive and finite, got nan"),
        (["train", "--batch-size", "1501"], r"a batch of 1501 out of 1500 datapoints"),
        (["train", "--steps", "3", "--epochs", "2"], r"--steps or --epochs, not both"),
        (["train", "--out", os.devnull + "/run"], r"the folder .* cannot be written \(Not a directory\)"),
    ],
)
def test_what_is_wrong_is_said_in_one_line_before_anything_is_trained(arguments, message, refused, tmp_path):
    said = refused(*arguments)
    assert re.match(rf"error: .*{message}", said), said
    assert said.count("\n") == 1
    assert not list(tmp_path.glob("runs/*"))


def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_curve(refused, tmp_path):
    said = refused("train", "--steps", "200", "--lr", "1e30")
    stopped = re.search(r"error: step (\d+): the loss is not finite: term .*site", said)
    assert stopped, said
    rows = (tmp_path / "runs/joint-vae-digits/terms.csv").read_text().splitlines()
    assert len(rows) == 1 + int(stopped[1]) - 1


def test_reproductions_are_listed_and_found(refused, capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["zoo", "reproduce"])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert not stopped.value.code
    assert "joint-vae/mnist " in capsys.readouterr().out
    assert "unknown reproduction 'joint-vae/mnits'; did you mean 'joint-vae/mnist'?" in refused(
        "reproduce", "joint-vae/mnits"
    )
    assert "--budget must be full or short, got 'tiny'" in refused("reproduce", "joint-vae/mnist", "--budget", "tiny")


def test_a_reproduction_says_which_data_is_missing(refused, tmp_path):
    said = refused("reproduce", "joint-vae/mnist", "--seeds", "1", "--data-dir", str(tmp_path / "nowhere"))
    assert re.match(r"failed: .*seed-0: data 'mnist': train-images-idx3-ubyte, .*--download", said)
    assert "error: no trial of joint-vae/mnist is finished" in said
