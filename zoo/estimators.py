"""Divergences, and estimators of the aggregate posterior q(z), as functions of tensors, in nats. Imports torch only.

Notation: a batch of B datapoints x_j with posteriors q(z | x_j), out of N datapoints in the training set; S samples
z_i. The aggregate posterior, also called the inference marginal, is q(z) = 1/N sum_n q(z | x_n). A unit is an entry of
z with its own density, a latent dimension. A categorical, relaxed or not, is one unit, and so is a Dirichlet.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple, cast, get_args

import torch
from torch import Tensor
from torch.distributions import (
    Categorical,
    Dirichlet,
    Independent,
    LowRankMultivariateNormal,
    MixtureSameFamily,
    MultivariateNormal,
    Normal,
    OneHotCategorical,
    RelaxedOneHotCategorical,
    StudentT,
    kl_divergence,
    register_kl,
)
from torch.utils.checkpoint import checkpoint

Estimator = Literal["stratified", "weighted", "minibatch-stratified", "batch"]


# Divergences of one posterior from its prior.


def closed_kl(q: Any, p: Any) -> Tensor:
    """KL(q || p) in closed form, unit by unit where both factorise.

    .. warning::
        For relaxed one-hot categoricals it is the KL of the categoricals with the same logits, at most log K for a
        uniform p. The KL of the two Concrete densities has no closed form and no such bound.

    Returns:
        [*batch, units]: one entry for each unit of an independent family, or a single entry where the units are
        coupled.

    Raises:
        NotImplementedError: there is no closed form for this pair.

    Example:
        >>> q = Independent(Normal(torch.tensor([1.0, 0.0]), 1.0), 1)
        >>> p = Independent(Normal(torch.zeros(2), 1.0), 1)
        >>> closed_kl(q, p)  # m^2 / 2 of each unit
        tensor([0.5000, 0.0000])
    """
    batch_dims = max(len(q.batch_shape), len(p.batch_shape))
    if isinstance(q, CATEGORICAL) and isinstance(p, CATEGORICAL):
        return kl_by_class(log_masses(q), log_masses(p)).sum(-1, keepdim=True)
    if _factorises(q) and _factorises(p):
        return kl_divergence(q.base_dist, p.base_dist).flatten(batch_dims)
    return kl_divergence(q, p).unsqueeze(-1)


def sampled_kl(q: Any, p: Any, value: Tensor) -> Tensor:
    """log q(value) - log p(value), unit by unit where both factorise: the estimate of KL(q || p) from one draw.

    Returns:
        [*batch, units], as `closed_kl`.

    Raises:
        ValueError: one of the two is a mass and the other a density, which must not be subtracted.

    Example:
        >>> q = Independent(Normal(torch.tensor([1.0, 0.0]), 1.0), 1)
        >>> p = Independent(Normal(torch.zeros(2), 1.0), 1)
        >>> sampled_kl(q, p, torch.tensor([2.0, 5.0]))  # (z^2 - (z - m)^2) / 2 of each unit
        tensor([1.5000, 0.0000])
    """
    if q.support.is_discrete != p.support.is_discrete:
        raise ValueError(
            f"log q - log p would mix a mass with a density: q is {type(q).__name__}, p is {type(p).__name__}; use "
            "kl='closed', which compares the categoricals, or a prior and a head that are both one-hot or both relaxed"
        )
    if _factorises(q) and _factorises(p):
        batch_dims = max(len(q.batch_shape), len(p.batch_shape))
        return (q.base_dist.log_prob(value) - p.base_dist.log_prob(value)).flatten(batch_dims)
    return (q.log_prob(value) - p.log_prob(value)).unsqueeze(-1)


def log_masses(categorical: Any) -> Tensor:
    """log of the classes' probabilities, [..., K]; -inf for a probability of 0.

    PyTorch makes logits of about -16 or -36 from a probability of 0. Below the smallest normal number the probability
    is 0 only by rounding, and the logit is right.
    """
    logits: Tensor = categorical.logits.log_softmax(-1)
    rounded = logits < math.log(torch.finfo(logits.dtype).tiny)
    return torch.where((categorical.probs == 0) & ~rounded, -torch.inf, logits)


def kl_by_class(log_q: Tensor, log_p: Tensor) -> Tensor:
    """q (log q - log p) of each class, [..., K]. Where q is 0 it is 0, also in the gradient and if p is 0 as well."""
    q = log_q.exp()
    used = q > 0
    return q * (torch.where(used, log_q, 0.0) - torch.where(used, log_p, 0.0))


def x_log_x(x: Tensor) -> Tensor:
    """x log x, which is 0 at 0, also in the gradient."""
    return x * torch.where(x > 0, x, 1.0).log()


CATEGORICAL = (RelaxedOneHotCategorical, OneHotCategorical)


def _factorises(d: Any) -> bool:
    """Whether a distribution is independent over all units of its event."""
    return isinstance(d, Independent) and d.reinterpreted_batch_ndims == len(d.event_shape)


@register_kl(MultivariateNormal, Independent)
def _kl_multivariate_normal_independent(q: MultivariateNormal, p: "Independent[Any]") -> Tensor:
    """KL of a full-rank normal from independent ones, which neither torch nor Pyro implements.

    1/2 (tr(S_p^-1 S_q) + |S_p^-1/2 (m_p - m_q)|^2 - D + log |S_p| - log |S_q|).
    """
    if not isinstance(p.base_dist, Normal) or p.reinterpreted_batch_ndims != 1:
        raise NotImplementedError
    loc, scale = p.base_dist.loc, p.base_dist.scale
    whitened = q.scale_tril / scale.unsqueeze(-1)
    trace = whitened.square().sum((-2, -1))
    distance = ((q.loc - loc) / scale).square().sum(-1)
    log_det = 2 * whitened.diagonal(dim1=-2, dim2=-1).log().sum(-1)
    kl: Tensor = 0.5 * (trace + distance - loc.shape[-1] - log_det)
    return kl


@register_kl(LowRankMultivariateNormal, Independent)
def _kl_low_rank_independent(q: LowRankMultivariateNormal, p: "Independent[Any]") -> Tensor:
    """KL of a low-rank normal from independent ones, from its variances and its log determinant."""
    if not isinstance(p.base_dist, Normal) or p.reinterpreted_batch_ndims != 1:
        raise NotImplementedError
    loc, scale = p.base_dist.loc, p.base_dist.scale
    second = (q.variance + (q.loc - loc).square()) / scale.square()
    cross = (0.5 * second + scale.log()).sum(-1) + 0.5 * loc.shape[-1] * math.log(2 * math.pi)
    kl: Tensor = cross - q.entropy()
    return kl


def largest_kl(p: Any) -> Tensor | None:
    """The largest possible KL(q || p): -log of the rarest class's probability for a categorical p, otherwise None."""
    if not isinstance(p, (*CATEGORICAL, Categorical)):
        return None
    # In double precision, so that log K of a uniform p is exact in the capacity's type.
    logits = p.logits if p.logits.device.type == "mps" else p.logits.double()
    return -logits.log_softmax(-1).amin()


