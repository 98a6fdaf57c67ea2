"""terms.csv, the figures of every step of a run, and units.csv, the KL of every latent unit at every hundredth."""

import csv
import os
from pathlib import Path
from typing import Any, TextIO

import torch
from torch import Tensor

from zoo.termwise import Report

FLUSH = 100  # steps between two looks at the figures, so that an accelerator is not kept waiting
UNITS = 100  # steps between two rows of units.csv


class Curve:
    """Both tables and the progress bar: figures are read off the device in blocks.

    Args:
        terms, units: the two files, open for writing.
        bar: of tqdm.
        header: whether the files have none yet.
    """

    def __init__(self, terms: TextIO, units: TextIO, bar: Any, *, header: bool) -> None:
        self.files, self.bar, self.header = (terms, units), bar, header
        self.pending: list[tuple[int, Report]] = []

    def add(self, step: int, report: Report) -> None:
        self.pending.append((step, report))
        if len(self.pending) == FLUSH:
            self.flush()

    def flush(self) -> None:
        if not self.pending:
            return
        terms, units = self.files
        last = self._write(terms, [(step, report.figures()) for step, report in self.pending])
        self._write(units, [(step, _units(report)) for step, report in self.pending if step % UNITS == 0])
        self.header = False
        self.bar.update(len(self.pending))
        self.bar.set_postfix({n.removeprefix("term/"): f"{last[n]:.2f}" for n in last if n.startswith("term/")})
        self.pending.clear()

    def _write(self, file: TextIO, rows: list[tuple[int, dict[str, Tensor]]]) -> dict[str, float]:
        """Writes the rows, and gives the last one; the header is that of the first step, whatever is written of it."""
        writer = csv.writer(file)
        if self.header:
            names = rows[0][1] if rows else _units(self.pending[0][1])
            writer.writerow(["step", *names])
        numbers = torch.stack([torch.stack(list(row.values())) for _, row in rows]).tolist() if rows else []
        writer.writerows([step, *row] for (step, _), row in zip(rows, numbers, strict=True))
        file.flush()
        return dict(zip(rows[-1][1], numbers[-1], strict=True)) if rows else {}


def _units(report: Report) -> dict[str, Tensor]:
    """KL by latent unit: SITE[0], SITE[1], ...; SITE alone where the units are coupled."""
    return {
        f"{site}[{unit}]" if len(kl) > 1 else site: value
        for site, kl in report.kl.items()
        for unit, value in enumerate(kl)
    }


def cut(folder: Path, step: int) -> None:
    """Leaves of both tables what `step` steps write; a run that is killed may have written more.

    Raises:
        ValueError: a table lacks rows.
    """
    for path, every in ((folder / "terms.csv", 1), (folder / "units.csv", UNITS)):
        rows = step // every
        lines = path.read_bytes().splitlines(keepends=True)[: rows + 1] if path.is_file() else []
        if len(lines) <= rows or (rows and not lines[-1].startswith(b"%d," % (rows * every))):
            raise ValueError(f"{path} lacks rows of the {step:,} steps that the checkpoint has, so the curve is lost")
        os.truncate(path, sum(map(len, lines)))
