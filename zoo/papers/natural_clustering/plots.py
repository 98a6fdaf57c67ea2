"""Pictures of N-VAE and of the conditional VAE: traversals of each class's latents, and of the shared ones."""

from collections.abc import Mapping, Sequence

import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from zoo import ConditionalVAE, NaturalClustering
from zoo.arguments import checked, number_from
from zoo.lab.analysis.evaluate import Evaluation
from zoo.lab.analysis.posterior import decode, posterior_means
from zoo.lab.analysis.selection import spread
from zoo.lab.data import Dataset
from zoo.lab.device import device_of
from zoo.lab.plots.bars import bars_of_nats
from zoo.lab.plots.image_grid import ImageGrid
from zoo.lab.plots.picture import Picture
from zoo.lab.plots.style import COLOURS, INK, figure, scatter_by_class, styled
from zoo.papers.natural_clustering.class_latents import Clustering
from zoo.seeds import torch_stream

Story = NaturalClustering | ConditionalVAE
VALUES = torch.linspace(-3, 3, 11)
RECONSTRUCTED = "test data, spread over the classes, over the mean of p(x given label and posterior means)"


def pictures(model: NaturalClustering, guide: nn.Module, data: Dataset, evaluation: Evaluation) -> dict[str, Picture]:
    """Pictures of a run of `zoo.NaturalClustering`."""
    return {
        "reconstructions.png": Picture(reconstructions(model, guide, data), RECONSTRUCTED),
        "class_traversals.png": Picture(
            class_traversals(model, names=data.classes), "units of each class's own latents from -3 to 3"
        ),
        **_shared_and_samples(model, data, evaluation, sizes_of(model), "z_s"),
    }


def conditional_pictures(
    model: ConditionalVAE, guide: nn.Module, data: Dataset, evaluation: Evaluation
) -> dict[str, Picture]:
    """Pictures of a run of `zoo.ConditionalVAE`."""
    return {
        "reconstructions.png": Picture(reconstructions(model, guide, data), RECONSTRUCTED),
        **_shared_and_samples(model, data, evaluation, {"z": len(model.loc)}, "z"),
    }


def sizes_of(model: NaturalClustering) -> dict[str, int]:
    """The number of units of the two kinds of latents."""
    return {"z_c": model.classes * model.c_dim, "z_s": model.s_dim}


def _shared_and_samples(
    model: Story, data: Dataset, evaluation: Evaluation, sizes: Mapping[str, int], site: str
) -> dict[str, Picture]:
    kl = evaluation.kl[site]
    ranked = len(kl) == sizes[site]  # a guide that couples the units has one KL for all
    units = kl.argsort(descending=True)[:3].tolist() if ranked else range(min(sizes[site], 3))
    some = range(min(model.classes, 5))
    shared = shared_traversals(
        model, sizes=sizes, units=units, classes=some, names=data.classes, site=site, ranked=ranked
    )
    by_class = samples(model, sizes, names=data.classes)
    return {
        "traversals.png": Picture(shared, f"units of {site} from -3 to 3, each for several classes"),
        "samples.png": Picture(by_class, "means of p(x given class and latents), latents drawn from the prior"),
    }


def reconstructions(model: Story, guide: nn.Module, data: Dataset) -> ImageGrid:
    """Twelve datapoints, spread over the classes, over the mean of p(x | label, posterior means)."""
    batch = data.batch(torch.tensor(spread(data, 12)), labels=True, device=device_of(model))
    assert batch.y is not None
    latents = posterior_means(guide, batch.x, batch.y)
    latents["y"] = torch.eye(model.classes, device=batch.x.device)[batch.y]
    latents.pop("pi", None)
    images = torch.stack([batch.x, decode(model, latents)])
    return ImageGrid(images, f"{data.name}: test data, reconstructions", ["x", "p(x | y, mean z)"])


def class_traversals(model: NaturalClustering, *, names: Sequence[str] = ()) -> ImageGrid:
    """Figures 1 and 6: each class's own z_c from -3 to 3, a row for each unit; all else at the prior's mean."""
    rows, labels = [], []
    for y in range(model.classes):
        for unit in range(model.c_dim):
            latents = _at_zero(model, y, sizes_of(model))
            latents["z_c"][:, y * model.c_dim + unit] = VALUES.to(latents["z_c"])
            rows.append(decode(model, latents))
            labels.append(_name(names, y) + (f" [{unit}]" if model.c_dim > 1 else ""))
    return ImageGrid(torch.stack(rows), "Each class's own z_c from -3 to 3, z_s = 0", labels, _values())


