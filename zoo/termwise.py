"""TermwiseELBO: what the zoo's objectives have in common. The objectives themselves are in `zoo.elbos`."""

import logging
import math
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NoReturn

import pyro
import pyro.infer
import torch
from pyro import poutine
from pyro.distributions.util import scale_and_mask
from pyro.infer.util import is_validation_enabled
from pyro.poutine.messenger import Messenger
from pyro.poutine.trace_struct import Trace
from pyro.poutine.util import prune_subsample_sites
from pyro.util import check_model_guide_match, warn_if_nan
from torch import Tensor

from zoo.estimators import closed_kl, sampled_kl
from zoo.handlers import RefuseMisfits

PLATES = 4  # that a pair may nest, particles included; sites that are summed out stand left of them

Program = Callable[..., Any]
Site = dict[str, Any]
How = Literal["closed", "sampled"]


@dataclass(frozen=True)
class Report:
    """One pass in numbers: nats per datapoint, 0-dim, detached, and on the device until somebody reads them.

    Attributes:
        terms: what the objective adds up, signed and weighted, by name.
        reconstruction: E[log p(x | ...)] for each observed site, unweighted.
        kl: KL(q || p) for each latent site, unweighted: [units], one entry where the units are coupled.
    """

    terms: dict[str, Tensor]
    reconstruction: dict[str, Tensor]
    kl: dict[str, Tensor]

    @property
    def loss(self) -> Tensor:
        """Minus the sum of the terms."""
        return -torch.stack(list(self.terms.values())).sum()

    @property
    def elbo(self) -> Tensor:
        """Reconstruction minus KL, whatever the objective weighed."""
        return torch.stack([*self.reconstruction.values(), *(-kl.sum() for kl in self.kl.values())]).sum()

    def figures(self) -> dict[str, Tensor]:
        """Every figure under one flat name: loss, elbo, term/..., reconstruction/SITE, kl/SITE."""
        return {
            "loss": self.loss,
            "elbo": self.elbo,
            **{f"term/{name}": term for name, term in self.terms.items()},
            **{f"reconstruction/{site}": value for site, value in self.reconstruction.items()},
            **{f"kl/{site}": kl.sum() for site, kl in self.kl.items()},
        }


class Hyperparameter:
    """A number, or one per site, that may change over training: assigned as floats, read as 0-dim tensors.

        elbo.beta = 2.0              # replaces the tensor, so a backward pass under way keeps the old one
        elbo.beta = {"z": 4.0}       # where the objective takes one per site

    A tensor is taken as it is, unchecked: that is how a compiled step hands one in.

    Args:
        low: the least value that makes sense; None where any does.
    """

    def __init__(self, *, low: float | None = 0.0) -> None:
        self.low = low

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, instance: Any, owner: type) -> Any:
        return self if instance is None else instance.__dict__[self.name]

    def __set__(self, instance: Any, value: float | Tensor | Mapping[str, float | Tensor]) -> None:
        if isinstance(value, Mapping):
            checked: Any = {site: self._check(instance, number, f"[{site!r}]") for site, number in value.items()}
        else:
            checked = self._check(instance, value)
        instance.__dict__[self.name] = checked

    def _check(self, instance: Any, value: float | Tensor, key: str = "") -> Tensor:
        if isinstance(value, Tensor):
            return value
        if not math.isfinite(value) or (self.low is not None and value < self.low):
            least = "" if self.low is None else f" and at least {self.low:g}"
            raise ValueError(f"{type(instance).__name__}: {self.name}{key} must be finite{least}, got {value:g}")
        return torch.tensor(float(value))


class Statistic:
    """A running statistic: a tensor that a pass reads and replaces, without gradient; None before the first pass."""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, instance: Any, owner: type) -> Any:
        return self if instance is None else instance.__dict__.get(self.name)

    def __set__(self, instance: Any, value: Tensor | None) -> None:
        instance.__dict__[self.name] = None if value is None else value.detach()


class NoClosedKL(ValueError):
    """A site's KL has no closed form; `kl="sampled"` estimates it by the draw."""


