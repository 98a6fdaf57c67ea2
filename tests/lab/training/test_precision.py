"""Networks in bfloat16, everything else in float32: close to float32 for every recipe."""

import copy
import warnings

import pyro
import pytest
import torch
import torch.distributed as distributed
from pyro import poutine
from torch import nn

from guides import Amortized, DirichletHead, FullRank, SemiAmortized
from tests.lab.training import test_compiled
from tests.lab.training.test_processes import connected, run
from tests.lab.training.test_second_device import stand_in
from tests.pairs import NUM_DATA, images, vae_pair
from zoo.elbos import BetaTCVAE, FactorVAE, PlainELBO
from zoo.lab.data import Batch
from zoo.lab.networks import Discriminator
from zoo.lab.training.adversary import Adversary
from zoo.lab.training.fit import fit, prepare
from zoo.lab.training.pair_loss import PairLoss
from zoo.lab.training.precision import PRECISIONS, Networks, check_precision, reduced_matmul_precision
from zoo.papers.recipes import RECIPES


@pytest.fixture(autouse=True)
def single():
    torch.set_default_dtype(torch.float32)


def tensors_of(distribution, seen=None):
    """Every tensor that a distribution holds, those of distributions within it included."""
    seen = set() if seen is None else seen
    for value in vars(distribution).values():
        for part in value if isinstance(value, (list, tuple)) else [value]:
            if isinstance(part, torch.Tensor):
                yield part
            elif isinstance(part, torch.distributions.Distribution) and id(part) not in seen:
                seen.add(id(part))
                yield from tensors_of(part, seen)


class Scored(poutine.messenger.Messenger):
    """Keeps the types of all that is scored: values, the distributions' tensors, and log densities."""

    def __init__(self):
        super().__init__()
        self.types = set()
        self.sites = set()

    def _pyro_post_sample(self, msg):
        if type(msg["fn"]).__name__ != "_Subsample":
            tensors = [msg["value"], *tensors_of(msg["fn"]), msg["fn"].log_prob(msg["value"])]
            self.types |= {t.dtype for t in tensors if t.is_floating_point()}
            self.sites.add(msg["name"])


def steps_of(name):
    """A step of a recipe in float32 and one in bf16, from the same weights, on noise of its data's shape, with the same
    draws: the report, gradients and what was scored; and the networks.
    """
    pyro.set_rng_seed(0)
    split = stand_in(RECIPES[name])
    experiment = RECIPES[name].build(split)
    pair = experiment.model, experiment.guide
    batch = next(iter(experiment.batches(split.train, 16, seed=0, steps=1, labels=experiment.labels)))
    networks = Networks(*pair)
    with networks.watched():
        parameters = prepare(*pair, experiment.elbo, batch, "cpu")
    before = [copy.deepcopy(part.state_dict()) for part in (*pair, experiment.elbo)]
    steps = []
    for precision in ("float32", "bf16"):
        for part, state in zip((*pair, experiment.elbo), before, strict=True):
            part.load_state_dict(state)
        for parameter in parameters:
            parameter.grad = None
        program = PairLoss(experiment.elbo(*pair), networks=networks if precision == "bf16" else None)
        pyro.set_rng_seed(1)
        args, kwargs = batch.arguments()
        with program.as_in_training(torch.device("cpu")), Scored() as scored:
            loss = program(*args, **kwargs)
            loss.backward()
        report = experiment.elbo.report()
        gradients = [p.grad for p in parameters if p.grad is not None]
        assert {p.dtype for p in parameters} == {gradient.dtype for gradient in gradients} == {torch.float32}
        assert {loss.dtype, *(term.dtype for term in report.terms.values())} == {torch.float32}
        steps.append((report, torch.cat([gradient.flatten().double() for gradient in gradients]), scored))
    return *steps, networks


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.filterwarnings("ignore")
def test_terms_of_every_recipe_are_near_those_of_float32_and_what_is_scored_is_float32(name):
    """With the same draws, and within a tolerance that is stated here: eight bits are right to 2^-9 = 0.2 %.

    The reconstruction adds up the errors of many pixels, and is within 0.1 %; a term of latents is within 2 % or 0.01
    nats, the KL of one unit within 5 % or 0.01 nats, and the gradient of a batch of 16 within 15 % of its length. Batch
    norm in the topics' heads has the largest differences.
    """
    (exact, gradients, _), (rounded, rough, scored), networks = steps_of(name)
    assert scored.types == {torch.float32}
    assert {"x"} < scored.sites
    for term, value in exact.terms.items():
        near = abs(value) / 1000 if term == "log p(x)" else max(0.02 * abs(value), 0.01)
        assert abs(rounded.terms[term] - value) <= near, term
    for site, value in exact.kl.items():
        torch.testing.assert_close(rounded.kl[site], value, rtol=0.05, atol=0.01)
    assert (rough - gradients).norm() <= 0.15 * gradients.norm()
    assert not torch.equal(rough, gradients)  # it did compute in bfloat16
    products = (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)
    inside = {id(part) for network in networks.found for part in network.modules()}
    left = [
        part
        for program in networks.programs
        for part in program.modules()
        if isinstance(part, products) and id(part) not in inside
    ]
    assert not left


