"""Classifiers trained on data augmented with generated samples (Antorán & Miguel 2019, section IV-C)."""

from collections.abc import Mapping, Sequence
from functools import partial

import pyro
import torch
from torch import Tensor, nn

from zoo import ConditionalVAE, NaturalClustering
from zoo.lab.analysis.posterior import decode
from zoo.lab.data import Dataset, load
from zoo.lab.training.precision import reduced_matmul_precision
from zoo.lab.trials.trial import Measure, Trial
from zoo.papers.natural_clustering.classifiers import Generate, classification_error
from zoo.papers.natural_clustering.gans import Generator, train_gan


def generate(model: nn.Module, *, sigma: float) -> Generate:
    """A function from labels [B] to images, means of p(x | y, z), for z ~ Normal(0, sigma I), sigma a standard
    deviation.

    Raises:
        TypeError: the model does not generate by class.
    """
    if isinstance(model, NaturalClustering):
        sizes = {"z_c": model.classes * model.c_dim, "z_s": model.s_dim}
    elif isinstance(model, ConditionalVAE):
        sizes = {"z": len(model.loc)}
    elif isinstance(model, Generator):
        sizes = {"z": model.z_dim}
    else:
        raise TypeError(
            f"{type(model).__name__} does not generate by class: a NaturalClustering, ConditionalVAE or GAN"
        )

    def images(y: Tensor) -> Tensor:
        latents = {name: sigma * torch.randn(len(y), size, device=y.device) for name, size in sizes.items()}
        with torch.no_grad():
            if isinstance(model, Generator):
                made: Tensor = model(latents["z"], y)
                return made
            return decode(model, {"y": torch.eye(int(model.classes), device=y.device)[y], **latents})

    return images


SIGMAS = (1.0, 1.5, 2.0)
SHARES = (0.4, 1.0)
MODELS = ("N-VAE", "CVAE", "CGAN", "AC-GAN")
PANELS = [(data, share) for share in SHARES for data in ("mnist", "fashion-mnist")]


def augmented(
    model: str,
    data: str,
    *,
    network: str = "mlp",
    shares: Sequence[float] = SHARES,
    sigmas: Sequence[float] = SIGMAS,
) -> Measure:
    """Trains a generator on a data set, and a classifier per share and sigma; "baseline" has no generator."""

    def run(trial: Trial) -> Mapping[str, float]:
        with reduced_matmul_precision():
            split = load(data, folder=trial.data_dir, download=trial.download)
            error = partial(
                classification_error,
                split.train,
                split.test,
                classes=10,
                network=network,
                epochs=trial.steps(full=10, short=3),
                seed=trial.seed,
                device=trial.device or "cpu",
            )
            if model == "baseline":
                return {"no samples": error()}
            made = generator(model, data, trial, split.train)
            return {
                error_at(share, sigma): error(generate=generate(made, sigma=sigma), share=share)
                for share in shares
                for sigma in sigmas
            }

    return run


def generator(model: str, data: str, trial: Trial, train: Dataset) -> nn.Module:
    """A trained generator by class."""
    steps = trial.steps(full=9_360, short=1_872)
    if model == "N-VAE":
        return trial.train(f"natural-clustering/{data}", steps=steps, precision="medium").model
    if model == "CVAE":
        return trial.train("conditional-vae", data=data, steps=steps, precision="medium", z_dim=5).model
    device = trial.device or "cpu"
    pyro.set_rng_seed(trial.seed)
    batches = train.batches(128, seed=trial.seed, steps=steps, labels=True, device=device)
    return train_gan(batches, auxiliary=model == "AC-GAN", classes=10, shape=train.shape, device=device)


def key(data: str, model: str) -> str:
    """The variant of a model on a data set."""
    return f"{model}, {data}"


def error_at(share: float, sigma: float) -> str:
    """The quantity: the error where a share of the datapoints is replaced by samples at sigma."""
    return f"p = {share:g}, sigma = {sigma:g}"
