"""Pairs that are trained together: each one's curve and parameters are those of its own `fit`.

The oracle is `fit` on a copy of each member, from the same random state. Only the order of sums differs, so in double
precision the two agree to 1e-10, with real sampling.
"""

import copy
import itertools
import warnings

import pyro
import pytest
import torch
from torch import nn

from guides import Amortized, Exact, FullRank, MeanField, StraightThrough
from tests.lab.training.test_compiled import Counting
from tests.objectives import type_information
from tests.pairs import NUM_DATA, SHAPE, cvae_pair, joint_pair, nvae_pair, vae_pair
from zoo import VAE
from zoo.elbos import (
    DIPVAE,
    HFVAE,
    BetaTCVAE,
    BetaVAE,
    Capacity,
    FactorVAE,
    NaturalClusteringELBO,
    PlainELBO,
)
from zoo.lab.data import Batch
from zoo.lab.training.fit import fit
from zoo.lab.training.stacked_optimizer import ELEMENTWISE, StackedOptimizer
from zoo.lab.training.together import CannotStackError, DivergedError, Member, fit_restarts

STEPS = 4


def batches(seed, *, num=STEPS, size=9, labels=0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(NUM_DATA, *SHAPE, generator=generator)
    drawn = [torch.randperm(NUM_DATA, generator=generator)[:size] for _ in range(num)]
    return [Batch(x[index], index % labels if labels else None, index) for index in drawn]


def member(seed, pair, elbo, **options):
    pyro.set_rng_seed(seed)
    model, guide = pair()
    return Member(model, guide, elbo, batches(seed, **options), random=torch.get_rng_state())


def weights(one):
    return [t.detach().clone() for module in (one.model, one.guide) for t in module.state_dict().values()]


def alone(one, *, schedule=None, optimizer=None, lr=1e-2):
    """The curve, the parameters, the optimiser's state and the last random state of a copy's own `fit`."""
    one = copy.deepcopy(one)
    torch.set_rng_state(one.random)
    curve = []
    made = []

    def make(parameters, lr):
        made.append((optimizer or torch.optim.Adam)(parameters, lr=lr))
        return made[-1]

    for step, report in fit(one.model, one.guide, one.elbo, one.batches, lr=lr, optimizer=make, device="cpu"):
        curve.append(report.figures())
        if schedule:
            schedule(step, one.elbo)
    return curve, weights(one), made[0].state_dict()["state"], torch.get_rng_state(), one.elbo.state_dict()


def assert_each_as_alone(members, *, schedule=None, optimizer=torch.optim.Adam, lr=1e-2, compile=False):
    own = [alone(one, schedule=schedule, optimizer=optimizer, lr=lr) for one in members]
    before = torch.get_rng_state()
    curves = [[] for _ in members]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        steps = fit_restarts(members, lr=lr, optimizer=optimizer, device="cpu", compile=compile)
        for count, (step, reports) in enumerate(steps, start=1):
            assert step == count
            for one, report, curve in zip(members, reports, curves, strict=True):
                curve.append(report.figures())
                if schedule:
                    schedule(step, one.elbo)
    assert torch.equal(torch.get_rng_state(), before)  # the global generator is not used
    for one, curve, (own_curve, parameters, state, random, statistics) in zip(members, curves, own, strict=True):
        close = {"rtol": 1e-10, "atol": 1e-10}
        torch.testing.assert_close(curve, own_curve, **close)
        torch.testing.assert_close(weights(one), parameters, **close)
        torch.testing.assert_close(one.optimizer.state_dict()["state"], state, **close)
        torch.testing.assert_close(dict(one.elbo.state_dict()), dict(statistics), **close)
        assert torch.equal(one.random, random)  # as many draws, in the same order


def small():
    """The smallest pair, where only the training is of interest: it takes the least time to trace."""
    pixels = SHAPE[1] * SHAPE[2]
    model = VAE(nn.Sequential(nn.Linear(2, pixels), nn.Unflatten(-1, SHAPE)), z_dim=2, num_data=NUM_DATA)
    return model, Amortized(nn.Sequential(nn.Flatten(), nn.Linear(pixels, 3)), z=MeanField(2), num_data=NUM_DATA)


def types():
    return joint_pair(c_dims=(3,))


def labelled():
    return cvae_pair(num_data=NUM_DATA)


def classes():
    return nvae_pair(num_data=NUM_DATA)


GRIDS = {  # a pair, and the objective of member 0, 1, 2; the plain ELBO and beta are in tests of their own below
    "sampled, 3 particles": (vae_pair, lambda k: BetaVAE(beta=2.0 + k, kl="sampled", num_particles=3)),
    "TC by pairwise scores": (vae_pair, lambda k: BetaTCVAE(beta=1.0 + k, num_data=NUM_DATA)),
    "HFVAE, Concrete": (types, lambda k: HFVAE(alpha=1.0 + k, beta=2.0, gamma=3.0 - k, num_data=NUM_DATA)),
    "capacity": (types, lambda k: Capacity(gamma={"z": 3.0 + k, "c": 2.0}, capacity={"z": 0.5, "c": 0.1 * k})),
    "a step along a gradient": (types, lambda k: type_information(smoothness=1.0 + k)),
    "DIP, whose first pass makes a statistic": (vae_pair, lambda k: DIPVAE(lambda_od=2.0, lambda_d=1.0 + k, rate=0.1)),
    "Cholesky factors": (lambda: vae_pair(head=FullRank(2)), lambda k: BetaVAE(beta=1.0 + k)),
}


@pytest.mark.parametrize("grid", GRIDS)
def test_a_member_trains_as_by_itself(grid):
    pair, elbo = GRIDS[grid]
    assert_each_as_alone([member(seed, pair, elbo(seed)) for seed in range(3)])


def test_a_conditional_head_given_labels_and_the_last_batch_smaller():
    # Two forms of batches, 9 and 4 datapoints, so two graphs.
    members = [member(seed, labelled, BetaVAE(beta=1.0 + seed), labels=3) for seed in range(2)]
    for one in members:
        one.batches[-1] = Batch(*(part[:4] for part in one.batches[-1]))
    assert_each_as_alone(members)


def test_draws_that_depend_on_the_encoder_are_the_members_own():
    # A Dirichlet draw has no noise that could be drawn beforehand: the sampler repeats the encoder for it.
    members = [member(seed, classes, NaturalClusteringELBO(beta_c=1.0 + seed), labels=3) for seed in range(2)]
    assert_each_as_alone(members)


@pytest.mark.parametrize("head", [Exact, StraightThrough])
def test_one_hot_types_summed_out_or_drawn(head):
    from zoo.joint_vae import JointVAE
    from zoo.lab.networks import MLPDecoder, MLPEncoder

    def pair():
        model = JointVAE(MLPDecoder(5, SHAPE, hidden=(8,)), z_dim=2, c_dims=(3,), temperature=None, num_data=NUM_DATA)
        made = Exact(3) if head is Exact else StraightThrough(3, temperature=0.67)
        return model, Amortized(MLPEncoder(SHAPE, hidden=(8,)), num_data=NUM_DATA, z=MeanField(2), c=made)

    assert_each_as_alone([member(seed, pair, BetaVAE(beta=1.0 + seed)) for seed in range(2)])


def test_batch_norm_dropout_and_a_frozen_layer():
    # The running mean and variance are buffers, which each member changes by its own batches; dropout draws.
    def pair():
        model, guide = vae_pair()
        guide.trunk = nn.Sequential(*guide.trunk, nn.BatchNorm1d(7), nn.Dropout(0.5))
        guide.trunk[1].weight.requires_grad_(False)
        return model, guide

    members = [member(seed, pair, PlainELBO()) for seed in range(3)]
    assert_each_as_alone(members)
    assert [int(one.guide.trunk[3].num_batches_tracked) for one in members] == [STEPS] * 3


def test_schedules_of_each_member():
    members = [member(seed, vae_pair, BetaVAE(beta=[0.5, 1.0, 4.0][seed])) for seed in range(3)]

    def schedule(step, elbo):
        elbo.beta = 2.0 * elbo.beta.item()

    assert_each_as_alone(members, schedule=schedule)
    assert [one.elbo.beta.item() for one in members] == [8.0, 16.0, 64.0]


class Scaled(nn.Module):
    """A layer that replaces its buffers instead of writing to them, and has a number."""

    def __init__(self):
        super().__init__()
        self.factor = 1.0
        self.register_buffer("mean", torch.zeros(7))
        self.register_buffer("temperature", torch.ones(()), persistent=False)

    def forward(self, h):
        if self.training:
            self.mean = 0.9 * self.mean + 0.1 * h.detach().mean(0)
        return self.factor * (h - self.mean) / self.temperature


def scaled():
    model, guide = vae_pair()
    guide.trunk.append(Scaled())
    return model, guide


def anneal(step, one):
    one.guide.trunk[3].temperature = torch.tensor(1.0 + step)


def enlarge(step, one):
    one.guide.trunk[3].factor = 1.0 + step // 2


def decay(step, one):
    for group in one.optimizer.param_groups:
        group["lr"] = 1e-2 * 0.5**step


@pytest.mark.parametrize("change", [None, anneal, enlarge, decay])
def test_buffers_numbers_and_learning_rates_may_change(change):
    """Before: the stack kept those of the first step; and buffers that a pass replaces stayed as they were."""
    members = [member(seed, scaled, PlainELBO()) for seed in range(2)]
    own = []
    for one in map(copy.deepcopy, members):
        torch.set_rng_state(one.random)
        one.optimizer = torch.optim.Adam([*one.model.parameters(), *one.guide.parameters()], lr=1e-2)
        steps = fit(one.model, one.guide, one.elbo, one.batches, optimizer=one.optimizer, device="cpu")
        curve = [(report.figures(), change and change(step, one)) for step, report in steps]
        own.append(([figures for figures, _ in curve], weights(one)))
    curves = [[] for _ in members]
    for step, reports in fit_restarts(members, lr=1e-2, optimizer=torch.optim.Adam, device="cpu"):
        for one, report, curve in zip(members, reports, curves, strict=True):
            curve.append(report.figures())
            if change:
                change(step, one)
    for one, curve, (own_curve, own_weights) in zip(members, curves, own, strict=True):
        torch.testing.assert_close(curve, own_curve, rtol=1e-10, atol=1e-10)
        torch.testing.assert_close(weights(one), own_weights, rtol=1e-10, atol=1e-10)


def test_a_number_that_every_pass_changes_is_refused_by_name_and_left():
    members = [member(seed, vae_pair, PlainELBO()) for seed in range(2)]
    for one in members:
        one.guide.trunk.append(Counting())
    with pytest.raises(
        CannotStackError, match=r"guide\.trunk\.3\.calls was (\d), and is .* make it a buffer"
    ) as refused:
        fit_restarts(members, lr=1e-2, device="cpu")
    before = int(str(refused.value).split("calls was ")[1][0])
    assert [one.guide.trunk[3].calls for one in members] == [before] * 2


def one_learning_rate(members):
    members[1].optimizer.param_groups[0]["lr"] = 1e-3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda members: members[1].guide.trunk.requires_grad_(False),
            r"requires_grad of guide\.trunk\.1\.bias of member 1",
        ),
        (one_learning_rate, "the optimiser of member 1 differs from that of member 0"),
        (
            lambda members: [setattr(one.guide.trunk[3], "temperature", torch.ones(7)) for one in members],
            r"guide\.trunk\.3\.temperature of member 0 became torch.float64 \[7\], and was torch.float64 \[\]",
        ),
    ],
    ids=["frozen", "a learning rate", "a shape"],
)
def test_changes_that_no_stack_holds_are_refused(change, message):
    members = [member(seed, scaled, PlainELBO()) for seed in range(2)]
    steps = fit_restarts(members, lr=1e-2, device="cpu")
    next(steps)
    change(members)
    with pytest.raises(CannotStackError, match=message):
        next(steps)