class TermwiseELBO(pyro.infer.ELBO):
    """An objective as named terms. Abstract: a subclass says which terms, and is final.

    One pass runs the guide and replays the model, both under the messengers that the objective installs, reads
    reconstruction and KL off the traces, and adds up `terms`. The loss is minus their sum, in nats per datapoint:
    it is Pyro's divided by the full size of the plate "data". Particles are one leading plate in one trace. A site of
    the guide that says `infer={"enumerate": "parallel"}` (the head Exact) is summed out: everything after it is run
    once per class, and weighed by q(class | x).

    Works with `pyro.infer.SVI(model, guide, optim, loss=elbo)` and with `elbo(model, guide)` and a torch optimiser.

    Attributes:
        weights: how the objective weighs the terms of the ELBO's anatomy, for people to read; see `zoo.elbos`.

    Args:
        kl: "closed", the closed form given the earlier sites, or "sampled", log q - log p at the draw; or one of them
            for each site that is named, where an absent one is closed. The attribute may be assigned at any time.
        num_particles: draws per datapoint.

    Raises:
        ValueError: on the first pass, where model and guide do not fit each other or the objective.
    """

    weights: ClassVar[str] = ""

    def __init__(self, *, kl: How | Mapping[str, How] = "closed", num_particles: int = 1) -> None:
        hows = kl.values() if isinstance(kl, Mapping) else [kl]
        if any(how not in ("closed", "sampled") for how in hows):
            raise ValueError(f"kl must be 'closed' or 'sampled', got {kl!r}")
        if num_particles < 1:
            raise ValueError(f"num_particles must be at least 1, got {num_particles}")
        super().__init__(num_particles=num_particles, vectorize_particles=num_particles > 1)
        self.kl = kl
        self._report: Report | None = None

    @abstractmethod
    def terms(self, model_trace: Trace, guide_trace: Trace) -> dict[str, Tensor]:
        """Named 0-dim terms, signed, in nats per datapoint, to be maximised.

        The traces' sites carry `nats`, unweighted: the reconstruction on the observed sites of the model (0-dim), the
        KL on the latent sites of the guide ([units]).
        """

    def messengers(self) -> Sequence[Messenger]:
        """What the objective installs on model and guide, outermost last. Nothing, unless it says so."""
        return ()

    def report(self) -> Report:
        """The figures of the last pass."""
        if self._report is None:
            raise RuntimeError("there is no pass to report on yet: evaluate the loss first")
        return self._report

    def state_dict(self) -> dict[str, Tensor]:
        """The hyperparameters and running statistics as they stand; one per site is called name.site."""
        state: dict[str, Tensor] = {}
        for name in self._state_names():
            value = getattr(self, name)
            if isinstance(value, Mapping):
                state.update({f"{name}.{site}": number for site, number in value.items()})
            elif value is not None:
                state[name] = value
        return state

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Takes over the `state_dict()` of an objective of the same class.

        Raises:
            ValueError: the state has other names.
        """
        loaded: dict[str, Any] = dict.fromkeys(self._state_names())
        for key, value in state.items():
            name, _, site = key.partition(".")
            if name not in loaded:
                raise ValueError(f"{type(self).__name__} has the state {list(loaded)}, and no {key!r}")
            loaded[name] = {**(loaded[name] or {}), site: value} if site else value
        for name, value in loaded.items():
            if value is None and isinstance(vars(type(self))[name], Hyperparameter):
                raise ValueError(f"the state has no {name!r}, which {type(self).__name__} needs")
            setattr(self, name, value)

    def _state_names(self) -> list[str]:
        return [name for name, value in vars(type(self)).items() if isinstance(value, (Hyperparameter, Statistic))]

    # One pass, in Pyro's vocabulary.

    def loss(self, model: Program, guide: Program, *args: Any, **kwargs: Any) -> float:
        """The loss as a float, without gradients."""
        with torch.no_grad():
            loss = self.differentiable_loss(model, guide, *args, **kwargs).item()
        warn_if_nan(loss, "loss")
        return loss

    def loss_and_grads(self, model: Program, guide: Program, *args: Any, **kwargs: Any) -> float:
        """The loss as a float; adds its gradients to the parameters'."""
        differentiable = self.differentiable_loss(model, guide, *args, **kwargs)
        if differentiable.requires_grad:
            differentiable.backward(retain_graph=self.retain_graph)
        loss = differentiable.item()
        warn_if_nan(loss, "loss")
        return loss

    def differentiable_loss(self, model: Program, guide: Program, *args: Any, **kwargs: Any) -> Tensor:
        """The loss as a 0-dim tensor, which `backward` takes."""
        model_trace, guide_trace = next(self._get_traces(model, guide, args, kwargs))
        terms = self.terms(model_trace, guide_trace)
        loss = -torch.stack(list(terms.values())).sum()
        self._report = Report(
            terms={name: term.detach() for name, term in terms.items()},
            reconstruction={name: site["nats"].detach() for name, site in observed(model_trace)},
            kl={name: site["nats"].detach() for name, site in latent(guide_trace)},
        )
        return loss

    def _guess_max_plate_nesting(self, model: Program, guide: Program, args: Any, kwargs: Any) -> None:
        # Pyro runs the pair for this; the first pass is to draw what every later one would on its seed.
        # Without validation, since it would score every site, and a corner has no Concrete density.
        with torch.random.fork_rng(), pyro.validation_enabled(False), _quiet("pyro.infer.elbo"):
            super()._guess_max_plate_nesting(model, guide, args, kwargs)

    def _get_trace(self, model: Program, guide: Program, args: Any, kwargs: Any) -> tuple[Trace, Trace]:
        for messenger in self.messengers():
            guide, model = messenger(guide), messenger(model)
        guide = poutine.enum(guide, first_available_dim=-1 - PLATES)
        guide_trace = poutine.trace(guide).get_trace(*args, **kwargs)
        if is_validation_enabled():
            model = RefuseMisfits(guide_trace)(model)
        model_trace = poutine.trace(poutine.replay(model, trace=guide_trace)).get_trace(*args, **kwargs)
        guide_trace = prune_subsample_sites(guide_trace)
        model_trace = prune_subsample_sites(model_trace)
        if is_validation_enabled():
            _check_pair(model_trace, guide_trace, min(self.max_plate_nesting, PLATES))
        self._leave_nats(model_trace, guide_trace)
        return model_trace, guide_trace

    def _leave_nats(self, model_trace: Trace, guide_trace: Trace) -> None:
        """Writes the unweighted nats per datapoint on every site."""
        draws = num_data_of(model_trace) * self.num_particles
        chances = _chances(guide_trace)
        for _, site in observed(model_trace):
            with _naming(site):
                log_prob = site["fn"].log_prob(site["value"])
            site["nats"] = _sum_to_units(log_prob.unsqueeze(-1), site, chances).sum() / draws
        for name, site in latent(guide_trace):
            if torch.is_grad_enabled() and not site["fn"].has_rsample and not summed_out(site):
                raise ValueError(
                    f"site {name!r}: {family(site['fn'])} is not reparameterised, so no gradient would reach the "
                    "guide; take a relaxed head such as Concrete, sum it out (Exact), or observe the site"
                )
            prior = model_trace.nodes[name]["fn"] if name in model_trace else None
            with _naming(site):
                kl = self._site_kl(name, site["fn"], prior, site["value"])
            site["nats"] = _sum_to_units(kl, site, chances) / draws

    def _site_kl(self, name: str, q: Any, p: Any, value: Tensor) -> Tensor:
        """KL(q || p), [*batch, units]."""
        if p is None:  # an auxiliary site of the guide's, which the model does not have
            log_q: Tensor = q.log_prob(value)
            return log_q.unsqueeze(-1)
        how = self.kl.get(name, "closed") if isinstance(self.kl, Mapping) else self.kl
        if how == "sampled" or family(q) == "Delta":  # the one draw of a point mass is exact
            return sampled_kl(q, p, value)
        try:
            return closed_kl(q, p)
        except NotImplementedError:
            raise NoClosedKL(
                f"there is no closed-form KL of {family(q)} from {family(p)}; take kl='sampled' (or, later, elbo.kl = "
                "'sampled'), or a head that has one (MeanField, FullRank, LowRank, Laplace, Concrete, StraightThrough, "
                "Exact and DirichletHead, each from a prior of its kind)"
            ) from None


