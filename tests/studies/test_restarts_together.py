"""What the benchmark of joint training compares is the same training. Nothing is timed here but the clock itself."""

import re
import sys

import pytest
import torch

from zoo.__main__ import main
from zoo.studies import restarts_together as bench

CPU = torch.device("cpu")
DIGITS = bench.TASKS[0]


def test_each_variant_trains_the_same_pairs_on_batches_of_the_same_size(monkeypatch):
    seen = []

    def fit(model, guide, elbo, batches, **options):
        seen.append((model, guide, elbo, next(iter(batches)), options))

    def fit_restarts(members, **options):
        for member in members:
            fit(member.model, member.guide, member.elbo, member.batches, **options)

    monkeypatch.setattr(bench, "fit", fit)
    monkeypatch.setattr(bench, "fit_restarts", fit_restarts)
    bench.alone(DIGITS, CPU, compile=False)
    bench.together(DIGITS, 2, CPU, compile=False)
    (model, guide, elbo, batch, options), first, second = seen
    for other in (first, second):
        assert type(other[2]) is type(elbo)
        assert other[3].x.shape == batch.x.shape
        assert other[4] == options
    for ours, theirs in ((model, first[0]), (guide, first[1])):  # seed 0 in both
        assert all(torch.equal(a, b) for a, b in zip(ours.parameters(), theirs.parameters(), strict=True))
    assert not torch.equal(next(first[0].parameters()), next(second[0].parameters()))


def test_a_turn_takes_as_many_steps_of_members_in_each_variant(monkeypatch):
    # 8 member-steps per turn: 8 steps of one pair, 2 of four, and 1 of sixteen. A clock that counts steps gives times.
    steps = []

    def ticking(size):
        while True:
            steps.append(size)
            yield

    monkeypatch.setattr(bench, "alone", lambda *_, compile: ticking(1))
    monkeypatch.setattr(bench, "together", lambda task, size, device, compile: ticking(size))
    monkeypatch.setattr(bench, "_clock", lambda device: lambda: 0.001 * sum(steps))
    times = bench.milliseconds(DIGITS, CPU, turns=3, steps=8, sizes=(4, 16))
    assert times == pytest.approx({"fit": 1.0, "R = 4": 1.0, "R = 16": 1.0})
    assert [steps.count(size) for size in (1, 4, 16)] == [4 * 8, 4 * 2, 4 * 1]  # with the turn that is a warm-up


def test_the_command_line_asks_for_it(monkeypatch):
    asked = []
    monkeypatch.setattr(bench, "main", lambda device, **options: asked.append((device, options)))
    monkeypatch.setattr(sys, "argv", ["zoo", "bench", "--rows", "together", "--turns", "3", "--device", "cpu"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code
    assert asked == [(CPU, {"turns": 3, "steps": 20, "compile": False})]


def test_the_table_says_how_many_times_less_than_fit_it_takes():
    said = bench.table("a title", {"fit": 6.0, "R = 4": 2.0})
    assert re.search(r"R = 4\s+2\.00\s+3\.00", said)
