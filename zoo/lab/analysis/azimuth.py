"""From which side a thing is seen, as the guide infers it, against the truth: Joint-VAE's Figure 9a, with numbers.

Dupont 2018, https://arxiv.org/abs/1804.00104, section 4.2, says that the unit of the azimuth correlates well with that
of unseen chairs, and shows it; the number is ours.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from zoo.lab.analysis.evaluate import posterior_means
from zoo.lab.analysis.interventions import Sites, observed
from zoo.lab.data import Dataset
from zoo.lab.plots.run import FAINT, INK, device, figure, plain
from zoo.metrics.circular import as_angle, circular, linear

BATCH = 500


@dataclass(frozen=True, eq=False)
class Azimuth:
    """Every real unit of the codes against an angle; D units, N test points.

    Attributes:
        units: their names, [D].
        linear: multiple correlation of each with the angle's cosine and sine, [D].
        twice: the same with those of twice the angle too, [D].
        circular: of each unit, wound around the circle by its ranks, with the angle, [D].
        angles: in degrees, [N].
        codes: posterior means, [N, D].
        index: which datapoints, [N].
    """

    units: tuple[str, ...]
    linear: np.ndarray
    twice: np.ndarray
    circular: np.ndarray
    angles: np.ndarray
    codes: np.ndarray
    index: np.ndarray

    @property
    def best(self) -> int:
        """The unit that tells most of the angle: the largest `twice`."""
        return int(self.twice.argmax())

    def __str__(self) -> str:
        k = self.best
        return (
            f"{self.units[k]} tells most of the azimuth of {len(self.angles):,} test points: correlation "
            f"{self.linear[k]:.2f} with its cosine and sine, {self.twice[k]:.2f} with those of twice it too, "
            f"{self.circular[k]:+.2f} as an angle itself"
        )


def azimuth(
    model: nn.Module,
    guide: nn.Module,
    data: Dataset,
    *,
    factor: str = "azimuth",
    num_points: int = 4_000,
    seed: int = 0,
) -> Azimuth:
    """Encodes datapoints drawn without replacement, and correlates each unit with a factor in degrees.

    Args:
        model: whose real sites count.
        guide: the encoder.
        data: a set with this factor; take one that training never saw.
        factor: its name; its values are degrees.
        num_points: how many to encode; all of a smaller set.
        seed: of their choice.

    Raises:
        ValueError: the set has no such factor, or the story no real unit.
    """
    angles = _degrees(data, factor)
    index = np.sort(np.random.default_rng(seed).permutation(len(data))[:num_points])
    sites = Sites.of(model).units
    parts = []
    for rows in torch.from_numpy(index).split(BATCH):
        means = posterior_means(guide, *observed(guide, data, rows.tolist(), device(model)))
        parts.append(torch.cat([means[site] for site in sites if site in means], dim=1).cpu())
    codes = torch.cat(parts).double().numpy()
    units = tuple(f"{site}[{k}]" for site, size in sites.items() if site in means for k in range(size))
    radians = np.radians(angles[index])
    return Azimuth(
        units=units,
        linear=linear(codes, radians),
        twice=linear(codes, radians, harmonics=2),
        circular=np.array([circular(as_angle(code), radians) if np.ptp(code) > 0 else 0.0 for code in codes.T]),
        angles=angles[index],
        codes=codes,
        index=index,
    )


def figure9a(
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
    seen = observed(guide, data, around.tolist(), device(model))
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


def views(data: Dataset, index: int, factor: str) -> np.ndarray:
    """The datapoints that share every other factor with the one at `index`, by the factor's value."""
    assert data.factors is not None
    column = data.factors.names.index(factor)
    classes = data.factors.classes
    same = (np.delete(classes, column, 1) == np.delete(classes[index], column)).all(1)
    there = np.flatnonzero(same)
    return there[np.argsort(_degrees(data, factor)[there], kind="stable")]


def _numbers(found: Azimuth) -> str:
    k = found.best
    return f"R {found.linear[k]:.2f} (with twice the angle {found.twice[k]:.2f}), circular {found.circular[k]:+.2f}"


def _degrees(data: Dataset, factor: str) -> np.ndarray:
    if data.factors is None or factor not in data.factors.names:
        has = "none" if data.factors is None else ", ".join(data.factors.names)
        raise ValueError(f"data {data.name!r} has no factor {factor!r} to compare with; its factors: {has}")
    column = data.factors.names.index(factor)
    return np.asarray(data.factors.values[column], float)[data.factors.classes[:, column]]
