"""`reproduce`: runs a paper's experiments over seeds, and compares the results with the paper's."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from zoo.cli.completion import reproduction_names
from zoo.cli.options import Compile, DataDir, Device, Download, Jobs, name, path, whole


def reproduce(
    reproduction: Annotated[
        str | None,
        typer.Argument(
            parser=name,
            metavar="REPRODUCTION",
            help="A reproduction; without it, all are listed.",
            autocompletion=reproduction_names,
        ),
    ] = None,
    seeds: Annotated[
        int | None, typer.Option(parser=whole(1, 1_000), help="Number of seeds; the budget's when not given.")
    ] = None,
    budget: Annotated[
        str, typer.Option(parser=name, help="full: the paper's length; short: feasible on a CPU.")
    ] = "full",
    jobs: Jobs = 1,
    runs: Annotated[
        Path, typer.Option(parser=path, help="Folder of the runs; finished ones are not run again.")
    ] = Path("runs/reproduce"),
    out: Annotated[
        Path | None,
        typer.Option(parser=path, help="Folder of the result; results/ in the paper's package when not given."),
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Replace a result of a larger budget or of more seeds.")
    ] = False,
    weights: Annotated[
        Path | None, typer.Option(parser=path, help="A folder in which to keep the best seed's weights.")
    ] = None,
    table: Annotated[
        bool,
        typer.Option("--table", help="Only write the papers' pages and the README's table, from the stored results."),
    ] = False,
    device: Device = None,
    compile: Compile = False,
    data_dir: DataDir = None,
    download: Download = False,
) -> None:
    """Runs a paper's experiments over seeds, and writes the results next to the numbers that the paper reports."""
    from zoo import papers
    from zoo.lab.trials.card import card
    from zoo.papers.reproductions import REPRODUCTIONS

    if table:
        from zoo.papers.pages import write_pages

        for written in write_pages():
            print(f"wrote {written}")
        return
    if reproduction is None:
        for known, about in REPRODUCTIONS.items():
            print(f"  {known:<34} {about.title}  [{about.paper}]")
        return
    length: Any = budget  # checked by reproduce
    done = papers.reproduce(
        reproduction,
        seeds=seeds,
        budget=length,
        jobs=jobs,
        runs=runs,
        out=out,
        replace=replace,
        weights=weights,
        device=device,
        compile=compile,
        data_dir=data_dir,
        download=download,
    )
    for failure in done.failures:
        print(f"failed: {failure}", file=sys.stderr)
    if weights:
        print(f"kept the best seed's weights in {weights}")
    print(card(done.result))
    print(f"wrote {done.path}; `reproduce --table` writes the paper's page")
    if done.failures:
        raise ValueError(f"{len(done.failures)} trials failed and are not in the result; run the command again")
