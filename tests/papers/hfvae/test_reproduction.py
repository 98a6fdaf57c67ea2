"""HFVAE's reproduction for images: what it measures, against closed forms; what it prunes; its claims and pictures."""

import json
import math
from functools import partial
from types import SimpleNamespace

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from matplotlib.collections import PathCollection
from matplotlib.image import imread
from torch import nn

from zoo.lab.data import Dataset
from zoo.lab.plots import save_pictures
from zoo.lab.trials.reproduction import Results
from zoo.lab.trials.trial import FIGURES as FILE
from zoo.lab.trials.trial import Trial, run_trial
from zoo.papers.hfvae import claims as hfvae_claims
from zoo.papers.hfvae import measures as hfvae_trials
from zoo.papers.hfvae import plots
from zoo.papers.hfvae import unseen as hfvae_unseen
from zoo.papers.hfvae.measures import ink, unit_of, width
from zoo.papers.hfvae.reproduction import FIGURE_6, FIGURES, HFVAE, LEFT, RIGHT, SENSITIVITY, SHAPES, TABLE_3, TABLED
from zoo.papers.hfvae.unseen import COMBINATIONS, REST, WHOLE, told_apart
from zoo.papers.recipes import RECIPES
from zoo.papers.reproductions import REPRODUCTIONS

# What is measured.


def test_ink_and_width_of_drawn_images():
    image = torch.zeros(2, 1, 4, 7)
    image[0, 0, 1, [1, 5]] = 1.0  # two pixels 4 apart: deviation 2
    image[1, 0, :, 3] = 0.5  # one column
    torch.testing.assert_close(ink(image), torch.tensor([2 / 28, 4 * 0.5 / 28]))
    torch.testing.assert_close(width(image), torch.tensor([2.0, 0.0]))


class Means(nn.Module):
    """q(z | x) with means that are a function of x."""

    def __init__(self, function):
        super().__init__()
        self.function = function
        self.anchor = nn.Parameter(torch.zeros(()))

    def forward(self, x, index=None):
        with pyro.plate("data", len(x)):
            return pyro.sample("z", dist.Normal(self.function(x), 1.0).to_event(1))


def stand_in(guide, train, test=None):
    """What of a run the figures look at."""
    return SimpleNamespace(model=guide, guide=guide, data=SimpleNamespace(train=train, test=test or train))


