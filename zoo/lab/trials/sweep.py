"""`python -m zoo sweep RECIPE --seeds N --grid beta=2,3,4,6`: restarts of a recipe over knobs, and one table of them.

A folder for each setting and seed, so that nothing is lost to a kill and nothing is run twice.
"""

import csv
import io
import statistics
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from zoo.lab.analysis.evaluate import evaluate
from zoo.lab.files import write_file
from zoo.lab.runs.finished import FinishedRun, configure
from zoo.lab.training.experiment import Recipe
from zoo.lab.trials.trial import Measure, Trial
from zoo.metrics import Encoded, Inapplicable, clusters, dci, factor_vae, information_about_factors, mig

Settings = dict[str, Any]  # of the knobs on the grid


def trials(
    recipe: str, grid: Sequence[Settings], folder: Path, *, seeds: int, plan: Mapping[str, Any], **options: Any
) -> list[tuple[Settings, Measure, Trial]]:
    """What is to be run: every setting of the grid under every seed from 0, each in FOLDER/SETTING/seed-K.

    Args:
        recipe: its name.
        grid: knobs, setting by setting.
        folder: of the whole.
        seeds: how many.
        plan: what `Trial.train` takes beside them: steps, data, and so on; `knobs` that all have in common.
        options: of `Trial`.
    """
    common = dict(plan)
    fixed = common.pop("knobs", {})
    return [
        (
            setting,
            partial(measure, recipe=recipe, plan={**common, **fixed, **setting}),
            Trial(seed, "full", folder / _name(setting) / f"seed-{seed}", **options),
        )
        for setting in grid
        for seed in range(seeds)
    ]


def check(recipe: Recipe, grid: Sequence[Settings], plan: Mapping[str, Any]) -> None:
    """Builds every setting once, so that one which makes no sense is refused before any is trained.

    Args:
        recipe: to build.
        grid: as `trials` takes them.
        plan: what `zoo.lab.runs.finished.configure` takes beside them.

    Raises:
        LookupError, TypeError, ValueError, FileNotFoundError: as `zoo.lab.runs.finished.configure`; names the
            setting.
    """
    common = dict(plan)
    fixed = common.pop("knobs", {})
    _, split, _ = configure(recipe, hyperparameters={**fixed, **grid[0]}, **common)
    for setting in grid[1:]:
        recipe.build(split, **fixed, **setting)


def measure(trial: Trial, *, recipe: str, plan: Mapping[str, Any]) -> Mapping[str, float]:
    """Trains, and gives the ELBO with its parts on the test set and what metrics say of the codes, where they apply."""
    run = trial.train(recipe, **plan)
    experiment, test = run.experiment, run.data.test
    evaluation = evaluate(run.model, run.guide, test, labels=experiment.labels, kl=experiment.elbo.kl)
    return {
        "ELBO": evaluation.elbo,
        **{f"log p({site})": value for site, value in evaluation.reconstruction.items()},
        **{f"KL({site})": kl.sum().item() for site, kl in evaluation.kl.items()},
        **scores(run),
    }


def scores(run: FinishedRun) -> dict[str, float]:
    """What metrics say of a run's codes, those that apply.

    A type against labels: accuracy by majority vote, %, I(y; c), and the gap to the largest I(y; z_d), nats. Several
    factors: FactorVAE, MIG by bins, and DCI disentanglement by a random forest.
    """
    test = run.data.test
    if getattr(run.guide, "needs_labels", False) or (test.y is None and test.factors is None):
        return {}
    codes = Encoded.of(run.encode, test, device=run.settings.device)
    metrics: list[Callable[[Encoded], Mapping[str, float]]] = [_of_types, _about_labels, _of_factors]
    found: dict[str, float] = {}
    for metric in metrics:
        try:
            found |= metric(codes)
        except Inapplicable:
            continue
    return found


def _of_types(codes: Encoded) -> Mapping[str, float]:
    return {"accuracy": 100 * float(clusters(codes, repeats=2).majority)}


