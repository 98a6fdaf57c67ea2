"""A wish to stop, which a loop grants after a whole step."""

import signal
import threading
from typing import Any


class Stop:
    """Makes Ctrl-C and SIGTERM a wish that the loop looks at; the second one has its usual effect.

    Attributes:
        signal: which of them came; 0 before.
    """

    def __init__(self) -> None:
        self.signal = 0
        self.usual: dict[int, Any] = {}

    def __enter__(self) -> "Stop":
        if threading.current_thread() is threading.main_thread():  # Python allows handlers nowhere else
            for number in (signal.SIGINT, signal.SIGTERM):
                if signal.getsignal(number) not in (signal.SIG_IGN, None):
                    self.usual[number] = signal.signal(number, self._wish)
        return self

    def __exit__(self, *error: Any) -> None:
        for number, handler in self.usual.items():
            signal.signal(number, handler)

    def _wish(self, number: int, frame: Any) -> None:
        self.signal = number
        self.__exit__()


class Stopped(Exception):
    """A run that was asked to stop, and did so after a whole step, with everything saved.

    Attributes:
        signal: which signal asked.
    """

    def __init__(self, message: str, number: int) -> None:
        super().__init__(message)
        self.signal = number
