"""What there is, where it was looked for, and its pictures."""

import inspect
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from zoo.lab.data import SOURCES, Dataset, data_folder, load
from zoo.lab.data.catalogue import ABOUT, catalogue, print_catalogue
from zoo.lab.data.from_disk import yours
from zoo.lab.data.mnist import FILES
from zoo.lab.plots.contact_sheet import contact_sheet


def test_every_source_is_told_of() -> None:
    assert set(ABOUT) == set(SOURCES)
    assert [entry.name for entry in catalogue()] == sorted(SOURCES)


def test_presence_places_and_sizes(tmp_path: Path) -> None:
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for n, file in enumerate(FILES):
        entry = next(e for e in catalogue(tmp_path) if e.name == "mnist")
        assert not entry.present
        assert entry.where == (raw,)
        (raw / file).write_bytes(bytes(10 * n))
    found = {entry.name: entry for entry in catalogue(tmp_path)}
    assert found["mnist"].present
    assert found["mnist"].size == 60
    assert not found["fashion-mnist"].present
    assert [name for name, e in found.items() if not e.where] == ["digits", "pinwheel", "procedural-chairs", "shapes"]
    assert all(found[name].present for name in ("digits", "pinwheel", "shapes"))


def test_what_is_printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "caches"))
    print_catalogue(tmp_path)
    said = "\n" + capsys.readouterr().out
    for name, about in ABOUT.items():
        part = " ".join(said[said.index(f"\n{name}\n") :].split())
        assert f"licence: {about.licence} cite: {about.citation}" in part
    assert f"absent: not in {tmp_path}/MNIST/raw" in " ".join(said.split())
    assert f"caches: 0.0 MB in 0 files in {tmp_path}/caches" in said


def test_the_folder_is_the_one_given_or_the_environments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZOO_DATA", "there")
    assert data_folder() == Path("there")
    assert data_folder("here") == Path("here")
    monkeypatch.delenv("ZOO_DATA")
    assert data_folder() == Path("data")


def test_unknown_names_and_options() -> None:
    with pytest.raises(LookupError, match=r"unknown data set 'shape'; did you mean 'shapes'\? .*the path of your own"):
        load("shape")
    with pytest.raises(TypeError, match=r"'digits' has no option \['size'\]"):
        load("digits", size=3)


def lit(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("L"))


def test_a_sheet_shows_the_images(tmp_path: Path) -> None:
    sheets = []
    for level in (0, 255):
        data = Dataset("flat", np.full((40, 1, 8, 8), level, np.uint8), y=np.arange(40) % 2, classes=("a", "b"))
        contact_sheet(data).savefig(tmp_path / f"{level}.png")
        sheets.append(lit(tmp_path / f"{level}.png"))
    dark, light = sheets
    assert dark.shape == light.shape
    # two rows of 16 images, apart from each other: between them and around them nothing changes
    changed = dark != light
    for axis, images in ((0, 16), (1, 2)):
        assert (np.diff(changed.any(axis=axis).astype(int), prepend=0) == 1).sum() == images
    assert changed.mean() == pytest.approx(changed.any(axis=0).mean() * changed.any(axis=1).mean(), rel=0.02)


def test_sheets_of_points_words_and_grids(tmp_path: Path) -> None:
    words = Dataset(
        "w", np.eye(3, dtype=np.float32), y=np.array([0, 1, 1]), classes=("a", "b"), vocabulary=("x", "y", "z")
    )
    grid = load("shapes", posX=[3, 9], posY=[4]).train
    for name, data in {"points": load("pinwheel").train, "grid": grid, "words": words}.items():
        contact_sheet(data).savefig(tmp_path / f"{name}.png")
        assert lit(tmp_path / f"{name}.png").std() > 5
    with pytest.raises(ValueError, match=r"datapoints of shape \(3,\) cannot be drawn"):
        contact_sheet(Dataset("d", np.eye(3, dtype=np.float32)))


def test_digits_that_somebody_has_changed_are_loaded_as_they_were() -> None:
    load("digits").train.x[:] = 0
    assert load("digits").train.x.max() == 16


@pytest.mark.parametrize("name", [*SOURCES, "mine.npz"])
@pytest.mark.parametrize("value", [b"8", {}, object()])
def test_options_of_another_type_are_refused_before_a_file_is_looked_for(
    tmp_path: Path, name: str, value: object
) -> None:
    for option in inspect.signature(SOURCES.get(name, yours)).parameters:
        if option not in ("folder", "path", "download"):
            with pytest.raises(TypeError, match=rf"^data '{name}': {option} must be .*, got ") as caught:
                load(name, folder=tmp_path, **{option: value})
            assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("name", "option", "value"),
    [
        ("newsgroups", "stop_words", "no"),  # which counts as true
        ("newsgroups", "remove", "headers"),  # which has seven letters
        ("newsgroups", "vocabulary", None),
        ("mnist", "size", "28"),
        ("mnist", "seed", 2.5),
        ("mine.npz", "size", "28"),
        ("mine.npz", "held_out", "0.1"),
    ],
)
def test_options_that_look_right_are_refused(tmp_path: Path, name: str, option: str, value: object) -> None:
    with pytest.raises(TypeError, match=rf"^data '{name}': {option} must be .*, got {value!r}"):
        load(name, folder=tmp_path, **{option: value})
