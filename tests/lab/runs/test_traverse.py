"""Sweeps of one latent against the decoder called by hand, where they start, and what the command leaves."""

import math
import sys
from dataclasses import replace

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from PIL import Image
from pyro import poutine
from torch import nn

from guides import Amortized, FullRank, MeanField
from tests.core.test_joint_vae import joint_pair
from tests.pairs import SHAPE, images, vae_pair
from zoo.__main__ import main
from zoo.lab.analysis import interventions as sweep
from zoo.lab.analysis.interventions import (
    Sites,
    Unit,
    across,
    changed,
    from_prior,
    inferred,
    quantiles,
    ranked,
    types,
    wide,
)
from zoo.lab.analysis.knn_labels import Judge
from zoo.lab.analysis.posterior import posterior_means, posteriors
from zoo.lab.data import Dataset, Split
from zoo.lab.plots import traversals as sheets
from zoo.lab.plots.image_grid import save_film
from zoo.lab.runs.finished import FinishedRun
from zoo.lab.runs.traverse import traverse
from zoo.papers import configure


def by_hand(model, z, *c):
    return model.decoder(z, *c).sigmoid().detach()


def test_a_sweep_changes_one_unit_of_every_setting_and_nothing_else():
    model, _ = joint_pair((3, 2))
    settings = from_prior(model, 4, seed=5)
    values = torch.tensor([-2.0, 0.5, 7.0])
    swept = sweep.sweep(model, settings, "z", 1, values)
    assert swept.shape == (4, 3, *SHAPE)
    for n in range(4):
        for v, value in enumerate(values):
            z = settings["z"][n].clone()
            z[1] = value
            expected = by_hand(model, z[None], settings["c1"][n : n + 1], settings["c2"][n : n + 1])
            torch.testing.assert_close(swept[n, v], expected[0])


def test_a_type_is_swept_over_its_corners():
    model, _ = joint_pair((3, 2))
    settings = from_prior(model, 2, seed=0)
    swept = across(model, settings, "c1")
    assert swept.shape == (2, 3, *SHAPE)
    for n in range(2):
        for k in range(3):
            expected = by_hand(model, settings["z"][n : n + 1], torch.eye(3)[k : k + 1], settings["c2"][n : n + 1])
            torch.testing.assert_close(swept[n, k], expected[0])


def test_every_combination_of_types_the_last_fastest():
    model, _ = joint_pair((2, 3))
    start = from_prior(model, 1, seed=0)
    many, names = types(Sites.of(model), start)
    assert names == ["c1=0 c2=0", "c1=0 c2=1", "c1=0 c2=2", "c1=1 c2=0", "c1=1 c2=1", "c1=1 c2=2"]
    assert many["c1"].argmax(1).tolist() == [0, 0, 0, 1, 1, 1]
    assert many["c2"].argmax(1).tolist() == [0, 1, 2, 0, 1, 2]
    assert torch.equal(many["z"], start["z"].expand(6, 2))
    few, names = types(Sites.of(model), start, at_most=4)
    assert (len(names), len(few["c1"]), len(few["z"])) == (4, 4, 4)


def test_what_is_decoded_at_once_does_not_matter(monkeypatch):
    model, _ = joint_pair()
    settings = from_prior(model, 5, seed=1)
    whole = sweep.sweep(model, settings, "z", 0, wide())
    monkeypatch.setattr(sweep, "AT_ONCE", 7)
    torch.testing.assert_close(sweep.sweep(model, settings, "z", 0, wide()), whole)


def test_draws_are_the_priors_with_types_at_corners_and_nobody_notices():
    model, _ = joint_pair((3, 2))
    state = torch.get_rng_state()
    with poutine.trace() as outside:
        settings = from_prior(model, 6, seed=3)
        again = from_prior(model, 6, seed=3)
    assert not outside.trace.nodes
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(3)
    first = poutine.trace(model).get_trace()
    assert torch.equal(settings["z"][:1], first.nodes["z"]["value"])
    assert torch.equal(settings["c1"][0], torch.eye(3)[first.nodes["c1"]["value"][0].argmax()])
    assert all(torch.equal(settings[name], again[name]) for name in ("z", "c1", "c2"))
    assert len(settings["z"].unique(dim=0)) == 6
    assert not torch.equal(from_prior(model, 6, seed=4)["z"], settings["z"])


