"""Pictures in one style, drawn without a window: what a run leaves, and the sheets, bars and films that others draw.

Ink and greys print; where colours tell curves apart they are those of Okabe and Ito (https://jfly.uni-koeln.de/color/),
which colour-blind eyes tell apart too, and the curves are named beside them.
"""

from pathlib import Path

import torch
from torch import nn

from zoo.lab.analysis.evaluate import Evaluation
from zoo.lab.analysis.interventions import Sites, inferred, observed, ranked, sweep, wide
from zoo.lab.analysis.posterior import decode, draw, posterior_means
from zoo.lab.data import Dataset
from zoo.lab.device import device_of
from zoo.lab.plots.image_grid import save_sheet
from zoo.lab.plots.style import INK, figure, plain


def reconstructions(model: nn.Module, guide: nn.Module, data: Dataset, path: Path, *, num: int = 12) -> None:
    """The first `num` datapoints over what the pair makes of their posterior means."""
    x = data.batch(torch.arange(min(num, len(data))), device=device_of(model)).x
    sheet = torch.stack([x, decode(model, posterior_means(guide, x))])
    save_sheet(sheet, path, row_labels=["x", "p(x | mean z)"], title=f"{data.name}: test data and reconstructions")


def samples(model: nn.Module, path: Path, *, rows: int = 6, columns: int = 12) -> None:
    """Means of p(x | z) for draws of z from the prior."""
    images = draw(model, rows * columns).unflatten(0, (rows, columns))
    save_sheet(images, path, title="p(x | z) for z drawn from the prior")


def traversals(
    model: nn.Module, guide: nn.Module, data: Dataset, evaluation: Evaluation, path: Path, *, at_most: int = 10
) -> None:
    """One row per unit, from the most to the least informative: that unit set to -3 ... 3, the rest as inferred.

    The starting point is the posterior mean of the test set's first datapoint, under its most probable type. A story
    without a vector of real numbers has nothing to traverse, and gets no picture.
    """
    units = ranked(Sites.of(model), evaluation.kl)[:at_most]
    if not units:
        return
    start = inferred(model, guide, *observed(guide, data, [0], device_of(model)))
    rows = [sweep(model, start, unit.site, unit.index, wide())[0] for unit in units]
    save_sheet(
        torch.stack(rows),
        path,
        row_labels=[unit.label for unit in units],
        column_labels=[f"{value:g}" for value in wide().tolist()],
        title="One unit at a time" + (", most informative first" if units[0].nats is not None else ""),
    )


def kl_bars(evaluation: Evaluation, path: Path) -> None:
    """KL of every latent unit over the test set, in nats."""
    canvas = figure(6.4, 0.6 * len(evaluation.kl) + 0.26 * sum(len(kl) for kl in evaluation.kl.values()))
    names, heights = [], []
    for site, kl in evaluation.kl.items():
        for unit in kl.argsort(descending=True).tolist():
            names.append(f"{site}[{unit}]" if len(kl) > 1 else site)
            heights.append(kl[unit].item())
    axes = plain(canvas.add_subplot())
    bars = axes.barh(range(len(names)), heights, color=INK)
    axes.bar_label(bars, fmt="%.2f", padding=3, fontsize=8)
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.invert_yaxis()
    axes.margins(x=0.12)
    axes.set_xlabel("KL(q || p), nats per datapoint, test set")
    canvas.savefig(path, bbox_inches="tight")