def losses(precision, *, elbo=None, watch=None, num=4, **options):
    """Losses of some steps from the same weights, with the same draws."""
    torch.manual_seed(0)
    pair = vae_pair()
    if watch is not None:
        pair[0].decoder[0].register_forward_hook(lambda module, inputs, output: watch.append(output.dtype))
    batches = [Batch(images(8), None, torch.arange(8))] * num
    torch.manual_seed(1)
    elbo = elbo or PlainELBO()
    steps = fit(*pair, elbo, batches, lr=1e-2, device="cpu", precision=precision, progress=False, **options)
    return [report.loss.item() for _, report in steps]


def test_float32_is_the_default_and_bf16_computes_with_eight_bits():
    seen = []
    single, rounded = losses("float32", num=40), losses("bf16", num=40, watch=seen)
    assert losses("float32", num=40) == single
    assert seen == [torch.float32] * 2 + [torch.bfloat16] * 40  # the trial run is in float32
    assert rounded == pytest.approx(single, rel=0.01)
    assert rounded != single
    assert single[-1] < single[0] - 0.3


def test_only_networks_are_found_and_nothing_of_them_is_kept():
    """Heads, and guides within guides, are no networks, whatever layers are in them."""
    model, guide = vae_pair(head=FullRank(2))
    networks = Networks(model, guide)
    batch = Batch(images(8), None, torch.arange(8))
    with networks.watched():
        prepare(model, guide, PlainELBO(), batch, "cpu")
    assert {id(m) for m in networks.found} == {id(m) for m in (model.decoder, guide.trunk, guide.layers["z"])}
    refined = SemiAmortized(guide, lambda *args, **kwargs: torch.zeros((), requires_grad=True), steps=1, lr=0.1)
    refined.refined = lambda x, y=None, *, index=None: guide  # no inner steps: the guide is a program in a program
    networks = Networks(model, refined)
    with networks.watched():
        prepare(model, refined, PlainELBO(), batch, "cpu")
    assert {id(m) for m in networks.found} == {id(m) for m in (model.decoder, guide.trunk, guide.layers["z"])}
    with networks.in_bf16(torch.device("cpu")):
        assert "forward" in vars(model.decoder)
        assert guide.trunk(images(2)).dtype == torch.float32
        assert not torch.is_autocast_enabled("cpu")
    assert not any("forward" in vars(m) for m in [*model.modules(), *guide.modules()])


def test_a_network_that_fails_leaves_no_autocast_and_no_replaced_forward():
    class Failing(nn.Module):
        def forward(self, x):
            raise RuntimeError("failed")

    model, guide = vae_pair()
    networks = Networks(model, guide)
    failing = Failing()
    networks.found = [failing]
    with pytest.raises(RuntimeError, match="failed"), networks.in_bf16(torch.device("cpu")):
        failing(torch.ones(2))
    assert not torch.is_autocast_enabled("cpu")
    assert "forward" not in vars(failing)


def test_a_copy_taken_while_training_is_of_the_pair_alone():
    torch.manual_seed(0)
    model, guide = vae_pair()
    batch = Batch(images(8), None, torch.arange(8))
    steps = fit(model, guide, PlainELBO(), [batch] * 2, lr=1e-2, device="cpu", precision="bf16", progress=False)
    next(steps)
    copied = copy.deepcopy(model)
    z = torch.randn(5, 2)
    next(steps)
    assert not any("forward" in vars(module) for module in copied.modules())
    assert not torch.equal(copied.decoder(z), model.decoder(z))
    expected = copied.decoder[0].weight @ z[0] + copied.decoder[0].bias  # with all of float32's digits
    torch.testing.assert_close(copied.decoder[0](z)[0], expected, rtol=1e-6, atol=1e-6)


def test_a_compiled_step_takes_the_eager_one_s_draws_and_precision():
    """Of two latents, a mean-field and a full-rank head."""

    def curve(precision, compile=False):
        pair = test_compiled.pair("FullRank")
        data = test_compiled.batches(sizes=(8,) * 4, dtype=torch.float32)
        torch.manual_seed(1)
        options = {"device": "cpu", "precision": precision, "compile": compile, "progress": False}
        return [report.loss.item() for _, report in fit(*pair, PlainELBO(), data, lr=1e-2, **options)]

    eager, single = curve("bf16"), curve("float32")
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # nothing ran eagerly
        compiled = curve("bf16", compile=True)
    differs = max(abs(a - b) for a, b in zip(eager, single, strict=True))
    assert compiled == pytest.approx(eager, abs=differs / 10)


