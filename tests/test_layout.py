"""Dependencies point one way: read off the imports of every file."""

import ast
from functools import cache
from pathlib import Path

import pytest

import zoo.program

ROOT = Path(__file__).parents[1]

# A file imports files of its own floor's packages or of lower floors, never of higher ones.
FLOORS = [
    {
        "zoo.arguments",
        "zoo.estimators",
        "zoo.ranks",
        "zoo.program",
        "zoo.likelihoods",
        "zoo.sites",
        "zoo.parents",
        "zoo.hyperparameters",
        "zoo.modes",
        "zoo.order",
        "zoo.seeds",
        "zoo.tables",
    },
    {"zoo.aggregate_sites", "zoo.handlers", "zoo.pairing", "zoo.terms", "zoo.report"}
    | {"zoo.vae", "zoo.joint_vae", "zoo.natural_clustering", "zoo.decomposition", "zoo.topics"},
    {"zoo.termwise", "zoo.aggregate", "zoo.categories", "zoo.moments", "zoo.metrics"},
    {"zoo.elbos"},
    {"zoo.lab.errors", "zoo.lab.device", "zoo.lab.files", "zoo.lab.isolation", "zoo.lab.memory", "zoo.lab.networks"},
    {"zoo.lab.data"},
    {"zoo.lab.training", "zoo.lab.story"},
    {"zoo.lab.analysis"},
    {"zoo.lab.plots", "zoo.lab.explore"},
    {"zoo.lab.runs"},
    {"zoo.lab.trials"},
    {"zoo.papers"},
    {"zoo.studies"},
    {"zoo.cli"},
    {"zoo.__main__"},
]
FLOOR = {package: n for n, floor in enumerate(FLOORS) for package in floor}
BASELINE = "zoo.papers.vae"  # the one paper that others may stand on


def module(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def imports(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


@cache  # and not at import, which every worker of pytest-xdist does
def files() -> dict[str, set[str]]:
    """The names that each module imports."""
    return {module(p): imports(p) for top in ("zoo", "guides") for p in sorted((ROOT / top).rglob("*.py"))}


def package(name: str) -> str | None:
    """The floor's package that a module, or a name in one, belongs to."""
    parts = name.split(".")
    return next((p for n in range(len(parts), 0, -1) if (p := ".".join(parts[:n])) in FLOOR), None)


def paper(name: str) -> str | None:
    """The paper's package that a module, or a name in one, belongs to; such a package has recipes."""
    here = ".".join(name.split(".")[:3])
    return here if here.startswith("zoo.papers.") and f"{here}.recipes" in files() else None


def importing(importers: str | tuple[str, ...], imported: str | tuple[str, ...]) -> set[tuple[str, str]]:
    """Pairs (module, name it imports) whose beginnings are these."""
    return {
        (name, other)
        for name, others in files().items()
        if name.startswith(importers)
        for other in others
        if other.startswith(imported)
    }


def test_the_files_were_found():
    assert {"zoo.vae", "zoo.elbos", "guides.amortized", "zoo.papers.vae.recipes"} <= files().keys()
    assert "pyro" in {name.split(".")[0] for name in files()["zoo.vae"]}


def test_every_module_has_a_floor():
    packages = {"zoo", "zoo.lab"}
    assert not [name for name in files() if name.startswith("zoo.") and package(name) is None and name not in packages]


def test_imports_point_down():
    up = [
        (name, other)
        for name, others in files().items()
        for other in others
        if (here := package(name)) and (there := package(other)) and FLOOR[there] > FLOOR[here]
    ]
    assert not up, "\n".join(f"{a} -> {b}" for a, b in sorted(up))


def test_no_module_imports_itself_by_way_of_others():
    # Kahn's algorithm: modules whose imports are all settled are settled; what is left lies on a circle, or above one.
    # A module's `from package import name` is an import of package.name where that is a module, and of package else.
    left = {
        name: {there for other in others if (there := other if other in files() else other.rpartition(".")[0]) != name}
        & files().keys()
        for name, others in files().items()
    }
    while settled := {name for name, others in left.items() if not others}:
        left = {name: others - settled for name, others in left.items() if name not in settled}
    assert not left, left


def test_the_lab_knows_no_paper_and_no_study():
    assert importing("zoo.papers", "zoo.lab")  # the other way round is the rule
    assert not importing("zoo.lab", ("zoo.papers", "zoo.studies"))


def test_nothing_knows_the_command_line():
    below = tuple(name for name in files() if not name.startswith(("zoo.cli", "zoo.__")) and name != "zoo")
    assert not importing(below, "zoo.cli")


def test_guides_never_import_the_zoo():
    assert not importing("guides", "zoo")


def test_a_model_meets_a_guide_in_recipes_alone():
    # zoo.program is plumbing that stories and guides share, by its own name: it has no head and no trunk in it.
    assert importing("zoo.program", "guides") <= {("zoo.program", f"guides.program.{n}") for n in zoo.program.__all__}
    meet = {name for name, _ in importing("zoo", "guides")} - {"zoo.program"}
    assert meet
    assert all(name.endswith(".recipes") for name in meet), meet


def test_papers_do_not_know_each_other():
    pairs = [
        (name, other)
        for name, others in files().items()
        for other in others
        if (here := paper(name)) and (there := paper(other)) and there not in (here, BASELINE)
    ]
    assert not pairs, pairs


def test_estimators_import_torch_alone():
    outside = {name.split(".")[0] for name in files()["zoo.estimators"]}
    assert outside <= {"torch", "math", "typing", "collections", "dataclasses", "functools"}


@pytest.mark.parametrize("name", ["utils", "common", "helpers"])
def test_there_is_no_drawer_for_odds_and_ends(name):
    assert not [module for module in files() if module.endswith("." + name)]


def test_a_public_class_has_one_home():
    homes: dict[str, list[str]] = {}
    for top in ("zoo", "guides"):
        for path in (ROOT / top).rglob("*.py"):
            for node in parsed(path).body:
                if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                    homes.setdefault(node.name, []).append(module(path))
    assert not {name: where for name, where in homes.items() if len(where) > 1}


# Read as one page each, or known to be large: the list may only shrink.
LARGE = {"zoo/elbos.py", "zoo/estimators.py", "zoo/decomposition.py"}


def test_rooms_stay_small():
    sizes = {p.relative_to(ROOT).as_posix(): len(p.read_text().splitlines()) for p in (ROOT / "zoo").rglob("*.py")}
    assert not {name: size for name, size in sizes.items() if size > 350 and name not in LARGE}
