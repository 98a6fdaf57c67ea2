"""What lies where on a sheet and in a table."""

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from zoo.lab.plots.image_grid import save_sheet, save_sheets
from zoo.lab.plots.style import save_table


@pytest.fixture
def canvas(monkeypatch):
    """The figure that would be written."""
    kept = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, *_, **__: kept.append(figure))
    return kept


@pytest.mark.parametrize("channels", [1, 3])
def test_every_image_is_where_its_row_and_column_are(tmp_path, canvas, channels):
    images = torch.rand(2, 3, channels, 5, 4)  # sizes that no mix-up of axes survives
    images[0, 0, 0, 0, 0] = 1.5  # beyond white
    save_sheet(images, tmp_path / "s.png", title="t", row_labels=["a", "b"], column_labels=["x", "y", "z"])
    (axes,) = canvas[0].axes
    shown = np.asarray(axes.images[0].get_array())
    assert shown.shape[:2] == (2 * 5 + 1, 3 * 4 + 2)  # a line of white between
    for row in range(2):
        for column in range(3):
            part = shown[6 * row : 6 * row + 5, 5 * column : 5 * column + 4]
            expected = images[row, column].clamp(0, 1).movedim(0, -1).squeeze(-1).numpy()
            np.testing.assert_array_equal(part, expected)
    assert (shown[5] == 1).all()
    assert (shown[:, [4, 9]] == 1).all()
    for ticks, labels, middle in (
        (axes.get_yticks(), axes.get_yticklabels(), [2.5, 8.5]),
        (axes.get_xticks(), axes.get_xticklabels(), [2.0, 7.0, 12.0]),
    ):
        assert list(ticks) == middle
        assert [label.get_text() for label in labels] in (["a", "b"], ["x", "y", "z"])


def test_sheets_next_to_each_other_keep_their_own_labels(tmp_path, canvas):
    left, right = torch.zeros(2, 2, 1, 4, 4), torch.ones(2, 2, 1, 4, 4)
    save_sheets([left, right], tmp_path / "s.png", titles=["l", "r"], row_labels=[["a", "b"], ["c", "d"]])
    for axes, value, title, labels in zip(canvas[0].axes, (0, 1), "lr", (["a", "b"], ["c", "d"]), strict=True):
        assert (np.asarray(axes.images[0].get_array())[:4, :4] == value).all()
        assert axes.get_title("left") == title
        assert [label.get_text() for label in axes.get_yticklabels()] == labels


def test_a_table_has_each_number_on_its_shade_in_ink_that_can_be_read(tmp_path, canvas):
    numbers = np.array([[1, 20, 3], [90, 5, 0]])
    shade = numbers / 90
    save_table(numbers, tmp_path / "t.png", title="t", rows=["a", "b"], columns=["x", "y", "z"], shade=shade)
    (axes,) = canvas[0].axes
    written = {text.get_position(): (text.get_text(), text.get_color()) for text in axes.texts}
    assert written[0, 1] == ("90", "white")
    assert written[2, 0] == ("3", "black")
    np.testing.assert_array_equal(axes.images[0].get_array(), shade)
