"""`compare-guides`: trains a recipe under several guides and compares them."""

from pathlib import Path
from typing import Annotated, Any

import typer

from zoo.cli.options import (
    DEFAULT_RECIPE,
    MOST,
    Backend,
    BatchSize,
    CheckpointEvery,
    Compile,
    DataDir,
    DataName,
    DataOptions,
    Device,
    Download,
    Epochs,
    Format,
    Hyperparameters,
    LearningRate,
    Precision,
    RecipeName,
    Scheduler,
    Seed,
    Slides,
    Steps,
    data_of,
    hyperparameters,
    name,
    path,
    stem,
    whole,
)


def compare_guides(
    recipe_name: RecipeName = DEFAULT_RECIPE,
    guides: Annotated[
        str, typer.Option(parser=name, help="Names, separated by commas.")
    ] = "mean-field,full-rank,flow,semi-amortised",
    data: DataName = None,
    data_dir: DataDir = None,
    download: Download = False,
    data_options: DataOptions = None,
    set_: Hyperparameters = None,
    steps: Steps = None,
    epochs: Epochs = None,
    batch_size: BatchSize = None,
    lr: LearningRate = None,
    images: Annotated[
        int | None,
        typer.Option(
            parser=whole(1, MOST), help="Number of test datapoints; by default all, or 500 with convolutions."
        ),
    ] = None,
    samples: Annotated[
        int | None,
        typer.Option(
            parser=whole(1, 10**6), help="Importance samples per datapoint; by default 5000, or 1000 with convolutions."
        ),
    ] = None,
    gap_images: Annotated[
        int | None,
        typer.Option(parser=whole(1, MOST), help="Number of these on which the gap is split; by default 200, or all."),
    ] = None,
    seed: Seed = 0,
    jobs: Annotated[
        int | None,
        typer.Option(
            parser=whole(1, 256), help="Number of guides that train at once; steps are then timed while others train."
        ),
    ] = 1,
    backend: Backend = "loky",
    scheduler: Scheduler = None,
    device: Device = None,
    compile: Compile = False,
    precision: Precision = "float32",
    out: Annotated[
        Path | None, typer.Option(parser=path, help="Output folder; compare/RECIPE-DATA when not given.")
    ] = None,
    checkpoint_every: CheckpointEvery = "60s",
    format: Format = "png",
    slides: Slides = False,
) -> None:
    """Trains a recipe under several guides, and shows each one's gap to the log evidence, its parts, and its cost."""
    from zoo.lab.plots import Picture, drawn_as, gap_bars, save_pictures
    from zoo.lab.runs.train import Every
    from zoo.papers import recipe
    from zoo.studies.guide_gap.comparison import compare_guides as compare
    from zoo.studies.guide_gap.comparison import table

    chosen = recipe(recipe_name)
    source, options = data_of(chosen, data, data_options)
    folder = out or Path("compare") / stem(recipe_name, source)
    drawn: Any = {"format": format, "slides": slides}
    done = compare(
        chosen,
        [guide.strip() for guide in guides.split(",")],
        folder,
        images=images,
        samples=samples,
        gap_images=gap_images,
        every=Every.parse(checkpoint_every),
        jobs=jobs,
        backend=backend,
        scheduler=scheduler,
        **drawn,
        hyperparameters=hyperparameters(chosen, set_),
        data=source,
        data_options=options,
        steps=steps,
        epochs=epochs,
        batch_size=batch_size,
        lr=lr,
        seed=seed,
        device=device,
        compile=compile,
        precision=precision,
        data_dir=data_dir,
        download=download,
    )
    print(table(done.result))
    with drawn_as(**drawn):
        gaps = Picture(gap_bars(done.result["guides"]), "each guide's gap, and its parts")
        for file, caption in save_pictures({"gaps.png": gaps}, folder).items():
            print(f"{folder / file}  {caption}")
    if done.failures:
        raise ValueError(f"{len(done.failures)} guides failed and are not in the table; run the command again")
