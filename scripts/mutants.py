"""Makes small faults in the core, the heads and the metrics, one at a time, and asks whether a test notices.

    python scripts/mutants.py                                           # 40 mutants of every module
    python scripts/mutants.py zoo/estimators.py --sample 100 --seed 0   # of one module
    python scripts/mutants.py guides/heads --only "flow.py:5"           # those whose name matches

The faults are those of cosmic-ray's operators, and three of ours: a condition that is never true, a keyword argument
that is left out, and a method call that is left out, as `x.detach()` for `x`. Faults in annotations and in formatted
strings are not made: no number depends on them.

cosmic-ray's own runner starts Python and imports PyTorch for every mutant, and runs every test. This one forks a
process that has everything imported and replaces the code of the changed function (a fault outside functions is
imported, in a process that has only the libraries). It runs the tests that reach the changed statement, those first
that noticed most mutants per second. Which tests reach which lines is measured once, in a first run under coverage, and
kept in .mutants/ until a test or a module changes. A mutant that no test notices within --budget seconds is printed as
a survivor, so the score can only be too low.
"""

import argparse
import ast
import contextlib
import functools
import gc
import hashlib
import importlib.abc
import importlib.util
import inspect
import io
import json
import os
import random
import re
import signal
import sys
import time
import traceback
import types
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import coverage
import parso
import pytest
from cosmic_ray.ast import ast_nodes
from cosmic_ray.mutating import mutate_code
from cosmic_ray.operators.operator import Operator
from cosmic_ray.plugins import get_operator

MODULES = [
    *[f"zoo/{name}.py" for name in ("estimators", "aggregate", "termwise", "handlers", "elbos", "sites", "moments")],
    *[f"zoo/{name}.py" for name in ("terms", "pairing", "parents", "hyperparameters")],
    "guides/heads",
    "zoo/metrics",
]
TESTS = ("tests/core", "tests/guides", "tests/metrics", "tests/lab/plots/test_azimuth.py")
OURS = ("zoo", "guides", "tests")
KEPT = Path(".mutants")

# One or two replacements of each kind. The others, as << for +, mostly fail at once and would only raise the score.
REPLACEMENTS = (
    *[f"BinaryOperator_{pair}" for pair in ("Add_Sub", "Sub_Add", "Mul_Div", "Div_Mul", "FloorDiv_Mul", "Mod_Mul")],
    *[f"BinaryOperator_{pair}" for pair in ("Pow_Mul", "BitOr_BitAnd", "BitAnd_BitOr")],
    *[f"ComparisonOperator_{pair}" for pair in ("Eq_NotEq", "NotEq_Eq", "Is_IsNot", "IsNot_Is")],
    *[f"ComparisonOperator_{pair}" for pair in ("Lt_LtE", "Lt_GtE", "LtE_Lt", "LtE_Gt")],
    *[f"ComparisonOperator_{pair}" for pair in ("Gt_GtE", "Gt_LtE", "GtE_Gt", "GtE_Lt")],
    *[f"UnaryOperator_Delete_{sign}" for sign in ("USub", "Invert", "Not")],
    *["TrueWithFalse", "FalseWithTrue", "AndWithOr", "OrWithAnd", "BreakWithContinue", "ContinueWithBreak"],
)
OTHERS = ("AddNot", "NumberReplacer", "ExceptionReplacer", "RemoveDecorator", "ZeroIterationForLoop")

Positions = list[tuple[tuple[int, int], tuple[int, int]]]


class Ours(Operator):
    """An operator of this file."""

    @classmethod
    def examples(cls) -> Sequence[Any]:
        return ()


class NeverTrue(Ours):
    """The condition of an `if` becomes False."""

    def mutation_positions(self, node: Any) -> Positions:
        return [(node.children[at].start_pos, node.children[at].end_pos) for at in self._conditions(node)]

    def mutate(self, node: Any, index: int) -> Any:
        at = self._conditions(node)[index]
        node.children[at] = parso.python.tree.Name("False", node.children[at].start_pos, prefix=" ")
        return node

    def _conditions(self, node: Any) -> list[int]:
        words = [child.value if child.type == "keyword" else "" for child in getattr(node, "children", ())]
        return [at + 1 for at, word in enumerate(words) if node.type == "if_stmt" and word in ("if", "elif")]


