"""DIP-VAE's metric of codes of known quality and of short runs, under the text's protocol and others.

Kumar et al. 2018, arXiv:1711.00848v1, section 3: "a one-vs-rest linear SVM with weight on the hinge loss C set to 0.01
and weight on the regularizer set to 1". The text states neither the number of pairs nor the number of votes, nor
whether the loss is a sum or a mean over votes.
"""

from functools import partial
from typing import Any

import numpy as np

from zoo.lab.analysis.posterior import posteriors
from zoo.lab.data import Dataset, Split
from zoo.lab.runs.finished import configure
from zoo.lab.training.experiment import Experiment
from zoo.lab.trials.trial import Measure, Trial
from zoo.metrics import Encoded
from zoo.papers.dip_vae.measures import PROTOCOLS, STEPS, encoded, metric, train

SHORT = 4_000
LATENTS = 10  # of random codes and of PCA, as many as the recipes have
PCA_IMAGES = 10_000
CHOSEN = 10.0  # the lambda_od that both seeds of `dip-vae/shapes` chose

RESCALED = ("mean loss", "standardised", "standardised, C = 1")  # the loss or the codes have another scale
MEAN_LOSS = 0.01 / 10_000  # C for a sum over 10,000 votes that equals 0.01 for their mean


def standardised(codes: Encoded) -> Encoded:
    """The codes with mean 0 and standard deviation 1 of each latent over the datapoints; constant latents are 0."""
    centred = codes.codes - codes.codes.mean(0)
    deviation = centred.std(0)
    factors = dict(zip(codes.names, codes.factors.T, strict=True))
    return Encoded.of(centred / np.where(deviation > 0, deviation, 1.0), factors)


def under_protocols(codes: Encoded) -> dict[str, float]:
    """The metric in %, by protocol; `spread` is the largest minus the smallest of those in `PROTOCOLS`."""
    scores = {name: metric(codes, **settings) for name, settings in PROTOCOLS.items()}
    scaled = standardised(codes)
    rescaled = (metric(codes, C=MEAN_LOSS), metric(scaled), metric(scaled, C=1.0))
    spread = max(scores.values()) - min(scores.values())
    return {**scores, "spread": spread, **dict(zip(RESCALED, rescaled, strict=True))}


# Codes of the test set.


def ideal(data: Dataset) -> Encoded:
    """The factors' values in the data set's units: one latent for each factor."""
    assert data.factors is not None
    return Encoded.of(data.factors.values_at(np.arange(len(data))), data)


def independent(data: Dataset, seed: int) -> Encoded:
    """Ten standard normals that are independent of the image."""
    return Encoded.of(np.random.default_rng(seed).standard_normal((len(data), LATENTS)), data)


def principal_components(split: Split, seed: int) -> Encoded:
    """The first ten principal components of the pixels, fitted to at most 10,000 random training images."""
    from sklearn.decomposition import PCA

    some = np.random.default_rng(seed).permutation(len(split.train))[:PCA_IMAGES]
    pca = PCA(LATENTS, svd_solver="randomized", random_state=seed).fit(_pixels(split.train.subset(some)))
    return Encoded.of(pca.transform(_pixels(split.test)), split.test)


def _pixels(data: Dataset) -> np.ndarray:
    """All images in single precision, [N, pixels]."""
    return np.concatenate([batch.x.flatten(1).numpy() for batch in data.in_order(1_000)])


# The variants: functions from a trial to its quantities.


def untrained(trial: Trial) -> tuple[Split, Experiment]:
    """The data that the codes are of, and the VAE's experiment with the trial's initial weights."""
    _, split, experiment = configure(
        trial.recipes["beta-vae/shapes"],
        hyperparameters={"beta": 1.0},
        seed=trial.seed,
        device=trial.device,
        data_dir=trial.data_dir,
        download=trial.download,
    )
    return split, experiment


def of_ideal(trial: Trial, *, scaled: bool) -> dict[str, float]:
    """Codes that are the factors, with standard deviation 1 or in the data set's units."""
    codes = ideal(untrained(trial)[0].test)
    return under_protocols(standardised(codes) if scaled else codes)


def of_independent(trial: Trial) -> dict[str, float]:
    """Codes that do not depend on the image."""
    return under_protocols(independent(untrained(trial)[0].test, trial.seed))


def of_principal_components(trial: Trial) -> dict[str, float]:
    """Codes that are linear in the pixels."""
    return under_protocols(principal_components(untrained(trial)[0], trial.seed))


def of_untrained(trial: Trial) -> dict[str, float]:
    """Posterior means of the encoder before its first step."""
    split, experiment = untrained(trial)
    guide = experiment.guide.eval()
    return under_protocols(Encoded.of(partial(posteriors, guide), split.test, num_points=20_000))


def of_trained(trial: Trial, recipe: str, **hyperparameters: Any) -> dict[str, float]:
    """Posterior means after the budget's number of steps."""
    steps = trial.steps(full=STEPS, short=SHORT)
    return under_protocols(encoded(train(trial, recipe, steps, **hyperparameters)))


IDEAL, IN_UNITS, INDEPENDENT = "ideal", "ideal, in the data set's units", "random"
PCA, UNTRAINED = "PCA", "untrained encoder"
VAE, BETA_VAE = "VAE", "beta-VAE, beta = 60"
DIP_10 = f"DIP-VAE, lambda_od = {CHOSEN:g}"

CODES: dict[str, Measure] = {
    IDEAL: partial(of_ideal, scaled=True),
    IN_UNITS: partial(of_ideal, scaled=False),
    INDEPENDENT: of_independent,
    PCA: of_principal_components,
    UNTRAINED: of_untrained,
    VAE: partial(of_trained, recipe="beta-vae/shapes", beta=1.0),
    DIP_10: partial(of_trained, recipe="dip-vae/shapes", lambda_od=CHOSEN),
    BETA_VAE: partial(of_trained, recipe="beta-vae/shapes", beta=60.0),
}
