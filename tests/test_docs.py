"""The site's sources: links lead somewhere, every public name has an API entry, examples run. Nothing is built here.

The build itself, which also checks the references in docstrings, is a command: see docs/conf.py.
"""

import ast
import importlib
import importlib.util
import inspect
import pkgutil
import re
from pathlib import Path
from types import ModuleType

import pytest
import torch
import yaml

import guides
import zoo
import zoo.papers

ROOT = Path(__file__).parents[1]


def of_the_site(name: str) -> ModuleType:
    """A module of docs/, which is no package."""
    specification = importlib.util.spec_from_file_location(name, ROOT / f"docs/{name}.py")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


docstrings, explorers = of_the_site("docstrings"), of_the_site("explorers")

DOCS = sorted((ROOT / "docs").rglob("*.md"))
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *DOCS]
PAGES += [*sorted((ROOT / "zoo").rglob("*.md"))]
FENCES = re.compile(r"^(`{3,})(.*?)^\1\s*$", re.DOTALL | re.MULTILINE)


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub and the site make them."""
    headings = re.findall(r"^#{1,3} (.+)$", FENCES.sub("", text_of(page)), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_and_their_anchors_lead_somewhere(page):
    links = re.findall(r"\]\(((?!https?:)[^)\s]+)\)", FENCES.sub("", text_of(page)))
    for link in links:
        file, _, anchor = link.partition("#")
        target = (page.parent / file).resolve() if file else page
        assert target.exists(), f"{page.name}: {link}"
        assert target.is_relative_to(ROOT), f"{page.name}: {link}"
        if anchor and target.suffix == ".md":
            assert anchor in anchors(target), f"{page.name}: {link}"


def toctrees() -> set[Path]:
    """Every page that a toctree names."""
    found = set()
    for page in DOCS:
        for options, names in re.findall(
            r"```\{toctree\}\n((?::[^\n]*\n)*)\n?(.*?)```", text_of(page), flags=re.DOTALL
        ):
            for name in names.split():
                glob = ":glob:" in options
                where = page.parent.glob(f"{name}*" if glob and not name.endswith("*") else name) if glob else []
                plain = [page.parent / f"{name}.md", page.parent / f"{name}.ipynb"]
                found |= {path.resolve() for path in (*where, *plain) if path.is_file()}
    return found


def test_every_page_is_reached_from_the_start():
    papers, cards = (ROOT / "zoo/papers").glob("*/README.md"), (ROOT / "zoo/papers/weights").glob("*.md")
    notebooks, unlisted = (ROOT / "notebooks").glob("*.ipynb"), {ROOT / "docs/index.md", ROOT / "docs/package.md"}
    assert {*DOCS, *papers, *cards, *notebooks} - unlisted <= toctrees()


# The API reference.

DIRECTIVE = re.compile(r"^\.\. auto(module|class|function):: (\S+)\n((?:   :.*\n)*)", re.MULTILINE)
WITHOUT_ENTRIES = {
    "zoo.cli": "the command line: `--help`, and docs/command-line.md",
    "zoo.__main__": "the command line",
    "zoo.papers.": "each paper's own code; its page describes it",
    "zoo.lab.runs.": "files of a run, but for those that have entries",
    "zoo.lab.story.": "parts of the story view, but for those that have entries",
    "zoo.lab.data.": "formats and caches, but for the sources",
    "zoo.lab.training.": "parts of fit",
    "zoo.lab.files": "how files are written",
    "zoo.lab.errors": "messages",
    "zoo.metrics.": "parts of metrics, but for those that have entries",
    "guides.": "parts of guides; `guides` exports the rest",
    "zoo.studies.": "how a study is computed, but for those that have entries",
}
"""Modules that have no entry of their own, by how their names begin, and why."""


def entries() -> dict[str, set[str] | None]:
    """The documented names by module; None where all of the module's public names are."""
    found: dict[str, set[str] | None] = {}
    for page in (ROOT / "docs/api").glob("*.md"):
        for kind, name, options in DIRECTIVE.findall(text_of(page)):
            module, names = (name, None) if kind == "module" else name.rsplit(".", 1)
            members = re.search(r":members: (.+)", options) if kind == "module" else None
            if members:
                names = members[1].replace(",", " ")
            if names is None:
                found[module] = None
            elif found.get(module, set()) is not None:
                found.setdefault(module, set()).update(names.split())
    return found


