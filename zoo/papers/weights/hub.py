"""Pairs on a Hugging Face hub: safetensors, JSON and a card, and nothing that is run.

The hub is the one that the environment variable HF_ENDPOINT names, else the public one. Needs the extra "hub".
"""

import json
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from zoo.lab.errors import import_optional
from zoo.lab.files import write_file
from zoo.lab.runs.finished import FinishedRun
from zoo.papers.weights import Pretrained, elbo_parts, keep, read
from zoo.papers.weights.card import ModelCard

SCHEME = "hf://"
WEIGHTS = "pair.safetensors"


def from_hub(address: str) -> Pretrained:
    """The pair at hf://owner/name.

    Raises:
        ModuleNotFoundError: huggingface_hub is not installed.
        LookupError: there is no such repository, or it holds no pair.
        ConnectionError: the hub cannot be reached, and the pair was not fetched before.
        ValueError: the address is not hf://owner/name, or the file is damaged.
    """
    repository = _checked(address.removeprefix(SCHEME))
    hub = _library(f"pretrained({address!r})")
    with _errors(hub, repository, fetching=True):
        path = hub.hf_hub_download(repository, WEIGHTS, endpoint=_endpoint())
    return read(Path(path))


def push(run: FinishedRun, repository: str, *, command: str = "", private: bool = False, half: bool = False) -> str:
    """Sends a finished run's pair and its card to a hub's repository; returns the address for `pretrained`.

    Args:
        run: the run.
        repository: owner/name; created where it does not exist.
        command: that trained the run, for the card.
        private: whether a new repository is private.
        half: see `keep`.

    Raises:
        ModuleNotFoundError: huggingface_hub is not installed.
        ConnectionError: the hub cannot be reached.
        PermissionError: the hub refuses: no token, or no right to write.
        ValueError: the name is not owner/name; or as `keep`.
    """
    repository = _checked(repository)
    hub = _library("push")
    about = {"command": command, "seed": run.settings.seed, "quantities": elbo_parts(run)}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        keep(repository, run, folder, about, half=half).rename(folder / WEIGHTS)
        pair = read(folder / WEIGHTS)
        card = ModelCard.of(pair.about)
        header = "---\nlibrary_name: disentangled-zoo\ntags:\n- disentanglement\n- pyro\n---\n\n"
        write_file(folder / "README.md", header + card.markdown(f"{SCHEME}{repository}"))
        config = {"recipe": card.recipe, "settings": asdict(pair.settings), "quantities": dict(card.quantities)}
        write_file(folder / "config.json", json.dumps(config, indent=1) + "\n")
        with _errors(hub, repository, fetching=False):
            api = hub.HfApi(endpoint=_endpoint())
            api.create_repo(repository, private=private, exist_ok=True)
            api.upload_folder(repo_id=repository, folder_path=folder, commit_message=f"{card.recipe}, seed {card.seed}")
    return f"{SCHEME}{repository}"


def _checked(repository: str) -> str:
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", repository):
        raise ValueError(f"a repository of the hub is owner/name, as in {SCHEME}owner/name, got {repository!r}")
    return repository


def _library(what: str) -> Any:
    return import_optional("huggingface_hub", what, extra="hub")


def _endpoint() -> str | None:
    return os.environ.get("HF_ENDPOINT") or None


@contextmanager
def _errors(hub: Any, repository: str, *, fetching: bool) -> Iterator[None]:
    """The library's errors as Python's own, in one line each."""
    where = _endpoint() or "the public hub"
    try:
        yield
    except (hub.errors.RepositoryNotFoundError, hub.errors.EntryNotFoundError) as error:
        if isinstance(error, hub.errors.LocalEntryNotFoundError):
            raise _offline(where, repository, fetching=fetching) from error
        raise LookupError(f"{repository} at {where} does not exist, is private, or holds no {WEIGHTS}") from error
    except hub.errors.HfHubHTTPError as error:
        status = error.response.status_code
        if status in (401, 403):
            raise PermissionError(
                f"{where} refuses access to {repository} (status {status}): log in by `hf auth login`, or set HF_TOKEN"
            ) from error
        raise ConnectionError(f"{where} answered with status {status} for {repository}") from error
    except (hub.errors.OfflineModeIsEnabled, hub.errors.HTTPError, OSError) as error:
        raise _offline(where, repository, fetching=fetching) from error


def _offline(where: str, repository: str, *, fetching: bool) -> ConnectionError:
    before, file = "", ""
    if fetching:
        before = f", and {repository} was not fetched before"
        file = ", or read a file by pretrained(NAME, folder=FOLDER)"
    return ConnectionError(
        f"{where} cannot be reached{before}: check the connection, HF_ENDPOINT and HF_HUB_OFFLINE{file}"
    )
