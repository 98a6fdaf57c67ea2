"""Factors of every make, and data sets that are too small or whose factors are no classes: scored where they can be."""

import numpy as np
import pandas as pd
import pyro.distributions as dist
import pytest
import torch
from torch.distributions import Independent, Normal, OneHotCategorical

from zoo.lab.data import Dataset
from zoo.metrics import Encoded, Inapplicable, Suite, factor_correlations, mig, neighbours, sap, suite

N = 60
RNG = np.random.default_rng(0)
X = RNG.random((N, 6))
Y = np.arange(N) % 3
DATA = Dataset.from_arrays(X, Y)


@pytest.mark.parametrize(
    "labels",
    [
        Y.astype(">i2"),
        Y.astype(np.uint8),
        Y.astype(float),
        Y.astype(object),
        torch.from_numpy(Y).bfloat16(),
        torch.from_numpy(Y).float().requires_grad_(),
        Y.tolist(),
        np.array(["ant", "bee", "cat"])[Y],
        np.array(["ant", "bee", "cat"], dtype=object)[Y],
        np.array(["ant", "bee", "cat"])[Y].tolist(),
        pd.Series(["ant", "bee", "cat"])[Y].astype("category"),
        pd.Series(Y).astype("Int64"),
        np.array([b"ant", b"bee", b"cat"])[Y],
        3 * Y - 1,
    ],
)
def test_labels_of_every_make(labels):
    encoded = Encoded.of(X, labels)
    np.testing.assert_array_equal(encoded.factors[:, 0], Y)
    assert encoded.sizes == (3,)


def test_truth_values_are_two_classes():
    for labels in (Y > 0, (Y > 0).tolist(), (Y > 0).astype(object), torch.from_numpy(Y > 0), pd.Series(Y > 0)):
        np.testing.assert_array_equal(Encoded.of(X, labels).factors[:, 0], Y > 0)


@pytest.mark.parametrize("make", [np.array, list, pd.Series, lambda texts: np.array(texts, dtype="S")])
def test_numbers_given_as_texts_have_the_order_of_numbers(make):
    values = 1 + np.arange(N) % 11  # as texts, the alphabet has 1, 10, 11, 2, ...
    texts = [str(value) for value in values.tolist()]
    encoded = Encoded.of(X, {"size": make(texts)})
    np.testing.assert_array_equal(encoded.factors[:, 0], values - 1)
    expected = np.corrcoef(np.c_[values, X].T)[:1, 1:]
    np.testing.assert_allclose(factor_correlations(X, {"size": make(texts)}, repeats=2).value, expected, atol=1e-12)


def test_two_texts_of_one_number_are_one_class_as_in_a_data_set():
    texts = np.array(["1", "1.0", "-2", " 10", "1e1", "-2.0"])[np.arange(N) % 6]
    encoded = Encoded.of(X, {"size": texts})
    np.testing.assert_array_equal(encoded.factors[:, 0], np.array([1, 1, 0, 2, 2, 0])[np.arange(N) % 6])
    np.testing.assert_array_equal(encoded.factors, data_with(size=texts).factors.classes)
    assert encoded.values[0].tolist() == ["-2", "1", " 10"]


NAMES = np.array(["small", "medium", "large"])
SIZES = pd.Categorical(NAMES[Y], categories=NAMES, ordered=True)


@pytest.mark.parametrize("factors", [{"size": SIZES, "part": Y % 2}, pd.DataFrame({"size": SIZES, "part": Y % 2})])
def test_ordered_categories_keep_their_order(factors):
    # by the alphabet, large would be 0 and small 2
    expected = np.corrcoef(np.c_[Y, Y % 2, X].T)[:2, 2:]
    for codes, given in ((X, factors), (lambda x: x, Dataset.from_arrays(X, factors=factors))):
        encoded = Encoded.of(codes, given)
        np.testing.assert_array_equal(encoded.factors, np.c_[Y, Y % 2])
        assert encoded.unordered == ()
        np.testing.assert_allclose(factor_correlations(encoded, repeats=2).value, expected, atol=1e-6)  # x is float32


def test_names_are_not_correlated_as_if_the_alphabet_were_their_order():
    names, other = NAMES[Y], np.arange(N) % 4
    for codes, factors in ((X, {"size": names, "other": other}), (lambda x: x, data_with(size=names, other=other))):
        result = factor_correlations(codes, factors, repeats=2)
        assert result.axes[0] == ("other",)
        np.testing.assert_allclose(result.value, np.corrcoef(np.c_[other, X].T)[:1, 1:], atol=1e-6)
        assert "'size' has 3 classes that are names without an order" in result.protocol["left_out_factors"]["size"]
        with pytest.raises(Inapplicable, match=r"needs 2 factors that vary, got \['other'\]; 'size' has 3 classes"):
            neighbours(codes, factors, repeats=2)
        with pytest.raises(ValueError, match=r"SAP: 'size' cannot be continuous, since its classes are names"):
            sap(codes, factors, continuous=True)
    found = quick(X, names)
    assert "mig" in found
    assert "'factor 0' has 3 classes that are names" in found.inapplicable["factor_correlations"]
    labelled = Dataset.from_arrays(X, names)
    assert "'label' has 3 classes that are names" in quick(lambda x: x, labelled).inapplicable["factor_correlations"]
    assert "factor_correlations" in quick(lambda x: x, DATA)  # its labels are numbers


