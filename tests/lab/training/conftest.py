"""What the tests of compiled steps share."""

from collections.abc import Callable
from typing import Any

import pytest
import torch


@pytest.fixture
def as_traced(monkeypatch: pytest.MonkeyPatch) -> list[Callable[..., Any]]:
    """Runs each step as it is traced, without the compiler, which takes some seconds for each; the graphs so far."""
    traced: list[Callable[..., Any]] = []
    monkeypatch.setattr(torch, "compile", lambda graph, **options: traced.append(graph) or graph)
    return traced