def weighted(site: Site) -> Tensor:
    """A site's nats under the weight that `ScaleSites` gave it: 0-dim."""
    nats: Tensor = site["nats"].sum()
    return site.get("weight", 1.0) * nats


def observed(trace: Trace) -> list[tuple[str, Site]]:
    """The sites that were observed, by name; a deterministic site scores zero and is none."""
    return [
        (name, site)
        for name, site in trace.nodes.items()
        if site["type"] == "sample" and site["is_observed"] and not site["infer"].get("_deterministic")
    ]


def latent(trace: Trace) -> list[tuple[str, Site]]:
    """The sites that were sampled, by name."""
    return [(name, site) for name, site in trace.nodes.items() if site["type"] == "sample" and not site["is_observed"]]


def known_sites(what: str, sites: Iterable[str], guide_trace: Trace) -> None:
    """Refuses a setting for a site that is not latent."""
    there_are = [name for name, _ in latent(guide_trace)]
    if wrong := sorted(set(sites) - set(there_are)):
        raise ValueError(f"{what} names {wrong}; the guide has the latent sites {there_are}")


def num_data_of(model_trace: Trace) -> int:
    """The full size of the plate "data"."""
    for site in model_trace.nodes.values():
        for frame in site["cond_indep_stack"] if site["type"] == "sample" else ():
            if frame.name == "data":
                return int(frame.full_size)
    raise ValueError("the model has no plate called 'data', so there is no datapoint to count nats by")


