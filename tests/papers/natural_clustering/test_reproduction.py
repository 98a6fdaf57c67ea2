"""N-VAE in the lab: what is measured by class, labels in runs and evaluations, missing ones, bad sets."""

import json
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from pyro import poutine
from torch import nn

from guides import Amortized, MeanField
from tests.core.test_natural_clustering import SHAPE, C, L, S, cvae_pair, images, nvae_pair
from zoo.__main__ import main
from zoo.elbos import ELBO
from zoo.lab.analysis.evaluate import evaluate
from zoo.lab.analysis.posterior import posterior_means
from zoo.lab.data import Dataset, Split, load
from zoo.lab.runs import train as run
from zoo.lab.runs.finished import FinishedRun
from zoo.lab.runs.folder import new_folder
from zoo.lab.trials.reproduction import Results
from zoo.papers import configure, open_run
from zoo.papers.natural_clustering.claims import cgan_then_nvae, fashion_above, keeps_falling, lowest, yale_empty
from zoo.papers.natural_clustering.class_latents import effect, measure
from zoo.papers.natural_clustering.few_labels import helps
from zoo.papers.natural_clustering.measures import between_class_variance
from zoo.papers.natural_clustering.recipes import (
    choose,
    conditional_vae,
    count_classes,
    natural_clustering,
    natural_clustering_digits,
    only_labelled,
    partly_labelled,
)
from zoo.papers.recipes import RECIPES


def small_set(num=23, y=None, **options):
    return Dataset.from_arrays(images(num), np.arange(num) % L if y is None else y, **options)


# What is measured.


def test_measures_against_a_loop_over_datapoints():
    _, guide = nvae_pair()
    data = small_set()
    found = measure(guide, data, classes=L, batch_size=7)
    by_class, shared, right = np.zeros((L, L, C)), np.zeros(S), 0
    counts = np.zeros(L)
    for n in range(len(data)):
        x = data.batch(torch.tensor([n])).x
        trace = poutine.trace(guide).get_trace(x)
        label = int(data.y[n])
        counts[label] += 1
        for name in ("z_c", "z_s"):
            q = trace.nodes[name]["fn"]
            kl = (0.5 * (q.mean**2 + q.variance - q.variance.log() - 1))[0].detach().numpy()
            if name == "z_s":
                shared += kl
            else:
                by_class[label] += kl.reshape(L, C)
        right += int(trace.nodes["pi"]["fn"].mean.argmax() == label)
    np.testing.assert_allclose(found.by_class, by_class / counts[:, None, None])
    np.testing.assert_allclose(found.shared, shared / len(data))
    assert found.accuracy == pytest.approx(right / len(data))
    own = sum(by_class[y, y] for y in range(L)) / len(data)
    others = sum(by_class[y, block] for y in range(L) for block in range(L) if block != y) / len(data) / (L - 1)
    np.testing.assert_allclose(found.own, own)
    np.testing.assert_allclose(found.others, others)


def test_a_class_that_does_not_occur_in_the_test_set_has_no_row():
    _, guide = nvae_pair()
    found = measure(guide, small_set(y=np.arange(23) % 2), classes=L)
    assert found.by_class[2].isnan().all()
    assert found.own.isfinite().all()


def test_the_effect_of_latents_that_the_decoder_ignores_is_nothing():
    model, guide = nvae_pair()
    with torch.no_grad():
        model.decoder.layers[0][0].weight[:, L * (C + 1) :] = 0  # z_s
    assert effect(model, guide, small_set(), site="z_s") == 0
    assert effect(model, guide, small_set(), site="z_c") > 1e-3