def labelled(num=200):
    """Images of two labels: the second has ten times the ink, and within a label the ink varies a little."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, num)
    x = (0.05 + 0.5 * y + 0.04 * rng.random(num))[:, None, None, None] * np.ones((1, 1, 3, 3))
    return Dataset.from_arrays(x.astype(np.float32), y)


def test_the_unit_of_a_feature_is_found_within_labels():
    # Unit 0 is the label, which the ink of all images together would choose; unit 1 falls with the ink of a label;
    # unit 2 is constant, which correlates with nothing.
    def means(x):
        level = ink(x)
        label = (level > 0.3).to(x)
        return torch.stack([5 * label + 0.01 * torch.sin(1000 * level), -(level - 0.5 * label), 0 * level], dim=-1)

    found = unit_of(stand_in(Means(means), labelled()), ink)
    assert found.unit == 1
    assert found.correlation == pytest.approx(-1, abs=1e-3)


def test_no_labels_are_an_error():
    data = Dataset.from_arrays(np.ones((20, 1, 3, 3), np.float32))
    with pytest.raises(ValueError, match="has no labels to hold apart"):
        unit_of(stand_in(Means(lambda x: x.flatten(1)[:, :2]), data), ink)


def test_the_share_of_pruned_codes_above_kept_ones():
    assert told_apart(np.array([1.0, 2.0]), np.array([3.0, 4.0])) == 1.0
    assert told_apart(np.array([1.0, 3.0]), np.array([2.0, 4.0])) == 3 / 4  # of four pairs one is the wrong way
    assert told_apart(np.array([1.0, 1.0]), np.array([1.0])) == 0.5


# What is run.


def weights(measure):
    assert isinstance(measure, partial)
    return measure.keywords.get("beta"), measure.keywords.get("gamma")


def test_figure_6_has_the_captions_values_once_each():
    assert [weights(FIGURE_6[name]) for name in LEFT] == [(w, w) for w in (2, 3, 4, 6)]
    assert all(weights(FIGURE_6[name])[1] == 3 for name in RIGHT)
    betas = [weights(FIGURE_6[name])[0] for name in RIGHT]
    assert betas == sorted(betas)
    assert len(FIGURE_6) == len(set(LEFT) | set(RIGHT))  # gamma = beta = 3 is in both panels
    assert len({weights(measure) for measure in FIGURE_6.values()}) == len(FIGURE_6)


def test_table_3_has_the_papers_numbers_and_priors():
    assert TABLE_3.keys() == SHAPES.keys()
    assert [tuple(row.values()) for row in TABLE_3.values()] == [(0.63, 0.30), (0.63, 0.41), (0.62, 0.29), (0.63, 0.39)]
    # Table 2: all but HFVAE have a normal alone
    assert [measure.keywords.get("c_dim") for measure in SHAPES.values()] == [0, 0, 0, None]
    assert weights(SHAPES[TABLED]) == (4.0, 3.0)


def test_the_short_budget_is_the_recipe_in_smaller_batches(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(Trial, "train", lambda trial, recipe, **settings: asked.append((recipe, settings)))
    for budget in ("short", "full"):
        hfvae_trials.train(Trial(0, budget, tmp_path, recipes=RECIPES), "hfvae/mnist", beta=4.0)
    common = {"beta": 4.0}
    assert asked == [
        ("hfvae/mnist", {"epochs": 20, "batch_size": 128, **common}),
        ("hfvae/mnist", {"epochs": 200, **common}),
    ]


def small(trial, recipe, **settings):
    """MNIST's runs on scikit-learn's digits, which are always at hand, for a few steps."""
    return trial.train("hfvae/digits", steps=40, **settings)


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """A trial each of `hfvae/mnist`'s HFVAE and of `hfvae/figure-7`, small."""
    folder = tmp_path_factory.mktemp("trials")
    torch.set_default_dtype(torch.float64)  # as in the tests, which look again
    tried = {
        name: Trial(0, "short", folder / name, device="cpu", progress=False, recipes=RECIPES)
        for name in ("images", "unseen")
    }
    measures = {"images": partial(hfvae_trials.on_digits, recipe="hfvae/mnist"), "unseen": hfvae_unseen.on_unseen}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hfvae_trials, "train", small)
        patch.setattr(hfvae_unseen, "train", small)
        for name, trial in tried.items():
            assert run_trial(measures[name], trial) is None
    return tried


def test_what_is_measured_of_a_run_is_in_the_table_and_within_its_bounds(digits):
    figures = digits["images"].figures()
    about = REPRODUCTIONS["hfvae/mnist"].figures
    assert figures.keys() == about.keys()
    assert set(FIGURES) < set(about)
    assert -0.05 < figures["I(y; c)"] < math.log(10)
    assert figures["I(x; z, c)"] < math.log(297) + 1e-6
    assert figures["MIG"] <= figures["I(y; c)"] - figures["max I(y; z_d)"] + 0.05  # a mean of gaps, of the same draws
    assert figures["TC between"] > -0.1  # not negative, but for the draws
    assert 10 <= figures["accuracy"] <= 100
    assert 0 <= figures["pruned"] <= 10


def test_without_labels_there_is_what_the_latents_hold(digits):
    trained = digits["images"].open()
    figures = hfvae_trials.held(trained, hfvae_trials.encoded(trained))
    wanted = REPRODUCTIONS["hfvae/celeba"].figures
    assert figures.keys() == wanted.keys()
    nats = hfvae_trials.about_data(hfvae_trials.encoded(trained))
    assert list(nats) == ["c", *(f"z[{unit}]" for unit in range(10))]
    assert figures["pruned"] == sum(nats[f"z[{unit}]"] < 0.1 for unit in range(10))


