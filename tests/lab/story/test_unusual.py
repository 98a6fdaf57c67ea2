"""Stories of one's own: names that mean something in LaTeX or graphviz, loops over plates, shared parameters, masks."""

import re

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro import poutine
from pyro.nn import PyroModule, PyroParam
from torch import nn

from zoo.lab.data import Batch
from zoo.lab.story import Story, story, trace_lines
from zoo.lab.story.factors import latex_name


def four() -> Batch:
    return Batch(torch.rand(4, 3), None, torch.arange(4))


def told(program, batch=None) -> Story:
    """The story of a program that is a function of the batch."""

    class Own(nn.Module):
        def forward(self, x=None, index=None):
            return program(x)

    return story(Own(), batch=batch)


def expression(fn) -> str:
    return told(lambda x: pyro.sample("z", fn)).model.sites[0].expression


def chain(*names):
    """Sites that each depend on the one before."""

    def program(x):
        value = torch.zeros(())
        for name in names:
            value = pyro.sample(name, dist.Normal(value, 1.0))

    return program


@pytest.mark.parametrize("pyro_param", [False, True])
def test_one_parameter_read_inside_the_plate_is_not_one_per_datapoint(pyro_param):
    # Pyro gives a parameter rows for the plate's members only with event_dim; otherwise all of them share it.
    class Shared(PyroModule):
        def __init__(self):
            super().__init__()
            self.scale = PyroParam(torch.tensor(2.0), dist.constraints.positive)
            self.loc = nn.Parameter(torch.zeros(3))

        def forward(self, x=None, index=None):
            with pyro.plate("data", 70, 4):
                scale = pyro.param("s", torch.tensor(1.0)) if pyro_param else self.scale
                pyro.sample("x", dist.Normal(self.loc, scale).to_event(1), obs=x)

    assert str(story(Shared(), batch=four())).splitlines()[2:] == [
        "    x ~ Normal(loc(θ), scale(θ))  (observed)  [B, 3]",
        "",
        "p_θ(x)",
    ]


def test_a_parameter_with_a_row_per_datapoint_still_is_one():
    def program(x):
        with pyro.plate("data", 70, 4):
            loc = pyro.param("rows", torch.zeros(70, 3), event_dim=1)
            pyro.sample("x", dist.Normal(loc, 1.0).to_event(1), obs=x)

    assert told(program, four()).model.sites[0].expression == "Normal(loc(θ_n), 1)"


def test_a_loop_over_a_plate_makes_sites_of_their_own():
    # Each z_i is in the loop once, so p(z_0) p(z_1), and no product over the plate of either.
    def program(x):
        with pyro.plate("data", 70, 4):
            z = [pyro.sample(f"z_{i}", dist.Normal(0.0, 1.0)) for i in pyro.plate("loop", 2)]
            pyro.sample("x", dist.Normal(sum(z).unsqueeze(-1), torch.ones(3)).to_event(1), obs=x)

    view = told(program, four())
    assert str(view).splitlines()[-1] == "p(x, z_0, z_1) = p(z_0) p(z_1) p(x | z_0, z_1)"
    assert [site.shape for site in view.model.sites] == [("B",), ("B",), ("B", "3")]
    assert "loop" not in view.graph().source + view.graph().tikz


def test_parameters_that_a_family_reads_off_another_distribution_are_shown():
    assert expression(dist.Beta(2.0, 5.0)) == "Beta(concentration1 2, concentration0 5)"  # holds a Dirichlet
    assert expression(dist.Chi2(torch.tensor(3.0))) == "Chi2(3)"  # a Gamma of 3 / 2
    assert expression(dist.BetaBinomial(2.0, 3.0, 7)).endswith("(concentration1 2, concentration0 3, total_count 7)")
    # What is computed on demand from the parameter that was given is left out, as before.
    assert expression(dist.MultivariateNormal(torch.zeros(2), 4 * torch.eye(2))).count("[2, 2]") == 1
    assert expression(dist.Bernoulli(torch.tensor(0.5))) == "Bernoulli(probs 0.5)"


