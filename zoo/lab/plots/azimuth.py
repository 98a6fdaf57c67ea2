"""The inferred azimuth against the true one (Joint-VAE's Figure 9a)."""

import numpy as np
from matplotlib.figure import Figure
from torch import nn

from zoo.lab.analysis.azimuth import Azimuth, degrees, views
from zoo.lab.analysis.interventions import guide_inputs
from zoo.lab.analysis.posterior import posterior_means
from zoo.lab.data import Dataset
from zoo.lab.device import device_of
from zoo.lab.plots.style import FAINT, INK, figure, styled
from zoo.seeds import stream


@styled
def plot_azimuth(found: Azimuth, guide: nn.Module, data: Dataset, *, factor: str = "azimuth", seed: int = 0) -> Figure:
    """Above, one object in all its views; below, the unit most correlated with the azimuth against the true azimuth.

    The object is that of a datapoint drawn with `seed`. The line is the unit's posterior mean for it, the band contains
    the means of the middle 80 % of all points at that azimuth.

    Args:
        found: from `zoo.lab.analysis.azimuth.azimuth`, of the same guide and data.
        guide, data: the encoder and the set.
        factor: the name of the angle among the set's factors.
        seed: of the choice of the object.
    """
    around = views(data, int(stream(seed).choice(found.index)), factor)
    angles = degrees(data, factor)[around]
    seen = guide_inputs(guide, data, around.tolist(), device_of(guide))
    site, _, unit = found.units[found.best].rstrip("]").rpartition("[")
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
        f"{data.name}: a test datapoint from all around, and the mean of {found.units[found.best]} inferred from it"
    )
    values = np.unique(found.angles)
    of_all = [np.quantile(found.codes[found.angles == v, found.best], [0.1, 0.5, 0.9]) for v in values]
    low, middle, high = np.array(of_all).T
    axes.fill_between(values, low, high, color=FAINT, alpha=0.5, linewidth=0, label="80 % of all test points")
    axes.plot(values, middle, ":", color="black", label="their median")
    axes.plot(angles, inferred, "o-", color=INK, markersize=3, label="the object above")
    axes.set_xlabel(f"true {factor}, degrees")
    axes.set_ylabel(f"mean of q({site}[{unit}] | x)")
    k = found.best
    numbers = f"R {found.linear[k]:.2f} (with twice the angle {found.twice[k]:.2f}), circular {found.circular[k]:+.2f}"
    axes.text(0.01, 0.03, numbers, transform=axes.transAxes)
    axes.legend()
    return canvas
