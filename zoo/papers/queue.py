"""`reproduce_queue`: trials of several papers' reproductions in one queue, and their results and pages as they come."""

import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from tqdm import tqdm

from zoo.lab.device import find_device
from zoo.lab.errors import in_a_line, unknown_name
from zoo.lab.runs.interrupt import Stopped
from zoo.lab.training.precision import Precision, check_precision
from zoo.lab.trials import queue
from zoo.lab.trials.backends import open_backend
from zoo.lab.trials.queue import Plan, Queued
from zoo.lab.trials.reproduce import best, finished, written
from zoo.lab.trials.stored import is_apart, stored
from zoo.lab.trials.trial import Budget, RunNotHereError, print_failure
from zoo.papers.pages import CHECKOUT, write_pages
from zoo.papers.recipes import RECIPES
from zoo.papers.reproductions import REPRODUCTIONS, results_folder
from zoo.papers.weights import keep, records


@dataclass(frozen=True)
class Done:
    """The outcome of a queue.

    Attributes:
        plan: what it had to run.
        finished: the trials that finished.
        failures: the errors of trials and results that failed.
        results: the paths of the results that were written, by name.
    """

    plan: Plan
    finished: Sequence[Queued]
    failures: Sequence[str]
    results: Mapping[str, Path]

    def __str__(self) -> str:
        left = len(self.plan.trials) - len(self.finished)
        lines = [f"{len(self.finished)} trials finished, {left} are left"]
        lines += [f"wrote {path}" for path in self.results.values()]
        return "\n".join(lines)


def plan_queue(
    names: Sequence[str] = (),
    *,
    budget: Budget = "full",
    seeds: int | None = None,
    runs: Path = Path("runs/reproduce"),
    out: Path | None = None,
    device: str | None = None,
    compile: bool = False,
    precision: Precision | None = None,
    data_dir: Path | None = None,
    download: bool = False,
) -> Plan:
    """The trials that are not finished, with their estimated cost, in the order in which `reproduce_queue` runs them.

    Arguments and errors as `reproduce_queue`.
    """
    if budget not in get_args(Budget):
        raise ValueError(f"--budget must be full or short, got {budget!r}")
    if seeds is not None and seeds < 1:
        raise ValueError(f"--seeds must be at least 1, got {seeds}")
    if precision is not None:
        check_precision(precision)
    for name in names:
        if name not in REPRODUCTIONS:
            raise LookupError(unknown_name("reproduction", name, REPRODUCTIONS))
    chosen = {name: REPRODUCTIONS[name] for name in names or REPRODUCTIONS}
    return queue.plan(
        chosen,
        {name: out or results_folder(name) for name in chosen},
        runs,
        budget=budget,
        seeds=seeds,
        precision=precision,
        in_given_order=bool(names),
        recipes=RECIPES,
        data_dir=data_dir,
        download=download,
        device=str(find_device(device)),
        compile=compile,
    )


