"""HFVAE's reproductions have the values of the paper's captions and tables."""

from functools import partial

from zoo.papers.hfvae import measures
from zoo.papers.hfvae.on_shapes import SHAPES, TABLE_3, TABLE_3_HFVAE
from zoo.papers.hfvae.reproduction import EQUAL_WEIGHTS, FIGURE_6, OVER_BETA, SENSITIVITY


def weights(measure):
    assert isinstance(measure, partial)
    return measure.keywords.get("beta"), measure.keywords.get("gamma")


def test_figure_6_has_the_captions_values_once_each():
    assert [weights(FIGURE_6[name]) for name in EQUAL_WEIGHTS] == [(w, w) for w in (2, 3, 4, 6)]
    assert all(weights(FIGURE_6[name])[1] == 3 for name in OVER_BETA)
    betas = [weights(FIGURE_6[name])[0] for name in OVER_BETA]
    assert betas == sorted(betas)
    assert len(FIGURE_6) == len(set(EQUAL_WEIGHTS) | set(OVER_BETA))  # gamma = beta = 3 is in both panels
    assert len({weights(measure) for measure in FIGURE_6.values()}) == len(FIGURE_6)


def test_table_3_has_the_papers_numbers_and_priors():
    assert TABLE_3.keys() == SHAPES.keys()
    assert [tuple(row.values()) for row in TABLE_3.values()] == [(0.63, 0.30), (0.63, 0.41), (0.62, 0.29), (0.63, 0.39)]
    # Table 2: all but HFVAE have a normal alone
    assert [measure.keywords.get("c_dim") for measure in SHAPES.values()] == [0, 0, 0, None]
    assert weights(SHAPES[TABLE_3_HFVAE]) == (4.0, 3.0)


def test_the_grid_of_the_sensitivity():
    assert len(SENSITIVITY) == 9
    assert {weights(measure) for measure in SENSITIVITY.values()} == set(measures.SENSITIVITY_GRID)
