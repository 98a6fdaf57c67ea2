"""`explore`: a page in which a trained pair's latents are moved by sliders."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zoo.arguments import as_path
from zoo.cli.options import DataDir, Download, file, name, open_run, recipe, whole

if TYPE_CHECKING:
    from zoo.lab.explore import Explorer
    from zoo.lab.runs.folder import Settings


def explore(
    pair: Annotated[
        str,
        typer.Argument(parser=name, metavar="RUN|PRETRAINED", help="A finished run's folder, or a pretrained pair."),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", parser=file, help="The file to write.")] = Path("explore.html"),
    images: Annotated[int, typer.Option(parser=whole(1, 100), help="Number of test images on the page.")] = 10,
    data_dir: DataDir = None,
    download: Download = False,
) -> None:
    """Writes one HTML file in which sliders move the latents; the decoder runs in the browser, without a server."""
    from zoo.lab.files import readable, write_file

    page = (_run if _is_folder(pair) else _pretrained)(pair, images, data_dir, download)
    content = readable(page.html).encode()
    write_file(out, content)
    for what, why in page.left_out.items():
        print(f"left out: {what}: {why}", file=sys.stderr)
    print(f"wrote {out}, {len(content) / 1e6:.1f} MB; open it in a browser")


def _is_folder(text: str) -> bool:
    try:
        return as_path(text).is_dir()
    except (OSError, ValueError):  # no file can have this name
        return False


def _run(folder: str, images: int, data_dir: Path | None, download: bool) -> "Explorer":
    """The page of a finished run."""
    import torch

    from zoo.lab.explore import page
    from zoo.lab.runs.summary import read_kl
    from zoo.lab.story import story

    run = open_run(as_path(folder), data_dir, download)
    experiment, train = run.experiment, run.data.train
    if experiment.schedule:  # weights and capacities as they were at the end
        experiment.schedule(run.settings.steps, experiment.elbo)
    rows = torch.arange(min(run.settings.batch_size, len(train)))
    batch = train.batch(rows, labels=experiment.labels, device=run.settings.device)
    told = story(run.model, run.guide, experiment.elbo, batch)
    return page(
        run.model,
        run.guide,
        title=run.settings.recipe,
        about=_about(run.settings),
        description=_description(run.settings),
        story=str(replace(told, guide=None)),
        kl=read_kl(run.folder),
        kl_over="the test set",
        data=run.data.test,
        num_images=images,
    )


def _pretrained(pair: str, images: int, data_dir: Path | None, download: bool) -> "Explorer":
    """The page of a pretrained pair, with test images where its data is at hand."""
    from zoo.lab.explore import page
    from zoo.lab.explore.information import kl_by_unit
    from zoo.lab.story import story
    from zoo.papers import pretrained

    try:
        loaded = pretrained(pair)
    except LookupError as error:
        raise LookupError(f"{pair} is no folder of a run, and {error}") from None
    data, missing = None, ""
    try:
        data = loaded.data(data_dir, download=download).test
    except FileNotFoundError as error:
        missing = str(error)
        if "vocabulary" in loaded.about:
            raise FileNotFoundError(
                f"a page of {pair} shows the words of topics, so it needs the data: {error}"
            ) from None
    kl, over = kl_by_unit(loaded.model, loaded.guide, data)
    return page(
        loaded.model,
        loaded.guide,
        title=pair,
        about=_about(loaded.settings),
        description=_description(loaded.settings),
        story=str(story(loaded.model)),
        kl=kl,
        kl_over=over,
        data=data,
        without_data=missing,
        num_images=images,
    )


def _description(settings: "Settings") -> list[str]:
    """The paragraphs of the recipe's description."""
    text = recipe(settings.recipe).description.split("Args:")[0]
    return [" ".join(paragraph.split()) for paragraph in text.split("\n\n") if paragraph.strip()]


def _about(settings: "Settings") -> str:
    """How the pair was trained, in a sentence."""
    given = ", ".join(f"{name} = {value}" for name, value in settings.hyperparameters.items())
    return (
        f"Trained on {settings.data}{' with ' if given else ''}{given}: {settings.steps:,} steps of "
        f"{settings.batch_size} datapoints, learning rate {settings.lr:g}, seed {settings.seed}."
    )
