"""What Figure 7 leaves out of training: a third of a digit at one end of a feature, and nothing else."""

import numpy as np
import pytest
import torch

from zoo.lab.analysis.evaluate import evaluate
from zoo.papers.hfvae import unseen
from zoo.papers.hfvae.unseen import COMBINATIONS, REST, WHOLE, separation
from zoo.papers.reproductions import REPRODUCTIONS


def test_the_share_of_pruned_codes_above_kept_ones():
    assert separation(np.array([1.0, 2.0]), np.array([3.0, 4.0])) == 1.0
    assert separation(np.array([1.0, 3.0]), np.array([2.0, 4.0])) == 3 / 4  # of four pairs one is the wrong way
    assert separation(np.array([1.0, 1.0]), np.array([1.0])) == 0.5


def test_what_was_pruned_is_a_third_of_the_digit_at_its_end_and_nothing_else(digits):
    trial = digits["unseen"]
    whole, again = trial.open(WHOLE), trial.open(REST)
    data = whole.data.train
    rows = unseen.chosen(data)
    images = torch.from_numpy(data.x).double()[:, 0]
    across = torch.arange(images.shape[2])
    mean = (images.sum(1) * across).sum(1) / images.sum((1, 2))
    spread = ((images.sum(1) * (across - mean[:, None]) ** 2).sum(1) / images.sum((1, 2))).numpy()
    extreme = {"thick 7s": images.sum((1, 2)).numpy(), "narrow 0s": -spread}
    every = np.concatenate(list(rows.values()))
    assert len(set(every)) == len(every)
    for combination in COMBINATIONS:
        own = rows[combination.name]
        of_digit = np.flatnonzero(data.y == combination.label)
        assert len(own) == round(len(of_digit) / 3)
        assert set(own) <= set(of_digit)
        value = extreme[combination.name]
        assert value[own].min() >= value[np.setdiff1d(of_digit, own)].max() - 1e-12
    kept = np.setdiff1d(np.arange(len(data)), every)
    x = torch.from_numpy(data.x).double() / 16
    torch.testing.assert_close(again.data.train.batch(torch.arange(len(kept))).x, x[kept])
    torch.testing.assert_close(again.data.test.batch(torch.arange(len(every))).x, x[np.sort(every)])
    figures = trial.quantities()
    assert figures.keys() == REPRODUCTIONS["hfvae/figure-7"].quantities.keys()
    test = whole.data.test  # which neither run has seen
    thick = test.subset(unseen.chosen(test)["thick 7s"])
    for name, run in (("seen", whole), ("unseen", again)):
        assert figures[f"thick 7s, {name}"] == evaluate(run.model, run.guide, thick).reconstruction["x"]
    kept_codes, pruned_codes = unseen.feature_values(again, COMBINATIONS[0])
    assert len(kept_codes) == (data.y == 7).sum() - len(rows["thick 7s"])
    assert len(pruned_codes) == len(rows["thick 7s"])
    pairs = np.mean(pruned_codes[:, None] > kept_codes[None, :])  # no ties among real numbers
    assert figures["thick 7s, told apart"] == pytest.approx(pairs)
