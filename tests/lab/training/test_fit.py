"""The loop: it trains, shows its schedule, leaves the world as it was, and stops where it must."""

import pyro
import pytest
import torch
from pyro.infer import SVI
from torch import nn

from guides import Amortized, Concrete, Exact
from tests.pairs import SHAPE, vae_pair
from zoo.elbos import BetaVAE, PlainELBO
from zoo.lab.data import Batch, Dataset
from zoo.lab.device import find_device
from zoo.lab.training.fit import adam, fit, ramp


def batches(num=40, size=11, seed=5):
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(70, *SHAPE, generator=generator)
    for _ in range(num):
        index = torch.randperm(70, generator=generator)[:size]
        yield Batch(x[index], None, index)


def test_fit_takes_the_steps_that_plain_svi_takes():
    pairs = []
    for _ in range(2):
        pyro.set_rng_seed(3)
        pairs.append(vae_pair())
    pyro.set_rng_seed(4)
    by_fit = [report.loss.item() for _, report in fit(*pairs[0], PlainELBO(), batches(), lr=1e-2, device="cpu")]
    pyro.set_rng_seed(4)
    svi = SVI(*pairs[1], pyro.optim.Adam({"lr": 1e-2}), loss=PlainELBO())
    by_svi = [svi.step(batch.x, index=batch.index) for batch in batches()]
    # The trial run of fit leaves the random state alone, so that the very same numbers are drawn.
    assert by_fit == pytest.approx(by_svi, rel=1e-9)
    for ours, theirs in zip(pairs[0][0].parameters(), pairs[1][0].parameters(), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_steps_are_counted_from_one_and_the_body_sets_what_the_next_step_sees():
    elbo = BetaVAE(beta=1.0)
    seen = []
    for step, report in fit(*vae_pair(), elbo, batches(6), lr=1e-3):
        weight = report.terms["-KL(z)"] / -report.kl["z"].sum()
        seen.append((step, weight.item()))
        elbo.beta = ramp(step, 1.0, 3.0, over=4)
    assert [step for step, _ in seen] == [1, 2, 3, 4, 5, 6]
    assert [weight for _, weight in seen] == pytest.approx([1.0, 1.5, 2.0, 2.5, 3.0, 3.0])


@pytest.mark.parametrize(("step", "expected"), [(0, 2.0), (1, 2.75), (2, 3.5), (4, 5.0), (5, 5.0), (1_000, 5.0)])
def test_a_ramp_is_a_line_and_then_constant(step, expected):
    assert ramp(step, 2.0, 5.0, over=4) == pytest.approx(expected)
    assert ramp(step, 5.0, 2.0, over=4) == pytest.approx(7.0 - expected)  # falling ones are legal
    assert ramp(step, 1.5, 1.5, over=4) == 1.5


def test_two_fresh_pairs_in_a_row_both_learn_and_the_store_is_not_involved():
    before = set(pyro.get_param_store().keys())
    for _ in range(2):
        losses = [report.loss.item() for _, report in fit(*vae_pair(), PlainELBO(), batches(60), lr=1e-2)]
        assert sum(losses[:5]) - sum(losses[-5:]) > 5 * 0.3
    assert set(pyro.get_param_store().keys()) == before


def test_figures_are_detached_and_stay_as_they_were():
    reports = [report for _, report in fit(*vae_pair(), PlainELBO(), batches(3), lr=1e-2)]
    losses = [report.loss.item() for report in reports]
    assert len(set(losses)) == 3
    assert not any(value.requires_grad for report in reports for value in report.figures().values())
    assert list(reports[0].figures()) == ["loss", "elbo", "term/log p(x)", "term/-KL(z)", "reconstruction/x", "kl/z"]


def test_validation_comes_back_after_each_step():
    for _ in fit(*vae_pair(), PlainELBO(), batches(2), lr=1e-2):
        assert pyro.distributions.util.is_validation_enabled()
        assert pyro.infer.util.is_validation_enabled()


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (torch.full((4, *SHAPE), 3.0), r"site 'x': values in \[3, 3\]"),
        (torch.zeros(4, 15), r"site 'x': the decoder returns events of shape \(1, 3, 5\)"),
    ],
)
def test_data_that_does_not_fit_is_named_before_anything_is_trained(x, message):
    model, guide = vae_pair()
    before = [p.clone() for p in model.parameters()]
    with pytest.raises(ValueError, match=message):
        next(iter(fit(model, guide, PlainELBO(), [Batch(x, None, torch.arange(4))], lr=1e-2)))
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


def test_no_batch_at_all_is_an_error():
    with pytest.raises(ValueError, match="batches is empty"):
        next(iter(fit(*vae_pair(), PlainELBO(), [], lr=1e-2)))


