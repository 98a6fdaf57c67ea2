"""Preloaded by a Dask worker: the trials that it starts are copies of it, and need not import everything again."""

from typing import Any

from tests.processes import copied_interpreters

COPIED = copied_interpreters()


def dask_setup(worker: Any) -> None:
    """Imports everything once; from then on the interpreters that it starts are copies of it."""
    import sklearn.datasets  # noqa: F401
    import torch._dynamo

    import zoo.papers  # noqa: F401

    torch.set_default_dtype(torch.float32)  # the worker may be a copy of a test's process
    COPIED.__enter__()
