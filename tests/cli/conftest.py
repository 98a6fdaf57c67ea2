"""The command line, run in a process of its own or in this one."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import typer

from tests.commands import built
from tests.processes import zoo
from zoo.cli.main import main


@pytest.fixture(scope="session")
def finished(made_once) -> tuple[Path, str]:
    """A short run of the default recipe, in a process of its own: its folder, and what was printed."""

    def make(cwd: Path) -> None:
        zoo(cwd, "train", "--steps", "150", "--seed", "3")

    cwd = made_once("finished", make)
    return cwd / "runs" / "joint-vae-digits", (cwd / "said").read_text()


@pytest.fixture
def run(monkeypatch, capsys) -> Callable[..., str]:
    """A command in this process that succeeds: what it prints."""

    def run(*arguments: object) -> str:
        monkeypatch.setattr(sys, "argv", ["zoo", *map(str, arguments)])
        monkeypatch.setattr(typer.main, "get_command", built)
        torch.set_default_dtype(torch.float32)  # as for a user
        with pytest.raises(SystemExit) as stopped:
            main()
        assert not stopped.value.code, capsys.readouterr().err
        return capsys.readouterr().out

    return run


@pytest.fixture
def refused(monkeypatch, capsys, tmp_path) -> Callable[..., str]:
    """A command in this process that fails, in an empty folder and without data: what it says."""

    def run(*arguments: object) -> str:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("ZOO_DATA", "")
        monkeypatch.setattr(sys, "argv", ["zoo", *map(str, arguments)])
        monkeypatch.setattr(typer.main, "get_command", built)
        torch.set_default_dtype(torch.float32)
        with pytest.raises(SystemExit) as stopped:
            main()
        assert stopped.value.code in (1, 2)
        return capsys.readouterr().err

    return run
