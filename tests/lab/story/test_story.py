"""The story view: the docstring's telling, the trace's, what sites look at, and what they add to an objective."""

import re
import shutil
import sys

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro import poutine
from scipy import sparse
from torch import nn

from guides import Amortized, Concrete, MeanField
from tests.pairs import NUM_DATA, images, vae_pair
from zoo import AnisotropicVAE, JointVAE
from zoo.elbos import DIPVAE, HFVAE, BetaVAE, NaturalClusteringELBO, PlainELBO
from zoo.lab.analysis.evaluate import evaluate
from zoo.lab.analysis.posterior import draw
from zoo.lab.data import Batch, Dataset, Split
from zoo.lab.isolation import isolated
from zoo.lab.networks import MLPDecoder, MLPEncoder
from zoo.lab.story import Line, docstring_lines, story
from zoo.lab.story.program import Program
from zoo.papers.recipes import RECIPES
from zoo.sites import is_deterministic, sampled
from zoo.studies.compatibility import recipes as small
from zoo.studies.guide_gap.recipes import names as swaps
from zoo.studies.guide_gap.recipes import swap


class Toy(nn.Module):
    """Something.

        pi ~ Dirichlet(alpha 1)      shares   [L]
        z_c ~ Normal(0, I)  [B, L, d]
        m = z_c * y                  masked, deterministic   [B, L]

    Prose with a ~ in it, and [brackets].
    """


def four() -> Batch:
    return Batch(images(4), None, torch.arange(4))


def test_a_docstring_is_read_line_by_line():
    assert docstring_lines(Toy) == [
        Line("pi", "~", "Dirichlet(alpha 1)", "shares", "[L]"),
        Line("z_c", "~", "Normal(0, I)", "", "[B, L, d]"),
        Line("m", "=", "z_c * y", "masked, deterministic", "[B, L]"),
    ]
    assert [line.family for line in docstring_lines(Toy)] == ["Dirichlet", "Normal", "z_c * y"]


def test_the_view_shows_model_and_guide_as_they_ran():
    model, guide = vae_pair(likelihood=lambda loc: dist.Laplace(loc, 0.1))
    lines = str(story(model, guide, batch=four())).splitlines()
    # A Laplace likelihood although the docstring says Bernoulli; its scale is a number that looks at nothing.
    assert [" ".join(line.split()) for line in lines] == [
        "VAE Amortized",
        f"plate data: 4 of {NUM_DATA} datapoints plate data: 4 of {NUM_DATA} datapoints",
        "z ~ Normal(0, 1) code [B, 2] z ~ Normal(loc(x; φ), scale(x; φ)) [B, 2]",
        "x ~ Laplace(loc(z; θ), 0.1) pixels (observed) [B, 1, 3, 5]",
        "",
        "p_θ(x, z) = p(z) p_θ(x | z)",
        "q_φ(z | x)",
    ]


def joint_pair() -> tuple[JointVAE, Amortized]:
    model = JointVAE(MLPDecoder(2 + 3 + 4, (1, 3, 5), hidden=(4,)), z_dim=2, c_dims=(3, 4), temperature=0.5, num_data=9)
    trunk = MLPEncoder((1, 3, 5), hidden=(4,))
    heads = {"c1": Concrete(3, temperature=0.5), "c2": Concrete(4, temperature=0.5)}
    return model, Amortized(trunk, num_data=9, **heads, z=MeanField(2, given=("c1",)))


def test_the_factorisation_is_the_programs_own():
    # Two types; z is drawn given the first of them, which no other line says.
    told = story(*joint_pair(), batch=four())
    p = r"p_\theta(x, z, c_1, c_2) &= p(z)\, p(c_1)\, p(c_2)\, p_\theta(x \mid z, c_1, c_2)"
    q = r"q_\phi(c_1, c_2, z \mid x) &= q_\phi(c_1 \mid x)\, q_\phi(c_2 \mid x)\, q_\phi(z \mid x, c_1)"
    assert told.factorisation() == f"\\begin{{aligned}}\n{p} \\\\\n{q}\n\\end{{aligned}}"
    assert told._repr_latex_() == f"$$\n{told.factorisation()}\n$$"


