"""Terms of categorical sites: the parts of the KL, and the roughness, by hand and against slow searches."""

import itertools
import math
from functools import partial

import pyro
import pyro.distributions as dist
import pytest
import torch
from torch import nn

from guides import Amortized, Concrete, Exact, MeanField, PerDatapoint, SemiAmortized, StraightThrough
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

    traces = None

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
    with pytest.raises(ValueError, match=r"none is a one-hot or relaxed categorical.*use a story with a type, such as"):
        evaluate(TypeInformation(**WEIGHTS), vae_pair(), x)
    with pytest.raises(ValueError, match=r"names \['zz'\]; the guide has the latent sites \['c', 'z'\]"):
        evaluate(TypeInformation(**WEIGHTS | {"gamma": {"zz": 1.0}, "capacity": {"zz": 1.0}}), pair(Exact), x)
    with pytest.raises(ValueError, match=r"the same sites, each once, got \['z'\] and \['c'\]"):
        evaluate(TypeInformation(**WEIGHTS | {"capacity": {"c": 1.0}}), pair(Exact), x)
    with pytest.raises(ValueError, match="the batch has one datapoint"):
        evaluate(TypeInformation(**WEIGHTS), pair(HEADS["concrete"]), x[:1])


def test_a_type_of_the_whole_data_is_refused():
    # Its KL belongs to all datapoints together, and was counted once for each.
    logits = torch.nn.Parameter(torch.tensor([1.0, 0.0, 0.0]))

    def model(x):
        c = pyro.sample("c", dist.OneHotCategorical(torch.ones(3)))
        with pyro.plate("data", len(x)):
            pyro.sample("x", dist.Normal(c, 1.0).to_event(1), obs=x)

    def guide(x):
        pyro.sample("c", dist.OneHotCategorical(logits=logits), infer={"enumerate": "parallel"})

    with pytest.raises(ValueError, match="site 'c' is not in the plate 'data'"):
        TypeInformation(**WEIGHTS | {"gamma": {}, "capacity": {}}).loss(model, guide, torch.randn(4, 3))


def test_inference_mode_excludes_the_gradient_that_roughness_needs():
    both, x, elbo = pair(HEADS["concrete"]), images(), TypeInformation(**WEIGHTS)
    with torch.inference_mode(), pytest.raises(ValueError, match=r"inference_mode\(\) excludes: use torch.no_grad"):
        elbo.loss(*both, x)


def test_one_capacity_for_all_sites_is_refused_and_the_old_one_stays():
    elbo = TypeInformation(**WEIGHTS)
    with pytest.raises(ValueError, match=r"capacity must be values by name, each a number, got 2.0"):
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


# Types that depend on a type that is summed out.


class TwoTypes(nn.Module):
    """z ~ N(0, I), c1 and c2 uniform one-hot of 2 and 3, x ~ N(z, 1)."""

    def __init__(self, c2_of_z=False):
        super().__init__()
        self.c2_of_z = c2_of_z

    def forward(self, x):
        with pyro.plate("data", len(x)):
            z = pyro.sample("z", dist.Normal(torch.zeros(2), 1.0).to_event(1))
            pyro.sample("c1", dist.OneHotCategorical(logits=torch.zeros(2)))
            logits = 3 * z[..., :1] * torch.arange(3.0) if self.c2_of_z else torch.zeros(3)
            pyro.sample("c2", dist.OneHotCategorical(logits=logits))
            pyro.sample("x", dist.Normal(z, 1.0).to_event(1), obs=x)


def two_types_guide(certain=0.0):
    """q(c1 | x) has the logits (certain, -certain) and more by x; q(c2 | x, c1) depends on both."""
    pyro.set_rng_seed(0)
    guide = Amortized(nn.Linear(2, 4), z=MeanField(2), c1=Exact(2), c2=Exact(3, given=("c1",)))
    with torch.no_grad():
        guide.layers["c1"][0].bias.copy_(torch.tensor([certain, -certain]))
        guide.layers["c2"][0].weight.mul_(6)
    return guide


@pytest.mark.parametrize("particles", [1, 2])
def test_the_parts_of_a_type_are_averaged_over_the_classes_it_depends_on(particles):
    # sum_k q(c1 = k | x) KL(q(c2 | x, k) || p), and the same average in q(c2); not the plain mean over k.
    guide, x = two_types_guide(certain=2.0), torch.randn(6, 2)
    model_trace, guide_trace = traces((TwoTypes(), guide), x, num_particles=particles)
    q1 = guide.posterior("c1", guide.trunk(x), {}).probs
    q2 = [guide.posterior("c2", guide.trunk(x), {"c1": torch.eye(2)[k].expand(6, 2)}).probs for k in range(2)]
    kl = sum(q1[:, k] * (q2[k] * (3 * q2[k]).log()).sum(-1) for k in range(2)).mean().item()
    q = sum(q1[:, [k]] * q2[k] for k in range(2)).mean(0)
    divergence = (q * (3 * q).log()).sum().item()
    parts = kl_parts(model_trace, guide_trace, "c2")
    assert parts.divergence.item() == pytest.approx(divergence)
    assert parts.information.item() == pytest.approx(kl - divergence)
    assert nodes_of(guide_trace)["c2"]["nats"].item() == pytest.approx(kl)


