"""The recipes: the only place outside notebooks and tests where a model meets a guide.

A recipe is a plain function from data and knobs to an experiment; a knob is a keyword with a default, and what the
paper leaves open is said beside it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from guides import Amortized, Concrete, MeanField
from zoo import VAE, JointVAE
from zoo.elbos import ELBO, BetaVAE, Capacity, TermwiseELBO
from zoo.lab.data import Dataset, Split
from zoo.lab.fit import adam, ramp
from zoo.lab.networks import ConvDecoder, ConvEncoder, MLPDecoder, MLPEncoder


@dataclass(frozen=True)
class Experiment:
    """What `train` runs: a pair, an objective, and how long.

    Attributes:
        model, guide, elbo: as `fit` takes them.
        steps, batch_size, lr, optimizer: as `fit` and the data take them.
        schedule: called after each step with the step and the objective; changes hyperparameters.
    """

    model: nn.Module
    guide: nn.Module
    elbo: TermwiseELBO
    steps: int
    batch_size: int = 64
    lr: float = 1e-3
    optimizer: Callable[..., torch.optim.Optimizer] = adam
    schedule: Callable[[int, TermwiseELBO], None] | None = None


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


def vae(data: Split, *, z_dim: int = 10, network: str = "mlp", steps: int = 6_000) -> Experiment:
    """The plain VAE under its evidence lower bound.

    Kingma & Welling 2014, arXiv:1312.6114, has one hidden layer of 500 tanh units, Adagrad and batches of 100; ours is
    a baseline with two of 400 ReLU units, Adam and batches of 64.

    Args:
        data: images.
        z_dim: units of the code.
        network: "mlp", or "conv" for 28, 32 or 64 pixels.
        steps: how long.
    """
    model, guide = vae_pair(data.train, z_dim, network)
    return Experiment(model, guide, ELBO(), steps=steps)


def beta_vae(
    data: Split, *, beta: float = 4.0, z_dim: int = 10, network: str = "mlp", steps: int = 6_000
) -> Experiment:
    """beta-VAE: the same pair with the KL of z weighed by beta.

    Higgins et al. 2017, https://openreview.net/forum?id=Sy2fzU9gl; beta = 4 is their value for 2D Shapes. Networks and
    optimiser as `vae`'s, so that the two differ in beta alone.

    Args:
        data: images.
        beta: weight of the KL.
        z_dim: units of the code.
        network: "mlp", or "conv" for 28, 32 or 64 pixels.
        steps: how long.
    """
    model, guide = vae_pair(data.train, z_dim, network)
    return Experiment(model, guide, BetaVAE(beta=beta), steps=steps)


def joint_vae(
    data: Split,
    *,
    z_dim: int = 10,
    classes: int = 10,
    temperature: float = 0.67,
    gamma_z: float = 30.0,
    gamma_c: float = 30.0,
    c_z: float = 5.0,
    c_c: float = 5.0,
    over: int = 25_000,
    network: str = "conv",
    lr: float = 5e-4,
    steps: int = 93_800,
) -> Experiment:
    """Joint-VAE: a style and a type, each held at a capacity that grows.

    Dupont 2018, arXiv:1804.00104, appendices B and C.1: the defaults are MNIST's, 100 epochs of 938 batches. The text
    leaves the temperature open; 0.67 is its code's. A capacity of c beyond log K counts as log K, as in the code; the
    text has no such ceiling, and pushes on every class's entropy without end. The code divides the loss by the number
    of pixels, which changes Adam's epsilon alone; ours does not. The text drops the encoder's last layer for 32 pixels,
    the code its second; ours follows the code.

    Args:
        data: images.
        z_dim: units of the style.
        classes: of the type.
        temperature: of the relaxed type, in prior and posterior.
        gamma_z, gamma_c: how firmly the capacities are held.
        c_z, c_c: the capacities in the end, nats.
        over: steps in which they grow from 0, in a line.
        network: "conv" for 28, 32 or 64 pixels, or "mlp".
        lr: learning rate of Adam.
        steps: how long.
    """
    trunk, decoder = networks(data.train, z_dim + classes, network)
    num_data = len(data.train)
    model = JointVAE(decoder, z_dim=z_dim, c_dims=[classes], temperature=temperature, num_data=num_data)
    guide = Amortized(trunk, z=MeanField(z_dim), c=Concrete(classes, temperature=temperature), num_data=num_data)
    elbo = Capacity(gamma={"z": gamma_z, "c": gamma_c}, capacity={"z": 0.0, "c": 0.0})

    def schedule(step: int, elbo: TermwiseELBO) -> None:
        elbo.capacity = {"z": ramp(step, 0.0, c_z, over=over), "c": ramp(step, 0.0, c_c, over=over)}

    return Experiment(model, guide, elbo, steps=steps, lr=lr, schedule=schedule)


def joint_vae_fashion(data: Split, *, steps: int = 93_800) -> Experiment:
    """Joint-VAE with the settings of appendix C.2, for Fashion-MNIST.

    Args:
        data: images.
        steps: how long.
    """
    return joint_vae(data, gamma_z=100.0, gamma_c=100.0, c_c=10.0, over=50_000, steps=steps)


def joint_vae_digits(data: Split, *, c_z: float = 4.0, steps: int = 6_000) -> Experiment:
    """Joint-VAE on scikit-learn's digits, in a minute: no paper's settings, but MNIST's cut to the set's size.

    Dense layers, since the images have 8 x 8 pixels, and capacities that grow over half the run.

    Args:
        data: images.
        c_z: the style's capacity in the end, nats.
        steps: how long.
    """
    return joint_vae(data, c_z=c_z, over=steps // 2, network="mlp", lr=1e-3, steps=steps)


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


RECIPES: dict[str, Recipe] = {
    "vae": Recipe(vae, data="digits", paper="Kingma & Welling 2014"),
    "beta-vae": Recipe(beta_vae, data="digits", paper="Higgins et al. 2017"),
    "joint-vae/digits": Recipe(joint_vae_digits, data="digits", paper="after Dupont 2018"),
    "joint-vae/mnist": Recipe(joint_vae, data="mnist", paper="Dupont 2018, C.1", data_options={"size": 32}),
    "joint-vae/fashion-mnist": Recipe(
        joint_vae_fashion, data="fashion-mnist", paper="Dupont 2018, C.2", data_options={"size": 32}
    ),
}

DEFAULT = "vae"
