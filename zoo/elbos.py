"""The objectives of the papers, one small class for each.

An objective is a sum of named terms, and training maximises the sum. A term includes its sign and its weight, as in
"-KL(z)", and is in nats per datapoint: natural logarithms, summed over pixels and latent dimensions, averaged over the
datapoints; a class whose terms are not nats says so. The loss is minus the sum. `elbo.report()` has the terms of the
last pass, and the unweighted reconstruction and KL of each site.

An objective is a loss of Pyro: `SVI(model, guide, optim, loss=BetaVAE(beta=4.0))`. A weight, or a capacity, may be
assigned at any time, `elbo.beta = 2.0`, and the next step uses the new value. So a schedule is an assignment in the
body of a training loop.

A new objective inherits from `TermwiseELBO`, defines `terms(model_trace, guide_trace)`, which returns the terms by
name, and declares each weight as `beta = Hyperparameter()`; `zoo.terms` has terms to build it from. Inheriting from one
of the classes below is refused, since an objective saves the weights that its own class declares, and no others.

The words here: the model is the story, p(x, z). A guide gives each latent site of the model its posterior, by a part
called a head. A unit is one latent dimension, or a whole categorical site; most families have independent units, and
others, such as a flow or a Dirichlet, couple them. A discrete site whose head is `Exact` or `Predicted` is summed out:
the terms are averages over its classes, weighted by q(class | x), instead of values at a draw.

Arguments that most classes share:

    kl               how KL(q(z | x) || p(z)) is computed: "closed", by its closed form, or "sampled", as
                     log q(z | x) - log p(z) at the guide's draw; for all sites, or by site as in {"z": "sampled"},
                     where the others are "closed". Where there is no closed form, as for a flow, "closed" uses the draw
                     too, and warns once for each site (`zoo.pairing.SampledKLWarning`). Objectives whose terms do not
                     include this KL do not have the argument
    num_particles    the number of draws of the latent sites for each datapoint; the terms are averaged over them
    num_data         N, the number of datapoints in the training set. The aggregate posterior, q(z) = 1/N sum_n
                     q(z | x_n), is the average of all N posteriors; a batch of B has only B of them
    estimator        how q(z) at the draw of a datapoint is estimated, as a weighted sum of the B posteriors' densities:
                     "stratified", weight 1/N for the datapoint's own posterior and (N - 1) / (N (B - 1)) for each other
                     one; "weighted", 1 / (N B) for each; "minibatch-stratified", like "stratified" with other weights;
                     or "batch", 1/B for each. `zoo.estimators.log_weights` has the formulas, sources and biases
    concrete         how a draw of a relaxed one-hot site (the head Concrete) is scored under q: "mass", by the
                     probability of the class with the largest entry, or "density", by the Concrete density

q(z) has two quantities that the papers weight: the mutual information I(x; z) = E[log q(z | x) - log q(z)], and the
total correlation TC(z) = KL(q(z) || prod_d q(z_d)), which is 0 where the units are independent under q(z).

`weights` is a class's row of Table 1 of HFVAE (https://arxiv.org/abs/1804.02086), in the numbers and letters of its
Figures 1 and 3. Each is a term of the ELBO with its sign. The ELBO is (1 + 3) + 2 + 4, and 4 = A + i + ii if the prior
has independent units:

    1 + 3    E_q[log p(x | z)], the reconstruction. The paper splits it into 1, which compares x and z, and 3, which
             contains p(x) alone; no objective weights them apart
    2        -I(x; z)
    4        -KL(q(z) || p(z)), the rest of -KL(q(z | x) || p(z))
    A        -TC between groups of sites
    i        -TC within the groups, summed over groups
    ii       -KL(q(z_d) || p(z_d)), summed over units d

The examples of the classes use this pair:

    >>> from functools import partial
    >>> import torch
    >>> from guides import Amortized, MeanField
    >>> from torch import nn
    >>> from zoo import VAE
    >>> from zoo.likelihoods import normal
    >>> model = VAE(nn.Linear(2, 5), z_dim=2, likelihood=partial(normal, scale=1.0))
    >>> guide = Amortized(nn.Linear(5, 8), z=MeanField(2))
    >>> x = torch.ones(4, 5)
"""

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Literal, NoReturn

import torch
from pyro.infer.util import is_validation_enabled
from pyro.poutine.messenger import Messenger
from pyro.poutine.trace_struct import Trace
from torch import Tensor

from zoo import ranks
from zoo.aggregate import anchor_information, dissect, prior_kl, prior_mmd
from zoo.aggregate_sites import batch_scale, check_vectors
from zoo.arguments import NOT_EMPTY, Allowed, checked, number_from
from zoo.categories import categorical_sites, kl_parts, roughness
from zoo.estimators import Estimator, covariance, largest_kl, x_log_x
from zoo.handlers import DrawPriors, RunAgain, ScorePairs
from zoo.hyperparameters import Hyperparameter, Statistic
from zoo.moments import posterior_means, posterior_moments
from zoo.report import Report
from zoo.sites import (
    Groups,
    chances_of,
    check_some_latent,
    family,
    known_sites,
    latent,
    mean_over_data,
    nodes_of,
    num_data_of_all_ranks,
    observed,
    partition,
    plates_of,
    summed_out,
    total,
)
from zoo.terms import check_divergence, dip_terms, elbo_terms, mmd_kernel, reconstruction, recounted
from zoo.termwise import How, TermwiseELBO

__all__ = [
    "DIPVAE",
    "DIPVAEI",
    "DIPVAEII",
    "HFVAE",
    "OBJECTIVES",
    "AnchoredCorEx",
    "BetaTCVAE",
    "BetaVAE",
    "Capacity",
    "Decomposition",
    "FactorVAE",
    "InfoVAE",
    "InformationDropout",
    "NaturalClusteringELBO",
    "PlainELBO",
    "Report",
    "TermwiseELBO",
    "TypeInformation",
]

KL = How | Mapping[str, How]
Concrete = Literal["mass", "density"]


class PlainELBO(TermwiseELBO):
    """The evidence lower bound: E_q[log p(x | z)] - KL(q(z | x) || p(z)).

    Equation (3) of Kingma & Welling 2014, https://arxiv.org/abs/1312.6114. A lower bound on log p(x). Its loss is that
    of Pyro's `TraceMeanField_ELBO` for kl="closed", and of Pyro's `Trace_ELBO` for kl="sampled", divided by the number
    of datapoints.

    Example:
        >>> elbo = PlainELBO()
        >>> loss = elbo.loss(model, guide, x)
        >>> list(elbo.report().terms)
        ['log p(x)', '-KL(z)']
        >>> loss + float(sum(elbo.report().terms.values()))  # the loss is minus their sum
        0.0
    """

    weights = "(1 + 3) + 2 + 4"

    @checked()
    def __init__(self, *, kl: KL = "closed", num_particles: int = 1) -> None:
        super().__init__(kl=kl, num_particles=num_particles)

    def terms(self, model_trace: Trace, guide_trace: Trace) -> dict[str, Tensor]:
        """log p of each observed site, and minus the KL of each latent one."""
        return elbo_terms(model_trace, guide_trace)


