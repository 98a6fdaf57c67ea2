"""A run's folder: claiming one, its settings, its weights."""

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import safetensors.torch
import torch

from zoo.lab.training.experiment import Experiment

CHECKPOINT = "checkpoint.safetensors"


@dataclass(frozen=True)
class Settings:
    """Everything that a run depends on beside the code; settings.json."""

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

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> "Settings":
        """Reads what was written as JSON, by version 0.1 too, where hyperparameters were called knobs.

        Raises:
            KeyError: a setting is missing.
        """
        record = {("hyperparameters" if key == "knobs" else key): value for key, value in record.items()}
        optional = {"compile"}
        return cls(**{f.name: record[f.name] for f in fields(cls) if f.name in record or f.name not in optional})


def new_folder(path: Path) -> Path:
    """Makes the folder of a run, before anything is trained for it.

    Raises:
        FileExistsError: it is in use.
        OSError: it cannot be made or written; says why.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        if any(path.iterdir()):
            raise FileExistsError
        (path / "settings.json").touch(exist_ok=False)  # the claim: of two runs that start at once, one fails here
    except FileExistsError:
        raise FileExistsError(f"the folder {path} is in use: name another one with --out, or remove it") from None
    except OSError as error:
        raise OSError(f"the folder {path} cannot be written ({error.strerror}): name another one with --out") from error
    return path


def free_folder(parent: Path, stem: str) -> Path:
    """Makes the first of parent/stem, parent/stem-2, ... that is not in use.

    Raises:
        OSError: it cannot be made or written; says why.
    """
    number = 1
    while True:
        try:
            return new_folder(parent / (stem if number == 1 else f"{stem}-{number}"))
        except FileExistsError:
            number += 1


def read_settings(folder: Path) -> tuple[Settings, str]:
    """The settings of the run in `folder`, and the command that began it.

    Raises:
        FileNotFoundError: there is no run.
        ValueError: the run was killed before it wrote its settings, or they are damaged.
    """
    path = folder / "settings.json"
    if not path.is_file():
        raise FileNotFoundError(f"{folder} holds no run: there is no settings.json in it")
    if not path.read_bytes():
        raise ValueError(f"the run in {folder} was stopped before it began: remove the folder and begin anew")
    try:
        written = json.loads(path.read_text())
        return Settings.of(written), written["command"]
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(f"{path} is damaged: {error}") from error


def is_finished(folder: Path) -> bool:
    """Whether the run in `folder` came to its end; its summary is the last thing it writes."""
    return (folder / "summary.md").is_file()


def how_to_resume(folder: Path) -> str:
    """The command."""
    return shlex.join(["python", "-m", "zoo", "train", "--resume", str(folder)])


def save_weights(experiment: Experiment, path: Path) -> None:
    """Both modules' state in one file, under model. and guide.; safetensors can hold no code."""
    modules = torch.nn.ModuleDict({"model": experiment.model, "guide": experiment.guide})
    safetensors.torch.save_model(modules, str(path))


def load_weights(experiment: Experiment, folder: Path) -> None:
    """Puts the weights of the run in `folder` into the experiment's pair.

    Raises:
        FileNotFoundError: the run has not come to its end.
        ValueError: the file is damaged, or from another pair.
    """
    path = folder / "weights.safetensors"
    if not path.is_file():
        raise FileNotFoundError(f"{path} is not there: the run has not come to its end")
    modules = torch.nn.ModuleDict({"model": experiment.model, "guide": experiment.guide})
    try:
        safetensors.torch.load_model(modules, str(path))
    except (safetensors.SafetensorError, RuntimeError) as error:
        raise ValueError(f"{path} is damaged, or its weights are of another pair: {error}") from error
