"""Checks of `fit`'s arguments: common mistakes, each with a message that says what to pass instead."""

import inspect
import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch
from pyro.optim import PyroOptim
from torch import Tensor, nn

from zoo.arguments import LARGEST, shown
from zoo.lab.data import Batch, Dataset, Split
from zoo.lab.training.adversary import Adversary
from zoo.termwise import TermwiseELBO

DRAW = "data.batches(64, seed=0, steps=1000)"
BATCH = f"Batch(x, y or None, index) from zoo.lab.data; a data set draws them: Dataset.from_arrays(x, y), and {DRAW}"


def check_pair(model: Any, guide: Any, elbo: Any) -> None:
    """Checks that these can be a model, a guide and an objective.

    Raises:
        TypeError: an argument is a class, a function or something else; the message says what to pass.
    """
    for name, program in (("model", model), ("guide", guide)):
        if isinstance(program, TermwiseELBO):
            raise TypeError(f"{name} is the objective {_what(program)}: the order is fit(model, guide, elbo, batches)")
        if not isinstance(program, nn.Module):
            raise TypeError(f"{name} must be an nn.Module, whose forward is the Pyro program, got {_what(program)}")
    if not isinstance(elbo, TermwiseELBO):
        advice = (
            f"make one, as in {elbo.__name__}()"
            if isinstance(elbo, type)
            else "train with Pyro's own objectives by pyro.infer.SVI"
            if type(elbo).__module__.startswith("pyro.")
            else "the order is fit(model, guide, elbo, batches)"
        )
        raise TypeError(f"elbo must be an instance of an objective in zoo.elbos, got {_what(elbo)}: {advice}")


def check_options(elbo: TermwiseELBO, *, lr: Any, optimizer: Any, compile: Any, start: Any, adversary: Any) -> None:
    """Checks `fit`'s keyword arguments.

    Raises:
        TypeError, ValueError: an argument is invalid; the message names it, its value, and what to pass.
    """
    if isinstance(optimizer, torch.optim.Optimizer):
        if lr is not None:
            raise TypeError(f"lr={lr!r} cannot be combined with an existing optimiser: set the rate in the optimiser")
    elif isinstance(optimizer, PyroOptim) or not callable(optimizer):
        raise TypeError(f"optimizer must be of torch.optim, such as torch.optim.Adam, got {_what(optimizer)}")
    elif lr is None:
        raise TypeError("fit needs lr=, unless optimizer= is an existing optimiser, which has a learning rate")
    elif isinstance(lr, bool) or not isinstance(lr, (int, float, Tensor)):
        raise TypeError(f"lr must be a number, got {shown(lr)}")
    elif isinstance(lr, Tensor) and lr.numel() != 1:
        raise ValueError(f"lr must be a single number, got {shown(lr)}")
    elif not (lr > 0 and math.isfinite(lr)):
        raise ValueError(f"lr must be positive and finite, got {lr!r}")
    if not isinstance(compile, bool):
        raise TypeError(f"compile must be True or False, got {shown(compile)}")
    if isinstance(start, bool) or not isinstance(start, int):
        raise TypeError(f"start must be a whole number of steps, got {shown(start)}")
    if not 0 <= start <= LARGEST:
        raise ValueError(f"start must be from 0 to {LARGEST:,} steps, got {start}")
    if adversary is None:
        return
    if not isinstance(adversary, Adversary):
        raise TypeError(f"adversary must be an Adversary(log_ratio, lr=1e-4), got {_what(adversary)}")
    if getattr(elbo, "log_ratio", None) is not adversary.log_ratio:
        raise ValueError(
            f"the adversary trains a network that {type(elbo).__name__} does not use: give both the same log_ratio"
        )


def check_optimizer(optimizer: Any, parameters: Iterable[Tensor]) -> None:
    """Checks that the optimiser trains at least one of the parameters, in steps with the gradients of one pass.

    Raises:
        TypeError, ValueError: the value is not an optimiser, or the optimiser computes the loss itself or has none of
            the parameters.
    """
    if not isinstance(optimizer, torch.optim.Optimizer):
        raise TypeError(f"optimizer= has to return an optimiser of torch.optim, but returned {_what(optimizer)}")
    closure = inspect.signature(optimizer.step).parameters.get("closure")
    if closure is not None and closure.default is closure.empty:
        raise TypeError(
            f"{_what(optimizer)} computes the loss anew within its step (it needs a closure), and a step of fit is one "
            "pass: give another optimiser, such as torch.optim.Adam"
        )
    trained = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
    if not trained & {id(parameter) for parameter in parameters}:
        raise ValueError(
            "the optimiser has none of the pair's parameters: give it those of prepare(model, guide, elbo, ...)"
        )


def check_trainable(parameters: Collection[Tensor]) -> None:
    """Checks that there is a parameter to train.

    Raises:
        ValueError: there is no parameter, or none requires a gradient.
    """
    if any(parameter.requires_grad for parameter in parameters):
        return
    if parameters:
        raise ValueError(
            f"none of the pair's {len(parameters)} parameters requires a gradient, so there is nothing to train: "
            "unfreeze some, as in guide.requires_grad_(True)"
        )
    raise ValueError("neither the model nor the guide has a parameter, so there is nothing to train")


