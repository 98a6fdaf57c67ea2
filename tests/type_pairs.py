"""Pairs with types, one for each head of a type."""

import pyro

from guides import Amortized, Concrete, Exact, MeanField, StraightThrough
from tests.pairs import NUM_DATA, SHAPE
from zoo.joint_vae import JointVAE
from zoo.lab.networks import MLPDecoder, MLPEncoder

HEADS = {
    "concrete": lambda size: Concrete(size, temperature=0.67),
    "straight-through": lambda size: StraightThrough(size, temperature=0.67),
    "exact": Exact,
}


def pair(head, c_dims=(3,), temperature=0.67, z=None, seed=0):
    """Alike to the last weight, whatever the head."""
    pyro.set_rng_seed(seed)
    decoder = MLPDecoder(2 + sum(c_dims), SHAPE, hidden=(8,))
    model = JointVAE(decoder, z_dim=2, c_dims=c_dims, temperature=temperature, num_data=NUM_DATA)
    types = {name: head(size) for name, size in model.types.items()}
    guide = Amortized(MLPEncoder(SHAPE, hidden=(8,)), num_data=NUM_DATA, **types, z=z or MeanField(2))
    return model, guide
