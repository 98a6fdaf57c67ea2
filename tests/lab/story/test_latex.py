"""A story in LaTeX, and its plate diagram as TikZ: what they say, and that they compile where LaTeX is installed."""

import re
import shutil
import subprocess

import pyro
import pyro.distributions as dist
import pytest
import torch
from torch import nn

from guides import Amortized, MeanField
from tests.objectives import EVERY, type_information
from tests.pairs import NUM_DATA, SHAPE, images, joint_pair, nvae_pair
from zoo.elbos import DIPVAEI, BetaTCVAE, Capacity, NaturalClusteringELBO, PlainELBO
from zoo.lab.data import Batch
from zoo.lab.networks import MLPEncoder
from zoo.lab.story import story
from zoo.program import data_plate
from zoo.studies.compatibility import recipes as small


def batch(labels=None) -> Batch:
    return Batch(images(4), labels, torch.arange(4))


def nvae_story(labels=None):
    return story(*nvae_pair(num_data=NUM_DATA), NaturalClusteringELBO(beta_c=2.0), batch(labels))


def test_a_whole_story_in_latex():
    # Two types under one capacity; the KLs of its groups of sites, and every hyperparameter of each group.
    elbo = Capacity(gamma={"z": 30.0, "c1+c2": 10.0}, capacity={"z": 0.5, "c1+c2": 0.0})
    lines = story(*joint_pair((3, 4)), elbo, batch()).latex().splitlines()
    concrete = r"\mathrm{RelaxedOneHotCategorical}(0.67, "
    kl = r"\mathrm{{KL}}(q_\phi({0} \mid x) \,\|\, p({0}))"
    end, gap = r" \\", r" \\[1ex]"
    assert lines == [
        r"\begin{aligned}",
        r"&\text{JointVAE, for each of $N = 70$ datapoints}" + end,
        r"z &\sim \mathrm{Normal}(0, 1)" + end,
        rf"c_1 &\sim {concrete}\mathrm{{uniform}})" + end,
        rf"c_2 &\sim {concrete}\mathrm{{uniform}})" + end,
        r"x \mid z, c_1, c_2 &\sim \mathrm{Bernoulli}(\mathrm{logits}_{\theta}(z, c_1, c_2))" + end,
        r"p_\theta(x, z, c_1, c_2) &= p(z)\, p(c_1)\, p(c_2)\, p_\theta(x \mid z, c_1, c_2)" + gap,
        r"&\text{Amortized, for each of $N = 70$ datapoints}" + end,
        r"z \mid x &\sim \mathrm{Normal}(\mathrm{loc}_{\phi}(x), \mathrm{scale}_{\phi}(x))" + end,
        rf"c_1 \mid x &\sim {concrete}\mathrm{{logits}}_{{\phi}}(x))" + end,
        rf"c_2 \mid x &\sim {concrete}\mathrm{{logits}}_{{\phi}}(x))" + end,
        r"q_\phi(z, c_1, c_2 \mid x) &= q_\phi(z \mid x)\, q_\phi(c_1 \mid x)\, q_\phi(c_2 \mid x)" + gap,
        r"&\text{Capacity, which training maximises}" + end,
        r"\mathcal{L} &= \mathbb{E}_q[\log p_\theta(x \mid z, c_1, c_2)]" + end,
        rf"&\quad - \gamma_{{z}} \left| {kl.format('z')} - C_{{z}} \right|" + end,
        rf"&\quad - \gamma_{{c_1 + c_2}} \left| {kl.format('c_1')} + {kl.format('c_2')} - C_{{c_1 + c_2}} \right|"
        + end,
        r"&\quad\text{at the start: }\gamma_{z} = 30,\quad \gamma_{c_1 + c_2} = 10,"
        r"\quad C_{z} = 0.5,\quad C_{c_1 + c_2} = 0",
        r"\end{aligned}",
    ]


def test_a_deterministic_site_and_the_classifier_in_latex():
    latex = nvae_story(torch.tensor([0, 1, 2, 0])).latex()
    assert r"z_{cy} &= f(y, z_c) \\" in latex
    assert r"- \beta_c\, \mathrm{KL}(q_\phi(z_c \mid x) \,\|\, p(z_c))" in latex
    assert r"- \mathrm{KL}(q_\phi(z_s \mid x) \,\|\, p(z_s))" in latex
    assert r"+ \log q_\phi(y \mid x)" in latex
    assert r"\beta_c = 2" in latex


@pytest.mark.parametrize("name", EVERY)
def test_every_objectives_terms_have_a_formula(name):
    told = story(*joint_pair(), EVERY[name](), batch())
    terms = told.latex().split(r"\mathcal{L}")[1].split(r"\text{at the start")[0]
    assert r"\text" not in terms  # the form of a term that has none
    assert terms.count(r"\\") + 1 >= len(told.terms.terms)
    # Weights are named next to the terms that they weigh.
    for hyperparameter in told.terms.hyperparameters:
        greek = hyperparameter.split(".")[0].split("_")[0]
        assert ("C" if greek == "capacity" else rf"\{greek}") in terms or greek == "rate"


def test_the_weights_of_a_type_stand_at_its_terms():
    latex = story(*joint_pair(), type_information(), batch()).latex()
    for weighted in (
        r"+ \mathrm{information}\, I(x; c) \\",
        r"- \mathrm{balance}\, \mathrm{KL}(q(c) \,\|\, p(c)) \\",
        r"- \mathrm{smoothness}\, \mathrm{KL}(q(c \mid x) \,\|\, q(c \mid x + r)) \\",
        r"\mathrm{information} = 2,\quad \mathrm{balance} = 5,\quad \mathrm{smoothness} = 7",
    ):
        assert weighted in latex


