"""A decorator reads annotations, and refuses what they do not allow by the argument's name."""

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from pyro import poutine
from torch import Tensor, nn

from zoo.arguments import NOT_EMPTY, POSITIVE, SOME_COUNTS, between, check_fields, checked, number_from, shown


@checked(num=number_from(1), share=between(0, 1), widths=SOME_COUNTS)
def draw(
    model: nn.Module,
    num: int,
    *,
    seed: int = 0,
    share: float = 0.5,
    how: Literal["exact", "stratified"] = "exact",
    site: str = "",
    widths: Sequence[int] = (1,),
    beta: float | Mapping[str, float] = 1.0,
    folder: Path | None = None,
    activation: type[nn.Module] = nn.ReLU,
    f: Callable[[Tensor], Tensor] = torch.exp,
    quick: bool = False,
) -> str:
    """Draws."""
    return "drawn"


RIGHT = {"model": nn.Linear(1, 1), "num": 3}


@pytest.mark.parametrize(
    ("argument", "value", "kind", "message"),
    [
        ("num", "3", TypeError, "draw: num must be a whole number, got '3'"),
        ("num", True, TypeError, "num must be a whole number, got True"),
        ("num", 2.0, TypeError, "num must be a whole number, got 2.0"),
        ("num", None, TypeError, "num must be a whole number, got None"),
        ("num", torch.ones(2), TypeError, r"num must be a whole number, got Tensor of torch.float32 \[2\]"),
        ("num", 0, ValueError, "num must be from 1 to 1,000,000,000, got 0"),
        ("num", 10**22, ValueError, "num must be from 1 to 1,000,000,000, got 1000000"),
        ("seed", -1, ValueError, "seed must be from 0 to 9,223,372,036,854,775,807, got -1"),
        ("share", 1.5, ValueError, "share must be from 0 to 1, got 1.5"),
        ("share", math.nan, ValueError, "share must be from 0 to 1, got nan"),
        ("share", "half", TypeError, "share must be a number, got 'half'"),
        ("how", "stratifed", ValueError, "how must be 'exact' or 'stratified', .*; did you mean 'stratified'"),
        ("how", 3, TypeError, "how must be 'exact' or 'stratified', got 3"),
        ("site", " ", ValueError, "site must not be empty, got ' '"),
        ("site", ["z"], TypeError, r"site must be a text, got \['z'\]"),
        ("widths", {1, 2}, TypeError, r"widths must be a sequence, each a whole number, got \{1, 2\}"),
        ("widths", frozenset([1]), TypeError, "widths must be a sequence, each a whole number, got frozenset"),
        ("widths", "12", TypeError, "widths must be a sequence, each a whole number, got '12'"),
        ("widths", (1.5,), TypeError, r"widths must be a sequence, each a whole number, got \(1.5,\)"),
        ("widths", (), ValueError, r"widths must be one or more whole numbers from 1, got \(\)"),
        ("beta", {"z": "4"}, TypeError, "beta must be a number or values by name, each a number, got {'z': '4'}"),
        ("beta", math.inf, ValueError, "beta must be finite, got inf"),
        ("folder", 3, TypeError, "folder must be a path or None, got 3"),
        ("folder", "", ValueError, "folder must not be empty"),
        ("activation", nn.ReLU(), TypeError, r"activation must be a class of Module, got ReLU\(\)"),
        ("model", nn.Linear, TypeError, r"model must be an nn.Module, got the class Linear; make one, as in Linear"),
        (
            "model",
            poutine.mask(nn.Linear(1, 1), mask=False),
            TypeError,
            r"got _bound_.*; call it in the forward",
        ),
        ("f", "exp", TypeError, "f must be a function, got 'exp'"),
        ("quick", 1, TypeError, "quick must be True or False, got 1"),
    ],
)
def test_what_an_annotation_does_not_allow_is_refused_by_name(argument, value, kind, message):
    with pytest.raises(kind, match=message) as error:
        draw(**{**RIGHT, argument: value})
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("num", np.int64(2)),
        ("num", torch.tensor(2)),
        ("share", np.float32(0.5)),
        ("share", torch.tensor(0.5)),
        ("share", 1),
        ("widths", [2, 3]),
        ("widths", torch.tensor([2, 3])),
        ("beta", {"z": 4.0}),
        ("site", ""),  # the default
        ("folder", "runs"),
        ("folder", None),
    ],
)
def test_numbers_of_numpy_and_pytorch_defaults_and_texts_for_paths_are_taken(argument, value):
    assert draw(**{**RIGHT, argument: value}) == "drawn"


def test_the_function_keeps_its_signature_and_python_s_own_errors():
    assert list(inspect.signature(draw).parameters)[:2] == ["model", "num"]
    assert draw.__doc__ == "Draws."
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'num'"):
        draw(nn.Linear(1, 1))
    with pytest.raises(TypeError, match="unexpected keyword argument 'nun'") as caught:
        draw(nn.Linear(1, 1), 3, nun=4)
    assert caught.value.__context__ is None  # one traceback, not two


def test_fields_of_a_dataclass():
    @dataclass(frozen=True)
    class Grid:
        reach: float
        names: tuple[str, ...] = ("z",)

        def __post_init__(self) -> None:
            check_fields(self, reach=POSITIVE, names=NOT_EMPTY)

    Grid(3.0)
    with pytest.raises(ValueError, match="Grid: reach must be positive and finite, got 0"):
        Grid(0)
    with pytest.raises(TypeError, match="Grid: reach must be a number, got None"):
        Grid(None)
    with pytest.raises(ValueError, match=r"Grid: names must be not empty, got \(\)"):
        Grid(3.0, ())


def test_a_value_is_shown_in_one_line():
    assert shown(np.ones((3, 2))) == "ndarray of float64 [3, 2]"
    assert shown(len) == "the function len"
    assert shown(poutine.mask(nn.Linear(1, 1), mask=False)) == "_bound_partial"  # which has no name
    assert shown(nn.Linear) == "the class Linear"
    assert shown(list(range(100))) == "list"


def test_a_path_may_be_a_text_and_is_passed_on_as_a_path():
    @checked()
    def inside(folder: Path, name: str, out: Path | None = None, either: Path | str = "") -> list[object]:
        return [folder / name, out, either]

    assert inside("a", "b") == [Path("a/b"), None, ""]
    assert inside(Path("a"), "b", out="c", either="d") == [Path("a/b"), Path("c"), "d"]
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'name'"):
        inside("a")
