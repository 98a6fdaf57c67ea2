"""Options that several commands share, with the ranges of their values."""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zoo.arguments import as_path
from zoo.cli.completion import data_names, hyperparameter_names, recipe_names
from zoo.cli.overrides import read

if TYPE_CHECKING:
    from zoo.lab.runs.finished import FinishedRun
    from zoo.lab.training.experiment import Recipe
    from zoo.lab.trials.trial import Measure, Trial

DEFAULT_RECIPE = "joint-vae/digits"
MOST = 10**9  # steps
LARGEST_SEED = 2**32 - 1  # NumPy's largest
PICTURES = (".png", ".svg", ".pdf", ".jpg", ".jpeg", ".tif", ".tiff", ".webp")


def name(text: str) -> str:
    """Parses a name; refuses an empty one."""
    if not text.strip():
        raise typer.BadParameter("it is empty; give a name, or leave the option out")
    return text


def path(text: str | Path) -> Path:
    """Parses the path of a folder, which may be missing; refuses an empty one, a file's, and one below a file."""
    found = _not_empty(text)
    try:
        there = next((p for p in (found, *found.parents) if p.exists()), found)
        is_folder = there.is_dir() or not there.exists()
    except OSError as error:
        raise typer.BadParameter(f"it cannot be a folder ({error.strerror}): name another one, got {text}") from None
    if not is_folder:
        raise typer.BadParameter(f"{there} is not a folder: name another one, got {text}")
    return found


def file(text: str | Path) -> Path:
    """Parses the path of an output file; its folder has to exist, and to be writable, before the work begins."""
    found = _not_empty(text)
    try:
        is_folder, has_folder = found.is_dir(), found.parent.is_dir()
    except OSError as error:
        raise typer.BadParameter(f"it cannot be a file ({error.strerror}): name another one, got {text}") from None
    if not has_folder:
        raise typer.BadParameter(f"the folder {found.parent} does not exist, got {text}: make it, or name another one")
    if is_folder:
        raise typer.BadParameter(f"it is a folder; give the name of a file, got {text}")
    try:
        refuse_unless_writable(found.parent, f"; name a file elsewhere, got {text}")
    except PermissionError as error:
        raise typer.BadParameter(str(error)) from None
    return found


def refuse_unless_writable(folder: Path, remedy: str) -> None:
    """Refuses a folder, or the first one above it that exists, before the work whose results would be lost.

    Args:
        folder: where something will be written.
        remedy: the rest of the message.

    Raises:
        PermissionError: nothing can be written there.
    """
    there = next((p for p in (folder, *folder.parents) if p.exists()), folder)
    if not os.access(there, os.W_OK | os.X_OK):
        raise PermissionError(f"nothing can be written in the folder {there}{remedy}")


def interpreter(text: str | Path) -> Path:
    """Parses the path of a Python interpreter that has another library to compare with."""
    from zoo.studies.workers import installed

    found = _not_empty(text)
    try:
        installed(found)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    return found


def picture_format(text: str) -> str:
    """Parses the format of pictures."""
    if text not in ("png", "svg", "pdf"):
        raise typer.BadParameter(f"it must be png, svg or pdf, got {text!r}")
    return text


def precision(text: str) -> str:
    """Parses the precision of a training step."""
    if text == "float32":  # the default, which is parsed even where names are completed, and the import takes long
        return text
    from zoo.lab.training.precision import PRECISIONS

    if text not in PRECISIONS:
        raise typer.BadParameter(f"it must be one of {', '.join(PRECISIONS)}, got {text!r}")
    return text


def picture(text: str | Path) -> Path:
    """Parses the path of a picture that matplotlib writes; refuses what `file` refuses, and other endings."""
    found = file(text)
    if found.suffix.lower() not in PICTURES:
        raise typer.BadParameter(f"a picture's name must end in one of {', '.join(PICTURES)}, got {text}")
    return found


