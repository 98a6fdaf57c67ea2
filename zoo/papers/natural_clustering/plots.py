"""Pictures of N-VAE and of the conditional VAE: what each class's own latents do, and what all classes share."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from zoo import ConditionalVAE, NaturalClustering
from zoo.lab.analysis.evaluate import Evaluation
from zoo.lab.analysis.posterior import decode, posterior_means
from zoo.lab.data import Dataset
from zoo.lab.device import device_of
from zoo.lab.plots.image_grid import save_sheet
from zoo.lab.plots.style import COLOURS, FAINT, INK, figure, legend_below, plain, scatter_by_class
from zoo.papers.natural_clustering.class_latents import Clustering

Story = NaturalClustering | ConditionalVAE
VALUES = torch.linspace(-3, 3, 11)


def pictures(model: NaturalClustering, guide: nn.Module, data: Dataset, evaluation: Evaluation, folder: Path) -> None:
    """What a run of `zoo.NaturalClustering` leaves."""
    reconstructions(model, guide, data, folder / "reconstructions.png")
    class_traversals(model, folder / "class_traversals.png", names=data.classes)
    _shared_and_samples(model, data, evaluation, folder, sizes_of(model), "z_s")


def conditional_pictures(
    model: ConditionalVAE, guide: nn.Module, data: Dataset, evaluation: Evaluation, folder: Path
) -> None:
    """What a run of `zoo.ConditionalVAE` leaves."""
    reconstructions(model, guide, data, folder / "reconstructions.png")
    _shared_and_samples(model, data, evaluation, folder, {"z": len(evaluation.kl["z"])}, "z")


def sizes_of(model: NaturalClustering) -> dict[str, int]:
    """How many units the two kinds of latents have."""
    return {"z_c": model.classes * model.c_dim, "z_s": model.s_dim}


def _shared_and_samples(
    model: Story, data: Dataset, evaluation: Evaluation, folder: Path, sizes: Mapping[str, int], site: str
) -> None:
    best = evaluation.kl[site].argsort(descending=True)[:3].tolist()
    path, some = folder / "traversals.png", range(min(model.classes, 5))
    shared_traversals(model, path, sizes=sizes, units=best, classes=some, names=data.classes, site=site)
    samples(model, sizes, folder / "samples.png", names=data.classes)


def reconstructions(model: Story, guide: nn.Module, data: Dataset, path: Path, *, num: int = 12) -> None:
    """The first `num` datapoints over what the pair makes of posterior means and labels."""
    batch = data.batch(torch.arange(min(num, len(data))), labels=True, device=device_of(model))
    assert batch.y is not None
    latents = posterior_means(guide, batch.x, batch.y)
    latents["y"] = torch.eye(model.classes, device=batch.x.device)[batch.y]
    latents.pop("pi", None)
    sheet = torch.stack([batch.x, decode(model, latents)])
    save_sheet(sheet, path, row_labels=["x", "p(x | y, mean z)"], title=f"{data.name}: test data, reconstructions")


def class_traversals(
    model: NaturalClustering, path: Path, *, names: Sequence[str] = (), classes: Sequence[int] | None = None
) -> None:
    """Figures 1 and 6: each class's own z_c from -3 to 3, a row for each unit; all else at the prior's mean."""
    classes = range(model.classes) if classes is None else classes
    rows, labels = [], []
    for y in classes:
        for unit in range(model.c_dim):
            latents = _at_zero(model, y, sizes_of(model))
            latents["z_c"][:, y * model.c_dim + unit] = VALUES.to(latents["z_c"])
            rows.append(decode(model, latents))
            labels.append(_name(names, y) + (f" [{unit}]" if model.c_dim > 1 else ""))
    title = "Each class's own z_c from -3 to 3, z_s = 0"
    save_sheet(torch.stack(rows), path, row_labels=labels, column_labels=_values(), title=title)


def shared_traversals(
    model: Story,
    path: Path,
    *,
    sizes: Mapping[str, int],
    units: Sequence[int],
    classes: Sequence[int],
    names: Sequence[str] = (),
    site: str = "z_s",
) -> None:
    """Figures 2, 7 and 8: units of z_s from -3 to 3, each for several classes; all else at the prior's mean."""
    rows, labels = [], []
    for unit in units:
        for y in classes:
            latents = _at_zero(model, y, sizes)
            latents[site][:, unit] = VALUES.to(latents[site])
            rows.append(decode(model, latents))
            labels.append(f"{site}[{unit}], {_name(names, y)}")
    title = f"Units of {site} from -3 to 3, most informative first"
    save_sheet(torch.stack(rows), path, row_labels=labels, column_labels=_values(), title=title)


def samples(
    model: Story,
    sizes: Mapping[str, int],
    path: Path,
    *,
    sigma: float = 1.0,
    columns: int = 12,
    names: Sequence[str] = (),
    seed: int = 0,
) -> None:
    """Figure 11: per class means of p(x | y, z) for z ~ Normal(0, sigma I), sigma a standard deviation."""
    here = device_of(model)
    generator = torch.Generator().manual_seed(seed)
    shown = range(min(model.classes, 10))
    rows = []
    for y in shown:
        latents = {n: sigma * torch.randn(columns, size, generator=generator).to(here) for n, size in sizes.items()}
        latents["y"] = torch.eye(model.classes, device=here)[[y] * columns]
        rows.append(decode(model, latents))
    labels = [_name(names, y) for y in shown]
    save_sheet(torch.stack(rows), path, row_labels=labels, title=f"z ~ Normal(0, {sigma:g} I)")


