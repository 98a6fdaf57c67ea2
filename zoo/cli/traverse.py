"""`traverse`: pictures of the latents of a finished run."""

from pathlib import Path
from typing import Annotated

import typer

from zoo.cli.options import (
    LARGEST_SEED,
    MOST,
    DataDir,
    Download,
    Format,
    Run,
    Slides,
    name,
    open_run,
    path,
    refuse_unless_writable,
    whole,
)


def traverse(
    folder: Run,
    site: Annotated[str | None, typer.Option(parser=name, help="Only this site.")] = None,
    unit: Annotated[
        int | None, typer.Option(parser=whole(0, MOST), help="Only this unit (latent dimension) of the site.")
    ] = None,
    datapoint: Annotated[
        int | None,
        typer.Option(parser=whole(0, MOST), help="Test datapoint to start from; the first one when not given."),
    ] = None,
    prior: Annotated[
        int | None, typer.Option(parser=whole(0, LARGEST_SEED), help="Start from a draw of the prior, with this seed.")
    ] = None,
    values: Annotated[
        str, typer.Option(parser=name, help="wide: -3 to 3; quantiles: 0.05 to 0.95 of a standard normal.")
    ] = "wide",
    beside: Annotated[
        Path | None, typer.Option(parser=path, help="Another run's folder, shown next to this one.")
    ] = None,
    out: Annotated[Path | None, typer.Option(parser=path, help="Output folder; RUN/traverse when not given.")] = None,
    format: Format = "png",
    slides: Slides = False,
    data_dir: DataDir = None,
    download: Download = False,
) -> None:
    """Draws images in which one latent of a run changes at a time, and an animation of them."""
    from zoo.lab.plots import drawn_as
    from zoo.lab.runs.traverse import traverse as draw

    refuse_unless_writable(out or folder / "traverse", ", where the pictures go: name another one with --out")
    run = open_run(folder, data_dir, download)
    other = open_run(beside, data_dir, download) if beside else None
    with drawn_as(format, slides=slides):
        pictures = draw(
            run,
            out or folder / "traverse",
            site=site,
            unit=unit,
            datapoint=datapoint,
            prior=prior,
            values=values,
            beside=other,
        )
    for file, what in pictures.items():
        print(f"{file}  {what}")
