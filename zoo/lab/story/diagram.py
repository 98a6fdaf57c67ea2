"""A plate diagram, which the program dot draws where there is one."""

import html
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zoo.lab.errors import import_optional

NO_DOT = (
    "drawing needs graphviz, the program dot, which is not on the path: install it (apt-get install graphviz, brew "
    "install graphviz), or write the diagram's source, as FILE.gv"
)


@dataclass(frozen=True)
class Diagram:
    """A plate diagram by `pyro.render_model`; a notebook shows it as a picture, or says what is missing.

    Attributes:
        drawn: the `graphviz.Digraph`.
    """

    drawn: Any

    @property
    def source(self) -> str:
        """In graphviz's language."""
        return str(self.drawn.source)

    def picture(self, kind: str) -> bytes:
        """As "svg", "png", "pdf" or another of graphviz's formats.

        Raises:
            OSError: the program dot is not there, or fails; says why.
            ValueError: graphviz has no such format.
        """
        graphviz = import_optional("graphviz", "the plate diagram")
        try:
            return bytes(self.drawn.pipe(format=kind))
        except graphviz.ExecutableNotFound:
            raise OSError(NO_DOT) from None
        except subprocess.CalledProcessError as error:
            raise OSError(f"graphviz's program dot failed: {error.stderr.decode().strip()}") from None
        except ValueError:
            raise ValueError(f"graphviz draws no {kind!r}: take .svg, .png or .pdf, or .gv for the source") from None

    def write(self, path: str | Path) -> None:
        """The source as .gv or .dot, else a picture; raises as `picture`."""
        path = Path(path)
        kind = path.suffix.removeprefix(".")
        path.write_bytes(self.source.encode() if kind in ("gv", "dot") else self.picture(kind))

    def _repr_html_(self) -> str:
        try:
            svg = self.picture("svg").decode()
        except OSError as error:
            return f"<p>{html.escape(str(error))}</p>"
        return svg[svg.index("<svg") :]