class Digits(nn.Module):
    """A code with the name that a term of beta-TCVAE has, and numbers that are printed with an exponent."""

    def forward(self, x=None, *, index=None):
        with data_plate(x, index, NUM_DATA):
            z = pyro.sample("z_d", dist.Normal(torch.zeros(15), 1e-5).to_event(1))
            pyro.sample("x", dist.Normal(z.unflatten(-1, SHAPE), 123456.0).to_event(3), obs=x)


@pytest.mark.parametrize(
    ("elbo", "term"),
    [
        (PlainELBO(), r"&\quad - \mathrm{KL}(q_\phi(z_d \mid x) \,\|\, p(z_d))"),
        (
            DIPVAEI(site="z_d", lambda_od=1e5, lambda_d=0.5),
            r"&\quad - \mathrm{KL}(q_\phi(z_d \mid x) \,\|\, p(z_d)) \\",
        ),
        (BetaTCVAE(beta=1e5, num_data=NUM_DATA), r"&\quad - \sum_d \mathrm{KL}(q(z_d) \,\|\, p(z_d)) \\"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_site_called_z_d_and_powers_of_ten_in_latex(elbo, term):
    """Before: the KL of the site was that of beta-TCVAE's marginals, and 1e-05 is set as the difference 1e - 05."""
    guide = Amortized(MLPEncoder(SHAPE, hidden=(8,)), num_data=NUM_DATA, z_d=MeanField(15))
    lines = story(Digits(), guide, elbo, batch()).latex().splitlines()
    assert r"z_d &\sim \mathrm{Normal}(0, 1 \cdot 10^{-5}) \\" in lines
    assert r"x \mid z_d &\sim \mathrm{Normal}(\mathrm{loc}(z_d), 1.23 \cdot 10^{5}) \\" in lines
    assert term in lines
    if elbo.state_dict():
        assert r" = 1 \cdot 10^{5}" in lines[-2]


def test_a_diagram_in_tikz_is_in_the_papers_convention():
    source = nvae_story(torch.tensor([0, 1, 2, 0])).graph().tikz
    kinds = {name: kind for kind, name in re.findall(r"\\node\[(.*?)\] \((\S+?)\) at", source)}
    assert kinds == {
        **dict.fromkeys(("pi", "z_c", "z_s"), "latent"),
        **dict.fromkeys(("y", "x"), "obs"),
        "z_cy": "latent, double",  # deterministic, and not shaded
        **dict.fromkeys(("theta", "phi"), "const"),
    }
    solid = set(re.findall(r"\\edge \{(\S+)\} \{(\S+)\};", source))
    assert solid == {("theta", "x"), ("pi", "y"), ("y", "z_cy"), ("z_c", "z_cy"), ("z_cy", "x"), ("z_s", "x")}
    dashed = set(re.findall(r"\\draw\[->, dashed\] \((\S+)\) to\[bend \w+=\d+\] \((\S+)\);", source))
    assert dashed == {(parent, site) for parent in ("phi", "x") for site in ("pi", "z_c", "z_s")}
    ((inside, size),) = re.findall(r"\\plate \{plate-data\} \{(.*)\} \{(.*)\};", source)
    assert set(re.findall(r"\((\S+?)\)", inside)) == {"pi", "y", "z_c", "z_s", "z_cy", "x"}  # no parameters
    assert size == "$N$"


def test_sites_in_tikz_are_below_what_they_depend_on_and_parameters_are_beside_the_plate():
    source = nvae_story(torch.tensor([0, 1, 2, 0])).graph().tikz
    places = {n: (float(x), float(y)) for n, x, y in re.findall(r"\((\S+?)\) at \((\S+), (\S+)\)", source)}
    for parent, child in re.findall(r"\\edge \{(\S+)\} \{(\S+)\};", source):
        assert parent == "theta" or places[parent][1] > places[child][1]
    assert len(set(places.values())) == len(places)
    sites = [x for name, (x, _) in places.items() if name not in ("theta", "phi")]
    assert places["phi"][0] < min(sites)
    assert max(sites) < places["theta"][0]


def test_a_plate_in_a_plate_in_tikz():
    name = "SparseIndicatorVAE"
    source = story(small.STORIES[name].build(), batch=small.data(name)).graph().tikz
    inner, outer = re.findall(r"\\plate \{(\S+)\} \{(.*)\} \{(.*)\};", source)
    assert inner[2] == "$3$"  # units
    assert outer[0] == "plate-data"
    assert f"({inner[0]})" in outer[1]


@pytest.mark.skipif(not shutil.which("pdflatex"), reason="needs pdflatex")
def test_latex_and_tikz_compile(tmp_path):
    formulas = [story(*joint_pair(), elbo(), batch()).latex() for elbo in EVERY.values()]
    formulas.append(nvae_story(torch.tensor([0, 1, 2, 0])).latex())
    display = "\n".join(rf"\[{formula}\]" for formula in formulas)
    (tmp_path / "formulas.tex").write_text(
        "\\documentclass{article}\n\\usepackage{amsmath, amssymb}\n"
        f"\\begin{{document}}\n{display}\n\\end{{document}}\n"
    )
    nvae_story(torch.tensor([0, 1, 2, 0])).graph(tmp_path / "plates.tex")
    name = "SparseIndicatorVAE"
    story(small.STORIES[name].build(), batch=small.data(name)).graph(tmp_path / "nested.tex")
    for stem in ("formulas", "plates", "nested"):
        command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", f"{stem}.tex"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, encoding="latin-1", timeout=300)
        assert done.returncode == 0, done.stdout[-2000:]
        assert (tmp_path / f"{stem}.pdf").read_bytes().startswith(b"%PDF")
