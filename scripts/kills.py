"""Kills trainings and parallel sweeps at random moments, runs them again at once, and compares every byte they leave.

    PYTHONPATH=. python scripts/kills.py --kills 120 --sweeps 60 --pairs 6 --minutes 60

A run of `train` and a sweep with two jobs are done once without disturbance. Then each is begun, sent SIGKILL, SIGTERM
or SIGINT, and begun again at once, until it comes to its end. The moment is drawn in one of three ways: over the
seconds of the undisturbed run, over the steps that are left, or as the moment when a file of a certain name appears. Of
the kills, --sweeps are of sweeps, where the signal goes to the parent alone, or, one in four, SIGKILL to one of its
workers. What it left has to equal the undisturbed run's: terms.csv, units.csv, kl.csv and weights.safetensors of every
run, and the sweep's table.csv. A command that says that it saved has to have saved its last step, in every run. No
worker of a sweep may outlive its parent for more than a second of its own processor time (which a busy machine does not
stretch), or five if it is a new interpreter, which ends when it has started.

--pairs commands of each kind are begun twice at once: `train --resume` of one run, and a sweep into one folder. One of
the two has to be refused by a line that names the other's process, unless it begins after the other has ended, and the
folder has to equal the undisturbed one.

Every command is a copy of a process that has everything imported, and so are the workers of a sweep: a new interpreter
needs seconds to import PyTorch, in which a kill shows little. In a --fresh part of the cases the run is a new
interpreter, or the workers of the sweep are. The undisturbed sweep runs in one process.

It ends when all are done, or after so many minutes, with a table in Markdown, which counts copies and new interpreters
separately, and with exit status 1 if anything differed.
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
from functools import partial
from pathlib import Path

from tests.processes import _zoo, start, workers
from zoo.lab.runs import checkpoint

STEPS = ["--steps", "100", "--checkpoint-every", "10"]
RESUME = ["train", "--resume", "run", "--checkpoint-every", "10"]
TOTAL = {"train": 100, "sweep": 200}  # steps
FOLDER = {"train": "run", "sweep": "out"}
COMPARED = ("terms.csv", "units.csv", "kl.csv", "weights.safetensors", "table.csv")
APPEAR = {
    "train": ("run", "settings.json", "terms.csv", "checkpoint.safetensors", "weights.safetensors", "kl.csv"),
    "sweep": ("out", "settings.json", "checkpoint.safetensors", "weights.safetensors", "quantities.json", "table.csv"),
}
SIGNALS = (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
FOREVER = 300.0  # seconds after which a command counts as one that never ends


def begin(recipe: str, what: str) -> list[str]:
    """The arguments of the command that begins it."""
    if what == "sweep":
        return ["sweep", recipe, "--seeds", "2", "--out", "out", "--jobs", "2", *STEPS]
    return ["train", recipe, "--seed", "3", "--out", "run", *STEPS]


def again(cwd: Path, recipe: str, what: str) -> list[str]:
    """What a person types next."""
    settings = cwd / "run" / "settings.json"
    return RESUME if settings.is_file() and settings.stat().st_size else begin(recipe, what)


def end(process: multiprocessing.Process, cwd: Path) -> list[str]:
    """Waits for the end of a process; returns what is wrong with it."""
    process.join(FOREVER)
    if process.exitcode is not None:
        return []
    process.kill()
    process.join()
    return [f"did not end within {FOREVER:.0f} s; it said:\n{(cwd / 'said').read_text()}"]


def send(number: signal.Signals, pid: int | None) -> None:
    """Sends a signal to a process, if it has not just ended."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid or 0, number)


def used(pid: int) -> float | None:
    """Seconds of processor time that the process has used; None of one that has ended."""
    try:
        state, *fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return None
    return None if state == "Z" else (int(fields[10]) + int(fields[11])) / os.sysconf("SC_CLK_TCK")


def outlive(children: dict[int, float], most: float) -> list[str]:
    """The workers that go on, by more than so many seconds of processor time, when their parent has ended.

    Args:
        children: by process id, the processor time that each had used when its parent was killed.
        most: seconds.
    """
    deadline = time.perf_counter() + 60
    left = dict(children)
    while left and time.perf_counter() < deadline:
        now = {child: used(child) for child in left}
        left = {child: left[child] for child, seconds in now.items() if seconds is not None}
        if found := [f"worker {child} goes on" for child in left if (now[child] or 0.0) > left[child] + most]:
            return found
        time.sleep(0.01)
    return [f"worker {child} lives on" for child in left]


def rows(table: Path) -> int:
    """The steps in a table."""
    return max(0, table.read_bytes().count(b"\n") - 1)


def steps_taken(cwd: Path) -> int:
    """The steps in the tables of all runs."""
    return sum(map(rows, cwd.rglob("terms.csv")))