def test_a_datapoint_starts_at_its_mean_and_its_most_probable_type():
    model, guide = joint_pair((3, 2), z=FullRank(2))
    x = images(4)
    centres, settings = posterior_means(guide, x), inferred(model, guide, x)
    assert torch.equal(settings["z"], centres["z"])
    for name, size in (("c1", 3), ("c2", 2)):
        assert torch.equal(settings[name], torch.eye(size)[centres[name].argmax(1)])


class Inherits(nn.Module):
    """a, and b that follows it closely; mix is a point of a simplex, and each unit has a switch in a plate."""

    def __init__(self):
        super().__init__()
        self.decoder = nn.Linear(2, 15)

    def forward(self, x=None):
        with pyro.plate("data", 1 if x is None else len(x)):
            a = pyro.sample("a", dist.Normal(torch.zeros(2), 1.0).to_event(1))
            b = pyro.sample("b", dist.Normal(10 * a, 1e-9).to_event(1))
            pyro.sample("mix", dist.Dirichlet(torch.ones(3)))
            with pyro.plate("units", 2, dim=-2):
                pyro.sample("on", dist.Bernoulli(0.5))
            logits = self.decoder(b).unflatten(-1, SHAPE)
            return pyro.sample("x", dist.Bernoulli(logits=logits, validate_args=False).to_event(3), obs=x)


def mixed(mixture):
    """A story with this prior of z."""

    class Mixed(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.ones(()))

        def forward(self, x=None):
            with pyro.plate("data", 1 if x is None else len(x)):
                pyro.sample("z", mixture())

    return Mixed()


def whole():
    """Two clusters of vectors."""
    normals = dist.Normal(torch.zeros(2, 2), 1.0).to_event(1)
    return dist.MixtureSameFamily(dist.Categorical(torch.ones(2)), normals)


def unitwise():
    """Each unit wide or narrow."""
    normals = dist.Normal(torch.zeros(2, 2), torch.tensor([1.0, 0.05]))
    return dist.MixtureSameFamily(dist.Categorical(torch.ones(2, 2)), normals).to_event(1)


def test_a_site_that_the_guide_lacks_follows_those_that_it_infers():
    model = Inherits()
    trunk = nn.Sequential(nn.Flatten(), nn.Linear(15, 4))
    guide = Amortized(trunk, a=MeanField(2))
    x = images(3)
    settings = inferred(model, guide, x)
    torch.testing.assert_close(settings["a"], posterior_means(guide, x)["a"])
    torch.testing.assert_close(settings["b"], 10 * settings["a"])
    # points of a simplex and switches are no vectors of real numbers
    assert Sites.of(model) == Sites({"a": 2, "b": 2}, {})


@pytest.mark.parametrize("mixture", [whole, unitwise])
def test_units_under_a_mixture_are_real(mixture):
    assert Sites.of(mixed(mixture)) == Sites({"z": 2}, {})


def test_a_type_that_the_guide_lacks_is_the_most_probable_one():
    class Typed(nn.Module):
        def forward(self, x=None, y=None):
            with pyro.plate("data", 1 if x is None else len(x)):
                z = pyro.sample("z", dist.Normal(torch.zeros(3), 1.0).to_event(1))
                y = None if y is None else torch.eye(3)[y]
                y = pyro.sample("y", dist.OneHotCategorical(logits=z), obs=y)
                return pyro.sample(
                    "x", dist.Normal(y.repeat_interleave(5, -1).unflatten(-1, SHAPE), 1.0).to_event(3), obs=x
                )

    model, x = Typed(), images(6)
    model.scale = nn.Parameter(torch.ones(()))  # whose device is asked for
    guide = Amortized(nn.Sequential(nn.Flatten(), nn.Linear(15, 4)), z=MeanField(3))
    settings = inferred(model, guide, x)
    assert torch.equal(settings["y"].argmax(1), settings["z"].argmax(1))
    # what a label says is not inferred
    guide.forward = lambda x, y=None: Amortized.forward(guide, x)
    y = torch.tensor([2, 1, 0, 0, 1, 2])
    assert torch.equal(inferred(model, guide, x, y)["y"].argmax(1), y)


