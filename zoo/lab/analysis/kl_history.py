"""KL of every latent dimension over training: the order of discovery, and whether capacities are exceeded.

Joint-VAE (Dupont 2018, https://arxiv.org/abs/1804.00104): Figure 7, and the reason for Figure 10, given in section 4.3:
with gamma too low the model exceeds the capacity at first, and encodes several factors entangled.
"""

import csv
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from zoo.arguments import at_least, checked, number_from
from zoo.lab.analysis.interventions import LatentSites
from zoo.lab.errors import unknown_name
from zoo.lab.training.experiment import Experiment

THRESHOLD = 0.1  # nats
WINDOW = 5  # rows of units.csv, 500 steps


@dataclass(frozen=True)
class History:
    """KL over training, on each step's batch.

    Attributes:
        steps: [R].
        kl: nats by unit, [R]: "z[0]", "z[1]", ...; "c" for a site that is one unit.
    """

    steps: np.ndarray
    kl: Mapping[str, np.ndarray]

    @classmethod
    def read(cls, folder: Path) -> "History":
        """Reads the history of a run from its units.csv.

        Raises:
            FileNotFoundError: there is no units.csv.
            ValueError: the file is damaged, or the run was too short to have a row.
        """
        path = folder / "units.csv"
        if not path.is_file():
            raise FileNotFoundError(
                f"{path} is missing: the KL of each unit over training was not recorded; put a copy back"
            )
        try:
            with path.open(newline="", encoding="utf-8") as file:
                header, *rows = list(csv.reader(file)) or [[]]
            if any("nan" in cell.lower() for row in rows for cell in row):
                raise ValueError("not a number")
            table = _filled(np.array([[cell or "nan" for cell in row] for row in rows], float), len(header))
        except (ValueError, csv.Error):
            raise ValueError(
                f"{path} is damaged: it must hold a line of names and then lines of as many numbers; put a copy back"
            ) from None
        if header[:1] != ["step"] or len(header) < 2 or not np.isfinite(table).all():
            raise ValueError(f"{path} is damaged: it must hold the step and the nats of each unit; put a copy back")
        if not rows:
            raise ValueError(f"{path} has no row: the run was too short to record the KL of each unit over training")
        return cls(table[:, 0].astype(int), dict(zip(header[1:], table[:, 1:].T, strict=True)))

    def of(self, group: str) -> np.ndarray:
        """The KL of a site, or of a sum of sites as in "c1+c2", [R].

        Raises:
            LookupError: there is no such site.
        """
        sites, known = group.split("+"), {unit.split("[")[0]: None for unit in self.kl}
        for site in sites:
            if site not in known:
                raise LookupError(unknown_name("site of the history", site, list(known)))
        return np.sum([kl for unit, kl in self.kl.items() if unit.split("[")[0] in sites], axis=0)


def _filled(table: np.ndarray, columns: int) -> np.ndarray:
    """The table with each empty cell replaced by the number before it in its column, or by the first after it.

    A site has no KL at a step whose batch gives its value, as labels do.
    """
    table = table.reshape(len(table), columns)
    for column in table.T:
        if (known := np.flatnonzero(~np.isnan(column))).size:
            last = np.where(np.isnan(column), known[0], np.arange(len(column)))
            column[:] = column[np.maximum.accumulate(last)]
    return table


class Discovery(NamedTuple):
    """A latent dimension whose KL exceeded the threshold.

    Attributes:
        unit: its name.
        step: the first step at which its KL was above the threshold.
        final: nats at the end, smoothed.
    """

    unit: str
    step: int
    final: float


@checked(threshold=at_least(0), window=number_from(1))
def discovery_order(history: History, *, threshold: float = THRESHOLD, window: int = WINDOW) -> list[Discovery]:
    """The units in the order in which they were found: those whose mean over a window exceeds `threshold` nats.

    A unit counts as found at the last step of the first such window, so that no later row is used; a unit that loses
    its information later stays in the list, as its `final` shows. Units found at the same step are ordered by their KL
    at that step.

    Args:
        history: of a run.
        threshold: nats.
        window: number of rows to average over, since a row is one batch; all rows where there are fewer.
    """
    found = []
    for unit, kl in history.kl.items():
        means = smooth(kl, window)
        steps = history.steps[len(history.steps) - len(means) :]
        above = np.flatnonzero(means > threshold)
        if len(above):
            found.append((steps[above[0]], -means[above[0]], Discovery(unit, int(steps[above[0]]), float(means[-1]))))
    return [discovery for *_, discovery in sorted(found)]


def smooth(values: np.ndarray, window: int) -> np.ndarray:
    """Means over `window` rows, [R - window + 1]; over all rows where there are fewer."""
    window = min(window, len(values))
    return np.convolve(values, np.full(window, 1 / window), mode="valid")


def capacities(experiment: Experiment, steps: np.ndarray) -> dict[str, np.ndarray]:
    """The capacity at each step [R], in nats, by site or sum of sites; empty if the objective has none.

    One C for the whole KL has the sum of all sites as its key. A capacity above the largest KL of a categorical, log K,
    is replaced by log K, as in the objective. The objective is left as it was.
    """
    elbo, schedule = experiment.elbo, experiment.schedule
    if not hasattr(elbo, "capacity"):
        return {}
    sites = LatentSites.of(experiment.model)
    whole = "+".join([*sites.units, *sites.classes])
    state, found = dict(elbo.state_dict()), []
    try:
        for step in steps.tolist():
            if schedule:
                schedule(step - 1, elbo)  # called after each step, for the next one
            now = elbo.capacity
            found.append({k: float(v) for k, v in now.items()} if isinstance(now, Mapping) else {whole: float(now)})
    finally:
        elbo.load_state_dict(state)
    ceilings = {key: sum(math.log(sites.classes.get(s, math.inf)) for s in key.split("+")) for key in found[0]}
    return {key: np.array([min(row[key], ceiling) for row in found]) for key, ceiling in ceilings.items()}


@checked(window=number_from(1))
def overshoot(kl: np.ndarray, capacity: np.ndarray, *, window: int = WINDOW) -> float:
    """The most nats by which KL [R] exceeded its capacity [R], as a window's mean; negative if it never did."""
    return float(smooth(kl - capacity, window).max())


class Run(NamedTuple):
    """A run to draw: its title, its history, and its capacities, if it had any."""

    title: str
    history: History
    capacity: Mapping[str, np.ndarray]
