"""Stored results: how new seeds are added to those of other machines and days, and where a result is written.

Results of two budgets, or of two precisions, are never added to each other.

A result of the full budget that has fewer seeds than the short one lies apart, in OUT/full/NAME.json, until it has at
least as many; then it takes the short one's place.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace as replaced
from pathlib import Path
from typing import Any

from zoo.lab.training.precision import Precision
from zoo.lab.trials.result_file import Result, read_result, write_result
from zoo.lab.trials.trial import Budget, Trial

FULL = "full"  # the folder of results of the full budget that have fewer seeds than the short one


def file_name(name: str) -> str:
    """The name of files and folders of a reproduction: joint-vae-mnist for joint-vae/mnist."""
    return name.replace("/", "-")


def stored(name: str, out: Path, budget: Budget, precision: Precision | None = None) -> Result | None:
    """The stored result of this budget and precision, complete or not; None where there is none.

    Args:
        name: of the reproduction.
        out: the folder of results.
        budget: "full" or "short".
        precision: the one that was asked for; None is the reproduction's own.

    Raises:
        ValueError: the file holds another reproduction's result.
    """
    for path, result in _there(name, out).items():
        if result["budget"] == budget and result.get("precision") == precision:
            if result["name"] != name:
                raise ValueError(f"{path} holds the result of {result['name']}, not of {name}: name another --out")
            return result
    return None


def stored_results(name: str, out: Path) -> list[Result]:
    """The stored results in any precision, at most one of each budget, that of the full one first."""
    return sorted(_there(name, out).values(), key=lambda result: result["budget"])


def is_apart(name: str, out: Path) -> bool:
    """Whether the folder has a full result that lies apart, since it has fewer seeds than the short one."""
    return (out / FULL / f"{file_name(name)}.json").is_file()


def refuse_other_precision(name: str, out: Path, budget: Budget, precision: Precision | None) -> None:
    """Checks that the folder holds no result of this reproduction and budget in another precision: precisions are not
    mixed.

    Raises:
        FileExistsError: the folder holds such a result; the message names the file and both precisions.
    """
    for path, result in _there(name, out).items():
        if result["budget"] == budget and (other := result.get("precision")) != precision:
            raise FileExistsError(
                f"{path} holds a result {_in(other)}, and this one is {_in(precision)}: name another folder with "
                "--out, or give --replace"
            )


def _there(name: str, out: Path) -> dict[Path, Result]:
    """The results that the folder holds, by file."""
    paths = (out / f"{file_name(name)}.json", out / FULL / f"{file_name(name)}.json")
    return {path: read_result(path) for path in paths if path.is_file()}


def _in(precision: str | None) -> str:
    return f"in {precision}" if precision else "in the reproduction's own precision"


def with_stored(variants: Mapping[str, list[Trial]], result: Result | None) -> dict[str, list[Trial]]:
    """The trials, and those of a stored result's records that are not finished here, by variant with seeds in order.

    A stored trial is finished with its stored record; its run may be on another machine. A trial that is finished here
    takes the place of the stored record of its seed. Variants that the reproduction no longer has are left out.
    """
    merged = {}
    for variant, trials in variants.items():
        records = {} if result is None else {r["seed"]: r for r in result["variants"].get(variant, ())}
        found = {trial.seed: trial for trial in trials}
        for seed, record in records.items():
            if trials and not (seed in found and found[seed].is_finished()):
                folder = trials[0].folder.with_name(f"seed-{seed}")  # where its run is, if it is here
                found[seed] = replaced(trials[0], seed=seed, folder=folder, stored=record)
        merged[variant] = [found[seed] for seed in sorted(found)]
    return merged


def check_same_training(name: str, records: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    """Checks that all seeds of a variant were trained for the same number of steps, in the same precision.

    Raises:
        ValueError: they were not; the message names variant, seeds, and steps or precisions.
    """
    for variant, of_one in records.items():
        steps = {record["seed"]: f"{record['steps']:,}" for record in of_one}
        precisions = {r["seed"]: r["precision"] for r in of_one if "precision" in r}  # earlier versions had none
        for what, by_seed in (("numbers of steps", steps), ("precisions", precisions)):
            if len(set(by_seed.values())) > 1:
                seeds = ", ".join(f"seed {seed} has {value}" for seed, value in sorted(by_seed.items()))
                raise ValueError(
                    f"{name}, {variant}: seeds with different {what} are not one result ({seeds}): give --replace to "
                    "keep only the runs that are here, or name another folder with --out"
                )


def num_seeds(result: Result) -> int:
    """The number of seeds of the variant that has the fewest."""
    return min((len(records) for records in result["variants"].values()), default=0)


def place(result: Result, out: Path, *, replace: bool = False) -> Path:
    """Where a result belongs: OUT/NAME.json; or OUT/full/NAME.json while it is of the full budget, and the short result
    has more seeds or other variants.

    Args:
        result: a result.
        out: the folder.
        replace: whether it takes the place of whatever is there.

    Raises:
        FileExistsError: OUT holds a result of the full budget and this is a short one; or one of the same budget with
            more seeds, or in another precision.
    """
    path = out / f"{file_name(result['name'])}.json"
    if not replace:
        refuse_other_precision(result["name"], out, result["budget"], result.get("precision"))
    if replace or not path.is_file():
        return path
    there = read_result(path)
    if there["budget"] != result["budget"] and result["budget"] == "full":
        covered = set(there["variants"]) <= set(result["variants"])
        return path if covered and num_seeds(result) >= num_seeds(there) else out / FULL / path.name
    if there["budget"] != result["budget"] or _count(there) > _count(result):
        raise FileExistsError(
            f"{path} holds more ({there['budget']} budget) than this result ({result['budget']} budget): "
            "name another folder with --out, or give --replace"
        )
    return path


def save(result: Result, out: Path, *, replace: bool = False) -> Path:
    """Writes the result where it belongs, and returns the path; a full result that is complete leaves OUT/full.

    Raises:
        FileExistsError: as `place`.
    """
    path = place(result, out, replace=replace)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_result(result, path)
    if path.parent == out and result["budget"] == "full":
        (out / FULL / path.name).unlink(missing_ok=True)
    return path


def _count(result: Result) -> int:
    return sum(len(records) for records in result["variants"].values())
