"""Every public function refuses each near miss of each argument by one clear line, before any work."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.bad_inputs.api import ACCEPTED, FUNCTIONS, Function
from tests.bad_inputs.judge import complaint
from tests.bad_inputs.near_misses import fits, named


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ZOO_DATA", "")


def refused(function: Function, argument: str, value: object) -> str:
    """What is wrong with how a function refuses a value of an argument; nothing if it does so, or is not meant to."""
    right = function.right()
    places = (argument, *function.places.get(argument, ()))
    wrong = complaint(lambda: function.finish(function.call(**{**right, argument: value})), places, value)
    if (function.name, argument, named(value)) in ACCEPTED:
        return "" if wrong == "accepted" else f"is refused, and ACCEPTED says that it is not: {wrong}"
    return wrong


@pytest.mark.parametrize("function", [f for f in FUNCTIONS if f.works], ids=lambda f: f.name)
def test_the_right_arguments_are_right(function):
    function.finish(function.call(**function.right()))


CASES = [(function, argument) for function in FUNCTIONS for argument in function.annotations]


@pytest.mark.parametrize(("function", "argument"), CASES, ids=lambda case: getattr(case, "name", case))
def test_near_misses_are_refused(function, argument, count):
    values = function.near_misses(argument)
    wrong = {named(value): why for value in values if (why := refused(function, argument, value))}
    count("Python API", "table", len(values), len(values) - len(wrong))
    assert not wrong, "\n".join(f"{function.name}({argument}={value}) {why}" for value, why in wrong.items())


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6) | st.binary(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)
TYPED = [
    (function, argument) for function, argument in CASES if function.annotations[argument] in (bool, int, float, str)
]


@given(case=st.sampled_from(TYPED), value=ANYTHING)
def test_whatever_an_annotation_does_not_allow_is_refused(case, value, count):
    function, argument = case
    if value == "" or fits(value, function.annotations[argument]):  # an empty text may be the default
        return
    wrong = refused(function, argument, value)
    count("Python API", "hypothesis", 1, not wrong)
    assert not wrong, f"{function.name}({argument}={value!r}) {wrong}"
