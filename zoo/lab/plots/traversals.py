"""Traversals: images in which one latent changes at a time and all others are kept.

The pictures are those of Joint-VAE (Dupont 2018, https://arxiv.org/abs/1804.00104), for any story of images. Every
image is the mean of p(x | ...) under an intervention, see `zoo.lab.analysis.interventions`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from textwrap import fill
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from zoo.lab.analysis.interventions import (
    RANGE_3,
    Latents,
    LatentSites,
    Unit,
    decoded,
    encode_modes,
    from_prior,
    guide_inputs,
    intervene,
    repeat,
    traverse_classes,
    traverse_unit,
    types,
)
from zoo.lab.data import Dataset
from zoo.lab.device import device_of
from zoo.lab.plots.image_grid import Animation, ImageGrid, side_by_side
from zoo.lab.plots.style import shaded_table
from zoo.seeds import stream

MOST = 10_000  # datapoints whose types are compared with their labels
Names = Mapping[str, str]  # by type, such as "c=3", a more informative name, such as its most frequent label


def unit_traversals(
    model: nn.Module, start: Latents, units: Sequence[Unit], *, values: Tensor = RANGE_3, title: str = ""
) -> ImageGrid:
    """Figure 8: a row for each unit, labelled with its KL, in the order given; from one starting point [1, ...].

    Raises:
        ValueError: the list of units is empty, as for a story without a vector of real numbers.
    """
    if not units:
        raise ValueError("there is no unit to traverse: the story has no vector of real numbers")
    title = title or "One unit at a time, all else unchanged" + order_of(units)
    return ImageGrid(
        torch.cat([traverse_unit(model, start, unit.site, unit.index, values) for unit in units]),
        title + _reach(model, units),
        row_labels=[unit.label for unit in units],
        column_labels=_labels(values),
    )


def unit_traversal(
    model: nn.Module, rows: Latents, row_labels: Sequence[str], unit: Unit, *, values: Tensor = RANGE_3
) -> ImageGrid:
    """Figures 3, 5 and 6: one unit throughout, a row for each of the latents [N, ...], such as each type."""
    return ImageGrid(
        traverse_unit(model, rows, unit.site, unit.index, values),
        f"{unit.label}, set to the values below{_reach(model, [unit])}",
        row_labels=row_labels,
        column_labels=_labels(values),
    )


def type_traversal(model: nn.Module, rows: Latents, site: str, *, names: Names | None = None) -> ImageGrid:
    """Figure 3, first part: a row for each of the latents [N, ...], a column for each class of a one-hot site."""
    images = traverse_classes(model, rows, site)
    called = [(names or {}).get(f"{site}={k}", f"{site}={k}") for k in range(images.shape[1])]
    columns = [
        fill(name.replace("/", "/ "), width=6, break_long_words=False) for name in called
    ]  # a column is narrower than a name
    return ImageGrid(images, f"{site} set to each of its classes, all else as in its row", column_labels=columns)


def samples_by_type(model: nn.Module, *, columns: int = 12, seed: int = 0, names: Names | None = None) -> ImageGrid:
    """Figure 4: a row for each type, or combination of types; everything else drawn from the prior for each image.

    Raises:
        ValueError: the story has no type.
    """
    sites = LatentSites.of(model)
    if not sites.classes:
        raise ValueError("the story has no type to draw samples by")
    typed, called = types(sites, from_prior(model, 1, seed=seed))
    chosen = {site: repeat(typed, columns)[site] for site in sites.classes}
    many = from_prior(model, columns * len(called), seed=seed, given=chosen)
    return ImageGrid(
        decoded(model, many | chosen).unflatten(0, (len(called), columns)),
        "A type in each row, all else drawn from the prior" + first_of(len(called), sites.combinations),
        row_labels=[(names or {}).get(name, name) for name in called],
    )


def edited_images(
    model: nn.Module, guide: nn.Module, data: Dataset, index: Sequence[int], changes: Sequence[tuple[str, int, float]]
) -> ImageGrid:
    """Figure 9b: a column of datapoints, one of their reconstructions, and one for each change of one latent.

    Args:
        model, guide: the pair.
        data: the set.
        index: positions of the datapoints, one per row.
        changes: (site, unit, value), or (site, class, any number) of a one-hot site.

    Raises:
        LookupError, ValueError: there is no such site or unit.
    """
    seen = guide_inputs(guide, data, index, device_of(model))
    sites, start = LatentSites.of(model), encode_modes(model, guide, *seen)
    edited = [decoded(model, intervene(sites, start, [change])) for change in changes]
    named = [
        f"{site}={unit}" if site in sites.classes else f"{site}[{unit}]\n{value:+g}" for site, unit, value in changes
    ]
    return ImageGrid(
        torch.stack([seen[0], decoded(model, start), *edited], dim=1),
        "Images, encoded and decoded, and with one latent changed",
        row_labels=[f"datapoint {n}" for n in index],
        column_labels=["x", "decoded", *named],
    )


def traversal_animation(
    model: nn.Module,
    columns: Latents,
    column_labels: Sequence[str],
    units: Sequence[Unit],
    *,
    values: Tensor = RANGE_3,
) -> Animation:
    """A row for each unit, a column for each of the latents [N, ...], and the unit's value changing over time."""
    frames = torch.stack([traverse_unit(model, columns, u.site, u.index, values) for u in units])  # [U, N, V, ...]
    labels = [unit.label for unit in units]
    return Animation(
        [
            ImageGrid(images, f"In each row one unit at {value:+.2f}, all else unchanged", labels, column_labels)
            for images, value in zip(frames.movedim(2, 0), values.tolist(), strict=True)
        ]
    )


