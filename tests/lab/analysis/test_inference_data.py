"""What ArviZ is handed: on a linear pair whose posterior, evidence and predictions have closed forms."""

import math
import sys
from functools import cache, partial
from typing import Any

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from scipy import sparse
from torch import Tensor, nn

from guides import Amortized, MeanField, PerDatapoint
from tests.pairs import images, vae_pair
from zoo import VAE
from zoo.elbos import BetaVAE
from zoo.lab.analysis.inference_data import to_inference_data
from zoo.lab.data import Batch, Dataset, Split
from zoo.lab.errors import import_optional
from zoo.likelihoods import normal
from zoo.papers.recipes import RECIPES
from zoo.studies.compatibility import recipes as small

NOISE = 0.5
W = torch.tensor([[1.0, 0.4], [0.0, 1.5], [-0.7, 0.2]], dtype=torch.float64)  # 3 numbers from 2 units
X = torch.tensor([[0.3, -1.0, 0.2], [2.0, 0.5, -0.4], [-0.1, 0.1, 0.9], [1.0, 1.0, 1.0]], dtype=torch.float64)
DRAWS = 500


@pytest.fixture(scope="module")
def az() -> Any:
    """ArviZ, imported by the tests that need it and not by every worker that finds them."""
    return import_optional("arviz", "the tests")


class Exact(nn.Module):
    """p(z | x) of the linear story: Normal(S W' x / s^2, S) with S = (I + W'W / s^2)^-1."""

    def forward(self, x: Tensor, *, index: Tensor | None = None) -> Tensor:
        covariance = torch.linalg.inv(torch.eye(2) + W.T @ W / NOISE**2)
        with pyro.plate("data", len(x)):
            return pyro.sample("z", dist.MultivariateNormal(x @ W @ covariance / NOISE**2, covariance))


@pytest.fixture
def linear():
    return of_the_linear_pair()


@cache
def of_the_linear_pair():
    """Its draws as ArviZ has them; nobody changes them."""
    decoder = nn.Linear(2, 3, bias=False)
    with torch.no_grad():
        decoder.weight.copy_(W)
    model = VAE(decoder, z_dim=2, likelihood=partial(normal, scale=NOISE))
    data = Dataset.from_arrays(X, np.array([0, 1, 1, 0]), name="linear", classes=("a", "b"))
    return to_inference_data(model, Exact(), data, elbo=BetaVAE(beta=2.0), recipe="linear", num=4, draws=DRAWS)


def near(sampled: np.ndarray, exact: np.ndarray, error: np.ndarray | float) -> None:
    """Within five standard errors of a mean over the draws."""
    assert (np.abs(sampled - exact) < 5 * error / math.sqrt(DRAWS)).all()


def test_posterior_draws_have_the_closed_forms_mean_and_deviation(linear):
    w = W.numpy()
    covariance = np.linalg.inv(np.eye(2) + w.T @ w / NOISE**2)
    deviation = np.sqrt(np.diag(covariance))
    z = linear["posterior"]["z"]
    near(z.mean(("chain", "draw")).values, X.numpy() @ w @ covariance / NOISE**2, deviation)
    near(z.std(("chain", "draw")).values, deviation, deviation)  # its error is sd / sqrt(2 S), less than that


def test_log_likelihood_prior_and_posterior_give_the_evidence_at_every_draw(linear):
    # Under the exact posterior log p(x | z) + log p(z) - log p(z | x) is log p(x) = log Normal(x; 0, WW' + s^2 I),
    # whatever the draw: the groups hold the same draws in the same order.
    z = torch.from_numpy(linear["posterior"]["z"].values[0])  # [S, N, 2]
    w = W
    covariance = torch.linalg.inv(torch.eye(2) + w.T @ w / NOISE**2)
    q = dist.MultivariateNormal(X @ w @ covariance / NOISE**2, covariance)
    log_p = torch.from_numpy(linear["log_likelihood"]["x"].values[0])
    square = ((X - z @ w.T) / NOISE).square().sum(-1)
    torch.testing.assert_close(log_p, -0.5 * square - 3 * math.log(NOISE * math.sqrt(2 * math.pi)))
    evidence = log_p + dist.Normal(0.0, 1.0).log_prob(z).sum(-1) - q.log_prob(z)
    exact = dist.MultivariateNormal(torch.zeros(3), w @ w.T + NOISE**2 * torch.eye(3)).log_prob(X)
    torch.testing.assert_close(evidence, exact.expand_as(evidence))


