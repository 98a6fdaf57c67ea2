"""Studies on the command line: an option without an effect, or an output that overwrites another, is refused."""

import pytest

from zoo.studies import restarts_together, step_time
from zoo.studies.compatibility import matrix


@pytest.fixture(autouse=True)
def _nothing_is_measured(monkeypatch):
    def begun(*args, **kwargs):
        raise AssertionError("the work began")

    for place, name in ((matrix, "cells"), (restarts_together, "main"), (step_time, "main")):
        monkeypatch.setattr(place, name, begun)


@pytest.mark.parametrize("options", [[], ["--table"]])
def test_results_and_tables_of_the_matrix_are_two_files(options, refused, tmp_path):
    """Before: both were written to mx.md, and the results of minutes were lost."""
    said = refused("matrix", *options, "--out", "mx.md")
    assert said == (
        "error: the file of the results must end in .json, since the tables next to it end in .md, got mx.md: name it "
        "mx.json\n"
    )
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("option", "rows", "with_effect"),
    [
        ("--compile", "steps", "together"),
        ("--compile", "conv", "together"),
        ("--data-dir", "together", "steps"),
        ("--data-dir", "conv", "steps"),
        ("--peers", "together", "steps or mlp or conv"),
        ("--peers", "pairwise", "steps or mlp or conv"),
    ],
)
def test_options_without_an_effect_on_these_rows_of_the_benchmark_are_refused(
    option, rows, with_effect, refused, monkeypatch
):
    """Before: they were ignored without a word."""
    monkeypatch.setattr("zoo.studies.workers.installed", lambda python: ["numpyro"])
    value = {"--compile": [], "--data-dir": ["."], "--peers": ["python"]}[option]
    said = refused("bench", "--rows", rows, option, *value)
    assert said == (f"error: {option} has no effect with --rows {rows}: leave it out, or give --rows {with_effect}\n")
