"""python -m zoo: the commands, and errors in one line."""

import io
import os
import sys
from typing import Annotated, NoReturn

import typer

import zoo
from zoo.cli.compare_guides import compare_guides
from zoo.cli.evaluate import evaluate
from zoo.cli.explore import explore
from zoo.cli.listing import list_data, list_everything, list_metrics, show
from zoo.cli.push import push
from zoo.cli.reproduce import reproduce
from zoo.cli.story import story
from zoo.cli.sweep import sweep
from zoo.cli.tables import bench, density_ratio, estimators, figure2, matrix
from zoo.cli.train import train
from zoo.cli.traverse import traverse
from zoo.lab.memory import keep_freed_memory
from zoo.lab.runs.interrupt import Stopped

app = typer.Typer(pretty_exceptions_enable=False)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"zoo {zoo.__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Five papers on disentangled representations as Pyro stories."""


app.command("list")(list_everything)
app.command("show")(show)
app.command("story")(story)
app.command("train")(train)
app.command("evaluate")(evaluate)
app.command("reproduce")(reproduce)
app.command("sweep")(sweep)
app.command("traverse")(traverse)
app.command("explore")(explore)
app.command("push")(push)
app.command("compare-guides")(compare_guides)
app.command("matrix")(matrix)
app.command("metrics")(list_metrics)
app.command("data")(list_data)
app.command("estimators")(estimators)
app.command("density-ratio")(density_ratio)
app.command("figure2")(figure2)
app.command("bench")(bench)

USERS_ERRORS = (
    ValueError,
    TypeError,
    LookupError,
    OSError,
    ArithmeticError,
    MemoryError,
    RuntimeError,  # of PyTorch: out of memory, a device that fails
    ImportError,
)
"""Errors that options, files and a machine's limits can cause; any other error is a bug and keeps its traceback."""


def main() -> None:
    """Runs the command; a user's error is printed in one line, without a traceback."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed, as in some services: no other file may get its descriptor
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a story's Greek letters, where the output is not UTF-8
    keep_freed_memory()
    try:
        sys.exit(app(sys.argv[1:] or ["--help"], standalone_mode=False) or 0)
    except Stopped as stopped:
        from zoo.lab.training.processes import started

        if started()[0] == 0:  # of several processes, all of which stop, one says so
            print(stopped, file=sys.stderr)
        sys.exit(128 + stopped.signal)
    except typer.TyperException as error:
        _fail(f"{error.format_message()}{_help(error)}", error.exit_code)
    except USERS_ERRORS as error:
        _fail(_words(error), 1)


def _help(error: typer.TyperException) -> str:
    """Where a command's arguments and options are shown, for errors that do not give the range of valid values."""
    if error.format_message().startswith("Invalid value"):
        return ""
    context = getattr(error, "ctx", None)
    command = f" {context.info_name}" if context is not None and context.parent is not None else ""
    return f"; see python -m zoo{command} --help"


def _words(error: Exception) -> str:
    """What an error says; the system's errors say only a number, a reason and a file."""
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        return f"{error.filename}: {error.strerror}; check the path, its permissions and the free space"
    return str(error) or type(error).__name__


def _fail(message: str, code: int) -> NoReturn:
    said, _, _ = message.partition("Trace Shapes:")  # a table that Pyro appends
    print(f"error: {' '.join(said.split())}", file=sys.stderr)
    sys.exit(code)