@pytest.mark.parametrize(
    ("name", "p"),
    [
        (
            "NaturalClustering",
            r"p_\theta(x, y, \pi, z_c, z_s) = p(\pi)\, p(y \mid \pi)\, p(z_c)\, p(z_s)\, p_\theta(x \mid z_s, z_{cy})"
            r",\quad z_{cy} = f(y, z_c)",
        ),
        (
            "SparseIndicatorVAE",
            r"p_\theta(x, \mathrm{on}, z) = \prod_{i=1}^{3} \left[ p(\mathrm{on})\, p(z \mid \mathrm{on}) \right]\, "
            r"p_\theta(x \mid z)",
        ),
        ("ClusterIndicatorVAE", r"p_\theta(x, k, z) = p(k)\, p(z \mid k)\, p_\theta(x \mid z)"),
    ],
)
def test_labels_deterministic_sites_plates_and_indicators_in_latex(name, p):
    told = story(small.STORIES[name].build(), batch=small.data(name))
    assert told.factorisation() == "\\begin{aligned}\n" + p.replace(" = ", " &= ", 1) + "\n\\end{aligned}"


def test_a_prior_has_parameters_only_where_they_are_trained():
    def prior(**options):
        model = AnisotropicVAE(MLPDecoder(2, (1, 3, 5), hidden=(4,)), variances=[1.0, 4.0], **options)
        return story(model).model.sites[0]

    assert (prior().expression, prior().learnt) == ("Normal(0, [1, 2])", False)  # the roots of 1 and 4
    assert (prior(learnt=True).expression, prior(learnt=True).learnt) == ("Normal(0, scale(θ))", True)
    frozen = AnisotropicVAE(MLPDecoder(2, (1, 3, 5), hidden=(4,)), variances=[1.0, 4.0])
    for parameter in frozen.parameters():
        parameter.requires_grad_(False)
    assert str(story(frozen)).endswith("p(x, z) = p(z) p(x | z)")


def looks_at(program: nn.Module, batch: Batch, site: str) -> set[str]:
    """The oracle: the sites whose value, changed by itself, changes the density of this one's."""
    args, kwargs = batch.arguments()
    trace = poutine.trace(program).get_trace(*args, **kwargs)
    values = {name: node["value"] for name, node in sampled(trace)}
    deterministic = {name for name, node in sampled(trace) if is_deterministic(node)}

    def density(**changed):
        fixed = {name: value for name, value in {**values, **changed}.items() if name != site}
        with poutine.do(data=fixed):  # cuts the site off whatever it was computed from
            fn = poutine.trace(program).get_trace(*args, **kwargs).nodes[site]["fn"]
        return fn.base_dist.v if site in deterministic else fn.log_prob(values[site])

    found = set()
    for name, value in values.items():
        if name != site:
            # Another datapoint's value lies in the support as well as this one's.
            other = density(**{name: value.roll(1, dims=value.dim() - 1 if name == "on" else 0)})
            found |= {name} if not torch.equal(other, density()) else set()
    return found


@pytest.mark.parametrize("name", small.STORIES)
def test_a_sites_parents_are_those_whose_values_move_its_distribution(name):
    model, batch = small.STORIES[name].build(), small.data(name)
    with isolated(model), pyro.validation_enabled(False):
        for site in Program.of("p", model, batch).sites:
            assert set(site.parents) == looks_at(model, batch, site.name), site.name


