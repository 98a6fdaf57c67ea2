"""Codes of every make, and encoders in every state: read as meant, or refused with the place and the mend."""

from collections import namedtuple
from functools import partial
from threading import Thread

import numpy as np
import pandas as pd
import pyro.distributions as dist
import pytest
import torch
from scipy import sparse
from torch import nn
from torch.distributions import Categorical, Cauchy, Independent, Normal, OneHotCategorical

from zoo.lab.data import Dataset
from zoo.metrics import Encoded, Inapplicable, clusters, mig, mig_aggregate
from zoo.metrics.sites import Site

N = 60
RNG = np.random.default_rng(0)
X = RNG.random((N, 6))
Y = np.arange(N) % 3
DATA = Dataset.from_arrays(X, Y)
TABLE = np.stack([Y, np.arange(N) % 2], axis=1)


def codes_of(encoder, data=DATA, **settings) -> np.ndarray:
    return Encoded.of(encoder, data, **settings).codes


# The state of an encoder.


class Net(nn.Module):
    """Both of what a mode changes: dropout, and the statistics of a batch."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(6, 4), nn.BatchNorm1d(4), nn.Dropout(0.5))

    def forward(self, x):
        return self.body(x)

    def encode(self, x):
        """Dropout by its own flag, without a call of the module itself."""
        return nn.functional.dropout(self.body(x), 0.5, self.training)


@pytest.mark.parametrize(
    "hold",
    [
        lambda net: net,
        lambda net: net.forward,
        lambda net: net.encode,
        lambda net: lambda x: net(x),
        lambda net: partial(nn.Module.__call__, net),
        lambda net: {"inside": net}["inside"].body.forward,
    ],
    ids=["module", "method", "method by another name", "closure", "partial", "a part's method"],
)
def test_an_encoder_encodes_in_evaluation_mode_and_is_left_in_its_own(hold):
    net = Net()
    expected = net.eval()(torch.from_numpy(X).to(torch.get_default_dtype())).detach().numpy()
    net.train()
    net.body[0].eval()  # one part is frozen
    before = {name: value.clone() for name, value in net.state_dict().items()}
    np.testing.assert_array_equal(codes_of(hold(net), batch_size=25), expected)
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())
    assert [module.training for module in net.modules()] == [True, True, False, True, True]
    out = net(torch.ones(8, 6))  # nothing is left behind that would change the mode of later calls
    assert out.requires_grad
    assert net.training


def test_the_mode_comes_back_when_an_encoder_fails():
    net = Net()

    def fails(x):
        net(x)
        raise RuntimeError("no memory")

    with pytest.raises(RuntimeError, match="no memory"):
        codes_of(fails)
    assert all(module.training for module in net.modules())


def test_what_another_thread_trains_meanwhile_stays_in_training_mode():
    modes = []

    class Watched(nn.Module):
        def forward(self, x):
            modes.append(self.training)
            return x

    elsewhere, here = Watched(), Watched()

    def encoder(x):
        thread = Thread(target=elsewhere, args=(x,))
        thread.start()
        thread.join()
        return here(x)

    codes_of(encoder)
    assert modes == [True, False]


def test_codes_that_still_have_a_graph():
    z = torch.from_numpy(X).requires_grad_()
    assert np.array_equal(Encoded.of(2 * z).codes, 2 * X)
    assert np.array_equal(Encoded.of(nn.Parameter(z)).codes, X)
    q = Independent(Normal(z, z.exp()), 1)
    np.testing.assert_allclose(Encoded.of(q).sites["z"].q.base_dist.scale, np.exp(X))


def test_x_goes_where_the_encoder_s_parameters_are():
    seen = []

    class There(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(2, device="meta"))

        def forward(self, x):
            seen.append(x.device.type)
            return np.ones((len(x), 2))

    there = There()
    for encoder in (there, there.forward):
        codes_of(encoder)
    codes_of(lambda x: there(x))
    codes_of(there, device="cpu")
    assert seen == ["meta", "meta", "cpu", "cpu"]


# What an encoder returns.


def same(codes, expected=X) -> bool:
    return np.array_equal(Encoded.of(codes).codes, expected)


def test_arrays_and_tensors_of_every_make():
    x = torch.from_numpy(X)
    assert same(X[:, ::-1], X[:, ::-1])
    assert same(np.asfortranarray(X))
    assert same(X.astype(">f8"))
    assert same(x.T.contiguous().T)
    assert same(x.flip(1), X[:, ::-1])
    assert same(x.to_sparse())
    assert same(sparse.csr_array(X))
    assert same(pd.DataFrame(X, columns=list("abcdef")))
    assert same(X.tolist())
    assert same(list(X))
    assert same(X.astype(object))
    assert same(X > 0.5, X > 0.5)
    read_only = X.copy()
    read_only.flags.writeable = False
    assert same(read_only)
    expanded = torch.arange(N, dtype=torch.float64)[:, None].expand(N, 2)
    assert same(expanded, expanded.numpy())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.int8, torch.bool])
def test_every_precision(dtype):
    # small whole numbers, which every type holds exactly
    z = torch.arange(N)[:, None] // torch.tensor([1, 7]) % 2
    factors = torch.from_numpy(TABLE).to(dtype)
    assert float(mig(z.to(dtype), factors)) == float(mig(z, TABLE.astype(bool) if dtype == torch.bool else TABLE))
    if dtype.is_floating_point:
        q = Independent(Normal(z.to(dtype), torch.full((), 0.5, dtype=dtype)), 1)
        expected = mig_aggregate(Independent(Normal(z.double(), 0.5), 1), TABLE, num_samples=20, repeats=2)
        assert mig_aggregate(q, TABLE, num_samples=20, repeats=2).runs.tolist() == expected.runs.tolist()
        probs = torch.eye(3)[torch.from_numpy(Y)].to(dtype)
        assert float(clusters({"c": OneHotCategorical(probs=probs)}, Y).majority) == 1.0


def test_categoricals_of_every_make_are_one_unit():
    logits = torch.from_numpy(RNG.standard_normal((N, 3)))
    expected = logits.softmax(1).numpy()
    for q in (
        Categorical(logits=logits),
        dist.Categorical(logits=logits),
        OneHotCategorical(logits=logits),
        dist.RelaxedOneHotCategorical(torch.tensor(0.5), logits=logits),
        Independent(OneHotCategorical(logits=logits), 0),
    ):
        encoded = Encoded.of({"c": q})
        np.testing.assert_allclose(encoded.codes, expected)
        assert encoded.units == ("c",)


def test_points_and_wrapped_distributions():
    x = torch.from_numpy(X)
    assert same(dist.Delta(x, event_dim=1))
    masked = dist.Normal(x, 1.0).mask(torch.ones(N, 6, dtype=torch.bool)).to_event(1)
    assert same(masked)
    encoded = Encoded.of(dist.Normal(x, 0.5).to_event(1))
    assert (encoded.sites["z"].q.base_dist.scale == 0.5).all()


Output = namedtuple("Output", ["mean", "log_variance"])


@pytest.mark.parametrize(
    ("codes", "message"),
    [
        ((X, X), r"a tuple of 2 arrays or distributions; give one of them, as in encoder\(x\)\[0\]"),
        ([torch.from_numpy(X)] * 2, r"a list of 2 arrays"),
        (Output(X, X), r"a Output of 2 arrays"),
        ((Normal(torch.ones(N, 2), 1.0), X), r"a tuple of 2 arrays or distributions"),
        (X[None], r"must be \[N, D\], got \(1, 60, 6\); codes.reshape\(len\(codes\), -1\) makes rows"),
        (
            {"c": Site(np.tile([2.0, -1.0], (N, 1)), categorical=True)},
            r"site 'c': point 0 has the class probabilities",
        ),
        (None, r"must be \[N, D\], got \(\)"),
        (X + 1j, r"codes must be numbers \[N, D\].*complex"),
        (np.ma.masked_greater(X, 0.9), r"values are masked: leave these points out"),
        ({"z": object()}, r"codes must be numbers \[N, D\], or distributions of them, got object"),
        (torch.full((N, 2), 1e5).half(), r"120 values are not finite, the first inf at point 0, latent 0"),
        (
            Independent(Normal(torch.ones(N, 2), torch.full((N, 2), 1e-9).half().float(), validate_args=False), 1),
            r"the standard deviation is 0.0 at point 0, latent 0",
        ),
        (
            Independent(OneHotCategorical(probs=torch.ones(N, 2, 3)), 1),
            r"must be \[N, D\], got \(60, 2, 3\)",
        ),
    ],
)
def test_what_is_no_code_is_refused(codes, message):
    with pytest.raises(ValueError, match=message):
        Encoded.of(codes, Y)


def test_a_distribution_without_a_mean_says_what_to_give():
    flow = dist.TransformedDistribution(dist.Normal(torch.zeros(N, 2), 1.0).to_event(1), [dist.transforms.Planar(2)])
    with pytest.raises(Inapplicable, match=r"site 'z': TransformedDistribution has no mean; give the mean of"):
        Encoded.of({"z": flow}, Y)
    with pytest.raises(ValueError, match="120 values are not finite, the first nan"):
        Encoded.of(Cauchy(torch.zeros(N, 2), 1.0), Y)


def encoder_of(first, later):
    """Returns `first` for the first batch, and `later` for the others."""
    calls = []

    def encoder(x):
        calls.append(len(x))
        return (first if len(calls) == 1 else later)(len(x))

    return encoder, calls


@pytest.mark.parametrize(
    ("first", "later", "message"),
    [
        (lambda n: np.ones((6, n + 1)), None, r"for points 0 to 19: codes of site 'z' are \(6, 21\) for 20 points"),
        (lambda n: np.ones(n), None, r"for points 0 to 19: codes of site 'z' must be \[N, D\], got \(20,\)"),
        (lambda n: np.full((n, 2), np.nan), None, r"for points 0 to 19: .* 40 values are not finite"),
        (lambda n: {}, None, r"for points 0 to 19: codes: the mapping is empty"),
        (lambda n: None, None, r"for points 0 to 19: codes of site 'z' must be \[N, D\], got \(\)"),
        (lambda n: (np.ones((n, 2)),) * 2, None, r"for points 0 to 19: codes of site 'z': a tuple of 2 arrays"),
        (
            lambda n: np.ones((n, 2)),
            lambda n: np.ones((n, 3)),
            r"for points 20 to 39: sites .*'z': \(3, False",
        ),
        (lambda n: {"z": np.ones((n, 2))}, lambda n: {"w": np.ones((n, 2))}, r"for points 20 to 39: sites .*'w'"),
        (lambda n: Normal(torch.ones(n, 2), 1.0), lambda n: np.ones((n, 2)), r"for points 20 to 39: sites "),
        (lambda n: np.ones((n, 2)), lambda n: np.r_[np.ones((n - 1, 2)), [[1, np.inf]]], r"first inf at point 19"),
    ],
)
def test_a_bad_batch_is_refused_when_it_comes(first, later, message):
    encoder, calls = encoder_of(first, later)
    with pytest.raises(ValueError, match=message):
        codes_of(encoder, batch_size=20)
    assert len(calls) == (1 if later is None else 2)


def test_what_is_no_encoder_is_refused():
    with pytest.raises(TypeError, match="the encoder is the class Net: give an instance of it"):
        Encoded.of(Net, DATA)
    with pytest.raises(TypeError, match="the first argument is a data set: give the encoder first"):
        mig(DATA, Net())
    with pytest.raises(TypeError, match="an encoder needs a data set as the second argument, got list"):
        mig(Net(), [X])
    with pytest.raises(ValueError, match="these codes already have their factors"):
        mig(Encoded.of(X, Y), Y)
    for setting in ("num_points", "batch_size"):
        with pytest.raises(ValueError, match=f"{setting} = 0: give 1 or more"):
            Encoded.of(Net(), DATA, **{setting: 0})
