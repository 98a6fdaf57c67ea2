"""What happens to files, and who reads them.

DAMAGE has what a file's bytes become; READERS the file, by its path in a folder that the tests make, and its reader.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from tests.small_recipe import RECIPES
from zoo import papers
from zoo.lab.analysis.kl_history import History
from zoo.lab.data import load
from zoo.lab.runs import checkpoint
from zoo.lab.runs.folder import read_settings
from zoo.lab.runs.summary import read_kl
from zoo.lab.trials.card import Claims
from zoo.lab.trials.result_file import read_result
from zoo.lab.trials.trial import Trial
from zoo.studies.compatibility import matrix
from zoo.studies.guide_gap import comparison


def flip(content: bytes, at: int, bit: int = 0) -> bytes:
    """The content with one bit changed."""
    return content[:at] + bytes([content[at] ^ (1 << bit)]) + content[at + 1 :]


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda content: b"",
    "cut in half": lambda content: content[: len(content) // 2],
    "cut to 8 bytes": lambda content: content[:8],
    "without its last 9 bytes": lambda content: content[:-9],
    "with bytes after its end": lambda content: content + b"\n0,0,0\n{}",
    "zeros": lambda content: bytes(len(content)),
    "garbage": lambda content: np.random.default_rng(0).bytes(len(content)),
    "not UTF-8": lambda content: b"\xff\xfe\x00\xd8" + content,
    "a list": lambda content: b"[]\n",
    "null": lambda content: b"null\n",
    "a number": lambda content: b"3\n",
    "a text": lambda content: b'"damaged"\n',
    "an empty object": lambda content: b"{}\n",
    "very deep": lambda content: b"[" * 100_000,
    "NaN": lambda content: b"NaN\n",
    "another line's end": lambda content: content.replace(b"\n", b"\r"),
    "a bit of the first byte": lambda content: flip(content, 0, 5),
    "a bit of a byte at the start": lambda content: flip(content, min(9, len(content) - 1), 1),
    "a bit in the middle": lambda content: flip(content, len(content) // 2, 2),
    "a bit at three quarters": lambda content: flip(content, 3 * len(content) // 4, 0),
}

KINDS = ("missing", "a folder", "a link to nothing", "a link to itself", "a link into a file")
"""What may be in a file's place."""


def _pretrained(file: Path) -> object:
    return papers.pretrained("beta-vae", folder=file.parent)


def _compare(file: Path) -> object:
    comparison.RESULTS = file.parents[1]
    return str(comparison.stored("stored"))


READERS: dict[str, tuple[str, Callable[[Path], object]]] = {
    # The test's name: the file, and what reads it.
    "settings": ("run/settings.json", lambda file: read_settings(file.parent)),
    "weights": ("run/weights.safetensors", lambda file: papers.open_run(file.parent)),
    "kl": ("run/kl.csv", lambda file: papers.open_run(file.parent)),
    "terms": ("run/terms.csv", lambda file: papers.open_run(file.parent)),
    "units": ("run/units.csv", lambda file: papers.open_run(file.parent)),
    "digests": ("run/SHA256SUMS", lambda file: papers.open_run(file.parent)),
    "kl, alone": ("loose/kl.csv", lambda file: read_kl(file.parent)),
    "units, alone": ("loose/units.csv", lambda file: History.read(file.parent)),
    "checkpoint": ("run/checkpoint.safetensors", checkpoint.load),
    "quantities": ("trial/quantities.json", lambda file: Trial(0, "full", file.parent, RECIPES).record()),
    "result": ("results/result.json", lambda file: str(Claims(read_result(file)))),
    "matrix": ("results/matrix.json", lambda file: matrix.markdown(matrix.load(file))),
    "comparison": ("compare/stored/compare.json", _compare),
    "pretrained": ("weights/beta-vae.safetensors", _pretrained),
    "npz": ("data/x.npz", lambda file: load(str(file))),
    "pt": ("data/x.pt", lambda file: load(str(file))),
    "image": ("data/images/b/1.png", lambda file: load(str(file.parents[1]))),
    "factors": ("data/images/factors.csv", lambda file: load(str(file.parent))),
    "mnist": ("data/MNIST/raw/train-images-idx3-ubyte", lambda file: load("mnist", folder=file.parents[2])),
}

FIELDS = ("title", "paper", "command", "budget", "quantities", "reported", "headline", "variants", "claims",
          "deviations", "pictures")  # fmt: skip
"""Of a result's JSON."""

UNCHECKED = "a table or a text without a digest, whose values may have been edited"
SPARE = "the archive's members have checksums, and its spare fields and what surrounds it say nothing"

ACCEPTED: dict[tuple[str, str], str] = {
    **{
        (name, "another line's end"): "the same JSON, table or list, since its lines may end in either way"
        for name in ("settings", "quantities", "result", "matrix", "comparison", "digests", "kl, alone")
    },
    ("digests", "with bytes after its end"): "lines of files that the run does not have",
    **{
        (name, damage): UNCHECKED
        for name in ("kl, alone", "units, alone")
        for damage in ("without its last 9 bytes", "a bit in the middle", "a bit at three quarters")
    },
    **{(name, "with bytes after its end"): SPARE for name in ("npz", "pt")},
    ("npz", "not UTF-8"): SPARE,
    **{
        ("image", how): "a folder may lack an image, and a viewer shows it"
        for how in ("without its last 9 bytes", "with bytes after its end", "a bit in the middle", "missing")
    },
    **{("factors", kind): "a folder of images needs no factors" for kind in KINDS if kind != "a folder"},
    **{
        ("factors", how): UNCHECKED
        for how in ("another line's end", "a bit of the first byte", "a bit at three quarters")
    },
    **{(name, "a bit of a byte at the start"): SPARE for name in ("npz", "pt")},
    **{(name, kind): "a run of version 0.1 has no such file" for name in ("digests",) for kind in KINDS},
    **{
        (name, kind): "the weights do not depend on it, and what reads the table says that it is missing"
        for name in ("kl", "terms", "units")
        for kind in KINDS
    },
}
"""What is accepted on purpose, by reader and damage, with the reason."""
