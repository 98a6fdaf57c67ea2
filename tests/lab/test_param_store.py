"""Parameters that a program makes by `pyro.param`: SVI trains them, and what reads a trained pair reads them."""

import math
from functools import partial

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro.infer import SVI
from pyro.infer.autoguide import AutoDelta, AutoNormal
from pyro.nn import PyroModule, PyroParam
from torch import nn
from torch.distributions import constraints

from zoo.elbos import PlainELBO
from zoo.lab.analysis import evaluate
from zoo.lab.data import Batch, Dataset
from zoo.lab.training import fit
from zoo.program import data_plate, register

SITE = "the_scale"


class Scaled(nn.Module):
    """z ~ Normal(0, 1), x ~ Normal(bias, scale), where `find` makes the scale."""

    def __init__(self, find):
        super().__init__()
        self.find = find
        self.bias = nn.Parameter(torch.zeros(1))

    def forward(self, x=None, *, index=None):
        register(self)
        scale = self.find()
        with data_plate(x, index, 4):
            pyro.sample("z", dist.Normal(torch.zeros(1), 1.0).to_event(1))
            return pyro.sample("x", dist.Normal(self.bias, scale).to_event(1), obs=x)


class Guide(nn.Module):
    """q(z | x) is the prior."""

    def forward(self, x, *, index=None):
        with data_plate(x, index, 4):
            pyro.sample("z", dist.Normal(torch.zeros(1), 1.0).to_event(1))


class Owner(PyroModule):
    """A scale that belongs to a module."""

    def __init__(self):
        super().__init__()
        self.scale = PyroParam(torch.tensor(1.0), constraint=constraints.positive)

    def forward(self):
        return self.scale


IN_STORE = {
    "tensor": partial(pyro.param, SITE, torch.tensor(1.0), constraint=constraints.positive),
    "function": partial(pyro.param, SITE, lambda: torch.tensor(1.0), constraint=constraints.positive),
    # The store trains a copy on the reals of a module's parameter that has a constraint.
    "constrained": partial(pyro.param, SITE, nn.Parameter(torch.tensor(1.0)), constraint=constraints.positive),
}
X = torch.tensor([[-6.0], [-2.0], [2.0], [6.0]])  # of variance 20 around 0
DATA = Dataset.from_arrays(X.numpy())


@pytest.fixture(autouse=True)
def an_empty_store():
    with pyro.get_param_store().scope():
        yield


@pytest.mark.parametrize("find", IN_STORE.values(), ids=IN_STORE)
def test_fit_refuses_what_it_would_not_train(find):
    """Before: each step had the initial scale, without a word."""
    steps = fit(Scaled(find), Guide(), PlainELBO(), [Batch(X, None, torch.arange(4))], lr=0.1, device="cpu")
    with pytest.raises(ValueError, match=rf"neither .* has the parameter '{SITE}' of pyro\.param .*, and fit trains"):
        next(steps)
    assert SITE not in pyro.get_param_store()


@pytest.mark.parametrize(
    ("make_known", "name"),
    [(partial(pyro.module, "a_network"), r"a_network\$\$\$weight"), (register, r"Linear\.weight")],
)
def test_fit_refuses_a_network_that_the_program_does_not_contain(make_known, name):
    """Before: SVI trained it, and fit did not."""
    network = nn.Linear(1, 1)

    def scale():
        make_known(network)
        return network(torch.ones(1)).exp()

    model = Scaled(scale)
    arguments = (model, Guide(), PlainELBO(), [Batch(X, None, torch.arange(4))])
    with pytest.raises(ValueError, match=rf"has the parameter '{name}' of pyro\.param or pyro\.module, or of register"):
        next(fit(*arguments, lr=0.1, device="cpu"))
    model.network = network
    next(fit(*arguments, lr=0.1, device="cpu"))


@pytest.mark.parametrize("kind", [AutoNormal, AutoDelta])
def test_fit_trains_an_autoguide_beside_another_one_of_its_names(kind):
    """The one that SVI has trained is in the param store, under the names of the new one's parameters."""
    model = Scaled(Owner())
    trained, new = kind(model), kind(model)
    SVI(model, trained, pyro.optim.Adam({"lr": 0.1}), PlainELBO()).step(X)
    for _ in fit(model, new, PlainELBO(), [Batch(X, None, torch.arange(4))] * 3, lr=0.1, device="cpu"):
        pass
    assert not {id(parameter) for parameter in trained.parameters()} & {id(parameter) for parameter in new.parameters()}


@pytest.mark.parametrize("local", [False, True])
def test_fit_trains_the_parameters_of_pyros_modules(local):
    with pyro.settings.context(module_local_params=local):
        owner = Owner()
        for _ in fit(Scaled(owner), Guide(), PlainELBO(), [Batch(X, None, torch.arange(4))] * 200, lr=0.1,
                     device="cpu", progress=False):  # fmt: skip
            pass
        assert owner.scale.item() == pytest.approx(math.sqrt(20), rel=0.01)


def test_svi_trains_a_pyro_module_within_a_story():
    """Before: in the second step `register` took the value under the constraint for another parameter, and refused."""
    model = Scaled(owner := Owner())
    svi = SVI(model, Guide(), pyro.optim.Adam({"lr": 0.1}), PlainELBO())
    for _ in range(200):
        svi.step(X, index=torch.arange(4))
    assert owner.scale.item() == pytest.approx(math.sqrt(20), rel=0.01)
    assert evaluate(model, Guide(), DATA).elbo == pytest.approx(
        -math.log(owner.scale.item()) - 0.5 * math.log(2 * math.pi) - 0.5, rel=0.01
    )


@pytest.mark.parametrize("find", IN_STORE.values(), ids=IN_STORE)
def test_an_evaluation_after_svi_reads_the_param_store(find):
    """log p(x) at the scale s is -log s - log(2 pi) / 2 - 20 / (2 s^2) on average; before, at s = 1."""
    model, guide = Scaled(find), Guide()
    svi = SVI(model, guide, pyro.optim.Adam({"lr": 0.1}), PlainELBO())
    for _ in range(200):
        svi.step(X, index=torch.arange(4))
    s = pyro.get_param_store()[SITE].item()
    assert s == pytest.approx(math.sqrt(20), rel=0.01)
    exact = -math.log(s) - 0.5 * math.log(2 * math.pi) - (20 + model.bias.item() ** 2) / (2 * s**2)
    assert evaluate(model, guide, DATA).elbo == pytest.approx(exact, rel=1e-5)
    assert pyro.param(SITE).item() == s  # the store is as before


def test_an_evaluation_reads_a_parameter_without_an_initial_value():
    """Before: a KeyError."""
    pyro.param(SITE, torch.tensor(2.0))
    evaluation = evaluate(Scaled(partial(pyro.param, SITE)), Guide(), DATA)
    assert evaluation.elbo == pytest.approx(-math.log(2) - 0.5 * math.log(2 * math.pi) - 20 / 8, rel=1e-5)
