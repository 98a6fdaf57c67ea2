"""What lies where in a grid of images and in a table, and in what formats they are shown and saved."""

import errno
from base64 import b64decode
from dataclasses import replace
from io import BytesIO

import matplotlib
import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image

from zoo.lab.plots import Animation, ImageGrid, Picture, drawn_as, save_pictures, side_by_side
from zoo.lab.plots.style import shaded_table


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("rows", "columns"), [(2, 3), (1, 1)])
def test_every_image_is_where_its_row_and_column_are(channels, rows, columns):
    images = torch.rand(rows, columns, channels, 17, 16)  # sizes that no mix-up of axes survives
    images[0, 0, 0, 0, 0] = 1.5  # beyond white
    grid = ImageGrid(images, "t", ["a", "b"][:rows], ["x", "y", "z"][:columns])
    (axes,) = grid.figure().axes
    shown = np.asarray(axes.images[0].get_array())
    assert shown.shape[:2] == (18 * rows - 1, 17 * columns - 1)  # a line of white between
    white = np.ones(shown.shape[:2], bool)
    for row in range(rows):
        for column in range(columns):
            here = slice(18 * row, 18 * row + 17), slice(17 * column, 17 * column + 16)
            expected = images[row, column].clamp(0, 1).movedim(0, -1).squeeze(-1).numpy()
            np.testing.assert_array_equal(shown[here], expected)
            white[here] = False
    assert (shown[white] == 1).all()
    assert axes.get_title("left") == "t"
    assert list(axes.get_yticks()) == [18 * row + 8.5 for row in range(rows)]
    assert list(axes.get_xticks()) == [17 * column + 8.0 for column in range(columns)]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a", "b"][:rows]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["x", "y", "z"][:columns]


def test_enlarged_images_are_interpolated_each_by_itself():
    # White next to black: were they one image, interpolation would mix them. A slope rises as before per old pixel.
    white, black, slope = torch.ones(8, 8), torch.zeros(8, 8), torch.linspace(0.2, 0.8, 8).expand(8, 8)
    grid = ImageGrid(torch.stack([white, black, slope])[None, :, None], "t", ["a"], ["x", "y", "z"])
    large = grid.enlarged(4)
    assert large.images.shape == (1, 3, 1, 32, 32)
    assert torch.allclose(large.images[0, 0], torch.ones(()))
    assert torch.allclose(large.images[0, 1], torch.zeros(()))
    inner = large.images[0, 2, 0, :, 8:24]  # away from the edge, whose pixels are repeated outwards
    assert torch.allclose(inner[:, 4:] - inner[:, :-4], torch.tensor(0.6 / 7), atol=1e-6)
    assert (inner.diff(dim=1) > 0).all()
    assert (large.title, large.row_labels, large.column_labels) == ("t", ["a"], ["x", "y", "z"])


def test_small_images_are_drawn_enlarged_with_labels_at_their_middle():
    grid = ImageGrid(torch.rand(1, 2, 1, 8, 8), "t", ["a"], ["x", "y"])
    (axes,) = grid.figure().axes
    shown = np.asarray(axes.images[0].get_array())
    np.testing.assert_array_equal(shown, grid.enlarged(4).pixels())  # 8 x 8 to 32 x 32, the least that is readable
    np.testing.assert_array_equal(shown, grid.pixels())
    assert shown.shape == (32, 2 * 32 + 2)
    assert (list(axes.get_yticks()), list(axes.get_xticks())) == ([16.0], [16.0, 50.0])
    assert ImageGrid(torch.rand(1, 2, 1, 16, 16)).pixels().shape == (16, 2 * 16 + 1)  # as it is


def test_what_is_no_grid_is_refused():
    with pytest.raises(ValueError, match=r"images \[rows, columns, 1 or 3, height, width\], got \[2, 3, 4\]"):
        ImageGrid(torch.zeros(2, 3, 4))
    with pytest.raises(ValueError, match=r"got \[1, 1, 2, 4, 4\]"):
        ImageGrid(torch.zeros(1, 1, 2, 4, 4))
    with pytest.raises(ValueError, match="a grid of 3 columns was given 2 column labels"):
        ImageGrid(torch.zeros(2, 3, 1, 4, 4), column_labels=["a", "b"])


def test_grids_next_to_each_other_keep_their_own_labels():
    left, right = (
        ImageGrid(torch.full((2, 2, 1, 4, 4), value), title, labels)
        for value, title, labels in ((0.0, "l", ["a", "b"]), (1.0, "r", ["c", "d"]))
    )
    for axes, grid, value in zip(side_by_side([left, right]).axes, (left, right), (0, 1), strict=True):
        assert (np.asarray(axes.images[0].get_array())[:4, :4] == value).all()
        assert axes.get_title("left") == grid.title
        assert [label.get_text() for label in axes.get_yticklabels()] == grid.row_labels


