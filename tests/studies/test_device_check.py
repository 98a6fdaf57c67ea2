"""The check of a device: equal where it must be, and what differs is found."""

import pytest
import torch

from zoo.lab.data import load
from zoo.papers.recipes import RECIPES
from zoo.studies import device_check


@pytest.fixture
def eager_twice(monkeypatch):
    """Compiled steps are eager ones here, since a compiler takes a minute; what they are is tested with the steps."""
    fit = device_check.fit
    monkeypatch.setattr(device_check, "fit", lambda *args, compile=False, **kwargs: fit(*args, **kwargs))


def test_a_recipe_is_equal_compiled_and_resumed_on_the_cpu(eager_twice, capsys):
    torch.set_default_dtype(torch.float32)
    (found,) = device_check.check_all(torch.device("cpu"), None, minutes=1, names=["dip-vae/digits"])
    assert found.differences == []
    assert found.compiled == "yes"
    assert min(found.eager, found.graph) > 0
    assert capsys.readouterr().out == "dip-vae/digits: equal\n"


def test_a_resumed_run_that_differs_is_found(eager_twice, monkeypatch):
    torch.set_default_dtype(torch.float32)
    restore = device_check.checkpoint.restore

    def without_random_state(state, *args):
        step = restore(state, *args)
        torch.manual_seed(5)
        return step

    monkeypatch.setattr(device_check.checkpoint, "restore", without_random_state)
    found = device_check.check(RECIPES["vae"], load("digits"), torch.device("cpu"))
    assert found.outcome().startswith("differs: resumed, step 4")  # scripts/one-gpu.sh looks for the word
    assert all(text.startswith(("resumed, step 4", "resumed, step 5", "resumed, step 6")) for text in found.differences)


def test_terms_are_compared_step_by_step_and_nan_is_never_equal():
    steps = [{"a": 100.0, "b": 0.0}] * 2
    assert device_check.compared(steps, [{"a": 100.09, "b": 0.0009}, {"a": 100.19, "b": -0.0019}]) == []
    assert device_check.compared(steps, [{"a": 100.11, "b": 0.0}] * 2) == ["step 1: a is 100.11, not 100"]
    nan = {"a": float("nan"), "b": 0.0}
    assert device_check.compared([steps[0]], [nan]) == ["step 1: a is nan, not 100"]
    assert device_check.compared([nan], [nan]) == ["step 1: a is nan, not nan"]


def test_what_cannot_be_checked_is_said(tmp_path, capsys, monkeypatch):
    assert device_check.check_all(torch.device("cpu"), tmp_path, minutes=1, names=["dip-vae/celeba"]) == []
    assert "dip-vae/celeba: not checked, " in capsys.readouterr().out
    assert device_check.check_all(torch.device("cpu"), None, minutes=0, names=["vae"]) == []
    assert "the time is up" in capsys.readouterr().out

    def out_of_memory(*_):
        raise RuntimeError("out of memory")

    monkeypatch.setattr(device_check, "check", out_of_memory)
    (failed,) = device_check.check_all(torch.device("cpu"), None, minutes=1, names=["vae"])
    assert capsys.readouterr().out == "vae: failed: RuntimeError: out of memory\n"
    assert (failed.compiled, failed.differences) == ("failed", ["RuntimeError: out of memory"])
