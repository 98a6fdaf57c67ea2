"""The view of a story: as text, in a notebook, as LaTeX, as a diagram, and compared with another story."""

import html
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

from torch import nn

from zoo.arguments import checked
from zoo.elbos import TermwiseELBO
from zoo.lab.data import Batch
from zoo.lab.isolation import isolated
from zoo.lab.story import factors
from zoo.lab.story.diagram import Diagram
from zoo.lab.story.difference import Difference, Row, difference
from zoo.lab.story.latex import whole_story
from zoo.lab.story.program import Program
from zoo.lab.story.terms import Terms, terms_of

WIDTH = 120  # columns that two programs next to each other may have


@dataclass(frozen=True, repr=False)
class Story:
    """The view of a model, with its guide and objective where they were given; made by `story`.

    `str()` and `repr()` are its text, a notebook shows it as a page.

    Attributes:
        model: p, read off its trace.
        guide: q, read off its trace.
        terms: the contribution of each site to the objective on the batch.
    """

    model: Program
    guide: Program | None = None
    terms: Terms | None = None

    def __str__(self) -> str:
        blocks = [_block(program) for program in (self.model, self.guide) if program]
        parts = [_side_by_side(blocks), "\n".join(factors.text(p) for p in (self.model, self.guide) if p)]
        if self.terms:
            parts.append(_terms_text(self.terms))
        return "\n\n".join(parts)

    def __repr__(self) -> str:
        return str(self)

    def latex(self) -> str:
        """Distributions, factorisations and objective as LaTeX for an aligned display; needs amsmath and amssymb."""
        return whole_story(self.model, self.guide, self.terms)

    def factorisation(self) -> str:
        """Both factorisations in LaTeX, for an aligned display."""
        lines = [factors.latex(p).replace(" = ", " &= ", 1) for p in (self.model, self.guide) if p]
        return "\\begin{aligned}\n" + " \\\\\n".join(lines) + "\n\\end{aligned}"

    def graph(self, path: str | Path | None = None) -> Diagram:
        """The plate diagram of model and guide, which a notebook shows.

        Args:
            path: file to write as well: .gv or .dot for the source, .tex for a LaTeX document with TikZ, else a
                picture, by graphviz's program dot.

        Raises:
            ModuleNotFoundError: a picture is asked for, and the library graphviz is not installed.
            OSError: the program dot is not installed.
        """
        diagram = Diagram.of(self.model, self.guide)
        if path is not None:
            diagram.write(path)
        return diagram

    def diff(self, other: "Story") -> Difference:
        """The difference from this story to another one, line by line."""
        return difference(_sections(other), _sections(self))

    def _repr_latex_(self) -> str:
        return f"$$\n{self.factorisation()}\n$$"

    def _repr_html_(self) -> str:
        cell = "<td style='text-align: left; vertical-align: top'><pre>{}</pre></td>"
        blocks = [_block(program) for program in (self.model, self.guide) if program]
        parts = [
            "<table><tr>" + "".join(cell.format(html.escape("\n".join(block))) for block in blocks) + "</tr></table>",
            html.escape(self._repr_latex_()),
        ]
        if self.terms:
            parts.append(_terms_html(self.terms))
        parts.append(self.graph()._repr_html_())
        return "\n".join(parts)


@checked()
def story(
    model: nn.Module, guide: nn.Module | None = None, elbo: TermwiseELBO | None = None, batch: Batch | None = None
) -> Story:
    """The story of a model, with its guide and the contribution of each site to an objective.

        story(model, guide, elbo, batch)           # in a notebook, the last line of a cell
        print(story(model, guide, batch=batch))

    Families, shapes, plates and dependencies are read off traces on the batch; only a site's meaning is taken from the
    docstring. The pair, the objective's running statistics and the random state are left as they were.

    Args:
        model: a story.
        guide: its guide.
        elbo: an objective, which needs the guide.
        batch: some datapoints; without them the model draws one from its prior, without guide or objective.

    Raises:
        ValueError: there is a guide without a batch, or an objective without a guide; the pair does not fit; or the
            model has no site.
    """
    if guide is not None and batch is None:
        raise ValueError("a guide needs data: give batch=, as in story(model, guide, batch=next(batches))")
    if elbo is not None and guide is None:
        raise ValueError("an objective needs model and guide: give guide= too")
    programs = [program for program in (model, guide) if program is not None]

    with isolated(*programs):
        p = Program.of("p", model, batch)
        if guide is None or batch is None:
            return Story(p)
        q = Program.of("q", guide, batch)
    if elbo is None:
        return Story(p, q)
    with isolated(*programs):  # with the same seed again, so that the draws are those of the objective's pass
        return Story(p, q, terms_of(model, guide, elbo, batch))


