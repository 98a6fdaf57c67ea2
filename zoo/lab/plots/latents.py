"""Where a set's codes lie: by class, and all together beside the prior."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from matplotlib.axes import Axes
from torch import Tensor, nn

from zoo.estimators import scores
from zoo.lab.analysis.grid import prior
from zoo.lab.analysis.interventions import Unit, observed
from zoo.lab.analysis.posterior import posterior_means, posteriors
from zoo.lab.data import Dataset
from zoo.lab.device import device_of
from zoo.lab.plots.style import COLOURS, figure, plain, scatter_by_class

GRID = 400  # points of a density
MOST = 2000  # datapoints in a picture


def latent_scatter(guide: nn.Module, data: Dataset, units: Sequence[Unit], path: Path, *, num: int = MOST) -> None:
    """The posterior means of two units, by class where the data has labels.

    Args:
        guide: the guide.
        data: of which the first `num` datapoints are drawn.
        units: the two, as `zoo.lab.analysis.interventions.ranked` gives them; further ones are left out.
        path: of the picture.
        num: how many datapoints at most.

    Raises:
        ValueError: there are fewer than two units.
    """
    if len(units) < 2:
        raise ValueError(f"a scatter is of two units, got {[str(unit) for unit in units]}")
    rows = range(min(num, len(data)))
    means = posterior_means(guide, *observed(guide, data, rows, device_of(guide)))
    points = torch.stack([means[unit.site][:, unit.index] for unit in units[:2]], dim=-1).cpu().numpy()
    canvas = figure(5.0, 4.6)
    axes = plain(canvas.add_subplot())
    scatter_by_class(axes, points, None if data.y is None else data.y[: len(points)], data.classes)
    axes.set_xlabel(f"posterior mean of {units[0].label}", fontsize=8)
    axes.set_ylabel(f"posterior mean of {units[1].label}", fontsize=8)
    axes.set_title(f"{data.name}: {len(points):,} datapoints", fontsize=9, loc="left")
    canvas.savefig(path, bbox_inches="tight")


def aggregate(
    model: nn.Module, guide: nn.Module, data: Dataset, units: Sequence[Unit], path: Path, *, num: int = 1000
) -> None:
    """The aggregate posterior q(z) = mean_n q(z | x_n) beside the prior: unit by unit, and two units together.

    Args:
        model, guide: the pair.
        data: of which q(z) mixes the first `num` datapoints.
        units: whose densities, of one site or several; the last panel has a draw of each datapoint's posterior, and as
            many of the prior, in the first two.
        path: of the picture.
        num: how many datapoints at most.

    Raises:
        ValueError: there is no unit.
    """
    if not units:
        raise ValueError("there is no unit to draw: the story has no vector of real numbers")
    q = posteriors(guide, *observed(guide, data, range(min(num, len(data))), device_of(model)))
    p = {site: prior(model, site) for site in {unit.site for unit in units}}
    columns = min(4, len(units) + (len(units) > 1))
    rows = -(-(len(units) + (len(units) > 1)) // columns)
    canvas = figure(2.4 * columns, 2.1 * rows + 0.4)
    draws = {site: _draws(q[site], p[site]) for site in p}
    for place, unit in enumerate(units):
        axes = plain(canvas.add_subplot(rows, columns, place + 1))
        reach = 1.1 * max(3.0, *(some[:, unit.index].abs().max().item() for some in draws[unit.site]))
        grid = torch.linspace(-reach, reach, GRID, device=device_of(model))
        for name, of, line, colour in (("p(z)", p, "--", COLOURS[1]), ("q(z)", q, "-", COLOURS[0])):
            try:
                density = unit_densities(of[unit.site], grid)[:, unit.index]
                axes.plot(grid.cpu().numpy(), density.cpu().numpy(), line, color=colour, linewidth=1.3, label=name)
            except NotImplementedError:  # as of a flow: a histogram of its draws
                some = draws[unit.site][of is p][:, unit.index].numpy()
                axes.hist(some, bins=40, density=True, histtype="step", color=colour, label=name)
        axes.set_title(unit.label, fontsize=8, loc="left")
        axes.set_yticks([])
        axes.set_ylim(bottom=0)
    handles, labels = axes.get_legend_handles_labels()
    if len(units) > 1:
        _together(plain(canvas.add_subplot(rows, columns, len(units) + 1)), units, draws)
    canvas.legend(handles, labels, loc="outside lower center", ncols=2, fontsize=8, frameon=False)
    canvas.savefig(path, bbox_inches="tight")


def unit_densities(q: Any, grid: Tensor) -> Tensor:
    """The density of every unit under the mean of q's distributions, batch [N], at the points [G]: [G, units].

    Raises:
        NotImplementedError: the family has no marginals per unit, as a flow.
    """
    points = grid[:, None, None].expand(len(grid), 1, q.event_shape[0])
    units = torch.cat([scores(q, some).units.logsumexp(1) for some in points.split(50)])
    density: Tensor = (units - math.log(q.batch_shape[0])).exp()
    return density


def _draws(q: Any, p: Any) -> tuple[Tensor, Tensor]:
    """One of each datapoint's posterior and as many of the prior, [N, units] each, the same at every call."""
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        of_q = q.sample().cpu()
        return of_q, p.sample((len(of_q),)).squeeze(1).cpu()


def _together(axes: Axes, units: Sequence[Unit], draws: dict[str, tuple[Tensor, Tensor]]) -> None:
    """Draws of the prior and of the aggregate posterior in two units."""
    first, second = units[:2]
    for of_q, colour, marker in ((False, COLOURS[1], "x"), (True, COLOURS[0], ".")):
        a, b = (draws[unit.site][0 if of_q else 1][:, unit.index].numpy() for unit in (first, second))
        axes.scatter(a, b, s=6, c=colour, marker=marker, linewidths=0.5, alpha=0.5)
    axes.set_title(f"draws: {first} across, {second} up", fontsize=8, loc="left")
    axes.set_aspect("equal", adjustable="datalim")
