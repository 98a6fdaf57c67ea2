"""TermwiseELBO, the base class of the objectives in `zoo.elbos`."""

import copy
import functools
import inspect
import logging
import warnings
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any, ClassVar, Literal

import pyro
import pyro.infer
import torch
from pyro import poutine
from pyro.distributions.util import scale_and_mask
from pyro.infer.util import is_validation_enabled
from pyro.poutine.messenger import Messenger
from pyro.poutine.trace_struct import Trace
from pyro.poutine.util import prune_subsample_sites
from pyro.util import warn_if_nan
from torch import Tensor

from zoo import pairing, ranks
from zoo.estimators import closed_kl, sampled_kl
from zoo.handlers import RefuseMisfits
from zoo.hyperparameters import (
    Hyperparameter,
    Statistic,
    check_attribute,
    completing,
    load_state,
    state_names,
    state_of,
)
from zoo.pairing import SampledKLWarning
from zoo.parents import MarkParents
from zoo.program import whole
from zoo.report import Report
from zoo.sites import (
    PLATES,
    Site,
    chances_of,
    expected,
    family,
    known_sites,
    latent,
    naming,
    nodes_of,
    num_data_of,
    num_data_of_all_ranks,
    observed,
    plates_of,
    summed_out,
    total,
)

__all__ = [
    "PLATES",
    "How",
    "Hyperparameter",
    "Program",
    "Report",
    "Site",
    "Statistic",
    "TermwiseELBO",
    "family",
    "known_sites",
    "latent",
    "num_data_of",
    "observed",
    "summed_out",
    "total",
]

Program = Callable[..., Any]
How = Literal["closed", "sampled"]


