"""Compares guides: one recipe trained with each of them, a trial per guide, and one table."""

import inspect
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

from tabulate import tabulate

from zoo.arguments import NOT_EMPTY, checked
from zoo.lab.data import Split
from zoo.lab.errors import unknown_name
from zoo.lab.files import REMEDY, read_record, write_file
from zoo.lab.plots import Picture, drawn_as, save_pictures
from zoo.lab.runs import finished
from zoo.lab.runs.finished import FinishedRun, configure
from zoo.lab.runs.folder import Settings, read_settings
from zoo.lab.runs.lock import locked
from zoo.lab.runs.same_run import fingerprints
from zoo.lab.runs.train import MINUTE, Every
from zoo.lab.training.experiment import Experiment, Recipe
from zoo.lab.training.fit import prepare
from zoo.lab.trials.backends import open_backend
from zoo.lab.trials.sweep_plan import refuse_other_runs
from zoo.lab.trials.trial import Trial, run_trials
from zoo.papers.recipes import RECIPES
from zoo.studies.guide_gap.measure import TestSamples, measure, step_milliseconds
from zoo.studies.guide_gap.posteriors import plane_posteriors, two_units
from zoo.studies.guide_gap.recipes import names, swap

RESULTS = Path(__file__).parent / "results"
UNDER = " under "  # between the names of a recipe and a guide


@dataclass(frozen=True, repr=False)
class GuideComparison:
    """The result of a comparison.

    Attributes:
        result: the content of compare.json.
        failures: the errors of guides that failed.
    """

    result: Mapping[str, Any]
    failures: Sequence[str]

    def __repr__(self) -> str:
        return table(self.result)

    def _repr_markdown_(self) -> str:
        return table(self.result)


@checked(guides=NOT_EMPTY)
def compare_guides(
    recipe: Recipe,
    guides: Sequence[str],
    out: Path,
    *,
    images: int | None = None,
    samples: int | None = None,
    gap_images: int | None = None,
    every: Every = MINUTE,
    jobs: int | None = 1,
    backend: str = "loky",
    scheduler: str | None = None,
    format: Literal["png", "svg", "pdf"] = "png",
    slides: bool = False,
    **options: Any,
) -> GuideComparison:
    """Trains the recipe with each guide, for the same number of steps from the same seed, and measures their gaps.

    Each guide is a trial in OUT/GUIDE: a finished one is kept, and a stopped one is resumed. Writes compare.json,
    compare.md, and posteriors.png (or another format) if the only latent site has two units, into `out`.

    Args:
        recipe: the recipe whose guide is swapped.
        guides: names; `zoo.studies.guide_gap.recipes.names` lists them.
        out: a folder.
        images, samples, gap_images: see `TestSamples`.
        every: the interval of checkpoints.
        jobs, backend, scheduler: where guides train; see `zoo.lab.trials.backends.open_backend`. With several at once,
            the time of a step is measured while others train.
        format, slides: of the picture of the posteriors; see `zoo.lab.plots.drawn_as`.
        options: of `zoo.lab.runs.finished.configure`.

    Raises:
        LookupError, TypeError, ValueError: as `configure` and `swap`; a guide does not fit the recipe's objective; or
            the folder holds other runs; or there is no such backend; raised before anything is trained.
        ModuleNotFoundError, ConnectionError: as `open_backend`.
        FileNotFoundError: every guide failed.
    """
    if "" in guides or len(set(guides)) < len(guides):
        raise ValueError(f"--guides must name at least one guide, each once, got {', '.join(guides)}")
    recipes = {guide: _swapped(recipe, guide) for guide in guides}
    plans = {guide: _planned(own, **options) for guide, own in recipes.items()}  # one that does not fit fails here
    settings, split, experiment = next(iter(plans.values()))
    on = TestSamples.of(experiment.model, split.test, images, samples, gap_images)
    shared: dict[str, Any] = {
        key: options[key] for key in ("data_dir", "download", "device", "compile", "precision") if key in options
    }
    trials = {
        guide: Trial(settings.seed, "full", out / guide, {own.name: own}, every=every, **shared)
        for guide, own in recipes.items()
    }
    plan = {key: options.get(key) for key in ("steps", "epochs", "data", "data_options", "batch_size", "lr")}
    plan["hyperparameters"] = options.get("hyperparameters")
    found = fingerprints(split)
    for guide, trial in trials.items():
        refuse_other_runs(trial, plans[guide][0], found)
    work = [(partial(_measured, on=on, plan=plan), trial) for trial in trials.values()]
    with open_backend(backend, jobs=jobs, scheduler=scheduler, device=settings.device) as workers:
        with locked(out):  # only now is all of it checked, and no other command at work here
            for trial in trials.values():
                _forget_other_samples(trial, on)
        failures = run_trials(work, workers)
    done = {guide: trial for guide, trial in trials.items() if trial.is_finished()}
    if not done:
        raise FileNotFoundError(f"no guide is finished in {out}: {'; '.join(failures)}")
    result: dict[str, Any] = {
        "recipe": recipe.name,
        "settings": {**asdict(settings), "recipe": recipe.name},
        "budget": asdict(on),
        "guides": {guide: _row(trial.record()) for guide, trial in done.items()},
    }
    if not experiment.labels and two_units(experiment.model, split.test) is not None:
        runs = {guide: trial.open() for guide, trial in done.items()}
        pairs = {guide: (run.model, run.guide) for guide, run in runs.items()}
        with drawn_as(format, slides=slides):
            drawn = Picture(plane_posteriors(pairs, split.test), "each guide's posteriors over the exact ones")
            (result["picture"],) = save_pictures({"posteriors.png": drawn}, out)
    write_file(out / "compare.json", json.dumps(result, indent=2) + "\n")
    write_file(out / "compare.md", table(result))
    return GuideComparison(result, failures)


