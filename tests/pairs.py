"""Small pairs that the tests share."""

from typing import Any

import torch
from torch import Tensor, nn

from guides import Amortized, Head, MeanField
from zoo import VAE

SHAPE = (1, 3, 5)  # sizes that no mix-up of axes survives
Z_DIM = 2
NUM_DATA = 70


def vae_pair(*, head: Head | None = None, z_dim: int = Z_DIM, **options: Any) -> tuple[VAE, Amortized]:
    """A VAE on 3 x 5 pixels, and its guide."""
    pixels = SHAPE[1] * SHAPE[2]
    decoder = nn.Sequential(nn.Linear(z_dim, 7), nn.Tanh(), nn.Linear(7, pixels), nn.Unflatten(-1, SHAPE))
    trunk = nn.Sequential(nn.Flatten(), nn.Linear(pixels, 7), nn.Tanh())
    return (
        VAE(decoder, z_dim=z_dim, num_data=NUM_DATA, **options),
        Amortized(trunk, num_data=NUM_DATA, z=head or MeanField(z_dim)),
    )


def images(num: int = 11) -> Tensor:
    """Grey images in [0, 1] with structure to learn."""
    return torch.rand(num, 1).repeat(1, 15).unflatten(1, SHAPE) * torch.rand(SHAPE)
