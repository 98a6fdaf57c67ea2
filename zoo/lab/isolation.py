"""Run a pair without side effects on random state, parameters or modes."""

import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pyro
import torch
from pyro import poutine
from pyro.poutine.messenger import Messenger
from torch import nn
from torch.distributions import constraints, transform_to

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
    with evaluation_mode(*programs), torch.no_grad(), poutine.block(), OwnParameters(read_store=True):
        yield


class OwnParameters(Messenger):
    """Keeps a pass and the global param store apart: a module's parameters are its own tensors, whatever is stored.

    Args:
        read_store: whether a parameter that no module has, as by `pyro.param("scale", torch.ones(()))`, has its value
            from the global param store, if it is there, as after training by SVI. If not, it has its initial value.
    """

    keeps_parameters = True  # `register` then only says which module it would have registered

    def __init__(self, *, read_store: bool = False) -> None:
        super().__init__()
        self.read_store = read_store
        self.store: Any = None
        self.outside: Any = None
        self.named: dict[str, nn.Parameter] = {}
        self.registered: list[nn.Module] = []

    def __enter__(self) -> Any:
        # What a PyroModule stores by itself goes into a store of this pass alone, so that two passes do not share it.
        self.outside = pyro.get_param_store().get_state()
        self.store = pyro.get_param_store().scope()
        self.store.__enter__()
        return super().__enter__()

    def __exit__(self, *error: Any) -> Any:
        super().__exit__(*error)
        return self.store.__exit__(*error)

    def _pyro_param(self, msg: dict[str, Any]) -> None:
        name, value = msg["name"], msg["args"][-1]  # the initial one, if the statement has one
        if isinstance(value, nn.Parameter) and msg["kwargs"].get("constraint", constraints.real) is constraints.real:
            self.named[name] = value
            msg.update(value=value, done=True, stop=True)
        elif self.read_store and name not in pyro.get_param_store() and name in self.outside["params"]:
            stored = self.outside["params"][name]
            value = transform_to(self.outside["constraints"][name])(stored)
            value.unconstrained = weakref.ref(stored)  # as Pyro's store does
            msg.update(value=value, done=True, stop=True)

    def keep(self, module: nn.Module) -> None:
        """Notes a module that a program registers."""
        self.registered.append(module)

    def strays(self, *modules: nn.Module) -> list[str]:
        """The names, so far, of parameters that none of the modules has; to be called within the block."""
        own = {id(parameter) for module in modules for parameter in module.parameters()}
        made = {**self.named, **dict(pyro.get_param_store().named_parameters())}
        for module in self.registered:
            trained = [(name, parameter) for name, parameter in module.named_parameters() if parameter.requires_grad]
            made |= {f"{type(module).__name__}.{name}": parameter for name, parameter in trained}
        return [name for name, tensor in made.items() if id(tensor) not in own]
