"""The azimuth that the guide infers against the true one: Joint-VAE's Figure 9a, with numbers.

Dupont 2018, https://arxiv.org/abs/1804.00104, section 4.2, states and shows that the unit of the azimuth correlates
well with the azimuth of unseen chairs, without a number; the numbers computed here are this project's.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from zoo.arguments import checked, number_from
from zoo.lab.analysis.interventions import LatentSites, guide_inputs
from zoo.lab.analysis.posterior import posterior_means
from zoo.lab.data import Dataset
from zoo.lab.device import device_of
from zoo.metrics.circular import as_angle, circular, linear
from zoo.seeds import stream

BATCH = 500
FEWEST = 6  # datapoints: a cosine and a sine of the angle and of twice the angle, a constant, and one more


@dataclass(frozen=True, eq=False)
class Azimuth:
    """Every real unit of the codes against an angle; D units, N test points.

    Attributes:
        units: their names, [D].
        linear: multiple correlation of each unit with the angle's cosine and sine, [D].
        twice: the same, with the cosine and sine of twice the angle as well, [D].
        circular: circular correlation of the angle with each unit's ranks, mapped to a circle, [D].
        angles: in degrees, [N].
        codes: posterior means, [N, D].
        index: positions of the datapoints, [N].
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
        """The unit that is most correlated with the angle: the largest `twice`."""
        return int(self.twice.argmax())

    def __str__(self) -> str:
        k = self.best
        return (
            f"{self.units[k]} is most correlated with the azimuth of {len(self.angles):,} test points: "
            f"{self.linear[k]:.2f} with its cosine and sine, {self.twice[k]:.2f} with twice the angle as well, "
            f"{self.circular[k]:+.2f} circular"
        )


@checked(num_points=number_from(1))
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
        model: the story, whose real sites are used.
        guide: the encoder.
        data: a set with this factor; use one that was not trained on.
        factor: its name; its values are degrees.
        num_points: number of datapoints to encode; all of a smaller set.
        seed: of their random choice.

    Raises:
        ValueError: the set has no such factor, its values are not numbers, the story has no real unit that the guide
            infers, or there are fewer than 6 datapoints.
    """
    angles = degrees(data, factor)
    if min(num_points, len(data)) < FEWEST:
        few = f"has {len(data)} datapoints" if len(data) < FEWEST else f"with num_points = {num_points}"
        raise ValueError(f"data {data.name!r} {few}: a correlation with an angle needs at least {FEWEST}")
    index = np.sort(stream(seed).permutation(len(data))[:num_points])
    sites = LatentSites.of(model).units
    parts = []
    for rows in torch.from_numpy(index).split(BATCH):
        means = posterior_means(guide, *guide_inputs(guide, data, rows.tolist(), device_of(model)))
        if not sites.keys() & means.keys():
            has = f"its real sites are {', '.join(sites)}" if sites else "it has no site of real numbers"
            raise ValueError(
                f"the guide infers no real unit of the story to compare with {factor!r}: {has}, and the guide infers "
                f"{', '.join(means)}"
            )
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


@checked()
def views(data: Dataset, index: int, factor: str) -> np.ndarray:
    """The datapoints that share every other factor with the one at `index`, by the factor's value.

    Raises:
        ValueError: as `degrees`.
    """
    angles = degrees(data, factor)
    assert data.factors is not None  # as `degrees` checks
    column = data.factors.names.index(factor)
    classes = data.factors.classes
    same = (np.delete(classes, column, 1) == np.delete(classes[index], column)).all(1)
    there = np.flatnonzero(same)
    return there[np.argsort(angles[there], kind="stable")]


@checked()
def degrees(data: Dataset, factor: str) -> np.ndarray:
    """The factor's value of every datapoint, [N].

    Raises:
        ValueError: the set has no such factor, or its values are not numbers.
    """
    if data.factors is None or factor not in data.factors.names:
        has = "none" if data.factors is None else ", ".join(data.factors.names)
        raise ValueError(f"data {data.name!r} has no factor {factor!r} to compare with; its factors: {has}")
    column = data.factors.names.index(factor)
    values = data.factors.values[column]
    if values.dtype.kind not in "biuf":
        raise ValueError(
            f"data {data.name!r}: an angle needs numbers, in degrees, and the factor {factor!r} holds {values.dtype} "
            f"such as {values[0]!s}"
        )
    return np.asarray(values, float)[data.factors.classes[:, column]]
