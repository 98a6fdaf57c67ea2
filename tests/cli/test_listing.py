"""`list`, `show`, `metrics` and `data`: what there is; and what is not imported for it."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from zoo.papers.recipes import RECIPES

ROOT = Path(__file__).parents[2]


def test_everything_is_listed(run):
    listed = run("list")
    for name in ("beta-vae", "BetaVAE", "digits", "fashion-mnist", "Higgins", "StudentTVAE", "joint-vae/mnist"):
        assert name in listed


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_recipe_is_shown_with_every_hyperparameter_its_paper_and_its_cost(recipe, run, monkeypatch, tmp_path):
    monkeypatch.setenv("ZOO_DATA", str(tmp_path))  # no data files are needed
    shown = run("show", recipe)
    chosen = RECIPES[recipe]
    assert chosen.description in shown
    assert f"paper      {chosen.paper}\n" in shown
    assert f"data       {chosen.data}" in shown
    assert re.search(r"^objective  \w+: ", shown, re.MULTILINE)
    assert re.search(r"^cost       [\d,]+ steps of [\d,]+ \([\d,.]+ epochs\) at learning rate ", shown, re.MULTILINE)


def test_the_hyperparameters_shown_are_the_recipes_with_their_defaults(run):
    shown = run("show", "beta-vae")
    listed = shown.split("their defaults\n")[1].split("\n\n")[0]
    found = dict(line.split() for line in listed.splitlines())
    assert found == {"beta": "4.0", "z_dim": "10", "network": "mlp", "likelihood": "bernoulli", "steps": "6000"}
    # beta-VAE on 1,500 digits: 6,000 steps of 64 are 256.0 epochs.
    assert "6,000 steps of 64 (256.0 epochs) at learning rate 0.001" in shown


def test_metrics_are_listed(run):
    listed = run("metrics")
    for name in ("mig", "dci", "factor_vae", "hoyer"):
        assert re.search(rf"^  {name} ", listed, re.MULTILINE)


def test_data_is_listed_and_shown(run, tmp_path, monkeypatch):
    monkeypatch.setenv("ZOO_DATA", str(tmp_path))
    listed = run("data")
    assert re.search(r"digits\n.*\n +present: needs no files", listed)
    assert re.search(rf"mnist\n.*\n +absent: not in {tmp_path}/MNIST/raw", listed)
    run("data", "--sheet", "pinwheel", "--data-option", "arms=3", "--out", str(tmp_path / "sheet.png"))
    assert (tmp_path / "sheet.png").read_bytes().startswith(b"\x89PNG")


HEAVY = ["torch", "pyro", "sklearn", "matplotlib", "torchvision", "pandas", "scipy", "numpy", "joblib", "tqdm"]


DRAWING = ["sklearn", "matplotlib", "torchvision", "pandas"]


@pytest.mark.parametrize(
    "steps",
    [
        {'main(["--help"])': HEAVY, 'main(["train", "--help"])': HEAVY, 'main(["list"])': HEAVY},
        {
            "import zoo.papers.recipes": [*DRAWING, "joblib", "arviz", "numpyro"],
            'main(["show", "joint-vae/digits"])': DRAWING,
            'main(["show", "natural-clustering/mnist"])': DRAWING,
            "from zoo.metrics import hoyer, sap, total_correlation_gaussian": ["sklearn", "scipy.stats"],
            "import numpy as np; z = np.random.default_rng(0).standard_normal((40, 3))": ["sklearn"],
            "assert 'scikit-learn' in hoyer(z).protocol['versions']": ["sklearn"],
            "sap(z, np.arange(40) % 2); assert 'sklearn' in sys.modules": [],
        },
    ],
    ids=["light", "with PyTorch"],
)
def test_no_library_is_imported_that_is_not_needed(steps):
    # One after another in one new interpreter: a library that one step imports is there after the next ones, too.
    script = """
import sys
from zoo.cli.main import app
def main(arguments):
    app(arguments, standalone_mode=False)
"""
    script += "".join(f"{code}\nprint('modules', *sys.modules, file=sys.stderr)\n" for code in steps)
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    imported = [line.split() for line in done.stderr.splitlines() if line.startswith("modules ")]
    for (code, without), there in zip(steps.items(), imported, strict=True):
        assert not set(without) & set(there), code
