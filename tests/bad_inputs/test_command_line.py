"""Every near miss on the command line ends in one line that names option, value and remedy, before any work."""

import importlib
import inspect
import os
import re
import shutil
import sys
from pathlib import Path

import pytest
import torch
import typer
from hypothesis import given
from hypothesis import strategies as st

from tests.bad_inputs.command_line import ACCEPTED, LINES, OPTIONS, POSITIONAL, WORKS
from tests.bad_inputs.judge import complaint, of_message
from tests.commands import built
from tests.pictures import without_pictures
from zoo.cli.main import app, main
from zoo.cli.overrides import keywords, read
from zoo.lab.data import SOURCES
from zoo.lab.runs.interrupt import Stopped
from zoo.papers import recipe
from zoo.papers.recipes import RECIPES

WORK = (
    "zoo.lab.runs.train.train",
    "zoo.lab.trials.sweep.run_trials",
    "zoo.lab.trials.reproduce.run_trials",
    "zoo.studies.guide_gap.comparison.run_trials",
    "zoo.studies.compatibility.matrix.write",
    "zoo.studies.estimator_bias.estimator_table",
    "zoo.studies.data_rate.bench",
    "zoo.studies.step_time.main",
    "zoo.papers.hfvae.term_ablation.train_every_panel",
    "zoo.lab.analysis.elbo_anatomy.elbo_anatomy",
    "zoo.lab.plots.contact_sheet.contact_sheet",
)


class Worked(BaseException):
    """Raised in place of a command's work: the command line was accepted."""


def _work(*args, **kwargs):
    raise Worked


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """The folder in which the commands are given."""
    there = tmp_path_factory.mktemp("here")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(there)
        patch.setenv("ZOO_DATA", "")
        torch.set_default_dtype(torch.float32)
        patch.setattr(sys, "argv", ["zoo", "train", "beta-vae", "--steps", "3", "--out", "run"])
        with without_pictures(), pytest.raises(SystemExit) as ended:
            main()
        assert not ended.value.code
    shutil.copytree(there / "run", there / "stopped")
    (there / "stopped" / "summary.md").unlink()
    (there / "file.txt").write_text("3")
    (there / "broken.npz").write_bytes(b"PK\x03\x04 not an archive")
    (there / "empty").mkdir()
    (there / "full").mkdir()
    (there / "full" / "notes.txt").write_text("mine")
    return there


def _there(folder: Path) -> set[str]:
    """All files and folders below a folder."""
    return {os.path.join(top, name) for top, *names in os.walk(folder) for some in names for name in some}


@pytest.fixture
def said(folder, monkeypatch, capsys):
    """Gives a command; returns what is wrong with how it is refused, "accepted" where it is not."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv("ZOO_DATA", "")
    monkeypatch.setattr(typer.main, "get_command", built)
    for place in WORK:
        module, _, name = place.rpartition(".")
        monkeypatch.setattr(importlib.import_module(module), name, _work)

    def give(arguments: list[str], places: tuple[str, ...], value: str) -> str:
        torch.set_default_dtype(torch.float32)
        monkeypatch.setattr(sys, "argv", ["zoo", *arguments])
        before = _there(folder)
        capsys.readouterr()
        try:
            main()
        except SystemExit as ended:
            code = ended.code
        except Worked:
            return "accepted"
        except (Exception, Stopped) as error:
            return f"has a traceback: {type(error).__name__}: {error}"
        error = capsys.readouterr().err
        if code == 0:
            return "accepted"
        if code not in (1, 2):
            return f"has the exit status {code}"
        if (after := _there(folder)) != before:
            return f"leaves {after - before} behind, and takes {before - after} away"
        if not error.startswith("error: ") or error.count("\n") != 1:
            return f"is not one line: {error}"
        shown = [value, value.partition("=")[2] or value, repr(value)[1:-1], value.replace(",", ", ")]
        shown += [
            " ".join(value.split()) or value,
            value.encode("utf-8", "replace").decode(),
            value.rpartition(".")[2] or value,
        ]
        return of_message(error, places, shown if value.strip() else [*shown, "empty", "''", "issing"])

    return give


def held(wrong: str, case: tuple[str, str, str]) -> str:
    if case in ACCEPTED:
        return "" if wrong == "accepted" else f"is refused, and ACCEPTED says that it is not: {wrong}"
    return wrong


def test_every_option_of_every_command_is_in_the_table():
    commands = typer.main.get_command(app).commands
    assert commands.keys() == OPTIONS.keys() == WORKS.keys()
    for name, command in commands.items():
        options = [p for p in command.params if p.param_type_name == "option" and not p.is_flag]
        assert {option for p in options for option in p.opts if option[:2] == "--"} == OPTIONS[name].keys(), name


CASES = [(command, option) for command, options in OPTIONS.items() for option in options]


@pytest.mark.parametrize(("command", "option"), CASES)
def test_values_of_options(command, option, said, count):
    wrong = {}
    for value in OPTIONS[command][option]:
        places = (option, *NAMES.get(option, ()), *([value] if value and option in ("--data", "--sheet") else []))
        why = said([command, *WORKS[command], f"{option}={value}"], places, value)
        if why := held(why, (command, option, value)):
            wrong[value] = why
    count("command line", "table", len(OPTIONS[command][option]), len(OPTIONS[command][option]) - len(wrong))
    assert not wrong, "\n".join(f"{command} {option}={value!r} {why}" for value, why in wrong.items())


NAMES = {
    "--set": ("beta", "z_dim", "network", "convolutional", "hyperparameter"),
    "--graph": ("graphviz", "diagram"),
    "--data": ("data",),
    "--sheet": ("data",),
    "--swap": ("guide",),
    "--guides": ("guide",),
    "--diff": ("recipe",),
    "--device": ("device",),
    "--estimator": ("estimator",),
    "--site": ("site",),
    "--unit": ("unit",),
    "--datapoint": ("datapoints",),
    "--values": ("values",),
    "--batch-size": ("batch",),
    "--resume": ("run",),
    "--beside": ("run",),
}
"""Other names for an option's value in messages."""


