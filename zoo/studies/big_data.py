"""A folder of images that does not fit in memory: time, rates and resident memory, cold and warm.

    python -m zoo.studies.big_data --images 200000

Renders PNGs of 64 x 64 pixels into a temporary folder, loads them as `--data PATH` does, and draws shuffled batches.
The first process is killed when half of the images are decoded, and the second goes on from there. Every row of the
table is a process of its own: its peak of resident memory is that of all it did. The cache and the images are removed
at the end.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw
from tabulate import tabulate

from zoo.lab.data import load
from zoo.lab.data.cache import caches_in
from zoo.studies.peak_memory import peak_memory

SIDE, CLASSES, BATCH_SIZE = 64, ("ellipse", "rectangle"), 64
IMPORTS, COLD, DISK, WARM = "imports alone", "cold", "warm, from the disk", "warm, from memory"


def render(folder: Path, count: int, *, seed: int = 0) -> None:
    """Writes PNGs, half of them of each class, and factors.csv with what was drawn."""
    rng = np.random.default_rng(seed)
    corner, side = rng.integers(0, SIDE // 2, (count, 2)), rng.integers(8, SIDE // 2, count)
    colours = rng.integers(64, 256, (count, 3))
    rows = ["file,x,y"]
    for n in range(count):
        place = Path(CLASSES[n % 2]) / f"{n:07d}.png"
        (x, y), size = map(int, corner[n]), int(side[n])
        image = Image.new("RGB", (SIDE, SIDE))
        draw = ImageDraw.Draw(image)
        shape = draw.ellipse if n % 2 == 0 else draw.rectangle
        shape((x, y, x + size, y + size), fill=tuple(colours[n].tolist()))
        if n < 2:
            (folder / place).parent.mkdir(parents=True, exist_ok=True)
        image.save(folder / place, compress_level=1)
        rows.append(f"{place.as_posix()},{x},{y}")
    (folder / "factors.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")


def measure(images: Path, seconds: float) -> dict[str, float]:
    """Loads the folder and draws shuffled batches; returns the seconds to the first batch, images per second, the peak
    of resident memory, and the number of images.
    """
    start = time.perf_counter()
    train, test = load(str(images))
    batches = train.batches(BATCH_SIZE, seed=0, labels=True)
    next(batches)
    until_first = time.perf_counter() - start
    count, start = 0, time.perf_counter()
    while (passed := time.perf_counter() - start) < seconds:
        next(batches)
        count += BATCH_SIZE
    next(test.in_order(BATCH_SIZE))
    return {"seconds": until_first, "images/s": count / passed, "MiB": peak_memory(), "images": len(train) + len(test)}


def _measured(images: Path, seconds: float, what: str = "measure") -> dict[str, float]:
    """`measure` in another process."""
    command = [sys.executable, "-m", "zoo.studies.big_data", f"--{what}", str(images), "--seconds", str(seconds)]
    said = subprocess.run(command, check=True, capture_output=True, text=True, env={**os.environ, "TQDM_DISABLE": "1"})
    found: dict[str, float] = json.loads(said.stdout.splitlines()[-1])
    return found


def _killed(images: Path, cache: Path, share: float) -> None:
    """Kills a process that decodes, once this share of the images' bytes is written."""
    command = [sys.executable, "-m", "zoo.studies.big_data", "--measure", str(images), "--seconds", "0"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env={**os.environ, "TQDM_DISABLE": "1"})
    while process.poll() is None and _written(cache) < share:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()


def _written(cache: Path) -> float:
    """The share of the decoded images' file that is on the disk."""
    files = list(cache.glob("*.images"))
    return files[0].stat().st_blocks * 512 / files[0].stat().st_size if files else 0.0


def _drop(cache: Path) -> None:
    """Asks the system to forget the pages of the cache that it holds in memory."""
    if hasattr(os, "posix_fadvise"):
        for path in cache.rglob("*"):
            if path.is_file():
                with path.open("rb") as file:
                    os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def study(folder: Path, count: int, *, seconds: float = 10.0) -> dict[str, dict[str, Any]]:
    """The rows of the table, by name; the images are rendered into `folder` unless they are there."""
    images, cache = folder / "images", folder / "cache"
    if not (images / "factors.csv").is_file():
        start = time.perf_counter()
        render(images, count)
        print(f"rendered {count:,} images in {time.perf_counter() - start:,.0f} s", flush=True)
    rows: dict[str, dict[str, Any]] = {IMPORTS: _measured(images, 0, "nothing")}
    with caches_in(cache):
        start = time.perf_counter()
        _killed(images, cache, 0.5)
        share, passed = _written(cache), time.perf_counter() - start
        print(f"killed after {passed:,.0f} s, when {share:.0%} of the images were decoded", flush=True)
        rows[f"{COLD}, from {share:.0%} on"] = _measured(images, seconds)
        _drop(cache)
        rows[DISK] = _measured(images, seconds)
        rows[WARM] = _measured(images, seconds)
        left = sorted(path.name for path in cache.iterdir() if path.name.startswith("."))
    print(f"temporary files left in the cache: {left or 'none'}")
    return rows


def table(rows: dict[str, dict[str, Any]]) -> str:
    """The rows in Markdown."""
    cells = [
        [name, row.get("seconds"), row.get("images/s"), row["MiB"], row["MiB"] - rows[IMPORTS]["MiB"]]
        for name, row in rows.items()
    ]
    heads = ["", "seconds to the first batch", "images/s, shuffled", "peak, MiB", "above imports, MiB"]
    return tabulate(cells, heads, "pipe", floatfmt=("", ".1f", ",.0f", ",.0f", ",.0f"))


def main() -> None:
    """Prints the table; with --measure, one row of it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--images", type=int, default=200_000)
    parser.add_argument("--folder", type=Path, help="where to render; a temporary folder, which is removed, otherwise")
    parser.add_argument("--seconds", type=float, default=10.0, help="of drawing batches")
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--nothing", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.nothing:
        torch.zeros(1)
        print(json.dumps({"MiB": peak_memory()}))
    elif asked.measure:
        print(json.dumps(measure(asked.measure, asked.seconds)))
    elif asked.folder:
        print(table(study(asked.folder, asked.images, seconds=asked.seconds)))
    else:
        with tempfile.TemporaryDirectory() as made:
            print(table(study(Path(made), asked.images, seconds=asked.seconds)))


if __name__ == "__main__":
    main()
