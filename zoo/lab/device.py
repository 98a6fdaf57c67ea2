"""Chooses and describes the device, and finds the device of a module."""

import os
from contextlib import AbstractContextManager
from itertools import chain

import torch
from torch import Tensor, nn

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


def hardware(device: str | None) -> str:
    """A description of the hardware."""
    if torch.cuda.is_available() and (device is None or device.startswith("cuda")):
        return f"one {torch.cuda.get_device_name(device)}"
    return f"{torch.get_num_threads()} of {os.cpu_count()} CPU cores"


def fork_random_state(device: torch.device) -> AbstractContextManager[None]:
    """A context that restores the random state of the CPU, and of the device if it has its own, at its end."""
    if has_own_random_state(device):
        return torch.random.fork_rng([device], device_type=device.type)
    return torch.random.fork_rng([])


def has_own_random_state(device: torch.device) -> bool:
    """Whether the device draws from a generator of its own: a GPU does."""
    return device.type not in ("cpu", "meta")


def random_state(device: torch.device) -> Tensor | None:
    """The state of the device's own generator, on the CPU; None for the CPU, whose state PyTorch returns itself."""
    if not has_own_random_state(device):
        return None
    state: Tensor = torch.get_device_module(device).get_rng_state(device)
    return state


def set_random_state(device: torch.device, state: Tensor | None) -> None:
    """Sets what `random_state` returned; does nothing where there is no state, or the device has none."""
    if state is not None and has_own_random_state(device):
        torch.get_device_module(device).set_rng_state(state, device)