def covariance_of(q: Any) -> Tensor:
    """Covariances [*batch, D, D] of a distribution over vectors.

    Raises:
        NotImplementedError: the covariance is not known in closed form.
    """
    if _factorises(q) or type(q).__name__ == "Delta":  # Pyro's point mass
        return q.variance.diag_embed()
    if isinstance(q, (OneHotCategorical, Dirichlet)):
        mean = q.mean
        cov = mean.diag_embed() - mean.unsqueeze(-1) * mean.unsqueeze(-2)
        return cov if isinstance(q, OneHotCategorical) else cov / (q.concentration.sum(-1) + 1)[..., None, None]
    if hasattr(q, "covariance_matrix"):
        return cast("Tensor", q.covariance_matrix)
    raise NotImplementedError


def centre(q: Any) -> Tensor:
    """The mean of a distribution; of independent Student-t, the median, which is also their mean where they have one.

    Raises:
        NotImplementedError: the mean is not known in closed form.
    """
    base: Any = q
    while isinstance(base, Independent) or type(base).__name__ == "MaskedDistribution":  # Pyro's, of `q.mask(...)`
        base = base.base_dist
    mean: Tensor = base.loc if isinstance(base, StudentT) else q.mean
    return mean


# The aggregate posterior.


class Scores(NamedTuple):
    """Log densities of whole values [...], and of each unit's marginal [..., units]."""

    joint: Tensor
    units: Tensor


