"""Pretrained weights: the pair of a finished run in one small file, with a record of how it was made.

    pair = zoo.papers.pretrained("joint-vae/mnist")
    pair.guide(x)
    print(pair.about)

`python -m zoo reproduce NAME --weights FOLDER` writes such a file for the best seed's run, `python -m zoo push RUN
owner/name` sends one to a hub, and `zoo.papers.shipped` writes those that come with the zoo.
"""

import copy
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from zoo.arguments import shown
from zoo.lab.analysis.posterior import codes, posteriors
from zoo.lab.data import Dataset, Split, load
from zoo.lab.errors import unknown_name
from zoo.lab.files import REMEDY, write_file
from zoo.lab.runs.checkpoint import digest
from zoo.lab.runs.finished import FinishedRun
from zoo.lab.runs.folder import Settings
from zoo.lab.training.experiment import find_recipe
from zoo.papers.recipes import RECIPES
from zoo.tables import Rows, Tabulated

HERE = Path(__file__).parent
FORMAT = "zoo weights 1"
HALVES = (torch.float16, torch.bfloat16)


@dataclass(frozen=True, repr=False)
class Pretrained(Tabulated):
    """A trained pair without its data.

    Attributes:
        model, guide: in evaluation mode, on the CPU.
        settings: of the run.
        about: its origin: the command, and the run's quantities.
    """

    model: nn.Module
    guide: nn.Module
    settings: Settings
    about: Mapping[str, Any]

    def _table(self) -> tuple[str, Rows]:
        run = self.settings
        rows = [
            ("model, guide", f"{type(self.model).__name__}, {type(self.guide).__name__}"),
            ("trained on", f"{run.data}, {run.steps:,} steps of {run.batch_size}, learning rate {run.lr:g}"),
            ("command", f"{self.about.get('command', 'unknown')}; seed {run.seed}"),
        ]
        numbers = [(name, f"{value:.2f}") for name, value in self.about.get("quantities", {}).items()]
        return f"pretrained {self.about['name']}", [*rows, *numbers]

    def encode(self, x: Tensor) -> dict[str, Any]:
        """q(site | x) by latent site."""
        return posteriors(self.guide, x)

    def codes(self, x: Tensor) -> dict[str, Any]:
        """The encoder for `zoo.metrics`: `suite(pair.codes, data)`; see `zoo.lab.analysis.codes`."""
        return codes(self.guide, x)

    def data(self, folder: Path | None = None, *, download: bool = False) -> Split:
        """The data of the run; arguments as in `zoo.lab.data.load`.

        Raises:
            FileNotFoundError: its files are missing.
        """
        return load(self.settings.data, folder=folder, download=download, **self.settings.data_options)


def names(folder: str | Path = HERE) -> list[str]:
    """The pretrained pairs in `folder`: those that come with the zoo, or those that `keep` wrote there."""
    return [about["name"] for about in records(folder)]


def records(folder: str | Path = HERE) -> list[dict[str, Any]]:
    """The records of the pretrained pairs in `folder`, by name; see `Pretrained.about`.

    Raises:
        ValueError: a file is damaged.
    """
    return sorted((_about(path) for path in Path(folder).glob("*.safetensors")), key=lambda about: str(about["name"]))


def pretrained(name: str, *, folder: str | Path = HERE) -> Pretrained:
    """The pretrained pair with the name of its recipe; needs no data.

    Args:
        name: of the pair.
        folder: the folder of its file; the zoo's when not given.

    Raises:
        LookupError: there is none; the message lists all pairs and the nearest name.
        ValueError: the file is damaged, or the recipe has changed since.
    """
    path = Path(folder) / _file(name)
    if path not in Path(folder).glob("*.safetensors"):
        raise LookupError(f"{unknown_name('pretrained pair', name, names(folder))} in {folder}")
    return read(path)


def read(path: Path) -> Pretrained:
    """The pretrained pair in the file at `path`, which `keep` wrote.

    Raises:
        ValueError: the file is damaged, or the recipe has changed since.
    """
    _check_digest(path)
    about = _about(path)
    try:
        settings = Settings.of(about["settings"])
    except ValueError as error:
        raise ValueError(f"{path} is damaged: of its settings, {error}; {REMEDY}") from error
    experiment = find_recipe(settings.recipe, RECIPES).build(_stand_in(about), **settings.hyperparameters)
    try:
        safetensors.torch.load_model(nn.ModuleDict({"model": experiment.model, "guide": experiment.guide}), str(path))
    except (safetensors.SafetensorError, RuntimeError) as error:
        raise ValueError(f"{path} is damaged, or the recipe {settings.recipe} has changed since: {error}") from error
    return Pretrained(experiment.model.eval(), experiment.guide.eval(), settings, about)


Measure = Callable[[FinishedRun], Mapping[str, float]]


def elbo_parts(trained: FinishedRun) -> dict[str, float]:
    """The reconstruction and the KL of each site on the test set, nats per datapoint, with draws from seed 0."""
    found = trained.evaluate()
    reconstruction = {f"reconstruction of {site}": value for site, value in found.reconstruction.items()}
    return reconstruction | {f"KL of {site}": kl.sum().item() for site, kl in found.kl.items()}


