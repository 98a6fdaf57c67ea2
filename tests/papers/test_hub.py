"""Pairs on a hub: what is sent comes back, as safetensors and JSON alone; each error is one line."""

import json
import sys
from types import SimpleNamespace

import pytest
import torch

import zoo.papers
from tests.papers.hub import Hub, running
from tests.pictures import without_pictures
from zoo.lab.runs import train as run
from zoo.papers import configure, open_run
from zoo.papers.weights import elbo_parts


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A run of a few steps."""
    folder = tmp_path_factory.mktemp("run")
    settings, split, experiment = configure("joint-vae/digits", steps=5, seed=3, device="cpu")
    with without_pictures():
        run.train(experiment, split, settings, folder, command="python -m zoo train --steps 5 --seed 3", progress=False)
    return folder


@pytest.fixture
def hub(monkeypatch, tmp_path) -> Hub:
    import huggingface_hub.constants as constants
    from huggingface_hub.utils import _http

    with running() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
        monkeypatch.setenv("HF_TOKEN", "a-token")
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_PROGRESS_BARS", True)
        # The library asks five times more where nobody answers, with 23 seconds between in all: here at once.
        monkeypatch.setattr(_http, "time", SimpleNamespace(sleep=lambda seconds: None))
        yield hub


def test_what_was_sent_comes_back(folder, hub):
    address = zoo.papers.push(folder, "owner/name")
    assert address == "hf://owner/name"
    pair, trained = zoo.papers.pretrained(address), open_run(folder)
    for ours, theirs in zip(pair.model.parameters(), trained.model.parameters(), strict=True):
        assert torch.equal(ours, theirs)
    for ours, theirs in zip(pair.guide.parameters(), trained.guide.parameters(), strict=True):
        assert torch.equal(ours, theirs)
    assert pair.about["quantities"] == pytest.approx(elbo_parts(trained))
    assert pair.settings.seed == 3


def test_only_safetensors_json_and_a_card_are_sent_and_only_safetensors_are_read(folder, hub):
    zoo.papers.push(folder, "owner/name")
    sent = hub.files["owner/name"]
    assert set(sent) - {".gitattributes"} == {"pair.safetensors", "config.json", "README.md"}
    assert json.loads(sent["config.json"])["settings"]["recipe"] == "joint-vae/digits"
    card = sent["README.md"].decode()
    assert 'pretrained("hf://owner/name")' in card
    assert "CC BY 4.0" in card  # the digits' licence
    assert "python -m zoo train --steps 5 --seed 3" in card
    hub.requests.clear()
    zoo.papers.pretrained("hf://owner/name")
    fetched = {request.rsplit("/", 1)[1] for request in hub.requests if "/resolve/" in request}
    assert fetched == {"pair.safetensors"}


def test_a_pair_that_was_fetched_is_there_without_the_hub(folder, hub, monkeypatch):
    zoo.papers.push(folder, "owner/name")
    zoo.papers.pretrained("hf://owner/name")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")  # the port of the discard service: nothing answers
    assert zoo.papers.pretrained("hf://owner/name").settings.seed == 3


def test_half_precision_halves_the_file(folder, hub):
    zoo.papers.push(folder, "owner/single")
    zoo.papers.push(folder, "owner/half", half=True)
    single, half = (len(hub.files[f"owner/{name}"]["pair.safetensors"]) for name in ("single", "half"))
    assert half < 0.6 * single
    assert zoo.papers.pretrained("hf://owner/half").about["half precision"]["tolerance"] == 1e-3


def test_a_damaged_file_of_a_hub_is_refused(folder, hub):
    zoo.papers.push(folder, "owner/name")
    content = bytearray(hub.files["owner/name"]["pair.safetensors"])
    content[-1] ^= 1
    hub.files["owner/name"]["pair.safetensors"] = bytes(content)
    with pytest.raises(ValueError, match="its digest differs"):
        zoo.papers.pretrained("hf://owner/name")


def test_what_is_not_there_is_named(hub):
    with pytest.raises(LookupError, match=r"owner/nobody at http://127.* does not exist, is private, or holds no pair"):
        zoo.papers.pretrained("hf://owner/nobody")
    hub.files["owner/empty"] = {}
    with pytest.raises(LookupError, match=r"owner/empty at http://127.* holds no pair\.safetensors"):
        zoo.papers.pretrained("hf://owner/empty")


@pytest.mark.parametrize("address", ["hf://", "hf://name", "hf://a/b/c", "hf://../name?x", "hf://a b/c"])
def test_other_addresses_are_refused(address):
    with pytest.raises(ValueError, match=r"a repository of the hub is owner/name"):
        zoo.papers.pretrained(address)


def test_without_a_connection_the_error_is_one_line(folder, hub, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(ConnectionError, match=r"http://127\.0\.0\.1:9 cannot be reached, and owner/name was not"):
        zoo.papers.pretrained("hf://owner/name")
    with pytest.raises(ConnectionError, match=r"http://127\.0\.0\.1:9 cannot be reached: check the connection, "):
        zoo.papers.push(folder, "owner/name")


@pytest.mark.parametrize(
    ("status", "error", "message"),
    [
        (
            403,
            PermissionError,
            r"refuses access to owner/name \(status 403\): log in by `hf auth login`, or set HF_TOKEN",
        ),
        (400, ConnectionError, r"answered with status 400 for owner/name"),
    ],
)
def test_a_hub_that_refuses_is_named_with_its_status(status, error, message, folder, hub):
    hub.refusal = status
    with pytest.raises(error, match=message):
        zoo.papers.push(folder, "owner/name")
    assert not hub.files.get("owner/name")


def test_without_the_library_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ModuleNotFoundError, match=r'needs huggingface_hub, .* pip install -e "\.\[hub\]"'):
        zoo.papers.pretrained("hf://owner/name")


def test_a_hub_and_a_folder_exclude_each_other(tmp_path):
    with pytest.raises(ValueError, match=r"hf://owner/name is on a hub, and folder= is for files"):
        zoo.papers.pretrained("hf://owner/name", folder=tmp_path)
