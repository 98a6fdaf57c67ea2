"""A run's folder: claiming one, its settings, its weights."""

import math
import os
import shlex
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, fields
from os import PathLike, fspath
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.torch
import torch
from torch import Tensor

from zoo.arguments import shown
from zoo.lab.files import REMEDY, read_record, replacing
from zoo.lab.runs.lock import LOCK, claim, is_lock, unclaim
from zoo.lab.training.experiment import Experiment
from zoo.lab.training.precision import PRECISIONS, Precision
from zoo.lab.training.processes import launcher

CHECKPOINT = "checkpoint.safetensors"
SETTINGS = "settings.json"


@dataclass(frozen=True)
class Settings:
    """Everything that a run depends on except its code; stored in settings.json, and the same when read from it.

    Raises:
        ValueError: a hyperparameter, an option of the data or a number cannot be stored; see `as_stored`.
    """

    recipe: str
    hyperparameters: dict[str, Any]
    data: str
    data_options: dict[str, Any]
    steps: int
    batch_size: int
    lr: float
    seed: int
    device: str
    compile: bool = False
    precision: Precision = "float32"

    def __post_init__(self) -> None:
        for name, what in (("hyperparameters", "hyperparameter"), ("data_options", "option of the data")):
            object.__setattr__(self, name, as_stored(getattr(self, name), what))
        for name in ("steps", "batch_size", "lr", "seed"):  # NumPy's numbers become Python's
            object.__setattr__(self, name, _as_stored(getattr(self, name), name))

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> "Settings":
        """Reads settings from JSON, also those of version 0.1, where hyperparameters were called knobs.

        Raises:
            ValueError: a setting is missing or invalid; the message names it.
        """
        record = {("hyperparameters" if key == "knobs" else key): value for key, value in record.items()}
        settings = {f.name: record[f.name] for f in fields(cls) if f.name in record}
        if missing := [f.name for f in fields(cls) if f.name not in settings and f.name not in _ADDED]:
            raise ValueError(f"it has no {' and no '.join(missing)}")
        for name, value in settings.items():
            what, fits = _SHOULD_BE[name]
            if not fits(value):
                raise ValueError(f"{name} must be {what}, got {value!r}")
        return cls(**settings)


def as_stored(values: Mapping[str, Any], what: str = "hyperparameter") -> dict[str, Any]:
    """Named values as settings.json returns them, so that a run is built from the same values when it is opened.

    Tuples become lists, paths become texts, and NumPy's numbers and tensors of one number become Python's numbers.

    Args:
        values: by name.
        what: one of them, in an error.

    Raises:
        ValueError: a value is of a type that JSON lacks, or is NaN, which does not equal itself; the message names it.
    """
    return {name: _as_stored(value, f"{what} {name}") for name, value in values.items()}


def _as_stored(value: Any, where: str) -> Any:
    if isinstance(value, PathLike):
        return fspath(value)
    if isinstance(value, (np.generic, Tensor, np.ndarray)) and value.ndim == 0:
        value = value.item()
    if isinstance(value, (list, tuple)):
        return [_as_stored(member, where) for member in value]
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return {key: _as_stored(member, where) for key, member in value.items()}
    if value is None or isinstance(value, (bool, int, str)) or (isinstance(value, float) and not math.isnan(value)):
        return value
    raise ValueError(
        f"{where} must be what settings.json can hold: a number but not NaN, a text, True, False, None, or a list or a "
        f"mapping of these whose keys are texts; got {shown(value)}"
    )


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and value != ""


def _is_named_values(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(key, str) for key in value)


def _is_count(least: int) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, int) and not isinstance(value, bool) and value >= least


def _is_positive(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and value > 0 and math.isfinite(value)


_SHOULD_BE: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "recipe": ("a name", _is_text),
    "hyperparameters": ("values by name", _is_named_values),
    "data": ("a name", _is_text),
    "data_options": ("values by name", _is_named_values),
    "steps": ("a whole number from 1", _is_count(1)),
    "batch_size": ("a whole number from 1", _is_count(1)),
    "lr": ("a positive, finite number", _is_positive),
    "seed": ("a whole number from 0", _is_count(0)),
    "device": ("a name", _is_text),
    "compile": ("true or false", lambda value: isinstance(value, bool)),
    "precision": (f"one of {', '.join(PRECISIONS)}", lambda value: value in PRECISIONS),
}
_ADDED = ("compile", "precision")  # settings that earlier versions did not have


def new_folder(path: Path) -> Path:
    """Creates the folder of a run, and claims it: no other process can use it while this one runs.

    A folder that a killed run claimed without writing to it counts as new.

    Raises:
        FileExistsError: it is in use.
        OSError: it cannot be created or written; the message gives the reason.
    """
    try:
        if path.is_dir() and not _is_new(path):
            raise FileExistsError
        claim(path)  # if two runs start at the same time, one fails here
        if not _is_new(path):  # another run was faster, and has ended
            unclaim(path)
            raise FileExistsError
    except BlockingIOError as error:
        raise FileExistsError(f"{error}; or name another folder with --out") from None
    except FileExistsError:
        resume = f", resume it with {how_to_resume(path)}" if _can_resume(path) else ""
        raise FileExistsError(
            f"the folder {path} is in use: name another one with --out{resume}, or remove it"
        ) from None
    except OSError as error:
        raise OSError(f"the folder {path} cannot be written ({error.strerror}): name another one with --out") from error
    return path


