"""Run a pair without side effects on random state, parameters or modes."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pyro
import torch
from pyro import poutine
from pyro.poutine.messenger import Messenger
from torch import nn

from zoo.lab.device import device_of, fork_random_state
from zoo.modes import evaluation_mode


@contextmanager
def isolated(*modules: nn.Module, seed: int = 0) -> Iterator[None]:
    """Evaluation mode, random numbers from `seed`, no gradients, and no other handler sees what runs inside.

    The random state, the param store and the modules' modes are left as they were.
    """
    with fork_random_state(device_of(*modules)), evaluating(*modules):
        torch.manual_seed(seed)
        yield


@contextmanager
def evaluating(*programs: Any) -> Iterator[None]:
    """Evaluation mode, no gradients, and no other handler sees what runs inside.

    The param store and the modules' modes are left as they were.
    """
    with evaluation_mode(*programs), torch.no_grad(), poutine.block(), OwnParameters():
        yield


class OwnParameters(Messenger):
    """Keeps the global param store out: every `pyro.param` is answered with the module's own tensor."""

    keeps_parameters = True  # `register` then has nothing to do

    def __init__(self) -> None:
        super().__init__()
        self.store: Any = None

    def __enter__(self) -> Any:
        # What a PyroModule stores by itself goes into a store of this pass alone, so that two passes do not share it.
        self.store = pyro.get_param_store().scope()
        self.store.__enter__()
        return super().__enter__()

    def __exit__(self, *error: Any) -> Any:
        super().__exit__(*error)
        return self.store.__exit__(*error)

    def _pyro_param(self, msg: dict[str, Any]) -> None:
        value = msg["args"][-1]  # the initial one, if the statement has one
        if isinstance(value, nn.Parameter):
            msg.update(value=value, done=True, stop=True)
