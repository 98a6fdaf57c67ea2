"""Heads at the edges of their settings: the smallest and largest that are allowed, the next that are not, defaults."""

import pytest
import torch

from guides import (
    Concrete,
    ConjugateDirichlet,
    DirichletHead,
    Exact,
    Flow,
    FullRank,
    LowRank,
    MeanField,
    MeanFieldLaplace,
    MeanFieldStudentT,
    Mixture,
    PointMass,
    Predicted,
    SoftplusNormal,
    StraightThrough,
)
from guides.heads import OneHotStraightThrough


@pytest.mark.parametrize(
    ("head", "numbers"),
    [
        (MeanField(3), 3 + 3),  # means, log variances
        (SoftplusNormal(3), 3 + 3),
        (MeanFieldLaplace(3), 3 + 3),
        (MeanFieldStudentT(3, df=4.0), 3 + 3),
        (PointMass(3), 3),
        (FullRank(3), 3 + 3 + 3),  # means, the diagonal, three entries below it
        (FullRank(4), 4 + 4 + 6),
        (LowRank(3, rank=2), 3 + 3 + 3 * 2),  # means, variances, a factor [3, 2]
        (Mixture(3, components=2), 2 + 2 * 3 + 2 * 3),  # logits, means, log variances
        (Flow(3), 3 + 3 + 8),  # means, log variances, the context
        (Flow(3, context=5), 3 + 3 + 5),
        (Concrete(3, temperature=0.5), 3),
        (StraightThrough(3, temperature=0.5), 3),
        (Exact(3), 3),
        (Predicted(3, of="pi"), 3),
        (DirichletHead(3), 3),
        (ConjugateDirichlet(3, alpha=1.0), 3),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, torch.nn.Module) else str(value),
)
def test_a_head_needs_so_many_numbers(head, numbers):
    # Weights that were saved with a head fit its layers as long as this holds.
    assert head.num_raw == numbers
    raw = torch.full((5, numbers), 0.3)
    assert (head(raw).batch_shape, head(raw).event_shape) == ((5,), (head.size,))


@pytest.mark.parametrize("kind", ["iaf", "coupling"])
def test_a_flow_has_two_steps_of_width_32_by_default(kind):
    flow = Flow(4, kind=kind)
    first_layers = [module.layers[0] for module in flow.transforms.modules() if hasattr(module, "layers")]
    assert [layer.out_features for layer in first_layers] == [32, 32]


@pytest.mark.parametrize(
    "build",
    [
        lambda: Concrete(2, temperature=1e-9),
        lambda: Exact(2),
        lambda: DirichletHead(2, total=1e-9, floor=1e-9),
        lambda: ConjugateDirichlet(2, alpha=1e-9),
        lambda: LowRank(3, rank=1),
        lambda: LowRank(3, rank=3),
        lambda: Mixture(2, components=2),
        lambda: Flow(2, steps=1, context=1, width=2),
        lambda: MeanField(1),
        lambda: MeanFieldStudentT(1, df=1e-9),
    ],
)
def test_the_smallest_settings_are_allowed(build):
    build()


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Concrete(1, temperature=1.0), "Concrete: a categorical needs at least 2 classes, got 1"),
        (lambda: StraightThrough(1, temperature=1.0), "StraightThrough: a categorical needs at least 2"),
        (lambda: Predicted(1, of="pi"), "Predicted: a categorical needs at least 2"),
        (lambda: Exact(1), "Exact: a categorical needs at least 2"),
        (lambda: DirichletHead(1), "DirichletHead: a categorical needs at least 2"),
        (lambda: ConjugateDirichlet(1, alpha=1.0), "ConjugateDirichlet: a categorical needs at least 2"),
        (lambda: Concrete(2, temperature=0.0), "Concrete: temperature must be positive and finite, got 0"),
        (lambda: StraightThrough(2, temperature=float("inf")), "temperature must be positive and finite, got inf"),
        (lambda: DirichletHead(2, total=0.0), "total must be positive"),
        (lambda: DirichletHead(2, floor=0.0), "floor must be positive"),
        (lambda: ConjugateDirichlet(2, alpha=float("nan")), "alpha must be positive"),
        (lambda: MeanFieldStudentT(2, df=0.0), "df must be positive"),
        (lambda: LowRank(3, rank=0), "rank must be a whole number of at least 1, got 0"),
        (lambda: LowRank(3, rank=4), "rank must be from 1 to 3, the units, got 4"),
        (lambda: Mixture(1, components=2), "Mixture: the family couples units and needs at least 2, got 1"),
        (lambda: Mixture(2, components=1), "at least 2 components are needed, got 1"),
        (lambda: Flow(1), "Flow: the family couples units and needs at least 2, got 1"),
        (lambda: Flow(3, steps=0), "steps must be a whole number of at least 1, got 0"),
        (lambda: Flow(3, context=0), "context must be a whole number of at least 1, got 0"),
        (
            lambda: Flow(3, width=2),
            "width, which is not smaller than the number of units, must be .* at least 3, got 2",
        ),
        (lambda: MeanField(0), "MeanField: a site needs at least one unit, got 0"),
    ],
)
def test_the_next_smaller_or_larger_ones_are_not(build, message):
    with pytest.raises(ValueError, match=message):
        build()


