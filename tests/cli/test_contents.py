"""What `list` reads from the source files is what the imported modules hold."""

import ast
import inspect

import pytest

import zoo
from zoo import elbos
from zoo.cli import contents
from zoo.cli.contents import Source
from zoo.lab.data import SOURCES
from zoo.papers.recipes import RECIPES
from zoo.papers.reproductions import REPRODUCTIONS
from zoo.papers.weights import names


def first_line(text: str | None) -> str:
    return (text or "").splitlines()[0]


def test_the_recipes_read_from_the_files_are_those_imported():
    imported = {name: (first_line(r.description), r.paper, r.data) for name, r in RECIPES.items()}
    assert list(contents.recipes().items()) == list(imported.items())


def test_the_objectives_and_stories_read_from_the_files_are_those_imported():
    objectives = {c.__name__: (first_line(inspect.getdoc(c)), c.weights) for c in elbos.OBJECTIVES}
    assert list(contents.objectives().items()) == list(objectives.items())
    assert contents.stories() == {name: first_line(inspect.getdoc(getattr(zoo, name))) for name in zoo.__all__}


def test_the_data_sets_reproductions_and_weights_read_from_the_files_are_those_imported():
    assert contents.data_sets() == {name: first_line(inspect.getdoc(source)) for name, source in SOURCES.items()}
    assert list(contents.reproductions().items()) == [(name, r.title) for name, r in REPRODUCTIONS.items()]
    assert contents.pretrained() == names()


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        ('"a"', "a"),
        ('"a" "b"', "ab"),
        ('f"after {WHO}"', "after Ann"),
        ('WHO.replace("n", "l")', "All"),
        ("main.__doc__ or ''", "Runs."),
        ("main", "Runs."),
    ],
)
def test_an_expression_of_constants_is_a_text(expression, text):
    source = Source("zoo.program")
    source.values["WHO"] = ast.parse('"Ann"', mode="eval").body
    source.docstrings["main"] = "Runs."
    assert source.text(ast.parse(expression, mode="eval").body) == text


def test_another_expression_is_refused_with_its_text():
    with pytest.raises(ValueError, match=r"line 1: expected a text, got print\(1\)"):
        Source("zoo.program").text(ast.parse("print(1)", mode="eval").body)