class LeaveOutKeyword(Ours):
    """A call loses a keyword argument."""

    def mutation_positions(self, node: Any) -> Positions:
        is_keyword = node.type == "argument" and node.children[1] == "="
        return [(node.start_pos, node.end_pos)] if is_keyword else []

    def mutate(self, node: Any, index: int) -> Any:
        comma = node.get_next_sibling()
        if comma is not None and comma == ",":
            comma.value, comma.prefix = "", ""
        elif node.parent.type == "arglist":
            before = node.get_previous_sibling()
            before.value, before.prefix = "", ""
        return None


class LeaveOutCall(Ours):
    """`x.method(...)` becomes `x`."""

    def mutation_positions(self, node: Any) -> Positions:
        return [(node.children[at].start_pos, node.children[at + 1].end_pos) for at in self._calls(node)]

    def mutate(self, node: Any, index: int) -> Any:
        at = self._calls(node)[index]
        del node.children[at : at + 2]
        return node

    def _calls(self, node: Any) -> list[int]:
        if node.type not in ("atom_expr", "power"):
            return []
        starts = [child.children[0].value if child.type == "trailer" else "" for child in node.children]
        module = node.children[0].type == "name" and node.children[0].value in ("torch", "dist", "np", "math", "super")
        return [at for at in range(1 + module, len(starts) - 1) if starts[at] == "." and starts[at + 1] == "("]


class Mutant(NamedTuple):
    """One fault: its module, line and column, the operator and its occurrence."""

    path: str
    line: int
    column: int
    operator: str
    occurrence: int

    def __str__(self) -> str:
        return f"{self.path}:{self.line}:{self.column} {self.operator}"


@functools.cache
def operators() -> dict[str, Operator]:
    """All operators by name."""
    theirs = [*(f"Replace{name}" for name in REPLACEMENTS), *OTHERS]
    found = {name: get_operator(f"core/{name}")() for name in theirs}
    return found | {cls.__name__: cls() for cls in (NeverTrue, LeaveOutKeyword, LeaveOutCall)}


def mutants_of(path: str, source: str) -> list[Mutant]:
    """All mutants of a module."""
    tree = ast.parse(source)
    apart: list[ast.AST] = [node for node in ast.walk(tree) if isinstance(node, ast.JoinedStr)]
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.arg, ast.AnnAssign)):
            note = node.returns if isinstance(node, ast.FunctionDef) else node.annotation
            apart += [note] if note else []
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "cast":
            apart.append(node)

    def hidden(start: tuple[int, int]) -> bool:
        return any((n.lineno, n.col_offset) <= start < (n.end_lineno, n.end_col_offset) for n in apart)  # type: ignore

    nodes = list(ast_nodes(parso.parse(source)))
    found = []
    for name, operator in operators().items():
        places = [place for node in nodes for place in operator.mutation_positions(node)]
        found += [Mutant(path, *start, name, n) for n, (start, _) in enumerate(places) if not hidden(start)]
    return sorted(found)


@functools.cache
def faulty(mutant: Mutant, source: str) -> str | None:
    """The module with the fault; None where that is not Python, or the same program."""
    changed = mutate_code(source, operators()[mutant.operator], mutant.occurrence)
    try:
        before, after = ast.parse(source), ast.parse(changed or "")
    except SyntaxError:
        return None
    # For cosmic-ray the * before keyword-only arguments is a product.
    same = ast.dump(before) == ast.dump(after) or _positional(before) != _positional(after)
    return None if same else changed


def _positional(tree: ast.AST) -> int:
    return sum(len(node.posonlyargs) for node in ast.walk(tree) if isinstance(node, ast.arguments))


