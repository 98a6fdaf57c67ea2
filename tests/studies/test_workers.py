"""Workers answer numbers of steps by seconds, end when they are told to, and say why they ended before."""

import stat
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.processes import NEW_PROGRAM, copied_interpreters
from zoo.lab.data import Batch
from zoo.studies import step_time as bench
from zoo.studies.workers import LostWorker, Worker, in_turns, installed

CPU = torch.device("cpu")
SERVES = "import time\nfrom zoo.studies.peers import serve\n"
SLEEPS = SERVES + "print('noise')\nserve(lambda steps: (print('more noise'), time.sleep(steps / 100)))"
FAILS = SERVES + "def run(steps):\n    if steps > 2: raise ValueError('three is too many')\nserve(run)"


def worker(code, count=1):
    return Worker([sys.executable, "-c", code], [{"PYTHONPATH": str(Path(__file__).parents[2])}] * count)


def test_a_worker_answers_by_its_own_seconds_whatever_it_prints():
    answers = SLEEPS.replace("print('noise')\n", "")
    one = worker(answers, count=2)
    assert 0.2 <= one.turn(20) < 2
    assert one.turn(1) >= 0.01
    processes = one.processes
    one.close()
    assert [process.returncode for process in processes] == [0, 0]


def test_a_worker_that_ended_says_why_and_no_process_is_left():
    with pytest.raises(LostWorker, match="No module named 'nosuch'"):
        worker("import nosuch")
    failing = worker(FAILS, count=2)
    failing.turn(2)
    with pytest.raises(LostWorker, match="ValueError: three is too many"):
        failing.turn(3)
    assert all(process.returncode is not None for process in failing.processes)


def test_turns_are_alternating_medians_and_a_lost_worker_is_named_and_left_out(capsys):
    order = []
    batches = iter([Batch(torch.zeros(1, 1), None, torch.zeros(1, dtype=torch.long))] * 100)
    feeds = {
        "here": (batches, lambda batch: order.append("here")),
        "there": (batches, worker(SLEEPS.replace("print('noise')\n", ""))),
        "lost": (batches, worker(FAILS)),
        "again": (batches, lambda batch: order.append("again")),
    }
    seconds = in_turns(feeds, CPU, turns=2, steps=3)
    assert list(seconds) == ["here", "there", "again"]
    assert order == [*["here"] * 3, *["again"] * 3] * 3  # the first turn is not counted
    assert 0.03 <= seconds["there"] < 1
    assert seconds["here"] < 0.03
    assert capsys.readouterr().out == "lost is left out: ValueError: three is too many\n"


def test_an_interpreter_without_peers_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"nosuch/python is no Python interpreter \(FileNotFoundError\): give one"):
        installed(Path("nosuch/python"))
    with pytest.raises(ValueError, match=r"is no Python interpreter \(JSONDecodeError\)"):
        installed(Path("/bin/echo"))
    bare = tmp_path / "python"
    bare.write_text(f'#!/bin/sh\nexec {sys.executable} -S "$@"\n')
    bare.chmod(bare.stat().st_mode | stat.S_IXUSR)
    with pytest.raises(ValueError, match="has none of numpyro, pythae: install one there with pip"):
        installed(bare)


@pytest.mark.parametrize("pairwise", [False, True])
def test_two_ranks_take_turns(pairwise, monkeypatch):
    task = bench.Task("small", "mlp", 5, width=7, z_dim=3, batch=16)
    with copied_interpreters():
        if not pairwise:  # rank 0 is a new interpreter, which imports what it needs itself
            torch.set_default_dtype(torch.float32)  # as there
            starts = iter([NEW_PROGRAM, subprocess.Popen])
            monkeypatch.setattr(subprocess, "Popen", lambda *command, **options: next(starts)(*command, **options))
        made = bench.by_ranks(task, CPU, pairwise=pairwise)
    assert len(made.processes) == 2
    assert made.turn(3) > 0
    processes = made.processes
    made.close()
    assert [process.returncode for process in processes] == [0, 0]
