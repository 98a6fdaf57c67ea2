"""Two-dimensional posteriors: each guide's q(z | x) over the exact one, on a grid."""

from collections.abc import Mapping
from itertools import chain
from typing import Any

import torch
from matplotlib.figure import Figure
from pyro import plate, poutine
from torch import Tensor, nn

from zoo.lab.analysis.grid import Grid2D
from zoo.lab.analysis.posterior import refine
from zoo.lab.data import Dataset
from zoo.lab.device import device_of
from zoo.lab.isolation import evaluating
from zoo.lab.plots.style import INK, figure, styled
from zoo.sites import nodes_of

WIDE, WIDE_CELLS = 5.0, 200  # half side of the first grid, which finds the posterior; cells per side
REACH, CELLS = 4.0, 120  # standard deviations covered by the second grid, which is drawn; cells per side


@styled
def plane_posteriors(pairs: Mapping[str, tuple[nn.Module, nn.Module]], data: Dataset, *, num: int = 4) -> Figure:
    """A column per guide, a row per datapoint: p(z | x) of the model trained with the guide in grey, q(z | x) as lines.

    Contours are at exp(-1/2), exp(-2) and exp(-9/2) of q's maximum: 1, 2 and 3 standard deviations of a normal.

    Raises:
        ValueError: the story has other latent sites than one of two units.
    """
    num = min(num, len(data))
    x = data.batch(torch.arange(num), device=device_of(*chain.from_iterable(pairs.values()))).x
    site = two_units(next(iter(pairs.values()))[0], data)
    if site is None:
        raise ValueError("posteriors can be drawn only for a story whose one latent site has two units")
    canvas = figure(2.3 * len(pairs), 2.3 * num)
    axes = canvas.subplots(num, len(pairs), squeeze=False)
    for column, (name, (model, guide)) in enumerate(pairs.items()):
        for row in range(num):
            datum, axis = x[row : row + 1], axes[row, column]
            centre, half = _window(model, site, datum)
            points = (centre + half * Grid2D(1.0, CELLS).points.to(x)).cpu()
            exact = exact_log_density(model, site, datum, points.to(x)).exp()
            q = log_density(guide, site, datum, points.to(x)).exp()
            low, high = (centre - half).tolist(), (centre + half).tolist()
            square = {"extent": (low[0], high[0], low[1], high[1]), "origin": "lower", "aspect": "auto"}
            axis.imshow(exact.reshape(CELLS, CELLS).T.cpu().numpy(), cmap="Greys", **square)
            levels = (torch.tensor([-4.5, -2.0, -0.5]).exp() * q.max().cpu()).tolist()
            across, up = points.reshape(CELLS, CELLS, 2).numpy().transpose(2, 0, 1)
            axis.contour(across, up, q.reshape(CELLS, CELLS).cpu().numpy(), levels=levels, colors=INK, linewidths=0.9)
            if row == 0:
                axis.set_title(name)
            if column == 0:
                axis.set_ylabel(f"test datapoint {row}")
    canvas.suptitle(f"{data.name}: p({site} | x) in grey, q({site} | x) in lines")
    return canvas


def exact_log_density(model: nn.Module, site: str, x: Tensor, points: Tensor) -> Tensor:
    """log p(site | x) at points [S, 2] for one datapoint x [1, ...], normalised over these points: [S]."""
    with evaluating(model), plate("grid", len(points), dim=-2):
        told = poutine.trace(poutine.condition(model, {site: points.unsqueeze(1)})).get_trace(x)
    nodes = [node for node in nodes_of(told).values() if node["type"] == "sample" and node["is_observed"]]
    joint: Tensor = sum(node["fn"].log_prob(node["value"]) for node in nodes if node["name"] != "data")
    return joint.squeeze(1).log_softmax(0)


def log_density(guide: Any, site: str, x: Tensor, points: Tensor) -> Tensor:
    """log q(site | x) at points [S, 2] for one datapoint: [S]."""
    with evaluating(guide):
        q = nodes_of(poutine.trace(refine(guide, x)).get_trace(x))[site]["fn"]
        density: Tensor = q.log_prob(points.unsqueeze(1))
    return density.squeeze(1)


def two_units(model: nn.Module, data: Dataset) -> str | None:
    """The one latent site, if it has two units."""
    x = data.batch(torch.arange(min(2, len(data))), device=device_of(model)).x
    with evaluating(model):
        nodes = nodes_of(poutine.trace(model).get_trace(x)).items()
    latent = {n: s for n, s in nodes if s["type"] == "sample" and not s["is_observed"] and n != "data"}
    one = next(iter(latent), None)
    return one if one and len(latent) == 1 and tuple(latent[one]["fn"].event_shape) == (2,) else None


def _window(model: nn.Module, site: str, x: Tensor) -> tuple[Tensor, Tensor]:
    """The region of the posterior: its mean, and `REACH` standard deviations around it, [2] each."""
    points = Grid2D(WIDE, WIDE_CELLS).points.to(x)
    mass = exact_log_density(model, site, x, points).exp().unsqueeze(-1)
    mean = (mass * points).sum(0)
    deviation = (mass * (points - mean).square()).sum(0).sqrt()
    return mean, REACH * deviation.clamp_min(2 * WIDE / WIDE_CELLS)
