"""Downloads over https only; a file is kept only if its digest is the known one."""

import contextlib
import hashlib
import os
import tempfile
import time
import urllib.error
import urllib.request
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

TIMEOUT = 60.0  # seconds without an answer
DAY = 24 * 3600.0


def check_digest(what: str, path: Path, digest: str) -> None:
    """Checks that a file has the known digest.

    Args:
        what: the name of the data set, for the message.
        path: of the file.
        digest: its hash function and value, as in "sha256:1a2b...".

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file cannot be read, or has another digest.
    """
    kind, _, expected = digest.partition(":")
    try:
        with path.open("rb") as file:
            found = hashlib.new(kind, usedforsecurity=False)
            while part := file.read(2**20):
                found.update(part)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise ValueError(f"data {what!r}: {path} cannot be read: {error}") from error
    if found.hexdigest() != expected:
        raise ValueError(
            f"data {what!r}: {path} is not the published file: its {kind} is {found.hexdigest()}, not {expected}. "
            "Remove it, and fetch it again"
        )


def fetch(
    what: str, url: str, path: Path, digest: str, *, most: int, unpack: Callable[[bytes], bytes] | None = None
) -> None:
    """Fetches a file to `path`; afterwards `path` is complete and has the known digest, or does not exist.

    It is written under a temporary name, without following links, and then renamed.

    Args:
        what: the name of the data set, for messages.
        url: begins with https:.
        path: the destination.
        digest: of the file that is kept, see `check_digest`.
        most: the largest size in bytes; a longer file is refused.
        unpack: function from the fetched bytes to those that are kept, where they differ.

    Raises:
        ValueError: the address is not https, or redirects to one that is not.
        OSError: the file cannot be fetched or written, or has another digest.
    """
    if not url.startswith("https:"):
        raise ValueError(f"data {what!r}: {url} is not fetched because it is not https")
    part = None
    try:
        with urllib.request.build_opener(_Https).open(url, timeout=TIMEOUT) as answer:
            content = answer.read(most + 1)
        if len(content) > most:
            raise OSError(f"it has more than {most:,} bytes")
        content = content if unpack is None else unpack(content)
        path.parent.mkdir(parents=True, exist_ok=True)
        for left in path.parent.glob(f".{path.name}.*.part"):  # left by a process that was killed
            if time.time() - left.lstat().st_mtime > DAY:
                left.unlink()
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
        part = Path(name)
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        check_digest(what, part, digest)
        part.chmod(0o644)
        part.replace(path)
    except (OSError, ValueError, EOFError, zlib.error) as error:
        raise OSError(f"data {what!r}: {url} cannot be fetched to {path}: {error}") from error
    finally:
        if part is not None:
            with contextlib.suppress(OSError):
                part.unlink()


class _Https(urllib.request.HTTPRedirectHandler):
    """Follows redirects to https only."""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        if not newurl.startswith("https:"):
            raise urllib.error.URLError(f"it redirects to {newurl}, which is not https")
        return super().redirect_request(req, fp, code, msg, headers, newurl)
