"""What a person can cause is said in one line, before anything is trained; what only a bug can cause is not hidden."""

import io
import os
import re
import signal
import sys

import pytest
import torch

from tests import small_recipe
from zoo.cli import main as command_line
from zoo.lab.runs.interrupt import Stopped
from zoo.papers import open_run
from zoo.papers.recipes import RECIPES

pytestmark = pytest.mark.usefixtures("_quick_pictures")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "bta-vae"], r"unknown recipe 'bta-vae'; did you mean 'beta-vae'\? There are: .*vae"),
        (["story", "xyzzy"], r"unknown recipe 'xyzzy'. There are: .*vae"),
        (["show", "vea"], r"unknown recipe 'vea'; did you mean 'vae'\?"),
        (["train", "--data", "mnits"], r"unknown data set 'mnits'; did you mean 'mnist'\? There are: .*digits, "),
        (["train", "--device", "gpu"], r"no device 'gpu' here; there is cpu"),
        (["train", "--data", "mnist"], r"data 'mnist': train-images-idx3-ubyte, .*MNIST.raw.*--data-dir.*--download"),
        (["train", "--set", "bta=3", "beta-vae"], r"--set 'bta=3': unknown hyperparameter 'bta'; did you mean 'beta'"),
        (["train", "--set", "beta", "beta-vae"], r"--set 'beta': write it as name=value"),
        (["train", "--set", "beta=high", "beta-vae"], r"--set 'beta=high': beta is of type float, got 'high'"),
        (["train", "--set", "beta=nan", "beta-vae"], r"--set 'beta=nan': beta must be finite, got nan"),
        (["train", "--set", "z_dim=-3", "vae"], r"--set 'z_dim=-3': z_dim must be from 1 to 1,000,000,000, got -3"),
        (["train", "--set", f"z_dim=1{22 * '0'}", "vae"], r"z_dim must be from 1 to 1,000,000,000, got 10000"),
        (["train", "--set", "z_dim=0", "vae"], r"--set 'z_dim=0': z_dim must be from 1 to 1,000,000,000, got 0"),
        (["train", "--set", "steps=0", "vae"], r"--set 'steps=0': steps must be from 1 to 1,000,000,000, got 0"),
        (["train", "--set", "network=", "vae"], r"--set 'network=': network is empty; give a value"),
        (["train", "--set", "beta=1", "--set", "beta=2", "beta-vae"], r"beta is given twice; give it once"),
        (["train", "--set", "beta=-1", "beta-vae"], r"BetaVAE: beta must be finite and at least 0, got -1"),
        (["train", "vae", "--set", "network=rnn"], r"network must be 'mlp' or 'conv', got 'rnn'"),
        (["train", "vae", "--set", "network=conv"], r"no paper has a convolutional network for 8 pixels"),
        (["train", "--data-option", "size=32"], r"--data-option 'size=32': unknown option 'size'"),
        (["data", "--out", "x.png"], r"--out is an option of a contact sheet: name its data set, as in --sheet digits"),
        (["data", "--data-option", "size=32"], r"--data-option is an option of a contact sheet: name its data set"),
        (["data", "--bench", "--sheet", "digits"], r"--bench measures every data set: leave out --sheet"),
        (["reproduce", "--seeds", "3"], r"--seeds needs the name of a reproduction; `reproduce` lists them"),
        (
            ["reproduce", "--table", "hfvae/mnist"],
            r"--table writes every page, from the stored results: leave out REPRODUCTION",
        ),
        (["reproduce", "--table", "--plan"], r"--table writes every page, from the stored results: leave out --plan"),
        (["data", "--sheet", "digitz"], r"unknown data set 'digitz'; did you mean 'digits'"),
        (["evaluate", "."], r". holds no run: there is no settings.json in it"),
        (["traverse", "."], r". holds no run: there is no settings.json in it"),
        (["train", "--resume", "nowhere"], r"nowhere holds no run: there is no settings.json in it"),
        (["train", "--batch-size", "1501"], r"a batch of 1501 out of 1500 datapoints"),
        (["train", "--steps", "3", "--epochs", "2"], r"--steps or --epochs, not both"),
        (
            ["train", "--checkpoint-every", "soon"],
            r"--checkpoint-every 'soon': give a number of steps, such as 500, or of",
        ),
        (["train", "--out", os.devnull + "/run"], r"Invalid value for '--out': .* is not a folder: name another one"),
        (["compare-guides", "vae", "--guides", "flow,flow"], r"--guides must name at least one guide, each once"),
        (["compare-guides", "vae", "--guides", "flwo"], r"unknown guide 'flwo'; did you mean 'flow'\?"),
        (["story", "vae", "--swap", "flwo"], r"unknown guide 'flwo'; did you mean 'flow'\?"),
        (["story", "vae", "--diff", "vea"], r"unknown recipe 'vea'; did you mean 'vae'\?"),
        (["reproduce", "joint-vae/mnits"], r"unknown reproduction 'joint-vae/mnits'; did you mean 'joint-vae/mnist'\?"),
        (["reproduce", "joint-vae/mnist", "--budget", "tiny"], r"--budget must be full or short, got 'tiny'"),
        (["figure2", "--out", "no/x.png"], r"Invalid value for '--out': the folder no does not exist, got no/x.png"),
        (
            ["data", "--sheet", "digits", "--out", "."],
            r"Invalid value for '--out': it is a folder; give the name of a file",
        ),
        (["story", "--graph", "no/x.svg"], r"Invalid value for '--graph': the folder no does not exist"),
        (["reproduce", "joint-vae/mnist", "--out", os.devnull], r"Invalid value for '--out': .* is not a folder: name"),
        (
            ["compare-guides", "vae", "--guides", "flow,"],
            r"--guides must name at least one guide, each once, got flow,",
        ),
        (["train", "--nosuch", "3"], r"No such option: --nosuch"),
        (["trian"], r"No such command 'trian'"),
    ],
)
def test_what_is_wrong_is_said_in_one_line_before_anything_is_trained(arguments, message, refused, tmp_path):
    said = refused(*arguments)
    assert re.match(rf"error: .*{message}", said), said
    assert said.count("\n") == 1
    assert not list(tmp_path.iterdir())


