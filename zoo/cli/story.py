"""`story`: a recipe's story, read off its trace."""

import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zoo.cli.options import (
    DEFAULT_RECIPE,
    DataDir,
    DataName,
    DataOptions,
    Download,
    Hyperparameters,
    RecipeName,
    data_of,
    file,
    hyperparameters,
    name,
    recipe,
)

if TYPE_CHECKING:
    from zoo.lab.data import Split
    from zoo.lab.story import Story
    from zoo.lab.training.experiment import Recipe


def story(
    recipe_name: RecipeName = DEFAULT_RECIPE,
    data: DataName = None,
    data_dir: DataDir = None,
    download: Download = False,
    data_options: DataOptions = None,
    set_: Hyperparameters = None,
    guide: Annotated[bool, typer.Option("--guide", help="Show the guide as well as the model.")] = False,
    swap: Annotated[
        str | None, typer.Option(parser=name, help="Another guide, such as flow; one of those of `compare-guides`.")
    ] = None,
    latex: Annotated[bool, typer.Option("--latex", help="Print distributions, guide and objective in LaTeX.")] = False,
    graph: Annotated[
        Path | None,
        typer.Option(
            parser=file, help="Also draw the plate diagram: FILE.svg, .png, .pdf, .tex for TikZ or .gv for graphviz."
        ),
    ] = None,
    diff: Annotated[
        str | None, typer.Option(parser=name, help="Show the line-by-line difference from another recipe, such as vae.")
    ] = None,
    color: Annotated[
        bool | None, typer.Option(help="Use colours; the default in a terminal, unless NO_COLOR is set.")
    ] = None,
) -> None:
    """Shows a recipe's story, read off its trace, and each site's contribution to the objective on one batch."""
    from zoo.lab.data.stand_in import load_or_stand_in

    if latex and diff:
        raise ValueError(f"--diff {diff} shows two stories line by line, and --latex prints one: give one of the two")
    chosen = recipe(recipe_name)
    other = recipe(diff) if diff else None
    source, options = data_of(chosen, data, data_options)
    split, missing = load_or_stand_in(source, folder=data_dir, download=download, **options)
    most = 2 if latex and not graph else None  # LaTeX shows no number, and a batch of large images takes seconds
    whole = _story(chosen, split, hyperparameters(chosen, set_), swap, most)
    shown = whole if guide or swap or diff else replace(whole, guide=None)
    if latex:
        print(whole.latex())
    elif other:
        try:
            plain = _story(other, split)
        except (
            ValueError,
            TypeError,
        ):  # a likelihood that does not fit these data, such as that of points in the plane
            print(f"{diff} cannot use the data {source}; shown on {other.data}")
            plain = _story(other, load_or_stand_in(other.data, folder=data_dir, **other.data_options)[0])
        in_colour = sys.stdout.isatty() and not os.environ.get("NO_COLOR") if color is None else color
        difference = shown.diff(plain)
        print(difference.coloured() if in_colour else difference)
    else:
        print(chosen.description.split("Args:")[0])
        print(f"{shown}\n\nuntrained, from seed 0")
    if missing:
        print(missing, file=sys.stderr)
    if graph:
        whole.graph(graph)
        print(f"\nwrote {graph}", file=sys.stderr)


def _story(
    chosen: "Recipe",
    data: "Split",
    settings: dict[str, Any] | None = None,
    guide: str | None = None,
    most: int | None = None,
) -> "Story":
    """The recipe's story on a batch of the data, untrained from seed 0, with another guide where one is named.

    The batch is the recipe's, or of `most` datapoints where that is given.
    """
    import pyro
    import torch

    from zoo.lab.story import story as tell
    from zoo.studies.guide_gap.recipes import swap

    pyro.set_rng_seed(0)
    experiment = chosen.build(data, **(settings or {}))
    if guide:
        experiment = swap(experiment, guide)
    rows = torch.arange(min(most or experiment.batch_size, len(data.train)))
    return tell(experiment.model, experiment.guide, experiment.elbo, data.train.batch(rows, labels=experiment.labels))
