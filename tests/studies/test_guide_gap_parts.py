"""The parts of a comparison, exactly: how a guide's quantities are put together, and what its picture shows."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from tests.pairs import images, vae_pair
from zoo.lab.analysis.importance_sampling import Importance
from zoo.lab.data import Dataset
from zoo.lab.networks import MLPDecoder
from zoo.studies.guide_gap import measure as gap
from zoo.studies.guide_gap import posteriors
from zoo.studies.guide_gap.measure import TestSamples, measure

OURS = Importance(torch.tensor([-5.0, -7.0, -20.0]), torch.tensor([-4.0, -6.0, -19.0]), torch.tensor([1, 2, 9]).log())


@pytest.mark.parametrize(
    ("fitted", "expected"),
    [
        (([-4.5, -5.5], [-3.5, -4.5]), (-5.0, -4.0)),
        (([-8.0, -9.0], [-7.0, -8.0]), (-6.0, -5.0)),
        (([-4.5, -5.5], [-7.0, -8.0]), (-5.0, -5.0)),
    ],
    ids=["the fit improves both", "the fit is worse", "the fit has the higher bound alone"],
)
def test_the_gap_takes_the_better_of_the_guide_and_the_fit(fitted, expected, monkeypatch):
    """The first three of five datapoints are measured, the gap on the first two, where the guide has -6 and -5."""
    fit = nn.Identity()
    best = Importance(*map(torch.tensor, fitted), torch.zeros(2))
    monkeypatch.setattr(gap, "importance", lambda model, guide, x, y, num_samples: best if guide is fit else OURS)
    monkeypatch.setattr(gap, "fitted_to", lambda *_, steps: fit)
    monkeypatch.setattr(gap, "evaluate", lambda *_, **__: SimpleNamespace(kl={"z": torch.tensor([1.0, 2.0])}))
    data = Dataset.from_arrays(np.zeros((5, 1), dtype=np.float32))
    measured = measure(nn.Linear(1, 1), nn.Linear(3, 4), data, TestSamples(images=3, samples=10, gap_images=2))
    assert (measured.gap_fitted, measured.gap_evidence) == expected
    assert measured.gap_elbo == -6.0
    assert measured.elbo == pytest.approx(-32 / 3)
    assert measured.log_evidence == pytest.approx(-29 / 3)
    assert measured.effective == pytest.approx(2.0)  # the median of 1, 2 and 9
    assert measured.kl == {"z": 3.0}
    assert measured.num_parameters == 3 * 4 + 4
    assert measured.approximation == expected[1] - expected[0]
    assert measured.amortisation == expected[0] + 6.0


def test_more_images_for_the_gap_than_there_are_measured_are_refused():
    """Before: --gap-images 300 was cut to 10 without a word; the default still is."""
    data, decoder = Dataset.from_arrays(torch.rand(20, 1, 2, 2).numpy()), MLPDecoder(2, (1, 2, 2), hidden=(4,))
    assert TestSamples.of(decoder, data, 10, 5, None).gap_images == 10
    assert TestSamples.of(decoder, data, 10, 5, 10).gap_images == 10
    with pytest.raises(ValueError, match=r"--gap-images 300 is more than --images 10, .*: give at most 10, or more"):
        TestSamples.of(decoder, data, 10, 5, 300)
    with pytest.raises(ValueError, match="--gap-images 21 is more than --images 20"):
        TestSamples.of(decoder, data, None, 5, 21)


def exact(z):
    """The log of a density that is skewed along the first unit and symmetric along the second, up to a constant."""
    at_0, at_1 = (-0.5 * ((z[..., 0] - mean) / 0.3) ** 2 for mean in (0.0, 1.0))
    return np.logaddexp(math.log(2) + at_0, at_1) - 0.5 * (z[..., 1] / 0.3) ** 2


def proposed(z):
    """The log of a density of other deviations in the two units, 0 at its maximum."""
    return -0.5 * ((z[..., 0] - 0.2) / 0.5) ** 2 - 0.5 * (z[..., 1] / 0.25) ** 2


def test_the_picture_has_the_first_unit_across_and_contours_at_one_two_and_three_deviations(monkeypatch):
    torch.set_default_dtype(torch.float32)

    def stub(density):
        return lambda program, site, x, points: torch.from_numpy(density(points.double().numpy()))

    monkeypatch.setattr(posteriors, "CELLS", 80)
    monkeypatch.setattr(posteriors, "exact_log_density", lambda *args: stub(exact)(*args).log_softmax(0))
    monkeypatch.setattr(posteriors, "log_density", stub(proposed))
    data = Dataset.from_arrays(images(2).numpy())
    (axes,) = posteriors.plane_posteriors({"mean-field": vae_pair()}, data, num=1).axes
    (grey,), (lines,) = axes.images, axes.collections
    left, right, bottom, top = grey.get_extent()
    assert grey.origin == "lower"
    across, up = (
        low + (high - low) * (np.arange(80) + 0.5) / 80 for low, high in ((left, right), (bottom, top))
    )  # centres of the cells
    by_hand = np.exp(exact(np.stack(np.meshgrid(across, up), axis=-1)))  # [row, column, unit]
    np.testing.assert_allclose(grey.get_array(), by_hand / by_hand.sum(), rtol=1e-3, atol=1e-8)
    np.testing.assert_allclose(lines.levels, np.exp([-4.5, -2.0, -0.5]), rtol=0.02)
    for level, path in zip(lines.levels, lines.get_paths(), strict=True):
        np.testing.assert_allclose(np.exp(proposed(path.vertices)), level, rtol=0.1)
