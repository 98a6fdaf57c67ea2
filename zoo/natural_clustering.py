"""N-VAE (the paper's name for it), which separates what varies within a class from what all classes share; and the
conditional VAE.

Antorán & Miguel 2019, Disentangling and Learning Robust Representations with Natural Clustering,
https://arxiv.org/abs/1901.09415. Sohn, Lee & Yan 2015, Learning Structured Output Representation using Deep
Conditional Generative Models, NIPS.

A story is a generative model, written as a Pyro program. The docstring of its class lists its sites. How the code
reads, here and in every story:

- `register(self)` makes the decoder's parameters known to Pyro, so that SVI trains them. `pyro.module("name", self)`
  does that too, but Pyro finds parameters by name: for a second instance with the same name, SVI would go on training
  the first one's, and the second one's would silently stay as they are. `register` chooses names that are unique.
- `data_plate` is `pyro.plate("data", B)`: the B datapoints of a batch are independent of each other, and each site
  inside the plate has one value for each of them. For a batch with `index` the plate's size is num_data, and Pyro
  multiplies log p by num_data / B; without `index`, log p is that of the batch alone.
- `as_event` makes all pixels of a datapoint one event, as `.to_event(3)` does for [B, C, H, W], so that log p(x | z)
  has one entry for each datapoint. Unlike `.to_event(3)`, it does so for data of any number of dimensions, and for
  likelihoods that have an event already.
- Latents may have more dimensions on the left, [..., B, size], and log p(x | z) then has them, too, [..., B]. They come
  from the objective: one for particles, which are several draws for each datapoint, and left of it one for each
  discrete site that it sums out, with an entry for each value of the site.
- `one_hot` turns labels [B], integers from 0, into rows [B, L].
- `check_data` refuses data that do not fit the likelihood: of a shape other than that of the decoder's output, integers
  (pixels are floats), or values outside its support. The default Bernoulli's support is [0, 1], grey values included.
- The constants of the priors are buffers, so that they move to a device with the module. persistent=False keeps them
  out of its state_dict, since the arguments of the constructor determine them.
- `picklable_state` makes a trained story picklable: it leaves out what Pyro attaches to each parameter in training.
"""

from collections.abc import Callable
from typing import Any

import pyro
import pyro.distributions as dist
import torch
from pyro.distributions.torch_distribution import TorchDistribution
from torch import Tensor, nn

from zoo.arguments import POSITIVE, checked, number_from
from zoo.likelihoods import as_event, bernoulli, check_data
from zoo.program import data_plate, one_hot, picklable_state, register, whole


