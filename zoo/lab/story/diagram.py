"""A plate diagram in the papers' convention, drawn by graphviz's program dot, or as TikZ.

Solid arrows are the model's, dashed ones the guide's. Observed sites are grey, deterministic ones have a double
outline, parameters are outside the plates without an outline, and a plate's size is in its lower right corner.
"""

import html
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from zoo.lab.errors import import_optional
from zoo.lab.files import write_file
from zoo.lab.story.factors import GREEK_LETTERS, head_and_subscript
from zoo.lab.story.program import GREEK, Program, TracedSite
from zoo.lab.story.tikz import tikz

_KEYWORDS = {"node", "edge", "graph", "digraph", "subgraph", "strict"}  # of graphviz's language, in any case
NO_DOT = (
    "drawing needs graphviz, the program dot, which is not on the path: install it (apt-get install graphviz, brew "
    "install graphviz), or write the diagram's source, as FILE.gv"
)


@dataclass(frozen=True, repr=False)
class Diagram:
    """A plate diagram; a notebook shows it as a picture, or a message if graphviz is missing.

    Attributes:
        source: in graphviz's language.
        tikz: as a LaTeX document, for the library bayesnet.
    """

    source: str
    tikz: str

    @classmethod
    def of(cls, model: Program, guide: Program | None = None) -> "Diagram":
        """The model's diagram, with the guide's arrows where there is a guide."""
        dot = "\n".join(
            [
                "digraph {",
                "    rankdir=TB",
                "    node [shape=circle, width=0.6, margin=0.02]",
                *_body(model, guide),
                "}",
                "",
            ]
        )
        return cls(dot, tikz(model, guide))

    def picture(self, kind: str) -> bytes:
        """The picture in a format of graphviz, such as "svg", "png" or "pdf".

        Raises:
            ModuleNotFoundError: the library graphviz is not installed.
            OSError: the program dot is missing, or fails; the message gives the reason.
            ValueError: graphviz has no such format.
        """
        graphviz = import_optional("graphviz", "the plate diagram")
        try:
            return bytes(graphviz.Source(self.source).pipe(format=kind))
        except graphviz.ExecutableNotFound:
            raise OSError(NO_DOT) from None
        except subprocess.CalledProcessError as error:
            raise OSError(f"graphviz's program dot failed: {error.stderr.decode().strip()}") from None
        except ValueError:
            raise ValueError(
                f"graphviz has no format {kind!r}: use .svg, .png or .pdf, .gv for the source, or .tex for TikZ"
            ) from None

    def write(self, path: str | Path) -> None:
        """Writes the source as .gv or .dot, TikZ as .tex, else a picture.

        Raises:
            ModuleNotFoundError, OSError, ValueError: as `picture`; or the path has no ending.
        """
        path = Path(path)
        kind = path.suffix.removeprefix(".")
        if not kind:
            raise ValueError(
                f"the diagram {path}: its name must end in .svg, .png, .pdf, or .gv or .tex for the source"
            )
        sources = {"gv": self.source, "dot": self.source, "tex": self.tikz}
        write_file(path, sources[kind].encode() if kind in sources else self.picture(kind))

    def __repr__(self) -> str:
        return self.source

    def _repr_html_(self) -> str:
        try:
            svg = self.picture("svg").decode()
        except (ModuleNotFoundError, OSError) as error:
            return f"<p>{html.escape(str(error))}</p>"
        return svg[svg.index("<svg") :]


def _body(model: Program, guide: Program | None) -> Iterator[str]:
    """Plates with their sites, parameters, arrows."""
    programs = [model] if guide is None else [model, guide]
    sites: dict[str, TracedSite] = {}
    sizes: dict[str, int] = {}
    for program in programs:
        for site in program.sites:
            sites.setdefault(site.name, site)  # the model's site where both have it
        sizes |= {plate.name: plate.full_size for plate in program.plates}
    yield from _plate((), sites, sizes, "    ")
    for program in programs:
        greek, solid = GREEK[program.letter], program.letter == "p"
        parameters = greek if greek not in sites else _id(f"parameters {greek}")
        for name in program.given:
            if name not in sites:
                yield f"    {_id(name)} [style=filled, fillcolor=grey85{_label(name)}]"
        if any(site.learnt for site in program.sites):
            yield f"    {parameters} [shape=plaintext{'' if parameters == greek else f', label={greek}'}]"
        for site in program.sites:
            if site.learnt:
                yield f"    {parameters} -> {_id(site.name)}{'' if solid else ' [style=dashed]'}"
            for parent in site.parents:  # only the model's arrows decide what is above what
                style = "" if solid else " [style=dashed, constraint=false]"
                yield f"    {_id(parent)} -> {_id(site.name)}{style}"


def _plate(path: tuple[str, ...], sites: dict[str, TracedSite], sizes: dict[str, int], indent: str) -> Iterator[str]:
    """The sites in these plates, outermost first, and the plates nested in them."""
    for site in sites.values():
        if site.plates == path:
            yield f"{indent}{_id(site.name)}{_look(site)}"
    depth = len(path)
    further_in = [site for site in sites.values() if len(site.plates) > depth and site.plates[:depth] == path]
    inner = dict.fromkeys(site.plates[depth] for site in further_in)
    for name in inner:
        # A plate that crosses another is drawn as two boxes, one inside the other plate and one outside.
        yield f"{indent}subgraph {_quoted('_'.join(('cluster', *path, name)))} {{"
        yield f'{indent}    label="{"N" if name == "data" else sizes[name]}"; labelloc=b; labeljust=r; style=rounded'
        yield from _plate((*path, name), sites, sizes, indent + "    ")
        yield f"{indent}}}"


def _id(name: str) -> str:
    """A name in graphviz's language, quoted where it would have another meaning in it."""
    return name if name.isidentifier() and name.lower() not in _KEYWORDS else _quoted(name)


def _quoted(name: str) -> str:
    return '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _look(site: TracedSite) -> str:
    observed, twice = "style=filled, fillcolor=grey85", "peripheries=2"
    look = observed if site.role == "observed" else twice if site.relation == "=" else ""
    attributes = (look + _label(site.name)).removeprefix(", ")
    return f" [{attributes}]" if attributes else ""


def _label(name: str) -> str:
    """The label where it differs from the name: a Greek letter, or a subscript."""
    head, subscript = head_and_subscript(name)
    if head == name and head not in GREEK_LETTERS:
        return ""
    letter = f"&{head};" if head in GREEK_LETTERS else html.escape(head)
    return f", label=<{letter}{f'<SUB>{html.escape(subscript)}</SUB>' if subscript else ''}>"