def latent_spaces(means: Mapping[str, Tensor], y: Tensor, path: Path, *, names: Sequence[str] = ()) -> None:
    """Figure 3: posterior means [N, 2] side by side, coloured by label [N]."""
    canvas = figure(4.2 * len(means), 4.0)
    for i, (title, mean) in enumerate(means.items()):
        axes = plain(canvas.add_subplot(1, len(means), i + 1))
        scatter_by_class(axes, mean.cpu().numpy(), y.cpu().numpy(), names)
        axes.set_title(title, fontsize=9, loc="left")
        axes.set_aspect("equal", adjustable="datalim")
    canvas.savefig(path, bbox_inches="tight")


def kl_by_dimension(measured: Mapping[str, Sequence[Clustering]], path: Path) -> None:
    """Figure 5: KL of each unit of z_s, largest first, and of the right class's z_c; a panel for each data set."""
    canvas = figure(3.4 * len(measured), 2.8)
    for i, (title, seeds) in enumerate(measured.items()):
        axes = plain(canvas.add_subplot(1, len(measured), i + 1))
        rows = torch.stack([torch.cat([m.shared.sort(descending=True).values, m.own, m.others]) for m in seeds])
        s, c = len(seeds[0].shared), len(seeds[0].own)
        colours = [INK] * s + [COLOURS[1]] * c + [FAINT] * c
        between_class_variance = rows.std(0) if len(rows) > 1 else None
        axes.bar(range(s + 2 * c), rows.mean(0), yerr=between_class_variance, color=colours, error_kw={"lw": 1})
        ticks = [f"s{u}" for u in range(1, s + 1)] + ["z_cy"] * c + ["other"] * c
        axes.set_xticks(range(s + 2 * c), ticks, fontsize=7, rotation=60)
        axes.set_title(title, fontsize=9, loc="left")
        if i == 0:
            axes.set_ylabel("KL(q || p), nats, test set", fontsize=8)
    canvas.savefig(path, bbox_inches="tight")


def kl_by_class(measured: Mapping[str, Clustering], path: Path) -> None:
    """Figure 10: KL of each class's block (a bar each, summed over its units) on each class's data, a row per model."""
    size = len(next(iter(measured.values())).counts)
    canvas = figure(1.05 * size + 1.2, 1.7 * len(measured))
    top = max(m.by_class.sum(-1).nan_to_num().max().item() for m in measured.values())
    for row, (title, m) in enumerate(measured.items()):
        for y in range(size):
            axes = plain(canvas.add_subplot(len(measured), size, row * size + y + 1))
            colours = [COLOURS[1] if block == y else INK for block in range(size)]
            axes.bar(range(size), m.by_class[y].sum(-1), color=colours)
            axes.set_ylim(0, 1.05 * top)
            axes.set_xticks([])
            axes.set_title(f"class {y}", fontsize=7)
            if y == 0:
                axes.set_ylabel(f"{title}\nnats", fontsize=8)
            else:
                axes.set_yticklabels([])
    canvas.savefig(path, bbox_inches="tight")


def curves(
    panels: Mapping[str, Mapping[str, Mapping[float, Sequence[float]]]],
    baselines: Mapping[str, Sequence[float]],
    path: Path,
) -> None:
    """Figure 9: per panel and model the error over sigma, mean and standard deviation of the repeats; dashed, none."""
    canvas = figure(3.6 * len(panels), 3.0)
    for i, (title, models) in enumerate(panels.items()):
        axes = plain(canvas.add_subplot(1, len(panels), i + 1))
        for colour, (name, by_sigma) in zip(COLOURS, models.items(), strict=False):
            values = [torch.tensor(by_sigma[sigma]) for sigma in by_sigma]
            means = [v.mean().item() for v in values]
            spreads = [v.std().item() if len(v) > 1 else 0.0 for v in values]
            axes.errorbar(list(by_sigma), means, yerr=spreads, color=colour, marker="o", ms=3, capsize=2, label=name)
        if baselines.get(title):
            axes.axhline(torch.tensor(baselines[title]).mean().item(), color="black", lw=1, ls="--", label="baseline")
        axes.set_title(title, fontsize=9, loc="left")
        axes.set_xlabel("sigma", fontsize=8)
        if i == 0:
            axes.set_ylabel("classification error, %, test set", fontsize=8)
            legend_below(canvas, axes)
    canvas.savefig(path, bbox_inches="tight")


def _at_zero(model: Story, y: int, sizes: Mapping[str, int]) -> dict[str, Tensor]:
    """A column of the class and latents at their prior's mean, one row for each of VALUES."""
    here = device_of(model)
    latents = {name: torch.zeros(len(VALUES), size, device=here) for name, size in sizes.items()}
    return {"y": torch.eye(model.classes, device=here)[[y] * len(VALUES)], **latents}


def _values() -> list[str]:
    return [f"{value + 0.0:.1f}" for value in VALUES.round(decimals=1).tolist()]


def _name(names: Sequence[str], y: int) -> str:
    return names[y] if names else f"class {y}"
