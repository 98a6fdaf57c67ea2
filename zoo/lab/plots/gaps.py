"""The gap between the log evidence and each guide's bound, split into its two parts."""

from collections.abc import Mapping

from matplotlib.figure import Figure

from zoo.lab.plots.style import COLOURS, figure, styled

PARTS = {"approximation": (COLOURS[0], ""), "amortisation": (COLOURS[1], "///")}  # colour and hatch


@styled
def gap_bars(guides: Mapping[str, Mapping[str, float]]) -> Figure:
    """A row for each guide: its approximation gap and its amortisation gap, one after the other, and their sum.

    A part below 0, which only the noise of the estimates causes, extends to the left.

    Args:
        guides: by name, nats per datapoint as "approximation" and "amortisation".
    """
    canvas = figure(6.4, 0.42 * len(guides) + 1.3)
    axes = canvas.add_subplot()
    for row, gaps in enumerate(guides.values()):
        left = right = 0.0
        for part, (colour, hatch) in PARTS.items():
            nats = gaps[part]
            label = f"{part} gap" if row == 0 else None
            start = left if nats < 0 else right
            axes.barh(row, nats, left=start, height=0.6, color=colour, hatch=hatch, edgecolor="white", label=label)
            left, right = left + min(nats, 0.0), right + max(nats, 0.0)
        axes.text(right, row, f"  {gaps['approximation'] + gaps['amortisation']:.2f}", va="center")
    axes.set_yticks(range(len(guides)), list(guides))
    axes.invert_yaxis()
    axes.margins(x=0.15)
    axes.axvline(0.0, color="black", linewidth=0.6)
    axes.set_xlabel("log p(x) - ELBO, nats per datapoint")
    canvas.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=len(PARTS))
    return canvas
