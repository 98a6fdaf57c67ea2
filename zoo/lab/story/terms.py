"""The sites that each term of an objective is computed from, found by marks during its computation."""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pyro.ops.provenance import detach_provenance, get_provenance, track_provenance
from pyro.poutine.trace_struct import Trace
from torch import Tensor, nn
from torch.distributions import Distribution

from zoo.elbos import TermwiseELBO
from zoo.lab.data import Batch
from zoo.sites import nodes_of


@dataclass(frozen=True)
class Term:
    """A term of the objective: signed and weighted, in nats per datapoint, and the sites that it is computed from."""

    name: str
    nats: float
    sites: tuple[str, ...]


@dataclass(frozen=True)
class Terms:
    """An objective on one batch, in nats per datapoint.

    Attributes:
        objective: the class's name.
        weights: the objective in HFVAE's letters; see `zoo.elbos`.
        hyperparameters: by name.
        terms: the terms that it adds up.
        reconstruction: E[log p] of each observed site, unweighted.
        kl: KL of each latent site, unweighted, its units summed.
    """

    objective: str
    weights: str
    hyperparameters: dict[str, float]
    terms: tuple[Term, ...]
    reconstruction: dict[str, float]
    kl: dict[str, float]

    @property
    def total(self) -> float:
        """The sum, which training maximises."""
        return sum(term.nats for term in self.terms)

    @property
    def elbo(self) -> float:
        """Reconstruction minus KL, unweighted."""
        return sum(self.reconstruction.values()) - sum(self.kl.values())


def terms_of(model: nn.Module, guide: nn.Module, elbo: TermwiseELBO, batch: Batch) -> Terms:
    """One pass of a copy of the objective, so that its report and running statistics are not shared.

    Before the terms are computed, everything in the traces that belongs to a site is marked with its name, and the
    terms inherit the marks: a term that is not a sum over sites, such as a total correlation, has several.
    """
    watched = copy.copy(elbo)

    def marked_terms(model_trace: Trace, guide_trace: Trace) -> dict[str, Tensor]:
        for trace in (model_trace, guide_trace):
            _mark(trace)
        terms: dict[str, Tensor] = type(elbo).terms(watched, model_trace, guide_trace)
        return terms

    watched.__dict__["terms"] = marked_terms
    args, kwargs = batch.arguments()
    watched.loss(model, guide, *args, **kwargs)
    report = watched.report()
    sites = [*report.reconstruction, *report.kl]
    return Terms(
        objective=type(elbo).__name__,
        weights=elbo.weights,
        hyperparameters={name: _number(value) for name, value in elbo.state_dict().items() if value.dim() == 0},
        terms=tuple(
            Term(name, _number(term), tuple(site for site in sites if site in get_provenance(term)))
            for name, term in report.terms.items()
        ),
        reconstruction={site: _number(nats) for site, nats in report.reconstruction.items()},
        kl={site: _number(nats.sum()) for site, nats in report.kl.items()},
    )


def _number(value: Tensor) -> float:
    return float(detach_provenance(value).item())


def _mark(trace: Trace) -> None:
    """Marks all that an objective reads on a site, including what `zoo.termwise` and the messengers wrote there."""
    for name, node in nodes_of(trace).items():
        if node["type"] != "sample":
            continue
        mark = frozenset({name})
        node["fn"] = _marked(node["fn"], mark)
        for key in ("value", "nats"):
            if isinstance(node.get(key), Tensor):
                node[key] = track_provenance(node[key], mark)
        for key in ("score_own", "score_pairs", "draw_prior"):
            if key in node:
                node[key] = _marking(node[key], mark)


def _marking(function: Callable[..., Any], mark: frozenset[str]) -> Callable[..., Any]:
    return lambda *args: track_provenance(function(*args), mark)


def _marked(fn: Any, mark: frozenset[str]) -> Any:
    """The distribution with marks on its parameters, and on those of its base and component distributions."""
    same = copy.copy(fn)
    for key, value in vars(fn).items():
        if isinstance(value, Distribution):
            vars(same)[key] = _marked(value, mark)
        elif isinstance(value, Tensor):
            vars(same)[key] = track_provenance(value, mark)
    return same
