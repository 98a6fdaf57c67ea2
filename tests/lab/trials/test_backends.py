"""Where trials run: what is refused, how many threads, and clusters whose workers and commands are killed."""

import os
import platform
import re
import runpy
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import pyro
import pytest
import torch

from tests.processes import copied_interpreters, processes, start, zoo
from tests.small_recipe import HOLD, RECIPES
from zoo.lab.runs.checkpoint import load
from zoo.lab.runs.folder import CHECKPOINT, read_settings
from zoo.lab.runs.lock import LOCK, OWNER
from zoo.lab.trials import clusters
from zoo.lab.trials.backends import open_backend
from zoo.lab.trials.processes import Loky, threads_per_trial
from zoo.lab.trials.sweep import sweep
from zoo.lab.trials.trial import QUANTITIES

# What is refused.


def closed_port() -> str:
    """An address at which nobody answers."""
    with socket.socket() as there:
        there.bind(("127.0.0.1", 0))
        return f"tcp://127.0.0.1:{there.getsockname()[1]}"


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"backend": "joblib"}, ValueError, "--backend must be loky, dask or ray, got 'joblib'"),
        ({"backend": "threading"}, ValueError, "--backend threading cannot train: .* use loky or dask or ray"),
        ({"scheduler": "tcp://a:1"}, ValueError, "--scheduler tcp://a:1 can only be given with --backend dask"),
        ({"backend": "ray", "scheduler": "tcp://a:1"}, ValueError, "got --backend ray: give RAY_ADDRESS instead"),
        ({"backend": "dask", "scheduler": "nosuch://a"}, ConnectionError, "--scheduler nosuch://a: no Dask scheduler"),
        ({"backend": "dask", "jobs": 0}, ValueError, "jobs must be from 1 to 256, got 0"),
    ],
)
def test_what_cannot_run_is_refused_before_anything_is_written(options, error, message, tmp_path):
    if "nosuch://a" in options.values():
        pytest.importorskip("distributed")
    with pytest.raises(error, match=message):
        sweep(RECIPES["small"], tmp_path / "out", steps=3, device="cpu", **options)
    assert not list(tmp_path.iterdir())


def test_a_scheduler_that_does_not_answer_is_named(tmp_path, monkeypatch):
    pytest.importorskip("distributed")
    monkeypatch.setattr(clusters, "TIMEOUT", 0.5)
    address = closed_port()
    with pytest.raises(ConnectionError, match=f"--scheduler {address}: no Dask scheduler answers there within 0.5 sec"):
        sweep(RECIPES["small"], tmp_path / "out", steps=3, device="cpu", backend="dask", scheduler=address)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("backend", "library"), [("dask", "distributed"), ("ray", "ray")])
