"""Rendered chairs: the row renderer against rays through every sample, exact projections, and the grid of factors."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.spatial import ConvexHull

from zoo.lab.data import load, procedural_chairs
from zoo.lab.data.catalogue import ABOUT
from zoo.lab.data.procedural_chairs import BUILDERS, FACTORS, MIDDLE, SCALE, TYPES, render
from zoo.lab.data.renderer import AMBIENT, LIGHT, Solid, draw

TOWARDS_LIGHT = LIGHT / np.linalg.norm(LIGHT)


def box(low: Any, high: Any, albedo: float = 0.8) -> Solid:
    """A box between two corners, in one picture."""
    (x0, y0, z0), (x1, y1, z1) = low, high
    rings = [np.array([[[x0, y0, z], [x1, y0, z], [x1, y1, z], [x0, y1, z]]], float) for z in (z0, z1)]
    return Solid(rings[0], rings[1], albedo)


def picture(solids: list[Solid], azimuth: float, elevation: float, scale: float = 16.0) -> np.ndarray:
    """One picture, 64 x 64, of solids around the origin."""
    return draw(solids, np.array([azimuth]), np.array([elevation]), middle=0.0, scale=scale, side=64)[0]


def axes(azimuth: float, elevation: float) -> np.ndarray:
    """The directions right, up and to the viewer of a picture, as rows, in the object's own right, back and up."""
    # A viewer in front (-y), who goes around counter-clockwise while the object turns clockwise, and then climbs
    t, p = np.radians(azimuth), np.radians(elevation)
    ahead = np.array([-np.sin(t), np.cos(t), 0.0])
    right = np.array([np.cos(t), np.sin(t), 0.0])
    viewer = -ahead * np.cos(p) + np.array([0, 0, np.sin(p)])
    return np.stack([right, np.cross(viewer, right), viewer])


def slowly(solids: list[Solid], azimuth: float, elevation: float, middle: float, scale: float) -> np.ndarray:
    """One picture [64, 64], by a ray through every sample's centre against the planes of every solid's convex hull."""
    view = axes(azimuth, elevation)
    down, right = np.indices((128, 128)) + 0.5
    u, v = (right - 64) / (2 * scale), (64 - down) / (2 * scale) + view[1, 2] * middle
    origin = u[..., None] * view[0] + v[..., None] * view[1]
    nearest, shade = np.full(u.shape, -np.inf), np.full(u.shape, 255)
    for solid in solids:
        planes = np.unique(ConvexHull(np.concatenate([solid.bottom[0], solid.top[0]])).equations.round(12), axis=0)
        enter, leave, bright = np.full(u.shape, np.inf), np.full(u.shape, -np.inf), np.zeros(u.shape)
        for *normal, offset in planes:
            along, there = view[2] @ normal, origin @ normal + offset
            if along > 1e-12:  # looks at the viewer: the ray, from the viewer, comes in here
                depth = -there / along
                bright = np.where(depth < enter, max(TOWARDS_LIGHT @ (view @ normal), 0.0), bright)
                enter = np.minimum(enter, depth)
            elif along < -1e-12:
                leave = np.maximum(leave, -there / along)
            else:
                enter = np.where(there > 0, -np.inf, enter)
        hit = (enter > leave) & (enter > nearest)
        nearest = np.where(hit, enter, nearest)
        found = np.floor(255 * solid.albedo * (AMBIENT + (1 - AMBIENT) * bright) + 1e-9)
        shade = np.where(hit, found.astype(int), shade)
    return (shade.reshape(64, 2, 64, 2).sum((1, 3)) + 2) // 4


def chair(index: int) -> list[Solid]:
    kind, leg, width, back, *_ = FACTORS.values_at(index)
    return BUILDERS[int(kind)](np.array([leg]), np.array([width]), np.array([back]))


def test_rows_agree_with_rays() -> None:
    index = np.arange(77, 64_000, 2_333)  # a prime, so that every factor takes all its values but some azimuths
    assert all(len(np.unique(c)) == s for c, s in zip(FACTORS.at(index).T[:5], FACTORS.sizes[:5], strict=True))
    images = render(index)
    assert not np.isin(FACTORS.at(index)[:, 5] % 8, 0).all()
    for i, image in zip(index, images, strict=True):
        *_, elevation, azimuth = FACTORS.values_at(int(i))
        expected = slowly(chair(int(i)), azimuth, elevation, MIDDLE, SCALE)
        # Where a sample's centre lies on an edge, or two solids touch, rounding decides; seldom anywhere else
        assert (np.abs(image - expected) > 1).mean() < 2e-3, f"image {i}"


