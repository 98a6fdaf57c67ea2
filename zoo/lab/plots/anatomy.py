"""The parts of -ELBO as stacked bars, labelled by the terms of HFVAE's Figures 1 and 3."""

from collections.abc import Mapping
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from zoo.lab.analysis.elbo_anatomy import ElboAnatomy
from zoo.lab.plots.style import COLOURS, figure, styled


class _Look(NamedTuple):
    colour: str
    hatch: str  # so that the parts differ in black and white


LOOKS = {
    "-(1 + 3): reconstruction": _Look(COLOURS[0], ""),
    "-2: I(x; z)": _Look(COLOURS[5], "///"),
    "-A: TC between groups": _Look(COLOURS[4], "..."),
    "-i: TC within groups": _Look(COLOURS[1], "xx"),
    "-ii: KL of each unit": _Look(COLOURS[2], "\\\\\\"),
}


@styled
def anatomy_bars(models: Mapping[str, ElboAnatomy]) -> Figure:
    """A bar per model: -ELBO as reconstruction error, information and KL(q(z) || p(z)); and its KL alone.

    The parts add up to -ELBO = -(1 + 3) - 2 - A - i - ii, and on the right to the KL = -2 - A - i - ii; each letter is
    a signed term of the ELBO, as in `zoo.elbos`. A part below 0 extends to the left: an estimate of a small total
    correlation, or the reconstruction error where log p(x | z) is above 0.

    Args:
        models: by name, from `zoo.lab.analysis.elbo_anatomy`.
    """
    canvas = figure(9.0, 0.55 * len(models) + 1.5)
    whole, kl = canvas.subplots(1, 2, width_ratios=[1, 1.2], sharey=True)
    every = {name: parts(found) for name, found in models.items()}
    _stack(whole, every, "-ELBO, nats per datapoint")
    _stack(kl, {name: _without_reconstruction(of_model) for name, of_model in every.items()}, "KL, nats per datapoint")
    whole.invert_yaxis()
    handles, labels = whole.get_legend_handles_labels()
    canvas.legend(handles, labels, loc="outside lower center", ncols=len(labels))
    return canvas


def parts(found: ElboAnatomy) -> dict[str, float]:
    """The terms of -ELBO by name, in nats per datapoint: they add up to it."""
    nats = (
        -sum(log_p.mean.item() for log_p in found.reconstruction.values()),
        found.mutual_information.mean.item(),
        found.between.mean.item(),
        found.within.mean.sum().item(),
        sum(units.mean.sum().item() for units in found.units.values()),
    )
    return dict(zip(LOOKS, nats, strict=True))


def _without_reconstruction(of_model: Mapping[str, float]) -> dict[str, float]:
    return {part: nats for part, nats in of_model.items() if not part.startswith("-(1 + 3)")}


def _stack(axes: Axes, bars: Mapping[str, Mapping[str, float]], label: str) -> None:
    """A row per model: positive parts from 0 to the right, negative ones to the left, and the sum at the end."""
    lefts, rights = [], []
    for row, of_model in enumerate(bars.values()):
        left = right = 0.0
        for part, nats in of_model.items():
            look = LOOKS[part]
            axes.barh(
                row,
                nats,
                left=left if nats < 0 else right,
                height=0.6,
                color=look.colour,
                edgecolor="white",
                hatch=look.hatch,
                linewidth=0.5,
                label=part if row == 0 else None,
            )
            if nats < 0:
                left += nats
            else:
                right += nats
        axes.text(right, row, f"  {sum(of_model.values()):.2f}", va="center")
        lefts.append(left)
        rights.append(right)
    axes.set_yticks(range(len(bars)), list(bars))
    axes.axvline(0.0, color="black", linewidth=0.6)
    axes.set_xlim(1.05 * min(lefts), max(1.15 * max(rights), 0.1))  # room for the sums
    axes.set_xlabel(label)
