"""What the pictures of a finished run show, and what the command leaves."""

import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from torch.nn.functional import interpolate

from tests.pairs import by_hand
from tests.pictures import empty_panels, overlapping_labels
from zoo.__main__ import main
from zoo.lab.analysis import (
    RANGE_3,
    LatentSites,
    encode_modes,
    from_prior,
    posteriors,
    quantiles,
    traverse_unit,
    types,
)
from zoo.lab.analysis.selection import spread
from zoo.lab.data import Dataset, Split
from zoo.lab.plots import ImageGrid, drawn_as
from zoo.lab.runs import training_log
from zoo.lab.runs.finished import FinishedRun
from zoo.lab.runs.traverse import traversal_pictures, traverse
from zoo.papers import configure


def finished(tmp_path, recipe, **hyperparameters):
    """A run that was not trained: what the command opens, with made-up KLs."""
    settings, data, experiment = configure(recipe, hyperparameters=hyperparameters, data="digits", device="cpu")
    folder = tmp_path / "run"
    folder.mkdir(exist_ok=True)
    for module in (experiment.model, experiment.guide):
        module.double().eval()
    fns = posteriors(experiment.guide, data.test.batch(torch.arange(1)).x)
    rows = ["site,unit,kl_nats"]
    for name, fn in fns.items():
        units = 1 if "OneHot" in type(fn).__name__ else fn.event_shape[0]
        rows += [f"{name},{k},{(7 * k % 10) / 10}" for k in range(units)]
    (folder / "kl.csv").write_text("\n".join(rows))
    return FinishedRun(settings, experiment, data, folder)


@pytest.mark.parametrize("labelled", [True, False])
def test_classes_are_spoken_of_where_there_are_labels(tmp_path, labelled):
    run = finished(tmp_path, "vae")
    if not labelled:
        run = replace(run, data=Split(*(replace(part, y=None, classes=()) for part in run.data)))
    caption = traversal_pictures(run)["latents.png"].caption
    assert caption.endswith(", by class") == labelled


def test_the_pictures_are_what_the_paper_shows(tmp_path):
    run = finished(tmp_path, "joint-vae/digits")
    pictures = traversal_pictures(run, datapoint=7)
    model = run.model
    start = encode_modes(model, run.guide, run.data.test.batch(torch.arange(7, 8)).x)
    grid = pictures["units.png"].drawn
    assert grid.row_labels[:3] == ["z[7]  0.90 nats", "z[4]  0.80 nats", "z[1]  0.70 nats"]
    every = [traverse_unit(model, start, "z", unit, RANGE_3) for unit in (7, 4, 1, 8, 5, 2, 9, 6, 3, 0)]
    torch.testing.assert_close(grid.images, torch.cat(every))
    grid, caption = pictures["z-7.png"]  # a type in each row
    by_type, names = types(LatentSites.of(model), start)
    torch.testing.assert_close(grid.images, traverse_unit(model, by_type, "z", 7, RANGE_3))
    assert [label.split(":")[0] for label in grid.row_labels] == names
    assert "of a row is one label" in caption
    frames = pictures["traversal.gif"].drawn.frames  # over time the unit's value
    assert len(frames) == 25
    assert frames[0].images.shape[:2] == (6, 10)
    for frame, column in ((0, 0), (-1, -1)):
        torch.testing.assert_close(frames[frame].images[0], grid.images[:, column])
    assert frames[0].title.startswith("In each row one unit at -3.00")
    images = pictures["samples-by-type.png"].drawn.images
    prior = from_prior(model, 120, seed=0)
    for row in (0, 9):
        z = prior["z"][12 * row : 12 * row + 12]
        torch.testing.assert_close(images[row], by_hand(model, z, torch.eye(10)[[row] * 12]))
    grid = pictures["edits.png"].drawn
    shown = [int(label.split()[1]) for label in grid.row_labels]
    assert shown[0] == 7
    assert run.data.test.y[shown[1:]].tolist() == [0, 1, 2, 3, 4]  # then spread over the classes
    x = run.data.test.batch(torch.tensor(shown)).x
    codes = encode_modes(model, run.guide, x)
    torch.testing.assert_close(grid.images[:, 0], x)
    torch.testing.assert_close(grid.images[:, 1], by_hand(model, codes["z"], codes["c"]))
    up = codes["z"].clone()
    up[:, 7] = 2.0
    torch.testing.assert_close(grid.images[:, 3], by_hand(model, up, codes["c"]))
    assert grid.column_labels[:4] == ["x", "decoded", "z[7]\n-2", "z[7]\n+2"]
    (axes,) = pictures["confusion.png"].drawn.axes
    per_cent = np.zeros((10, 10))
    for text in axes.texts:
        column, row = text.get_position()
        per_cent[row, column] = float(text.get_text())
    assert abs(per_cent.sum(0) - 100).max() <= 5  # each label's points are all in some type
    assert {"latents.png", "aggregate.png", "c.png"} <= pictures.keys()
    assert "discovery.png" not in pictures  # there is no units.csv


