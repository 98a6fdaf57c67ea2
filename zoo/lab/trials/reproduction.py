"""Reproduction: what a paper reports, tried over seeds, and written down whatever comes out.

A `Reproduction` says what to run and what the paper has; `trials` lays out one folder per variant and seed; `collect`
makes results/NAME.json of those that are finished.
"""

import json
import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from zoo.lab.device import find_device
from zoo.lab.errors import unknown_name
from zoo.lab.files import write_file
from zoo.lab.training.experiment import Recipe
from zoo.lab.trials.card import card
from zoo.lab.trials.trial import FIGURES, Budget, Measure, Trial, run_trials


@dataclass(frozen=True)
class Figure:
    """A figure of the table.

    Attributes:
        what: in words, with its unit.
        better: which end is best, where one is.
        digits: after the point.
    """

    what: str
    better: Literal["high", "low", ""] = ""
    digits: int = 2


@dataclass(frozen=True)
class Results:
    """Every figure of every seed: variant, seed, figure."""

    table: Mapping[str, Mapping[int, Mapping[str, float]]]

    def values(self, variant: str, figure: str) -> list[float]:
        """Of the seeds in order that have the figure."""
        seeds = self.table.get(variant, {})
        return [seeds[seed][figure] for seed in sorted(seeds) if figure in seeds[seed]]

    def mean(self, variant: str, figure: str) -> float:
        """Over seeds; not a number where there are none."""
        values = self.values(variant, figure)
        return statistics.fmean(values) if values else math.nan


@dataclass(frozen=True)
class Claim:
    """What a paper says, and how to tell whether it held.

    Attributes:
        text: the claim.
        held: from the results to yes or no, or None where they cannot tell, and the figures that say so.
    """

    text: str
    held: Callable[[Results], tuple[bool | None, str]]


@dataclass(frozen=True)
class Reproduction:
    """What a paper reports, and how we try for it.

    Attributes:
        title: what is reproduced.
        paper: citation, section, URL.
        variants: by name, a function from a trial to its figures, in the order of the table.
        figures: what the figures are, by name.
        reported: the paper's values, by variant and figure.
        headline: the rows of the README's table: variant, figure.
        best: the variant and the figure by which a seed is best, whose weights can be kept.
        seeds: how many, by budget.
        claims: of the paper.
        deviations: every known one.
        pictures: from the trials by variant, and a folder, to captions by file name.
    """

    title: str
    paper: str
    variants: Mapping[str, Measure]
    figures: Mapping[str, Figure]
    reported: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    headline: Sequence[tuple[str, str]] = ()
    best: tuple[str, str] | None = None
    seeds: Mapping[Budget, int] = field(default_factory=lambda: {"full": 5, "short": 3})
    claims: Sequence[Claim] = ()
    deviations: Sequence[str] = ()
    pictures: Callable[[Mapping[str, Sequence[Trial]], Path], Mapping[str, str]] | None = None


def trials(
    name: str, reproduction: Reproduction, runs: Path, *, seeds: int, budget: Budget, **options: Any
) -> dict[str, list[Trial]]:
    """The trials by variant: RUNS/NAME-BUDGET/VARIANT/seed-K, or without VARIANT where there is one alone.

    Args:
        name, reproduction: which.
        runs: where the folders are.
        seeds: how many, from 0.
        budget: how long.
        options: of `Trial`.
    """
    parent = runs / f"{name.replace('/', '-')}-{budget}"
    alone = len(reproduction.variants) == 1
    return {
        variant: [
            Trial(seed, budget, (parent if alone else parent / _slug(variant)) / f"seed-{seed}", **options)
            for seed in range(seeds)
        ]
        for variant in reproduction.variants
    }


def collect(
    name: str, reproduction: Reproduction, tried: Mapping[str, Sequence[Trial]], *, command: str
) -> dict[str, Any]:
    """What results/NAME.json holds: every seed that is finished, and what they say of each claim.

    Raises:
        FileNotFoundError: no trial is finished.
    """
    records = {
        variant: [json.loads((t.folder / FIGURES).read_text()) for t in of_it if (t.folder / FIGURES).is_file()]
        for variant, of_it in tried.items()
    }
    if not any(records.values()):
        raise FileNotFoundError(f"no trial of {name} is finished, so there is nothing to collect")
    results = Results({v: {record["seed"]: record["figures"] for record in of_it} for v, of_it in records.items()})
    claims = [(claim.text, *claim.held(results)) for claim in reproduction.claims]
    return {
        "name": name,
        "title": reproduction.title,
        "paper": reproduction.paper,
        "command": command,
        "budget": next(trial.budget for of_it in tried.values() for trial in of_it),
        "figures": {figure: asdict(about) for figure, about in reproduction.figures.items()},
        "reported": {variant: dict(values) for variant, values in reproduction.reported.items()},
        "headline": [list(pair) for pair in reproduction.headline],
        "variants": {variant: of_it for variant, of_it in records.items() if of_it},
        "claims": [{"claim": text, "held": held, "evidence": evidence} for text, held, evidence in claims],
        "deviations": list(reproduction.deviations),
        "pictures": {},
    }


def best(reproduction: Reproduction, tried: Mapping[str, Sequence[Trial]], result: Mapping[str, Any]) -> Trial:
    """The trial of the best seed.

    Raises:
        ValueError: the reproduction does not say which is best, or the figure does not.
    """
    if reproduction.best is None or not reproduction.figures[reproduction.best[1]].better:
        raise ValueError(f"{result['name']}: no figure says which seed is best, so there are no weights to keep")
    variant, figure = reproduction.best
    sign = 1 if reproduction.figures[figure].better == "high" else -1
    scores = {record["seed"]: sign * record["figures"][figure] for record in result["variants"][variant]}
    seed = max(scores, key=scores.__getitem__)
    return next(trial for trial in tried[variant] if trial.seed == seed)


