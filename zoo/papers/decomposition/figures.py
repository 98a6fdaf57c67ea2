"""The decomposition paper's figures, drawn from finished trials."""

from collections.abc import Mapping, Sequence

import torch

from zoo.lab.analysis.posterior import posteriors
from zoo.lab.plots.curves import Setting, curves, trade_off
from zoo.lab.plots.picture import Picture
from zoo.lab.trials.trial import Trial
from zoo.papers.decomposition import plots
from zoo.papers.decomposition.measures import SPARSE, encoded


def on_shapes(tried: Mapping[str, Sequence[Trial]]) -> dict[str, Picture]:
    """Figure 2, from the trials by variant."""
    families: dict[str, list[Setting]] = {}
    for variant, trials in tried.items():
        name, _, label = variant.partition(", ")
        found = [trial.quantities() for trial in trials]
        losses = [numbers["reconstruction loss"] for numbers in found]
        families.setdefault(name, []).append(Setting(label, losses, [numbers["metric"] for numbers in found]))
    figure = trade_off(families, x="reconstruction loss, nats", y="FactorVAE metric")
    caption = "Figure 2: the FactorVAE metric against the reconstruction loss; bars are two standard errors over seeds."
    return {"figure2.png": Picture(figure, caption)}


def on_pinwheel(tried: Mapping[str, Sequence[Trial]]) -> dict[str, Picture]:
    """Figures 3 and 1, of each variant's first seed."""
    runs = {variant: trials[0].open() for variant, trials in tried.items()}
    q = {variant: encoded(run.guide, run.data.train) for variant, run in runs.items()}
    first = next(iter(runs.values()))
    chosen = {
        "too little: beta 0.01": "beta 0.01",
        "too much: beta 1.2": "beta 1.2",
        "enough: alpha 8": "alpha 8",
    }
    panels = {title: q[name] for title, name in chosen.items() if name in q}
    pictures = {
        "figure3.png": Picture(
            plots.density_grid(q, first.model),
            "Figure 3: densities of q(z), the training set's, for seed 0, grey from 0 to 1, and of p(z).",
        )
    }
    if panels:
        pictures["figure1.png"] = Picture(
            plots.overlap(panels, first.data.train, first.model),
            "Figure 1, drawn from real encodings: q(z | x) to two standard deviations for 80 training points, by arm, "
            "over the contours of p(z).",
        )
    return pictures


def figure_4(tried: Mapping[str, Sequence[Trial]]) -> dict[str, Picture]:
    """Figure 4, of all seeds: the variants over alpha, or over beta, as the first one."""
    titles = {"Hoyer": "sparsity", "reconstruction": "E[log p(x)], nats", "MMD": "MMD"}
    panels: dict[str, dict[str, dict[float, list[float]]]] = {title: {} for title in titles.values()}
    label = next(iter(tried)).rpartition(", ")[2].split()[0]
    for variant, trials in tried.items():
        name, _, at = variant.rpartition(", ")
        weight, value = at.split()
        if weight != label:
            continue
        for quantity, title in titles.items():
            panels[title].setdefault(name, {})[float(value)] = [trial.quantities()[quantity] for trial in trials]
    caption = f"Figure 4: against {label}; bars are two standard errors over seeds."
    return {"figure4.png": Picture(curves(panels, x=label, log=True), caption)}


def figure_5(tried: Mapping[str, Sequence[Trial]]) -> dict[str, Picture]:
    """Figure 5, of the first seed at the largest alpha."""
    pictures: dict[str, Picture] = {}
    for name, file in zip(SPARSE, ("paper", "code"), strict=True):
        variant = f"{name}, alpha 1000"
        if variant in tried:
            pictures |= _active_units(tried[variant][0], variant, f"figure5-{file}")
    return pictures


def _active_units(trial: Trial, variant: str, stem: str) -> dict[str, Picture]:
    """Figure 5 of a trial."""
    run = trial.open()
    data = run.data.test
    assert data.y is not None
    batches = data.in_order(500, device=run.settings.device)
    means = torch.cat([posteriors(run.guide, batch.x)["z"].mean for batch in batches])
    grid, units = plots.interpolations(run.model, run.guide, data, classes=range(10))
    return {
        f"{stem}.png": Picture(
            plots.magnitudes(means, data.y, data.classes),
            f"Figure 5, top: average |z_d| by class; {variant}, seed 0, test set.",
        ),
        f"{stem}-units.png": Picture(
            grid,
            f"Figure 5, bottom: from z_d to z_d + sign(z_d) along each class's largest unit; {variant}, seed 0. "
            f"{len(set(units.values()))} different units for {len(units)} classes.",
        ),
    }
