"""`sweep`: restarts of a recipe over seeds and hyperparameters."""

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from zoo.cli.options import (
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
    Jobs,
    LearningRate,
    Only,
    Precision,
    RecipeName,
    Scheduler,
    Slides,
    Steps,
    data_of,
    hyperparameters,
    list_or_run,
    path,
    refuse_with_only,
    stem,
    whole,
)


def sweep(
    context: typer.Context,
    recipe_name: RecipeName,
    seeds: Annotated[
        int, typer.Option(parser=whole(1, 1_000), help="Number of restarts of each setting, with seeds from 0.")
    ] = 3,
    axes: Annotated[
        list[str] | None,
        typer.Option(
            "--grid", help="A hyperparameter and its values, as in beta=2,3,4; several give all combinations."
        ),
    ] = None,
    data: DataName = None,
    data_dir: DataDir = None,
    download: Download = False,
    data_options: DataOptions = None,
    set_: Hyperparameters = None,
    steps: Steps = None,
    epochs: Epochs = None,
    batch_size: BatchSize = None,
    lr: LearningRate = None,
    jobs: Jobs = None,
    backend: Backend = "loky",
    scheduler: Scheduler = None,
    plan: Annotated[bool, typer.Option("--plan", help="Only print the trials, a numbered line for each.")] = False,
    only: Only = None,
    together: Annotated[
        bool,
        typer.Option("--together", help="Train runs of one form as one, in this process; for GPUs and small networks."),
    ] = False,
    device: Device = None,
    compile: Compile = False,
    precision: Precision = "float32",
    out: Annotated[
        Path | None, typer.Option(parser=path, help="Output folder; runs/sweep/RECIPE-DATA when not given.")
    ] = None,
    checkpoint_every: CheckpointEvery = "60s",
    format: Format = "png",
    slides: Slides = False,
) -> None:
    """Trains a recipe over seeds and hyperparameters, into one table and pictures; repeat the command to resume."""
    from zoo import papers
    from zoo.cli.overrides import grid
    from zoo.lab.plots import Picture, drawn_as, plot_sweep, save_pictures
    from zoo.lab.runs.train import Every

    refuse_with_only(context, only, "--jobs", "--backend", "--scheduler", "--together", "--format", "--slides")
    chosen = papers.recipe(recipe_name)
    source, options = data_of(chosen, data, data_options)
    fixed = hyperparameters(chosen, set_)
    folder = out or Path("runs/sweep") / stem(recipe_name, source)
    settings = {
        "grid": grid(chosen.build, axes or [], fixed),
        "seeds": seeds,
        "hyperparameters": fixed,
        "data": source,
        "data_options": options,
        "steps": steps,
        "epochs": epochs,
        "batch_size": batch_size,
        "lr": lr,
        "device": device,
        "compile": compile,
        "precision": precision,
        "data_dir": data_dir,
        "download": download,
        "every": Every.parse(checkpoint_every),
    }
    if plan or only is not None:
        list_or_run(papers.plan_sweep(recipe_name, folder, **settings).work, plan, only)
        return
    done = papers.sweep(
        recipe_name,
        folder,
        jobs=jobs,
        together=together,
        backend=backend,
        scheduler=scheduler,
        command=shlex.join(["python", "-m", "zoo", *sys.argv[1:]]),
        **settings,
    )
    print(done.files[1].read_text(encoding="utf-8"))
    with drawn_as(format, slides=slides):
        drawn = {along: plot_sweep(done.table, done.axes, along) for along in done.axes or (None,)}
        pictures = {f"sweep-{along}.png" if along else "sweep.png": Picture(drawn[along], "") for along in drawn}
        files = [*done.files, *(folder / file for file in save_pictures(pictures, folder))]
    print(f"wrote {' and '.join(map(str, files))}")
    if failed := len(done.failures):
        total = failed + len(done.table)
        raise ValueError(f"{failed} of {total} runs failed and are not in the table; run the command again")