def shared_traversals(
    model: Story,
    *,
    sizes: Mapping[str, int],
    units: Sequence[int],
    classes: Sequence[int],
    names: Sequence[str] = (),
    site: str = "z_s",
    ranked: bool = True,
) -> ImageGrid:
    """Figures 2, 7 and 8: units of z_s from -3 to 3, each for several classes; all else at the prior's mean.

    The title says that the most informative unit is the first, unless they are not `ranked`.
    """
    rows, labels = [], []
    for unit in units:
        for y in classes:
            latents = _at_zero(model, y, sizes)
            latents[site][:, unit] = VALUES.to(latents[site])
            rows.append(decode(model, latents))
            labels.append(f"{site}[{unit}], {_name(names, y)}")
    order = ", most informative first" if ranked else ""
    return ImageGrid(torch.stack(rows), f"Units of {site} from -3 to 3{order}", labels, _values())


@checked(columns=number_from(1))
def samples(
    model: Story,
    sizes: Mapping[str, int],
    *,
    sigma: float = 1.0,
    columns: int = 12,
    names: Sequence[str] = (),
    seed: int = 0,
) -> ImageGrid:
    """Figure 11: for each class, means of p(x | y, z) for z ~ Normal(0, sigma I), sigma a standard deviation."""
    here = device_of(model)
    generator = torch_stream(seed)
    shown = range(min(model.classes, 10))
    rows = []
    for y in shown:
        latents = {n: sigma * torch.randn(columns, size, generator=generator).to(here) for n, size in sizes.items()}
        latents["y"] = torch.eye(model.classes, device=here)[[y] * columns]
        rows.append(decode(model, latents))
    labels = [_name(names, y) for y in shown]
    return ImageGrid(torch.stack(rows), f"z ~ Normal(0, {sigma:g} I)", labels)


@styled
def latent_spaces(means: Mapping[str, Tensor], y: Tensor, *, names: Sequence[str] = ()) -> Figure:
    """Figure 3: posterior means [N, 2] of several models, coloured by label [N]."""
    canvas = figure(4.2 * len(means), 4.0)
    for axes, (title, mean) in zip(canvas.subplots(1, len(means), squeeze=False)[0], means.items(), strict=True):
        scatter_by_class(axes, mean.cpu().numpy(), y.cpu().numpy(), names)
        axes.set_title(title)
        axes.set_aspect("equal", adjustable="datalim")
    return canvas


def kl_by_dimension(measured: Mapping[str, Sequence[Clustering]]) -> Figure:
    """Figure 5: KL of each unit of z_s, largest first, and of the right class's z_c; a panel for each data set.

    Means over seeds with two standard errors.
    """
    panels: dict[str, dict[str, list[float]]] = {}
    own: list[str] = []
    for title, seeds in measured.items():
        bars: dict[str, list[float]] = {}
        for seed in seeds:
            blocks = {"z_s": seed.shared.sort(descending=True).values, "z_cy": seed.own, "other": seed.others}
            for block, nats in blocks.items():
                for place, value in enumerate(nats.tolist(), start=1):
                    bars.setdefault(f"{block}{place if block == 'z_s' or len(nats) > 1 else ''}", []).append(value)
        panels[title] = bars
        own += [name for name in bars if name.startswith("z_cy")]
    return bars_of_nats(panels, label="KL(q || p), nats, test set", highlighted=own)


@styled
def kl_by_class(measured: Mapping[str, Clustering]) -> Figure:
    """Figure 10: KL of each class's block (a bar each, summed over its units) on each class's data, a row per model."""
    size = len(next(iter(measured.values())).counts)
    canvas = figure(1.05 * size + 1.2, 1.7 * len(measured))
    top = max(m.by_class.sum(-1).nan_to_num().max().item() for m in measured.values())
    grid = canvas.subplots(len(measured), size, squeeze=False, sharey=True)
    for row, (title, m) in zip(grid, measured.items(), strict=True):
        for y, axes in enumerate(row):
            colours = [COLOURS[1] if block == y else INK for block in range(size)]
            axes.bar(range(size), m.by_class[y].sum(-1), color=colours)
            axes.set_ylim(0, 1.05 * top or 1.0)
            axes.set_xticks([])
            axes.set_title(f"class {y}", loc="center")
        row[0].set_ylabel(f"{title}\nnats")
    return canvas


def _at_zero(model: Story, y: int, sizes: Mapping[str, int]) -> dict[str, Tensor]:
    """The class, and latents at their prior's mean, repeated for each of VALUES."""
    here = device_of(model)
    latents = {name: torch.zeros(len(VALUES), size, device=here) for name, size in sizes.items()}
    return {"y": torch.eye(model.classes, device=here)[[y] * len(VALUES)], **latents}


def _values() -> list[str]:
    return [f"{value + 0.0:.1f}" for value in VALUES.round(decimals=1).tolist()]


def _name(names: Sequence[str], y: int) -> str:
    return names[y] if names else f"class {y}"
