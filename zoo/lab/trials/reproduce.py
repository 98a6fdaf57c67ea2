"""Runs a paper's experiments over seeds, and records the results whatever they are.

`collect` builds the result from the finished trials, and `zoo.lab.trials.stored.save` writes it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeAlias

from zoo.lab.files import make_folder
from zoo.lab.plots.picture import Picture, save_pictures
from zoo.lab.training.experiment import Recipe
from zoo.lab.training.precision import Precision
from zoo.lab.trials.backends import open_backend
from zoo.lab.trials.reproduction import Reproduction, Results
from zoo.lab.trials.reproduction_plan import RUNS, plan_trials
from zoo.lab.trials.stored import (
    check_same_training,
    file_name,
    place,
    refuse_other_precision,
    save,
    stored,
    with_stored,
)
from zoo.lab.trials.trial import Budget, RunNotHereError, Trial, best_of, run_trials

Variants: TypeAlias = Mapping[str, Sequence[Trial]]  # trials by variant, seeds in order


def finished(variants: Variants) -> dict[str, list[Trial]]:
    """The finished trials, for the variants that have one."""
    done = {variant: [trial for trial in seeds if trial.is_finished()] for variant, seeds in variants.items()}
    return {variant: seeds for variant, seeds in done.items() if seeds}


def collect(name: str, reproduction: Reproduction, variants: Variants, *, command: str) -> dict[str, Any]:
    """The content of NAME.json: every finished seed, and the verdict on each claim.

    Raises:
        FileNotFoundError: no trial is finished.
        ValueError: seeds of a variant were trained for different numbers of steps.
    """
    done = finished(variants)
    if not done:
        raise FileNotFoundError(f"no trial of {name} is finished, so there is nothing to collect")
    records = {variant: [trial.record() for trial in seeds] for variant, seeds in done.items()}
    check_same_training(name, records)
    first = next(iter(done.values()))[0]
    result = {
        "name": name,
        "command": command,
        "budget": first.budget,
        **({"precision": first.precision} if first.precision else {}),
        "variants": records,
        "pictures": {},
    }
    return graded(result, reproduction)


def graded(result: Mapping[str, Any], reproduction: Reproduction) -> dict[str, Any]:
    """The result of the same runs with the reproduction's current texts; claims are checked again."""
    return {
        "name": result["name"],
        "title": reproduction.title,
        "paper": reproduction.paper,
        "command": result["command"],
        "budget": result["budget"],
        **({"precision": result["precision"]} if "precision" in result else {}),
        "quantities": {quantity: asdict(about) for quantity, about in reproduction.quantities.items()},
        "reported": {variant: dict(values) for variant, values in reproduction.reported.items()},
        "headline": [list(pair) for pair in reproduction.headline],
        "variants": dict(result["variants"]),
        "claims": reproduction.verdicts(Results.of(result["variants"])),
        "deviations": [*reproduction.deviations, *(reproduction.shortened if result["budget"] == "short" else ())],
        "pictures": dict(result["pictures"]),
    }


def best(name: str, reproduction: Reproduction, variants: Variants) -> Trial:
    """The trial of the best seed among those that are finished.

    Raises:
        ValueError: the reproduction does not define the best seed, or the quantity has no better end.
    """
    if reproduction.best is None or not (better := reproduction.quantities[reproduction.best[1]].better):
        raise ValueError(f"{name}: no quantity defines the best seed, so there are no weights to keep")
    variant, quantity = reproduction.best
    return best_of(finished(variants)[variant], quantity, better)


def draw(reproduction: Reproduction, variants: Variants, name: str, out: Path) -> dict[str, str]:
    """Draws the pictures of the finished trials into OUT/NAME; returns captions by path within `out`.

    Pictures that need a run which is not on this machine, such as the best seed's, stay as they are stored.
    """
    folder, done = file_name(name), finished(variants)
    drawn: dict[str, Picture] = {}
    stay: dict[str, str] = {}
    for pictures in reproduction.pictures:
        try:
            drawn |= pictures(done)
        except RunNotHereError:
            first = next(iter(done.values()))[0]
            there = stored(name, out, first.budget, first.precision)
            stay = dict(there["pictures"]) if there else {}
    written = save_pictures(drawn, out / folder) if drawn else {}
    return stay | {f"{folder}/{file}": caption for file, caption in written.items()}


@dataclass(frozen=True)
class Reproduced:
    """The result of `reproduce`.

    Attributes:
        result: the content of its JSON file.
        path: of that file.
        trials: by variant.
        failures: the errors of trials that failed.
    """

    result: Mapping[str, Any]
    path: Path
    trials: Variants
    failures: Sequence[str]