def test_units_are_ranked_by_their_kl_and_coupled_ones_come_last():
    sites = Sites({"z": 3, "w": 2}, {"c": 4})
    units = ranked(sites, {"z": torch.tensor([0.1, 2.0, 0.5]), "w": torch.tensor([9.0]), "c": torch.tensor([1.0])})
    assert [str(unit) for unit in units] == ["z[1]", "z[2]", "z[0]", "w[0]", "w[1]"]
    assert [unit.nats for unit in units] == [2.0, 0.5, pytest.approx(0.1), None, None]
    assert [unit.label for unit in units[2:4]] == ["z[0]  0.10 nats", "w[0]"]
    # a site of one unit is not coupled with anything
    assert ranked(Sites({"z": 1}, {}), {"z": torch.tensor([0.25])}) == [Unit("z", 0, 0.25)]


def test_values_are_three_deviations_or_even_in_probability():
    assert wide().tolist() == [v / 2 for v in range(-6, 7)]
    found = quantiles(4)
    shares = [(1 + math.erf(v / math.sqrt(2))) / 2 for v in found.tolist()]
    assert shares == pytest.approx([0.05, 0.35, 0.65, 0.95])


def test_changes_are_made_to_a_copy():
    model, _ = joint_pair((3, 2))
    sites, settings = Sites.of(model), from_prior(model, 2, seed=0)
    before = {name: value.clone() for name, value in settings.items()}
    new = changed(sites, settings, [("z", 1, 2.5), ("c1", 2, 0.0)])
    assert new["z"][:, 1].tolist() == [2.5, 2.5]
    assert torch.equal(new["z"][:, 0], before["z"][:, 0])
    assert new["c1"].argmax(1).tolist() == [2, 2]
    assert all(torch.equal(settings[name], before[name]) for name in before)


def test_sites_and_units_that_are_not_there_are_named():
    sites = Sites.of(vae_pair()[0])
    with pytest.raises(LookupError, match="unknown site 'zz'; did you mean 'z'"):
        sites.check("zz")
    with pytest.raises(ValueError, match=r"site 'z' has the units 0 to 1, got 2"):
        sites.check("z", 2)
    with pytest.raises(ValueError, match=r"site 'c1' has the classes 0 to 2, got -1"):
        Sites.of(joint_pair((3, 2))[0]).check("c1", -1)


def trained(tmp_path, recipe, **knobs):
    """A run that was not trained: what the command opens, with made-up KLs."""
    settings, data, experiment = configure(recipe, hyperparameters=knobs, data="digits", device="cpu")
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


@pytest.fixture
def drawn(monkeypatch):
    """Sheets and films as they would be drawn, by file name: what is on them, and what they are called."""
    found = {}

    def keep(images, path, **labels):
        found[path.name] = images, labels

    for name in ("save_sheet", "save_sheets", "save_film"):
        monkeypatch.setattr(sheets, name, keep)
    monkeypatch.setattr(sheets, "save_table", lambda table, path, **labels: found.update({path.name: (table, labels)}))
    return found