def _about_labels(codes: Encoded) -> Mapping[str, float]:
    """Of one factor, the label, and one type."""
    types = [name for name, site in codes.sites.items() if site.categorical]
    if len(types) != 1 or len(codes.names) != 1:
        raise Inapplicable("these are for one type and one label")
    about = information_about_factors(codes, repeats=2)
    nats = dict(zip(codes.units, np.asarray(about.value)[0].tolist(), strict=True))
    c = nats.pop(types[0])
    return {f"I(y; {types[0]})": c, **({"MIG, nats": c - max(nats.values())} if nats else {})}


def _of_factors(codes: Encoded) -> Mapping[str, float]:
    codes.require("metrics of factors", factors=2, latents=2)
    return {
        "FactorVAE": float(factor_vae(codes, repeats=2)),
        "MIG": float(mig(codes, repeats=2)),
        "DCI": float(dci(codes, regressor="forest", repeats=2).disentanglement),
    }


# The table.

Row = dict[str, Any]


def rows(tried: Sequence[tuple[Settings, Measure, Trial]]) -> list[Row]:
    """A row for each finished run: its setting, its seed, its figures."""
    return [{**setting, "seed": trial.seed, **trial.quantities()} for setting, _, trial in tried if trial.is_finished()]


def summary(every: Sequence[Row], knobs: Sequence[str]) -> list[Row]:
    """For each setting its figures' mean and standard deviation over seeds, (mean, sd); sd is None for a single one."""
    settings = list(dict.fromkeys(tuple(row[knob] for knob in knobs) for row in every))
    means = []
    for setting in settings:
        own = [row for row in every if tuple(row[knob] for knob in knobs) == setting]
        figures = {}
        for name in _figures(own, knobs):
            values = [row[name] for row in own if name in row]
            figures[name] = (statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None)
        means.append({**dict(zip(knobs, setting, strict=True)), "seeds": len(own), **figures})
    return means


def markdown(every: Sequence[Row], knobs: Sequence[str], *, command: str, failures: Sequence[str] = ()) -> str:
    """Both tables, first mean +- sd of each setting, then every run; and what failed."""
    names = _figures(every, knobs)

    def lines(of: Sequence[Row], count: str) -> list[list[str]]:
        return [[_text(row[k]) for k in (*knobs, count)] + [_number(row.get(name)) for name in names] for row in of]

    failed = "".join(f"- {failure}\n" for failure in failures)
    return f"""    {command}

Figures of the test set, nats per datapoint unless said otherwise; mean +- standard deviation over seeds.

{_table([*knobs, "seeds", *names], lines(summary(every, knobs), "seeds"))}

Every run:

{_table([*knobs, "seed", *names], lines(every, "seed"))}
{f"{chr(10)}Failed, and so not in the tables:{chr(10)}{chr(10)}{failed}" if failed else ""}"""


def write(folder: Path, every: Sequence[Row], knobs: Sequence[str], text: str) -> list[Path]:
    """table.csv, a row for each run with every digit, and table.md, in `folder`."""
    names = [*knobs, "seed", *_figures(every, knobs)]
    file = io.StringIO()
    writer = csv.DictWriter(file, names)
    writer.writeheader()
    writer.writerows(every)
    written = {folder / "table.csv": file.getvalue(), folder / "table.md": text}
    for path, content in written.items():
        write_file(path, content.encode())
    return list(written)


def _figures(every: Sequence[Row], knobs: Sequence[str]) -> list[str]:
    """The names of the figures, in order of appearance."""
    return [name for name in dict.fromkeys(name for row in every for name in row) if name not in (*knobs, "seed")]


def _table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    rule = ["---:"] * len(head)
    return "\n".join(f"| {' | '.join(line)} |" for line in (head, rule, *lines))


def _text(value: Any) -> str:
    """A knob or a count as one types it."""
    return f"{value:g}" if isinstance(value, float) else str(value)


def _number(value: Any) -> str:
    """A figure, or its (mean, sd)."""
    if value is None:
        return ""
    mean, sd = value if isinstance(value, tuple) else (value, None)
    mean = round(mean, 3) + 0.0  # no -0.000
    return f"{mean:.3f}" if sd is None else f"{mean:.3f} +- {sd:.3f}"


def _name(setting: Settings) -> str:
    """What a setting's folder is called; "restarts" where there is one alone."""
    return ",".join(f"{knob}={_text(value)}" for knob, value in setting.items()) or "restarts"
