"""Heads and the amortised guide: what raw numbers mean, and that swapping a head swaps nothing else."""

from functools import partial

import pyro
import pytest
import torch
from pyro import poutine
from pyro.infer import SVI
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import prune as pruning

from guides import Amortized, Concrete, DirichletHead, Flow, FullRank, MeanField, PerDatapoint, Predicted
from tests.pairs import images, vae_pair
from zoo.elbos import PlainELBO


def test_mean_field_reads_means_then_log_variances():
    raw = torch.randn(3, 7, 10)
    q = MeanField(5)(raw)
    assert (q.batch_shape, q.event_shape) == ((3, 7), (5,))
    torch.testing.assert_close(q.mean, raw[..., :5])
    torch.testing.assert_close(q.variance.log(), raw[..., 5:])


def test_full_rank_reads_mean_log_diagonal_and_what_is_below_it():
    head = FullRank(3)
    raw = torch.randn(2, head.num_raw)
    assert head.num_raw == 3 + 3 + 3
    q = head(raw)
    for row, L in zip(raw, q.scale_tril, strict=True):
        by_hand = torch.tensor([[row[3].exp(), 0, 0], [row[6], row[4].exp(), 0], [row[7], row[8], row[5].exp()]])
        torch.testing.assert_close(L, by_hand)
    torch.testing.assert_close(q.covariance_matrix, q.scale_tril @ q.scale_tril.mT)


def test_full_rank_without_correlations_is_mean_field():
    raw = torch.randn(4, 6)
    full = torch.cat([raw[:, :3], raw[:, 3:] / 2, torch.zeros(4, 3)], dim=-1)  # log sd is half the log variance
    z = torch.randn(4, 3)
    torch.testing.assert_close(FullRank(3)(full).log_prob(z), MeanField(3)(raw).log_prob(z))


def test_concrete_reads_logits_and_its_arg_max_is_the_categorical():
    head = Concrete(4, temperature=0.1)
    logits = torch.randn(4)
    q = head(logits)
    draws = q.sample((20_000,))
    torch.testing.assert_close(draws.sum(-1), torch.ones(20_000))
    frequencies = draws.argmax(-1).bincount(minlength=4) / 20_000
    probs = logits.softmax(-1)
    # Exact at every temperature (the Gumbel-max trick); 5 standard errors
    assert ((frequencies - probs).abs() < 5 * (probs * (1 - probs) / 20_000).sqrt()).all()


def test_the_dirichlet_head_reads_concentrations_with_a_floor():
    raw = torch.tensor([-1000.0, 0.0, 3.0])
    torch.testing.assert_close(DirichletHead(3)(raw).concentration, F.softplus(raw) + 1e-3)


HEADS = {
    "mean-field": lambda **k: MeanField(2, **k),
    "full-rank": lambda **k: FullRank(2, **k),
    "hidden": lambda **k: MeanField(2, hidden=(5, 3), **k),
}


@pytest.mark.parametrize("head", HEADS.values(), ids=HEADS)
def test_swapping_a_head_changes_no_other_line_and_each_learns(head):
    model, guide = vae_pair(head=head())
    x = images()
    svi = SVI(model, guide, pyro.optim.Adam({"lr": 1e-2}), loss=PlainELBO())
    losses = [svi.step(x) for _ in range(60)]
    assert sum(losses[:5]) - sum(losses[-5:]) > 5


def test_a_head_that_is_given_a_site_sees_its_value():
    guide = Amortized(nn.Linear(5, 6), c=Concrete(3, temperature=0.5), z=FullRank(2, given=("c",)))
    x = torch.randn(7, 5)
    assert guide.layers["z"][0].in_features == 6 + 3
    c = torch.eye(3)[torch.zeros(7, dtype=torch.int64)].requires_grad_()
    conditioned = poutine.condition(guide, data={"c": c})
    loc = poutine.trace(conditioned).get_trace(x).nodes["z"]["fn"].loc
    by_hand = guide.layers["z"](torch.cat([guide.trunk(x), c], -1))[:, :2]
    torch.testing.assert_close(loc, by_hand)
    # A row of z depends on its own row of c alone.
    (gradient,) = torch.autograd.grad(loc[2].sum(), c)
    assert gradient[2].abs().min() > 0
    assert gradient[[0, 1, 3, 4, 5, 6]].abs().max() == 0


def prune(guide):
    pruning.l1_unstructured(guide.layers["z"][0], "weight", amount=0.5)
    nn.init.normal_(guide.layers["z"][0].weight_orig)  # as by an optimiser or load_state_dict: weight is not yet new


def spectral_norm(guide):
    nn.utils.spectral_norm(guide.layers["z"][0])
    nn.init.normal_(guide.layers["z"][0].weight_orig)


def hook(guide):
    guide.layers["z"][0].register_forward_hook(lambda layer, given, out: 10 * out)


