"""A recipe's knobs as people type them: name=value, and name=value,value,... for a grid."""

import inspect
import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from zoo.lab.errors import unknown_name


def read(flag: str, what: str, function: Callable[..., Any], pairs: Sequence[str]) -> dict[str, Any]:
    """name=value pairs, each read as the type of the default that the function has for it.

    Args:
        flag: the option that they come from, for messages.
        what: what they are, for messages.
        function: whose keywords they are.
        pairs: as typed.

    Raises:
        LookupError: there is no such keyword; says which there are, and the nearest.
        ValueError: there is no =, or the value is of another type.
    """
    defaults, values = _defaults(function), {}
    for pair in pairs:
        key, text = _split(flag, what, defaults, pair, "name=value")
        values[key] = _value(flag, pair, key, text, defaults)
    return values


def grid(function: Callable[..., Any], axes: Sequence[str], fixed: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Every combination of the axes' values, the last axis fastest; one empty combination where there is no axis.

    Args:
        function: the recipe's.
        axes: as typed, "beta=2,3,4".
        fixed: knobs that are set for all.

    Raises:
        LookupError: there is no such knob; says which there are, and the nearest.
        ValueError: an axis has no =, no value, one that cannot be read, or one twice; or a knob is there twice.
    """
    defaults = _defaults(function)
    values: dict[str, list[Any]] = {}
    for axis in axes:
        key, text = _split("--grid", "knob", defaults, axis, "name=value,value,...")
        if key in values or key in fixed:
            raise ValueError(f"--grid {axis!r}: {key} is {'in --set' if key in fixed else 'there twice'}; name it once")
        texts = [part.strip() for part in text.split(",")] if text.strip() else []
        if not texts:
            raise ValueError(f"--grid {axis!r} is empty: write at least one value, as in {key}={defaults[key]},...")
        read_values = [_value("--grid", axis, key, part, defaults) for part in texts]
        if twice := {value for value in read_values if read_values.count(value) > 1}:
            raise ValueError(f"--grid {axis!r}: {key} has the value {twice.pop()!r} twice")
        values[key] = read_values
    return [dict(zip(values, combination, strict=True)) for combination in itertools.product(*values.values())]


def _defaults(function: Callable[..., Any]) -> dict[str, Any]:
    """The keywords that can be typed, with their defaults."""
    return {
        parameter.name: parameter.default
        for parameter in inspect.signature(function).parameters.values()
        if parameter.kind is parameter.KEYWORD_ONLY and isinstance(parameter.default, (bool, int, float, str))
    }


def _split(flag: str, what: str, defaults: Mapping[str, Any], pair: str, form: str) -> tuple[str, str]:
    key, equals, text = pair.partition("=")
    if not equals:
        raise ValueError(f"{flag} {pair!r}: write it as {form}")
    if key not in defaults:
        raise LookupError(unknown_name(what, key, defaults))
    return key, text


def _value(flag: str, pair: str, key: str, text: str, defaults: Mapping[str, Any]) -> Any:
    kind = type(defaults[key])
    try:
        return {"true": True, "false": False}[text.lower()] if kind is bool else kind(text)
    except (ValueError, KeyError):
        raise ValueError(f"{flag} {pair!r}: {key} is of type {kind.__name__}, got {text!r}") from None
