"""A compiled pass is the eager one: same draws, same figures, same gradients; and eager where it cannot be."""

import itertools
from functools import partial

import pyro
import pyro.distributions as dist
import pytest
import torch
from torch import nn

from guides import Amortized, Concrete, DirichletHead, FullRank, Head, MeanField, SemiAmortized
from zoo.elbos import BetaVAE, PlainELBO
from zoo.lab.data import Batch
from zoo.lab.training.fit import fit, ramp
from zoo.program import data_plate, register
from zoo.termwise import Hyperparameter, Statistic, TermwiseELBO, latent, observed, total

NUM_DATA, WIDTH, SIZE = 40, 6, 3

PRIORS = {
    "MeanField": lambda: dist.Normal(torch.zeros(SIZE), 1.0).to_event(1),
    "FullRank": lambda: dist.MultivariateNormal(torch.zeros(SIZE), scale_tril=torch.eye(SIZE)),
    # Its Cholesky decomposition checks its numbers, and the compiler keeps no graph with such a check: it is traced.
    "FullRank, covariance": lambda: dist.MultivariateNormal(torch.zeros(SIZE), torch.eye(SIZE)),
    "Concrete": lambda: dist.RelaxedOneHotCategorical(torch.tensor(0.7), logits=torch.zeros(SIZE)),
    "DirichletHead": lambda: dist.Dirichlet(torch.ones(SIZE)),
}
HEADS = {
    "MeanField": lambda: MeanField(SIZE),
    "FullRank": lambda: FullRank(SIZE),
    "FullRank, covariance": lambda: FullRank(SIZE),
    "Concrete": lambda: Concrete(SIZE, temperature=0.7),
    "DirichletHead": lambda: DirichletHead(SIZE),
}
OBJECTIVES = {
    "closed": lambda: PlainELBO(kl="closed"),
    "particles": lambda: BetaVAE(beta=2.0, kl="sampled", num_particles=3),
}


class Story(nn.Module):
    """A normal latent, latents of other families, and a real x."""

    def __init__(self, *priors):
        super().__init__()
        self.priors = priors
        self.decoder = nn.Linear((1 + len(priors)) * SIZE, WIDTH)

    def forward(self, x, *, index=None):
        register(self)
        with data_plate(x, index, NUM_DATA):
            latents = [pyro.sample("u", dist.Normal(torch.zeros(SIZE), 1.0).to_event(1))]
            latents += [pyro.sample(f"z{k}", prior()) for k, prior in enumerate(self.priors)]
            out = self.decoder(torch.cat(latents, -1))
            pyro.sample("x", dist.Normal(out, 0.5).to_event(1), obs=x)


def pair(*families: str, layers: tuple[nn.Module, ...] = (), head: Head | None = None):
    pyro.set_rng_seed(1)
    families = families or ("MeanField",)
    heads = {f"z{k}": head or HEADS[family]() for k, family in enumerate(families)}
    trunk = nn.Sequential(nn.Linear(WIDTH, 5), nn.Tanh(), *layers)
    guide = Amortized(trunk, u=MeanField(SIZE), **heads, num_data=NUM_DATA)
    return Story(*(PRIORS[family] for family in families)), guide


def batches(sizes=(8,) * 6, dtype=torch.float64):
    generator = torch.Generator().manual_seed(2)
    for size in sizes:
        index = torch.randperm(NUM_DATA, generator=generator)[:size]
        yield Batch(torch.randn(size, WIDTH, generator=generator, dtype=dtype), None, index)


def curve(model, guide, elbo, *, compile, data=None, schedule=None, seed=3):
    """Figures of every step, parameters and buffers at the end."""
    pyro.set_rng_seed(seed)
    rows = []
    for step, report in fit(model, guide, elbo, data or batches(), lr=1e-2, device="cpu", compile=compile):
        rows.append(torch.stack(list(report.figures().values())))
        if schedule:
            schedule(step, elbo)
    state = {f"{name}.{key}": t for name, m in (("m", model), ("g", guide)) for key, t in m.state_dict().items()}
    return torch.stack(rows), state


