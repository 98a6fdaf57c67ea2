"""Time and memory of a training step, compared with hand-written PyTorch: python -m zoo bench.

Every variant trains the same networks with the same fused Adam, and they take turns, so that other load affects all of
them equally. The numbers are medians over the turns. Other libraries, of another interpreter if `--peers` names one,
and several ranks take their turns in processes of their own. Memory is measured separately, each variant in another
process.
"""

import importlib.util
import itertools
import json
import multiprocessing
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
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
from zoo.lab.training.processes import joined
from zoo.papers.vae.recipes import vae_pair
from zoo.studies.peak_memory import peak_memory
from zoo.studies.peers import PEERS, serve
from zoo.studies.workers import Feed, LostWorker, Step, Worker, in_turns, installed, peer, ranks

BATCH, LR, RANKS = 64, 1e-3, 2
BASELINE = "hand-written PyTorch"


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


def by_fit(task: Task, device: torch.device, *, elbo: TermwiseELBO | None = None, **options: Any) -> Step:
    """`fit`, called with one batch at a time."""
    model, guide = task.pair()
    handed: list[Batch] = []

    def batches() -> Iterator[Batch]:
        while True:
            yield handed.pop()

    steps = fit(model, guide, elbo or PlainELBO(), batches(), lr=LR, device=device, progress=False, **options)

    def step(batch: Batch) -> Any:
        handed.append(batch)
        return next(steps)

    return step


def by_compiled_fit(task: Task, device: torch.device) -> Step:
    """`fit(compile=True)`."""
    return by_fit(task, device, compile=True)


def by_bf16_fit(task: Task, device: torch.device) -> Step:
    """`fit(precision="bf16")`."""
    return by_fit(task, device, precision="bf16")


def by_compiled_bf16_fit(task: Task, device: torch.device) -> Step:
    """`fit(compile=True, precision="bf16")`."""
    return by_fit(task, device, compile=True, precision="bf16")


def by_pairwise_fit(task: Task, device: torch.device, **options: Any) -> Step:
    """`fit` under HFVAE, which scores every sample under every datapoint's posterior."""
    elbo = HFVAE(alpha=1, beta=4, gamma=3, num_data=len(task.data()))
    return by_fit(task, device, elbo=elbo, **options)


def by_ranks(task: Task, device: torch.device, *, pairwise: bool = False) -> Worker:
    """`fit(shards=True)` in two processes on CPUs, each with half of the batch, by Gloo; under HFVAE if `pairwise`."""
    return ranks("zoo.studies.step_time", {"task": asdict(task), "pairwise": pairwise}, RANKS)


def peer_by(python: Path, name: str) -> "Maker":
    """Makes another library's steps, which the interpreter `python` takes."""
    return lambda task, device: peer(python, name, {**asdict(task), "lr": LR})


Maker = Callable[[Task, torch.device], Step | Worker]
Variants = Mapping[str, Maker]

VARIANTS: dict[str, Maker] = {
    BASELINE: by_hand,
    "SVI, Trace_ELBO": by_svi,
    "fit": by_fit,
    "fit(compile=True)": by_compiled_fit,
    "fit(precision='bf16')": by_bf16_fit,
    "fit(compile=True, precision='bf16')": by_compiled_bf16_fit,
}
IN_PROCESSES: dict[str, Maker] = {f"fit(shards=True), {RANKS} processes": by_ranks}

PAIRWISE: dict[str, Maker] = {
    "ELBO": by_fit,
    "HFVAE": by_pairwise_fit,
    "ELBO, compiled": by_compiled_fit,
    "HFVAE, compiled": partial(by_pairwise_fit, compile=True),
    "HFVAE, bf16": partial(by_pairwise_fit, precision="bf16"),
    "HFVAE, compiled, bf16": partial(by_pairwise_fit, compile=True, precision="bf16"),
}
PAIRWISE_IN_PROCESSES: dict[str, Maker] = {f"HFVAE, {RANKS} processes": partial(by_ranks, pairwise=True)}


def milliseconds(
    task: Task, device: torch.device, *, turns: int, steps: int, variants: Variants = VARIANTS
) -> dict[str, float]:
    """The median over `turns` of the time of a step, variant by variant, each turn `steps` steps of each."""
    batches = itertools.cycle(list(task.data().batches(task.batch, seed=0, steps=8, device=device)))
    feeds: dict[str, Feed] = {}
    for name, make in variants.items():
        try:
            feeds[name] = batches, make(task, device)
        except LostWorker as error:
            print(f"{name} is left out: {error}")
    return {name: 1e3 * seconds / steps for name, seconds in in_turns(feeds, device, turns=turns, steps=steps).items()}


def megabytes(task: Task, device: torch.device, variants: Variants = VARIANTS) -> dict[str, float]:
    """Peak memory of some steps, each variant in another process: resident memory, or that of the GPU."""
    found = {}
    for name, make in variants.items():
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
            found[name] = process.submit(_peak, task, make, device).result()
    return found