def test_a_unit_or_a_type_alone(tmp_path):
    run = finished(tmp_path, "joint-vae/mnist", network="mlp", types="2+3")
    pictures = traversal_pictures(run, site="z", unit=3, prior=4, values="quantiles")
    assert list(pictures) == ["units.png", "z-3.png", "traversal.gif"]
    start = from_prior(run.model, 1, seed=4)
    grid = pictures["z-3.png"].drawn
    by_type = types(LatentSites.of(run.model), start)[0]
    torch.testing.assert_close(grid.images, traverse_unit(run.model, by_type, "z", 3, quantiles()))
    assert grid.row_labels[-1] == "c1=1 c2=2"
    pictures = traversal_pictures(run, site="c2")
    assert list(pictures) == ["c2.png"]
    assert pictures["c2.png"].drawn.images.shape[:2] == (8, 3)


@pytest.mark.parametrize("coupled", [False, True])
def test_a_story_without_types_has_datapoints_for_rows(tmp_path, coupled):
    run = finished(tmp_path, "vae")
    if coupled:  # as a FullRank head leaves it: one KL for all units
        (run.folder / "kl.csv").write_text("site,unit,kl_nats\nz,0,3.5\n")
    pictures = traversal_pictures(run, datapoint=295)
    first = "0" if coupled else "7"
    assert list(pictures)[:2] == ["units.png", f"z-{first}.png"]
    assert "samples-by-type.png" not in pictures
    labels = pictures[f"z-{first}.png"].drawn.row_labels
    others = [n for n in spread(run.data.test, 9) if n != 295]
    assert labels == [f"datapoint {n}" for n in (295, *others[:7])]
    assert pictures["units.png"].drawn.row_labels[0] == ("z[0]" if coupled else "z[7]  0.90 nats")


def test_two_runs_next_to_each_other_from_the_same_datapoint(tmp_path):
    run, other = (
        finished(tmp_path, "joint-vae/digits"),
        finished(tmp_path, "joint-vae/mnist", network="mlp", gamma_z=1.0),
    )
    figure, caption = traversal_pictures(run, site="z", unit=7, beside=other, datapoint=0)["beside.png"]
    left, right = (np.asarray(axes.images[0].get_array()) for axes in figure.axes)
    start = encode_modes(other.model, other.guide, run.data.test.batch(torch.arange(1)).x)
    first = traverse_unit(other.model, start, "z", 7, RANGE_3)[0]  # [13, 1, 8, 8]
    large = interpolate(first, scale_factor=4, mode="bicubic").clamp(0, 1)  # as images of 8 x 8 pixels are drawn
    np.testing.assert_allclose(right[:32, :32], large[0, 0].numpy())
    np.testing.assert_allclose(right[:32, -32:], large[-1, 0].numpy())
    assert left.shape == right.shape
    assert "gamma_z 1.0" in caption


@pytest.mark.usefixtures("_quick_pictures")
def test_pictures_are_written_under_their_names_in_any_format(tmp_path):
    run = finished(tmp_path, "vae")
    with drawn_as("svg"):
        written = traverse(run, tmp_path / "out", site="z", unit=3)
    assert [path.name for path in written] == ["units.svg", "z-3.svg", "traversal.gif"]
    assert {path.name for path in (tmp_path / "out").iterdir()} == {path.name for path in written}
    assert (tmp_path / "out" / "z-3.svg").read_text().count("<image") == 1


