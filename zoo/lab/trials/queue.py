"""A queue of trials of several reproductions: their cost, their order, and a run that ends when its time is up."""

import math
import signal
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

from tqdm import tqdm

from zoo.lab.errors import in_a_line
from zoo.lab.runs.interrupt import Stopped
from zoo.lab.runs.lock import locked
from zoo.lab.training.precision import Precision
from zoo.lab.trials.card import table
from zoo.lab.trials.cost import First, NoRunError, Records, core_minutes
from zoo.lab.trials.parallel import in_parallel
from zoo.lab.trials.processes import Backend
from zoo.lab.trials.reproduce import Variants
from zoo.lab.trials.reproduction import Reproduction, Results
from zoo.lab.trials.reproduction_plan import check_asked_precision, trials
from zoo.lab.trials.result_file import Result
from zoo.lab.trials.stored import refuse_other_precision, stored, stored_results, with_stored
from zoo.lab.trials.trial import Budget, Measure, Trial, print_failure, run_quietly


class Queued(NamedTuple):
    """A trial that is not finished: its reproduction, variant, measure, and estimated core-minutes, NaN if unknown."""

    name: str
    variant: str
    measure: Measure
    trial: Trial
    minutes: float


@dataclass(frozen=True)
class Plan:
    """What a queue runs.

    Attributes:
        trials: those that are not finished, in the order in which they are run.
        variants: all trials of each reproduction by variant, with the stored ones.
        open_claims: of each reproduction, the number of the paper's claims that its stored result leaves open: those
            that it cannot decide, and those that do not hold after less training than the paper's.
        left_out: the reproductions that cannot be run here, with the reason.
    """

    trials: Sequence[Queued]
    variants: Mapping[str, Variants]
    open_claims: Mapping[str, int]
    left_out: Mapping[str, str]

    def table(self) -> str:
        """The trials in Markdown, a row for each variant in the order of its first trial, with the sum of its cost."""
        headers = ("reproduction", "variant", "seeds", "budget", "core-minutes a seed:", "in all:", "open claims:")
        rows = []
        ordered = sorted(self.trials, key=lambda q: [*self.variants].index(q.name))
        for name, of_name in groupby(ordered, key=lambda q: q.name):
            by_variant: dict[str, list[Queued]] = {}
            for queued in of_name:
                by_variant.setdefault(queued.variant, []).append(queued)
            for place, (variant, of_one) in enumerate(by_variant.items()):
                whole = sum(queued.minutes for queued in of_one)
                seeds = spans([queued.trial.seed for queued in of_one])
                claims = "" if place else str(self.open_claims[name])
                budget = of_one[0].trial.budget
                rows.append(
                    ("" if place else name, variant, seeds, budget, _shown(whole / len(of_one)), _shown(whole), claims)
                )
        known = [queued.minutes for queued in self.trials if not math.isnan(queued.minutes)]
        unknown = len(self.trials) - len(known)
        others = f", and the unknown cost of {unknown} trials" if unknown else ""
        parts = [table(headers, rows), f"{len(self.trials)} trials, {sum(known) / 60:,.1f} core-hours{others}."]
        parts += [f"left out: {name}: {reason}" for name, reason in self.left_out.items()]
        return "\n\n".join(parts)


def _shown(minutes: float) -> str:
    return "unknown" if math.isnan(minutes) else f"{minutes:,.1f}"


def plan(
    reproductions: Mapping[str, Reproduction],
    outs: Mapping[str, Path],
    runs: Path,
    *,
    budget: Budget,
    seeds: int | None,
    precision: Precision | None,
    in_given_order: bool,
    **options: Any,
) -> Plan:
    """The trials that are not finished, neither here nor in the stored results, with their cost, in order.

    The order of the reproductions is that of the open claims per core-hour, or the given one; within a reproduction
    seed by seed, so that all variants have the first seeds early.

    Args:
        reproductions: by name.
        outs: the folder of each one's results.
        runs: the folder of the runs.
        budget: "full" or "short".
        seeds: the number of seeds, from 0; each reproduction's own number for the budget when not given.
        precision: of all runs; each reproduction's own when not given. Results in another one are left out.
        in_given_order: whether to keep the order of `reproductions`.
        options: of `Trial`.
    """
    queued: dict[str, list[Queued]] = {}
    variants, open_claims, left_out = {}, {}, {}
    known: dict[str, First] = {}
    for name, reproduction in reproductions.items():
        try:
            check_asked_precision(name, reproduction, precision)
            refuse_other_precision(name, outs[name], budget, precision)
        except (ValueError, FileExistsError) as error:
            left_out[name] = str(error)
            continue
        results = stored_results(name, outs[name])
        mine = stored(name, outs[name], budget, precision)
        if budget == "short" and mine is None and results:
            left_out[name] = "there is a result of the full budget"
            continue
        count = seeds or reproduction.seeds[budget]
        own = trials(name, reproduction, runs, seeds=count, budget=budget, precision=precision, **options)
        every = with_stored(own, mine)
        try:
            alike = [result for result in results if result.get("precision") == precision]
            queued[name] = _queued(name, reproduction, every, _records(alike), known)
        except Exception as error:  # such as missing or damaged data
            left_out[name] = in_a_line(error)
            continue
        variants[name] = every
        open_claims[name] = _open_claims(reproduction, results)
    if not in_given_order:
        variants = dict(sorted(variants.items(), key=lambda item: _worth(open_claims[item[0]], queued[item[0]])))
    return Plan([one for name in variants for one in queued[name]], variants, open_claims, left_out)