def _peak(task: Task, make: Maker, device: torch.device) -> float:
    step = make(task, device)
    assert not isinstance(step, Worker)  # whose memory is not this process's
    for batch in task.data().batches(task.batch, seed=0, steps=50 * BATCH // task.batch, device=device):
        step(batch)
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated() / 2**20
    return peak_memory()


def epochs_per_minute(
    device: torch.device, folder: Path | None, *, turns: int, steps: int, pythae: Path | None = None
) -> dict[str, float]:
    """Epochs of MNIST per minute with the MLP, data included, as medians over turns of `steps` steps each.

    Pythae's trainer, of the interpreter `pythae`, has epochs of `steps` steps, on as many of the images.

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
        first = torch.arange(BATCH, device=device)  # the pair is built for fewer datapoints than there are
        return (batch._replace(index=first) for batch in data.batches(BATCH, seed=0, device=device))

    feeds: dict[str, Feed] = {
        f"{BASELINE}, DataLoader": (from_loader(), by_hand(TASKS["mlp"], device)),
        f"{BASELINE}, zoo's batches": (from_arrays(), by_hand(TASKS["mlp"], device)),
        "fit, zoo's batches": (from_arrays(), by_fit(TASKS["mlp"], device)),
        "fit(compile=True), zoo's batches": (from_arrays(), by_compiled_fit(TASKS["mlp"], device)),
    }
    with tempfile.TemporaryDirectory() as place:
        if pythae:
            few = Path(place) / "images.npy"
            np.save(few, data.x[: steps * BATCH])
            try:
                feeds["pythae's BaseTrainer"] = (
                    from_arrays(),
                    peer(pythae, "pythae", {**asdict(TASKS["mlp"]), "lr": LR, "images": str(few)}),
                )
            except LostWorker as error:
                print(f"pythae's BaseTrainer is left out: {error}")
        seconds = in_turns(feeds, device, turns=turns, steps=steps)
    per_epoch = len(data) // BATCH
    return {name: 60 * steps / per_epoch / each for name, each in seconds.items()}


def _rank(task: Mapping[str, Any], pairwise: bool) -> None:
    """One of the processes of `by_ranks`."""
    with joined("cpu"):
        made, by = Task(**task), by_pairwise_fit if pairwise else by_fit
        step = by(made, torch.device("cpu"), shards=True)
        batches = itertools.cycle(list(made.data().batches(made.batch, seed=0, steps=8)))
        serve(lambda steps: [step(next(batches)) for _ in range(steps)])


def table(title: str, unit: str, figures: dict[str, float], *, baseline: str) -> str:
    """One column of numbers and their ratio to the baseline's."""
    rows = [[name, value, value / figures[baseline]] for name, value in figures.items()]
    return f"{title}\n\n{tabulate(rows, ['', unit, 'ratio'], 'plain', floatfmt=('', '.3f', '.2f'))}\n"


def main(
    device: torch.device, folder: Path | None, *, turns: int, steps: int, peers: Path | None = None, rows: str = "steps"
) -> None:
    """Prints the tables.

    Args:
        device: where the steps are taken; peers take theirs on the CPU, or where jax does by default.
        folder: of the data.
        turns, steps: see `milliseconds`.
        peers: an interpreter that has NumPyro or pythae, this one where it has them when not given.
        rows: "mlp", "conv" or "pairwise" for the tables of these networks alone; "steps" for all, and epochs of MNIST.

    Raises:
        ValueError: `peers` is no interpreter, or has neither of them.
    """
    python = peers or Path(sys.executable)
    others = installed(python) if peers else [name for name in PEERS if importlib.util.find_spec(name)]
    on_cpu = device.type == "cpu"
    beside: dict[str, Maker] = dict(IN_PROCESSES) if on_cpu else {}
    if "numpyro" in others:
        beside["NumPyro, jit"] = peer_by(python, "numpyro")
    print(
        f"B = {BATCH}, fused Adam, {device}, {torch.get_num_threads()} threads, torch {torch.__version__}, "
        f"medians of {turns} turns of {steps} steps\n"
    )
    tables = ((TASKS, VARIANTS, beside), (PAIRWISE_TASKS, PAIRWISE, PAIRWISE_IN_PROCESSES if on_cpu else {}))
    for tasks, variants, more in tables:
        baseline, timed = next(iter(variants)), {**variants, **more}
        for name, task in tasks.items():
            if rows not in ("steps", name.split()[0]):
                continue
            fewer = max(1, steps * BATCH // task.batch)  # the same number of datapoints per turn
            times = milliseconds(task, device, turns=turns, steps=fewer, variants=timed)
            print(table(task.title, "ms per step", times, baseline=baseline))
            try:
                peaks = megabytes(task, device, variants)
            except NotImplementedError as error:
                print(f"{task.title}: peak memory is left out: {error}\n")
            else:
                print(table(f"{task.title}: peak memory", "MiB", peaks, baseline=baseline))
    if rows != "steps":
        return
    try:
        pythae = python if "pythae" in others else None
        rates = epochs_per_minute(device, folder, turns=turns, steps=steps, pythae=pythae)
    except (FileNotFoundError, ValueError) as error:
        print(f"epochs per minute are left out: {error}")
        return
    title = "MNIST with the MLP, data included"
    print(table(title, "epochs / min", rates, baseline=f"{BASELINE}, DataLoader"))


if __name__ == "__main__":
    _rank(**json.loads(sys.argv[1]))
