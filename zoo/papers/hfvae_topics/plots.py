"""Pictures of topics, and their words as Markdown."""

from collections import Counter
from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from torch import nn

from zoo.lab.analysis.evaluate import Evaluation
from zoo.lab.data import Dataset
from zoo.lab.plots.bars import bars_of_nats
from zoo.lab.plots.curves import curves
from zoo.lab.plots.picture import Picture
from zoo.lab.plots.style import figure, styled
from zoo.metrics.correlations import Pair
from zoo.papers.hfvae_topics.topics import IN_USE, Story, Topics

SCALE, MAP = Normalize(-1, 1), "RdBu_r"  # of correlations


def pictures(model: Story, guide: nn.Module, data: Dataset, evaluation: Evaluation) -> dict[str, Picture]:
    """Pictures and tables of a run of a topic model."""
    topics = Topics.of(model, guide, data)
    return {
        "topics.md": Picture(
            markdown(topics, evaluation),
            "every topic's words, its information about documents, its coherence; the most correlated topics",
        ),
        "topics.png": Picture(bars(topics), "the information of each topic about documents, I(x; z_d), with its words"),
        "correlations.png": Picture(
            correlations({"": topics}), "correlations of the topics' posterior means, by group"
        ),
    }


def markdown(topics: Topics, evaluation: Evaluation) -> str:
    """A table of a pair's topics, the most informative first, and the most correlated of those in use."""
    sizes = Counter(name.rsplit("_", 1)[0] for name in topics.names)
    kl = {
        f"{site}_{unit}": f"{nats:.2f}"
        for site, units in evaluation.kl.items()
        if len(units) == sizes[site]  # a guide that couples a site's units has one KL for all
        for unit, nats in enumerate(units.tolist())
    }
    order = np.argsort(-topics.information.value, kind="stable")
    rows = [
        f"| {topics.names[k]} | {topics.information.value[k]:.2f} | {kl.get(topics.names[k], '')} | "
        f"{topics.coherence.value[k]:.2f} | {topics.top_words(topics.names[k])} |"
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
    """A table of pairs of topics, by their words."""
    if not pairs:
        return "There are none."
    rows = [
        f"| {pair.correlation:+.2f} | {topics.top_words(pair.first, num)} | {topics.top_words(pair.second, num)} |"
        for pair in pairs
    ]
    return "\n".join(["| correlation | a topic | and another |", "| ---: | --- | --- |", *rows])


def bars(topics: Topics) -> Figure:
    """I(x; z_d) of every topic, with its first words, the largest on top."""
    order = np.argsort(-topics.information.value, kind="stable")
    names = {k: topics.names[k] for k in order}
    nats = {f"{topics.top_words(name, 6)}   {name}": float(topics.information.value[k]) for k, name in names.items()}
    return bars_of_nats({"": nats}, label=f"I(x; z_d), nats, test set; in use above {IN_USE:g}", threshold=IN_USE)


def ranked(models: Mapping[str, Topics]) -> Figure:
    """I(x; z_d) of each model's topics in falling order, a curve per model: as in HFVAE's Figure 4, right."""
    falling = {
        name: {float(rank): [float(nats)] for rank, nats in enumerate(np.sort(topics.information.value)[::-1], start=1)}
        for name, topics in models.items()
    }
    levels = {"": {f"in use above {IN_USE:g}": IN_USE}}
    return curves({"": falling}, x="topics, by I(x; z_d)", y="I(x; z_d), nats, test set", levels=levels)


@styled
def correlations(models: Mapping[str, Topics]) -> Figure:
    """Correlations of the means of the topics in use, a panel per model, with lines between groups."""
    canvas = figure(3.4 * len(models) + 0.8, 3.4)
    grid = canvas.subplots(1, len(models), squeeze=False)[0]
    for axes, (name, topics) in zip(grid, models.items(), strict=True):
        used = [topic for topic in topics.names if topic in topics.in_use]  # group by group
        rows = [topics.correlations.axes[0].index(topic) for topic in used]
        if rows:
            axes.imshow(topics.correlations.value[np.ix_(rows, rows)], norm=SCALE, cmap=MAP)
            _groups(axes, used)
        else:
            axes.set_axis_off()
            axes.text(0.5, 0.5, "no topic is in use", ha="center", transform=axes.transAxes)
        axes.set_title(f"{name}{', ' if name else ''}{len(used)} topics in use")
    bar = canvas.colorbar(ScalarMappable(SCALE, MAP), ax=grid, shrink=0.8)
    bar.set_label("Pearson's correlation")
    return canvas


def _groups(axes: Axes, names: list[str]) -> None:
    """Names the groups of topics, and draws lines between them."""
    sites = [name.rsplit("_", 1)[0] for name in names]
    starts = [place for place, site in enumerate(sites) if place == 0 or site != sites[place - 1]]
    for start in starts[1:]:
        axes.axhline(start - 0.5, color="black", linewidth=0.8)
        axes.axvline(start - 0.5, color="black", linewidth=0.8)
    middles = [(start + end - 1) / 2 for start, end in zip(starts, [*starts[1:], len(sites)], strict=True)]
    for ticks in (axes.set_xticks, axes.set_yticks):
        ticks(middles, [sites[start] for start in starts])
    axes.tick_params(length=0)