def keep(
    name: str,
    trained: FinishedRun,
    folder: str | Path,
    about: Mapping[str, Any],
    *,
    half: bool | torch.dtype = False,
    tolerance: float = 1e-3,
    measure: Measure = elbo_parts,
) -> Path:
    """Writes the run's weights under `name` into `folder`; returns the file's path.

    Args:
        name: its name for `pretrained`.
        trained: the run.
        folder: the destination.
        about: a description of the run, for `Pretrained.about`: "command", "seed", "quantities" and "note", all
            optional. With `half`, the quantities are those of `measure` when not given.
        half: whether to write the weights as float16, in half the bytes; or `torch.bfloat16`, which has three bits less
            precision and compresses better. They are read as single precision again.
        tolerance: with `half`: how much a quantity may move, relative to its absolute value or to 1 where that is
            smaller.
        measure: with `half`: the quantities that may not move; the parts of the ELBO when not given. Both values of
            each are recorded in `about`.

    Raises:
        ValueError: in half precision a quantity moves by more than the tolerance, or `half` is another type; nothing is
            written.
    """
    if half not in (*HALVES, True, False):
        raise ValueError(f"half={half}: choose True, torch.float16 or torch.bfloat16; False keeps single precision")
    train = trained.data.train
    record = {
        **about,
        "name": name,
        "settings": {**asdict(trained.settings), "device": "cpu"},
        "shape": list(train.shape),
        "datapoints": len(train),
        **({} if train.y is None else {"classes": int(train.y.max()) + 1}),
        **({"vocabulary": list(train.vocabulary)} if train.vocabulary else {}),
        "recipe's steps": trained.experiment.steps,
    }
    modules = nn.ModuleDict({"model": trained.model, "guide": trained.guide})
    tensors = {key: value.detach().cpu().contiguous() for key, value in modules.state_dict().items()}
    if half:
        dtype = torch.float16 if half is True else half
        tensors = {key: value.to(dtype) if value.is_floating_point() else value for key, value in tensors.items()}
        moved = _compare(trained, tensors, tolerance, measure)
        record["half precision"] = {"dtype": str(dtype).removeprefix("torch."), **moved}
        record.setdefault("quantities", moved["half"])
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / _file(name)
    text = json.dumps(record)
    metadata = {"format": FORMAT, "about": text, "digest": digest(text, tensors)}
    write_file(path, safetensors.torch.save(tensors, metadata))
    return path


def _compare(trained: FinishedRun, halved: Mapping[str, Tensor], tolerance: float, measure: Measure) -> dict[str, Any]:
    """The quantities of the run as it is and with the weights `halved`; refuses one that moves too far."""
    model, guide = copy.deepcopy((trained.model, trained.guide))
    nn.ModuleDict({"model": model, "guide": guide}).load_state_dict(dict(halved))
    rounded = replace(trained, experiment=replace(trained.experiment, model=model, guide=guide))
    before, after = measure(trained), measure(rounded)
    for name, value in before.items():
        if not abs(after[name] - value) <= tolerance * max(abs(value), 1.0):  # NaN is refused, too
            raise ValueError(
                f"{name} is {value:g}, and {after[name]:g} with weights in half precision, which differs by more than "
                f"{tolerance:g} relative to it: keep single precision, or give a larger tolerance"
            )
    return {"tolerance": tolerance, "single": dict(before), "half": dict(after)}


def _about(path: Path) -> dict[str, Any]:
    text = _header(path)["about"]
    try:
        about = json.loads(text)
    except ValueError as error:
        raise ValueError(f"{path} is damaged: its record is not JSON ({error}); {REMEDY}") from error
    if not isinstance(about, dict):
        raise ValueError(f"{path} is damaged: its record must hold named values, got {shown(about)}; {REMEDY}")
    if "figures" in about:  # their earlier name
        about["quantities"] = about.pop("figures")
    if wrong := [name for name, kind in _RECORD.items() if not isinstance(about.get(name), kind)]:
        raise ValueError(f"{path} is damaged: its record must have a {wrong[0]}; {REMEDY}")
    return about


_RECORD = {"name": str, "settings": dict, "shape": list, "datapoints": int}


def _check_digest(path: Path) -> None:
    """Refuses a file whose weights or record were changed; a file of version 0.1 has no digest."""
    header = _header(path)
    with safetensors.safe_open(str(path), "pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    if header.get("digest") not in (None, digest(header["about"], tensors)):
        raise ValueError(f"{path} is damaged, or was changed since it was written: its digest differs; {REMEDY}")


def _header(path: Path) -> dict[str, str]:
    """The texts in a file's header: its format, its record, and their digest.

    Raises:
        ValueError: the file is damaged, or is of another format.
    """
    try:
        with safetensors.safe_open(str(path), "pt") as file:
            header: dict[str, str] = file.metadata() or {}
    except (safetensors.SafetensorError, OSError) as error:
        raise ValueError(f"{path} is damaged ({error}); {REMEDY}") from error
    if header.get("format") != FORMAT:
        raise ValueError(
            f"{path} holds no pretrained pair: its format is {header.get('format')!r}, not {FORMAT!r}; {REMEDY}"
        )
    if header.keys() not in ({"format", "about"}, {"format", "about", "digest"}):
        raise ValueError(f"{path} is damaged: its header has the entries {', '.join(sorted(header))}; {REMEDY}")
    return header


def _stand_in(about: Mapping[str, Any]) -> Split:
    """A set of the right size, shape, classes and words, which is all that a recipe needs: no image, or every word."""
    words, classes, num_data = about.get("vocabulary", ()), about.get("classes", 0), about["datapoints"]
    x = np.broadcast_to(np.float32(1) if words else np.uint8(0), (num_data, *about["shape"]))
    y = np.arange(num_data) % classes if classes else None
    data = Dataset(about["settings"]["data"], x, y, vocabulary=tuple(words))
    return Split(data, data)


def _file(name: str) -> str:
    return f"{name.replace('/', '-')}.safetensors"
