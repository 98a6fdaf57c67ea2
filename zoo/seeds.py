"""Random numbers from a seed of any type that counts as a number here: Python's, NumPy's, or a tensor []."""

import operator
from typing import Any

import numpy as np
import torch

from zoo.arguments import is_whole


def stream(seed: Any) -> np.random.Generator:
    """NumPy's generator for a seed: a whole number, several in a list, or what `numpy.random.default_rng` accepts."""
    return np.random.default_rng([_plain(part) for part in seed] if isinstance(seed, (list, tuple)) else _plain(seed))


def torch_stream(seed: Any) -> torch.Generator:
    """PyTorch's generator on the CPU for a whole number, taken modulo 2**64, since its seed has 64 bits."""
    return torch.Generator().manual_seed(operator.index(seed) % 2**64)


def _plain(seed: Any) -> Any:
    return operator.index(seed) if is_whole(seed) else seed