def compared_traversals(
    models: Sequence[nn.Module],
    starts: Sequence[Latents],
    units: Sequence[Sequence[Unit]],
    titles: Sequence[str],
    *,
    values: Tensor = RANGE_3,
) -> Figure:
    """Figures 1 and 10: the first units of several models next to each other, from one starting point each."""
    rows = min(map(len, units))
    grids = [
        unit_traversals(model, start, some[:rows], values=values, title=title)
        for model, start, some, title in zip(models, starts, units, titles, strict=True)
    ]
    return side_by_side(grids)


@dataclass(frozen=True, eq=False)
class TypeLabels:
    """The types inferred on a set against its labels; T types, L labels.

    Attributes:
        shares: the share of each label's points in each type, [T, L]; columns add up to 1.
        names: the name of each type, with the most frequent label of its points and that label's share.
        labels: the labels' names, [L].
        majority, hungarian: accuracy by majority vote, and by matching types with labels one to one.
    """

    shares: np.ndarray
    names: Names
    labels: Sequence[str]
    majority: float
    hungarian: float

    @property
    def accuracy(self) -> str:
        """Both accuracies in words."""
        return f"accuracy {self.majority:.1%} by majority, {self.hungarian:.1%} matched one to one"


def type_labels(encoder: Any, data: Dataset, *, device: str | torch.device = "cpu", seed: int = 0) -> TypeLabels:
    """The labels of the points of each inferred type.

    Args:
        encoder: maps x to distributions by site, as for `zoo.metrics.clusters`.
        data: a set with labels.
        device: of the encoder.
        seed: of the choice of at most 10,000 datapoints.

    Raises:
        Inapplicable: there is no categorical site, or no label.
    """
    from zoo.metrics import Encoded, clusters  # scikit-learn, which no other picture needs

    if len(data) > MOST:
        data = data.subset(np.sort(stream(seed).choice(len(data), MOST, replace=False)))
    encoded = Encoded.of(encoder, replace(data, factors=None), device=device, num_points=MOST, seed=seed)
    found = clusters(encoded, seed=seed)
    table = found.confusion.value
    every_type, _ = found.confusion.axes
    # The labels that occur among these points; one that does not has no column.
    called = [data.class_name(y) for y in np.unique(data.y)]  # type: ignore[arg-type]
    names = {}
    for name, row, share in zip(every_type, table, found.purity.value, strict=True):
        names[name] = f"{name}: {share:.0%} are {called[row.argmax()]}" if row.any() else f"{name}: unused"
    return TypeLabels(
        shares=table / table.sum(0),
        names=names,
        labels=called,
        majority=float(found.majority),
        hungarian=float(found.hungarian),
    )


def confusion_table(found: TypeLabels) -> Figure:
    """The percentage of each label's points in each type."""
    return shaded_table(
        (100 * found.shares).round().astype(int),
        title=f"Of each label, per cent in each type; {found.accuracy}",
        rows=list(found.names.values()),
        columns=found.labels,
        shade=found.shares,
        x="label",
        y="type",
    )


def _reach(model: nn.Module, units: Sequence[Unit]) -> str:
    """How far a prior reaches, 3 root mean squares of its draws, in words if far from Normal(0, 1); else empty."""
    draws = from_prior(model, 30, seed=0)
    reaches = {str(unit): 3 * draws[unit.site][:, unit.index].square().mean().sqrt().item() for unit in units}
    far = [f"p({unit}) reaches to ±{reach:.2g}" for unit, reach in reaches.items() if not 1.5 <= reach <= 6.0]
    more = f", and {len(far) - 1} more" if len(far) > 1 else ""
    return f"; not Normal(0, 1): {far[0]}{more}" if far else ""


def order_of(units: Sequence[Unit]) -> str:
    """What a title or a caption says about the order of `ranked` units; empty where they have no KL of their own."""
    return ", most informative first" if len(units) > 1 and units[0].nats is not None else ""


def first_of(shown: int, there_are: int) -> str:
    """Says how many of a picture's rows are shown; empty where all are."""
    return f"; the first {shown:,} of {there_are:,}" if shown < there_are else ""


def _labels(values: Tensor) -> list[str]:
    return [f"{value:.3g}" for value in values.tolist()]
