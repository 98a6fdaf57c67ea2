"""What makes an `nn.Module` a Pyro program here: parameters that SVI finds, the plate over the data, and labels.

Stories and guides do not import each other, so zoo/ and guides/ each hold this file; a test keeps the two the same.
"""

import itertools
from typing import Any

import pyro
import torch
from pyro.distributions.util import is_validation_enabled
from pyro.poutine.runtime import _PYRO_STACK
from torch import Tensor, nn

_count = itertools.count()


def register(module: nn.Module) -> None:
    """Offers the trainable parameters of `module` to SVI, as `pyro.module` does, under names of their own.

    The param store knows a tensor by identity, so neither a second instance nor a deep copy nor an unpickled one reads
    another's values, and a network that two programs share is one. Under a messenger with `keeps_parameters`, which
    is how a loop says that it holds the parameters itself, there is nobody to offer them to.
    """
    if any(getattr(messenger, "keeps_parameters", False) for messenger in _PYRO_STACK):
        return
    store = pyro.get_param_store()
    prefix = None
    for name, parameter in module.named_parameters():
        if not parameter.requires_grad:
            continue
        full_name = store.param_name(parameter)
        if full_name is None:
            prefix = prefix or f"{type(module).__name__}-{next(_count)}"
            full_name = f"{prefix}$$${name}"  # the divider that Pyro's optimisers expect
        if pyro.param(full_name, parameter) is not parameter:
            raise ValueError(f"parameter {name!r} is not contiguous, so Pyro would train a copy: make it contiguous")


def picklable_state(module: nn.Module) -> dict[str, Any]:
    """What pickle takes of `module`, without the weak references that the param store leaves on parameters."""
    for parameter in module.parameters():
        parameter.__dict__.pop("unconstrained", None)
    return module.__dict__


def data_plate(x: Tensor | None, index: Tensor | None, num_data: int | None) -> pyro.plate:
    """The plate "data" [B]: of the full size when `index` says which B of `num_data` datapoints these are.

    Without `index` the batch stands for itself, and without data one datapoint is drawn.

    Raises:
        ValueError: `index` comes without `num_data`, or is not one integer per datapoint.
    """
    if index is None:
        return pyro.plate("data", 1 if x is None else len(x))
    if num_data is None:
        raise ValueError("index says which datapoints these are, but not of how many: give num_data= when building")
    if index.dim() != 1 or (x is not None and len(index) != len(x)):
        raise ValueError(
            f"index must hold one integer per datapoint, got shape {tuple(index.shape)}"
            + ("" if x is None else f" for {len(x)} datapoints")
        )
    if len(index) > num_data:
        raise ValueError(f"a batch of {len(index)} out of num_data = {num_data} datapoints: num_data is too small")
    return pyro.plate("data", num_data, subsample=index)


def one_hot(y: Tensor, classes: int, like: Tensor) -> Tensor:
    """Labels y [B], integers from 0, as rows of the identity, [B, classes], for a batch `like` of B datapoints.

    Their range is looked at where Pyro's validation is on.

    Raises:
        TypeError: y holds no integers.
        ValueError: y is not one label per datapoint, or one is out of range.
    """
    if y.is_floating_point() or y.is_complex() or y.dtype == torch.bool:
        raise TypeError(f"labels y must be integers from 0 to {classes - 1}, got {y.dtype}; for whole floats, y.long()")
    if y.shape != like.shape[:1]:
        raise ValueError(
            f"labels y must hold one integer per datapoint, [{len(like)}], got shape {list(y.shape)}"
            + ("; y.argmax(-1) makes labels of one-hot rows" if y.dim() == 2 else "")
        )
    if is_validation_enabled() and (wrong := (y < 0) | (y >= classes)).any():
        at = int(wrong.nonzero()[0])
        raise ValueError(
            f"labels y go from 0 to {classes - 1}, got {int(y[at])} for datapoint {at} of the batch; "
            "number the classes anew, or build the pair for more of them; a batch without labels comes without y"
        )
    return torch.eye(classes, device=y.device)[y]
