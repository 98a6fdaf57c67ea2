"""name=value pairs, read as the type that the function has for them, also where its default is None."""

import functools
from collections.abc import Sequence
from typing import Any

import pytest

from zoo.cli.overrides import grid, read


def source(
    path: str,
    *,
    size: int | None = None,
    share: float | None = None,
    kept: Sequence[int] | None = None,
    parts: Sequence[str] = ("a", "b"),
    name: str | None = None,
    masks: bool = False,
    rate: float = 1.0,
    anything: Any = None,
    table: dict[str, int] | None = None,
) -> None:
    """What has every kind of option."""


def test_every_option_is_read_as_its_type() -> None:
    typed = ["size=32", "share=0.5", "kept=1,2, 3", "parts=u", "name=7", "masks=true", "rate=2"]
    for function in (source, functools.partial(source, rate=3.0)):
        assert read("--data-option", "option", function, typed) == {
            "size": 32,
            "share": 0.5,
            "kept": [1, 2, 3],
            "parts": ["u"],
            "name": "7",
            "masks": True,
            "rate": 2.0,
        }


@pytest.mark.parametrize(
    ("pair", "message"),
    [
        ("size=big", r"--data-option 'size=big': size is of type int, got 'big'"),
        ("kept=1,x", r"--data-option 'kept=1,x': kept is of type int, got 'x'"),
        ("kept=", r"kept is of type int, got ''"),
        ("size", r"write it as name=value"),
    ],
)
def test_other_values_are_refused(pair: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read("--data-option", "option", source, [pair])


@pytest.mark.parametrize("name", ["path", "anything", "table"])
def test_what_cannot_be_typed_is_not_offered(name: str) -> None:
    with pytest.raises(LookupError, match=rf"unknown option '{name}'.*kept, masks, name, parts, rate, share, size$"):
        read("--data-option", "option", source, [f"{name}=1"])


def test_a_grid_takes_single_values_where_the_default_is_none() -> None:
    assert grid(source, ["size=1,2"], {}) == [{"size": 1}, {"size": 2}]
    with pytest.raises(LookupError, match=r"unknown knob 'kept'"):
        grid(source, ["kept=1,2"], {})
