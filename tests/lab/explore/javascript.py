"""A page's JavaScript, run by Node.js and by Chromium; tests that need one are skipped where it is not installed."""

import html
import json
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import zoo.lab.explore
from zoo.lab.explore.network import Network, text_of

INTERPRETER = Path(zoo.lab.explore.__file__).parent / "interpreter.js"
NODE = shutil.which("node")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

needs_node = pytest.mark.skipif(NODE is None, reason="needs Node.js: the program node is not installed")
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="needs a browser: the program chromium is not installed")


def in_node(network: Network, *inputs: Tensor) -> list[np.ndarray]:
    """The outputs of a network for each row of the inputs, [N, ...] each: a flat array [N, length] per output."""
    rows = [[np.asarray(column, float).ravel().tolist() for column in row] for row in zip(*inputs, strict=True)]
    work = {"program": network.program(), "weights": text_of(network.weights()), "rows": rows}
    script = f"""
        const {{ floats, network }} = require({json.dumps(str(INTERPRETER))});
        const work = JSON.parse(require("fs").readFileSync(0, "utf8"));
        const run = network(work.program, floats(work.weights));
        console.log(JSON.stringify(work.rows.map((row) => run(...row).map((output) => Array.from(output)))));
    """
    done = subprocess.run([str(NODE), "-e", script], input=json.dumps(work), capture_output=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    return [np.array(output, float) for output in zip(*found, strict=True)]


def in_chromium(page: str, script: str, folder: Path) -> Any:
    """The result of an asynchronous script at the end of a page, opened from a file without a network.

    In the script, `pixels(canvas)` are a canvas's colours, [4 H W] from 0 to 255, and `move(id, value)` sets a slider as
    a user does.
    """
    probe = f"""<script>
        const pixels = (canvas) => Array.from(
          canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data);
        const move = (id, value) => {{
          const slider = document.getElementById(id);
          slider.value = value;
          slider.dispatchEvent(new Event("input", {{ bubbles: true }}));
        }};
        (async () => {{ {script} }})().then(
          (result) => ({{ result }}), (error) => ({{ error: String(error) }})
        ).then((found) => {{
          const made = document.createElement("pre");
          made.id = "probe";
          made.textContent = JSON.stringify(found);
          document.body.append(made);
        }});
    </script></body>"""
    file = folder / "page.html"
    file.write_text(page.replace("</body>", probe), encoding="utf-8")
    flags = "headless no-sandbox disable-gpu disable-quic no-first-run disable-background-networking".split()
    flags += ["disable-component-update", "disable-sync", f"user-data-dir={folder / 'profile'}"]
    flags += ["virtual-time-budget=60000", "dump-dom"]
    command = [str(CHROMIUM), *(f"--{flag}" for flag in flags), file.as_uri()]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=300)
    match = re.search(r'<pre id="probe">(.*?)</pre>', done.stdout, re.DOTALL)
    assert match, done.stderr[-2000:]
    found = json.loads(html.unescape(match[1]))
    assert "error" not in found, found
    return found["result"]


def as_lists(latents: dict[str, Tensor], names: Sequence[str]) -> list[dict[str, list[float]]]:
    """Codes [N, ...] by site as a list of N codes, for `explorer.take`."""
    size = len(next(iter(latents.values())))
    return [{name: latents[name][n].to(torch.float32).tolist() for name in names} for n in range(size)]
