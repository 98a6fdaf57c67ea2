"""Names that a shell completes: recipes, data sets, hyperparameters, reproductions.

They are in names.json, so that a key press does not wait for PyTorch; a test compares the file with the code.

    python -m zoo.cli.completion     # writes names.json again
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

NAMES = Path(__file__).with_name("names.json")


def recipe_names(incomplete: str) -> Iterator[str]:
    """The recipes whose names begin with `incomplete`."""
    return _beginning(incomplete, _names()["recipes"])


def data_names(incomplete: str) -> Iterator[str]:
    """The data sets whose names begin with `incomplete`."""
    return _beginning(incomplete, _names()["data"])


def reproduction_names(incomplete: str) -> Iterator[str]:
    """The reproductions whose names begin with `incomplete`."""
    return _beginning(incomplete, _names()["reproductions"])


def hyperparameter_names(context: typer.Context, incomplete: str) -> Iterator[str]:
    """The hyperparameters of the recipe on the command line, as `name=`; of every recipe where it has none."""
    recipes = _names()["recipes"]
    every = sorted({name for names in recipes.values() for name in names})
    # Right after `--set` the parser stops before it has read the recipe, which is then among the remaining arguments.
    typed = [word for word in (*context.args, context.params.get("recipe_name")) if word in recipes]
    return (f"{name}=" for name in _beginning(incomplete, recipes[typed[0]] if typed else every))


def current_names() -> dict[str, Any]:
    """The content of names.json as the code has it; imports PyTorch."""
    from zoo.cli.overrides import keywords
    from zoo.lab.data import SOURCES
    from zoo.papers.recipes import RECIPES
    from zoo.papers.reproductions import REPRODUCTIONS

    return {
        "recipes": {name: list(keywords(recipe.build)) for name, recipe in RECIPES.items()},
        "data": list(SOURCES),
        "reproductions": list(REPRODUCTIONS),
    }


def _names() -> dict[str, Any]:
    names: dict[str, Any] = json.loads(NAMES.read_text(encoding="utf-8"))
    return names


def _beginning(incomplete: str, names: Any) -> Iterator[str]:
    return (name for name in names if name.startswith(incomplete))


if __name__ == "__main__":
    NAMES.write_text(json.dumps(current_names(), indent=1) + "\n", encoding="utf-8")