def _lines(program: Program, *, prose: bool = True) -> list[Row]:
    """A program line by line: each plate on a line, with its sites indented below it."""
    rows = [Row((program.name,))]
    open_plates: tuple[str, ...] = ()
    plates = {plate.name: plate for plate in program.plates}
    for site in program.sites:
        for depth, name in enumerate(site.plates):
            if site.plates[: depth + 1] != open_plates[: depth + 1]:
                # The number of datapoints belongs to the data, and is not part of the comparison.
                line = str(plates[name]) if prose or name != "data" else "plate data"
                rows.append(Row((line,), indent=depth))
        open_plates = site.plates
        role = ", ".join(filter(None, (site.role, site.weight)))
        meaning = " ".join(filter(None, (site.meaning if prose else "", f"({role})" if role else "")))
        rows.append(Row((site.statement, meaning, f"[{', '.join(site.shape)}]"), indent=len(site.plates)))
    return rows


def _sections(story: Story) -> list[list[Row]]:
    """Model, guide and objective for a comparison: without the numbers of a batch, and without meanings."""
    model, guide = (
        [*_lines(program, prose=False), Row((factors.text(program),))] if program else []
        for program in (story.model, story.guide)
    )
    if not story.terms:
        return [model, guide, []]
    terms = [Row((term.name, f"of {', '.join(term.sites)}"), indent=1) for term in story.terms.terms]
    return [model, guide, [Row((_heading(story.terms),)), *terms]]


def _block(program: Program) -> list[str]:
    return aligned(_lines(program))


def aligned(rows: Sequence[Row]) -> list[str]:
    """The rows as text, those of three cells in columns."""
    full = [row for row in rows if len(row.cells) > 1]
    columns = max((len(row.cells) for row in full), default=0)
    widths = [max((len(row.padded[i]) for row in full if i < len(row.cells)), default=0) for i in range(columns)]
    return [row.text(widths) for row in rows]


def _side_by_side(blocks: Sequence[Sequence[str]]) -> str:
    """Two blocks of lines next to each other, or one below the other where they are too wide."""
    if len(blocks) == 2:
        left = max(map(len, blocks[0]))
        if left + 4 + max(map(len, blocks[1])) <= WIDTH:
            pairs = zip_longest(*blocks, fillvalue="")
            return "\n".join(f"{a:<{left}}    {b}".rstrip() for a, b in pairs)
    return "\n\n".join("\n".join(block) for block in blocks)


def _heading(terms: Terms) -> str:
    """The objective in one line, such as BetaVAE: (1 + 3) + beta (2 + 4), beta = 4."""
    numbers = [f"{name} = {value:g}" for name, value in terms.hyperparameters.items()]
    return ", ".join([f"{terms.objective}: {terms.weights}", *numbers])


def _table(terms: Terms) -> list[tuple[str, float, str]]:
    """The objective's terms and their sum, then the unweighted reconstruction, KL and ELBO."""
    return [
        *((term.name, term.nats, f"of {', '.join(term.sites)}") for term in terms.terms),
        ("sum", terms.total, "which training maximises"),
        *((f"E[log p({site})]", nats, "unweighted") for site, nats in terms.reconstruction.items()),
        *((f"KL({site})", nats, "unweighted") for site, nats in terms.kl.items()),
        ("ELBO", terms.elbo, "unweighted"),
    ]


def _terms_text(terms: Terms) -> str:
    rows = _table(terms)
    width = max(len(name) for name, _, _ in rows)
    lines = [f"    {name:<{width}} {nats:>11.3f}  {of}" for name, nats, of in rows]
    return "\n".join([_heading(terms), "nats per datapoint, on this batch", *lines])


def _terms_html(terms: Terms) -> str:
    rows = "".join(
        f"<tr><td style='text-align: left'><code>{html.escape(name)}</code></td><td>{nats:.3f}</td>"
        f"<td style='text-align: left'>{html.escape(of)}</td></tr>"
        for name, nats, of in _table(terms)
    )
    head = "<tr><th></th><th>nats per datapoint, this batch</th><th></th></tr>"
    return f"<p><code>{html.escape(_heading(terms))}</code></p><table>{head}{rows}</table>"
