"""Restarts over a grid: what is refused, what the table says, and a worker that is killed on the way."""

import csv
import io
import json
import math
import os
import re
import signal
import statistics
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from tests import small_recipe
from tests.processes import start, workers, zoo
from zoo.__main__ import main
from zoo.lab.runs.folder import CHECKPOINT, SETTINGS, read_settings
from zoo.lab.trials import sweep as restarts
from zoo.lab.trials.trial import QUANTITIES
from zoo.papers import recipe, sweep
from zoo.papers.recipes import RECIPES

pytestmark = pytest.mark.usefixtures("_quick_pictures")


@pytest.fixture(autouse=True)
def _small_recipe(monkeypatch):
    monkeypatch.setitem(RECIPES, "small", small_recipe.RECIPES["small"])


@pytest.fixture
def refused(monkeypatch, capsys, tmp_path):
    def command(*arguments):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", ["zoo", *arguments])
        with pytest.raises(SystemExit) as stopped:
            main()
        assert stopped.value.code in (1, 2)
        assert not list(tmp_path.iterdir())  # nothing was trained
        return capsys.readouterr().err

    return command


# What is refused.


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--grid", "betta=1,2"],
            r"unknown hyperparameter 'betta'; did you mean 'beta'\? There are: beta, likelihood, network, steps, z_dim",
        ),
        (["--grid", "beta=1,high"], r"--grid 'beta=1,high': beta is of type float, got 'high'"),
        (["--grid", "z_dim=2.5"], r"--grid 'z_dim=2\.5': z_dim is of type int, got '2\.5'"),
        (["--grid", "beta="], r"--grid 'beta=' is empty: write at least one value, as in beta=4\.0"),
        (["--grid", "beta=1,,2"], r"beta is of type float, got ''"),
        (["--grid", ""], r"--grid '': write it as name=value,value,\.\.\."),
        (["--grid", "beta=1,2,1.0"], r"beta has the value 1\.0 twice"),
        (["--grid", "beta=1", "--grid", "beta=2"], r"beta is given twice; give it once"),
        (["--grid", "beta=1", "--set", "beta=2"], r"beta is in --set as well; give it once"),
        (["--grid", "network=mlp,cnn"], r"network must be 'mlp' or 'conv', got 'cnn'"),
        (["--grid", "beta=1,-1"], r"beta must be finite and at least 0, got -1"),
        (["--lr", "-1"], r"--lr': it must be positive and finite, got -1"),
        (["--batch-size", "5000"], r"a batch of 5000 out of 1500 datapoints"),
        (["--checkpoint-every", "soon"], r"--checkpoint-every 'soon'"),
        (["--data", "mnits"], r"did you mean 'mnist'"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_trained(arguments, message, refused):
    assert re.search(message, refused("sweep", "beta-vae", "--steps", "3", *arguments))


def test_an_unknown_recipe_is_refused(refused):
    assert "unknown recipe 'beta-vea'; did you mean 'beta-vae'?" in refused("sweep", "beta-vea")


# The table.

ROWS = [
    {"beta": 1.0, "seed": 0, "ELBO": -10.0, "KL(z)": 3.0},
    {"beta": 1.0, "seed": 1, "ELBO": -14.0, "KL(z)": 5.0},
    {"beta": 4.0, "seed": 0, "ELBO": -20.0, "KL(z)": 1.0, "accuracy": 50.0},
]
TABLE = pd.DataFrame(ROWS)


def cells(text: str) -> list[list[str]]:
    """The cells of Markdown tables, rulers left out."""
    lines = [line for line in text.splitlines() if line.startswith("|") and not line.startswith("|-")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_the_means_and_deviations_are_over_the_seeds_of_a_setting():
    found = restarts.summary(TABLE, ["beta"])
    assert found["beta"].tolist() == [1.0, 4.0]
    assert found["seeds"].tolist() == [2, 1]
    assert found["ELBO", "mean"].tolist() == [-12.0, -20.0]
    assert found["ELBO", "std"].tolist()[0] == pytest.approx(statistics.stdev([-10, -14]))
    assert found["KL(z)", "std"].tolist()[0] == pytest.approx(2**0.5)
    assert math.isnan(found["ELBO", "std"].tolist()[1])  # of a single seed
    assert math.isnan(found["accuracy", "mean"].tolist()[0])
    assert found["accuracy", "mean"].tolist()[1] == 50.0
    alone = restarts.summary(TABLE.drop(columns="beta"), [])
    assert alone["seeds"].tolist() == [3]
    assert alone["ELBO", "mean"].tolist() == [pytest.approx(-44 / 3)]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_seed_without_a_number_has_no_mean_and_counts(value):
    table = pd.DataFrame([{"beta": 1.0, "seed": seed, "ELBO": elbo} for seed, elbo in enumerate((-1.0, value, -3.0))])
    found = restarts.summary(table, ["beta"])
    assert found["seeds"].tolist() == [3]
    assert math.isnan(found["ELBO", "std"][0])
    np.testing.assert_equal(found["ELBO", "mean"][0], value)
    assert cells(restarts.markdown(table, ["beta"], command=""))[1][2] == ("" if math.isnan(value) else f"{value:.3f}")


@pytest.mark.parametrize(
    ("first", "second", "shown"),
    [
        ([64], [32], ("[64]", "[32]")),  # a list and a mapping have no hash
        ({"z": 1.0}, {"z": 2.0}, ("{'z': 1.0}", "{'z': 2.0}")),
        (True, 1, ("True", "1")),  # equal, and in two folders
        (None, 1.0, ("None", "1")),  # pandas has NaN for None beside numbers
    ],
    ids=["lists", "mappings", "true", "none"],
)
def test_points_are_told_apart_by_their_text(first, second, shown):
    records = [
        {"h": h, "seed": seed, "ELBO": elbo} for h, seed, elbo in ((second, 0, 4.0), (first, 0, 1.0), (first, 1, 3.0))
    ]
    table = pd.DataFrame(records, dtype=object).astype({"ELBO": float})
    found = restarts.summary(table, ["h"])
    assert [*map(str, found["h"])] == [str(second), str(first)]
    assert found["seeds"].tolist() == [1, 2]
    assert found["ELBO", "mean"].tolist() == [4.0, 2.0]
    means = cells(restarts.markdown(table, ["h"], command=""))[:3]
    assert [row[:2] for row in means] == [["h", "seeds"], [shown[1], "1"], [shown[0], "2"]]


def test_the_table_has_settings_then_runs_then_what_failed(tmp_path):
    text = restarts.markdown(TABLE, ["beta"], command="the command", failures=["beta=9/seed-1: why"])
    assert cells(text) == [
        ["beta", "seeds", "ELBO", "KL(z)", "accuracy"],
        ["1", "2", "-12.000 +- 2.828", "4.000 +- 1.414", ""],
        ["4", "1", "-20.000", "1.000", "50.000"],
        ["beta", "seed", "ELBO", "KL(z)", "accuracy"],
        ["1", "0", "-10.000", "3.000", ""],
        ["1", "1", "-14.000", "5.000", ""],
        ["4", "0", "-20.000", "1.000", "50.000"],
    ]
    assert "Failed, and therefore not in the tables:\n\n- beta=9/seed-1: why" in text
    assert "-0.000" not in restarts.markdown(TABLE.assign(ELBO=-1e-9), ["beta"], command="")
    restarts.write(tmp_path, TABLE, text)
    assert (tmp_path / "table.md").read_text() == text


def test_the_csv_is_the_one_that_pythons_own_writer_makes(tmp_path):
    generator = torch.Generator().manual_seed(0)
    numbers = torch.randn(300, generator=generator) * 10.0 ** torch.randint(-30, 30, (300,), generator=generator)
    rows = [*ROWS, *({"beta": 1.0, "seed": k, "ELBO": v, "KL(z)": -v} for k, v in enumerate(numbers.tolist(), 2))]
    restarts.write(tmp_path, pd.DataFrame(rows), "")
    file = io.StringIO()
    writer = csv.DictWriter(file, ["beta", "seed", "ELBO", "KL(z)", "accuracy"])
    writer.writeheader()
    writer.writerows(rows)
    assert (tmp_path / "table.csv").read_bytes() == file.getvalue().encode()


# A whole one.


def test_a_failed_run_does_not_stop_the_rest_and_is_said(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    torch.set_default_dtype(torch.float32)  # in which 1e300 is no number
    arguments = "sweep beta-vae --grid beta=1e300,2 --grid z_dim=2 --seeds 2 --steps 4 --set network=mlp --out out"
    arguments += " --jobs 1"
    monkeypatch.setattr(sys, "argv", ["zoo", *arguments.split()])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 1
    said = capsys.readouterr()
    assert said.err.count("failed: out/beta=1e+300,z_dim=2/seed-") == 2
    assert "the loss is not finite" in said.err
    assert "error: 2 of 4 runs failed" in said.err
    with Path("out/table.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["beta"], row["z_dim"], row["seed"]) for row in rows] == [("2.0", "2", "0"), ("2.0", "2", "1")]
    figures = json.loads(Path("out/beta=2,z_dim=2/seed-1", QUANTITIES).read_text())["quantities"]
    assert float(rows[1]["ELBO"]) == figures["ELBO"] == pytest.approx(figures["log p(x)"] - figures["KL(z)"])
    settings = read_settings(Path("out/beta=2,z_dim=2/seed-1"))[0]
    assert (settings.hyperparameters, settings.seed, settings.steps) == (
        {"network": "mlp", "beta": 2.0, "z_dim": 2},
        1,
        4,
    )


def test_metrics_that_apply_are_in_the_table(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    arguments = ["sweep", "joint-vae/digits", "--seeds", "1", "--steps", "4", "--out", "out"]
    monkeypatch.setattr(sys, "argv", ["zoo", *arguments])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert not stopped.value.code
    head = cells(capsys.readouterr().out)[0]
    assert head == ["seeds", "ELBO", "log p(x)", "KL(z)", "KL(c)", "accuracy", "I(y; c)", "MIG, nats"]
    assert Path("out/restarts/seed-0/summary.md").is_file()


def test_a_sweep_is_a_function_that_a_notebook_can_call(tmp_path):
    torch.set_default_dtype(torch.float32)
    options = {"grid": [{"steps": 3}, {"steps": 5}], "seeds": 2, "device": "cpu", "jobs": 1}
    done = sweep("small", tmp_path, hyperparameters={"beta": 2.0}, **options)
    assert done.failures == ()
    assert done.table[["steps", "seed"]].to_numpy().tolist() == [[3, 0], [3, 1], [5, 0], [5, 1]]
    assert done.summary()["seeds"].tolist() == [2, 2]
    assert "5" in cells(done._repr_markdown_())[2]
    # A hyperparameter that is called as one of a run's own settings is the recipe's, as `train --set` has it.
    settings = read_settings(tmp_path / "steps=5" / "seed-1")[0]
    assert (settings.hyperparameters, settings.steps) == ({"beta": 2.0, "steps": 5}, 5)
    again = sweep("small", tmp_path, hyperparameters={"beta": 2.0}, **options)
    assert again.table.equals(done.table)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": 4}, "steps is 3 there, 4 here"),
        ({"lr": 0.5}, "lr is 0.001 there, 0.5 here"),
        ({"batch_size": 10}, "batch_size is 64 there, 10 here"),
        ({"precision": "bf16"}, "precision is 'float32' there, 'bf16' here"),
        ({"hyperparameters": {"beta": 3.0}}, "hyperparameters is .*'beta': 2.0.* there, .*'beta': 3.0.* here"),
    ],
)
def test_finished_runs_with_other_settings_are_not_taken_for_those_asked_for(change, message, tmp_path):
    torch.set_default_dtype(torch.float32)
    own = {"grid": [{"z_dim": 2}], "seeds": 1, "hyperparameters": {"beta": 2.0}, "steps": 3, "device": "cpu"}
    sweep("small", tmp_path, **own)
    before = (tmp_path / "table.csv").read_bytes()
    with pytest.raises(ValueError, match=rf"z_dim=2.seed-0 holds a finished run with other settings \({message}\)"):
        sweep("small", tmp_path, **{**own, **change})
    assert (tmp_path / "table.csv").read_bytes() == before


def test_a_sweep_without_points_seeds_or_finished_runs_is_refused(tmp_path):
    torch.set_default_dtype(torch.float32)
    vae = recipe("vae")
    with pytest.raises(ValueError, match="the grid has no point"):
        restarts.sweep(vae, tmp_path, grid=[])
    with pytest.raises(ValueError, match="seeds must be at least 1, got 0"):
        restarts.sweep(vae, tmp_path, seeds=0)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / SETTINGS).touch()
    with pytest.raises(ValueError, match=r"the folder .*run holds a run: name another one for the sweep, with --out"):
        restarts.sweep(vae, tmp_path / "run", seeds=1)
    with pytest.raises(FileNotFoundError, match=r"no run of the sweep in .* is finished: .*the loss is not finite"):
        restarts.sweep(vae, tmp_path, seeds=1, lr=1e30, steps=50, device="cpu")


@pytest.mark.parametrize(
    ("grid", "fixed", "message"),
    [
        ([{"beta": 4.0}, {"beta": 4}], {}, "the grid has the point beta=4 twice"),
        ([{"beta": 4.0}, {}], {}, r"point 1 of the grid sets \[\], and point 0 sets \['beta'\]"),
        ([{"beta": 4.0}], {"beta": 2.0}, "beta is in hyperparameters and on the grid: give it once"),
    ],
    ids=["the same point", "other names", "set for all, too"],
)
def test_points_that_cannot_be_told_apart_are_refused(grid, fixed, message, tmp_path):
    """Before: two runs in one folder, a run that was in no row of the table, and a hyperparameter that was ignored."""
    with pytest.raises(ValueError, match=message):
        restarts.plan_sweep(recipe("beta-vae"), tmp_path, grid=grid, hyperparameters=fixed)


def test_points_that_differ_in_the_seventh_digit_have_folders_of_their_own(tmp_path):
    torch.set_default_dtype(torch.float32)
    planned = restarts.plan_sweep(recipe("beta-vae"), tmp_path, grid=[{"beta": 4.0}, {"beta": 4.0000001}], seeds=1)
    assert [trial.folder.parent.name for _, trial in planned.trials] == ["beta=4", "beta=4.0000001"]


# Killed on the way.

SWEEP = ["sweep", "small", "--grid", "beta=1,4", "--seeds", "2", "--out", "out"]
SWEEP += ["--steps", "50", "--checkpoint-every", "10"]


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="children are looked up in /proc")
def test_of_a_sweep_whose_worker_is_killed_nothing_is_lost_and_nothing_done_twice(tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    whole.mkdir()
    killed.mkdir()
    zoo(whole, *SWEEP, "--jobs", "1")
    process = start(killed, *SWEEP, "--jobs", "2")
    folders = [path.parent for path in sorted(whole.rglob(QUANTITIES))]
    own = [killed / folder.relative_to(whole) for folder in folders]
    assert len(own) == 4

    def finished() -> list[Path]:
        return [folder for folder in own if (folder / QUANTITIES).is_file()]

    def on_the_way() -> list[Path]:
        return [f for f in own if (f / CHECKPOINT).is_file() and not (f / "weights.safetensors").is_file()]

    while not (finished() and on_the_way()):
        assert process.is_alive(), (killed / "said").read_text()
        time.sleep(0.001)
    os.kill(workers(process)[0], signal.SIGKILL)
    process.join(60)
    said = (killed / "said").read_text()
    assert process.exitcode == 1, said
    before = {folder: (folder / QUANTITIES).stat().st_mtime_ns for folder in finished()}
    assert 1 <= len(before) < 4
    # Not always the last line: joblib's own process may still complain of what the killed one left behind.
    [error] = [line for line in said.splitlines() if line.startswith("error: ")]
    assert error.startswith("error: a process was killed from outside, perhaps for lack of memory")
    assert f"{len(before)} of 4 trials are finished. Run the command again" in error

    zoo(killed, *SWEEP, "--jobs", "1")
    assert (killed / "out/table.csv").read_bytes() == (whole / "out/table.csv").read_bytes()
    assert {folder: (folder / QUANTITIES).stat().st_mtime_ns for folder in before} == before
    for folder, undisturbed in zip(own, folders, strict=True):
        steps = [line.split(",")[0] for line in (folder / "terms.csv").read_text().splitlines()[1:]]
        assert steps == [str(step) for step in range(1, 51)]
        assert (folder / "terms.csv").read_bytes() == (undisturbed / "terms.csv").read_bytes()


def test_a_run_that_was_claimed_and_killed_before_it_wrote_a_word_begins(tmp_path):
    zoo(tmp_path, *SWEEP, "--seeds", "1", "--steps", "3", "--jobs", "1")
    folder = tmp_path / "out/beta=1/seed-0"
    terms = (folder / "terms.csv").read_bytes()
    for path in folder.iterdir():
        path.unlink()
    (folder / "settings.json").touch()
    zoo(tmp_path, *SWEEP, "--seeds", "1", "--steps", "3", "--jobs", "1")
    assert (folder / "terms.csv").read_bytes() == terms
