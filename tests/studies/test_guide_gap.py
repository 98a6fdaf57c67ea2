"""Guides next to each other: weights, gaps and pictures where all of them are known."""

import copy
import json
import math

import pytest
import torch
from torch import nn

from guides import Amortized, Concrete, Flow, FullRank, MeanField, PerDatapoint, PointMass, SemiAmortized
from tests.exact import NOISE, Pca, Z
from tests.pairs import SHAPE, images, vae_pair
from tests.type_pairs import HEADS, pair
from zoo.elbos import BetaTCVAE, Capacity, PlainELBO
from zoo.lab.analysis.importance_sampling import importance, log_evidence
from zoo.lab.data import Dataset
from zoo.lab.networks import ConvDecoder, MLPDecoder
from zoo.lab.runs import checkpoint
from zoo.lab.runs.finished import configure
from zoo.lab.runs.folder import new_folder, read_settings
from zoo.lab.runs.lock import locked
from zoo.lab.runs.train import Every, train
from zoo.lab.training.experiment import Experiment
from zoo.lab.training.fit import fit, prepare
from zoo.papers.recipes import RECIPES
from zoo.studies.guide_gap import comparison, posteriors
from zoo.studies.guide_gap.comparison import compare_guides, stored, table
from zoo.studies.guide_gap.measure import TestSamples, fitted_to, measure
from zoo.studies.guide_gap.posteriors import exact_log_density, log_density, plane_posteriors, two_units
from zoo.studies.guide_gap.recipes import fresh_loss, names, swap


def off_centre(pca, head):
    """A guide whose means are exact but for a shift of 0.3 in every unit, and whose covariance is the family's best."""
    guide = pca.at_the_optimum() if isinstance(head, FullRank) else pca.guide(head)
    with torch.no_grad():
        layer = guide.layers["z"][0]
        if isinstance(head, MeanField):
            layer.weight.zero_()
            layer.weight[:Z] = pca.to_mean @ pca.marginal.scale_tril
            layer.bias[Z:] = -pca.precision.diagonal().log()
            layer.bias[:Z] = 0
        layer.bias[:Z] += 0.3
    return guide


def missed_by_shift(pca):
    """KL between normals of one covariance: half the squared distance of the means under the posterior's precision."""
    shift = torch.full((Z,), 0.3)
    return 0.5 * (shift @ pca.precision @ shift).item()


def missed_by_independence(pca):
    P = pca.precision
    return 0.5 * (P.diagonal().log().sum() - torch.linalg.slogdet(P).logabsdet).item()


@pytest.mark.parametrize("at_once", [40, 90, 100_000])
def test_under_the_exact_posterior_every_weight_is_the_evidence_whatever_the_chunks(at_once):
    pca = Pca()
    weights = importance(pca.model, pca.at_the_optimum(), pca.x, num_samples=7, at_once=at_once)
    torch.testing.assert_close(weights.elbo, pca.log_evidence)
    torch.testing.assert_close(weights.log_evidence, pca.log_evidence)
    torch.testing.assert_close(weights.log_effective.exp(), torch.full((40,), 7.0))


def test_no_more_is_decoded_at_once_than_was_allowed():
    pca, seen = Pca(), []
    pca.model.decoder.register_forward_pre_hook(lambda module, args: seen.append(args[0][..., 0].numel()))
    importance(pca.model, pca.at_the_optimum(), pca.x, num_samples=25, at_once=130)
    assert max(seen) == 120  # 3 draws of 40
    assert sum(seen) == 25 * 40


