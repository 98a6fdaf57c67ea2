"""A categorical is one latent, whatever its number of classes: its probabilities do not compete with each other."""

import numpy as np
import pytest
import torch
from torch.distributions import Independent, Normal, OneHotCategorical

from zoo.metrics import (
    Encoded,
    Inapplicable,
    dci,
    information_among_codes,
    information_of_means,
    mig,
    mig_aggregate,
    modularity,
    sap,
)

N = 2000


def coded(classes, *, seed=0):
    """A type that is the factor exactly, next to two units of noise; and the factor."""
    rng = np.random.default_rng(seed)
    y = rng.integers(classes, size=N)
    probs = np.eye(classes)[y] * 0.999 + 0.001 / classes
    noise = Independent(Normal(torch.from_numpy(rng.standard_normal((N, 2))), 0.5), 1)
    return {"z": noise, "c": OneHotCategorical(torch.from_numpy(probs))}, y


@pytest.mark.parametrize("classes", [2, 4])
def test_a_type_that_is_the_factor_has_the_whole_gap(classes):
    codes, y = coded(classes)
    # I(y; noise) in bins is biased by (bins - 1) (classes - 1) / 2N
    assert float(mig(codes, y, repeats=2)) == pytest.approx(1, abs=0.03)
    assert float(mig_aggregate(codes, y, repeats=2)) == pytest.approx(1, abs=0.03)
    # The type is right always, and noise as often as a guess; a tree finds a little more.
    assert float(sap(codes, y, repeats=2)) == pytest.approx(1 - 1 / classes, abs=0.06)


def test_units_have_a_row_each_and_a_type_has_one():
    codes, y = coded(3)
    found = information_of_means(codes, y, repeats=2)
    assert found.axes[1] == ("z_0", "z_1", "c") == Encoded.of(codes, y).units
    assert found.value[0, 2] == pytest.approx(-sum(p * np.log(p) for p in np.bincount(y) / N))


def test_a_types_probabilities_are_not_pairs_of_latents():
    codes, _ = coded(2)
    assert float(information_among_codes(codes, repeats=2)) < 0.06  # the bias of a pair of units of noise is 0.09


def test_codes_of_two_types_are_complete_disentangled_and_modular():
    rng = np.random.default_rng(1)
    factors = rng.integers([2, 4], size=(N, 2))
    codes = {
        name: OneHotCategorical(torch.from_numpy(np.eye(size)[column]))
        for name, size, column in zip("ab", (2, 4), factors.T, strict=True)
    }
    found = dci(codes, factors, regressor="forest", repeats=2)
    assert float(found.completeness) == pytest.approx(1, abs=0.01)
    assert float(found.disentanglement) == pytest.approx(1, abs=0.01)
    assert float(modularity(codes, factors, repeats=2)) == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("metric", [mig, sap, information_among_codes])
def test_a_type_alone_has_no_other_latent_to_compare_with(metric):
    codes, y = coded(4)
    with pytest.raises(Inapplicable, match=r"needs 2 latents, got 1: \['c'\]"):
        metric({"c": codes["c"]}, y, repeats=2)
