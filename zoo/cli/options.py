"""Options that several commands share, each written once, with the range that its values have."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zoo.cli.overrides import read

if TYPE_CHECKING:
    from zoo.lab.training.experiment import Recipe

DEFAULT_RECIPE = "joint-vae/digits"
MOST = 10**9  # steps
LARGEST_SEED = 2**32 - 1  # NumPy takes no larger one


def name(text: str) -> str:
    """A name that is not empty."""
    if not text.strip():
        raise typer.BadParameter("it is empty; give a name, or leave the option out")
    return text


def path(text: str | Path) -> Path:
    """A path that is not empty."""
    if not str(text).strip():
        raise typer.BadParameter("it is empty; give a path, or leave the option out")
    return Path(text)


def file(text: str | Path) -> Path:
    """A file to be written after work that may take long: its folder has to exist before."""
    found = path(text)
    if not found.parent.is_dir():
        raise typer.BadParameter(f"the folder {found.parent} does not exist, got {text}")
    if found.is_dir():
        raise typer.BadParameter(f"it is a folder, and a file's name is needed, got {text}")
    return found


def rate(text: str) -> float:
    """A positive and finite number."""
    value = _number(text)
    if not 0 < value < float("inf"):
        raise typer.BadParameter(f"it must be positive and finite, got {text}")
    return value


def whole(least: int, most: int) -> Callable[[str], int]:
    """A parser of whole numbers in a range."""

    def number(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise typer.BadParameter(f"it must be a whole number, got {text!r}") from None
        if not least <= value <= most:
            raise typer.BadParameter(f"it must be from {least:,} to {most:,}, got {text}")
        return value

    return number


def epochs(text: str) -> float:
    """A positive number of at most a million."""
    value = _number(text)
    if not 0 < value <= 1e6:
        raise typer.BadParameter(f"it must be above 0 and at most 1,000,000, got {text}")
    return value


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise typer.BadParameter(f"it must be a number, got {text!r}") from None


RecipeName = Annotated[
    str, typer.Argument(parser=name, metavar="RECIPE", help="A recipe; `list` shows them.", show_default=True)
]
Run = Annotated[Path, typer.Argument(parser=path, metavar="RUN", help="A finished run's folder.")]
DataName = Annotated[
    str | None, typer.Option("--data", parser=name, help="A data set, or a path to your own; else the recipe's own.")
]
DataDir = Annotated[Path | None, typer.Option(parser=path, help="Where data files are; ZOO_DATA, else ./data.")]
Download = Annotated[bool, typer.Option("--download", help="Fetch data files that are missing.")]
Hyperparameters = Annotated[
    list[str] | None, typer.Option("--set", help="A hyperparameter of the recipe, as in --set beta=2; repeatable.")
]
DataOptions = Annotated[
    list[str] | None, typer.Option("--data-option", help="An option of the data set, as in size=32; repeatable.")
]
Steps = Annotated[int | None, typer.Option(parser=whole(1, MOST), help="How long; the recipe's own when not given.")]
Epochs = Annotated[float | None, typer.Option(parser=epochs, help="How long, in passes over the training set.")]
BatchSize = Annotated[int | None, typer.Option(parser=whole(1, MOST), help="The recipe's own when not given.")]
LearningRate = Annotated[float | None, typer.Option("--lr", parser=rate, help="Learning rate.")]
Seed = Annotated[int, typer.Option(parser=whole(0, LARGEST_SEED), help="Of weights, batches and draws.")]
Jobs = Annotated[int, typer.Option(parser=whole(1, 256), help="Runs at once, each on its share of the cores.")]
Device = Annotated[str | None, typer.Option(parser=name, help="cpu, cuda, mps; found when not given.")]
Compile = Annotated[bool, typer.Option("--compile", help="Trace and compile the step; slow to begin.")]
CheckpointEvery = Annotated[str, typer.Option(help="Between checkpoints: steps, 500; or seconds, 60s.")]
Picture = Annotated[Path, typer.Option(parser=file, help="The picture's file.")]


def hyperparameters(recipe: "Recipe", pairs: list[str] | None) -> dict[str, Any]:
    """The values of --set, read as the recipe's types."""
    return read("--set", "hyperparameter", recipe.build, pairs or [])


def data_options(source: str, pairs: list[str] | None) -> dict[str, Any]:
    """The values of --data-option, read as the types of the data set's options."""
    from zoo.lab.data import SOURCES
    from zoo.lab.data.from_disk import yours

    return read("--data-option", "option", SOURCES.get(source, yours), pairs or [])


def data_of(recipe: "Recipe", data: str | None, pairs: list[str] | None) -> tuple[str, dict[str, Any]]:
    """The data set and its options: the recipe's own, except where they are given."""
    from zoo.lab.data import absolute

    source = absolute(data) if data else recipe.data
    own = dict(recipe.data_options) if source == recipe.data else {}
    return source, {**own, **data_options(source, pairs)}


def stem(recipe: str, data: str) -> str:
    """A run's folder name: recipe-data, or the recipe's name alone where it ends in the data's."""
    return (recipe if recipe.endswith(f"/{data}") else f"{recipe}-{Path(data).name}").replace("/", "-")