def test_predictions_are_new_draws_and_not_the_data(linear):
    # x new = W z + s e: mean W E[z | x], variance W S W' + s^2 under the posterior, W W' + s^2 under the prior.
    w = W.numpy()
    covariance = np.linalg.inv(np.eye(2) + w.T @ w / NOISE**2)
    predicted = linear["posterior_predictive"]["x"]
    assert not (predicted.values == X.numpy()).any()
    deviation = np.sqrt(np.diag(w @ covariance @ w.T) + NOISE**2)
    near(predicted.mean(("chain", "draw")).values, X.numpy() @ w @ covariance @ w.T / NOISE**2, deviation)
    near(predicted.std(("chain", "draw")).values, deviation, deviation)
    prior = linear["prior_predictive"]["x"]
    deviation = np.sqrt(np.diag(w @ w.T) + NOISE**2)
    near(prior.mean(("chain", "draw")).values, np.zeros(3), deviation)
    near(prior.std(("chain", "draw")).values, deviation, deviation)
    near(linear["prior"]["z"].mean(("chain", "draw")).values, np.zeros(2), 1.0)
    np.testing.assert_array_equal(linear["observed_data"]["x"].values, X.numpy())


def test_dimensions_are_named_and_have_their_coordinates(linear):
    assert linear["posterior"]["z"].dims == ("chain", "draw", "data", "z_dim")
    assert linear["posterior_predictive"]["x"].dims == ("chain", "draw", "data", "x_dim")
    assert linear["log_likelihood"]["x"].dims == ("chain", "draw", "data")
    assert linear["observed_data"]["x"].dims == ("data", "x_dim")
    assert linear["posterior"]["label"].values.tolist() == ["a", "b", "b", "a"]
    assert linear.attrs["recipe"] == "linear"
    assert linear.attrs["objective"] == "BetaVAE(beta = 2)"
    assert (linear.attrs["model"], linear.attrs["guide"]) == ("VAE", "Exact")
    assert linear.attrs["torch_version"] == torch.__version__


def test_classes_labels_images_and_deterministic_sites(tmp_path):
    model, guide = small.pair("NaturalClustering", "mean-field", BetaVAE(beta=1.0))
    batch = small.data("NaturalClustering")
    some = Batch(batch.x[:6], batch.y[:6], batch.index[:6] + 3)
    data = to_inference_data(model, guide, some, draws=3)
    posterior = data["posterior"]
    assert {name: posterior[name].dims[3:] for name in posterior.data_vars} == {
        "pi": ("class",),
        "z_c": ("z_c_dim",),
        "z_s": ("z_s_dim",),
        "z_cy": ("z_cy_dim",),
    }
    # z_cy = vec(y [1, z_c]) of the same draw, one unit a class, with the labels that were observed.
    y = data["observed_data"]["y"]
    assert y.dims == ("data", "class")
    np.testing.assert_array_equal(y.values.argmax(-1), batch.y[:6].numpy())
    rows = posterior["z_cy"].values.reshape(3, 6, 3, 2)
    np.testing.assert_allclose(rows[..., 1], y.values * posterior["z_c"].values[0])
    assert data["observed_data"]["x"].dims == ("data", "channel", "height", "width")
    assert posterior["data"].values.tolist() == [3, 4, 5, 6, 7, 8]
    assert posterior["label"].values.tolist() == batch.y[:6].tolist()
    assert set(np.unique(data["posterior_predictive"]["y"].values.sum(-1))) == {1.0}
    relaxed = small.pair("JointVAE", "mean-field", BetaVAE(beta=1.0))
    assert to_inference_data(*relaxed, small.data("JointVAE"), draws=2)["posterior"]["c"].dims[-1] == "c_class"


class Masked(nn.Module):
    """x ~ N(z, 1) of which the points that are 0 are left out."""

    def forward(self, x: Tensor, *, index: Tensor | None = None) -> None:
        with pyro.plate("data", len(x)):
            z = pyro.sample("z", dist.Normal(torch.zeros(len(x), 1), 1.0).to_event(1))
            there = (x > 0).squeeze(-1)
            with pyro.poutine.mask(mask=there):
                pyro.sample("x", dist.Normal(z, 1.0).to_event(1), obs=x)


class Standard(nn.Module):
    """q(z | x) = N(0, 1)."""

    def forward(self, x: Tensor, *, index: Tensor | None = None) -> None:
        with pyro.plate("data", len(x)):
            pyro.sample("z", dist.Normal(torch.zeros(len(x), 1), 1.0).to_event(1))


def test_points_under_a_mask_have_no_likelihood():
    # As in the objectives and in importance weights; it was that of the number in their place.
    x = torch.tensor([[0.0], [2.0], [0.0]])
    found = to_inference_data(Masked(), Standard(), Dataset.from_arrays(x), num=3, draws=4)
    z, nats = found["posterior"]["z"].values[0, :, :, 0], found["log_likelihood"]["x"].values[0]
    expected = np.zeros((4, 3))
    expected[:, 1] = -0.5 * (2 - z[:, 1]) ** 2 - 0.5 * math.log(2 * math.pi)
    np.testing.assert_allclose(nats, expected, rtol=1e-5)


