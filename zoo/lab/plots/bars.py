"""Bars of nats: how much information each unit or topic carries, over one or several seeds."""

from collections.abc import Collection, Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from zoo.lab.analysis.evaluate import Evaluation
from zoo.lab.plots.curves import two_errors
from zoo.lab.plots.style import COLOURS, FAINT, INK, figure, styled


@styled
def bars_of_nats(
    panels: Mapping[str, Mapping[str, float | Sequence[float]]],
    *,
    label: str,
    threshold: float = -np.inf,
    highlighted: Collection[str] = (),
) -> Figure:
    """A bar for each name, in the order given from the top; the panels are next to each other.

    Args:
        panels: by title, nats by name: one number, or one per seed, drawn as their mean with two standard errors.
        label: of the axis.
        threshold: nats below which a bar is grey.
        highlighted: names whose bars have another colour.
    """
    longest = max(len(name) for bars in panels.values() for name in bars)
    rows = max(len(bars) for bars in panels.values())
    canvas = figure((2.6 + 0.06 * longest) * len(panels) + 0.6, 0.21 * rows + 0.9)
    grid = canvas.subplots(1, len(panels), squeeze=False, sharex=True)[0]
    for axes, (title, bars) in zip(grid, panels.items(), strict=True):
        seeds = [np.atleast_1d(np.asarray(nats, float)) for nats in bars.values()]
        means = [float(values.mean()) for values in seeds]
        colours = []
        for name, mean in zip(bars, means, strict=True):
            plain = FAINT if mean < threshold else INK
            colours.append(COLOURS[1] if name in highlighted else plain)
        errors = [two_errors(values.tolist()) for values in seeds]
        drawn = axes.barh(range(len(bars)), means, color=colours, xerr=errors if any(errors) else None)
        axes.bar_label(drawn, [f"{round(mean, 2) + 0.0:.2f}" for mean in means], padding=3)  # no -0.00
        axes.set_yticks(range(len(bars)), list(bars))
        axes.set_ylim(len(bars) - 0.4, -0.6)
        axes.margins(x=0.16)
        axes.set_title(title)
        axes.set_xlabel(label)
    return canvas


def kl_bars(evaluation: Evaluation) -> Figure:
    """KL of every latent unit over the test set, nats per datapoint, largest first within each site."""
    bars: dict[str, float] = {}
    for site, kl in evaluation.kl.items():
        for unit in kl.argsort(descending=True).tolist():
            bars[f"{site}[{unit}]" if len(kl) > 1 else site] = kl[unit].item()
    return bars_of_nats({"": bars}, label="KL(q || p), nats per datapoint, test set")
