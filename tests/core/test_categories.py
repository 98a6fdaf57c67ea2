"""Terms of categorical sites: the parts of the KL, and the roughness, by hand and against slow searches."""

import itertools
import math
from functools import partial

import pyro
import pytest
import torch
from torch import nn

from guides import Amortized, Concrete, Exact, MeanField, PerDatapoint, SemiAmortized
from tests.core.test_objectives import evaluate
from tests.pairs import NUM_DATA, images, vae_pair
from tests.type_pairs import HEADS, pair
from zoo import JointVAE
from zoo.categories import kl_parts, nearest, roughness
from zoo.elbos import Capacity, PlainELBO, TypeInformation
from zoo.handlers import RunAgain
from zoo.lab.networks import MLPDecoder
from zoo.sites import nodes_of
from zoo.termwise import TermwiseELBO

WEIGHTS = {"gamma": {"z": 3.0}, "capacity": {"z": 0.5}, "information": 2.0, "balance": 5.0, "smoothness": 7.0}


class Traces(TermwiseELBO):
    """Keeps the traces of its pass."""

    def messengers(self):
        return [RunAgain()]

    def terms(self, model_trace, guide_trace):
        self.traces = model_trace, guide_trace
        return {"x": model_trace.nodes["x"]["nats"]}


def traces(pair, x, **options):
    elbo = Traces(**options)
    elbo.differentiable_loss(*pair, x)
    return elbo.traces


def given_logits(logits):
    """A pair whose q(c | x) has these logits [B, K], where x [B, B] is the identity times any number."""
    B, K = logits.shape
    trunk = nn.Linear(B, K, bias=False)
    model = JointVAE(MLPDecoder(1 + K, (B,), hidden=(4,)), z_dim=1, c_dims=(K,), temperature=0.67, num_data=B)
    guide = Amortized(trunk, num_data=B, z=MeanField(1), c=Concrete(K, temperature=0.67))
    with torch.no_grad():
        trunk.weight.copy_(logits.T)
        guide.layers["c"][0].weight.copy_(torch.eye(K))
        guide.layers["c"][0].bias.zero_()
    return model, guide


@pytest.mark.parametrize(
    ("logits", "information", "divergence"),
    [
        # Certain and even: all of log 3, and nothing to pay.
        ([[60.0, 0, 0], [0, 60.0, 0], [0, 0, 60.0]], math.log(3), 0.0),
        # One certain type for all: the largest KL, all of it divergence.
        ([[60.0, 0, 0]] * 3, 0.0, math.log(3)),
        # Uncertain: nothing of either.
        ([[0.0, 0, 0]] * 3, 0.0, 0.0),
        # q = (3/4, 1/4, ~0) and (1/4, 3/4, ~0): q(c) = (1/2, 1/2, 0).
        (
            [[math.log(3), 0, -60], [0, math.log(3), -60]],
            math.log(2) - (math.log(4) - 0.75 * math.log(3)),
            math.log(3) - math.log(2),
        ),
    ],
)
def test_information_and_divergence_by_hand(logits, information, divergence):
    logits = torch.tensor(logits)
    parts = kl_parts(*traces(given_logits(logits), torch.eye(len(logits))), "c")
    assert parts.information.item() == pytest.approx(information, abs=1e-10)
    assert parts.divergence.item() == pytest.approx(divergence, abs=1e-10)


@pytest.mark.parametrize("particles", [1, 3])
@pytest.mark.parametrize("head", HEADS)
def test_the_two_parts_add_up_to_the_kl(head, particles):
    both, x = pair(HEADS[head], temperature=0.67 if head == "concrete" else None), images()
    model_trace, guide_trace = traces(both, x, num_particles=particles)
    assert sum(kl_parts(model_trace, guide_trace, "c")).item() == pytest.approx(
        nodes_of(guide_trace)["c"]["nats"].sum().item(), abs=1e-10
    )