def test_a_cube_from_its_front_corner_and_top() -> None:
    cube = [box((-0.5, -0.5, -0.5), (0.5, 0.5, 0.5))]
    front, top = picture(cube, 0, 0), picture(cube, 0, 90)
    for image, towards in ((front, [0, 0, 1]), (top, [0, 0, 1])):  # flat to the viewer, whatever face it is
        shade = int(255 * 0.8 * (AMBIENT + (1 - AMBIENT) * (TOWARDS_LIGHT @ towards)))
        expected = np.full((64, 64), 255)
        expected[24:40, 24:40] = shade  # 16 pixels, in the middle
        np.testing.assert_array_equal(image, expected)
    corner = picture(cube, 45, 0)
    lit = np.flatnonzero((corner < 255).any(axis=0))
    np.testing.assert_allclose([lit[0], lit[-1] + 1], 32 + 16 * np.sqrt(2) * np.array([-0.5, 0.5]), atol=0.75)
    # Its faces look 45 degrees to the left and to the right
    for column, sign in ((28, -1), (36, 1)):
        bright = max(TOWARDS_LIGHT @ [sign * np.sqrt(0.5), 0, np.sqrt(0.5)], 0)
        assert corner[32, column] == int(255 * 0.8 * (AMBIENT + (1 - AMBIENT) * bright))


def test_the_front_turns_to_the_left_and_the_viewer_climbs() -> None:
    # A pin to the front (-y): turned clockwise as seen from above, it comes to the viewer's left; from above it is low
    pin = [box((-0.1, -1.5, -0.1), (0.1, 0.0, 0.1))]
    columns = np.flatnonzero((picture(pin, 90, 0) < 255).any(axis=0))
    rows = np.flatnonzero((picture(pin, 0, 90) < 255).any(axis=1))
    np.testing.assert_array_equal(columns, np.arange(8, 32))
    np.testing.assert_array_equal(rows, np.arange(32, 56))


def test_areas_by_cauchys_formula() -> None:
    # A box's shadow in direction n has area sum of |n_i| times the side across; black on white, samples add up to it
    sides = np.array([1.3, 0.7, 2.1])
    brick = [box(-sides / 2, sides / 2, albedo=0.0)]
    faces = np.array([sides[1] * sides[2], sides[0] * sides[2], sides[0] * sides[1]])
    for azimuth, elevation in ((13, 7), (100, 33), (215, 61), (301, 85)):
        # Upright edges round all their samples one way, so that only over several scales it averages out
        areas = [(255.0 - picture(brick, azimuth, elevation, s)).sum() / 255 / s**2 for s in np.linspace(12, 20, 50)]
        assert np.mean(areas) == pytest.approx(faces @ np.abs(axes(azimuth, elevation)[2]), rel=3e-3)


def test_four_fold_symmetry() -> None:
    stool = [box((-0.5, -0.5, 0.5), (0.5, 0.5, 0.6)), box((-0.1, -0.1, -0.9), (0.1, 0.1, 0.5), 0.4)]
    stool += [box((x - 0.05, y - 0.05, -0.9), (x + 0.05, y + 0.05, 0.5), 0.3) for x in (-0.4, 0.4) for y in (-0.4, 0.4)]
    first = picture(stool, 17, 25)
    for quarter in (1, 2, 3):
        np.testing.assert_array_equal(picture(stool, 17 + 90 * quarter, 25), first)
    assert (picture(stool, 17 + 45, 25) != first).any()


def test_the_nearer_solid_hides_the_other_in_any_order() -> None:
    far, near = box((-1, 0.5, -1), (1, 0.7, 1), 0.9), box((-0.3, -0.7, -0.3), (0.3, -0.5, 0.3), 0.2)
    through = box((-0.1, -1.5, -0.1), (0.1, 1.5, 0.1), 0.5)  # both of them
    for solids in ([far, near], [far, near, through]):
        for azimuth, elevation in ((0, 0), (24, 31), (190, 12)):
            one, other = (picture(order, azimuth, elevation) for order in (solids, solids[::-1]))
            np.testing.assert_array_equal(one, other)
    assert picture([far, near], 0, 0)[32, 32] < picture([far, near], 180, 0)[32, 32] < 255