def test_the_command_draws_what_the_paper_shows(tmp_path, drawn):
    run = trained(tmp_path, "joint-vae/digits")
    files = dict(traverse(run, tmp_path / "out", datapoint=7))
    model = run.model
    start = inferred(model, run.guide, run.data.test.batch(torch.arange(7, 8)).x)
    images, labels = drawn["units.png"]
    assert labels["row_labels"][:3] == ["z[7]  0.90 nats", "z[4]  0.80 nats", "z[1]  0.70 nats"]
    torch.testing.assert_close(
        images, torch.cat([sweep.sweep(model, start, "z", u, wide()) for u in (7, 4, 1, 8, 5, 2, 9, 6, 3, 0)])
    )
    images, labels = drawn["z-7.png"]  # a type in each row
    every, names = types(Sites.of(model), start)
    torch.testing.assert_close(images, sweep.sweep(model, every, "z", 7, wide()))
    assert [label.split("  ")[0] for label in labels["row_labels"]] == names
    frames, labels = drawn["traversal.gif"]  # in time the unit's value
    assert frames.shape[:3] == (25, 6, 10)
    torch.testing.assert_close(frames[[0, -1], 0], images[:, [0, -1]].transpose(0, 1))
    assert labels["titles"][0].startswith("In each row one unit at -3.00")
    images, _ = drawn["samples-by-type.png"]
    prior = from_prior(model, 120, seed=0)
    for row in (0, 9):
        z = prior["z"][12 * row : 12 * row + 12]
        torch.testing.assert_close(images[row], by_hand(model, z, torch.eye(10)[[row] * 12]))
    images, labels = drawn["edits.png"]
    x = run.data.test.batch(torch.arange(7, 13)).x
    codes = inferred(model, run.guide, x)
    torch.testing.assert_close(images[:, 0], x)
    torch.testing.assert_close(images[:, 1], by_hand(model, codes["z"], codes["c"]))
    up = codes["z"].clone()
    up[:, 7] = 2.0
    torch.testing.assert_close(images[:, 3], by_hand(model, up, codes["c"]))
    assert labels["column_labels"][:4] == ["x", "decoded", "z[7]\n-2", "z[7]\n+2"]
    per_cent, _ = drawn["confusion.png"]
    assert abs(per_cent.sum(0) - 100).max() <= 5  # each label's points are all in some type
    assert {path.name for path in files} == drawn.keys() | {"latents.png", "aggregate.png"}  # figures, and no sheets
    assert "of a row is one label" in files[tmp_path / "out" / "z-7.png"]


def test_a_unit_or_a_type_alone(tmp_path, drawn):
    run = trained(tmp_path, "joint-vae/mnist", network="mlp", types="2+3")
    out = tmp_path / "out"
    assert [path.name for path, _ in traverse(run, out, site="z", unit=3, prior=4, values="quantiles")] == [
        "units.png",
        "z-3.png",
        "traversal.gif",
    ]
    start = from_prior(run.model, 1, seed=4)
    images, labels = drawn["z-3.png"]
    torch.testing.assert_close(
        images, sweep.sweep(run.model, types(Sites.of(run.model), start)[0], "z", 3, quantiles())
    )
    assert labels["row_labels"][-1] == "c1=1 c2=2"
    assert [path.name for path, _ in traverse(run, out, site="c2")] == ["c2.png"]
    assert drawn["c2.png"][0].shape[:2] == (8, 3)


@pytest.mark.parametrize("coupled", [False, True])
def test_a_story_without_types_has_datapoints_for_rows(tmp_path, drawn, coupled):
    run = trained(tmp_path, "vae")
    if coupled:  # as a FullRank head leaves it: one KL for all units
        (run.folder / "kl.csv").write_text("site,unit,kl_nats\nz,0,3.5\n")
    files = [path.name for path, _ in traverse(run, tmp_path / "out", datapoint=295)]
    first = "0" if coupled else "7"
    assert files[:2] == ["units.png", f"z-{first}.png"]
    assert "samples-by-type.png" not in files
    labels = drawn[f"z-{first}.png"][1]
    assert labels["row_labels"][:3] == ["datapoint 295", "datapoint 296", "datapoint 0"]
    assert drawn["units.png"][1]["row_labels"][0] == ("z[0]" if coupled else "z[7]  0.90 nats")


