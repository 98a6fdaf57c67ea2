"""Pairs whose evidence is known exactly."""

from functools import partial

import pyro
import pyro.distributions as dist
import torch
from torch import nn

from guides import Amortized, FullRank
from zoo import VAE
from zoo.likelihoods import normal

Z, X, N, NOISE = 2, 4, 40, 0.5


class Pca:
    """A story that is probabilistic PCA, data of its own, and everything exact about them."""

    def __init__(self):
        pyro.set_rng_seed(0)
        linear = nn.Linear(Z, X)
        self.W = torch.tensor([[1.0, 0.6], [0.8, 0.9], [-0.3, 0.7], [0.5, 0.2]])
        linear.weight.data, linear.bias.data = self.W.clone(), torch.randn(X)
        linear.requires_grad_(False)
        self.model = VAE(linear, z_dim=Z, likelihood=partial(normal, scale=NOISE), num_data=N)
        cov = self.W @ self.W.mT + NOISE**2 * torch.eye(X)
        self.marginal = dist.MultivariateNormal(linear.bias, cov)
        self.x = self.marginal.sample((N,))
        self.log_evidence = self.marginal.log_prob(self.x)
        self.precision = torch.eye(Z) + self.W.mT @ self.W / NOISE**2
        self.cov = torch.linalg.inv(self.precision)
        self.to_mean = self.cov @ self.W.mT / NOISE**2  # the mean is this times x - b
        self.mean = (self.x - linear.bias) @ self.to_mean.mT
        self.bias = linear.bias

    def guide(self, head):
        """An amortised guide whose mean can be exact: one linear layer on x, which the trunk whitens."""
        trunk = nn.Linear(X, X)
        trunk.weight.data = torch.linalg.inv(self.marginal.scale_tril)
        trunk.bias.data = -trunk.weight.data @ self.bias
        return Amortized(trunk.requires_grad_(False), z=head, num_data=N)

    def at_the_optimum(self):
        """The full-rank guide with the posterior written into its layer."""
        guide = self.guide(FullRank(Z))
        layer = guide.layers["z"][0]
        L = torch.linalg.cholesky(self.cov)
        with torch.no_grad():
            layer.weight.zero_()
            layer.weight[:Z] = self.to_mean @ self.marginal.scale_tril
            layer.bias[:Z] = 0
            layer.bias[Z:] = torch.tensor([L[0, 0].log(), L[1, 1].log(), L[1, 0]])
        return guide
