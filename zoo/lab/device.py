"""Chooses the device, and finds the device of a module."""

from contextlib import AbstractContextManager
from itertools import chain

import torch
from torch import nn

from zoo.arguments import shown


def find_device(device: str | torch.device | None = None) -> torch.device:
    """The requested device; when none is requested, a GPU if there is one, else the CPU.

    Raises:
        ValueError: there is no such device on this machine; the message lists the devices.
    """
    here = ["cpu"]
    if torch.cuda.is_available():
        here.append("cuda")
    if torch.backends.mps.is_available():
        here.append("mps")
    if device is None:
        return torch.device("cuda" if "cuda" in here else "cpu")
    try:
        asked = torch.device(device)
    except (RuntimeError, TypeError, ValueError):
        asked = None
    if asked is None or asked.type not in here or (asked.index or 0) >= max(1, torch.cuda.device_count()):
        named = str(device) if isinstance(device, torch.device) else device
        raise ValueError(f"there is no device {shown(named)} here; there is {', '.join(here)}")
    return asked


def device_of(*modules: nn.Module) -> torch.device:
    """The device of the modules' first parameter or buffer; the CPU where they have neither."""
    tensors = chain.from_iterable(chain(module.parameters(), module.buffers()) for module in modules)
    return next((tensor.device for tensor in tensors), torch.device("cpu"))


def fork_random_state(device: torch.device) -> AbstractContextManager[None]:
    """A context that restores the random state of the CPU, and of the device if it is a GPU, at its end."""
    return torch.random.fork_rng([device] if device.type == "cuda" else [])
