"""The number of CPU threads of a training: the faster of one and all, found in its first steps.

Several threads wait for each other, which can make a small network slower than with one thread, above all on a machine
that does other work. Another number of threads adds numbers in another order, so the last digits of a run depend on it.
"""

import copy
import os
import statistics
import time

import torch

from zoo.lab.data import Split
from zoo.lab.device import fork_random_state
from zoo.lab.training.experiment import Experiment
from zoo.lab.training.fit import fit
from zoo.lab.training.precision import Precision

TURNS, STEPS = 3, 5  # turns of each number, in alternation, and the steps of a turn


def given() -> bool:
    """Whether the user has set the number of threads, by OMP_NUM_THREADS."""
    return bool(os.environ.get("OMP_NUM_THREADS"))


def find_threads(
    experiment: Experiment, data: Split, *, batch_size: int, lr: float, seed: int = 0, precision: Precision = "float32"
) -> int:
    """The number of threads, one or all, with which the experiment's steps take less time; at least one turn of each.

    Steps are taken on a copy of the pair, on a CPU and not compiled; the experiment, the random state and PyTorch's
    number of threads are left as they were. All threads are those that PyTorch has now.

    Args:
        experiment, data: what is to be trained.
        batch_size, lr: of the run.
        seed: of the batches.
        precision: of the run, see `fit`.
    """
    everything = torch.get_num_threads()
    if everything == 1:
        return 1
    seconds: dict[int, list[float]] = {1: [], everything: []}
    try:
        with fork_random_state(torch.device("cpu")):
            model, guide, elbo = copy.deepcopy((experiment.model, experiment.guide, experiment.elbo))
            length = (1 + TURNS) * len(seconds) * STEPS
            batches = experiment.batches(data.train, batch_size, seed=seed, steps=length, labels=experiment.labels)
            steps = fit(
                model,
                guide,
                elbo,
                batches,
                lr=lr,
                optimizer=experiment.optimizer,
                device="cpu",
                precision=precision,
                progress=False,
            )
            for turn in range(1 + TURNS):
                for threads, times in seconds.items():
                    torch.set_num_threads(threads)
                    began = time.perf_counter()
                    for _ in range(STEPS):
                        next(steps)
                    if turn:  # the first one warms up
                        times.append(time.perf_counter() - began)
    finally:
        torch.set_num_threads(everything)
    return min(seconds, key=lambda threads: statistics.median(seconds[threads]))
