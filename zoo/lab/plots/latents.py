"""Pictures of a set's codes: by class, and all together with the prior."""

import math
from collections.abc import Sequence
from typing import Any

import pyro
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from pyro import poutine
from torch import Tensor, nn

from zoo.estimators import scores
from zoo.lab.analysis.interventions import Unit, guide_inputs
from zoo.lab.analysis.posterior import posterior_means, posteriors
from zoo.lab.analysis.selection import spread
from zoo.lab.data import Dataset
from zoo.lab.device import device_of
from zoo.lab.isolation import OwnParameters
from zoo.lab.plots.style import COLOURS, figure, scatter_by_class, styled
from zoo.parents import MarkParents
from zoo.sites import nodes_of

GRID = 400  # points at which a density is drawn
MOST = 2000  # datapoints in a picture


@styled
def latent_scatter(guide: nn.Module, data: Dataset, units: Sequence[Unit], *, num: int = MOST) -> Figure:
    """The posterior means of two units, by class where the data has labels.

    Args:
        guide: the guide.
        data: the set.
        units: the two units, from `zoo.lab.analysis.ranked`; further ones are ignored.
        num: the largest number of datapoints, spread over the classes.

    Raises:
        ValueError: there are fewer than two units.
    """
    if len(units) < 2:
        raise ValueError(f"a scatter plot needs two units, got {[str(unit) for unit in units]}")
    rows = spread(data, num)
    means = posterior_means(guide, *guide_inputs(guide, data, rows, device_of(guide)))
    points = torch.stack([means[unit.site][:, unit.index] for unit in units[:2]], dim=-1).cpu().numpy()
    canvas = figure(5.0, 4.6)
    axes = canvas.add_subplot()
    scatter_by_class(axes, points, None if data.y is None else data.y[rows], data.classes)
    axes.set_xlabel(f"posterior mean of {units[0].label}")
    axes.set_ylabel(f"posterior mean of {units[1].label}")
    axes.set_title(f"{data.name}: {len(points):,} datapoints")
    return canvas


@styled
def aggregate(model: nn.Module, guide: nn.Module, data: Dataset, units: Sequence[Unit], *, num: int = 1000) -> Figure:
    """The aggregate posterior q(z) = mean_n q(z | x_n) and the prior: unit by unit, and two units together.

    Args:
        model, guide: the pair.
        data: the set.
        units: whose densities are drawn, of one site or several; the last panel shows a draw of each datapoint's
            posterior, and as many of the prior, in the first two units.
        num: the largest number of datapoints that q(z) averages, spread over the classes.

    Raises:
        ValueError: there is no unit.
    """
    if not units:
        raise ValueError("there is no unit to draw: the story has no vector of real numbers")
    seen = guide_inputs(guide, data, spread(data, num), device_of(model))
    q = posteriors(guide, *seen)
    p = _priors(model, [unit.site for unit in units], len(seen[0]))
    columns = min(4, len(units) + (len(units) > 1))
    rows = -(-(len(units) + (len(units) > 1)) // columns)
    canvas = figure(2.4 * columns, 2.1 * rows + 0.4)
    draws = {site: _draws(q[site], p[site]) for site in p}
    for place, unit in enumerate(units):
        axes = canvas.add_subplot(rows, columns, place + 1)
        reach = 1.1 * max(3.0, *(some[:, unit.index].abs().max().item() for some in draws[unit.site]))
        grid = torch.linspace(-reach, reach, GRID, device=device_of(model))
        of_q, of_p = draws[unit.site]
        for name, fn, own, line, colour in (
            ("p(z)", p[unit.site], of_p, "--", COLOURS[1]),
            ("q(z)", q[unit.site], of_q, "-", COLOURS[0]),
        ):
            try:
                density = unit_densities(fn, grid)[:, unit.index]
                axes.plot(grid.cpu().numpy(), density.cpu().numpy(), line, color=colour, label=name)
            except NotImplementedError:  # as for a flow, which is drawn as a histogram
                some = own[:, unit.index].numpy()
                axes.hist(some, bins=40, density=True, histtype="step", color=colour, label=name)
        axes.set_title(unit.label)
        axes.set_yticks([])
        axes.set_ylim(bottom=0)
    handles, labels = axes.get_legend_handles_labels()
    if len(units) > 1:
        _together(canvas.add_subplot(rows, columns, len(units) + 1), units, draws)
    canvas.legend(handles, labels, loc="outside lower center", ncols=2)
    return canvas


def unit_densities(q: Any, grid: Tensor) -> Tensor:
    """The density of every unit under the mean of q's distributions, batch [N, ...], at the points [G]: [G, units].

    Raises:
        NotImplementedError: the family has no marginals per unit, such as a flow.
    """
    points = grid.reshape(-1, *[1] * len(q.batch_shape), 1).expand(*[-1] * (len(q.batch_shape) + 1), *q.event_shape)
    units = torch.cat([scores(q, some).units.flatten(1, -2).logsumexp(1) for some in points.split(50)])
    density: Tensor = (units - math.log(q.batch_shape.numel())).exp()
    return density


def _priors(model: nn.Module, sites: Sequence[str], num: int) -> dict[str, Any]:
    """The prior of each site, batch [1]; of one that depends on others, given `num` draws of these, batch [num, 1]."""
    with torch.random.fork_rng([]), torch.no_grad(), poutine.block(), OwnParameters():
        torch.manual_seed(0)
        with MarkParents():
            nodes = nodes_of(poutine.trace(model).get_trace())
        if any(nodes[site]["parents"] for site in sites):
            with pyro.plate("draws", num, dim=-2):
                many = nodes_of(poutine.trace(model).get_trace())
            nodes = {site: (many if nodes[site]["parents"] else nodes)[site] for site in sites}
    return {site: nodes[site]["fn"] for site in sites}


def _draws(q: Any, p: Any) -> tuple[Tensor, Tensor]:
    """One of each datapoint's posterior and as many of the prior, [N, units] each, the same at every call."""
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        of_q = q.sample().cpu()
        return of_q, p.sample((len(of_q),) if len(p.batch_shape) == 1 else ()).squeeze(1).cpu()


def _together(axes: Axes, units: Sequence[Unit], draws: dict[str, tuple[Tensor, Tensor]]) -> None:
    """Draws of the prior and of the aggregate posterior in two units."""
    first, second = units[:2]
    for which, colour, marker in ((1, COLOURS[1], "x"), (0, COLOURS[0], ".")):  # the prior, then q
        across = draws[first.site][which][:, first.index].numpy()
        up = draws[second.site][which][:, second.index].numpy()
        axes.scatter(across, up, s=6, c=colour, marker=marker, linewidths=0.5, alpha=0.5)
    axes.set_title(f"draws: {first} across, {second} up")
    axes.set_aspect("equal", adjustable="datalim")
