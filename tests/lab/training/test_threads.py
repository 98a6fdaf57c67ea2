"""The number of threads is found by the time of steps, and finding it changes nothing else."""

import copy

import pytest
import torch

from tests.small_recipe import small
from zoo.lab.data import load
from zoo.lab.training import threads
from zoo.lab.training.fit import fit


@pytest.fixture
def two_threads(monkeypatch):
    """Two threads, and turns of one step: each step of two threads that wait for each other takes long."""
    monkeypatch.setattr(threads, "STEPS", 1)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def clock(monkeypatch):
    """A clock that passes a second for each step of one thread, and as much as it says for each step of two."""

    def of(two):
        now = [0.0]

        def stepping(*args, **kwargs):
            for step in fit(*args, **kwargs):
                now[0] += 1.0 if torch.get_num_threads() == 1 else two
                yield step

        monkeypatch.setattr(threads, "fit", stepping)
        monkeypatch.setattr(threads.time, "perf_counter", lambda: now[0])

    return of


def settings():
    return {"batch_size": 16, "lr": 1e-3}


@pytest.mark.parametrize(("two", "found"), [(0.6, 2), (1.7, 1)])
def test_the_number_whose_steps_are_faster_is_found(two_threads, clock, two, found):
    split = load("digits")
    clock(two)
    assert threads.find_threads(small(split), split, **settings()) == found
    assert torch.get_num_threads() == 2


def test_the_experiment_and_the_random_state_stay_as_they_were(two_threads):
    split = load("digits")
    experiment = small(split)
    before, state = copy.deepcopy(experiment.model.state_dict()), torch.get_rng_state()
    threads.find_threads(experiment, split, **settings())
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, before[name]) for name, value in experiment.model.state_dict().items())
    assert all(parameter.grad is None for parameter in experiment.guide.parameters())


def test_one_thread_needs_no_search(monkeypatch):
    monkeypatch.setattr(threads, "fit", None)  # is not called
    split = load("digits")
    assert torch.get_num_threads() == 1
    assert threads.find_threads(small(split), split, **settings()) == 1


@pytest.mark.parametrize(("value", "given"), [(None, False), ("", False), ("3", True)])
def test_the_users_number_is_in_the_environment(monkeypatch, value, given):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if value is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", value)
    assert threads.given() is given