@pytest.mark.parametrize("name", ["VAE", "JointVAE", "NaturalClustering", "NaturalClustering, no labels"])
def test_every_guide_is_told_with_what_it_reads_and_whose_parameters(name):
    # Amortised: q(z | x), one set of parameters. A row per datapoint: q_n(z), and x is not looked at. Semi-amortised
    # steps go down the objective, which sees the labels too.
    for guide_name in small.guides_of(small.STORIES[name]):
        model, guide = small.pair(name, guide_name, PlainELBO(kl="sampled"))
        if name.endswith("no labels") and guide_name.startswith("Auto"):
            continue  # Pyro's autoguides take no discrete site
        guided = story(model, guide, batch=small.data(name)).guide
        own_rows = guide_name in ("per-datapoint", "AutoNormal", "AutoDelta")
        labels = ("y",) * (guide_name == "semi-amortised" and small.STORIES[name].labels)
        assert guided.given == (() if own_rows else ("x", *labels)), guide_name
        assert all(site.learnt and site.per_datapoint == own_rows for site in guided.sites), guide_name
        summed = {site.name for site in guided.sites if site.role == "summed out"}
        assert summed == ({"y"} if name.endswith("no labels") else {"c"} if guide_name == "exact" else set())


def test_terms_sum_to_the_objective_and_name_the_sites_that_they_are_of():
    model, guide = small.pair("JointVAE", "mean-field", PlainELBO())
    batch = small.data("JointVAE")
    elbo = HFVAE(alpha=2.0, beta=3.0, gamma=4.0, num_data=small.NUM_DATA)
    terms = story(model, guide, elbo, batch).terms
    with isolated(model, guide):
        args, kwargs = batch.arguments()
        assert terms.total == pytest.approx(-elbo.loss(model, guide, *args, **kwargs))
    assert {term.name: term.sites for term in terms.terms} == {
        "log p(x)": ("x",),
        "-I(x; z)": ("z", "c"),
        "-TC between": ("z", "c"),
        "-TC within": ("z", "c"),
        "-KL(z_de)": ("z", "c"),
    }
    assert terms.elbo == pytest.approx(elbo.report().elbo.item())
    assert terms.hyperparameters == {"alpha": 2.0, "beta": 3.0, "gamma": 4.0}


def test_what_is_weighed_and_what_is_left_out_shows_beside_the_unweighted():
    # N-VAE's (7): beta_c on z_c, and log q(y | x), which looks at y and pi, in place of log p(y) and pi's KL.
    model, guide = small.pair("NaturalClustering", "mean-field", PlainELBO())
    terms = story(model, guide, NaturalClusteringELBO(beta_c=3.0), small.data("NaturalClustering")).terms
    by_name = {term.name: term for term in terms.terms}
    assert by_name["-KL(z_c)"].nats == pytest.approx(-3.0 * terms.kl["z_c"])
    assert by_name["-KL(z_s)"].nats == pytest.approx(-terms.kl["z_s"])
    assert by_name["log q(y | x)"].sites == ("y", "pi")
    assert set(by_name) == {"log p(x)", "-KL(z_c)", "-KL(z_s)", "log q(y | x)"}
    assert set(terms.reconstruction) | set(terms.kl) == {"x", "y", "pi", "z_c", "z_s"}


def test_looking_changes_nothing():
    model, guide = vae_pair()
    elbo, batch = DIPVAE(lambda_od=1.0, lambda_d=1.0, rate=0.5), four()
    store, state = set(pyro.get_param_store().keys()), torch.get_rng_state()
    told = story(model, guide, elbo, batch)
    str(told), told._repr_html_()
    assert elbo.covariance is None  # the running statistic that a pass of the objective itself would leave
    assert model.training
    assert guide.training
    assert torch.equal(torch.get_rng_state(), state)
    evaluate(model, guide, Dataset("four", images(4).numpy()))
    draw(model, 3)
    assert set(pyro.get_param_store().keys()) == store


