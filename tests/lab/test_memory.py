"""Freed memory is used again without the system's help, which its counter of page faults shows."""

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

import zoo.lab.memory

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


def printed(program: str, **variables: str) -> list[str]:
    """The words that a new interpreter prints, with none of the variables of malloc set but these."""
    own = {name: value for name, value in os.environ.items() if name not in zoo.lab.memory.VARIABLES}
    command = [sys.executable, "-c", program, str(Path(zoo.lab.memory.__file__))]
    done = subprocess.run(command, env={**own, **variables}, capture_output=True, text=True, check=True)
    return done.stdout.split()


needs_glibc = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc alone has these thresholds")


@needs_glibc
def test_arrays_of_the_next_step_have_the_pages_of_the_last_one():
    told, faults = printed(FAULTS)
    assert told == "True"
    assert int(faults) < PAGES_OF_ALL_ARRAYS / 100


@needs_glibc
def test_thresholds_that_the_user_has_set_stay():
    # Each array of 1 MiB and more is mapped when it is made, and each of its pages faults.
    told, faults = printed(FAULTS, MALLOC_MMAP_THRESHOLD_="1048576")
    assert told == "False"
    assert int(faults) >= PAGES_OF_ALL_ARRAYS


RESIDENT = """
import runpy, sys
memory = runpy.run_path(sys.argv[1])
memory["keep_freed_memory"]()

def resident():
    with open("/proc/self/statm") as counts:
        return int(counts.read().split()[1]) * 4096

before = resident()
arrays = [b"x" * 2**23 for _ in range(40)]  # 8 MiB each
del arrays
kept = resident()
memory["return_freed_memory"]()
print(kept - before, resident() - before)
"""


@needs_glibc
def test_after_a_trial_its_memory_returns_to_the_system():
    # Else a pool of workers, which allows a growth of 300 MB, takes the kept memory for a leak and replaces the worker.
    kept, returned = map(int, printed(RESIDENT))
    assert kept > 39 * 2**23
    assert returned < 2**23