def test_optimisers_of_which_one_has_taken_no_step_are_refused():
    """Before: where member 0's was the new one, the other's state was lost."""
    members = [member(seed, small, PlainELBO()) for seed in range(2)]
    for one in members:
        one.optimizer = torch.optim.Adam([*one.model.parameters(), *one.guide.parameters()], lr=1e-2)
    one = members[1]
    list(fit(one.model, one.guide, one.elbo, one.batches, optimizer=one.optimizer, device="cpu"))
    for order in (members, members[::-1]):
        with pytest.raises(CannotStackError, match=r"different numbers of steps .some have taken none."):
            fit_restarts(order)


def test_one_member_is_fit():
    assert_each_as_alone([member(5, vae_pair, PlainELBO())])


def test_the_compiled_graph_gives_the_same():
    assert_each_as_alone([member(seed, small, BetaVAE(beta=1.0 + seed)) for seed in range(2)], compile=True)


@pytest.mark.parametrize("kind", ELEMENTWISE)
def test_one_optimiser_for_a_stack_is_one_for_each(kind):
    options = {torch.optim.SGD: {"momentum": 0.9}, torch.optim.Rprop: {}}.get(kind, {"weight_decay": 0.1})
    shapes = [(2, 3), (4,), ()]  # without dimensions, too: its moments must not be taken for a count of steps
    own = [[nn.Parameter(torch.randn(shape)) for shape in shapes] for _ in range(3)]
    twins = [[nn.Parameter(p.detach().clone()) for p in one] for one in own]
    optimizers, theirs = ([kind(one, lr=0.1, **options) for one in side] for side in (own, twins))
    stacks = [torch.stack([p.detach() for p in column]) for column in zip(*own, strict=True)]
    stacked = StackedOptimizer(optimizers, own, stacks)
    for _ in range(4):
        gradients = [torch.randn(3, *shape) for shape in shapes]
        stacked.step(gradients)
        for member_, (one, optimizer) in enumerate(zip(twins, theirs, strict=True)):
            for p, gradient in zip(one, gradients, strict=True):
                p.grad = gradient[member_]
            optimizer.step()
    for member_, (one, optimizer) in enumerate(zip(twins, theirs, strict=True)):
        torch.testing.assert_close([stack[member_] for stack in stacks], [p.detach() for p in one])
        torch.testing.assert_close(
            optimizers[member_].state_dict()["state"], optimizer.state_dict()["state"], rtol=1e-12, atol=1e-12
        )