def test_two_runs_next_to_each_other_from_the_same_datapoint(tmp_path, drawn):
    run, other = trained(tmp_path, "joint-vae/digits"), trained(tmp_path, "joint-vae/mnist", network="mlp", gamma_z=1.0)
    files = dict(traverse(run, tmp_path / "out", beside=other))
    left, right = drawn["beside.png"][0]
    start = inferred(other.model, other.guide, run.data.test.batch(torch.arange(1)).x)
    torch.testing.assert_close(right[0], sweep.sweep(other.model, start, "z", 7, wide())[0])
    assert left.shape == right.shape
    assert "gamma_z 1.0" in files[tmp_path / "out" / "beside.png"]


def test_what_cannot_be_traversed_is_refused_before_anything_is_drawn(tmp_path):
    run = trained(tmp_path, "joint-vae/digits")

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


def test_neighbours_judge_by_the_training_labels():
    x = torch.tensor([0.0, 0.1, 0.2, 1.0, 1.1, 5.0])[:, None, None, None]
    data = Dataset("line", x.numpy())
    y = torch.tensor([0, 0, 1, 1, 1, 2])
    judge = Judge(x.flatten(1), y)
    # of 0: three of its five nearest are of 1, two of 0; of 9 as well, with 2 once
    assert judge(torch.tensor([0.0, 9.0])[:, None, None, None]).tolist() == [1, 1]
    near = Judge(x.flatten(1)[[0, 3]], y[[0, 3]])
    rows = torch.tensor([[0.0, 0.1, 0.2, 0.9], [0.9, 2.0, 3.0, 4.0]])[:, :, None, None, None]
    assert near(rows).tolist() == [[0, 0, 0, 1], [1, 1, 1, 1]]  # the nearer of a tie
    assert near.steady(rows).tolist() == [0.75, 1.0]
    with pytest.raises(ValueError, match="'line' has no labels to judge by"):
        Judge.of(data)


def test_a_film_runs_there_and_back(tmp_path):
    frames = torch.linspace(0, 1, 4)[:, None, None, None, None, None].expand(4, 2, 3, 1, 8, 8)
    save_film(frames, tmp_path / "f.gif", titles=list("abcd"))
    brightness = []
    with Image.open(tmp_path / "f.gif") as film:
        for n in range(film.n_frames):
            film.seek(n)
            brightness.append(int(np.asarray(film.convert("L"))[film.height // 2, film.width // 2]))
    assert len(brightness) == 6
    assert brightness == [brightness[k] for k in (0, 1, 2, 3, 2, 1)]
    assert sorted(set(brightness)) == brightness[:4]


def test_the_command_line_opens_a_run_and_says_what_it_drew(tmp_path, monkeypatch, capsys):
    torch.set_default_dtype(torch.float32)
    folder = tmp_path / "r"

    def zoo(*arguments):
        monkeypatch.setattr(sys, "argv", ["zoo", *arguments])
        try:
            main()
        except SystemExit as stopped:
            return stopped.code, capsys.readouterr()

    zoo("train", "joint-vae/digits", "--steps", "200", "--out", str(folder))
    code, said = zoo("traverse", str(folder))
    assert code == 0
    assert "types against labels: accuracy" in said.out
    made = {path.name for path in (folder / "traverse").iterdir()}
    assert {"units.png", "c.png", "traversal.gif", "discovery.png", "discovery.csv", "edits.png"} <= made
    order = (folder / "traverse" / "discovery.csv").read_text().splitlines()
    assert order[0] == "unit,step,final"
    (folder / "weights.safetensors").unlink()
    code, said = zoo("traverse", str(folder))
    assert (code, "has not come to its end" in said.err) == (1, True)
    code, said = zoo("traverse", str(tmp_path / "nothing"))
    assert (code, "holds no run" in said.err) == (1, True)
