"""What was found when, on curves drawn by hand; capacities as the objective has them at each step."""

import math

import numpy as np
import pytest
import torch

from tests.pairs import joint_pair
from zoo.elbos import Capacity, PlainELBO
from zoo.lab.analysis.kl_history import Discovery, History, Run, capacities, discovery_order, overshoot, smooth
from zoo.lab.plots.kl_history import _apart, plot_kl_history
from zoo.lab.training.experiment import Experiment
from zoo.lab.training.fit import ramp

STEPS = np.arange(100, 1100, 100)


def history(**kl):
    names = {"z0": "z[0]", "z1": "z[1]", "z2": "z[2]"}
    return History(STEPS, {names.get(name, name): np.asarray(curve, float) for name, curve in kl.items()})


def test_a_sum_is_of_sites_that_were_recorded():
    found = history(z0=STEPS, z1=2 * STEPS, c=np.ones(10))
    np.testing.assert_array_equal(found.of("z"), 3 * STEPS)
    np.testing.assert_array_equal(found.of("c+z"), 3 * STEPS + 1)
    for group in ("d", "z+d", "z[0]"):  # which was nothing: 0, or z alone, as if d had told nothing
        with pytest.raises(LookupError, match="unknown site of the history"):
            found.of(group)


def test_units_are_found_where_a_windows_mean_first_passes_the_threshold():
    found = discovery_order(
        history(
            z0=[0, 0, 0, 0, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3],  # mean of two: 0.15 at step 500
            z1=[0, 0.19, 0, 0.19, 0, 0.19, 0, 0.19, 0, 0],  # one batch at a time, and never 0.1 in the mean
            z2=[0, 0.5, 0.5, 0.5, 0, 0, 0, 0, 0, 0],  # 0.25 at step 200; lost later
            c=[0, 0, 0, 0, 1, 1, 1, 1, 1, 1.5],  # 0.5 at step 500, more than z[0] then
        ),
        window=2,
    )
    assert found == [
        Discovery("z[2]", 200, 0.0),
        Discovery("c", 500, 1.25),
        Discovery("z[0]", 500, pytest.approx(0.3)),
    ]


def test_nothing_is_read_from_the_future():
    rng = np.random.default_rng(0)
    curve = np.abs(rng.normal(0.1, 0.1, 10))
    ((_, step, _),) = discovery_order(history(z0=curve), window=3) or [(None, 10_000, None)]
    for rows in range(3, 11):
        cut = History(STEPS[:rows], {"z[0]": curve[:rows]})
        assert [d.step for d in discovery_order(cut, window=3)] == ([step] if step <= STEPS[rows - 1] else [])


def test_smoothing_is_the_mean_of_whole_windows():
    np.testing.assert_allclose(smooth(np.array([1.0, 2.0, 6.0, 0.0]), 2), [1.5, 4.0, 3.0])
    np.testing.assert_allclose(smooth(np.array([1.0, 2.0]), 5), [1.5])


def test_a_sites_kl_is_the_sum_of_its_units():
    kl = history(z0=STEPS, z1=2 * STEPS, c1=STEPS, c2=STEPS)
    np.testing.assert_allclose(kl.of("z"), 3 * STEPS)
    np.testing.assert_allclose(kl.of("c1+c2"), 2 * STEPS)
    # z is not the beginning of a name
    np.testing.assert_allclose(History(STEPS, {"z[0]": STEPS, "z_s[0]": 5 * STEPS}).of("z"), STEPS)


def test_overshoot_is_the_worst_excess():
    capacity = np.array([0.0, 1.0, 2.0, 3.0])
    assert overshoot(np.array([0.0, 3.0, 3.0, 3.0]), capacity, window=1) == 2.0
    assert overshoot(np.array([0.0, 3.0, 3.0, 3.0]), capacity, window=2) == 1.5
    assert overshoot(capacity - 0.5, capacity) == -0.5