class BetaVAE(TermwiseELBO):
    """beta-VAE: E_q[log p(x | z)] - beta KL(q(z | x) || p(z)).

    Equation (4) of Higgins et al. 2017, https://openreview.net/forum?id=Sy2fzU9gl. beta = 1 is the ELBO. With
    `poutine.scale` by beta on the latent sites of model and guide, Pyro's `Trace_ELBO` has the same value. A lower
    bound on log p(x) for beta >= 1.

    .. warning::
        Not a bound on log p(x) for beta < 1, since it subtracts less than the KL.

    Args:
        beta: one number for all latent sites, or a mapping from site to beta; sites that it leaves out have beta = 1.

    Raises:
        ValueError: beta is negative or not finite, or names a site that is not latent.

    Example:
        >>> elbo = BetaVAE(beta=4.0)
        >>> loss = elbo.loss(model, guide, x)
        >>> list(elbo.report().terms)
        ['log p(x)', '-KL(z)']
    """

    weights = "(1 + 3) + beta (2 + 4)"

    beta = Hyperparameter()

    @checked()
    def __init__(
        self,
        *,
        beta: float | Mapping[str, float],
        kl: KL = "closed",
        num_particles: int = 1,
    ) -> None:
        super().__init__(kl=kl, num_particles=num_particles)
        self.beta = beta

    def terms(self, model_trace: Trace, guide_trace: Trace) -> dict[str, Tensor]:
        """The ELBO's terms, with each KL multiplied by its beta."""
        if not isinstance(self.beta, Tensor):
            known_sites("beta", self.beta, guide_trace)
        return elbo_terms(model_trace, guide_trace, self.beta)


class Capacity(TermwiseELBO):
    """The KL is pulled towards a capacity C: E_q[log p(x | z)] - gamma |KL - C|.

    Burgess et al. 2018, https://arxiv.org/abs/1804.03599, equation (8), with one gamma and one C for the whole KL; or,
    with a gamma and a C for each site, Joint-VAE's equation (7) (Dupont 2018, https://arxiv.org/abs/1804.00104). The
    KL is averaged over batch and particles before the absolute value is taken. Both papers let C grow in training,
    which an assignment at each step does: `elbo.capacity = {"z": 2.5, "c": 1.1}`.

    .. warning::
        Not a bound on log p(x) where gamma |KL - C| is less than the KL, which is so for a KL close to C. Below C it
        rewards a larger KL.

    Args:
        gamma: weight of |KL - C|: one number for the whole KL, or a mapping with one for each latent site or sum of
            sites, as in {"z": 30.0, "c1+c2": 30.0}.
        capacity: C in nats, given in the same form as gamma. A categorical site, such as a type of K classes, has a KL
            of at most log K under a uniform prior, and of at most -log p(rarest class) under any other prior. For
            a sum of sites these maxima add up; of a type of the whole data, outside of the plate "data", each
            datapoint has 1/N of the KL. If C is larger than the maximum, the maximum is used, with one UserWarning
            (where Pyro's validation is on, as it is by default). A relaxed type with kl="sampled" has no maximum,
            since its KL is then that of densities.

    Raises:
        ValueError: a value is negative or not finite; or the keys of the mappings differ, or do not name each latent
            site exactly once.

    Example:
        >>> elbo = Capacity(gamma=30.0, capacity=5.0)
        >>> loss = elbo.loss(model, guide, x)
        >>> list(elbo.report().terms)
        ['log p(x)', '-gamma |KL(z) - C|']
    """

    weights = "(1 + 3) - gamma |2 + 4 + C|"

    gamma = Hyperparameter()
    capacity = Hyperparameter()

    @checked()
    def __init__(
        self,
        *,
        gamma: float | Mapping[str, float],
        capacity: float | Mapping[str, float],
        kl: KL = "closed",
        num_particles: int = 1,
    ) -> None:
        super().__init__(kl=kl, num_particles=num_particles)
        self._holds: dict[str, float] = {}
        self._said = False
        self.gamma = gamma
        self.capacity = capacity

    def assigned(self, name: str) -> None:
        """Warns where the capacity is larger than the KL can be."""
        if name == "capacity":
            self._say_what_is_too_much()

    def _say_what_is_too_much(self) -> None:
        asked = self.capacity if isinstance(self.capacity, Mapping) else dict.fromkeys(self._holds, self.capacity)
        for key, most in self._holds.items():
            if not self._said and key in asked and asked[key].item() > most * (1 + 1e-6):
                self._said = True
                warnings.warn(
                    f"Capacity: {asked[key].item():.4g} nats are asked of {key}, whose KL is at most {most:.4g} (log K "
                    "under a uniform prior): this maximum is used instead",
                    stacklevel=4,
                )

    def terms(self, model_trace: Trace, guide_trace: Trace) -> dict[str, Tensor]:
        """log p of each observed site, and -gamma |KL - C| of the whole KL, or of each site or sum of sites."""
        sites = dict(latent(guide_trace))
        gamma, capacity = self.gamma, self.capacity
        if isinstance(gamma, Tensor) and isinstance(capacity, Tensor):
            gamma, capacity = {"+".join(sites): gamma}, {"+".join(sites): capacity}
        if isinstance(gamma, Tensor) or isinstance(capacity, Tensor) or gamma.keys() != capacity.keys():
            raise ValueError(
                "Capacity: give gamma and capacity both as numbers, or both as mappings from the same sites"
            )
        self._holds = {key: most for key, most in self._holds.items() if key in gamma}
        terms = reconstruction(model_trace)
        for key, names in zip(gamma, partition([key.split("+") for key in gamma], list(sites)), strict=True):
            kl = torch.stack([total(sites[name]) for name in names]).sum()
            C = self._at_most(capacity[key], key, [self._largest(name, model_trace) for name in names])
            scale = batch_scale({name: sites[name] for name in names})
            terms[f"-gamma |KL({key}) - C|"] = -gamma[key] * (kl - scale * C).abs()
        return terms

    def _largest(self, name: str, model_trace: Trace) -> Tensor | None:
        """The largest KL that a site can have; None where it has no bound."""
        if name not in model_trace:  # an auxiliary site of the guide
            return None
        site = nodes_of(model_trace)[name]
        prior = site["fn"]
        if self._how(name, prior) == "sampled" and not prior.support.is_discrete:
            return None  # a KL of densities
        most = largest_kl(prior)
        # Of a latent of the whole data, each datapoint has 1/N of the KL.
        return most if most is None or "data" in plates_of(site) else most / num_data_of_all_ranks(model_trace)

    def _at_most(self, capacity: Tensor, key: str, largest: Sequence[Tensor | None]) -> Tensor:
        """The capacity, or the largest KL that the sites can have if that is less."""
        known = [most for most in largest if most is not None]
        if len(known) < len(largest):
            return capacity
        most = torch.stack(known).sum().to(capacity.dtype)
        if is_validation_enabled():
            self._holds[key] = most.item()
            self._say_what_is_too_much()
        return torch.minimum(capacity.to(most.device), most)


