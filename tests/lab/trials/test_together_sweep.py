"""A sweep whose runs are trained together: its folders and its table are those of the sweep run by run.

In double precision only the order of sums differs, so every number agrees to 1e-9 after twelve steps.
"""

import csv
import json
import os
import signal
import sys
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
import safetensors.torch
import torch
from torch import nn

from guides import Amortized, MeanField
from zoo import VAE, papers
from zoo.__main__ import main
from zoo.elbos import BetaVAE
from zoo.lab.runs import checkpoint
from zoo.lab.runs.finished import open_run
from zoo.lab.runs.folder import CHECKPOINT, SETTINGS, read_settings
from zoo.lab.runs.interrupt import Stopped
from zoo.lab.runs.train import Every
from zoo.lab.training.experiment import Experiment, Recipe
from zoo.lab.training.together import CannotStackError
from zoo.lab.trials import together
from zoo.lab.trials.sweep import sweep

pytestmark = pytest.mark.usefixtures("_quick_pictures")
STEPS = 12
EVERY = Every.parse("4")
GRID = [{"beta": 1.0}, {"beta": 4.0}]


def recipe(schedule=lambda step, elbo: None, head=MeanField):
    def build(split, *, beta: float = 1.0, z_dim: int = 2) -> Experiment:
        shape = split.train.shape
        num_data = len(split.train)
        model = VAE(nn.Sequential(nn.Linear(z_dim, 64), nn.Unflatten(-1, shape)), z_dim=z_dim, num_data=num_data)
        trunk = nn.Sequential(nn.Flatten(), nn.Linear(64, 5))
        guide = Amortized(trunk, z=head(z_dim), num_data=num_data)
        return Experiment(model, guide, BetaVAE(beta=beta), steps=STEPS, pictures=lambda *_: {}, schedule=schedule)

    return Recipe("small", build, data="digits", paper="")


@pytest.fixture
def trained(monkeypatch):
    """How many runs were trained together, from which step and to which."""
    groups = []
    train = together._train

    def spy(runs, until, jobs):
        train(runs, until, jobs)
        groups.append((len(runs), runs[0].step, until))

    monkeypatch.setattr(together, "_train", spy)
    monkeypatch.setattr(together, "_check_worthwhile", lambda stacked, jobs: None)  # it measures this machine
    return groups


def run(folder, *, made=None, grid=GRID, seeds=2, **options):
    options = {"together": True, "device": "cpu", "jobs": 1, "every": EVERY, **options}
    return sweep(made or recipe(), folder, grid=grid, seeds=seeds, **options)


def rows(path):
    with path.open(newline="") as file:
        header, *numbers = csv.reader(file)
    return header, torch.tensor([[float(cell) for cell in row] for row in numbers])


def assert_same_sweep(here: Path, there: Path) -> None:
    """The same files, and in them the same numbers to rounding."""
    names = [sorted(str(p.relative_to(root)) for p in root.rglob("*") if p.is_file()) for root in (here, there)]
    assert names[0] == names[1]
    ours, theirs = (pd.read_csv(root / "table.csv") for root in (here, there))
    pd.testing.assert_frame_equal(ours, theirs, rtol=1e-9, atol=1e-9)
    found = sorted(here.rglob(SETTINGS))
    assert found
    for path in found:
        own, other = path.parent, there / path.parent.relative_to(here)
        assert path.read_bytes() == (other / SETTINGS).read_bytes()
        for name in ("terms.csv", "units.csv"):
            (header, numbers), (other_header, other_numbers) = rows(own / name), rows(other / name)
            assert header == other_header
            torch.testing.assert_close(numbers, other_numbers, rtol=1e-9, atol=1e-9)
        tensors = [safetensors.torch.load_file(run_ / "weights.safetensors") for run_ in (own, other)]
        torch.testing.assert_close(*tensors, rtol=1e-9, atol=1e-9)
        states = [checkpoint.load(run_ / CHECKPOINT) for run_ in (own, other)]
        assert states[0]["step"] == states[1]["step"] == STEPS
        assert all(_equal(states[0]["random"][name], states[1]["random"][name]) for name in states[0]["random"])