def hook_all(guide):
    guide.layers["z"].register_forward_pre_hook(lambda layers, given: (2 * given[0],))


class Halved(nn.Sequential):
    def forward(self, x):
        return super().forward(x) / 2


def halve(guide):
    guide.layers["z"] = Halved(*guide.layers["z"])


@pytest.mark.parametrize("hidden", [(), (7,)])
def test_features_under_given_values_of_another_batch_are_those_side_by_side(hidden):
    guide = Amortized(nn.Linear(5, 6), c=Concrete(3, temperature=0.5), z=MeanField(2, given=("c",), hidden=hidden))
    features, c = torch.randn(4, 6), torch.rand(9, 1, 3)
    both = torch.cat([features.expand(9, 4, 6), c.expand(9, 4, 3)], dim=-1)
    raw = guide.layers["z"](both)
    q = guide.posterior("z", features, {"c": c})
    assert q.batch_shape == (9, 4)
    torch.testing.assert_close(torch.cat([q.base_dist.loc, 2 * q.base_dist.scale.log()], -1), raw)


@pytest.mark.parametrize("spoil", [prune, spectral_norm, hook, hook_all, halve])
def test_what_is_put_around_a_layer_counts_under_given_values_of_another_batch(spoil):
    # The first layer's weight was read past its hooks, so its output was not what a call of it returns.
    guide = Amortized(nn.Linear(5, 6), c=Concrete(3, temperature=0.5), z=MeanField(2, given=("c",), hidden=(7,)))
    spoil(guide)
    guide.eval()  # spectral_norm changes its estimate in training
    features, c = torch.randn(4, 6), torch.rand(9, 1, 3)
    loc = guide.posterior("z", features, {"c": c}).base_dist.loc  # first: a call of the layer renews its weight
    raw = guide.layers["z"](torch.cat([features.expand(9, 4, 6), c.expand(9, 4, 3)], dim=-1))
    torch.testing.assert_close(loc, raw[..., :2])


def test_given_sites_keep_their_particles():
    guide = Amortized(nn.Linear(5, 6), c=Concrete(3, temperature=0.5), z=MeanField(2, given=("c",)))
    with pyro.plate("particles", 4, dim=-2):
        trace = poutine.trace(guide).get_trace(torch.randn(7, 5))
    assert trace.nodes["c"]["value"].shape == (4, 7, 3)
    assert trace.nodes["z"]["fn"].batch_shape == (4, 7)
    # Different particles of c give different distributions of z.
    assert trace.nodes["z"]["fn"].mean.std(dim=0).min() > 0


@pytest.mark.parametrize(
    ("build", "error", "message"),
    [
        (lambda: Amortized(nn.Linear(2, 3)), ValueError, "needs at least one head"),
        (lambda: Amortized(nn.Flatten(), z=MeanField(2)), ValueError, "set trunk.out_features"),
        (lambda: Amortized(nn.Linear(2, 3), z=nn.Linear(3, 3)), TypeError, "site 'z': expected a head"),
        (
            lambda: Amortized(nn.Linear(2, 3), z=MeanField(2, given=("c",)), c=Concrete(2, temperature=1.0)),
            ValueError,
            r"site 'z' is given \['c'\].*no such head comes before",
        ),
        *(
            (partial(make, **{name: MeanField(2)}), ValueError, f"site '{name}': PyTorch cannot keep a module under")
            for name in ("type", "keys", "training", "z.1")
            for make in (partial(Amortized, nn.Linear(2, 3)), partial(PerDatapoint, 5))
        ),
        (lambda: MeanField(0), ValueError, "MeanField: a site needs at least one unit, got 0"),
        (lambda: MeanField(2, given="c"), TypeError, r"given=\('c',\)"),
        (lambda: Concrete(1, temperature=1.0), ValueError, "at least 2 classes, got 1"),
        (lambda: Concrete(3, temperature=0.0), ValueError, "temperature must be positive and finite, got 0"),
        (lambda: Concrete(3, temperature=float("nan")), ValueError, "temperature must be positive"),
        (lambda: DirichletHead(1), ValueError, "at least 2 classes"),
    ],
)
def test_a_guide_that_makes_no_sense_is_refused(build, error, message):
    with pytest.raises(error, match=message):
        build()


@pytest.mark.parametrize("head", [partial(Concrete, temperature=0.5), MeanField, Flow], ids=["relaxed", "real", "flow"])
def test_predicted_classes_need_the_mean_of_probabilities(head):
    guide = Amortized(nn.Linear(2, 4), pi=head(3), y=Predicted(3, of="pi"))
    with pytest.raises(ValueError, match=r"site 'y': Predicted\(of='pi'\) takes the mean.* use DirichletHead for 'pi'"):
        guide(torch.zeros(5, 2))
