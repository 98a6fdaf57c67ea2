"""Kills trainings and parallel sweeps at random moments, runs them again at once, and compares every byte they leave.

    PYTHONPATH=. python scripts/kills.py --kills 100 --sweeps 40 --pairs 6 --minutes 60

A run of `train` and a sweep with two jobs are done once without disturbance. Then each is begun, sent SIGKILL, SIGTERM
or SIGINT, and begun again at once, until it comes to its end. The moment is drawn over what is left: one in five falls
into the time before a step is taken, the others after a number of steps. Of the kills, --sweeps are of sweeps, where
the signal goes to the parent alone, or, one in four, SIGKILL to one of its workers. What it left has to equal the
undisturbed run's: terms.csv, units.csv, kl.csv and weights.safetensors of every run, and the sweep's table.csv. No
worker of a sweep may outlive its parent by more than two seconds.

--pairs commands of each kind are begun twice at once: `train --resume` of one run, and a sweep into one folder. One of
the two has to be refused by a line that names the other's process, and the folder has to equal the undisturbed one.

It ends when all are done, or after so many minutes, with a table in Markdown, and with exit status 1 if anything
differed.
"""

import argparse
import contextlib
import filecmp
import multiprocessing
import os
import random
import re
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

STEPS = ["--steps", "100", "--checkpoint-every", "10"]
TRAIN = ["train", "RECIPE", "--seed", "3", "--out", "run", *STEPS]
RESUME = ["train", "--resume", "run", "--checkpoint-every", "10"]
SWEEP = ["sweep", "RECIPE", "--seeds", "2", "--out", "out", "--jobs", "2", *STEPS]
COMPARED = ("terms.csv", "units.csv", "kl.csv", "weights.safetensors", "table.csv")
SIGNALS = (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT)

processes = multiprocessing.get_context("forkserver")  # its children have everything imported