def test_what_was_pruned_is_a_third_of_the_digit_at_its_end_and_nothing_else(digits):
    trial = digits["unseen"]
    whole, again = trial.open(WHOLE), trial.open(REST)
    rows = hfvae_unseen.chosen(whole)
    data = whole.data.train
    every = np.concatenate(list(rows.values()))
    assert len(set(every)) == len(every)
    for combination in COMBINATIONS:
        own = rows[combination.name]
        of_digit = np.flatnonzero(data.y == combination.label)
        assert len(own) == round(len(of_digit) / 3)
        assert set(own) <= set(of_digit)
        unit, correlation = unit_of(whole, combination.feature, data=data)
        code = combination.end * np.sign(correlation) * hfvae_trials.styles(whole, data)[:, unit].numpy()
        assert code[own].min() >= code[np.setdiff1d(of_digit, own)].max()
    kept = np.setdiff1d(np.arange(len(data)), every)
    x = torch.from_numpy(data.x).double() / 16
    torch.testing.assert_close(again.data.train.batch(torch.arange(len(kept))).x, x[kept])
    torch.testing.assert_close(again.data.test.batch(torch.arange(len(every))).x, x[np.sort(every)])
    figures = trial.figures()
    assert figures.keys() == REPRODUCTIONS["hfvae/figure-7"].figures.keys()
    kept_codes, pruned_codes = hfvae_unseen.feature_values(again, COMBINATIONS[0])
    assert len(kept_codes) == (data.y == 7).sum() - len(rows["thick 7s"])
    assert len(pruned_codes) == len(rows["thick 7s"])
    pairs = np.mean(pruned_codes[:, None] > kept_codes[None, :])  # no ties among real numbers
    assert figures["thick 7s, told apart"] == pytest.approx(pairs)


# What the paper says.


def results(figure, **values):
    return Results({variant: {seed: {figure: v} for seed, v in enumerate(of_it)} for variant, of_it in values.items()})


def test_a_claim_of_a_fall():
    held = hfvae_claims.falls_by("TC", ["a", "b", "c"], 2.5, 10)
    assert held(results("TC", a=[9.0], b=[7.0], c=[4.0]))[0] is True
    assert held(results("TC", a=[9.0], b=[7.0], c=[8.0]))[0] is False
    assert held(results("TC", a=[29.0], b=[7.0], c=[8.0]))[0] is False
    assert held(results("TC", a=[9.0], c=[8.0])) == (None, hfvae_claims.NOT_RUN)


def test_claims_of_an_order_and_of_a_number():
    rises = hfvae_claims.rises("MIG", ["a", "b"])
    assert [rises(results("MIG", a=[1.0], b=[b]))[0] for b in (2.0, 1.0)] == [True, False]
    prunes = hfvae_claims.prunes("a", 3)
    assert [prunes(results("pruned", a=values))[0] for values in ([3, 3], [3, 4], [2, 5], [])] == [
        True,
        True,
        True,
        None,
    ]
    assert prunes(results("pruned", a=[4, 4]))[0] is False
    above = hfvae_claims.above(("a", "MIG"), ("b", "MIG"))
    assert above(results("MIG", a=[2.0], b=[1.0]))[0] is True
    assert above(results("MIG", a=[2.0]))[0] is None


def test_parity_is_within_the_deviation_of_the_seeds():
    # 0.63 +- 0.08 beside 0.62 +- 0.07: apart by 0.01, and the root mean square deviation is 0.075
    def around(mean, sd):
        return [mean - sd / math.sqrt(2), mean + sd / math.sqrt(2)]

    held = hfvae_claims.parity("Kim", "ours", ["other"])
    assert held(results("Kim", ours=around(0.63, 0.08), other=around(0.62, 0.07)))[0] is True
    assert held(results("Kim", ours=around(0.63, 0.08), other=around(0.50, 0.07)))[0] is False
    assert held(results("Kim", ours=[0.6], other=[0.6]))[0] is None


def test_the_variance_of_seeds_is_taken_out_of_that_of_settings():
    # Within: both settings have variance 2. The means 1 and 11 have variance 50, of which 2 / 2 seeds is the seeds'.
    assert hfvae_claims.components([[0, 2], [10, 12]]) == (2.0, 49.0)
    assert hfvae_claims.components([[0, 2], [0, 2]]) == (2.0, 0.0)
    held = hfvae_claims.seeds_matter_more("MIG", ["a", "b"])
    assert held(results("MIG", a=[0.0, 2.0], b=[10.0, 12.0]))[0] is False
    assert held(results("MIG", a=[0.0, 2.0], b=[0.5, 1.5]))[0] is True


