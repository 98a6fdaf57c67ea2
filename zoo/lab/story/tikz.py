r"""A plate diagram as TikZ, in the style of the library bayesnet (https://ctan.org/pkg/tikz-bayesnet).

Sites are placed by rows: each below what it depends on in the model, as near as possible to what depends on it.
Parameters stand next to the plates.
"""

from collections.abc import Iterator, Mapping
from typing import TypeAlias

from zoo.lab.story.factors import latex_name
from zoo.lab.story.program import Program, TracedSite

STEP = 1.6  # between the centres of neighbouring sites, cm
_PARAMETERS = {"p": "theta", "q": "phi"}
_OF_PARAMETERS = "-parameters"  # suffix of theta or phi where a site has this name
Places: TypeAlias = dict[str, tuple[float, float]]  # centres by name, cm


def tikz(model: Program, guide: Program | None = None) -> str:
    """A whole LaTeX document; its tikzpicture can be copied into slides or a paper."""
    body = "\n".join(f"    {line}" for line in _picture(model, guide))
    return rf"""\documentclass{{article}}
\usepackage{{tikz}}
\usetikzlibrary{{arrows, bayesnet}}
\pagestyle{{empty}}
\begin{{document}}
\begin{{tikzpicture}}
{body}
\end{{tikzpicture}}
\end{{document}}
"""


def _picture(model: Program, guide: Program | None) -> Iterator[str]:
    """Nodes, arrows, and plates around them."""
    programs = [model] if guide is None else [model, guide]
    sites: dict[str, TracedSite] = {}
    for program in programs:
        for site in program.sites:
            sites.setdefault(site.name, site)  # the model's site where both have it
    given = [name for program in programs for name in program.given if name not in sites]
    places = _places([*sites.values()], given)
    right = max(x for x, _ in places.values()) + STEP
    for name, place in [*places.items()]:
        kind = _kind(sites[name]) if name in sites else "obs"
        yield _node(kind, name, place, latex_name(name))
    for program in programs:
        learnt = [site.name for site in program.sites if site.learnt]
        if learnt:
            middle = sum(places[name][1] for name in learnt) / len(learnt)
            letter = _PARAMETERS[program.letter]
            parameters = letter if letter not in places else f"{letter}{_OF_PARAMETERS}"
            places[parameters] = (right if program.letter == "p" else -right, middle)
            yield _node("const", parameters, places[parameters], rf"\{letter}")
            yield from (_arrow(parameters, name, program, places) for name in learnt)
        yield from (_arrow(parent, site.name, program, places) for site in program.sites for parent in site.parents)
    yield from _plates(programs, sites)


def _places(sites: list[TracedSite], given: list[str]) -> Places:
    """The centre of each node, in cm; inputs that are not sites come first, sites of the same plates together."""
    rows: dict[str, int] = dict.fromkeys(given, 0)
    for site in sites:  # in the order of the program, in which parents come first
        rows[site.name] = max((rows[parent] + 1 for parent in site.parents if parent in rows), default=0)
    for site in reversed(sites):  # z_s goes to the row above x
        below = [rows[other.name] for other in sites if site.name in other.parents]
        rows[site.name] = max(rows[site.name], min(below, default=0) - 1)
    places: Places = {}
    plates = {site.name: site.plates for site in sites}
    for row in range(max(rows.values()) + 1):
        names = sorted((name for name in rows if rows[name] == row), key=lambda name: plates.get(name, ()))
        for column, name in enumerate(names):
            places[name] = (STEP * (column - (len(names) - 1) / 2), 0.0 - STEP * row)
    return places


def _kind(site: TracedSite) -> str:
    if site.role == "observed":
        return "obs"
    return "latent, double" if site.relation == "=" else "latent"


def _node(kind: str, name: str, place: tuple[float, float], label: str) -> str:
    x, y = place
    return rf"\node[{kind}] ({_id(name)}) at ({x:g}, {y:g}) {{${label}$}};"


def _arrow(start: str, end: str, program: Program, places: Places) -> str:
    """An arrow, solid for the model; for the guide dashed, and bent around the sites in between."""
    if program.letter == "p":
        return rf"\edge {{{_id(start)}}} {{{_id(end)}}};"
    parents = {parent for site in program.sites for parent in site.parents}
    across, up = (b - a for a, b in zip(places[start], places[end], strict=True))
    of_parameters = start.endswith(_OF_PARAMETERS) or (start in _PARAMETERS.values() and start not in parents)
    side = "right" if across > 0 and not of_parameters else "left"
    angle = 60 if up > 1.5 * STEP else 30
    return rf"\draw[->, dashed] ({_id(start)}) to[bend {side}={angle}] ({_id(end)});"


def _plates(programs: list[Program], sites: Mapping[str, TracedSite]) -> Iterator[str]:
    """Inner plates first, so that an outer one encloses them."""
    plates = {plate.name: plate for program in programs for plate in program.plates}
    inside = {name: [site for site in sites.values() if name in site.plates] for name in plates}
    inside = {name: some for name, some in inside.items() if some}  # drops plates that only the guide names
    for name in sorted(inside, key=lambda name: -max(s.plates.index(name) for s in inside[name])):
        fit = [_id(site.name) for site in inside[name]]
        fit += [f"plate-{_id(inner)}" for inner in inside if inner != name and _encloses(name, inner, inside[inner])]
        size = "N" if name == "data" else f"{plates[name].full_size}"
        yield rf"\plate {{plate-{_id(name)}}} {{{''.join(f'({node})' for node in fit)}}} {{${size}$}};"


def _encloses(outer: str, inner: str, sites: list[TracedSite]) -> bool:
    """Whether every site of the inner plate is in the outer one, further out."""
    return all(outer in s.plates and s.plates.index(outer) < s.plates.index(inner) for s in sites)


def _id(name: str) -> str:
    """A node's name; TikZ reads a dot, a comma and a colon in it as its own syntax, so they become numbers."""
    return "".join(letter if letter.isalnum() or letter in "_-" else f"-{ord(letter)}-" for letter in name)