def test_a_library_that_is_not_installed_is_named_with_its_extra(backend, library, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(
        ModuleNotFoundError, match=rf'--backend {backend} needs {library}, .*pip install -e "\.\[{backend}\]'
    ):
        sweep(RECIPES["small"], tmp_path / "out", steps=3, device="cpu", backend=backend)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("jobs", [0, -1, 2.0, "2"])
def test_jobs_are_a_count(jobs):
    with pytest.raises(ValueError, match=r"open_backend: jobs must be .*got") as refused:
        open_backend(jobs=jobs)
    assert repr(jobs) in str(refused.value)


def test_threads_would_share_the_random_numbers_and_the_handlers():
    """Why --backend threading is refused: both are the process's, and another thread changes them."""
    seen, seeded = [], torch.manual_seed(3).initial_seed()

    def look() -> None:
        seen.append(len(pyro.poutine.runtime._PYRO_STACK))
        torch.manual_seed(4)

    with pyro.poutine.trace():
        other = threading.Thread(target=look)
        other.start()
        other.join()
    assert seen == [1]
    assert (seeded, torch.initial_seed()) == (3, 4)


# Trials at once, and threads of each.


@pytest.mark.parametrize(
    ("variable", "threads", "jobs"), [(None, 1, 6), ("2", 2, 3), ("4,2", 4, 1), ("9", 9, 1), ("", 1, 6), ("x", 1, 6)]
)
def test_jobs_are_the_cores_by_the_threads_of_a_trial(variable, threads, jobs, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if variable is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", variable)
    monkeypatch.setattr("zoo.lab.trials.backends.cpu_count", lambda: 6)
    assert threads_per_trial() == threads
    with open_backend() as on:
        assert on == Loky(jobs, threads)
    with open_backend(device="cuda") as on:
        assert on == Loky(1, threads)
    with open_backend(jobs=5, device="cuda") as on:  # the threads, and so the numbers, do not follow from the jobs
        assert on == Loky(5, threads)


# Clusters.


def test_processes_of_libraries_that_derive_their_own_popen_can_be_copied():
    # Ray, which `.[test]` does not install, derives one when it is imported.
    with copied_interpreters():

        class Own(subprocess.Popen):
            pass

        printed, _ = Own([sys.executable, "-m", "platform"], stdout=subprocess.PIPE, text=True).communicate()
    assert printed.strip() == platform.platform()


STEPS = 120
SWEEP = ["sweep", "small", "--seeds", "3", "--out", "out", "--steps", str(STEPS), "--checkpoint-every", "20"]
SWEEP += ["--precision", "bf16"]
FOLDERS = [Path("out/restarts", f"seed-{seed}") for seed in range(3)]
in_proc = pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="parents are looked up in /proc")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed")
    zoo(folder, *SWEEP, "--jobs", "1")
    return folder


@pytest.fixture(params=["dask", "ray"])
def options(request) -> list[str]:
    pytest.importorskip({"dask": "distributed"}.get(request.param, request.param))
    return ["--backend", request.param, "--jobs", "2"]


def on_the_way(folder: Path) -> bool:
    return (folder / CHECKPOINT).is_file() and not (folder / "weights.safetensors").is_file()


def wait_for_training(folders: list[Path], process, said: Path, seconds: float = 300) -> list[tuple[int, int]]:
    deadline = time.monotonic() + seconds
    while not (found := training(folders)):
        assert process.is_alive(), said.read_text()
        assert time.monotonic() < deadline, said.read_text()
        time.sleep(0.001)
    return found


def trainer(folder: Path) -> tuple[int, int] | None:
    """The process that trains in a folder, and its parent, a worker of the cluster; None where nobody does."""
    try:
        pid = int((folder / f"{LOCK}{OWNER}").read_text().split()[1])
        return pid, int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except (FileNotFoundError, ProcessLookupError):  # a process that was killed leaves its name behind
        return None


def training(folders: list[Path]) -> list[tuple[int, int]]:
    """The trainers of the folders in which something of the training is saved."""
    return [found for folder in folders if on_the_way(folder) and (found := trainer(folder))]


def assert_as_undisturbed(folder: Path, undisturbed: Path) -> None:
    assert (folder / "out/table.csv").read_bytes() == (undisturbed / "out/table.csv").read_bytes()
    for own in FOLDERS:
        assert read_settings(folder / own)[0].precision == "bf16"
        for name in ("terms.csv", "weights.safetensors"):
            assert (folder / own / name).read_bytes() == (undisturbed / own / name).read_bytes()


@in_proc
def test_a_worker_that_is_killed_loses_nothing_and_nothing_is_done_twice(options, undisturbed, tmp_path):
    process = start(tmp_path, *SWEEP, *options)
    own = [tmp_path / folder for folder in FOLDERS]
    child, worker = wait_for_training(own, process, tmp_path / "said")[0]
    assert worker != process.pid
    os.kill(worker, signal.SIGKILL)
    finished = {folder: (folder / QUANTITIES).stat().st_mtime_ns for folder in own if (folder / QUANTITIES).is_file()}
    process.join(400)
    assert not Path(f"/proc/{child}").exists()
    assert process.exitcode == 0, (tmp_path / "said").read_text()
    assert_as_undisturbed(tmp_path, undisturbed)
    assert {folder: (folder / QUANTITIES).stat().st_mtime_ns for folder in finished} == finished


def descendants(pid: int) -> dict[int, int]:
    """The processes below a process, and itself, each with its group."""
    table = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(FileNotFoundError, ProcessLookupError):
            _, parent, group, *_ = path.read_text().rpartition(")")[2].split()
            table[int(path.parent.name)] = int(parent), int(group)
    found = [pid]
    for one in found:
        found += [child for child, (parent, _) in table.items() if parent == one]
    return {one: table[one][1] for one in found}


@in_proc
@pytest.mark.parametrize("whom", ["the command", "its group"])
def test_ctrl_c_on_ray_saves_and_leaves_nothing_running(whom, undisturbed, tmp_path):
    # A terminal sends it to the whole group, to which Ray's own processes belong.
    pytest.importorskip("ray")
    process = start(tmp_path, *SWEEP, "--backend", "ray", "--jobs", "2")
    own = [tmp_path / folder for folder in FOLDERS]
    wait_for_training(own, process, tmp_path / "said")
    everyone = descendants(process.pid)
    assert len(everyone) > 3
    for one, group in everyone.items():
        if one == process.pid or (whom == "its group" and group == everyone[process.pid]):
            os.kill(one, signal.SIGINT)
    process.join(300)
    said = (tmp_path / "said").read_text()
    assert process.exitcode == 128 + signal.SIGINT, said
    assert re.search("stopped by SIGINT, and saved; [0-3] of 3 trials are finished. Run the command again", said)
    for run in filter(on_the_way, own):
        assert 0 < load(run / CHECKPOINT)["step"] == len((run / "terms.csv").read_text().splitlines()) - 1 < STEPS
    deadline = time.monotonic() + 60
    while left := [one for one in everyone if one != process.pid and Path(f"/proc/{one}").exists()]:
        assert time.monotonic() < deadline, left
        time.sleep(0.05)
    zoo(tmp_path, *SWEEP, "--jobs", "1")
    assert_as_undisturbed(tmp_path, undisturbed)


def dask_command(folder: Path, arguments: list[str]) -> None:
    os.chdir(folder)
    os.dup2(os.open("log", os.O_WRONLY | os.O_CREAT | os.O_APPEND), 2)
    sys.argv = ["dask", *arguments]
    runpy.run_module("dask", run_name="__main__")


@pytest.fixture
def dask(tmp_path_factory):
    """A scheduler and a worker with two threads, as a cluster has them: their processes, and the options for it."""
    pytest.importorskip("distributed")
    folder = tmp_path_factory.mktemp("dask")
    address = closed_port()
    commands = [["scheduler", "--host", "127.0.0.1", "--port", address.rpartition(":")[2], "--no-dashboard"]]
    commands += [["worker", address, "--no-nanny", "--nthreads", "2", "--no-dashboard"]]
    commands[1] += ["--preload", "tests.lab.trials.copied_trials"]
    scheduler, worker = [processes.Process(target=dask_command, args=(folder, command)) for command in commands]
    for process in (scheduler, worker):
        process.start()
    yield scheduler, worker, ["--backend", "dask", "--scheduler", address]
    for process in (scheduler, worker):
        process.terminate()
    for process in (scheduler, worker):
        process.join(60)
        process.kill()  # where a trial did not end


@in_proc
def test_a_command_on_a_cluster_that_is_stopped_or_killed_leaves_nothing_running_and_is_resumed(
    dask, undisturbed, tmp_path
):
    scheduler, worker, options = dask
    own = [tmp_path / folder for folder in FOLDERS]

    def begin():
        process = start(tmp_path, *SWEEP, *options)
        return process, [child for child, _ in wait_for_training(own, process, tmp_path / "said")]

    process, children = begin()
    process.terminate()
    process.join(120)
    said = (tmp_path / "said").read_text()
    assert process.exitcode == 128 + signal.SIGTERM, said
    assert re.search("stopped by SIGTERM, and saved; [0-3] of 3 trials are finished. Run the command again", said)
    for run in filter(on_the_way, own):
        assert 0 < load(run / CHECKPOINT)["step"] == len((run / "terms.csv").read_text().splitlines()) - 1 < STEPS
    assert not any(Path(f"/proc/{child}").exists() for child in children)

    process, _ = begin()
    (tmp_path / HOLD).touch()  # no trial ends by itself
    process.kill()
    deadline = time.monotonic() + 60
    while left := descendants(worker.pid).keys() - {worker.pid}:  # more than those that had saved something
        assert time.monotonic() < deadline, left
        time.sleep(0.05)
    (tmp_path / HOLD).unlink()

    process, _ = begin()
    scheduler.kill()
    process.join(120)
    said = (tmp_path / "said").read_text()
    assert process.exitcode == 1, said
    [error] = [line for line in said.splitlines() if line.startswith("error: ")]
    assert error.startswith("error: the connection to the Dask scheduler at tcp://127.0.0.1:"), error
    assert re.search("[0-3] of 3 trials are finished. Run the command again when the cluster runs", error)

    zoo(tmp_path, *SWEEP, "--jobs", "1")
    assert_as_undisturbed(tmp_path, undisturbed)