def test_the_difference_is_the_lines_that_differ():
    model, guide = vae_pair()
    plain, beta = (story(model, guide, elbo, four()) for elbo in (PlainELBO(), BetaVAE(beta=4.0)))
    assert not re.search("^[+-]", str(plain.diff(plain)), re.MULTILINE)
    changed = [line for line in str(beta.diff(plain)).splitlines() if line[0] in "+-"]
    assert changed == ["- PlainELBO: (1 + 3) + 2 + 4", "+ BetaVAE: (1 + 3) + beta (2 + 4), beta = 4"]
    assert beta.diff(plain).coloured().count("\x1b[0m") == 2
    # Both ways round, the one's lines are the other's.
    turned = str(plain.diff(beta)).translate(str.maketrans("+-", "-+"))
    assert {line[1:] for line in turned.splitlines()} >= {line[1:] for line in changed if "(" not in line}
    swapped = story(model, vae_pair(head=MeanField(2))[1], PlainELBO(), four())
    assert repr(swapped.diff(plain)) == str(swapped.diff(plain)) == str(plain.diff(plain))
    assert repr(plain.graph()).startswith("digraph {")


def test_another_likelihood_or_head_changes_its_own_line_alone():
    plain = story(*vae_pair(), batch=four())
    other = story(*vae_pair(likelihood=lambda loc: dist.Normal(loc, 0.5)), batch=four())
    changed = [" ".join(line.split()) for line in str(other.diff(plain)).splitlines() if line[0] in "+-"]
    assert changed == [
        "- x ~ Bernoulli(logits(z; θ)) (observed) [B, 1, 3, 5]",
        "+ x ~ Normal(loc(z; θ), 0.5) (observed) [B, 1, 3, 5]",
    ]


def test_the_page_has_all_of_it_escaped():
    told = story(*vae_pair(), BetaVAE(beta=2.0), four())
    page = told._repr_html_()
    assert "x ~ Bernoulli(logits(z; θ))" in page
    assert r"p_\theta(x, z) &amp;= p(z)\, p_\theta(x \mid z)" in page
    assert f"{told.terms.total:.3f}" in page
    assert repr(told) == str(told)
    assert "<div style='background: #cfe4f3'>" in told.diff(story(*vae_pair(), PlainELBO(), four()))._repr_html_()


def test_the_diagram_has_the_storys_nodes_and_arrows(tmp_path):
    name = "NaturalClustering"
    told = story(small.STORIES[name].build(), batch=small.data(name))
    told.graph(tmp_path / "plates.gv")
    source = (tmp_path / "plates.gv").read_text()
    arrows = set(re.findall(r"(\w+) -> (\w+)", source))
    expected = {(parent, site.name) for site in told.model.sites for parent in site.parents}
    assert arrows == expected | {("θ", site.name) for site in told.model.sites if site.learnt}


def test_the_diagram_is_in_the_papers_convention():
    source = story(*joint_pair(), batch=four()).graph().source
    lines = [line.strip() for line in source.splitlines()]
    start, end = lines.index('subgraph "cluster_data" {'), lines.index("}")
    assert lines[start + 1].startswith('label="N"; labelloc=b; labeljust=r')
    inside = lines[start + 2 : end]
    types = [f"c{k} [label=<c<SUB>{k}</SUB>>]" for k in (1, 2)]
    assert inside == ["z", *types, "x [style=filled, fillcolor=grey85]"]  # parameters are not in the plate
    outside = set(lines[end + 1 :]) - {"}", ""}
    assert outside == {
        "θ [shape=plaintext]",
        "φ [shape=plaintext]",
        *(f"{parent} -> x" for parent in ("θ", "z", "c1", "c2")),  # generation is solid
        *(f"φ -> {site} [style=dashed]" for site in ("z", "c1", "c2")),  # inference is dashed
        *(f"x -> {site} [style=dashed, constraint=false]" for site in ("z", "c1", "c2")),  # and moves no site
        "c1 -> z [style=dashed, constraint=false]",
    }


def test_deterministic_sites_are_not_drawn_as_observed():
    name = "NaturalClustering"
    source = story(small.STORIES[name].build()).graph().source
    assert "z_cy [peripheries=2, label=<z<SUB>cy</SUB>>]" in source
    assert "pi [label=<&pi;>]" in source
    assert "x [style=filled" not in source  # a draw from the prior observes nothing