def test_numbers_stay_apart_from_names_in_latex():
    # A space in LaTeX's mathematics is not printed: "concentration1 2" would be read as concentration 12.
    latex = told(lambda x: pyro.sample("z", dist.Beta(2.0, 5.0))).latex()
    assert r"\mathrm{Beta}(\mathrm{concentration1}\,2, \mathrm{concentration0}\,5)" in latex


def test_masks_and_scales_are_said():
    def program(x):
        with pyro.plate("data", 70, 4):
            with poutine.scale(scale=0.5):
                z = pyro.sample("z", dist.Normal(torch.zeros(3), 1.0).to_event(1))
            t = pyro.deterministic("t", z.exp(), event_dim=1)
            keep = torch.tensor([True, False, True, True])
            with poutine.mask(mask=keep):
                pyro.sample("x", dist.Normal(t, 1.0).to_event(1), obs=x)
            pyro.sample("w", dist.Normal(t, 1.0).mask(keep.unsqueeze(1)).to_event(1), obs=x)

    view = told(program, four())
    weights = {site.name: site.weight for site in view.model.sites}
    assert weights == {"z": "scaled by 0.5", "t": "", "x": "masked", "w": "masked"}  # and not the plate's 70 / 4
    assert re.search(r"x ~ Normal\(loc\(t\), 1\) +\(observed, masked\)", str(view))


@pytest.mark.parametrize(
    ("name", "latex"),
    [
        ("z_cy", "z_{cy}"),
        ("z_a_b_c", r"z_{\text{a\_b\_c}}"),  # z_{a_b_c} is LaTeX's error "double subscript"
        ("_auto", r"\text{\_auto}"),
        ("z_", r"\text{z\_}"),  # and not z
        ("μ", r"\mu"),
        ("β_1", r"\beta_1"),
        ("omega", r"\omega"),
        ("net.weight", r"\text{net.weight}"),
        ("50%_a", r"\text{50\%}_a"),
        ("$z$", r"\text{\$z\$}"),
        ("a&b", r"\text{a\&b}"),
        ("a\\b^", r"\text{a\textbackslash{}b\textasciicircum{}}"),
    ],
)
def test_names_are_escaped_in_latex(name, latex):
    assert latex_name(name) == latex
    view = told(chain(name, "x"))
    assert rf"x \mid {latex} &\sim \mathrm{{Normal}}(\mathrm{{loc}}({latex}), 1)" in view.latex()
    assert f"{{${latex}$}};" in view.graph().tikz


def test_names_are_quoted_for_graphviz():
    # Its keywords, in any case; a quotation mark and a backslash; HTML in a label with a subscript.
    lines = told(chain("node", "Graph", 'a"b\\', "z<b>_&")).graph().source.splitlines()[3:-1]
    assert [line.strip() for line in lines] == [
        '"node"',
        '"Graph"',
        r'"a\"b\\"',
        '"z<b>_&" [label=<z&lt;b&gt;<SUB>&amp;</SUB>>]',
        '"node" -> "Graph"',
        r'"Graph" -> "a\"b\\"',
        r'"a\"b\\" -> "z<b>_&"',
    ]


