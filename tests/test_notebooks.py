"""The notebooks: as they are stored, with every verdict as its card has it; and each one shrunk and run from scratch.

What a notebook computes it asserts itself, at any size: by hand against the library, bounds against evidence.
"""

import atexit
import builtins
import json
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib
import matplotlib.pyplot as plt
import nbformat
import pyro
import pytest
import torch
from IPython.core.displayhook import CapturingDisplayHook
from IPython.core.displaypub import CapturingDisplayPublisher
from IPython.core.interactiveshell import InteractiveShell
from matplotlib_inline.backend_inline import configure_inline_support
from traitlets.config import Config

import zoo
from tests.pictures import quick_pictures
from zoo.elbos import OBJECTIVES
from zoo.lab.story import docstring_lines
from zoo.lab.trials.card import VERDICTS
from zoo.papers import claims, results
from zoo.studies.guide_gap import recipes as guide_gap

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
MOST_BYTES = 1_500_000
QUICK = Path(__file__).with_name("quick.mplstyle")
INLINE = "module://matplotlib_inline.backend_inline"

# By notebook, each setting as it is stored, up to its comment, and how it is run here.
SETTINGS = {
    "1-reading-a-story": {
        'DATA = "digits"': 'DATA = "digits"',
        "Z_DIM = 2": "Z_DIM = 2",
        "HIDDEN = 256": "HIDDEN = 16",
        "STEPS = 3000": "STEPS = 10",
        "BATCH = 64": "BATCH = 32",
        "LR = 1e-3": "LR = 1e-3",
        "MORE_DIMS = [5, 20]": "MORE_DIMS = [3]",
    },
    "2-swapping-guides": {
        'DATA = "digits"': 'DATA = "digits"',
        "HIDDEN = 200": "HIDDEN = 16",
        "RING_STEPS = 1000": "RING_STEPS = 5",
        "STEPS = 1200": "STEPS = 5",
        "SEMI_STEPS = 300": "SEMI_STEPS = 2",
        "REFINEMENTS = 5": "REFINEMENTS = 2",
        "REFINEMENT_LR = 0.02": "REFINEMENT_LR = 0.02",
        "DRAWS = 1000": "DRAWS = 100",
        "IMAGES = 100": "IMAGES = 2",
        "FIT_STEPS = 400": "FIT_STEPS = 2",
        "LR = 2e-3": "LR = 2e-3",
    },
    "3-one-model-many-objectives": {
        'DATA = "digits"': 'DATA = "digits"',
        "DIMS = 3": "DIMS = 2",
        "HIDDEN = 200": "HIDDEN = 16",
        "STEPS = 1200": "STEPS = 5",
        "TOY_STEPS = 800": "TOY_STEPS = 5",
        "LR = 1e-3": "LR = 1e-3",
    },
    "4-natural-clustering": {
        'DATA = "digits"': 'DATA = "digits"',
        "ENLARGE = 2": "ENLARGE = 1",
        "C_DIM = 2": "C_DIM = 2",
        "S_DIM = 2": "S_DIM = 2",
        "BETA_C = 1.0": "BETA_C = 1.0",
        "HIDDEN = 256": "HIDDEN = 16",
        "STEPS = 2000": "STEPS = 40",
        "DRAWS = 500": "DRAWS = 50",
        "LR = 1e-3": "LR = 1e-3",
    },
    "5-joint-vae": {
        "TRAIN = False": "TRAIN = False",
        "TRAIN_STEPS = 30_000": "TRAIN_STEPS = 1",
        "STYLES = [8, 6, 3]": "STYLES = [8, 6, 3]",
        "STEPS = 4000": "STEPS = 10",
        "OVER = 2000": "OVER = 5",
        "C_Z = 4.0": "C_Z = 4.0",
        "C_C = 2.3": "C_C = 2.3",
        "GAMMA_Z = 5.0": "GAMMA_Z = 5.0",
        "GAMMA_C = 1.0": "GAMMA_C = 1.0",
        "LR = 1e-3": "LR = 1e-3",
    },
    "6-dip-vae-and-metrics": {
        "Z_DIM = 6": "Z_DIM = 6",
        "HIDDEN = 256": "HIDDEN = 16",
        "LAMBDA_OD = 10.0": "LAMBDA_OD = 10.0",
        "LAMBDA_D = 100.0": "LAMBDA_D = 100.0",
        "BETA = 4.0": "BETA = 4.0",
        "STEPS = 2000": "STEPS = 5",
        "POINTS = 3000": "POINTS = 300",
        "REPEATS = 5": "REPEATS = 2",
        "ANSWERS = 20": "ANSWERS = 3",
        "LR = 1e-3": "LR = 1e-3",
    },
    "7-hfvae": {
        'DATA = "digits"': 'DATA = "digits"',
        "Z_DIM = 4": "Z_DIM = 3",
        "BETA = 4.0": "BETA = 4.0",
        "GAMMA = 3.0": "GAMMA = 3.0",
        "HIDDEN = 300": "HIDDEN = 16",
        "BATCH = 256": "BATCH = 32",
        "STEPS = 2000": "STEPS = 5",
        "LR = 3e-3": "LR = 3e-3",
        "DOCUMENTS = 2000": "DOCUMENTS = 100",
        "TOPIC_STEPS = 500": "TOPIC_STEPS = 2",
    },
    "8-decomposition": {
        "PINWHEEL_STEPS = 500": "PINWHEEL_STEPS = 2",
        "BETAS = [0.01, 0.5, 1.0]": "BETAS = [1.0]",
        "ALPHAS = [1.0, 3.0, 8.0]": "ALPHAS = [8.0]",
        "Z_DIM = 16": "Z_DIM = 4",
        "GAMMA = 0.8": "GAMMA = 0.8",
        "ALPHA_SPARSE = 10.0": "ALPHA_SPARSE = 10.0",
        "STEPS = 1200": "STEPS = 5",
        "HIDDEN = 200": "HIDDEN = 16",
        "LR = 1e-3": "LR = 1e-3",
    },
}

