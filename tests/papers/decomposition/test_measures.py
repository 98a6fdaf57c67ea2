"""The decomposition paper's measured quantities: codes under a Student-t mapped to normal scores."""

import numpy as np
import pytest
from scipy import integrate, special, stats

from zoo.papers.decomposition.measures import normal_scores


@pytest.mark.parametrize("nu", [3.0, 9.0, 100.0])
def test_a_normal_score_has_the_probability_of_its_code(nu):
    codes = np.linspace(-5, 5, 41)
    scores = normal_scores(codes, nu)
    np.testing.assert_allclose(stats.norm.cdf(scores), stats.t.cdf(codes, nu), rtol=1e-10)
    np.testing.assert_array_equal(scores, -normal_scores(-codes, nu))


def test_a_far_code_has_a_finite_score_of_either_sign():
    """Before: infinite for a code of 10 where nu = 100, since the probability below it rounds to 1."""
    constant = special.gamma(50.5) / special.gamma(50.0) / np.sqrt(100 * np.pi)
    beyond, _ = integrate.quad(lambda t: constant * (1 + t * t / 100) ** -50.5, 10, np.inf, epsabs=0)
    high, low = normal_scores(np.array([10.0, -10.0]), 100.0)
    assert high == -low
    assert stats.norm.sf(high) == pytest.approx(beyond, rel=1e-9)
