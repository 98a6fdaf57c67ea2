"""The JSON file of a result: it is read with its fields checked, and written."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from zoo.arguments import shown
from zoo.lab.files import REMEDY, read_record, write_file

Result = Mapping[str, Any]


def read_result(path: Path) -> dict[str, Any]:
    """Reads a result's JSON, also an older one, which has "figures" and "held".

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is damaged; the message names the file and the field.
    """
    result = read_record(path)
    if "figures" in result:
        result["quantities"] = result.pop("figures")
        result["variants"] = {
            variant: [{"quantities" if key == "figures" else key: value for key, value in r.items()} for r in records]
            for variant, records in result["variants"].items()
        }
        for claim in result["claims"]:
            claim["verdict"] = claim.pop("held")
    for name, (what, fits) in _FIELDS.items():
        if name not in result and name in _OPTIONAL:
            continue
        if name not in result:
            raise ValueError(f"{path} is damaged: it has no {name}; {REMEDY}")
        if not fits(result[name]):
            raise ValueError(f"{path} is damaged: {name} must be {what}, got {shown(result[name])}; {REMEDY}")
    return result


def write_result(result: Result, path: Path) -> None:
    """Writes a result's JSON."""
    write_file(path, json.dumps(result, indent=2) + "\n")


def _is_list_of(kind: type, *keys: str) -> Callable[[Any], bool]:
    def is_one(member: Any) -> bool:
        has: Any = member  # a dict where there are keys
        return isinstance(member, kind) and all(key in has for key in keys)

    return lambda value: isinstance(value, list) and all(map(is_one, value))


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_by_name(*keys: str) -> Callable[[Any], bool]:
    return lambda value: (
        isinstance(value, dict)
        and all(isinstance(member, dict) and all(key in member for key in keys) for member in value.values())
    )


def _are_records(value: Any) -> bool:
    """Whether these are the records of each variant's seeds, one at least."""
    keys = ("seed", "quantities", "steps", "seconds", "hardware", "versions")
    return (
        isinstance(value, dict)
        and bool(value)
        and all(_is_list_of(dict, *keys)(records) and records for records in value.values())
        and all(isinstance(record["quantities"], dict) for records in value.values() for record in records)
    )


_FIELDS: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "title": ("a text", _is_text),
    "paper": ("a text", _is_text),
    "command": ("a text", _is_text),
    "budget": ("a text", _is_text),
    "precision": ("a text", _is_text),
    "quantities": ("definitions by name", _is_by_name("what", "better", "digits")),
    "reported": ("values by variant", _is_by_name()),
    "headline": ("a list of variants and quantities", _is_list_of(list)),
    "variants": ("the records of each variant's seeds", _are_records),
    "claims": ("a list of claims", _is_list_of(dict, "claim", "verdict", "evidence")),
    "deviations": ("a list of texts", _is_list_of(str)),
    "pictures": ("captions by path", lambda value: isinstance(value, dict) and all(map(_is_text, value.values()))),
}
_OPTIONAL = ("precision",)  # only where one was asked for
