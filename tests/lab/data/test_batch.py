"""Batches: handed to model and guide as (x) or (x, y) with their index, and told from what is none."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from zoo.lab.data import Batch, Dataset

X, Y = torch.rand(6, 2), torch.arange(6) % 2


def test_arguments() -> None:
    index = torch.arange(6)
    assert Batch(X, None, index).arguments() == ((X,), {"index": index})
    assert Batch(X, Y, index).arguments() == ((X, Y), {"index": index})
    assert Batch(X, Y, None).arguments() == ((X, Y), {})  # type: ignore[arg-type]
    assert Batch(X, None).arguments() == ((X,), {})


def test_a_batch_is_one() -> None:
    for batch in (Batch(X, None, torch.arange(6)), Batch(X, Y)):
        assert Batch.of(batch) is batch


@pytest.mark.parametrize(
    ("batch", "got"),
    [
        (next(iter(DataLoader(TensorDataset(X, Y), batch_size=3))), r"got list \[Tensor, Tensor\]: use Dataset.from"),
        ((X, Y, torch.arange(6)), r"got tuple \[Tensor, Tensor, Tensor\]"),
        (X, r"got Tensor: use Dataset.from_arrays\(x, y\).batches\("),
        ({"x": X}, r"got dict"),
        (Batch(np.zeros((6, 2)), None), r"got Batch \[ndarray, NoneType, NoneType\]"),  # type: ignore[arg-type]
        (None, r"got NoneType"),
    ],
)
def test_what_is_none_is_named(batch: Any, got: str) -> None:
    with pytest.raises(TypeError, match=rf"a batch is Batch\(x, y or None, index\), with x and y tensors; {got}"):
        Batch.of(batch)


def test_a_set_is_no_batches() -> None:
    data = Dataset.from_arrays(X)
    with pytest.raises(TypeError, match=r"data 'yours' is a set, not batches of it: use data.batches\(64, seed=0"):
        iter(data)


def labelled(y: list[int], classes: tuple[str, ...] = ()) -> Dataset:
    return Dataset("d", np.zeros((len(y), 2)), np.array(y), classes=classes)


def test_class_name() -> None:
    assert labelled([0, 1], ("a", "b")).class_name(1) == "b"
    assert labelled([0, 1]).class_name(1) == "1"
    assert labelled([0, 1], ("a", "b")).class_name(2) == "2"  # a class of the story that the data do not have


def test_count_classes() -> None:
    assert labelled([0, 2, 1, 1]).count_classes() == 3
    assert labelled([0, 1], ("a", "b")).count_classes() == 2


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (lambda: Dataset("d", np.zeros((3, 2))), r"data 'd' has no labels"),
        (lambda: labelled([0, 0]), r"data 'd' has a single class"),
        (lambda: labelled([0, 2]), r"data 'd': class 1 never occurs among 2 datapoints, one of 1 such classes"),
        (lambda: labelled([0, 1], ("a", "b", "c")), r"class c never occurs among 2 datapoints"),
        (lambda: labelled([1, 2], ("a", "b", "c")), r"class a never occurs"),
        (lambda: labelled([0, 10**12]), r"class 1 never occurs among 2 datapoints, one of 999,999,999,999 such"),
    ],
)
def test_labels_that_are_no_classes_of_their_own(data: Callable[[], Dataset], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        data().count_classes()
