"""`train`: trains a recipe into a folder, or resumes a run that was stopped."""

import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zoo.cli.listing import first_line
from zoo.cli.options import (
    DEFAULT_RECIPE,
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
    Seed,
    Slides,
    Steps,
    data_of,
    hyperparameters,
    path,
    recipe,
    stem,
)
from zoo.cli.options import data_options as read_data_options

if TYPE_CHECKING:
    from zoo.lab.data import Split
    from zoo.lab.runs.folder import Settings
    from zoo.lab.runs.train import Every
    from zoo.lab.training.experiment import Experiment


def train(
    context: typer.Context,
    recipe_name: RecipeName = DEFAULT_RECIPE,
    data: DataName = None,
    data_dir: DataDir = None,
    download: Download = False,
    data_options: DataOptions = None,
    set_: Hyperparameters = None,
    steps: Steps = None,
    epochs: Epochs = None,
    batch_size: BatchSize = None,
    lr: LearningRate = None,
    seed: Seed = 0,
    device: Device = None,
    compile: Compile = False,
    precision: Precision = "float32",
    out: Annotated[
        Path | None, typer.Option(parser=path, help="The run's folder; runs/RECIPE-DATA when not given.")
    ] = None,
    threads: Annotated[
        str | None,
        typer.Option(
            help="Number of CPU threads, or auto: the faster of one and all in the first steps, recorded, and used "
            "again by --resume. PyTorch's own when not given. OMP_NUM_THREADS is used where it is set."
        ),
    ] = None,
    checkpoint_every: CheckpointEvery = "60s",
    format: Format = "png",
    slides: Slides = False,
    resume: Annotated[
        Path | None, typer.Option(parser=path, help="Resume the stopped or killed run in this folder.")
    ] = None,
) -> None:
    """Trains a recipe, and writes numbers, pictures and weights to a folder."""
    from zoo.lab.plots import drawn_as
    from zoo.lab.runs.finished import configure
    from zoo.lab.runs.folder import free_folder, new_folder
    from zoo.lab.runs.train import Every
    from zoo.lab.training.processes import check_shards, launcher, started

    every, count = Every.parse(checkpoint_every), _count(threads)
    if resume is not None:
        with drawn_as(format, slides=slides):
            _resume(context, resume, data_dir, download, every)
        return
    chosen = recipe(recipe_name)
    source, options = data_of(chosen, data, data_options)
    computed_in: Any = precision  # which its parser has checked
    settings, split, experiment = configure(
        chosen,
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
        precision=computed_in,
        data_dir=data_dir,
        download=download,
    )
    if count is not None:
        _set_threads(count, experiment, split, settings)
    rank, processes = started()
    check_shards(settings.batch_size, processes)
    if processes > 1:
        _check_shared(experiment, settings, processes)
    if rank:  # another process of the same run writes
        folder = out or Path("runs")
    else:
        folder = new_folder(out) if out else free_folder(Path("runs"), stem(recipe_name, split.train.name))
    command = shlex.join([*launcher(processes), *sys.argv[1:]])
    with drawn_as(format, slides=slides):
        _run(experiment, split, settings, folder, command, every, resume=False)


def _check_shared(experiment: "Experiment", settings: "Settings", processes: int) -> None:
    """Refuses what several processes cannot train together, before there is a folder.

    Raises:
        ValueError: the step is compiled, or a network would normalise each process's shard by itself.
    """
    from zoo.lab.training.processes import check_programs

    if settings.compile:
        raise ValueError(
            f"--compile cannot be combined with torchrun's {processes} processes: leave it out, or train in one "
            "process with python -m zoo train"
        )
    check_programs(experiment.model, experiment.guide)


def _count(text: str | None) -> int | None:
    """The number of threads that --threads asks for; 0 for auto.

    Raises:
        ValueError: it is neither auto nor a positive whole number.
    """
    if text is None:
        return None
    if text != "auto" and not (text.isascii() and text.isdigit() and 1 <= int(text) <= 1_024):
        raise ValueError(f"--threads must be auto, or a whole number from 1 to 1,024, got {text!r}")
    return 0 if text == "auto" else int(text)