def test_a_diagram_without_its_program_or_library_says_what_to_install(tmp_path, monkeypatch):
    told = story(*vae_pair(), batch=four())
    if shutil.which("dot"):
        told.graph(tmp_path / "plates.svg")
        assert "<svg" in (tmp_path / "plates.svg").read_text()
        assert "<svg" in told.graph()._repr_html_()
        with pytest.raises(ValueError, match=r"graphviz has no format 'xyz': use \.svg, \.png or \.pdf, \.gv for"):
            told.graph(tmp_path / "plates.xyz")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(OSError, match=r"the program dot, which is not on the path: install it \(apt-get inst"):
        told.graph(tmp_path / "plates.svg")
    assert "apt-get install graphviz" in told._repr_html_()
    told.graph(tmp_path / "plates.gv")
    monkeypatch.setitem(sys.modules, "graphviz", None)
    with pytest.raises(ModuleNotFoundError, match=r'needs graphviz, which is not installed: pip install -e "\.\[note'):
        told.graph(tmp_path / "plates.svg")
    assert "needs graphviz" in told._repr_html_()
    assert "z ~ Normal(0, 1)" in str(told)


def test_what_is_missing_is_asked_for():
    model, guide = vae_pair()
    with pytest.raises(ValueError, match="a guide needs data: give batch="):
        story(model, guide)
    with pytest.raises(ValueError, match="an objective needs model and guide: give guide= too"):
        story(model, elbo=PlainELBO())


SHAPES = {"digits": (1, 8, 8), "mnist": (1, 28, 28), "fashion-mnist": (1, 32, 32), "pinwheel": (2,), "newsgroups": (6,)}


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_is_told_on_data_of_its_shape(name):
    torch.set_default_dtype(torch.float32)
    shape = SHAPES.get(RECIPES[name].data, (3 if name.endswith("celeba") else 1, 64, 64))
    x = np.random.default_rng(0).integers(0, 256, (20, *shape), dtype=np.uint8)
    data = Dataset.from_arrays(x if len(shape) == 3 else x / 255 - 0.5, np.arange(20) % 4, x_max=255.0)
    if RECIPES[name].data == "newsgroups":
        data = Dataset("words", sparse.csr_array(1.0 + x, dtype=np.float32), vocabulary=tuple("abcdef"))
    experiment = RECIPES[name].build(Split(data, data))
    batch = data.batch(torch.arange(5), labels=experiment.labels)
    told = story(experiment.model, experiment.guide, experiment.elbo, batch)
    docstring = [line.name for line in docstring_lines(experiment.model)]
    if not any(site.name in ("c1", "z1") for site in told.model.sites):  # several types, or groups, have a site each
        assert [site.name for site in told.model.sites] == docstring
    assert {name for term in told.terms.terms for name in term.sites} <= {*docstring, "c1", "c2", "z1", "z2"}
    assert r"p_\theta(x" in told.latex()
    assert "x ~ " in told._repr_html_()


def test_every_swap_is_told_beside_the_model():
    torch.set_default_dtype(torch.float32)
    data = Dataset.from_arrays(np.random.default_rng(0).integers(0, 17, (20, 1, 8, 8), dtype=np.uint8), x_max=16.0)
    experiment = RECIPES["joint-vae/digits"].build(Split(data, data))
    families = set()
    for name in swaps():
        other = swap(experiment, name)
        sites = story(other.model, other.guide, other.elbo, data.batch(torch.arange(5))).guide.sites
        families.add(sites[0].expression.partition("(")[0])
        assert sites[1].expression.startswith("RelaxedOneHotCategorical(0.67, logits(x; φ))")
    assert families == {
        *("Normal", "MultivariateNormal", "LowRankMultivariateNormal", "NormalFlow"),
        *("MixtureOfNormals", "Laplace", "StudentT"),
    }
