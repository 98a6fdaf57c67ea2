"""Steps that are timed in turns, in this process and in others, for `zoo.studies.step_time`."""

import itertools
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import torch

import zoo
from zoo.lab.data import Batch
from zoo.studies import peers

FINDS = "import importlib.util, json, sys; print(json.dumps([n for n in sys.argv[1:] if importlib.util.find_spec(n)]))"


Step = Callable[[Batch], Any]


class LostWorker(RuntimeError):
    """A worker ended before it was told to."""


class Worker:
    """One or several processes that take steps on request, and report the seconds; see `zoo.studies.peers.serve`.

    Args:
        command: what starts one.
        environments: what is added to the environment of each; one process for each of them.

    Raises:
        LostWorker: one ended while it started; the message ends with the last line that it wrote.
    """

    def __init__(self, command: Sequence[str], environments: Sequence[Mapping[str, str]] = ({},)) -> None:
        self.said = [tempfile.TemporaryFile("w+") for _ in environments]  # noqa: SIM115  # closed with the worker
        self.processes = [
            subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=said,
                text=True,
                env={**os.environ, **added},
            )
            for said, added in zip(self.said, environments, strict=True)
        ]
        self._answers()

    def turn(self, steps: int) -> float:
        """The seconds of so many steps; of several processes, those of the slowest.

        Raises:
            LostWorker: one ended; as above.
        """
        for process in self.processes:
            print(steps, file=process.stdin, flush=True)
        return max(float(answer) for answer in self._answers())

    def close(self) -> None:
        """Ends the processes."""
        for process in self.processes:
            assert process.stdin is not None
            process.stdin.close()
        for process in self.processes:
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            assert process.stdout is not None
            process.stdout.close()
        for said in self.said:
            said.close()

    def _answers(self) -> list[str]:
        return [self._answer(process, said) for process, said in zip(self.processes, self.said, strict=True)]

    def _answer(self, process: "subprocess.Popen[str]", said: IO[str]) -> str:
        assert process.stdout is not None
        if line := process.stdout.readline():
            return line.strip()
        process.wait()
        said.seek(0)
        last = [line.strip() for line in said if line.strip()] or [f"exit status {process.returncode}"]
        for one in self.processes:
            one.kill()
        self.close()
        raise LostWorker(last[-1])


def peer(python: Path, name: str, task: Mapping[str, Any]) -> Worker:
    """A worker of another library's steps, run by the interpreter `python`."""
    one_thread = torch.get_num_threads() == 1  # jax has no variable for the number of threads
    flags = {"XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"} if one_thread else {}
    return Worker([str(python), "-I", peers.__file__, json.dumps({"peer": name, **task})], [flags])


def ranks(module: str, task: Mapping[str, Any], count: int) -> Worker:
    """A worker of `count` processes that share every batch, each of which runs `module`."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = str(free.getsockname()[1])
    path = os.pathsep.join([str(Path(zoo.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    shared = {"WORLD_SIZE": str(count), "MASTER_ADDR": "localhost", "MASTER_PORT": port, "PYTHONPATH": path}
    each = [{**shared, "RANK": str(rank), "LOCAL_RANK": str(rank), "OMP_NUM_THREADS": "1"} for rank in range(count)]
    return Worker([sys.executable, "-m", module, json.dumps(task)], each)


def installed(python: Path) -> list[str]:
    """The peers that an interpreter can import.

    Raises:
        ValueError: it is no Python interpreter, or has none of them.
    """
    try:
        said = subprocess.run(
            [str(python), "-I", "-c", FINDS, *peers.PEERS], capture_output=True, text=True, timeout=60, check=True
        )
        found: list[str] = json.loads(said.stdout)
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        raise ValueError(
            f"{python} is no Python interpreter ({type(error).__name__}): give one, as environment/bin/python"
        ) from None
    if not found:
        raise ValueError(
            f"{python} has none of {', '.join(peers.PEERS)}: install one there with pip, or give another interpreter"
        )
    return found


Feed = tuple[Iterator[Batch], Step | Worker]


def in_turns(feeds: Mapping[str, Feed], device: torch.device, *, turns: int, steps: int) -> dict[str, float]:
    """The median over `turns` of the seconds of `steps` steps; a worker that ends is left out, and a line says so."""
    times: dict[str, list[float]] = {name: [] for name in feeds}
    lost: set[str] = set()
    try:
        for turn, (name, (batches, step)) in itertools.product(range(turns + 1), feeds.items()):
            if name in lost:
                continue
            began = time.perf_counter()
            if isinstance(step, Worker):
                try:
                    seconds = step.turn(steps)
                except LostWorker as error:
                    print(f"{name} is left out: {error}")
                    lost.add(name)
                    continue
            else:
                for batch in itertools.islice(batches, steps):
                    step(batch)
                _wait(device)
                seconds = time.perf_counter() - began
            if turn:  # the first turn is a warm-up for compilers and caches
                times[name].append(seconds)
    finally:
        for name, (_, step) in feeds.items():
            if isinstance(step, Worker) and name not in lost:
                step.close()
    return {name: statistics.median(values) for name, values in times.items() if name not in lost}


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
