"""The pinwheel against its closed form."""

import numpy as np
import pytest

from zoo.lab.data import load


def test_without_noise_a_point_an_arm() -> None:
    # r = 1, t = 0: the point (1, 0) turned clockwise by 2 pi k / 3 + 0.7 e
    train, test = load("pinwheel", arms=3, points=2, radial_std=0, tangential_std=0, rate=0.7)
    angle = 2 * np.pi * np.repeat([0, 1, 2], 2) / 3 + 0.7 * np.e
    np.testing.assert_allclose(train.x, np.stack([np.cos(angle), -np.sin(angle)], axis=1), atol=1e-6)
    np.testing.assert_array_equal(train.y, [0, 0, 1, 1, 2, 2])
    np.testing.assert_array_equal(train.x, test.x)


def test_turned_back_the_arms_are_normal() -> None:
    # A rotation keeps r^2 + t^2, and r is long: E[r^2 + t^2] = 1 + 0.3^2 + 0.1^2, and r solves the angle's equation.
    train = load("pinwheel", arms=5, points=8_000).train
    x, y = train.x.astype(np.float64).T
    assert np.mean(x**2 + y**2) == pytest.approx(1.1, abs=0.015)  # sd of r^2 + t^2 about 0.62, over sqrt(40,000)
    assert train.y is not None
    r = np.hypot(x, y)  # to begin with; then t follows from the angle, and r from t
    for _ in range(60):
        t = y * np.cos(a := 2 * np.pi * train.y / 5 + 0.25 * np.exp(r)) + x * np.sin(a)
        r = 0.5 * r + 0.5 * (x * np.cos(a) - y * np.sin(a))
    solved = np.abs(x * np.cos(a) - y * np.sin(a) - r) < 1e-8
    assert solved.mean() > 0.99
    r, t = r[solved], t[solved]
    assert np.mean(r) == pytest.approx(1.0, abs=0.01)
    assert np.std(r) == pytest.approx(0.3, abs=0.01)
    assert np.mean(t) == pytest.approx(0.0, abs=0.005)
    assert np.std(t) == pytest.approx(0.1, abs=0.005)


def test_the_papers_numbers_are_the_defaults() -> None:
    train, test = load("pinwheel")
    assert (len(train), len(test)) == (400, 400)
    np.testing.assert_array_equal(np.bincount(train.y), [100] * 4)
    assert train.shape == (2,)


def test_seeded_and_drawn_twice() -> None:
    train, test = load("pinwheel", seed=1)
    again, other = load("pinwheel", seed=1).train, load("pinwheel", seed=2).train
    np.testing.assert_array_equal(train.x, again.x)
    assert not np.isclose(train.x, other.x).all(axis=1).any()
    assert not np.isclose(train.x, test.x).all(axis=1).any()


@pytest.mark.parametrize("options", [{"arms": 0}, {"points": 0}, {"radial_std": -1.0}, {"tangential_std": -0.1}])
def test_what_cannot_be_is_refused(options: dict[str, float]) -> None:
    (name, value) = next(iter(options.items()))
    with pytest.raises(ValueError, match=rf"'pinwheel': .* got .*{name}={value:g}"):
        load("pinwheel", **options)
