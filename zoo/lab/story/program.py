"""A program's sites, read off its trace, and the sites that each depends on.

Every site's value, the batch and the parameters have a mark (`pyro.ops.provenance`), which everything computed from
them inherits. A site's parents are the marks on its distribution, so they are read off the program rather than written
by hand.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import pyro
import torch
from pyro import poutine
from pyro.infer.inspect import TrackProvenance
from pyro.ops.provenance import ProvenanceTensor, detach_provenance, get_provenance
from pyro.poutine.replay_messenger import ReplayMessenger
from pyro.poutine.trace_struct import Trace
from torch import Tensor, nn
from torch.func import functional_call
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_map

from zoo.lab.data import Batch
from zoo.lab.story.lines import docstring_lines, event_shape
from zoo.sites import is_deterministic, is_masked, nodes_of, sampled, users_scale
from zoo.termwise import family

Letter = Literal["p", "q"]
GREEK = {"p": "θ", "q": "φ"}


@dataclass(frozen=True)
class Input:
    """The mark of an input from the batch: "x", "y", or "n", the datapoint's index."""

    name: str


@dataclass(frozen=True)
class Plate:
    """A plate: the size of the batch, and the full size."""

    name: str
    size: int
    full_size: int

    def __str__(self) -> str:
        of = f" of {self.full_size:,}" if self.full_size != self.size else ""
        unit = "" if self.name != "data" else " datapoint" if self.full_size == 1 else " datapoints"
        return f"plate {self.name}: {self.size:,}{of}{unit}"


@dataclass(frozen=True)
class TracedSite:
    """One statement of a program.

    Attributes:
        name: of the site.
        relation: "~", or "=" for a deterministic one.
        expression: the family, and for each parameter its numbers, or the names that it is computed from.
        parents: the sites and inputs that its distribution is computed from, in the program's order.
        learnt: whether it is computed from parameters.
        per_datapoint: whether each datapoint has its own parameters.
        role: "observed", "summed out", or "".
        meaning: its meaning, from the story's docstring.
        shape: of its value, with B for the plate "data".
        plates: that contain it, outermost first.
        weight: what the user's mask or scale does to its log density: "masked", "scaled by 0.5", both, or "".
    """

    name: str
    relation: Literal["~", "="]
    expression: str
    parents: tuple[str, ...]
    learnt: bool
    per_datapoint: bool
    role: Literal["", "observed", "summed out"]
    meaning: str
    shape: tuple[str, ...]
    plates: tuple[str, ...]
    weight: str = ""

    @property
    def statement(self) -> str:
        """The statement as text, such as z ~ Normal(0, 1)."""
        return f"{self.name} {self.relation} {self.expression}"


@dataclass(frozen=True)
class Program:
    """A model, p, or a guide, q, read off one trace."""

    letter: Letter
    name: str
    sites: tuple[TracedSite, ...]
    plates: tuple[Plate, ...]

    @classmethod
    def of(cls, letter: Letter, program: nn.Module, batch: Batch | None) -> "Program":
        """Reads a program off a trace on the batch; without a batch, off a draw of all sites.

        Raises:
            ValueError: a model without a site.
        """
        trace = marked_trace(program, batch)
        if letter == "p" and not sampled(trace):
            raise ValueError(f"{type(program).__name__} has no site to tell of: its forward calls no pyro.sample")
        order = [Input("n"), Input("x"), Input("y"), *(name for name, _ in sampled(trace))]
        rows = {name for name, node in nodes_of(trace).items() if node["type"] == "param" and _has_rows(node)}
        meanings = {line.name: line.meaning.strip() for line in docstring_lines(program)}
        sites = tuple(
            _site(name, node, _Reader(letter, order, rows), meanings.get(name, "")) for name, node in sampled(trace)
        )
        frames = {f.name: f for _, node in sampled(trace) for f in _frames(node)}
        plates = tuple(Plate(name, int(f.size), int(f.full_size or f.size)) for name, f in frames.items())
        return cls(letter, type(program).__name__, sites, plates)

    @property
    def given(self) -> tuple[str, ...]:
        """The parents that are not sites of the program."""
        own = {site.name for site in self.sites}
        found = dict.fromkeys(parent for site in self.sites for parent in site.parents if parent not in own)
        return tuple(sorted(found))


