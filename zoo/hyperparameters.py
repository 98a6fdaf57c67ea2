"""The state of an objective: numbers that may change over training, and running statistics; what may be assigned."""

import difflib
import functools
import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from numbers import Real
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from zoo.arguments import Allowed, WrongType, check_value, kind_of, shown


class Hyperparameter:
    """A number, or one per site, that may change over training: assigned as floats, read as 0-dim tensors.

        elbo.beta = 2.0              # replaces the tensor: a backward pass in progress keeps the old one
        elbo.beta = {"z": 4.0}       # where the objective takes one per site

    Whether a number or numbers by site may be assigned is read from the annotation that `__init__` of the objective has
    for the same name. After an assignment the objective's `assigned` is called with the name; if it raises, the old
    numbers are restored. The value of a tensor is not checked: compiled steps assign tensors.

    Args:
        low: the smallest valid value; None where every number is valid.
    """

    def __init__(self, *, low: float | None = 0.0) -> None:
        self.low = low

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, instance: Any, owner: type) -> Any:
        if instance is None:
            return self
        value = instance.__dict__[self.name]
        return MappingProxyType(value) if isinstance(value, dict) else value  # read-only: a whole assignment is checked

    def __set__(self, instance: Any, value: float | Tensor | Mapping[str, float | Tensor]) -> None:
        owner: Any = type(instance)
        kind = _annotated(owner, self.name)
        if kind and not kind.fits(value):
            raise WrongType(f"{type(instance).__name__}: {self.name} must be {kind.what}, got {shown(value)}")
        if isinstance(value, Mapping):
            checked: Any = {site: self._check(instance, number, f"[{site!r}]") for site, number in value.items()}
        else:
            checked = self._check(instance, value)
        before = instance.__dict__.get(self.name)
        instance.__dict__[self.name] = checked
        if any(isinstance(number, Tensor) for number in (value.values() if isinstance(value, Mapping) else [value])):
            return
        try:
            instance.assigned(self.name)
        except ValueError:
            instance.__dict__[self.name] = before
            raise

    def _check(self, instance: Any, value: Any, key: str = "") -> Tensor:
        if isinstance(value, Tensor) and value.dim() == 0:
            return value
        if isinstance(value, (bool, Tensor)) or not isinstance(value, Real):
            raise TypeError(f"{type(instance).__name__}: {self.name}{key} must be a number, got {shown(value)}")
        if not math.isfinite(value) or (self.low is not None and value < self.low):
            least = "" if self.low is None else f" and at least {self.low:g}"
            raise ValueError(f"{type(instance).__name__}: {self.name}{key} must be finite{least}, got {value:g}")
        with torch.inference_mode(False):  # a tensor of inference mode could not take part in training later
            return torch.tensor(float(value))


@functools.cache
def _annotated(owner: Any, name: str) -> Allowed | None:
    """What the owner's `__init__` is annotated to take under this name; None where it has no such annotation."""
    return kind_of(inspect.get_annotations(owner.__init__).get(name))


class Statistic:
    """A running statistic: a tensor that a pass reads and replaces, without gradient; None before the first pass."""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, instance: Any, owner: type) -> Any:
        return self if instance is None else instance.__dict__.get(self.name)

    def __set__(self, instance: Any, value: Tensor | None) -> None:
        instance.__dict__[self.name] = None if value is None else value.detach()


def completing(make: Callable[..., None]) -> Callable[..., None]:
    """Decorates the `__init__` of an objective, after which `check_attribute` refuses new attributes.

    Raises:
        TypeError: SVI was given the class instead of an objective, and calls it with model, guide and batch.
    """

    @functools.wraps(make)
    def complete(self: Any, *args: Any, **kwargs: Any) -> None:
        try:
            make(self, *args, **kwargs)
        except TypeError as error:
            if len(args) > 1 and callable(args[0]) and callable(args[1]):
                name = type(self).__name__
                raise TypeError(f"loss={name} is a class: give SVI an objective, as in loss={name}(...)") from error
            raise
        self._complete = True

    return complete


def state_names(instance: Any) -> list[str]:
    """The names of an objective's hyperparameters and running statistics."""
    return [name for name, value in vars(type(instance)).items() if isinstance(value, (Hyperparameter, Statistic))]


def state_of(instance: Any) -> dict[str, Tensor]:
    """The values of an objective's hyperparameters and running statistics; the entry of a site is called name.site."""
    state: dict[str, Tensor] = {}
    for name in state_names(instance):
        value = getattr(instance, name)
        if isinstance(value, Mapping):
            state.update({f"{name}.{site}": number for site, number in value.items()})
        elif value is not None:
            state[name] = value
    return state


def load_state(instance: Any, state: Mapping[str, Tensor]) -> None:
    """Assigns the `state_of` an objective of the same class. A hyperparameter that is an empty mapping stays empty.

    Raises:
        ValueError: the state has other names; nothing is assigned then.
    """
    kind = type(instance)
    loaded: dict[str, Any] = dict.fromkeys(state_names(instance))
    for key, value in state.items():
        name, _, site = key.partition(".")
        if name not in loaded:
            raise ValueError(f"{kind.__name__} has the state {list(loaded)}, but no {key!r}")
        loaded[name] = {**(loaded[name] or {}), site: value} if site else value
    for name in [name for name, value in loaded.items() if value is None]:
        if isinstance(vars(kind)[name], Hyperparameter):
            if getattr(instance, name) != {}:
                raise ValueError(f"the state has no {name!r}, which {kind.__name__} needs")
            del loaded[name]
    for name, value in loaded.items():
        setattr(instance, name, value)


def check_attribute(instance: Any, name: str, value: Any, *, known: Sequence[str]) -> None:
    """Refuses what may not be assigned to a complete object, such as a misspelt hyperparameter or choice.

    Raises:
        AttributeError: it has no such attribute.
        ValueError: `__init__` would refuse the type of the value, or takes other texts.
    """
    owner: Any = type(instance)
    if "_complete" not in vars(instance) or hasattr(owner, name):  # a hyperparameter checks what it is assigned
        return
    if name in vars(instance):
        if kind := _annotated(owner, name):
            ranges = getattr(owner.__init__, "ranges", {})
            check_value(f"{owner.__name__}: {name}", value, kind, ranges.get(name))
        return
    close = difflib.get_close_matches(name, known, n=1)
    meant = f" (did you mean {close[0]!r}?)" if close else ""
    raise AttributeError(
        f"{type(instance).__name__} has no {name!r} to assign to{meant}: it has {', '.join(map(repr, known))}; an "
        "attribute of your own has to be in the class or set in __init__"
    )