def wait_for_a_moment(
    process: multiprocessing.Process, cwd: Path, rng: random.Random, what: str, seconds: float
) -> None:
    """Waits for the moment of a kill, or for the end of the process."""
    way = rng.choice(("seconds", "steps", "file"))
    if way == "seconds":
        process.join(rng.uniform(0, seconds))
        return
    if way == "steps":
        goal, measure = rng.uniform(steps_taken(cwd), TOTAL[what]), steps_taken
    else:
        name = rng.choice(APPEAR[what])
        goal, measure = 1 + len(list(cwd.rglob(name))), lambda cwd: len(list(cwd.rglob(name)))
    while process.exitcode is None and measure(cwd) < goal:
        process.join(0.005)
    process.join(rng.uniform(0, 0.1))


def unsaved(cwd: Path, before: dict[Path, bytes]) -> list[str]:
    """The runs that a command which says that it saved left with another last step than their checkpoint's."""
    found = []
    for table in cwd.rglob("terms.csv"):
        if table.read_bytes() == before.get(table):
            continue  # as an earlier kill left it: this command did not come to this run
        saved = table.with_name("checkpoint.safetensors")
        step = checkpoint.load(saved)["step"] if saved.is_file() else 0
        if step != rows(table):
            found.append(f"{table} has {rows(table)} steps, and its checkpoint has {step}")
    return found


def differences(folder: Path, whole: Path) -> list[str]:
    """The files that are not those of the undisturbed run."""
    names = sorted(path.relative_to(whole) for path in whole.rglob("*") if path.name in COMPARED)
    there = sorted(path.relative_to(folder) for path in folder.rglob("*") if path.name in COMPARED)
    if names != there:
        return [f"{folder} has {len(there)} files, {whole} has {len(names)}"]
    return [f"{folder / name} differs" for name in names if not filecmp.cmp(folder / name, whole / name, shallow=False)]


def start_fresh(cwd: Path, *arguments: str) -> multiprocessing.Process:
    """As `tests.processes.start`, but the command's own process is a new interpreter."""
    process = multiprocessing.get_context("spawn").Process(target=_zoo, args=(cwd, [*arguments], None, True))
    process.start()
    return process