def summed_out(site: Site) -> bool:
    """Whether a site of the guide has all of its values at once, instead of a draw."""
    return site["infer"].get("_enumerate_dim") is not None


def _chances(guide_trace: Trace) -> Tensor | None:
    """q of every combination of the values that are summed out, [K, ..., *batch]; None where nothing is."""
    log_q = [site["fn"].log_prob(site["value"]) for _, site in latent(guide_trace) if summed_out(site)]
    return sum(log_q[1:], start=log_q[0]).exp() if log_q else None


def _sum_to_units(values: Tensor, site: Site, chances: Tensor | None) -> Tensor:
    """Sums [*batch, units] over the batch under the site's mask and its scale without the objective's weight.

    What is summed out is weighed by its chances, which add up to 1 for values that do not depend on it.
    """
    if chances is not None:
        values = values * chances.unsqueeze(-1)
    scale = site.get("unweighted_scale", site["scale"])
    mask = site["mask"]
    if isinstance(scale, Tensor) and scale.dim():
        scale = scale.unsqueeze(-1)
    if isinstance(mask, Tensor):
        mask = mask.unsqueeze(-1)
    scaled: Tensor = scale_and_mask(values, scale, mask)
    return scaled.reshape(-1, scaled.shape[-1]).sum(0)


@contextmanager
def _naming(site: Site) -> Iterator[None]:
    """What goes wrong in scoring a site is said with the site's name."""
    try:
        yield
    except ValueError as error:
        kind = NoClosedKL if isinstance(error, NoClosedKL) else ValueError
        raise kind(f"site {site['name']!r}: {error}") from error


def family(fn: Any) -> str:
    """The name of a distribution's family, behind `to_event`, `mask` and `expand_by`."""
    while type(fn).__name__ in ("Independent", "MaskedDistribution", "ExpandedDistribution"):
        fn = fn.base_dist
    return type(fn).__name__


@contextmanager
def _quiet(name: str) -> Iterator[None]:
    """Keeps a logger to warnings: Pyro tells of every guess."""
    logger = logging.getLogger(name)
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)


def _check_pair(model_trace: Trace, guide_trace: Trace, max_plate_nesting: float) -> None:
    """Refuses a model and a guide whose sites do not fit, before a number is computed from them."""
    in_model = dict(latent(model_trace))
    in_guide = {name: site for name, site in latent(guide_trace) if not site["infer"].get("is_auxiliary")}

    def refuse(what: str) -> NoReturn:
        raise ValueError(f"{what}; the model has the latent sites {list(in_model)}, the guide {list(in_guide)}")

    if missing := in_model.keys() - in_guide.keys():
        refuse(f"the guide has no site {sorted(missing)}: give it a head, as in Amortized(trunk, z=MeanField(10))")
    if extra := in_guide.keys() - in_model.keys():
        refuse(f"the model has no latent site {sorted(extra)}: take the head out, or do not observe the site")
    for name, site in in_guide.items():
        for what in ("scale", "mask"):
            if not _same(in_model[name][what], site[what]):
                raise ValueError(
                    f"site {name!r}: the {what} differs between model ({in_model[name][what]}) and guide "
                    f"({site[what]}); a scale or mask on a latent must stand in both, and both plates need num_data"
                )
    check_model_guide_match(model_trace, guide_trace, max_plate_nesting)


def _same(a: Any, b: Any) -> bool:
    if a is None or b is None or a is b:
        return a is b
    return torch.equal(*torch.broadcast_tensors(torch.as_tensor(a), torch.as_tensor(b)))
