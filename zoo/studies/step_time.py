"""Time and memory of a training step, compared with hand-written PyTorch: python -m zoo bench.

Every variant trains the same networks on the same batches with the same fused Adam. They take turns within one process,
so that other load affects all of them equally. The numbers are medians over the turns. Memory is measured separately,
each variant in another process.
"""

import importlib
import importlib.util
import itertools
import multiprocessing
import statistics
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyro
import torch
from pyro.infer import SVI, Trace_ELBO
from pyro.optim import PyroOptim
from tabulate import tabulate
from torch import Tensor
from torch.nn import functional as F

from zoo.elbos import HFVAE, PlainELBO, TermwiseELBO
from zoo.lab.data import Batch, Dataset, load
from zoo.lab.training.fit import adam, fit
from zoo.papers.vae.recipes import vae_pair
from zoo.studies.peak_memory import peak_memory

BATCH, LR = 64, 1e-3
BASELINE = "hand-written PyTorch"

Step = Callable[[Batch], Any]


@dataclass(frozen=True)
class Task:
    """A network to train.

    Attributes:
        title: its title in the tables.
        network, pixels, width, z_dim: arguments of `vae_pair`.
        batch: B.
    """

    title: str
    network: str
    pixels: int
    width: int = 100
    z_dim: int = 10
    batch: int = BATCH

    def data(self) -> Dataset:
        """Grey noise: the time of a step does not depend on the values of the data."""
        x = np.random.default_rng(0).integers(0, 256, (16 * self.batch, 1, self.pixels, self.pixels), np.uint8)
        return Dataset("noise", x)

    def pair(self) -> tuple[Any, Any]:
        """The model and the guide, the same for each variant."""
        torch.manual_seed(0)
        return vae_pair(self.data(), self.z_dim, self.network, width=self.width)


TASKS = {
    "mlp": Task("MLP 784-100-100-10", "mlp", 28),
    "conv": Task("Joint-VAE's convolutional VAE, 32 x 32", "conv", 32),
}
PAIRWISE_TASKS = {
    f"pairwise {batch}": Task(f"q(z) by pairwise scores, MLP, D = 20, B = {batch}", "mlp", 28, z_dim=20, batch=batch)
    for batch in (64, 1024)
}


def by_hand(task: Task, device: torch.device) -> Step:
    """The VAE written directly in PyTorch: closed KL, one draw."""
    model, guide = (module.to(device) for module in task.pair())
    trunk, head, decoder = guide.trunk, guide.layers["z"], model.decoder
    optimizer = adam([*trunk.parameters(), *head.parameters(), *decoder.parameters()], lr=LR)

    def step(batch: Batch) -> Tensor:
        x = batch.x
        optimizer.zero_grad(set_to_none=True)
        loc, log_var = head(trunk(x)).chunk(2, dim=-1)
        z = loc + (0.5 * log_var).exp() * torch.randn_like(loc)
        reconstruction = F.binary_cross_entropy_with_logits(decoder(z), x, reduction="sum")
        kl = 0.5 * (loc.square() + log_var.exp() - 1 - log_var).sum()
        loss = (reconstruction + kl) / len(x)
        loss.backward()
        optimizer.step()
        return loss

    return step


def by_svi(task: Task, device: torch.device) -> Step:
    """Pyro's own loop and objective on the same pair, its validation off."""
    model, guide = (module.to(device) for module in task.pair())
    svi = SVI(model, guide, PyroOptim(torch.optim.Adam, {"lr": LR, "fused": True}), loss=Trace_ELBO())

    def step(batch: Batch) -> float:
        with pyro.validation_enabled(False):
            return float(svi.step(batch.x))

    return step


def by_fit(task: Task, device: torch.device, *, compile: bool = False, elbo: TermwiseELBO | None = None) -> Step:
    """`fit`, called with one batch at a time."""
    model, guide = task.pair()
    handed: list[Batch] = []

    def batches() -> Iterator[Batch]:
        while True:
            yield handed.pop()

    steps = fit(model, guide, elbo or PlainELBO(), batches(), lr=LR, device=device, compile=compile, progress=False)

    def step(batch: Batch) -> Any:
        handed.append(batch)
        return next(steps)

    return step


def by_compiled_fit(task: Task, device: torch.device) -> Step:
    """`fit(compile=True)`."""
    return by_fit(task, device, compile=True)


def by_pairwise_fit(task: Task, device: torch.device, *, compile: bool = False) -> Step:
    """`fit` under HFVAE, which scores every sample under every datapoint's posterior."""
    elbo = HFVAE(alpha=1, beta=4, gamma=3, num_data=len(task.data()))
    return by_fit(task, device, compile=compile, elbo=elbo)


