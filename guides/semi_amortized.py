"""Semi-amortised inference: the network's output is improved by a few optimisation steps for each datapoint."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from pyro import poutine
from pyro.poutine.runtime import _DIM_ALLOCATOR
from torch import Tensor, nn

from guides.amortized import Amortized
from guides.heads.head import positive
from guides.program import Misfit, check_tensors, picklable_state, register, shown, whole

Loss = Callable[..., Tensor]
BETAS, EPSILON = (0.9, 0.999), 1e-8


class SemiAmortized(nn.Module):
    """An amortised guide whose raw numbers are improved for each datapoint by a few optimisation steps.

        loss = partial(elbo.differentiable_loss, model)
        guide = SemiAmortized(Amortized(trunk, z=MeanField(10)), loss, steps=5, lr=0.02)

    Kim, Wiseman, Miller, Sontag & Rush 2018, https://arxiv.org/abs/1802.02550; Adam takes the place of their gradient
    descent.
    In training, the gradient at the end point is passed to the network as if it were the gradient at the start. With
    `through` it is backpropagated through the steps, as in the paper; that needs second derivatives.

    .. warning::
        The objective is called at every step, so these calls also change its report and its running statistics, such as
        DIP-VAE's covariance: pass a copy (`copy.copy(elbo)`) where that matters.
        Terms of a whole batch, such as a total correlation or a capacity, make a datapoint's posterior depend on the
        others of its batch, and some need two datapoints: pass the loss of the plain ELBO for a q(z | x) of x alone.

    Args:
        amortized: the guide whose output the steps start from.
        loss: function of a guide and a batch, called as (guide, x, index=...), that returns the loss, a 0-dim tensor.
        steps, lr: the number of Adam steps, and their learning rate.
        through: whether gradients pass through the steps.

    Raises:
        ValueError: steps or lr are not positive.

    Example:
        >>> from functools import partial
        >>> from guides import MeanField
        >>> from zoo import VAE
        >>> from zoo.elbos import PlainELBO
        >>> loss = partial(PlainELBO().differentiable_loss, VAE(nn.Linear(2, 5), z_dim=2))
        >>> guide = SemiAmortized(Amortized(nn.Linear(5, 8), z=MeanField(2)), loss, steps=2, lr=0.1)
        >>> guide(torch.zeros(3, 5))["z"].shape
        torch.Size([3, 2])
    """

    def __init__(self, amortized: Amortized, loss: Loss, *, steps: int, lr: float, through: bool = False) -> None:
        super().__init__()
        if not isinstance(amortized, Amortized):
            raise TypeError(f"SemiAmortized: amortized must be an Amortized guide, got {shown(amortized)}")
        if not callable(loss):
            raise TypeError(f"SemiAmortized: loss must be a function of a guide and a batch, got {shown(loss)}")
        if not isinstance(through, bool):
            raise TypeError(f"SemiAmortized: through must be True or False, got {shown(through)}")
        self.amortized, self.loss, self.through = amortized, loss, through
        self.steps, self.lr = whole("SemiAmortized: steps", steps), positive("SemiAmortized", "lr", lr)

    def refined(self, x: Tensor, y: Tensor | None = None, *, index: Tensor | None = None) -> "Refined":
        """The guide after its steps, for this batch only; draw from it repeatedly without refining again."""
        return refine(self.amortized, self.loss, x, y, index=index, steps=self.steps, lr=self.lr, through=self.through)

    def forward(self, x: Tensor, y: Tensor | None = None, *, index: Tensor | None = None) -> dict[str, Tensor]:
        """Improves the raw numbers for the batch x [B, ...], then samples every site. Returns the values by site."""
        register(self)
        values: dict[str, Tensor] = self.refined(x, y, index=index)(x, y, index=index)
        return values

    def __getstate__(self) -> dict[str, Any]:
        return picklable_state(self)


class Refined(nn.Module):
    """An amortised guide with offsets added to its raw numbers. It is valid for one batch, that of the offsets.

    Args:
        amortized: the guide.
        offsets: what is added, by site, [B, num_raw].
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
    """Improves the guide's raw numbers for a batch by `steps` of Adam on the loss; networks and model do not change.

    Args:
        amortized, loss, steps, lr, through: as in `SemiAmortized`.
        x, y, index: the batch.

    Raises:
        ValueError: the batch is not made of tensors; or under `torch.inference_mode()`.
    """
    check_tensors(x=x, y=y, index=index)
    if torch.is_inference_mode_enabled():
        raise Misfit("SemiAmortized's steps need gradients, which torch.inference_mode() excludes: use torch.no_grad()")
    batch = (x,) if y is None else (x, y)
    # Given labels replace the head for "y", which then has no raw numbers.
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
                # Inside the root, so that the derivative is finite at a slope of 0.
                moved = offset - lr * mean / (square + EPSILON**2).sqrt()
                offsets[site] = moved if through else moved.detach().requires_grad_()
    return Refined(amortized, offsets if through else {site: offset.detach() for site, offset in offsets.items()})
