"""Every test: double precision, Pyro's validation on, seed 0. No store is cleared: pairs must not need it."""

from collections.abc import Iterator

import pyro
import pytest
import torch

# Small tensors: threads that wait for each other cost more than they give.
torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _double_precision_and_seed() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    pyro.set_rng_seed(0)
    with pyro.validation_enabled():
        yield
    torch.set_default_dtype(torch.float32)
