"""Extended Yale B: from small trees as distributed, and from the real one where it is."""

from pathlib import Path

import numpy as np
import pytest

from zoo.lab.data import data_folder, load

LIGHTS = [(azimuth, elevation) for azimuth in range(-130, 126, 34) for elevation in range(-40, 100, 17)][:64]


def write(folder: Path, subject: int, count: int) -> Path:
    """A person's folder with `count` lights, each image of one grey level: the light's number plus the subject's."""
    person = folder / "CroppedYale" / f"yaleB{subject:02d}"
    person.mkdir(parents=True)
    for n, (azimuth, elevation) in enumerate(LIGHTS[:count]):
        pixels = bytes([subject + n]) * (168 * 192)
        name = f"yaleB{subject:02d}_P00A{azimuth:+04d}E{elevation:+03d}.pgm"
        (person / name).write_bytes(b"P5\n168 192\n255\n" + pixels)
    return person


@pytest.fixture(autouse=True)
def caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the test's caches go."""
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "caches"))
    return tmp_path / "caches"


def test_read_as_distributed(tmp_path: Path) -> None:
    write(tmp_path, 39, 64)
    person = write(tmp_path, 12, 59)
    (person / "yaleB12_P00_Ambient.pgm").write_bytes(b"P5\n640 480\n255\n" + bytes(640 * 480))
    (person / "yaleB12_P00A-110E+15.pgm.bad").write_bytes(b"")
    (person / "yaleB12_P00.info").write_text("", encoding="utf-8")
    data = load("yale-b", folder=tmp_path, subjects=(39, 12), held_out=0).train
    near = [[n for n in range(count) if abs(LIGHTS[n][0]) < 100] for count in (59, 64)]
    assert len(data) == len(near[0]) + len(near[1])
    assert data.left_out == {
        "ambient": 1,
        "damaged": 5,
        "light at 100 degrees or more": 59 + 64 - len(data),
    }
    assert data.classes == ("yaleB12", "yaleB39")
    assert data.shape == (1, 64, 64)
    assert data.factors is not None
    assert data.factors.names == ("subject", "azimuth", "elevation")
    assert data.y is not None
    for subject, lights in zip((12, 39), near, strict=True):
        of_person = np.flatnonzero(data.y == (12, 39).index(subject))
        found = {tuple(v) for v in data.factors.values_at(of_person)}
        assert found == {(subject, *LIGHTS[n]) for n in lights}
    for x, (subject, azimuth, elevation) in zip(data.x, data.factors.values_at(np.arange(len(data))), strict=True):
        assert (x == subject + LIGHTS.index((azimuth, elevation))).all()


def test_the_angle_is_an_option_and_excludes_itself(tmp_path: Path) -> None:
    write(tmp_path, 20, 64)
    for angle in (50, 62, 63, 131):
        data = load("yale-b", folder=tmp_path, subjects=(20,), max_angle=angle, held_out=0).train
        assert len(data) == sum(abs(a) < angle and abs(e) < angle for a, e in LIGHTS)


def test_a_cache_follows_files_and_options(tmp_path: Path, caches: Path) -> None:
    person = write(tmp_path, 20, 64)
    load("yale-b", folder=tmp_path, subjects=(20,))
    load("yale-b", folder=tmp_path, subjects=(20,), seed=3)  # another split of the same images
    assert len(list(caches.iterdir())) == 1
    assert load("yale-b", folder=tmp_path, subjects=(20,), size=16).train.shape == (1, 16, 16)
    assert len(list(caches.iterdir())) == 2
    image = next(f for f in sorted(person.iterdir()) if "A+006E" in f.name)
    image.write_bytes(b"P5\n168 192\n255\n" + bytes(168 * 192))
    changed = load("yale-b", folder=tmp_path, subjects=(20,), held_out=0).train
    assert sum((x == 0).all() for x in changed.x) == 1


def test_a_tenth_is_held_out_by_seed(tmp_path: Path) -> None:
    write(tmp_path, 20, 64)
    train, test = load("yale-b", folder=tmp_path, subjects=(20,), max_angle=200)
    assert (len(train), len(test)) == (58, 6)
    both = np.concatenate([train.x[:, 0, 0, 0], test.x[:, 0, 0, 0]])
    np.testing.assert_array_equal(np.sort(both), 20 + np.arange(64))