ZERO, LARGE = ["0", "-5", "1.5", "nan", "inf", "many", "''"], "1" + 22 * "0"


@pytest.mark.parametrize(
    ("command", "option", "values"),
    [
        ("train", "--steps", [*ZERO, LARGE]),
        ("train", "--batch-size", [*ZERO, LARGE]),
        ("train", "--epochs", ["0", "-1", "nan", "inf", "-inf", "1e300", "many", ""]),
        ("train", "--lr", ["0", "-0.1", "nan", "inf", "-inf", "fast", ""]),
        ("train", "--seed", ["-1", "0.5", LARGE, "4294967296", "lucky", ""]),
        ("train vae", "--device", ["", " "]),
        ("train vae", "--data", ["", " "]),
        ("train vae", "--out", ["", " "]),
        ("train vae", "--resume", [""]),
        ("train vae", "--data-dir", [""]),
        ("sweep vae", "--seeds", [*ZERO, LARGE]),
        ("sweep vae", "--jobs", [*ZERO, LARGE]),
        ("sweep vae", "--lr", ["0", "-1", "nan", "inf"]),
        ("sweep vae", "--epochs", ["0", "nan", "inf"]),
        ("reproduce joint-vae/mnist", "--seeds", [*ZERO, LARGE]),
        ("reproduce joint-vae/mnist", "--jobs", [*ZERO, LARGE]),
        ("reproduce joint-vae/mnist", "--out", [""]),
        ("compare-guides vae", "--images", [*ZERO, LARGE]),
        ("compare-guides vae", "--samples", [*ZERO, LARGE]),
        ("compare-guides vae", "--gap-images", [*ZERO, LARGE]),
        ("compare-guides vae", "--guides", [""]),
        ("evaluate .", "--num-samples", ["1", *ZERO, LARGE]),
        ("evaluate .", "--estimator", [""]),
        ("traverse .", "--unit", ["-1", "x", LARGE]),
        ("traverse .", "--datapoint", ["-1", "x", LARGE]),
        ("traverse .", "--prior", ["-1", "x", LARGE]),
        ("traverse .", "--site", [""]),
        *((command, "--format", ["gif", "PNG", ""]) for command in ("train", "evaluate .", "traverse .", "sweep vae")),
        ("story vae", "--swap", [""]),
        ("story vae", "--diff", [""]),
        ("data", "--sheet", [""]),
        ("estimators", "--seeds", ["1", *ZERO, LARGE]),
        ("bench", "--turns", [*ZERO, LARGE]),
        ("bench", "--steps", [*ZERO, LARGE]),
        ("figure2", "--out", [""]),
    ],
)
def test_values_out_of_range_name_the_option_and_the_value(command, option, values, refused, tmp_path):
    for value in values:
        said = refused(*command.split(), option, value)
        assert re.match(rf"error: Invalid value for '{option}': it (must be .*, got |is empty; give )", said), said
        assert value.strip() in said
        assert said.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_empty_names_of_recipes_runs_and_reproductions_are_refused(refused):
    for command, what in (("train", "RECIPE"), ("evaluate", "RUN"), ("reproduce", "REPRODUCTION")):
        assert re.match(rf"error: Invalid value for '?\[?{what}\]?'?: it is empty; give a ", refused(command, ""))


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            RuntimeError("out of memory:\n\n  tried to allocate 4 GiB"),
            "error: out of memory: tried to allocate 4 GiB\n",
        ),
        (MemoryError(), "error: MemoryError\n"),
        (OverflowError("too large"), "error: too large\n"),
        (ImportError("no such library"), "error: no such library\n"),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid"), "error: 'utf-8' codec can't decode byte 0xff in "),
    ],
)
def test_errors_of_machine_and_files_are_one_line(error, said, refused, monkeypatch):
    def fail(*args, **kwargs):
        raise error

    monkeypatch.setattr(command_line, "app", fail)
    assert refused("list").startswith(said)


