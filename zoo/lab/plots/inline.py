"""Any picture of the lab in a notebook: what it would have written to a file is shown instead."""

import tempfile
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Picture:
    """A PNG or a GIF, which a notebook shows.

    Attributes:
        data: the file's bytes.
        given: what the function that drew it gave back.
    """

    data: bytes
    given: Any = None

    @property
    def kind(self) -> str:
        """Its media type."""
        return "image/gif" if self.data.startswith(b"GIF") else "image/png"

    def save(self, path: str | Path) -> None:
        """Writes it to a file."""
        Path(path).write_bytes(self.data)

    def __repr__(self) -> str:
        return f"Picture({self.kind}, {len(self.data):,} bytes)"

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        return {self.kind: b64encode(self.data).decode(), "text/plain": repr(self)}


def inline(draw: Callable[..., Any], *args: Any, **kwargs: Any) -> Picture:
    """Shows what a function of the lab that draws to `path` draws.

        inline(plots.kl_bars, evaluate(model, guide, test))
        inline(sheets.film, model, rows, labels, units, values=wide())      # a GIF

    Args:
        draw: a function with an argument `path`.
        args, kwargs: its other arguments.

    Raises:
        ValueError: nothing was drawn, as of a story without a vector to traverse.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "picture.png"  # a film writes a GIF, whatever the ending
        given = draw(*args, path=path, **kwargs)
        if not path.is_file():
            raise ValueError(f"{getattr(draw, '__name__', draw)} drew nothing: there is nothing of the kind to show")
        return Picture(path.read_bytes(), given)
