"""The paper's convolutional networks with batch normalisation."""

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from zoo.lab.networks import Shape, _expect, _smallest_side


class NormedConvEncoder(nn.Module):
    """4 x 4 convolutions of stride 2 without biases, leaky ReLU (0.2), batch norm from the second on; then flattened.

    32, 64, 128 channels for 32 pixels: Mathieu 2019's for Fashion-MNIST. Their last layer, 4 x 4 on a 4 x 4 map, is a
    dense layer, which is in the head. Convolutions are initialised from Normal(0, 0.02).
    """

    def __init__(self, shape: Shape, *, channels: Sequence[int] = (32, 64, 128)) -> None:
        super().__init__()
        side = _smallest_side(shape, len(channels))
        layers: list[nn.Module] = []
        for before, after in itertools.pairwise([shape[0], *channels]):
            layers.append(nn.Conv2d(before, after, kernel_size=4, stride=2, padding=1, bias=False))
            if len(layers) > 1:
                layers.append(nn.BatchNorm2d(after))
            layers.append(nn.LeakyReLU(0.2))
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

    The first turns the latents into a 4 x 4 map, the others double its side: 128, 64, 32 channels for 32 pixels
    (Mathieu 2019, Fashion-MNIST). Convolutions are initialised from Normal(0, 0.02).
    """

    def __init__(self, in_features: int, shape: Shape, *, channels: Sequence[int] = (128, 64, 32)) -> None:
        super().__init__()
        if _smallest_side(shape, len(channels)) != 4:
            raise ValueError(
                f"{len(channels)} doublings of a 4 x 4 map make {4 * 2 ** len(channels)} pixels, got {list(shape)}"
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


def _start_small(network: nn.Module) -> None:
    """Radford 2016's initialisation for batch-normed convolutions, arXiv:1511.06434: weights from Normal(0, 0.02)."""
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
            nn.init.normal_(module.weight, std=0.02)
