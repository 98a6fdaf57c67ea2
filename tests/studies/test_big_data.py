"""The study of a large folder, on a small one: what is killed goes on, nothing is left behind, each row is measured."""

import json

import numpy as np
import pytest
import torch

from tests.processes import copied_interpreters
from zoo.lab.data import load
from zoo.studies import big_data
from zoo.studies.big_data import BATCH_SIZE, SIDE, measure, render


@pytest.fixture
def images(tmp_path, monkeypatch):
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    (tmp_path / "images").mkdir()
    render(tmp_path / "images", 300)
    return tmp_path / "images"


def test_what_is_rendered_has_its_classes_and_factors(images):
    train, test = load(str(images))
    assert (len(train), len(test), train.shape) == (270, 30, (3, SIDE, SIDE))
    assert train.classes == ("ellipse", "rectangle")
    assert (np.bincount(train.y) + np.bincount(test.y)).tolist() == [150, 150]
    assert train.factors.names == ("x", "y")
    batch = test.batch(torch.arange(30))
    for image, row in zip(batch.x, test.factors.table, strict=True):
        lit = image.sum(0).nonzero()  # rows and columns
        top, left = lit.min(0).values.tolist()
        assert [left, top] == [values[at] for values, at in zip(test.factors.values, row, strict=True)]


def test_a_row_is_measured(images):
    row = measure(images, 0.05)
    assert row["images"] == 300
    assert row["seconds"] > 0
    assert row["images/s"] > BATCH_SIZE
    assert row["MiB"] > 100


def test_the_study_kills_goes_on_and_leaves_no_temporary_file(images, tmp_path, capsys, monkeypatch):
    in_another_process, whats = big_data._measured, []

    def measured(images, seconds, what="measure"):
        # The one that is killed is a new interpreter; the last two rows are measured as the second.
        whats.append(what)
        with copied_interpreters():
            return in_another_process(images, seconds, what) if len(whats) < 3 else measure(images, seconds)

    monkeypatch.setattr(big_data, "_measured", measured)
    rows = big_data.study(tmp_path, 300, seconds=0.01)
    said = capsys.readouterr().out
    assert whats == ["nothing", "measure", "measure", "measure"]
    assert "temporary files left in the cache: none" in said
    assert next(iter(rows)) == big_data.IMPORTS
    assert list(rows)[-2:] == [big_data.DISK, big_data.WARM]
    assert len(rows) == 4
    assert json.dumps(rows)
    assert len(big_data.table(rows).splitlines()) == 2 + 4