def test_off_the_posterior_the_weights_are_those_of_a_loop():
    pca = Pca()
    guide = off_centre(pca, FullRank(Z))
    weights = importance(pca.model, guide, pca.x, num_samples=6, seed=4, at_once=240)
    torch.manual_seed(4)
    q = guide.posterior("z", guide.trunk(pca.x), {}).expand((6, 40))
    z = q.sample()
    log_w = torch.zeros(6, 40)
    for k in range(6):
        x_given_z = torch.distributions.Normal(z[k] @ pca.W.mT + pca.bias, NOISE)
        prior = torch.distributions.Normal(0.0, 1.0)
        log_w[k] = x_given_z.log_prob(pca.x).sum(-1) + prior.log_prob(z[k]).sum(-1) - q.log_prob(z)[k]
    torch.testing.assert_close(weights.elbo, log_w.mean(0))
    torch.testing.assert_close(weights.log_evidence, log_w.exp().mean(0).log())
    w = log_w.exp()
    torch.testing.assert_close(weights.log_effective.exp(), w.sum(0).square() / w.square().sum(0))


@pytest.mark.parametrize("head", [FullRank, MeanField])
def test_the_gap_is_split_into_what_the_family_and_what_the_network_lose(head):
    pca = Pca()
    guide = off_centre(pca, head(Z))
    data = Dataset.from_arrays(pca.x.numpy())
    on = TestSamples(images=40, samples=4_000, gap_images=40)
    measured = measure(pca.model.double(), guide, data, on, fit_steps=100)
    family = missed_by_independence(pca) if head is MeanField else 0.0
    network = missed_by_shift(pca)  # the shift costs this under any covariance: E_q[log p(x, z)] is quadratic
    assert measured.log_evidence == pytest.approx(pca.log_evidence.mean().item(), abs=0.03)
    assert measured.approximation == pytest.approx(family, abs=0.04)
    assert measured.amortisation == pytest.approx(network, abs=0.04)
    assert measured.elbo == pytest.approx(measured.gap_elbo)
    assert measured.kl["z"] > 0


def test_fitting_to_a_datapoint_changes_neither_pair_nor_the_random_state():
    pca = Pca()
    guide = off_centre(pca, FullRank(Z))
    before, state = copy.deepcopy(guide.state_dict()), torch.get_rng_state()
    batch = Dataset.from_arrays(pca.x.numpy()).batch(torch.arange(5))
    fitted_to(pca.model, guide, batch._replace(x=pca.x[:5]), steps=3)
    assert all(torch.equal(before[name], value) for name, value in guide.state_dict().items())
    assert all(p.requires_grad and p.grad is None for p in guide.layers.parameters())
    assert torch.equal(torch.get_rng_state(), state)


def test_a_refined_guide_is_refined_once_for_all_of_its_draws():
    model, amortized = vae_pair()
    calls = []

    def loss(guide, *args, **kwargs):
        calls.append(1)
        return PlainELBO().differentiable_loss(model, guide, *args, **kwargs)

    importance(model, SemiAmortized(amortized, loss, steps=3, lr=0.1), images(), num_samples=50, at_once=22)
    assert len(calls) == 3


def test_one_hot_types_weigh_by_their_mass():
    # c summed out by hand: log p(x) = log sum_c p(c) p(x | z, c) for z near a point, whose density is known.
    model, guide = pair(HEADS["exact"], temperature=None)
    x = images(4).round()
    estimate = log_evidence(model, guide, x, num_samples=4_000, at_once=8_000)
    torch.manual_seed(1)
    z = torch.randn(20_000, 1, 2)
    joint = []
    for k in range(3):
        logits = model.decoder(z, torch.eye(3)[k].expand(20_000, 1, 3))
        log_p = -nn.functional.binary_cross_entropy_with_logits(
            logits.expand(20_000, 4, *SHAPE), x.expand(20_000, 4, *SHAPE), reduction="none"
        ).flatten(2)
        joint.append(log_p.sum(-1) - math.log(3))
    by_hand = torch.stack(joint).logsumexp(0).logsumexp(0) - math.log(20_000)
    torch.testing.assert_close(estimate, by_hand, atol=0.1, rtol=0)


def test_weights_that_mean_nothing_are_refused():
    model, guide = pair(HEADS["straight-through"])
    with pytest.raises(ValueError, match=r"site 'c': a weight would mix a mass with a density.*temperature=None"):
        importance(model, guide, images(), num_samples=2)
    with pytest.raises(ValueError, match=r"site 'z': a point mass has no density for a weight"):
        importance(*vae_pair(head=PointMass(2)), images(), num_samples=2)
    with pytest.raises(ValueError, match="num_samples must be at least 1, got 0"):
        importance(*vae_pair(), images(), num_samples=0)


