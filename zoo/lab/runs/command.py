"""The command that trains a run, from its settings."""

import shlex
from typing import Any

from zoo.lab.device import find_device
from zoo.lab.runs.folder import Settings
from zoo.lab.training.experiment import Experiment, Recipe


def train_command(settings: Settings, recipe: Recipe, made: Experiment) -> str:
    """The `train` command of a run with these settings, for a shell: the recipe, and what differs from its settings.

    Args:
        settings: the run's.
        recipe: that of the settings.
        made: what the recipe builds from the run's data and hyperparameters.
    """
    parts = ["train", settings.recipe]
    if settings.data != recipe.data:
        parts += ["--data", settings.data]
    usual = recipe.data_options if settings.data == recipe.data else {}
    for option, values in (
        ("--data-option", {name: v for name, v in settings.data_options.items() if usual.get(name) != v}),
        ("--set", settings.hyperparameters),
    ):
        for name, value in values.items():
            parts += [option, f"{name}={_typed(value)}"]
    for name in ("steps", "batch_size", "lr"):
        if (value := getattr(settings, name)) != getattr(made, name):
            parts += [f"--{name.replace('_', '-')}", _typed(value)]
    if settings.precision != "float32":
        parts += ["--precision", settings.precision]
    if settings.device != str(find_device()):
        parts += ["--device", settings.device]
    parts += ["--seed", str(settings.seed), *(["--compile"] if settings.compile else [])]
    return shlex.join(["python", "-m", "zoo", *parts])


def _typed(value: Any) -> str:
    """A value as the command line reads it, with all digits."""
    if isinstance(value, (list, tuple)):
        return ",".join(map(_typed, value))
    return "none" if value is None else str(value)
