"""The tables of a run whose batches have different terms, as those with and without labels."""

import csv
import hashlib

import numpy as np
import pytest
import torch
from tqdm import tqdm

from zoo.lab.analysis.kl_history import History
from zoo.lab.plots.run import plot_terms
from zoo.lab.runs import training_log
from zoo.lab.runs.training_log import TERMS, UNITS, TrainingLog, truncate
from zoo.termwise import Report


def report(step):
    """Every second batch has labels: with them y is observed, without it has a KL; numbers say step and name."""
    labelled = step % 2 == 1
    both = {"x": torch.tensor(step + 0.25)} | ({"y": torch.tensor(step + 0.5)} if labelled else {})
    kl = {"z": torch.tensor([step + 0.125, 0.0])} | ({} if labelled else {"y": torch.tensor([step + 0.75])})
    return Report(terms={"log p(x)": torch.tensor(float(step))}, reconstruction=both, kl=kl)


def write(folder, steps, *, start=0, sync=()):
    """Adds the steps, with a sync after some of them; returns the last digests."""
    digests = {}
    with tqdm(disable=True) as bar, TrainingLog(folder, bar, start=start) as log:
        for step in range(start + 1, steps + 1):
            log.add(step, report(step))
            if step in sync:
                digests = log.sync()
        return log.sync() or digests


def columns(path):
    with path.open(newline="") as file:
        header, *rows = csv.reader(file)
    assert {len(row) for row in rows} <= {len(header)}
    return {name: [row[place] for row in rows] for place, name in enumerate(header)}


@pytest.mark.parametrize("sync", [(), (1,), (7, 150)])
def test_every_number_is_under_its_name_whenever_the_table_was_written_first(tmp_path, sync):
    write(tmp_path, 400, sync=sync)
    found = columns(tmp_path / TERMS)
    assert [float(x) for x in found["reconstruction/x"]] == [step + 0.25 for step in range(1, 401)]
    assert found["reconstruction/y"] == [str(step + 0.5) if step % 2 else "" for step in range(1, 401)]
    assert found["kl/y"] == ["" if step % 2 else str(step + 0.75) for step in range(1, 401)]
    units = columns(tmp_path / UNITS)
    assert units["step"] == ["100", "200", "300", "400"]
    assert units["z[0]"] == ["100.125", "200.125", "300.125", "400.125"]
    assert units["y"] == ["100.75", "200.75", "300.75", "400.75"]


@pytest.mark.parametrize("at", [1, 2, 99, 100, 150])
def test_a_killed_run_goes_on_from_its_checkpoint_also_where_a_column_came_after_it(tmp_path, at):
    (tmp_path / "whole").mkdir()
    (tmp_path / "killed").mkdir()
    write(tmp_path / "whole", 300)
    digests = write(tmp_path / "killed", at)
    write(tmp_path / "killed", 260, start=at)  # killed: what follows the checkpoint is not in its digests
    truncate(tmp_path / "killed", at, digests)
    write(tmp_path / "killed", 300, start=at)
    for name in (TERMS, UNITS):
        found, expected = (columns(tmp_path / folder / name) for folder in ("killed", "whole"))
        assert found == {column: expected[column] for column in found}
        assert found.keys() == expected.keys()


def test_a_changed_number_is_noticed(tmp_path):
    digests = write(tmp_path, 120)
    path = tmp_path / TERMS
    content = path.read_bytes()
    for old, new in ((b"17.25", b"17.75"), (b"reconstruction/x", b"reconstruction/w")):
        path.write_bytes(content.replace(old, new, 1))
        with pytest.raises(ValueError, match="damaged, or was changed"):
            truncate(tmp_path, 120, digests)
    path.write_bytes(content)
    truncate(tmp_path, 120, digests)


def test_a_checkpoint_of_an_earlier_version_has_a_digest_of_all_bytes(tmp_path):
    write(tmp_path, 120)
    digests = {name: hashlib.sha256((tmp_path / name).read_bytes()).hexdigest() for name in (TERMS, UNITS)}
    truncate(tmp_path, 120, digests)
    with pytest.raises(ValueError, match="damaged, or was changed"):
        truncate(tmp_path, 120, digests | {TERMS: digests[UNITS]})


def test_a_kill_while_a_table_is_widened_leaves_the_old_one(tmp_path, monkeypatch):
    digests = write(tmp_path, 1)

    def killed(*paths):
        raise KeyboardInterrupt

    monkeypatch.setattr(training_log.os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path, 2, start=1)
    monkeypatch.undo()
    truncate(tmp_path, 1, digests)
    write(tmp_path, 2, start=1)
    assert columns(tmp_path / TERMS)["kl/y"] == ["", "2.75"]


def test_the_history_keeps_a_units_last_kl_and_the_picture_leaves_empty_cells_out(tmp_path):
    path = tmp_path / UNITS
    path.write_text("step,z[0],y\n100,1,\n200,2,0.5\n300,3,\n400,4,0.25\n")
    np.testing.assert_array_equal(History.read(tmp_path).kl["y"], [0.5, 0.5, 0.5, 0.25])
    path.write_text("step,z[0],y\n100,1,0.5\n200,2,nan\n")
    with pytest.raises(ValueError, match="damaged"):
        History.read(tmp_path)
    (tmp_path / TERMS).write_text("step,kl/y\n1,\n2,0.5\n3,\n4,0.25\n")
    (axes,) = plot_terms(tmp_path).axes
    means = axes.lines[1].get_ydata()
    assert np.isfinite(means).all()
    assert means.mean() == pytest.approx(0.375)
