"""Checks arguments against their annotations, so that a wrong one is refused by name before any work.

    @checked(num=number_from(1))
    def draw(model: nn.Module, num: int, *, site: str = "x") -> Tensor: ...

    draw(model, "3")        # TypeError: draw: num must be a whole number, got '3'
    draw(model, 0)          # ValueError: draw: num must be from 1 to 1,000,000,000, got 0

A whole number is at least 0 where no range is given, any other number is finite, and a text is empty only where its
default is. NumPy's numbers and tensors [] count as numbers, and True and False do not.
"""

import contextlib
import difflib
import functools
import inspect
import math
import operator
import types
from collections.abc import Callable, Collection, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar, Union, get_args, get_origin

LARGEST = 2**63 - 1  # the largest whole number of PyTorch

F = TypeVar("F", bound=Callable[..., Any])


class WrongType(TypeError, ValueError):
    """A value is not of the annotated type. It is also a ValueError, which earlier versions raised here."""


class Allowed(NamedTuple):
    """What a value must be: a description in words, and a function that says whether a value is."""

    what: str
    fits: Callable[[Any], bool]


def number_from(least: int) -> Allowed:
    """Whole numbers from `least` to a billion, for sizes and numbers of draws."""
    return between(least, 10**9)


def at_least(least: float) -> Allowed:
    """Numbers from `least`."""
    return Allowed(f"at least {least:,}", lambda value: bool(least <= value < math.inf))


def between(least: float, most: float) -> Allowed:
    """Numbers from `least` to `most`, both included."""
    return Allowed(f"from {least:,} to {most:,}", lambda value: bool(least <= value <= most))


POSITIVE = Allowed("positive and finite", lambda value: bool(0 < value < math.inf))
ABOVE_0 = Allowed("above 0", lambda value: bool(0 < value < math.inf))
SHARE = Allowed("above 0 and below 1", lambda value: bool(0 < value < 1))
PROBABILITY = between(0, 1)
NOT_EMPTY = Allowed("not empty", lambda value: len(value) > 0)
COUNTS = Allowed("whole numbers from 1", lambda values: all(is_whole(value) and value >= 1 for value in values))
FROM_0 = Allowed("one or more whole numbers from 0", lambda v: len(v) > 0 and all(is_whole(n) and n >= 0 for n in v))
SOME_COUNTS = Allowed("one or more whole numbers from 1", lambda values: len(values) > 0 and COUNTS.fits(values))
PATHS = ("a path", "a path or None")  # the annotations of which a text becomes a path


def checked(**ranges: Allowed | None) -> Callable[[F], F]:
    """A decorator that checks a function's arguments against their annotations and ranges; a path may be a text.

    Args:
        ranges: by argument, which values of the annotated type are valid; with None, the function itself checks the
            argument. The value None is not checked.

    Raises:
        WrongType: a value is not of the annotated type (by the decorated function).
        ValueError: it is out of range (by the decorated function).
    """

    def decorate(function: F) -> F:
        signature = inspect.signature(function)
        name = function.__qualname__.removesuffix(".__init__")
        unknown = ranges.keys() - signature.parameters.keys()
        assert not unknown, f"{name} has no argument {unknown}"  # a mistake of ours

        @functools.cache
        def kinds() -> dict[str, Allowed]:
            hints = _hints(function)
            return {
                p.name: kind
                for p in signature.parameters.values()
                if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY) and ranges.get(p.name, ...) is not None
                if (kind := kind_of(hints.get(p.name)))
            }

        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            given = None
            with contextlib.suppress(TypeError):  # a missing or unknown argument, which the call's own error names
                given = signature.bind(*args, **kwargs)
            if given is None:
                return function(*args, **kwargs)
            for argument, value in given.arguments.items():
                if value is not signature.parameters[argument].default:
                    kind = kinds().get(argument)
                    check_value(f"{name}: {argument}", value, kind, ranges.get(argument))
                    if kind and kind.what in PATHS and value is not None:
                        given.arguments[argument] = as_path(value)
            return function(*given.args, **given.kwargs)

        vars(wrapper)["ranges"] = ranges  # for assignments to attributes of the same name
        return wrapper  # type: ignore[return-value]

    return decorate


def check_fields(made: Any, **ranges: Allowed) -> None:
    """Checks the fields of a dataclass or a named tuple; errors as those of a `checked` function."""
    for field, hint in _hints(type(made)).items():
        check_value(f"{type(made).__name__}: {field}", getattr(made, field), kind_of(hint), ranges.get(field))


def check_value(where: str, value: Any, kind: Allowed | None, range_: Allowed | None = None) -> None:
    """Checks one value, `where` being what a message calls it; errors as those of a `checked` function."""
    if kind and not kind.fits(value):
        wrong = ValueError if isinstance(value, str) and kind.what.startswith("'") else WrongType
        raise wrong(f"{where} must be {kind.what}, got {shown(value)}{_advice(kind, value)}")
    if value is None or kind is None:
        return
    if isinstance(value, str) and (not value.strip() or "\0" in value):
        raise ValueError(f"{where} must not be empty, got {value!r}; give a text, or leave it out")
    if range_ is None and is_number(value) and not math.isfinite(value):
        raise ValueError(f"{where} must be finite, got {shown(value)}")
    if range_ is None and is_whole(value) and "whole" in kind.what:
        range_ = between(0, LARGEST)
    if range_ and (isinstance(value, Collection) or is_number(value)) and not range_.fits(value):
        raise ValueError(f"{where} must be {range_.what}, got {shown(value)}")


