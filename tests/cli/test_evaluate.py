"""`evaluate`: the terms of the ELBO add up, and the codes are scored."""

import collections
import json
import re

import numpy as np
import pytest


@pytest.mark.usefixtures("_quick_pictures")
def test_evaluating_a_run_takes_its_elbo_apart(finished, run):
    folder, shown = finished
    printed = run("evaluate", str(folder), "--num-samples", "200")
    # The same figures as at the end of training, from the weights on disk.
    for line in shown.split("nats per datapoint\n")[1].splitlines()[:3]:
        assert line in printed
    terms = collections.defaultdict(float)
    for m in re.finditer(r"^ *(1\+3|-2|-4|-A|-i|ELBO) .* (-?\d+\.\d{3}) ", printed, re.MULTILINE):
        terms[m[1]] += float(m[2])  # i has a line for each group
    assert terms["ELBO"] == pytest.approx(terms["1+3"] - terms["-2"] - terms["-4"], abs=2e-3)
    per_unit = [float(value) for value in re.findall(r"-ii +KL\(q \|\| p\) of (?:z\[\d\]|c) +(-?\d+\.\d+)", printed)]
    assert len(per_unit) == 11
    assert terms["-4"] == pytest.approx(terms["-A"] + terms["-i"] + sum(per_unit), abs=1e-2)
    assert (folder / "anatomy.png").read_bytes().startswith(b"\x89PNG")
    scored = json.loads((folder / "metrics.json").read_text())
    assert "seed" in str(scored)
    for metric in ("mig", "total_correlation", "information_about_data"):
        assert metric in str(scored)
        assert metric in printed
    # Headlines come first; a matrix is a picture, not text; a label's classes are names, and correlate with nothing.
    assert printed.index("\nheadlines\n") < printed.index("\nclusters_majority") < printed.index("\n1+3 ")
    assert printed.index("\nELBO ") < printed.index("\nall other metrics\n") < printed.index("\nhoyer")
    assert printed.count("\nmig [score]") == 1
    assert "latent_correlations" not in printed.split("wrote the metrics")[0]
    for matrix in ("latent-correlations", "clusters-confusion"):
        assert (folder / f"{matrix}.png").read_bytes().startswith(b"\x89PNG")
    assert "factor_correlations" not in scored["results"]
    assert "left out: factor_correlations needs factors with an order" in printed


@pytest.mark.usefixtures("_quick_pictures")
def test_no_headlines_where_no_metric_applies(run, tmp_path):
    """Six test points are too few for any metric: a table of headlines would have no row."""
    np.savez(tmp_path / "few.npz", x=np.eye(60, dtype=np.uint8), y=np.arange(60) % 3)
    run("train", "vae", "--data", tmp_path / "few.npz", "--steps", 2, "--batch-size", 8, "--out", tmp_path / "run")
    printed = run("evaluate", tmp_path / "run", "--num-samples", 10)
    assert "\nheadlines\n" not in printed
    assert "left out: codes of 6 points are too few for any metric: give at least 10" in printed


@pytest.mark.usefixtures("_quick_pictures")
def test_metrics_are_kept_where_the_elbo_has_no_terms_of_q_z(run, tmp_path):
    """With few labels the prior of y depends on pi, which these terms refuse; the metrics look at the codes alone."""
    few = ["--set", "labelled=50", "--steps", 2, "--out", tmp_path / "run"]
    run("train", "natural-clustering/digits", *few)
    printed = run("evaluate", tmp_path / "run")
    assert "no terms of q(z): site 'y': its prior depends on 'pi'" in printed
    assert json.loads((tmp_path / "run" / "metrics.json").read_text())["results"]
    assert not (tmp_path / "run" / "anatomy.png").exists()
    assert (tmp_path / "run" / "latent-correlations.png").is_file()


def test_a_number_of_draws_without_an_effect_is_refused(refused):
    """Before: --num-samples was ignored without a word; only the exact estimator draws as many."""
    said = refused("evaluate", ".", "--estimator", "stratified", "--num-samples", 17)
    assert said.startswith("error: --num-samples 17 has no effect with --estimator stratified, ")
    assert "holds no run" in refused("evaluate", ".", "--estimator", "exact", "--num-samples", 17)
    assert "holds no run" in refused("evaluate", ".", "--estimator", "stratified")
