"""A run's summary.md and kl.csv."""

import copy
import csv
import inspect
import io
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from zoo.lab.analysis.evaluate import Evaluation
from zoo.lab.data import Split
from zoo.lab.files import write_file
from zoo.lab.runs.folder import Settings
from zoo.lab.training.experiment import Experiment
from zoo.tables import typed

FILES = {
    "settings.json": "recipe, hyperparameters, seed, versions, command",
    "terms.csv": "every term of the objective at every step",
    "units.csv": "KL of every latent unit at every hundredth step, on its batch",
    "kl.csv": "KL of every latent unit on the test set",
    "weights.safetensors": "the trained weights",
    "checkpoint.safetensors": "the whole state at the last step, from which a killed run continues",
}
"""The content of a run's files, without pictures."""


def write_kl(evaluation: Evaluation, path: Path) -> None:
    """KL by site and unit, nats per datapoint, as a table."""
    table = io.StringIO(newline="")
    writer = csv.writer(table)
    writer.writerow(["site", "unit", "kl_nats"])
    for site, kl in evaluation.kl.items():
        writer.writerows([site, unit, value] for unit, value in enumerate(kl.tolist()))
    write_file(path, table.getvalue())


def read_kl(folder: Path) -> dict[str, Tensor]:
    """KL by site over the test set, [units], from a finished run's kl.csv.

    Raises:
        FileNotFoundError: there is no kl.csv.
        OSError: kl.csv cannot be read.
        ValueError: kl.csv is damaged.
    """
    path = folder / "kl.csv"
    found: dict[str, list[float]] = {}
    try:
        with path.open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                found.setdefault(row["site"], []).append(float(row["kl_nats"]))
    except FileNotFoundError:
        raise FileNotFoundError(f"{path} is missing: resume the run, or run it again") from None
    except OSError as error:
        raise OSError(f"{path} cannot be read ({error.strerror}): it must be a file that this user may read") from error
    except (KeyError, TypeError, ValueError, csv.Error):
        raise ValueError(f"{path} is damaged: it must have the columns site and kl_nats; put a copy back") from None
    if not found or not all(math.isfinite(nats) for kl in found.values() for nats in kl):
        raise ValueError(f"{path} is damaged: it must have a row of finite nats for each unit; put a copy back")
    return {site: torch.tensor(kl) for site, kl in found.items()}


def summarise(
    experiment: Experiment,
    data: Split,
    settings: Settings,
    evaluation: Evaluation | None,
    story: str,
    pictures: Mapping[str, str],
    left_out: Mapping[str, str],
    seconds: float,
    command: str,
    folder: Path,
) -> str:
    """The run in Markdown: story, settings, numbers, pictures, files.

    Args:
        experiment, data, settings: those of the run.
        evaluation: on the test set; None where it failed.
        story: the story and the guide, as text.
        pictures: captions by file name.
        left_out: for everything that could not be drawn or computed, the reason.
        seconds: of training.
        command: the command that repeats the run.
        folder: the run's folder.
    """
    objective = type(experiment.elbo)
    headline = (inspect.getdoc(objective) or objective.__name__).splitlines()[0]
    epochs = settings.steps * settings.batch_size / len(data.train)
    shown = [f"![{caption}]({name})\n\n{caption}" for name, caption in pictures.items() if not name.endswith(".md")]
    every = FILES | {name: caption for name, caption in pictures.items() if name.endswith(".md")}
    files = [f"| {name} | {what} |" for name, what in every.items() if (folder / name).is_file()]
    missing = [f"- {what}: {reason}" for what, reason in left_out.items()]
    given = ", ".join(f"{name} = {typed(value)}" for name, value in settings.hyperparameters.items())
    sections = [
        f"# {settings.recipe} on {settings.data}\n\n    {command}",
        f"The story, and the guide:\n\n```\n{story}\n```",
        f"Trained for {settings.steps:,} steps of {settings.batch_size} ({epochs:.1f} epochs of "
        f"{len(data.train):,} datapoints) at\nlearning rate {settings.lr:g}, seed {settings.seed}, in {seconds:.0f} s "
        f"on {settings.device}{_in(settings.precision)}. Objective: {headline}",
        f"Hyperparameters: {given}; all others are the recipe's own." if given else "",
        unfinished_schedule(experiment, settings.steps),
        _numbers(evaluation, unseen=data.test is not data.train) if evaluation else "",
        "\n\n".join(["## Pictures", *shown]),
        "\n".join(["## Left out", "", *missing]) if missing else "",
        "\n".join(["## Files", "", "| file | what it holds |", "| --- | --- |", *files]),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def _in(precision: str) -> str:
    return "" if precision == "float32" else f" in precision {precision}"


def unfinished_schedule(experiment: Experiment, steps: int) -> str:
    """Says which values of the recipe's schedule a run of `steps` steps does not reach; empty if it reaches all.

    The schedule is called on a copy of the objective, at the run's last step and at the recipe's.
    """
    schedule = experiment.schedule
    if schedule is None or steps >= experiment.steps:
        return ""

    def values(step: int) -> dict[str, Any]:
        elbo = copy.deepcopy(experiment.elbo)
        schedule(step, elbo)
        return {name: value.item() for name, value in elbo.state_dict().items() if value.numel() == 1}

    reached, end = values(steps), values(experiment.steps)
    short = [
        f"{name} reaches only {reached[name]:.4g} of {end[name]:.4g}"
        + (f" ({100 * reached[name] / end[name]:.4g} %)" if end[name] else "")
        for name in end
        if reached[name] != end[name]
    ]
    if not short:
        return ""
    return (
        f"The schedule is for {experiment.steps:,} steps, and this run has {steps:,}: {', '.join(short)}; "
        "where `show` lists a hyperparameter `over`, --set over=N sets the length of the schedule."
    )


def _numbers(evaluation: Evaluation, *, unseen: bool) -> str:
    nats = {
        "-ELBO": -evaluation.elbo,
        **{f"reconstruction, E[log p({site})]": value for site, value in evaluation.reconstruction.items()},
        **{f"KL of {site}": kl.sum().item() for site, kl in evaluation.kl.items()},
    }
    rows = [f"| {name.replace('|', '&#124;')} | {value:.2f} |" for name, value in nats.items()]
    active = [f"{(kl > 0.1).sum().item()} of {len(kl)} in {site}" for site, kl in evaluation.kl.items() if len(kl) > 1]
    table = "\n".join(["| | nats |", "| --- | ---: |", *rows])
    points = "test datapoints, not seen in training" if unseen else "datapoints, which are also the training set"
    return f"""On all {evaluation.num_data:,} {points}, in nats per datapoint, unweighted:

{table}

Units with more than 0.1 nats: {", ".join(active) or "not counted, since each site's KL is one number"}.

This is one run of one seed with settings that were not tuned on this data: with another seed the numbers differ, and
show by how much they vary. The numbers use one draw of the latents per datapoint; data are scored as in
`zoo.likelihoods`, so they compare with other numbers only where those treat grey pixels, or the order of words, in the
same way."""