def test_two_names_have_a_correlation():
    two = np.array(["no", "yes"])[Y % 2]
    expected = np.corrcoef(np.c_[Y % 2, X].T)[:1, 1:]
    np.testing.assert_allclose(factor_correlations(X, two, repeats=2).value, expected, atol=1e-12)


def test_columns_keep_their_names():
    frame = pd.DataFrame({"shape": np.array(["a", "b", "c"])[Y], "angle": np.arange(N) % 4})
    expected = Encoded.of(X, {"shape": Y, "angle": np.arange(N) % 4})
    records = np.array(list(zip(Y, np.arange(N) % 4, strict=True)), dtype=[("shape", int), ("angle", int)])
    for factors in (frame, records):
        encoded = Encoded.of(X, factors)
        assert encoded.names == ("shape", "angle")
        np.testing.assert_array_equal(encoded.factors, expected.factors)
    assert Encoded.of(X, {1: Y, 2: Y}).names == ("1", "2")


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.where(Y > 0, "a", None), r"None at point 0, where classes are all names or all numbers"),
        (pd.Series(["a", float("nan"), "b"] * 20, dtype=object), r"nan at point 1"),
        (pd.Series([1, None, 2] * 20, dtype="Int64"), r"nan at point 1 is not a class index"),
        (np.array([0, None, 1] * 20), r"None at point 1"),
        (np.where(Y > 0, 1.0, np.nan), r"nan at point 0 is not a class index"),
        (np.array([1, "a", 2] * 20, dtype=object), r"1 at point 0, where classes are all names"),
        (np.ma.masked_equal(Y, 2), r"20 values are masked: leave these points out"),
        (Y * 1j, r"expected class indices or names, got complex128"),
        (np.stack([Y, Y]), r"'factor 0' has values of shape \(2,\) for codes of 60 points"),
    ],
)
def test_labels_that_are_none_are_refused_at_their_place(labels, message):
    with pytest.raises(ValueError, match=message):
        Encoded.of(X, labels)


# A data set whose factors are not all classes, and one too small: what can be scored is scored.


def data_with(**factors) -> Dataset:
    return Dataset.from_arrays(X, factors=factors)


def quick(codes, data, repeats: int = 2) -> Suite:
    return suite(codes, data, repeats=repeats, progress=False)


def test_a_measurement_beside_a_class_is_left_out_by_name():
    measured = data_with(angle=RNG.random(N), shape=Y)
    result = mig(lambda x: x, measured)
    assert result.runs.tolist() == mig(X.astype(np.float32), {"shape": Y}).runs.tolist()
    assert result.protocol["factors"] == {"shape": 3}
    assert "60 classes in 60 points" in result.protocol["left_out_factors"]["angle"]
    found = quick(lambda x: x, measured)
    assert float(found["mig"]) == float(result)
    assert "'angle' is not categorical" in found.inapplicable["angle"]
    assert "left out: 'angle' is not categorical: 60 classes in 60 points" in found.table()
    with pytest.raises(ValueError, match="'angle' is not categorical"):
        mig(X, {"angle": RNG.random(N), "shape": Y})  # here the reader named it


def test_a_measurement_alone_leaves_what_needs_no_factor():
    found = quick(lambda x: x, data_with(angle=RNG.random(N)))
    assert {"hoyer", "total_correlation_gaussian", "information_among_codes"} <= set(found)
    assert "mig" not in found
    assert "'angle' is not categorical" in found.inapplicable["mig"]


def test_constant_factors_alone(tmp_path):
    found = quick(lambda x: x, data_with(colour=np.full(N, 3)))
    assert "mig" not in found
    assert "'colour' has one value" in found.inapplicable["mig"]
    found.write_json(tmp_path / "metrics.json")


def test_few_points_leave_everything_out_with_the_reason(tmp_path):
    few = Dataset.from_arrays(X[:3], Y[:3])
    found = quick(lambda x: x, few)
    assert not found
    assert found.inapplicable == {"encode": "codes of 3 points are too few for any metric: give at least 10"}
    assert "left out: codes of 3 points are too few" in found.table()
    found.write_json(tmp_path / "metrics.json")
    with pytest.raises(Inapplicable, match="codes of 3 points are too few"):
        mig(lambda x: x, few)


def test_rare_classes_leave_out_the_metrics_that_split(tmp_path):
    # one point of the second class: ten random halves have it once in 2^10 times
    rare = Dataset.from_arrays(X[:20], np.arange(20) // 19)
    found = quick(lambda x: {"z": x, "c": OneHotCategorical(logits=x[:, :3])}, rare, repeats=10)
    assert "hoyer" in found
    assert "too few to repeat" in found.inapplicable["mig"]
    found.write_json(tmp_path / "metrics.json")


@pytest.mark.parametrize("size", range(10, 16))
def test_the_smallest_sets_are_scored_or_left_out_and_never_an_error(size):
    data = Dataset.from_arrays(X[:size], factors={"a": np.arange(size) % 2, "b": np.arange(size) // 2 % 2})
    found = quick(lambda x: {"z": Independent(Normal(x, 0.5), 1), "c": OneHotCategorical(logits=x[:, :3])}, data)
    assert all(np.isfinite(result.value).all() or result.value == np.inf for result in found.values())
    assert "hoyer" in found


def test_a_flow_is_left_out_of_a_suite_with_the_reason():
    def flow(x):
        base = dist.Normal(torch.zeros(len(x), 2), 1.0).to_event(1)
        return {"z": dist.TransformedDistribution(base, [dist.transforms.Planar(2)])}

    found = quick(flow, DATA)
    assert not found
    assert "TransformedDistribution has no mean" in found.inapplicable["encode"]
