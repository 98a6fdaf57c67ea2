"""N-VAE's runs: labels in training and evaluation, given and missing."""

import json
import sys

import numpy as np
import pytest
import torch
from pyro import poutine

from tests.pairs import L, cvae_pair, images, nvae_pair
from zoo.__main__ import main
from zoo.elbos import PlainELBO
from zoo.lab.analysis.evaluate import evaluate
from zoo.lab.analysis.posterior import posterior_means
from zoo.lab.data import Dataset
from zoo.lab.runs import train as run
from zoo.lab.runs.folder import new_folder
from zoo.papers import configure, open_run

pytestmark = pytest.mark.usefixtures("_quick_pictures")


def small_set(num=23, y=None, **options):
    return Dataset.from_arrays(images(num), np.arange(num) % L if y is None else y, **options)


def test_labels_in_evaluation_are_observed_and_without_them_summed_out():
    model, guide = nvae_pair()
    data = small_set()
    with_labels, without = (evaluate(model, guide, data, labels=labels) for labels in (True, False))
    assert with_labels.reconstruction.keys() == {"y", "x"}
    assert without.reconstruction.keys() == {"x"}
    assert with_labels.kl.keys() == {"pi", "z_c", "z_s"}
    assert without.kl.keys() == {"pi", "y", "z_c", "z_s"}
    torch.testing.assert_close(with_labels.kl["z_c"], without.kl["z_c"])  # q does not see y
    # and by hand: one batch
    torch.manual_seed(0)
    elbo = PlainELBO()
    batch = data.batch(torch.arange(23), labels=True)
    with torch.no_grad():
        elbo.loss(model, guide, batch.x, batch.y)
    assert with_labels.elbo == pytest.approx(elbo.report().elbo.item())


def test_posterior_means_of_a_guide_that_needs_labels():
    _, guide = cvae_pair()
    x, y = images(4), torch.tensor([0, 1, 2, 0])
    torch.testing.assert_close(
        posterior_means(guide, x, y)["z"], poutine.trace(guide).get_trace(x, y).nodes["z"]["fn"].mean.detach()
    )
    with pytest.raises(ValueError, match="the guide needs labels y"):
        posterior_means(guide, x)


def test_a_run_trains_with_labels_and_comes_back(tmp_path):
    settings, split, experiment = configure("natural-clustering/digits", steps=40, device="cpu")
    folder = new_folder(tmp_path / "run")
    evaluation = run.train(experiment, split, settings, folder, command="", progress=False)
    assert evaluation.reconstruction.keys() == {"y", "x"}
    terms = (folder / "terms.csv").read_text().splitlines()[0]
    assert "log q(y | x)" in terms
    pictures = {"reconstructions.png", "class_traversals.png", "traversals.png", "samples.png", "kl.png", "curves.png"}
    assert pictures <= {path.name for path in folder.iterdir()}
    trained = open_run(folder)
    again = evaluate(trained.model, trained.guide, trained.data.test, labels=True)
    assert again.elbo == pytest.approx(evaluation.elbo)
    assert "y ~ OneHotCategorical(probs(pi))" in (folder / "summary.md").read_text()


def test_the_conditional_vae_runs_too(tmp_path):
    settings, split, experiment = configure(
        "conditional-vae", data="digits", steps=30, hyperparameters={"width": 16}, device="cpu"
    )
    evaluation = run.train(experiment, split, settings, new_folder(tmp_path / "run"), command="", progress=False)
    assert evaluation.kl.keys() == {"z"}
    assert json.loads((tmp_path / "run" / "settings.json").read_text())["recipe"] == "conditional-vae"


def test_a_partly_labelled_run_trains(tmp_path):
    settings, split, experiment = configure(
        "natural-clustering/digits", steps=6, hyperparameters={"labelled": 50}, device="cpu"
    )
    run.train(experiment, split, settings, new_folder(tmp_path / "run"), command="", progress=False)
    assert (tmp_path / "run" / "summary.md").is_file()


def test_evaluating_a_guide_that_is_told_the_labels_gives_the_elbo_alone(tmp_path, monkeypatch, capsys):
    settings, split, experiment = configure("conditional-vae", data="digits", steps=3, device="cpu")
    run.train(experiment, split, settings, tmp_path, command="", progress=False)
    monkeypatch.setattr(sys, "argv", ["zoo", "evaluate", str(tmp_path)])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert not stopped.value.code
    said = capsys.readouterr().out
    assert "KL of z" in said
    assert "the guide needs labels, so it is not an encoder of x alone" in said
