"""A run of the topic models and what is measured of it; the reproduction's variants."""

import re
from functools import partial

import pyro
import pytest
import torch

from tests.papers.hfvae_topics.posts import split
from zoo.lab.analysis.evaluate import evaluate
from zoo.lab.runs import train as run
from zoo.lab.runs.finished import FinishedRun
from zoo.lab.runs.folder import Settings, new_folder
from zoo.lab.trials.reproduce import collect
from zoo.lab.trials.trial import Trial, run_trial
from zoo.papers.hfvae_topics.recipes import newsgroups
from zoo.papers.hfvae_topics.reproduction import VARIANTS, measured
from zoo.papers.recipes import RECIPES
from zoo.papers.reproductions import REPRODUCTIONS


def trained(tmp_path, **hyperparameters):
    torch.set_default_dtype(torch.float32)
    pyro.set_rng_seed(0)
    data = split()
    experiment = newsgroups(data, **hyperparameters)
    settings = Settings("hfvae/newsgroups", hyperparameters, "posts", {}, 8, 20, experiment.lr, 0, "cpu")
    run.train(experiment, data, settings, new_folder(tmp_path / "run"), command="by hand", progress=False)
    return FinishedRun(settings, experiment, data, tmp_path / "run")


@pytest.mark.parametrize("model", ["prodlda", "nvdm"])
def test_a_run_leaves_its_topics_and_its_figures(tmp_path, model):
    done = trained(tmp_path, model=model, groups="3+2")
    summary = (tmp_path / "run" / "summary.md").read_text()
    listed = [line.split(" | ")[0].removeprefix("| ") for line in summary.splitlines() if line.startswith("| ")]
    files = {name for cell in listed for name in cell.split(", ") if "." in name}
    files |= set(re.findall(r"^!\[.*\]\((.*)\)$", summary, re.MULTILINE))
    assert files == {path.name for path in (tmp_path / "run").iterdir()} - {"summary.md", ".lock", "SHA256SUMS"}
    figures = measured(done)
    evaluation = evaluate(done.model, done.guide, done.data.test)
    assert figures["elbo"] == evaluation.elbo
    assert figures["kl"] == pytest.approx(sum(kl.sum().item() for kl in evaluation.kl.values()))
    assert figures["in use"] <= 5
    assert figures["diversity"] == pytest.approx(7 / (5 * 7))  # all of 7 words in each of 5 topics


def test_the_variants_are_two_models_under_two_objectives():
    reproduction = REPRODUCTIONS["hfvae/topics"]
    models = ["ProdLDA with dropout", "ProdLDA", "NVDM"]
    assert list(reproduction.variants) == [f"{model}, {how}" for model in models for how in ("VAE", "HFVAE")]
    for variant, measure in VARIANTS.items():
        assert isinstance(measure, partial)
        hyperparameters = measure.keywords
        model, objective = variant.upper().split(", ")
        assert (hyperparameters["model"].upper(), hyperparameters["objective"].upper()) == (model.split()[0], objective)
        assert ("dropout" in hyperparameters) == ("DROPOUT" in model)
        assert hyperparameters["groups"] == ("50" if hyperparameters["objective"] == "vae" else "25+25")
        RECIPES["hfvae/newsgroups"].build(split(), **hyperparameters)  # each is one


def test_a_trial_that_cannot_be_run_says_why(tmp_path):
    trial = Trial(0, "short", tmp_path / "trial", data_dir=tmp_path, progress=False, device="cpu", recipes=RECIPES)
    assert "not found" in run_trial(VARIANTS["ProdLDA, VAE"], trial)
    with pytest.raises(FileNotFoundError, match="no trial of hfvae/topics is finished"):
        collect("hfvae/topics", REPRODUCTIONS["hfvae/topics"], {"ProdLDA, VAE": [trial]}, command="")