def _queued(
    name: str, reproduction: Reproduction, every: Variants, records: Mapping[str, Mapping[Budget, Records]], known: Any
) -> list[Queued]:
    found = []
    for variant, own in every.items():
        measure, left = reproduction.variants[variant], [trial for trial in own if not trial.is_finished()]
        for trial in left:
            recorded = records.get(variant, {})
            try:  # not for a measure that trains other networks first: it would have to train them
                look = recorded or not reproduction.other_networks
                minutes = core_minutes(measure, trial, recorded, known=known) if look else math.nan
            except NoRunError:
                minutes = math.nan
            found.append(Queued(name, variant, measure, trial, minutes))
    return sorted(found, key=lambda q: q.trial.seed)


def _records(results: Sequence[Result]) -> dict[str, dict[Budget, Records]]:
    """The records of the results by variant and budget."""
    records: dict[str, dict[Budget, Records]] = {}
    for result in results:
        for variant, of_one in result["variants"].items():
            records.setdefault(variant, {})[result["budget"]] = of_one
    return records


def _open_claims(reproduction: Reproduction, results: Sequence[Result]) -> int:
    """The number of the paper's claims that are open in the result that counts: the short one, until the full one is
    complete.
    """
    if not results:
        return sum(not claim.own for claim in reproduction.claims)
    decisive = results[-1]
    settled = (True, False) if decisive["budget"] == "full" else (True,)
    verdicts = reproduction.verdicts(Results.of(decisive["variants"]))
    return sum(claim["verdict"] not in settled and not claim.get("own") for claim in verdicts)


def _worth(claims: int, queued: Sequence[Queued]) -> tuple[float, float]:
    """For sorting: the most open claims per core-minute first, then the cheapest, and an unknown cost last."""
    minutes = sum(math.inf if math.isnan(one.minutes) else one.minutes for one in queued)
    return (-claims / minutes if minutes else -math.inf if claims else 0.0), minutes


def run(
    planned: Plan, on: Backend, *, hours: float | None, finished: Callable[[str], None]
) -> tuple[list[Queued], list[str]]:
    """Runs the planned trials in order; returns those that finished, and the errors of those that failed.

    An error is printed at once. When the time is up, running trials save a checkpoint and stop; the next call resumes
    them.

    Args:
        planned: the queue.
        on: where they run; see `zoo.lab.trials.backends.open_backend`.
        hours: the time; without a limit when not given.
        finished: called with the reproduction's name after each trial that finished.

    Raises:
        BlockingIOError: another process runs trials of one of the reproductions.
        ChildProcessError, ConnectionError: a process was killed from outside, or a cluster is gone.
        ValueError: hours are not positive.
        zoo.lab.runs.interrupt.Stopped: on Ctrl-C and SIGTERM, when every run has saved.
    """
    if hours is not None and not 0 < hours < math.inf:
        raise ValueError(f"--hours must be positive and finite, got {hours}")
    done: list[Queued] = []
    failures: list[str] = []
    if not planned.trials:
        return done, failures
    by_folder = {queued.trial.folder: queued for queued in planned.trials}
    folders = {name: _folder(of_name) for name, of_name in planned.variants.items()}
    with ExitStack() as stack:
        for name in sorted({queued.name for queued in planned.trials}):
            stack.enter_context(locked(folders[name]))
        work = [(queued.measure, queued.trial) for queued in planned.trials]
        seconds = math.inf if hours is None else 3600 * hours
        outcomes = in_parallel(run_quietly, work, on, folder=folders[planned.trials[0].name], seconds=seconds)
        try:
            for (_, trial), failure in tqdm(outcomes, total=len(work), unit=" trials", dynamic_ncols=True):
                if failure:
                    print_failure(failure)
                    failures.append(failure)
                    continue
                done.append(by_folder[trial.folder])
                finished(by_folder[trial.folder].name)
        except Stopped as stopped:
            raise Stopped(
                f"stopped by {signal.Signals(stopped.signal).name}, and saved; {len(done)} of {len(work)} trials "
                "finished. Give the command again to continue",
                stopped.signal,
            ) from None
        except (ChildProcessError, ConnectionError) as error:
            raise type(error)(
                f"{error}. Run the command again, perhaps with fewer --jobs: runs resume from their last checkpoint"
            ) from error
    return done, failures


def _folder(variants: Variants) -> Path:
    """The folder of a reproduction's runs: RUNS/NAME-BUDGET, or RUNS/NAME-BUDGET-PRECISION."""
    (first, *_) = next(iter(variants.values()))
    return first.folder.parent if len(variants) == 1 else first.folder.parent.parent


def spans(numbers: Sequence[int]) -> str:
    """Whole numbers as spans: "0, 2 to 9"."""
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]} to {run[-1]}" for run in runs)
