"""Finds which sites a site's distribution was computed from, during the pass itself, without a second run."""

import functools
from collections.abc import Iterator, Mapping
from typing import Any

from pyro.poutine.messenger import Messenger
from torch import Tensor, nn
from torch.distributions import Distribution, Transform
from torch.overrides import TorchFunctionMode
from torch.utils.weak import WeakTensorKeyDictionary

from zoo.sites import is_subsample

Names = frozenset[str]


class MarkParents(Messenger):
    """Writes on each sample site `parents`, the names of the latent sites that its distribution was computed from.

    A latent site's value is marked with the site's name, and so is whatever PyTorch computes from it, up to the next
    latent site.

    .. warning::
        Values that leave PyTorch in between (`.item()`, NumPy, a custom `torch.autograd.Function`) lose the mark.
    """

    def __init__(self) -> None:
        super().__init__()
        self.mode = _Marks()

    def __enter__(self) -> Any:
        self.mode = _Marks()
        self.mode.__enter__()
        return super().__enter__()

    def __exit__(self, *raised: Any) -> Any:
        self.mode.__exit__(*raised)
        return super().__exit__(*raised)

    def _pyro_sample(self, msg: dict[str, Any]) -> None:
        if not is_subsample(msg):
            msg["parents"] = self.mode.of(msg["fn"])

    def _pyro_post_sample(self, msg: dict[str, Any]) -> None:
        if not msg["is_observed"] and not is_subsample(msg):
            self.mode.marks[msg["value"]] = frozenset({msg["name"]})


class _Marks(TorchFunctionMode):
    """The names that each tensor is marked with; every PyTorch function passes them on to its results."""

    def __init__(self) -> None:
        super().__init__()
        self.marks: Any = WeakTensorKeyDictionary()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if len(self.marks) and (names := self.of(_read(func, args, kwargs or {}))):
            # Assigning to a part of a tensor returns None.
            for tensor in _tensors(args[:1] if result is None else result):
                self.marks[tensor] = self.marks.get(tensor, frozenset()) | names
        return result

    def of(self, thing: Any) -> Names:
        """The names on all tensors of a distribution, or of any other nested thing."""
        found: Names = frozenset()
        if len(self.marks):
            for tensor in _tensors(thing):
                found |= self.marks.get(tensor, frozenset())
        return found


FILLED = {f"{kind}_like" for kind in ("zeros", "ones", "empty", "full", "rand", "randn", "randint")}
FILLED |= {f"new_{kind}" for kind in ("zeros", "ones", "empty", "full", "tensor")}
SHAPED = {"to", "type_as", "expand_as", "view_as", "reshape_as"}


def _read(func: Any, args: Any, kwargs: Mapping[str, Any]) -> Any:
    """The arguments whose values a function reads: of some it takes the shape, dtype or device only."""
    name = getattr(func, "__name__", "")
    if name in FILLED:
        return args[1:], {key: value for key, value in kwargs.items() if key != "input"}
    return args[:1] if name in SHAPED else (args, kwargs)


def _tensors(thing: Any) -> Iterator[Tensor]:
    """Every tensor in nested containers, and in the parameters of distributions and their transforms."""
    if isinstance(thing, Tensor):
        yield thing
    elif isinstance(thing, (tuple, list)):
        for part in thing:
            yield from _tensors(part)
    elif isinstance(thing, Mapping):
        yield from _tensors(list(thing.values()))
    elif isinstance(thing, functools.partial):
        yield from _tensors((thing.func, thing.args, thing.keywords))
    elif isinstance(thing, (Distribution, Transform, nn.Module)):
        yield from _tensors(list(vars(thing).values()))
