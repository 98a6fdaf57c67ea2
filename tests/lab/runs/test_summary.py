"""What a summary says about the points that its numbers are of, and about units."""

import os
import subprocess
import sys

import pytest
import torch

from zoo.lab.analysis.evaluate import Evaluation
from zoo.lab.runs.summary import _numbers, read_kl


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


def test_the_table_of_kl_is_the_same_in_every_locale(tmp_path):
    code = """
import sys, pathlib, torch
from zoo.lab.analysis.evaluate import Evaluation
from zoo.lab.runs.summary import write_kl
write_kl(Evaluation(1, {}, {"\\u03b6": torch.tensor([0.5, 2.0])}), pathlib.Path(sys.argv[1]))
"""
    ascii_only = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "kl.csv")], check=True, env=ascii_only)
    assert read_kl(tmp_path)["\u03b6"].tolist() == [0.5, 2.0]