def scores(q: Any, value: Tensor, *, concrete: Literal["mass", "density"] = "mass") -> Scores:
    """log q(value) and the log densities of its units' marginals.

    Args:
        q: a distribution whose event is a vector; value broadcasts with it.
        value: [..., size].
        concrete: how a relaxed one-hot value is scored: "mass", the categorical mass at its arg max, as in HFVAE's
            code, or "density", the Concrete density.

    Raises:
        NotImplementedError: the marginals of the family's units have no closed form.
    """
    if _factorises(q):
        if type(q.base_dist).__name__ == "Delta":  # Pyro's point mass, which has no density
            raise NotImplementedError
        units = q.base_dist.log_prob(value)
        return Scores(units.sum(-1), units)
    if isinstance(q, (MultivariateNormal, LowRankMultivariateNormal)):
        marginals = Normal(q.loc, q.variance.sqrt(), validate_args=False)
        return Scores(q.log_prob(value), marginals.log_prob(value))
    if isinstance(q, MixtureSameFamily) and _factorises(q.component_distribution):
        log_shares = q.mixture_distribution.logits.log_softmax(-1).unsqueeze(-1)
        component: Any = q.component_distribution
        units = (log_shares + component.base_dist.log_prob(value.unsqueeze(-2))).logsumexp(-2)
        return Scores(q.log_prob(value), units)
    if isinstance(q, RelaxedOneHotCategorical) and concrete == "mass":
        log_mass = q.logits.log_softmax(-1)
        batch = torch.broadcast_shapes(log_mass.shape, value.shape)
        at = value.argmax(-1, keepdim=True).expand(*batch[:-1], 1)
        units = log_mass.expand(batch).gather(-1, at)
        return Scores(units.squeeze(-1), units)
    if isinstance(q, (*CATEGORICAL, Dirichlet)):
        joint = q.log_prob(value)
        return Scores(joint, joint.unsqueeze(-1))
    raise NotImplementedError


def log_weights(batch_size: int, num_data: int, estimator: Estimator, *, like: Tensor | None = None) -> Tensor:
    """log w[i, j], [B, B], such that q(z_i) is estimated by sum_j w[i, j] q(z_i | x_j) for z_i ~ q(z | x_i).

    - "stratified": 1/N for the sample's own datapoint, (N - 1) / (N (B - 1)) for each other one. HFVAE, section 3.1
      (Esmaeili 2019, https://arxiv.org/abs/1804.02086). Unbiased for q(z).
    - "weighted": 1 / (N B) for all. Minibatch weighted sampling (Chen 2018, https://arxiv.org/abs/1802.04942, C.1).
    - "minibatch-stratified": 1/N for the sample's own datapoint, (N - B + 1) / (N (B - 1)) for the next one,
      1 / (B - 1) for the others (Chen 2018, C.2; the public code writes 1/N into a column instead of the diagonal).
    - "batch": 1/B for all, as if the batch were all of the data. Exact if it is.

    .. warning::
        No estimate of E[log q(z)] from a batch is unbiased. An unbiased estimate of q(z) is too small in the log, by
        Jensen's inequality: "stratified" overestimates I(x; z), and its total correlation of a small batch is often
        negative. "weighted" overestimates the total correlation, by tens of nats where B is much less than N. "batch"
        underestimates I(x; z), which it limits to log B. `python -m zoo estimators` measures the biases.

    Raises:
        ValueError: the batch is larger than the data, or holds one datapoint where the estimator needs several.

    Example:
        >>> log_weights(3, 9, "stratified").exp()  # 1/9 for the own datapoint, 8 / (9 x 2) for each other one
        tensor([[0.1111, 0.4444, 0.4444],
                [0.4444, 0.1111, 0.4444],
                [0.4444, 0.4444, 0.1111]])
    """
    if num_data < batch_size:
        raise ValueError(
            f"num_data = {num_data} is less than the batch of {batch_size}: give the size of the whole training set"
        )
    if batch_size < 2 and estimator != "batch":
        raise ValueError("q(z) cannot be estimated from a batch of one: use at least two datapoints")
    options: dict[str, Any] = {} if like is None else {"dtype": like.dtype, "device": like.device}
    B, N = batch_size, num_data
    own = torch.eye(B, **options)
    if estimator == "stratified":
        weights = own / N + (1 - own) * (N - 1) / (N * (B - 1))
    elif estimator == "weighted":
        weights = torch.full((B, B), 1 / (N * B), **options)
    elif estimator == "minibatch-stratified":
        after = own.roll(1, dims=1)
        weights = own / N + after * (N - B + 1) / (N * (B - 1)) + (1 - own - after) / (B - 1)
    elif estimator == "batch":
        weights = torch.full((B, B), 1 / B, **options)
    else:
        raise ValueError(f"estimator must be one of {', '.join(get_args(Estimator))}, got {estimator!r}")
    return weights.log()


