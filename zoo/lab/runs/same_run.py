"""What a run records besides its settings, its data, versions and processes, and what it is compared with later."""

import hashlib
import platform
import warnings
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyro
import torch

from zoo.lab.data import Dataset, Split
from zoo.lab.files import REMEDY, read_record, write_record
from zoo.lab.runs import checkpoint
from zoo.lab.runs.folder import SETTINGS, Settings, read_processes
from zoo.lab.training.processes import group, launcher

SAMPLED = 64  # datapoints of each set, so that opening a run on large data takes no longer
NEAR = 0.05  # the largest distance between samples of the same data, decoded or computed elsewhere, by how they vary
ROUNDED = 1e-4  # a number of a sample has five digits

Fingerprints = Mapping[str, Mapping[str, Any]]


def write_settings(folder: Path, settings: Settings, command: str, data: Split) -> None:
    """Writes settings.json, with which a run begins."""
    record = {**asdict(settings), "command": command, "processes": group()[1], "versions": _versions()}
    write_record(folder / SETTINGS, {**record, "fingerprints": fingerprints(data)})


def fingerprints(data: Split) -> Fingerprints:
    """Fingerprints of the training and the test set, by name: size, labels, and a sample of up to 64 datapoints.

    The sample has one number for each datapoint, a weighted sum of its values. Other data give other numbers. A machine
    that decodes pictures or computes values with other last digits gives nearly the same numbers.
    """
    return {"training set": _sampled(data.train), "test set": _sampled(data.test)}


def _sampled(data: Dataset) -> dict[str, Any]:
    rows = torch.linspace(0, len(data) - 1, min(len(data), SAMPLED)).long()
    batch = data.batch(rows, labels=True)
    x = batch.x.double().reshape(len(rows), -1)
    weights = torch.cos(torch.arange(x.shape[1], dtype=torch.float64) ** 2)  # without a pattern that data could have
    sample = " ".join(f"{number:.5g}" for number in (x @ weights).tolist())
    every = None if data.y is None else np.asarray(data.y, dtype=np.int64)
    labels = {"labels": None if batch.y is None else batch.y.numpy(), "all labels": every}  # the first for earlier runs
    digests = {name: y if y is None else hashlib.sha256(y.tobytes()).hexdigest()[:16] for name, y in labels.items()}
    return {"datapoints": len(data), "shape": list(data.shape), **digests, "sample": sample}


def check_same_data(folder: Path, found: Fingerprints) -> None:
    """Checks that the data are those that the run in `folder` was trained and tested on, where it has recorded them.

    Args:
        folder: the run's.
        found: `fingerprints` of the data that are here.

    Raises:
        ValueError: they are other data, and a test set may hold what the run was trained on; the message names the
            data and the run, and says what differs. Or the recorded fingerprints are damaged.
    """
    path = folder / SETTINGS
    record = read_record(path)
    there = record.get("fingerprints")
    if there is None:  # earlier versions did not record them
        return
    try:
        differ = [f"the {name} {what}" for name in found if (what := _difference(there[name], found[name]))]
    except (AttributeError, LookupError, RuntimeError, TypeError, ValueError):
        raise ValueError(f"{path} is damaged: fingerprints must be those of two data sets; {REMEDY}") from None
    if differ:
        raise ValueError(
            f"the data {record.get('data')!r} are not those of the run in {folder}: {'; '.join(differ)}; put the data "
            "of the run back, or train a new run"
        )


def _difference(there: Mapping[str, Any], here: Mapping[str, Any]) -> str:
    """In what two fingerprints differ; empty where they are of the same data."""
    if there["datapoints"] != here["datapoints"]:
        return f"has {here['datapoints']:,} datapoints here, {there['datapoints']:,} there"
    if there["shape"] != here["shape"]:
        return f"has datapoints of the shape {here['shape']} here, {there['shape']} there"
    then, now = (torch.tensor([float(number) for number in one["sample"].split()]) for one in (there, here))
    varies = then - then.mean() if len(then) > 1 else then  # a column such as a year makes the numbers all alike
    if not (now - then).norm() <= NEAR * varies.norm() + ROUNDED * then.norm():
        return f"has the same size, {here['datapoints']:,} datapoints, and other values"
    same = there["labels"] == here["labels"] and there.get("all labels", here["all labels"]) == here["all labels"]
    return "" if same else "has other labels"


def check_same_processes(folder: Path, count: int, recorded: int | None = None) -> None:
    """Checks that a run goes on with as many processes as it began with: each has draws of its own.

    Args:
        folder: the run's.
        count: the number of processes here.
        recorded: the number that a checkpoint has; when not given, that of the run's settings, if they have one.

    Raises:
        ValueError: there are more, or fewer; the message says how to resume.
    """
    there = recorded or read_processes(folder) or count
    if there != count:
        begin = "without torchrun" if there == 1 else f"with {' '.join(launcher(there)[:2])}"
        raise ValueError(
            f"the run in {folder} was trained by {there} process{'es' * (there > 1)}, and this is {count}: resume it "
            f"{begin}"
        )


def describe(settings: Settings, data: Split) -> dict[str, Any]:
    """What a checkpoint says about its run: settings, data and versions, which must be the same when it is resumed."""
    return {"settings": asdict(settings), "data": _fingerprint(data.train), "versions": _versions()}


def _versions() -> dict[str, Any]:
    """Versions that the results depend on; the number of threads changes the order of sums."""
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "pyro": pyro.__version__,
        "threads": torch.get_num_threads(),
    }


def _fingerprint(data: Dataset) -> dict[str, Any]:
    """An exact fingerprint of a data set: its size, and up to 256 of its datapoints."""
    batch = data.batch(torch.linspace(0, len(data) - 1, min(len(data), 256)).long(), labels=True)
    digest = hashlib.sha256(batch.x.numpy().tobytes())
    if batch.y is not None:
        digest.update(batch.y.numpy().tobytes())
    return {"name": data.name, "datapoints": len(data), "shape": list(data.shape), "digest": digest.hexdigest()[:16]}


def check_same_run(state: checkpoint.State, about: Mapping[str, Any]) -> None:
    """Checks that a checkpoint is of a run with these settings and data; warns about other versions.

    Raises:
        ValueError: settings or data differ; the message says in what.
    """
    recorded = {"precision": about["settings"]["precision"], **state["about"]["settings"]}  # earlier versions had none
    then = {**state["about"], "settings": asdict(Settings.of(recorded))}
    for what in ("settings", "data", "versions"):
        differ = [
            f"{key} is {then[what].get(key)!r} in the checkpoint, {about[what].get(key)!r} here"
            for key in then[what] | about[what]
            if then[what].get(key) != about[what].get(key)
        ]
        if differ and what == "versions":
            warnings.warn(f"the last digits of this run may differ: {'; '.join(differ)}", stacklevel=4)
        elif differ:
            raise ValueError(
                f"the run cannot be resumed with other {what}: {'; '.join(differ)}; put those of the checkpoint back, "
                "or begin a new run"
            )
