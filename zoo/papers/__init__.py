"""A package per paper with its recipes, measures, claims, plots, figures and reproduction; and functions for notebooks.

from zoo.papers import configure, open_run, pretrained, recipe, reproduce, reproduce_queue, sweep
"""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.arguments import checked

if TYPE_CHECKING:
    from zoo.lab.data import Split
    from zoo.lab.runs.finished import FinishedRun
    from zoo.lab.runs.folder import Settings
    from zoo.lab.training.experiment import Experiment, Recipe
    from zoo.lab.trials.card import Claims
    from zoo.lab.trials.reproduce import Reproduced
    from zoo.lab.trials.sweep import Sweep
    from zoo.lab.trials.sweep_plan import SweepPlan
    from zoo.lab.trials.trial import Measure, Trial
    from zoo.papers.queue import Done
    from zoo.papers.weights import Pretrained
    from zoo.papers.weights.card import ModelCard

__all__ = [
    "claims",
    "configure",
    "list_pretrained",
    "open_run",
    "plan_reproduction",
    "plan_sweep",
    "pretrained",
    "push",
    "recipe",
    "reproduce",
    "reproduce_queue",
    "results",
    "sweep",
]

# Imports are inside the functions: every paper's package imports this one, and only some callers need all papers.


@checked()
def recipe(name: str) -> "Recipe":
    """The recipe called `name`.

    Raises:
        LookupError: there is none; the message shows the nearest name and lists all recipes.
    """
    from zoo.lab.training.experiment import find_recipe
    from zoo.papers.recipes import RECIPES

    return find_recipe(name, RECIPES)


@checked()
def configure(name: str, **options: Any) -> "tuple[Settings, Split, Experiment]":
    """Settings, data and experiment of the recipe called `name`; options of `zoo.lab.runs.finished.configure`.

    Raises:
        LookupError, TypeError, ValueError: there is no such recipe, data set, device or option.
    """
    from zoo.lab.runs import finished

    return finished.configure(recipe(name), **options)


@checked()
def open_run(folder: Path, data_dir: Path | None = None, download: bool = False) -> "FinishedRun":
    """The finished run in `folder`, with its data and its weights.

    Raises:
        FileNotFoundError: there is no run, it is not finished, or its data is missing.
        LookupError: its recipe is not a paper's, such as that of a run of `compare-guides`.
        ValueError: its settings or weights are damaged.
    """
    from zoo.lab.runs import finished
    from zoo.lab.runs.folder import read_settings
    from zoo.papers.recipes import RECIPES

    if " under " in (name := read_settings(folder)[0].recipe):
        raise LookupError(
            f"the run in {folder} is one of compare-guides, with the recipe {name!r}, and not of a paper's recipe: "
            "zoo.studies.guide_gap.comparison.open_run opens it, and a hub takes only pairs of papers' recipes"
        )
    return finished.open_run(folder, RECIPES, data_dir, download)


@checked()
def pretrained(name: str, *, folder: str | Path | None = None) -> "Pretrained":
    """The pretrained pair with the name of its recipe; needs no data.

    Args:
        name: of the pair; or hf://owner/name, the address of one that `push` sent to a hub (needs the extra "hub").
        folder: the folder of its file, written by `reproduce(..., weights=folder)`; the zoo's when not given.

    Raises:
        LookupError: there is none; the message lists all pairs.
        ValueError: its file is damaged.
        ModuleNotFoundError, ConnectionError: of a hub, as `zoo.papers.weights.hub.from_hub`.
    """
    from zoo.papers import weights

    if name.startswith("hf://"):
        from zoo.papers.weights.hub import from_hub

        if folder is not None:
            raise ValueError(f"{name} is on a hub, and folder= is for files on this machine: give one of them")
        return from_hub(name)
    return weights.pretrained(name, folder=folder or weights.HERE)


def list_pretrained(folder: str | Path | None = None) -> "dict[str, ModelCard]":
    """The cards of the pretrained pairs that come with the zoo, or of those in `folder`, by name.

    A card has the recipe, the command, the seed, what was measured, and the licence and the citation of the data.

    Raises:
        ValueError: a file is damaged.
    """
    from zoo.papers.weights import HERE
    from zoo.papers.weights.card import list_pretrained

    return list_pretrained(folder or HERE)


def push(run: Path, repository: str, *, data_dir: Path | None = None, private: bool = False, half: bool = False) -> str:
    """Sends the pair of the finished run in the folder `run` to a hub; returns its address for `pretrained`.

    Args:
        run: the run's folder.
        repository: owner/name.
        data_dir: see `open_run`.
        private, half: see `zoo.papers.weights.hub.push`.

    Raises:
        FileNotFoundError, LookupError, ValueError: as `open_run`.
        ModuleNotFoundError, ConnectionError, PermissionError: as `zoo.papers.weights.hub.push`.
    """
    from zoo.lab.runs.folder import read_settings
    from zoo.papers.weights import hub

    trained = open_run(run, data_dir)
    return hub.push(trained, repository, command=read_settings(run)[1], private=private, half=half)


