"""Pictures of topics, and their words as Markdown."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from torch import nn

from zoo.lab.analysis.evaluate import Evaluation
from zoo.lab.data import Dataset
from zoo.lab.plots.style import COLOURS, FAINT, INK, figure, legend_below, plain
from zoo.metrics.correlations import Pair
from zoo.papers.hfvae_topics.topics import IN_USE, Story, Topics

SCALE, MAP = Normalize(-1, 1), "RdBu_r"  # of correlations


def pictures(model: Story, guide: nn.Module, data: Dataset, evaluation: Evaluation, folder: Path) -> Mapping[str, str]:
    """What a run of a topic model leaves; gives what each file shows."""
    topics = Topics.of(model, guide, data)
    (folder / "topics.md").write_text(markdown(topics, evaluation))
    bars(topics, folder / "topics.png")
    correlations({"": topics}, folder / "correlations.png")
    return {
        "topics.md": "every topic's words, what it tells of a document, how coherent it is; the most correlated topics",
        "topics.png": "what each topic tells of a document, I(x; z_d), with its words",
        "correlations.png": "correlations of the topics' posterior means, by group",
    }


def markdown(topics: Topics, evaluation: Evaluation) -> str:
    """A table of a pair's topics, the one that tells most first, and the most correlated of those in use."""
    kl = {f"{site}_{unit}": float(nats) for site, of_it in evaluation.kl.items() for unit, nats in enumerate(of_it)}
    order = np.argsort(-topics.information.value, kind="stable")
    rows = [
        f"| {topics.names[k]} | {topics.information.value[k]:.2f} | {kl[topics.names[k]]:.2f} | "
        f"{topics.coherence.value[k]:.2f} | {topics.told(topics.names[k])} |"
        for k in order
    ]
    newline = "\n"
    return f"""# Topics

{len(topics.in_use)} of {len(order)} topics are in use: their I(x; z_d) is above {IN_USE:g} nats on the test set.
NPMI is counted in the test set's documents, and is {topics.coherence.value.mean():.3f} on average.

| topic | I(x; z_d), nats | KL, nats | NPMI | words |
| --- | ---: | ---: | ---: | --- |
{newline.join(rows)}

Topics in use whose posterior means are most correlated, within a group:

{pair_table(topics, topics.pairs(across=False))}

Across groups:

{pair_table(topics, topics.pairs(across=True))}
"""


def pair_table(topics: Topics, pairs: list[Pair], num: int = 7) -> str:
    """Pairs of topics in their words."""
    if not pairs:
        return "There are none."
    rows = [
        f"| {pair.correlation:+.2f} | {topics.told(pair.first, num)} | {topics.told(pair.second, num)} |"
        for pair in pairs
    ]
    return "\n".join(["| correlation | a topic | and another |", "| ---: | --- | --- |", *rows])


def bars(topics: Topics, path: Path, *, num: int = 6) -> None:
    """I(x; z_d) of every topic, with its first words, the largest on top."""
    order = np.argsort(-topics.information.value, kind="stable")
    canvas = figure(8.0, 0.17 * len(order) + 0.8)
    axes = plain(canvas.add_subplot())
    axes.barh(range(len(order)), topics.information.value[order], color=INK)
    axes.axvline(IN_USE, color=FAINT, linewidth=0.8)
    labels = [f"{topics.told(topics.names[k], num)}   {topics.names[k]}" for k in order]
    axes.set_yticks(range(len(order)), labels, fontsize=6)
    axes.invert_yaxis()
    axes.margins(y=0.01)
    axes.set_xlabel(f"I(x; z_d), nats, test set; in use above {IN_USE:g}", fontsize=8)
    canvas.savefig(path, bbox_inches="tight")


def ranked(models: Mapping[str, Topics], path: Path) -> None:
    """I(x; z_d) of each model's topics in falling order, a curve per model: as the right of HFVAE's Figure 4."""
    canvas = figure(5.6, 3.4)
    axes = plain(canvas.add_subplot())
    for (name, topics), colour in zip(models.items(), COLOURS, strict=False):
        falling = np.sort(topics.information.value)[::-1]
        axes.plot(range(1, len(falling) + 1), falling, color=colour, marker="o", ms=2.5, linewidth=1, label=name)
    axes.axhline(IN_USE, color=FAINT, linewidth=0.8)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("topics, by I(x; z_d)", fontsize=8)
    axes.set_ylabel("I(x; z_d), nats, test set", fontsize=8)
    legend_below(canvas, axes)
    canvas.savefig(path, bbox_inches="tight")


def correlations(models: Mapping[str, Topics], path: Path) -> None:
    """Correlations of the means of the topics in use, a panel per model, with lines between groups.

    Args:
        models: by name.
        path: where the picture goes.
    """
    canvas = figure(3.4 * len(models) + 0.8, 3.4)
    grid = canvas.subplots(1, len(models), squeeze=False)[0]
    for axes, (name, topics) in zip(grid, models.items(), strict=True):
        used = [name for name in topics.names if name in topics.in_use]  # group by group
        rows = [topics.correlations.axes[0].index(name) for name in used]
        if rows:
            axes.imshow(topics.correlations.value[np.ix_(rows, rows)], norm=SCALE, cmap=MAP)
            _groups(axes, used)
        else:
            axes.set_axis_off()
        axes.set_title(f"{name}{', ' if name else ''}{len(used)} topics in use", fontsize=9, loc="left")
    bar = canvas.colorbar(ScalarMappable(SCALE, MAP), ax=grid, shrink=0.8)
    bar.set_label("Pearson's correlation", fontsize=8)
    canvas.savefig(path, bbox_inches="tight")


def _groups(axes: Axes, names: list[str]) -> None:
    """Names the groups of topics, and draws lines between them."""
    sites = [name.rsplit("_", 1)[0] for name in names]
    starts = [place for place, site in enumerate(sites) if place == 0 or site != sites[place - 1]]
    for start in starts[1:]:
        axes.axhline(start - 0.5, color="black", linewidth=0.8)
        axes.axvline(start - 0.5, color="black", linewidth=0.8)
    middles = [(start + end - 1) / 2 for start, end in zip(starts, [*starts[1:], len(sites)], strict=True)]
    for ticks in (axes.set_xticks, axes.set_yticks):
        ticks(middles, [sites[start] for start in starts], fontsize=8)
    axes.tick_params(length=0)