def reproduce(
    name: str,
    reproductions: Mapping[str, Reproduction],
    recipes: Mapping[str, Recipe],
    out: Path,
    *,
    seeds: int | None = None,
    budget: Budget = "full",
    runs: Path = RUNS,
    jobs: int | None = None,
    backend: str = "loky",
    scheduler: str | None = None,
    replace: bool = False,
    device: str | None = None,
    compile: bool = False,
    precision: Precision | None = None,
    data_dir: Path | None = None,
    download: bool = False,
    more_options: str = "",
) -> Reproduced:
    """Runs the trials of a reproduction that are not finished, and writes the result and its pictures into `out`.

    Seeds of a stored result of the same budget that are not run here are kept: a second machine adds to them.

    Args:
        name: of the reproduction.
        reproductions, recipes: by name; `zoo.papers.reproduce` passes those of all papers.
        out: a folder.
        seeds: number of seeds, from 0; the budget's when not given.
        budget: "full" is the paper's length, "short" is feasible on a CPU.
        runs: the folder of the runs; finished ones are not run again, stopped ones resume.
        jobs, backend, scheduler: where trials run; see `zoo.lab.trials.backends.open_backend`.
        replace: whether to replace a stored result instead of adding to it, also one of a larger budget.
        device, compile, data_dir, download: see `Trial`.
        precision: of all runs, see `fit`; the reproduction's own when not given.
        more_options: command-line options to include in the command that repeats this.

    Raises:
        LookupError: there is no such reproduction.
        ValueError: the budget, the number of seeds, the device, the precision or the backend does not exist, or the
            precision of this reproduction cannot be chosen.
        ModuleNotFoundError, ConnectionError: as `open_backend`.
        FileNotFoundError: no trial is finished; the message says why the last one failed.
        FileExistsError: `out` holds a result with a larger budget or in another precision, and `replace` is not given.
        OSError: `out` cannot be made; raised before any trial.
    """
    where: dict[str, Any] = {"device": device, "compile": compile, "data_dir": data_dir, "download": download}
    where["precision"] = precision
    variants, work = plan_trials(name, reproductions, recipes, seeds=seeds, budget=budget, runs=runs, **where)
    if not replace:
        refuse_other_precision(name, out, budget, precision)  # before the trials
    with open_backend(backend, jobs=jobs, scheduler=scheduler, device=work[0][1].device) as on:
        try:
            make_folder(out)  # before the trials, which may take days
        except OSError as error:
            raise OSError(f"the folder {out} cannot be made ({error.strerror}): name another one with --out") from error
        failures = run_trials(work, on)
    if failures and not any(trial.is_finished() for _, trial in work):
        raise FileNotFoundError(f"no trial of {name} is finished, so there is no result: {failures[-1]}")
    kept = None if replace else stored(name, out, budget, precision)
    every = with_stored(variants, kept)
    result = written(name, reproductions[name], every, out, more_options=more_options, replace=replace)
    return Reproduced(*result, failures)


def written(
    name: str,
    reproduction: Reproduction,
    variants: Variants,
    out: Path,
    *,
    more_options: str = "",
    replace: bool = False,
    pictures: bool = True,
) -> tuple[dict[str, Any], Path, Variants]:
    """Collects the finished trials and writes their result into `out`; returns the result, its path and the trials.

    Args:
        name, reproduction, variants: as `collect`.
        out: a folder; an incomplete result of the full budget goes to its folder full/, without pictures.
        more_options: command-line options to include in the command that repeats this.
        replace: as `zoo.lab.trials.stored.place`.
        pictures: whether to draw; if not, the stored result's pictures stay.

    Raises:
        FileNotFoundError, ValueError: as `collect`.
        FileExistsError: as `zoo.lab.trials.stored.place`.
    """
    first = next(trial for trials in variants.values() for trial in trials)
    asked = f"--precision {first.precision} " if first.precision else ""
    count = 1 + max(trial.seed for trials in variants.values() for trial in trials)
    command = f"python -m zoo reproduce {name} --budget {first.budget} --seeds {count} {asked}{more_options}"
    result = collect(name, reproduction, variants, command=command.rstrip())
    complete = place(result, out, replace=replace).parent == out
    if complete and (there := stored(name, out, first.budget, first.precision)):
        result["pictures"] = dict(there["pictures"])
    path = save(result, out, replace=replace)  # before the pictures, of which one may fail
    if complete and pictures:
        result["pictures"] = draw(reproduction, variants, name, out)
        path = save(result, out, replace=replace)
    return result, path, variants
