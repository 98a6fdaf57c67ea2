"""A run's whole state in one file, written atomically, and read without executing anything in it.

    save("run.safetensors", capture(model, guide, elbo, optimizer, step=step), about={"lr": 1e-3})
    checkpoint = load("run.safetensors")
    start = restore(checkpoint, model, guide, elbo, optimizer)

The file is a safetensors file: numbers and JSON, which cannot hold code. A digest shows whether one is damaged.
"""

import hashlib
import json
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from zoo.arguments import checked
from zoo.lab.device import device_of, random_state, set_random_state
from zoo.lab.files import write_file
from zoo.lab.training.adversary import Adversary
from zoo.termwise import TermwiseELBO

FORMAT = "zoo checkpoint 1"
REMEDY = "put a copy back, or remove it, and the run begins again"

State = dict[str, Any]


@checked()
def capture(
    model: nn.Module,
    guide: nn.Module,
    elbo: TermwiseELBO,
    optimizer: torch.optim.Optimizer,
    *,
    step: int,
    adversary: Adversary | None = None,
) -> State:
    """Everything that the next step depends on, after `step` steps: the pair's parameters and buffers, the objective's
    state, `kl` and `num_particles`, the optimiser's state, and the random state of Python, NumPy, and PyTorch on the
    CPU and on the pair's device. For an objective with a network, such as FactorVAE, also the network's tensors and
    the state of the optimiser that trains it, which belongs to the adversary: pass the one that `fit` is given.
    All tensors are copies, which further training leaves as they are.
    """
    settings = elbo.settings()
    state = {
        "step": step,
        "model": _tensors(model),
        "guide": _tensors(guide),
        "objective": elbo.state_dict(),
        "settings": {name: settings[name] for name in ("kl", "num_particles")},
        "networks": _networks(elbo),
        "optimizer": optimizer.state_dict(),
        "adversary": adversary.optimizer.state_dict() if adversary else None,
        "random": {
            "python": random.getstate(),
            "numpy": _plain(np.random.get_state()),  # noqa: NPY002 (what others draw from)
            "cpu": torch.get_rng_state(),
            "device": random_state(device_of(model, guide)),
        },
    }
    return _copied(state)


@checked()
def restore(
    state: State,
    model: nn.Module,
    guide: nn.Module,
    elbo: TermwiseELBO,
    optimizer: torch.optim.Optimizer,
    *,
    adversary: Adversary | None = None,
) -> int:
    """Restores what `capture` returned, and returns the number of steps that were taken. Draws no random numbers.

    The state is left as it is by further training, so that it can be restored again.

    Raises:
        ValueError: the pair, the objective or the optimiser has other tensors; the message says which. Nothing changes.
    """
    differences = _differences("model", state["model"], _tensors(model))
    differences += _differences("guide", state["guide"], _tensors(guide))
    differences += _differences("objective", state["objective"], elbo.state_dict(), may_be_new=True)
    networks = state.get("networks", _networks(elbo))  # earlier versions had none
    differences += _differences("a network of the objective", networks, _networks(elbo))
    if (state.get("adversary") is None) != (adversary is None):
        where = "here, and not in the checkpoint" if adversary else "in the checkpoint, and not here: give adversary="
        differences.append(f"an adversary is {where}")
    sizes = [len(group["params"]) for group in state["optimizer"]["param_groups"]]
    here = [len(group["params"]) for group in optimizer.param_groups]
    if sizes != here:
        differences.append(f"the optimiser has {sizes} parameters in the checkpoint, {here} here")
    if differences:
        raise ValueError("the checkpoint does not fit what it is restored into: " + "; ".join(differences))
    device = device_of(model, guide)
    # A running statistic is added to tensors of the pair's device; load_state_dict raises for unknown names.
    elbo.load_state_dict({name: tensor.to(device, copy=True) for name, tensor in state["objective"].items()})
    for name, value in state.get("settings", {}).items():
        setattr(elbo, name, value)
    with torch.no_grad():
        for key, tensor in _networks(elbo).items():
            tensor.copy_(networks[key])
        for name, module in (("model", model), ("guide", guide)):
            for key, tensor in _tensors(module).items():
                tensor.copy_(state[name][key])
    optimizer.load_state_dict(_copied(state["optimizer"]))  # which would share its tensors with the state
    if adversary:
        adversary.optimizer.load_state_dict(_copied(state["adversary"]))
    generators = state["random"]
    random.setstate(generators["python"])
    np.random.set_state(generators["numpy"])  # noqa: NPY002
    torch.set_rng_state(generators["cpu"])
    set_random_state(device, generators.get("device"))  # version 0.1 trained on CPUs, and has none
    return int(state["step"])


