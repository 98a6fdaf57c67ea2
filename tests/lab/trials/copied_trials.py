"""Preloaded by a Dask worker: the trials that it starts are copies of it, and need not import everything again."""

from typing import Any

from tests.processes import copied_interpreters


def dask_setup(worker: Any) -> None:
    """Imports everything once."""
    import sklearn.datasets
    import torch._dynamo

    import zoo.papers  # noqa: F401

    copied_interpreters().__enter__()