def assert_same(make_pair, make_elbo, **options):
    """Steps, weights and random state agree; the second run draws nothing that the first one does not."""
    eager, after_eager = curve(*make_pair(), make_elbo(), compile=False, **options)
    rng = torch.get_rng_state()
    compiled, after_compiled = curve(*make_pair(), make_elbo(), compile=True, **options)
    torch.testing.assert_close(compiled, eager, rtol=1e-9, atol=1e-11)
    # Adam divides a gradient by its size, so weights agree only if gradients do, however small.
    torch.testing.assert_close(after_compiled, after_eager, rtol=1e-7, atol=1e-9)
    assert torch.equal(torch.get_rng_state(), rng)
    return compiled, after_compiled


@pytest.mark.parametrize(("family", "objective"), list(itertools.product(HEADS, ["closed", "particles"])))
def test_traced_steps_are_the_eager_ones_on_the_same_draws(family, objective, as_traced):
    assert_same(lambda: pair(family), OBJECTIVES[objective])
    assert len(as_traced) == 1


# Each family and both kinds of KL, but not every pair: each costs the compiler some seconds. All have the normal u, and
# the other families are below.
def test_compiled_steps_are_the_eager_ones_on_the_same_draws():
    assert_same(lambda: pair("Concrete"), OBJECTIVES["particles"])


class Moving(TermwiseELBO):
    """An ELBO under a beta that changes, plus a running mean of the loss: weights 0.9 and 0.1."""

    beta = Hyperparameter()
    mean = Statistic()

    def __init__(self) -> None:
        super().__init__()
        self.beta = 1.0

    def terms(self, model_trace, guide_trace):
        log_p = sum(total(site) for _, site in observed(model_trace))
        kl = sum(total(site) for _, site in latent(guide_trace))
        self.mean = log_p if self.mean is None else 0.9 * self.mean + 0.1 * log_p
        return {"log p": log_p, "-KL": -self.beta * kl, "mean": 0.01 * self.mean * log_p}


def test_schedules_and_running_statistics_are_live(as_traced):
    def schedule(step, elbo):
        elbo.beta = ramp(step, 1.0, 4.0, over=5)

    elbos = []

    def make():
        elbos.append(Moving())
        return elbos[-1]

    rows, _ = assert_same(pair, make, schedule=schedule)
    eager, compiled = (elbo.state_dict() for elbo in elbos)
    assert compiled["beta"] == 4.0
    torch.testing.assert_close(compiled["mean"], eager["mean"])
    log_p, minus_kl, mean, kl_u, kl_z = rows[:, 2], rows[:, 3], rows[:, 4], rows[:, -2], rows[:, -1]
    betas = torch.tensor([1.0, 1.6, 2.2, 2.8, 3.4, 4.0])
    torch.testing.assert_close(-minus_kl / (kl_u + kl_z), betas)
    running = [log_p[0]]
    for value in log_p[1:]:
        running.append(0.9 * running[-1] + 0.1 * value)
    torch.testing.assert_close(mean / (0.01 * log_p), torch.stack(running))
    torch.testing.assert_close(compiled["mean"], running[-1])
    assert len(as_traced) == 1  # one graph reads every value


def test_buffers_come_out_dropout_draws_and_what_is_frozen_stays():
    def make():
        model, guide = pair("FullRank", "DirichletHead", layers=(nn.BatchNorm1d(5), nn.Dropout(0.5)))
        guide.trunk[0].requires_grad_(False)
        return model, guide

    _, frozen = make()
    _, state = assert_same(make, OBJECTIVES["closed"])
    assert state["g.trunk.2.num_batches_tracked"] == 6  # neither the trial run nor tracing counts
    assert not torch.equal(state["g.trunk.2.running_mean"], torch.zeros(5))
    assert torch.equal(state["g.trunk.0.weight"], frozen.trunk[0].weight)