def _not_empty(text: str | Path) -> Path:
    if not str(text).strip():
        raise typer.BadParameter("it is empty; give a path, or leave the option out")
    try:
        return as_path(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def rate(text: str) -> float:
    """Parses a positive and finite number."""
    value = _number(text)
    if not 0 < value < float("inf"):
        raise typer.BadParameter(f"it must be positive and finite, got {text}")
    return value


def whole(least: int, most: int) -> Callable[[str], int]:
    """Returns a parser of whole numbers in a range."""

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
    """Parses a positive number of at most a million."""
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
    str,
    typer.Argument(
        parser=name,
        metavar="RECIPE",
        help="A recipe; `list` shows them.",
        show_default=True,
        autocompletion=recipe_names,
    ),
]
Run = Annotated[Path, typer.Argument(parser=path, metavar="RUN", help="A finished run's folder.")]
DataName = Annotated[
    str | None,
    typer.Option(
        "--data",
        parser=name,
        help="A data set, or the path of your own data; else the recipe's.",
        autocompletion=data_names,
    ),
]
DataDir = Annotated[Path | None, typer.Option(parser=path, help="Folder of data files; else ZOO_DATA, else ./data.")]
Download = Annotated[bool, typer.Option("--download", help="Fetch data files that are missing.")]
Hyperparameters = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        help="A hyperparameter of the recipe, as in --set beta=2; repeatable.",
        autocompletion=hyperparameter_names,
    ),
]
DataOptions = Annotated[
    list[str] | None, typer.Option("--data-option", help="An option of the data set, as in size=32; repeatable.")
]
Steps = Annotated[int | None, typer.Option(parser=whole(1, MOST), help="Number of steps; the recipe's when not given.")]
Epochs = Annotated[float | None, typer.Option(parser=epochs, help="Length in passes over the training set.")]
BatchSize = Annotated[int | None, typer.Option(parser=whole(1, MOST), help="The recipe's when not given.")]
LearningRate = Annotated[float | None, typer.Option("--lr", parser=rate, help="Learning rate.")]
Seed = Annotated[int, typer.Option(parser=whole(0, LARGEST_SEED), help="Seed of weights, batches and draws.")]
Jobs = Annotated[
    int | None,
    typer.Option(
        parser=whole(1, 256), help="Parallel runs; the number of cores when not given, or all that a cluster takes."
    ),
]
Backend = Annotated[
    str, typer.Option(parser=name, help="Where runs train: loky (processes of this machine), dask or ray.")
]
Scheduler = Annotated[
    str | None,
    typer.Option(parser=name, metavar="ADDRESS", help="For --backend dask: a running cluster, as tcp://host:8786."),
]
Only = Annotated[
    int | None,
    typer.Option(parser=whole(1, MOST), metavar="K", help="Run trial K of --plan alone, as in a job array."),
]
Device = Annotated[str | None, typer.Option(parser=name, help="cpu, cuda or mps; chosen automatically when not given.")]
Compile = Annotated[
    bool, typer.Option("--compile", help="Trace and compile the step; takes a while before training begins.")
]
PRECISION_HELP = (
    "float32; bf16: networks in bfloat16, all else float32; medium: factors of matrix products in bfloat16."
)
Precision = Annotated[str, typer.Option(parser=precision, help=PRECISION_HELP)]
OwnPrecision = Annotated[
    str | None,
    typer.Option(
        "--precision", parser=precision, help=f"{PRECISION_HELP} The reproduction's own for each run when not given."
    ),
]
CheckpointEvery = Annotated[str, typer.Option(help="Interval of checkpoints: steps, as in 500, or seconds, as in 60s.")]
Format = Annotated[str, typer.Option(parser=picture_format, help="Format of the pictures: png, svg or pdf.")]
Slides = Annotated[
    bool, typer.Option("--slides", help="Draw for a projector: text of at least 14 points on a slide, thicker lines.")
]
Picture = Annotated[Path, typer.Option(parser=picture, help="File of the picture.")]


def given(context: typer.Context) -> list[str]:
    """The options and arguments that the command line gives, by their names there."""
    names = []
    for parameter in context.command.params:
        source = context.get_parameter_source(parameter.name) if parameter.name else None
        if source is not None and source.name == "COMMANDLINE":
            first = parameter.opts[0]
            names.append(first if first.startswith("-") else getattr(parameter, "metavar", None) or first.upper())
    return names


def refuse_with_only(context: typer.Context, only: int | None, *unused: str) -> None:
    """Refuses options that have no effect where --only runs a single trial in this process.

    Raises:
        ValueError: one is given.
    """
    found = [option for option in given(context) if option in unused]
    if only is not None and found:
        raise ValueError(
            f"{found[0]} cannot be combined with --only {only}, which trains one run in this process and writes no "
            "result: leave it out here, and give it to the command without --only"
        )


def hyperparameters(recipe: "Recipe", pairs: list[str] | None) -> dict[str, Any]:
    """The values of --set, converted to the recipe's types."""
    return read("--set", "hyperparameter", recipe.build, pairs or [])


def recipe(name: str) -> "Recipe":
    """The recipe called `name`, also one of `compare-guides`: "RECIPE under GUIDE".

    Raises:
        LookupError: there is none; the message lists the recipes.
    """
    from zoo.lab.training.experiment import find_recipe

    return find_recipe(name, _recipes(name))


def open_run(folder: Path, data_dir: Path | None, download: bool) -> "FinishedRun":
    """The finished run in `folder`, also one of `compare-guides`.

    Raises:
        FileNotFoundError, LookupError, ValueError: as `zoo.lab.runs.finished.open_run`.
    """
    from zoo.lab.runs import finished
    from zoo.lab.runs.folder import read_settings

    return finished.open_run(folder, _recipes(read_settings(folder)[0].recipe), data_dir, download)


def _recipes(name: str) -> "Mapping[str, Recipe]":
    """Every paper's recipes, and the one of this name where it is one of `compare-guides`."""
    from zoo.papers.recipes import RECIPES

    if " " not in name:  # as in every name but theirs: the import takes a moment
        return RECIPES
    from zoo.studies.guide_gap.comparison import with_swapped

    return with_swapped(RECIPES, name)


def data_options(source: str, pairs: list[str] | None) -> dict[str, Any]:
    """The values of --data-option, converted to the types of the data set's options."""
    from zoo.lab.data import SOURCES
    from zoo.lab.data.from_disk import yours

    return read("--data-option", "option", SOURCES.get(source, yours), pairs or [])


def data_of(recipe: "Recipe", data: str | None, pairs: list[str] | None) -> tuple[str, dict[str, Any]]:
    """The data set and its options: the recipe's, unless they are given."""
    from zoo.lab.data import absolute

    source = absolute(data) if data else recipe.data
    own = dict(recipe.data_options) if source == recipe.data else {}
    return source, {**own, **data_options(source, pairs)}


def stem(recipe: str, data: str) -> str:
    """A run's folder name: recipe-data, or the recipe's name alone where it ends in the data's."""
    return (recipe if recipe.endswith(f"/{data}") else f"{recipe}-{Path(data).name}").replace("/", "-")


def list_or_run(work: "Sequence[tuple[Measure, Trial]]", plan: bool, only: int | None) -> None:
    """What --plan and --only do: prints the trials, or runs one of them."""
    from zoo.lab.trials.job_array import listed, run_only

    if plan and only is not None:
        raise ValueError(f"--plan lists the trials and --only {only} runs one of them: give one of the two")
    if only is None:
        print(listed(work))
    else:
        print(f"finished trial {only} of {len(work)}: {run_only(work, only).folder}")