class NaturalClustering(nn.Module):
    """N-VAE: latents of each class, and latents that all classes share (Antorán & Miguel 2019, arXiv:1901.09415).

        pi ~ Dirichlet(alpha, ..., alpha)     how probable each class is    [B, L]
        y ~ OneHotCategorical(pi)             class                         [B, L]
        z_c ~ Normal(0, I)                    within each class, by class   [B, L * c_dim]
        z_s ~ Normal(0, I)                    shared                        [B, s_dim]
        z_cy = mask(y, z_c)                   the class and its own z_c     [B, L * (1 + c_dim)]
        x ~ Bernoulli(decoder(z_cy, z_s))     pixels                        [B, C, H, W]

    z_c has c_dim latents for each of the L classes. The mask makes a matrix with a row [1, z_c of class l] for each
    class l, multiplies row l by y_l, and flattens it row by row. Since y is one-hot, this leaves the row of the
    datapoint's class and sets the others to zero: the decoder sees z_c of this class alone. The column of ones becomes
    y itself, and gives a decoder whose first layer is linear a bias for each class. The paper's main text has this
    column, its appendix B does not. Without it (bias=False), z_cy is [B, L * c_dim]. The paper writes c_y for y.

    With labels, integers from 0 to L - 1, y is observed. Without them y is latent, and the guide infers it from x. The
    guide's head for y, the part that is responsible for this site, draws a class, or lets the objective sum out all.

    Why a Dirichlet for each datapoint, and not a softmax: the paper makes a datapoint's class probabilities latent, so
    that the guide contains a classifier, q(pi | x). It could contain q(y | x), a softmax, instead. The Dirichlet adds a
    prior of the class probabilities, under which all classes are equally probable whatever alpha is; and, since it is
    the conjugate prior of the categorical, the posterior of pi given a label has a closed form, `posterior`. In the
    paper's objective, `zoo.elbos.NaturalClusteringELBO`, only the mean of q(pi | x) counts, as if it were a softmax; in
    the ELBO of this story its concentration counts, too.

    Args:
        decoder: maps z_cy [..., L * (1 + c_dim)] and z_s [..., s_dim], one argument each, to the likelihood's
        parameters.
        classes: L, the number of classes.
        c_dim: the number of latent dimensions of each class.
        s_dim: the number of latent dimensions that all classes share.
        alpha: the concentration of the prior of pi, the paper's alpha_p.
        bias: whether z_cy contains y itself as well as z_c.
        likelihood: any function from the decoder's output to a Pyro distribution over x, whose pixels may be
            independent (part of its batch shape) or already one event: one of `zoo.likelihoods`, such as
            `partial(laplace, scale=0.1)`, or your own. By default a Bernoulli, whose logits the decoder returns.
        num_data: the number of datapoints in the training set; needed for batches with `index`.

    Raises:
        TypeError, ValueError: a size or alpha is out of range; and as `zoo.likelihoods.check_data`,
            `zoo.program.one_hot` and `zoo.program.data_plate` do.

    Example:
        >>> model = NaturalClustering(nn.Bilinear(6, 2, 6), classes=3, c_dim=1, s_dim=2)
        >>> model(y=torch.tensor([0, 2])).shape  # an image for each label
        torch.Size([2, 6])
        >>> model.mask(torch.tensor([0.0, 1.0, 0.0]), torch.tensor([5.0, 6.0, 7.0]))  # [1, z_c] in the row of the class
        tensor([0., 0., 1., 6., 0., 0.])
    """

    loc_c: Tensor
    loc_s: Tensor
    alpha: Tensor

    @checked(alpha=POSITIVE, num_data=number_from(1))
    def __init__(
        self,
        decoder: nn.Module,
        *,
        classes: int,
        c_dim: int,
        s_dim: int,
        alpha: float = 1.0,
        bias: bool = True,
        likelihood: Callable[[Tensor], TorchDistribution] = bernoulli,
        num_data: int | None = None,
    ) -> None:
        super().__init__()
        classes, c_dim, s_dim = (
            whole(what, value, least=0) for what, value in {"classes": classes, "c_dim": c_dim, "s_dim": s_dim}.items()
        )
        if classes < 2 or c_dim < 1 or s_dim < 1:
            raise ValueError(
                f"classes must be at least 2, c_dim and s_dim at least 1, got classes = {classes}, c_dim = {c_dim}, "
                f"s_dim = {s_dim}"
            )
        self.decoder = decoder
        self.classes, self.c_dim, self.s_dim, self.bias = classes, c_dim, s_dim, bias
        self.likelihood = likelihood
        self.num_data = num_data
        self.register_buffer("loc_c", torch.zeros(classes * c_dim), persistent=False)
        self.register_buffer("loc_s", torch.zeros(s_dim), persistent=False)
        self.register_buffer("alpha", torch.full((classes,), float(alpha)), persistent=False)

    def forward(self, x: Tensor | None = None, y: Tensor | None = None, *, index: Tensor | None = None) -> Tensor:
        """Runs the story once. Returns x.

        With x [B, C, H, W], x is observed, and so are the labels y [B] if they are given. Without x, images are drawn
        from the prior: `story(y=y)` draws one for each label in y, and `story()` draws a single image, of any class.
        `pyro.infer.Predictive(story, num_samples=100)()` draws a hundred.

        Args:
            x: a batch.
            y: its labels, integers from 0 to L - 1.
            index: the positions [B] of the batch's datapoints in the training set, from 0. log p is then scaled from
                the batch to all num_data datapoints.
        """
        register(self)
        c_y = None if y is None else one_hot(y, self.classes, y if x is None else x, self.loc_s.dtype)
        with data_plate(x if x is not None else y, index, self.num_data):
            pi = pyro.sample("pi", dist.Dirichlet(self.alpha))
            c_y = pyro.sample("y", dist.OneHotCategorical(pi), obs=c_y)
            z_c = pyro.sample("z_c", dist.Normal(self.loc_c, 1.0).to_event(1))
            z_s = pyro.sample("z_s", dist.Normal(self.loc_s, 1.0).to_event(1))
            z_cy = pyro.deterministic("z_cy", self.mask(c_y, z_c), event_dim=1)
            z_cy, z_s = _side_by_side(z_cy, z_s)
            pixels = as_event(self.likelihood(self.decoder(z_cy, z_s)), like=z_s)
            check_data(x, pixels)
            return pyro.sample("x", pixels, obs=x)

    def mask(self, y: Tensor, z_c: Tensor) -> Tensor:
        """Keeps [1, z_c] of the class in y and sets the rest to zero: z_cy, [..., L * (1 + c_dim)]; without the ones
        for bias=False.

        Args:
            y: one-hot, [..., L].
            z_c: c_dim latents for each class, one class after the other, [..., L * c_dim].
        """
        rows = z_c.unflatten(-1, (self.classes, self.c_dim))
        if self.bias:
            rows = torch.cat([torch.ones_like(rows[..., :1]), rows], dim=-1)
        return (y.unsqueeze(-1) * rows).flatten(-2)

    def posterior(self, y: Tensor) -> dist.Dirichlet:
        """The exact posterior of pi for one-hot y [..., L], by conjugacy: Dirichlet(alpha + y_1, ..., alpha + y_L).

        It is also p(pi | x, y), since x depends on pi through y alone. It serves to compare a guide's q(pi | x) with
        it: where x leaves no doubt about the class, they are equal for a perfect guide. The paper's objective is
        derived with it, by hand; training does not call this method.
        """
        return dist.Dirichlet(self.alpha + y)

    def __getstate__(self) -> dict[str, Any]:
        return picklable_state(self)


