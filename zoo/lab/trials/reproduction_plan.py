"""The trials of a reproduction: one folder per variant and seed, checked before any is run."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

from zoo.lab.device import find_device
from zoo.lab.errors import unknown_name
from zoo.lab.training.experiment import Recipe
from zoo.lab.training.precision import Precision, check_precision
from zoo.lab.trials.reproduction import Reproduction
from zoo.lab.trials.stored import file_name
from zoo.lab.trials.trial import Budget, Measure, Trial

RUNS = Path("runs/reproduce")


def trials(
    name: str,
    reproduction: Reproduction,
    runs: Path,
    *,
    seeds: int,
    budget: Budget,
    precision: Precision | None = None,
    **options: Any,
) -> dict[str, list[Trial]]:
    """The trials by variant: RUNS/NAME-BUDGET/VARIANT/seed-K, or without VARIANT where there is only one.

    In a precision that was asked for they are in RUNS/NAME-BUDGET-PRECISION. Arguments as `reproduce`; `options` are
    those of `Trial`.

    Raises:
        ValueError: two variants would have one folder.
    """
    by_folder: dict[str, str] = {}
    for variant in reproduction.variants:
        if (other := by_folder.setdefault(_slug(variant), variant)) != variant:
            raise ValueError(
                f"{name}: the variants {other!r} and {variant!r} would have the same folder, {_slug(variant)}: they "
                "must differ in a letter, a digit or a dot"
            )
    parent = runs / f"{file_name(name)}-{budget}{f'-{precision}' if precision else ''}"
    options["precision"] = precision
    alone = len(reproduction.variants) == 1
    return {
        variant: [
            Trial(seed, budget, (parent if alone else parent / _slug(variant)) / f"seed-{seed}", **options)
            for seed in range(seeds)
        ]
        for variant in reproduction.variants
    }


def plan_trials(
    name: str,
    reproductions: Mapping[str, Reproduction],
    recipes: Mapping[str, Recipe],
    *,
    seeds: int | None = None,
    budget: Budget = "full",
    runs: Path = RUNS,
    device: str | None = None,
    precision: Precision | None = None,
    **options: Any,
) -> tuple[dict[str, list[Trial]], list[tuple[Measure, Trial]]]:
    """The trials that `reproduce` runs, by variant and in one list with their measures. Nothing is run or written.

    Arguments and LookupError, ValueError as `reproduce`.
    """
    if name not in reproductions:
        raise LookupError(unknown_name("reproduction", name, reproductions))
    if budget not in get_args(Budget):
        raise ValueError(f"--budget must be full or short, got {budget!r}")
    if seeds is not None and seeds < 1:
        raise ValueError(f"--seeds must be at least 1, got {seeds}")
    reproduction = reproductions[name]
    check_asked_precision(name, reproduction, precision)
    count = reproduction.seeds[budget] if seeds is None else seeds
    options |= {"recipes": recipes, "device": str(find_device(device)), "precision": precision}
    variants = trials(name, reproduction, runs, seeds=count, budget=budget, **options)
    return variants, [(reproduction.variants[variant], trial) for variant, own in variants.items() for trial in own]


def check_asked_precision(name: str, reproduction: Reproduction, precision: Precision | None) -> None:
    """Checks that the reproduction can be trained in the precision that was asked for, if any was.

    Raises:
        ValueError: there is no such precision, or the reproduction trains networks that no recipe builds.
    """
    if precision is None:
        return
    check_precision(precision)
    if reproduction.other_networks:
        raise ValueError(
            f"--precision {precision} cannot be chosen for {name}, which also trains networks that no recipe builds: "
            "leave it out"
        )


def _slug(variant: str) -> str:
    return "".join(c if c.isalnum() or c in ".-" else "-" for c in variant.lower()).strip("-")