def test_a_type_is_as_rough_as_under_the_class_that_is_certain():
    # With q(c1 | x) = (1, 0), c2 is as if its head had no parent and the bias of class 0, roughness included.
    x, given = torch.randn(6, 2), two_types_guide(certain=400.0)
    alone = Amortized(given.trunk, z=given.heads["z"], c2=Exact(3))
    alone.layers["z"] = given.layers["z"]
    layer = given.layers["c2"][0]
    with torch.no_grad():
        alone.layers["c2"][0].weight.copy_(layer.weight[:, :4])
        alone.layers["c2"][0].bias.copy_(layer.bias + layer.weight[:, 4])

    class OneType(TwoTypes):
        def forward(self, x):
            with pyro.poutine.block(hide=["c1"]):
                super().forward(x)

    found = []
    for pair_ in ((TwoTypes(), given), (OneType(), alone)):
        _, guide_trace = traces(pair_, x)
        names = [name for name in ("c1", "c2") if name in guide_trace]
        pyro.set_rng_seed(3)
        found.append(roughness(guide_trace, names, radius=0.5, probe=1.0)["c2"].item())
    assert found[0] == pytest.approx(found[1])
    assert found[0] > 1e-3


def test_a_type_whose_prior_depends_on_another_site_has_no_two_parts():
    # E[KL(q(c | x) || p(c | z))] less a divergence from the mean log prior is no I(x; c): it came out negative.
    with pytest.raises(ValueError, match="site 'c2': its prior depends on 'z'"):
        TypeInformation(**WEIGHTS).loss(TwoTypes(c2_of_z=True), two_types_guide(), torch.randn(6, 2))


def test_a_type_whose_prior_differs_between_datapoints_has_no_two_parts():
    class OfLabel(nn.Module):
        def forward(self, x, y):
            with pyro.plate("data", len(x)):
                pyro.sample("z", dist.Normal(torch.zeros(1), 1.0).to_event(1))
                pyro.sample("c", dist.OneHotCategorical(logits=torch.eye(3)[y]))
                pyro.sample("x", dist.Normal(torch.zeros(2), 1.0).to_event(1), obs=x)

    guide = Amortized(nn.Linear(2, 4), c=StraightThrough(3, temperature=0.5), z=MeanField(1))
    with pytest.raises(ValueError, match="site 'c': its prior differs between datapoints"):
        TypeInformation(**WEIGHTS).loss(OfLabel(), guide, torch.randn(6, 2), torch.arange(6) % 3)


def test_a_categorical_site_of_the_guide_alone_is_no_type():
    class Auxiliary(nn.Module):
        def __init__(self, guide):
            super().__init__()
            self.guide = guide

        def forward(self, x):
            with pyro.plate("data", len(x)):
                infer = {"enumerate": "parallel", "is_auxiliary": True}
                pyro.sample("a", dist.OneHotCategorical(logits=torch.zeros(2)), infer=infer)
            with pyro.poutine.block(hide=["data"]):
                self.guide(x)

    elbo = TypeInformation(**WEIGHTS)
    model, guide = pair(Exact)
    elbo.loss(model, Auxiliary(guide), images())
    names = list(elbo.report().terms)
    assert "I(x; a)" not in names
    assert elbo.report().terms["-KL(a)"].item() == pytest.approx(math.log(2))  # minus E[log q(a)]


def test_the_data_is_the_first_argument():
    both, x = pair(HEADS["concrete"]), images()
    with pytest.raises(ValueError, match=r"call the loss as loss\(model, guide, x\), with x not by name"):
        TypeInformation(**WEIGHTS).loss(*both, x=x)


def test_data_of_one_number_each_has_distances_and_steps():
    # By hand: 0 and 1 are nearest to each other, and 4 to 1; a step has the given length.
    assert nearest(torch.tensor([0.0, 1.0, 4.0])).tolist() == [1.0, 1.0, 3.0]

    class OfNumbers(nn.Module):
        def __init__(self, program):
            super().__init__()
            self.program = program

        def forward(self, x):
            return self.program(x.unsqueeze(1).expand(-1, 2))

    x = torch.randn(6)
    _, guide_trace = traces([OfNumbers(TwoTypes()), OfNumbers(two_types_guide())], x)
    wide = traces((TwoTypes(), two_types_guide()), x.unsqueeze(1).expand(-1, 2))[1]
    rough = roughness(guide_trace, ["c1", "c2"], radius=0.5, probe=1.0)
    assert all(0 < nats.item() < math.inf for nats in rough.values())
    assert nearest(x).tolist() == pytest.approx((nearest(wide.nodes["_INPUT"]["args"][0]) / math.sqrt(2)).tolist())


@pytest.mark.parametrize("far", [1e3, 1e4])
def test_the_nearest_is_found_in_data_far_from_0(far):
    # In single precision, squares of 1e4 in 30 dimensions are known to within about 200: distances were off by 7.8.
    x = torch.randn(40, 30, dtype=torch.float32) + far
    exact = torch.stack([(x.double() - one).norm(dim=1).sort().values[1] for one in x.double()])
    torch.testing.assert_close(nearest(x).double(), exact, atol=1e-3, rtol=0)


def test_the_nearest_is_found_in_clusters_far_from_each_other():
    # Two clusters at -500 and 500, 0.1 wide: in single precision all distances within a cluster came out as 0, and so
    # did each step from x.
    x = torch.randn(64, 5, dtype=torch.float32) / 10
    x[:32] += 1000.0
    exact = torch.stack([(x.double() - one).norm(dim=1).sort().values[1] for one in x.double()])
    torch.testing.assert_close(nearest(x).double(), exact, atol=1e-3, rtol=0)