def marked_trace(program: nn.Module, batch: Batch | None) -> Trace:
    """A trace in which every distribution has the marks of everything that it was computed from.

    A first run draws the values, since some samplers cannot draw from marked numbers, and creates an autoguide's
    parameters; a second run replays them.
    """
    args, kwargs = ((), {}) if batch is None else batch.arguments()
    first = poutine.trace(program).get_trace(*args, **kwargs)
    inputs = tuple(ProvenanceTensor(arg, frozenset({Input(name)})) for arg, name in zip(args, "xy", strict=False))
    numbers = {name: ProvenanceTensor(value, frozenset({Input("n")})) for name, value in kwargs.items()}
    parameters: dict[str, Tensor] = {
        name: ProvenanceTensor(parameter.detach(), frozenset({"parameters of " + type(program).__name__}))
        for name, parameter in program.named_parameters()
        if parameter.requires_grad
    }
    with (
        pyro.validation_enabled(False),
        _Marks(include_deterministic=True),
        poutine.trace() as tracer,
        ReplayMessenger(trace=first),
        _Apart(),
    ):
        functional_call(program, parameters, inputs, numbers)
    trace: Trace = tracer.trace
    return trace


class _Marks(TrackProvenance):
    """Marks values and parameters, and keeps `unconstrained`, which a plate over a part of the data calls."""

    def _pyro_post_param(self, msg: Any) -> None:
        value = msg["value"].detach()
        super()._pyro_post_param(msg)
        msg["value"].unconstrained = lambda: value