def test_the_share_between_classes_of_points_on_their_class_and_of_noise():
    class Told(nn.Module):
        out_features = 1

        def forward(self, x):
            return x.flatten(1)[:, :1]

    rng = np.random.default_rng(0)
    for values, expected in ((np.arange(2000) % 2, 1.0), (rng.standard_normal(2000), 0.0)):
        guide = Amortized(Told(), z=MeanField(1))
        nn.init.eye_(guide.layers["z"][0].weight)
        x = np.broadcast_to(values.astype(float)[:, None, None, None], (2000, *SHAPE)).copy()
        data = Dataset.from_arrays(x, np.arange(2000) % 2)
        trained = FinishedRun.__new__(FinishedRun)
        object.__setattr__(trained, "data", Split(data, data))
        object.__setattr__(trained, "experiment", type("E", (), {"guide": guide}))
        assert between_class_variance(trained, "z")["between classes"] == pytest.approx(expected, abs=5e-3)


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
    elbo = ELBO()
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


# Recipes and runs.


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


def test_digits_are_told_apart_and_their_own_units_stay_theirs():
    split = load("digits")
    experiment = natural_clustering_digits(split)
    from zoo.lab.training.fit import fit

    batches = split.train.batches(64, seed=0, steps=600, labels=True)
    for _ in fit(experiment.model, experiment.guide, experiment.elbo, batches, lr=2e-3, device="cpu"):
        pass
    found = measure(experiment.guide, split.test, classes=10)
    assert found.accuracy > 0.95
    assert found.shared.max() > 0.3


def test_recipes_take_the_numbers_of_the_data():
    data = small_set(classes=("a", "b", "c"))
    experiment = natural_clustering(Split(data, data), s_dim=2, c_dim=3, width=8)
    assert (experiment.model.classes, experiment.model.c_dim, experiment.model.num_data) == (3, 3, 23)
    assert experiment.labels
    assert conditional_vae(Split(data, data), z_dim=2, width=8).model.classes == 3
    assert {
        "natural-clustering/mnist",
        "natural-clustering/fashion-mnist",
        "natural-clustering/yale-b",
    } <= RECIPES.keys()


def test_sets_that_no_classes_can_be_learnt_from_are_refused_before_training():
    unlabelled = Dataset.from_arrays(images(6))
    never = small_set(y=np.array([0, 2] * 11 + [0]))
    named = replace(never, classes=("cat", "dog", "owl"))
    for data, message in (
        (unlabelled, "has no labels"),
        (small_set(y=np.zeros(23, dtype=int)), "has a single class"),
        (never, "class 1 never occurs among 23 datapoints"),
        (named, "class dog never occurs"),
    ):
        for recipe in (natural_clustering, conditional_vae):
            with pytest.raises(ValueError, match=message):
                recipe(Split(data, data))
    assert count_classes(small_set()) == 3


def test_some_labels_are_known_alike_for_all_classes():
    data = small_set(300)
    known = choose(data, 60)
    assert np.bincount(data.y[known]).tolist() == [20, 20, 20]
    assert np.array_equal(known, choose(data, 60))
    for wrong in (0, 61, 303):
        with pytest.raises(ValueError, match=f"a multiple of the 3 classes, up to 300.*got {wrong}"):
            choose(data, wrong)


def test_batches_with_and_without_labels_take_turns_and_go_on_where_they_stopped():
    data = small_set(60)
    known = choose(data, 12)
    whole = list(partly_labelled(data, 20, known=known, seed=1, steps=9))
    assert [batch.y is None for batch in whole] == [step % 2 == 1 for step in range(9)]
    assert [len(batch.x) for batch in whole[:2]] == [12, 20]
    for batch in whole[::2]:
        assert set(batch.index.tolist()) <= set(known.tolist())
        torch.testing.assert_close(batch.x, data.batch(batch.index).x)
        assert batch.y.tolist() == data.y[batch.index].tolist()
    for start in (3, 4):
        late = list(partly_labelled(data, 20, known=known, seed=1, start=start, steps=9))
        assert [b.index.tolist() for b in late] == [b.index.tolist() for b in whole[start:]]


