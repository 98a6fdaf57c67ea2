"""`evaluate`: a finished run's ELBO term by term, and the metrics of its codes."""

from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer

from zoo.cli.options import DataDir, Download, Run, name, whole
from zoo.lab.errors import unknown_name

if TYPE_CHECKING:
    from zoo.lab.analysis.evaluate import Evaluation


def evaluate(
    folder: Run,
    data_dir: DataDir = None,
    download: Download = False,
    estimator: Annotated[
        str, typer.Option(parser=name, help="Estimator of q(z): exact, stratified, weighted, ...")
    ] = "exact",
    num_samples: Annotated[
        int, typer.Option(parser=whole(2, 10**6), help="Draws, each scored under all posteriors.")
    ] = 1000,
    with_metrics: Annotated[
        bool, typer.Option("--metrics/--no-metrics", help="Whether to compute the metrics.")
    ] = True,
) -> None:
    """Splits a run's ELBO on the test set into its terms, and scores its codes; metrics.json, anatomy.png."""
    import pyro

    from zoo.estimators import Estimator
    from zoo.lab.analysis.elbo_anatomy import elbo_anatomy, table
    from zoo.lab.analysis.evaluate import evaluate as evaluate_pair
    from zoo.lab.analysis.posterior import needs_labels
    from zoo.papers import open_run

    if estimator not in (known := ("exact", *get_args(Estimator))):
        raise ValueError(f"--estimator: {unknown_name('estimator', estimator, known)}")
    run = open_run(folder, data_dir, download)
    settings, experiment, data = run.settings, run.experiment, run.data.test
    print_evaluation(evaluate_pair(run.model, run.guide, data, labels=experiment.labels, kl=experiment.elbo.kl))
    if needs_labels(run.guide):
        print("\nthe guide needs labels, so it is not an encoder of x alone: no terms of q(z) and no metrics")
        return
    from zoo.lab.plots import anatomy_bars

    size = len(data)
    how: Any = estimator
    terms = elbo_anatomy(
        run.model, run.guide, data, num_data=size, estimator=how, num_samples=num_samples, batch_size=min(500, size)
    )
    print(f"\n{table(terms)}")
    anatomy_bars({settings.recipe: terms}).savefig(folder / "anatomy.png")
    print(f"\nwrote the picture {folder / 'anatomy.png'}")
    if with_metrics and (data.factors is not None or data.y is not None):
        from zoo.metrics import suite

        pyro.set_rng_seed(settings.seed)  # a head that depends on another site encodes with a draw of it
        scored = suite(run.encode, data, device=settings.device, seed=settings.seed)
        print(f"\n{scored.table()}")
        scored.write_json(folder / "metrics.json")
        print(f"\nwrote the metrics and their protocols to {folder / 'metrics.json'}")


def print_evaluation(evaluation: "Evaluation") -> None:
    """The ELBO and its parts."""
    print(f"\ntest set ({evaluation.num_data:,} datapoints), nats per datapoint")
    print(f"  -ELBO {-evaluation.elbo:.2f}")
    for site, value in evaluation.reconstruction.items():
        print(f"  reconstruction of {site} {value:.2f}")
    for site, kl in evaluation.kl.items():
        print(f"  KL of {site} {kl.sum():.2f}")