def test_missing_people_are_named(tmp_path: Path) -> None:
    write(tmp_path, 20, 64)
    with pytest.raises(FileNotFoundError, match=r"yaleB11, yaleB12, .*yaleB39 not found in .*CroppedYale.*ZOO_DATA"):
        load("yale-b", folder=tmp_path)
    with pytest.raises(ValueError, match=r"no subject \[14\]; they go from 1 to 39, without 14"):
        load("yale-b", folder=tmp_path, subjects=(14, 20))


def test_wrong_counts_are_told(tmp_path: Path) -> None:
    person = write(tmp_path, 20, 63)
    with pytest.raises(ValueError, match=rf"'yale-b': {person} has 63 images, not 64; unpack it again"):
        load("yale-b", folder=tmp_path, subjects=(20,))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "cannot be read"),
        (b"P5\n168 192\n255\n" + bytes(168 * 192 - 1), "cannot be read: .*(truncated|not large enough)"),
        (b"P5\n168 191\n255\n" + bytes(168 * 191), r"L of \(168, 191\) pixels, not grey of \(168, 192\)"),
        (b"P6\n168 192\n255\n" + bytes(3 * 168 * 192), "RGB of"),
        (b"<html>not found</html>", "cannot be read"),
    ],
    ids=["empty", "cut", "of another size", "in colour", "of a web page"],
)
def test_a_damaged_image_is_named(tmp_path: Path, caches: Path, content: bytes, message: str) -> None:
    person = write(tmp_path, 20, 64)
    image = next(f for f in sorted(person.iterdir()) if "A+006E" in f.name)
    image.write_bytes(content)
    with pytest.raises(ValueError, match=rf"'yale-b': {person}/yaleB20_P00A\+006E.*{message}.*Unpack it again"):
        load("yale-b", folder=tmp_path, subjects=(20,))
    assert not caches.exists() or not list(caches.iterdir())


def test_a_name_without_a_light_is_refused(tmp_path: Path) -> None:
    person = write(tmp_path, 20, 63)
    (person / "holiday.pgm").write_bytes(b"")
    with pytest.raises(ValueError, match=r"the name of .*holiday.pgm does not state the light's angles"):
        load("yale-b", folder=tmp_path, subjects=(20,))


@pytest.mark.skipif(not (data_folder() / "CroppedYale").is_dir(), reason="ZOO_DATA has no CroppedYale")
def test_counts_of_the_real_ones() -> None:
    # 64 lights a person, 12 of them at an azimuth of 100 degrees or more; 18 images of seven people are damaged, 14
    # of them under the other 52 lights: 28 x 52 - 14 = 1,442.
    data = load("yale-b", held_out=0).train
    whole = load("yale-b", held_out=0, max_angle=180, size=8).train
    damaged = {11: (4, 3), 12: (5, 3), 13: (4, 3), 15: (1, 1), 16: (2, 2), 17: (1, 1), 18: (1, 1)}
    subjects = [11, 12, 13, *range(15, 40)]
    assert np.bincount(whole.y).tolist() == [64 - damaged.get(s, (0, 0))[0] for s in subjects]
    assert np.bincount(data.y).tolist() == [52 - damaged.get(s, (0, 0))[1] for s in subjects]
    assert (len(whole), len(data)) == (1_774, 1_442)
    assert data.left_out["light at 100 degrees or more"] == 332
    assert whole.factors is not None
    assert data.factors is not None
    assert whole.factors.sizes == (28, 29, 12)
    assert data.factors.sizes == (28, 23, 12)
    np.testing.assert_array_equal(data.factors.values[0], subjects)
    # Light from a face's right (azimuth > 0) brightens the picture's left half, and light from above its upper half
    subject, azimuth, elevation = data.factors.values_at(np.arange(len(data))).T
    left = data.x[..., :32].mean((1, 2, 3)) - data.x[..., 32:].mean((1, 2, 3))
    upper = data.x[..., :32, :].mean((1, 2, 3)) - data.x[..., 32:, :].mean((1, 2, 3))
    for s in subjects:
        assert left[(subject == s) & (azimuth >= 50)].mean() > 20
        assert left[(subject == s) & (azimuth <= -50)].mean() < -20
        high, low = (upper[(subject == s) & (sign * elevation >= 35)].mean() for sign in (1, -1))
        assert high > low