def test_concentrations_have_their_floor():
    lowest = torch.full((3,), -1e4)
    assert DirichletHead(3)(lowest).concentration.tolist() == [1e-3] * 3
    assert DirichletHead(3, floor=0.25)(lowest).concentration.tolist() == [0.25] * 3
    # With a total, softmax shares it: 2 x (1/3, 1/3, 1/3) above the floor.
    shared = DirichletHead(3, total=2.0, floor=0.25)(lowest).concentration
    torch.testing.assert_close(shared, torch.full((3,), 2 / 3 + 0.25))


def test_a_mixtures_components_start_half_a_unit_apart_the_same_every_time():
    torch.manual_seed(5)
    first = Mixture(50, components=200).apart
    torch.manual_seed(6)
    assert torch.equal(first, Mixture(50, components=200).apart)
    # 10,000 draws of N(0, 1/2^2): the standard error of their standard deviation is 0.5 / sqrt(20,000) = 0.0035
    assert abs(first.std().item() - 0.5) < 5 * 0.0035
    assert abs(first.mean().item()) < 5 * 0.005


def test_a_mixtures_places_are_those_that_saved_weights_count_on():
    # They are not saved: a guide that was trained with other ones would load, and be another guide.
    places = torch.randn(3, 2, generator=torch.Generator().manual_seed(0)) / 2
    head = Mixture(2, components=3)
    assert torch.equal(head.apart, places)
    assert not head.state_dict()
    # Logits 0, raw means 0, raw log variances 0: equal shares of N(place, I), whose mean is that of the places.
    torch.testing.assert_close(head(torch.zeros(15)).mean, places.mean(0))


def test_which_heads_are_learnt_given_and_summed_out():
    assert not ConjugateDirichlet(3, alpha=1.0).learnt
    assert ConjugateDirichlet(3, alpha=1.0).given == ("y",)
    assert not Predicted(3, of="pi").learnt
    assert MeanField(3).learnt
    assert Exact(3).infer() == Predicted(3, of="pi").infer() == {"enumerate": "parallel"}
    assert MeanField(3).infer() == {}
    with pytest.raises(TypeError, match=r"MeanField: given= takes a sequence of sites, as in given=\('c',\)"):
        MeanField(3, given="c")


def test_straight_through_checks_values_where_it_is_told_to():
    between = torch.tensor([0.5, 0.5])
    for expand in (False, True):
        checked = OneHotStraightThrough(torch.tensor(0.5), logits=torch.zeros(2), validate_args=True)
        free = OneHotStraightThrough(torch.tensor(0.5), logits=torch.zeros(2), validate_args=False)
        if expand:
            checked, free = checked.expand((3,)), free.expand((3,))
        with pytest.raises(ValueError, match="within the support"):
            checked.log_prob(between)
        free.log_prob(between)
