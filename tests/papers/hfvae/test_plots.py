"""HFVAE's pictures are drawn of finished trials."""

import json

import pytest

from tests.pictures import shown
from zoo.lab.trials.trial import QUANTITIES, Trial
from zoo.papers.hfvae import plots
from zoo.papers.hfvae.reproduction import (
    HFVAE,
)
from zoo.papers.recipes import RECIPES
from zoo.papers.reproductions import REPRODUCTIONS


def test_the_pictures_of_a_run(digits, tmp_path):
    captions = REPRODUCTIONS["hfvae/mnist"].pictures({HFVAE: [digits["images"]]}, tmp_path)
    assert {"information.png", "figure5.png", "figure5-labels.png", "units.png", "confusion.png"} <= captions.keys()
    captions |= REPRODUCTIONS["hfvae/figure-7"].pictures({HFVAE: [digits["unseen"]]}, tmp_path)
    assert all(shown(tmp_path / name) for name in captions)
    assert {path.name for path in tmp_path.glob("*.png")} == captions.keys()


@pytest.mark.parametrize("name", ["hfvae/figure-6", "hfvae/sensitivity"])
def test_the_pictures_of_many_runs(name, tmp_path):
    tried = {}
    for number, variant in enumerate(REPRODUCTIONS[name].variants):
        trial = Trial(0, "short", tmp_path / str(number), recipes=RECIPES)
        trial.folder.mkdir()
        figures = {"TC": 5.0 - number, "I(x; z, c)": 9.0 - 0.1 * number, "MIG": 0.1 * number}
        (trial.folder / QUANTITIES).write_text(json.dumps({"quantities": figures}))
        tried[variant] = [trial]
    captions = REPRODUCTIONS[name].pictures(tried, tmp_path)
    assert all(shown(tmp_path / file) for file in captions)


def test_bars_are_in_ascending_order_with_the_type_last(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(plots, "figure", lambda *size: drawn.append(ours(*size)) or drawn[-1])
    ours = __import__("zoo.lab.plots.run", fromlist=["figure"]).figure
    nats = {"z[0]": 2.0, "z[1]": 0.01, "z[2]": 0.5, "c": 1.0}
    plots.information_bars({"a": nats}, tmp_path / "a.png", label="nats", threshold=0.1, dark=["c"])
    axes = drawn[0].axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["z[1]", "z[2]", "z[0]", "c"]
    assert [bar.get_height() for bar in axes.patches] == [0.01, 0.5, 2.0, 1.0]
    assert len({bar.get_facecolor() for bar in axes.patches}) == 3  # pruned, not, and the type
