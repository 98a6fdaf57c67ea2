"""N-VAE with settings under which samples keep their label: an experiment of this project, next to Figure 9."""

from collections.abc import Mapping
from typing import Any

from zoo.lab.training.precision import reduced_matmul_precision
from zoo.lab.trials.reproduction import Quantity
from zoo.lab.trials.trial import Measure, Trial
from zoo.papers.natural_clustering.augmentation import error_at, generate
from zoo.papers.natural_clustering.classifiers import classification_error, error_of, train_classifier, wrong_labels
from zoo.papers.natural_clustering.measures import class_latents

SPREADS = (1.0, 2.0)  # sigma
SHARED = (4, 1)  # s_dim of the other reproductions, and the one at which samples keep their label best


def with_shared(data: str, s_dim: int) -> str:
    """The variant of a data set with `s_dim` shared units."""
    return f"{data}, s_dim = {s_dim}"


def wrong_at(sigma: float) -> str:
    """The quantity: the share of samples at sigma with a wrong label."""
    return f"wrong labels, sigma = {sigma:g}"


QUANTITIES = {
    **{
        wrong_at(sigma): Quantity(
            f"samples at z ~ Normal(0, {sigma:g} I) that a classifier of real data gives another label, %", better="low"
        )
        for sigma in SPREADS
    },
    "no samples": Quantity("test error of that classifier, trained on real data alone, %", better="low"),
    **{
        error_at(0.4, sigma): Quantity(
            f"test error, %, a datapoint replaced with probability 0.4, z ~ Normal(0, {sigma:g} I)", better="low"
        )
        for sigma in SPREADS
    },
    "KL of z_cy": Quantity("KL of the right class's block of z_c, nats", digits=3),
    "accuracy": Quantity("accuracy of the inferred y on the test set, %", better="high", digits=2),
}


def labels(data: str, s_dim: int) -> Measure:
    """Trains N-VAE on a data set; measures the labels of its samples, and Figure 9's errors at p = 0.4."""

    def run(trial: Trial) -> Mapping[str, float]:
        steps = trial.steps(full=9_360, short=1_872)
        trained = trial.train(f"natural-clustering/{data}", steps=steps, precision="medium", s_dim=s_dim)
        latents = class_latents(trained)
        train, test = trained.data.train, trained.data.test
        options: dict[str, Any] = {"classes": 10, "seed": trial.seed, "device": trial.device or "cpu"}
        with reduced_matmul_precision():
            judge = train_classifier(train, **options)
            found = {"no samples": error_of(judge, test)}
            for sigma in SPREADS:
                made = generate(trained.model, sigma=sigma)
                found[wrong_at(sigma)] = wrong_labels(made, judge, classes=10, seed=trial.seed)
                found[error_at(0.4, sigma)] = classification_error(train, test, generate=made, share=0.4, **options)
        return {**found, "KL of z_cy": latents.own.sum().item(), "accuracy": 100 * latents.accuracy}

    return run
