"""`story`: a recipe's story, with its guide, as LaTeX, as a diagram, next to another, and without its data."""

import re

import pytest

from zoo.lab.data import Dataset, load
from zoo.lab.data.stand_in import stand_in
from zoo.papers.recipes import RECIPES


def test_a_story(run):
    told = run("story", "beta-vae", "--set", "z_dim=3")
    assert re.search(r"z ~ Normal\(0, 1\)\s+code\s+\[B, 3\]", told)
    assert re.search(r"x ~ Bernoulli\(logits\(z; θ\)\)\s+pixels \(observed\)\s+\[B, 1, 8, 8\]", told)
    assert "BetaVAE: (1 + 3) + beta (2 + 4), beta = 4" in told
    assert "Amortized" not in told


def test_a_story_with_its_guide_in_latex_as_a_diagram_and_next_to_another(run, tmp_path, monkeypatch):
    assert "z ~ Normal(loc(x; φ), scale(x; φ))" in run("story", "vae", "--guide")
    assert "z ~ MultivariateNormal(loc(x; φ), scale_tril(x; φ))" in run("story", "vae", "--swap", "full-rank")
    latex = run("story", "vae", "--latex", "--graph", str(tmp_path / "plates.gv"))
    for line in (
        r"x \mid z &\sim \mathrm{Bernoulli}(\mathrm{logits}_{\theta}(z))",
        r"z \mid x &\sim \mathrm{Normal}(\mathrm{loc}_{\phi}(x), \mathrm{scale}_{\phi}(x))",
        r"\mathcal{L} &= \mathbb{E}_q[\log p_\theta(x \mid z)]",
    ):
        assert line in latex
    assert "z -> x" in (tmp_path / "plates.gv").read_text()
    changed = [line for line in run("story", "beta-vae", "--diff", "vae").splitlines() if line[0] in "+-"]
    assert changed == ["- PlainELBO: (1 + 3) + 2 + 4", "+ BetaVAE: (1 + 3) + beta (2 + 4), beta = 4"]
    assert "\x1b[34m+ BetaVAE" in run("story", "beta-vae", "--diff", "vae", "--color")
    assert "vae cannot use the data pinwheel; shown on digits" in run(
        "story", "decomposition/pinwheel", "--diff", "vae"
    )


def test_a_difference_in_latex_is_refused(refused):
    """Before: --diff was ignored without a word."""
    assert "error: --diff vae shows two stories line by line, and --latex prints one: give one of the two" in refused(
        "story", "beta-vae", "--diff", "vae", "--latex"
    )


def test_the_story_is_of_a_batch_and_its_latex_of_two_datapoints(run, monkeypatch):
    batch, sizes = Dataset.batch, []
    monkeypatch.setattr(
        Dataset, "batch", lambda *args, **options: sizes.append(len(args[1])) or batch(*args, **options)
    )
    told = run("story", "vae")
    latex = run("story", "vae", "--latex")
    assert sizes == [RECIPES["vae"].build(load("digits")).batch_size, 2]
    assert "nats" in told
    assert not re.search(r"\d\.\d", latex)


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_recipe_has_a_story_without_its_data(recipe, monkeypatch, capsys, tmp_path, run):
    monkeypatch.setenv("ZOO_DATA", str(tmp_path))
    told = run("story", recipe, "--guide", "--latex")
    assert "p_\\theta(" in told
    assert "q_\\phi(" in told


def test_a_stand_in_has_the_shape_that_the_recipe_asks_for_and_says_so(monkeypatch, tmp_path, run, refused):
    monkeypatch.setenv("ZOO_DATA", str(tmp_path))
    told = run("story", "joint-vae/celeba")
    assert re.search(r"plate data: \d+ of 162,770", told)
    assert re.search(r"x ~ .*\[B, 3, 64, 64\]", told)
    told = run("story", "joint-vae/mnist")  # whose data option is size=32
    assert re.search(r"plate data: \d+ of 60,000", told)
    assert re.search(r"x ~ .*\[B, 1, 32, 32\]", told)
    assert refused("story", "vae", "--data", "nowhere.npz").startswith("error: ")  # your own has no stand-in


def test_a_stand_in_takes_no_memory_and_has_the_sets_labels():
    train, test = stand_in("mnist", size=16, binarise="once")
    assert (len(train), len(test), train.shape) == (60_000, 10_000, (1, 16, 16))
    assert set(train.x[0].ravel().tolist()) == {0, 255}
    assert train.x.base.size == 256  # one image, repeated
    assert train.classes == tuple("0123456789")
    words = stand_in("newsgroups", vocabulary=30).train
    assert (words.shape, len(words.vocabulary), len(words.classes)) == ((30,), 30, 20)
    assert len(stand_in("celeba", held_out=0.1).train) == 182_339  # of 202,599 faces


@pytest.mark.parametrize("name", ["digits", "pinwheel", "shapes"])
def test_a_stand_in_has_the_shape_of_its_set(name):
    for real, noise in zip(load(name), stand_in(name), strict=True):
        assert (noise.shape, len(noise), noise.classes, noise.x_max) == (
            real.shape,
            len(real),
            real.classes,
            real.x_max,
        )
