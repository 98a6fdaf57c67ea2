"""Every test: double precision, Pyro's validation on, seed 0. No store is cleared: pairs must not need it."""

import gc

gc.disable()  # until the tests are collected: it would go through what is imported again and again

import os

# Small tensors and few datapoints: with several threads, which wait for each other, they take longer than with one.
os.environ.setdefault("OMP_NUM_THREADS", "1")  # before NumPy and scikit-learn are imported

from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch

import pyro
import pytest
import torch
from filelock import FileLock
from hypothesis import HealthCheck, settings
from joblib import cpu_count
from torch.fx.experimental import proxy_tensor

from tests.pictures import quick_pictures, without_pictures
from tests.processes import one_fork_server

torch.set_num_threads(1)

# How many examples hypothesis draws; --hypothesis-profile thorough draws many.
UNTIMED = settings(deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
settings.register_profile("brief", UNTIMED, max_examples=100)
settings.register_profile("thorough", UNTIMED, max_examples=1_000)
settings.load_profile("brief")

# Tests of processes and notebooks, which take longest.
LONG = ("test_notebooks.py", "lab/trials/test_sweep.py", "lab/trials/test_trial.py", "lab/runs/test_resume.py")


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """One worker more than there are cores, since some tests wait for processes."""
    return int(os.environ.get("PYTEST_XDIST_AUTO_NUM_WORKERS") or cpu_count() + 1)


@pytest.hookimpl(wrapper=True)
def pytest_cmdline_main() -> Generator[None, object, object]:
    with one_fork_server():
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Modules and tests stay to the end, so that the garbage collector need not go through them.

    What the tests themselves make is collected as ever.
    """
    try:
        return (yield)
    finally:
        gc.enable()
        gc.freeze()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest tests run first, so that parallel workers end together."""
    items.sort(key=lambda item: not item.path.as_posix().endswith(LONG))


@pytest.fixture(scope="session", autouse=True)
def _quick_tracing() -> Iterator[None]:
    """What the tracer notes on each result, for passes that nothing here uses, is a tensor on the device "meta".

    PyTorch notes a fake tensor, in a mode made for it, with the whole Python stack: half of the time of tracing.
    """
    noted = proxy_tensor.extract_val

    def extract_val(value: object, *options: bool, **named: bool) -> object:
        if isinstance(value, torch.Tensor) and not (proxy_tensor.is_fake(value) or value.is_sparse):
            return torch.empty_strided(value.shape, value.stride(), dtype=value.dtype, device="meta")
        return noted(value, *options, **named)

    with patch.object(proxy_tensor, "extract_val", extract_val):
        yield


@pytest.fixture(scope="session", autouse=True)
def _quick_seeds() -> Iterator[None]:
    """For every seed, PyTorch notes the whole Python stack three times, for errors of devices that are not in use yet.

    Formatting it takes a millisecond, more than many a test.
    """
    unnoted = SimpleNamespace(format_stack=list)
    with ExitStack() as patches:
        for device in (torch.cuda, torch.xpu, torch.mtia):
            if not hasattr(device, "traceback"):  # in other versions of PyTorch
                continue
            patches.enter_context(patch.object(device, "traceback", unnoted))
        yield


@pytest.fixture(autouse=True)
def _double_precision_and_seed() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    pyro.set_rng_seed(0)
    with pyro.validation_enabled():
        yield
    torch.set_default_dtype(torch.float32)


@pytest.fixture
def _quick_pictures() -> Iterator[None]:
    with quick_pictures():
        yield


@pytest.fixture
def _without_pictures() -> Iterator[None]:
    with without_pictures():
        yield


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Callable[[Path], None]], Path]:
    """Makes a folder, once for all of pytest-xdist's workers, and returns it."""
    own = tmp_path_factory.getbasetemp()
    shared = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own

    def once(name: str, make: Callable[[Path], None]) -> Path:
        folder, made = shared / name, shared / f"{name}.made"
        with FileLock(shared / f"{name}.lock"):
            if not made.exists():
                folder.mkdir()
                make(folder)
                made.touch()
        return folder

    return once