def test_capacities_are_those_that_each_step_was_held_at_and_the_objective_stays_as_it_is():
    model, guide = joint_pair((2, 3))
    elbo = Capacity(gamma={"z": 1.0, "c1+c2": 1.0}, capacity={"z": 0.0, "c1+c2": 0.0})

    def schedule(step, elbo):
        elbo.capacity = {"z": ramp(step, 0.0, 5.0, over=800), "c1+c2": ramp(step, 0.0, 5.0, over=800)}

    schedule(123, elbo)
    before = {name: float(value) for name, value in elbo.state_dict().items()}
    found = capacities(Experiment(model, guide, elbo, steps=1000, schedule=schedule), STEPS)
    np.testing.assert_allclose(found["z"], np.minimum(5.0, (STEPS - 1) / 160))
    np.testing.assert_allclose(found["c1+c2"], np.minimum(math.log(6), (STEPS - 1) / 160))  # two classes times three
    assert {name: float(value) for name, value in elbo.state_dict().items()} == before
    assert capacities(Experiment(model, guide, PlainELBO(), steps=1000), STEPS) == {}
    # one capacity for all: z has no ceiling
    whole = capacities(Experiment(model, guide, Capacity(gamma=1.0, capacity=9.0), steps=1000), STEPS)
    np.testing.assert_allclose(whole["z+c1+c2"], 9.0)


def test_a_table_is_read_as_it_was_written_and_a_damaged_one_is_named(tmp_path):
    (tmp_path / "units.csv").write_text("step,z[0],z[1],c\n100,0.5,0.25,1\n200,1,0,2\n")
    read = History.read(tmp_path)
    assert read.steps.tolist() == [100, 200]
    assert {name: kl.tolist() for name, kl in read.kl.items()} == {"z[0]": [0.5, 1], "z[1]": [0.25, 0], "c": [1, 2]}
    (tmp_path / "units.csv").write_text("step,z[0],z[1],c\n")
    with pytest.raises(ValueError, match=r"units\.csv has no row: the run was too short to record"):
        History.read(tmp_path)
    (tmp_path / "units.csv").write_text("step,z[0]\n100,0.5\n200\n")
    with pytest.raises(ValueError, match=r"units\.csv is damaged"):
        History.read(tmp_path)
    with pytest.raises(FileNotFoundError, match="is missing: the KL of each unit over training was not recorded"):
        History.read(tmp_path / "nowhere")


def test_the_figure_names_what_was_found_and_draws_both_runs_on_one_scale():
    slow = history(z0=STEPS / 1000, z1=0 * STEPS, c=STEPS / 2000)
    fast = history(z0=2 + STEPS / 1000, z1=1 + 0 * STEPS, c=STEPS / 2000)
    capacity = {"z": STEPS / 1000, "c": np.full(10, 0.5)}
    canvas = plot_kl_history([Run("full", slow, capacity), Run("too low", fast, capacity)], window=1)
    left, right = canvas.axes[:2]
    assert [text.get_text().strip() for text in left.texts] == ["1. z[0]", "2. c"]
    assert [text.get_text().strip() for text in right.texts] == ["1. z[0]", "2. z[1]", "3. c"]
    assert left.get_ylim() == right.get_ylim()
    sums = canvas.axes[2]
    drawn = {line.get_label(): line.get_ydata() for line in sums.lines}
    np.testing.assert_allclose(drawn["KL of z"], STEPS / 1000)
    np.testing.assert_allclose(drawn["its capacity, C of c"], 0.5)


def test_labels_are_moved_apart():
    assert _apart([1.0, 1.0, 3.0, 0.95], 0.1) == pytest.approx([1.05, 1.15, 3.0, 0.95])
    assert torch.tensor(_apart([0.0] * 5, 0.2)).sort().values.diff().min() >= 0.2 - 1e-12


def test_a_short_run_has_curves_and_one_of_a_single_row_is_refused():
    # 300 steps leave three rows: a window of five would leave one point, and a line through one point is not drawn.
    short = History(STEPS[:3], {"z[0]": np.array([0.0, 1.0, 3.0])})
    units, sums = plot_kl_history([Run("short", short, {})]).axes
    for axes in (units, sums):
        (line,) = axes.lines
        np.testing.assert_allclose(line.get_xdata(), [150, 250])  # means of two rows
        np.testing.assert_allclose(line.get_ydata(), [0.5, 2.0])
        assert line.get_marker() == "."
    assert not discovery_order(History(STEPS[:3], {"z[0]": np.array([0.0, 0.0, 0.2])}))  # by the mean of all three
    units, _ = plot_kl_history([Run("late", History(STEPS[:3], {"z[0]": np.array([0.0, 0.0, 0.25])}), {})]).axes
    assert not units.texts  # nor is it named as found in the picture
    with pytest.raises(ValueError, match="one row: the KL of each unit was recorded once"):
        plot_kl_history([Run("one row", History(STEPS[:1], {"z[0]": np.ones(1)}), {})])