class TermwiseELBO(pyro.infer.ELBO):
    """The base class of objectives: sums of named terms. A subclass defines `terms`, and has no subclasses itself.

    One pass runs the guide and replays the model, both under the messengers that the objective installs. It then reads
    reconstruction and KL off the traces, and adds up the terms. The loss is minus their sum, in nats per datapoint:
    Pyro's loss divided by the full size of the plate "data". Particles are one leading plate in one trace. A site of
    the guide with `infer={"enumerate": "parallel"}` (the head Exact) is summed out: everything after it is run once
    per class, and weighted by q(class | x).

    Works with `pyro.infer.SVI(model, guide, optim, loss=elbo)` and with `elbo(model, guide)` and a torch optimiser.

    Attributes:
        weights: the objective in HFVAE's letters, for people to read; see `zoo.elbos`.
        needs_kl: whether `terms` reads the KL of the latent sites. If not, the KL is computed for the report alone.

    Args:
        kl: "closed", the closed form given the earlier sites, or "sampled", log q - log p at the draw; or a
            mapping from site to one of these, where a site that is left out is "closed". The attribute may be assigned
            at any time. Where a pair of families has no closed form, "closed" uses the draw too, and warns once.
            "closed" is refused for a site whose prior depends on another one that the guide draws after it, given its
            value.
        num_particles: the number of draws for each datapoint.

    Raises:
        ValueError: on the first pass, if model and guide do not fit each other or the objective.
        AttributeError: an attribute is assigned that neither the class nor `__init__` has, such as a misspelt
            hyperparameter.
    """

    weights: ClassVar[str] = ""
    needs_kl: bool = True

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if cls.__bases__ != (TermwiseELBO,):
            bases = ", ".join(base.__name__ for base in cls.__bases__)
            raise TypeError(
                f"{cls.__name__} inherits from {bases}: an objective is final and inherits from TermwiseELBO alone; "
                "define its own terms() with the functions of zoo.terms, such as elbo_terms, and of zoo.aggregate"
            )
        setattr(cls, "__init__", completing(cls.__init__))  # noqa: B010

    def __init__(self, *, kl: How | Mapping[str, How] = "closed", num_particles: int = 1) -> None:
        self.num_particles = num_particles
        super().__init__(num_particles=num_particles, vectorize_particles=num_particles > 1)
        self.kl = kl
        self._warned: set[str] = set()
        self._report: Report | None = None

    def __setattr__(self, name: str, value: Any) -> None:
        check_attribute(self, name, value, known=[*state_names(self), "kl", "num_particles"])
        before = vars(self).get(name)
        super().__setattr__(name, value)
        if name in inspect.get_annotations(type(self).__init__) and not hasattr(type(self), name):
            try:
                self.assigned(name)
            except ValueError:
                super().__setattr__(name, before)
                raise

    @property
    def kl(self) -> How | Mapping[str, How]:
        """How the KL is computed, "closed" or "sampled", for all latent sites or by site; assign the whole mapping."""
        return MappingProxyType(self._kl) if isinstance(self._kl, dict) else self._kl

    @kl.setter
    def kl(self, kl: How | Mapping[str, How]) -> None:
        hows = kl.values() if isinstance(kl, Mapping) else [kl]
        if any(how not in ("closed", "sampled") for how in hows):
            raise ValueError(f"kl must be 'closed' or 'sampled', got {kl!r}")
        self._kl: How | dict[str, How] = dict(kl) if isinstance(kl, Mapping) else kl

    @property
    def num_particles(self) -> int:
        """The number of draws for each datapoint."""
        return self._num_particles

    @num_particles.setter
    def num_particles(self, num_particles: int) -> None:
        num_particles = whole("num_particles", num_particles)
        if num_particles != vars(self).get("_num_particles"):
            self.max_plate_nesting = float("inf")  # includes the particles' plate, so it is determined again
        self._num_particles, self.vectorize_particles = num_particles, num_particles > 1

    @abstractmethod
    def terms(self, model_trace: Trace, guide_trace: Trace) -> dict[str, Tensor]:
        """Named 0-dim terms, signed, in nats per datapoint, to be maximised.

        The traces' sites carry `nats`, unweighted: the reconstruction on the observed sites of the model (0-dim), the
        KL on the latent sites of the guide ([units]). `zoo.terms.elbo_terms` and
        `zoo.moments.posterior_moments` need nothing else. The terms of q(z) in `zoo.aggregate` need messengers, which
        `messengers` must return: `dissect` and `anchor_information` need `ScorePairs`, `prior_mmd` needs `DrawPriors`,
        and `prior_kl` needs both.
        """

    def messengers(self) -> Sequence[Messenger]:
        """The messengers that the objective installs on model and guide, outermost last; none by default."""
        return ()

    def report(self) -> Report:
        """The numbers of the last pass; raises a RuntimeError before the first one."""
        if self._report is None:
            raise RuntimeError("there is no pass to report on yet: evaluate the loss first")
        return self._report

    def assigned(self, name: str) -> None:
        """Called after the hyperparameter or setting `name` was assigned, by `__init__`, too; a subclass may refuse it.

        Raises:
            ValueError: the value is not valid, or contradicts another one; the value before is restored.
        """

    def settings(self) -> dict[str, Any]:
        """Everything that defines the objective except its state; a compiled step is valid for these settings only."""
        state = {*state_names(self), "max_plate_nesting"}
        rest = {name: value for name, value in vars(self).items() if name[0] != "_" and name not in state}
        settings = {"kl": self._kl, "num_particles": self.num_particles, **rest}
        return {name: copy.copy(v) if isinstance(v, (Mapping, list)) else v for name, v in settings.items()}

    def state_dict(self) -> dict[str, Tensor]:
        """The current hyperparameters and running statistics; the entry of a site is called name.site."""
        return state_of(self)

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Loads the `state_dict()` of an objective of the same class.

        Raises:
            ValueError: the state has other names.
        """
        load_state(self, state)

    # One pass, in Pyro's vocabulary.

    def loss(self, model: Program, guide: Program, *args: Any, **kwargs: Any) -> float:
        """The loss as a float, without gradients."""
        with torch.no_grad():
            loss = self.differentiable_loss(model, guide, *args, **kwargs).item()
        warn_if_nan(torch.as_tensor(loss), "loss")
        return loss

    def loss_and_grads(self, model: Program, guide: Program, *args: Any, **kwargs: Any) -> float:
        """Returns the loss as a float, and adds its gradients to the parameters'."""
        differentiable = self.differentiable_loss(model, guide, *args, **kwargs)
        if differentiable.requires_grad:
            differentiable.backward(retain_graph=self.retain_graph)
        loss = differentiable.item()
        warn_if_nan(torch.as_tensor(loss), "loss")
        return loss

    def differentiable_loss(self, model: Program, guide: Program, *args: Any, **kwargs: Any) -> Tensor:
        """The loss as a 0-dim tensor with gradients."""
        if is_validation_enabled():
            pairing.check_call([model, guide], args, kwargs)
        with pairing.explaining({"the model": model, "the guide": guide}, args[0] if args else None):
            model_trace, guide_trace = next(self._get_traces(model, guide, args, kwargs))
        terms = self.terms(model_trace, guide_trace)
        pairing.check_terms(type(self).__name__, terms)
        loss = ranks.share(-torch.stack(list(terms.values())).sum())
        self._report = Report(
            terms={name: term.detach() for name, term in terms.items()},
            reconstruction={name: site["nats"].detach() for name, site in observed(model_trace)},
            kl={name: site["nats"].detach() for name, site in latent(guide_trace)},
        )
        return loss

    def _guess_max_plate_nesting(self, model: Program, guide: Program, args: Any, kwargs: Any) -> None:
        # Pyro runs the pair for this. The random state is restored, so that the first pass draws what a later one
        # with the same seed would. Without validation, which would score every site: a corner has no Concrete density.
        with torch.random.fork_rng(), pyro.validation_enabled(False), _quiet("pyro.infer.elbo"):
            super()._guess_max_plate_nesting(model, guide, args, kwargs)

    def _get_trace(self, model: Program, guide: Program, args: Any, kwargs: Any) -> tuple[Trace, Trace]:
        for messenger in self.messengers():
            guide, model = messenger(guide), messenger(model)
        if is_validation_enabled():
            guide = MarkParents()(guide)
        guide = poutine.enum(guide, first_available_dim=-1 - PLATES)
        guide_trace = poutine.trace(guide).get_trace(*args, **kwargs)
        pairing.check_room(guide_trace, guide_trace, PLATES)
        if is_validation_enabled():
            model = RefuseMisfits(guide_trace)(model)
            if len(latent(prune_subsample_sites(guide_trace))) > 1:  # a single site depends on no other
                model = MarkParents()(model)
        model_trace = poutine.trace(poutine.replay(model, trace=guide_trace)).get_trace(*args, **kwargs)
        pairing.check_room(guide_trace, model_trace, PLATES)
        guide_trace = prune_subsample_sites(guide_trace)
        model_trace = prune_subsample_sites(model_trace)
        if is_validation_enabled():
            pairing.check_pair(model_trace, guide_trace, min(self.max_plate_nesting, PLATES))
            pairing.check_observed(model_trace)
            for trace in (guide_trace, model_trace):
                pairing.check_plates(guide_trace, trace)
            if self.needs_kl:
                closed = [name for name, site in latent(guide_trace) if self._how(name, site["fn"]) == "closed"]
                pairing.check_order(model_trace, guide_trace, closed)
        self._leave_nats(model_trace, guide_trace)
        return model_trace, guide_trace

    def _leave_nats(self, model_trace: Trace, guide_trace: Trace) -> None:
        """Writes the unweighted nats per datapoint on every site."""
        draws, of_all = (n(model_trace) * self.num_particles for n in (num_data_of, num_data_of_all_ranks))
        chances = functools.cache(functools.partial(chances_of, guide_trace))
        if isinstance(self.kl, Mapping):
            known_sites("kl", self.kl, guide_trace)
        for _, site in observed(model_trace):
            with naming(site):
                log_prob = site["fn"].log_prob(site["value"]).unsqueeze(-1)
            site["nats"] = ranks.mean(_sum_to_units(log_prob, site, chances(plates_of(site))).sum() / draws)
        for name, site in latent(guide_trace):
            if torch.is_grad_enabled() and not site["fn"].has_rsample and not summed_out(site):
                raise ValueError(
                    f"site {name!r}: {family(site['fn'])} is not reparameterised, so no gradient would reach the "
                    "guide; use a relaxed head such as Concrete, sum it out (Exact), or observe the site"
                )
            prior = nodes_of(model_trace)[name]["fn"] if name in model_trace else None
            with naming(site):
                kl = self._site_kl(name, site["fn"], prior, site["value"])
            plates = plates_of(site)
            num = draws if "data" in plates else of_all
            site["nats"] = ranks.mean(_sum_to_units(kl, site, chances(plates)) / num)

    def _how(self, name: str, q: Any) -> How:
        """How a latent site's KL is computed; for a point mass "sampled" is exact."""
        how = self.kl.get(name, "closed") if isinstance(self.kl, Mapping) else self.kl
        return "sampled" if family(q) == "Delta" else how

    def _site_kl(self, name: str, q: Any, p: Any, value: Tensor) -> Tensor:
        """KL(q || p), [*batch, units]."""
        if p is None:  # an auxiliary site of the guide, which the model does not have
            log_q: Tensor = q.log_prob(value)
            return log_q.unsqueeze(-1)
        if self._how(name, q) == "sampled":
            return sampled_kl(q, p, value)
        try:
            return closed_kl(q, p)
        except NotImplementedError:
            if self.needs_kl and name not in self._warned:
                self._warned.add(name)
                warnings.warn(
                    f"site {name!r}: there is no closed-form KL of {family(q)} from {family(p)}, so its KL is computed "
                    "from the draw: log q - log p, which has the same mean, and noise. Give kl='sampled' for this "
                    "without the warning",
                    SampledKLWarning,
                    stacklevel=2,
                )
            return sampled_kl(q, p, value)


def _sum_to_units(values: Tensor, site: Site, chances: Tensor | None) -> Tensor:
    """Sums [*batch, units] over the batch under the site's mask and scale, `expected` over summed-out classes."""
    scale, mask = site["scale"], site["mask"]
    if isinstance(scale, Tensor) and scale.dim():
        scale = scale.unsqueeze(-1)
    if isinstance(mask, Tensor):
        mask = mask.unsqueeze(-1)
    scaled = expected(scale_and_mask(values, scale, mask), chances)  # they may depend on the class
    return scaled.reshape(-1, scaled.shape[-1]).sum(0)


@contextmanager
def _quiet(name: str) -> Iterator[None]:
    """Silences a logger below warnings: Pyro logs every guess of the plate nesting."""
    logger = logging.getLogger(name)
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)
