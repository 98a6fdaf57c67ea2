"""Parameters: every pair trains, however many there are and wherever they came from."""

import copy
import pickle

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro import poutine
from pyro.infer import MCMC, NUTS, SVI, Trace_ELBO
from pyro.infer.inspect import get_dependencies
from torch import nn

from guides import MeanField
from tests.pairs import images, vae_pair
from zoo import (
    VAE,
    ConditionalVAE,
    JointVAE,
    NaturalClustering,
    ProdLDA,
    SparseIndicatorVAE,
    SparseVAE,
    StudentTVAE,
)
from zoo.elbos import PlainELBO
from zoo.program import data_plate


def _fall(model, guide, loss, x, steps=20):
    """How far the loss falls under plain SVI."""
    svi = SVI(model, guide, pyro.optim.Adam({"lr": 3e-2}), loss=loss)
    losses = [svi.step(x) for _ in range(steps)]
    return (sum(losses[:5]) - sum(losses[-5:])) / 5


@pytest.mark.parametrize("loss", [PlainELBO(), Trace_ELBO()], ids=["ours", "pyro's"])
def test_fresh_pairs_copies_and_unpickled_ones_all_train_in_one_process(loss):
    x = images()
    unit = 1 if isinstance(loss, PlainELBO) else len(x)
    first = vae_pair()
    untrained = copy.deepcopy(first)
    assert _fall(*first, loss, x) > 1.0 * unit
    second = vae_pair()
    assert _fall(*second, loss, x) > 1.0 * unit
    # A copy made before training, and one that went through pickle after training others, start from their own values.
    assert _fall(*untrained, loss, x) > 1.0 * unit
    fresh = vae_pair()
    through_pickle = pickle.loads(pickle.dumps(fresh))
    assert _fall(*through_pickle, loss, x) > 1.0 * unit


def test_a_pair_can_be_pickled_after_svi_and_then_trains_on():
    x = images()
    pair = vae_pair()
    _fall(*pair, PlainELBO(), x, steps=5)
    before = pickle.loads(pickle.dumps(pair))
    torch.testing.assert_close(before[0].state_dict(), pair[0].state_dict())
    assert _fall(*before, PlainELBO(), x) > 0.5
    # The original did not move with it.
    assert not torch.equal(before[0].decoder[0].weight, pair[0].decoder[0].weight)


def test_training_one_pair_leaves_another_alone():
    x = images()
    one, other = vae_pair(), vae_pair()
    frozen = copy.deepcopy(other[0].state_dict())
    _fall(*one, PlainELBO(), x, steps=5)
    torch.testing.assert_close(other[0].state_dict(), frozen, rtol=0, atol=0)


def test_the_optimiser_sees_each_parameter_under_its_own_name():
    # pyro.optim hands per-parameter arguments out by name: the instance's, then the name within the module.
    names = set()
    svi = SVI(*vae_pair(), pyro.optim.Adam(lambda name: names.add(name) or {"lr": 1e-3}), loss=PlainELBO())
    svi.step(images())
    assert len(names) == 4 + 4
    within = {tuple(name.split(".", 1)) for name in names}
    assert {name for _, name in within} >= {"decoder.0.weight", "decoder.2.bias", "trunk.1.weight", "layers.z.0.bias"}
    assert {owner.split("-")[0] for owner, _ in within} == {"VAE", "Amortized"}


def test_a_parameter_that_pyro_would_copy_is_refused():
    model, guide = vae_pair()
    model.decoder[0].weight = nn.Parameter(torch.randn(2, 7).T)
    with pytest.raises(ValueError, match=r"'decoder.0.weight' is not contiguous"):
        SVI(model, guide, pyro.optim.Adam({}), loss=PlainELBO()).step(images())


@pytest.mark.parametrize(
    ("x", "index", "num_data", "message"),
    [
        (torch.zeros(3, 1), torch.arange(3), None, "give num_data="),
        (torch.zeros(3, 1), torch.arange(4), 9, r"shape \(4,\) for 3 datapoints"),
        (None, torch.zeros(2, 2), 9, r"shape \(2, 2\)"),
        (torch.zeros(3, 1), torch.arange(3), 2, "batch of 3 out of num_data = 2"),
        (torch.zeros(3, 1), torch.tensor([0, 1499, 7]), 100, r"from 0 to num_data - 1 = 99, got 1499: num_data is"),
        (torch.zeros(3, 1), torch.tensor([0, -1, 7]), 100, r"got -1"),
        (torch.zeros(3, 1), torch.rand(3), 100, r"index must hold integers, got torch.float"),
    ],
)
def test_the_data_plate_refuses_an_index_that_does_not_fit(x, index, num_data, message):
    with pytest.raises(ValueError, match=message):
        data_plate(x, index, num_data)


# Pyro's own tools.


def test_a_story_that_is_conditioned_on_images_draws_a_code_for_each():
    model, _ = vae_pair()
    x = images(5)
    conditioned = poutine.condition(model, data={"x": x})
    trace = poutine.trace(conditioned).get_trace()
    assert trace.nodes["z"]["value"].shape == (5, 2)
    torch.testing.assert_close(trace.nodes["x"]["value"], x)
    told = poutine.trace(model).get_trace(x)  # the same density as of the story that is handed its images
    again = poutine.trace(poutine.replay(conditioned, trace=told)).get_trace()
    torch.testing.assert_close(again.log_prob_sum(), told.log_prob_sum())
    trace = poutine.trace(poutine.condition(model, data=told)).get_trace()
    torch.testing.assert_close(trace.nodes["z"]["value"], told.nodes["z"]["value"])