QUOTED = re.compile(r"^- \*\*(?P<verdict>[^*]+)\*\*: \*(?P<claim>[^*]+)\*(?P<comment>(?:.|\n(?!- |\n))*)", re.MULTILINE)
DECIMAL = re.compile(r"\d+\.\d+")

Notebook = Any


def read(name: str) -> Notebook:
    return nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)


def code(notebook: Notebook) -> list[Any]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def text(notebook: Notebook) -> str:
    return "\n\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")


def settings(notebook: Notebook) -> Any:
    """The one cell of settings, by its tag."""
    (cell,) = (cell for cell in code(notebook) if "settings" in cell.metadata.get("tags", []))
    return cell


def cards(notebook: Notebook) -> list[str]:
    """What the notebook shows by `zoo.papers.claims`, in Markdown."""
    outputs = [output for cell in code(notebook) if "claims(" in cell.source for output in cell.outputs]
    return [output.data["text/markdown"] for output in outputs if "text/markdown" in output.get("data", {})]


def plain_outputs(notebook: Notebook) -> list[str]:
    """What the cells display, as text."""
    outputs = [output for cell in code(notebook) for output in cell.outputs]
    return [output.data["text/plain"] for output in outputs if "text/plain" in output.get("data", {})]


def verdicts_of_cards() -> dict[str, str]:
    """The verdict on every claim of every card."""
    checked = [claim for name in results() for claim in claims(name).result["claims"]]
    assert len({claim["claim"] for claim in checked}) == len(checked), "two claims have the same words"
    return {claim["claim"].rstrip("."): VERDICTS[claim["verdict"]] for claim in checked}


def test_every_notebook_is_here():
    assert {path.stem for path in NOTEBOOKS.glob("*.ipynb")} == SETTINGS.keys()