def _equal(a, b):
    return torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b


@pytest.fixture
def undisturbed(made_once):
    """The sweep, run by run."""
    return made_once("together-undisturbed", lambda folder: run(folder, together=False))


def test_a_sweep_together_is_the_sweep_run_by_run(tmp_path, trained, undisturbed):
    done = run(tmp_path)
    assert trained == [(4, 0, STEPS)]
    assert not done.failures
    assert_same_sweep(tmp_path, undisturbed)
    opened = open_run(tmp_path / "beta=4" / "seed-1", {"small": recipe()})
    assert opened.settings.hyperparameters == {"beta": 4.0}
    record = json.loads((tmp_path / "beta=4" / "seed-1" / "quantities.json").read_text())
    assert record["steps"] == STEPS
    assert record["seconds"] > 0


class Killed(BaseException):
    """Ends a process without any clean-up of ours, as far as a test in one process can."""


def test_a_sweep_killed_between_two_checkpoints_goes_on_from_both(tmp_path, trained, undisturbed, monkeypatch):
    # At step 8 two of the four runs are saved when the process dies: these have 8 steps, the others 4.
    save, count = checkpoint.save, iter(range(1, 100))

    def dying(*args, **options):
        if next(count) == 4 + 2 + 1:
            raise Killed
        return save(*args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "save", dying)
        with pytest.raises(Killed):
            run(tmp_path)
    assert not trained
    run(tmp_path)
    assert trained == [(2, 4, 8), (4, 8, STEPS)]  # first those behind, then all
    assert_same_sweep(tmp_path, undisturbed)


def test_a_sweep_that_is_asked_to_stop_saves_every_run_and_resumes(tmp_path, trained, undisturbed):
    sent = []

    def stop(step, elbo):
        if step == 5 and not sent:  # once, as the second signal would end the process
            sent.append(step)
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(
        Stopped, match=r"stopped by SIGTERM after step 5 of 12, and saved 4 runs; run the command again"
    ):
        run(tmp_path, made=recipe(stop))
    run(tmp_path, compile=True)  # for runs that begin
    assert trained == [(4, 5, STEPS)]
    assert_same_sweep(tmp_path, undisturbed)


def test_more_seeds_are_trained_together_and_finished_runs_are_kept(tmp_path, trained):
    run(tmp_path, grid=[{}], seeds=2)
    kept = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("weights.safetensors")}
    done = run(tmp_path, grid=[{}], seeds=4)
    assert trained == [(2, 0, STEPS)] * 2
    assert len(done.table) == 4
    assert all(path.stat().st_mtime_ns == changed for path, changed in kept.items())


def test_runs_of_several_forms_are_trained_in_groups_of_one_form(tmp_path, trained):
    grid = [{"z_dim": 2, "beta": 1.0}, {"z_dim": 3, "beta": 1.0}, {"z_dim": 2, "beta": 2.0}, {"z_dim": 4, "beta": 1.0}]
    done = run(tmp_path, grid=grid, seeds=1)
    assert trained == [(2, 0, STEPS)]  # z_dim = 2; each of the others is a single run
    assert len(done.table) == 4


class Looking(MeanField):
    """A head that looks at its numbers, which no trace can hold."""

    def forward(self, raw):
        return super().forward(raw if raw.mean().item() > 100 else 0.5 * raw)


def test_runs_that_cannot_be_stacked_are_trained_by_themselves_and_the_sweep_says_why(tmp_path, trained):
    with pytest.warns(RuntimeWarning, match=r"4 runs are trained by themselves: .* cannot be traced") as said:
        done = run(tmp_path, made=recipe(head=Looking))
    assert len(said) == 1
    assert "\n" not in str(said[0].message)
    assert not trained
    assert len(done.table) == 4


