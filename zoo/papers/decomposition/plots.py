"""The decomposition paper's pictures: overlap, aggregate posteriors in the plane, and the units used by each class."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Ellipse
from torch import Tensor, nn

from zoo.lab.analysis.evaluate import Evaluation
from zoo.lab.analysis.grid import Grid2D, log_aggregate, log_prior
from zoo.lab.analysis.posterior import decode, posterior_means
from zoo.lab.data import Dataset
from zoo.lab.device import device_of
from zoo.lab.plots.image_grid import ImageGrid
from zoo.lab.plots.picture import Picture
from zoo.lab.plots.style import COLOURS, FAINT, INK, figure, styled
from zoo.papers.decomposition.measures import encoded

VIEW = Grid2D(reach=2.0, num=300)  # as in the paper's code


def plane_pictures(model: nn.Module, guide: nn.Module, data: Dataset, evaluation: Evaluation) -> dict[str, Picture]:
    """Pictures of a run on points of the plane with codes of two units."""
    q = encoded(guide, data)
    reconstructed = decode(model, {"z": q.mean}).cpu()
    return {
        "aggregate.png": Picture(density_grid({"q(z), test set": q}, model), "densities of q(z) and of p(z)"),
        "overlap.png": Picture(
            overlap({"q(z | x), test set": q}, data, model),
            "q(z | x) to two deviations by class, on contours of p(z)",
        ),
        "reconstructions.png": Picture(
            reconstructed_points(data, reconstructed), "test data and the mean of p(x given the posterior mean)"
        ),
    }


@styled
def reconstructed_points(data: Dataset, means: Tensor) -> Figure:
    """Points of the plane, and their reconstructions [N, 2]."""
    canvas = figure(3.6, 3.4)
    axes = canvas.add_subplot()
    x = data.batch(torch.arange(len(data))).x
    axes.scatter(x[:, 0], x[:, 1], s=6, color=FAINT, label="test data")
    axes.scatter(means[:, 0], means[:, 1], s=4, color=INK, label="mean of p(x | mean z)")
    axes.legend()
    axes.set_aspect("equal")
    return canvas


@styled
def density_grid(panels: Mapping[str, Any], model: nn.Module) -> Figure:
    """Figure 3: the density of q(z) in each panel, grey from 0 to 1 as in the paper's code; the prior's last.

    Args:
        panels: posteriors, batch [N], by title.
        model: the story with the prior.
    """
    points = VIEW.points.to(device_of(model))
    densities = {title: log_aggregate(q, points).exp() for title, q in panels.items()}
    densities["p(z)"] = log_prior(model, points).exp()
    columns = min(4, len(densities))
    rows = -(-len(densities) // columns)
    canvas = figure(1.9 * columns, 2.05 * rows)
    for i, (title, density) in enumerate(densities.items()):
        axes = canvas.add_subplot(rows, columns, i + 1)
        image = density.reshape(VIEW.num, VIEW.num).mT.cpu().numpy()  # image rows are the second unit
        reach = (-VIEW.reach, VIEW.reach)
        axes.imshow(image, origin="lower", extent=(*reach, *reach), cmap="Greys", vmin=0, vmax=1)
        _bare(axes, title)
    return canvas


@styled
def overlap(panels: Mapping[str, Any], data: Dataset, model: nn.Module) -> Figure:
    """Figure 1 from real encodings: q(z | x) of 80 datapoints to two standard deviations, by class, over p(z).

    Args:
        panels: posteriors of all of `data`, batch [N], by title.
        data: with labels; the datapoints are spread evenly over the set.
        model: the story with the prior.

    Raises:
        ValueError: the data have no labels.
    """
    if data.y is None:
        raise ValueError(f"data {data.name!r} has no labels to colour encodings by")
    log_p = log_prior(model, VIEW.points.to(device_of(model))).reshape(VIEW.num, VIEW.num).mT.cpu()
    axis = np.linspace(-VIEW.reach, VIEW.reach, VIEW.num)
    rows = np.linspace(0, len(data) - 1, min(80, len(data))).astype(int)
    canvas = figure(2.6 * len(panels), 2.8)
    for i, (title, q) in enumerate(panels.items()):
        axes = canvas.add_subplot(1, len(panels), i + 1)
        axes.contour(axis, axis, log_p.exp(), levels=4, colors=FAINT, linewidths=0.6)
        for row in rows:
            mean, spread = q.mean[row].tolist(), (4 * q.stddev[row]).tolist()
            colour = COLOURS[data.y[row] % len(COLOURS)]
            axes.add_patch(Ellipse(mean, *spread, fill=True, facecolor=colour, edgecolor=colour, alpha=0.3))
        axes.set_xlim(-VIEW.reach, VIEW.reach)
        axes.set_ylim(-VIEW.reach, VIEW.reach)
        _bare(axes, title)
    return canvas


@styled
def magnitudes(means: Tensor, labels: np.ndarray, classes: Sequence[str]) -> Figure:
    """Figure 5, top: the average |z_d| of each class's datapoints.

    Args:
        means: posterior means [N, D].
        labels: classes [N].
        classes: their names.
    """
    canvas = figure(9.0, 0.62 * len(classes) + 0.5)
    averages = [means[labels == k].abs().mean(0).cpu() for k in range(len(classes))]
    top = max(average.max().item() for average in averages)
    for k, (name, average) in enumerate(zip(classes, averages, strict=True)):
        axes = canvas.add_subplot(len(classes), 1, k + 1)
        axes.bar(range(len(average)), average, color=INK, width=0.8)
        axes.set_ylim(0, top)
        axes.set_xlim(-1, len(average))
        axes.set_ylabel(name, rotation=0, ha="right", va="center")
        axes.tick_params(labelbottom=k == len(classes) - 1)
    axes.set_xlabel("unit of z; bars: average |mean of q(z_d | x)| over the class")
    return canvas


def interpolations(
    model: nn.Module, guide: nn.Module, data: Dataset, *, classes: Sequence[int], steps: int = 7
) -> tuple[ImageGrid, dict[str, int]]:
    """Figure 5, bottom: one unit from z_d to z_d + sign(z_d), the rest as inferred, for a datapoint of each class.

    The unit is the one with the largest average magnitude in the class, and the datapoint is the first of the class in
    which it reaches this average: they are chosen by rule, not by eye. Also returns the unit of each class by name.

    Raises:
        ValueError: the data have no labels.
    """
    if data.y is None:
        raise ValueError(f"data {data.name!r} has no labels to choose datapoints by")
    rows_of_images, labels, chosen = [], [], {}
    for k in classes:
        rows = np.flatnonzero(data.y == k)[:200]
        z = posterior_means(guide, data.batch(torch.from_numpy(rows), device=device_of(model)).x)["z"]
        average = z.abs().mean(0)
        unit = int(average.argmax())
        row = int((z[:, unit].abs() >= average[unit]).nonzero()[0])
        start = z[row]
        settings = start.repeat(steps, 1)
        settings[:, unit] = start[unit] + start[unit].sign() * torch.linspace(0, 1, steps).to(start)
        x = data.batch(torch.from_numpy(rows[row : row + 1]), device=device_of(model)).x
        rows_of_images.append(torch.cat([x, decode(model, {"z": settings})]))
        chosen[data.class_name(k)] = unit
        labels.append(f"{data.class_name(k)}, z[{unit}]")
    columns = ["x", *(f"{step:+.2f}" for step in np.linspace(0, 1, steps))]
    return ImageGrid(torch.stack(rows_of_images), "One active unit, outward", labels, columns), chosen


def _bare(axes: Axes, title: str) -> None:
    axes.set_title(title)
    axes.spines[:].set_visible(True)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_aspect("equal")
