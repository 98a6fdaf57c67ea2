"""DCI: whatever importances are, by hand and by the formulas of public code; and what noise must not pass for."""

import sys

import numpy as np
import pandas as pd
import pytest
from scipy.stats import entropy
from sklearn.ensemble import GradientBoostingClassifier

from zoo.metrics import Encoded, Inapplicable, dci, suite
from zoo.metrics.result import generators


def dlib_disentanglement(R: np.ndarray) -> float:
    """The sum over latents of share times 1 - entropy in units of log K, with 1e-11 added as disentanglement_lib."""
    score = 1 - entropy(R.T + 1e-11, base=R.shape[1])
    return float(score @ R.sum(1) / R.sum())


def some(N: int = 300) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    y = np.stack([rng.integers(2, size=N), rng.integers(3, size=N)], axis=1)
    return np.c_[y + 0.3 * rng.standard_normal((N, 2)), rng.standard_normal(N)], y


def test_boosted_trees_as_public_code_has_them():
    z, y = some()
    found = dci(z, y, regressor="boosted", num_trees=5, seed=3, repeats=2)
    encoded = Encoded.of(z, y)
    for repeat, rng in enumerate(generators(3, 2)):
        train, test = encoded.split(0.2, rng)
        assert (len(train), len(test)) == (240, 60)
        R, accuracy = np.empty((3, 2)), []
        for k in range(2):
            trees = GradientBoostingClassifier(n_estimators=5, random_state=int(rng.integers(2**31)))
            trees.fit(z[train], y[train, k])
            R[:, k] = np.abs(trees.feature_importances_)
            accuracy.append(np.mean(trees.predict(z[test]) == y[test, k]))
        assert found.disentanglement.runs[repeat] == pytest.approx(dlib_disentanglement(R), abs=1e-8)
        # every factor has importances that sum to 1, so public code's weighted mean is the mean
        assert found.completeness.runs[repeat] == pytest.approx(np.mean(1 - entropy(R + 1e-11, base=3)), abs=1e-8)
        assert found.informativeness.runs[repeat] == pytest.approx(np.mean(accuracy))
    assert found.informativeness.unit == "score"
    assert found.disentanglement.protocol["classifier"] == "GradientBoostingClassifier(n_estimators=5)"
    assert found.disentanglement.protocol["split"] == "80 / 20 %"
    assert found.disentanglement.caveat == ""


@pytest.mark.parametrize(("offset", "scale"), [(1e9, 1.0), (0.0, 1e-8), (-3e4, 1e-4)])
def test_boosted_trees_do_not_depend_on_where_a_latent_lies_or_on_its_scale(offset, scale):
    # scikit-learn's trees have single precision and take values closer than 1e-7 for one: all parts were a guess's
    y = np.repeat([[0, 0], [0, 1], [1, 0], [1, 1]], 25, axis=0)
    found = dci(offset + scale * y, y, regressor="boosted", num_trees=5, repeats=2)
    assert [float(part) for part in found] == pytest.approx([1, 1, 1])


def test_boosted_trees_are_a_hundred_unless_told():
    z, y = some(60)
    found = dci(z, y, regressor="boosted", repeats=2)
    assert found.informativeness.protocol["classifier"] == "GradientBoostingClassifier(n_estimators=100)"
    forest = dci(z, y, regressor="forest", repeats=2)
    assert forest.informativeness.protocol["regressor"] == "RandomForestRegressor(10)"


def test_classes_may_have_names_and_any_order_for_boosted_trees():
    z, y = some()
    names = np.array(["b", "c", "a"])[y[:, 1]]
    here = dci(
        z, {"a": y[:, 0], "b": np.unique(names, return_inverse=True)[1]}, regressor="boosted", num_trees=3, repeats=2
    )
    there = dci(z, {"a": y[:, 0], "b": names}, regressor="boosted", num_trees=3, repeats=2)
    assert here.disentanglement.runs.tolist() == there.disentanglement.runs.tolist()


@pytest.mark.parametrize("N", [400, 1000])
@pytest.mark.parametrize("num_dead", [1, 4, 8])
def test_a_forest_of_good_codes_beside_latents_that_are_nearly_dead(N, num_dead):
    # rounding leaves importances of -3e-19 where a latent splits nothing; their entropy was infinite
    rng = np.random.default_rng(0)
    y = rng.integers(5, size=(N, 3))
    z = np.c_[1.0 * y, 0.1 + 1e-9 * rng.standard_normal((N, num_dead))]
    for regressor in ("forest", "boosted"):
        found = dci(z, y, regressor=regressor, num_trees=3, repeats=2)
        assert float(found.disentanglement) == pytest.approx(1, abs=0.01)
        assert float(found.completeness) == pytest.approx(1, abs=0.01)


def test_importances_below_0_by_rounding_are_none(monkeypatch):
    from sklearn.ensemble import RandomForestRegressor

    rounded = property(lambda self: np.array([1.0, -3e-19, -3e-19]))
    monkeypatch.setattr(RandomForestRegressor, "feature_importances_", rounded)
    found = dci(*some(), regressor="forest", repeats=2)
    assert float(found.disentanglement) == 0.0  # latent 0 for both factors
    assert float(found.completeness) == 1.0


def noise(N: int = 500) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.standard_normal((N, 10)), rng.integers(5, size=(N, 5))