def test_the_size_of_the_measurement_is_the_networks():
    data = Dataset.from_arrays(torch.rand(700, 1, 28, 28).numpy())
    dense, conv = MLPDecoder(2, (1, 28, 28), hidden=(4,)), ConvDecoder(2, (1, 28, 28), hidden=8)
    assert TestSamples.of(dense, data, None, None, None) == TestSamples(700, 5_000, 200)
    assert TestSamples.of(conv, data, None, None, None) == TestSamples(500, 1_000, 200)
    assert TestSamples.of(conv, data, 50, 10, None) == TestSamples(50, 10, 50)
    with pytest.raises(ValueError, match="--images 701: the test set has 700"):
        TestSamples.of(conv, data, 701, None, None)
    with pytest.raises(ValueError, match="--samples must be at least 1, got 0"):
        TestSamples.of(conv, data, None, 0, None)


# Swapping.


def experiment(elbo=None, **heads):
    trunk = nn.Sequential(nn.Flatten(), nn.Linear(15, 7))
    guide = Amortized(trunk, num_data=70, **(heads or {"z": MeanField(2, hidden=(5,))}))
    return Experiment(vae_pair()[0], guide, elbo or PlainELBO(), steps=3)


@pytest.mark.parametrize("name", names())
def test_a_swap_changes_the_real_sites_heads_and_nothing_else(name):
    before = experiment(c=Concrete(3, temperature=0.5), z=MeanField(2, given=("c",), hidden=(5,)))
    after = swap(before, name)
    guide = after.guide.amortized if name == "semi-amortised" else after.guide
    assert after.model is before.model
    assert guide.trunk is before.guide.trunk
    assert guide.heads["c"] is before.guide.heads["c"]
    assert (guide.heads["z"].given, guide.heads["z"].hidden) == (("c",), (5,))
    sampled = {"flow", "coupling", "mixture", "student-t"}
    assert after.elbo.kl == ({"z": "sampled"} if name in sampled else "closed")
    assert before.elbo.kl == "closed"


def test_every_guide_trains_the_pair_of_a_recipe_by_its_own_objective():
    x = images(70)
    for name in names():
        chosen = swap(experiment(Capacity(gamma=3.0, capacity=1.0)), name)
        batch = Dataset.from_arrays(x.numpy()).batch(torch.arange(9))._replace(x=x[:9])
        assert prepare(chosen.model, chosen.guide, chosen.elbo, batch, "cpu")


def test_what_does_not_fit_says_so_before_the_first_step():
    with pytest.raises(LookupError, match=r"mean-feild.*mean-field"):
        swap(experiment(), "mean-feild")
    with pytest.raises(TypeError, match="PerDatapoint; heads can be swapped only in an Amortized guide"):
        swap(Experiment(vae_pair()[0], PerDatapoint(70, z=MeanField(2)), PlainELBO(), steps=1), "flow")
    with pytest.raises(ValueError, match=r"no real site to swap the head of: it has \['c'\]"):
        swap(experiment(c=Concrete(3, temperature=0.5)), "flow")
    chosen = swap(experiment(BetaTCVAE(beta=2.0, num_data=70)), "flow")
    batch = Dataset.from_arrays(images(9).numpy()).batch(torch.arange(9))._replace(x=images(9))
    with pytest.raises(ValueError, match=r"site 'z': NormalFlow has no marginals per unit.*MeanField"):
        prepare(chosen.model, chosen.guide, chosen.elbo, batch, "cpu")


def test_the_loss_of_the_few_steps_is_the_objectives_and_its_schedule_is_live():
    model, guide = vae_pair()
    elbo, x = Capacity(gamma=3.0, capacity=0.0), images()
    losses = []
    for capacity in (0.0, 2.0):
        elbo.capacity = capacity
        torch.manual_seed(0)
        losses.append(fresh_loss(elbo, model, guide, x).item())
        torch.manual_seed(0)
        assert losses[-1] == pytest.approx(copy.deepcopy(elbo).loss(model, guide, x))
    assert losses[0] != losses[1]
    with pytest.raises(RuntimeError, match="no pass to report on"):
        elbo.report()


