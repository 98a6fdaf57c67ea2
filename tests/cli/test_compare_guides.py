"""`compare-guides`: a trial for each guide, one table, and what is said of a guide that fails."""

import json
import re
import shlex
from pathlib import Path

import pytest
import torch

from guides import FullRank
from zoo import papers
from zoo.lab.runs.finished import open_run
from zoo.lab.runs.folder import read_settings
from zoo.papers.recipes import RECIPES
from zoo.studies.guide_gap import comparison, posteriors
from zoo.studies.guide_gap.measure import measure

pytestmark = pytest.mark.usefixtures("_quick_pictures")

FEW = ["--steps", 3, "--images", 3, "--samples", 5, "--gap-images", 1, "--device", "cpu"]


def test_a_comparison_prints_its_table_and_is_kept(run, monkeypatch, tmp_path):
    monkeypatch.setitem(measure.__wrapped__.__kwdefaults__, "fit_steps", 3)
    monkeypatch.setattr(posteriors, "WIDE_CELLS", 40)
    monkeypatch.setattr(posteriors, "CELLS", 20)
    two_units = ["--set", "z_dim=2", "--out", tmp_path / "out", "--format", "svg"]
    printed = run("compare-guides", "vae", "--guides", "full-rank, flow", *two_units, *FEW)
    assert re.findall(r"^\| (full-rank|flow) +\|", printed, re.MULTILINE) == ["full-rank", "flow"]
    assert "# vae on digits, guide by guide" in printed
    assert list(json.loads((tmp_path / "out/compare.json").read_text())["guides"]) == ["full-rank", "flow"]
    assert (tmp_path / "out/full-rank/summary.md").is_file()
    for picture in ("gaps.svg", "posteriors.svg"):
        assert (tmp_path / "out" / picture).read_text().startswith("<?xml")
    assert json.loads((tmp_path / "out/compare.json").read_text())["picture"] == "posteriors.svg"
    assert not list((tmp_path / "out").glob("*.png"))
    assert list((tmp_path / "out/full-rank").glob("*.png"))  # a run's own pictures are as `train` draws them


def test_the_runs_of_a_comparison_are_opened_and_trained_like_others(run, monkeypatch, tmp_path):
    """Before: unknown recipe 'vae under full-rank'."""
    monkeypatch.setitem(measure.__wrapped__.__kwdefaults__, "fit_steps", 3)
    monkeypatch.chdir(tmp_path)
    run("compare-guides", "vae", "--guides", "full-rank", "--set", "z_dim=3", "--out", "out", *FEW)
    assert "KL of z" in run("evaluate", "out/full-rank", "--no-metrics")
    assert "units.png" in run("traverse", "out/full-rank")
    assert "wrote page.html" in run("explore", "out/full-rank", "--out", "page.html")
    folder = Path("out/full-rank")
    words = shlex.split(read_settings(folder)[1])
    assert words[3:] == ["train", "vae under full-rank", "--set", "z_dim=3", "--steps", "3", "--seed", "0"] or (
        torch.cuda.is_available()
    )
    run(*words[3:], "--out", "again")
    for name in ("terms.csv", "weights.safetensors"):
        assert (folder / name).read_bytes() == Path("again", name).read_bytes()
    Path("again/summary.md").unlink()
    assert "the run is in again" in run("train", "--resume", "again", "--set", "z_dim=3")
    with pytest.raises(LookupError, match=r"the run in out.full-rank cannot be opened: unknown recipe 'vae under full"):
        open_run(folder, RECIPES)


def test_the_run_of_a_comparison_in_a_notebook_and_on_the_way_to_a_hub(run, refused, monkeypatch, tmp_path):
    """Before: unknown recipe 'vae under full-rank', and whether one meant 'hfvae/newsgroups'."""
    monkeypatch.setitem(measure.__wrapped__.__kwdefaults__, "fit_steps", 3)
    monkeypatch.chdir(tmp_path)
    run("compare-guides", "vae", "--guides", "full-rank", "--set", "z_dim=3", "--out", "out", *FEW)
    opened = comparison.open_run("out/full-rank")
    assert isinstance(opened.guide.heads["z"], FullRank)
    says = r"the run in out.full-rank is one of compare-guides, with the recipe 'vae under full-rank', and not of a p"
    with pytest.raises(LookupError, match=says + r".*guide_gap\.comparison\.open_run opens it"):
        papers.open_run("out/full-rank")
    assert re.search(says + ".*a hub takes only pairs of papers' recipes", refused("push", "out/full-rank", "me/mine"))


def test_a_recipe_under_a_guide_that_does_not_exist_is_refused_by_name(refused):
    said = refused("train", "vae under flows")
    assert "error: recipe 'vae under flows': unknown guide 'flows'; did you mean 'flow'? There are: coupling" in said
    assert "unknown recipe 'vea under flow'" in refused("train", "vea under flow")


def test_a_recipe_under_another_guide_is_shown_like_any_other(run):
    shown, own = run("show", "vae under flow"), run("show", "vae")
    assert shown.startswith("vae under flow\n\n")
    described = [text.split("parameters:")[0].split("\n", 1)[1] for text in (shown, own)]
    assert described[0] == described[1]  # but for the name and the number of parameters
    told = run("story", "vae under flow", "--guide")
    assert told == run("story", "vae", "--guide", "--swap", "flow")
    assert "z ~ NormalFlow(x; φ)" in told


def test_guides_that_fail_are_said_and_do_not_stop_the_others(refused, monkeypatch):
    monkeypatch.setitem(measure.__wrapped__.__kwdefaults__, "fit_steps", 3)
    options = ["--out", "out", *FEW]
    said = refused(
        "compare-guides", "vae", "--guides", "mean-field", "--lr", "1e30", "--steps", 100, *options[:2], *FEW[2:]
    )
    assert re.search(r"error: no guide is finished in out: out/mean-field: step \d+: the loss is not finite", said), (
        said
    )
