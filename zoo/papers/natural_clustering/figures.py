"""The paper's figures, drawn from finished trials."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from zoo import NaturalClustering
from zoo.lab.analysis.posterior import posterior_means
from zoo.lab.device import device_of
from zoo.lab.trials.trial import Trial
from zoo.papers.natural_clustering import plots as draw
from zoo.papers.natural_clustering.augmentation import MODELS, PANELS, SIGMAS, key
from zoo.papers.natural_clustering.class_latents import Clustering
from zoo.papers.natural_clustering.measures import SETS, class_latents


def kl_figures(tried: Mapping[str, Sequence[Trial]], folder: Path) -> Mapping[str, str]:
    """Figures 1, 2, 5, 6, 7, 8, 10 and 11, of the first seeds; Figure 5 of all."""
    captions: dict[str, str] = {}

    def kept(file: str, caption: str) -> Path:
        captions[file] = caption
        return folder / file

    def found(variant: str) -> list[Clustering]:
        return [class_latents(trial.open()) for trial in tried.get(variant, ())]

    measured = {variant: seeds for variant in SETS if (seeds := found(variant))}
    if measured:
        draw.kl_by_dimension(measured, kept("figure5.png", "Figure 5: KL of each unit, mean and deviation over seeds"))
    by_class = {v: found(v)[0] for v in ("MNIST", "MNIST, no bias") if tried.get(v)}
    if by_class:
        draw.kl_by_class(by_class, kept("figure10.png", "Figure 10: KL of every block, with and without the bias"))
    numbers = {"MNIST": ("1", "2"), "Fashion-MNIST": ("6", "7"), "Yale B": ("", "8")}
    for variant, (own, shared) in numbers.items():
        if variant not in measured:
            continue
        trained = tried[variant][0].open()
        model, names = trained.model, trained.data.train.classes
        assert isinstance(model, NaturalClustering)
        if own:
            draw.class_traversals(model, kept(f"figure{own}.png", f"Figure {own}: z_c of {variant}"), names=names)
        best = measured[variant][0].shared.argsort(descending=True)[:3].tolist()
        path = kept(f"figure{shared}.png", f"Figure {shared}: units of z_s of {variant}")
        draw.shared_traversals(
            model, path, sizes=draw.sizes_of(model), units=best, classes=range(0, model.classes, 2)[:5], names=names
        )
        if variant == "MNIST":
            path = kept("figure11.png", "Figure 11: samples at sigma = 1.4")
            draw.samples(model, draw.sizes_of(model), path, sigma=1.4, names=names)
    return captions


def latent_space_figures(tried: Mapping[str, Sequence[Trial]], folder: Path) -> Mapping[str, str]:
    """Figure 3."""
    means: dict[str, Tensor] = {}
    y, names = torch.zeros(0), tuple[str, ...]()
    for variant, site in (("beta-VAE", "z"), ("MNIST, s_dim = 2", "z_s")):
        for trial in list(tried.get(variant, ()))[:1]:
            data, guide = trial.open().data.test, trial.open().guide
            batch = data.batch(torch.arange(len(data)), labels=True, device=device_of(guide))
            assert batch.y is not None
            y, names = batch.y, data.classes
            title = {"z": "beta-VAE, beta = 5: means of q(z | x)", "z_s": "N-VAE: means of q(z_s | x)"}[site]
            means[title] = posterior_means(guide, batch.x)[site]
    if not means:
        return {}
    draw.latent_spaces(means, y, folder / "figure3.png", names=names)
    return {"figure3.png": "Figure 3: two-dimensional latents of MNIST's test set"}


def augmentation_figures(tried: Mapping[str, Sequence[Trial]], folder: Path) -> Mapping[str, str]:
    """Figure 9."""
    figures = {variant: [trial.quantities() for trial in of_it] for variant, of_it in tried.items()}
    panels: dict[str, Any] = {}
    baselines: dict[str, list[float]] = {}
    for data, share in PANELS:
        title = f"{data}, p = {share:g}"
        panels[title] = {
            model: {s: [f[f"p = {share:g}, sigma = {s:g}"] for f in figures[key(data, model)]] for s in SIGMAS}
            for model in MODELS
            if key(data, model) in figures
        }
        if share < 1:  # far below the curves of p = 1
            baselines[title] = [f["no samples"] for f in figures.get(key(data, "baseline"), [])]
    draw.curves(panels, baselines, folder / "figure9.png")
    return {"figure9.png": "Figure 9: error of classifiers on the test set, mean and standard deviation over repeats"}
