"""A folder belongs to one process, and to nobody once that has ended."""

import os
import socket
from pathlib import Path

import pytest

from tests.processes import processes
from zoo.lab.files import read_record, write_file, write_record
from zoo.lab.runs.folder import free_folder, new_folder, read_settings
from zoo.lab.runs.lock import LOCK, OWNER, claim, locked, unclaim


def _hold(folder: Path, held, done) -> None:
    with locked(folder):
        held.set()
        done.wait()


@pytest.fixture
def holder(tmp_path):
    """A process that holds the folder until it is asked to let go."""
    held, done = processes.Event(), processes.Event()
    process = processes.Process(target=_hold, args=(tmp_path / "run", held, done))
    process.start()
    assert held.wait(60)
    yield process, done
    process.kill()
    process.join()


def test_the_second_process_is_refused_by_a_line_that_names_the_first(holder, tmp_path):
    process, done = holder
    expected = rf"run is in use by process {process.pid} on {socket.gethostname()}: wait until it has ended, or stop it"
    with pytest.raises(BlockingIOError, match=expected), locked(tmp_path / "run"):
        pass
    with pytest.raises(FileExistsError, match=rf"{expected}; or name another folder with --out"):
        new_folder(tmp_path / "run")
    assert free_folder(tmp_path, "run").name == "run-2"
    unclaim(tmp_path / "run-2")
    done.set()
    process.join()
    with locked(tmp_path / "run"):
        assert (tmp_path / "run" / f"{LOCK}{OWNER}").read_text() == f"process {os.getpid()} on {socket.gethostname()}"
    assert [path.name for path in (tmp_path / "run").iterdir()] == [LOCK]


def test_the_lock_of_a_killed_process_is_taken_over(holder, tmp_path):
    process, _ = holder
    process.kill()
    process.join()
    assert (tmp_path / "run" / f"{LOCK}{OWNER}").read_text().startswith(f"process {process.pid} ")
    with locked(tmp_path / "run"):
        assert (tmp_path / "run" / f"{LOCK}{OWNER}").read_text().startswith(f"process {os.getpid()} ")


def test_who_waits_gets_the_folder_when_it_is_let_go(holder, tmp_path):
    process, done = holder
    done.set()
    with locked(tmp_path / "run", wait=60):
        process.join()


def test_a_claim_is_taken_over_by_the_run_and_ends_with_it(tmp_path):
    claim(tmp_path)
    with pytest.raises(BlockingIOError, match=f"in use by process {os.getpid()}"):
        claim(tmp_path)
    with locked(tmp_path), pytest.raises(BlockingIOError), locked(tmp_path):
        pass
    with locked(tmp_path):  # nobody has it any more
        pass


def test_a_folder_that_was_claimed_and_never_written_to_is_new_again(tmp_path):
    folder = new_folder(tmp_path / "run")
    with pytest.raises(FileExistsError, match="in use by process"):  # as long as its process lives
        new_folder(folder)
    unclaim(folder)
    with pytest.raises(ValueError, match="was stopped before it began: give the command that began it again"):
        read_settings(folder)
    (folder / "settings.json").touch()  # version 0.1's claim
    unclaim(new_folder(folder))
    (folder / "settings.json").write_text("{}")
    with pytest.raises(
        FileExistsError,
        match=r"run is in use: name another one with --out, resume it with python -m zoo train --resume \S+/run, or r",
    ):
        new_folder(folder)


def test_a_folder_that_cannot_be_made_says_why(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match=r"file/run cannot be written \(Not a directory\): name another one with --out"):
        new_folder(tmp_path / "file" / "run")


def test_a_symbolic_link_in_the_place_of_a_half_written_file_is_not_followed(tmp_path):
    victim, path = tmp_path / "victim", tmp_path / "file"
    victim.write_text("precious")
    path.with_name("file.part").symlink_to(victim)
    write_file(path, b"new")
    assert victim.read_text() == "precious"
    assert path.read_text() == "new"
    assert not path.is_symlink()


def test_a_record_notices_every_flipped_bit_of_its_values(tmp_path):
    path = tmp_path / "record"
    record = {"steps": 300, "lr": 1e-3, "nested": {"a": [1, None, True, "x"]}}
    write_record(path, record)
    assert read_record(path) == record
    whole = path.read_bytes()
    for at in range(len(whole)):
        for bit in range(8):
            path.write_bytes(whole[:at] + bytes([whole[at] ^ 1 << bit]) + whole[at + 1 :])
            try:
                read = read_record(path)
            except ValueError as error:
                assert str(error).startswith(f"{path} is damaged")  # noqa: PT017
            else:  # white space, or the word "digest" itself
                assert {key: read.get(key) for key in record} == record
    path.write_text('{"steps": 300}')
    assert read_record(path) == {"steps": 300}  # version 0.1 wrote no digest
    for content in ("[1]", "3", "", "{", "[" * 100_000, "\x80"):
        path.write_text(content, encoding="latin-1")
        with pytest.raises(ValueError, match=r"record is damaged"):
            read_record(path)


def test_a_link_to_nothing_is_named_and_not_said_to_be_in_use(tmp_path):
    (tmp_path / "runs").symlink_to(tmp_path / "unmounted")
    broken = rf"{tmp_path}/runs is a symbolic link to {tmp_path}/unmounted, which does not exist"
    for folder in (tmp_path / "runs", tmp_path / "runs" / "mine"):
        with pytest.raises(OSError, match=rf"cannot be written \({broken}\): name another one with --out"):
            new_folder(folder)
        with pytest.raises(NotADirectoryError, match=broken), locked(folder):
            pass
    with pytest.raises(OSError, match=broken):  # and no number after its name would help
        free_folder(tmp_path / "runs", "vae")
    (tmp_path / "vae").symlink_to(tmp_path / "unmounted")
    (tmp_path / "vae-2").touch()
    assert free_folder(tmp_path, "vae").name == "vae-3"
    with pytest.raises(OSError, match=r"vae-2 cannot be written \(\S+/vae-2 is not a folder\)"):
        new_folder(tmp_path / "vae-2")
    (tmp_path / "unmounted").mkdir()
    assert new_folder(tmp_path / "runs").is_dir()
