"""The README says nothing that does not run, and leaves nothing out."""

import re
from pathlib import Path

import pytest
import torch

import guides
import zoo.elbos
from zoo.elbos import OBJECTIVES
from zoo.lab.networks import MLPDecoder, MLPEncoder
from zoo.pairing import SampledKLWarning

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
OBJECTIVES_PAGE = (ROOT / "docs/objectives.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCKS = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)


def test_the_examples_run_in_order_and_train(capsys):
    _, _, plain_svi, by_fit = BLOCKS
    assert len([line for line in plain_svi.splitlines() if line.strip()]) <= 16
    namespace: dict = {}
    exec(plain_svi, namespace)
    assert "tensor" in capsys.readouterr().out
    report = namespace["elbo"].report()
    # An untrained pair reconstructs at 64 log 2 = 44.4 nats and says nothing through z.
    assert report.reconstruction["x"] > -30
    assert report.kl["z"].sum() > 0.3
    exec(by_fit, namespace)
    assert namespace["step"] == 500
    assert namespace["elbo"].beta.item() == 4.0


def test_the_story_shown_is_the_story_told():
    shown = re.findall(r"^ +(\w+ ~ .*)$", BLOCKS[0], flags=re.MULTILINE)
    assert len(shown) == 3
    for line in shown:
        assert line in (zoo.JointVAE.__doc__ or "")


def test_the_swap_is_one_line():
    trunk, guides_ = MLPEncoder((1, 8, 8), hidden=(5,)), []
    for line in BLOCKS[1].splitlines():
        namespace = {"trunk": trunk, **vars(guides)}
        exec(line, namespace)
        guides_.append(namespace["guide"])
    before, after = (guide(torch.rand(3, 1, 8, 8)) for guide in guides_)
    assert {site: value.shape for site, value in before.items()} == {site: v.shape for site, v in after.items()}
    assert type(guides_[0].heads["z"]) is not type(guides_[1].heads["z"])
    # Nothing else changes: the same objective computes both, and warns once where it uses the draw.
    model = zoo.JointVAE(MLPDecoder(20, (1, 8, 8), hidden=(5,)), z_dim=10, c_dims=[10], temperature=0.67)
    elbo = zoo.elbos.PlainELBO()
    elbo.loss(model, guides_[0], torch.rand(3, 1, 8, 8))
    with pytest.warns(SampledKLWarning, match="site 'z'") as caught:
        _ = [elbo.loss(model, guides_[1], torch.rand(3, 1, 8, 8)) for _ in range(2)]
    assert len(caught) == 1


def test_the_page_of_objectives_has_every_objective():
    rows = [line for line in OBJECTIVES_PAGE.splitlines() if line.startswith("| [`")]
    in_matrix = {re.findall(r"\[`(\w+)`\]", row)[1]: row for row in rows}
    assert in_matrix.keys() == {c.__name__ for c in OBJECTIVES}
    for objective in OBJECTIVES:
        row = in_matrix[objective.__name__].replace("\\|", "|")
        assert objective.weights in row


def test_the_page_of_guides_has_every_head():
    page = (ROOT / "docs/guides.md").read_text(encoding="utf-8")
    heads = {name for name, cls in vars(guides).items() if isinstance(cls, type) and issubclass(cls, guides.Head)}
    named = set(re.findall(r"`(\w+)`", "".join(line for line in page.splitlines() if line.startswith("| "))))
    assert heads - {"Head"} == named


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target


def test_the_readme_is_read_in_two_minutes():
    assert len(README.encode()) <= 9_000