def exports(module: str) -> list[object]:
    """What a package lists in `__all__`."""
    package = importlib.import_module(module)
    return [getattr(package, name) for name in getattr(package, "__all__", ())]


def own_names(module: str) -> set[str]:
    """The public classes and functions that a module defines."""
    found = importlib.util.find_spec(module)
    tree = ast.parse(Path(found.origin).read_text(encoding="utf-8"))
    kinds = (ast.FunctionDef, ast.ClassDef)
    return {node.name for node in tree.body if isinstance(node, kinds) and not node.name.startswith("_")}


MODULES = [
    module.name
    for package in (zoo, guides)
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
    if not module.name.endswith("__main__")
]


def test_every_public_name_has_an_entry():
    documented = entries()
    # A name has an entry where it is defined, or in a package that exports it.
    exported = {
        (thing.__module__, thing.__name__)
        for module in documented
        if documented[module] is None
        for thing in exports(module)
        if inspect.isfunction(thing) or inspect.isclass(thing)
    }
    missing = {}
    for module in MODULES:
        names = documented.get(module, set())
        if names is None or module.startswith(tuple(WITHOUT_ENTRIES)):
            continue
        if left := {name for name in own_names(module) - names if (module, name) not in exported}:
            missing[module] = sorted(left)
    assert not missing, f"without an entry in docs/api: {missing}"


@pytest.mark.parametrize(
    "module",
    ["zoo", "zoo.elbos", "zoo.metrics", "zoo.papers", "guides"]
    + [f"zoo.lab.{part}" for part in ("data", "training", "story", "analysis", "plots")],
)
def test_what_a_package_exports_is_documented_with_a_docstring(module):
    assert entries()[module] is None
    package = importlib.import_module(module)
    for name in package.__all__:
        thing = getattr(package, name)
        if inspect.isfunction(thing) or inspect.isclass(thing):
            assert inspect.getdoc(thing), f"{module}.{name}"


def test_what_has_an_entry_exists():
    for module, names in entries().items():
        found = importlib.import_module(module)
        for name in names or ():
            assert hasattr(found, name), f"{module}.{name}"


NAMED = re.compile(r"`((?:zoo|guides)(?:\.[A-Za-z]\w*)+)[`(]")
CODE = [path for folder in ("zoo", "guides", "tests", "scripts") for path in sorted((ROOT / folder).rglob("*.py"))]


def exists(name: str) -> bool:
    """Whether a dotted name is a module, or an attribute of one or of its classes."""
    try:
        pkgutil.resolve_name(name)
    except (ImportError, AttributeError):
        return (ROOT / name).is_file()  # such as zoo.mplstyle
    return True


def test_names_in_backticks_exist():
    """In pages, docstrings, comments and messages; the changelog has names of earlier versions as well."""
    texts = {path: text_of(path) for path in (*PAGES, *CODE) if path.name != "CHANGELOG.md"}
    named = {name: path for path, text in texts.items() for name in NAMED.findall(text)}
    assert len(named) > 100
    assert not {name: path.name for name, path in named.items() if not exists(name)}


# Docstrings on the site.


def test_docstrings_keep_their_blocks_and_their_letters():
    block = ["    z ~ Normal(0, I)", "    x_ ~ p(x | z)"]
    told = docstrings.restructured(["A story.", "", *block, "", "|KL - C| of `a|b`, q_ and x_1."])
    assert told == [
        "A story.",
        "",
        ".. code-block:: text",
        "",
        *block,
        "",
        r"\|KL - C\| of `a|b`, q\_ and x_1.",
    ]
    assert docstrings.restructured(["Args:", "    x: a | b."]) == ["Args:", r"    x: a \| b."]
    assert docstrings.restructured(["Returns:", "    [B]: x."]) == [":returns:", "    [B]: x."]
    example = ["Example:", "    >>> a_ * b", "    |c|", "", "Args:"]
    assert docstrings.restructured(example) == example
    warning = ["A term.", "", ".. warning::", "    Not a bound where KL < C.", "", "Args:", "    C: a capacity."]
    assert docstrings.restructured(warning) == warning  # a directive of reStructuredText, and no block of code
    assert docstrings.restructured(["These:", "- one", "  more", "- two"]) == ["These:", "", "- one", "  more", "- two"]


