"""The decomposition paper's networks: sizes, initial weights, and that layers are what they stand for."""

import math

import pytest
import torch
from torch import nn

from zoo.papers.decomposition.networks import NormedConvDecoder, NormedConvEncoder


def num_parameters(module):
    return sum(p.numel() for p in module.parameters())


def test_the_batch_normed_networks_sizes():
    encoder, decoder = NormedConvEncoder((1, 32, 32)), NormedConvDecoder(50, (1, 32, 32))
    assert num_parameters(encoder) == 16 * (32 + 32 * 64 + 64 * 128) + 2 * (64 + 128)
    assert encoder.out_features == 128 * 4 * 4
    assert num_parameters(decoder) == 16 * (50 * 128 + 128 * 64 + 64 * 32 + 32) + 2 * (128 + 64 + 32)
    kinds = [type(layer).__name__ for layer in encoder.layers]
    assert kinds == ["Conv2d", "LeakyReLU", *["Conv2d", "BatchNorm2d", "LeakyReLU"] * 2, "Flatten"]
    weight = decoder.layers[1].weight
    assert weight.std().item() == pytest.approx(0.02, rel=5 / math.sqrt(2 * weight.numel()))
    decoder.double().eval()
    z = torch.randn(2, 3, 50)
    torch.testing.assert_close(decoder(z)[1, 2], decoder(z[1, 2][None])[0])
    with pytest.raises(ValueError, match=r"make 32 pixels, got \[1, 64, 64\]"):
        NormedConvDecoder(50, (1, 64, 64))


def test_the_heads_last_layer_is_their_convolution():
    # 4 x 4 on a 4 x 4 map is a dense layer on the flattened map
    convolution = nn.Conv2d(128, 50, 4)
    dense = nn.Linear(2048, 50)
    dense.weight, dense.bias = nn.Parameter(convolution.weight.flatten(1)), convolution.bias
    maps = torch.randn(3, 128, 4, 4)
    torch.testing.assert_close(dense(maps.flatten(1)), convolution(maps)[..., 0, 0])
