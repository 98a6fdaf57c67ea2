"""DIP-VAE's pictures, of finished trials (Kumar et al. 2018, arXiv:1711.00848v1)."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from zoo.lab.analysis.evaluate import evaluate
from zoo.lab.runs.finished import FinishedRun
from zoo.lab.trials.trial import Trial
from zoo.metrics import Encoded, factor_correlations, latent_correlations, neighbours
from zoo.papers.dip_vae import plots as plots
from zoo.papers.dip_vae.measures import SEARCH, STEPS, encoded, opened
from zoo.papers.dip_vae.recipes import LAMBDAS


def first_runs(tried: Mapping[str, Sequence[Trial]]) -> dict[str, FinishedRun]:
    """The first finished seed's run, by variant."""
    return {variant: opened(variant, trials[0]) for variant, trials in tried.items() if trials}


def draw_correlations(
    models: Mapping[str, FinishedRun], codes: Mapping[str, Encoded], path: Path, what: str
) -> dict[str, str]:
    """Tables 3 and 4, Figures 3 to 12, of one seed."""
    tables = {
        name: (latent_correlations(codes[name], repeats=2), factor_correlations(codes[name], repeats=2))
        for name in models
    }
    plots.correlations(tables, path / "correlations.png")
    return {
        "correlations.png": f"{what}: Pearson's correlations among latents (top) and of factors with latents (bottom), "
        "one seed"
    }


def draw_shapes(tried: Mapping[str, Sequence[Trial]], path: Path) -> dict[str, str]:
    """Figure 1 with either error, Table 3 with Figures 9 to 12, and traversals."""
    models = first_runs(tried)
    codes = {name: encoded(trained) for name, trained in models.items()}
    captions = draw_figure1(tried, path) | draw_correlations(models, codes, path, "Table 3, Figures 9 to 12")
    tables = {name: factor_correlations(codes[name], repeats=2) for name in models}
    title = "The latent most correlated with each factor, from -3 to 3"
    names = ("scale", "posX", "posY")  # a line tells nothing of an angle, nor of three shapes in no order
    plots.factor_sweeps(models, tables, path / "traversals.png", factors=names, title=title)
    return captions | {"traversals.png": f"As Table 5, on 2D Shapes. {title}; one seed"}


def draw_figure1(tried: Mapping[str, Sequence[Trial]], path: Path) -> dict[str, str]:
    """The metric against the error, in both senses."""
    figures = [(variant, trial.quantities(), trial.budget) for variant, trials in tried.items() for trial in trials]
    captions = {}
    for kind, unit in (
        ("squared_error", "squared error per pixel"),
        ("cross_entropy", "cross-entropy per pixel, nats"),
    ):
        points = []
        for variant, values, budget in figures:
            if "lambda_od" in values:
                length = STEPS if budget == "full" else SEARCH
                points += [
                    plots.Point(
                        f"DIP-VAE after {length:,} steps",
                        weight,
                        values[f"search_{kind}_{weight:g}"],
                        values[f"search_metric_{weight:g}"],
                    )
                    for weight in LAMBDAS
                    if f"search_metric_{weight:g}" in values
                ]
            family, weight = weight_of(variant, values)
            points.append(plots.Point(family, weight, values[kind], values["metric"]))
        file = f"figure1-{kind.replace('_', '-')}.png"
        plots.trade_off(points, path / file, error=unit, metric="Higgins metric, %")
        captions[file] = f"Figure 1: the metric against the {unit}; every seed, beside it beta or lambda_od"
    return captions


def weight_of(variant: str, figures: Mapping[str, float]) -> tuple[str, float]:
    """The family and the weight of a variant, as Figure 1 has them."""
    if "lambda_od" in figures:
        return "DIP-VAE", figures["lambda_od"]
    if variant == "VAE":
        return "beta-VAE", 1.0
    name, _, weight = variant.partition(", ")
    return name, float(weight.rpartition(" = ")[2])


def draw_celeba(tried: Mapping[str, Sequence[Trial]], path: Path) -> dict[str, str]:
    """Table 4 with Figures 3 to 8, Figure 2 and appendix A, and Table 5."""
    models = first_runs(tried)
    codes = {name: encoded(trained) for name, trained in models.items()}
    captions = draw_correlations(models, codes, path, "Table 4, Figures 3 to 8")
    near = {name: neighbours(codes[name], repeats=2) for name in models}
    plots.neighbour_bars(near, ("Bangs", "Rosy_Cheeks"), path / "figure2.png")
    every = next(iter(near.values())).axes[0]
    plots.neighbour_bars(near, every, path / "appendix-a.png")
    tables = {name: factor_correlations(codes[name], repeats=2) for name in models}
    title = "The latent most correlated with each attribute, from -3 to 3"
    names = ("Smiling", "Blond_Hair", "Black_Hair")
    plots.factor_sweeps(models, tables, path / "traversals.png", factors=names, title=title)
    return captions | {
        "figure2.png": "Figure 2: the four attributes that an attribute's latent is most correlated with",
        "appendix-a.png": "Appendix A: the same for every attribute",
        "traversals.png": f"Table 5, without azimuth, which no attribute tells. {title}; one seed",
    }


def draw_chairs(tried: Mapping[str, Sequence[Trial]], path: Path) -> dict[str, str]:
    """Table 6: what the latents of largest KL change, since no factor tells legs or size."""
    models = first_runs(tried)
    runs = {
        name: (trained, evaluate(trained.model, trained.guide, trained.data.test)) for name, trained in models.items()
    }
    title = "The five latents of largest KL, from -3 to 3"
    plots.informative_sweeps(runs, path / "traversals.png", count=5, title=title)
    return {"traversals.png": f"Table 6. {title}; one seed"}