def test_chairs_are_mirror_symmetric() -> None:
    index = np.stack(np.meshgrid(*[np.arange(s) for s in (4, 1, 2, 2, 2, 16)], indexing="ij"), axis=-1).reshape(-1, 6)
    turned = index * [1, 1, 1, 1, 1, -1] % FACTORS.sizes
    seen, mirrored = (render(FACTORS.index(i), masks=True) for i in (index, turned))
    # Edges that pass through centres of samples go one way only, so that single pixels may differ
    assert (seen != mirrored[:, :, ::-1]).mean() < 1e-3
    assert (seen != mirrored).mean() > 0.02


def test_sizes_are_metres_on_the_picture() -> None:
    # A dining chair from its front. The rear posts end at (leg + back) above the floor, and there 0.19 + 0.16 back +
    # 0.018 behind the middle; the front legs' feet stand at -0.19 - 0.014; the seat is as wide as the factor says.
    for leg, width, back, tilt in np.ndindex(5, 5, 5, 4):
        image = render(FACTORS.index([[0, leg, width, back, tilt, 16]]))[0]
        _, legs, wide, high, elevation, _ = FACTORS.values_at(FACTORS.index([0, leg, width, back, tilt, 16]))
        cos, sin = np.cos(np.radians(elevation)), np.sin(np.radians(elevation))
        top = (legs + high - MIDDLE) * cos + (0.19 + 0.16 * high + 0.018) * sin
        foot = -MIDDLE * cos - 0.204 * sin
        rows, columns = (np.flatnonzero((image < 255).any(axis=axis)) for axis in (1, 0))
        np.testing.assert_allclose([rows[0], rows[-1] + 1], 32 - SCALE * np.array([top, foot]), atol=1)
        np.testing.assert_allclose([columns[0], columns[-1] + 1], 32 + SCALE * wide * np.array([-0.5, 0.5]), atol=1)


def test_every_factor_changes_every_type() -> None:
    for kind in range(len(TYPES)):
        middle = np.array([kind, 2, 2, 2, 1, 5])
        for f in range(1, 6):
            classes = np.tile(middle, (FACTORS.sizes[f], 1))
            classes[:, f] = np.arange(FACTORS.sizes[f])
            images = render(FACTORS.index(classes))
            assert ((images[1:] != images[:-1]).mean((1, 2)) > 0.01).all(), (TYPES[kind], FACTORS.names[f])


def test_no_chair_touches_the_frame() -> None:
    # Wider, taller and longer only reaches further, so the largest sizes decide, and short legs how low it goes
    for leg in (0, 4):
        grid = np.meshgrid(np.arange(4), [leg], [4], [4], np.arange(4), np.arange(32), indexing="ij")
        images = render(FACTORS.index(np.stack(grid, axis=-1).reshape(-1, 6)))
        frame = np.concatenate([images[:, [0, -1]].ravel(), images[:, :, [0, -1]].ravel()])
        assert (frame == 255).all()


def test_grid_order_is_mixed_radix() -> None:
    index = np.array([0, 1, 32, 128, 640, 3_200, 16_000, 63_999])
    classes = FACTORS.at(index)
    np.testing.assert_array_equal(classes @ [16_000, 3_200, 640, 128, 32, 1], index)
    np.testing.assert_array_equal(classes[1:7], np.eye(6)[::-1])
    assert len(FACTORS) == 64_000
    assert FACTORS.names == ("type", "leg length", "width", "back height", "elevation", "azimuth")
    data = load("procedural-chairs", held_out=0).train
    np.testing.assert_array_equal(data.y, np.repeat(np.arange(4), 16_000))
    assert data.factors is FACTORS
    assert data.classes == TYPES


