"""Evaluation mode for all modules that run in a block."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn
from torch.nn.modules.module import register_module_forward_pre_hook


@contextmanager
def evaluation_mode(*programs: Any) -> Iterator[None]:
    """Puts the modules among `programs`, and every other module that runs in this thread, into evaluation mode.

    An example of another module is the model in the loss of a semi-amortised guide, which no program owns. At the end,
    each module is in the mode that it was in before.
    """
    trained: list[nn.Module] = []
    here = threading.get_ident()

    def switch(module: nn.Module, _: Any = ()) -> None:
        if module.training and threading.get_ident() == here:
            module.training = False
            trained.append(module)

    for program in programs:
        for module in program.modules() if isinstance(program, nn.Module) else ():
            switch(module)
    handle = register_module_forward_pre_hook(switch)
    try:
        yield
    finally:
        handle.remove()
        for module in trained:
            module.training = True
