"""The digests of a finished run's files, in SHA256SUMS as `sha256sum --check` reads it."""

import hashlib
from pathlib import Path

from zoo.lab.files import REMEDY, write_file

SUMS = "SHA256SUMS"
FILES = ("kl.csv", "terms.csv", "units.csv", "weights.safetensors")  # settings and checkpoint contain their digests


def write_digests(folder: Path) -> None:
    """Writes the digests of the run's files.

    Raises:
        OSError: SHA256SUMS cannot be written.
    """
    lines = [f"{_digest(folder / name)}  {name}\n" for name in FILES if (folder / name).is_file()]
    write_file(folder / SUMS, "".join(lines))


def check_digests(folder: Path) -> None:
    """Compares the run's files with their digests; a run of version 0.1 has none.

    Raises:
        ValueError: a file was changed since it was written; the message names it.
    """
    path = folder / SUMS
    if not path.is_file():
        return
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    digests = {name: digest for digest, _, name in (line.partition("  ") for line in lines)}
    for file in (folder / name for name in FILES):
        if file.is_file() and digests.get(file.name) != _digest(file):
            raise ValueError(
                f"{file} is damaged, or was changed since it was written: its digest differs from that in {path}; "
                f"{REMEDY}"
            )


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
