"""Atomic writes of files, and JSON records with a digest that shows whether they were changed."""

import errno
import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from zoo.lab.errors import first_line

REMEDY = "put a copy back, or write it again"


def write_file(path: Path, content: bytes | str) -> None:
    """Replaces a file atomically: after a crash at any moment it has the old content or the new.

    A text is written as UTF-8, as `readable` returns it.

    Raises:
        OSError: as `open` and `write`, with the file's name; the old content is kept.
    """
    with replacing(path) as part, part.open("wb") as file:
        file.write(readable(content).encode() if isinstance(content, str) else content)


def make_folder(path: Path) -> None:
    """Makes a folder and those above it; one that exists is kept.

    Raises:
        NotADirectoryError: a file, or a symbolic link to nothing, has the name of one of them; the message says which.
        OSError: as `Path.mkdir`.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        there = next((p for p in (path, *path.parents) if os.path.lexists(p) and not p.is_dir()), None)
        if there is None:  # another process has made it in this moment
            return
        broken = there.is_symlink() and not there.exists()
        what = f"is a symbolic link to {os.readlink(there)}, which does not exist" if broken else "is not a folder"
        raise NotADirectoryError(errno.ENOTDIR, f"{there} {what}", str(path)) from None


def readable(text: str) -> str:
    r"""The text, with \udce9 and the like in place of bytes of a file's name that are not UTF-8.

    Python keeps these bytes in a text that can neither be written nor drawn. Two names stay two.
    """
    return text.encode(errors="backslashreplace").decode()


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """The name of an empty file, PATH.part, which takes the place of `path` when the block ends without an error.

    It is always a new file: an existing one, such as a symbolic link, is removed and not followed.

    Raises:
        OSError: the file cannot be written; the message names it. The old content is kept.
    """
    part = path.with_name(path.name + ".part")
    with naming(path):
        try:
            part.unlink(missing_ok=True)
            part.open("xb").close()
            yield part
            with part.open("rb+") as file:
                os.fsync(file.fileno())
            part.replace(path)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
        if os.name == "posix":  # the new name also has to survive a power failure
            folder = os.open(path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Adds the file's name to an `OSError` without one, such as that of a full disk."""
    try:
        yield
    except OSError as error:
        if error.errno is not None and error.filename is None:
            error.filename = str(path)
        raise


def write_record(path: Path, record: Mapping[str, Any]) -> None:
    """Writes a record as JSON, together with its digest, for `read_record`.

    Raises:
        OSError: as `write_file`.
    """
    plain = json.loads(json.dumps(record))
    write_file(path, json.dumps({**plain, "digest": _digest(plain)}, indent=2) + "\n")


def read_record(path: Path) -> dict[str, Any]:
    """Reads what `write_record` wrote; a record without a digest, as written by version 0.1, is accepted.

    Raises:
        FileNotFoundError: there is no such file.
        OSError: it cannot be read; the message names it.
        ValueError: it holds no JSON object, or was changed since it was written; the message names the file.
    """
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise FileNotFoundError(f"{path} is missing: put it back, or write it again") from None
    except OSError as error:
        raise OSError(f"{path} cannot be read ({error.strerror}): it must be a file that this user may read") from error
    except (ValueError, RecursionError) as error:
        what = "it cannot be decoded" if isinstance(error, UnicodeError) else first_line(error)
        raise ValueError(f"{path} is damaged: it must hold JSON ({what}); {REMEDY}") from error
    if not isinstance(record, dict):
        raise ValueError(f"{path} is damaged: it holds a {type(record).__name__} in place of named values; {REMEDY}")
    digest = record.pop("digest", None)
    if digest is None:  # the name of the digest may be what is damaged
        digest = next((v for v in record.values() if isinstance(v, str) and re.fullmatch(r"[0-9a-f]{64}", v)), None)
    if digest not in (None, _digest(record)):
        raise ValueError(
            f"{path} is damaged, or was changed since it was written: its digest differs. "
            'If the change was intended, remove "digest" from it'
        )
    return record


def _digest(record: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()