def _set_threads(count: int, experiment: "Experiment", split: "Split", settings: "Settings") -> None:
    """Sets the number of threads, or with 0 finds the faster one; OMP_NUM_THREADS is used where it is set."""
    import torch

    from zoo.lab.training.threads import find_threads, given

    if given():
        print(f"OMP_NUM_THREADS is set, so the number of threads is {torch.get_num_threads()}")
        return
    if count == 0 and torch.device(settings.device).type == "cpu":
        found = find_threads(
            experiment,
            split,
            batch_size=settings.batch_size,
            lr=settings.lr,
            seed=settings.seed,
            precision=settings.precision,
        )
        print(f"the first steps are faster with {found} of {torch.get_num_threads()} threads")
        count = found
    torch.set_num_threads(count or torch.get_num_threads())


def _resume(context: typer.Context, folder: Path, data_dir: Path | None, download: bool, every: "Every") -> None:
    """Resumes the run in `folder`, with its own settings."""
    import torch

    from zoo.lab.runs.finished import restore_experiment
    from zoo.lab.runs.folder import is_finished, read_settings, read_threads
    from zoo.lab.training.threads import given

    settings, command = read_settings(folder)
    _check_asked(context, settings, folder)
    if not given() and (recorded := read_threads(folder)):
        torch.set_num_threads(recorded)
    if is_finished(folder):
        print(f"the run in {folder} is finished, and there is nothing to resume; see {folder / 'summary.md'}")
        return
    split, experiment = restore_experiment(settings, {settings.recipe: recipe(settings.recipe)}, data_dir, download)
    _run(experiment, split, settings, folder, command, every, resume=True)


def _check_asked(context: typer.Context, settings: "Settings", folder: Path) -> None:
    """Refuses options given with --resume that differ from the run's settings."""
    from zoo.lab.data import SOURCES, absolute
    from zoo.lab.data.from_disk import yours

    source = context.get_parameter_source
    asked = {key: value for key, value in context.params.items() if getattr(source(key), "name", "") == "COMMANDLINE"}
    if wrong := sorted({"epochs", "out", "threads"} & asked.keys()):
        raise ValueError(f"--{wrong[0]} cannot be combined with --resume: the run in {folder} has its own")
    has: dict[str, Any] = dict(vars(settings))
    if "set_" in asked:
        chosen = recipe(settings.recipe)
        given = hyperparameters(chosen, asked.pop("set_"))
        has["hyperparameters"], asked["hyperparameters"] = _compared(chosen.build, settings.hyperparameters, given)
    if "data_options" in asked:
        given = read_data_options(settings.data, asked["data_options"])
        function = SOURCES.get(settings.data, yours)
        has["data_options"], asked["data_options"] = _compared(function, settings.data_options, given)
    if "data" in asked:
        asked["data"] = absolute(asked["data"])
    if "recipe_name" in asked:
        asked["recipe"] = asked.pop("recipe_name")
    differ = [
        f"{key} is {has[key]!r} there, {value!r} was asked for"
        for key, value in asked.items()
        if key in has and value != has[key]
    ]
    if differ:
        raise ValueError(f"the run in {folder} can only be resumed with its own settings: {'; '.join(differ)}")


def _compared(
    function: Callable[..., Any], there: dict[str, Any], given: dict[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The run's values of the given names, which are the function's defaults where it sets none; and the given ones."""
    from zoo.cli.overrides import keywords
    from zoo.lab.runs.folder import as_stored

    known = keywords(function)
    return as_stored({name: there.get(name, known[name].default) for name in given}), as_stored(given)


def _run(
    experiment: "Experiment",
    split: "Split",
    settings: "Settings",
    folder: Path,
    command: str,
    every: "Every",
    *,
    resume: bool,
) -> None:
    """Shows the experiment, trains it, and shows the results."""
    import torch

    from zoo.cli.evaluate import print_evaluation
    from zoo.lab.runs.summary import unfinished_schedule
    from zoo.lab.runs.train import train as train_into
    from zoo.lab.story import story
    from zoo.lab.training.processes import joined

    with joined(settings.device) as rank:
        if rank:
            train_into(experiment, split, settings, folder, command=command, every=every, resume=resume)
            return
        first = split.train.batch(torch.arange(1), labels=experiment.labels)
        print(story(experiment.model, experiment.guide, batch=first))
        print(f"\n{type(experiment.elbo).__name__}\n    {first_line(type(experiment.elbo))}\n")
        if unfinished := unfinished_schedule(experiment, settings.steps):
            print(f"{unfinished}\n")
        evaluation = train_into(experiment, split, settings, folder, command=command, every=every, resume=resume)
    assert evaluation is not None  # on rank 0
    print_evaluation(evaluation)
    print(f"\nthe run is in {folder}; begin with {folder / 'summary.md'}")
