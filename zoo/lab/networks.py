"""The papers' networks. Encoders are trunks (data to features), decoders map latents to a likelihood's parameters.

An encoder has the attribute `out_features`, the number of its features, and refuses data of another shape. A decoder
takes any number of latents [..., size], concatenates them, and keeps all leading dimensions: particles, samples,
classes.
"""

import itertools
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from zoo.arguments import COUNTS, SOME_COUNTS, between, checked, number_from, shown
from zoo.program import Misfit

Shape = tuple[int, ...]


class MLPEncoder(nn.Module):
    """Fully connected layers on the flattened datapoint: [B, *shape] to [B, hidden[-1]].

    2D Shapes (Higgins 2017): hidden=(1200, 1200). With batch_norm each activation's input is normalised over the batch.
    """

    @checked(shape=SOME_COUNTS, hidden=SOME_COUNTS)
    def __init__(
        self, shape: Shape, *, hidden: Sequence[int], activation: type[nn.Module] = nn.ReLU, batch_norm: bool = False
    ) -> None:
        super().__init__()
        self.shape = tuple(shape)
        self.out_features = hidden[-1]
        self.layers = _dense([math.prod(shape), *hidden], activation, batch_norm=batch_norm)

    def forward(self, x: Tensor) -> Tensor:
        """Data [B, *shape] to features [B, out_features]."""
        features: Tensor = self.layers(_expect(x, self.shape).flatten(1))
        return features


class MLPDecoder(nn.Module):
    """Fully connected layers, linear at the end: latents [..., in_features] to [..., *shape].

    2D Shapes (Higgins 2017): hidden=(1200, 1200, 1200), activation=nn.Tanh.
    """

    @checked(in_features=number_from(1), shape=SOME_COUNTS, hidden=COUNTS)
    def __init__(
        self, in_features: int, shape: Shape, *, hidden: Sequence[int], activation: type[nn.Module] = nn.ReLU
    ) -> None:
        super().__init__()
        self.shape, self.in_features = tuple(shape), in_features
        self.layers = nn.Sequential(
            _dense([in_features, *hidden], activation),
            nn.Linear([in_features, *hidden][-1], math.prod(shape)),
        )

    def forward(self, *latents: Tensor) -> Tensor:
        """Latents, each [..., size], to [..., *shape]."""
        out: Tensor = self.layers(_side_by_side(latents, self.in_features))
        return out.unflatten(-1, self.shape)


# Channels between 4 x 4 convolutions of stride 2, by image size; the decoders are not mirror images of the encoders.
ENCODER_CHANNELS = {28: (64, 128), 32: (32, 64, 64), 64: (32, 32, 64, 64)}
DECODER_CHANNELS = {28: (128, 64), 32: (64, 32, 32), 64: (64, 64, 32, 32)}