def test_counts_of_words_have_the_words():
    torch.set_default_dtype(torch.float32)
    counts = sparse.csr_array(np.arange(1, 13, dtype=np.float32).reshape(4, 3))
    data = Dataset("words", counts, vocabulary=("ape", "bee", "cat"))
    experiment = RECIPES["hfvae/newsgroups"].build(Split(data, data))
    found = to_inference_data(experiment.model, experiment.guide, data, num=4, draws=2)
    assert found["observed_data"]["x"].sel(x_dim="bee").values.tolist() == [2, 5, 8, 11]
    assert found["posterior_predictive"]["x"]["x_dim"].values.tolist() == ["ape", "bee", "cat"]


def test_it_goes_through_a_file_unchanged(az, linear, tmp_path):
    linear.to_netcdf(tmp_path / "linear.nc", engine="h5netcdf")
    again = az.from_netcdf(tmp_path / "linear.nc", engine="h5netcdf")
    for group in ("posterior", "posterior_predictive", "log_likelihood", "prior", "prior_predictive", "observed_data"):
        for name in linear[group].data_vars:
            assert again[group][name].equals(linear[group][name]), (group, name)
    assert again.attrs["objective"] == "BetaVAE(beta = 2)"


@pytest.mark.filterwarnings("ignore")  # ArviZ's and its libraries' own
def test_arviz_draws_and_summarises_it(az, linear):
    if hasattr(az, "plot_ppc"):
        az.plot_ppc(linear, num_pp_samples=5, random_seed=0)
    else:
        az.plot_ppc_dist(linear, num_samples=5)
    az.plot_forest(linear, var_names=["z"], coords={"data": [0, 1]})
    mean = az.summary(linear, var_names=["z"], round_to="none")["mean"]
    exact = linear["posterior"]["z"].mean(("chain", "draw")).values.ravel()  # datapoints, and within them units
    np.testing.assert_allclose(np.asarray(mean, dtype=float), exact)


def test_a_guide_with_rows_takes_its_batch_and_what_is_left_as_it_was():
    model, _ = vae_pair()
    guide = PerDatapoint(70, z=MeanField(2))
    batch = Batch(images(4), None, torch.tensor([5, 0, 9, 3]))
    state = torch.get_rng_state()
    one, two = (to_inference_data(model, guide, batch, draws=2, seed=4) for _ in range(2))
    assert torch.equal(torch.get_rng_state(), state)
    assert one["posterior"]["z"].equals(two["posterior"]["z"])
    assert one["posterior"]["data"].values.tolist() == [5, 0, 9, 3]
    assert model.training


def test_a_batch_without_an_index_is_numbered_from_0():
    pair, x = vae_pair(), images(4)
    found = to_inference_data(*pair, Batch(x, None, None), draws=2, seed=4)
    same = to_inference_data(*pair, Dataset("four", x.numpy()), num=4, draws=2, seed=4)
    assert found["posterior"]["data"].values.tolist() == [0, 1, 2, 3]
    assert found["log_likelihood"]["x"].equals(same["log_likelihood"]["x"])


def test_what_does_not_fit_is_said(monkeypatch):
    pair, data = vae_pair(), Dataset("eleven", images().numpy())
    with pytest.raises(ValueError, match="num must be from 1 to 11, the size of data 'eleven', got 12"):
        to_inference_data(*pair, data, num=12)
    with pytest.raises(ValueError, match="draws must be at least 1, got 0"):
        to_inference_data(*pair, data, num=2, draws=0)
    indicator = small.pair("ClusterIndicatorVAE", "mean-field", BetaVAE(beta=1.0))
    with pytest.raises(ValueError, match=r"the guide has no site \['k'\], so there is no posterior of it"):
        to_inference_data(*indicator, small.data("ClusterIndicatorVAE"), draws=1)

    def with_sum(x=None, *, index=None):
        with pyro.plate("data", 1 if x is None else len(x)):
            z = pyro.sample("z", dist.Normal(torch.zeros(2), 1.0).to_event(1))
            pyro.deterministic("total", z.sum(-1))
            return pyro.sample("x", dist.Normal(z, 1.0).to_event(1), obs=x)

    class Story(nn.Module):
        def forward(self, *args, **kwargs):
            return with_sum(*args, **kwargs)

    guide = Amortized(nn.Linear(2, 4), z=MeanField(2))
    with pytest.raises(ValueError, match=r"site 'total' has the shape \[3\], but the dimensions .* as in event_dim=1"):
        to_inference_data(Story(), guide, Dataset("three", np.zeros((3, 2), np.float32)), num=3, draws=1)
    monkeypatch.setitem(sys.modules, "arviz", None)
    with pytest.raises(ModuleNotFoundError, match=r'needs arviz, which is not installed: pip install -e "\.\[notebook'):
        to_inference_data(*pair, data)
