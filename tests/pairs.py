"""Small pairs that the tests share."""

from typing import Any

import pyro
import pyro.distributions as dist
import torch
from torch import Tensor, nn

from guides import Amortized, Concrete, DirichletHead, Head, MeanField, Predicted
from zoo import VAE, ConditionalVAE, NaturalClustering
from zoo.joint_vae import JointVAE
from zoo.lab.networks import MLPDecoder, MLPEncoder
from zoo.lab.training.experiment import Experiment

SHAPE = (1, 3, 5)  # sizes that no mix-up of axes survives
Z_DIM = 2
NUM_DATA = 70
INTEGERS = [getattr(torch, f"{sign}int{bits}") for sign in ("", "u") for bits in (8, 16, 32, 64)]


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


L, C, S = 3, 2, 4  # classes, units of each, shared units


def nvae_pair(
    *, alpha: float = 0.7, bias: bool = True, pi: Head | None = None, z_c: Head | None = None, **options: Any
) -> tuple[NaturalClustering, Amortized]:
    """N-VAE on the same pixels, and a guide that sees x alone."""
    decoder = MLPDecoder(L * (C + bias) + S, SHAPE, hidden=(8,))
    model = NaturalClustering(decoder, classes=L, c_dim=C, s_dim=S, alpha=alpha, bias=bias, **options)
    heads: dict[str, Any] = {
        "pi": pi or DirichletHead(L),
        "y": Predicted(L, of="pi"),
        "z_c": z_c or MeanField(L * C),
        "z_s": MeanField(S),
    }
    return model, Amortized(MLPEncoder(SHAPE, hidden=(8,)), **heads, **options)


def cvae_pair(**options: Any) -> tuple[ConditionalVAE, Amortized]:
    """The conditional VAE on the same pixels, and a guide that sees x and y."""
    model = ConditionalVAE(MLPDecoder(S + L, SHAPE, hidden=(8,)), classes=L, z_dim=S, **options)
    guide = Amortized(MLPEncoder(SHAPE, hidden=(8,)), classes=L, z=MeanField(S, given=("y",), hidden=(5,)), **options)
    return model, guide


def assert_same_but_for_the_objective(ours: Experiment, theirs: Experiment) -> None:
    """Pairs with equal weights, trained in the same way."""
    for part in ("model", "guide"):
        mine, other = getattr(ours, part).state_dict(), getattr(theirs, part).state_dict()
        assert mine.keys() == other.keys()
        assert all(torch.equal(mine[key], other[key]) for key in mine)
    for setting in ("steps", "batch_size", "lr", "optimizer", "schedule"):
        assert getattr(ours, setting) == getattr(theirs, setting)


def joint_pair(c_dims=(3,), z=None):
    decoder = MLPDecoder(2 + sum(c_dims), SHAPE, hidden=(8,))
    model = JointVAE(decoder, z_dim=2, c_dims=c_dims, temperature=0.67, num_data=NUM_DATA)
    types = {name: Concrete(size, temperature=0.67) for name, size in model.types.items()}
    return model, Amortized(MLPEncoder(SHAPE, hidden=(8,)), num_data=NUM_DATA, z=z or MeanField(2), **types)


class StyleGivenType(nn.Module):
    """z ~ Normal(0, I), c ~ uniform Concrete, x ~ Normal."""

    def __init__(self, z_dim=2):
        super().__init__()
        self.z_dim = z_dim
        self.decoder = nn.Linear(z_dim + 3, 5)

    def forward(self, x):
        with pyro.plate("data", len(x)):
            c = pyro.sample("c", dist.RelaxedOneHotCategorical(torch.tensor(0.5), logits=torch.zeros(3)))
            z = pyro.sample("z", dist.Normal(torch.zeros(self.z_dim), 1).to_event(1))
            pyro.sample("x", dist.Normal(self.decoder(torch.cat([z, c], -1)), 1).to_event(1), obs=x)


def by_hand(model, z, *c):
    return model.decoder(z, *c).sigmoid().detach()