def test_information_and_total_correlation_together():
    both = Results({"a": {0: {"I": 1.0, "TC": 2.0}, 1: {"I": 2.0, "TC": 3.0}}, "b": {0: {"I": 3.0, "TC": 5.0}}})
    assert hfvae_claims.correlated("I", "TC", ["a", "b"])(both)[0] is True
    assert hfvae_claims.correlated("I", "TC", ["b"])(both)[0] is None


def test_generalisation_is_a_share_of_the_other_models_nats():
    table = Results({HFVAE: {0: {"unseen": -109.0, "seen": -100.0, "told apart": 0.95}}})
    assert hfvae_claims.generalises("unseen", HFVAE, ("seen", 10.0))(table)[0] is True
    assert hfvae_claims.generalises("unseen", HFVAE, ("seen", 8.0))(table)[0] is False
    assert hfvae_claims.at_least({"told apart": 0.9}, HFVAE)(table)[0] is True
    assert hfvae_claims.at_least({"told apart": 0.99}, HFVAE)(table)[0] is False


# Pictures.


def shown(path):
    image = imread(path)
    return image.shape[0] > 100 and image[..., :3].std() > 0.01


def test_the_pictures_of_a_run(digits, tmp_path):
    pictures = REPRODUCTIONS["hfvae/mnist"].pictures({HFVAE: [digits["images"]]})
    assert {"information.png", "figure5.png", "figure5-labels.png", "units.png", "confusion.png"} <= pictures.keys()
    pictures |= REPRODUCTIONS["hfvae/figure-7"].pictures({HFVAE: [digits["unseen"]]})
    captions = save_pictures(pictures, tmp_path)
    assert all(shown(tmp_path / name) for name in captions)
    assert {path.name for path in tmp_path.iterdir()} == captions.keys()


def figure_6_trials(name, tmp_path):
    """A trial of every variant, with made-up numbers."""
    tried = {}
    for number, variant in enumerate(REPRODUCTIONS[name].variants):
        trial = Trial(0, "short", tmp_path / str(number), recipes=RECIPES)
        trial.folder.mkdir()
        figures = {"TC": 5.0 - number, "I(x; z, c)": 9.0 - 0.1 * number, "MIG": 0.1 * number}
        (trial.folder / FILE).write_text(json.dumps({"figures": figures}))
        tried[variant] = [trial]
    return tried


@pytest.mark.parametrize("name", ["hfvae/figure-6", "hfvae/sensitivity"])
def test_the_pictures_of_many_runs(name, tmp_path):
    captions = save_pictures(REPRODUCTIONS[name].pictures(figure_6_trials(name, tmp_path)), tmp_path / "pictures")
    assert all(shown(tmp_path / "pictures" / file) for file in captions)


def test_figure_6_has_every_setting_at_its_information_and_total_correlation(tmp_path):
    name = "hfvae/figure-6"
    (axes,) = REPRODUCTIONS[name].pictures(figure_6_trials(name, tmp_path))["figure6-left.png"].drawn.axes
    equal = [n for n, variant in enumerate(REPRODUCTIONS[name].variants) if variant.startswith("gamma = beta")]
    points = [tuple(dots.get_offsets()[0]) for dots in axes.collections if isinstance(dots, PathCollection)]
    assert points == [pytest.approx((9.0 - 0.1 * n, 5.0 - n)) for n in equal]


def test_bars_are_in_ascending_order_with_the_type_last():
    nats = {"z[0]": 2.0, "z[1]": 0.01, "c": 1.0, "z[2]": 0.5}
    (axes,) = plots.information_bars({"a": nats}, label="nats", threshold=0.1).axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["z[1]", "z[2]", "z[0]", "c"]
    assert [bar.get_width() for bar in axes.patches] == [0.01, 0.5, 2.0, 1.0]
    assert len({bar.get_facecolor() for bar in axes.patches}) == 3  # pruned, not, and the type


def test_the_grid_of_the_sensitivity():
    assert len(SENSITIVITY) == 9
    assert {weights(measure) for measure in SENSITIVITY.values()} == set(hfvae_trials.SENSITIVITY_GRID)
