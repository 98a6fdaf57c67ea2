"""The anatomy of an ELBO as stacked bars: what of -ELBO is which term of HFVAE's Figures 1 and 3."""

from collections.abc import Mapping
from pathlib import Path

from matplotlib.axes import Axes

from zoo.lab.analysis.elbo_anatomy import Decomposed
from zoo.lab.plots.style import COLOURS, figure, plain

HATCHES = ("", "///", "...", "xx", "\\\\\\")  # in print the parts are told apart by these


def anatomy_bars(models: Mapping[str, Decomposed], path: Path) -> None:
    """A bar per model: -ELBO as reconstruction error, information and KL(q(z) || p(z)); and its KL by itself.

    The parts add up to -ELBO = -(1 + 3) + 2 + A + i + ii, and on the right to the KL = 2 + A + i + ii, term by term.
    A part below 0, as an estimate of a small total correlation may be, or a log density above 0, goes to the left.

    Args:
        models: by name what `zoo.lab.analysis.elbo_anatomy.decompose` found.
        path: of the picture.
    """
    canvas = figure(9.0, 0.55 * len(models) + 1.5)
    whole, kl = canvas.subplots(1, 2, width_ratios=[1, 1.2], sharey=True)
    _stack(plain(whole), {name: parts(d) for name, d in models.items()}, "-ELBO, nats per datapoint")
    of_kl = {name: dict(list(parts(d).items())[1:]) for name, d in models.items()}
    _stack(plain(kl), of_kl, "KL(q(z | x) || p(z)), nats per datapoint")
    whole.invert_yaxis()
    handles, labels = whole.get_legend_handles_labels()
    canvas.legend(handles, labels, loc="outside lower center", ncols=len(labels), fontsize=7, frameon=False)
    canvas.savefig(path, bbox_inches="tight")


def parts(decomposed: Decomposed) -> dict[str, float]:
    """The terms of -ELBO by name, in nats per datapoint: they add up to it."""
    d = decomposed
    return {
        "-(1 + 3): reconstruction": -sum(log_p.mean.item() for log_p in d.reconstruction.values()),
        "2: I(x; z)": d.mutual_information.mean.item(),
        "A: TC between groups": d.between.mean.item(),
        "i: TC within groups": d.within.mean.sum().item(),
        "ii: KL of each unit": sum(units.mean.sum().item() for units in d.units.values()),
    }


def _stack(axes: Axes, bars: Mapping[str, Mapping[str, float]], label: str) -> None:
    """Bars of parts side by side, positive ones to the right of 0, others to the left, with the sum at the end."""
    ends = {name: [0.0, 0.0] for name in bars}
    known = list(next(iter(bars.values())))
    first = 5 - len(known)
    for place, part in enumerate(known, start=first):
        for row, (name, of_it) in enumerate(bars.items()):
            nats, end = of_it[part], ends[name]
            side = int(nats < 0)
            axes.barh(
                row,
                nats,
                left=end[side],
                height=0.6,
                color=COLOURS[(0, 5, 4, 1, 2)[place]],
                edgecolor="white",
                hatch=HATCHES[place],
                linewidth=0.5,
                label=part if row == 0 else None,
            )
            end[side] += nats
    for row, (name, of_it) in enumerate(bars.items()):
        axes.text(ends[name][0], row, f"  {sum(of_it.values()):.2f}", va="center", fontsize=8)
    axes.set_yticks(range(len(bars)), list(bars), fontsize=8)
    axes.axvline(0.0, color="black", linewidth=0.6)
    low, high = (side(ends[name][k] for name in bars) for k, side in ((1, min), (0, max)))
    axes.set_xlim(1.05 * low, max(1.15 * high, 0.1))  # room for the sums
    axes.set_xlabel(label, fontsize=8)
