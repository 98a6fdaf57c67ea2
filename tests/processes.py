"""The command line in processes of its own, to be stopped and killed."""

import multiprocessing
import os
import resource
import signal
import sys
import threading
from pathlib import Path

# Its children have everything imported, so that they start at once and a moment drawn at random is one of the run's.
# torch's optimisers import torch._dynamo, and the digits scikit-learn, when they are first used.
processes = multiprocessing.get_context("forkserver")
processes.set_forkserver_preload(
    [
        "pytest",
        "torch._dynamo",
        "sklearn.datasets",
        "matplotlib.backends.backend_agg",
        "zoo.__main__",
        "zoo.papers",
        "zoo.lab.trials.sweep",
        "tests.small_recipe",
        "tests.pictures",
    ]
)


def start(cwd: Path, *arguments: str, largest: int | None = None):
    process = processes.Process(target=_zoo, args=(cwd, list(arguments), largest))
    process.start()
    return process


def zoo(cwd: Path, *arguments: str, code: int = 0, largest: int | None = None) -> str:
    """Runs to its end; returns what was said."""
    process = start(cwd, *arguments, largest=largest)
    process.join(120)
    said = (cwd / "said").read_text()
    assert process.exitcode == code, said
    return said


def _zoo(cwd: Path, arguments: list[str], largest: int | None) -> None:
    """The command line as a process of its own sees it, with the small recipe among the others."""
    import torch
    from tqdm import tqdm

    from tests import small_recipe
    from tests.pictures import quick_pictures
    from zoo.__main__ import main
    from zoo.papers.recipes import RECIPES

    RECIPES |= small_recipe.RECIPES

    signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell's background job ignores
    os.chdir(cwd)
    os.dup2(os.open("said", os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 1)
    os.dup2(1, 2)
    sys.stdout = sys.stderr = os.fdopen(1, "w", buffering=1)
    tqdm.set_lock(threading.RLock())  # its own outlives a process that is killed
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float32)
    if largest is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest, largest))
    sys.argv = ["zoo", *arguments]
    with quick_pictures():
        main()
