"""Batches of measures go where the pair is: read off the code, since a GPU is not always at hand to find out."""

import ast
from pathlib import Path

import pytest

# A recipe looks at the data before there is a pair, on the CPU.
ROOM_FILES = sorted(p for p in Path(__file__).parents[2].glob("zoo/papers/*/*.py") if p.stem != "recipes")
ON_THE_CPU = {
    ("decomposition/plots.py", "plane_pictures"),  # to be drawn
    ("decomposition/plots.py", "reconstructed_points"),
    ("dip_vae/protocols.py", "_pixels"),  # for scikit-learn
}


def calls(path):
    """(function, call) of every batch that is drawn in a file."""
    for function in ast.walk(ast.parse(path.read_text())):
        if isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef)):
            for node in ast.walk(function):
                called = node.func if isinstance(node, ast.Call) else None
                if isinstance(called, ast.Attribute) and called.attr in ("batch", "in_order"):
                    yield function.name, node


def test_there_are_batches():
    assert len([call for path in ROOM_FILES for call in calls(path)]) > 10


@pytest.mark.parametrize("path", ROOM_FILES, ids=lambda path: "/".join(path.parts[-2:]))
def test_every_batch_says_where_it_goes(path):
    room = "/".join(path.parts[-2:])
    for function, call in calls(path):
        if (room, function) not in ON_THE_CPU:
            assert "device" in {keyword.arg for keyword in call.keywords}, f"{room}:{call.lineno} in {function}"


@pytest.mark.parametrize("path", [p for p in ROOM_FILES if p.stem == "measures"], ids=lambda path: path.parts[-2])
def test_random_states_are_forked_on_the_device_too(path):
    assert "fork_rng(" not in path.read_text()  # zoo.lab.device.fork_random_state is
