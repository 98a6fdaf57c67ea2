"""Training at each budget, and the measured quantities."""

from collections.abc import Mapping
from typing import Any

import torch

from zoo.estimators import closed_kl
from zoo.lab.analysis.grid import information
from zoo.lab.analysis.posterior import posteriors
from zoo.lab.device import device_of
from zoo.lab.runs.finished import FinishedRun
from zoo.lab.trials.trial import Measure, Trial
from zoo.papers.natural_clustering.class_latents import Clustering, effect, measure, standard_normal


def class_latents(trained: FinishedRun) -> Clustering:
    """KL of each class's own latents and of the shared ones, on a run's test set."""
    return measure(trained.guide, trained.data.test, classes=trained.data.train.count_classes())


def latent_quantities(trained: FinishedRun) -> dict[str, float]:
    """The KL and effect of z_c and z_s on the test set, and the accuracy of y."""
    data, model, guide = trained.data.test, trained.model, trained.guide
    found = class_latents(trained)
    return {
        "accuracy": 100 * found.accuracy,
        "KL of z_s": found.shared.sum().item(),
        "KL of a unit of z_s": found.shared.max().item(),
        "KL of the least unit of z_s": found.shared.min().item(),
        "KL of z_cy": found.own.mean().item(),
        "KL of others": found.others.mean().item(),
        "effect of z_c": effect(model, guide, data, site="z_c"),
        "effect of z_s": effect(model, guide, data, site="z_s"),
        "reconstruction": trained.evaluate().reconstruction["x"],
    }


def trained_on(data: str, **hyperparameters: Any) -> Measure:
    """A trial of N-VAE on a data set."""

    def run(trial: Trial) -> Mapping[str, float]:
        short, full = (6_000, 10_000) if data == "yale-b" else (2_808, 9_360)
        steps = trial.steps(full=full, short=short)
        trained = trial.train(f"natural-clustering/{data}", steps=steps, precision="medium", **hyperparameters)
        return latent_quantities(trained)

    return run


SETS = ("MNIST", "Fashion-MNIST", "Yale B")


def with_decoder(data: str, depth: int, s_dim: int) -> str:
    """The variant of a data set with `depth` hidden layers in the decoder and `s_dim` shared units."""
    return f"{data}, depth = {depth}, s_dim = {s_dim}"


def beta_vae(trial: Trial) -> Mapping[str, float]:
    """beta-VAE with beta = 5 and two latent dimensions, as in Figure 3."""
    steps = trial.steps(full=9_360, short=2_808)
    trained = trial.train("beta-vae", data="mnist", steps=steps, batch_size=128, precision="medium", beta=5.0, z_dim=2)
    reconstruction = trained.evaluate().reconstruction["x"]
    return {"reconstruction": reconstruction, **latent_space(trained, "z")}


def two_shared(trial: Trial) -> Mapping[str, float]:
    """N-VAE with two shared units."""
    return {**trained_on("mnist", s_dim=2)(trial), **latent_space(trial.open(), "z_s")}


def latent_space(trained: FinishedRun, site: str) -> dict[str, float]:
    """A latent space of the test set: the share of the means' variance that is between classes, and the divergence of
    q(z) from the standard normal, the mean KL(q(z | x) || p(z)) less I(x; z).
    """
    data = trained.data.test
    batch = data.batch(torch.arange(len(data)), labels=True, device=device_of(trained.guide))
    assert batch.y is not None
    q = posteriors(trained.guide, batch.x)[site]
    z, kl = q.mean, closed_kl(q, standard_normal(q)).sum(-1).mean().item()
    member = torch.eye(int(batch.y.max()) + 1, dtype=z.dtype, device=z.device)[batch.y]
    centres = member.T @ z / member.sum(0)[:, None]
    between = (member.mean(0)[:, None] * (centres - z.mean(0)).square()).sum() / z.var(0, correction=0).sum()
    return {"between classes": between.item(), "KL(q(z) || p(z))": kl - information(q, draws=1)}