@pytest.mark.parametrize(
    ("regressor", "options"), [("lasso", {"alpha": 0.06}), ("forest", {}), ("boosted", {"num_trees": 3})]
)
def test_scores_of_pure_noise_carry_a_caveat(regressor, options):
    found = dci(*noise(), regressor=regressor, repeats=2, **options)
    assert found.disentanglement.caveat == found.completeness.caveat
    assert found.disentanglement.caveat.startswith("means nothing: ")
    assert found.disentanglement.caveat.endswith("% better than a constant guess")
    assert found.informativeness.caveat == ""
    if regressor == "lasso":
        assert float(found.informativeness) == pytest.approx(1, abs=0.05)
        assert float(found.disentanglement) > 0.5  # high, and of nothing


def test_codes_that_predict_nothing_keep_the_caveat_about_names():
    """Before: the caveat about a constant guess replaced the other one."""
    rng = np.random.default_rng(0)
    names = np.array(["a", "b", "c"])[rng.integers(3, size=600)]
    found = dci(rng.normal(size=(600, 2)), {"shape": names, "on": rng.integers(2, size=600)}, regressor="lasso")
    order = "depends on the order of the names of 'shape'"
    assert found.informativeness.caveat == order
    assert found.disentanglement.caveat == found.completeness.caveat
    assert found.disentanglement.caveat.startswith("means nothing: ")
    assert found.disentanglement.caveat.endswith(f"% better than a constant guess; {order}")


@pytest.mark.parametrize(("regressor", "says"), [("lasso", True), ("forest", True), ("boosted", False)])
def test_names_without_an_order_carry_a_caveat(regressor, says):
    """Before: the same classes under other names had other scores, without a word.

    A latent is linear in the first order of the names, so the lasso predicts it well, and the middle one of the three
    is then last, which no line predicts: the best one leaves sqrt(3/4) of the standard deviation.
    """
    rng = np.random.default_rng(0)
    classes = np.stack([rng.permutation(np.arange(600) % 3), rng.permutation(np.arange(600) % 2)], axis=1)
    codes = classes + 0.1 * rng.normal(size=classes.shape)
    errors = {}
    for names in (["a", "b", "c"], ["a", "c", "b"]):
        found = dci(
            codes, {"shape": np.array(names)[classes[:, 0]], "on": classes[:, 1]}, regressor=regressor, repeats=2
        )
        assert {part.caveat for part in found} == ({"depends on the order of the names of 'shape'"} if says else {""})
        errors["".join(names)] = float(found.informativeness)
    if regressor == "lasso":
        assert errors["abc"] < 0.2
        assert errors["acb"] == pytest.approx((0.75**0.5 + errors["abc"]) / 2, abs=0.1)  # the mean over the factors
    ordered = pd.Categorical(np.array(["a", "b", "c"])[classes[:, 0]], categories=["a", "b", "c"], ordered=True)
    frame = pd.DataFrame({"shape": ordered, "on": classes[:, 1]})
    assert {part.caveat for part in dci(codes, frame, regressor=regressor, repeats=2)} == {""}


def test_the_caveat_of_accuracy_is_against_the_most_frequent_class():
    # 0.9 of the points have class 0, so a constant guess has an accuracy of 0.9
    rng = np.random.default_rng(0)
    y = (rng.random((400, 2)) < 0.1).astype(int)
    found = dci(rng.standard_normal((400, 3)), y, regressor="boosted", num_trees=3, repeats=2)
    assert float(found.informativeness) > 0.8
    assert found.disentanglement.caveat


def test_a_weak_prediction_is_a_prediction():
    # y of variance 2/3 seen with a noise of variance 1: by a line sqrt(1 / (1 + 2/3)) = 0.77 of the error is left
    rng = np.random.default_rng(0)
    y = rng.integers(3, size=(2_000, 2))
    found = dci(y + rng.standard_normal((2_000, 2)), y, regressor="lasso", repeats=2)
    assert float(found.informativeness) == pytest.approx(0.77, abs=0.05)
    assert found.disentanglement.caveat == ""


def test_the_suite_prints_the_caveat_beside_the_number(monkeypatch):
    from zoo.metrics.suite import METRICS

    kept = {name: METRICS[name] for name in {"dci_lasso"}}
    monkeypatch.setattr(sys.modules["zoo.metrics.suite"], "METRICS", kept)
    lines = suite(*noise(), repeats=2, progress=False).table().splitlines()
    (line,) = (line for line in lines if line.startswith("dci_lasso_disentanglement"))
    assert line.endswith("]  means nothing: 0% better than a constant guess")
    (line,) = (line for line in lines if line.startswith("dci_lasso_informativeness"))
    assert "means nothing" not in line


def test_slow_metrics_are_run_when_asked_for(monkeypatch):
    from zoo.metrics.suite import METRICS

    kept = {name: METRICS[name] for name in {"hoyer"}}
    monkeypatch.setattr(sys.modules["zoo.metrics.suite"], "METRICS", kept)
    z, y = some(60)
    assert set(suite(z, y, repeats=2, progress=False)) == {"hoyer"}
    slow = set(suite(z, y, repeats=2, slow=True, progress=False)) - {"hoyer"}
    assert slow == {f"dci_boosted_{part}" for part in ("disentanglement", "completeness", "informativeness")}


@pytest.mark.parametrize("regressor", ["lasso", "forest", "boosted"])
def test_a_factor_with_one_class_to_train_on_is_inapplicable(regressor):
    # The mean of equal numbers is a prediction without error; it counted as perfect, with no latent that is important.
    y = np.zeros((20, 2), int)
    y[0, 0] = y[1:, 1] = 1
    z = np.random.default_rng(0).standard_normal((20, 2))
    with pytest.raises(Inapplicable, match=r"has one class among 16 training points: give more points"):
        dci(z, y, regressor=regressor, num_trees=2, repeats=20)