class TypeInformation(TermwiseELBO):
    """Types that hold information about x, are used as the prior says, and are the same for close datapoints.

    E_q[log p(x | z, c)] - gamma |KL(z) - C| + information I(x; c) - balance KL(q(c) || p(c)) - smoothness
    KL(q(c | x) || q(c | x + r)), for a story with a style z and a type c, such as JointVAE. The style's term is that of
    `Capacity` (Dupont 2018, https://arxiv.org/abs/1804.00104). The terms of the type are after IMSAT, a method for
    clustering (Hu et al. 2017, https://arxiv.org/abs/1702.08720), as is the idea that r is short where datapoints are
    close to each other. Their combination with a generative model, and the default lengths, are this project's.

    Why: averaged over the data, KL(c) = I(x; c) + KL(q(c) || p(c)). A capacity for KL(c) rewards both parts alike. It
    is reached as soon as every q(c | x) is certain, even if few types are used, and even if the boundary between two
    types runs through many close datapoints. Here the two parts have weights of opposite sign, so that types are
    certain and in use. The last term moves the boundaries to where datapoints are few: r is a small step from x, in a
    direction that changes q(c | x) much (`zoo.categories.roughness`), and the change is penalised.

    .. warning::
        Not a bound on log p(x). Information and balance are those of the batch, which estimates I(x; c) too low (see
        `zoo.categories.kl_parts`), so use batches of many times K datapoints. A pass runs the guide three times: at x,
        at a random point, and at x + r. A guide with batch norm moves its running averages each time.

    Args:
        gamma: weight of |KL - C| for each style, or sum of styles, as in {"z": 30.0}. A style is a site that is not
            categorical; one that is not named here has its KL, with weight 1. Types are all categorical sites.
        capacity: C in nats, by the same names.
        information: weight of I(x; c), of each type.
        balance: weight of KL(q(c) || p(c)), of each type.
        smoothness: weight of KL(q(c | x) || q(c | x + r)), of each type.
        radius: the length of r, as a share of the distance from x to the nearest other datapoint of the batch.
        probe: the distance between x and the random point at which the direction of r is determined, as a share of the
            same distance. A probe as short as r finds directions that train the type worse: on MNIST its accuracy was
            75 % instead of 85 % after 1,000 steps.
        kl, num_particles: see above; types have the closed form.

    Raises:
        ValueError: a number is negative or not finite; gamma and capacity do not name the same styles, each once; there
            is no type, or none depends on x; the guide cannot be run at x + r; a site has a mask, a scale per datapoint
            or another plate than "data", in which a mean over the batch is not defined; or the batch has one datapoint
            only.

    Example:
        >>> from guides import Concrete
        >>> from zoo import JointVAE
        >>> story = JointVAE(nn.Bilinear(2, 3, 5), z_dim=2, c_dims=[3], temperature=0.67)
        >>> both = Amortized(nn.Linear(5, 8), z=MeanField(2), c=Concrete(3, temperature=0.67))
        >>> weights = {"information": 30.0, "balance": 90.0, "smoothness": 300.0}
        >>> elbo = TypeInformation(gamma={"z": 30.0}, capacity={"z": 5.0}, **weights)
        >>> loss = elbo.loss(story, both, x)
        >>> list(elbo.report().terms)
        ['log p(x)', '-gamma |KL(z) - C|', 'I(x; c)', '-KL(q(c) || p)', '-KL(q(c | x) || q(c | x + r))']
    """

    weights = "(1 + 3) - gamma |2 + 4 + C| of z, + balance 4 - information 2 of c, - smoothness"

    gamma = Hyperparameter()
    capacity = Hyperparameter()
    information = Hyperparameter()
    balance = Hyperparameter()
    smoothness = Hyperparameter()
    radius = Hyperparameter()
    probe = Hyperparameter()

    @checked()
    def __init__(
        self,
        *,
        gamma: Mapping[str, float],
        capacity: Mapping[str, float],
        information: float,
        balance: float,
        smoothness: float,
        radius: float = 0.17,
        probe: float = 1.5,
        kl: KL = "closed",
        num_particles: int = 1,
    ) -> None:
        super().__init__(kl=kl, num_particles=num_particles)
        self.gamma, self.capacity = gamma, capacity
        self.information, self.balance, self.smoothness = information, balance, smoothness
        self.radius, self.probe = radius, probe

    def messengers(self) -> Sequence[Messenger]:
        """`RunAgain`, by which the guide is run at x + r."""
        return [RunAgain()]

    def terms(self, model_trace: Trace, guide_trace: Trace) -> dict[str, Tensor]:
        """log p of each observed site, -gamma |KL - C| of each style, three terms of each type, -KL of other sites."""
        sites = dict(latent(guide_trace))
        styles = {key: key.split("+") for key in self.gamma}
        named = [name for names in styles.values() for name in names]
        known_sites("TypeInformation: gamma", named, guide_trace)
        if self.gamma.keys() != self.capacity.keys() or len(set(named)) < len(named):
            raise ValueError(
                f"TypeInformation: gamma and capacity must name the same sites, each once, got {list(self.gamma)} and "
                f"{list(self.capacity)}"
            )
        types = categorical_sites(guide_trace)
        if not types:
            raise ValueError(
                f"TypeInformation: of the latent sites {list(sites)} none is a one-hot or relaxed categorical, so "
                "there is no type: use a story with a type, such as JointVAE, or Capacity"
            )
        if wrong := sorted(set(types) & set(named)):
            raise ValueError(
                f"TypeInformation: gamma names {wrong}, which are types and have no capacity: remove them, or use "
                "Capacity"
            )
        terms = reconstruction(model_trace)
        for key, names in styles.items():
            kl = torch.stack([total(sites[name]) for name in names]).sum()
            scale = batch_scale({name: sites[name] for name in names})
            terms[f"-gamma |KL({key}) - C|"] = -self.gamma[key] * (kl - scale * self.capacity[key]).abs()
        terms |= {f"-KL({name})": -total(sites[name]) for name in sites if name not in (*named, *types)}
        for name in types:
            parts = kl_parts(model_trace, guide_trace, name)
            terms[f"I(x; {name})"] = self.information * parts.information
            terms[f"-KL(q({name}) || p)"] = -self.balance * parts.divergence
        for name, nats in roughness(guide_trace, types, radius=self.radius, probe=self.probe).items():
            terms[f"-KL(q({name} | x) || q({name} | x + r))"] = -self.smoothness * nats
        return terms


