"""Codes for metrics, of every head: where its family has no mean, the mean of draws."""

from dataclasses import replace
from functools import partial

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from torch import nn

from guides import Amortized, Automatic, Concrete, Flow, FullRank, MeanField, MeanFieldStudentT, Mixture, PerDatapoint
from tests.lab.runs.test_traverse import finished
from tests.pairs import SHAPE, images, vae_pair
from zoo.lab.analysis import codes, encode_modes, importance, log_evidence, posterior_means, posteriors
from zoo.lab.data import Dataset
from zoo.lab.networks import MLPEncoder
from zoo.lab.runs.traverse import traversal_pictures
from zoo.lab.trials.sweep_plan import scores
from zoo.metrics import Encoded, clusters
from zoo.studies.guide_gap.recipes import swap


def guide_of(head):
    return Amortized(MLPEncoder(SHAPE, hidden=(8,)), z=head, c=Concrete(3, temperature=0.67))


@pytest.mark.parametrize("head", [MeanField(4), FullRank(4), Mixture(4, components=2)], ids=lambda h: type(h).__name__)
def test_a_family_with_a_mean_is_the_posterior(head):
    guide, x = guide_of(head), images(5)
    found, q = codes(guide, x), posteriors(guide, x)
    assert found.keys() == {"z", "c"}
    assert type(found["z"]) is type(q["z"])
    assert torch.equal(found["z"].mean, q["z"].mean)
    assert torch.equal(found["c"].probs, q["c"].probs)


@pytest.mark.parametrize("read", [codes, posteriors, posterior_means])
def test_data_of_another_type_than_the_guide_are_named(read):
    """Before: "mat1 and mat2 must have the same dtype", with a table of Pyro's."""
    guide, x = guide_of(MeanField(4)).double(), images(5)
    with pytest.raises(
        ValueError, match=r"^the dtypes differ \(x: torch.float32, the guide: torch.float64\); convert x"
    ):
        read(guide, x.float())
    with pytest.raises(ValueError, match=r"in half precision \(the guide: torch.bfloat16\)"):
        read(guide.bfloat16(), x.float())


def test_a_student_t_without_a_mean_has_its_median():
    # Cauchy's, df = 1: its head's raw numbers are the medians and the log scales.
    guide = Amortized(MLPEncoder(SHAPE, hidden=(8,)), z=MeanFieldStudentT(2, df=1.0))
    x = images()
    loc, _ = guide.raw(guide.trunk(x), {}, "z", {}).chunk(2, dim=-1)
    torch.testing.assert_close(posterior_means(guide, x)["z"], loc)
    np.testing.assert_allclose(Encoded.of(codes(guide, x)).codes, loc.detach())


def test_a_flow_is_the_mean_of_the_same_256_draws_each_time():
    guide, x = guide_of(Flow(4)), images(5)
    found = codes(guide, x)
    torch.manual_seed(3)
    assert torch.equal(found["z"], codes(guide, x)["z"])
    draws = posteriors(guide, x)["z"].sample((20_000,))
    # The means of 256 and of 20,000 draws differ by less than five standard errors of the first.
    assert ((found["z"] - draws.mean(0)).abs() < 5 * draws.std(0) / 256**0.5).all()


@pytest.mark.parametrize("encode", [codes, posterior_means, posteriors])
@pytest.mark.parametrize("family", [MeanField, Flow])
@pytest.mark.parametrize("given", [(), ("c",)])
def test_codes_neither_depend_on_the_random_state_nor_change_it(encode, family, given):
    # A head with given=("c",) is computed from a draw of c, and the mean of a flow from draws of the flow.
    concrete, head = Concrete(3, temperature=0.67), family(4, given=given)
    guide, x = Amortized(MLPEncoder(SHAPE, hidden=(8,)), c=concrete, z=head), images(5)

    def found(state, **options):
        torch.manual_seed(state)
        before, z = torch.get_rng_state(), encode(guide, x, **options)["z"]
        assert torch.equal(torch.get_rng_state(), before)
        if not isinstance(z, torch.Tensor):
            with torch.random.fork_rng():
                torch.manual_seed(0)
                return z.sample()
        return z

    assert torch.equal(found(1), found(2))
    if encode is posterior_means and (family is Flow or given):
        assert not torch.equal(found(1, seed=1), found(1, seed=2))


