"""Pictures of correlations, and of latents traversed: DIP-VAE's figures (Kumar et al. 2018)."""

from collections.abc import Mapping, Sequence

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from zoo.lab.analysis.evaluate import Evaluation
from zoo.lab.analysis.interventions import RANGE_3, LatentSites, encode_modes, guide_inputs, ranked, traverse_unit
from zoo.lab.analysis.selection import spread
from zoo.lab.device import device_of
from zoo.lab.plots.image_grid import ImageGrid
from zoo.lab.plots.style import COLOURS, FAINT, figure, styled
from zoo.lab.runs.finished import FinishedRun
from zoo.metrics import Result, closest


@styled
def correlations(models: Mapping[str, tuple[Result, Result]]) -> Figure:
    """A column per model: above, the latents' correlations with each other, below, with the factors (Tables 3 and 4).

    Args:
        models: by name, the results of `latent_correlations` and `factor_correlations`.
    """
    rows = len(next(iter(models.values()))[1].axes[0])
    canvas = figure(2.9 * len(models) + 0.8, 2.9 + min(0.3 * rows, 6.0))
    grid = canvas.subplots(2, len(models), squeeze=False, height_ratios=[10.0, min(rows, 20)])
    for column, (name, results) in enumerate(models.items()):
        for axes, result in zip(grid[:, column], results, strict=True):
            image = axes.imshow(result.value, cmap="RdBu_r", vmin=-1, vmax=1, aspect="auto")
            for ticks, names in ((axes.set_xticks, result.axes[1]), (axes.set_yticks, result.axes[0])):
                ticks(range(len(names)), names, fontsize=max(3, min(7, 150 // len(names))))  # smaller for more names
            axes.tick_params(length=0)
            axes.tick_params(axis="x", rotation=90)
        grid[0, column].set_title(name, loc="center")
    canvas.colorbar(image, ax=grid, shrink=0.6).set_label("Pearson's correlation")
    return canvas


@styled
def neighbour_bars(models: Mapping[str, Result], attributes: Sequence[str], *, count: int = 4) -> Figure:
    """The correlations of an attribute's latent with other attributes, the largest first, a row each, as in Figure 2.

    Args:
        models: by name, the results of `neighbours`.
        attributes: the attributes whose latents are shown.
        count: number of other attributes.

    Raises:
        LookupError: there is no such attribute.
    """
    canvas = figure(2.9 * len(models), 1.6 * len(attributes))
    grid = canvas.subplots(len(attributes), len(models), squeeze=False, sharex=True)
    for row, attribute in zip(grid, attributes, strict=True):
        for axes, (name, result) in zip(row, models.items(), strict=True):
            _bars(axes, closest(result, attribute, count))
            axes.set_title(f"{name}: {attribute}")
    return canvas


def _bars(axes: Axes, others: Sequence[tuple[str, float]]) -> None:
    axes.barh([name for name, _ in others], [value for _, value in others], color=COLOURS[0])
    axes.axvline(0.0, color=FAINT, linewidth=0.8)
    axes.invert_yaxis()
    axes.set_xlim(-1, 1)


def factor_traversals(
    models: Mapping[str, FinishedRun], tables: Mapping[str, Result], *, factors: Sequence[str], title: str
) -> ImageGrid:
    """For each factor and model the most correlated latent, from -3 to 3 (as in Table 5).

    The other latents stay at the posterior means of a test datapoint.

    Args:
        models, tables: the runs and their `factor_correlations`, by name.
        factors: the factors to show, from the tables' rows.
        title: of the picture.
    """
    rows, labels = [], []
    for factor in factors:
        for name, run in models.items():
            table = tables[name]
            values = table.value[table.axes[0].index(factor)]
            best = int(abs(values).argmax())
            site, unit = table.axes[1][best].rsplit("_", 1)
            rows.append(_traversed(run, site, int(unit)))
            labels.append(f"{factor}, {name}: {site}[{unit}]  r = {values[best]:+.2f}")
    return _grid(rows, labels, title)


def informative_traversals(
    models: Mapping[str, tuple[FinishedRun, Evaluation]], *, count: int, title: str
) -> ImageGrid:
    """For each model its `count` latents of largest KL, from -3 to 3 (as in Table 6); the others as inferred."""
    rows, labels = [], []
    for name, (run, evaluation) in models.items():
        for unit in ranked(LatentSites.of(run.model), evaluation.kl)[:count]:
            rows.append(_traversed(run, unit.site, unit.index))
            labels.append(f"{name}: {unit.label}")
    return _grid(rows, labels, title)


def _traversed(run: FinishedRun, site: str, unit: int) -> torch.Tensor:
    data = run.data.test
    seen = guide_inputs(run.guide, data, spread(data, 1), device_of(run.model))
    images: torch.Tensor = traverse_unit(run.model, encode_modes(run.model, run.guide, *seen), site, unit, RANGE_3)[0]
    return images


def _grid(rows: Sequence[torch.Tensor], labels: Sequence[str], title: str) -> ImageGrid:
    return ImageGrid(torch.stack(list(rows)), title, labels, [f"{value:g}" for value in RANGE_3.tolist()])