@pytest.mark.parametrize("precision", ["bf16", "medium"])
def test_runs_in_another_precision_are_trained_together_in_it(precision, tmp_path, trained):
    # In single precision: bfloat16 rounds a number to 1 part in 256, and sums in another order round differently.
    torch.set_default_dtype(torch.float32)
    options = {"grid": [{}], "precision": precision, "steps": 10}
    done, alone = (run(tmp_path / name, together=name == "here", **options) for name in ("here", "there"))
    assert trained == [(2, 0, 10)]
    assert done.failures == alone.failures == ()
    for seed in (0, 1):
        own, other = (tmp_path / name / "restarts" / f"seed-{seed}" for name in ("here", "there"))
        assert read_settings(own)[0].precision == precision
        (_, numbers), (_, other_numbers) = rows(own / "terms.csv"), rows(other / "terms.csv")
        torch.testing.assert_close(numbers, other_numbers, rtol=1e-3, atol=1e-3)
    if precision == "bf16":
        run(tmp_path / "float32", **{**options, "precision": "float32"})
        curves = [(tmp_path / name / "restarts/seed-0/terms.csv").read_bytes() for name in ("here", "float32")]
        assert curves[0] != curves[1]


def test_the_command_line_asks_for_it(monkeypatch, tmp_path):
    asked = []
    monkeypatch.setattr(papers, "sweep", lambda *_, **options: asked.append(options["together"]) or sys.exit(0))
    for flags in ([], ["--together"]):
        monkeypatch.setattr(sys, "argv", ["zoo", "sweep", "beta-vae", "--out", str(tmp_path), *flags])
        with pytest.raises(SystemExit):
            main()
    assert asked == [False, True]


@pytest.mark.parametrize(("gain", "jobs", "ratio"), [(1.5, 1, None), (0.8, 1, "1.2"), (1.5, 2, "1.3"), (2.0, 2, None)])
def test_on_a_cpu_runs_are_trained_together_where_it_takes_less_time_than_processes(gain, jobs, ratio):
    stacked = SimpleNamespace(device=torch.device("cpu"), gain=gain)
    if ratio is None:
        together._check_worthwhile(stacked, jobs)
    else:
        with pytest.raises(CannotStackError, match=rf"would take {ratio} times as long as --jobs {jobs}$"):
            together._check_worthwhile(stacked, jobs)


def test_the_gain_is_measured_before_anything_is_written(tmp_path, monkeypatch):
    seen = []

    def check(stacked, jobs):
        seen.append((stacked.gain, jobs, list(tmp_path.rglob(SETTINGS))))
        raise CannotStackError("it takes longer")

    monkeypatch.setattr(together, "_check_worthwhile", check)
    with pytest.warns(RuntimeWarning, match="2 runs are trained by themselves: it takes longer"):
        run(tmp_path, grid=[{}])
    ((gain, jobs, written),) = seen
    assert gain > 0
    assert jobs == 1
    assert not written


def test_a_run_that_diverges_fails_by_itself_and_the_others_end_as_without_it(tmp_path, trained, undisturbed):
    def diverging(step, elbo):
        if step == 6 and 3.5 < elbo.beta < 4.5:
            elbo.beta = torch.tensor(torch.nan)

    grid = [*GRID, {"beta": 2.0}]
    done = run(tmp_path, made=recipe(diverging), grid=grid, seeds=1)
    assert trained == [(2, 4, STEPS)]  # the two others, from their last checkpoint
    assert len(done.table) == 2
    (failure,) = done.failures
    assert "beta=4" in failure
    assert "step 7: the loss is not finite" in failure
    header, numbers = rows(tmp_path / "beta=1" / "seed-0" / "terms.csv")
    other_header, other_numbers = rows(undisturbed / "beta=1" / "seed-0" / "terms.csv")
    assert header == other_header
    torch.testing.assert_close(numbers, other_numbers, rtol=1e-9, atol=1e-9)


def test_a_folder_with_other_settings_is_left_to_fail_by_itself(tmp_path, trained):
    run(tmp_path, grid=[{}], seeds=1, steps=STEPS, together=False)
    (tmp_path / "restarts" / "seed-0" / "quantities.json").unlink()
    done = run(tmp_path, grid=[{}], seeds=3, steps=STEPS - 1)
    assert trained == [(2, 0, STEPS - 1)]
    (failure,) = done.failures
    assert "holds a run with other settings (steps is 12 there, 11 here)" in failure