def test_a_loss_that_is_not_finite_names_step_term_and_site_and_takes_no_step():
    model, guide = vae_pair()
    good = list(batches(2))
    bad = good[1]._replace(x=good[1].x + 2.0)  # outside [0, 1], where log p is -inf
    steps = fit(model, guide, PlainELBO(), [*good, bad], lr=1e-2)
    assert [next(steps)[0], next(steps)[0]] == [1, 2]
    after_two = [p.clone() for p in model.parameters()]
    with pytest.raises(FloatingPointError, match=r"step 3.*term log p\(x\) = -inf.*site x"):
        next(steps)
    assert all(torch.equal(a, b) for a, b in zip(after_two, model.parameters(), strict=True))


def test_a_kl_that_is_not_finite_names_its_site():
    model, guide = vae_pair()
    with torch.no_grad():
        guide.layers["z"][0].bias[2:] = 2_000.0  # log variances: exp(2000) is inf
    with pytest.raises(ValueError, match="site 'z': the guide draws values that are not finite"):
        list(fit(model, guide, PlainELBO(), batches(1), lr=1e-2))


def test_labels_reach_the_pair_where_a_batch_has_them():
    class Labelled(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(1, 1)
            self.seen = []

        def forward(self, x, y, *, index):
            self.seen.append(y)
            with pyro.plate("data", 9, subsample=index):
                pyro.sample("x", pyro.distributions.Normal(self.linear(x), 1).to_event(1), obs=x)

    class Nothing(nn.Module):
        def forward(self, x, y, *, index):
            pass

    model, y = Labelled(), torch.tensor([1, 0, 2])
    list(fit(model, Nothing(), PlainELBO(), [Batch(torch.randn(3, 1), y, torch.arange(3))], lr=1e-2))
    assert len(model.seen) > 0
    assert all(torch.equal(seen, y) for seen in model.seen)


class PartlyLabelled(nn.Module):
    """y ~ OneHotCategorical(1/3), x ~ Normal(W y, 1): y is observed where a batch has labels."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(3, 2)

    def forward(self, x, y=None, *, index=None):
        with pyro.plate("data", 6, subsample=index):
            known = None if y is None else torch.eye(3)[y]
            c = pyro.sample("y", pyro.distributions.OneHotCategorical(torch.ones(3)), obs=known)
            pyro.sample("x", pyro.distributions.Normal(self.linear(c), 1.0).to_event(1), obs=x)


@pytest.mark.parametrize("labelled_first", [True, False])
def test_the_pair_is_tried_on_the_first_batch_with_labels_and_on_the_first_without(labelled_first):
    # A relaxed type does not fit a one-hot story; where labels come first, y was checked as observed only, and trained.
    x, index = torch.randn(6, 2), torch.arange(6)
    mixed = [Batch(x, y, index) for y in (index % 3, None, index % 3)]
    mixed = mixed if labelled_first else mixed[1:]
    relaxed = Amortized(nn.Linear(2, 4), y=Concrete(3, temperature=0.5), num_data=6)
    with pytest.raises(ValueError, match="site 'y': the model's values lie in OneHot"):
        list(fit(PartlyLabelled(), relaxed, PlainELBO(), mixed, lr=1e-2, device="cpu"))
    exact = Amortized(nn.Linear(2, 4), y=Exact(3), num_data=6)
    reports = [report for _, report in fit(PartlyLabelled(), exact, PlainELBO(), mixed, lr=1e-2, device="cpu")]
    assert ["-KL(y)" in report.terms for report in reports] == [batch.y is None for batch in mixed]


def test_a_part_that_the_loop_froze_stays_frozen_at_the_first_batch_of_another_kind():
    x, index = torch.randn(6, 2), torch.arange(6)
    model, guide = PartlyLabelled(), Amortized(nn.Linear(2, 4), y=Exact(3), num_data=6)
    mixed = [Batch(x, y, index) for y in (index % 3, None, None)]
    for _ in fit(model, guide, PlainELBO(), mixed, lr=1e-2, device="cpu"):
        model.linear.eval()
        assert (model.training, guide.training) == (True, True)
        frozen = [part for part in (*model.modules(), *guide.modules()) if not part.training]
        assert frozen == [model.linear]
    steps = fit(model, guide, PlainELBO(), mixed, lr=1e-2, device="cpu")
    next(steps)
    model.linear.eval()
    next(steps)
    assert not model.linear.training


def test_a_device_that_is_not_there_is_refused_with_what_there_is():
    assert find_device("cpu") == torch.device("cpu")
    assert find_device() in {torch.device("cpu"), torch.device("cuda")}
    with pytest.raises(ValueError, match="no device 'gpu' here; there is cpu"):
        find_device("gpu")
    if not torch.cuda.is_available():
        with pytest.raises(ValueError, match="no device 'cuda:0' here"):
            find_device("cuda:0")


def test_frozen_parts_stay_and_the_rest_learns():
    model, guide = vae_pair()
    model.decoder.requires_grad_(False)
    before = [p.clone() for p in model.parameters()]
    trunk = guide.trunk[1].weight.clone()
    list(fit(model, guide, PlainELBO(), batches(5), lr=1e-2))
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    assert not torch.equal(trunk, guide.trunk[1].weight)
    assert guide.trunk[1].weight.isfinite().all()


def test_a_pair_without_a_parameter_to_train_is_refused_by_name():
    """Before: adam: parameters must be some of a module's, got list."""
    for optimizer in (adam, torch.optim.SGD):
        model, guide = vae_pair()
        for program in (model, guide):
            program.requires_grad_(False)
        count = len([*model.parameters(), *guide.parameters()])
        with pytest.raises(
            ValueError, match=rf"none of the pair's {count} parameters requires a gradient, so there is"
        ):
            list(fit(model, guide, PlainELBO(), batches(2), lr=1e-2, optimizer=optimizer))
    with pytest.raises(ValueError, match="adam: none of the 1 parameters requires a gradient: unfreeze some"):
        adam([nn.Parameter(torch.zeros(1), requires_grad=False)], lr=1e-2)


class NeedsClosure(torch.optim.SGD):
    def step(self, closure):
        return super().step(closure)


@pytest.mark.parametrize("optimizer", [torch.optim.LBFGS, NeedsClosure])
@pytest.mark.parametrize("existing", [False, True])
def test_an_optimiser_whose_step_needs_a_closure_is_refused_before_the_first_pass(optimizer, existing):
    """Before: step() missing 1 required positional argument: 'closure'."""
    model, guide = vae_pair()
    before = [p.clone() for p in model.parameters()]
    how = {"optimizer": optimizer, "lr": 1e-2}
    if existing:
        how = {"optimizer": optimizer([*model.parameters(), *guide.parameters()], lr=1e-2)}
    with pytest.raises(TypeError, match=f"{optimizer.__name__} computes the loss anew within its step.* such as torch"):
        list(fit(model, guide, PlainELBO(), batches(2), **how))
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


@pytest.mark.parametrize("disabled", [torch.no_grad, torch.inference_mode])
def test_training_where_gradients_are_disabled_is_refused_by_name(disabled):
    """Before: element 0 of tensors does not require grad and does not have a grad_fn."""
    message = (
        rf"training needs gradients, and torch\.{disabled.__name__}\(\) disables them here: call fit, and take its"
    )
    model, guide = vae_pair()
    with disabled(), pytest.raises(ValueError, match=message):
        fit(model, guide, PlainELBO(), batches(2), lr=1e-2)
    steps = fit(model, guide, PlainELBO(), batches(2), lr=1e-2)
    with disabled(), pytest.raises(ValueError, match=message):
        next(steps)
    for _ in fit(model, guide, PlainELBO(), batches(2), lr=1e-2):
        with disabled():  # the body of the loop may
            model(next(batches(1)).x)


@pytest.mark.parametrize("compile", [False, True], ids=["eager", "traced"])
def test_pairs_that_share_an_optimiser_train_as_with_one_each(compile, monkeypatch):
    """Before: each pair's step moved the other one by its last gradient once more."""
    monkeypatch.setattr(torch, "compile", lambda graph, **_: graph)

    def weights(shared):
        pyro.set_rng_seed(0)
        pairs = [vae_pair(), vae_pair()]
        parameters = [[*model.parameters(), *guide.parameters()] for model, guide in pairs]
        optimizers = [torch.optim.SGD(own, lr=1e-2) for own in parameters]
        if shared:
            optimizers = [torch.optim.SGD(parameters[0] + parameters[1], lr=1e-2)] * 2
        data = list(batches(num=3))
        runs = [
            fit(*pair, PlainELBO(), data, optimizer=optimizer, device="cpu", compile=compile, progress=False)
            for pair, optimizer in zip(pairs, optimizers, strict=True)
        ]
        for _ in zip(*runs, strict=True):
            pass
        return [p.detach() for own in parameters for p in own]

    torch.testing.assert_close(weights(shared=True), weights(shared=False), rtol=0, atol=0)


def test_a_bar_counts_the_steps_unless_it_is_turned_off(capsys, monkeypatch):
    data = Dataset.from_arrays(torch.rand(20, *SHAPE).numpy())
    for start, ends_with in ((0, "3/3"), (7, "10/10")):
        drawn = data.batches(4, seed=0, steps=start + 3, start=start)
        list(fit(*vae_pair(), PlainELBO(), drawn, lr=1e-3, start=start, device="cpu"))
        assert ends_with in capsys.readouterr().err
    list(fit(*vae_pair(), PlainELBO(), batches(3), lr=1e-3, device="cpu"))  # a generator of unknown length
    assert "3 steps" in capsys.readouterr().err
    list(fit(*vae_pair(), PlainELBO(), batches(3), lr=1e-3, device="cpu", progress=False))
    monkeypatch.setenv("TQDM_DISABLE", "1")  # tqdm's bar for notebooks ignores it
    list(fit(*vae_pair(), PlainELBO(), batches(3), lr=1e-3, device="cpu"))
    assert not capsys.readouterr().err