def test_a_simplex_adds_up_to_one():
    """Under autocast alone a Dirichlet's draw would be rounded to eight bits, outside of the support."""

    class Shares(nn.Module):
        def __init__(self):
            super().__init__()
            self.decoder = nn.Linear(5, 4)

        def forward(self, x, *, index=None):
            with pyro.plate("data", len(x)):
                shares = pyro.sample("shares", pyro.distributions.Dirichlet(torch.ones(5)))
                assert (shares.sum(-1) - 1).abs().max() < 1e-6
                logits = self.decoder(shares)
                assert logits.dtype == torch.float32
                pyro.sample("x", pyro.distributions.Normal(logits, 1.0).to_event(1), obs=x)

    guide = Amortized(nn.Linear(4, 3), shares=DirichletHead(5), num_data=8)
    batch = Batch(torch.randn(8, 4), None, torch.arange(8))
    steps = fit(Shares(), guide, PlainELBO(), [batch] * 3, lr=1e-2, device="cpu", precision="bf16", progress=False)
    assert len(list(steps)) == 3


def test_an_adversary_stays_in_float32():
    log_ratio = Discriminator(2, hidden=(8,))
    seen = set()
    log_ratio.register_forward_hook(lambda module, inputs, output: seen.add(output.dtype))
    losses("bf16", elbo=FactorVAE(gamma=2.0, log_ratio=log_ratio), adversary=Adversary(log_ratio, lr=1e-3))
    assert seen == {torch.float32}


def test_medium_is_set_for_the_step_alone(monkeypatch):
    before = torch.get_float32_matmul_precision()
    with reduced_matmul_precision():
        assert torch.get_float32_matmul_precision() == "medium"
    assert torch.get_float32_matmul_precision() == before
    seen = []
    pair = vae_pair()
    pair[1].trunk.register_forward_hook(lambda *_: seen.append(torch.get_float32_matmul_precision()))
    pair[1].layers["z"].register_full_backward_hook(lambda *_: seen.append(torch.get_float32_matmul_precision()))
    torch.manual_seed(0)
    batch = Batch(images(8), None, torch.arange(8))
    for _ in fit(*pair, PlainELBO(), [batch] * 2, lr=1e-2, device="cpu", precision="medium", progress=False):
        assert torch.get_float32_matmul_precision() == before
    assert seen == [before, "medium", "medium", "medium", "medium"]  # the trial run; then each step and its gradient


def test_other_precisions_and_other_types_are_refused():
    for wrong in ("fp16", "", 16, None, torch.bfloat16):
        with pytest.raises(ValueError, match="precision must be one of float32, medium, bf16, got"):
            fit(*vae_pair(), PlainELBO(), [], lr=1e-3, precision=wrong)
    double = [program.double() for program in vae_pair()]
    with pytest.raises(
        ValueError, match=r"bf16' is for pairs in float32, and VAE\.decoder\.0\.weight is torch.float64"
    ):
        fit(*double, PlainELBO(), [], lr=1e-3, precision="bf16")
    for right in PRECISIONS:
        check_precision(right, *vae_pair())


def one_rank(rank, count, port, folder):
    torch.set_default_dtype(torch.float32)
    with connected(rank, count, port):
        torch.set_default_dtype(torch.float32)
        torch.manual_seed(0)
        model, guide = vae_pair()
        x = images(8)
        types = set()
        guide.trunk[1].register_forward_hook(lambda module, inputs, output: types.add(output.dtype))
        objective = BetaTCVAE(beta=4.0, num_data=NUM_DATA)
        batches = [Batch(x, None, torch.arange(8))] * 3
        options = {"lr": 1e-2, "device": "cpu", "shards": True, "precision": "bf16", "progress": False}
        terms = [report.terms for _, report in fit(model, guide, objective, batches, **options)]
        assert distributed.get_world_size() == 2
        kept = {"terms": terms, "weights": [*model.parameters(), *guide.parameters()], "types": types}
        torch.save(kept, folder / f"{rank}.pt")


def test_ranks_share_batches_in_bf16_and_have_the_same_weights(tmp_path):
    run(one_rank, tmp_path)
    first, second = (torch.load(tmp_path / f"{rank}.pt", weights_only=False) for rank in range(2))
    assert first["types"] == second["types"] == {torch.float32, torch.bfloat16}  # the trial run, and the steps
    torch.testing.assert_close(first["terms"], second["terms"], rtol=0, atol=0)
    torch.testing.assert_close(first["weights"], second["weights"], rtol=0, atol=0)
    assert {weight.dtype for weight in first["weights"]} == {torch.float32}
