"""Heads for discrete types: categoricals whose draws are one-hot, or relaxed: positive numbers that add up to 1."""

from collections.abc import Sequence
from typing import Any

import pyro.distributions as dist
import torch
from pyro.distributions.torch_distribution import TorchDistribution
from torch import Tensor

from guides.heads.head import Head, classes, positive
from guides.program import RelaxedOneHotCategorical, shown


class Concrete(Head):
    """A relaxed one-hot categorical (Maddison 2017, arXiv:1611.00712; Jang 2017, arXiv:1611.01144), from logits.

    .. warning::
        Pyro's own ELBOs use the Concrete density, and the zoo's closed KL is that of the categoricals with the same
        logits, which is at most log K under a uniform prior. The two differ by many nats and must not be compared. A
        draw is not one-hot: in training the decoder sees mixtures of classes.

    Args:
        temperature: positive; the lower it is, the closer are the draws to one-hot.

    Raises:
        TypeError, ValueError: there are fewer than two classes, the temperature is not positive and finite, or as
            `Head`.

    Example:
        >>> from guides import Concrete
        >>> q = Concrete(3, temperature=0.5)(torch.zeros(4, 3))  # logits
        >>> c = q.rsample()
        >>> c.shape, bool((c.sum(-1) - 1).abs().max() < 1e-6)
        (torch.Size([4, 3]), True)
    """

    temperature: Tensor

    def __init__(self, size: int, *, temperature: float, given: Sequence[str] = (), hidden: Sequence[int] = ()) -> None:
        super().__init__(size, size, given, hidden)
        classes("Concrete", size)
        self.register_buffer(
            "temperature", torch.tensor(positive("Concrete", "temperature", temperature)), persistent=False
        )

    def forward(self, raw: Tensor) -> TorchDistribution:
        """Logits [..., size] to a distribution of vectors [size] of positive numbers that add up to 1."""
        return RelaxedOneHotCategorical(self.temperature, logits=raw)


class StraightThrough(Head):
    """A one-hot categorical whose draws have the gradient of relaxed draws (Jang 2017, arXiv:1611.01144).

    Its probability is the categorical's mass, never the Concrete density, so its KL from a one-hot or relaxed prior is
    that of the categoricals. Under Pyro's own ELBOs the prior has to be a OneHotCategorical.

    .. warning::
        The gradient is biased. A lower temperature reduces the bias and increases the variance.

    Args:
        temperature: of the relaxed draws that the gradient is taken from, positive.

    Raises:
        TypeError, ValueError: there are fewer than two classes, the temperature is not positive and finite, or as
            `Head`.

    Example:
        >>> from guides import StraightThrough
        >>> logits = torch.tensor([0.0, 100.0, 0.0], requires_grad=True)
        >>> c = StraightThrough(3, temperature=0.5)(logits).rsample()
        >>> c.detach(), c.requires_grad
        (tensor([0., 1., 0.]), True)
    """

    temperature: Tensor

    def __init__(self, size: int, *, temperature: float, given: Sequence[str] = (), hidden: Sequence[int] = ()) -> None:
        super().__init__(size, size, given, hidden)
        classes("StraightThrough", size)
        self.register_buffer(
            "temperature", torch.tensor(positive("StraightThrough", "temperature", temperature)), persistent=False
        )

    def forward(self, raw: Tensor) -> TorchDistribution:
        """Logits [..., size] to a distribution of one-hot vectors [size]."""
        return OneHotStraightThrough(self.temperature, logits=raw)


class Exact(Head):
    """A one-hot categorical that objectives sum out instead of drawing it: the expectation over q(c | x) is exact.

    The site has infer={"enumerate": "parallel"}: the zoo's objectives and Pyro's `TraceEnum_ELBO` run everything after
    it once per class, and weight the results by q(c | x). Its KL is that of the categoricals.

    .. warning::
        The decoder costs K times as much time and memory, and with several such sites the product of their numbers of
        classes. Terms of q(z), as in `BetaTCVAE` and `HFVAE`, need draws and refuse the site.

    Raises:
        TypeError, ValueError: there are fewer than two classes, or as `Head`.

    Example:
        >>> from guides import Exact
        >>> q = Exact(3)(torch.zeros(4, 3))
        >>> q.enumerate_support(expand=False).shape  # every class once, for all 4 datapoints
        torch.Size([3, 1, 3])
    """

    def __init__(self, size: int, *, given: Sequence[str] = (), hidden: Sequence[int] = ()) -> None:
        super().__init__(size, size, given, hidden)
        classes("Exact", size)

    def forward(self, raw: Tensor) -> TorchDistribution:
        """Logits [..., size] to a categorical over the one-hot vectors [size]."""
        return dist.OneHotCategorical(logits=raw)

    def infer(self) -> dict[str, Any]:
        """Marks the site for enumeration."""
        return {"enumerate": "parallel"}


class Predicted(Head):
    """The class under the mean of its probabilities: y ~ Categorical(E[pi]) for pi ~ q(pi | x), one-hot.

    It is the distribution of y with pi integrated out, and has no layers of its own. Objectives sum y out, as they do
    with `Exact`.

    Args:
        of: the earlier site pi, whose mean is used.

    Raises:
        TypeError, ValueError: there are fewer than two classes, or `of` is not a name.

    Example:
        >>> from guides import Predicted
        >>> Predicted(2, of="pi")(torch.tensor([0.25, 0.75])).probs
        tensor([0.2500, 0.7500])
    """

    learnt = False

    def __init__(self, size: int, *, of: str) -> None:
        super().__init__(size, size, (), ())
        classes("Predicted", size)
        if not isinstance(of, str) or not of:
            raise TypeError(f"Predicted: of must be the name of an earlier site, as in of='pi', got {shown(of)}")
        self.of = of

    def forward(self, raw: Tensor) -> TorchDistribution:
        """Class probabilities [..., size] to a one-hot categorical."""
        return dist.OneHotCategorical(raw)

    def infer(self) -> dict[str, Any]:
        """Marks the site for enumeration."""
        return {"enumerate": "parallel"}


class OneHotStraightThrough(dist.OneHotCategorical):
    """The distribution of `StraightThrough`: a one-hot categorical whose draws have the gradient of relaxed ones."""

    has_rsample = True

    def __init__(self, temperature: Tensor, *, logits: Tensor, validate_args: bool | None = None) -> None:
        self.temperature = temperature
        super().__init__(logits=logits, validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> "OneHotStraightThrough":
        """The same distribution with a larger batch shape."""
        new = self._get_checked_instance(OneHotStraightThrough, _instance)
        new.temperature = self.temperature
        return super().expand(batch_shape, _instance=new)

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """One-hot draws [*sample_shape, *batch, size] with the gradient of Concrete draws."""
        relaxed = dist.RelaxedOneHotCategorical(self.temperature, logits=self.logits, validate_args=False)
        soft: Tensor = relaxed.rsample(sample_shape)
        corner = torch.zeros_like(soft).scatter_(-1, soft.argmax(-1, keepdim=True), 1.0)
        return corner + (soft - soft.detach())  # the bracket is exactly 0, so the value is exactly one-hot
