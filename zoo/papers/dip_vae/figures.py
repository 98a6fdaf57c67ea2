"""DIP-VAE's pictures, drawn from finished trials (Kumar et al. 2018, arXiv:1711.00848v1)."""

from collections.abc import Mapping, Sequence

import numpy as np

from zoo.lab.plots.curves import Setting, trade_off
from zoo.lab.plots.matrix import matrix
from zoo.lab.plots.picture import Picture
from zoo.lab.runs.finished import FinishedRun
from zoo.lab.trials.trial import Trial
from zoo.metrics import Encoded, Result, factor_correlations, latent_correlations, neighbours
from zoo.papers.dip_vae import plots
from zoo.papers.dip_vae.measures import PROTOCOLS, SEARCH, STEPS, encoded, opened
from zoo.papers.dip_vae.protocols import RESCALED
from zoo.papers.dip_vae.recipes import LAMBDAS


def first_runs(tried: Mapping[str, Sequence[Trial]]) -> dict[str, FinishedRun]:
    """The first finished seed's run, by variant."""
    return {variant: opened(variant, trials[0]) for variant, trials in tried.items() if trials}


def draw_correlations(codes: Mapping[str, Encoded], of_factors: Mapping[str, Result], what: str) -> Picture:
    """Tables 3 and 4, Figures 3 to 12, of one seed."""
    tables = {name: (latent_correlations(codes[name], repeats=2), of_factors[name]) for name in codes}
    caption = f"{what}: Pearson's correlations among latents (top) and of factors with latents (bottom), one seed"
    return Picture(plots.correlations(tables), caption)


def draw_shapes(tried: Mapping[str, Sequence[Trial]]) -> dict[str, Picture]:
    """Table 3 with Figures 9 to 12, and traversals, of the first seeds."""
    models = first_runs(tried)
    codes = {name: encoded(run) for name, run in models.items()}
    tables = {name: factor_correlations(codes[name], repeats=2) for name in models}
    title = "The latent most correlated with each factor, from -3 to 3"
    # Correlation is linear: it does not suit an angle, or three shapes without an order.
    grid = plots.factor_traversals(models, tables, factors=("scale", "posX", "posY"), title=title)
    return {
        "correlations.png": draw_correlations(codes, tables, "Table 3, Figures 9 to 12"),
        "traversals.png": Picture(grid, f"As Table 5, on 2D Shapes. {title}; one seed"),
    }


def draw_figure1(tried: Mapping[str, Sequence[Trial]]) -> dict[str, Picture]:
    """The metric against both definitions of the error."""
    units = {"squared_error": "squared error per pixel", "cross_entropy": "cross-entropy per pixel, nats"}
    pictures = {}
    for kind, unit in units.items():
        figure = trade_off(_families(tried, kind), x=unit, y="Higgins metric, %")
        caption = f"Figure 1: the metric against the {unit}; every seed, labelled with beta or lambda_od"
        pictures[f"figure1-{kind.replace('_', '-')}.png"] = Picture(figure, caption)
    return pictures


def _families(tried: Mapping[str, Sequence[Trial]], kind: str) -> dict[str, list[Setting]]:
    """By family, its settings from the smallest to the largest weight, with the error and metric of every seed."""
    points: dict[str, dict[float, list[tuple[float, float]]]] = {}

    def add(family: str, weight: float, error: float, metric: float) -> None:
        points.setdefault(family, {}).setdefault(weight, []).append((error, metric))

    for variant, trials in tried.items():
        for trial in trials:
            values = trial.quantities()
            if "lambda_od" in values:
                family = f"DIP-VAE after {STEPS if trial.budget == 'full' else SEARCH:,} steps"
                for weight in LAMBDAS:
                    if f"search_metric_{weight:g}" in values:
                        error = values[f"search_{kind}_{weight:g}"]
                        add(family, weight, error, values[f"search_metric_{weight:g}"])
            add(*weight_of(variant, values), values[kind], values["metric"])
    return {
        family: [Setting(f"{weight:g}", *zip(*of_weight[weight], strict=True)) for weight in sorted(of_weight)]
        for family, of_weight in points.items()
    }


def weight_of(variant: str, values: Mapping[str, float]) -> tuple[str, float]:
    """The family and the weight of a variant in Figure 1."""
    if "lambda_od" in values:
        return "DIP-VAE", values["lambda_od"]
    if variant == "VAE":
        return "beta-VAE", 1.0
    name, _, weight = variant.partition(", ")
    return name, float(weight.rpartition(" = ")[2])


def draw_protocols(tried: Mapping[str, Sequence[Trial]]) -> dict[str, Picture]:
    """The metric of each code under each protocol, as shares."""
    names = [*PROTOCOLS, *RESCALED]
    means = {
        variant: [np.mean([trial.quantities()[name] for trial in trials]) / 100 for name in names]
        for variant, trials in tried.items()
    }
    columns = ["C = 0.01, 10,000 votes, 64 pairs", *names[1:]]
    table = matrix(np.array([*means.values()]), title="Higgins metric", rows=[*means], columns=columns, signed=False)
    return {"protocols.png": Picture(table, "The metric of each code under each protocol, the mean over seeds")}


def draw_celeba(tried: Mapping[str, Sequence[Trial]]) -> dict[str, Picture]:
    """Table 4 with Figures 3 to 8, Figure 2 and appendix A, and Table 5."""
    models = first_runs(tried)
    codes = {name: encoded(run) for name, run in models.items()}
    near = {name: neighbours(codes[name], repeats=2) for name in models}
    every = next(iter(near.values())).axes[0]
    tables = {name: factor_correlations(codes[name], repeats=2) for name in models}
    title = "The latent most correlated with each attribute, from -3 to 3"
    names = ("Smiling", "Blond_Hair", "Black_Hair")
    return {
        "correlations.png": draw_correlations(codes, tables, "Table 4, Figures 3 to 8"),
        "figure2.png": Picture(
            plots.neighbour_bars(near, ("Bangs", "Rosy_Cheeks")),
            "Figure 2: the four attributes that an attribute's latent is most correlated with",
        ),
        "appendix-a.png": Picture(plots.neighbour_bars(near, every), "Appendix A: the same for every attribute"),
        "traversals.png": Picture(
            plots.factor_traversals(models, tables, factors=names, title=title),
            f"Table 5, without azimuth, which is not among the attributes. {title}; one seed",
        ),
    }


def draw_chairs(tried: Mapping[str, Sequence[Trial]]) -> dict[str, Picture]:
    """Table 6: traversals of the latents with the largest KL, since the data has no factors for legs or size."""
    runs = {name: (run, run.evaluate()) for name, run in first_runs(tried).items()}
    title = "The five latents of largest KL, from -3 to 3"
    grid = plots.informative_traversals(runs, count=5, title=title)
    return {"traversals.png": Picture(grid, f"Table 6. {title}; one seed")}