class BetaTCVAE(TermwiseELBO):
    """beta-TCVAE: E_q[log p(x | z)] - I(x; z) - beta TC(z) - sum_d KL(q(z_d) || p(z_d)).

    Equation (4) of Chen et al. 2018, https://arxiv.org/abs/1802.04942, with alpha = gamma = 1 as in the paper. The KL
    of the ELBO is I + TC + sum_d KL, so this is ELBO + (1 - beta) TC: with the exact q(z), a lower bound on log p(x)
    for beta >= 1.

    .. warning::
        A batch only estimates q(z), with a bias that depends on its size and on the estimator. "stratified"
        overestimates I(x; z), and its TC of a small batch is often negative, although a total correlation is at least
        0. "weighted" overestimates TC, by tens of nats where the batch is a small part of the data. So compare terms
        only where batch size and estimator are equal. Priors that depend on each other, and sites that are summed out
        (the head Exact), are refused.

    Args:
        beta: weight of the total correlation over all units of all latent sites.
        num_data: N, the number of datapoints in the training set.
        estimator: how q(z) is estimated: "stratified", "weighted" (the paper's), "minibatch-stratified" or "batch"; see
            `zoo.estimators.log_weights`.
        concrete: how the draws of a Concrete (relaxed one-hot) site are scored: "mass", by the probability of the
            class with the largest entry, or "density", by the Concrete density.

    Raises:
        ValueError: as `zoo.aggregate.dissect` does.

    Example:
        >>> elbo = BetaTCVAE(beta=6.0, num_data=100)
        >>> loss = elbo.loss(model, guide, x)
        >>> list(elbo.report().terms)
        ['log p(x)', '-I(x; z)', '-TC', '-KL(z_d)']
    """

    weights = "(1 + 3) + 2 + beta (A + i) + ii"
    needs_kl = False

    beta = Hyperparameter()

    @checked(num_data=number_from(1))
    def __init__(
        self,
        *,
        beta: float,
        num_data: int,
        estimator: Estimator = "stratified",
        concrete: Concrete = "mass",
        num_particles: int = 1,
    ) -> None:
        super().__init__(num_particles=num_particles)
        self.beta = beta
        self.num_data, self.estimator, self.concrete = num_data, estimator, concrete

    def messengers(self) -> Sequence[Messenger]:
        """`ScorePairs`, by which each datapoint's sample is scored under the posterior of every datapoint."""
        return [ScorePairs(self.concrete)]

    def terms(self, model_trace: Trace, guide_trace: Trace) -> dict[str, Tensor]:
        """Reconstruction and the three parts of the KL, the total correlation multiplied by beta."""
        kl = dissect(model_trace, guide_trace, num_data=self.num_data, estimator=self.estimator)
        return reconstruction(model_trace) | {
            "-I(x; z)": -kl.mutual_information,
            "-TC": -self.beta * (kl.between + kl.within.sum()),
            "-KL(z_d)": -torch.cat(list(kl.units.values())).sum(),
        }


class HFVAE(TermwiseELBO):
    """HFVAE: the KL in four parts, with a weight for three of them.

        E_q[log p(x | z)]
        - alpha I(x; z)
        - beta TC between the groups of latent sites
        - gamma TC within each group
        - sum of KL(q(z_de) || p(z_de)) over the units e of all groups d

    Equation (4) of Esmaeili et al. 2019, https://arxiv.org/abs/1804.02086. z_d are the latents of group d, and z_de is
    its unit e. TC between the groups is KL(q(z) || prod_d q(z_d)), and TC within them is the sum over d of
    KL(q(z_d) || prod_e q(z_de)) - E_q[log p(z_d) - sum_e log p(z_de)], where the last part is 0 if the prior's units
    are independent. So a large gamma penalises dependence within a group that the prior does not have, and a small beta
    allows dependence between groups.

    alpha = beta = gamma = 1 is the ELBO. alpha = 1 with beta = gamma, or with all sites in one group, where beta has no
    effect, is beta-TCVAE with that gamma as its beta.

    .. warning::
        A batch only estimates q(z), with a bias that depends on its size and on the estimator: for a small batch, TC
        under "stratified" is often negative, although a total correlation is at least 0. Compare terms only where batch
        size and estimator are equal. Priors that depend on each other, and sites that are summed out (the head Exact),
        are refused. A lower bound on log p(x) only for weights of at least 1, a prior of independent units, and the
        exact q(z).

    Args:
        alpha, beta, gamma: the weights.
        groups: the latent sites in groups, as in [["c"], ["z1", "z2"]]; without it each site is a group of its own.
        num_data, estimator, concrete: as in `BetaTCVAE`. The paper uses the estimator "stratified", and its code scores
            Concrete sites by "mass".

    Raises:
        ValueError: as `zoo.aggregate.dissect` does.

    Example:
        >>> elbo = HFVAE(alpha=1.0, beta=3.0, gamma=4.0, num_data=100)
        >>> loss = elbo.loss(model, guide, x)
        >>> list(elbo.report().terms)
        ['log p(x)', '-I(x; z)', '-TC between', '-TC within', '-KL(z_de)']
    """

    weights = "(1 + 3) + alpha 2 + beta A + gamma i + ii"
    needs_kl = False

    alpha = Hyperparameter()
    beta = Hyperparameter()
    gamma = Hyperparameter()

    @checked(num_data=number_from(1), groups=NOT_EMPTY)
    def __init__(
        self,
        *,
        alpha: float,
        beta: float,
        gamma: float,
        num_data: int,
        groups: Groups | None = None,
        estimator: Estimator = "stratified",
        concrete: Concrete = "mass",
        num_particles: int = 1,
    ) -> None:
        super().__init__(num_particles=num_particles)
        self.alpha, self.beta, self.gamma = alpha, beta, gamma
        self.num_data, self.groups, self.estimator, self.concrete = num_data, groups, estimator, concrete

    def messengers(self) -> Sequence[Messenger]:
        """`ScorePairs`, by which each datapoint's sample is scored under the posterior of every datapoint."""
        return [ScorePairs(self.concrete)]

    def terms(self, model_trace: Trace, guide_trace: Trace) -> dict[str, Tensor]:
        """Reconstruction and the four parts of the KL, weighted."""
        kl = dissect(model_trace, guide_trace, num_data=self.num_data, groups=self.groups, estimator=self.estimator)
        return reconstruction(model_trace) | {
            "-I(x; z)": -self.alpha * kl.mutual_information,
            "-TC between": -self.beta * kl.between,
            "-TC within": -self.gamma * kl.within.sum(),
            "-KL(z_de)": -torch.cat(list(kl.units.values())).sum(),
        }


class DIPVAE(TermwiseELBO):
    """DIP-VAE: ELBO - lambda_od sum_{i != j} Cov_ij^2 - lambda_d sum_i (Cov_ii - 1)^2, Cov of the posterior means.

    Equation (6) of Kumar et al. 2018, https://arxiv.org/abs/1711.00848v1. Cov, [D, D], is the covariance over
    datapoints of the means of q(z | x): a running estimate over the batches, (1 - rate) old + rate new. The old part is
    a constant, so gradients pass through the current batch alone, multiplied by the rate. The paper does not state the
    rate. A lower bound on log p(x), since the penalties are not negative. If the site's posterior depends on a class,
    its mean given x is the average over classes, so the class has to be summed out (the head Exact).

    .. warning::
        The penalties are squares of covariances, not nats; their weights set how they compare with nats. They ask for
        the covariance I of the paper's prior Normal(0, I), whatever the story's prior is.

    Args:
        lambda_od, lambda_d: the weights; the paper uses lambda_d = 10 lambda_od. The sum over i != j has each pair of
            dimensions twice.
        rate: weight of the new batch in the running estimate, in (0, 1]; rate = 1 is the later papers' DIP-VAE-I.
        site: the latent site whose posterior means are penalised.

    Raises:
        ValueError: a weight is negative or not finite, or the rate is not in (0, 1]; the site's family has no mean; the
            site depends on one that is not summed out; or the running covariance is of another number of units.

    Example:
        >>> elbo = DIPVAE(lambda_od=10.0, lambda_d=100.0, rate=0.1)
        >>> loss = elbo.loss(model, guide, x)
        >>> list(elbo.report().terms)
        ['log p(x)', '-KL(z)', '-Cov_ij^2', '-(Cov_ii - 1)^2']
    """

    weights = "(1 + 3) + 2 + 4 + lambda 4, where the last 4 is replaced by a running covariance of the means"

    lambda_od = Hyperparameter()
    lambda_d = Hyperparameter()
    covariance = Statistic()

    @checked(rate=Allowed("in (0, 1]", lambda rate: bool(0 < rate <= 1)))
    def __init__(
        self,
        *,
        lambda_od: float,
        lambda_d: float,
        rate: float,
        site: str = "z",
        kl: KL = "closed",
        num_particles: int = 1,
    ) -> None:
        super().__init__(kl=kl, num_particles=num_particles)
        self.lambda_od, self.lambda_d, self.rate, self.site = lambda_od, lambda_d, rate, site

    def terms(self, model_trace: Trace, guide_trace: Trace) -> dict[str, Tensor]:
        """The ELBO's terms, and the two penalties."""
        current = covariance(posterior_means(guide_trace, self.site))
        scale = batch_scale({self.site: nodes_of(guide_trace)[self.site]})
        if self.covariance is not None:
            if self.covariance.shape != current.shape:
                raise ValueError(
                    f"DIPVAE: the running covariance is of {len(self.covariance)} units, and site {self.site!r} has "
                    f"{len(current)}: for another pair use a new objective, or assign elbo.covariance = None"
                )
            current = (1 - self.rate) * self.covariance + self.rate * current
        if torch.is_grad_enabled():  # evaluation must not update the running estimate
            self.covariance = current
        return elbo_terms(model_trace, guide_trace) | dip_terms(current, self.lambda_od, self.lambda_d, scale)