class Kills:
    """What was done so far.

    Attributes:
        kills: the number of kills by command, signal, and whether the run or the workers were new interpreters.
        ended: the number of killed commands that came to their end and were compared, by command and likewise.
        pairs: the number of commands begun twice at once.
        wrong: what should not be.
    """

    def __init__(self, recipe: str, folder: Path, rng: random.Random, fresh: float) -> None:
        self.recipe, self.folder, self.rng, self.fresh = recipe, folder, rng, fresh
        self.whole = folder / "whole"
        self.whole.mkdir()
        self.kills: Counter[tuple[str, str, bool]] = Counter()
        self.ended: Counter[tuple[str, bool]] = Counter()
        self.pairs: Counter[str] = Counter()
        self.wrong: list[str] = []
        self.seconds: dict[str, float] = {}

    def undisturbed(self) -> None:
        """Runs both commands to their end, once to compare with, and once for the time that it takes."""
        timed = self.folder / "timed"
        timed.mkdir()
        for cwd, more in ((self.whole, ["--jobs", "1"]), (timed, [])):
            for what in FOLDER:
                began = time.perf_counter()
                command = [*begin(self.recipe, what), *(more if what == "sweep" else [])]
                process = start(cwd, *command, fresh=False)
                if end(process, cwd) or process.exitcode:
                    raise SystemExit((cwd / "said").read_text())
                self.seconds[what] = time.perf_counter() - began
        for out in FOLDER.values():
            self.wrong += differences(timed / out, self.whole / out)
        shutil.rmtree(timed)

    def case(self, what: str, most: int, deadline: float) -> None:
        """Kills one command at most so many times, until it ends, and compares what it left."""
        rng, cwd = self.rng, self.folder / "killed"
        cwd.mkdir()
        fresh = rng.random() < self.fresh
        begun = start_fresh if fresh and what == "train" else partial(start, fresh=fresh)
        children: dict[int, float] = {}
        on = 5.0 if fresh else 1.0  # seconds
        for _ in range(most):
            before = {path: path.read_bytes() for path in cwd.rglob("terms.csv")}
            process = begun(cwd, *again(cwd, self.recipe, what))
            self.wrong += outlive(children, on)
            wait_for_a_moment(process, cwd, rng, what, self.seconds[what])
            children = {child: used(child) or 0.0 for child in workers(process)}
            if process.exitcode is not None or time.perf_counter() > deadline:
                break
            self._kill(process, what, fresh, cwd, children, before)
        self.wrong += end(process, cwd)
        process = begun(cwd, *again(cwd, self.recipe, what))  # of a finished run this says so
        self.wrong += outlive(children, on) + end(process, cwd)
        if process.exitcode:
            self.wrong.append((cwd / "said").read_text())
        self.wrong += differences(cwd / FOLDER[what], self.whole / FOLDER[what])
        self.ended[what, fresh] += 1
        shutil.rmtree(cwd)

    def _kill(
        self,
        process: multiprocessing.Process,
        what: str,
        fresh: bool,
        cwd: Path,
        children: dict[int, float],
        before: dict[Path, bytes],
    ) -> None:
        number, name = (number := self.rng.choice(SIGNALS)), number.name
        if children and self.rng.random() < 0.25:
            number, name = signal.SIGKILL, "SIGKILL to a worker"
            send(number, self.rng.choice(list(children)))
        else:
            send(number, process.pid)
        self.wrong += end(process, cwd)
        self.kills[what, name, fresh] += process.exitcode != 0  # else it had just ended
        said = (cwd / "said").read_text() if (cwd / "said").is_file() else ""
        if "Traceback" in said and number != signal.SIGINT:
            self.wrong.append(f"{what}: a traceback after {name}:\n{said}")
        if process.exitcode == 128 + number:
            self.wrong += unsaved(cwd, before)

    def pair(self, what: str) -> None:
        """Begins the same command twice in one folder."""
        cwd, out = self.folder / "pair", FOLDER[what]
        for side in ("a", "b"):
            (cwd / side).mkdir(parents=True)
            (cwd / side / out).symlink_to(cwd / out, target_is_directory=True)
        if what == "train":
            first = start(cwd, *begin(self.recipe, what))
            while not (cwd / out / "settings.json").is_file():
                first.join(0.005)
            wait_for_a_moment(first, cwd, self.rng, what, self.seconds[what])
            send(signal.SIGTERM, first.pid)
            self.wrong += end(first, cwd)
        else:
            (cwd / out).mkdir()
        command = again(cwd, self.recipe, what)
        both = [start(cwd / side, *command, fresh=False) for side in ("a", "b")]
        for side, process in zip(("a", "b"), both, strict=True):
            self.wrong += end(process, cwd / side)
        said = [(cwd / side / "said").read_text() for side in ("a", "b")]
        self.wrong += differences(cwd / out, self.whole / out)
        codes = sorted(process.exitcode or 0 for process in both)
        # Where the second begins after the first has ended, it finds that nothing is left to do.
        after = any("nothing to resume" in text for text in said) or what == "sweep"
        refused = [text for text in said if re.search(r"is in use by process \d+", text)]
        if codes == [0, 1] and len(refused) == 1:
            print(f"{what} twice at once: {refused[0].strip().splitlines()[-1]}", flush=True)
        elif codes != [0, 0] or not after or "Traceback" in "".join(said):
            self.wrong.append(f"{what} twice at once: exit codes {codes}, and they say {said}")
        self.pairs[what] += 1
        shutil.rmtree(cwd)

    def killed(self, what: str) -> int:
        """The number of kills of a command so far."""
        return sum(count for (of, _, _), count in self.kills.items() if of == what)

    def table(self) -> str:
        """The counts, in Markdown."""
        lines = ["| what | tried, copies | tried, new interpreters | wrong |", "| --- | ---: | ---: | ---: |"]
        for what, name in sorted({(what, name) for what, name, _ in self.kills}):
            copies, new = (self.kills[what, name, fresh] for fresh in (False, True))
            lines.append(f"| `{what}`{' --jobs 2' if what == 'sweep' else ''}, {name} | {copies} | {new} | |")
        for what, count in sorted(self.pairs.items()):
            lines.append(f"| `{'train --resume' if what == 'train' else what}` twice at once | {count} | 0 | |")
        copies, new = (
            f"{self.ended['train', fresh]} runs and {self.ended['sweep', fresh]} sweeps" for fresh in (False, True)
        )
        return "\n".join([*lines, f"| came to their end and were compared | {copies} | {new} | {len(self.wrong)} |"])


def main() -> None:
    """Kills, compares, and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=120)
    parser.add_argument("--sweeps", type=int, default=60)
    parser.add_argument("--recipe", default="small", help="of the zoo, or small, of the tests, which draws little")
    parser.add_argument("--pairs", type=int, default=6)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--fresh", type=float, default=0.1, help="part of the cases with new interpreters")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    deadline = time.perf_counter() + 60 * asked.minutes
    rng = random.Random(asked.seed)
    with tempfile.TemporaryDirectory() as name:
        done = Kills(asked.recipe, Path(name), rng, asked.fresh)
        done.undisturbed()
        print(f"undisturbed, in seconds: {done.seconds}", flush=True)
        twice = [what for what in FOLDER for _ in range(asked.pairs)]
        while time.perf_counter() < deadline:
            runs = asked.kills - asked.sweeps
            left = {"train": runs - done.killed("train"), "sweep": asked.sweeps - done.killed("sweep")}
            before = len(done.wrong)
            if any(left.values()):
                what = rng.choices(list(left), list(left.values()))[0]
                done.case(what, left[what], deadline)
                print(f"{done.kills.total()} kills, the last of {what}, {len(done.wrong)} wrong", flush=True)
            if twice:
                done.pair(twice.pop(rng.randrange(len(twice))))
            elif not any(left.values()):
                break
            print("\n".join(done.wrong[before:]), end="", flush=True)
    print(done.table())
    sys.exit(bool(done.wrong))


if __name__ == "__main__":
    main()
