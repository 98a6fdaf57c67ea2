"""The papers' networks. Encoders are trunks (data to features), decoders map latents to a likelihood's parameters.

An encoder says how many features it gives (`out_features`) and refuses data of another shape by name. A decoder takes
any number of latents [..., size], concatenates them, and keeps every leading dimension: particles, samples, classes.
"""

import itertools
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

Shape = tuple[int, ...]


class MLPEncoder(nn.Module):
    """Fully connected layers on the flattened datapoint: [B, *shape] to [B, hidden[-1]].

    2D Shapes (Higgins 2017): hidden=(1200, 1200).
    """

    def __init__(self, shape: Shape, *, hidden: Sequence[int], activation: type[nn.Module] = nn.ReLU) -> None:
        super().__init__()
        self.shape = tuple(shape)
        self.out_features = hidden[-1]
        self.layers = _dense([math.prod(shape), *hidden], activation)

    def forward(self, x: Tensor) -> Tensor:
        """Data [B, *shape] to features [B, out_features]."""
        features: Tensor = self.layers(_expect(x, self.shape).flatten(1))
        return features


class MLPDecoder(nn.Module):
    """Fully connected layers, linear at the end: latents [..., in_features] to [..., *shape].

    2D Shapes (Higgins 2017): hidden=(1200, 1200, 1200), activation=nn.Tanh.
    """

    def __init__(
        self, in_features: int, shape: Shape, *, hidden: Sequence[int], activation: type[nn.Module] = nn.ReLU
    ) -> None:
        super().__init__()
        self.shape = tuple(shape)
        self.layers = nn.Sequential(
            _dense([in_features, *hidden], activation),
            nn.Linear([in_features, *hidden][-1], math.prod(shape)),
        )

    def forward(self, *latents: Tensor) -> Tensor:
        """Latents, each [..., size], to [..., *shape]."""
        out: Tensor = self.layers(_side_by_side(latents))
        return out.unflatten(-1, self.shape)


class UnitLength(nn.Module):
    """Counts x to the same length for all, sqrt V: which words there are, and not how many.

    Entries are then about 1 in the mean square, as those of standardised data.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Counts [..., V] to vectors [..., V]."""
        return math.sqrt(x.shape[-1]) * normalize(x, dim=-1)


# Channels of the maps between 4 x 4 convolutions of stride 2, by pixels; the decoders do not mirror the encoders.
ENCODER_CHANNELS = {28: (64, 128), 32: (32, 64, 64), 64: (32, 32, 64, 64)}
DECODER_CHANNELS = {28: (128, 64), 32: (64, 32, 32), 64: (64, 64, 32, 32)}


class ConvEncoder(nn.Module):
    """4 x 4 convolutions of stride 2, then one dense layer, ReLU after each: [B, C, S, S] to [B, hidden].

    64 pixels: 32, 32, 64, 64 channels (Joint-VAE, appendix B; Higgins 2017 the same). 32 pixels: 32, 64, 64, as in
    Joint-VAE's code, which drops the second layer where its text drops the last. 28 pixels: 64, 128 (take
    hidden=1024), since three halvings do not fit.
    """

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

    def __init__(
        self, in_features: int, shape: Shape, *, channels: Sequence[int] | None = None, hidden: int = 256
    ) -> None:
        super().__init__()
        widths = [*(channels or _channels(DECODER_CHANNELS, shape)), shape[0]]
        side = _smallest_side(shape, len(widths) - 1)
        self.dense = nn.Sequential(
            nn.Linear(in_features, hidden), nn.ReLU(), nn.Linear(hidden, widths[0] * side * side), nn.ReLU()
        )
        convolutions: list[nn.Module] = []
        for before, after in itertools.pairwise(widths):
            convolutions += [nn.ConvTranspose2d(before, after, kernel_size=4, stride=2, padding=1), nn.ReLU()]
        self.convolutions = nn.Sequential(nn.Unflatten(1, (widths[0], side, side)), *convolutions[:-1])

    def forward(self, *latents: Tensor) -> Tensor:
        """Latents, each [..., size], to [..., C, S, S]."""
        dense: Tensor = self.dense(_side_by_side(latents))
        images: Tensor = self.convolutions(dense.flatten(0, -2))
        return images.unflatten(0, dense.shape[:-1])


class NormedConvEncoder(nn.Module):
    """4 x 4 convolutions of stride 2 without biases, leaky ReLU (0.2), batch norm from the second on; then flattened.

    32, 64, 128 channels for 32 pixels: Mathieu 2019's for Fashion-MNIST. Their last layer, 4 x 4 on a 4 x 4 map, is a
    dense one: the head's. Convolutions start at Normal(0, 0.02).
    """

    def __init__(self, shape: Shape, *, channels: Sequence[int] = (32, 64, 128)) -> None:
        super().__init__()
        side = _smallest_side(shape, len(channels))
        layers: list[nn.Module] = []
        for before, after in itertools.pairwise([shape[0], *channels]):
            layers.append(nn.Conv2d(before, after, kernel_size=4, stride=2, padding=1, bias=False))
            layers += [nn.BatchNorm2d(after)] * (len(layers) > 1) + [nn.LeakyReLU(0.2)]
        self.shape = tuple(shape)
        self.out_features = channels[-1] * side * side
        self.layers = nn.Sequential(*layers, nn.Flatten())
        _start_small(self)

    def forward(self, x: Tensor) -> Tensor:
        """Images [B, C, S, S] to features [B, out_features]."""
        features: Tensor = self.layers(_expect(x, self.shape))
        return features