def by_compiled_pairwise_fit(task: Task, device: torch.device) -> Step:
    """`fit(compile=True)` under HFVAE."""
    return by_pairwise_fit(task, device, compile=True)


def by_numpyro(task: Task, device: torch.device) -> Step:
    """NumPyro's SVI, jitted, on the same architecture, on jax's default device."""
    jax, jnp, stax, numpyro, dist = map(
        importlib.import_module,
        ["jax", "jax.numpy", "jax.example_libraries.stax", "numpyro", "numpyro.distributions"],
    )
    shape = (task.pixels, task.pixels, 1)
    if task.network == "mlp":
        dense = [stax.Dense(task.width), stax.Relu, stax.Dense(task.width), stax.Relu]
        trunk = stax.serial(stax.Flatten, *dense)
        decode = stax.serial(*dense, stax.Dense(task.pixels**2))
    else:
        side = task.pixels // 8

        def halve(channels: int) -> Any:
            return stax.serial(stax.Conv(channels, (4, 4), (2, 2), "SAME"), stax.Relu)

        def double(channels: int) -> Any:
            return stax.ConvTranspose(channels, (4, 4), (2, 2), "SAME")

        unflatten = (lambda rng, s: ((s[0], side, side, 64), ()), lambda _, x, **__: x.reshape(-1, side, side, 64))
        trunk = stax.serial(halve(32), halve(64), halve(64), stax.Flatten, stax.Dense(256), stax.Relu)
        decode = stax.serial(
            *[stax.Dense(256), stax.Relu, stax.Dense(64 * side**2), stax.Relu, unflatten],
            *[double(32), stax.Relu, double(32), stax.Relu, double(1)],
        )
    encode = stax.serial(trunk, stax.FanOut(2), stax.parallel(stax.Dense(task.z_dim), stax.Dense(task.z_dim)))

    def model(x: Any) -> None:
        decoder = numpyro.module("decoder", decode, (len(x), task.z_dim))
        with numpyro.plate("data", len(x)):
            z = numpyro.sample("z", dist.Normal(jnp.zeros(task.z_dim), 1.0).to_event(1))
            logits = decoder(z).reshape(x.shape)
            # Grey pixels are scored as in zoo.likelihoods.
            numpyro.factor("x", (x * logits - jnp.logaddexp(0.0, logits)).sum((1, 2, 3)))

    def guide(x: Any) -> None:
        loc, log_var = numpyro.module("encoder", encode, (len(x), *shape))(x)
        with numpyro.plate("data", len(x)):
            numpyro.sample("z", dist.Normal(loc, jnp.exp(0.5 * log_var)).to_event(1))

    svi = numpyro.infer.SVI(model, guide, numpyro.optim.Adam(LR), numpyro.infer.TraceMeanField_ELBO())
    update = jax.jit(svi.update)
    state = svi.init(jax.random.PRNGKey(0), jnp.zeros((task.batch, *shape)))

    def step(batch: Batch) -> float:
        nonlocal state
        state, loss = update(state, batch.x.permute(0, 2, 3, 1).numpy(force=True))
        return float(loss)

    return step


VARIANTS: dict[str, Callable[[Task, torch.device], Step]] = {
    BASELINE: by_hand,
    "SVI, Trace_ELBO": by_svi,
    "fit": by_fit,
    "fit(compile=True)": by_compiled_fit,
}
if importlib.util.find_spec("numpyro") is not None:
    VARIANTS["NumPyro, jit"] = by_numpyro

PAIRWISE: dict[str, Callable[[Task, torch.device], Step]] = {
    "ELBO": by_fit,
    "HFVAE": by_pairwise_fit,
    "ELBO, compiled": by_compiled_fit,
    "HFVAE, compiled": by_compiled_pairwise_fit,
}


Variants = dict[str, Callable[[Task, torch.device], Step]]


def milliseconds(
    task: Task, device: torch.device, *, turns: int, steps: int, variants: Variants = VARIANTS
) -> dict[str, float]:
    """The median over `turns` of the time of a step, variant by variant, each turn `steps` steps of each."""
    batches = itertools.cycle(list(task.data().batches(task.batch, seed=0, steps=8, device=device)))
    made = {name: make(task, device) for name, make in variants.items()}
    times: dict[str, list[float]] = {name: [] for name in made}
    for turn in range(turns + 1):
        for name, step in made.items():
            began = time.perf_counter()
            for _ in range(steps):
                step(next(batches))
            _wait(device)
            if turn:  # the first turn is a warm-up for compilers and caches
                times[name].append((time.perf_counter() - began) / steps * 1e3)
    return {name: statistics.median(values) for name, values in times.items()}