def reach(source: str, line: int) -> range:
    """The lines whose execution shows that a test depends on this one.

    A statement's own lines; the body of a function for its header; the whole class or module for what runs on import.
    """
    lines = range(1, source.count("\n") + 2)
    scope: ast.AST = ast.parse(source)
    while True:
        inner = [node for node in ast.iter_child_nodes(scope) if isinstance(node, (ast.stmt, ast.excepthandler))]
        around = [node for node in inner if first(node) <= line <= (node.end_lineno or 0)]
        if not around:
            return lines
        scope = around[0]
        if isinstance(scope, (ast.FunctionDef, ast.ClassDef)):
            lines = range(scope.body[0].lineno, (scope.end_lineno or 0) + 1)
        elif "body" in scope._fields and hasattr(scope, "body"):
            lines = range(scope.lineno, scope.body[0].lineno)
        elif within_function(source, line):
            lines = range(scope.lineno, (scope.end_lineno or 0) + 1)
        else:
            return lines


def first(node: Any) -> int:
    """The first line of a statement, decorators included."""
    return min([node.lineno, *(decorator.lineno for decorator in getattr(node, "decorator_list", ()))])


def within_function(source: str, line: int) -> bool:
    """Whether a line is in the body of a function."""
    functions = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef)]
    return any(node.body[0].lineno <= line <= (node.end_lineno or 0) for node in functions)


# Running tests in a child.


class Chosen:
    """A pytest plugin: runs the given tests in the given order, each for a limited time, and writes down who failed."""

    def __init__(self, tests: dict[str, float] | None = None, failed: int | None = None) -> None:
        self.tests, self.failed = tests, failed

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        if self.tests is not None:
            place = {name: at for at, name in enumerate(self.tests)}
            items[:] = sorted((item for item in items if item.nodeid in place), key=lambda item: place[item.nodeid])

    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        if self.tests is not None:
            signal.alarm(20 + int(10 * self.tests[item.nodeid]))
            if self.failed is not None:
                os.pwrite(self.failed, item.nodeid.encode().ljust(400), 0)


def run_tests(files: Iterable[str], plugin: Any) -> int:
    """pytest in this process; 0 where everything passed."""
    options = ["-x", "-q", "-p", "no:cacheprovider", "-o", "addopts="]
    return int(pytest.main([*options, *files], plugins=[plugin]))