@pytest.mark.parametrize("make", [partial(PerDatapoint, 20, z=MeanField(2)), partial(Automatic, num_data=20)])
def test_a_guide_with_rows_is_asked_for_those_of_an_index(make):
    model = vae_pair()[0]
    guide = make() if make.func is PerDatapoint else make(model)
    x, index = images(20), torch.tensor([17, 3, 8])
    whole = posterior_means(guide, x)["z"]
    assert torch.equal(posterior_means(guide, x[index], index=index)["z"], whole[index])
    assert torch.equal(codes(guide, x[index], index=index)["z"].mean, whole[index])
    torch.testing.assert_close(encode_modes(model, guide, x[index], index=index)["z"], whole[index])
    with pytest.raises(ValueError, match="which of its 20 datapoints these 3 are: give index="):
        codes(guide, x[index])


def test_the_evidence_under_a_guide_with_rows_uses_those_of_the_index():
    # The rows are point-like, so that a datapoint's weight under another one's row differs by many nats.
    model, guide, x = vae_pair()[0], PerDatapoint(20, z=MeanField(2)), images(20)
    with torch.no_grad():
        guide.tables["z"][:, :2] = 3 * torch.randn(20, 2)
        guide.tables["z"][:, 2:] = -20.0
    index = torch.tensor([17, 3, 8])
    options = {"num_samples": 200}
    whole, part = importance(model, guide, x, **options), importance(model, guide, x[index], index=index, **options)
    torch.testing.assert_close(part.elbo, whole.elbo[index], rtol=0, atol=0.5)
    assert torch.equal(log_evidence(model, guide, x[index], index=index, **options), part.log_evidence)
    assert (importance(model, guide, x[index], index=index.flip(0), **options).elbo - part.elbo).abs().max() > 1


@pytest.mark.parametrize("make", [partial(PerDatapoint, 20, z=MeanField(2)), partial(Automatic, num_data=20)])
def test_means_may_be_changed_without_the_guide(make):
    # Of all rows in their order, the means were the parameters themselves.
    model = vae_pair()[0]
    guide, x = make() if make.func is PerDatapoint else make(model), images(20)
    found = posterior_means(guide, x)["z"].numpy()
    before = found.copy()
    found -= 5
    np.testing.assert_array_equal(posterior_means(guide, x)["z"], before)


def test_metrics_take_the_codes_of_a_flow():
    guide = guide_of(Flow(4))
    data = Dataset.from_arrays(images(40), np.arange(40) % 4)
    encoded = Encoded.of(partial(codes, guide), data)
    np.testing.assert_allclose(encoded.sites["z"].mean, codes(guide, data.batch(torch.arange(40)).x)["z"].numpy())
    assert encoded.sites["c"].categorical
    # The types do not depend on the head of z.
    types_alone = Encoded.of(lambda x: {"c": posteriors(guide, x)["c"]}, data)
    assert float(clusters(encoded).majority) == float(clusters(types_alone).majority)


def test_a_run_with_a_flow_is_measured_and_drawn_as_one_with_normals(tmp_path):
    runs = {}
    for head in ("mean-field", "flow"):
        (tmp_path / head).mkdir()
        run = finished(tmp_path / head, "joint-vae/digits")
        experiment = swap(run.experiment, head)
        experiment.guide.double().eval()
        runs[head] = replace(run, experiment=experiment)
    pictures = {head: traversal_pictures(run).keys() for head, run in runs.items()}
    assert pictures["flow"] == pictures["mean-field"] >= {"confusion.png"}
    measured = {head: scores(run) for head, run in runs.items()}
    assert measured["mean-field"].keys() == {"accuracy", "I(y; c)", "MIG, nats"}
    assert measured["flow"].keys() == {"accuracy"}  # the others need the density of each unit
    x = runs["flow"].data.test.batch(torch.arange(12)).x.double()
    assert posterior_means(runs["flow"].guide, x)["z"].shape == runs["flow"].codes(x)["z"].shape == (12, 10)


def test_a_second_plate_of_a_guide_is_no_latent_site():
    """Before: posteriors also had "words", the choice of that plate's members, as if it were inferred."""

    class InPlates(nn.Module):
        def forward(self, x, *, index=None):
            with pyro.plate("words", 3, dim=-2), pyro.plate("data", len(x), dim=-1):
                pyro.sample("z", dist.Normal(torch.zeros(3, len(x), 2), 1.0).to_event(1))

    assert posteriors(InPlates(), images(4)).keys() == {"z"}