@checked()
def stored(name: str) -> GuideComparison:
    """A comparison stored in this project, read from its JSON file.

    Raises:
        LookupError: there is no such comparison; the message lists all.
        ValueError: its file is damaged; the message names it.
    """
    path = RESULTS / name / "compare.json"
    if not path.is_file():
        kept = [file.parent.name for file in RESULTS.glob("*/compare.json")]
        raise LookupError(unknown_name("comparison", name, kept))
    result = read_record(path)
    try:
        table(result)
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise ValueError(f"{path} is damaged: a value is missing, or of another type; {REMEDY}") from error
    return GuideComparison(result, ())


def with_swapped(recipes: Mapping[str, Recipe], name: str) -> Mapping[str, Recipe]:
    """The recipes, and the one called "RECIPE under GUIDE" where `name` is such a name: that of a comparison's run.

    Raises:
        LookupError: there is no such guide; the message lists all.
    """
    own, _, guide = name.rpartition(UNDER)
    if own not in recipes:
        return recipes
    if guide not in names():
        raise LookupError(f"recipe {name!r}: {unknown_name('guide', guide, names())}")
    return {**recipes, name: _swapped(recipes[own], guide)}


@checked()
def open_run(folder: Path, data_dir: Path | None = None, download: bool = False) -> FinishedRun:
    """The finished run in `folder`, of a comparison or of a paper's recipe.

    Raises:
        FileNotFoundError, LookupError, ValueError: as `zoo.lab.runs.finished.open_run`.
    """
    recipes = with_swapped(RECIPES, read_settings(folder)[0].recipe)
    return finished.open_run(folder, recipes, data_dir, download)


def _swapped(recipe: Recipe, guide: str) -> Recipe:
    """The recipe with another guide and another name, since its weights do not fit the recipe's own pair."""
    build = partial(_build_swapped, recipe.build, guide)
    setattr(build, "__signature__", inspect.signature(recipe.build))  # noqa: B010 (its hyperparameters, to be checked)
    # its description would be read from `build`, which is a partial function
    return replace(recipe, name=f"{recipe.name}{UNDER}{guide}", text=recipe.description, build=build)


def _build_swapped(build: Any, guide: str, data: Split, **hyperparameters: Any) -> Experiment:
    return swap(build(data, **hyperparameters), guide)