@pytest.mark.parametrize("command", POSITIONAL)
def test_first_arguments(command, said, count):
    what, values = POSITIONAL[command]
    wrong = {}
    for value in values:
        why = said([command, value, *WORKS[command][1:]], (what, what.upper()), value)
        if why := held(why, (command, what, value)):
            wrong[value] = why
    count("command line", "table", len(values), len(values) - len(wrong))
    assert not wrong, "\n".join(f"{command} {value!r} {why}" for value, why in wrong.items())


@pytest.mark.parametrize(("line", "place", "value"), LINES, ids=[" ".join(line)[:60] for line, *_ in LINES])
def test_whole_lines(line, place, value, said, count):
    why = said(line, (place,), value)
    count("command line", "table", 1, not why)
    assert not why, f"{' '.join(line)} {why}"


def _whole(text: str, least: int, most: int) -> bool:
    try:
        return least <= int(text) <= most
    except ValueError:
        return False


def _positive(text: str, most: float) -> bool:
    try:
        return 0 < float(text) <= most
    except ValueError:
        return False


PARSED = {
    "--steps": lambda text: _whole(text, 1, 10**9),
    "--batch-size": lambda text: _whole(text, 1, 10**9),
    "--seed": lambda text: _whole(text, 0, 2**32 - 1),
    "--lr": lambda text: _positive(text, sys.float_info.max),
    "--epochs": lambda text: _positive(text, 1e6),
    "--out": lambda text: bool(text.strip()),
    "--data": lambda text: bool(text.strip()),
    "--checkpoint-every": lambda text: re.fullmatch(r"[1-9][0-9]{0,8}s?", text),
}
TEXT = (
    st.text(max_size=8)
    | st.integers().map(str)
    | st.floats().map(str)
    | st.sampled_from(["-1", "0", "1", " 7", "1_000", "1e3", "+3", "60s", "0s", "1,5", "0x1", "none", "true", "-inf"])
).filter(lambda text: "\0" not in text)


@given(option=st.sampled_from(list(PARSED)), text=TEXT)
def test_any_text_as_an_option(option, text, said, count):
    """Where the value is right, the command is refused for its recipe, which does not exist."""
    right = PARSED[option](text)
    line = ["train", "vea", f"{option}={text}"]
    why = said(line, ("recipe",), "vea") if right else said(line, (option,), text)
    count("command line", "hypothesis", 1, not why)
    assert not why, f"{line} {why}"


@given(name=st.sampled_from(["beta", "z_dim", "network", "bta", ""]) | st.text(max_size=4), text=TEXT)
def test_any_pair_of_name_and_value(name, text, count):
    build = recipe("beta-vae").build
    known = keywords(build)
    right = (
        name in known
        and {
            "beta": lambda: text.strip().lower() not in ("nan", "inf", "-inf") and _is_float(text),
            "z_dim": lambda: _whole(text, 1, 10**9),
            "network": lambda: text != "",
        }.get(name, lambda: None)()
    )
    why = complaint(lambda: read("--set", "hyperparameter", build, [f"{name}={text}"]), ("--set",), text or name)
    if right is None:
        return
    if right:
        why = "" if why == "accepted" else why
    count("command line", "hypothesis", 1, not why)
    assert not why, f"--set {name}={text!r} {why}"


def _is_float(text: str) -> bool:
    try:
        return abs(float(text)) < 1.8e308
    except ValueError:
        return False


BUILDS = {**{name: known.build for name, known in RECIPES.items()}, **SOURCES}


@pytest.mark.parametrize("name", BUILDS)
def test_every_keyword_can_be_typed_and_so_can_none(name):
    """Every hyperparameter of a recipe, and every option of a data set, with its default, which may be None."""
    parameters = inspect.signature(BUILDS[name]).parameters.values()
    typed = [p for p in parameters if p.kind is p.KEYWORD_ONLY and p.name != "download"]
    known = keywords(BUILDS[name])
    assert [p.name for p in typed] == list(known)
    for p in typed:
        many = isinstance(p.default, (tuple, range))
        text = "none" if p.default is None else ",".join(map(str, p.default)) if many else str(p.default)
        [value] = read("--set", "hyperparameter", BUILDS[name], [f"{p.name}={text}"]).values()
        assert (tuple(value) if many else value) == (tuple(p.default) if many else p.default)
