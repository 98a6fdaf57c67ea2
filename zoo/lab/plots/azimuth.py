"""What is inferred of an angle (Joint-VAE's Figure 9a)."""

from pathlib import Path

import numpy as np
from torch import nn

from zoo.lab.analysis.azimuth import Azimuth, _degrees, _numbers, azimuth, views
from zoo.lab.analysis.interventions import observed
from zoo.lab.analysis.posterior import posterior_means
from zoo.lab.data import Dataset
from zoo.lab.device import device_of
from zoo.lab.plots.style import FAINT, INK, figure, plain


def plot_azimuth(
    model: nn.Module,
    guide: nn.Module,
    data: Dataset,
    path: Path,
    *,
    factor: str = "azimuth",
    num_points: int = 4_000,
    seed: int = 0,
) -> Azimuth:
    """One test thing all around, above; the unit that tells most of the azimuth against the truth, below.

    The thing is that of the first datapoint drawn. The line is what is inferred for it, the band what is inferred for
    the middle 80 % of all points at that azimuth. Arguments, result and errors as `azimuth`.
    """
    found = azimuth(model, guide, data, factor=factor, num_points=num_points, seed=seed)
    around = views(data, int(np.random.default_rng(seed).choice(found.index)), factor)
    angles = _degrees(data, factor)[around]
    seen = observed(guide, data, around.tolist(), device_of(model))
    site, unit = found.units[found.best].rstrip("]").split("[")
    inferred = posterior_means(guide, *seen)[site][:, int(unit)].cpu().numpy()
    canvas = figure(9.0, 4.2)
    strip, axes = canvas.subplots(2, 1, sharex=True, height_ratios=[1, 3])
    shown = np.unique(np.linspace(0, len(around) - 1, min(12, len(around))).round().astype(int))
    half = (np.ptp(angles) / max(len(shown) - 1, 1) or 1.0) * 0.48
    for n in shown:
        picture = seen[0][n].movedim(0, -1).clamp(0, 1).cpu().numpy()
        extent = (angles[n] - half, angles[n] + half, 0.0, 1.0)
        strip.imshow(picture, cmap="gray", vmin=0, vmax=1, aspect="auto", extent=extent)
    strip.set_xlim(angles.min() - half, angles.max() + half)
    strip.set_ylim(0, 1)
    strip.axis("off")
    strip.set_title(
        f"{data.name}: a test datapoint from all around, and the {factor} that {found.units[found.best]} infers of it",
        fontsize=9,
        loc="left",
    )
    values = np.unique(found.angles)
    of_all = [np.quantile(found.codes[found.angles == v, found.best], [0.1, 0.5, 0.9]) for v in values]
    low, middle, high = np.array(of_all).T
    plain(axes).fill_between(values, low, high, color=FAINT, alpha=0.5, linewidth=0, label="80 % of all test points")
    axes.plot(values, middle, ":", color="black", label="their median")
    axes.plot(angles, inferred, "o-", color=INK, markersize=3, label="the one above")
    axes.set_xlabel(f"true {factor}, degrees", fontsize=8)
    axes.set_ylabel(f"mean of q({site}[{unit}] | x)", fontsize=8)
    axes.text(0.01, 0.03, _numbers(found), transform=axes.transAxes, fontsize=7)
    axes.legend(fontsize=7, frameon=False)
    canvas.savefig(path, bbox_inches="tight")
    return found