def test_a_table_has_each_number_on_its_shade_in_ink_that_can_be_read():
    numbers = np.array([[1, 20, 3], [90, 5, 0]])
    shade = numbers / 90
    (axes,) = shaded_table(numbers, title="t", rows=["a", "b"], columns=["x", "y", "z"], shade=shade).axes
    written = {text.get_position(): (text.get_text(), text.get_color()) for text in axes.texts}
    assert written[0, 1] == ("90", "white")
    assert written[2, 0] == ("3", "black")
    np.testing.assert_array_equal(axes.images[0].get_array(), shade)


def test_a_notebook_shows_what_a_file_holds(tmp_path):
    grid = ImageGrid(torch.rand(2, 3, 1, 5, 4), "t")
    grid.save(tmp_path / "g.png")
    shown = np.asarray(Image.open(BytesIO(grid._repr_png_())))
    np.testing.assert_array_equal(shown, np.asarray(Image.open(tmp_path / "g.png")))
    figure = grid.figure()
    assert isinstance(figure, Figure)
    np.testing.assert_array_equal(np.asarray(Image.open(BytesIO(figure._repr_png_()))), shown)
    assert repr(grid) == "ImageGrid('t', 2 x 3 images of 1 x 5 x 4)"


@pytest.mark.parametrize(("ending", "beginning"), [("svg", b"<?xml"), ("pdf", b"%PDF")])
def test_pictures_are_saved_in_the_format_of_their_ending(tmp_path, ending, beginning):
    ImageGrid(torch.rand(1, 2, 1, 4, 4), "t").save(tmp_path / f"g.{ending}")
    assert (tmp_path / f"g.{ending}").read_bytes().startswith(beginning)


def test_an_animation_runs_forwards_and_backwards(tmp_path):
    frames = torch.linspace(0, 1, 4)[:, None, None, None, None, None].expand(4, 2, 3, 1, 8, 8)
    animation = Animation([ImageGrid(images, title) for images, title in zip(frames, "abcd", strict=True)])
    animation.save(tmp_path / "f.gif")
    brightness = []
    with Image.open(tmp_path / "f.gif") as film:
        for n in range(film.n_frames):
            film.seek(n)
            brightness.append(int(np.asarray(film.convert("L"))[film.height // 2, film.width // 2]))
    assert len(brightness) == 6
    assert brightness == [brightness[k] for k in (0, 1, 2, 3, 2, 1)]
    assert sorted(set(brightness)) == brightness[:4]
    assert b64decode(animation._repr_mimebundle_()["image/gif"]) == (tmp_path / "f.gif").read_bytes()


def test_drawing_leaves_matplotlibs_settings_as_they_were():
    before = dict(matplotlib.rcParams)
    ImageGrid(torch.rand(1, 2, 1, 4, 4), "t").figure()
    assert dict(matplotlib.rcParams) == before


def test_within_a_block_pictures_are_saved_in_its_format(tmp_path):
    pictures = {"g.png": Picture(ImageGrid(torch.rand(1, 2, 1, 4, 4), "t"), "a grid"), "t.csv": Picture("a,b", "text")}
    with drawn_as("pdf"):
        assert save_pictures(pictures, tmp_path) == {"g.pdf": "a grid", "t.csv": "text"}
    assert (tmp_path / "g.pdf").read_bytes().startswith(b"%PDF")
    assert list(save_pictures(pictures, tmp_path)) == ["g.png", "t.csv"]  # the block has ended
    with pytest.raises(ValueError, match="pictures have the format png, svg, pdf, got 'gif'"), drawn_as("gif"):
        pass


@pytest.mark.parametrize(("rows", "columns"), [(1, 12), (10, 13), (2, 40)])
def test_on_a_slide_that_a_grid_fills_its_text_has_14_points(rows, columns):
    labels = [str(n) for n in range(columns)]
    with drawn_as(slides=True):
        canvas = ImageGrid(torch.rand(rows, columns, 1, 4, 4), "t", column_labels=labels).figure()
    on_slide = min(13.33 / canvas.get_figwidth(), 7.5 / canvas.get_figheight())
    (axes,) = canvas.axes
    for text in axes.get_xticklabels():
        assert text.get_fontsize() * on_slide == pytest.approx(14)


def test_a_single_column_has_room_for_its_labels_and_title():
    """As of a test set of one datapoint; matplotlib warns once they leave no room, which a few frames need not show."""
    grid = ImageGrid(torch.rand(6, 1, 1, 8, 8), "In each row one unit at +3.00, all else unchanged")
    labelled = replace(grid, row_labels=["z[9]  0.04 nats"] * 6, column_labels=["datapoint 0"])
    assert len(Animation([labelled] * 25).gif())


@pytest.mark.parametrize("drawn", [ImageGrid(torch.rand(1, 1, 1, 16, 16)), Figure(figsize=(1, 1)), "\u03b2"])
def test_a_full_disk_is_named_and_the_picture_from_before_is_kept(drawn, tmp_path, monkeypatch):
    save_pictures({"a.png": Picture(drawn, "")}, tmp_path)
    before = (tmp_path / "a.png").read_bytes()
    assert before == "\u03b2".encode() or before.startswith(b"\x89PNG")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("zoo.lab.files.os.fsync", full)
    with pytest.raises(OSError, match=r"No space left on device: '.*a.png'"):
        save_pictures({"a.png": Picture(drawn, "")}, tmp_path)
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [before]
