"""The largest resident memory of a process, on systems that report it."""

import platform
import re
import sys
from pathlib import Path


def peak_memory() -> float:
    """The largest resident memory that this process has had, in MiB.

    Raises:
        NotImplementedError: the system does not report it; the message names the system.
    """
    status = Path("/proc/self/status")
    if status.is_file():  # Linux, where getrusage includes the parent's peak
        peak = re.search(r"VmHWM:\s*(\d+) kB", status.read_text(encoding="ascii", errors="replace"))
        if peak:
            return int(peak[1]) / 2**10
    if sys.platform == "darwin":
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # in bytes on macOS
    raise NotImplementedError(
        f"peak memory is read from /proc on Linux and by getrusage on macOS, and {platform.system()} has neither"
    )