class _Apart(TorchFunctionMode):
    """Keeps the marks of broadcast tensors separate: in Normal(loc, 1) the scale does not get the marks of loc.

    Also marks the parameters of networks that the program uses and does not contain, as by `pyro.module`.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        args, kwargs = tree_map(_marked_if_parameter, (args, kwargs or {}))
        if func is not torch.broadcast_tensors:
            return func(*args, **kwargs)
        same_shape = func(*(detach_provenance(arg) for arg in args))
        return tuple(ProvenanceTensor(t, get_provenance(arg)) for t, arg in zip(same_shape, args, strict=True))


def _marked_if_parameter(value: Any) -> Any:
    if isinstance(value, nn.Parameter) and value.requires_grad:
        return ProvenanceTensor(value, frozenset({"parameters of a network"}))
    return value


def _frames(node: dict[str, Any]) -> list[Any]:
    """The plates of a site, outermost first, except loops over a plate: each step of a loop is a site of its own."""
    return [frame for frame in node["cond_indep_stack"] if frame.vectorized]


def _has_rows(node: dict[str, Any]) -> bool:
    """Whether a parameter has a row for each member of its plates, rather than one value that is read inside them."""
    return bool(node["cond_indep_stack"]) and node["kwargs"].get("event_dim") is not None


@dataclass(frozen=True)
class _Reader:
    """Converts marks to text."""

    letter: Letter
    order: list[Any]
    rows: set[str]

    def parents(self, marks: frozenset[Any], site: str) -> tuple[str, ...]:
        known = [mark for mark in self.order if mark in marks and mark not in (site, Input("n"))]
        return tuple(mark.name if isinstance(mark, Input) else mark for mark in known)

    def learnt(self, marks: frozenset[Any]) -> bool:
        return any(mark not in self.order for mark in marks)

    def per_datapoint(self, marks: frozenset[Any]) -> bool:
        return Input("n") in marks or bool(marks & self.rows)

    def arguments(self, marks: frozenset[Any], site: str) -> str:
        """Marks as the arguments of a function, such as (z, c; θ)."""
        greek = f"{GREEK[self.letter]}_n" if self.per_datapoint(marks) else GREEK[self.letter]
        parts = [", ".join(self.parents(marks, site)), greek if self.learnt(marks) else ""]
        return f"({'; '.join(filter(None, parts))})"


def _site(name: str, node: dict[str, Any], reader: _Reader, meaning: str) -> TracedSite:
    deterministic = is_deterministic(node)
    fn = node["fn"].base_dist if deterministic else node["fn"]
    with pyro.validation_enabled(False):
        marks = get_provenance(fn.log_prob(node["value"])) - {name}
    frames = sorted(_frames(node), key=lambda frame: frame.dim)
    role: Literal["", "observed", "summed out"] = ""
    if node["infer"].get("enumerate") == "parallel" and not node["is_observed"]:
        role = "summed out"
    elif node["is_observed"] and not deterministic:
        role = "observed"
    return TracedSite(
        name=name,
        relation="=" if deterministic else "~",
        expression=f"f{reader.arguments(marks, name)}" if deterministic else _expression(fn, name, reader, marks),
        parents=reader.parents(marks, name),
        learnt=reader.learnt(marks),
        per_datapoint=reader.learnt(marks) and reader.per_datapoint(marks),
        role=role,
        meaning=meaning,
        shape=tuple(
            ["B" if frame.name == "data" else str(frame.size) for frame in frames]
            + [str(size) for size in event_shape(node)]
        ),
        plates=tuple(frame.name for frame in _frames(node)),
        weight="" if deterministic else _weight(node),
    )


def _weight(node: dict[str, Any]) -> str:
    """What a mask or a scale of the user's does to the site's log density."""
    scale = torch.as_tensor(users_scale(node))
    by = "" if (scale == 1).all() else f"scaled by {scale:.3g}" if scale.dim() == 0 else "scaled"
    masked = "masked" if node["mask"] is not None or is_masked(node["fn"]) else ""
    return ", ".join(filter(None, (masked, by)))


def _expression(fn: Any, site: str, reader: _Reader, marks: frozenset[Any]) -> str:
    """The family, and its parameters: numbers where they are constants, else the names that they are computed from."""
    while type(fn).__name__ in ("Independent", "MaskedDistribution", "ExpandedDistribution"):
        fn = fn.base_dist
    name = family(fn)
    if name.startswith("MixtureSameFamily"):
        mixed = (fn.mixture_distribution, fn.component_distribution)
        parts = [_expression(part, site, reader, marks) for part in mixed]
    elif name == "TransformedDistribution":
        parts = [_expression(fn.base_dist, site, reader, marks), *(type(t).__name__ for t in fn.transforms)]
    else:
        parts = [_parameter(key, value, site, reader, "Categorical" in name) for key, value in _parameters(fn)]
    return f"{name}({', '.join(parts)})" if parts else f"{name}{reader.arguments(marks, site)}"


def _parameters(fn: Any) -> Iterator[tuple[str, Tensor]]:
    """The parameters that a distribution was constructed with, by name."""
    holders = [fn, getattr(fn, "_categorical", None), getattr(fn, "base_dist", None)]
    holders.append(getattr(holders[-1], "_categorical", None))
    if "temperature" not in fn.arg_constraints and isinstance(temperature := getattr(fn, "temperature", None), Tensor):
        yield "temperature", temperature
    held = {key: value for holder in holders if holder is not None for key, value in vars(holder).items()}
    either = [key for key in held if key in ("probs", "logits")]  # the second is computed from the first, on demand
    for key in fn.arg_constraints:
        if key not in (*held, "probs", "logits") and type(getattr(type(fn), key, None)) is property:
            held[key] = getattr(fn, key)  # as Beta's, which it reads off the Dirichlet that it holds
        if isinstance(held.get(key), Tensor) and key not in ("log_density", *either[1:]):
            yield key, held[key]


def _parameter(key: str, value: Tensor, site: str, reader: _Reader, categorical: bool) -> str:
    if marks := get_provenance(value):
        return f"{key}{reader.arguments(marks, site)}"
    positional = key in ("loc", "scale", "df", "concentration", "temperature")
    number = _unexpanded(detach_provenance(value).detach())
    if number.numel() == 1 and categorical and key in ("logits", "probs"):
        return "uniform"
    if number.numel() == 1 or (number.numel() <= 4 and number.dim() == 1):
        some = [f"{n:.3g}" for n in number.flatten().tolist()]
        return ("" if positional else f"{key} ") + (some[0] if number.dim() == 0 else f"[{', '.join(some)}]")
    return f"{key} [{', '.join(map(str, number.shape))}]"


def _unexpanded(value: Tensor) -> Tensor:
    """The number, vector or matrix before it was expanded to the shape of a batch; a constant is one number."""
    if (value == value.flatten()[0]).all():
        return value.flatten()[0]
    while value.dim() > 1 and (value == value[:1]).all():
        value = value[0]
    return value
