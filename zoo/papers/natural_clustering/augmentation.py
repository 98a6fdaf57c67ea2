"""Classifiers trained on data augmented with generated samples (Antorán & Miguel 2019, section IV-C)."""

from collections.abc import Callable, Mapping
from functools import partial

import pyro
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo import ConditionalVAE, NaturalClustering
from zoo.lab.analysis.posterior import decode
from zoo.lab.data import Dataset, load
from zoo.lab.device import fork_random_state
from zoo.lab.training.precision import reduced_matmul_precision
from zoo.lab.trials.trial import Trial
from zoo.papers.natural_clustering.gans import Generator, train_gan

Generate = Callable[[Tensor], Tensor]  # labels [B] to images [B, ...]


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


def classification_error(
    data: Dataset,
    test: Dataset,
    *,
    classes: int,
    generate: Generate | None = None,
    share: float = 0.0,
    epochs: int = 10,
    hidden: int = 256,
    batch_size: int = 500,
    lr: float = 1e-3,
    seed: int = 0,
    device: str | torch.device = "cpu",
) -> float:
    """The error, in per cent of `test`, of a classifier trained on `data` with a share of it replaced.

    Each time a datapoint is used it is, with probability `share`, replaced by a generated one of its class; the paper
    does not say whether this is done each time or once. The classifier is a dense layer of ReLU units, trained with
    Adam; the paper does not state its classifier. Draws use torch's generator, whose state is left as it was.

    Args:
        data, test: labelled.
        classes: L.
        generate: function from labels to images; may be left out where `share` is 0.
        share: the probability.
        epochs, hidden, batch_size, lr: of the classifier.
        seed: of weights, order and draws.
        device: where to train.

    Raises:
        ValueError: there are no labels, the share is not in [0, 1], or `generate` is missing.
    """
    if data.y is None or test.y is None:
        raise ValueError(f"data {data.name!r} has no labels, so there is nothing to classify")
    if not 0 <= share <= 1 or (share > 0 and generate is None):
        raise ValueError(f"share must be in [0, 1], and generate= must be given unless it is 0; got {share:g}")
    here = torch.device(device)
    with fork_random_state(here):
        torch.manual_seed(seed)
        pixels = data.batch(torch.arange(1)).x.numel()
        net = nn.Sequential(nn.Flatten(), nn.Linear(pixels, hidden), nn.ReLU(), nn.Linear(hidden, classes)).to(here)
        optimizer = torch.optim.Adam(net.parameters(), lr=lr, fused=True)
        steps = epochs * (len(data) // batch_size)
        for batch in data.batches(batch_size, seed=seed, steps=steps, labels=True, device=here):
            assert batch.y is not None
            x = batch.x
            if generate is not None and share > 0:
                replaced = torch.rand(len(x), device=here) < share
                x[replaced] = generate(batch.y[replaced]).to(x.dtype)
            loss = F.cross_entropy(net(x), batch.y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    wrong = 0
    with torch.no_grad():
        for batch in test.in_order(2000, labels=True, device=here):
            assert batch.y is not None
            wrong += int((net(batch.x).argmax(-1) != batch.y).sum())
    return 100 * wrong / len(test)


SIGMAS = (1.0, 1.5, 2.0)
SHARES = (0.4, 1.0)
MODELS = ("N-VAE", "CVAE", "CGAN", "AC-GAN")
PANELS = [(data, share) for share in SHARES for data in ("mnist", "fashion-mnist")]


def augmented(model: str | None, data: str) -> Callable[[Trial], Mapping[str, float]]:
    """Trains a generator on a data set, and a classifier per share and sigma; without a model only the baseline."""

    def run(trial: Trial) -> Mapping[str, float]:
        with reduced_matmul_precision():
            split = load(data, folder=trial.data_dir, download=trial.download)
            error = partial(
                classification_error,
                split.train,
                split.test,
                classes=10,
                epochs=trial.steps(full=10, short=3),
                seed=trial.seed,
                device=trial.device or "cpu",
            )
            if model is None:
                return {"no samples": error()}
            made = generator(model, data, trial, split.train)
            return {
                error_at(share, sigma): error(generate=generate(made, sigma=sigma), share=share)
                for share in SHARES
                for sigma in SIGMAS
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