class DIPVAEI(TermwiseELBO):
    """DIP-VAE-I: the objective of DIP-VAE with the covariance of the current batch alone, not a running estimate.

    Equation (6) of Kumar et al. 2018, https://arxiv.org/abs/1711.00848. `DIPVAE` with rate = 1 is the same objective;
    this class has no state, and is what later papers call DIP-VAE-I. A lower bound on log p(x).

    Args:
        lambda_od, lambda_d, site: as in `DIPVAE`.

    Raises:
        ValueError: as `DIPVAE` does.

    Example:
        >>> elbo = DIPVAEI(lambda_od=10.0, lambda_d=100.0)
        >>> loss = elbo.loss(model, guide, x)
        >>> list(elbo.report().terms)
        ['log p(x)', '-KL(z)', '-Cov_ij^2', '-(Cov_ii - 1)^2']
    """

    weights = "(1 + 3) + 2 + 4 + lambda 4, where the last 4 is replaced by the covariance of the means"

    lambda_od = Hyperparameter()
    lambda_d = Hyperparameter()

    @checked()
    def __init__(
        self, *, lambda_od: float, lambda_d: float, site: str = "z", kl: KL = "closed", num_particles: int = 1
    ) -> None:
        super().__init__(kl=kl, num_particles=num_particles)
        self.lambda_od, self.lambda_d, self.site = lambda_od, lambda_d, site

    def terms(self, model_trace: Trace, guide_trace: Trace) -> dict[str, Tensor]:
        """The ELBO's terms, and the two penalties."""
        cov = covariance(posterior_means(guide_trace, self.site))
        scale = batch_scale({self.site: nodes_of(guide_trace)[self.site]})
        return elbo_terms(model_trace, guide_trace) | dip_terms(cov, self.lambda_od, self.lambda_d, scale)


class DIPVAEII(TermwiseELBO):
    """DIP-VAE-II: the penalties of DIP-VAE-I on the covariance of q(z) itself, E[Cov(z | x)] + Cov(E[z | x]).

    Section 2 of Kumar et al. 2018, https://arxiv.org/abs/1711.00848, by the law of total covariance. DIP-VAE and
    DIP-VAE-I use its second part only. A lower bound on log p(x).

    Args:
        lambda_od, lambda_d, site: as in `DIPVAE`.

    Raises:
        ValueError: as `DIPVAE` does.

    Example:
        >>> elbo = DIPVAEII(lambda_od=10.0, lambda_d=100.0)
        >>> loss = elbo.loss(model, guide, x)
        >>> list(elbo.report().terms)
        ['log p(x)', '-KL(z)', '-Cov_ij^2', '-(Cov_ii - 1)^2']
    """

    weights = "(1 + 3) + 2 + 4 + lambda 4, where the last 4 is replaced by the covariance of q(z)"

    lambda_od = Hyperparameter()
    lambda_d = Hyperparameter()

    @checked()
    def __init__(
        self, *, lambda_od: float, lambda_d: float, site: str = "z", kl: KL = "closed", num_particles: int = 1
    ) -> None:
        super().__init__(kl=kl, num_particles=num_particles)
        self.lambda_od, self.lambda_d, self.site = lambda_od, lambda_d, site

    def terms(self, model_trace: Trace, guide_trace: Trace) -> dict[str, Tensor]:
        """The ELBO's terms, and the two penalties."""
        means, covariances = posterior_moments(guide_trace, self.site)
        cov = covariances.mean(0) + covariance(means)
        scale = batch_scale({self.site: nodes_of(guide_trace)[self.site]})
        return elbo_terms(model_trace, guide_trace) | dip_terms(cov, self.lambda_od, self.lambda_d, scale)


class Decomposition(TermwiseELBO):
    """L_{alpha, beta}: E_q[log p(x | z)] - beta KL(q(z | x) || p(z)) - alpha D(q(z), p(z)).

    Equation (7) of Mathieu et al. 2019, https://arxiv.org/abs/1812.02833. beta sets how far the posteriors of different
    datapoints overlap, alpha how closely q(z) follows the prior. As in the paper's code, D is estimated from one draw
    of the prior for each datapoint. In place of q(z), the KL has the average of the batch's posteriors, where a relaxed
    site has its Concrete density, and the MMDs have the batch's draws. A lower bound on log p(x) for beta >= 1 and
    log_p="once", where the estimate of D is not negative.

    .. warning::
        With "kl", KL(p(z) || q(z)) of a small batch is too large, since the posteriors of a batch cover less of the
        prior than those of all data. The MMDs are squared distances of kernel means, not nats, so alpha has another
        meaning under each divergence; their kernels have fixed widths, for priors of about unit variance
        (`zoo.estimators.mmd`).

    Args:
        alpha, beta: the weights.
        divergence: what D is. "kl": KL(p(z) || q(z)), the paper's for the pinwheel data. "mmd-marginal": the MMD of
            each unit, summed over units, the paper's for Fashion-MNIST. "mmd-joint": the MMD of all units together.
        log_p: how often the sampled KL contains log p(z), for a prior whose units depend on each other, such as
            clusters: "once", log q(z | x) - log p(z), as in the paper's text; or "per-unit", once for each of the n
            units, log q(z | x) - n log p(z), as a broadcast in the paper's code does. The latter moves encodings to the
            prior's modes.
        sites: the latent sites that D compares; all of them when not given.

    Raises:
        ValueError: a prior cannot be sampled, or the posterior cannot be scored at a draw of the prior.

    Example:
        >>> elbo = Decomposition(alpha=1.0, beta=2.0, divergence="mmd-joint")
        >>> loss = elbo.loss(model, guide, x)
        >>> list(elbo.report().terms)
        ['log p(x)', '-KL(z)', '-MMD(q, p)']
    """

    weights = "(1 + 3) + beta (2 + 4) + alpha 4, where the last 4 is replaced by KL(p || q) or MMD"

    alpha = Hyperparameter()
    beta = Hyperparameter()

    @checked(sites=NOT_EMPTY)
    def __init__(
        self,
        *,
        alpha: float,
        beta: float,
        divergence: Literal["kl", "mmd-marginal", "mmd-joint"],
        log_p: Literal["once", "per-unit"] = "once",
        sites: Sequence[str] | None = None,
        kl: KL = "closed",
        num_particles: int = 1,
    ) -> None:
        super().__init__(kl=kl, num_particles=num_particles)
        check_divergence(divergence)
        if log_p not in ("once", "per-unit"):
            raise ValueError(f"log_p must be 'once' or 'per-unit', got {log_p!r}")
        self.alpha, self.beta = alpha, beta
        self.divergence, self.log_p, self.sites = divergence, log_p, sites

    def messengers(self) -> Sequence[Messenger]:
        """`DrawPriors` for draws of the priors, and `ScorePairs` for their scores."""
        return [DrawPriors(), ScorePairs("density")]

    def terms(self, model_trace: Trace, guide_trace: Trace) -> dict[str, Tensor]:
        """The ELBO's terms with each KL multiplied by beta, and the weighted divergence."""
        if self.divergence == "kl":
            name, divergence = "KL(p || q)", prior_kl(model_trace, guide_trace, sites=self.sites)
        else:
            kernel = mmd_kernel(self.divergence)
            name, divergence = "MMD(q, p)", prior_mmd(model_trace, guide_trace, kernel, sites=self.sites)
        terms = elbo_terms(model_trace, guide_trace, self.beta) | {f"-{name}": -self.alpha * divergence}
        if self.log_p == "per-unit":
            again = recounted(model_trace, guide_trace)
            terms |= {f"(D - 1) log p({site})": self.beta * more for site, more in again.items()}
        return terms