class Marginals(NamedTuple):
    """log q of S samples: of z [S, ...], of each group [S, ..., groups], and of each site's units [S, ..., units].

    The dimensions ... are those of particles.
    """

    joint: Tensor
    groups: Tensor
    units: dict[str, Tensor]


Score = Callable[[str, Mapping[str, Tensor]], Scores]


def log_marginals(
    score: Score,
    values: Mapping[str, Tensor],
    log_weights: Tensor,
    groups: Sequence[Sequence[str]],
    *,
    looks_at: Mapping[str, Sequence[str]] | None = None,
    own: Mapping[str, Scores] | None = None,
    is_own: Tensor | None = None,
    max_elements: int = 2**24,
) -> Marginals:
    """log q(z), log q(z_group) and log q(z_d) of every sample, from its scores under every datapoint's posterior.

    Where q(z | x, c) depends on c, the marginal of z and c together scores z_i at (x_j, c_i), and the marginal of z
    without c scores it at (x_j, c_j), with c_j drawn for datapoint j: q(z) = 1/N sum_j E_q(c | x_j)[q(z | x_j, c)],
    each expectation estimated from one draw.

    Samples are scored in chunks, and a chunk is scored again in the backward pass instead of being kept, so that memory
    is O(chunk x B) also with gradients.

    Args:
        score: function of a site's name and of values [s, ..., 1, size] of the site and of sites that it depends on;
            returns the scores of the site's values under the B posteriors, [s, ..., B]. A site that it depends on and
            that has no value here keeps the value that each datapoint drew.
        values: by site, [S, ..., 1, size].
        log_weights: [S, B], or [B] where the samples belong to none of the datapoints.
        groups: the sites of each group.
        looks_at: for each site whose posterior depends on other sites, their names.
        own: for some sites, the scores of each sample under its own datapoint's posterior, [S, ...] and
            [S, ..., units]. They replace those of `score`, which may round differently: a network in lower precision
            returns other means for a batch of another shape, and next to a small standard deviation the difference
            is large.
        is_own: [S, B], which of the posteriors is that of the sample's datapoint; needed for `own`.
        max_elements: the largest number of scores in a chunk.

    Raises:
        ValueError: `own` is given without `is_own`.
    """
    if own and is_own is None:
        raise ValueError("own needs is_own, which says at which posterior each sample's own score belongs: give both")
    sites = list(values)
    num_samples = len(values[sites[0]])
    log_weights = log_weights.expand(num_samples, log_weights.shape[-1])

    def chunk(rows: slice) -> tuple[Tensor, ...]:
        known: dict[tuple[str, ...], Scores] = {}

        def among(some: Sequence[str], site: str) -> Scores:
            with_it = (site, *(name for name in (looks_at or {}).get(site, ()) if name in some))
            if with_it not in known:
                scored = score(site, {name: values[name][rows] for name in with_it})
                if own and is_own is not None and site in own:
                    scored = _with_own(scored, own[site], is_own, rows)
                known[with_it] = scored
            return known[with_it]

        def log_q(some: Sequence[str]) -> Tensor:
            joint = torch.stack([among(some, site).joint for site in some]).sum(0)
            return (joint + log_w).logsumexp(-1)

        leading = values[sites[0]].dim() - 3
        log_w = log_weights[rows].reshape(-1, *[1] * leading, log_weights.shape[-1])
        return (
            log_q(sites),
            torch.stack([log_q(group) for group in groups], dim=-1),
            *((among([site], site).units + log_w.unsqueeze(-1)).logsumexp(-2) for site in sites),
        )

    per_sample = log_weights.shape[-1] * sum(value[0].numel() for value in values.values())
    size = max(1, max_elements // per_sample)
    if size >= num_samples:
        joint, of_groups, *units = chunk(slice(None))
    else:
        every = [slice(start, start + size) for start in range(0, num_samples, size)]
        parts = [checkpoint(chunk, rows, use_reentrant=False, preserve_rng_state=False) for rows in every]
        joint, of_groups, *units = (torch.cat(part) for part in zip(*parts, strict=True))
    return Marginals(joint, of_groups, dict(zip(sites, units, strict=True)))


def _with_own(scored: Scores, own: Scores, is_own: Tensor, rows: slice) -> Scores:
    """Scores [s, ..., B] of the samples `rows`, with each one's own score where `is_own`, [s, B], is true."""
    here = is_own[rows].reshape(-1, *[1] * (scored.joint.dim() - 2), is_own.shape[-1])
    joint = torch.where(here, own.joint[rows].unsqueeze(-1), scored.joint)
    units = torch.where(here.unsqueeze(-1), own.units[rows].unsqueeze(-2), scored.units)
    return Scores(joint, units)


class Anatomy(NamedTuple):
    """The parts of KL(q(z | x) || p(z)), after HFVAE's Figures 1 and 3: nats per datapoint, means over the samples.

    mutual_information + between + sum(within) + sum(units) is the KL. These are the unsigned quantities; the paper's
    letters 2, 4, A, i and ii, as used in `zoo.elbos`, are the same with a minus sign.

    Attributes:
        mutual_information: I(x; z) = E[log q(z | x) - log q(z)], minus term 2.
        between: the total correlation between groups, less the prior's; minus term A.
        within: the total correlation within each group, less the prior's, [groups]; their sum is minus term i.
        units: KL(q(z_d) || p(z_d)) by site, [units]; their sum is minus term ii.
    """

    mutual_information: Tensor
    between: Tensor
    within: Tensor
    units: dict[str, Tensor]

    @property
    def marginal_kl(self) -> Tensor:
        """KL(q(z) || p(z)), minus term 4: between + sum(within) + sum(units)."""
        return self.between + self.within.sum() + torch.cat(list(self.units.values())).sum()


def anatomy(
    own: Mapping[str, Tensor], marginals: Marginals, prior: Mapping[str, Scores], groups: Sequence[Sequence[str]]
) -> Anatomy:
    """The parts of the KL in HFVAE's equation (4), from log densities of the same samples.

    Args:
        own: log q(z | x) of each sample under its own datapoint, by site [S, ...].
        marginals: the result of `log_marginals`.
        prior: the samples' scores under p, by site.
        groups: those that `marginals` was computed with. The prior's sites are independent of each other, so its total
            correlation between groups is zero.
    """
    within = []
    for g, group in enumerate(groups):
        q_units = torch.stack([marginals.units[site].sum(-1) for site in group]).sum(0)
        p_excess = torch.stack([prior[site].joint - prior[site].units.sum(-1) for site in group]).sum(0)
        within.append((marginals.groups[..., g] - q_units - p_excess).mean())
    posterior = torch.stack(list(own.values())).sum(0)
    return Anatomy(
        mutual_information=(posterior - marginals.joint).mean(),
        between=(marginals.joint - marginals.groups.sum(-1)).mean(),
        within=torch.stack(within),
        units={site: (log_q - prior[site].units).flatten(0, -2).mean(0) for site, log_q in marginals.units.items()},
    )


# Divergences of the aggregate posterior from the prior, by samples of both.

IMQ_SCALES = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)


