"""Types that no label taught against labels: counts by hand, every matching tried, and what the metric must not see."""

import itertools

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.sparse import csr_array
from torch.distributions import Independent, Normal, OneHotCategorical, RelaxedOneHotCategorical

from zoo.lab.data import load
from zoo.metrics import Encoded, Inapplicable
from zoo.metrics.clusters import clusters, confusion, hungarian_accuracy, majority_accuracy, purity

# 3 types, 2 labels: type 0 is mostly label 1, types 1 and 2 both mostly label 0
TABLE = np.array([[1, 9], [6, 2], [4, 0]])


def points(table):
    """Types and labels [N] with these counts, in no order."""
    pairs = np.array([(k, label) for k, label in np.ndindex(table.shape) for _ in range(table[k, label])])
    return np.random.default_rng(0).permutation(pairs).T


def test_counts_by_hand():
    types, labels = points(TABLE)
    np.testing.assert_array_equal(confusion(types, labels), TABLE)
    found = clusters(types, labels)
    assert float(found.majority) == pytest.approx((9 + 6 + 4) / 22)
    assert float(found.hungarian) == pytest.approx((9 + 6) / 22)  # the third type has no label left
    assert found.purity.value.tolist() == pytest.approx([0.9, 0.75, 1.0])
    np.testing.assert_allclose(found.confusion.value, TABLE / 22)
    assert found.confusion.axes == (("c=0", "c=1", "c=2"), ("factor 0 0", "factor 0 1"))
    assert found.majority.protocol["majority_label"] == {"c=0": "factor 0 1", "c=1": "factor 0 0", "c=2": "factor 0 0"}
    assert found.hungarian.protocol["hungarian_label"] == {"c=0": "factor 0 1", "c=1": "factor 0 0"}


def test_a_type_is_in_use_above_one_per_cent():
    types, labels = points(np.array([[500, 479], [6, 5], [10, 0]]))
    assert clusters(types, labels).types_in_use.tolist() == [True, True, False]  # 979, 11 and 10 of 1,000 points


@pytest.mark.parametrize(
    ("given", "names"),
    [
        ([3, 7], ("digit 3", "digit 7")),  # as where some digits were left out; they were called 0 and 1
        ([-1.0, 0.5 * 2], ("digit -1", "digit 1")),
        (["cat", "ant"], ("digit ant", "digit cat")),  # sorted
    ],
)
def test_labels_are_called_what_they_were_given_as(given, names):
    types, labels = points(TABLE)
    values = np.array(given)[labels]
    found = clusters(types, {"digit": values})
    assert found.confusion.axes[1] == names
    table = [[np.mean((types == k) & (values == value)) for value in np.unique(values)] for k in range(3)]
    np.testing.assert_allclose(found.confusion.value, table)
    # type 0 is mostly the second one that was given, and types 1 and 2 the first one
    second, first = (names[np.unique(values).tolist().index(value)] for value in (given[1], given[0]))
    assert found.majority.protocol["majority_label"] == {"c=0": second, "c=1": first, "c=2": first}


def test_a_part_of_the_points_keeps_the_values_of_its_classes():
    y = np.array(["ant", "bee", "cat"])[np.arange(30) % 3]
    part = Encoded.of(np.eye(30), y).subset(np.flatnonzero(y != "ant"))
    assert np.array_equal(part.values[0][part.factors[:, 0]], y[y != "ant"])


@pytest.mark.parametrize("shape", [(4, 4), (3, 5), (5, 3)])
def test_the_matching_is_the_best_of_all(shape):
    for seed in range(20):
        table = np.random.default_rng(seed).integers(0, 30, shape)
        wide = table if shape[0] <= shape[1] else table.T
        best = max(
            sum(wide[k, label] for k, label in enumerate(chosen))
            for chosen in itertools.permutations(range(wide.shape[1]), wide.shape[0])
        )
        assert hungarian_accuracy(table) == pytest.approx(best / table.sum())
        assert hungarian_accuracy(table) <= majority_accuracy(table)
        # purity, weighed by how many points a type has, is the accuracy of the majority
        assert majority_accuracy(table) == pytest.approx(purity(table) @ table.sum(1) / table.sum())


def test_nothing_depends_on_the_names_of_types():
    rng = np.random.default_rng(3)
    labels = rng.integers(0, 4, 300)
    types = np.where(rng.random(300) < 0.8, labels, rng.integers(0, 4, 300))
    a, b = clusters(types, labels), clusters(np.array([2, 0, 3, 1])[types], labels)
    assert (float(a.majority), float(a.hungarian)) == (float(b.majority), float(b.hungarian))
    np.testing.assert_array_equal(np.sort(a.purity.value), np.sort(b.purity.value))
    assert float(clusters(labels, labels).hungarian) == 1.0
    assert a.hungarian.low < 0.85 < a.hungarian.high  # four fifths, and a quarter of the rest by luck


def test_a_type_without_points_is_named_and_counts_for_nothing():
    types, labels = points(TABLE)
    probs = np.eye(4)[types]  # a fourth type that nobody has
    found = clusters(probs, labels)
    assert found.majority.protocol["unused_types"] == ["c=3"]
    assert found.purity.value[3] == 0
    assert float(found.majority) == pytest.approx(19 / 22)