@pytest.mark.parametrize(
    ("x", "message"), [(torch.zeros(5, 3, 5), "expected \\(B, 1, 3, 5\\)"), (torch.full((5, 1, 3, 5), 2.0), "outside")]
)
def test_what_a_story_is_conditioned_on_is_looked_at_as_its_data_are(x, message):
    with pytest.raises(ValueError, match=message):
        poutine.condition(vae_pair()[0], data={"x": x})()


def test_nuts_samples_a_code_for_each_image():
    model, _ = vae_pair()
    mcmc = MCMC(
        NUTS(poutine.condition(model, data={"x": images(5)})), num_samples=2, warmup_steps=1, disable_progbar=True
    )
    mcmc.run()
    assert mcmc.get_samples()["z"].shape == (2, 5, 2)


def test_a_pair_shows_its_dependencies_to_pyro():
    for program, args in zip(vae_pair(), [(images(5),)] * 2, strict=True):
        dependencies = get_dependencies(program, model_args=args)
        assert "z" in dependencies["prior_dependencies"]
    assert set(get_dependencies(vae_pair()[0], model_args=(images(5),))["prior_dependencies"]["x"]) == {"x", "z"}


@pytest.mark.parametrize("same_pair", [True, False])
def test_a_param_store_that_was_loaded_is_refused_by_name(same_pair, tmp_path):
    # SVI would train what was loaded, and the module stay as it is.
    store = pyro.get_param_store()
    x = images()
    pair = vae_pair()
    with store.scope():
        _fall(*pair, PlainELBO(), x, steps=2)
        store.save(tmp_path / "store")
        store.load(tmp_path / "store")
        svi = SVI(*(pair if same_pair else vae_pair()), pyro.optim.Adam({"lr": 1e-2}), loss=PlainELBO())
        with pytest.raises(ValueError, match=r"holds a tensor under '(VAE|Amortized)-\d+\$\$\$.*clear_param"):
            svi.step(x)
        pyro.clear_param_store()
        assert _fall(*pair, PlainELBO(), x) > 0.5


def test_errors_of_the_zoos_own_are_one_line_under_a_trace():
    model, guide = vae_pair()
    for program, args, kwargs in (
        (model, (torch.full((3, 1, 3, 5), 2.0),), {}),
        (model, (torch.zeros(3, 3, 5),), {}),
        (guide, (images(3),), {"index": torch.tensor([0, 1, 700])}),
    ):
        with pytest.raises(ValueError, match=r"\A[^\n]*\Z"):
            poutine.trace(program).get_trace(*args, **kwargs)
    other = vae_pair(z_dim=3, head=MeanField(3))[1]
    with pytest.raises(ValueError, match=r"\Asite 'z': the model's event has shape[^\n]*\Z"):
        PlainELBO().loss(model, other, images(3))


# Sizes and likelihoods.


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: VAE(nn.Identity(), z_dim=0), "z_dim must be a whole number of at least 1, got 0"),
        (lambda: VAE(nn.Identity(), z_dim=10.0), r"z_dim must be .*, got 10\.0"),
        (lambda: VAE(nn.Identity(), z_dim=True), r"z_dim must be .*, got True"),
        (lambda: VAE(nn.Identity(), z_dim="2"), r"z_dim must be .*, got '2'"),
        (lambda: JointVAE(nn.Identity(), z_dim=0, c_dims=[10], temperature=0.67), "z_dim must be .*, got 0"),
        (
            lambda: JointVAE(nn.Identity(), z_dim=2, c_dims=[10.0], temperature=0.67),
            r"c_dims must be a sequence, each a whole number, got \[10\.0\]",
        ),
        (lambda: ConditionalVAE(nn.Identity(), classes=10.0, z_dim=2), r"classes must be .*, got 10\.0"),
        (lambda: NaturalClustering(nn.Identity(), classes=3, c_dim=1.0, s_dim=1), r"c_dim must be .*, got 1\.0"),
        (lambda: StudentTVAE(nn.Identity(), z_dim=0, nu=3.0), "z_dim must be .*, got 0"),
        (lambda: SparseVAE(nn.Identity(), z_dim=0, gamma=0.5, sigma_0=0.1), "z_dim must be .*, got 0"),
        (lambda: SparseIndicatorVAE(nn.Identity(), z_dim=2.0, gamma=0.5, sigma_0=0.1), r"z_dim must be .*, got 2\.0"),
        (
            lambda: ProdLDA(nn.Identity(), groups=[25.0]),
            r"groups must be a sequence, each a whole number, got \[25\.0\]",
        ),
        (lambda: MeanField(10.0), r"MeanField: the size of a site must be .*, got 10\.0"),
        (lambda: data_plate(None, torch.arange(2), 70.0), r"num_data must be .*, got 70\.0"),
    ],
)
def test_sizes_are_whole_numbers(build, message):
    with pytest.raises(ValueError, match=message):
        build()


def test_any_integer_type_is_a_size():
    assert VAE(nn.Identity(), z_dim=np.int64(3)).loc.shape == (3,)


def test_grey_pixels_under_a_stock_bernoulli_are_told_what_to_take():
    model, _ = vae_pair(likelihood=lambda logits: dist.Bernoulli(logits=logits))
    with pytest.raises(ValueError, match=r"site 'x': values in .* for grey pixels use zoo\.likelihoods\.bernoulli"):
        model(images(5))
    assert model(images(5).round()).shape == (5, 1, 3, 5)


def test_a_batch_without_datapoints_is_refused():
    model, guide = vae_pair()
    with pytest.raises(ValueError, match=r"the batch has no datapoints: got data of shape \[0, 1, 3, 5\]"):
        PlainELBO().loss(model, guide, images(5)[:0])
