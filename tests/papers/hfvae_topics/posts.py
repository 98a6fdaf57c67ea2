"""Small documents of two kinds, and a pair of topics made by hand."""

import numpy as np
import torch
from scipy import sparse
from torch import nn

from guides import Amortized, MeanField
from zoo import NVDM
from zoo.lab.data import Dataset, Split
from zoo.lab.networks import MLPDecoder

VOCABULARY = ("moon", "rocket", "orbit", "puck", "goal", "ice", "team")


def posts(num=60, seed=0):
    """Documents of two kinds, by label, of 4 to 12 words; 1 in 5 words comes from anywhere."""
    rng = np.random.default_rng(seed)
    y = np.arange(num) % 2
    kinds = np.array([[1, 1, 1, 0, 0, 0, 0], [0, 0, 0, 1, 1, 1, 1]])
    p = 0.8 * kinds / kinds.sum(1, keepdims=True) + 0.2 / 7
    x = np.stack([rng.multinomial(rng.integers(4, 13), p[kind]) for kind in y])
    counts = sparse.csr_array(x, dtype=np.float32)
    return Dataset("posts", counts, y, classes=("space", "hockey"), vocabulary=VOCABULARY)


def split(num=60):
    return Split(posts(num), posts(num // 2, seed=1))


def hand_made(means=2.0, log_var=0.0):
    """NVDM with two topics: z_0 is +-means by kind and adds to the first three words, z_1 says nothing."""
    decoder = MLPDecoder(2, (7,), hidden=())
    with torch.no_grad():
        linear = decoder.layers[1]
        linear.weight.zero_()
        linear.bias.zero_()
        linear.weight[:3, 0] = torch.tensor([1.0, 3.0, 2.0])
        linear.weight[4, 1] = 1.0

    class Kind(nn.Module):
        out_features = 1

        def forward(self, x):
            return torch.where(x[:, :3].sum(1) > x[:, 3:].sum(1), 1.0, -1.0).unsqueeze(1)

    guide = Amortized(Kind(), z=MeanField(2))
    with torch.no_grad():
        layer = guide.layers["z"][0]
        layer.weight.copy_(torch.tensor([[means], [0.0], [0.0], [0.0]]))
        layer.bias.copy_(torch.tensor([0.0, 0.0, log_var, 0.0]))
    return NVDM(decoder, groups=(2,)), guide