def check_owned(strays: Sequence[str]) -> None:
    """Refuses parameters that neither model nor guide has, which would have their initial values in every step.

    Raises:
        ValueError: there is one.
    """
    if strays:
        raise ValueError(
            f"neither the model nor the guide has the parameter {strays[0]!r} of pyro.param or pyro.module, or of "
            "register, and fit trains only theirs: make it an attribute of one of them, an nn.Parameter or an "
            "nn.Module, and with a constraint a PyroParam of a pyro.nn.PyroModule; or train by pyro.infer.SVI"
        )


def check_gradients() -> None:
    """Refuses to train where gradients are disabled.

    Raises:
        ValueError: gradients are disabled; the message says by what.
    """
    if torch.is_inference_mode_enabled() or not torch.is_grad_enabled():
        by = "torch.inference_mode()" if torch.is_inference_mode_enabled() else "torch.no_grad()"
        raise ValueError(
            f"training needs gradients, and {by} disables them here: call fit, and take its steps, outside"
        )


def iterate(batches: Any) -> Iterator[Any]:
    """The batches, one by one.

    Raises:
        TypeError: they cannot be batches; the message says how to get some.
    """
    if isinstance(batches, Batch):
        raise TypeError("batches must be an iterable of Batch, got a single one: put it into a list, [batch]")
    if isinstance(batches, Split):
        raise TypeError(f"batches must be an iterable of Batch, got a Split: give split.train.{DRAW.partition('.')[2]}")
    if isinstance(batches, Dataset):
        raise TypeError(f"batches must be an iterable of Batch, got the data set {batches.name!r}: give {DRAW}")
    if isinstance(batches, (Tensor, str, bytes, Mapping)) or not hasattr(batches, "__iter__"):
        raise TypeError(f"batches must be an iterable of {BATCH}; got {_what(batches)}")
    return iter(batches)


def check_batch(batch: Any) -> Batch:
    """Returns the batch after checking it.

    Raises:
        TypeError, ValueError: it is not a batch, or its parts do not fit each other.
    """
    if not isinstance(batch, Batch):
        raise TypeError(f"batches must yield {BATCH}; got {_what(batch)}")
    x, y, index = batch
    if not isinstance(x, Tensor) or not x.is_floating_point():
        raise TypeError(f"a batch's x must be a tensor of floats, got {_kind(x)}; images are x.float() / 255")
    if not x.dim() or not len(x):
        raise ValueError(f"a batch's x must hold datapoints, [B, ...], got shape {list(x.shape)}")
    if y is not None and not isinstance(y, Tensor):
        raise TypeError(f"a batch's y must be a tensor of labels, or None, got {_kind(y)}")
    if y is not None and y.shape[:1] != x.shape[:1]:
        raise ValueError(f"a batch's labels y must be one for each of {len(x)} datapoints, got shape {list(y.shape)}")
    if not isinstance(index, Tensor) or index.is_floating_point() or index.is_complex() or index.dtype == torch.bool:
        raise TypeError(
            f"a Batch's index must say which datapoints these are, as a tensor of integers, got {_kind(index)}; for a "
            "set that is one batch, torch.arange(len(x))"
        )
    if index.shape != x.shape[:1]:
        raise ValueError(f"a Batch's index must be one for each of {len(x)} datapoints, got shape {list(index.shape)}")
    return batch


def check_call(model: nn.Module, guide: nn.Module, batch: Batch) -> None:
    """Checks that both programs can be called with the batch: program(x, index=index) or program(x, y, index=index).

    Raises:
        TypeError: a program cannot be called with the batch; the message says what to change.
    """
    args = (batch.x,) if batch.y is None else (batch.x, batch.y)
    for name, program in (("model", model), ("guide", guide)):
        signature = inspect.signature(program.forward)
        if _binds(signature, *args, index=batch.index):
            continue
        what = f"the {name} {type(program).__name__}"
        if batch.y is not None and _binds(signature, batch.x, index=batch.index):
            raise TypeError(f"the batches have labels and {what} takes none: draw them with labels=False")
        if batch.y is None and _binds(signature, batch.x, batch.x, index=batch.index):
            raise TypeError(f"{what} needs labels and the batches have none: draw them with labels=True")
        if _binds(signature, *args):
            raise TypeError(f"{what} takes no index: its forward has to be forward(x, *, index=None)")
        raise TypeError(
            f"{what} cannot be called with a batch: its forward is forward{signature}, and has to be "
            f"forward({'x, y' if len(args) == 2 else 'x'}, *, index=None)"
        )


def _binds(signature: inspect.Signature, *args: Any, **kwargs: Any) -> bool:
    try:
        signature.bind(*args, **kwargs)
    except TypeError:
        return False
    return True


def _what(value: Any) -> str:
    return f"the class {value.__name__}" if isinstance(value, type) else f"{type(value).__name__}"


def _kind(value: Any) -> str:
    return str(value.dtype) if isinstance(value, Tensor) else "None" if value is None else type(value).__name__


def check_switches(**switches: Any) -> None:
    """Refuses anything but True and False.

    Raises:
        TypeError: a value is neither True nor False.
    """
    for name, value in switches.items():
        if not isinstance(value, bool):
            raise TypeError(f"{name} must be True or False, got {shown(value)}")