# Pictures.


def test_the_grid_holds_the_exact_posterior():
    pca = Pca()
    side = torch.linspace(-6, 6, 301)
    points = torch.cartesian_prod(side, side)
    exact = exact_log_density(pca.model, "z", pca.x[:1], points)
    by_hand = torch.distributions.MultivariateNormal(pca.mean[0], pca.cov).log_prob(points) + 2 * math.log(12 / 300)
    near = by_hand > -20
    torch.testing.assert_close(exact[near], by_hand[near], atol=1e-6, rtol=0)
    q = log_density(pca.at_the_optimum(), "z", pca.x[:1], points) + 2 * math.log(12 / 300)
    torch.testing.assert_close(q[near], by_hand[near], atol=1e-6, rtol=0)


def test_the_picture_is_there_for_one_site_of_two_units_alone():
    torch.set_default_dtype(torch.float32)
    data = Dataset.from_arrays(images(6).numpy())
    model, guide = vae_pair()
    pairs = {"mean-field": (model, guide), "flow": (model, vae_pair(head=Flow(2))[1])}
    columns = plane_posteriors(pairs, data).axes
    assert [axes.get_title("left") for axes in columns[:2]] == list(pairs)
    assert all(len(axes.images) == 1 for axes in columns)
    three = vae_pair(z_dim=3, head=MeanField(3))
    with pytest.raises(ValueError, match="posteriors can be drawn only"):
        plane_posteriors({"mean-field": three}, data)


@pytest.mark.parametrize("size", [1, 3])
def test_a_small_test_set_has_a_row_for_each_datapoint(size):
    torch.set_default_dtype(torch.float32)
    data = Dataset.from_arrays(images(size).numpy())
    assert len(plane_posteriors({"mean-field": vae_pair()}, data).axes) == size
    assert two_units(vae_pair(z_dim=3, head=MeanField(3))[0], data) is None


@pytest.mark.parametrize(
    ("recipe", "guides", "message"),
    [
        ("vae", ["mean-field", "mean-feild"], r"mean-feild.*mean-field"),
        ("dip-vae/digits", ["mean-field", "flow"], r"site 'z': NormalFlow has no mean in closed form; use a head"),
        ("vae", ["mean-field"], r"--images 9000: the test set has"),
    ],
)
def test_nothing_is_trained_before_all_of_it_fits(recipe, guides, message, tmp_path):
    torch.set_default_dtype(torch.float32)
    with pytest.raises((ValueError, LookupError), match=message):
        compare_guides(
            RECIPES[recipe], guides, tmp_path, images=9_000 if len(guides) == 1 else 5, steps=5, device="cpu"
        )
    assert not list(tmp_path.iterdir())


@pytest.fixture
def few_steps(monkeypatch, _quick_pictures, _without_pictures):
    """Of the guide that is fitted to each datapoint, and of those that are timed; and coarse grids of posteriors.

    The fit and the grids are tested above. A run's own pictures are left out: no test here looks at them.
    """
    monkeypatch.setattr(posteriors, "WIDE_CELLS", 40)
    monkeypatch.setattr(posteriors, "CELLS", 20)
    monkeypatch.setitem(measure.__wrapped__.__kwdefaults__, "fit_steps", 3)
    monkeypatch.setattr("zoo.studies.guide_gap.measure.WARM_UP", 1)
    monkeypatch.setattr("zoo.studies.guide_gap.measure.TIMED", 3)
    torch.set_default_dtype(torch.float32)


SMALL = {"images": 6, "samples": 20, "gap_images": 4, "steps": 12, "device": "cpu"}