def test_batches_of_the_labelled_alone_are_of_them():
    data = small_set(60)
    known = choose(data, 12)
    for batch in only_labelled(data, 5, known=known, seed=1, labels=True, steps=4):
        assert set(batch.index.tolist()) <= set(known.tolist())
        torch.testing.assert_close(batch.x, data.batch(batch.index).x)
        assert batch.y.tolist() == data.y[batch.index].tolist()


def test_few_labels_are_judged_seed_by_seed():
    def results(alone, both):
        named = {"100 labels, alone": alone, "100 labels, and the rest": both}
        return Results({v: {s: {"accuracy": a} for s, a in enumerate(of_it)} for v, of_it in named.items()})

    assert helps(100)(results([70.0, 72.0], [80.0, 73.0])) == (True, "+5.50 points on average.")
    assert helps(100)(results([70.0, 72.0], [80.0, 71.0])) == (False, "+4.50 points on average.")
    assert helps(100)(results([70.0], [80.0, 71.0])) == (None, "Not run.")


def test_a_partly_labelled_run_trains(tmp_path):
    settings, split, experiment = configure(
        "natural-clustering/digits", steps=6, hyperparameters={"labelled": 50}, device="cpu"
    )
    run.train(experiment, split, settings, new_folder(tmp_path / "run"), command="", progress=False)
    assert (tmp_path / "run" / "summary.md").is_file()


# The verdicts on the paper's claims.


def test_claims_are_judged_by_the_figures():
    def kl(own, others, effect_c=0.2):
        return {"KL of z_cy": own, "KL of a unit of z_s": others, "effect of z_c": effect_c, "effect of z_s": 0.2}

    held = Results({"Fashion-MNIST": {0: kl(2.0, 1.0), 1: kl(1.5, 1.0)}, "Yale B": {0: kl(0.01, 3.0, 0.001)}})
    missed = Results({"Fashion-MNIST": {0: kl(2.0, 1.0), 1: kl(0.9, 1.0)}, "Yale B": {0: kl(0.3, 3.0, 0.001)}})
    for claim in (fashion_above, yale_empty):
        assert claim(held)[0] is True
        assert claim(missed)[0] is False
        assert claim(Results({}))[0] is None

    def errors(**models):
        names = {"NVAE": "N-VAE", "CVAE": "CVAE", "CGAN": "CGAN", "ACGAN": "AC-GAN"}
        keys = [f"p = 0.4, sigma = {s}" for s in (1, 1.5, 2)]
        return Results({f"{names[m]}, mnist": {0: dict(zip(keys, e, strict=True))} for m, e in models.items()})

    rising = (2.0, 2.1, 2.2)
    paper = errors(NVAE=(1.9, 1.8, 1.7), CVAE=rising, CGAN=rising, ACGAN=rising)
    assert keeps_falling(paper)[0] is True
    assert lowest("mnist", 0.4, 2.0)(paper)[0] is True
    other = errors(NVAE=(1.9, 1.8, 1.85), CVAE=rising, CGAN=rising, ACGAN=(1.8, 1.7, 1.6))
    assert keeps_falling(other)[0] is False
    assert lowest("mnist", 0.4, 2.0)(other)[0] is False
    alone = {m: {0: {"p = 1, sigma = 1": e}} for m, e in
             (("N-VAE, mnist", 6.0), ("CGAN, mnist", 5.0), ("CVAE, mnist", 7.0), ("AC-GAN, mnist", 9.0))}  # fmt: skip
    assert cgan_then_nvae(Results(alone))[0] is True


def test_evaluating_a_guide_that_is_told_the_labels_gives_the_elbo_alone(tmp_path, monkeypatch, capsys):
    settings, split, experiment = configure("conditional-vae", data="digits", steps=3, device="cpu")
    run.train(experiment, split, settings, tmp_path, command="", progress=False)
    monkeypatch.setattr(sys, "argv", ["zoo", "evaluate", str(tmp_path)])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert not stopped.value.code
    said = capsys.readouterr().out
    assert "KL of z" in said
    assert "the guide is told labels, so it is no encoder of x alone" in said