@pytest.mark.parametrize("name", SETTINGS)
def test_the_settings_are_these(name):
    # One line each, an assignment with a comment; a setting that is new, gone or changed has to be shrunk here again.
    lines = settings(read(name)).source.splitlines()
    assert all(re.fullmatch(r"[A-Z_]+ = .*\S  # \S.*", line) for line in lines)
    assert [line.partition("  # ")[0] for line in lines] == list(SETTINGS[name])


def test_the_semi_amortised_guide_is_the_recipes():
    shown = SETTINGS["2-swapping-guides"]
    assert {f"REFINEMENTS = {guide_gap.STEPS}", f"REFINEMENT_LR = {guide_gap.LR}"} <= shown.keys()


@pytest.mark.parametrize("name", SETTINGS)
def test_what_is_stored_was_run_in_one_go_and_is_small(name):
    notebook, size = read(name), (NOTEBOOKS / f"{name}.ipynb").stat().st_size
    nbformat.validate(notebook)
    assert size < MOST_BYTES, f"{name}: {size:,} bytes"
    assert [cell.execution_count for cell in code(notebook)] == list(range(1, len(code(notebook)) + 1))
    outputs = [output for cell in code(notebook) for output in cell.outputs]
    assert not [output for output in outputs if output.output_type == "error"]
    assert not [output for output in outputs if output.get("name") == "stderr"]
    assert any("image/png" in output.get("data", {}) for output in outputs)
    text = json.dumps(notebook)
    for path in (str(Path.home()), str(NOTEBOOKS.parent), tempfile.gettempdir(), "/home/", "/usr/", "site-packages"):
        assert path not in text, f"{name} has a path of the machine that it was run on: {path}"
    assert "drawing needs graphviz" not in text, f"{name} was run without the program dot, so it has no plate diagram"
    assert "steps/s" not in text, f"{name} has a progress bar: run it with the environment variable TQDM_DISABLE=1"


@pytest.mark.parametrize("name", SETTINGS)
def test_objectives_are_stored_as_the_code_names_them(name):
    shown = [line for text in plain_outputs(read(name)) for line in text.splitlines() if ": (1 + 3)" in line]
    known = {objective.__name__: objective.weights for objective in OBJECTIVES}
    for line in shown:
        objective, _, weights = line.partition(": ")
        assert weights.startswith(known[objective]), f"{name} was run with an earlier version: {line}"


@pytest.mark.parametrize("name", SETTINGS)
def test_stories_are_stored_as_the_code_tells_them(name):
    # Each line of a site, such as "z ~ Normal(0, 1)    code    [B, 2]", is one of a story's docstring or of a guide.
    lines = [line for text in plain_outputs(read(name)) for line in text.splitlines()]
    sites = {site for line in lines for site in re.findall(r"^    (\w+) [~=] .*\[B, ", line)}
    stories = [getattr(zoo, story) for story in zoo.__all__]
    known = {line.name for story in stories for line in docstring_lines(story)} | {"u", "v"}  # notebook 3 has its own
    assert {re.sub(r"\d+$", "", site) for site in sites} <= known


@pytest.mark.parametrize("name", SETTINGS)
def test_code_stands_in_short_cells_that_know_nothing_of_ci(name):
    notebook = read(name)
    for cell in code(notebook):
        lines = cell.source.splitlines()
        assert len(lines) <= 25, cell.source
        assert max(map(len, lines)) <= 120, cell.source
        assert "environ" not in cell.source
    assert "```" not in text(notebook), "code in a markdown cell is not run"


