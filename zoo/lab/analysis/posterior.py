"""q(z | x) of a trained guide, and p(x | z) of its story; both run in evaluation mode."""

from collections.abc import Mapping
from itertools import chain
from typing import Any

import pyro
import torch
from pyro import poutine
from pyro.poutine.trace_struct import Trace
from torch import Tensor, nn

from zoo.arguments import NOT_EMPTY, checked, number_from
from zoo.estimators import centre
from zoo.lab.device import fork_random_state
from zoo.lab.errors import unknown_name
from zoo.lab.isolation import evaluating, isolated
from zoo.pairing import explaining
from zoo.sites import nodes_of, sampled, unwrapped
from zoo.termwise import family


@checked()
def posterior_means(
    guide: nn.Module, x: Tensor, y: Tensor | None = None, *, index: Tensor | None = None, seed: int = 0
) -> dict[str, Tensor]:
    """The mean of q(site | x) for each latent site, or the class probabilities of a categorical.

    For a family without a closed-form mean, such as a flow, it is the mean of 256 draws. Arguments and draws are those
    of `posteriors`.

    Raises:
        ValueError: as `centre_of`.
    """
    found = codes(guide, x, y, index=index, seed=seed)
    # copies, since a centre may be a guide's parameter itself
    return {name: (q if isinstance(q, Tensor) else centre_of(name, q)).detach().clone() for name, q in found.items()}


def needs_labels(guide: nn.Module) -> bool:
    """Whether the guide has to be called with labels, guide(x, y): its attribute `needs_labels`, False without one."""
    return bool(getattr(guide, "needs_labels", False))


def refine(guide: nn.Module, *batch: Tensor, **position: Tensor) -> Any:
    """The guide for this batch: the result of its method `refined` if it has one, as a semi-amortised guide does."""
    refined = getattr(guide, "refined", None)
    return refined(*batch, **position) if refined else guide


@checked()
def posteriors(
    guide: nn.Module, x: Tensor, y: Tensor | None = None, *, index: Tensor | None = None, seed: int = 0
) -> dict[str, Any]:
    """q(site | x) for each latent site, or q(site | x, y), as the distributions that a guide's trace holds.

    A site whose head is given another one, as in MeanField(10, given=("c",)), has its posterior at a draw of that one.
    The random state is left as it was.

    Args:
        guide: the guide.
        x, y: data [B, ...] and, where the guide needs them, labels [B].
        index: the positions [B] of the datapoints in the training set, for a guide with a row per datapoint.
        seed: of the draws.

    Raises:
        ValueError: x has another type or device than the guide's weights, or values that are not finite.
    """
    args, position = (x,) if y is None else (x, y), {} if index is None else {"index": index}
    with isolated(guide, seed=seed), explaining({"the guide": guide}, x):
        trace = poutine.trace(guide).get_trace(*args, **position)
    return {name: site["fn"] for name, site in sampled(trace)}


@checked()
def codes(
    guide: nn.Module, x: Tensor, y: Tensor | None = None, *, index: Tensor | None = None, seed: int = 0
) -> dict[str, Any]:
    """q(site | x) for each latent site as `zoo.metrics` takes it: `Encoded.of(partial(codes, guide), data)`.

    A family without a closed-form mean, such as a flow, is replaced by the mean of 256 draws. Arguments and draws are
    those of `posteriors`.
    """
    found = posteriors(guide, x, y, index=index, seed=seed)
    with fork_random_state(x.device):
        torch.manual_seed(seed)
        return {name: q if _has_centre(q) else q.sample((256,)).mean(0) for name, q in found.items()}


def _has_centre(q: Any) -> bool:
    try:
        return "OneHot" in family(q) or centre(q) is not None
    except NotImplementedError:
        return False


def centre_of(name: str, q: Any) -> Tensor:
    """The mean of a site's distribution, or the class probabilities of a one-hot type, in its shape.

    A Student-t has its median, which is its mean where it has one.

    Raises:
        ValueError: it is several types at once, with an event that is not a vector.
        NotImplementedError: it has no mean in closed form, as a flow.
    """
    if "OneHot" not in family(q):
        return centre(q)
    if len(q.event_shape) != 1:
        raise ValueError(
            f"site {name!r} has an event of shape {tuple(q.event_shape)}, not a vector: it is several types at once, "
            "and a type is one site here; sample each of them as a site of its own in model and guide"
        )
    probs: Tensor = unwrapped(q).probs.expand(q.batch_shape + q.event_shape)
    return probs


@checked(latents=NOT_EMPTY)
def decode(model: nn.Module, latents: dict[str, Tensor], *, site: str = "x") -> Tensor:
    """The mean of p(x | latents): an intervention on the story, latents [N, size] to [N, ...].

    A latent that is not given is drawn once for all N datapoints, so give every latent on which the site depends.
    Floats may have any precision.

    Raises:
        LookupError: the story has no such site, or none of a name in `latents`.
        ValueError: its family has no mean; or latents differ in their number of datapoints.
    """
    check_lengths(latents)
    dtype = _dtype_of(model)
    floats = {name: value.to(dtype) if value.is_floating_point() else value for name, value in latents.items()}
    values: Any = {name: value.unsqueeze(1) for name, value in floats.items()}  # [N, 1, size]: N particles
    with evaluating(model):
        trace = poutine.trace(poutine.do(model, values)).get_trace()
    if unknown := sorted(latents.keys() - nodes_of(trace).keys()):
        raise LookupError(f"latents: {unknown_name('site', unknown[0], dict(sampled(trace)))}")
    return _mean_of(trace, site).squeeze(1)


def check_lengths(latents: Mapping[str, Tensor]) -> None:
    """Checks that all sites have as many datapoints.

    Raises:
        ValueError: two sites differ in their number of datapoints.
    """
    lengths = {name: len(value) for name, value in latents.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(
            f"latents differ in their number of datapoints, {lengths}; give each site a value for each datapoint"
        )


def _dtype_of(model: nn.Module) -> torch.dtype:
    """The type of a story's parameters, else of its buffers; the default type where it has none of floats."""
    tensors = chain(model.parameters(), model.buffers())
    return next((tensor.dtype for tensor in tensors if tensor.is_floating_point()), torch.get_default_dtype())


@checked(num=number_from(1))
def draw(model: nn.Module, num: int, *, site: str = "x") -> Tensor:
    """Means of p(x | z) for `num` draws of the latents from the prior, [num, ...].

    Raises:
        LookupError: the story has no such site.
        ValueError: its family has no mean.
    """
    with evaluating(model), pyro.plate("draws", num, dim=-2):
        trace = poutine.trace(model).get_trace()
    return _mean_of(trace, site).squeeze(1)


def _mean_of(trace: Trace, site: str) -> Tensor:
    """The mean of a site's distribution, which is NaN for a Categorical or a Cauchy distribution."""
    fn = _site(trace, site)
    try:
        mean: Tensor = fn.mean
    except NotImplementedError:
        mean = torch.tensor(torch.nan)
    if mean.isnan().any():
        raise ValueError(
            f"site {site!r} is a {family(fn)} whose mean is not a number, so there is nothing to show: give the story "
            "a likelihood that has one, as Bernoulli, Normal and OneHotCategorical do; or its weights are not finite"
        )
    return mean


def _site(trace: Trace, site: str) -> Any:
    """The distribution of a site of a story's trace.

    Raises:
        LookupError: the story has no such site; the message shows the nearest name.
    """
    known = dict(sampled(trace))
    if site not in known:
        raise LookupError(unknown_name("site", site, known))
    return known[site]["fn"]
