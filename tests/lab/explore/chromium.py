"""Headless Chromium, driven through a pipe by its DevTools protocol: JSON objects that end in a zero byte."""

import itertools
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

FLAGS = (
    *("headless", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "disable-background-networking"),
    *("disable-component-update", "disable-sync", "no-startup-window", "remote-debugging-pipe"),
)
START = """
import fcntl, os, sys
ends = [fcntl.fcntl(int(end), fcntl.F_DUPFD, 10) for end in sys.argv[1:3]]
os.dup2(ends[0], 3)
os.dup2(ends[1], 4)
os.execv(sys.argv[3], sys.argv[3:])
"""
"""Starts Chromium, which reads from file 3 and writes to file 4."""

KEYS = {"ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40, "Tab": 9, " ": 32}


class Chromium:
    """A browser without a window. Pages are opened one at a time."""

    def __init__(self) -> None:
        self.profile = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        theirs, self.out = os.pipe()
        self.back, to_us = os.pipe()
        flags = [f"--{flag}" for flag in (*FLAGS, f"user-data-dir={self.profile.name}")]
        command = [sys.executable, "-c", START, str(theirs), str(to_us), str(CHROMIUM), *flags]
        self.process = subprocess.Popen(command, pass_fds=(theirs, to_us), stderr=subprocess.DEVNULL)
        os.close(theirs)
        os.close(to_us)
        self.count = itertools.count(1)
        self.unread = b""
        self.session: str | None = None

    def close(self) -> None:
        """Ends the browser."""
        self.session = None
        self.call("Browser.close")
        self.process.wait(timeout=60)
        os.close(self.out)
        os.close(self.back)
        self.profile.cleanup()

    def open(self, file: Path, *, width: int = 1280, height: int = 900) -> None:
        """Opens a file in a window of this size, and waits until its scripts have run."""
        self.session = None
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self.call("Network.enable")
        self.requests: list[str] = []
        self.call("Page.enable")
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 500
        )
        self.call("Page.navigate", url=file.as_uri())
        while self._message().get("method") != "Page.loadEventFired":
            pass
        self.evaluate("await explorer.settled()")

    def evaluate(self, script: str) -> Any:
        """The value that an asynchronous function with this body returns."""
        expression = f"(async () => {{ {script} }})()"
        found = self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def press(self, key: str, times: int = 1) -> None:
        """Presses a key as a user does, and waits for the picture."""
        code = {"key": key, "code": "Space" if key == " " else key, "windowsVirtualKeyCode": KEYS[key]}
        for _ in range(times):
            text = {"text": key} if key == " " else {}
            self.call("Input.dispatchKeyEvent", type="keyDown" if text else "rawKeyDown", **code, **text)
            self.call("Input.dispatchKeyEvent", type="keyUp", **code)
        self.evaluate("await explorer.settled()")

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """A command of the protocol, and its result."""
        number = next(self.count)
        message = {"id": number, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        whole = json.dumps(message).encode() + b"\0"
        while whole:
            whole = whole[os.write(self.out, whole) :]
        while (answer := self._message()).get("id") != number:
            pass
        assert "error" not in answer, answer
        result: dict[str, Any] = answer["result"]
        return result

    def _message(self) -> dict[str, Any]:
        while b"\0" not in self.unread:
            part = os.read(self.back, 1 << 20)
            assert part, "Chromium has ended"
            self.unread += part
        one, _, self.unread = self.unread.partition(b"\0")
        message: dict[str, Any] = json.loads(one)
        if message.get("method") == "Network.requestWillBeSent":
            self.requests.append(message["params"]["request"]["url"])
        return message
