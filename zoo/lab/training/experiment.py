"""What a recipe makes, and the pairs and networks that several recipes share."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from guides import Amortized, MeanField
from zoo import VAE
from zoo.elbos import TermwiseELBO
from zoo.lab.data import Batch, Dataset
from zoo.lab.networks import ConvDecoder, ConvEncoder, MLPDecoder, MLPEncoder
from zoo.lab.training.fit import adam


@dataclass(frozen=True)
class Experiment:
    """What `train` runs: a pair, an objective, and how long.

    Attributes:
        model, guide, elbo: as `fit` takes them.
        steps, batch_size, lr, optimizer: as `fit` and the data take them.
        schedule: called after each step with the step and the objective; changes hyperparameters.
        labels: whether the pair is handed labels, in training and on the test set.
        batches: what is trained on, called as the default is; `labels` is among its arguments.
        pictures: what draws this pair, from model, guide, data, evaluation and folder, where the usual ones do not fit;
            it may give what each file shows, for the summary.
    """

    model: nn.Module
    guide: nn.Module
    elbo: TermwiseELBO
    steps: int
    batch_size: int = 64
    lr: float = 1e-3
    optimizer: Callable[..., torch.optim.Optimizer] = adam
    schedule: Callable[[int, TermwiseELBO], None] | None = None
    labels: bool = False
    batches: Callable[..., Iterator[Batch]] = Dataset.batches
    pictures: Callable[..., Mapping[str, str] | None] | None = None


@dataclass(frozen=True)
class Recipe:
    """A recipe under its name.

    Attributes:
        build: the function.
        data: the data set it takes unless told otherwise.
        paper: where it comes from.
        data_options: what the data set's function is told, beside where its files are.
    """

    build: Callable[..., Experiment]
    data: str
    paper: str
    data_options: Mapping[str, Any] = field(default_factory=dict)


def vae_pair(data: Dataset, z_dim: int, network: str, *, width: int = 400) -> tuple[VAE, Amortized]:
    """The plain VAE and its mean-field guide; `width` is that of the two hidden layers of an "mlp"."""
    trunk, decoder = networks(data, z_dim, network, width=width)
    num_data = len(data)
    return VAE(decoder, z_dim=z_dim, num_data=num_data), Amortized(trunk, z=MeanField(z_dim), num_data=num_data)


def networks(data: Dataset, latents: int, network: str, *, width: int = 400) -> tuple[nn.Module, nn.Module]:
    """An encoder for the data and a decoder of `latents` units: "mlp" with two hidden layers of `width`, or "conv"."""
    shape = data.shape
    if network == "mlp":
        return MLPEncoder(shape, hidden=(width, width)), MLPDecoder(latents, shape, hidden=(width, width))
    if network == "conv":
        hidden = 1024 if shape[-1] == 28 else 256
        return ConvEncoder(shape, hidden=hidden), ConvDecoder(latents, shape, hidden=hidden)
    raise ValueError(f"network must be 'mlp' or 'conv', got {network!r}")
