"""terms.csv, the terms of every step of a run, and units.csv, the KL of every latent unit at every hundredth."""

import csv
import hashlib
import io
import os
from collections.abc import Mapping, Sequence
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

    A batch with labels can have other terms than one without. A table has a column for each name that occurred, and an
    empty cell where a step has no such number.

    Args:
        folder: of the tables.
        bar: of tqdm.
        start: the steps that the tables hold; with 0 they are begun again.

    Raises:
        OSError: a table cannot be written; the message names it.
    """

    def __init__(self, folder: Path, bar: Any, *, start: int) -> None:
        self.paths, self.bar = (folder / TERMS, folder / UNITS), bar
        lines = [path.read_bytes().splitlines() if start else [] for path in self.paths]
        self.columns = [_names(table[0]) if table else [] for table in lines]
        self.rows = [hashlib.sha256(b"".join(map(_canonical, table[1:]))) for table in lines]
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
        last = self._write(0, [(step, report.figures()) for step, report in self.pending], every=EVERY[TERMS])
        self._write(1, [(step, _units(report)) for step, report in self.pending], every=EVERY[UNITS])
        self.bar.update(len(self.pending))
        self.bar.set_postfix({n.removeprefix("term/"): f"{last[n]:.2f}" for n in last if n.startswith("term/")})
        self.pending.clear()

    def sync(self) -> dict[str, str]:
        """Writes every row that is due and syncs it to disk; returns the tables' digests by name."""
        self.flush()
        for path, file in zip(self.paths, self.files, strict=True):
            with naming(path):
                os.fsync(file.fileno())
        tables = zip(self.paths, self.columns, self.rows, strict=True)
        return {path.name: _digest(columns, rows.digest()) for path, columns, rows in tables}

    def _write(self, table: int, rows: list[tuple[int, dict[str, Tensor]]], *, every: int) -> dict[str, float]:
        """Writes the rows whose step is due, and returns the last one; other rows only add their names as columns."""
        names = dict.fromkeys(["step", *(name for _, row in rows for name in row)])
        self._widen(table, [name for name in names if name not in self.columns[table]])
        due = [(step, row) for step, row in rows if step % every == 0]
        if not due:
            return {}
        numbers = iter(torch.stack([value for _, row in due for value in row.values()]).tolist())
        found = [{"step": step, **{name: next(numbers) for name in row}} for step, row in due]
        self._append(table, _lines([[row.get(name, "") for name in self.columns[table]] for row in found]))
        return {name: float(value) for name, value in found[-1].items() if name != "step"}

    def _widen(self, table: int, names: list[str]) -> None:
        """Adds columns to a table, which are empty in the rows that it has; a kill leaves the old or the new table."""
        if not names:
            return
        path, before = self.paths[table], self.paths[table].read_bytes().splitlines(keepends=True)[1:]
        self.columns[table] += names
        self.files[table].close()
        beside = path.with_name(f"{path.name}.wider")
        self.files[table] = beside.open("wb", buffering=0)
        padding = b"," * len(names)
        old = b"".join(line.rstrip(b"\r\n") + padding + b"\r\n" for line in before)
        self._append(table, _lines([self.columns[table]]) + old, hashed=False)
        os.replace(beside, path)

    def _append(self, table: int, content: bytes, *, hashed: bool = True) -> None:
        """Appends to a table without a buffer, so that a full disk is noticed here and not when the file is closed."""
        if hashed:
            self.rows[table].update(b"".join(map(_canonical, content.splitlines())))
        with naming(self.paths[table]):
            while content:
                content = content[self.files[table].write(content) :]


def _lines(rows: Sequence[Sequence[Any]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()


def _names(header: bytes) -> list[str]:
    return next(csv.reader([header.decode()]), [])


def _canonical(row: bytes) -> bytes:
    """A row without the empty cells at its end, so that it stays the same when columns are added."""
    return row.rstrip(b",\r\n") + b"\n"


def _digest(columns: Sequence[str], rows: bytes) -> str:
    """The number of columns, and a digest of their names and of all rows."""
    return f"{len(columns)}:{hashlib.sha256(_lines([columns]) + rows).hexdigest()}"


def _matches(lines: Sequence[bytes], digest: str) -> bool:
    """Whether a table's lines have a digest, of `TrainingLog.sync` or, in earlier versions, of all its bytes."""
    columns, _, plain = digest.rpartition(":")
    if not columns:
        return hashlib.sha256(b"".join(lines)).hexdigest() == plain
    try:
        names = _names(lines[0])[: int(columns)]
    except (UnicodeDecodeError, csv.Error, ValueError):
        return False
    return _digest(names, hashlib.sha256(b"".join(map(_canonical, lines[1:]))).digest()) == digest


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
        if name in digests and not _matches(lines, digests[name]):
            raise ValueError(
                f"{path} is damaged, or was changed since it was written: its digest differs from that in the "
                f"checkpoint, so the curve is lost: {REMEDY}"
            )
        kept[path] = sum(map(len, lines))
    for path, length in kept.items():
        os.truncate(path, length)