def mmd(x: Tensor, y: Tensor, *, kernel: Literal["marginal", "joint"], scales: Sequence[float] = IMQ_SCALES) -> Tensor:
    """Squared maximum mean discrepancy of two samples [S, D], with inverse multiquadric kernels C / (C + d^2).

    "marginal": a kernel for each dimension, with C = 2 s, summed over scales s and dimensions, as in the decomposition
    paper's code (Mathieu 2019, https://arxiv.org/abs/1812.02833, section 6.3). "joint": one kernel, with d^2 over all
    dimensions and C = 2 D s, summed over scales (Tolstikhin 2018, https://arxiv.org/abs/1711.01558). Within each sample
    the mean is over pairs of different points (a U-statistic), across the two samples over all pairs.

    .. warning::
        It is not in nats. The kernels' widths are fixed by `scales`, for values of about unit variance: differences
        much smaller or larger hardly change it. "marginal" cannot see dependence between dimensions. An estimate can be
        negative.

    Raises:
        ValueError: fewer than two samples, or samples of different shapes.

    Example:
        >>> x = torch.zeros(2, 1)
        >>> mmd(x, x, kernel="joint", scales=[1.0])  # 1 within each, less 2 x 1 across
        tensor(0.)
    """
    if x.shape != y.shape or x.dim() != 2 or len(x) < 2:
        raise ValueError(
            f"mmd takes two samples of one shape [S, D] with S >= 2, got {list(x.shape)} and {list(y.shape)}"
        )
    S, D = x.shape

    def total(differences: Tensor) -> Tensor:
        squares = differences.square()  # [..., D]
        if kernel == "joint":
            squares = squares.sum(-1) / D
        value, _ = _SumOfKernels.apply(squares, [2 * s for s in scales])
        return value

    i, j = torch.triu_indices(S, S, offset=1, device=x.device)  # each pair within a sample once
    across = total(x.unsqueeze(1) - y.unsqueeze(0)) / S**2
    return (total(x[i] - x[j]) + total(y[i] - y[j])) / len(i) - 2 * across


