"""Pictures of correlations, and of a score against what it cost: DIP-VAE's figures (Kumar et al. 2018)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import torch
from matplotlib.axes import Axes

from zoo.lab.analysis.evaluate import Evaluation
from zoo.lab.analysis.interventions import Sites, inferred, ranked, sweep, wide
from zoo.lab.device import device_of
from zoo.lab.plots.image_grid import save_sheet
from zoo.lab.plots.style import COLOURS, FAINT, figure, plain
from zoo.lab.runs.finished import FinishedRun
from zoo.metrics import Result, closest


def correlations(models: Mapping[str, tuple[Result, Result]], path: Path) -> None:
    """A column per model: its latents' correlations with each other, over those with the factors (Tables 3 and 4).

    Args:
        models: by name `latent_correlations` and `factor_correlations`.
        path: where the picture goes.
    """
    rows = len(next(iter(models.values()))[1].axes[0])
    canvas = figure(2.9 * len(models) + 0.8, 2.9 + min(0.3 * rows, 6.0))
    heights = [10.0, min(rows, 20)]
    grid = canvas.subplots(2, len(models), squeeze=False, height_ratios=heights)
    for column, (name, results) in enumerate(models.items()):
        for axes, result in zip(grid[:, column], results, strict=True):
            image = axes.imshow(result.value, cmap="RdBu_r", vmin=-1, vmax=1, aspect="auto")
            for ticks, names in ((axes.set_xticks, result.axes[1]), (axes.set_yticks, result.axes[0])):
                ticks(range(len(names)), names, fontsize=max(3, min(7, 150 // len(names))))
            axes.tick_params(length=0)
            axes.tick_params(axis="x", rotation=90)
        grid[0, column].set_title(name, fontsize=9)
    bar = canvas.colorbar(image, ax=grid, shrink=0.6)
    bar.set_label("Pearson's correlation", fontsize=8)
    canvas.savefig(path, bbox_inches="tight")


@dataclass(frozen=True)
class Point:
    """One run of Figure 1: the family, the weight beside the point, and where it lies."""

    family: str
    weight: float
    error: float
    metric: float


def trade_off(points: Sequence[Point], path: Path, *, error: str, metric: str) -> None:
    """The metric against the error, a colour a family, each point with its weight (Figure 1).

    A line joins a family's means over seeds, from the least weight to the largest.
    """
    canvas = figure(6.0, 4.2)
    axes = plain(canvas.add_subplot())
    families = dict.fromkeys(point.family for point in points)
    for family, colour in zip(families, COLOURS, strict=False):
        own = sorted((p for p in points if p.family == family), key=lambda p: p.weight)
        weights = [list(of_it) for _, of_it in groupby(own, key=lambda p: p.weight)]
        errors = [sum(p.error for p in of_it) / len(of_it) for of_it in weights]
        metrics = [sum(p.metric for p in of_it) / len(of_it) for of_it in weights]
        axes.plot(errors, metrics, color=colour, linewidth=0.8, alpha=0.5)
        axes.scatter([p.error for p in own], [p.metric for p in own], s=22, color=colour, label=family)
        for of_it, x, y in zip(weights, errors, metrics, strict=True):
            text = f"{of_it[0].weight:g}"
            axes.annotate(text, (x, y), xytext=(5, 4), textcoords="offset points", fontsize=8, color=colour)
    axes.set_xlabel(error)
    axes.set_ylabel(metric)
    axes.legend(fontsize=8, frameon=False)
    canvas.savefig(path, bbox_inches="tight")


def neighbour_bars(models: Mapping[str, Result], attributes: Sequence[str], path: Path, *, count: int = 4) -> None:
    """How the latent of an attribute is correlated with others, the largest first: a row each, as Figure 2.

    Args:
        models: by name `neighbours`.
        attributes: whose latents.
        path: where the picture goes.
        count: how many others.

    Raises:
        LookupError: there is no such attribute.
    """
    canvas = figure(2.9 * len(models), 1.6 * len(attributes))
    grid = canvas.subplots(len(attributes), len(models), squeeze=False, sharex=True)
    for row, attribute in zip(grid, attributes, strict=True):
        for axes, (name, result) in zip(row, models.items(), strict=True):
            _bars(axes, closest(result, attribute, count))
            axes.set_title(f"{name}: {attribute}", fontsize=8, loc="left")
    canvas.savefig(path, bbox_inches="tight")


def _bars(axes: Axes, others: Sequence[tuple[str, float]]) -> None:
    plain(axes).barh([name for name, _ in others], [value for _, value in others], color=COLOURS[0])
    axes.axvline(0.0, color=FAINT, linewidth=0.8)
    axes.invert_yaxis()
    axes.set_xlim(-1, 1)
    axes.tick_params(labelsize=7)


def factor_sweeps(
    models: Mapping[str, FinishedRun], tables: Mapping[str, Result], path: Path, *, factors: Sequence[str], title: str
) -> None:
    """For each factor and model the latent that is most correlated with it, swept from -3 to 3 (as Table 5).

    The other latents stay at the posterior means of the test set's first datapoint.

    Args:
        models, tables: the runs and their `factor_correlations`, by name.
        path: where the picture goes.
        factors: which, of the tables' rows.
        title: of the picture.
    """
    rows, labels = [], []
    for factor in factors:
        for name, trained in models.items():
            table = tables[name]
            values = table.value[table.axes[0].index(factor)]
            best = int(abs(values).argmax())
            site, unit = table.axes[1][best].rsplit("_", 1)
            rows.append(_swept(trained, site, int(unit)))
            labels.append(f"{factor}, {name}: {site}[{unit}]  r = {values[best]:+.2f}")
    _save(rows, labels, path, title)


def informative_sweeps(
    models: Mapping[str, tuple[FinishedRun, Evaluation]], path: Path, *, count: int, title: str
) -> None:
    """For each model its `count` latents of largest KL, swept from -3 to 3 (as Table 6); the others as inferred."""
    rows, labels = [], []
    for name, (trained, evaluation) in models.items():
        for unit in ranked(Sites.of(trained.model), evaluation.kl)[:count]:
            rows.append(_swept(trained, unit.site, unit.index))
            labels.append(f"{name}: {unit.label}")
    _save(rows, labels, path, title)


def _swept(trained: FinishedRun, site: str, unit: int) -> torch.Tensor:
    x = trained.data.test.batch(torch.arange(1), device=device_of(trained.model)).x
    images: torch.Tensor = sweep(trained.model, inferred(trained.model, trained.guide, x), site, unit, wide())[0]
    return images


def _save(rows: Sequence[torch.Tensor], labels: Sequence[str], path: Path, title: str) -> None:
    columns = [f"{value:g}" for value in wide().tolist()]
    save_sheet(torch.stack(list(rows)), path, row_labels=labels, column_labels=columns, title=title)