def test_each_step_draws_anew_and_the_seed_governs_it(as_traced):
    # That the compiler leaves draws as they are traced is tested above, where they are those of an eager run.
    batch = next(batches())

    def losses(seed):
        model, guide = pair()
        for parameter in (*model.parameters(), *guide.parameters()):
            parameter.requires_grad_(parameter is guide.layers["u"][0].bias)
        pyro.set_rng_seed(seed)
        steps = fit(
            model, guide, PlainELBO(), [batch] * 4, optimizer=torch.optim.SGD, lr=1e-300, device="cpu", compile=True
        )
        return [report.loss.item() for _, report in steps]

    first = losses(7)
    assert len(set(first)) == 4  # nothing is learnt and the batch is the same, so only the draws move the loss
    assert losses(7) == first
    assert not set(losses(8)) & set(first)


def test_pyro_runs_while_tracing_and_never_again_except_for_a_batch_of_another_size(as_traced):
    model, guide = pair()
    calls = []
    model.register_forward_pre_hook(lambda *_: calls.append(1))
    seen = []
    data = batches(sizes=(8, 8, 8, 8, 5, 8))
    for _ in fit(model, guide, PlainELBO(), data, lr=1e-2, device="cpu", compile=True):
        seen.append(len(calls))
    assert seen[1:4] == [seen[0]] * 3
    assert seen[4:] == [seen[0] + 1] * 2
    assert_same(pair, PlainELBO, data=list(batches(sizes=(8, 5, 8))))


class Looking(MeanField):
    """A head that looks at its numbers, which no trace can hold."""

    def forward(self, raw):
        return super().forward(raw if raw.mean().item() > 100 else 0.5 * raw)


def test_a_pair_that_cannot_be_traced_trains_eagerly_and_says_why_once():
    with pytest.warns(
        RuntimeWarning, match=r"cannot be compiled.*continues eagerly \(RuntimeError: .*tensor"
    ) as warned:
        assert_same(lambda: pair(head=Looking(SIZE)), PlainELBO)
    assert len(warned) == 1


class Plain(nn.Module):
    """A latent and a real x: the compiler has to go through the whole graph before it is missing."""

    def forward(self, x, *, index=None):
        register(self)
        with data_plate(x, index, NUM_DATA):
            z = pyro.sample("z", dist.Normal(torch.zeros(WIDTH), 1.0).to_event(1))
            pyro.sample("x", dist.Normal(z, 0.5).to_event(1), obs=x)


def plain_pair():
    pyro.set_rng_seed(1)
    return Plain(), Amortized(nn.Linear(WIDTH, 2), z=MeanField(WIDTH), num_data=NUM_DATA)


def test_without_a_compiler_the_run_goes_on_eagerly():
    from torch._inductor import config

    with (
        config.patch({"cpp.cxx": ("no-such-compiler",), "force_disable_caches": True}),
        pytest.warns(RuntimeWarning, match="cannot be compiled.*no-such-compiler|cannot be compiled.*[Cc]ompiler"),
    ):
        assert_same(plain_pair, lambda: PlainELBO(kl="sampled"))


class Changing(nn.Module):
    """A layer that replaces its buffers instead of writing to them, and has a number."""

    def __init__(self):
        super().__init__()
        self.factor = 1.0
        self.register_buffer("mean", torch.zeros(5))
        self.register_buffer("count", torch.zeros(()))
        self.register_buffer("temperature", torch.ones(()), persistent=False)

    def forward(self, h):
        if self.training:
            self.mean = 0.9 * self.mean + 0.1 * h.detach().mean(0)
            self.count = self.count + 1
        return self.factor * (h - self.mean) / self.temperature


def test_buffers_that_a_pass_replaces_come_out(as_traced):
    """Before: only what was written to a buffer in place came out, and the trial run left its replacement behind."""
    _, state = assert_same(lambda: pair(layers=(Changing(),)), PlainELBO, data=list(batches(sizes=(8, 8, 5, 8))))
    assert state["g.trunk.2.count"] == 4
    assert not torch.equal(state["g.trunk.2.mean"], torch.zeros(5))


def body(change):
    """As a schedule, which is given the objective, for a change of the pair that is made by `make`."""
    pairs = []

    def make():
        pairs.append(pair(layers=(Changing(),)))
        return pairs[-1]

    return make, lambda step, _: change(step, *pairs[-1])