class ConditionalVAE(nn.Module):
    """The conditional VAE (Sohn et al. 2015): one code for all classes, and the class as the decoder's second input.

        y ~ OneHotCategorical(1 / L)     class   [B, L]
        z ~ Normal(0, I)                 code    [B, z_dim]
        x ~ Bernoulli(decoder(z, y))     pixels  [B, C, H, W]

    Args:
        decoder: maps codes [..., z_dim] and classes [..., L], one argument each, to the likelihood's parameters.
        classes: L, the number of classes.
        z_dim: the number of latent dimensions.
        likelihood, num_data: as in `NaturalClustering`.

    Raises:
        TypeError, ValueError: as `NaturalClustering`.

    Example:
        >>> model = ConditionalVAE(nn.Bilinear(2, 3, 5), classes=3, z_dim=2)
        >>> model(y=torch.tensor([0, 2])).shape  # an image for each label
        torch.Size([2, 5])
    """

    loc: Tensor
    uniform: Tensor

    @checked(num_data=number_from(1))
    def __init__(
        self,
        decoder: nn.Module,
        *,
        classes: int,
        z_dim: int,
        likelihood: Callable[[Tensor], TorchDistribution] = bernoulli,
        num_data: int | None = None,
    ) -> None:
        super().__init__()
        classes, z_dim = whole("classes", classes, least=0), whole("z_dim", z_dim, least=0)
        if classes < 2 or z_dim < 1:
            raise ValueError(
                f"classes must be at least 2 and z_dim at least 1, got classes = {classes}, z_dim = {z_dim}"
            )
        self.decoder = decoder
        self.classes = classes
        self.likelihood = likelihood
        self.num_data = num_data
        self.register_buffer("loc", torch.zeros(z_dim), persistent=False)
        self.register_buffer("uniform", torch.full((classes,), 1 / classes), persistent=False)

    def forward(self, x: Tensor | None = None, y: Tensor | None = None, *, index: Tensor | None = None) -> Tensor:
        """Runs the story once. Returns x.

        With x [B, C, H, W], x is observed, and so are the labels y [B] if they are given. Without x, images are drawn
        from the prior: `story(y=y)` draws one for each label in y, and `story()` draws a single image, of any class.
        `pyro.infer.Predictive(story, num_samples=100)()` draws a hundred.

        Args:
            x: a batch.
            y: its labels, integers from 0 to L - 1.
            index: the positions [B] of the batch's datapoints in the training set, from 0. log p is then scaled from
                the batch to all num_data datapoints.
        """
        register(self)
        c_y = None if y is None else one_hot(y, self.classes, y if x is None else x, self.loc.dtype)
        with data_plate(x if x is not None else y, index, self.num_data):
            c_y = pyro.sample("y", dist.OneHotCategorical(self.uniform), obs=c_y)
            z = pyro.sample("z", dist.Normal(self.loc, 1.0).to_event(1))
            z, c_y = _side_by_side(z, c_y)
            pixels = as_event(self.likelihood(self.decoder(z, c_y)), like=z)
            check_data(x, pixels)
            return pyro.sample("x", pixels, obs=x)

    def __getstate__(self) -> dict[str, Any]:
        return picklable_state(self)


def _side_by_side(*latents: Tensor) -> list[Tensor]:
    """The latents [..., size] with their leading dimensions expanded to one shape, so that a decoder can join them.

    Where an objective sums out the class, y has a leading dimension with an entry for each class. Latents whose guide
    does not depend on y do not have this dimension.
    """
    batch = torch.broadcast_shapes(*(latent.shape[:-1] for latent in latents))
    return [latent.expand(*batch, latent.shape[-1]) for latent in latents]
