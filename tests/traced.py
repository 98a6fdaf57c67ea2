"""Long trainings: each step as it is traced, which has the eager step's numbers without the time of Pyro's handlers."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch

from zoo.lab.training import fit as fit_by_steps
from zoo.report import Report


def fit(*args: Any, **options: Any) -> Iterator[tuple[int, Report]]:
    """`zoo.lab.training.fit.fit` through the trace alone: the compiler would take longer than the steps.

    That a traced step is the eager one is tested in `tests/lab/training`. A pair that cannot be traced warns.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "compile", lambda graph, **_: graph)
        yield from fit_by_steps(*args, compile=True, **options)