@pytest.mark.parametrize("name", SETTINGS)
def test_verdicts_are_those_of_the_cards(name):
    # A line "- **holds**: *the claim.* comment" is the only form of a verdict, so none escapes the comparison.
    notebook, on_cards = text(read(name)), verdicts_of_cards()
    quoted = list(QUOTED.finditer(notebook))
    assert {found["claim"].rstrip("."): found["verdict"] for found in quoted}.items() <= on_cards.items()
    assert len(re.findall("|".join(rf"\*\*{verdict}" for verdict in VERDICTS.values()), notebook)) == len(quoted)
    assert not re.findall(r"What (?:matches|does not)\b", notebook)


@pytest.mark.parametrize("name", SETTINGS)
def test_cards_are_stored_as_they_are(name):
    there = {str(claims(shown)) for shown in results()}
    assert set(cards(read(name))) <= there, f"{name} shows a card that has changed: run it again"


@pytest.mark.parametrize("name", SETTINGS)
def test_numbers_next_to_a_verdict_are_on_a_card_that_is_shown(name):
    notebook = read(name)
    quoted = "".join(found.group() for found in QUOTED.finditer(text(notebook)))
    assert set(DECIMAL.findall(quoted)) <= set(DECIMAL.findall("".join(cards(notebook))))


def test_the_form_of_a_verdict_is_found():
    # What the comparison rests on: two lines, the second with a comment over two lines, and where it ends.
    words = (
        "In short:\n\n- **holds**: *One.*\n- **cannot tell**: *Two.* With 1.25 and\n  2.5 units.\n\nText **holds** 3.5."
    )
    assert [(m["verdict"], m["claim"], m["comment"]) for m in QUOTED.finditer(words)] == [
        ("holds", "One.", ""),
        ("cannot tell", "Two.", " With 1.25 and\n  2.5 units."),
    ]


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[InteractiveShell]:
    """IPython in this process, in an empty folder without data files: a kernel would import everything again.

    What it displays is in `shell.display_pub.outputs`. What IPython and a notebook change is put back.
    """
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ZOO_DATA", str(tmp_path / "no-data"))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path.with_name("ipython")))
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])
    torch.set_default_dtype(torch.float32)
    pyro.clear_param_store()
    quick = {"print_figure_kwargs": {"bbox_inches": None}}  # what is around a picture is not measured
    shell = InteractiveShell.instance(config=Config(HistoryManager={"enabled": False}, InlineBackend=quick))
    shell.display_pub = CapturingDisplayPublisher()
    shell.display_trap.hook = CapturingDisplayHook(shell, shell.display_pub.outputs)
    with matplotlib.rc_context(), quick_pictures():
        plt.switch_backend(INLINE)
        configure_inline_support(shell, INLINE)
        yield shell
        plt.close("all")
        configure_inline_support(shell, "agg")
        plt.switch_backend("agg")
    atexit.unregister(shell.atexit_operations)
    shell.atexit_operations()
    InteractiveShell.clear_instance()
    for name in ("__IPYTHON__", "display"):
        del vars(builtins)[name]
    pyro.clear_param_store()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # as Python does in whatever a cell calls
@pytest.mark.parametrize("name", SETTINGS)
def test_runs_from_scratch_in_small(name, shell, tmp_path):
    notebook = read(name)
    lines = [line.partition("  # ") for line in settings(notebook).source.splitlines()]
    small = "\n".join(f"{SETTINGS[name][setting]}{sign}{comment}" for setting, sign, comment in lines)
    for cell in code(notebook):
        shell.display_pub.outputs.clear()
        result = shell.run_cell(small if cell is settings(notebook) else cell.source)
        result.raise_error()
        if cell is settings(notebook):
            plt.style.use(QUICK)  # after the notebook's own style: the layout of pictures takes long
        assert kinds(shell.display_pub.outputs) == kinds(cell.outputs), f"other kinds than stored, by\n{cell.source}"
    assert not list(tmp_path.iterdir()), "a notebook shows its pictures, and leaves no files"


def kinds(outputs: list[Any]) -> list[set[str]]:
    """Of each output that is displayed, its MIME types."""
    return [set(output["data"]) for output in outputs if "data" in output]
