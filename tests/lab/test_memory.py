"""Freed memory is used again without the system's help, which its counter of page faults shows."""

import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

import zoo.lab.memory
from tests.processes import processes
from zoo.lab.trials.processes import in_worker

PAGES_OF_ALL_ARRAYS = 40 * 3 * 8 * 2**20 // 4096
FAULTS = """
import resource, runpy, sys
memory = runpy.run_path(sys.argv[1])
told = memory["keep_freed_memory"]()

def step():
    arrays = [b"x" * 2**23 for _ in range(3)]  # 8 MiB each

step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(40):
    step()
print(told, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def told_and_faults(**variables: str) -> tuple[str, int]:
    """Of a new interpreter: whether glibc was told to keep memory, and the page faults of 40 steps."""
    own = {name: value for name, value in os.environ.items() if name not in zoo.lab.memory.VARIABLES}
    command = [sys.executable, "-c", FAULTS, str(Path(zoo.lab.memory.__file__))]
    done = subprocess.run(command, env={**own, **variables}, capture_output=True, text=True, check=True)
    told, faults = done.stdout.split()
    return told, int(faults)


needs_glibc = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc alone has these thresholds")


@needs_glibc
def test_arrays_of_the_next_step_have_the_pages_of_the_last_one():
    told, faults = told_and_faults()
    assert told == "True"
    assert faults < PAGES_OF_ALL_ARRAYS / 100


@needs_glibc
def test_thresholds_that_the_user_has_set_stay():
    # Each array of 1 MiB and more is mapped when it is made, and each of its pages faults.
    told, faults = told_and_faults(MALLOC_MMAP_THRESHOLD_="1048576")
    assert told == "False"
    assert faults >= PAGES_OF_ALL_ARRAYS


def resident() -> int:
    """Bytes of this process that are in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def fill(_: object) -> int:
    """A trial: what is resident when its 40 arrays of 8 MiB are free again."""
    arrays = [b"x" * 2**23 for _ in range(40)]
    del arrays
    return resident()


def measure(folder: Path) -> None:
    """In a process of its own: growth at the end of a worker's trial, and after it."""
    for name in zoo.lab.memory.VARIABLES:
        os.environ.pop(name, None)
    in_worker(1, str, None)  # for what only the first call allocates
    before = resident()
    kept = in_worker(1, fill, None)
    (folder / "said").write_text(json.dumps([kept - before, resident() - before]))


@needs_glibc
def test_after_a_workers_trial_its_memory_returns_to_the_system(tmp_path):
    # Else a pool of workers, which allows a growth of 300 MB, takes the kept memory for a leak and replaces the worker.
    process = processes.Process(target=measure, args=(tmp_path,))
    process.start()
    process.join()
    kept, returned = json.loads((tmp_path / "said").read_text())
    assert kept > 39 * 2**23
    assert returned < 2**23