@checked()
def reproduce(name: str, *, out: Path | None = None, weights: Path | None = None, **options: Any) -> "Reproduced":
    """Runs the reproduction called `name`, and writes its result.

    Args:
        name: of the reproduction.
        out: folder of the result; results/ in the paper's package when not given.
        weights: a folder for the best seed's weights, to be read by `pretrained`.
        options: of `zoo.lab.trials.reproduce.reproduce`: seeds, budget, runs, jobs, backend, device, precision, ...

    Raises:
        LookupError, ValueError, FileNotFoundError, FileExistsError: as `zoo.lab.trials.reproduce.reproduce`.
    """
    from zoo.lab.trials import reproduce as trials
    from zoo.papers.recipes import RECIPES
    from zoo.papers.reproductions import REPRODUCTIONS, results_folder
    from zoo.papers.weights import keep

    shown = "" if weights is None else f"--weights {shlex.quote(str(weights))}"
    folder = out or results_folder(name)
    done = trials.reproduce(name, REPRODUCTIONS, RECIPES, folder, more_options=shown, **options)
    if weights is not None:
        best = trials.best(name, REPRODUCTIONS[name], done.trials)
        about = {
            "command": done.result["command"],
            "seed": best.seed,
            "chosen by": REPRODUCTIONS[name].best,
            "quantities": best.quantities(),
        }
        keep(name, best.open(), weights, about)
    return done


def reproduce_queue(names: Sequence[str] = (), **options: Any) -> "Done":
    """Runs the trials of several reproductions in one queue; options of `zoo.papers.queue.reproduce_queue`.

    Args:
        names: of the reproductions, in order; when not given all, in the order of open claims per core-hour.
        options: hours, jobs, backend, budget, seeds, runs, out, weights, device, precision, ...

    Raises:
        LookupError, ValueError, OSError: as `zoo.papers.queue.reproduce_queue`.
    """
    from zoo.papers import queue

    return queue.reproduce_queue(names, **options)


@checked()
def plan_reproduction(name: str, **options: Any) -> "list[tuple[Measure, Trial]]":
    """The trials of the reproduction called `name`, each with its measure. Nothing is run or written.

    Args:
        name: of the reproduction.
        options: of `zoo.lab.trials.reproduction_plan.plan_trials`: seeds, budget, runs, device, precision, ...

    Raises:
        LookupError, ValueError: as `zoo.lab.trials.reproduction_plan.plan_trials`.
    """
    from zoo.lab.trials import reproduction_plan
    from zoo.papers.recipes import RECIPES
    from zoo.papers.reproductions import REPRODUCTIONS

    return reproduction_plan.plan_trials(name, REPRODUCTIONS, RECIPES, **options)[1]


@checked()
def sweep(name: str, folder: Path, **options: Any) -> "Sweep":
    """Trains the recipe called `name` over a grid and seeds; options of `zoo.lab.trials.sweep.sweep`.

    Raises:
        LookupError, TypeError, ValueError, FileNotFoundError: as `zoo.lab.trials.sweep.sweep`.
    """
    from zoo.lab.trials import sweep as trials

    return trials.sweep(recipe(name), folder, **options)


@checked()
def plan_sweep(name: str, folder: Path, **options: Any) -> "SweepPlan":
    """The trials of a sweep of the recipe called `name`; options of `zoo.lab.trials.sweep_plan.plan_sweep`.

    Raises:
        LookupError, TypeError, ValueError, FileNotFoundError: as `zoo.lab.trials.sweep_plan.plan_sweep`.
    """
    from zoo.lab.trials import sweep_plan

    return sweep_plan.plan_sweep(recipe(name), folder, **options)


def results() -> dict[str, Path]:
    """The JSON files of all results, by name: joint-vae/mnist as joint-vae-mnist."""
    return {path.stem: path for path in sorted(Path(__file__).parent.glob("*/results/*.json"))}


@checked()
def claims(name: str) -> "Claims":
    """The claims of the reproduction called `name`, each with its verdict and evidence, for a notebook to show.

    Raises:
        LookupError: there is no such result; the message shows the nearest name and lists all results.
    """
    from zoo.lab.errors import unknown_name
    from zoo.lab.trials.card import Claims
    from zoo.lab.trials.result_file import read_result

    there, stem = results(), name.replace("/", "-")
    if stem not in there:
        raise LookupError(unknown_name("result", name, there))
    return Claims(read_result(there[stem]))
