"""terms.csv, the terms of every step of a run, and units.csv, the KL of every latent unit at every hundredth."""

import csv
import hashlib
import io
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from zoo.lab.files import naming
from zoo.termwise import Report

TERMS, UNITS = "terms.csv", "units.csv"
EVERY = {TERMS: 1, UNITS: 100}  # steps between two rows
REMEDY = "remove the checkpoint, and the run begins again"
FLUSH = 100  # steps between two reads of the numbers, so that an accelerator rarely waits


class TrainingLog:
    """Both tables and the progress bar: numbers are read off the device in blocks.

    Args:
        folder: of the tables.
        bar: of tqdm.
        start: the steps that the tables hold; with 0 they are begun again.

    Raises:
        OSError: a table cannot be written; the message names it.
    """

    def __init__(self, folder: Path, bar: Any, *, start: int) -> None:
        self.paths, self.bar, self.header = (folder / TERMS, folder / UNITS), bar, start == 0
        self.digests = {path.name: hashlib.sha256(path.read_bytes() if start else b"") for path in self.paths}
        self.files = [path.open("ab" if start else "wb", buffering=0) for path in self.paths]
        self.pending: list[tuple[int, Report]] = []

    def __enter__(self) -> "TrainingLog":
        return self

    def __exit__(self, *error: Any) -> None:
        for file in self.files:
            file.close()

    def add(self, step: int, report: Report) -> None:
        """Adds the numbers of a step; writes them in blocks."""
        self.pending.append((step, report))
        if len(self.pending) == FLUSH:
            self.flush()

    def flush(self) -> None:
        """Writes every row that is due."""
        if not self.pending:
            return
        last = self._write(0, [(step, report.figures()) for step, report in self.pending])
        self._write(1, [(step, _units(report)) for step, report in self.pending if step % EVERY[UNITS] == 0])
        self.header = False
        self.bar.update(len(self.pending))
        self.bar.set_postfix({n.removeprefix("term/"): f"{last[n]:.2f}" for n in last if n.startswith("term/")})
        self.pending.clear()

    def sync(self) -> dict[str, str]:
        """Writes every row that is due and syncs it to disk; returns the tables' digests by name."""
        self.flush()
        for path, file in zip(self.paths, self.files, strict=True):
            with naming(path):
                os.fsync(file.fileno())
        return {name: digest.hexdigest() for name, digest in self.digests.items()}

    def _write(self, table: int, rows: list[tuple[int, dict[str, Tensor]]]) -> dict[str, float]:
        """Writes the rows, and returns the last one; the header comes from the first step, even if that has no row.

        It writes without a buffer, so that a full disk is noticed here and not when the file is closed.
        """
        text = io.StringIO(newline="")
        writer = csv.writer(text)
        if self.header:
            names = rows[0][1] if rows else _units(self.pending[0][1])
            writer.writerow(["step", *names])
        numbers = torch.stack([torch.stack(list(row.values())) for _, row in rows]).tolist() if rows else []
        writer.writerows([step, *row] for (step, _), row in zip(rows, numbers, strict=True))
        path, content = self.paths[table], text.getvalue().encode()
        self.digests[path.name].update(content)
        with naming(path):
            while content:
                content = content[self.files[table].write(content) :]
        return dict(zip(rows[-1][1], numbers[-1], strict=True)) if rows else {}


def _units(report: Report) -> dict[str, Tensor]:
    """KL by latent unit: SITE[0], SITE[1], ...; SITE alone where the units are coupled."""
    return {
        f"{site}[{unit}]" if len(kl) > 1 else site: value
        for site, kl in report.kl.items()
        for unit, value in enumerate(kl)
    }


def truncate(folder: Path, step: int, digests: Mapping[str, str]) -> None:
    """Truncates both tables to the rows of `step` steps; a killed run may have written more.

    Args:
        folder: of the tables.
        step: number of steps to keep.
        digests: of the rows to keep, by table, from `TrainingLog.sync`; empty for a checkpoint of version 0.1.

    Raises:
        ValueError: a table lacks rows, or was changed since they were written.
    """
    kept = {}
    for name, every in EVERY.items():
        path, rows = folder / name, step // every
        lines = path.read_bytes().splitlines(keepends=True)[: rows + 1] if path.is_file() else []
        if len(lines) <= rows or (rows and not lines[-1].startswith(b"%d," % (rows * every))):
            raise ValueError(
                f"{path} lacks rows of the {step:,} steps that the checkpoint has, so the curve is lost: {REMEDY}"
            )
        if digests.get(name) not in (None, hashlib.sha256(b"".join(lines)).hexdigest()):
            raise ValueError(
                f"{path} is damaged, or was changed since it was written: its digest differs from that in the "
                f"checkpoint, so the curve is lost: {REMEDY}"
            )
        kept[path] = sum(map(len, lines))
    for path, length in kept.items():
        os.truncate(path, length)