def megabytes(task: Task, device: torch.device, variants: Variants = VARIANTS) -> dict[str, float]:
    """Peak memory of some steps, each variant in another process: resident memory, or that of the GPU."""
    found = {}
    for name, make in variants.items():
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
            found[name] = process.submit(_peak, task, make, device).result()
    return found


def _peak(task: Task, make: Callable[[Task, torch.device], Step], device: torch.device) -> float:
    step = make(task, device)
    for batch in task.data().batches(task.batch, seed=0, steps=50 * BATCH // task.batch, device=device):
        step(batch)
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated() / 2**20
    return peak_memory()


def epochs_per_minute(device: torch.device, folder: Path | None, *, turns: int, steps: int) -> dict[str, float]:
    """Epochs of MNIST per minute with the MLP, data included, as medians over turns of `steps` steps each.

    Raises:
        FileNotFoundError, ValueError: as the data set.
    """
    from torch.utils.data import DataLoader
    from torchvision import datasets, transforms

    from zoo.lab.data import data_folder

    data = load("mnist", folder=folder).train
    images = datasets.MNIST(str(data_folder(folder)), train=True, transform=transforms.ToTensor())
    loader = DataLoader(images, batch_size=BATCH, shuffle=True, drop_last=True)

    def from_loader() -> Iterator[Batch]:
        while True:
            for x, _ in loader:
                yield Batch(x.to(device), None, torch.arange(len(x)))

    def from_arrays() -> Iterator[Batch]:
        return data.batches(BATCH, seed=0, device=device)

    feeds: dict[str, tuple[Iterator[Batch], Step]] = {
        f"{BASELINE}, DataLoader": (from_loader(), by_hand(TASKS["mlp"], device)),
        f"{BASELINE}, zoo's batches": (from_arrays(), by_hand(TASKS["mlp"], device)),
        "fit, zoo's batches": (from_arrays(), by_fit(TASKS["mlp"], device)),
        "fit(compile=True), zoo's batches": (from_arrays(), by_compiled_fit(TASKS["mlp"], device)),
    }
    times: dict[str, list[float]] = {name: [] for name in feeds}
    for turn in range(turns + 1):
        for name, (batches, step) in feeds.items():
            began = time.perf_counter()
            for batch in itertools.islice(batches, steps):
                step(batch)
            _wait(device)
            if turn:
                times[name].append(time.perf_counter() - began)
    per_epoch = len(data) // BATCH
    return {name: 60 * steps / per_epoch / statistics.median(values) for name, values in times.items()}


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def table(title: str, unit: str, figures: dict[str, float], *, baseline: str) -> str:
    """One column of numbers and their ratio to the baseline's."""
    rows = [[name, value, value / figures[baseline]] for name, value in figures.items()]
    return f"{title}\n\n{tabulate(rows, ['', unit, 'ratio'], 'plain', floatfmt=('', '.3f', '.2f'))}\n"


def main(device: torch.device, folder: Path | None, *, turns: int, steps: int) -> None:
    """Prints the tables."""
    print(
        f"B = {BATCH}, fused Adam, {device}, {torch.get_num_threads()} threads, torch {torch.__version__}, "
        f"medians of {turns} turns of {steps} steps\n"
    )
    for tasks, variants in ((TASKS, VARIANTS), (PAIRWISE_TASKS, PAIRWISE)):
        baseline = next(iter(variants))
        for task in tasks.values():
            fewer = max(1, steps * BATCH // task.batch)  # the same number of datapoints per turn
            times = milliseconds(task, device, turns=turns, steps=fewer, variants=variants)
            print(table(task.title, "ms per step", times, baseline=baseline))
            try:
                peaks = megabytes(task, device, variants)
            except NotImplementedError as error:
                print(f"{task.title}: peak memory is left out: {error}\n")
            else:
                print(table(f"{task.title}: peak memory", "MiB", peaks, baseline=baseline))
    try:
        rates = epochs_per_minute(device, folder, turns=turns, steps=steps)
    except (FileNotFoundError, ValueError) as error:
        print(f"epochs per minute are left out: {error}")
        return
    title = "MNIST with the MLP, data included"
    print(table(title, "epochs / min", rates, baseline=f"{BASELINE}, DataLoader"))
