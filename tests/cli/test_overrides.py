"""Hyperparameters as people type them: the type of the annotation, or of the default."""

import functools
import itertools
from collections.abc import Sequence

import pytest

from zoo.cli.overrides import grid, read
from zoo.papers.vae.recipes import beta_vae


def build(
    data,
    *,
    count: int = 3,
    rate: float = 0.5,
    flag: bool = True,
    name: str = "a",
    labelled: int | None = None,
    share: float | None = None,
    least: int | float = 20,
    zero: int = 0,
    poses: Sequence[int] | None = None,
    words: Sequence[str] = ("a",),
    untyped=2.5,
    hidden: object = None,
    download: bool = False,
):
    """A recipe with every kind of hyperparameter."""


@pytest.mark.parametrize(
    ("pair", "value"),
    [
        ("count=7", 7),
        ("rate=7", 7.0),
        ("flag=False", False),
        ("name=b,c", "b,c"),
        ("labelled=50", 50),
        ("labelled=none", None),
        ("share=0.25", 0.25),
        ("share=None", None),
        ("least=3", 3),
        ("least=0.1", 0.1),
        ("zero=0", 0),
        ("labelled=0", 0),
        ("poses=0,4, 8", (0, 4, 8)),
        ("poses=none", None),
        ("words=headers,quotes", ("headers", "quotes")),
        ("untyped=1", 1.0),
    ],
)
def test_a_value_has_the_type_of_its_annotation(pair, value):
    for function in (build, functools.partial(build, count=4)):
        [found] = read("--set", "hyperparameter", function, [pair]).values()
        assert found == value
        assert type(found) is type(value)


@pytest.mark.parametrize(
    ("pair", "message"),
    [
        ("labelled=many", r"--set 'labelled=many': labelled is of type int or none, got 'many'"),
        ("labelled=2.5", r"labelled is of type int or none, got '2.5'"),
        ("labelled=-1", r"labelled must be from 0 to 1,000,000,000, got -1"),
        ("count=0", r"count must be from 1 to 1,000,000,000, got 0"),  # its default is a count that is not 0
        ("zero=-1", r"zero must be from 0 to 1,000,000,000, got -1"),
        ("share=inf", r"share must be finite, got inf"),
        ("least=x", r"least is of type int or float, got 'x'"),
        ("poses=0,x", r"poses is of type ints, separated by commas or none, got 'x'"),
        ("words=a,,b", r"words is empty; give a value"),
        ("count=none", r"count is of type int, got 'none'"),
        ("hidden=1", r"unknown hyperparameter 'hidden'"),  # of no type that can be typed
        ("download=true", r"unknown hyperparameter 'download'"),  # an option of its own
        ("data=1", r"unknown hyperparameter 'data'"),
    ],
)
def test_a_value_of_another_type_or_out_of_range_is_refused(pair, message):
    with pytest.raises((ValueError, LookupError), match=message):
        read("--set", "hyperparameter", build, [pair])


def test_axes_multiply_and_values_have_the_type_of_the_hyperparameter():
    found = grid(beta_vae, ["beta=2,3", "z_dim=4,5"], {})
    assert found == [{"beta": b, "z_dim": z} for b, z in itertools.product((2.0, 3.0), (4, 5))]
    assert [type(value) for value in found[0].values()] == [float, int]
    assert grid(beta_vae, ["network=mlp, conv"], {}) == [{"network": "mlp"}, {"network": "conv"}]
    assert grid(beta_vae, [], {}) == [{}]
    assert grid(build, ["labelled=none,50"], {}) == [{"labelled": None}, {"labelled": 50}]
    with pytest.raises(ValueError, match=r"--grid 'poses=1,2': poses is itself a sequence"):
        grid(build, ["poses=1,2"], {})
