"""SAP by thresholds, by a line, and by disentanglement_lib's SVM."""

import numpy as np
import pytest
from scipy.stats import norm

from zoo.metrics import Inapplicable, sap


def places(K: int = 8, N: int = 4_000) -> tuple[np.ndarray, np.ndarray]:
    """Two factors of K places each, as two latents: a perfect code."""
    y = np.random.default_rng(0).integers(K, size=(N, 2))
    return (y - y.mean(0)) / y.std(0), y


def test_a_perfect_code_of_places():
    z, y = places()
    # 1 less chance; a standard error of the chance level is sqrt(1/8 * 7/8 / 1333) = 0.009
    assert float(sap(z, y, repeats=2)) == pytest.approx(1 - 1 / 8, abs=0.03)
    assert float(sap(z, y, continuous=True, repeats=2)) == pytest.approx(1, abs=0.01)
    # a line along one latent finds the first and the last of 8 places
    assert float(sap(z, y, classifier="svm", repeats=2)) == pytest.approx(2 / 8 - 1 / 8, abs=0.03)


def test_places_in_any_order_are_read_by_thresholds_alone():
    z, y = places()
    shuffled = np.random.default_rng(1).permutation(8)[y]  # classes without an order
    assert float(sap(z, shuffled, repeats=2)) == pytest.approx(1 - 1 / 8, abs=0.03)
    assert float(sap(z, shuffled, continuous=True, repeats=2)) < 0.5


def rare(N: int = 3_000) -> tuple[np.ndarray, np.ndarray]:
    """One class in ten; the first latent is shifted by one standard deviation in it, the second is noise."""
    rng = np.random.default_rng(0)
    y = (rng.random(N) < 0.1).astype(int)
    return rng.standard_normal((N, 2)) + y[:, None] * [1.0, 0.0], y


@pytest.mark.parametrize("classifier", ["thresholds", "svm"])
def test_a_rare_class_weighs_as_much_as_a_frequent_one(classifier):
    # the cut half way finds Phi(1/2) = 0.69 of either class. Without weights both latents always say the frequent
    # class, and there is no gap.
    z, y = rare()
    found = float(sap(z, y, classifier=classifier, C=1.0, repeats=3))
    assert found == pytest.approx(norm.cdf(0.5) - 0.5, abs=0.05)


def test_accuracy_by_thresholds_is_balanced():
    # the first latent finds the frequent class and half of the rare one: (1 + 1/2) / 2 and not 0.95; noise has 1/2
    rng = np.random.default_rng(0)
    y = (np.arange(3_000) % 10 == 0).astype(int)
    seen = y * (rng.random(3_000) < 0.5)
    assert float(sap(np.c_[seen, rng.standard_normal(3_000)], y, repeats=3)) == pytest.approx(0.25, abs=0.04)


def test_factors_are_continuous_by_name():
    z, y = places(4, 600)
    named = {"x": y[:, 0], "shape": y[:, 1]}
    found = sap(z, named, continuous=("x",), repeats=2)
    parts = [
        sap(z, {name: y}, continuous=line, repeats=2)
        for (name, y), line in zip(named.items(), (True, False), strict=True)
    ]
    # the classifiers of the two runs have other seeds, and a tree of one column does not depend on its seed
    np.testing.assert_allclose(found.runs, np.mean([part.runs for part in parts], axis=0), atol=1e-9)
    assert found.protocol["continuous"] == ["x"]
    assert sap(z, named, continuous="x", repeats=2).runs.tolist() == found.runs.tolist()
    assert sap(z, named, continuous=True, repeats=2).protocol["continuous"] == ["x", "shape"]
    with pytest.raises(LookupError, match="no factor 'y' varies; there are x, shape"):
        sap(z, named, continuous=["y"])


def test_what_it_was_measured_with():
    z, y = places(4, 100)
    found = sap(z, y, classifier="svm", repeats=2)
    assert found.metric == "SAP (SVM)"
    assert "C=0.01" in found.protocol["classifier"]
    assert "class_weight='balanced'" in found.protocol["classifier"]
    assert sap(z, y, repeats=2).protocol["classifier"] == "thresholds"


def test_settings_that_are_none():
    z, y = places(4, 100)
    with pytest.raises(ValueError, match="classifier must be 'thresholds' or 'svm', got 'tree'"):
        sap(z, y, classifier="tree")  # type: ignore[arg-type]
    for share in (0.0, 1.0, -0.2, 2.0):
        with pytest.raises(ValueError, match="sap: test_share must be above 0 and below 1, got"):
            sap(z, y, test_share=share)
    with pytest.raises(Inapplicable, match="has one class among"):
        sap(z[:20], {"rare": np.arange(20) // 19}, repeats=20)


@pytest.mark.parametrize(("offset", "scale"), [(1e9, 1.0), (0.0, 1e-8), (-3e4, 1e-4)])
def test_thresholds_do_not_depend_on_where_a_latent_lies_or_on_its_scale(offset, scale):
    # scikit-learn's trees have single precision and take values closer than 1e-7 for one: the gap was 0 here
    z, y = places(8, 600)
    assert float(sap(offset + scale * y, y, repeats=2)) == pytest.approx(float(sap(z, y, repeats=2)), abs=1e-12)
