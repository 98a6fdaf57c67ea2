"""terms.csv: the figures of every step of a run."""

import csv
import os
from pathlib import Path
from typing import Any, TextIO

import torch

from zoo.termwise import Report

FLUSH = 100  # steps between two looks at the figures, so that an accelerator is not kept waiting


class Curve:
    """terms.csv and the progress bar: figures are read off the device in blocks."""

    def __init__(self, file: TextIO, bar: Any, *, header: bool) -> None:
        self.file, self.bar, self.header = file, bar, header
        self.writer = csv.writer(file)
        self.pending: list[tuple[int, Report]] = []

    def add(self, step: int, report: Report) -> None:
        self.pending.append((step, report))
        if len(self.pending) == FLUSH:
            self.flush()

    def flush(self) -> None:
        if not self.pending:
            return
        figures = [(step, report.figures()) for step, report in self.pending]
        numbers = torch.stack([torch.stack(list(values.values())) for _, values in figures]).tolist()
        names = list(figures[0][1])
        if self.header:
            self.writer.writerow(["step", *names])
            self.header = False
        self.writer.writerows([step, *row] for (step, _), row in zip(figures, numbers, strict=True))
        self.file.flush()
        self.bar.update(len(numbers))
        last = dict(zip(names, numbers[-1], strict=True))
        self.bar.set_postfix({n.removeprefix("term/"): f"{last[n]:.2f}" for n in names if n.startswith("term/")})
        self.pending.clear()


def cut(path: Path, steps: int) -> None:
    """Leaves of the curve its header and its first `steps` rows; a run that is killed may have written more."""
    lines = path.read_bytes().splitlines(keepends=True)[: steps + 1] if path.is_file() else []
    if len(lines) <= steps or not lines[-1].startswith(b"%d," % steps):
        raise ValueError(f"{path} lacks rows of the {steps:,} steps that the checkpoint has, so the curve is lost")
    os.truncate(path, sum(map(len, lines)))