class InfoVAE(TermwiseELBO):
    """InfoVAE: E_q[log p(x | z)] - (1 - alpha) KL(q(z | x) || p(z)) - (alpha + lambda - 1) D(q(z), p(z)).

    Zhao et al. 2017, https://arxiv.org/abs/1706.02262, in the form that they optimise. The KL is I(x; z) +
    KL(q(z) || p(z)), so with D = KL(q(z) || p(z)) the weight of I(x; z) is 1 - alpha and that of D is lambda.
    alpha = 0, lambda = 1 is the ELBO; alpha = 1 - beta, lambda = beta is beta-VAE. HFVAE's Table 1 has alpha = 1, where
    I(x; z) has no weight. A lower bound on log p(x) with D = KL(q(z) || p(z)) for alpha <= 0 and lambda >= 1.

    .. warning::
        Not a bound on log p(x) where alpha > 0, since it penalises I(x; z) less than the ELBO. With "kl", a batch only
        estimates q(z), with a bias that depends on its size and on the estimator. The MMDs are squared distances of
        kernel means, not nats, and their kernels have fixed widths, for priors of about unit variance
        (`zoo.estimators.mmd`).

    Args:
        alpha: the mutual information is penalised with the weight 1 - alpha. At alpha = 1 it is not penalised, above 1
            it is rewarded, and below 0 it is penalised more than in the ELBO.
        lambda_: sets the weight of D, alpha + lambda - 1, which must not be negative. With D = KL(q(z) || p(z)), which
            the KL contains once already, its whole weight is lambda.
        divergence: what D is. "kl": KL(q(z) || p(z)), estimated with `estimator`; "mmd-marginal" or "mmd-joint": as in
            `Decomposition`.
        num_data, estimator, concrete: as in `BetaTCVAE`; the MMDs do not depend on them.

    Raises:
        ValueError: alpha + lambda_ < 1, so that D would be rewarded; or as `zoo.aggregate.dissect` and `Decomposition`
            do.

    Example:
        >>> elbo = InfoVAE(alpha=0.5, lambda_=10.0, divergence="mmd-joint", num_data=100)
        >>> loss = elbo.loss(model, guide, x)
        >>> list(elbo.report().terms)
        ['log p(x)', '-KL', '-MMD(q, p)']
    """

    weights = "(1 + 3) + (1 - alpha) 2 + lambda 4"

    alpha = Hyperparameter(low=None)
    lambda_ = Hyperparameter()

    @checked(num_data=number_from(1))
    def __init__(
        self,
        *,
        alpha: float,
        lambda_: float,
        divergence: Literal["kl", "mmd-marginal", "mmd-joint"],
        num_data: int,
        estimator: Estimator = "stratified",
        concrete: Concrete = "mass",
        kl: KL = "closed",
        num_particles: int = 1,
    ) -> None:
        super().__init__(kl=kl, num_particles=num_particles)
        check_divergence(divergence)
        self.alpha, self.lambda_, self.divergence = alpha, lambda_, divergence
        self.num_data, self.estimator, self.concrete = num_data, estimator, concrete

    def assigned(self, name: str) -> None:
        """Refuses a negative weight of the divergence, which would reward it."""
        if name == "divergence":
            self.needs_kl = self.divergence != "kl"
        alpha, lambda_ = vars(self).get("alpha"), vars(self).get("lambda_")
        if alpha is not None and lambda_ is not None and (alpha + lambda_).item() < 1 - 1e-6:
            raise ValueError(
                f"InfoVAE: alpha + lambda_ must be at least 1, got {alpha.item():g} + {lambda_.item():g}; to change "
                "both, first assign the one that is to grow"
            )

    def messengers(self) -> Sequence[Messenger]:
        """`ScorePairs` for pairwise scores, and `DrawPriors` for draws of the priors."""
        return [ScorePairs(self.concrete), DrawPriors()]

    def terms(self, model_trace: Trace, guide_trace: Trace) -> dict[str, Tensor]:
        """Reconstruction, and the weighted mutual information and divergence."""
        if self.divergence == "kl":
            kl = dissect(model_trace, guide_trace, num_data=self.num_data, estimator=self.estimator)
            return reconstruction(model_trace) | {
                "-I(x; z)": -(1 - self.alpha) * kl.mutual_information,
                "-KL(q(z) || p)": -self.lambda_ * kl.marginal_kl,
            }
        discrepancy = prior_mmd(model_trace, guide_trace, mmd_kernel(self.divergence))
        whole = torch.stack([site["nats"].sum() for _, site in latent(guide_trace)]).sum()
        return reconstruction(model_trace) | {
            "-KL": -(1 - self.alpha) * whole,
            "-MMD(q, p)": -(self.alpha + self.lambda_ - 1) * discrepancy,
        }


