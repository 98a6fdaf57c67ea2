"""The baseline's recipes: data outside a likelihood's support are refused with the option that admits them."""

import numpy as np
import pytest
import torch

from zoo.lab.data import Dataset, Split
from zoo.papers.vae.recipes import beta_vae, vae


def table(low, high):
    x = np.random.default_rng(0).uniform(low, high, (60, 20)).astype(np.float32)
    return Split(*[Dataset.from_arrays(x)] * 2)


@pytest.mark.parametrize("recipe", [vae, beta_vae])
def test_real_values_take_a_normal_likelihood_and_bernoulli_pixels_name_it(recipe):
    torch.set_default_dtype(torch.float32)
    with pytest.raises(ValueError, match=r"values in \[-2\..*, 1\..*\] are outside \[0, 1\].*--set likelihood=normal"):
        recipe(table(-3, 2))
    with pytest.raises(ValueError, match="likelihood must be one of bernoulli, normal, got 'laplace'"):
        recipe(table(0, 1), likelihood="laplace")
    recipe(table(0, 1))
    model = recipe(table(-3, 2), likelihood="normal").model
    mean = torch.zeros(3, 20)
    torch.testing.assert_close(model.likelihood(mean).log_prob(mean + 2), torch.full((3, 20), -2 - 0.9189385332))
