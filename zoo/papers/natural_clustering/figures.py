"""The paper's figures, drawn from finished trials."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from zoo import NaturalClustering
from zoo.lab.analysis.posterior import posterior_means
from zoo.lab.device import device_of
from zoo.lab.plots.curves import curves
from zoo.lab.plots.picture import Picture
from zoo.lab.trials.trial import Trial
from zoo.papers.natural_clustering import plots
from zoo.papers.natural_clustering.augmentation import MODELS, PANELS, SIGMAS, error_at, key
from zoo.papers.natural_clustering.class_latents import Clustering
from zoo.papers.natural_clustering.measures import SETS, class_latents

NUMBERS = {
    "MNIST": ("1", "2"),
    "Fashion-MNIST": ("6", "7"),
    "Yale B": ("", "8"),
}  # the paper's figures of z_c and of z_s


def kl_figures(tried: Mapping[str, Sequence[Trial]]) -> dict[str, Picture]:
    """Figures 1, 2, 6, 7, 8, 10 and 11 for the first seeds, and Figure 5 for all seeds."""
    found = {
        variant: [class_latents(trial.open()) for trial in tried[variant]]
        for variant in {**dict.fromkeys(SETS), "MNIST": None, "MNIST, no bias": None}
        if tried.get(variant)
    }
    pictures: dict[str, Picture] = {}
    measured = {variant: found[variant] for variant in SETS if variant in found}
    if measured:
        caption = "Figure 5: KL of each unit, mean and two standard errors over seeds"
        pictures["figure5.png"] = Picture(plots.kl_by_dimension(measured), caption)
    by_class: dict[str, Clustering] = {
        variant: found[variant][0] for variant in ("MNIST", "MNIST, no bias") if variant in found
    }
    if by_class:
        caption = "Figure 10: KL of every block, with and without the bias"
        pictures["figure10.png"] = Picture(plots.kl_by_class(by_class), caption)
    for variant, (own, shared) in NUMBERS.items():
        if variant in measured:
            best = measured[variant][0].shared.argsort(descending=True)[:3].tolist()
            pictures |= _latent_figures(tried[variant][0], variant, own, shared, best)
    return pictures


def _latent_figures(trial: Trial, variant: str, own: str, shared: str, best: Sequence[int]) -> dict[str, Picture]:
    """Each class's own latents, the `best` shared units, and for MNIST samples with a larger sigma."""
    run = trial.open()
    model, names = run.model, run.data.train.classes
    assert isinstance(model, NaturalClustering)
    sizes = plots.sizes_of(model)
    pictures = {}
    if own:
        grid = plots.class_traversals(model, names=names)
        pictures[f"figure{own}.png"] = Picture(grid, f"Figure {own}: z_c of {variant}")
    classes = range(0, model.classes, 2)[:5]
    grid = plots.shared_traversals(model, sizes=sizes, units=best, classes=classes, names=names)
    pictures[f"figure{shared}.png"] = Picture(grid, f"Figure {shared}: units of z_s of {variant}")
    if variant == "MNIST":
        grid = plots.samples(model, sizes, sigma=1.4, names=names)
        pictures["figure11.png"] = Picture(grid, "Figure 11: samples at sigma = 1.4")
    return pictures


def latent_space_figures(tried: Mapping[str, Sequence[Trial]]) -> dict[str, Picture]:
    """Figure 3."""
    means: dict[str, Tensor] = {}
    y, names = torch.zeros(0), tuple[str, ...]()
    for variant, site, title in (
        ("beta-VAE", "z", "beta-VAE, beta = 5: means of q(z | x)"),
        ("MNIST, s_dim = 2", "z_s", "N-VAE: means of q(z_s | x)"),
    ):
        if tried.get(variant):
            run = tried[variant][0].open()
            data = run.data.test
            batch = data.batch(torch.arange(len(data)), labels=True, device=device_of(run.guide))
            assert batch.y is not None
            y, names = batch.y, data.classes
            means[title] = posterior_means(run.guide, batch.x)[site]
    if not means:
        return {}
    caption = "Figure 3: two-dimensional latents of MNIST's test set"
    return {"figure3.png": Picture(plots.latent_spaces(means, y, names=names), caption)}


def augmentation_figures(tried: Mapping[str, Sequence[Trial]]) -> dict[str, Picture]:
    """Figure 9."""
    found = {variant: [trial.quantities() for trial in trials] for variant, trials in tried.items()}
    panels: dict[str, Any] = {}
    levels: dict[str, dict[str, float]] = {}
    for data, share in PANELS:
        title = f"{data}, p = {share:g}"
        panels[title] = {
            model: {sigma: [values[error_at(share, sigma)] for values in found[key(data, model)]] for sigma in SIGMAS}
            for model in MODELS
            if key(data, model) in found
        }
        baseline = found.get(key(data, "baseline"), [])
        if share < 1 and baseline:  # far below the curves of p = 1
            levels[title] = {"baseline": float(np.mean([values["no samples"] for values in baseline]))}
    figure = curves(panels, x="sigma", y="classification error, %, test set", levels=levels)
    caption = "Figure 9: error of classifiers on the test set, mean and two standard errors over repeats"
    return {"figure9.png": Picture(figure, caption)}
