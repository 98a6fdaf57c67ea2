"""Batches per second, next to torchvision's loader, and seconds to the first batch; measured in one run."""

import functools
import itertools
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from tabulate import tabulate
from torch import Tensor
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import VisionDataset

from zoo.lab.data import data_folder, load
from zoo.lab.data.cache import caches_in
from zoo.lab.data.catalogue import catalogue
from zoo.lab.data.celeba import HEIGHT, WIDTH, read_face
from zoo.lab.data.dataset import Dataset
from zoo.lab.data.decoded_images import decoded
from zoo.lab.data.procedural_chairs import procedural_chairs
from zoo.lab.data.shapes import crossings, render, shapes

NUM_IMAGES, BATCH_SIZE, ROUNDS = 20_000, 256, 5


class TorchvisionWay(VisionDataset):
    """Bytes [N, H, W] as in torchvision's MNIST: a PIL image per item, with transforms."""

    def __init__(self, images: np.ndarray) -> None:
        super().__init__("", transform=transforms.ToTensor())
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Tensor:
        return self.transform(Image.fromarray(self.images[index]))


def bench(folder: str | Path | None = None) -> None:
    """Prints images per second, the memory they take, and cold and warm starts.

    The variants are timed alternately within one run, and the median is reported, so that other load affects all of
    them equally. The images are 64 x 64, from bytes to floats, in shuffled batches.
    """
    packed = shapes(data_folder(folder), posX=range(0, 32, 4), posY=range(0, 32, 4), packed=True).train
    pixels = packed.batch(torch.arange(NUM_IMAGES)).x.mul(255).to(torch.uint8).numpy()
    whole = shapes(data_folder(folder)).train
    chairs = procedural_chairs(data_folder(folder)).train
    torchvision_way = TorchvisionWay(pixels[:, 0])
    index = np.random.default_rng(0).integers(len(whole), size=BATCH_SIZE)
    ways: dict[str, Callable[[], Iterator[object]]] = {
        "torchvision, DataLoader": lambda: iter(DataLoader(torchvision_way, BATCH_SIZE, shuffle=True)),
        "torchvision, 2 workers": lambda: iter(DataLoader(torchvision_way, BATCH_SIZE, shuffle=True, num_workers=2)),
        "bytes": lambda: Dataset("bytes", pixels).batches(BATCH_SIZE, seed=0),
        "bits": lambda: packed.batches(BATCH_SIZE, seed=0),
        "shapes, drawn on demand": lambda: whole.batches(BATCH_SIZE, seed=0),
        "procedural-chairs": lambda: chairs.batches(BATCH_SIZE, seed=0),
        "shapes, drawing alone": lambda: (render(index) for _ in itertools.count()),
    }
    memory = {
        "bytes": pixels.nbytes / len(pixels),
        "bits": packed.x.nbytes / len(packed),
        "torchvision, DataLoader": pixels.nbytes / len(pixels),
        "torchvision, 2 workers": pixels.nbytes / len(pixels),
    }
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, way in ways.items():
            rates[name].append(_rate(way()))
    print(
        f"batches of {BATCH_SIZE} images 1 x 64 x 64 as floats, {torch.get_num_threads()} threads, median of {ROUNDS}"
    )
    medians = {name: float(np.median(found)) for name, found in rates.items()}
    base = medians["torchvision, DataLoader"]
    rows = [[name, rate, rate / base, memory.get(name, 0)] for name, rate in medians.items()]
    print(tabulate(rows, ["", "images/s", "ratio", "bytes an image"], "plain", floatfmt=("", ",.0f", ".1f", ",.0f")))
    print(
        f"  all of 2D Shapes: {4096 * len(whole) / 1e6:,.0f} MB as bytes, {512 * len(whole) / 1e6:,.0f} MB as bits, "
        f"{crossings().nbytes / 1e6:,.0f} MB of outlines to draw them from"
    )
    print("\nseconds from load() to the first batch, without this project's cache (cold) and with it (warm)")
    starts = [[entry.name, *_starts(entry.name, folder)] for entry in catalogue(folder) if entry.present]
    print(tabulate(starts, ["", "cold", "warm"], "plain", floatfmt=".2f"))
    bench_decoding()


def bench_decoding(count: int = NUM_IMAGES) -> None:
    """Prints the number of JPEGs of CelebA's size that are decoded, cropped, scaled and written per second.

    One thread and all cores are timed alternately, on a quarter of the images each time; the median is reported.
    """
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as made, caches_in(Path(made, "cache")):
        folder = Path(made)
        for n in range(count):  # blurred noise: as large as a photograph, 10 kB or so
            small = Image.fromarray(rng.integers(256, size=(28, 23, 3), dtype=np.uint8))
            small.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC).save(folder / f"{n:06d}.jpg", quality=95)
        files = sorted(folder.glob("*.jpg"))
        rates: dict[str, list[float]] = {"one thread": [], "all cores": []}
        for part in range(4):
            for name, workers in (("one thread", 1), ("all cores", None)):
                some, start = files[part::4], time.perf_counter()
                decode = functools.partial(read_face, crop=148, size=64)
                decoded(name, folder, some, (3, 64, 64), decode, {"part": part}, workers=workers)
                rates[name].append(len(some) / (time.perf_counter() - start))
        size = np.mean([file.stat().st_size for file in files]) / 1e3
    print(f"\n{count:,} JPEGs of {WIDTH} x {HEIGHT} pixels and {size:.0f} kB decoded to 3 x 64 x 64, median of 4 parts")
    medians = [[name, float(np.median(found))] for name, found in rates.items()]
    print(tabulate(medians, ["", "images/s"], "plain", floatfmt=",.0f"))


def _rate(batches: Iterator[object]) -> float:
    """Images per second after the first batch, measured for at least a fifth of a second."""
    next(batches)
    count, start = 0, time.perf_counter()
    for _ in batches:
        count += 1
        if (passed := time.perf_counter() - start) > 0.2:
            break
    return BATCH_SIZE * count / passed


def _starts(name: str, folder: str | Path | None) -> tuple[float, float]:
    """Seconds to the first batch with an empty cache, and with the cache filled."""
    with tempfile.TemporaryDirectory() as empty, caches_in(Path(empty)):
        crossings.cache_clear()
        return _start(name, folder), _start(name, folder)


def _start(name: str, folder: str | Path | None) -> float:
    start = time.perf_counter()
    next(load(name, folder=folder).train.batches(BATCH_SIZE, seed=0))
    return time.perf_counter() - start