def test_the_step_is_where_the_kl_grows_fastest():
    # Two classes and one linear layer: q(c | x + r) depends on r by w'r alone, so the KL's gradient is along w.
    both = given_logits(torch.tensor([[0.4, -0.1], [0.2, 0.3], [-0.5, 0.1]]))
    x, radius = torch.eye(3), 0.5
    w = both[1].trunk.weight.detach()
    w = (w[0] - w[1]) / (w[0] - w[1]).norm()
    _, guide_trace = traces(both, x)
    q = nodes_of(guide_trace)["c"]["fn"].logits.log_softmax(-1)
    length = radius * math.sqrt(2)  # the distance of each datapoint from each other one is sqrt(2)

    def kl(i, r):
        there = (both[1].trunk.weight @ (x[i] + r)).log_softmax(-1)
        return (q[i].exp() * (q[i] - there)).sum().item()

    # The step is to one of the two sides, the one on which the random point lies.
    sides = [{round(kl(i, sign * length * w), 9) for sign in (-1, 1)} for i in range(3)]
    sums = {round(sum(chosen) / 3, 8) for chosen in itertools.product(*sides)}
    found = {round(roughness(guide_trace, ["c"], radius=radius, probe=0.4)["c"].item(), 8) for _ in range(20)}
    assert found <= sums
    # No direction of that length has a larger KL, by a search of 2,000 of them.
    for i in range(3):
        directions = torch.randn(2000, 3)
        found = max(kl(i, length * d / d.norm()) for d in directions)
        assert found <= max(sides[i]) + 1e-9


def test_the_probe_and_the_step_are_as_long_as_they_are_said_to_be():
    both, x = given_logits(torch.randn(11, 3)), torch.rand(11, 11)
    _, guide_trace = traces(both, x)
    steps = []
    handle = both[1].trunk.register_forward_pre_hook(lambda module, args: steps.append(args[0] - x))
    roughness(guide_trace, ["c"], radius=0.17, probe=1.5)
    handle.remove()
    lengths = [step.detach().norm(dim=1) for step in steps]
    torch.testing.assert_close(lengths, [1.5 * nearest(x), 0.17 * nearest(x)])


def test_gradients_pass_through_the_moved_posterior_alone():
    both, x = given_logits(torch.tensor([[0.4, -0.1], [0.2, 0.3]])), torch.eye(2)
    _, guide_trace = traces(both, x)
    pyro.set_rng_seed(0)
    roughness(guide_trace, ["c"], radius=0.3, probe=2.0)["c"].backward()
    weight = both[1].trunk.weight
    found, weight.grad = weight.grad.clone(), None
    # By hand: the target q(c | x) and the step r are numbers, and the weights enter q(c | x + r) alone.
    q = nodes_of(guide_trace)["c"]["fn"].logits.log_softmax(-1).detach()
    pyro.set_rng_seed(0)
    steps = []

    def remember(module, args, output):
        steps.append(args[0].detach() - x)

    handle = both[1].trunk.register_forward_hook(remember)
    roughness(guide_trace, ["c"], radius=0.3, probe=2.0)
    handle.remove()
    r = steps[-1]
    other = weight.detach().clone().requires_grad_()
    ((q.exp() * (q - ((x + r) @ other.T).log_softmax(-1))).sum(-1).mean()).backward()
    torch.testing.assert_close(found, other.grad)


@pytest.mark.parametrize("head", HEADS)
def test_terms_are_weighted_sums_of_the_parts(head):
    both, x = pair(HEADS[head], temperature=0.67 if head == "concrete" else None), images()
    loss, report = evaluate(TypeInformation(**WEIGHTS), both, x)
    pyro.set_rng_seed(1)
    model_trace, guide_trace = traces(both, x)
    parts = kl_parts(model_trace, guide_trace, "c")
    rough = roughness(guide_trace, ["c"], radius=0.17, probe=1.5)["c"]
    expected = {
        "log p(x)": report.reconstruction["x"],
        "-gamma |KL(z) - C|": -3.0 * (report.kl["z"].sum() - 0.5).abs(),
        "I(x; c)": 2.0 * parts.information,
        "-KL(q(c) || p)": -5.0 * parts.divergence,
        "-KL(q(c | x) || q(c | x + r))": -7.0 * rough,
    }
    assert list(report.terms) == list(expected)
    for name, term in expected.items():
        torch.testing.assert_close(report.terms[name], term.detach(), msg=name)
    assert loss == pytest.approx(-sum(t.item() for t in expected.values()), abs=1e-10)


def test_with_balance_alone_it_is_a_capacity_of_zero_that_leaves_out_the_information():
    # KL(c) = I(x; c) + divergence, and only the divergence has a weight.
    both, x = pair(HEADS["exact"], temperature=None), images()
    weights = WEIGHTS | {"information": 0.0, "balance": 3.0, "smoothness": 0.0}
    loss, _ = evaluate(TypeInformation(**weights), both, x)
    capacity, _ = evaluate(Capacity(gamma={"z": 3.0, "c": 3.0}, capacity={"z": 0.5, "c": 0.0}), both, x)
    information = kl_parts(*traces(both, x), "c").information.item()
    assert loss == pytest.approx(capacity - 3.0 * information, abs=1e-10)