def test_a_bug_keeps_its_traceback(monkeypatch):
    def fail(*args, **kwargs):
        raise AssertionError("a bug")

    monkeypatch.setattr(command_line, "app", fail)
    monkeypatch.setattr(sys, "argv", ["zoo", "list"])
    with pytest.raises(AssertionError, match="a bug"):
        command_line.main()


def test_no_command_shows_the_help_and_an_interrupt_has_its_status(run, monkeypatch):
    assert "compare-guides" in run()

    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr("zoo.lab.data.catalogue.print_catalogue", interrupted)
    monkeypatch.setattr(sys, "argv", ["zoo", "data"])
    with pytest.raises(SystemExit) as stopped:
        command_line.main()
    assert stopped.value.code == 130


def test_of_several_processes_that_stop_one_says_how_to_resume(monkeypatch, capsys):
    """Before: every process that torchrun had started said so."""

    def stopped(*args, **kwargs):
        raise Stopped("stopped by SIGINT", signal.SIGINT)

    monkeypatch.setattr("zoo.lab.data.catalogue.print_catalogue", stopped)
    monkeypatch.setattr(sys, "argv", ["zoo", "data"])
    monkeypatch.setenv("WORLD_SIZE", "2")
    for rank, said in (("0", "stopped by SIGINT\n"), ("1", "")):
        monkeypatch.setenv("RANK", rank)
        with pytest.raises(SystemExit) as ended:
            command_line.main()
        assert (ended.value.code, capsys.readouterr().err) == (130, said)


