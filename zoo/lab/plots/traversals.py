"""What a story has learned, image by image: the sheets and the film of `python -m zoo traverse`.

The figures are those of Joint-VAE (Dupont 2018, https://arxiv.org/abs/1804.00104), and serve any story of images. Every
image is the mean of p(x | ...) under an intervention, see `zoo.lab.analysis.interventions`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from zoo.lab.analysis.interventions import (
    Settings,
    Sites,
    Unit,
    across,
    changed,
    decoded,
    from_prior,
    inferred,
    observed,
    repeat,
    sweep,
    types,
)
from zoo.lab.data import Dataset
from zoo.lab.device import device_of
from zoo.lab.plots.image_grid import save_film, save_sheet, save_sheets
from zoo.lab.plots.style import save_table

Names = Mapping[str, str]  # what a type is called beside its own name


def units(model: nn.Module, start: Settings, chosen: Sequence[Unit], path: Path, *, values: Tensor) -> None:
    """Figure 8: a row for each unit, with its KL, in the order given; one starting point [1, ...]."""
    rows = torch.cat([sweep(model, start, unit.site, unit.index, values) for unit in chosen])
    save_sheet(
        rows,
        path,
        title="One unit at a time, all else as it was" + _order(chosen),
        row_labels=[unit.label for unit in chosen],
        column_labels=_labels(values),
    )


def one_unit(
    model: nn.Module, rows: Settings, row_labels: Sequence[str], unit: Unit, path: Path, *, values: Tensor
) -> Tensor:
    """Figures 3, 5 and 6: a row for each setting [N, ...], as each type of one starting point; one unit throughout.

    Returns:
        What is drawn, [N, V, C, H, W].
    """
    images = sweep(model, rows, unit.site, unit.index, values)
    save_sheet(
        images,
        path,
        title=f"{unit.label}, set to the values below",
        row_labels=row_labels,
        column_labels=_labels(values),
    )
    return images


def one_type(model: nn.Module, rows: Settings, site: str, path: Path, *, names: Names | None = None) -> None:
    """Figure 3, first part: a row for each setting [N, ...], a column for each class of a one-hot site."""
    images = across(model, rows, site)
    called = [(names or {}).get(f"{site}={k}", f"{site}={k}") for k in range(images.shape[1])]
    columns = ["\n".join(name.replace("/", "/ ").split()) for name in called]  # a column is narrower than a name
    save_sheet(images, path, title=f"{site} set to each of its classes, all else as in its row", column_labels=columns)


def samples_by_type(
    model: nn.Module, path: Path, *, columns: int = 12, seed: int = 0, names: Names | None = None
) -> None:
    """Figure 4: a row for each type, or combination of types; everything else drawn from the prior for each image."""
    sites = Sites.of(model)
    typed, called = types(sites, from_prior(model, 1, seed=seed))
    free = from_prior(model, columns * len(called), seed=seed)
    many = free | {site: repeat(typed, columns)[site] for site in sites.classes}
    save_sheet(
        decoded(model, many).unflatten(0, (len(called), columns)),
        path,
        title="A type in each row, all else drawn from the prior",
        row_labels=[(names or {}).get(name, name) for name in called],
    )


def edits(
    model: nn.Module,
    guide: nn.Module,
    data: Dataset,
    index: Sequence[int],
    changes: Sequence[tuple[str, int, float]],
    path: Path,
) -> None:
    """Figure 9b: datapoints, what the pair makes of them, and the same with one latent changed, a column for each.

    Args:
        model, guide: the pair.
        data: whose datapoints.
        index: which, one a row.
        changes: (site, unit, value), or (site, class, anything) of a one-hot site.
        path: where to.

    Raises:
        LookupError, ValueError: there is no such site or unit.
    """
    seen = observed(guide, data, index, device_of(model))
    sites, start = Sites.of(model), inferred(model, guide, *seen)
    columns = [seen[0], decoded(model, start), *(decoded(model, changed(sites, start, [change])) for change in changes)]
    named = [
        f"{site}={unit}" if site in sites.classes else f"{site}[{unit}]\n{value:+g}" for site, unit, value in changes
    ]
    save_sheet(
        torch.stack(columns, dim=1),
        path,
        title="Images, encoded and decoded, and with one latent changed",
        row_labels=[f"datapoint {n}" for n in index],
        column_labels=["x", "decoded", *named],
    )


def film(
    model: nn.Module,
    columns: Settings,
    column_labels: Sequence[str],
    chosen: Sequence[Unit],
    path: Path,
    *,
    values: Tensor,
) -> None:
    """A GIF: a row for each unit, a column for each setting [N, ...], and in time the unit's value."""
    frames = torch.stack([sweep(model, columns, unit.site, unit.index, values) for unit in chosen])  # [U, N, V, ...]
    save_film(
        frames.movedim(2, 0),
        path,
        titles=[f"In each row one unit at {value:+.2f}, all else as it was" for value in values.tolist()],
        row_labels=[unit.label for unit in chosen],
        column_labels=column_labels,
    )


def beside(
    models: Sequence[nn.Module],
    starts: Sequence[Settings],
    chosen: Sequence[Sequence[Unit]],
    titles: Sequence[str],
    path: Path,
    *,
    values: Tensor,
) -> None:
    """Figures 1 and 10: the first units of several models next to each other, from one starting point each."""
    rows = min(map(len, chosen))
    sheets = [
        torch.cat([sweep(model, start, unit.site, unit.index, values) for unit in some[:rows]])
        for model, start, some in zip(models, starts, chosen, strict=True)
    ]
    labels = [[unit.label for unit in some[:rows]] for some in chosen]
    save_sheets(sheets, path, titles=titles, row_labels=labels, column_labels=_labels(values))


def confusion(
    encoder: Any, data: Dataset, path: Path, *, device: str | torch.device = "cpu", seed: int = 0
) -> tuple[Names, str]:
    """The types inferred on a set against its labels: of each label, the per cent in each type.

    Args:
        encoder: x to distributions by site, as `zoo.metrics.clusters`.
        data: a set with labels.
        path: where to.
        device: the encoder's.
        seed: of the choice of at most 10,000 datapoints.

    Returns:
        For each type its name with the label that most of its points have and their share; and both accuracies.

    Raises:
        Inapplicable: there is no categorical site, or no label.
    """
    from zoo.metrics import Encoded, clusters  # scikit-learn, which no other sheet needs

    found = clusters(Encoded.of(encoder, replace(data, factors=None), device=device, seed=seed), seed=seed)
    table = found.confusion.value
    types_, labels = found.confusion.axes
    called = [data.classes[y] if data.classes else str(y) for y in np.unique(data.y)]  # type: ignore[arg-type]
    of_label = table / table.sum(0)
    names = {
        name: f"{name}  ({called[row.argmax()]}: {share:.0%})" if row.any() else f"{name}  (unused)"
        for name, row, share in zip(types_, table, found.purity.value, strict=True)
    }
    accuracy = f"accuracy {float(found.majority):.1%} by majority, {float(found.hungarian):.1%} matched one to one"
    save_table(
        (100 * of_label).round().astype(int),
        path,
        title=f"Of each label, per cent in each type; {accuracy}",
        rows=list(names.values()),
        columns=called[: len(labels)],
        shade=of_label,
    )
    return names, accuracy


def _labels(values: Tensor) -> list[str]:
    return [f"{value:.3g}" for value in values.tolist()]


def _order(chosen: Sequence[Unit]) -> str:
    return ", most informative first" if len(chosen) > 1 and chosen[0].nats is not None else ""