def test_kl_over_training_is_drawn_from_two_rows_on(tmp_path):
    run = finished(tmp_path, "vae")
    (run.folder / "units.csv").write_text("step,z[0]\n100,0.5\n")
    assert "discovery.png" not in traversal_pictures(run)
    (run.folder / "units.csv").write_text("step,z[0]\n100,0.5\n200,1.5\n300,2.5\n")
    pictures = traversal_pictures(run)
    assert pictures["discovery.csv"].drawn == "unit,step,final\nz[0],300,1.5\n"
    assert "z[0] (300)" in pictures["discovery.png"].caption


def test_too_few_labelled_datapoints_leave_out_the_table_of_types_alone(tmp_path):
    run = finished(tmp_path, "joint-vae/digits")
    few = replace(run, data=Split(run.data.train, run.data.test.subset(np.arange(9))))
    with pytest.warns(UserWarning, match=r"confusion.png is left out: .*9 points"):
        pictures = traversal_pictures(few)
    assert "confusion.png" not in pictures
    assert {"units.png", "c.png", "samples-by-type.png"} <= pictures.keys()


def test_what_cannot_be_traversed_is_refused_before_anything_is_drawn(tmp_path):
    run = finished(tmp_path, "joint-vae/digits")

    def refused(kind, message, **options):
        with pytest.raises(kind, match=message):
            list(traverse(run, tmp_path / "out", **options))
        assert not (tmp_path / "out").exists()

    refused(LookupError, "unknown site 'y'", site="y")
    refused(ValueError, r"site 'z' has the units 0 to 9, got 10", unit=10)
    refused(ValueError, r"site 'c' is a type: leave --unit out", site="c", unit=1)
    refused(ValueError, r"the test set of 'digits' has the datapoints 0 to 296, got 297", datapoint=297)
    refused(ValueError, "give --datapoint or --prior, not both", datapoint=1, prior=1)
    refused(ValueError, "--values is one of wide, quantiles, got 'narrow'", values="narrow")
    flat = replace(run, data=Split(*(Dataset("flat", torch.rand(20, 5).numpy()),) * 2))
    with pytest.raises(ValueError, match=r"the datapoints of 'flat' have the shape \(5,\)"):
        list(traverse(flat, tmp_path / "out"))


@pytest.mark.usefixtures("_quick_pictures", "_without_pictures")
def test_the_command_line_opens_a_run_and_says_what_it_drew(tmp_path, monkeypatch, capsys):
    torch.set_default_dtype(torch.float32)
    monkeypatch.setitem(training_log.EVERY, training_log.UNITS, 10)  # two rows of KLs in 20 steps
    folder = tmp_path / "r"

    def zoo(*arguments):
        monkeypatch.setattr(sys, "argv", ["zoo", *arguments])
        try:
            main()
        except SystemExit as stopped:
            return stopped.code, capsys.readouterr()

    zoo("train", "joint-vae/digits", "--steps", "20", "--out", str(folder))
    code, said = zoo("traverse", str(folder))
    assert code == 0
    assert "types against labels: accuracy" in said.out
    made = {path.name for path in (folder / "traverse").iterdir()}
    assert {"units.png", "c.png", "traversal.gif", "discovery.png", "discovery.csv", "edits.png"} <= made
    order = (folder / "traverse" / "discovery.csv").read_text().splitlines()
    assert order[0] == "unit,step,final"
    (folder / "weights.safetensors").unlink()
    code, said = zoo("traverse", str(folder))
    assert (code, "weights.safetensors is missing" in said.err) == (1, True)
    code, said = zoo("traverse", str(tmp_path / "nothing"))
    assert (code, "holds no run" in said.err) == (1, True)


@pytest.mark.parametrize("slides", [False, True])
@pytest.mark.parametrize("recipe", ["joint-vae/digits", "natural-clustering/digits"])
def test_no_label_covers_another_and_no_panel_is_empty(tmp_path, recipe, slides):
    run = finished(tmp_path, recipe)
    (run.folder / "units.csv").write_text("step,z[0],c\n100,0.5,0.1\n200,0.6,0.4\n300,0.7,0.9\n")
    with drawn_as(slides=slides):
        pictures = traversal_pictures(run)
        assert len(pictures) > 8
        for name, (drawn, _) in pictures.items():
            if isinstance(drawn, ImageGrid | Figure):
                figure = drawn.figure() if isinstance(drawn, ImageGrid) else drawn
                assert not overlapping_labels(figure), name
                assert not empty_panels(figure), name