class ConvEncoder(nn.Module):
    """4 x 4 convolutions of stride 2, then one dense layer, ReLU after each: [B, C, S, S] to [B, hidden].

    64 pixels: 32, 32, 64, 64 channels (Joint-VAE, appendix B, and Higgins 2017). 32 pixels: 32, 64, 64, as in
    Joint-VAE's code, which leaves out the second layer; the paper's text leaves out the last one. 28 pixels: 64, 128
    (use hidden=1024), since 28 cannot be halved three times.
    """

    @checked(shape=SOME_COUNTS, channels=SOME_COUNTS, hidden=number_from(1))
    def __init__(self, shape: Shape, *, channels: Sequence[int] | None = None, hidden: int = 256) -> None:
        super().__init__()
        widths = [shape[0], *(channels or _channels(ENCODER_CHANNELS, shape))]
        side = _smallest_side(shape, len(widths) - 1)
        convolutions: list[nn.Module] = []
        for before, after in itertools.pairwise(widths):
            convolutions += [nn.Conv2d(before, after, kernel_size=4, stride=2, padding=1), nn.ReLU()]
        self.shape = tuple(shape)
        self.out_features = hidden
        self.layers = nn.Sequential(*convolutions, nn.Flatten(), nn.Linear(widths[-1] * side * side, hidden), nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        """Images [B, C, S, S] to features [B, out_features]."""
        features: Tensor = self.layers(_expect(x, self.shape))
        return features


class ConvDecoder(nn.Module):
    """Two dense layers, then 4 x 4 transposed convolutions of stride 2, linear at the end.

    64 pixels: maps of 64, 64, 32, 32 channels; 32 pixels: 64, 32, 32; 28 pixels: 128, 64 (Joint-VAE, appendix B).
    """

    @checked(in_features=number_from(1), shape=SOME_COUNTS, channels=SOME_COUNTS, hidden=number_from(1))
    def __init__(
        self, in_features: int, shape: Shape, *, channels: Sequence[int] | None = None, hidden: int = 256
    ) -> None:
        super().__init__()
        widths = [*(channels or _channels(DECODER_CHANNELS, shape)), shape[0]]
        side = _smallest_side(shape, len(widths) - 1)
        self.in_features = in_features
        self.dense = nn.Sequential(
            nn.Linear(in_features, hidden), nn.ReLU(), nn.Linear(hidden, widths[0] * side * side), nn.ReLU()
        )
        convolutions: list[nn.Module] = []
        for before, after in itertools.pairwise(widths):
            convolutions += [nn.ConvTranspose2d(before, after, kernel_size=4, stride=2, padding=1), nn.ReLU()]
        self.convolutions = nn.Sequential(nn.Unflatten(1, (widths[0], side, side)), *convolutions[:-1])

    def forward(self, *latents: Tensor) -> Tensor:
        """Latents, each [..., size], to [..., C, S, S]."""
        dense: Tensor = self.dense(_side_by_side(latents, self.in_features))
        images: Tensor = self.convolutions(dense.reshape(-1, dense.shape[-1]))
        return images.reshape(*dense.shape[:-1], *images.shape[1:])


class Discriminator(nn.Module):
    """FactorVAE's discriminator: fully connected layers, leaky ReLU (slope 0.2), one logit: [B, in_features] to [B].

    Six layers of 1,000 (Kim & Mnih 2018, appendix A; their two logits are equivalent to one, the difference).
    """

    @checked(in_features=number_from(1), hidden=COUNTS)
    def __init__(self, in_features: int, *, hidden: Sequence[int] = (1000,) * 6) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, after in itertools.pairwise([in_features, *hidden]):
            layers += [nn.Linear(before, after), nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*layers, nn.Linear([in_features, *hidden][-1], 1))

    def forward(self, z: Tensor) -> Tensor:
        """Values [..., in_features] to logits [...]."""
        logits: Tensor = self.layers(z)
        return logits.squeeze(-1)


def _dense(widths: Sequence[int], activation: type[nn.Module], *, batch_norm: bool = False) -> nn.Sequential:
    """Linear layers of these widths, each with its activation, and a batch norm in between where it is asked for."""
    try:
        activation()
    except TypeError:
        raise TypeError(
            "activation must be a class of layers that is made without arguments, such as nn.ReLU, "
            f"got {shown(activation)}"
        ) from None
    layers: list[nn.Module] = []
    for before, after in itertools.pairwise(widths):
        layers += [nn.Linear(before, after), *([nn.BatchNorm1d(after)] if batch_norm else []), activation()]
    return nn.Sequential(*layers)


def _side_by_side(latents: tuple[Tensor, ...], in_features: int) -> Tensor:
    """Concatenates latents [..., size] to [..., in_features], after broadcasting their leading dimensions."""
    sizes = [latent.shape[-1] for latent in latents]
    if sum(sizes) != in_features:
        raise Misfit(
            f"the decoder takes {in_features} latents, got {' + '.join(map(str, sizes))}; build it for as many as the "
            "story has, or give latents of its sizes"
        )
    if all(latent.shape[:-1] == latents[0].shape[:-1] for latent in latents):
        return torch.cat(latents, dim=-1)
    leading = torch.broadcast_shapes(*(latent.shape[:-1] for latent in latents))
    return torch.cat([latent.expand(*leading, latent.shape[-1]) for latent in latents], dim=-1)


def _channels(plan: dict[int, tuple[int, ...]], shape: Shape) -> tuple[int, ...]:
    if shape[-1] not in plan:
        raise ValueError(
            f"no paper has a convolutional network for {shape[-1]} pixels: give channels=, or resize to 28, 32 or "
            "64, as with size=64"
        )
    return plan[shape[-1]]


def _smallest_side(shape: Shape, halvings: int) -> int:
    """The side of the smallest map, after `halvings` strides of 2."""
    if len(shape) != 3 or shape[1] != shape[2] or shape[1] % 2**halvings:
        raise ValueError(
            f"{halvings} convolutions of stride 2 need images [C, S, S] with S a multiple of {2**halvings}, "
            f"got {list(shape)}: resize the images or give fewer channels"
        )
    return shape[1] // 2**halvings


def _expect(x: Tensor, shape: Shape) -> Tensor:
    """Returns x after checking that it holds floats [B, *shape]."""
    if tuple(x.shape[1:]) != shape or not x.is_floating_point():
        raise Misfit(
            f"site 'x': the encoder takes floats of shape (B, {', '.join(map(str, shape))}), "
            f"got {x.dtype} of shape {tuple(x.shape)}; reshape or convert the data, or build the encoder for it"
        )
    return x


def check_width(network: str, width: int, usual: int) -> None:
    """Refuses a width for a network that has none, where it would have no effect.

    Raises:
        ValueError: the network is not "mlp", and the width not the usual one.
    """
    if network != "mlp" and width != usual:
        raise ValueError(f"only an 'mlp' has a width that can be chosen, got width {width} for {network!r}")


@checked(shape=SOME_COUNTS, latents=number_from(1), width=number_from(1), depth=between(0, 100))
def networks(
    shape: Shape, latents: int, network: str, *, width: int = 400, depth: int | None = None
) -> tuple[nn.Module, nn.Module]:
    """An encoder and a decoder of `latents` latent dimensions: "mlp" or "conv".

    An "mlp" has two hidden layers of `width` units in its encoder, and `depth` of them in its decoder (two when not
    given; at depth 0 the decoder is linear).

    Raises:
        ValueError: there is no such network, or a depth is given for "conv".
    """
    if network == "mlp":
        layers = (width,) * (2 if depth is None else depth)
        return MLPEncoder(shape, hidden=(width, width)), MLPDecoder(latents, shape, hidden=layers)
    if network == "conv":
        if depth is not None:
            raise ValueError(f"only an 'mlp' has a depth that can be chosen, got depth {depth} for 'conv'")
        hidden = 1024 if shape[-1] == 28 else 256
        return ConvEncoder(shape, hidden=hidden), ConvDecoder(latents, shape, hidden=hidden)
    raise ValueError(f"network must be 'mlp' or 'conv', got {network!r}")