@pytest.mark.parametrize(
    "option",
    [["--jobs", 2], ["--backend", "dask"], ["--scheduler", "x"], ["--together"], ["--format", "svg"], ["--slides"]],
)
def test_options_without_an_effect_on_one_run_of_a_sweep_are_refused(option, refused):
    """Before: they were ignored without a word."""
    said = refused("sweep", "beta-vae", "--only", 1, *option)
    assert f"error: {option[0]} cannot be combined with --only 1, which trains one run in this process" in said


@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "utf-8"])
def test_output_that_is_not_utf8_loses_a_letter_and_not_the_run(encoding, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(RECIPES, "small", small_recipe.RECIPES["small"])
    monkeypatch.setattr(sys, "argv", ["zoo", "train", "small", "--steps", "2", "--out", "run"])
    torch.set_default_dtype(torch.float32)
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)  # as Python opens a pipe or a file on such a system
    with monkeypatch.context() as patched:
        patched.setattr(sys, "stdout", stream)
        with pytest.raises(SystemExit) as stopped:
            command_line.main()
    assert not stopped.value.code
    stream.flush()
    theta = "\N{GREEK SMALL LETTER THETA}" if encoding == "utf-8" else "?"
    assert f"x ~ Bernoulli(logits(z; {theta}))" in stream.buffer.getvalue().decode(encoding)
    assert "\N{GREEK SMALL LETTER THETA}" in (tmp_path / "run" / "summary.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("closed", [["stdout"], ["stderr"], ["stdout", "stderr"]])
def test_a_closed_output_does_not_end_the_run(closed, monkeypatch, tmp_path):
    """As a service or `2>&-` leaves it: Python then has None in its place, and the progress bar writes to it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(RECIPES, "small", small_recipe.RECIPES["small"])
    monkeypatch.setattr(sys, "argv", ["zoo", "train", "small", "--steps", "2", "--out", "run"])
    torch.set_default_dtype(torch.float32)
    with monkeypatch.context() as patched:
        for name in closed:
            patched.setattr(sys, name, None)
        with pytest.raises(SystemExit) as stopped:
            command_line.main()
        for name in closed:
            getattr(sys, name).close()
    assert not stopped.value.code
    assert (tmp_path / "run" / "summary.md").is_file()


def test_the_home_folder_may_be_written_as_a_tilde(run, refused, monkeypatch, tmp_path):
    # A shell leaves ~ as it is in quotes and after =, and a notebook has no shell.
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    run("train", "vae", "--steps", 2, "--out=~/mine")
    assert (tmp_path / "home" / "mine" / "summary.md").is_file()
    assert not (tmp_path / "~").exists()
    assert open_run("~/mine").settings.steps == 2
    assert "is finished" in run("train", "--resume", "~/mine")
    run("explore", "~/mine", "--out=~/page.html")
    assert (tmp_path / "home" / "page.html").is_file()
    for option, value in (("--data", "~nobody-here/x.npz"), ("--out", "~nobody-here"), ("--data-dir", "~nobody-here")):
        assert f"{value}: there is no such home folder" in refused("train", "vae", option, value)


def test_an_output_that_cannot_be_written_is_refused_before_the_work(run, refused, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    run("train", "vae", "--steps", 2, "--out", "mine")
    monkeypatch.setattr(os, "access", lambda path, mode: path.name != "mine")  # root may write anywhere
    monkeypatch.setattr("zoo.lab.runs.finished.load", None)  # the work begins with the data
    said = "nothing can be written in the folder mine"
    assert f"{said}, where metrics and pictures go: evaluate a copy of the run" in refused("evaluate", "mine")
    assert f"{said}, where the pictures go: name another one with --out" in refused("traverse", "mine")
    for command in (["explore", "mine", "--out"], ["figure2", "--out"], ["matrix", "--out"], ["story", "--graph"]):
        assert f"{said}; name a file elsewhere, got mine/x.png" in refused(*command, "mine/x.png")
