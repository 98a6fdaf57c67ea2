"""Dependencies point one way: read off the imports of every file."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def imports(path: Path) -> set[str]:
    """Every module that a file imports, wherever in the file."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            # `from zoo.lab import plots` imports zoo.lab and zoo.lab.plots.run alike
            names |= {str(node.module)} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def among(names: set[str], *packages: str) -> set[str]:
    return {name for name in names if any(name == p or name.startswith(p + ".") for p in packages)}


FILES = {
    p.relative_to(ROOT).as_posix(): imports(p) for package in ("zoo", "guides") for p in (ROOT / package).rglob("*.py")
}


def test_the_files_were_found():
    assert {"zoo/vae.py", "zoo/elbos.py", "guides/amortized.py", "zoo/lab/recipes/vae.py"} <= FILES.keys()
    assert "pyro" in FILES["zoo/vae.py"]


def test_guides_never_import_the_zoo():
    assert not {name: found for name in FILES if name.startswith("guides/") and (found := among(FILES[name], "zoo"))}


def test_the_zoo_imports_guides_in_recipes_alone():
    importers = {name for name in FILES if name.startswith("zoo/") and among(FILES[name], "guides")}
    assert importers
    assert all(name.startswith("zoo/lab/recipes/") for name in importers)


def test_estimators_import_torch_alone():
    outside = {name.split(".")[0] for name in FILES["zoo/estimators.py"]}
    assert outside <= {"torch", "math", "typing", "collections", "dataclasses", "functools"}


def test_the_core_knows_nothing_of_the_lab():
    core = [name for name in FILES if name.startswith("zoo/") and "/lab/" not in name and name != "zoo/__main__.py"]
    assert not {name: found for name in core if (found := among(FILES[name], "zoo.lab"))}


def test_stories_know_nothing_of_objectives_and_objectives_nothing_of_stories():
    stories = {"zoo.vae", "zoo.decomposition", "zoo.joint_vae", "zoo.natural_clustering", "zoo.topics"}
    for name in ("zoo/elbos.py", "zoo/termwise.py", "zoo/handlers.py", "zoo/estimators.py"):
        assert not among(FILES[name], *stories, "zoo.lab", "guides"), name
    for story in stories:
        path = story.replace(".", "/") + ".py"
        assert not among(FILES[path], "zoo.elbos", "zoo.termwise", "zoo.estimators", "zoo.handlers", "zoo.lab"), path


def test_neither_models_nor_guides_import_networks():
    importers = {name for name in FILES if among(FILES[name], "zoo.lab.networks")}
    assert "zoo/lab/recipes/experiment.py" in importers
    assert all(name.startswith("zoo/lab/") for name in importers)


@pytest.mark.parametrize("name", ["utils.py", "common.py", "helpers.py"])
def test_there_is_no_drawer_for_odds_and_ends(name):
    assert not [path for path in FILES if path.endswith("/" + name)]