class AnchoredCorEx(TermwiseELBO):
    """Anchored CorEx: ELBO + lambda I(x; z_a), which lets the anchors z_a carry more information about x.

    Gao et al. 2018, https://arxiv.org/abs/1802.05822, in the form of HFVAE's Table 1. I(x; z_a) = E[log q(z_a | x) -
    log q(z_a)] is that of all anchored units together.

    .. warning::
        Not a bound on log p(x) for lambda > 0, since it adds to the ELBO. A batch only estimates q(z_a), with a bias
        that depends on its size and on the estimator.

    Args:
        lambda_: the weight of I(x; z_a).
        anchors: for each anchored site, the positions of its anchored units, from 0.
        num_data, estimator, concrete: as in `BetaTCVAE`.

    Raises:
        ValueError: an anchor is not a unit of a latent site, or its site couples its units; or as
            `zoo.aggregate.dissect` does.

    Example:
        >>> elbo = AnchoredCorEx(lambda_=0.5, anchors={"z": [0]}, num_data=100)
        >>> loss = elbo.loss(model, guide, x)
        >>> list(elbo.report().terms)
        ['log p(x)', '-KL(z)', 'I(x; z_a)']
    """

    weights = "(1 + 3) + 2 + 4 - lambda (2 of the anchors)"

    lambda_ = Hyperparameter()

    @checked(anchors=NOT_EMPTY, num_data=number_from(1))
    def __init__(
        self,
        *,
        lambda_: float,
        anchors: Mapping[str, Sequence[int]],
        num_data: int,
        estimator: Estimator = "stratified",
        concrete: Concrete = "mass",
        kl: KL = "closed",
        num_particles: int = 1,
    ) -> None:
        super().__init__(kl=kl, num_particles=num_particles)
        self.lambda_, self.anchors = lambda_, anchors
        self.num_data, self.estimator, self.concrete = num_data, estimator, concrete

    def assigned(self, name: str) -> None:
        """Refuses anchors without a unit, or with one twice."""
        for site, units in self.anchors.items() if name == "anchors" else ():
            if not len(units):
                raise ValueError(f"AnchoredCorEx: anchors must name at least one unit of each site, got {self.anchors}")
            if twice := [unit for unit in units if list(units).count(unit) > 1]:
                raise ValueError(
                    f"AnchoredCorEx: anchors of site {site!r} name unit {twice[0]} more than once: {list(units)}"
                )

    def messengers(self) -> Sequence[Messenger]:
        """`ScorePairs`, by which each datapoint's sample is scored under the posterior of every datapoint."""
        return [ScorePairs(self.concrete)]

    def terms(self, model_trace: Trace, guide_trace: Trace) -> dict[str, Tensor]:
        """The ELBO's terms, and the anchors' weighted mutual information."""
        information = anchor_information(
            model_trace, guide_trace, self.anchors, num_data=self.num_data, estimator=self.estimator
        )
        return elbo_terms(model_trace, guide_trace) | {"I(x; z_a)": self.lambda_ * information}


class InformationDropout(TermwiseELBO):
    """Information dropout: E_q[log p(x | z)] - beta I(x; z) - gamma TC(z).

    Achille & Soatto 2018, https://arxiv.org/abs/1611.01353, who penalise mutual information and total correlation of
    the code of a classifier; here, as in HFVAE's Table 1, of a code that reconstructs x. With beta = gamma it is
    E_q[log p(x | z)] - beta KL(q(z | x) || prod_d q(z_d)). For beta = 1 that is the ELBO of another story, whose prior
    is prod_d q(z_d).

    .. warning::
        Not a bound on log p(x) of the story: no term compares q(z_d) with its prior, and draws from the prior need not
        look like the data. A batch only estimates q(z), with a bias that depends on its size and on the estimator.

    Args:
        beta, gamma: the weights.
        num_data, estimator, concrete: as in `BetaTCVAE`.

    Raises:
        ValueError: as `zoo.aggregate.dissect` does.

    Example:
        >>> elbo = InformationDropout(beta=1.0, gamma=2.0, num_data=100)
        >>> loss = elbo.loss(model, guide, x)
        >>> list(elbo.report().terms)
        ['log p(x)', '-I(x; z)', '-TC']
    """

    weights = "(1 + 3) + beta 2 + gamma (A + i)"
    needs_kl = False

    beta = Hyperparameter()
    gamma = Hyperparameter()

    @checked(num_data=number_from(1))
    def __init__(
        self,
        *,
        beta: float,
        gamma: float,
        num_data: int,
        estimator: Estimator = "stratified",
        concrete: Concrete = "mass",
        num_particles: int = 1,
    ) -> None:
        super().__init__(num_particles=num_particles)
        self.beta, self.gamma = beta, gamma
        self.num_data, self.estimator, self.concrete = num_data, estimator, concrete

    def messengers(self) -> Sequence[Messenger]:
        """`ScorePairs`, by which each datapoint's sample is scored under the posterior of every datapoint."""
        return [ScorePairs(self.concrete)]

    def terms(self, model_trace: Trace, guide_trace: Trace) -> dict[str, Tensor]:
        """Reconstruction, and the weighted mutual information and total correlation."""
        kl = dissect(model_trace, guide_trace, num_data=self.num_data, estimator=self.estimator)
        return reconstruction(model_trace) | {
            "-I(x; z)": -self.beta * kl.mutual_information,
            "-TC": -self.gamma * (kl.between + kl.within.sum()),
        }


class FactorVAE(TermwiseELBO):
    """FactorVAE: ELBO - gamma TC(z), with the total correlation estimated by a discriminator.

    Equation (2) of Kim & Mnih 2018, https://arxiv.org/abs/1802.05983: TC = E_q(z)[log q(z) - sum_d log q(z_d)] is
    estimated as E_q(z)[log D(z) - log(1 - D(z))], their equation (3). The discriminator D separates draws of q(z) from
    draws in which the values of each unit are permuted over the batch, independently of the other units.

    .. warning::
        The estimate is only as good as the discriminator, which this class does not train:
        `zoo.lab.training.fit(..., adversary=)` trains it on a loss of its own. A lower bound on log p(x) only where the
        estimate of TC is not negative.

    Args:
        gamma: weight of the total correlation.
        log_ratio: maps the values of all latent sites, concatenated, [..., units], to log D - log(1 - D), [...]. Its
            parameters are neither in `elbo(model, guide).parameters()` nor in the objective's state.

    Raises:
        ValueError: gamma is negative or not finite; or a latent site is summed out, since the ratio needs draws; or it
            is auxiliary, or not a vector for each datapoint; or log_ratio returns another number of values.

    Example:
        >>> elbo = FactorVAE(gamma=10.0, log_ratio=lambda z: torch.ones(len(z)))  # instead of a discriminator
        >>> loss = elbo.loss(model, guide, x)
        >>> elbo.report().terms["-TC"]
        tensor(-10.)
    """

    weights = "(1 + 3) + 2 + 4 + gamma (A + i)"

    gamma = Hyperparameter()

    @checked()
    def __init__(
        self, *, gamma: float, log_ratio: Callable[[Tensor], Tensor], kl: KL = "closed", num_particles: int = 1
    ) -> None:
        super().__init__(kl=kl, num_particles=num_particles)
        self.gamma, self.log_ratio = gamma, log_ratio

    def terms(self, model_trace: Trace, guide_trace: Trace) -> dict[str, Tensor]:
        """The ELBO's terms, and the estimated total correlation."""
        sites = dict(latent(guide_trace))
        check_some_latent(sites)
        for name, site in sites.items():
            if summed_out(site):
                raise ValueError(
                    f"site {name!r} is summed out, and a density ratio needs draws: use Concrete or StraightThrough"
                )
            if site["infer"].get("is_auxiliary"):
                raise ValueError(
                    f"site {name!r} is an auxiliary site, which the model does not have, and the total correlation is "
                    "that of the model's latents; use a guide such as guides.Amortized"
                )
        check_vectors(sites)
        z = torch.cat([site["value"] for site in sites.values()], dim=-1)
        ratio = self.log_ratio(z)
        if ratio.numel() != z[..., 0].numel():
            raise ValueError(
                f"FactorVAE: log_ratio must return log D - log(1 - D) of each draw, {list(z.shape[:-1])}, got "
                f"{list(ratio.shape)}; of two logits, give their difference"
            )
        scale, tc = batch_scale(sites), ranks.mean(ratio.mean())
        return elbo_terms(model_trace, guide_trace) | {"-TC": -self.gamma * (scale * tc)}