def test_modules_show_every_step_and_training_goes_on_from_the_members_optimisers_and_random_states():
    whole = [member(seed, small, BetaVAE(beta=1.0 + seed)) for seed in range(2)]
    halves = copy.deepcopy(whole)
    seen = [weights(whole[0])]
    for _ in fit_restarts(whole, lr=1e-2):
        seen.append(weights(whole[0]))
    assert len(seen) == 1 + STEPS
    assert not any(torch.equal(before[0], after[0]) for before, after in itertools.pairwise(seen))
    for parameter in whole[0].model.parameters():  # not a part of a stack, which a pickle would hold as a whole
        assert parameter.untyped_storage().nbytes() == parameter.numel() * 8
    for begin, end in ((0, 2), (2, STEPS)):
        parts = [Member(m.model, m.guide, m.elbo, m.batches[begin:end], m.random, m.optimizer) for m in halves]
        rate = None if begin else 1e-2
        assert [step for step, _ in fit_restarts(parts, lr=rate, start=begin)] == list(range(begin + 1, end + 1))
        halves = [
            Member(m.model, m.guide, m.elbo, h.batches, m.random, m.optimizer)
            for m, h in zip(parts, halves, strict=True)
        ]
    for one, other in zip(whole, halves, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(weights(one), weights(other), strict=True))