@checked()
def save(path: str | Path, state: State, *, about: Mapping[str, Any] | None = None) -> None:
    """Writes the state atomically: `path` holds either the new state or the old content.

    Args:
        path: the file.
        state: from `capture`; dictionaries, lists and tuples of tensors, numbers and strings.
        about: further information in the file; read back under "about".

    Raises:
        OSError: it could not be written, for example on a full disk; the old content is kept.
        TypeError: something in the state is of another kind.
    """
    path = Path(path)
    tensors: dict[str, Tensor] = {}
    tree = json.dumps(_encode({**state, "about": dict(about or {})}, "", tensors))
    metadata = {"format": FORMAT, "tree": tree, "digest": digest(tree, tensors)}
    try:
        write_file(path, safetensors.torch.save(tensors, metadata))
    except OSError as error:
        kept = "the one from before is kept" if path.exists() else "there is none from before"
        raise OSError(f"the checkpoint {path} could not be written ({error.strerror}): {kept}") from error


@checked()
def load(path: str | Path) -> State:
    """Reads what `save` wrote. Nothing in the file is executed, whatever it holds.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is not a checkpoint, is damaged, or was changed since it was written.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no checkpoint {path}: give the path of a checkpoint file")
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            if metadata.get("format") != FORMAT:
                raise ValueError(
                    f"{path} is a safetensors file, but not a checkpoint of this zoo ({FORMAT!r}); {REMEDY}"
                )
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except safetensors.SafetensorError as error:
        raise ValueError(f"{path} is not a checkpoint, or only a part of one ({error}); {REMEDY}") from None
    if metadata.get("digest") != digest(metadata.get("tree", ""), tensors):
        raise ValueError(
            f"the checkpoint {path} is damaged, or was changed since it was written: its digest differs; {REMEDY}"
        )
    try:
        state: State = _decode(json.loads(metadata["tree"]), tensors)
    except (LookupError, TypeError, ValueError) as error:
        raise ValueError(f"{path} does not have the structure of a checkpoint; {REMEDY}") from error
    return state


def _tensors(module: nn.Module) -> dict[str, Tensor]:
    """Parameters and buffers, including those that a state_dict leaves out."""
    return {**dict(module.named_parameters()), **dict(module.named_buffers())}


def _networks(elbo: TermwiseELBO) -> dict[str, Tensor]:
    """The tensors of the networks that are attributes of an objective."""
    networks = {name: network for name, network in vars(elbo).items() if isinstance(network, nn.Module)}
    return {f"{name}.{key}": t for name, network in networks.items() for key, t in _tensors(network).items()}


def _differences(
    what: str, saved: dict[str, Tensor], here: dict[str, Tensor], *, may_be_new: bool = False
) -> list[str]:
    """The differences that prevent restoring the saved tensors; a running statistic may not exist here yet."""
    only_saved = [] if may_be_new else sorted(saved.keys() - here.keys())
    found = [f"{what}: {name} is in the checkpoint, and not here" for name in only_saved]
    found += [f"{what}: {name} is here, and not in the checkpoint" for name in sorted(here.keys() - saved.keys())]
    for name in sorted(saved.keys() & here.keys()):
        then, now = saved[name], here[name]
        if then.shape != now.shape or then.dtype != now.dtype:
            found.append(
                f"{what}: {name} is {then.dtype} {list(then.shape)} in the checkpoint, "
                f"and {now.dtype} {list(now.shape)} here"
            )
    return found


def _copied(state: State) -> State:
    """The same tree with copies of its tensors."""
    copied: State = tree_map(lambda node: node.detach().clone() if isinstance(node, Tensor) else node, state)
    return copied


def _plain(state: Any) -> tuple[Any, ...]:
    """NumPy's random state with a list instead of its array."""
    name, keys, *rest = state
    return name, keys.tolist(), *rest


def _encode(node: Any, at: str, tensors: dict[str, Tensor]) -> Any:
    """A tree as JSON; its tensors are stored separately, by their position in it."""
    if isinstance(node, Tensor):
        tensors[at] = node.detach().cpu().contiguous().clone()  # safetensors refuses tensors that share memory
        return {"tensor": at}
    if isinstance(node, Mapping):  # as pairs, since keys in JSON are strings
        return {"map": [[key, _encode(value, f"{at}/{key}", tensors)] for key, value in node.items()]}
    if isinstance(node, (list, tuple)):
        items = [_encode(value, f"{at}/{i}", tensors) for i, value in enumerate(node)]
        return {"tuple": items} if isinstance(node, tuple) else items
    if node is None or isinstance(node, (bool, int, float, str)):
        return node
    raise TypeError(f"{at}: a checkpoint holds tensors, numbers and strings, got {type(node).__name__}; leave it out")


def _decode(node: Any, tensors: dict[str, Tensor]) -> Any:
    if isinstance(node, list):
        return [_decode(value, tensors) for value in node]
    if not isinstance(node, dict):
        return node
    ((kind, value),) = node.items()
    if kind == "tensor":
        return tensors[value]
    if kind == "map":
        return {key: _decode(item, tensors) for key, item in value}
    return tuple(_decode(item, tensors) for item in value)


def digest(text: str, tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 of a text and of tensors by name: their names, types, shapes and values."""
    found = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        found.update(f"{name} {tensor.dtype} {list(tensor.shape)}".encode())
        found.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()
