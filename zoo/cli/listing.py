"""`list`, `show`, `metrics` and `data`: lists of recipes, objectives, metrics and data sets."""

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from zoo.cli.options import DEFAULT_RECIPE, DataDir, DataOptions, Picture, RecipeName, data_options, given, name, recipe


def list_everything() -> None:
    """Lists recipes, objectives, stories, data sets, reproductions and pretrained pairs."""
    from zoo.cli import contents

    recipes = contents.recipes().items()
    _section("recipes", {known: f"{r.text}  [{r.paper}; {r.data}]" for known, r in recipes})
    print("\nobjectives (zoo.elbos), in the letters of HFVAE's Figures 1 and 3, each a signed term of the ELBO:")
    print("1+3: E[log p(x | z)]; 2: -I(x; z); 4: -KL(q(z) || p(z)), the sum of A, i and ii;")
    print("A: -TC between groups of latents; i: -TC within groups; ii: -KL of each latent dimension")
    objectives = contents.objectives()
    width = max(map(len, objectives))
    for known, (line, weights) in objectives.items():
        print(f"  {known:<{width}} {line}\n  {'':<{width}} {weights}")
    _section("\nstories (zoo)", contents.stories())
    _section("\ndata", contents.data_sets())
    _section("\nreproductions", contents.reproductions())
    print("\npretrained (zoo.papers.pretrained)\n  " + "\n  ".join(contents.pretrained()))


def first_line(thing: object) -> str:
    """The first line of a text or of a docstring."""
    return (thing if isinstance(thing, str) else inspect.getdoc(thing) or "").splitlines()[0]


def _section(title: str, lines: Mapping[str, str]) -> None:
    """Prints names in one column, each with its line."""
    print(title)
    width = max(map(len, lines))
    for known, line in lines.items():
        print(f"  {known:<{width}} {line}")


def show(recipe_name: RecipeName = DEFAULT_RECIPE) -> None:
    """Shows a recipe: its description, hyperparameters with their defaults, paper, data, and cost. Reads no data."""
    import torch

    from zoo.cli.overrides import keywords
    from zoo.lab.data.catalogue import ABOUT
    from zoo.lab.data.stand_in import stand_in

    chosen = recipe(recipe_name)
    split = stand_in(chosen.data, **chosen.data_options)
    torch.manual_seed(0)
    experiment = chosen.build(split)
    parts = {"model": experiment.model, "guide": experiment.guide}
    sizes = {part: sum(p.numel() for p in module.parameters()) for part, module in parts.items()}
    options = "".join(f", {option} = {value}" for option, value in chosen.data_options.items())
    passes = experiment.steps * experiment.batch_size / len(split.train)
    print(f"{recipe_name}\n\n{chosen.description}\n\nhyperparameters (--set name=value), and their defaults")
    known = keywords(chosen.build)
    for keyword in known.values():
        print(f"  {keyword.name:<{max(map(len, known))}}  {keyword.default}")
    print(f"\npaper      {chosen.paper}")
    print(f"data       {chosen.data}{options}: {ABOUT[chosen.data].holds}")
    print(f"objective  {type(experiment.elbo).__name__}: {first_line(type(experiment.elbo))}")
    print(
        f"cost       {experiment.steps:,} steps of {experiment.batch_size} ({passes:,.1f} epochs) at learning rate "
        f"{experiment.lr:g}; parameters: {', '.join(f'{size:,} of the {part}' for part, size in sizes.items())}"
    )


def list_metrics(
    check: Annotated[
        bool, typer.Option("--self-check", help="Compute the metrics of codes whose scores are known.")
    ] = False,
) -> None:
    """Lists the disentanglement metrics that `evaluate` prints; --self-check tests them on codes with known scores."""
    from zoo import metrics

    if check:
        print(metrics.self_check())
        return
    for metric_name in metrics.__all__:
        metric = getattr(metrics, metric_name)
        if inspect.isfunction(metric):
            print(f"  {metric_name:<34} {first_line(metric)}")


def list_data(
    context: typer.Context,
    data_dir: DataDir = None,
    sheet: Annotated[str | None, typer.Option(parser=name, help="A data set whose contact sheet to write.")] = None,
    data_options_: DataOptions = None,
    out: Picture = Path("sheet.png"),
    bench: Annotated[bool, typer.Option("--bench", help="Measure batches per second instead.")] = False,
) -> None:
    """Lists the data sets: whether each is present, where it was looked for, sizes, licences, citations."""
    of_a_sheet = [option for option in given(context) if option not in ("--bench", "--data-dir")]
    if bench and of_a_sheet:
        raise ValueError(f"--bench measures every data set: leave out {of_a_sheet[0]}")
    if of_a_sheet and not sheet:
        raise ValueError(f"{of_a_sheet[0]} is an option of a contact sheet: name its data set, as in --sheet digits")
    if bench:
        from zoo.studies.data_rate import bench as measure

        measure(data_dir)
    elif sheet:
        from zoo.lab.data import load
        from zoo.lab.files import naming
        from zoo.lab.plots.contact_sheet import contact_sheet

        split = load(sheet, folder=data_dir, **data_options(sheet, data_options_))
        with naming(out):
            contact_sheet(split.train).savefig(out)
        print(f"wrote {out}")
    else:
        from zoo.lab.data.catalogue import print_catalogue

        print_catalogue(data_dir)
