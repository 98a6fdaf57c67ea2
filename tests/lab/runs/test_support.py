"""Data outside the support of a story's likelihood are refused before a run begins, also in the test set alone."""

import numpy as np
import pytest
import torch

from tests.small_recipe import RECIPES
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