def fork(work: Any) -> int:
    """Runs `work()` in a child without output, whose exit status is what it returns."""
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        os.setsid()
        os.dup2(os.open(KEPT / f"output.{os.getpid()}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 1)
        os.dup2(1, 2)
        sys.stdout = sys.stderr = os.fdopen(1, "w", buffering=1)
        status = work()
    except BaseException:  # with the traceback in the output, and never back into the parent's code
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(status)


def wait(pid: int) -> int:
    """The exit status of a child."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def output(pid: int) -> str:
    """What a child printed; the file is removed."""
    path = KEPT / f"output.{pid}"
    said = path.read_text(errors="replace")
    path.unlink()
    return said


# Which tests reach which lines.


class Reached(NamedTuple):
    """Of each test: its seconds, and the lines of each module that it executed."""

    seconds: dict[str, float]
    lines: dict[str, dict[str, list[int]]]


def digest(paths: Iterable[Path]) -> str:
    """Of the code of files and its lines, whatever comments and docstrings say."""
    codes = []
    for path in sorted(paths):
        tree = ast.parse(path.read_bytes())
        for node in ast.walk(tree):
            if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(node) is not None:
                del node.body[0]
        codes.append(f"{path}\n{ast.dump(tree, include_attributes=True)}")
    return hashlib.sha256("\n".join(codes).encode()).hexdigest()


def reached(test_files: Sequence[str], jobs: int) -> Reached:
    """Of all the tests, from the last run of each file under coverage, or from a run now."""
    ours = [path for name in ("zoo", "guides") for path in Path(name).rglob("*.py") if "papers" not in path.parts]
    shared = digest([*ours, *Path("tests").glob("*.py")])
    kept = {name: KEPT / (name.replace("/", ".") + ".json") for name in test_files}
    keys = {name: digest([Path(name)]) + shared for name in test_files}
    stale = [name for name in test_files if not kept[name].exists() or _read(kept[name])["key"] != keys[name]]
    running: dict[int, str] = {}
    while stale or running:
        if stale and len(running) < jobs:
            name = stale.pop(0)
            running[fork(lambda: measure(name, kept[name], keys[name]))] = name  # noqa: B023 (called at once)
            continue
        pid, status = os.wait()
        name, said = running.pop(pid), output(pid)
        if status:
            raise SystemExit(f"{name} fails without any fault (status {status}):\n{said}")
        print(f"{name}: {said.splitlines()[-1]}", flush=True)
    together = Reached({}, {})
    for path in kept.values():
        together.seconds.update(_read(path)["seconds"])
        together.lines.update(_read(path)["lines"])
    return together


def _read(path: Path) -> dict[str, Any]:
    known: dict[str, Any] = json.loads(path.read_text())
    return known


def measure(test_file: str, kept: Path, key: str) -> int:
    """Runs a file's tests under coverage, and writes down what they reached."""
    seconds: dict[str, float] = {}
    watch = coverage.Coverage(data_file=None, source=["zoo", "guides"], config_file=False)

    class Watch:
        @pytest.hookimpl(hookwrapper=True)
        def pytest_runtest_protocol(self, item: pytest.Item) -> Any:
            watch.switch_context(item.nodeid)
            began = time.perf_counter()
            yield
            seconds[item.nodeid] = time.perf_counter() - began
            watch.switch_context("")

    watch.start()
    status = run_tests([test_file], Watch())
    watch.stop()
    lines: dict[str, dict[str, list[int]]] = defaultdict(dict)
    data = watch.get_data()
    for path in data.measured_files():
        by_test = defaultdict(list)
        for line, tests in data.contexts_by_lineno(path).items():
            for test in tests:
                by_test[test].append(line)
        for test in by_test.keys() & seconds.keys():
            lines[test][os.path.relpath(path)] = by_test[test]
    if status == 0:
        kept.write_text(json.dumps({"key": key, "seconds": seconds, "lines": lines}))
    return status


def warm(test_files: Sequence[str]) -> None:
    """Imports the libraries that the tests import, and nothing of ours."""
    listed = KEPT / "imports"

    def collect() -> int:
        status = run_tests([*test_files, "--collect-only"], Chosen())
        names = sorted(name for name in sys.modules if name.partition(".")[0] not in (*OURS, "__main__"))
        listed.write_text("\n".join(names))
        return status

    if status := wait(pid := fork(collect)):
        raise SystemExit(f"collecting the tests failed (status {status}):\n{output(pid)}")
    output(pid)
    for name in listed.read_text().split():
        if name not in sys.modules:
            with contextlib.suppress(Exception):  # a module that only its own package can import
                importlib.import_module(name)


# Mutants.


class Instead(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Imports one module from another source than its file's."""

    def __init__(self, path: str, source: str) -> None:
        self.path, self.source = path, source
        name = path.removesuffix(".py").replace("/", ".")
        self.name = name.removesuffix(".__init__")
        self.package = name != self.name

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        if name != self.name:
            return None
        spec = importlib.util.spec_from_loader(name, self, origin=self.path, is_package=self.package)
        if spec is not None:
            spec.has_location = True
            if self.package:
                spec.submodule_search_locations = [str(Path(self.path).parent.absolute())]
        return spec

    def exec_module(self, module: Any) -> None:
        module.__file__ = str(Path(self.path).absolute())
        exec(compile(self.source, module.__file__, "exec"), module.__dict__)


def functions_of(code: types.CodeType, within: str = "") -> dict[tuple[str, int], types.CodeType]:
    """The code of functions that are not in other functions, by name and count, since a property may have two."""
    found: dict[tuple[str, int], types.CodeType] = {}
    for inner in code.co_consts:
        if isinstance(inner, types.CodeType):
            name = f"{within}.{inner.co_name}"
            if inner.co_flags & inspect.CO_OPTIMIZED:
                found[name, sum(name == other for other, _ in found)] = inner
            else:  # the body of a class
                found |= functions_of(inner, name)
    return found


def replace_code(path: str, source: str) -> bool:
    """Gives the functions of an imported module the code of another source; False where that is impossible."""
    file = str(Path(path).absolute())
    before = functions_of(compile(Path(path).read_text(encoding="utf-8"), file, "exec"))
    after = functions_of(compile(source, file, "exec"))
    changed = {(code.co_name, code.co_firstlineno): after[key] for key, code in before.items() if code != after[key]}
    done = set()
    for function in [thing for thing in gc.get_objects() if isinstance(thing, types.FunctionType)]:
        at = function.__code__.co_name, function.__code__.co_firstlineno
        if function.__code__.co_filename == file and at in changed:
            try:
                function.__code__ = changed[at]
            except ValueError:  # the fault was the only use of an outer variable
                return False
            done.add(at)
    return done == changed.keys()


def survive(path: str, source: str, tests: dict[str, float], failed: int, imported: bool) -> int:
    """Whether all the tests pass on the changed source; in a child."""
    signal.alarm(60)
    if not (imported and replace_code(path, source)):
        for name in [name for name in sys.modules if name.partition(".")[0] in OURS]:
            del sys.modules[name]
        sys.meta_path.insert(0, Instead(path, source))
    names = list(tests)
    quick, rest = names[:8], names[8:]
    at = {name: place for place, name in reversed(list(enumerate(dict.fromkeys(n.partition("::")[0] for n in rest))))}
    rest.sort(key=lambda name: at[name.partition("::")[0]])  # file by file
    for chosen in (quick, rest):
        files = list(dict.fromkeys(name.partition("::")[0] for name in chosen))
        if chosen and (status := run_tests(files, Chosen({name: tests[name] for name in chosen}, failed))):
            return status
    return 0


class Verdict(NamedTuple):
    """How it ended: "killed", "survived", or "no test" where none reaches the line; and the test that noticed."""

    mutant: Mutant
    how: str
    by: str = ""


class Campaign:
    """Runs mutants, `jobs` at a time."""

    def __init__(self, tests: Reached, jobs: int, budget: float) -> None:
        self.tests, self.jobs, self.budget = tests, jobs, budget
        self.kills: Counter[tuple[str, str]] = Counter()
        self.running: dict[int, tuple[Mutant, int]] = {}

    def choose(self, mutant: Mutant, source: str) -> dict[str, float]:
        """The tests that reach a mutant, most promising first, within the budget."""
        lines = set(reach(source, mutant.line))
        reaching = {test for test, files in self.tests.lines.items() if lines & set(files.get(mutant.path, ()))}
        # What runs on import, such as a default, may be read by a test that does not call the function.
        possible = reaching if within_function(source, mutant.line) else self.tests.seconds.keys()

        def promise(test: str) -> float:
            hope = self.kills[mutant.path, test] + (0.2 if test in reaching else 0.05)
            return hope / (self.tests.seconds[test] + 0.05)

        chosen, spent = {}, 0.0
        for test in sorted(possible, key=promise, reverse=True):
            if chosen and spent + self.tests.seconds[test] > self.budget:
                continue
            chosen[test] = self.tests.seconds[test]
            spent += chosen[test]
        return chosen

    def run(self, mutants: Sequence[Mutant], sources: dict[str, str]) -> Iterator[Verdict]:
        """The verdicts, in the order in which they come."""
        inside = {mutant: within_function(sources[mutant.path], mutant.line) for mutant in mutants}
        yield from self._run([mutant for mutant in mutants if not inside[mutant]], sources, imported=False)
        with contextlib.redirect_stdout(io.StringIO()):
            run_tests(
                [*dict.fromkeys(name.partition("::")[0] for name in self.tests.seconds), "--collect-only"], Chosen()
            )
        yield from self._run([mutant for mutant in mutants if inside[mutant]], sources, imported=True)

    def _run(self, mutants: Sequence[Mutant], sources: dict[str, str], imported: bool) -> Iterator[Verdict]:
        for mutant in mutants:
            tests = self.choose(mutant, sources[mutant.path])
            changed = faulty(mutant, sources[mutant.path]) or ""
            if not tests:
                yield Verdict(mutant, "no test")
                continue
            while len(self.running) >= self.jobs:
                yield self.next()
            failed = os.memfd_create("failed") if hasattr(os, "memfd_create") else os.open(os.devnull, os.O_RDWR)
            pid = fork(lambda: survive(mutant.path, changed, tests, failed, imported))  # noqa: B023 (called at once)
            self.running[pid] = mutant, failed
        while self.running:
            yield self.next()

    def next(self) -> Verdict:
        """The verdict of the mutant that ends next."""
        pid, status = os.waitpid(-1, 0)
        mutant, failed = self.running.pop(pid)
        last = os.pread(failed, 400, 0).decode().strip()
        os.close(failed)
        said = output(pid)
        code = os.waitstatus_to_exitcode(status)
        if code == 0:
            return Verdict(mutant, "survived")
        if code == pytest.ExitCode.USAGE_ERROR or code == pytest.ExitCode.NO_TESTS_COLLECTED:
            raise SystemExit(f"{mutant}: pytest could not run (status {code}):\n{said}")
        if last:
            self.kills[mutant.path, last] += 1
        # On a busy machine a test may run out of time without noticing the fault, so its line says so.
        late = " (out of time)" if code == -signal.SIGALRM else ""
        return Verdict(mutant, "killed", (last or "import") + late)


def changed_line(mutant: Mutant, source: str) -> str:
    """The lines that a mutant changes, before and after."""
    before, after = source.splitlines(), (faulty(mutant, source) or "").splitlines()
    pairs = [(a.strip(), b.strip()) for a, b in zip(before, after, strict=False) if a != b]
    return f"{pairs[0][0]}\n      {pairs[0][1]}" if pairs else before[mutant.line - 1].strip()


def main() -> None:
    """Measures, makes mutants, and prints survivors and a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("modules", nargs="*", default=MODULES, help="files or folders")
    parser.add_argument("--sample", type=int, default=40, help="mutants of each module named, 0 for all of them")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--tests", nargs="+", default=TESTS, help="files of tests, or folders")
    parser.add_argument("--only", default="", help="a regular expression for the names of mutants")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--budget", type=float, default=60.0, help="seconds of tests for one mutant")
    asked = parser.parse_args()

    KEPT.mkdir(exist_ok=True)
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # of other packages
    sys.path.insert(0, os.getcwd())
    given = [Path(name) for name in asked.tests]
    test_files = sorted(str(path) for name in given for path in (name.glob("test_*.py") if name.is_dir() else [name]))
    warm(test_files)
    tests = reached(test_files, asked.jobs)

    sources: dict[str, str] = {}
    chosen: list[tuple[str, Mutant]] = []
    for module in asked.modules:
        paths = sorted(Path(module).rglob("*.py")) if Path(module).is_dir() else [Path(module)]
        paths = [path for path in paths if path.name != "known_answers.py"]  # its numbers are a test's
        sources |= {str(path): path.read_text(encoding="utf-8") for path in paths}
        every = [mutant for path in paths for mutant in mutants_of(str(path), sources[str(path)])]
        rng = random.Random(f"{asked.seed} {module}")
        some = rng.sample(every, min(asked.sample or len(every), len(every)))
        some = [mutant for mutant in some if re.search(asked.only, str(mutant))]
        chosen += [(module, mutant) for mutant in some if faulty(mutant, sources[mutant.path])]
        print(f"{module}: {len(every)} mutants", flush=True)

    module_of = {mutant: module for module, mutant in chosen}
    verdicts: dict[str, list[Verdict]] = defaultdict(list)
    for verdict in Campaign(tests, asked.jobs, asked.budget).run([mutant for _, mutant in chosen], sources):
        verdicts[module_of[verdict.mutant]].append(verdict)
        print(f"{verdict.how}: {verdict.mutant} {verdict.by}", flush=True)
        if verdict.how != "killed":
            print("      " + changed_line(verdict.mutant, sources[verdict.mutant.path]), flush=True)

    print("\n| module | mutants | killed | survived | no test |\n| --- | ---: | ---: | ---: | ---: |")
    for module, of_module in [*verdicts.items(), ("all", [v for some in verdicts.values() for v in some])]:
        hows = Counter(verdict.how for verdict in of_module)
        print(f"| {module} | {len(of_module)} | {hows['killed']} | {hows['survived']} | {hows['no test']} |")


if __name__ == "__main__":
    main()
