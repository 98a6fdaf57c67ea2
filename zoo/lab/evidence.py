"""Log evidence by importance sampling, with the guide as proposal."""

import math

import pyro
import torch
from pyro import poutine
from torch import Tensor, nn

from zoo.lab.fit import OwnParameters
from zoo.termwise import latent, observed


def log_evidence(
    model: nn.Module, guide: nn.Module, x: Tensor, *, num_samples: int, seed: int = 0, at_once: int = 1_000
) -> Tensor:
    """log 1/K sum_k p(x, z_k) / q(z_k | x) for z_k ~ q(z | x), [B] in nats: low in expectation, and less so as K grows.

    Burda, Grosse, Salakhutdinov 2016, https://arxiv.org/abs/1509.00519, equation (8); K = 1 is the ELBO by one draw.
    Every site is scored by its density, so types must be observed, or stand in both programs as the same family.

    Args:
        model, guide: the pair, in evaluation mode.
        x: data [B, ...].
        num_samples: K.
        seed: of the draws; the random state is left as it was.
        at_once: how many datapoints to decode at a time, all draws counted: the bound on memory. At least B.

    Raises:
        ValueError: K is not positive.
    """
    if num_samples < 1:
        raise ValueError(f"num_samples must be at least 1, got {num_samples}")
    total = x.new_full((len(x),), -torch.inf)
    chunk = max(1, at_once // len(x))
    random_states = torch.random.fork_rng([x.device] if x.is_cuda else [])
    with random_states, torch.no_grad(), poutine.block(), OwnParameters():
        torch.manual_seed(seed)
        for start in range(0, num_samples, chunk):
            with pyro.plate("draws", min(chunk, num_samples - start), dim=-2):
                proposed = poutine.trace(guide).get_trace(x)
                told = poutine.trace(poutine.replay(model, trace=proposed)).get_trace(x)
            log_weights = x.new_zeros(())
            for sign, sites in ((1, observed(told)), (1, latent(told)), (-1, latent(proposed))):
                for _, site in sites:
                    log_weights = log_weights + sign * site["fn"].log_prob(site["value"])
            total = torch.logaddexp(total, log_weights.logsumexp(0))
    return total - math.log(num_samples)