class NormedConvDecoder(nn.Module):
    """4 x 4 transposed convolutions without biases, batch norm and ReLU between them, linear at the end.

    The first makes a 4 x 4 map of the latents, the others double it: 128, 64, 32 channels to 32 pixels (Mathieu 2019,
    Fashion-MNIST). Convolutions start at Normal(0, 0.02).
    """

    def __init__(self, in_features: int, shape: Shape, *, channels: Sequence[int] = (128, 64, 32)) -> None:
        super().__init__()
        if _smallest_side(shape, len(channels)) != 4:
            raise ValueError(
                f"{len(channels)} doublings of a 4 x 4 map give {4 * 2 ** len(channels)} pixels, got {list(shape)}"
            )
        layers: list[nn.Module] = [nn.Unflatten(1, (in_features, 1, 1))]
        for before, after in itertools.pairwise([in_features, *channels, shape[0]]):
            first = len(layers) == 1
            layers += [
                nn.ConvTranspose2d(before, after, 4, stride=1 if first else 2, padding=0 if first else 1, bias=False),
                nn.BatchNorm2d(after),
                nn.ReLU(),
            ]
        self.layers = nn.Sequential(*layers[:-2])
        _start_small(self)

    def forward(self, *latents: Tensor) -> Tensor:
        """Latents, each [..., size], to [..., C, S, S]."""
        z = torch.cat(latents, dim=-1)
        images: Tensor = self.layers(z.flatten(0, -2))
        return images.unflatten(0, z.shape[:-1])


class TopicDecoder(nn.Module):
    """ProdLDA's: dropout, then a row of word weights per topic, without biases, then batch norm.

    Weights begin as Glorot's uniform ones (Xavier). The batch norm learns each word's centre, which is how frequent it
    is whatever the topic; see `batch_norm`.
    """

    def __init__(self, topics: int, vocabulary: int, *, dropout: float = 0.6, scale: bool = False) -> None:
        super().__init__()
        if topics < 1 or vocabulary < 1:
            raise ValueError(
                f"a decoder of topics needs at least one of them and a word, got {topics} and {vocabulary}"
            )
        self.dropout = nn.Dropout(dropout)
        self.words = nn.Linear(topics, vocabulary, bias=False)
        self.norm = batch_norm(vocabulary, scale=scale)
        nn.init.xavier_uniform_(self.words.weight)

    def forward(self, theta: Tensor) -> Tensor:
        """Shares of topics [..., K] to logits [..., V]."""
        weights: Tensor = self.words(self.dropout(theta))
        logits: Tensor = self.norm(weights.flatten(0, -2))
        return logits.unflatten(0, weights.shape[:-1])


class Discriminator(nn.Module):
    """FactorVAE's: fully connected layers with leaky ReLU (slope 0.2) to one logit, [B, in_features] to [B].

    Six layers of 1,000 (Kim & Mnih 2018, appendix A; their two logits are one logit's difference).
    """

    def __init__(self, in_features: int, *, hidden: Sequence[int] = (1000,) * 6) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, after in itertools.pairwise([in_features, *hidden]):
            layers += [nn.Linear(before, after), nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*layers, nn.Linear([in_features, *hidden][-1], 1), nn.Flatten(-2))

    def forward(self, z: Tensor) -> Tensor:
        """Values [..., in_features] to logits [...]."""
        logits: Tensor = self.layers(z)
        return logits


def batch_norm(units: int, *, scale: bool = False) -> nn.BatchNorm1d:
    """Batch norm (Ioffe & Szegedy 2015, arXiv:1502.03167) with a learnt centre; its scale stays 1 unless asked for.

    That is what tf.contrib.layers.batch_norm is unless told otherwise, and so what ProdLDA's code has; Pyro's tutorial
    learns neither. Momentum and epsilon are PyTorch's.
    """
    norm = nn.BatchNorm1d(units)
    norm.weight.requires_grad_(scale)
    return norm


def normed(widths: Sequence[int], *, scale: bool = False) -> nn.Sequential:
    """Linear layers of these widths with ReLU between them, and `batch_norm` behind the last."""
    return nn.Sequential(
        _dense(widths[:-1], nn.ReLU), nn.Linear(widths[-2], widths[-1]), batch_norm(widths[-1], scale=scale)
    )


def _dense(widths: Sequence[int], activation: type[nn.Module]) -> nn.Sequential:
    """Linear layers of these widths, each with its activation."""
    layers: list[nn.Module] = []
    for before, after in itertools.pairwise(widths):
        layers += [nn.Linear(before, after), activation()]
    return nn.Sequential(*layers)


def _start_small(network: nn.Module) -> None:
    """Radford 2016's start for batch-normed convolutions, arXiv:1511.06434: weights from Normal(0, 0.02)."""
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
            nn.init.normal_(module.weight, std=0.02)


def _side_by_side(latents: tuple[Tensor, ...]) -> Tensor:
    """Latents, each [..., size], as one [..., sum of sizes]; leading dimensions are broadcast, as for a type that is
    summed out.
    """
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
    """The side of the smallest map, once `halvings` strides of 2 have been taken."""
    if len(shape) != 3 or shape[1] != shape[2] or shape[1] % 2**halvings:
        raise ValueError(
            f"{halvings} convolutions of stride 2 need images [C, S, S] with S a multiple of {2**halvings}, "
            f"got {list(shape)}: resize the images or give fewer channels"
        )
    return shape[1] // 2**halvings


def _expect(x: Tensor, shape: Shape) -> Tensor:
    """x, if it is [B, *shape] and of floats."""
    if tuple(x.shape[1:]) != shape or not x.is_floating_point():
        raise ValueError(
            f"site 'x': the encoder takes floats of shape (B, {', '.join(map(str, shape))}), "
            f"got {x.dtype} of shape {tuple(x.shape)}; reshape or convert the data, or build the encoder for it"
        )
    return x
