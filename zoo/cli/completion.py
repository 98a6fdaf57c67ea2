"""Names that a shell completes: recipes, data sets, hyperparameters, reproductions.

A key press must not wait for PyTorch, so most names are read from the text of the files (`zoo.cli.contents`).
Hyperparameters are the arguments of functions and partial functions: they are in hyperparameters.json, and a test
compares the file with the code.

    python -m zoo.cli.completion     # writes hyperparameters.json again
"""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

import typer

from zoo.cli import contents

HYPERPARAMETERS = Path(__file__).with_name("hyperparameters.json")


def recipe_names(incomplete: str) -> Iterator[str]:
    """The recipes whose names begin with `incomplete`."""
    return _beginning(incomplete, contents.recipes())


def data_names(incomplete: str) -> Iterator[str]:
    """The data sets whose names begin with `incomplete`."""
    return _beginning(incomplete, contents.data_sets())


def reproduction_names(incomplete: str) -> Iterator[str]:
    """The reproductions whose names begin with `incomplete`."""
    return _beginning(incomplete, contents.reproductions())


def hyperparameter_names(context: typer.Context, incomplete: str) -> Iterator[str]:
    """The hyperparameters of the recipe on the command line, as `name=`; of every recipe where it has none."""
    recipes: dict[str, list[str]] = json.loads(HYPERPARAMETERS.read_text(encoding="utf-8"))
    every = sorted({name for names in recipes.values() for name in names})
    # Right after `--set` the parser stops before it has read the recipe, which is then among the remaining arguments.
    typed = [word for word in (*context.args, context.params.get("recipe_name")) if word in recipes]
    return (f"{name}=" for name in _beginning(incomplete, recipes[typed[0]] if typed else every))


def current_hyperparameters() -> dict[str, list[str]]:
    """What hyperparameters.json should hold, read from the code; imports PyTorch."""
    from zoo.cli.overrides import keywords
    from zoo.papers.recipes import RECIPES

    return {name: list(keywords(recipe.build)) for name, recipe in RECIPES.items()}


def _beginning(incomplete: str, names: Iterable[str]) -> Iterator[str]:
    return (name for name in names if name.startswith(incomplete))


if __name__ == "__main__":
    HYPERPARAMETERS.write_text(json.dumps(current_hyperparameters(), indent=1) + "\n", encoding="utf-8")