def zoo(cwd: Path, recipe: str, arguments: list[str]) -> None:
    """The command line, as a process of its own sees it; it knows the recipe of the tests, too."""
    import torch

    from tests.small_recipe import RECIPES as SMALL
    from zoo.__main__ import main
    from zoo.papers.recipes import RECIPES

    signal.signal(signal.SIGINT, signal.default_int_handler)  # which a background job ignores
    os.chdir(cwd)
    os.dup2(os.open("said", os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 1)
    os.dup2(1, 2)
    sys.stdout = sys.stderr = os.fdopen(1, "w", buffering=1)
    torch.set_num_threads(1)
    sys.argv = ["zoo", *(recipe if word == "RECIPE" else word for word in arguments)]
    RECIPES.update(SMALL)
    main()


def start(cwd: Path, arguments: list[str]) -> multiprocessing.Process:
    """Begins the command in `cwd`."""
    process = processes.Process(target=zoo, args=(cwd, os.environ["RECIPE"], arguments))
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


def steps_taken(cwd: Path) -> int:
    """The steps in the tables of all runs."""
    tables = [path.read_bytes() for path in cwd.rglob("terms.csv")]
    return sum(max(0, table.count(b"\n") - 1) for table in tables)


def wait_for(process: multiprocessing.Process, cwd: Path, rng: random.Random, total: int) -> None:
    """Waits for the moment of a kill, or for the end of the process."""
    if rng.random() < 0.2:
        process.join(rng.uniform(0, 10))
        return
    goal = rng.uniform(steps_taken(cwd), total)
    while process.exitcode is None and steps_taken(cwd) < goal:
        process.join(0.02)
    process.join(rng.uniform(0, 0.2))


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


def at_once(name: str, what: str, whole: Path, rng: random.Random) -> list[str]:
    """Begins the same command twice in one folder; returns what is wrong with the end."""
    cwd = Path(name, "pair")
    (cwd / "a").mkdir(parents=True)
    (cwd / "b").mkdir()
    out = "out" if what == "sweep" else "run"
    for side in ("a", "b"):
        (cwd / side / out).symlink_to(cwd / out, target_is_directory=True)
    if what == "train":
        first = start(cwd, TRAIN)
        wait_for(first, cwd, rng, 100)
        os.kill(first.pid or 0, signal.SIGTERM)
        first.join()
    else:
        (cwd / out).mkdir()
    again = [*SWEEP[:-5], "1", *STEPS] if what == "sweep" else command(cwd, what)
    both = [start(cwd / side, again) for side in ("a", "b")]
    for process in both:
        process.join()
    said = [(cwd / side / "said").read_text() for side in ("a", "b")]
    wrong = differences(cwd / out, whole / out)
    codes = sorted(process.exitcode or 0 for process in both)
    # Where the second begins after the first has ended, it finds that nothing is left to do.
    after = any("nothing to resume" in text for text in said) or what == "sweep"
    refused = [text for text in said if re.search(r"is in use by process \d+", text)]
    if codes == [0, 1] and len(refused) == 1:
        print(f"{what} twice at once: {refused[0].strip().splitlines()[-1]}", flush=True)
    elif codes != [0, 0] or not after or "Traceback" in "".join(said):
        wrong.append(f"{what} twice at once: exit codes {codes}, and they say {said}")
    shutil.rmtree(cwd)
    return wrong


def main() -> None:
    """Kills, compares, and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--sweeps", type=int, default=30)
    parser.add_argument("--recipe", default="beta-vae", help="of the zoo, or small, of the tests, which draws nothing")
    parser.add_argument("--pairs", type=int, default=6)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    deadline = time.perf_counter() + 60 * asked.minutes
    os.environ["RECIPE"] = asked.recipe
    rng = random.Random(asked.seed)
    processes.set_forkserver_preload(["tests.small_recipe", "zoo.papers.recipes", "zoo.lab.trials.sweep"])
    wrong: list[str] = []
    pairs: Counter[str] = Counter()
    kills: Counter[tuple[str, str]] = Counter()
    ends: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as name:
        whole = Path(name, "whole")
        whole.mkdir()
        run(whole, ["list"])  # the imports
        goals = {"sweep": asked.sweeps, "train": asked.kills - asked.sweeps}
        seconds = {what: run(whole, command(whole, what)) for what in goals}
        print(f"undisturbed, in seconds: {seconds}", flush=True)
        twice = [what for what in sorted(seconds, reverse=True) for _ in range(asked.pairs)]
        totals = {"train": 100, "sweep": 200}  # steps
        while any(goals.values()) and time.perf_counter() < deadline:
            what = rng.choices(list(goals), list(goals.values()))[0]
            cwd = Path(name, "killed")
            cwd.mkdir()
            children: list[int] = []
            while goals[what] and time.perf_counter() < deadline:
                process = start(cwd, command(cwd, what))
                wrong += outlive(children)
                wait_for(process, cwd, rng, totals[what])
                if process.exitcode is not None:
                    break
                number, children = rng.choice(SIGNALS), workers(process)
                to = signal.Signals(number).name
                if children and rng.random() < 0.25:
                    number, to = signal.SIGKILL, "SIGKILL to a worker"
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(rng.choice(children), number)
                else:
                    os.kill(process.pid or 0, number)
                process.join()
                kills[what, to] += 1
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
            if twice:
                pairs[what := twice.pop()] += 1
                wrong += at_once(name, what, whole, rng)
        while twice and time.perf_counter() < deadline:
            pairs[what := twice.pop()] += 1
            wrong += at_once(name, what, whole, rng)
    print("| what | tried | wrong |\n| --- | ---: | ---: |")
    for (what, signal_name), count in sorted(kills.items()):
        print(f"| `{what}`{' --jobs 2' if what == 'sweep' else ''}, {signal_name} | {count} | |")
    for what, count in sorted(pairs.items()):
        print(f"| `{'train --resume' if what == 'train' else what}` twice at once | {count} | |")
    print(f"| all, of which {ends['train']} runs and {ends['sweep']} sweeps compared | | {len(wrong)} |")
    sys.exit("\n".join(wrong) if wrong else 0)


if __name__ == "__main__":
    main()
