"""A call in a process of its own: its value, its errors, and what ends it. The calls need no PyTorch, to be quick."""

import operator
import os
import pickle
import re
import signal
import time
from functools import partial
from pathlib import Path

import pytest

from zoo.lab.runs.interrupt import Stopped
from zoo.lab.runs.lock import locked
from zoo.lab.trials.own_process import Place, in_own_process


@pytest.fixture
def place(tmp_path):
    with locked(tmp_path):  # as the command does
        yield Place(tmp_path, tmp_path / ".stop", {"ZOO_DATA": "here"})


def run(place: Place, function, *arguments, **options):
    return in_own_process(place, pickle.dumps(partial(function, *arguments)), **options)


def test_the_value_comes_from_another_process_in_the_folder_of_the_command(place):
    assert run(place, operator.neg, 3) == -3
    assert run(place, os.getpid) != os.getpid()
    assert Path(run(place, os.getcwd)).samefile(place.folder)
    assert run(place, os.getenv, "ZOO_DATA") == "here"


def test_what_is_printed_is_not_the_value(place, capfd):
    assert run(place, print, "printed") is None
    assert capfd.readouterr() == ("", "printed\n")


def test_an_error_is_raised_here(place):
    with pytest.raises(ZeroDivisionError, match="division by zero"):
        run(place, operator.truediv, 1, 0)


def test_a_process_that_ends_without_a_value_is_a_lost_one(place):
    with pytest.raises(ChildProcessError, match=r"process \d+ on .* ended with 9"):
        run(place, os._exit, 9)


def test_what_is_not_wanted_any_more_is_killed(place):
    began, asked = time.monotonic(), iter([True, False])
    with pytest.raises(ChildProcessError, match=r"process \d+ is not wanted any more"):
        run(place, time.sleep, 600, wanted=lambda: next(asked))
    assert time.monotonic() - began < 300


def test_nothing_begins_after_the_command_has_asked_to_stop(place):
    place.stop_file.touch()
    stopped = run(place, operator.neg, 3)
    assert isinstance(stopped, Stopped)
    assert stopped.signal == signal.SIGTERM


def test_a_folder_that_a_worker_does_not_see_is_named(tmp_path):
    place = Place(tmp_path, tmp_path / "elsewhere" / ".stop", {})
    with pytest.raises(FileNotFoundError, match=re.escape(f"{tmp_path / 'elsewhere'} of the command is not on ")):
        run(place, operator.neg, 3)