def _planned(recipe: Recipe, **options: Any) -> tuple[Settings, Split, Experiment]:
    """The settings, data and experiment, after a check that the pair runs on its first batch."""
    settings, split, experiment = configure(recipe, **options)
    batches = experiment.batches(
        split.train, settings.batch_size, seed=settings.seed, labels=experiment.labels, steps=1
    )
    prepare(experiment.model, experiment.guide, experiment.elbo, next(iter(batches)), settings.device)
    return settings, split, experiment


def _measured(trial: Trial, *, on: TestSamples, plan: Mapping[str, Any]) -> Mapping[str, float]:
    """Trains the trial's recipe, and measures it."""
    run = trial.train(next(iter(trial.recipes)), **plan)
    experiment = run.experiment
    found = measure(run.model, run.guide, run.data.test, on, labels=experiment.labels, kl=experiment.elbo.kl)
    numbers = {key: value for key, value in asdict(found).items() if key != "kl"}
    parts = {"approximation": found.approximation, "amortisation": found.amortisation}
    kl = {f"KL {site}": value for site, value in found.kl.items()}
    return {**numbers, **parts, **kl, **asdict(on), "milliseconds": step_milliseconds(run)}


def _forget_other_samples(trial: Trial, on: TestSamples) -> None:
    """Removes a measurement on other test samples, so that it is repeated; the trained run is kept."""
    path = trial.written
    if path is not None and any(trial.quantities().get(key) != value for key, value in asdict(on).items()):
        path.unlink()


def _row(record: Mapping[str, Any]) -> dict[str, Any]:
    """A guide's entry in compare.json."""
    figures = record["quantities"]
    kl = {key.removeprefix("KL "): value for key, value in figures.items() if key.startswith("KL ")}
    shared = {field.name for field in fields(TestSamples)}
    rest = {key: value for key, value in figures.items() if not key.startswith("KL ") and key not in shared}
    own = {"num_parameters": int(figures["num_parameters"]), "compiled": record["compiled"]}
    return {**rest, "kl": kl, **own}


def table(result: Mapping[str, Any]) -> str:
    """The content of compare.json as Markdown, also of a file of version 0.1."""
    settings, on = Settings.of(result["settings"]), TestSamples(**result["budget"])
    values = "".join(f", {name} = {value}" for name, value in settings.hyperparameters.items())
    compiled = [name for name, row in result["guides"].items() if row.get("compiled", settings.compile)]
    how = "compiled" if len(compiled) == len(result["guides"]) else "eager"
    how += f" except for {', '.join(compiled)}" if compiled and how == "eager" else ""
    how += "" if settings.precision == "float32" else f", in precision {settings.precision}"
    rows = [
        {
            "guide": name,
            "ELBO": f"{row['elbo']:.2f}",
            "log p(x)": f"{row['log_evidence']:.2f}",
            "effective samples": f"{row['effective']:.0f}",
            **{f"KL {site}": f"{value:.2f}" for site, value in row["kl"].items()},
            "gap": f"{row['gap_evidence'] - row['gap_elbo']:.2f}",
            "approximation": f"{row['approximation']:.2f}",
            "amortisation": f"{row['amortisation']:.2f}",
            "ms per step": f"{row['milliseconds']:.2f}",
            "parameters": f"{row['num_parameters']:,}",
        }
        for name, row in result["guides"].items()
    ]
    align = ("left", *["right"] * (len(rows[0]) - 1))
    cells = tabulate(rows, headers="keys", tablefmt="pipe", colalign=align, disable_numparse=True)
    return f"""# {result["recipe"]} on {settings.data}, guide by guide

Each trained for {settings.steps:,} steps of {settings.batch_size}, seed {settings.seed}, \
{how}{values}; nats per datapoint on {on.images:,} test datapoints with \
{on.samples:,} importance samples each, the gap on {on.gap_images:,} of them, the KL on the \
whole test set. KL of types is that of the categoricals; \
bound and evidence score types as in the story, by density where they are relaxed and by mass otherwise. A log p(x) \
with few effective samples is unreliable.

{cells}
"""