def free_folder(parent: Path, stem: str) -> Path:
    """Creates the first of parent/stem, parent/stem-2, ... that is not in use.

    Raises:
        OSError: it cannot be created or written; the message gives the reason.
    """
    number = 1
    while True:
        path = parent / (stem if number == 1 else f"{stem}-{number}")
        number += 1
        if os.path.lexists(path) and not path.is_dir():  # a file, or a link to nothing
            continue
        with suppress(FileExistsError):
            return new_folder(path)


def _is_new(folder: Path) -> bool:
    """Whether no run has begun in the folder; version 0.1 claimed one by an empty settings.json."""
    return not has_begun(folder) and all(
        is_lock(path) or path.name in (SETTINGS, f"{SETTINGS}.part") for path in folder.iterdir()
    )


def _can_resume(folder: Path) -> bool:
    return has_begun(folder) and not is_finished(folder)


def has_begun(folder: Path) -> bool:
    """Whether the folder holds a run that has at least written its settings."""
    path = folder / SETTINGS
    return path.is_file() and path.stat().st_size > 0


def read_settings(folder: Path) -> tuple[Settings, str]:
    """The settings of the run in `folder`, and the command that began it.

    Raises:
        FileNotFoundError: there is no run.
        ValueError: the run was killed before it wrote its settings, or they are damaged; the message names the setting.
    """
    path = folder / SETTINGS
    if not has_begun(folder):
        if folder.is_dir() and any(path.suffix in (".safetensors", ".csv") for path in folder.iterdir()):
            raise ValueError(f"{path} is missing or empty, and {folder} holds a run's files: put a copy of it back")
        if path.is_file() or (folder / LOCK).is_file():
            raise ValueError(f"the run in {folder} was stopped before it began: give the command that began it again")
        raise FileNotFoundError(f"{folder} holds no run: there is no settings.json in it")
    written = read_record(path)
    try:
        settings = Settings.of(written)
    except ValueError as error:
        raise ValueError(f"{path} is damaged: {error}") from error
    command = written.get("command")
    if not isinstance(command, str):
        raise ValueError(f"{path} is damaged: command must be the command that began the run, got {command!r}")
    return settings, command


def read_threads(folder: Path) -> int | None:
    """The number of CPU threads that the run in `folder` began with; None where it was not recorded.

    Raises:
        ValueError: settings.json is damaged; the message names it.
    """
    threads = read_record(folder / SETTINGS).get("versions", {}).get("threads")
    return threads if isinstance(threads, int) and threads > 0 else None


def read_processes(folder: Path) -> int | None:
    """The number of processes that the run in `folder` began with; None where it was not recorded.

    Raises:
        FileNotFoundError: there is no run.
        ValueError: settings.json is damaged; the message names it.
    """
    count = read_record(folder / SETTINGS).get("processes")
    return count if isinstance(count, int) and count > 0 else None


def is_finished(folder: Path) -> bool:
    """Whether the run in `folder` is finished; its summary is the last file that it writes."""
    return (folder / "summary.md").is_file()


def how_to_resume(folder: Path) -> str:
    """The command that resumes the run, for a shell, with as many processes as it began with."""
    try:
        count = read_processes(folder) or 1
    except (OSError, ValueError):  # the command itself says what is wrong with the settings
        count = 1
    return shlex.join([*launcher(count), "train", "--resume", str(folder)])


def save_weights(experiment: Experiment, path: Path) -> None:
    """Writes both modules' state into one file, under model. and guide.; safetensors can hold no code.

    Raises:
        OSError: it could not be written; the message names the file.
    """
    with replacing(path) as part:
        try:
            safetensors.torch.save_model(_modules(experiment), str(part))
        except safetensors.SafetensorError as error:  # it has the system's message but no errno
            raise OSError(f"{path} could not be written: {error}") from error


def load_weights(experiment: Experiment, folder: Path) -> None:
    """Puts the weights of the run in `folder` into the experiment's pair.

    Raises:
        FileNotFoundError: the run is not finished.
        ValueError: the file is damaged, or from another pair.
    """
    path = folder / "weights.safetensors"
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing: put a copy back, or begin the run again")
    try:
        safetensors.torch.load_model(_modules(experiment), str(path))
    except (safetensors.SafetensorError, RuntimeError) as error:
        raise ValueError(f"{path} is damaged, or its weights are of another pair ({error}); {REMEDY}") from error


def _modules(experiment: Experiment) -> torch.nn.ModuleDict:
    return torch.nn.ModuleDict({"model": experiment.model, "guide": experiment.guide})
