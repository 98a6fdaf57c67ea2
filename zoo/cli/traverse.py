"""`traverse`: pictures of what a finished run's latents mean."""

from pathlib import Path
from typing import Annotated

import typer

from zoo.cli.options import LARGEST_SEED, MOST, DataDir, Download, Run, name, path, whole


def traverse(
    folder: Run,
    site: Annotated[str | None, typer.Option(parser=name, help="This site alone.")] = None,
    unit: Annotated[int | None, typer.Option(parser=whole(0, MOST), help="This unit of it alone.")] = None,
    datapoint: Annotated[
        int | None, typer.Option(parser=whole(0, MOST), help="Of the test set, to start from; the first one.")
    ] = None,
    prior: Annotated[
        int | None, typer.Option(parser=whole(0, LARGEST_SEED), help="Start from a draw of the prior, with this seed.")
    ] = None,
    values: Annotated[
        str, typer.Option(parser=name, help="wide: -3 to 3; quantiles: a normal's 0.05 to 0.95.")
    ] = "wide",
    beside: Annotated[
        Path | None, typer.Option(parser=path, help="Another run's folder, to be shown next to this one.")
    ] = None,
    out: Annotated[Path | None, typer.Option(parser=path, help="Where to; RUN/traverse when not given.")] = None,
    data_dir: DataDir = None,
    download: Download = False,
) -> None:
    """Shows what a run's latents mean: images with one latent changed at a time, and an animation of them."""
    from zoo.lab.runs.traverse import traverse as draw
    from zoo.papers import open_run

    run = open_run(folder, data_dir, download)
    other = open_run(beside, data_dir, download) if beside else None
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