def test_probabilities_distributions_and_encoders_give_their_most_probable_class():
    data = load("digits").test
    table = torch.randn(10, 64)

    def encoder(x):
        logits = x.flatten(1) @ table.T
        return {
            "z": Independent(Normal(logits[:, :2], 1.0), 1),
            "c": RelaxedOneHotCategorical(torch.tensor(0.67), logits=logits),
        }

    x = data.batch(torch.arange(len(data))).x
    probs = encoder(x)["c"].probs
    by_hand = majority_accuracy(confusion(probs.argmax(1).numpy(), data.y))
    for codes, labels in (
        (encoder, data),
        (probs, data.y),
        (OneHotCategorical(probs=probs), {"digit": data.y}),
        ({"q": probs}, data.y),
    ):
        found = clusters(codes, labels, sites=("q",) if isinstance(codes, dict) else ())
        assert float(found.majority) == pytest.approx(by_hand)


def test_several_sites_are_one_type_together():
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 6, 200)
    codes = {
        "c1": OneHotCategorical(probs=torch.from_numpy(np.eye(2)[labels // 3])),
        "c2": OneHotCategorical(probs=torch.from_numpy(np.eye(3)[labels % 3])),
    }
    together = clusters(codes, labels)
    assert float(together.hungarian) == 1.0
    assert together.purity.axes == (("c1=0 c2=0", "c1=0 c2=1", "c1=0 c2=2", "c1=1 c2=0", "c1=1 c2=1", "c1=1 c2=2"),)
    # c1 alone tells only which half, and a type stands for one label of the three
    alone = clusters(codes, labels, sites=("c1",))
    counts = np.bincount(labels)
    assert float(alone.majority) == pytest.approx((counts[:3].max() + counts[3:].max()) / 200)


def test_types_in_a_list():
    labels = [0, 1, 1, 0] * 5
    assert float(clusters(labels, labels).hungarian) == 1.0


def test_types_and_probabilities_of_any_kind_of_array():
    types, labels = points(TABLE)
    probs = np.random.default_rng(0).dirichlet([0.3, 0.3, 0.3], len(types)).astype(np.float32)
    by_hand = majority_accuracy(confusion(probs.argmax(1), labels))
    tensor = torch.from_numpy(probs)
    for given in (probs, tensor.clone().requires_grad_(), tensor.to_sparse(), csr_array(probs)):
        assert float(clusters(given, labels, repeats=2).majority) == by_hand
    assert float(clusters(pd.DataFrame(probs), labels, repeats=2).majority) == by_hand
    for given in (pd.Series(types), [torch.tensor(k) for k in types], torch.from_numpy(types).int()):
        assert float(clusters(given, labels, repeats=2).majority) == pytest.approx(19 / 22)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_rows_of_half_precision_miss_a_sum_of_1_by_more(dtype):
    types, labels = points(TABLE)
    # 399 values of 2^-9 (1 + 0.4 eps) are rounded to 2^-9, 399 2^-9 0.4 eps = 0.31 eps less in all, and the type's own,
    # 0.22, by up to eps / 16
    other = 2**-9 * (1 + 0.4 * torch.finfo(dtype).eps)
    probs = torch.full((len(types), 400), other).scatter(1, torch.from_numpy(types)[:, None], 1 - 399 * other).to(dtype)
    assert (probs.double().sum(1) - 1).abs().max() > 1e-4
    assert float(clusters(probs, labels, repeats=2).majority) == pytest.approx(19 / 22)
    if dtype == torch.float16:  # NumPy has no bfloat16
        assert float(clusters(probs.numpy(), labels, repeats=2).majority) == pytest.approx(19 / 22)
    with pytest.raises(ValueError, match="whose rows sum to 1"):
        clusters(0.98 * probs, labels)


def test_labels_that_are_whole_floats_are_shown_whole():
    types, labels = points(TABLE)
    found = clusters(types, {"day": 20230101.0 + labels}, repeats=2)
    assert found.confusion.axes[1] == ("day 20230101", "day 20230102")


def test_masked_types_are_refused():
    types, labels = points(TABLE)
    masked = np.ma.array(types, mask=types == 1)
    with pytest.raises(ValueError, match=r"clusters: types or .* cannot be read: 8 values are masked: leave these"):
        clusters(masked, labels)
    with pytest.raises(ValueError, match="8 values are masked"):
        confusion(masked, labels)


def test_what_cannot_be_scored_is_refused():
    labels = np.arange(40) % 4
    with pytest.raises(Inapplicable, match="needs a categorical site, and the sites are"):
        clusters({"z": np.random.default_rng(0).normal(size=(40, 2))}, labels)
    with pytest.raises(Inapplicable, match="name the factor that is the label with factor=, one of"):
        clusters(labels, {"a": labels, "b": labels // 2})
    with pytest.raises(Inapplicable, match="no factor 'x' varies"):
        clusters(labels, {"a": labels, "b": labels // 2}, factor="x")
    with pytest.raises(Inapplicable, match="no site 'd'"):
        clusters(labels, labels, sites=("d",))
    with pytest.raises(ValueError, match="whose rows sum to 1"):
        clusters(np.ones((40, 3)), labels)
    with pytest.raises(ValueError, match="there is a type 1000000 among 3 points: number the types from 0"):
        clusters([0, 1, 10**6], [0, 1, 1])
    with pytest.raises(ValueError, match="class indices"):
        clusters(labels + 0.5, labels)
    with pytest.raises(ValueError, match="got 40 and 39"):
        confusion(labels, labels[1:])
