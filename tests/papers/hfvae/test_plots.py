"""HFVAE's pictures are drawn of finished trials."""

import json

import pytest
from matplotlib.collections import PathCollection

from tests.pictures import drawn, shown
from zoo.lab.plots import save_pictures
from zoo.lab.trials.trial import QUANTITIES, Trial
from zoo.papers.hfvae import plots
from zoo.papers.hfvae.reproduction import (
    HFVAE,
)
from zoo.papers.recipes import RECIPES
from zoo.papers.reproductions import REPRODUCTIONS


def test_the_pictures_of_a_run(digits, tmp_path):
    pictures = drawn(REPRODUCTIONS["hfvae/mnist"], {HFVAE: [digits["images"]]})
    assert {"information.png", "figure5.png", "figure5-labels.png", "units.png", "confusion.png"} <= pictures.keys()
    pictures |= drawn(REPRODUCTIONS["hfvae/figure-7"], {HFVAE: [digits["unseen"]]})
    captions = save_pictures(pictures, tmp_path)
    assert all(shown(tmp_path / name) for name in captions)
    assert {path.name for path in tmp_path.iterdir()} == captions.keys()


def figure_6_trials(name, tmp_path):
    """A trial of every variant, with made-up numbers."""
    trials = {}
    for number, variant in enumerate(REPRODUCTIONS[name].variants):
        trial = Trial(0, "short", tmp_path / str(number), recipes=RECIPES)
        trial.folder.mkdir()
        quantities = {"TC": 5.0 - number, "I(x; z, c)": 9.0 - 0.1 * number, "MIG": 0.1 * number}
        (trial.folder / QUANTITIES).write_text(json.dumps({"quantities": quantities}))
        trials[variant] = [trial]
    return trials


@pytest.mark.parametrize("name", ["hfvae/figure-6", "hfvae/sensitivity"])
def test_the_pictures_of_many_runs(name, tmp_path):
    captions = save_pictures(drawn(REPRODUCTIONS[name], figure_6_trials(name, tmp_path)), tmp_path / "pictures")
    assert all(shown(tmp_path / "pictures" / file) for file in captions)


def test_figure_6_has_every_setting_at_its_information_and_total_correlation(tmp_path):
    name = "hfvae/figure-6"
    (axes,) = drawn(REPRODUCTIONS[name], figure_6_trials(name, tmp_path))["figure6-left.png"].drawn.axes
    equal = [n for n, variant in enumerate(REPRODUCTIONS[name].variants) if variant.startswith("gamma = beta")]
    points = [tuple(dots.get_offsets()[0]) for dots in axes.collections if isinstance(dots, PathCollection)]
    assert points == [pytest.approx((9.0 - 0.1 * n, 5.0 - n)) for n in equal]


def test_bars_are_in_ascending_order_with_the_type_last():
    nats = {"z[0]": 2.0, "z[1]": 0.01, "c": 1.0, "z[2]": 0.5}
    (axes,) = plots.information_bars({"a": nats}, label="nats", threshold=0.1).axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["z[1]", "z[2]", "z[0]", "c"]
    assert [bar.get_width() for bar in axes.patches] == [0.01, 0.5, 2.0, 1.0]
    assert len({bar.get_facecolor() for bar in axes.patches}) == 3  # pruned, not, and the type
