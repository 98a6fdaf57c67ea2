"""A story in two tellings: as a class's docstring has it, and as a trace shows it. A test holds the two together."""

import inspect
import re
from dataclasses import dataclass

import torch
from pyro import poutine
from pyro.poutine.trace_struct import Trace
from torch import nn

from zoo.lab.data import Batch
from zoo.lab.fit import OwnParameters, arguments
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
        """The distribution's name: what stands before the parenthesis."""
        return self.expression.split("(")[0]


def told(story: nn.Module | type[nn.Module]) -> list[Line]:
    """The lines of a story as its docstring tells them."""
    matches = (_LINE.match(line) for line in (inspect.getdoc(story) or "").splitlines())
    return [Line(**{key: value or "" for key, value in match.groupdict().items()}) for match in matches if match]


def traced(trace: Trace) -> list[Line]:
    """The lines of a story as its trace shows them: sites in order, families, and shapes with B for the data plate."""
    lines = []
    for name, site in trace.nodes.items():
        if site["type"] != "sample" or type(site["fn"]).__name__ == "_Subsample":
            continue
        deterministic = site["infer"].get("_deterministic", False)
        in_plate = any(frame.name == "data" for frame in site["cond_indep_stack"])
        shape = ["B"] * in_plate + [str(size) for size in site["fn"].event_shape]
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


def show(model: nn.Module, guide: nn.Module, batch: Batch) -> str:
    """Model and guide as `~` lines with the shapes of this batch, for a terminal.

    They run in evaluation mode, so that a batch norm takes one datapoint, and learns nothing of it.
    """
    args, kwargs = arguments(batch)
    telling = {line.name: line for line in told(model)}
    modes = model.training, guide.training
    model.eval()
    guide.eval()
    with torch.no_grad(), poutine.block(), OwnParameters():
        guide_lines = traced(poutine.trace(guide).get_trace(*args, **kwargs))
        model_lines = traced(poutine.trace(model).get_trace(*args, **kwargs))
    model.train(modes[0])
    guide.train(modes[1])
    sections = []
    for program, lines in ((model, model_lines), (guide, guide_lines)):
        rows = []
        for line in lines:
            own = telling.get(line.name) if program is model else None
            # The docstring's words, with the family that ran: a swapped likelihood is shown as what it is.
            if own:
                words = own.expression.replace(own.family, line.family, 1) if line.family else own.expression
            else:
                words = line.expression + ("(guide(x))" if program is guide else "(...)")
            meaning = " ".join(filter(None, (own.meaning.strip() if own else "", line.meaning and "(observed)")))
            rows.append((f"{line.name} {line.relation} {words}", meaning, line.shape))
        widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
        sections.append(
            f"{type(program).__name__}\n"
            + "\n".join(f"    {a:<{widths[0]}}  {b:<{widths[1]}}  {c}" for a, b, c in rows)
        )
    return "\n".join(sections)
