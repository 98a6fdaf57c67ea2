"""N-VAE's recipes take their numbers from the data, and say what is wrong with it; batches with few labels."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.pairs import L, assert_same_but_for_the_objective, images
from tests.traced import fit
from zoo.lab.data import Dataset, Split, load
from zoo.papers.natural_clustering.class_latents import measure
from zoo.papers.natural_clustering.recipes import (
    choose,
    conditional_vae,
    digits,
    natural_clustering,
    only_labelled,
    partly_labelled,
)
from zoo.papers.recipes import RECIPES


def small_set(num=23, y=None, **options):
    return Dataset.from_arrays(images(num), np.arange(num) % L if y is None else y, **options)


def test_digits_are_told_apart_and_their_own_units_stay_theirs():
    split = load("digits")
    experiment = digits(split)
    batches = split.train.batches(64, seed=0, steps=350, labels=True)
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


def test_the_decoder_has_two_hidden_layers_where_no_depth_is_given():
    data = small_set()
    built = {}
    for depth in (None, 2, 0):
        torch.manual_seed(0)
        built[depth] = natural_clustering(Split(data, data), width=8, depth=depth)
    assert_same_but_for_the_objective(built[None], built[2])
    # L * (1 + c_dim) + s_dim latents to the pixels of SHAPE
    assert [tuple(p.shape) for p in built[0].model.parameters()] == [(15, 2 * L + 4), (15,)]
    with pytest.raises(ValueError, match="only an 'mlp' has a depth"):
        natural_clustering(Split(data, data), network="conv", depth=1)


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
    assert small_set().count_classes() == 3


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
