"""Kills trainings and parallel sweeps at random moments, runs them again at once, and compares every byte they leave.

    python scripts/kills.py --kills 100 --sweeps 30 --minutes 30

A run of `train` and a sweep with two jobs are done once without disturbance. Then each is begun, sent SIGKILL, SIGTERM
or SIGINT at a moment drawn uniformly over its length, and begun again at once, until it comes to its end. Of the kills,
--sweeps are of sweeps, where the signal goes to the parent alone. What it left has to equal the undisturbed run's:
terms.csv, units.csv, kl.csv and weights.safetensors of every run, and the sweep's table.csv. No worker of a sweep may
outlive its parent by more than two seconds.

It ends when all kills are done, or after so many minutes, and with exit status 1 if anything differed.
"""

import argparse
import filecmp
import multiprocessing
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

STEPS = ["--steps", "100", "--checkpoint-every", "10"]
TRAIN = ["train", "beta-vae", "--seed", "3", "--out", "run", *STEPS]
RESUME = ["train", "--resume", "run", "--checkpoint-every", "10"]
SWEEP = ["sweep", "beta-vae", "--grid", "beta=1,4", "--seeds", "1", "--out", "out", "--jobs", "2", *STEPS]
COMPARED = ("terms.csv", "units.csv", "kl.csv", "weights.safetensors", "table.csv")
SIGNALS = (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT)

processes = multiprocessing.get_context("forkserver")  # its children have everything imported


def zoo(cwd: Path, arguments: list[str]) -> None:
    """The command line, as a process of its own sees it."""
    import torch

    from zoo.__main__ import main

    signal.signal(signal.SIGINT, signal.default_int_handler)  # which a background job ignores
    os.chdir(cwd)
    os.dup2(os.open("said", os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 1)
    os.dup2(1, 2)
    sys.stdout = sys.stderr = os.fdopen(1, "w", buffering=1)
    torch.set_num_threads(1)
    sys.argv = ["zoo", *arguments]
    main()


def start(cwd: Path, arguments: list[str]) -> multiprocessing.Process:
    """Begins the command in `cwd`."""
    process = processes.Process(target=zoo, args=(cwd, arguments))
    process.start()
    return process  # type: ignore[return-value]


def run(cwd: Path, arguments: list[str]) -> float:
    """Runs the command to its end; returns the seconds."""
    began = time.perf_counter()
    process = start(cwd, arguments)
    process.join()
    if process.exitcode:
        raise SystemExit(f"{arguments}:\n{(cwd / 'said').read_text()}")
    return time.perf_counter() - began


def command(cwd: Path, what: str) -> list[str]:
    """What a person types next."""
    if what == "sweep":
        return SWEEP
    settings = cwd / "run" / "settings.json"
    return RESUME if settings.is_file() and settings.stat().st_size else TRAIN


def workers(process: multiprocessing.Process) -> list[int]:
    """The processes in which a sweep runs its trials."""
    try:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        return [int(child) for child in children if b"popen_loky" in Path(f"/proc/{child}/cmdline").read_bytes()]
    except OSError:  # one has just ended
        return []


def alive(pid: int) -> bool:
    """Whether the process lives, and is not waiting to be buried."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def outlive(children: list[int]) -> list[str]:
    """The workers that live on two seconds after their parent."""
    deadline = time.perf_counter() + 2
    while any(map(alive, children)) and time.perf_counter() < deadline:
        time.sleep(0.01)
    return [f"worker {child} lives on" for child in children if alive(child)]


def differences(folder: Path, whole: Path) -> list[str]:
    """The files that are not those of the undisturbed run."""
    names = sorted(path.relative_to(whole) for path in whole.rglob("*") if path.name in COMPARED)
    there = sorted(path.relative_to(folder) for path in folder.rglob("*") if path.name in COMPARED)
    if names != there:
        return [f"{folder} has {len(there)} files, {whole} has {len(names)}"]
    return [f"{folder / name} differs" for name in names if not filecmp.cmp(folder / name, whole / name, shallow=False)]


def main() -> None:
    """Kills, compares, and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--sweeps", type=int, default=30)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    deadline = time.perf_counter() + 60 * asked.minutes
    rng = random.Random(asked.seed)
    processes.set_forkserver_preload(["zoo.__main__"])
    wrong: list[str] = []
    kills: Counter[tuple[str, str]] = Counter()
    ends: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as name:
        whole = Path(name, "whole")
        whole.mkdir()
        run(whole, ["list"])  # the imports
        goals = {"sweep": asked.sweeps, "train": asked.kills - asked.sweeps}
        seconds = {what: run(whole, command(whole, what)) for what, kills_left in goals.items() if kills_left}
        print(f"undisturbed, in seconds: {seconds}", flush=True)
        while any(goals.values()) and time.perf_counter() < deadline:
            what = rng.choices(list(goals), list(goals.values()))[0]
            cwd = Path(name, "killed")
            cwd.mkdir()
            children: list[int] = []
            while goals[what] and time.perf_counter() < deadline:
                process = start(cwd, command(cwd, what))
                wrong += outlive(children)
                process.join(rng.uniform(0, seconds[what]))
                if process.exitcode is not None:
                    break
                number, children = rng.choice(SIGNALS), workers(process)
                os.kill(process.pid or 0, number)
                process.join()
                kills[what, signal.Signals(number).name] += 1
                goals[what] -= 1
                if "Traceback" in (said := (cwd / "said").read_text()) and number != signal.SIGINT:
                    wrong.append(f"a traceback after {signal.Signals(number).name}:\n{said}")
            process = start(cwd, command(cwd, what))  # of a finished run this says so
            process.join()
            if process.exitcode:
                wrong.append((cwd / "said").read_text())
            out = "out" if what == "sweep" else "run"
            wrong += differences(cwd / out, whole / out)
            ends[what] += 1
            print(f"{sum(kills.values())} kills, {what} {'differs' if wrong else 'equal'}", flush=True)
            shutil.rmtree(cwd)
    print("| what | signal | kills |\n| --- | --- | ---: |")
    for (what, signal_name), count in sorted(kills.items()):
        print(f"| {what} | {signal_name} | {count} |")
    print(f"{ends['train']} trainings and {ends['sweep']} sweeps came to their end; wrong: {len(wrong)}")
    sys.exit("\n".join(wrong) if wrong else 0)


if __name__ == "__main__":
    main()
