"""Several processes with a shard of the batch each compute what one process computes from the whole batch."""

from functools import partial

import pyro
import pyro.distributions as dist
import pytest
import torch
import torch.distributed as distributed
import torch.multiprocessing
from torch import nn

from guides import Amortized, Concrete, Exact, FullRank, MeanField
from tests.draws import Draws
from tests.objectives import EVERY, type_information
from tests.pairs import NUM_DATA, SHAPE, images, nvae_pair, vae_pair
from zoo import ranks
from zoo.elbos import HFVAE, AnchoredCorEx, BetaTCVAE, NaturalClusteringELBO, PlainELBO
from zoo.joint_vae import JointVAE
from zoo.lab.networks import MLPDecoder, MLPEncoder

B = 8


def given_pair(z=None, c=None):
    """A style whose posterior depends on the type."""
    model = JointVAE(MLPDecoder(5, SHAPE, hidden=(8,)), z_dim=2, c_dims=(3,), temperature=0.67, num_data=NUM_DATA)
    heads = {"c": c or Concrete(3, temperature=0.67), "z": MeanField(2, given=("c",), hidden=(4,))}
    return model, Amortized(MLPEncoder(SHAPE, hidden=(8,)), num_data=NUM_DATA, **heads)


PAIRS = {
    "one site": vae_pair,
    "one site, correlated": lambda: vae_pair(head=FullRank(2)),
    "a site given another": given_pair,
}


class OfAllData(nn.Module):
    """One latent of all datapoints, outside of the plate, or its posterior."""

    def __init__(self, guide):
        super().__init__()
        self.guide, self.loc = guide, nn.Parameter(torch.tensor([2.0]))

    def forward(self, x, *, index=None):
        q = dist.Delta(self.loc) if self.guide else dist.Normal(torch.zeros(1), 1.0)
        mu = pyro.sample("mu", q.to_event(1))
        if not self.guide:
            with pyro.plate("data", len(x)):
                pyro.sample("x", dist.Normal(mu, 1.0).expand([len(x), 1]).to_event(1), obs=x.flatten(1)[:, :1])


def _cases():
    """By name: a pair, an objective, and whether the batch has labels."""
    cases = {}
    for pair, make in PAIRS.items():
        for name, elbo in EVERY.items():
            if pair == "a site given another" and name in ("DIPVAE", "DIPVAEI"):
                continue  # refused, since c is drawn
            if pair == "a site given another" and name == "AnchoredCorEx":
                elbo = partial(AnchoredCorEx, lambda_=0.5, anchors={"c": [0], "z": [1]}, num_data=NUM_DATA)
            cases[f"{pair}, {name}"] = (make, elbo, 1 if pair == "one site, correlated" else 3, False)
    for estimator in ("weighted", "minibatch-stratified", "batch"):
        for elbo in (partial(BetaTCVAE, beta=4.0), partial(HFVAE, alpha=2.0, beta=3.0, gamma=4.0)):
            cases[f"one site, {elbo.func.__name__}, {estimator}"] = (
                vae_pair,
                partial(elbo, num_data=70, estimator=estimator),
                1,
                False,
            )
    for name, elbo in {"PlainELBO": PlainELBO, "DIPVAEI": EVERY["DIPVAEI"], "DIPVAEII": EVERY["DIPVAEII"]}.items():
        cases[f"a site given one that is summed out, {name}"] = (partial(given_pair, c=Exact(3)), elbo, 1, False)
    cases["a site given another, TypeInformation"] = (given_pair, type_information, 3, False)
    cases["a site given one that is summed out, TypeInformation"] = (
        partial(given_pair, c=Exact(3)),
        type_information,
        1,
        False,
    )
    cases["a latent of all data"] = (lambda: (OfAllData(False), OfAllData(True)), PlainELBO, 1, False)
    cases["N-VAE"] = (nvae_pair, partial(NaturalClusteringELBO, beta_c=2.0), 1, True)
    return cases


CASES = _cases()


def one_pass(name, rank=None, count=1, draws=None):
    """Loss, terms, KLs and gradients of a case; of a rank's shard within `sharing`, or of the whole batch."""
    make, elbo, particles, labels = CASES[name]
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(0)
    model, guide = make()
    x, y = images(B), torch.arange(B) % 3
    objective = elbo()
    objective.num_particles = particles
    if rank is not None:
        x, y = x.chunk(count)[rank], y.chunk(count)[rank]
    objective.max_plate_nesting = 2  # data and particles; to find it, Pyro would run the pair, which draws
    torch.manual_seed(1 if rank is None else 10 + rank)
    with Draws(draws) as mode:
        if rank is None:
            loss = objective.loss_and_grads(model, guide, *([x, y] if labels else [x]))
        else:
            with ranks.sharing():
                differentiable = objective.differentiable_loss(model, guide, *([x, y] if labels else [x]))
            differentiable.backward()
            loss = differentiable.item()
    report = objective.report()
    gradients = {
        f"{program}.{key}": parameter.grad
        for program, module in (("model", model), ("guide", guide))
        for key, parameter in module.named_parameters()
    }
    return {"loss": loss, "terms": report.terms, "kl": report.kl, "gradients": gradients, "draws": mode.drawn}


def of_rank(rank, count, folder):
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=count)
    torch.save({name: one_pass(name, rank, count) for name in CASES}, folder / f"{rank}.pt")
    distributed.barrier()
    distributed.destroy_process_group()


def run(count, folder):
    torch.multiprocessing.start_processes(of_rank, (count, folder), nprocs=count, start_method="forkserver")


@pytest.fixture(scope="module", params=[2, 4])
def of_ranks(request, made_once):
    """Every case, on every rank: [{case: result}]."""
    count = request.param
    folder = made_once(f"{count}-ranks", partial(run, count))
    return [torch.load(folder / f"{rank}.pt") for rank in range(count)]


@pytest.mark.parametrize("name", CASES)
def test_ranks_have_the_loss_terms_and_gradients_of_one_process(of_ranks, name):
    parts = [of_one[name] for of_one in of_ranks]
    whole = one_pass(name, draws=[part["draws"] for part in parts])
    for part in parts:
        assert part["loss"] == pytest.approx(whole["loss"], abs=1e-9)
        for what in ("terms", "kl"):
            torch.testing.assert_close(part[what], whole[what], rtol=0, atol=1e-9)
    for key, gradient in whole["gradients"].items():
        shares = [part["gradients"][key] for part in parts]
        if gradient is None:
            assert shares == [None] * len(parts)
        else:
            torch.testing.assert_close(sum(shares), gradient, rtol=0, atol=1e-9)


def test_one_process_shares_with_nobody():
    x, pair = images(B), vae_pair()
    torch.manual_seed(1)
    alone = PlainELBO().loss(*pair, x)
    torch.manual_seed(1)
    with ranks.sharing():
        assert ranks.count() == 1
        assert PlainELBO().loss(*pair, x) == alone
    value = torch.randn(3)
    assert ranks.gather(value) is ranks.mean(value) is ranks.logsumexp(value) is ranks.own(value, 0) is value
