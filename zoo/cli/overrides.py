"""A recipe's knobs as people type them: name=value, and name=value,value,... for a grid."""

import inspect
import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, get_args, get_origin

from zoo.lab.errors import unknown

TYPES = (bool, int, float, str)  # that can be typed


def read(flag: str, what: str, function: Callable[..., Any], pairs: Sequence[str]) -> dict[str, Any]:
    """name=value pairs, each read as the type that the function has for it; several values as name=value,value.

    Args:
        flag: the option that they come from, for messages.
        what: what they are, for messages.
        function: whose keywords they are.
        pairs: as typed.

    Raises:
        LookupError: there is no such keyword; says which there are, and the nearest.
        ValueError: there is no =, or the value is of another type.
    """
    kinds, values = _kinds(function), {}
    for pair in pairs:
        key, text = _split(flag, what, kinds, pair, "name=value")
        values[key] = _value(flag, pair, key, text, kinds)
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
    kinds = {key: kind for key, kind in _kinds(function).items() if not isinstance(kind, tuple)}
    values: dict[str, list[Any]] = {}
    for axis in axes:
        key, text = _split("--grid", "knob", kinds, axis, "name=value,value,...")
        if key in values or key in fixed:
            raise ValueError(f"--grid {axis!r}: {key} is {'in --set' if key in fixed else 'there twice'}; name it once")
        texts = [part.strip() for part in text.split(",")] if text.strip() else []
        if not texts:
            raise ValueError(f"--grid {axis!r} is empty: write at least one value, as in {key}=1,2")
        read_values = [_value("--grid", axis, key, part, kinds) for part in texts]
        if twice := {value for value in read_values if read_values.count(value) > 1}:
            raise ValueError(f"--grid {axis!r}: {key} has the value {twice.pop()!r} twice")
        values[key] = read_values
    return [dict(zip(values, combination, strict=True)) for combination in itertools.product(*values.values())]


def _kinds(function: Callable[..., Any]) -> dict[str, Any]:
    """The keywords that can be typed, with their types; a tuple of one type for a sequence."""
    found: dict[str, Any] = {}
    for parameter in inspect.signature(function).parameters.values():
        default, annotation = parameter.default, parameter.annotation
        if parameter.kind is not parameter.KEYWORD_ONLY:
            continue
        if isinstance(default, TYPES):
            found[parameter.name] = type(default)
            continue
        for option in (annotation, *get_args(annotation)):  # of `int | None`, or of `Sequence[int] | None`
            if parameter.name in found:
                break
            if option in TYPES:
                found[parameter.name] = option
            elif get_origin(option) is Sequence and get_args(option)[0] in TYPES:
                found[parameter.name] = get_args(option)
    return found


def _split(flag: str, what: str, kinds: Mapping[str, Any], pair: str, form: str) -> tuple[str, str]:
    key, equals, text = pair.partition("=")
    if not equals:
        raise ValueError(f"{flag} {pair!r}: write it as {form}")
    if key not in kinds:
        raise LookupError(unknown(what, key, kinds))
    return key, text


def _value(flag: str, pair: str, key: str, text: str, kinds: Mapping[str, Any]) -> Any:
    kind = kinds[key]
    if isinstance(kind, tuple):
        return [_value(flag, pair, key, part.strip(), {key: kind[0]}) for part in text.split(",")]
    try:
        return {"true": True, "false": False}[text.lower()] if kind is bool else kind(text)
    except (ValueError, KeyError):
        raise ValueError(f"{flag} {pair!r}: {key} is of type {kind.__name__}, got {text!r}") from None