# What cannot be stacked is refused when `fit_restarts` is called, before anything is trained.


def with_number(value):
    def pair():
        model, guide = vae_pair()
        guide.layers.register_module("extra", nn.Dropout(value))
        return model, guide

    return pair


class Looking(MeanField):
    """A head that looks at its numbers, which no trace can hold."""

    def forward(self, raw):
        return super().forward(raw if raw.mean().item() > 100 else 0.5 * raw)


class Hidden(MeanField):
    """A head with a number where no comparison of attributes finds it."""

    def __init__(self, size, factor):
        super().__init__(size)
        self.scaled = lambda raw: factor * raw

    def forward(self, raw):
        return super().forward(self.scaled(raw))


def clipped(parameters, lr):
    made = torch.optim.Adam(parameters, lr=lr)
    made.register_step_pre_hook(lambda *_: nn.utils.clip_grad_norm_(parameters, 1.0))
    return made


REFUSED = {
    "another architecture": (
        lambda: [member(0, vae_pair, PlainELBO()), member(1, lambda: vae_pair(z_dim=3), PlainELBO())],
        {},
        r"model\.loc is \(\[3\], .* in member 1, \(\[2\], .* in member 0: train each form by itself",
    ),
    "another objective": (
        lambda: [member(0, vae_pair, PlainELBO()), member(1, vae_pair, BetaVAE(beta=1.0))],
        {},
        "elbo is 'BetaVAE' in member 1, 'PlainELBO' in member 0",
    ),
    "another setting of the objective": (
        lambda: [member(k, vae_pair, PlainELBO(kl=kl)) for k, kl in enumerate(["closed", "sampled"])],
        {},
        r"elbo\.kl is 'sampled' in member 1, 'closed' in member 0",
    ),
    "hyperparameters of other sites": (
        lambda: [member(0, vae_pair, BetaVAE(beta=2.0)), member(1, vae_pair, BetaVAE(beta={"z": 2.0}))],
        {},
        r"elbo\.state_dict\(\) is \['beta.z'\] in member 1, \['beta'\] in member 0",
    ),
    "another number": (
        lambda: [member(0, with_number(0.5), PlainELBO()), member(1, with_number(0.4), PlainELBO())],
        {},
        r"guide\.layers\.extra\.p is 0.4 in member 1, 0.5 in member 0",
    ),
    "a hidden number": (
        lambda: [member(k, lambda k=k: vae_pair(head=Hidden(2, 1.0 + k)), PlainELBO()) for k in range(2)],
        {},
        "member 1 cannot be trained together with member 0.*the two differ in something else",
    ),
    "another batch size": (
        lambda: [member(0, vae_pair, PlainELBO()), member(1, vae_pair, PlainELBO(), size=8)],
        {},
        r"shapes \[\[8, 1, 3, 5\], \[8\]\] in member 1, .*give all the same batch size",
    ),
    "a pair that cannot be traced": (
        lambda: [member(k, lambda: vae_pair(head=Looking(2)), PlainELBO()) for k in range(2)],
        {},
        "cannot be traced.*train each by fit",
    ),
    "a network in the objective": (
        lambda: [member(k, vae_pair, FactorVAE(gamma=1.0, log_ratio=nn.Linear(2, 1))) for k in range(2)],
        {},
        "FactorVAE has a network of its own .log_ratio.",
    ),
    "clipping by norm": (
        lambda: [member(k, vae_pair, PlainELBO()) for k in range(2)],
        {"optimizer": clipped},
        "the optimiser Adam may mix the gradients.*without hooks, or train each pair by fit",
    ),
    "an optimiser that may mix": (
        lambda: [member(k, vae_pair, PlainELBO()) for k in range(2)],
        {"optimizer": torch.optim.Adafactor},  # its step depends on the norm of all numbers of a parameter
        "the optimiser Adafactor may mix",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_stacked_is_refused_before_training(case):
    make, options, message = REFUSED[case]
    members = make()
    before = [weights(one) for one in members]
    with pytest.raises(CannotStackError, match=message) as refused:
        fit_restarts(members, lr=1e-2, **options)
    assert "\n" not in str(refused.value)
    for one, own in zip(members, before, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(weights(one), own, strict=True))
        assert all(p.untyped_storage().nbytes() == p.numel() * p.element_size() for p in one.model.parameters())
        assert one.optimizer is None


def test_a_network_of_two_members_is_refused_unless_it_is_not_trained():
    one, other = (member(seed, vae_pair, PlainELBO()) for seed in (0, 1))
    other.model.decoder = one.model.decoder
    with pytest.raises(ValueError, match=r"member 1 has a parameter of member 0, \w+\.decoder\.\S+, so that each"):
        fit_restarts([one, other], lr=1e-2)
    one.model.decoder.requires_grad_(False)
    assert len(list(fit_restarts([one, other], lr=1e-2))) == STEPS


def test_bad_arguments_are_refused_by_name():
    one = member(0, vae_pair, PlainELBO())
    with pytest.raises(TypeError, match=r"one or more Member\(model, guide, elbo, batches\)"):
        fit_restarts([], lr=1e-2)
    with pytest.raises(TypeError, match=r"one or more Member"):
        fit_restarts([(one.model, one.guide)], lr=1e-2)
    with pytest.raises(TypeError, match=r"one or more Member"):
        fit_restarts(one, lr=1e-2)
    with pytest.raises(TypeError, match="fit needs lr="):
        fit_restarts([one])
    resumed = member(1, vae_pair, PlainELBO())
    resumed.optimizer = torch.optim.Adam(resumed.model.parameters())
    with pytest.raises(ValueError, match="every member has an optimizer, or none"):
        fit_restarts([one, resumed])
    for what in ("model", "guide", "elbo"):
        other = member(1, vae_pair, PlainELBO())
        setattr(other, what, getattr(one, what))
        with pytest.raises(ValueError, match=f"member 1 has the same {what} as member 0: give each member its own"):
            fit_restarts([one, other], lr=1e-2)
    drawn = iter(batches(0))
    shared = [Member(m.model, m.guide, m.elbo, drawn) for m in (one, member(1, vae_pair, PlainELBO()))]
    with pytest.raises(ValueError, match="member 1 has the same batches as member 0"):
        fit_restarts(shared, lr=1e-2)
    with pytest.raises(ValueError, match="the optimiser has none of the pair's parameters"):
        fit_restarts([one], lr=1e-2, optimizer=lambda _, lr: torch.optim.Adam([nn.Parameter(torch.zeros(1))], lr=lr))
    with pytest.raises(TypeError, match="LBFGS computes the loss anew within its step"):
        fit_restarts([one], lr=1e-2, optimizer=torch.optim.LBFGS)
    with (
        torch.no_grad(),
        pytest.raises(ValueError, match=r"training needs gradients, and torch\.no_grad\(\) disables them"),
    ):
        fit_restarts([one], lr=1e-2)
    frozen = member(1, vae_pair, PlainELBO())
    for program in (frozen.model, frozen.guide):
        program.requires_grad_(False)
    with pytest.raises(ValueError, match="parameters requires a gradient, so there is nothing to train"):
        fit_restarts([frozen], lr=1e-2)
    with pytest.raises(ValueError, match="batches is empty"):
        fit_restarts([Member(one.model, one.guide, one.elbo, [])], lr=1e-2)
    with pytest.raises(ValueError, match="member 1 has fewer batches"):
        list(fit_restarts([member(0, small, PlainELBO()), member(1, small, PlainELBO(), num=2)], lr=1e-2))


def test_a_loss_that_is_not_finite_names_the_member_and_takes_no_step():
    members = [member(seed, small, PlainELBO()) for seed in range(3)]
    bad = members[1].batches
    bad[1] = bad[1]._replace(x=bad[1].x + 2.0)  # outside [0, 1], where log p is -inf
    steps = fit_restarts(members, lr=1e-2)
    assert next(steps)[0] == 1
    after_one = [weights(one) for one in members]
    with pytest.raises(
        DivergedError, match=r"member 1, step 2: the loss is not finite: term log p\(x\) = -inf"
    ) as raised:
        next(steps)
    assert raised.value.member == 1
    for one, own in zip(members, after_one, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(weights(one), own, strict=True))


@pytest.mark.parametrize(("precision", "bound"), [("float32", 1e-5), ("medium", 1e-2), ("bf16", 1e-2)])
def test_members_train_in_the_precision_that_was_asked_for(precision, bound):
    # The networks' outputs are rounded to 8 bits in bfloat16, so that curves agree with `fit` to about a per cent;
    # the draws are the same, since they come from the same random states.
    torch.set_default_dtype(torch.float32)
    members = [member(seed, vae_pair, PlainELBO()) for seed in range(3)]
    types = set()
    for one in members:
        one.guide.trunk[1].register_forward_hook(lambda module, inputs, output: types.add(output.dtype))
    own = []
    for one in map(copy.deepcopy, members):
        torch.set_rng_state(one.random)
        options = {"lr": 1e-2, "device": "cpu", "precision": precision, "progress": False}
        own.append([report.loss for _, report in fit(one.model, one.guide, one.elbo, one.batches, **options)])
    types.clear()
    steps = fit_restarts(members, lr=1e-2, device="cpu", precision=precision, progress=False)
    curves = [[report.loss for report in reports] for _, reports in steps]
    torch.testing.assert_close(torch.tensor(curves).T, torch.tensor(own), rtol=bound, atol=bound)
    assert (torch.bfloat16 in types) == (precision == "bf16")
    assert {p.dtype for one in members for p in one.model.parameters()} == {torch.float32}


def test_a_precision_that_does_not_exist_or_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="precision must be one of float32, medium, bf16, got 'half'"):
        fit_restarts([member(0, vae_pair, PlainELBO())], lr=1e-2, precision="half")
    with pytest.raises(ValueError, match="precision='bf16' is for pairs in float32, and VAE"):
        fit_restarts([member(0, vae_pair, PlainELBO())], lr=1e-2, precision="bf16")
