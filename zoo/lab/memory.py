"""Makes the C library keep the memory of freed arrays for later ones, or return it to the system."""

import ctypes
import os
import sys

MiB = 2**20
NEVER = -1
TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # M_TRIM_THRESHOLD and M_MMAP_THRESHOLD of malloc.h
VARIABLES = ("GLIBC_TUNABLES", "MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TOP_PAD_")


def keep_freed_memory() -> bool:
    """Makes glibc keep freed memory to the end of the process, instead of returning it and asking for it again.

    Steps and metrics that compare all datapoints of a batch with each other allocate and free arrays of many MiB, and
    the system clears each page that it hands out. With glibc's own thresholds this takes a third of the time or more.

    Returns:
        Whether the thresholds were set: False with another C library, and where the user has set one of VARIABLES.
    """
    if sys.platform != "linux" or any(name in os.environ for name in VARIABLES):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:  # musl
        return False
    # Either call ends glibc's own adjustment of both. Earlier versions accept at most 32 MiB for the second threshold.
    mapped = mallopt(MMAP_THRESHOLD, 512 * MiB) or mallopt(MMAP_THRESHOLD, 32 * MiB)
    return bool(mapped and mallopt(TRIM_THRESHOLD, NEVER))


def return_freed_memory() -> None:
    """Returns to the system what `keep_freed_memory` has kept; does nothing with another C library than glibc.

    A worker does so after each trial: a pool replaces a worker whose memory grows from trial to trial.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:
        trim(0)
