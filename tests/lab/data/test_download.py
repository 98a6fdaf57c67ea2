"""Downloads: https alone, the known file or none, and no link followed on the way. No network is needed."""

import hashlib
import io
import os
import time
import urllib.request
from collections.abc import Callable
from email.message import Message
from pathlib import Path
from typing import Any
from urllib.response import addinfourl

import pytest

from zoo.lab.data.download import check_digest, fetch

CONTENT = b"published"
DIGEST = "sha256:" + hashlib.sha256(CONTENT).hexdigest()
URL = "https://example.org/file"


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Callable[[bytes], None]:
    """What the address answers with."""

    def answer_with(content: bytes) -> None:
        monkeypatch.setattr(urllib.request.OpenerDirector, "open", lambda *_, **__: io.BytesIO(content))

    return answer_with


def test_the_known_file_is_kept(tmp_path: Path, serve: Callable[[bytes], None]) -> None:
    serve(CONTENT)
    fetch("set", URL, tmp_path / "new" / "file", DIGEST, most=100)
    assert (tmp_path / "new" / "file").read_bytes() == CONTENT
    assert len(list((tmp_path / "new").iterdir())) == 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"published?", r"its sha256 is .*, not "),
        (b"", r"its sha256 is e3b0c44298fc"),
        (bytes(101), r"more than 100 bytes"),
    ],
)
def test_another_file_is_not_kept(tmp_path: Path, serve: Callable[[bytes], None], content: bytes, message: str) -> None:
    serve(content)
    (tmp_path / "file").write_bytes(b"there before")
    with pytest.raises(OSError, match=rf"'set': {URL} cannot be fetched to {tmp_path}/file: .*{message}"):
        fetch("set", URL, tmp_path / "file", DIGEST, most=100)
    assert (tmp_path / "file").read_bytes() == b"there before"
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(
    "url", ["http://example.org/file", "ftp://example.org/file", "file:///etc/passwd", "HTTPS.org"]
)
def test_https_alone(tmp_path: Path, serve: Callable[[bytes], None], url: str) -> None:
    serve(CONTENT)
    with pytest.raises(ValueError, match=r"is not https"):
        fetch("set", url, tmp_path / "file", DIGEST, most=100)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("target", ["http://example.org/other", "file:///etc/passwd", "https://example.org/other"])
def test_where_it_leads_must_be_https_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: str) -> None:
    asked: list[str] = []

    def answer(self: Any, http_class: Any, req: urllib.request.Request, **_: Any) -> Any:
        asked.append(req.full_url)
        headers = Message()
        headers["Location"] = target
        first = len(asked) == 1
        response = addinfourl(io.BytesIO(b"" if first else CONTENT), headers, req.full_url, 302 if first else 200)
        response.msg = "Found"
        return response

    monkeypatch.setattr(urllib.request.AbstractHTTPHandler, "do_open", answer)
    if target.startswith("https:"):
        fetch("set", URL, tmp_path / "file", DIGEST, most=100)
        assert asked == [URL, target]
        return
    with pytest.raises(OSError, match=rf"(redirects to {target}, which is not https|{target}. is not allowed)"):
        fetch("set", URL, tmp_path / "file", DIGEST, most=100)
    assert asked == [URL]
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(os.name != "posix", reason="Windows needs a privilege to make symbolic links")
def test_no_link_is_written_through(tmp_path: Path, serve: Callable[[bytes], None]) -> None:
    precious = tmp_path / "precious"
    precious.write_bytes(b"kept")
    folder = tmp_path / "data"
    folder.mkdir()
    for name in ("file", "file.part", ".file.part"):
        (folder / name).symlink_to(precious)
    serve(CONTENT)
    fetch("set", URL, folder / "file", DIGEST, most=100)
    assert precious.read_bytes() == b"kept"
    assert not (folder / "file").is_symlink()
    assert (folder / "file").read_bytes() == CONTENT


def test_what_unpacks_to_too_much_or_not_at_all(tmp_path: Path, serve: Callable[[bytes], None]) -> None:
    serve(b"packed")
    fetch("set", URL, tmp_path / "file", DIGEST, most=100, unpack=lambda _: CONTENT)
    assert (tmp_path / "file").read_bytes() == CONTENT

    def damaged(_: bytes) -> bytes:
        raise EOFError("it ends too soon")

    with pytest.raises(OSError, match=r"it ends too soon"):
        fetch("set", URL, tmp_path / "file", DIGEST, most=100, unpack=damaged)


def test_what_a_killed_download_left_is_removed_after_a_day(tmp_path: Path, serve: Callable[[bytes], None]) -> None:
    serve(CONTENT)
    for name, hours in ((".file.old.part", 25), (".file.new.part", 1), (".other.old.part", 25)):
        (tmp_path / name).write_bytes(b"pub")
        os.utime(tmp_path / name, times=(time.time() - 3600 * hours,) * 2)
    fetch("set", URL, tmp_path / "file", DIGEST, most=100)
    assert {file.name for file in tmp_path.iterdir()} == {"file", ".file.new.part", ".other.old.part"}


def test_digests_of_files(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(CONTENT)
    check_digest("set", tmp_path / "file", DIGEST)
    check_digest("set", tmp_path / "file", "md5:" + hashlib.md5(CONTENT).hexdigest())
    with pytest.raises(ValueError, match=r"'set': .*file is not the published file: its md5 is .*, not 00"):
        check_digest("set", tmp_path / "file", "md5:00")
    with pytest.raises(FileNotFoundError):
        check_digest("set", tmp_path / "none", DIGEST)