def test_a_buffer_may_be_replaced_between_steps(as_traced):
    def anneal(step, model, guide):
        guide.trunk[2].temperature = torch.tensor(1.0 + step)

    make, schedule = body(anneal)
    assert_same(make, PlainELBO, schedule=schedule)
    assert len(as_traced) == 1


CHANGES = {
    "a number": (lambda step, model, guide: vars(guide.trunk[2]).update(factor=1.0 + step // 2), "factor was 1.0"),
    "a mode": (lambda step, model, guide: guide.trunk[2].train(step != 2), "training was True, and is False"),
    "frozen": (
        lambda step, model, guide: guide.trunk.requires_grad_(step < 2),
        "guide.trunk.0.weight.requires_grad was True, and is False",
    ),
    "a buffer of another type": (
        lambda step, model, guide: guide.trunk[2].register_buffer("temperature", torch.tensor(2)),
        "temperature, its shape, stride, type and device, was",
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_a_trace_holds_may_change_and_steps_are_eager_then(change, as_traced):
    """Before: a compiled step silently used what it had been traced with."""
    make, schedule = body(CHANGES[change][0])
    with pytest.warns(RuntimeWarning, match=f"the pair has changed since.*{CHANGES[change][1]}.*eagerly") as warned:
        assert_same(make, PlainELBO, schedule=schedule)
    assert len(warned) == 1


class Counting(nn.Module):
    """A layer that counts its calls in a Python number."""

    def __init__(self):
        super().__init__()
        self.calls = 0

    def forward(self, h):
        self.calls += 1
        return h / self.calls


def test_a_number_that_every_pass_changes_is_not_traced(as_traced):
    with pytest.warns(RuntimeWarning, match=r"cannot be compiled.*guide\.trunk\.2\.calls was .* make it a buffer"):
        assert_same(lambda: pair(layers=(Counting(),)), PlainELBO)


def refined(objective, pairs):
    """A guide that is improved under a copy of the objective."""
    pairs.append(pair())
    model, guide = pairs[-1]
    pairs[-1] = model, SemiAmortized(guide, partial(objective().differentiable_loss, model), steps=2, lr=0.1)
    return pairs[-1]


def test_a_second_objective_with_running_statistics_is_not_traced(as_traced):
    """Before: a compiled step improved the guide under the statistics of the first step."""
    with pytest.warns(RuntimeWarning, match=r"cannot be compiled.*the state of a second Moving.*after a pass"):
        assert_same(lambda: refined(Moving, []), Moving)


def test_a_second_objective_may_change_and_steps_are_eager_then(as_traced):
    pairs = []

    def schedule(step, elbo):
        elbo.beta = pairs[-1][1].loss.func.__self__.beta = 1.0 + step // 3

    with pytest.warns(RuntimeWarning, match="the state of a second BetaVAE.* was .*1}, and is .*2}"):
        assert_same(lambda: refined(lambda: BetaVAE(beta=1.0), pairs), lambda: BetaVAE(beta=1.0), schedule=schedule)


class Shared(nn.Module):
    """A layer and its batch norm, which model and guide both have."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(5, 5), nn.BatchNorm1d(5), nn.Tanh())

    def forward(self, h):
        return self.layers(h)


@pytest.mark.parametrize("tied", [False, True], ids=["a module", "a parameter"])
def test_what_model_and_guide_share_stays_theirs(tied, as_traced):
    """Before: after tracing, a module of two names held copies, which steps on batches of another size trained."""

    def make():
        pyro.set_rng_seed(4)
        common = Shared()
        model, guide = pair(layers=(common,))
        ours = Shared() if tied else common
        ours.layers[0].weight = common.layers[0].weight
        model.decoder = nn.Sequential(nn.Linear(2 * SIZE, 5), ours, nn.Linear(5, WIDTH))
        return model, guide

    _, state = assert_same(make, PlainELBO, data=list(batches(sizes=(8, 8, 5, 8))))
    assert torch.equal(state["m.decoder.1.layers.0.weight"], state["g.trunk.2.layers.0.weight"])
    assert state["g.trunk.2.layers.1.num_batches_tracked"] == (4 if tied else 8)
