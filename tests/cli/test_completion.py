"""Shell completion: the names of the code, in the time of a key press."""

import json
import os
import subprocess
import sys

import pytest

import zoo
from zoo.cli import completion
from zoo.cli.overrides import keywords
from zoo.papers.recipes import RECIPES

COMPLETE = """
import sys
from zoo.cli.main import main
sys.argv = ["zoo"]
try:
    main()
finally:
    print("heavy:", *sorted({"torch", "pyro", "numpy"} & sys.modules.keys()))
"""


def completed(words: str) -> list[str]:
    """What bash is offered for the last of the words, by the process that it starts on a key press."""
    environment = {
        **os.environ,
        "_ZOO_COMPLETE": "complete_bash",
        "COMP_WORDS": words,
        "COMP_CWORD": str(words.count(" ")),
    }
    done = subprocess.run([sys.executable, "-c", COMPLETE], env=environment, capture_output=True, encoding="utf-8")
    *names, heavy = done.stdout.splitlines()
    assert heavy == "heavy:", done.stdout + done.stderr
    return names


def test_the_hyperparameters_are_those_of_the_code():
    written = json.loads(completion.HYPERPARAMETERS.read_text(encoding="utf-8"))
    assert written == completion.current_hyperparameters(), "run: python -m zoo.cli.completion"


@pytest.mark.parametrize(
    ("words", "names"),
    [
        ("zoo tra", ["train", "traverse"]),
        ("zoo train beta-vae/s", ["beta-vae/shapes"]),
        ("zoo train --data fash", ["fashion-mnist"]),
        ("zoo reproduce joint-vae/mnist-", ["joint-vae/mnist-types", "joint-vae/mnist-gamma"]),
        ("zoo train beta-vae --set be", ["beta="]),
        ("zoo train beta-vae --set ", [f"{name}=" for name in keywords(RECIPES["beta-vae"].build)]),
        ("zoo sweep joint-vae/digits --set gamma", ["gamma_z=", "gamma_c="]),
    ],
)
def test_names_are_completed_without_pytorch(words, names):
    assert completed(words) == names


def test_without_a_recipe_every_hyperparameter_is_offered():
    known = {f"{name}=" for recipe in RECIPES.values() for name in keywords(recipe.build)}
    assert set(completed("zoo sweep --set ")) == known


def test_the_version_is_printed(run):
    assert run("--version") == f"zoo {zoo.__version__}\n"
    command = [sys.executable, "-m", "zoo", "--version"]
    assert subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout == f"zoo {zoo.__version__}\n"
