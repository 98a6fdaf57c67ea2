"""The notebooks: as they are stored; and each one's knobs asserted, shrunk, and the whole run from scratch.

What a notebook computes it asserts itself, at any size: by hand against the library, bounds against evidence.
"""

import json
import re
import tempfile
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
MOST_BYTES = 1_500_000

# By notebook, each knob as it stands, up to its comment, and how it is run here.
KNOBS = {
    "1-reading-a-story": {
        'DATA = "digits"': 'DATA = "digits"',
        "Z_DIM = 2": "Z_DIM = 2",
        "HIDDEN = 256": "HIDDEN = 16",
        "STEPS = 3000": "STEPS = 30",
        "BATCH = 64": "BATCH = 32",
        "LR = 1e-3": "LR = 1e-3",
        "MORE_UNITS = [5, 20]": "MORE_UNITS = [3]",
    },
    "2-swapping-guides": {
        'DATA = "digits"': 'DATA = "digits"',
        "HIDDEN = 200": "HIDDEN = 16",
        "RING_STEPS = 1000": "RING_STEPS = 20",
        "STEPS = 1200": "STEPS = 20",
        "SLOW_STEPS = 300": "SLOW_STEPS = 5",
        "DRAWS = 1000": "DRAWS = 200",
        "IMAGES = 100": "IMAGES = 4",
        "LR = 2e-3": "LR = 2e-3",
    },
    "3-one-model-many-objectives": {
        'DATA = "digits"': 'DATA = "digits"',
        "UNITS = 3": "UNITS = 2",
        "HIDDEN = 200": "HIDDEN = 16",
        "STEPS = 1200": "STEPS = 20",
        "TOY_STEPS = 800": "TOY_STEPS = 20",
        "LR = 1e-3": "LR = 1e-3",
    },
    "4-natural-clustering": {
        'DATA = "digits"': 'DATA = "digits"',
        "C_DIM = 1": "C_DIM = 2",
        "S_DIM = 1": "S_DIM = 2",
        "BETA_C = 1.0": "BETA_C = 1.0",
        "HIDDEN = 256": "HIDDEN = 16",
        "STEPS = 3000": "STEPS = 40",
        "DRAWS = 500": "DRAWS = 50",
        "LR = 1e-3": "LR = 1e-3",
    },
    "5-joint-vae": {
        "TRAIN = False": "TRAIN = False",
        "TRAIN_STEPS = 30_000": "TRAIN_STEPS = 1",
        "STYLES = [8, 6, 3]": "STYLES = [8, 6, 3]",
        "STEPS = 4000": "STEPS = 50",
        "OVER = 2000": "OVER = 25",
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
        "STEPS = 2000": "STEPS = 20",
        "POINTS = 3000": "POINTS = 500",
        "REPEATS = 5": "REPEATS = 2",
        "LR = 1e-3": "LR = 1e-3",
    },
    "7-hfvae": {
        'DATA = "digits"': 'DATA = "digits"',
        "Z_DIM = 6": "Z_DIM = 3",
        "BETA = 4.0": "BETA = 4.0",
        "GAMMA = 3.0": "GAMMA = 3.0",
        "HIDDEN = 300": "HIDDEN = 16",
        "BATCH = 256": "BATCH = 32",
        "STEPS = 1000": "STEPS = 10",
        "DOCUMENTS = 2000": "DOCUMENTS = 100",
        "TOPIC_STEPS = 500": "TOPIC_STEPS = 5",
        "LR = 1e-3": "LR = 1e-3",
    },
    "8-decomposition": {
        "PINWHEEL_STEPS = 500": "PINWHEEL_STEPS = 5",
        "BETAS = [0.01, 0.5, 1.0]": "BETAS = [1.0]",
        "ALPHAS = [1.0, 3.0, 8.0]": "ALPHAS = [8.0]",
        "Z_DIM = 16": "Z_DIM = 4",
        "GAMMA = 0.8": "GAMMA = 0.8",
        "ALPHA_SPARSE = 10.0": "ALPHA_SPARSE = 10.0",
        "STEPS = 1200": "STEPS = 10",
        "HIDDEN = 200": "HIDDEN = 16",
        "LR = 1e-3": "LR = 1e-3",
    },
}

Notebook = Any


def read(name: str) -> Notebook:
    return nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)


def code(notebook: Notebook) -> list[Any]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def knobs(notebook: Notebook) -> Any:
    """The one cell of knobs, which says that it is one."""
    (cell,) = (cell for cell in code(notebook) if "knobs" in cell.metadata.get("tags", []))
    return cell


def test_every_notebook_is_here():
    assert {path.stem for path in NOTEBOOKS.glob("*.ipynb")} == KNOBS.keys()


@pytest.mark.parametrize("name", KNOBS)
def test_the_knobs_are_these(name):
    # A line each, an assignment with a comment; a knob that is gone, new or changed is one to be shrunk anew.
    lines = knobs(read(name)).source.splitlines()
    assert all(re.fullmatch(r"[A-Z_]+ = .*\S  # \S.*", line) for line in lines)
    assert [line.partition("  # ")[0] for line in lines] == list(KNOBS[name])


@pytest.mark.parametrize("name", KNOBS)
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


@pytest.mark.parametrize("name", KNOBS)
def test_code_stands_in_short_cells_that_know_nothing_of_ci(name):
    notebook = read(name)
    for cell in code(notebook):
        lines = cell.source.splitlines()
        assert len(lines) <= 25, cell.source
        assert max(map(len, lines)) <= 120, cell.source
        assert "environ" not in cell.source
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            assert "```" not in cell.source, "code in a markdown cell is not run"


@pytest.mark.parametrize("name", KNOBS)
def test_runs_from_scratch_in_small(name, tmp_path, monkeypatch):
    monkeypatch.setenv("ZOO_DATA", str(tmp_path / "no-data"))  # no file of data is needed
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    notebook = read(name)
    cell = knobs(notebook)
    lines = [line.partition("  # ") for line in cell.source.splitlines()]
    cell.source = "\n".join(f"{KNOBS[name][knob]}{sign}{comment}" for knob, sign, comment in lines)
    for cell in code(notebook):
        cell.outputs, cell.execution_count = [], None
    client = NotebookClient(notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": tmp_path}})
    client.execute()
    assert all(cell.execution_count for cell in code(notebook))
    assert not list(tmp_path.rglob("*.png")), "a notebook shows its pictures, and leaves no files"
