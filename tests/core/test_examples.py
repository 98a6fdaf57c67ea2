"""The examples in docstrings print what they say, in single precision, as for a reader who pastes them."""

import doctest
import inspect
from importlib import import_module
from pathlib import Path

import pyro
import pytest
import torch

import guides
import zoo
from zoo import metrics
from zoo.elbos import OBJECTIVES

ROOT = Path(zoo.__file__).parents[1]
FILES = [*(ROOT / "zoo").glob("*.py"), *(ROOT / "guides").rglob("*.py"), *(ROOT / "zoo" / "metrics").glob("*.py")]
WITH_EXAMPLES = sorted(str(path.relative_to(ROOT)) for path in FILES if ">>> " in path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", WITH_EXAMPLES)
def test_examples_print_what_they_say(path):
    torch.set_default_dtype(torch.float32)
    module = import_module(path.removesuffix(".py").replace("/", "."))
    said: list[str] = []
    runner = doctest.DocTestRunner()
    names = dict(vars(module))
    found = [test for test in doctest.DocTestFinder().find(module, module.__name__) if test.examples]
    assert found
    for test in sorted(found, key=lambda test: test.name):  # the module's own first: others may use its names
        pyro.set_rng_seed(0)
        test.globs = names if test.name == module.__name__ else dict(names)
        runner.run(test, out=said.append, clear_globs=False)
    assert not runner.failures, "".join(said)


FIRST_MET = {
    **{f"zoo.{name}": getattr(zoo, name) for name in zoo.__all__},
    **{f"zoo.elbos.{cls.__name__}": cls for cls in OBJECTIVES},
    **{f"guides.{name}": getattr(guides, name) for name in guides.__all__ if name not in ("Head", "Refined", "refine")},
}
SCORES = ("dci", "explicitness", "factor_vae", "higgins_logistic", "hoyer", "irs", "mig", "modularity", "npmi")
FIRST_MET |= {f"zoo.metrics.{name}": getattr(metrics, name) for name in (*SCORES, "perplexity", "sap")}


@pytest.mark.parametrize("name", FIRST_MET)
def test_what_a_reader_meets_first_has_an_example(name):
    assert ">>> " in inspect.getdoc(FIRST_MET[name])