# The pages that play.


def test_the_site_has_a_page_that_plays_of_each_pretrained_pair_or_the_reason_why_not(tmp_path, monkeypatch):
    real = explorers.explore

    def explore(name, out):
        if name == "another":
            raise ValueError("a story that it | cannot show")
        real(name, out=out)

    monkeypatch.setattr(explorers, "list_pretrained", lambda: dict.fromkeys(["decomposition/pinwheel", "another"]))
    monkeypatch.setattr(explorers, "explore", explore)
    assert explorers.write(tmp_path) == {"another": "a story that it   cannot show"}  # fits into a table
    (page,) = explorers.pages(tmp_path).values()
    assert page == tmp_path / "explorers/decomposition-pinwheel.html"
    assert "</html>" in text_of(page)
    assert explorers.address("docs/pretrained", page) == "../explorers/decomposition-pinwheel.html"
    assert explorers.address("zoo/papers/weights/x", page) == "../../../explorers/decomposition-pinwheel.html"
    monkeypatch.setattr(explorers, "list_pretrained", lambda: dict.fromkeys(["decomposition/pinwheel"]))
    monkeypatch.setattr(explorers, "explore", None)  # not called: the page is newer than the pair
    assert explorers.write(tmp_path) == {}


def test_the_page_of_pretrained_pairs_has_their_table_and_shows_one():
    page = text_of(ROOT / "docs/pretrained.md")
    assert "```{pretrained}\n```" in page
    shown = re.findall(r"```\{explorer\} (\S+)\n```", page)
    assert shown
    assert set(shown) <= set(zoo.papers.list_pretrained())


# What the pages say.


def test_the_start_pages_examples_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.set_default_dtype(torch.float32)
    namespace: dict = {}
    for code in re.findall(r"```python\n(.*?)```", text_of(ROOT / "docs/index.md"), flags=re.DOTALL):
        exec(code, namespace)
    assert (tmp_path / "types.png").read_bytes().startswith(b"\x89PNG")
    assert type(namespace["guide"].heads["z"]).__name__ == "Flow"


def test_the_story_on_the_start_page_is_joint_vaes():
    lines = re.findall(r"^    (\w+ ~ .*)$", text_of(ROOT / "docs/index.md"), flags=re.MULTILINE)
    assert len(lines) == 3
    for line in lines:
        assert line in (zoo.JointVAE.__doc__ or "")


def test_the_package_index_shows_a_text_without_links_into_the_repository(tmp_path, monkeypatch, capsys):
    text = text_of(ROOT / "docs/package.md")
    assert not re.findall(r"\]\((?!https?:)", text)
    assert "file: docs/package.md" in (ROOT / "setup.cfg").read_text(encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    torch.set_default_dtype(torch.float32)
    (code,) = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    exec(code, {})
    assert "holds" in capsys.readouterr().out


def test_the_citation_and_the_changelog_have_the_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert {"cff-version", "message", "title", "authors"} <= citation.keys()
    assert citation["version"] == zoo.__version__
    released = re.search(r"^## (\S+) \((.*)\)$", text_of(ROOT / "CHANGELOG.md"), flags=re.MULTILINE)
    assert released
    assert released.groups() == (zoo.__version__, citation["date-released"])


def test_the_workflow_runs_the_readmes_commands():
    workflow = yaml.safe_load((ROOT / ".github/workflows/tests.yml").read_text(encoding="utf-8"))
    ran = [step["run"] for job in workflow["jobs"].values() for step in job["steps"] if "run" in step]
    shown = re.findall(r"^    (pip install .*)$", text_of(ROOT / "README.md"), flags=re.MULTILINE)
    assert len(shown) == 3  # training, the tests, the site
    assert set(shown) <= set(ran)
    matrix = workflow["jobs"]["tests"]["strategy"]["matrix"]
    assert [system.partition("-")[0] for system in matrix["os"]] == ["ubuntu", "macos", "windows"]
    assert matrix["python"] == ["3.10", "3.11", "3.12", "3.13"]
