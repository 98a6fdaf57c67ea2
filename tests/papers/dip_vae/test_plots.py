"""DIP-VAE's pictures."""

import numpy as np

from zoo.metrics import closest, factor_correlations, latent_correlations, neighbours
from zoo.papers.dip_vae import plots
from zoo.papers.dip_vae.figures import weight_of
from zoo.papers.dip_vae.measures import (
    DIP,
)

VAE_, BETA_4, BETA_60 = "VAE", "beta-VAE, beta = 4", "beta-VAE, beta = 60"


def test_the_weight_next_to_a_point():
    assert weight_of(VAE_, {}) == ("beta-VAE", 1.0)
    assert weight_of(BETA_60, {}) == ("beta-VAE", 60.0)
    assert weight_of("DIP-VAE, lambda_od = 0.5", {}) == ("DIP-VAE", 0.5)
    assert weight_of(DIP, {"lambda_od": 20.0}) == ("DIP-VAE", 20.0)


def test_correlations_and_neighbours_are_drawn():
    rng = np.random.default_rng(0)
    factors = {name: rng.integers(2, size=200) for name in ("a", "b", "c")}
    codes = np.stack([factors["a"] + 0.1 * rng.normal(size=200), rng.normal(size=200)], axis=1)
    tables = (latent_correlations(codes, factors, repeats=2), factor_correlations(codes, factors, repeats=2))
    drawn = plots.correlations({"one": tables, "two": tables})
    for column in (0, 1):
        for row, result in enumerate(tables):
            np.testing.assert_array_equal(drawn.axes[2 * row + column].images[0].get_array(), result.value)
    assert drawn.axes[1].get_title() == "two"
    found = neighbours(codes, factors, repeats=2)
    for axes, attribute in zip(plots.neighbour_bars({"one": found}, ["a", "b"], count=2).axes, "ab", strict=True):
        expected = closest(found, attribute, 2)
        assert [bar.get_width() for bar in axes.patches] == [value for _, value in expected]
        assert [label.get_text() for label in axes.get_yticklabels()] == [name for name, _ in expected]
