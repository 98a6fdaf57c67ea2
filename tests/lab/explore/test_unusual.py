"""Pages of unusual functions and priors: what a page computes is what PyTorch does, and its sliders reach the prior."""

import json
import re

import pyro
import pyro.distributions as dist
import pytest
import torch
from torch import nn

from tests.lab.explore.javascript import in_node, needs_node
from zoo.lab.explore import NotExported, export, page


@needs_node
@pytest.mark.parametrize(
    "function",
    [
        lambda x: x.bool().to(x.dtype) * 2,  # 0.5 is true, which is 1
        lambda x: torch.cat([x, 2 * x])[torch.tensor([-1, 0])],  # -1 is the last row
    ],
)
def test_conditions_and_rows_counted_from_the_end_equal_pytorchs(function):
    torch.set_default_dtype(torch.float32)
    x = torch.tensor([[0.5, 0.0, -3.0]])
    network = export("f", lambda x: (function(x),), torch.ones(1, 3))
    (found,) = in_node(network, x.unsqueeze(1))
    assert found.ravel().tolist() == function(x).flatten().tolist()


def test_rows_chosen_by_a_condition_are_refused():
    keep = torch.tensor([True, False])
    with pytest.raises(NotExported, match="f uses indexing by a condition, which the page cannot compute"):
        export("f", lambda x: (x[keep] * 2,), torch.ones(2, 3))


def story(prior: float, likelihood):
    class Own(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = nn.Linear(2, 2)

        def forward(self, x=None, index=None):
            batch = 1 if x is None else len(x)
            with pyro.plate("data", 50, batch):
                z = pyro.sample("z", dist.Normal(torch.full((2,), prior), 1.0).to_event(1))
                pyro.sample("x", likelihood(self.net(z)).to_event(1), obs=x)

    return Own().eval()


TEXTS = {"title": "", "about": "", "description": [], "story": "", "kl_over": "", "kl": {}}


@pytest.mark.parametrize(("mean", "limit"), [(0.0, 3.0), (10.0, 30.0)])
def test_sliders_reach_a_prior_that_is_not_around_0(mean, limit):
    # 3 sqrt(mean^2 + 1), 3.0 and 30.1, to halves: from -3 to 3, a prior around 10 was out of reach.
    html = page(story(mean, lambda loc: dist.Normal(loc, 1.0)), nn.Identity(), **TEXTS).html
    found = json.loads(re.search(r'id="content">(.*?)</script>', html, re.DOTALL)[1])
    assert [unit["limit"] for unit in found["units"]] == pytest.approx([limit] * 2, abs=0.5)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_page_of_a_kl_or_a_draw_that_is_not_finite_is_refused_by_site(value):
    kl = {**TEXTS, "kl": {"z": torch.tensor([1.0, value])}}
    with pytest.raises(ValueError, match=f"site 'z': the KL is {value}, which a page cannot show"):
        page(story(0.0, lambda loc: dist.Normal(loc, 1.0)), nn.Identity(), **kl)
    with (
        pytest.raises(ValueError, match=r"site 'z': a draw from the prior is (nan|inf)"),
        pyro.validation_enabled(False),
    ):
        page(story(value, lambda loc: dist.Normal(loc, 1.0)), nn.Identity(), **TEXTS)


def test_a_page_of_a_likelihood_without_a_mean_is_refused():
    with pytest.raises(ValueError, match="site 'x' is a StudentT whose mean is not a number"):
        page(story(0.0, lambda loc: dist.StudentT(1.0, loc, 1.0)), nn.Identity(), **TEXTS)
