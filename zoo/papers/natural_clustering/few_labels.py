"""N-VAE where few datapoints have labels: an extension of this project, without results in the paper."""

from collections.abc import Mapping

from zoo.lab.trials.reproduction import Claim, Quantity, Reproduction
from zoo.lab.trials.trial import Measure, Trial
from zoo.papers.natural_clustering.claims import unlabelled_help
from zoo.papers.natural_clustering.measures import class_latents

LABELLED = (100, 1_000)


def accuracy(labelled: int, *, unlabelled: bool) -> Measure:
    """A trial with `labelled` labels, with or without the other datapoints as unlabelled ones."""

    def run(trial: Trial) -> Mapping[str, float]:
        steps = trial.steps(full=93_600, short=9_360)
        if not unlabelled:
            steps //= 2  # the same number of labelled batches as where every second batch has no labels
        trained = trial.train(
            "natural-clustering/mnist", steps=steps, precision="medium", labelled=labelled, unlabelled=unlabelled
        )
        return {"accuracy": 100 * class_latents(trained).accuracy}

    return run


FEW_LABELS = Reproduction(
    title="N-VAE on MNIST with few labels",
    paper="An extension of Antorán & Miguel 2019, arXiv:1901.09415, that is in no paper: in a batch without labels "
    "the labels are summed out, as in Kingma et al. 2014, arXiv:1406.5298",
    variants={
        f"{labelled:,} labels, {rest}": accuracy(labelled, unlabelled=rest == "and the rest")
        for labelled in LABELLED
        for rest in ("alone", "and the rest")
    },
    quantities={"accuracy": Quantity("accuracy of the inferred y on the test set, %", better="high", digits=2)},
    headline=[
        (f"{labelled:,} labels, {rest}", "accuracy") for labelled in LABELLED for rest in ("alone", "and the rest")
    ],
    seeds={"full": 5, "short": 3},
    claims=[
        Claim(
            f"Datapoints without labels help {labelled:,} with labels.",
            unlabelled_help(labelled),
            own=True,
        )
        for labelled in LABELLED
    ],
    deviations=(
        "Networks and sizes as in `natural-clustering/kl`. The labelled datapoints are the same in every seed, and "
        "every second batch is drawn from them.",
    ),
    shortened=["The short budget is a tenth of the full one's steps."],
)
