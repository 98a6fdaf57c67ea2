"""The lines of a story in its class's docstring, and in a trace. A test checks that the two are equal."""

import inspect
import re
from collections.abc import Sequence
from dataclasses import dataclass

from pyro.poutine.trace_struct import Trace
from torch import nn

from zoo.arguments import checked
from zoo.sites import Site, is_deterministic, sampled
from zoo.termwise import family

# name ~ Family(arguments)    meaning    [shape]
_LINE = re.compile(
    r"^\s+(?P<name>\w+) (?P<relation>[~=]) (?P<expression>\S.*?)"
    r"(?:\s{2,}(?P<meaning>[^\[]*?))?\s{2,}(?P<shape>\[.*\])\s*$"
)


@dataclass(frozen=True)
class Line:
    """One site of a story."""

    name: str
    relation: str
    expression: str
    meaning: str
    shape: str

    @property
    def family(self) -> str:
        """The distribution's name: the expression up to its parenthesis."""
        return self.expression.split("(")[0]


@checked()
def docstring_lines(story: nn.Module | type[nn.Module]) -> list[Line]:
    """The lines in the docstring of a story's class."""
    matches = (_LINE.match(line) for line in (inspect.getdoc(story) or "").splitlines())
    return [Line(**{key: value or "" for key, value in match.groupdict().items()}) for match in matches if match]


def event_shape(site: Site) -> Sequence[int]:
    """The shape of a site's value within its plates.

    Without an event_dim, `pyro.deterministic` makes the dimensions of the plates a part of the event.
    """
    event: Sequence[int] = site["fn"].event_shape
    frames = sorted((f for f in site["cond_indep_stack"] if f.vectorized), key=lambda frame: int(frame.dim))
    sizes = [frame.size for frame in frames]
    whole = is_deterministic(site) and len(event) == site["value"].dim()
    return event[len(sizes) :] if whole and list(event[: len(sizes)]) == sizes else event


def trace_lines(trace: Trace) -> list[Line]:
    """The lines of a trace: sites in order, families, and shapes, with B for the data plate."""
    lines = []
    for name, site in sampled(trace):
        deterministic = is_deterministic(site)
        in_plate = any(frame.name == "data" for frame in site["cond_indep_stack"])
        shape = [*(["B"] if in_plate else []), *map(str, event_shape(site))]
        lines.append(
            Line(
                name=name,
                relation="=" if deterministic else "~",
                expression="" if deterministic else family(site["fn"]),
                meaning="observed" if site["is_observed"] and not deterministic else "",
                shape=f"[{', '.join(shape)}]",
            )
        )
    return lines
