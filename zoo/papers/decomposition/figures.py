"""The decomposition paper's figures, drawn from finished trials."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from zoo.lab.analysis.posterior import posteriors
from zoo.lab.plots.curves import curves
from zoo.lab.trials.trial import Trial
from zoo.papers.decomposition import plots as plots
from zoo.papers.decomposition.measures import SPARSE, encoded


def on_shapes(tried: Mapping[str, Sequence[Trial]], folder: Path) -> Mapping[str, str]:
    """Figure 2 of the trials by variant; captions by file."""
    points: dict[str, list[tuple[str, list[float], list[float]]]] = {}
    for variant, of_it in tried.items():
        name, _, label = variant.partition(", ")
        figures = [trial.quantities() for trial in of_it]
        point = (label, [f["reconstruction loss"] for f in figures], [f["metric"] for f in figures])
        points.setdefault(name, []).append(point)
    plots.scatter(points, folder / "figure2.png", x="reconstruction loss, nats", y="FactorVAE metric")
    caption = "Figure 2: the FactorVAE metric against the reconstruction loss; bars are two standard errors over seeds."
    return {"figure2.png": caption}


def on_pinwheel(tried: Mapping[str, Sequence[Trial]], folder: Path) -> Mapping[str, str]:
    """Figures 3 and 1, of each variant's first seed."""
    first = {variant: of_it[0].open() for variant, of_it in tried.items()}
    posteriors = {variant: encoded(t.guide, t.data.train) for variant, t in first.items()}
    some = next(iter(first.values()))
    plots.density_grid(posteriors, some.model, folder / "figure3.png")
    chosen = {
        "too little: beta 0.01": "beta 0.01",
        "too much: beta 1.2": "beta 1.2",
        "enough: alpha 8": "alpha 8",
    }
    panels = {title: posteriors[name] for title, name in chosen.items() if name in posteriors}
    plots.overlap(panels, some.data.train, some.model, folder / "figure1.png")
    return {
        "figure3.png": "Figure 3: densities of q(z), the training set's, for seed 0, grey from 0 to 1, and of p(z).",
        "figure1.png": "Figure 1, drawn from real encodings: q(z | x) to two deviations for 80 training points, by "
        "arm, over the contours of p(z).",
    }


def on_fashion_mnist(tried: Mapping[str, Sequence[Trial]], folder: Path) -> Mapping[str, str]:
    """Figure 4, and Figure 5 of the first seed at the largest alpha."""
    titles = {"Hoyer": "sparsity", "reconstruction": "E[log p(x)], nats", "MMD": "MMD"}
    panels: dict[str, dict[str, dict[float, list[float]]]] = {title: {} for title in titles.values()}
    for variant, of_it in tried.items():
        name, _, x = variant.rpartition(", ")
        for figure, title in titles.items():
            values = [trial.quantities()[figure] for trial in of_it]
            panels[title].setdefault(name, {})[float(x.split()[-1])] = values
    label = next(iter(tried)).rpartition(", ")[2].split()[0]
    curves(panels, folder / "figure4.png", label=label, log=True)
    captions = {"figure4.png": f"Figure 4: against {label}; bars are two standard errors over seeds."}
    for name, file in zip(SPARSE, ("paper", "code"), strict=True):
        variant = f"{name}, alpha 1000"
        if variant not in tried:
            continue
        trained = tried[variant][0].open()
        data = trained.data.test
        q = [posteriors(trained.guide, b.x)["z"].mean for b in data.in_order(500, device=trained.settings.device)]
        assert data.y is not None
        plots.magnitudes(torch.cat(q), data.y, data.classes, folder / f"figure5-{file}.png")
        units = plots.interpolations(
            trained.model, trained.guide, data, folder / f"figure5-{file}-units.png", classes=range(10)
        )
        captions[f"figure5-{file}.png"] = f"Figure 5, top: average |z_d| by class; {variant}, seed 0, test set."
        captions[f"figure5-{file}-units.png"] = (
            f"Figure 5, bottom: from z_d to z_d + sign(z_d) along each class's largest unit; {variant}, seed 0. "
            f"{len(set(units.values()))} different units for {len(units)} classes."
        )
    return captions