class _SumOfKernels(torch.autograd.Function):
    """The sum of C / (C + d^2) over all squares d^2 and all C, and its derivative in the same pass.

    Autograd alone stores two arrays of the size of `squares` for each C, which takes most of the time.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(squares: Tensor, constants: Sequence[float]) -> tuple[Tensor, Tensor]:
        total, slope = squares.new_zeros(()), torch.zeros_like(squares)
        for C in constants:
            inverse = (squares + C).reciprocal_()
            total = total + C * inverse.sum()
            slope.sub_(inverse.mul_(inverse), alpha=C)
        return total, slope

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Sequence[float]], output: tuple[Tensor, Tensor]) -> None:
        squares, ctx.constants = inputs
        ctx.mark_non_differentiable(output[1])
        ctx.save_for_backward(squares, output[1])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, _: Tensor) -> tuple[Tensor, None]:
        squares, slope = ctx.saved_tensors
        if torch.is_grad_enabled():  # for a second derivative, the slope as a function of `squares`
            slope = -torch.stack([C / (squares + C).square() for C in ctx.constants]).sum(0)
        return gradient * slope, None


def permute_units(values: Tensor, sizes: Sequence[int] | None = None) -> Tensor:
    """Permutes each unit of [B, D] over the batch by itself: samples of q(z) become samples of prod_d q(z_d).

    Algorithm 1 of Kim & Mnih 2018, https://arxiv.org/abs/1802.05983.

    Args:
        values: [B, D].
        sizes: the number of entries of each unit, in order, such as K for a categorical; 1 each when not given.
    """
    sizes = sizes or [1] * values.shape[1]
    order = torch.rand_like(values[:, : len(sizes)]).argsort(dim=0)
    columns = zip(order.split(1, dim=1), sizes, strict=True)
    return values.gather(0, torch.cat([column.expand(-1, size) for column, size in columns], dim=1))


def covariance(values: Tensor) -> Tensor:
    """Covariance over the batch, [B, D] to [D, D], divided by B.

    Raises:
        ValueError: there is one datapoint only, whose covariance of 0 says nothing.
    """
    if len(values) < 2:
        raise ValueError("a batch of one has no covariance: use at least two datapoints")
    centred = values - values.mean(0)
    return centred.mT @ centred / len(values)


def gaussian_total_correlation(cov: Tensor) -> Tensor:
    """Total correlation of a Gaussian with this covariance, [D, D]: (sum of log diagonal - log determinant) / 2, in
    nats.

    Example:
        >>> gaussian_total_correlation(torch.tensor([[1.0, 0.6], [0.6, 1.0]]))  # -log(1 - 0.6^2) / 2
        tensor(0.2231)
    """
    return 0.5 * (cov.diagonal().log().sum() - torch.linalg.slogdet(cov).logabsdet)
