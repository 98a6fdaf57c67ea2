"""Names and titles of everything that `list` shows, read from the text of the source files.

Importing the files would also import PyTorch and Pyro, which takes seconds. A test compares both ways.
"""

import ast
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import zoo

ROOT = Path(__file__).parents[1]
PAPERS = ROOT / "papers"


class Source:
    """The top level of a module, parsed but not imported.

    Attributes:
        docstrings: of functions and classes, by name.
        values: the expressions that are assigned to names.
        attributes: the expressions that are assigned in a class, by class and name.
        origins: the modules that names are imported from.
    """

    def __init__(self, module: str) -> None:
        path = ROOT.parent / Path(*module.split("."))
        path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        body = ast.parse(path.read_bytes(), str(path)).body
        self.values = _assigned(body)
        self.docstrings: dict[str, str] = {}
        self.attributes: dict[str, dict[str, Any]] = {}
        self.origins: dict[str, str] = {}
        for node in body:
            match node:
                case ast.ClassDef(name=name):
                    self.docstrings[name] = ast.get_docstring(node) or ""
                    self.attributes[name] = _assigned(node.body)
                case ast.FunctionDef(name=name):
                    self.docstrings[name] = ast.get_docstring(node) or ""
                case ast.ImportFrom(module=str(origin), names=names):
                    self.origins |= {alias.name: origin for alias in names}

    def text(self, node: Any) -> str:
        """The text of an expression of constants; a function or a class stands for its docstring.

        Raises:
            ValueError: the expression is of another form; the message shows it.
        """
        match node:
            case ast.Constant(value=str(constant)):
                return constant
            case ast.JoinedStr(values=parts):
                return "".join(map(self.text, parts))
            case ast.FormattedValue(value=inner) | ast.BoolOp(op=ast.Or(), values=[inner, *_]):
                return self.text(inner)
            case ast.Name(id=name) | ast.Attribute(value=ast.Name(id=name), attr="__doc__") if name in self.docstrings:
                return self.docstrings[name]
            case ast.Name(id=name) if name in self.values:
                return self.text(self.values[name])
            case ast.Call(func=ast.Attribute(value=inner, attr="replace"), args=[old, new]):
                return self.text(inner).replace(self.text(old), self.text(new))
        raise ValueError(f"line {node.lineno}: expected a text, got {ast.unparse(node)}")

    def first_line(self, node: Any) -> str:
        """The first line of the text of an expression."""
        return self.text(node).strip().splitlines()[0]


def _assigned(body: Sequence[ast.stmt]) -> dict[str, Any]:
    """The expressions assigned to names."""
    found: dict[str, Any] = {}
    for node in body:
        match node:
            case (
                ast.Assign(targets=[ast.Name(id=name)], value=value)
                | ast.AnnAssign(target=ast.Name(id=name), value=value)
            ):
                found[name] = value
    return found


class Title(NamedTuple):
    """A recipe in one line.

    Attributes:
        text: the first line of its description.
        paper: its citation.
        data: the name of its data set.
    """

    text: str
    paper: str
    data: str


def recipes() -> dict[str, Title]:
    """Every recipe by name."""
    found = {}
    for paper in Source("zoo.papers.recipes").values["PAPERS"].elts:
        source = Source(f"zoo.papers.{paper.id}.recipes")
        for call in source.values["RECIPES"].elts:
            given = dict(zip(("name", "build", "data", "paper", "data_options", "text"), call.args, strict=False))
            given |= {keyword.arg: keyword.value for keyword in call.keywords}
            title = source.first_line(given.get("text", given["build"]))
            found[source.text(given["name"])] = Title(title, source.text(given["paper"]), source.text(given["data"]))
    return found


def objectives() -> dict[str, tuple[str, str]]:
    """The first line of each objective's docstring, and its weights, by name."""
    source = Source("zoo.elbos")
    classes = source.values["OBJECTIVES"].elts
    return {c.id: (source.first_line(c), source.text(source.attributes[c.id]["weights"])) for c in classes}


def stories() -> dict[str, str]:
    """The first line of each story's docstring, by name."""
    found: dict[str, str] = {}
    for path in ROOT.glob("*.py"):
        source = Source(f"zoo.{path.stem}")
        found |= {name: source.docstrings[name].splitlines()[0] for name in source.docstrings.keys() & {*zoo.__all__}}
    return {name: found[name] for name in zoo.__all__}


def data_sets() -> dict[str, str]:
    """The first line of the docstring of each data set's function, by name."""
    sets = Source("zoo.lab.data").values["SOURCES"]
    return {
        key.value: Source(f"zoo.lab.data.{function.value.id}").docstrings[function.attr].splitlines()[0]
        for key, function in zip(sets.keys, sets.values, strict=True)
    }


def reproductions() -> dict[str, str]:
    """Each reproduction's title, by name."""
    found: dict[str, str] = {}
    for paper in Source("zoo.papers.reproductions").values["PAPERS"].elts:
        found |= _titles(Source(f"zoo.papers.{paper.id}.reproduction"), "REPRODUCTIONS")
    return found


def _titles(room: Source, table: str) -> dict[str, str]:
    """The titles in a table of reproductions by name, which may include other tables."""
    found: dict[str, str] = {}
    entries = room.values[table]
    for key, entry in zip(entries.keys, entries.values, strict=True):
        if key is None:  # **TABLE, of another file in the paper's package
            found |= _titles(Source(room.origins[entry.id]), entry.id)
            continue
        source, call = room, entry
        if isinstance(entry, ast.Name):  # defined in another file in the paper's package
            source = Source(room.origins[entry.id])
            call = source.values[entry.id]
        found[room.text(key)] = next(source.text(k.value) for k in call.keywords if k.arg == "title")
    return found


def pretrained() -> list[str]:
    """The recipes with pretrained weights."""
    weights = PAPERS / "weights"
    return sorted(name for name in recipes() if (weights / f"{name.replace('/', '-')}.safetensors").is_file())