def columns(text: str) -> list[list[str]]:
    lines = [line for line in text.splitlines() if line.startswith("|") and not line.startswith("|:")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_a_comparison_from_a_recipe_to_its_table(few_steps, tmp_path):
    out = tmp_path / "compared"
    done = compare_guides(RECIPES["vae"], ["mean-field", "full-rank"], out, hyperparameters={"z_dim": 2}, **SMALL)
    assert list(done.failures) == []
    assert json.loads((out / "compare.json").read_text()) == done.result
    assert (out / "compare.md").read_text() == table(done.result) == done._repr_markdown_()
    assert (out / "posteriors.png").is_file()
    for row in done.result["guides"].values():
        assert row["approximation"] + row["amortisation"] == pytest.approx(row["gap_evidence"] - row["gap_elbo"])
        assert row["log_evidence"] > row["elbo"]
        assert row["kl"].keys() == {"z"}
        assert row["milliseconds"] > 0
    # Two units more than their log variances: one correlation, from 400 features and a bias.
    counts = [row["num_parameters"] for row in done.result["guides"].values()]
    assert counts[1] - counts[0] == 401
    written = table(done.result)
    assert "12 steps of 64, seed 0, eager, z_dim = 2; nats per datapoint on 6 test datapoints" in written
    assert [row[0] for row in columns(written)] == ["guide", "mean-field", "full-rank"]
    for guide in ("mean-field", "full-rank"):  # each is a run like any other, under a name that says whose guide it has
        settings = read_settings(out / guide)[0]
        assert (settings.recipe, settings.steps) == (f"vae under {guide}", 12)


def test_the_recipes_own_guide_trains_as_it_does_alone(few_steps, tmp_path):
    # Swapping mean-field heads for mean-field heads, in a trial, changes no digit of the training.
    vae = RECIPES["vae"]
    options = {"steps": 8, "device": "cpu"}
    compare_guides(vae, ["mean-field"], tmp_path / "out", images=3, samples=5, gap_images=1, **options)
    settings, split, experiment = configure(vae, **options)
    train(swap(experiment, "mean-field"), split, settings, new_folder(tmp_path / "alone"), command="", progress=False)
    curves = [(folder / "terms.csv").read_bytes() for folder in (tmp_path / "out/mean-field", tmp_path / "alone")]
    assert curves[0] == curves[1]


def test_guides_that_are_finished_are_kept_and_other_settings_are_refused(few_steps, tmp_path):

    def run(*guides, **other):
        done = compare_guides(RECIPES["vae"], guides, tmp_path, **{**SMALL, "steps": 3, **other})
        return done.result["guides"], {path: path.stat().st_mtime_ns for path in tmp_path.rglob("weights.safetensors")}

    first, trained = run("mean-field")
    both, kept = run("full-rank", "mean-field")
    assert list(both) == ["full-rank", "mean-field"]
    assert both["mean-field"] == first["mean-field"]
    assert trained.items() <= kept.items()  # not trained again
    measured_again, kept = run("mean-field", samples=30)  # other samples: the training is kept, the numbers are not
    assert trained.items() <= kept.items()
    assert measured_again["mean-field"]["log_evidence"] != first["mean-field"]["log_evidence"]
    assert measured_again["mean-field"]["num_parameters"] == first["mean-field"]["num_parameters"]
    with pytest.raises(
        ValueError, match=r"mean-field holds a finished run with other settings \(steps is 3 there, 4 h"
    ):
        run("mean-field", steps=4, samples=30)
    before = (tmp_path / "mean-field/quantities.json").read_bytes()
    with pytest.raises(ValueError, match=r"other settings \(seed is 0 there, 3 here\): remove it, or"):
        run("mean-field", seed=3, samples=40)  # before: the numbers of seed 0, in a table that said seed 3
    with pytest.raises(
        ValueError, match=r"other settings \(precision is 'float32' there, 'bf16' here\): remove it, or n"
    ):
        run("mean-field", precision="bf16", samples=40)
    with pytest.raises(ValueError, match=r"--scheduler tcp://127.0.0.1:9 can only be given with --backend dask"):
        run("mean-field", samples=40, scheduler="tcp://127.0.0.1:9")
    with locked(tmp_path), pytest.raises(BlockingIOError, match="is in use by process"):
        run("mean-field", samples=40)
    assert (tmp_path / "mean-field/quantities.json").read_bytes() == before


def test_the_table_says_which_runs_were_compiled(few_steps, tmp_path, monkeypatch):
    """Before: it said so of all, and of their times, by the last command; a finished run keeps what it began with."""
    eager = "zoo.lab.training.compiled.Compiled.__call__"
    monkeypatch.setattr(eager, lambda self, *args, **kwargs: self.eager(*args, **kwargs))
    options = {**SMALL, "steps": 3}
    first = compare_guides(RECIPES["vae"], ["mean-field"], tmp_path, **options)
    assert "seed 0, eager; nats" in table(first.result)
    again = compare_guides(RECIPES["vae"], ["mean-field"], tmp_path, **options, compile=True)
    assert again.result["guides"] == first.result["guides"]
    assert "seed 0, eager; nats" in table(again.result)
    both = compare_guides(RECIPES["vae"], ["mean-field", "full-rank"], tmp_path, **options, compile=True)
    assert "seed 0, eager except for full-rank; nats" in table(both.result)
    other = compare_guides(RECIPES["vae"], ["full-rank"], tmp_path, **options)
    assert "seed 0, compiled; nats" in table(other.result)


def test_guides_are_compared_in_the_precision_that_was_asked_for(few_steps, tmp_path, monkeypatch):
    asked = []

    def spy(*args, precision="float32", **options):
        asked.append(precision)
        return fit(*args, precision=precision, **options)

    monkeypatch.setattr("zoo.studies.guide_gap.measure.fit", spy)  # which times a step
    done = compare_guides(RECIPES["vae"], ["full-rank"], tmp_path, precision="bf16", **{**SMALL, "steps": 3})
    assert asked == ["bf16"]
    assert read_settings(tmp_path / "full-rank")[0].precision == done.result["settings"]["precision"] == "bf16"
    assert "3 steps of 64, seed 0, eager, in precision bf16; nats" in table(done.result)


def test_a_guide_that_was_stopped_on_the_way_resumes(few_steps, tmp_path, monkeypatch):
    options = {**SMALL, "steps": 20, "every": Every(5, in_seconds=False)}
    whole = compare_guides(RECIPES["vae"], ["full-rank"], tmp_path / "whole", **options).result

    class Killed(BaseException):
        """As a kill: nothing on the way may catch it."""

    save, saved = checkpoint.save, []

    def save_twice(*args, **kwargs):
        save(*args, **kwargs)
        saved.append(args)
        if len(saved) == 2:
            raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(checkpoint, "save", save_twice)
        with pytest.raises(Killed):
            compare_guides(RECIPES["vae"], ["full-rank"], tmp_path / "killed", **options)
    folder = tmp_path / "killed" / "full-rank"
    assert not (folder / "weights.safetensors").exists()
    assert len((folder / "terms.csv").read_text().splitlines()) == 1 + 10
    resumed = compare_guides(RECIPES["vae"], ["full-rank"], tmp_path / "killed", **options).result
    assert (folder / "terms.csv").read_bytes() == (tmp_path / "whole/full-rank/terms.csv").read_bytes()
    rows = [{**result["guides"]["full-rank"], "milliseconds": 0} for result in (whole, resumed)]
    assert rows[0] == rows[1]


@pytest.mark.parametrize("name", sorted(path.name for path in comparison.RESULTS.iterdir()))
def test_comparisons_that_are_kept_are_readable_and_their_tables_current(name):
    kept = stored(name)
    assert (comparison.RESULTS / name / "compare.md").read_text(encoding="utf-8") == table(kept.result)
    assert [row[0] for row in columns(table(kept.result))[1:]] == list(kept.result["guides"])


def test_an_unknown_comparison_names_those_that_there_are():
    with pytest.raises(LookupError, match=r"unknown comparison 'vae-minst'; did you mean 'vae-mnist'\?"):
        stored("vae-minst")