def draw(reproduction: Reproduction, tried: Mapping[str, Sequence[Trial]], name: str, out: Path) -> dict[str, str]:
    """Draws the pictures of the finished trials into OUT/NAME; gives captions by path within `out`."""
    if reproduction.pictures is None:
        return {}
    stem = name.replace("/", "-")
    (out / stem).mkdir(parents=True, exist_ok=True)
    finished = {v: [t for t in of_it if (t.folder / FIGURES).is_file()] for v, of_it in tried.items()}
    captions = reproduction.pictures({v: of_it for v, of_it in finished.items() if of_it}, out / stem)
    return {f"{stem}/{file}": caption for file, caption in captions.items()}


def save(result: Mapping[str, Any], out: Path, *, replace: bool = False) -> Path:
    """Writes NAME.json and the card NAME.md into `out`; gives the card's path.

    Raises:
        FileExistsError: there is a result of the full budget, or of more seeds, and this one has less.
    """
    stem = result["name"].replace("/", "-")
    path = out / f"{stem}.json"
    if path.is_file() and not replace:
        there = json.loads(path.read_text())
        if _weight(there) > _weight(result):
            raise FileExistsError(
                f"{path} holds more ({there['budget']} budget) than this result ({result['budget']} budget): "
                "name another folder with --out, or give --replace"
            )
    out.mkdir(parents=True, exist_ok=True)
    write_file(path, _json(result))
    write_file(out / f"{stem}.md", card(result).encode())
    return out / f"{stem}.md"


def _weight(result: Mapping[str, Any]) -> tuple[bool, int]:
    """Full before short, then by the number of seeds."""
    return result["budget"] == "full", sum(len(records) for records in result["variants"].values())


def _slug(variant: str) -> str:
    return "".join(c if c.isalnum() or c in ".-" else "-" for c in variant.lower()).strip("-")


def _json(value: Any) -> bytes:
    return (json.dumps(value, indent=2) + "\n").encode()


@dataclass(frozen=True)
class Reproduced:
    """What a reproduction left.

    Attributes:
        result: what its JSON file holds.
        card: the Markdown file; the JSON is next to it.
        trials: by variant.
        failures: what went wrong, trial by trial.
    """

    result: Mapping[str, Any]
    card: Path
    trials: Mapping[str, Sequence[Trial]]
    failures: Sequence[str]


def reproduce(
    name: str,
    reproductions: Mapping[str, Reproduction],
    recipes: Mapping[str, Recipe],
    out: Path,
    *,
    seeds: int | None = None,
    budget: Budget = "full",
    runs: Path = Path("runs/reproduce"),
    jobs: int = 1,
    replace: bool = False,
    device: str | None = None,
    compile: bool = False,
    data_dir: Path | None = None,
    download: bool = False,
    more_options: str = "",
) -> Reproduced:
    """Runs the trials of a reproduction that are not finished, and writes the result and its pictures into `out`.

    Args:
        name: of the reproduction.
        reproductions, recipes: by name, those that there are; `zoo.papers.reproduce` hands in every paper's.
        out: a folder.
        seeds: how many, from 0; the budget's own number when not given.
        budget: "full" is the paper's length, "short" what a CPU can do.
        runs: where the runs are; finished ones are not run again, stopped ones resume.
        jobs: trials at once.
        replace: whether to replace a result of a larger budget, or of more seeds.
        device, compile, data_dir, download: as `Trial` takes them.
        more_options: of the command line, to be shown in the command that repeats this.

    Raises:
        LookupError: there is no such reproduction.
        ValueError: the budget, the number of seeds or the device does not exist.
        FileNotFoundError: no trial is finished; says why the last one failed.
        FileExistsError: `out` holds a result of more, and `replace` is not given.
        OSError: `out` cannot be made; raised before any trial.
    """
    if name not in reproductions:
        raise LookupError(unknown_name("reproduction", name, reproductions))
    if budget not in get_args(Budget):
        raise ValueError(f"--budget must be full or short, got {budget!r}")
    if seeds is not None and seeds < 1:
        raise ValueError(f"--seeds must be at least 1, got {seeds}")
    where = str(find_device(device))
    try:
        out.mkdir(parents=True, exist_ok=True)  # before the trials, which may take days
    except OSError as error:
        raise OSError(f"the folder {out} cannot be made ({error.strerror}): name another one with --out") from error
    reproduction = reproductions[name]
    count = reproduction.seeds[budget] if seeds is None else seeds
    tried = trials(
        name,
        reproduction,
        runs,
        seeds=count,
        budget=budget,
        recipes=recipes,
        data_dir=data_dir,
        download=download,
        device=where,
        compile=compile,
    )
    work = [(reproduction.variants[variant], trial) for variant, own in tried.items() for trial in own]
    failures = run_trials(work, jobs=jobs)
    if failures and not any((trial.folder / FIGURES).is_file() for _, trial in work):
        raise FileNotFoundError(f"no trial of {name} is finished, so there is no result: {failures[-1]}")
    command = f"python -m zoo reproduce {name} --budget {budget} --seeds {count} {more_options}"
    result = collect(name, reproduction, tried, command=command.rstrip())
    result["pictures"] = draw(reproduction, tried, name, out)
    return Reproduced(result, save(result, out, replace=replace), tried, failures)