def test_a_users_scale_is_that_of_every_term():
    both, x = pair(HEADS["exact"], temperature=None), images()
    plain, _ = evaluate(TypeInformation(**WEIGHTS), both, x)
    with pyro.poutine.scale(scale=2.5):
        scaled, _ = evaluate(TypeInformation(**WEIGHTS), both, x)
    assert scaled == pytest.approx(2.5 * plain, abs=1e-9)


def test_two_types_have_terms_each():
    both, x = pair(HEADS["concrete"], c_dims=(3, 2)), images()
    _, report = evaluate(TypeInformation(**WEIGHTS), both, x)
    assert [name for name in report.terms if "c1" in name] == [
        "I(x; c1)",
        "-KL(q(c1) || p)",
        "-KL(q(c1 | x) || q(c1 | x + r))",
    ]


def test_a_type_has_no_capacity():
    held = WEIGHTS | {"gamma": {"z": 3.0, "c": 2.0}, "capacity": {"z": 0.5, "c": 0.1}}
    with pytest.raises(ValueError, match=r"gamma names \['c'\], which are types and have no capacity: remove"):
        evaluate(TypeInformation(**held), pair(HEADS["concrete"]), images())


def test_nothing_is_drawn_but_the_direction():
    both, x = pair(HEADS["concrete"]), images()
    _, guide_trace = traces(both, x)
    pyro.set_rng_seed(7)
    torch.randn_like(x)
    after = torch.get_rng_state()
    pyro.set_rng_seed(7)
    roughness(guide_trace, ["c"], radius=0.17, probe=1.5)
    assert torch.equal(torch.get_rng_state(), after)


def test_nearest_is_the_distance_to_the_nearest_other_datapoint():
    x = torch.randn(40, 3)
    slow = torch.tensor([min((a - b).norm().item() for j, b in enumerate(x) if j != i) for i, a in enumerate(x)])
    torch.testing.assert_close(nearest(x), slow)
    assert nearest(torch.cat([x[:1], x[:1]])).tolist() == [0.0, 0.0]


def test_loss_is_the_same_without_gradients():
    both, x, elbo = pair(HEADS["concrete"]), images(), TypeInformation(**WEIGHTS)
    pyro.set_rng_seed(5)
    with_gradients = elbo.differentiable_loss(*both, x).item()
    pyro.set_rng_seed(5)
    assert elbo.loss(*both, x) == pytest.approx(with_gradients, abs=1e-12)


def test_what_cannot_be_is_refused():
    x = images()
    with pytest.raises(ValueError, match=r"none is categorical.*use a story with a type, such as JointVAE"):
        evaluate(TypeInformation(**WEIGHTS), vae_pair(), x)
    with pytest.raises(ValueError, match=r"names \['zz'\]; the guide has the latent sites \['c', 'z'\]"):
        evaluate(TypeInformation(**WEIGHTS | {"gamma": {"zz": 1.0}, "capacity": {"zz": 1.0}}), pair(Exact), x)
    with pytest.raises(ValueError, match=r"the same sites, each once, got \['z'\] and \['c'\]"):
        evaluate(TypeInformation(**WEIGHTS | {"capacity": {"c": 1.0}}), pair(Exact), x)
    with pytest.raises(ValueError, match="the batch has one datapoint"):
        evaluate(TypeInformation(**WEIGHTS), pair(HEADS["concrete"]), x[:1])


def test_one_capacity_for_all_sites_is_refused_and_the_old_one_stays():
    elbo = TypeInformation(**WEIGHTS)
    with pytest.raises(ValueError, match=r'capacity must name its sites, as in \{"z": 5.0\}, got 2'):
        elbo.capacity = 2.0
    assert elbo.capacity["z"].item() == 0.5


def test_a_guide_without_an_encoder_is_refused():
    model, _ = pair(HEADS["concrete"])
    guide = PerDatapoint(NUM_DATA, c=Concrete(3, temperature=0.67), z=MeanField(2))
    x, index = images(), torch.arange(11)
    with pytest.raises(ValueError, match=r"q does not depend on x.*use an amortised guide"):
        TypeInformation(**WEIGHTS).differentiable_loss(model, guide, x, index=index)


def test_a_guide_that_scores_the_data_is_refused_where_the_step_leaves_the_support():
    model, amortized = pair(HEADS["concrete"])
    guide = SemiAmortized(amortized, partial(PlainELBO().differentiable_loss, model), steps=1, lr=0.1)
    with pytest.raises(
        ValueError, match=r"cannot be run at x \+ r.*outside the likelihood's support.*guides.Amortized"
    ):
        TypeInformation(**WEIGHTS).loss(model, guide, images().round())
