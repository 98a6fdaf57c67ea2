"""Data outside the support of a story's likelihood are refused before a run begins, also in the test set alone."""

import numpy as np
import pytest
import torch

from tests.small_recipe import RECIPES
from zoo.lab.data.rows import Rows
from zoo.lab.runs.finished import configure


def saved(path, x, x_test):
    np.savez(path, x=x.astype(np.float32), x_test=x_test.astype(np.float32))
    return str(path)


@pytest.mark.parametrize("which", ["training", "test"])
def test_one_value_outside_of_the_support_is_found_in_either_set(which, tmp_path):
    torch.set_default_dtype(torch.float32)
    sets = {name: np.random.default_rng(0).random((1_500, 8, 8)) for name in ("training", "test")}
    path = saved(tmp_path / "mine.npz", *sets.values())
    configure(RECIPES["small"], data=path, device="cpu")  # all values are inside
    sets[which][1_400, 3, 3] = 255.0
    path = saved(tmp_path / "mine.npz", *sets.values())
    with pytest.raises(
        ValueError, match=rf"data 'mine': the {which} set has values in \[.*, 255\], outside of \[0, 1\]"
    ):
        configure(RECIPES["small"], data=path, device="cpu")


@pytest.mark.parametrize("which", ["training", "test"])
def test_floats_of_a_large_file_are_checked_too(which, tmp_path, monkeypatch):
    torch.set_default_dtype(torch.float32)
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    for module in ("npz", "cache"):
        monkeypatch.setattr(f"zoo.lab.data.{module}.MAPPED", 100)  # bytes from which a file is memory-mapped
    x = np.random.default_rng(0).random((1_500, 8, 8), np.float32)
    np.savez(tmp_path / "mine.npz", x=x)
    _, (train, test), _ = configure(RECIPES["small"], data=str(tmp_path / "mine.npz"), device="cpu")
    assert isinstance(train.x, Rows)
    x[{"training": train, "test": test}[which].x.index[-1], 3, 3] = 255.0
    np.savez(tmp_path / "mine.npz", x=x)
    with pytest.raises(ValueError, match=rf"the {which} set has values in \[.*, 255\], outside of \[0, 1\]"):
        configure(RECIPES["small"], data=str(tmp_path / "mine.npz"), device="cpu")
