"""The shell scripts, with small programs in place of Python, pip and pytest: what ends them, and with what status.

The check, the bench and the queue themselves have tests of their own.
"""

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
COMPILED = "a recipe differs, see runs/one-gpu/device.txt: training goes on without --compile"

pytestmark = pytest.mark.skipif(
    os.name != "posix" or not all(map(shutil.which, ("bash", "timeout", "tee", "awk"))),
    reason="a shell script for machines with coreutils",
)


@pytest.fixture
def programs(tmp_path, monkeypatch):
    """Puts programs, by name, before all others; the scripts are copies in an empty checkout."""
    for script in (".ci/run", "scripts/one-gpu.sh"):
        (tmp_path / script).parent.mkdir()
        shutil.copy(ROOT / script, tmp_path / script)
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    for name in ("DEVICE", "MINUTES", "JOBS", "BUDGET", "SEEDS", "RUNS", "OUT", "WEIGHTS"):
        monkeypatch.delenv(name, raising=False)

    def put(**texts):
        for name, text in texts.items():
            path = tmp_path / "bin" / name
            path.write_text(f"#!/usr/bin/env bash\n{text}\n")
            path.chmod(0o755)

    return put


def ran(folder, script, *arguments, **variables):
    """The script's status, and what it said, errors included."""
    done = subprocess.run(
        ["bash", folder / script, *arguments],
        env={**os.environ, **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
    )
    return done.returncode, done.stdout


def python(check="", bench="", queue="", plan=""):
    """A Python that writes its arguments to the file "asked", and does this in place of a part of one-gpu.sh."""
    return f"""
echo "$*" >> asked
case "$*" in
    -*device_check*) {check or ":"} ;;
    *bench*) {bench or ":"} ;;
    *--plan*) {plan or ":"} ;;
    *--queue*) {queue or ":"} ;;
esac
"""


def asked(folder):
    """The commands that Python was given: the device, the plan, the check, the bench, the queue and the pages."""
    return (folder / "asked").read_text().splitlines()


@pytest.mark.parametrize(("install", "tests", "status"), [(0, 0, 0), (3, 0, 3), (0, 4, 4)])
def test_ci_ends_with_the_status_of_the_install_or_of_the_tests(install, tests, status, programs, tmp_path):
    """Before: where the install failed no test ran, and the status was 0."""
    programs(
        python3='mkdir "$3/bin" && touch "$3/bin/activate"',
        pip=f'case "$*" in *test*) exit {install} ;; esac',
        pytest=f"exit {tests}",
        ruff="touch linted",
        mypy="true",
    )
    assert ran(tmp_path, ".ci/run") == (status, "")
    assert (tmp_path / "linted").exists() == (status == 0)


def test_ci_runs_the_readmes_test_command():
    readme, script = ((ROOT / name).read_text(encoding="utf-8").splitlines() for name in ("README.md", ".ci/run"))
    (command,) = [line.strip() for line in readme if line.endswith("&& pytest")]
    assert command in map(str.strip, script)


@pytest.mark.parametrize(("name", "value"), [*[("MINUTES", v) for v in ("0.5", "1h", "0", "-1", "x")], ("JOBS", "0")])
def test_a_number_that_is_none_ends_the_script_first(name, value, programs, tmp_path):
    """Before: errors of arithmetic, then the whole script, and status 0."""
    programs(python=python())
    status, said = ran(tmp_path, "scripts/one-gpu.sh", **{name: value})
    assert said == (
        f"error: {name} must be a whole number from 1 to 999,999, got '{value}': give for example {name}=15\n"
    )
    assert status == 2
    assert not (tmp_path / "asked").exists()


def test_minutes_with_a_leading_zero_are_not_octal(programs, tmp_path):
    programs(python=python())
    status, said = ran(tmp_path, "scripts/one-gpu.sh", MINUTES="09")
    assert status == 0, said
    (queue,) = [line for line in asked(tmp_path) if "--hours" in line]
    hours = float(queue.split("--hours ")[1].split()[0])
    assert hours == pytest.approx(0.85 * 9 / 60, rel=0.1)


@pytest.mark.parametrize(
    ("check", "compiles"),
    [
        ("echo vae: equal", True),
        ("echo vae: equal; exit 124", True),
        ("echo vae: differs: compiled, step 1; exit 1", False),
        ("echo vae: differs: compiled, step 1; echo hfvae: equal; exit 124", False),
        ("echo vae: failed: RuntimeError; exit 124", False),
        ("exit 1", False),
    ],
)
def test_a_recipe_that_differs_is_not_compiled_though_another_one_ran_out_of_time(check, compiles, programs, tmp_path):
    """Before: with status 124 the recipe that differed was trained with --compile."""
    programs(python=python(check))
    status, said = ran(tmp_path, "scripts/one-gpu.sh", MINUTES="1")
    assert status == 0, said
    assert ("--compile" in asked(tmp_path)[-2]) == compiles
    assert (COMPILED in said) != compiles


def test_a_mistyped_reproduction_ends_the_script_before_the_check(programs, tmp_path):
    """Before: it was found after the check and the bench, which had taken their share of the time."""
    programs(python=python(plan="echo a table; echo 'error: unknown reproduction' >&2; exit 1"))
    assert ran(tmp_path, "scripts/one-gpu.sh", "vea", BUDGET="short") == (1, "error: unknown reproduction\n")
    assert asked(tmp_path)[1:] == ["-m zoo reproduce vea --budget short --plan"]
    (tmp_path / "asked").unlink()
    message = "error: BUDGET must be full or short, got 'fall'\n"
    assert ran(tmp_path, "scripts/one-gpu.sh", BUDGET="fall") == (2, message)
    assert not (tmp_path / "asked").exists()


def interrupted(folder, begun):
    """The script's status and words when Ctrl-C comes once the file `begun` is there; a terminal signals the group."""
    with subprocess.Popen(
        ["bash", folder / "scripts/one-gpu.sh"],
        env={**os.environ, "MINUTES": "2"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # which a shell's background job ignores
    ) as process:
        end = time.monotonic() + 90  # on a busy machine each of the programs before takes seconds to begin
        while not (folder / begun).exists() and time.monotonic() < end:
            time.sleep(0.05)
        has_begun = (folder / begun).exists()
        os.killpg(process.pid, signal.SIGINT)
        said, _ = process.communicate(timeout=30)
    assert has_begun, said
    return process.returncode, said


@pytest.mark.parametrize("part", ["check", "bench"])
def test_ctrl_c_ends_the_check_and_the_bench(part, programs, tmp_path):
    """Before: timeout's own process group did not get it, and they went on."""
    programs(python=python(**{part: "touch begun; exec sleep 20"}))
    status, said = interrupted(tmp_path, "begun")
    assert status == 130
    assert said.endswith("stopped by SIGINT before the queue; give the same command again\n")


def test_after_ctrl_c_the_queue_still_says_and_keeps_what_has_finished(programs, tmp_path):
    """Before: tee ended, and with the queue's next message the queue did."""
    ends = "sleep 0.5; echo no weights of vae are kept; touch kept; exit 130"
    programs(python=python(queue=f"trap '{ends}' INT; touch begun; sleep 20"))
    status, said = interrupted(tmp_path, "begun")
    assert (tmp_path / "kept").exists()
    assert (tmp_path / "runs/one-gpu/queue.txt").read_text() == "no weights of vae are kept\n"
    assert status == 130
    assert "give the same command to continue" in said