class NaturalClusteringELBO(TermwiseELBO):
    """N-VAE: E_q[log p(x | y, z)] - KL(q(z_s | x) || p(z_s)) - beta_c KL(q(z_c | x) || p(z_c)) + log q(y | x).

    Antorán & Miguel 2019, https://arxiv.org/abs/1901.09415, for the story `zoo.NaturalClustering`: z_c are the latents
    of the classes, z_s those that all classes share, and pi the class probabilities. For a batch with labels y it is
    the paper's equation (7), and with beta_c = 1 its equation (6). q(y | x) is the mean of the Dirichlet q(pi | x), so
    the last term is the log likelihood of a classifier.

    For a batch without labels, y is summed out, by the head `guides.Predicted`, and pi is integrated out by
    conjugacy: E_q(y | x)[log p(x | y, z)] - KL(z_s) - beta_c KL(z_c) - KL(q(y | x) || p(y)), where p(y) is the mean of
    p(pi). That is a lower bound on log p(x) for beta_c >= 1.

    .. warning::
        With labels it is not a lower bound on log p(x, y), although the paper says so: it can exceed log p(x, y) by up
        to -log p(y). The lower bound is the paper's equation (3), which `PlainELBO` on this story computes. It contains
        E_q[log pi_y] - KL(q(pi | x) || p(pi)), where equation (6) has log q(y | x) = log E_q[pi_y]. The first is at
        most E_q[log pi_y], since a KL is at least 0, and this is at most log E_q[pi_y] by Jensen's inequality. So (6)
        is at least (3).

    Args:
        beta_c: weight of the KL of z_c, the latents of all classes together. The paper uses beta_c = 2.
        y, pi, z_c: the names of the sites.

    Raises:
        ValueError: beta_c is negative or not finite, or a site is missing; or y is latent under a relaxed head.

    Example:
        >>> from guides import DirichletHead, Predicted
        >>> from zoo import NaturalClustering
        >>> story = NaturalClustering(nn.Bilinear(6, 2, 6), classes=3, c_dim=1, s_dim=2)
        >>> heads = {"pi": DirichletHead(3), "y": Predicted(3, of="pi"), "z_c": MeanField(3), "z_s": MeanField(2)}
        >>> classifier = Amortized(nn.Linear(6, 8), **heads)
        >>> elbo = NaturalClusteringELBO(beta_c=2.0)
        >>> loss = elbo.loss(story, classifier, torch.ones(4, 6), torch.tensor([0, 1, 2, 0]))
        >>> list(elbo.report().terms)
        ['log p(x)', '-KL(z_c)', '-KL(z_s)', 'log q(y | x)']
    """

    weights = "(1 + 3) + (2 + 4) of z_s + beta_c (2 + 4) of z_c, + log q(y | x)"

    beta_c = Hyperparameter()

    @checked()
    def __init__(
        self,
        *,
        beta_c: float,
        y: str = "y",
        pi: str = "pi",
        z_c: str = "z_c",
        kl: KL = "closed",
        num_particles: int = 1,
    ) -> None:
        super().__init__(kl=kl, num_particles=num_particles)
        self.beta_c, self.y, self.pi, self.z_c = beta_c, y, pi, z_c

    def terms(self, model_trace: Trace, guide_trace: Trace) -> dict[str, Tensor]:
        """The ELBO's terms, with log q(y | x) in place of log p(y | pi) and the KL of pi; without labels, a KL of y."""
        known_sites("NaturalClusteringELBO", [self.pi, self.z_c], guide_trace)
        terms = elbo_terms(model_trace, guide_trace, {self.z_c: self.beta_c})
        del terms[f"-KL({self.pi})"]
        if self.y in dict(latent(guide_trace)):
            q, prior = nodes_of(guide_trace)[self.y]["fn"].probs, nodes_of(model_trace)[self.pi]["fn"].mean
            del terms[f"-KL({self.y})"]
            kl = (x_log_x(q) - torch.xlogy(q, prior)).sum(-1)
            y = nodes_of(guide_trace)[self.y]
            return terms | {f"-KL(q({self.y} | x) || p)": -mean_over_data(kl, y, chances_of(guide_trace, plates_of(y)))}
        if self.y not in dict(observed(model_trace)):
            raise ValueError(
                f"NaturalClusteringELBO: the story has no observed site {self.y!r}, and log q(y | x) needs the "
                "label: name the site with y=, and train on batches with labels, data.batches(..., labels=True)"
            )
        del terms[f"log p({self.y})"]
        if self.y in nodes_of(guide_trace)[self.pi]["infer"].get("given", ()):
            raise ValueError(
                f"NaturalClusteringELBO: the head of {self.pi!r} depends on {self.y!r}, so its mean is not "
                f"q({self.y} | x); use a head that depends on x only (DirichletHead)"
            )
        try:
            mean = nodes_of(guide_trace)[self.pi]["fn"].mean
        except NotImplementedError:
            raise ValueError(
                f"site {self.pi!r}: {family(nodes_of(guide_trace)[self.pi]['fn'])} has no mean in closed form, and "
                f"q({self.y} | x) is this mean; use a head that has one (DirichletHead)"
            ) from None
        y = nodes_of(model_trace)[self.y]
        if y["fn"].event_shape != mean.shape[-1:]:
            raise ValueError(
                f"NaturalClusteringELBO: site {self.y!r} is {family(y['fn'])} with events of shape "
                f"{list(y['fn'].event_shape)}, and log q({self.y} | x) needs labels as one-hot vectors of "
                f"{mean.shape[-1]} classes, as the mean of {self.pi!r}; use OneHotCategorical in the story"
            )
        log_q = (mean * y["value"]).sum(-1).log()
        return terms | {f"log q({self.y} | x)": mean_over_data(log_q, y, chances_of(guide_trace, plates_of(y)))}


OBJECTIVES: tuple[type[TermwiseELBO], ...] = (
    PlainELBO,
    BetaVAE,
    Capacity,
    TypeInformation,
    BetaTCVAE,
    HFVAE,
    DIPVAE,
    DIPVAEI,
    DIPVAEII,
    Decomposition,
    InfoVAE,
    AnchoredCorEx,
    InformationDropout,
    FactorVAE,
    NaturalClusteringELBO,
)
"""All objectives, in the order of this file."""

_RENAMED = {"ELBO": "PlainELBO", "NVAE": "NaturalClusteringELBO"}


def __getattr__(name: str) -> NoReturn:
    if name in _RENAMED:
        raise ImportError(f"zoo.elbos.{name} is called zoo.elbos.{_RENAMED[name]} since version 0.2")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
