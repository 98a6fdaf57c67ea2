"""Semi-amortised inference: from where the network starts, a few steps of optimisation for each datapoint."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from pyro import poutine
from pyro.poutine.runtime import _DIM_ALLOCATOR
from torch import Tensor, nn

from guides.amortized import Amortized
from guides.program import picklable_state, register

Loss = Callable[..., Tensor]
BETAS, EPSILON = (0.9, 0.999), 1e-8


class SemiAmortized(nn.Module):
    """An amortised guide whose raw numbers are improved for each datapoint, by a few steps on the objective.

        loss = partial(elbo.differentiable_loss, model)
        guide = SemiAmortized(Amortized(trunk, z=MeanField(10)), loss, steps=5, lr=0.1)

    Kim, Wiseman, Miller, Sontag & Rush 2018, https://arxiv.org/abs/1802.02550, with Adam for their gradient descent.
    Training passes the gradient at the end point on to the network as if it had been taken at the start; with
    `through` it passes through the steps, as in the paper, at the price of second derivatives.

    The objective is called anew at every step, so what it keeps from pass to pass, a report or a running statistic, is
    that of these steps too: hand in a copy of it (`copy.copy(elbo)`) where that matters.

    Args:
        amortized: where the steps start.
        loss: from a guide and a batch, as (guide, x, index=...), to what is minimised, a 0-dim tensor.
        steps, lr: how many steps of Adam, and how long.
        through: whether gradients pass through the steps.

    Raises:
        ValueError: steps or lr are not positive.
    """

    def __init__(self, amortized: Amortized, loss: Loss, *, steps: int, lr: float, through: bool = False) -> None:
        super().__init__()
        if steps < 1 or not 0 < lr < float("inf"):
            raise ValueError(f"SemiAmortized: steps and lr must be positive, got steps = {steps}, lr = {lr:g}")
        self.amortized, self.loss = amortized, loss
        self.steps, self.lr, self.through = steps, lr, through

    def refined(self, x: Tensor, y: Tensor | None = None, *, index: Tensor | None = None) -> "Refined":
        """The guide after its steps, for this batch alone: to draw from it often at the cost of refining it once."""
        return refine(self.amortized, self.loss, x, y, index=index, steps=self.steps, lr=self.lr, through=self.through)

    def forward(self, x: Tensor, y: Tensor | None = None, *, index: Tensor | None = None) -> dict[str, Tensor]:
        """Takes the steps for the batch x [B, ...], and samples every site. Returns the values by site."""
        register(self)
        values: dict[str, Tensor] = self.refined(x, y, index=index)(x, y, index=index)
        return values

    def __getstate__(self) -> dict[str, Any]:
        return picklable_state(self)


class Refined(nn.Module):
    """An amortised guide with something added to its raw numbers, for the one batch that this was found for.

    Args:
        amortized: the guide.
        offsets: by site, [B, num_raw].
    """

    def __init__(self, amortized: Amortized, offsets: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.amortized, self.offsets = amortized, offsets

    def forward(self, x: Tensor, y: Tensor | None = None, *, index: Tensor | None = None) -> dict[str, Tensor]:
        """Samples every site."""
        values: dict[str, Tensor] = self.amortized(x, y, index=index, offsets=self.offsets)
        return values


@contextmanager
def _as_if_alone() -> Iterator[None]:
    """Runs programs as if nothing were around them: no handler sees their sites, and no plate holds a dimension."""
    held, _DIM_ALLOCATOR._stack = _DIM_ALLOCATOR._stack, []
    try:
        with poutine.block():
            yield
    finally:
        _DIM_ALLOCATOR._stack = held


def refine(
    amortized: Amortized,
    loss: Loss,
    x: Tensor,
    y: Tensor | None = None,
    *,
    index: Tensor | None = None,
    steps: int,
    lr: float,
    through: bool = False,
) -> Refined:
    """The guide's raw numbers for a batch, `steps` of Adam further down the loss; networks and model stay as they are.

    Args:
        amortized, loss, steps, lr, through: as `SemiAmortized` takes them.
        x, y, index: the batch.
    """
    batch = (x,) if y is None else (x, y)
    # Labels that are given leave a head for them without work.
    heads: dict[str, Any] = {s: head for s, head in amortized.heads.items() if s in amortized.layers}
    heads = {site: head for site, head in heads.items() if not (site == "y" and y is not None)}
    with torch.enable_grad(), _as_if_alone():
        offsets = {site: x.new_zeros(len(x), head.num_raw).requires_grad_() for site, head in heads.items()}
        means = {site: torch.zeros_like(offset) for site, offset in offsets.items()}
        squares = dict(means)
        for step in range(1, steps + 1):
            value = loss(Refined(amortized, offsets), *batch, index=index)
            slopes = torch.autograd.grad(value, list(offsets.values()), create_graph=through)
            for (site, offset), slope in zip(offsets.items(), slopes, strict=True):
                means[site] = BETAS[0] * means[site] + (1 - BETAS[0]) * slope
                squares[site] = BETAS[1] * squares[site] + (1 - BETAS[1]) * slope.square()
                mean, square = means[site] / (1 - BETAS[0] ** step), squares[site] / (1 - BETAS[1] ** step)
                # Inside the root, so that there is a derivative at a slope of 0.
                moved = offset - lr * mean / (square + EPSILON**2).sqrt()
                offsets[site] = moved if through else moved.detach().requires_grad_()
    return Refined(amortized, offsets if through else {site: offset.detach() for site, offset in offsets.items()})
