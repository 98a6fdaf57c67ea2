"""What a summary says about the points that its numbers are of, and about units."""

import pytest
import torch

from zoo.lab.analysis.evaluate import Evaluation
from zoo.lab.runs.summary import _numbers


@pytest.mark.parametrize(
    ("unseen", "said"),
    [
        (True, "On all 1,234 test datapoints, not seen in training, in nats"),
        (False, "On all 1,234 datapoints, which are also the training set, in nats"),
    ],
)
def test_it_says_whether_the_points_were_trained_on(unseen, said):
    assert said in _numbers(Evaluation(1234, {"x": -1.0}, {"z": torch.tensor([3.0, 0.0])}), unseen=unseen)


def test_units_are_counted_where_a_site_has_several():
    several = _numbers(Evaluation(10, {"x": -1.0}, {"z": torch.tensor([3.0, 0.0])}), unseen=True)
    assert "Units with more than 0.1 nats: 1 of 2 in z." in several
    single = _numbers(Evaluation(10, {"x": -1.0}, {"z": torch.tensor([3.0])}), unseen=True)
    assert "Units with more than 0.1 nats: not counted, since each site's KL is one number." in single