def test_held_out_chairs_are_never_seen() -> None:
    train, test = load("procedural-chairs")
    assert (len(train), len(test)) == (400 * 128, 100 * 128)
    parts = []
    for data in (train, test):
        assert data.factors is not None
        parts.append(np.unique(data.factors.classes[:, :4], axis=0, return_counts=True))
        np.testing.assert_array_equal(data.y, data.factors.classes[:, 0])
        assert (parts[-1][1] == 128).all()  # all views of each
        some = np.array([0, 129, len(data) - 1])
        np.testing.assert_array_equal(data.x[some][:, 0], render(FACTORS.index(data.factors.at(some))))
    assert len(np.unique(np.concatenate([parts[0][0], parts[1][0]]), axis=0)) == 500
    other = load("procedural-chairs", seed=1).test.factors
    assert other is not None
    assert (other.classes != test.factors.classes).any()  # type: ignore[union-attr]


def test_images_may_be_held_out_by_chance() -> None:
    train, test = load("procedural-chairs", by="image", held_out=0.1)
    assert (len(train), len(test)) == (57_600, 6_400)
    assert train.factors is not None
    assert test.factors is not None
    both = np.concatenate([FACTORS.index(train.factors.classes), FACTORS.index(test.factors.classes)])
    np.testing.assert_array_equal(np.sort(both), np.arange(64_000))
    whole = load("procedural-chairs", held_out=0)
    assert whole.train is whole.test


def test_masks_are_what_is_half_covered() -> None:
    data = load("procedural-chairs", masks=True, held_out=0).train
    index = np.arange(0, 64_000, 977)
    found = data.x[index][:, 0]
    assert data.x_max == 1.0
    assert set(np.unique(found)) == {0, 1}
    assert set(data.batch(torch.from_numpy(index)).x.unique().tolist()) == {0.0, 1.0}
    for i, mask in zip(index[::11], found[::11], strict=True):
        *_, elevation, azimuth = FACTORS.values_at(int(i))
        black = [solid._replace(albedo=0.0) for solid in chair(int(i))]
        # Of four samples two give 127.5, which is rounded to 128
        assert (mask != (slowly(black, azimuth, elevation, MIDDLE, SCALE) <= 128)).mean() < 2e-3


def test_drawn_now_or_on_demand_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    data = load("procedural-chairs", held_out=0).train
    assert not isinstance(data.x, np.ndarray)
    index = np.random.default_rng(0).integers(64_000, size=300)
    np.testing.assert_array_equal(data.x[index][:, 0], np.concatenate([render(i[None]) for i in index]))
    np.testing.assert_array_equal(data.x[5:9], data.x[np.arange(5, 9)])
    assert data.x[7].shape == (1, 64, 64)
    some = FACTORS.subset(np.arange(300))  # all 64,000 take a while
    monkeypatch.setattr(procedural_chairs.RenderedChairs, "shape", (300, 1, 64, 64))
    monkeypatch.setattr(procedural_chairs, "FACTORS", some)
    drawn = load("procedural-chairs", drawn=True, held_out=0).train
    assert isinstance(drawn.x, np.ndarray)
    np.testing.assert_array_equal(drawn.x, data.x[np.arange(300)])


def test_a_fixed_factor_is_fixed() -> None:
    data = load("procedural-chairs").test
    batch = data.sample(32, fixed={"type": 2, "azimuth": 8}, seed=3, labels=True)
    assert data.factors is not None
    classes = data.factors.at(batch.index.numpy())
    assert (classes[:, [0, 5]] == [2, 8]).all()
    assert batch.y is not None
    assert batch.y.tolist() == [2] * 32
    assert batch.x.shape == (32, 1, 64, 64)
    assert 0 <= batch.x.min() < 0.5 < batch.x.max() == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"by": "colour"}, r"by is 'chair' or 'image', got 'colour'"),
        ({"held_out": 1.0}, r"held_out = 1 of 500 chairs leaves nothing"),
        ({"held_out": 0.0001}, r"held_out = 0.0001 of 500 chairs leaves nothing"),
        ({"held_out": 1.0, "by": "image"}, r"held_out = 1 of 64000 datapoints leaves nothing"),
    ],
)
def test_options_that_leave_nothing(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load("procedural-chairs", **options)


def test_it_is_not_passed_off_as_the_real_set(tmp_path: Path) -> None:
    data = load("procedural-chairs", folder=tmp_path / "nowhere").train
    assert data.name == "procedural-chairs"
    assert "not 3D Chairs" in ABOUT["procedural-chairs"].holds
    assert "not 3D Chairs" in str(procedural_chairs.procedural_chairs.__doc__)
    assert "not 3D Chairs" in str(procedural_chairs.__doc__)
    assert not list(tmp_path.iterdir())