def as_path(text: str | Path) -> Path:
    """A path, whose ~ is the home folder, also where no shell has replaced it, as in --out=~/runs.

    Raises:
        ValueError: there is no such home folder.
    """
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise ValueError(f"{text}: there is no such home folder; write the path without ~") from None


def shown(value: Any) -> str:
    """A value as a message shows it, in one line."""
    if isinstance(value, type):
        return f"the class {value.__name__}"
    if inspect.isroutine(value) and hasattr(value, "__name__"):  # a program under one of Pyro's handlers has no name
        return f"the function {value.__name__}"
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return f"{type(value).__name__} of {value.dtype} {list(value.shape)}"
    text = repr(value)
    return text if len(text) <= 80 and "\n" not in text else type(value).__name__


def _advice(kind: Allowed, value: Any) -> str:
    if isinstance(value, type):
        return f"; make one, as in {value.__name__}(...)"
    if callable(value) and kind.what == "an nn.Module":
        return "; call it in the forward of one"
    choices = [choice.strip("'") for choice in kind.what.split(" or ")]
    nearest = difflib.get_close_matches(value, choices, n=1) if isinstance(value, str) else []
    return f"; did you mean {nearest[0]!r}?" if nearest else ""


def _hints(thing: Any) -> dict[str, Any]:
    """The annotations that have a meaning when the program runs; names that only type checkers import have none."""
    found = {}
    for name, hint in inspect.get_annotations(thing).items():
        if not isinstance(hint, str):
            found[name] = hint
    return found


def kind_of(hint: Any) -> Allowed | None:
    """What an annotation allows; None where it allows anything, or is of a type that is not checked here."""
    origin, members = get_origin(hint), get_args(hint)
    if hint is bool:
        return Allowed("True or False", lambda value: isinstance(value, bool))
    if hint is int:
        return Allowed("a whole number", is_whole)
    if hint is float:
        return Allowed("a number", is_number)
    if hint is str:
        return Allowed("a text", lambda value: isinstance(value, str))
    if hint is Path:
        return Allowed("a path", lambda value: isinstance(value, (str, PathLike)))
    if hint is type(None):
        return Allowed("None", lambda value: value is None)
    if origin is type:
        return Allowed(f"a class of {members[0].__name__}", lambda value: _is_class(value, members[0]))
    if origin is Literal:
        return Allowed(" or ".join(map(repr, members)), lambda value: isinstance(value, str) and value in members)
    if origin in (Union, types.UnionType):
        return _any_of([kind_of(member) for member in members])
    kind = origin or hint
    if kind is Callable:
        return Allowed("a function", callable)
    if not isinstance(kind, type) or kind in (Any, object) or getattr(kind, "_is_protocol", False):
        return None
    if issubclass(kind, Mapping):
        return _all_of("values by name", Mapping, members[1:], lambda value: value.values())
    if issubclass(kind, (Sequence, Collection)) and kind.__module__ in ("builtins", "collections.abc"):
        alike = kind is not tuple or members[1:] == (...,)
        found = _all_of("a sequence", Collection, members[:1] if alike else (), list)
        if not issubclass(kind, Sequence):
            return found
        # The order of a set may differ from one process to the next.
        return found._replace(fits=lambda value: not isinstance(value, (set, frozenset)) and found.fits(value))
    if kind.__name__ == "ndarray":  # lists and tensors are taken as well
        return None
    name = f"nn.{kind.__name__}" if kind.__module__.startswith("torch.nn") else kind.__name__
    return Allowed(f"{'an' if name[0] in 'AEIOn' else 'a'} {name}", lambda value: isinstance(value, kind))


def _any_of(kinds: list[Allowed | None]) -> Allowed | None:
    known = [kind for kind in kinds if kind]
    if len(known) < len(kinds):
        return None
    return Allowed(" or ".join(kind.what for kind in known), lambda value: any(kind.fits(value) for kind in known))


def _all_of(what: str, outer: type, members: Sequence[Any], values: Callable[[Any], Any]) -> Allowed:
    """A container, all of whose values are of one kind."""
    inner = kind_of(members[0]) if members else None

    def fits(value: Any) -> bool:
        if isinstance(value, (str, bytes)) or not (isinstance(value, outer) or hasattr(value, "tolist")):
            return False
        if outer is Collection and (isinstance(value, Mapping) or getattr(value, "ndim", 1) == 0):
            return False
        return outer is not Mapping or isinstance(value, Mapping)

    def all_fit(value: Any) -> bool:
        return fits(value) and (inner is None or all(inner.fits(member) for member in values(value)))

    return Allowed(what if inner is None else f"{what}, each {inner.what}", all_fit)


def _is_class(value: Any, of: Any) -> bool:
    return isinstance(value, type) and issubclass(value, of)


def is_whole(value: Any) -> bool:
    """Whether a value is a whole number, and not True or False; 10.0 is not."""
    if isinstance(value, bool) or str(getattr(value, "dtype", "")).endswith("bool") or getattr(value, "ndim", 0) > 0:
        return False
    try:
        operator.index(value)
    except TypeError:
        return False
    return True


def is_number(value: Any) -> bool:
    """Whether a value is a number, and not True or False."""
    if isinstance(value, (bool, str, bytes)) or str(getattr(value, "dtype", "")).endswith("bool"):
        return False
    return isinstance(value, (int, float)) or (hasattr(value, "__float__") and getattr(value, "ndim", None) == 0)
