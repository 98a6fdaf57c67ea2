"""A head for posteriors of any shape: a normalising flow."""

from collections.abc import Sequence
from typing import Any, Literal

import pyro.distributions as dist
import torch
from pyro.distributions import transforms
from pyro.distributions.torch_distribution import TorchDistribution
from pyro.nn import ConditionalAutoRegressiveNN, ConditionalDenseNN
from torch import Tensor, nn

from guides.heads.head import Head, several
from guides.program import shown, whole


class Flow(Head):
    """Independent normals, transformed by affine maps that depend on other units and on the features.

    "iaf" is the inverse autoregressive flow (Kingma 2016, arXiv:1606.04934): every unit is shifted and scaled by a
    network of those before it; drawing needs one pass, scoring a value that it did not draw needs one pass per unit.
    "coupling" is RealNVP's (Dinh 2017, arXiv:1605.08803): half of the units are shifted and scaled by a network of the
    other half; both directions need one pass. The order of the units is reversed from step to step. The transforms
    start as the identity, so the flow starts as MeanField. The density is exact.

    .. warning::
        The KL, the moments and the marginals of single units have no closed form. So the KL is computed from the draw,
        which is noisier, and terms of q(z) and DIP-VAE's penalties, which need them, refuse the site.

    Args:
        kind: "iaf" or "coupling".
        steps: the number of transforms, which are applied one after the other.
        width: of each network's hidden layer.
        context: the number of further raw numbers, after means and log variances, which are inputs of the networks.

    Raises:
        TypeError, ValueError: there are fewer than two units, the kind is unknown, steps or context is not a whole
            number from 1, the width is less than the number of units, or as `Head`.

    Example:
        >>> from guides import Flow
        >>> flow = Flow(2, steps=3, context=4)
        >>> flow.num_raw  # 2 means, 2 log variances, and the context
        8
        >>> q = flow(torch.zeros(5, 8))
        >>> z = q.rsample()
        >>> z.shape, q.log_prob(z).shape
        (torch.Size([5, 2]), torch.Size([5]))
    """

    def __init__(
        self,
        size: int,
        *,
        kind: Literal["iaf", "coupling"] = "iaf",
        steps: int = 2,
        width: int = 32,
        context: int = 8,
        given: Sequence[str] = (),
        hidden: Sequence[int] = (),
    ) -> None:
        super().__init__(several("Flow", size), 2 * size + whole("Flow: context", context), given, hidden)
        if not isinstance(kind, str) or kind not in ("iaf", "coupling"):
            raise ValueError(f"Flow: kind must be 'iaf' or 'coupling', got {shown(kind)}")
        whole("Flow: steps", steps)
        whole("Flow: width, which is not smaller than the number of units,", width, least=size)
        backwards = torch.arange(size).flip(0)
        self.kind, self.context = kind, context
        self.register_buffer("backwards", backwards, persistent=False)
        self.transforms = nn.ModuleList()
        for step in range(steps):
            network: Any
            if kind == "iaf":
                order: Any = backwards if step % 2 else torch.arange(size)
                network = ConditionalAutoRegressiveNN(size, context, [width], permutation=order)
                self.transforms.append(transforms.ConditionalAffineAutoregressive(network))
            else:
                first = size // 2
                network = ConditionalDenseNN(first, context, [width], [size - first, size - first])
                self.transforms.append(transforms.ConditionalAffineCoupling(first, network))
            nn.init.zeros_(network.layers[-1].weight)
            nn.init.zeros_(network.layers[-1].bias)

    def forward(self, raw: Tensor) -> TorchDistribution:
        """[..., 2 size + context], means, log variances, context, to one density over `size` units."""
        loc, log_var, context = raw.split([self.size, self.size, self.context], dim=-1)
        conditional: Any = self.transforms
        steps = [step.condition(context) for step in conditional]
        if self.kind == "coupling":  # the next step transforms the other half
            steps = [t for step in steps for t in (step, transforms.Permute(self.backwards))]
        return NormalFlow(dist.Normal(loc, (0.5 * log_var).exp()).to_event(1), steps)


class NormalFlow(dist.TransformedDistribution):
    """The distribution of `Flow`; error messages show this name."""
