"""`evaluate`: a finished run's headlines, its ELBO term by term, and the metrics of its codes."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer

from zoo.cli.options import DataDir, Download, Format, Run, Slides, given, name, open_run, refuse_unless_writable, whole
from zoo.lab.errors import unknown_name

if TYPE_CHECKING:
    from zoo.lab.analysis.elbo_anatomy import ElboAnatomy
    from zoo.lab.analysis.evaluate import Evaluation
    from zoo.lab.plots import Picture
    from zoo.lab.runs.finished import FinishedRun
    from zoo.metrics.suite import Suite

HEADLINES = (
    "clusters_majority",
    "factor_vae",
    "mig",
    "dci_forest_disentanglement",
    "sap",
    "information_about_data",
    "total_correlation",
)
"""Metrics that are printed first, in this order."""
NEEDS_NUMBERS = ("factor_correlations", "neighbours")  # a label's classes are only names


def evaluate(
    context: typer.Context,
    folder: Run,
    data_dir: DataDir = None,
    download: Download = False,
    estimator: Annotated[
        str, typer.Option(parser=name, help="Estimator of q(z): exact, stratified, weighted, ...")
    ] = "exact",
    num_samples: Annotated[
        int,
        typer.Option(parser=whole(2, 10**6), help="Draws of the exact estimator, each scored under all posteriors."),
    ] = 1000,
    with_metrics: Annotated[
        bool, typer.Option("--metrics/--no-metrics", help="Whether to compute the metrics.")
    ] = True,
    format: Format = "png",
    slides: Slides = False,
) -> None:
    """Prints a run's headlines, its ELBO on the test set in terms, and its metrics; anatomy.png, metrics.json, ..."""
    from zoo.estimators import Estimator
    from zoo.lab.analysis.posterior import needs_labels

    if estimator not in (known := ("exact", *get_args(Estimator))):
        raise ValueError(f"--estimator: {unknown_name('estimator', estimator, known)}")
    if estimator != "exact" and "--num-samples" in given(context):
        raise ValueError(
            f"--num-samples {num_samples} has no effect with --estimator {estimator}, which draws once for each "
            "datapoint: leave it out, or give --estimator exact"
        )
    refuse_unless_writable(folder, ", where metrics and pictures go: evaluate a copy of the run")
    run = open_run(folder, data_dir, download)
    data = run.data.test
    print_evaluation(run.evaluate())
    if needs_labels(run.guide):
        print("\nthe guide needs labels, so it is not an encoder of x alone: no terms of q(z) and no metrics")
        return
    from zoo.lab.files import naming
    from zoo.lab.plots import Picture, anatomy_bars, drawn_as, save_pictures

    scored = _scored(run) if with_metrics and (data.factors is not None or data.y is not None) else None
    if scored is not None:
        if headlines := _only(scored, HEADLINES):
            print(f"\nheadlines\n{headlines.table()}")
        with naming(folder / "metrics.json"):
            scored.write_json(folder / "metrics.json")
    terms = _terms(run, estimator, num_samples)
    with drawn_as(format, slides=slides):
        pictures = {}
        if terms is not None:
            bars = anatomy_bars({run.settings.recipe: terms})
            pictures["anatomy.png"] = Picture(bars, "-ELBO and its KL in terms")
        if scored is not None:
            pictures |= _matrices(scored)
        captions = save_pictures(pictures, folder)
    if scored is not None:
        rest = [metric for metric, result in scored.items() if metric not in HEADLINES and len(result.axes) < 2]
        details = _only(scored, rest)
        details.inapplicable = scored.inapplicable
        print(f"\nall other metrics\n{details.table()}")
        print(f"\nwrote the metrics and their protocols to {folder / 'metrics.json'}")
    for file, caption in captions.items():
        print(f"{folder / file}  {caption}")


def _scored(run: "FinishedRun") -> "Suite":
    """The metrics of the run's codes; without those that take a label's classes for numbers."""
    import pyro

    from zoo.metrics import suite

    pyro.set_rng_seed(run.settings.seed)  # a head that depends on another site encodes with a draw of it
    scored = suite(run.codes, run.data.test, device=run.settings.device, seed=run.settings.seed)
    if run.data.test.factors is None:
        for metric in NEEDS_NUMBERS:
            scored.pop(metric, None)
            scored.inapplicable[metric] = f"{metric} needs factors with an order, and the classes of a label have none"
    return scored


def _terms(run: "FinishedRun", estimator: Any, num_samples: int) -> "ElboAnatomy | None":
    """Prints and returns the terms of the ELBO; None where there are none, as of a prior that depends on another site.

    No metric needs them.
    """
    from zoo.lab.analysis.elbo_anatomy import elbo_anatomy, table

    size = len(run.data.test)
    options: dict[str, Any] = {"num_data": size, "num_samples": num_samples, "batch_size": min(500, size)}
    try:
        terms = elbo_anatomy(run.model, run.guide, run.data.test, estimator=estimator, **options)
    except ValueError as error:
        print(f"\nno terms of q(z): {error}")
        return None
    print(f"\n{table(terms)}")
    return terms


def _only(scored: "Suite", metrics: Sequence[str]) -> "Suite":
    from zoo.metrics.suite import Suite

    chosen = Suite()
    chosen |= {metric: scored[metric] for metric in metrics if metric in scored}
    return chosen


def _matrices(scored: "Suite") -> "dict[str, Picture]":
    """A picture for each metric that is a matrix."""
    from zoo.lab.plots import Picture, matrix

    pictures = {}
    for metric, result in scored.items():
        if len(result.axes) == 2:
            rows, columns = result.axes
            title, signed = f"{metric.replace('_', ' ')} [{result.unit}]", result.unit == "correlation"
            drawn = matrix(result.value, title=title, rows=rows, columns=columns, signed=signed)
            pictures[f"{metric.replace('_', '-')}.png"] = Picture(drawn, title)
    return pictures


def print_evaluation(evaluation: "Evaluation") -> None:
    """The ELBO and its parts."""
    print(f"\ntest set ({evaluation.num_data:,} datapoints), nats per datapoint")
    print(f"  -ELBO {-evaluation.elbo:.2f}")
    for site, value in evaluation.reconstruction.items():
        print(f"  reconstruction of {site} {value:.2f}")
    for site, kl in evaluation.kl.items():
        print(f"  KL of {site} {kl.sum():.2f}")