@pytest.mark.parametrize("name", ["theta", "θ"])
def test_a_site_called_as_the_parameters_has_a_node_of_its_own(name):
    class Own(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = nn.Linear(3, 3)

        def forward(self, x=None, index=None):
            with pyro.plate("data", 70, 4):
                value = pyro.sample(name, dist.Normal(torch.zeros(3), 1.0).to_event(1))
                pyro.sample("x", dist.Normal(self.net(value), 1.0).to_event(1), obs=x)

    graph = story(Own(), batch=four()).graph()
    nodes = dict(re.findall(r"\\node\[(\w+)\] \((\S+)\) at", graph.tikz))
    assert len(set(nodes.values())) == 3  # latent, obs, const
    assert rf"\edge {{{nodes['latent']}}} {{x}};" in graph.tikz
    assert rf"\edge {{{nodes['const']}}} {{x}};" in graph.tikz
    arrows = re.findall(r"^ +(.+) -> x$", graph.source, re.MULTILINE)
    assert len(set(arrows)) == 2
    assert name in arrows


def test_names_that_differ_in_a_sign_are_different_nodes_in_tikz():
    nodes = re.findall(r"\\node\[\w+\] \((\S+)\) at", told(chain("a.b", "a:b", "a-b")).graph().tikz)
    assert len(set(nodes)) == 3


def test_crossed_plates_are_two_boxes_and_nested_products_have_two_indices():
    def program(x):
        a, b = pyro.plate("a", 4, dim=-2), pyro.plate("b", 5, dim=-1)
        with a:
            u = pyro.sample("u", dist.Normal(0.0, 1.0))
        with b:
            v = pyro.sample("v", dist.Normal(0.0, 1.0))
        with a, b:
            pyro.sample("x", dist.Normal(u + v, 1.0))

    view = told(program)
    # graphviz merges boxes of one name, and v would be drawn inside plate a.
    assert re.findall('subgraph "(.*)"', view.graph().source) == ["cluster_a", "cluster_a_b", "cluster_b"]
    assert str(view).endswith(
        "p(x, u, v) = prod_i=1..4 [p(u)] prod_i=1..5 [p(v)] prod_i=1..4 [prod_j=1..5 [p(x | u, v)]]"
    )


def test_a_guide_with_plates_of_its_own_draws_no_empty_plate():
    class Guide(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = nn.Linear(3, 3)

        def forward(self, x, index=None):
            with pyro.plate("batch of the guide", 70, 4):
                pyro.sample("z", dist.Normal(self.net(x), 1.0).to_event(1))

    class Model(nn.Module):
        def forward(self, x=None, index=None):
            with pyro.plate("data", 70, 4):
                z = pyro.sample("z", dist.Normal(torch.zeros(3), 1.0).to_event(1))
                pyro.sample("x", dist.Normal(z, 1.0).to_event(1), obs=x)

    graph = story(Model(), Guide(), batch=four()).graph()
    assert re.findall(r"\\plate \{(.*?)\} \{(.*?)\}", graph.tikz) == [("plate-data", "(z)(x)")]


@pytest.mark.parametrize("register", [True, False])
def test_a_network_outside_of_the_story_has_parameters_too(register):
    net = nn.Linear(3, 3)
    frozen = nn.Linear(3, 3).requires_grad_(False)

    def program(x):
        decoder = pyro.module("decoder", net) if register else net
        with pyro.plate("data", 70, 4):
            z = pyro.sample("z", dist.Normal(frozen(torch.zeros(3)), 1.0).to_event(1))
            pyro.sample("x", dist.Normal(decoder(z) + z @ decoder.weight.T, 1.0).to_event(1), obs=x)

    assert str(told(program, four())).splitlines()[-1] == "p_θ(x, z) = p(z) p_θ(x | z)"


def test_a_story_without_a_site_is_refused():
    with pytest.raises(ValueError, match="Own has no site to tell of: its forward calls no"):
        told(lambda x: None)


def test_the_plates_of_a_deterministic_site_are_said_once():
    """Before: [B, 4, 5] and [3, B, 3, 4], since `pyro.deterministic` makes the dimensions of the plates an event."""

    def program(x):
        with pyro.plate("data", 4):
            z = pyro.sample("z", dist.Normal(torch.zeros(2), 1.0).to_event(1))
            pyro.deterministic("per_datapoint", z.repeat(1, 3)[:, :5])
            pyro.deterministic("declared", z.repeat(1, 3)[:, :5], event_dim=1)
            pyro.deterministic("scalar", z.sum(-1))
            pyro.deterministic("constant", torch.ones(5))
            with pyro.plate("rows", 3):
                w = pyro.sample("w", dist.Normal(0.0, 1.0))
                pyro.deterministic("twice", 2 * w)
        pyro.sample("x", dist.Normal(z.sum(), 1.0), obs=torch.zeros(()))

    shapes = {site.name: site.shape for site in told(program, four()).model.sites if site.relation == "="}
    assert shapes == {
        "per_datapoint": ("B", "5"),
        "declared": ("B", "5"),
        "scalar": ("B",),
        "constant": ("B", "5"),
        "twice": ("3", "B"),
    }
    lines = {line.name: line.shape for line in trace_lines(poutine.trace(program).get_trace(None))}
    assert (lines["per_datapoint"], lines["scalar"], lines["constant"]) == ("[B, 5]", "[B]", "[B, 5]")
