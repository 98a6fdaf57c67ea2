"""`compare-guides`: a trial for each guide, one table, and what is said of a guide that fails."""

import json
import re

import pytest

from zoo.studies.guide_gap.measure import measure

pytestmark = pytest.mark.usefixtures("_quick_pictures")

FEW = ["--steps", 3, "--images", 3, "--samples", 5, "--gap-images", 1, "--device", "cpu"]


def test_a_comparison_prints_its_table_and_is_kept(run, monkeypatch, tmp_path):
    monkeypatch.setitem(measure.__wrapped__.__kwdefaults__, "fit_steps", 3)
    printed = run(
        "compare-guides", "vae", "--guides", "full-rank, flow", "--out", tmp_path / "out", "--format", "svg", *FEW
    )
    assert re.findall(r"^\| (full-rank|flow) +\|", printed, re.MULTILINE) == ["full-rank", "flow"]
    assert "# vae on digits, guide by guide" in printed
    assert list(json.loads((tmp_path / "out/compare.json").read_text())["guides"]) == ["full-rank", "flow"]
    assert (tmp_path / "out/full-rank/summary.md").is_file()
    assert (tmp_path / "out/gaps.svg").read_text().startswith("<?xml")


def test_guides_that_fail_are_said_and_do_not_stop_the_others(refused, monkeypatch):
    monkeypatch.setitem(measure.__wrapped__.__kwdefaults__, "fit_steps", 3)
    options = ["--out", "out", *FEW]
    said = refused(
        "compare-guides", "vae", "--guides", "mean-field", "--lr", "1e30", "--steps", 100, *options[:2], *FEW[2:]
    )
    assert re.search(r"error: no guide is finished in out: out/mean-field: step \d+: the loss is not finite", said), (
        said
    )
