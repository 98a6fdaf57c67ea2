"""Pictures of a set's codes: by class, and all together with the prior."""

import math
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from typing import Any

import pyro
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from pyro import poutine
from torch import Tensor, nn

from zoo.estimators import scores
from zoo.lab.analysis.interventions import Unit, guide_inputs
from zoo.lab.analysis.posterior import posterior_means
from zoo.lab.analysis.selection import spread
from zoo.lab.data import Dataset
from zoo.lab.device import device_of
from zoo.lab.isolation import evaluating
from zoo.lab.plots.style import COLOURS, figure, scatter_by_class, styled
from zoo.parents import MarkParents
from zoo.sites import nodes_of

GRID = 400  # points at which a density is drawn
MOST = 2000  # datapoints in a picture
DRAWS = 1000  # least number of draws of the sites on which a prior depends


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
    q = _run(guide, *seen)
    p = _priors(model, dict.fromkeys(unit.site for unit in units), len(seen[0]))
    columns = min(4, len(units) + (len(units) > 1))
    rows = -(-(len(units) + (len(units) > 1)) // columns)
    canvas = figure(2.4 * columns, 2.1 * rows + 0.4)
    draws = {site: (q[site]["value"].cpu(), of_p) for site, (_, of_p) in p.items()}
    for place, unit in enumerate(units):
        axes = canvas.add_subplot(rows, columns, place + 1)
        reach = 1.1 * max(3.0, *(some[:, unit.index].abs().max().item() for some in draws[unit.site]))
        grid = torch.linspace(-reach, reach, GRID, device=device_of(model))
        of_q, of_p = draws[unit.site]
        for name, fn, own, line, colour in (
            ("p(z)", p[unit.site][0], of_p, "--", COLOURS[1]),
            ("q(z)", q[unit.site]["fn"], of_q, "-", COLOURS[0]),
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


def _priors(model: nn.Module, sites: Iterable[str], num: int) -> dict[str, tuple[Any, Tensor]]:
    """By site, its prior for one datapoint, batch [1], and `num` draws, [num, units].

    Where a site depends on others, these are drawn too, and its prior is the one given each of their draws, [draws, 1].
    """
    nodes = _run(model)
    if any(nodes[site]["parents"] for site in sites):
        joint = _run(model, draws=max(num, DRAWS))
        fns = {site: (joint if nodes[site]["parents"] else nodes)[site]["fn"] for site in sites}
        return {site: (fn, joint[site]["value"].squeeze(1)[:num].cpu()) for site, fn in fns.items()}
    with torch.random.fork_rng([]):
        torch.manual_seed(1)
        fns = {site: nodes[site]["fn"] for site in sites}
        return {site: (fn, fn.sample((num,)).squeeze(1).cpu()) for site, fn in fns.items()}


def _run(program: nn.Module, *batch: Tensor, draws: int = 0) -> dict[str, Any]:
    """The sites of one run of a program, or of several at once, with their parents; every call draws the same."""
    plate = pyro.plate("draws", draws, dim=-2) if draws else nullcontext()
    with torch.random.fork_rng([]), evaluating(program), MarkParents(), plate:
        torch.manual_seed(0)
        return nodes_of(poutine.trace(program).get_trace(*batch))


def _together(axes: Axes, units: Sequence[Unit], draws: dict[str, tuple[Tensor, Tensor]]) -> None:
    """Draws of the prior and of the aggregate posterior in two units."""
    first, second = units[:2]
    for which, colour, marker in ((1, COLOURS[1], "x"), (0, COLOURS[0], ".")):  # the prior, then q
        across = draws[first.site][which][:, first.index].numpy()
        up = draws[second.site][which][:, second.index].numpy()
        axes.scatter(across, up, s=6, c=colour, marker=marker, linewidths=0.5, alpha=0.5)
    axes.set_title(f"draws: {first} across, {second} up")
    axes.set_aspect("equal", adjustable="datalim")
