"""The interpreter in Node.js; tests that need it are skipped where it is not installed."""

import json
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

needs_node = pytest.mark.skipif(NODE is None, reason="needs Node.js: the program node is not installed")


def in_node(network: Network, *inputs: Tensor) -> list[np.ndarray]:
    """The outputs of a network for each row of the inputs, [N, ...] each: a flat array [N, length] per output."""
    return all_in_node([(network, *inputs)])[0]


def all_in_node(networks: Sequence[tuple[Any, ...]]) -> list[list[np.ndarray]]:
    """`in_node` of several networks with their inputs, in one process."""
    works = []
    for network, *inputs in networks:
        rows = [[np.asarray(column, float).ravel().tolist() for column in row] for row in zip(*inputs, strict=True)]
        works.append({"program": network.program(), "weights": text_of(network.weights()), "rows": rows})
    script = f"""
        const {{ floats, network }} = require({json.dumps(str(INTERPRETER))});
        const computed = ({{ program, weights, rows }}) => {{
            const run = network(program, floats(weights));
            return rows.map((row) => run(...row).map((output) => Array.from(output)));
        }};
        console.log(JSON.stringify(JSON.parse(require("fs").readFileSync(0, "utf8")).map(computed)));
    """
    done = subprocess.run([str(NODE), "-e", script], input=json.dumps(works), capture_output=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    return [[np.array(output, float) for output in zip(*found, strict=True)] for found in json.loads(done.stdout)]


def as_lists(latents: dict[str, Tensor], names: Sequence[str]) -> list[dict[str, list[float]]]:
    """Codes [N, ...] by site as a list of N codes, for `explorer.take`."""
    size = len(next(iter(latents.values())))
    return [{name: latents[name][n].to(torch.float32).tolist() for name in names} for n in range(size)]
