"""Running a pair to look at it, so that it does not notice."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from pyro import poutine
from torch import nn

from zoo.lab.training.fit import OwnParameters


@contextmanager
def set_aside(*modules: nn.Module, seed: int = 0, device: torch.device | None = None) -> Iterator[None]:
    """Evaluation mode and a random state of one's own, without gradients and out of any other handler's sight.

    The random state, the param store and the modules' modes are left as they were.
    """
    modes = [module.training for module in modules]
    for module in modules:
        module.eval()
    try:
        devices = [device] if device is not None and device.type == "cuda" else []
        with torch.random.fork_rng(devices), torch.no_grad(), poutine.block(), OwnParameters():
            torch.manual_seed(seed)
            yield
    finally:
        for module, mode in zip(modules, modes, strict=True):
            module.train(mode)
