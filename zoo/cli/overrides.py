"""Parses hyperparameters on the command line: name=value, and name=value,value,... for a grid."""

import inspect
import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args, get_origin

from zoo.lab.errors import unknown_name

KINDS = (bool, int, float, str)
LARGEST = 10**9  # of an integer


@dataclass(frozen=True)
class Keyword:
    """A keyword argument of a function that can be set on the command line.

    Attributes:
        name: of the keyword.
        default: its default.
        kinds: the types that a value may have, tried in this order.
        many: whether a value is a sequence, written with commas.
        optional: whether it may be None, written as "none".
    """

    name: str
    default: Any
    kinds: tuple[type, ...]
    many: bool
    optional: bool

    @property
    def least(self) -> int:
        """The smallest integer that is allowed: 1 for a count whose default is not 0 or None."""
        return 1 if isinstance(self.default, int) and self.default >= 1 else 0

    @property
    def kind(self) -> str:
        """Its type in words."""
        one = " or ".join(kind.__name__ for kind in self.kinds)
        return f"{one}s, separated by commas" if self.many else one


def keywords(function: Callable[..., Any]) -> dict[str, Keyword]:
    """The keywords that can be set, by name; their type is that of the annotation, or else of the default."""
    found = {}
    for parameter in inspect.signature(function, eval_str=True).parameters.values():
        if parameter.kind is not parameter.KEYWORD_ONLY or parameter.name == "download":
            continue
        members = get_args(parameter.annotation)
        sequences = [m for m in (parameter.annotation, *members) if get_origin(m) is Sequence]
        types = get_args(sequences[0]) if sequences else (parameter.annotation, *members)
        kinds = tuple(kind for kind in KINDS if kind in types)
        if not kinds and isinstance(parameter.default, KINDS):
            kinds = (type(parameter.default),)
        if kinds:
            optional = parameter.default is None or type(None) in members
            found[parameter.name] = Keyword(parameter.name, parameter.default, kinds, bool(sequences), optional)
    return found


def read(flag: str, what: str, function: Callable[..., Any], pairs: Sequence[str]) -> dict[str, Any]:
    """Parses name=value pairs, each converted to the type of the function's keyword.

    Args:
        flag: the option that they come from, for messages.
        what: the kind of keyword, for messages.
        function: whose keywords they are.
        pairs: as typed.

    Raises:
        LookupError: there is no such keyword; the message lists the keywords and the nearest name.
        ValueError: there is no =, a keyword occurs twice, or the value is of another type or out of range.
    """
    known, values = keywords(function), {}
    for pair in pairs:
        key, text = _split(flag, what, known, pair, "name=value")
        if key in values:
            raise ValueError(f"{flag} {pair!r}: {key} is given twice; give it once")
        values[key] = _value(flag, pair, known[key], text)
    return values


def grid(function: Callable[..., Any], axes: Sequence[str], fixed: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Every combination of the axes' values, the last axis fastest; one empty combination where there is no axis.

    Args:
        function: the recipe's.
        axes: as typed, "beta=2,3,4".
        fixed: hyperparameters that are set for all.

    Raises:
        LookupError: there is no such hyperparameter; the message lists them and the nearest name.
        ValueError: an axis has no =, no value, an invalid value, or the same value twice; or a hyperparameter is given
            twice.
    """
    known = keywords(function)
    values: dict[str, list[Any]] = {}
    for axis in axes:
        key, text = _split("--grid", "hyperparameter", known, axis, "name=value,value,...")
        if key in values or key in fixed:
            raise ValueError(
                f"--grid {axis!r}: {key} is {'in --set as well' if key in fixed else 'given twice'}; give it once"
            )
        if known[key].many:
            raise ValueError(f"--grid {axis!r}: {key} is itself a sequence; set it with --set, one run for each value")
        texts = [part.strip() for part in text.split(",")] if text.strip() else []
        if not texts:
            default = known[key].default
            raise ValueError(f"--grid {axis!r} is empty: write at least one value, as in {key}={default},...")
        read_values = [_value("--grid", axis, known[key], part) for part in texts]
        if twice := {value for value in read_values if read_values.count(value) > 1}:
            raise ValueError(f"--grid {axis!r}: {key} has the value {twice.pop()!r} twice")
        values[key] = read_values
    return [dict(zip(values, combination, strict=True)) for combination in itertools.product(*values.values())]


def _split(flag: str, what: str, known: Mapping[str, Keyword], pair: str, form: str) -> tuple[str, str]:
    key, equals, text = pair.partition("=")
    if not equals:
        raise ValueError(f"{flag} {pair!r}: write it as {form}")
    if key not in known:
        raise LookupError(f"{flag} {pair!r}: {unknown_name(what, key, known)}")
    return key, text


def _value(flag: str, pair: str, keyword: Keyword, text: str) -> Any:
    if keyword.optional and text.lower() == "none":
        return None
    if keyword.many:
        return tuple(_one(flag, pair, keyword, part.strip()) for part in text.split(","))
    return _one(flag, pair, keyword, text)


def _one(flag: str, pair: str, keyword: Keyword, text: str) -> Any:
    for kind in keyword.kinds:
        try:
            value = {"true": True, "false": False}[text.lower()] if kind is bool else kind(text)
        except (ValueError, KeyError):
            continue
        _check_range(f"{flag} {pair!r}: {keyword.name}", value, keyword.least)
        return value
    or_none = " or none" if keyword.optional else ""
    example = keyword.default if keyword.default is not None else "none"
    raise ValueError(
        f"{flag} {pair!r}: {keyword.name} is of type {keyword.kind}{or_none}, got {text!r}; "
        f"write it as {keyword.name}={example}"
    )


def _check_range(where: str, value: Any, least: int) -> None:
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{where} must be finite, got {value}")
    if type(value) is int and not least <= value <= LARGEST:
        raise ValueError(f"{where} must be from {least} to {LARGEST:,}, got {value}")
    if value == "":
        raise ValueError(f"{where} is empty; give a value")