def reproduce_queue(
    names: Sequence[str] = (),
    *,
    hours: float | None = None,
    jobs: int | None = None,
    backend: str = "loky",
    scheduler: str | None = None,
    budget: Budget = "full",
    seeds: int | None = None,
    runs: Path = Path("runs/reproduce"),
    out: Path | None = None,
    weights: Path | None = None,
    device: str | None = None,
    compile: bool = False,
    precision: Precision | None = None,
    data_dir: Path | None = None,
    download: bool = False,
) -> Done:
    """Runs the trials of several reproductions that are not finished, in one queue, until its time is up.

    After each finished trial the result's JSON, the paper's page and the README's table are written again. At the end,
    also when the queue is stopped, the pictures are drawn and the weights kept, including those that an earlier queue
    on this machine left out. Running trials save a checkpoint when the time is up, and the same call resumes them.
    Seeds that a stored result of the same budget has are not run again.

    Args:
        names: of the reproductions, in order; when not given all, in the order of open claims per core-hour.
        hours: the time; without a limit when not given.
        jobs, backend, scheduler: where trials run; see `zoo.lab.trials.backends.open_backend`.
        budget: "full" is the paper's length, "short" is feasible on a CPU.
        seeds: number of seeds, from 0; the budget's when not given.
        runs: the folder of the runs.
        out: folder of the results, without pages; when not given, results/ in each paper's package, and its page.
        weights: a folder for the best seeds' weights, to be read by `zoo.papers.pretrained`; a line on stderr says why
            a reproduction has none.
        device, compile, data_dir, download: see `zoo.lab.trials.trial.Trial`.
        precision: of all runs, see `fit`; each reproduction's own when not given.

    Raises:
        LookupError, ValueError: there is no such reproduction, budget, precision, device or backend, or a number is not
            positive.
        ModuleNotFoundError, ConnectionError: as `open_backend`.
        BlockingIOError, ChildProcessError, Stopped: as `zoo.lab.trials.queue.run`.
    """
    failures: dict[str, str] = {}
    paths: dict[str, Path] = {}

    def write(name: str, pictures: bool = False) -> None:
        try:
            paths[name] = written(
                name, REPRODUCTIONS[name], planned.variants[name], out or results_folder(name), pictures=pictures
            )[1]
            if out is None and (CHECKOUT / "README.md").is_file():
                write_pages()
        except Exception as error:  # the trials are kept, and so is the stored result; the others go on
            failures[name] = f"{name}: {in_a_line(error)}"

    def complete() -> None:
        """Draws the pictures and keeps the weights, also those that a stopped or killed queue has left out."""
        for name, variants in planned.variants.items():
            here = any(trial.written for of_one in variants.values() for trial in of_one)
            if name in paths or (here and _is_incomplete(name, planned, out or results_folder(name))):
                write(name, pictures=True)
            if weights is not None and (here or names):
                try:
                    why = _keep(name, planned, weights, again=name in paths)
                except Exception as error:
                    failures[name] = f"{name}: {in_a_line(error)}"
                else:
                    if why:
                        with suppress(OSError):  # nobody reads it any more, as after Ctrl-C: the others are still kept
                            tqdm.write(f"no weights of {name} are kept: {why}", file=sys.stderr)
        with suppress(OSError):
            for failure in failures.values():
                print_failure(failure)

    where = str(find_device(device))
    with open_backend(backend, jobs=jobs, scheduler=scheduler, device=where) as on:
        planned = plan_queue(
            names,
            budget=budget,
            seeds=seeds,
            runs=runs,
            out=out,
            device=where,
            compile=compile,
            precision=precision,
            data_dir=data_dir,
            download=download,
        )
        try:
            done, failed = queue.run(planned, on, hours=hours, finished=write)
        except (Stopped, ChildProcessError, ConnectionError):  # nothing else would draw what has finished
            complete()
            raise
    complete()
    return Done(planned, done, [*failed, *failures.values()], paths)


def _is_incomplete(name: str, planned: Plan, out: Path) -> bool:
    """Whether the stored result lacks trials that are finished here, or its pictures.

    A result of the full budget that lies apart, since it has fewer seeds than the short one, has no pictures.
    """
    variants = finished(planned.variants[name])
    first = next(iter(variants.values()))[0]
    there = stored(name, out, first.budget, first.precision)
    if there is None:
        return True
    recorded = {(variant, record["seed"]) for variant, records in there["variants"].items() for record in records}
    if any((variant, trial.seed) not in recorded for variant, own in variants.items() for trial in own):
        return True
    if not REPRODUCTIONS[name].pictures or (there["budget"] == "full" and is_apart(name, out)):
        return False
    return not there["pictures"] or not all((out / picture).is_file() for picture in there["pictures"])


def _keep(name: str, planned: Plan, weights: Path, *, again: bool) -> str:
    """Keeps the weights of the best seed's run; returns why there are none to keep, or nothing.

    Weights of this seed that are there already are kept again only where `again` is given.
    """
    reproduction, variants = REPRODUCTIONS[name], finished(planned.variants[name])
    if reproduction.best is None:
        return "no quantity defines its best seed"
    if reproduction.best[0] not in variants:
        return f"no trial of {reproduction.best[0]} is finished"
    trial = best(name, reproduction, variants)
    if not again and any((about["name"], about.get("seed")) == (name, trial.seed) for about in records(weights)):
        return ""
    try:
        trained = trial.open()
    except RunNotHereError:
        return f"the run of its best seed, {trial.seed}, is not on this machine"
    asked = f" --precision {trial.precision}" if trial.precision else ""
    about = {
        "command": f"python -m zoo reproduce {name} --budget {trial.budget} --seeds {trial.seed + 1}{asked}",
        "seed": trial.seed,
        "chosen by": reproduction.best,
        "quantities": trial.quantities(),
    }
    keep(name, trained, weights, about)
    return ""
