"""How a program factorises, in LaTeX and as plain text: a factor for each `~` line, given its parents."""

import re
import unicodedata
from collections.abc import Callable, Sequence
from itertools import groupby

from zoo.lab.story.program import GREEK, Program, TracedSite


def _command(letter: str) -> str:
    name = unicodedata.name(letter).split()[-1].replace("LAMDA", "LAMBDA")  # GREEK SMALL LETTER LAMDA
    return name.lower() if letter.islower() else name.capitalize()


_COMMANDS = {letter: _command(letter) for letter in "αβγδεζηθικλμνξπρστυφχψωΓΔΘΛΞΠΣΥΦΨΩ"}
GREEK_LETTERS = frozenset(_COMMANDS.values())
"""The names of letters that LaTeX has a command for."""

_SPECIAL = {"\\": r"\textbackslash{}", "^": r"\textasciicircum{}", "~": r"\textasciitilde{}"}
_LATEX = {"θ": r"\theta", "φ": r"\phi"}


def latex(program: Program) -> str:
    r"""The factorisation for one datapoint, such as p_\theta(x, z) = p(z)\, p_\theta(x \mid z), in LaTeX."""
    product = r"\prod_{{{i}=1}}^{{{size}}} \left[ {inner} \right]"
    factors = r"\, ".join(_grouped(program, latex_factor, product, r"\, "))
    given = [latex_name(name) for name in program.given]
    joint = _latex_call(_letter(program), [latex_name(name) for name in _joint(program)], given)
    where = [rf"{latex_name(s.name)} = f({', '.join(map(latex_name, s.parents))})" for s in _deterministic(program)]
    whole = joint if joint == factors else f"{joint} = {factors}"
    return whole + "".join(rf",\quad {line}" for line in where)


def text(program: Program) -> str:
    """The factorisation as plain text, such as p_θ(x, z) = p(z) p_θ(x | z)."""
    factors = " ".join(_grouped(program, _text_factor, "prod_{i}=1..{size} [{inner}]", " "))
    where = [f"{s.name} = f({', '.join(s.parents)})" for s in _deterministic(program)]
    joint = _call(_letter(program), _joint(program), program.given)
    return ", ".join([joint if joint == factors else f"{joint} = {factors}", *where])


def _grouped(program: Program, factor: Callable[[Program, TracedSite], str], product: str, times: str) -> list[str]:
    """The factors in order, those in a plate other than "data" under a product over it."""
    sizes = {plate.name: plate.full_size for plate in program.plates}
    parts = []
    random = [site for site in program.sites if site.relation == "~"]
    for plates, sites in groupby(random, lambda site: tuple(plate for plate in site.plates if plate != "data")):
        inner = times.join(factor(program, site) for site in sites)
        for depth, plate in reversed([*enumerate(plates)]):
            inner = product.format(i=chr(ord("i") + depth), size=sizes[plate], inner=inner)
        parts.append(inner)
    return parts


def _joint(program: Program) -> list[str]:
    """The joint distribution's sites; of a model first the data, on which no site depends, then other observed ones."""
    random = [site for site in program.sites if site.relation == "~"]
    parents = {parent for site in program.sites for parent in site.parents}
    if program.letter == "p":
        random.sort(key=lambda site: (site.name in parents, site.role != "observed"))
    return [site.name for site in random]


def _deterministic(program: Program) -> list[TracedSite]:
    return [site for site in program.sites if site.relation == "="]


def _letter(program: Program) -> str:
    """p or q, with the parameters as a subscript if there are any."""
    return _lettered(program.letter, any(s.learnt for s in program.sites), any(s.per_datapoint for s in program.sites))


def _lettered(letter: str, learnt: bool, per_datapoint: bool) -> str:
    return f"{letter}_{GREEK[letter]}{'_n' if per_datapoint else ''}" if learnt else letter


def _text_factor(program: Program, site: TracedSite) -> str:
    return _call(_lettered(program.letter, site.learnt, site.per_datapoint), [site.name], site.parents)


def _call(letter: str, names: Sequence[str], given: Sequence[str]) -> str:
    return f"{letter}({', '.join(names)}{' | ' if given else ''}{', '.join(given)})"


def latex_factor(program: Program, site: TracedSite) -> str:
    r"""A site's factor, as in p_\theta(x \mid z)."""
    return _latex_call(
        _lettered(program.letter, site.learnt, site.per_datapoint),
        [latex_name(site.name)],
        [latex_name(parent) for parent in site.parents],
    )


def _latex_call(letter: str, names: Sequence[str], given: Sequence[str]) -> str:
    head, _, subscript = letter.partition("_")
    for sign, command in _LATEX.items():
        subscript = subscript.replace(sign, command)
    if subscript:
        head += f"_{{{subscript}}}" if "_n" in subscript else f"_{subscript}"
    bar = r" \mid " if given else ""
    return f"{head}({', '.join(names)}{bar}{', '.join(given)})"


def latex_name(name: str) -> str:
    """z_cy as z_{cy}, c1 as c_1, pi or π as a Greek letter; a word of several letters is set upright.

    A part with characters that are not letters or digits, such as a dot or a second underscore, is set as text.
    """
    head, subscript = head_and_subscript(name)
    head = _COMMANDS.get(head, head)
    head = f"\\{head}" if head in GREEK_LETTERS else _symbol(head, head if len(head) == 1 else rf"\mathrm{{{head}}}")
    subscript = f"\\{_COMMANDS[subscript]}" if subscript in _COMMANDS else _symbol(subscript, subscript)
    return head + (f"_{{{subscript}}}" if len(subscript) > 1 else f"_{subscript}" if subscript else "")


def _symbol(part: str, symbol: str) -> str:
    return symbol if part.isalnum() or not part else rf"\text{{{escaped(part)}}}"


def escaped(text: str) -> str:
    """Text with LaTeX's special characters escaped."""
    return re.sub(r"[\\^~_&%$#{}]", lambda match: _SPECIAL.get(match[0], "\\" + match[0]), text)


def head_and_subscript(name: str) -> tuple[str, str]:
    """The parts of a name: "z" and "cy" of z_cy, "c" and "1" of c1, all of it and nothing where it has no subscript."""
    head, _, subscript = name.partition("_")
    if not head or name.endswith("_"):
        return name, ""
    letters = head.rstrip("0123456789")
    return (head, subscript) if subscript or not letters else (letters, head[len(letters) :])
