"""Recipes of one function: which hyperparameters each offers, with which defaults."""

import inspect
import pickle

import pytest

from zoo.cli.overrides import grid, read
from zoo.lab.training.experiment import Recipe, offering


def build(data, *, beta: float = 4.0, z_dim: int = 10, network: str = "mlp", steps: int = 6):
    """What it is.

    Args:
        data: images.
    """
    return data, beta, z_dim, network, steps


small = offering(build, "beta", "steps", z_dim=2, steps=3)


def test_what_is_offered_can_be_typed_and_nothing_else():
    assert read("--set", "hyperparameter", small, ["beta=2", "steps=5"]) == {"beta": 2.0, "steps": 5}
    assert grid(small, ["beta=1,2"], {}) == [{"beta": 1.0}, {"beta": 2.0}]
    with pytest.raises(LookupError, match=r"unknown hyperparameter 'z_dim'.*beta, steps"):
        read("--set", "hyperparameter", small, ["z_dim=5"])


def test_defaults_are_the_given_ones():
    assert small("data") == ("data", 4.0, 2, "mlp", 3)
    assert small("data", beta=1.0) == ("data", 1.0, 2, "mlp", 3)
    assert {p.name: p.default for p in list(inspect.signature(small).parameters.values())[1:]} == {
        "beta": 4.0,
        "steps": 3,
    }


def test_one_of_another_offers_what_it_says_itself():
    again = offering(small, "network", beta=1.0)
    assert again("data") == ("data", 1.0, 2, "mlp", 3)
    assert list(inspect.signature(again).parameters) == ["data", "network"]


def test_it_goes_to_another_process():
    sent = pickle.loads(pickle.dumps(small))
    assert sent("data") == small("data")
    assert inspect.signature(sent).parameters.keys() == inspect.signature(small).parameters.keys()


def test_names_that_are_no_hyperparameters_are_refused():
    with pytest.raises(TypeError, match=r"no hyperparameter \['gama'\].*'beta', 'z_dim', 'network', 'steps'"):
        offering(build, "gama")
    with pytest.raises(TypeError, match=r"no hyperparameter \['sizes'\]"):
        offering(build, "beta", sizes=3)


def test_the_text_is_read_as_a_docstring():
    assert Recipe("a", build, "digits", "b").description.startswith("What it is.\n\nArgs:\n    data")
    text = """
    Another thing.

        indented
    """
    assert Recipe("a", small, "digits", "b", text=text).description == "Another thing.\n\n    indented"
