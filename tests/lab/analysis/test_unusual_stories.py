"""Stories whose latents are not those of a picture: observed beside x, drawn once for all data, without a mean."""

import pyro
import pyro.distributions as dist
import pytest
import torch
from torch import nn

from zoo.lab.analysis.interventions import LatentSites, decoded, encode_modes, from_prior
from zoo.lab.analysis.posterior import draw


class Own(nn.Module):
    """z and whatever `more` draws, and x of 4 pixels with a likelihood of logits."""

    def __init__(self, likelihood=lambda logits: dist.Bernoulli(logits=logits), more=lambda batch: None, shared=False):
        super().__init__()
        self.net = nn.Linear(2, 4)
        self.likelihood, self.more, self.shared = likelihood, more, shared

    def forward(self, x=None, index=None):
        batch = 1 if x is None else len(x)
        shared = pyro.sample("w", dist.Normal(torch.zeros(2), 1.0).to_event(1)) if self.shared else 0.0
        with pyro.plate("data", 50, batch):
            z = pyro.sample("z", dist.Normal(torch.zeros(2), 1.0).to_event(1))
            self.more(batch)
            pyro.sample("x", self.likelihood(self.net(z + shared)).to_event(1), obs=x)


def guide(x, index=None):
    with pyro.plate("data", 50, len(x)):
        pyro.sample("z", dist.Normal(x[:, :2], 1.0).to_event(1))


def test_an_observed_vector_is_no_unit_to_traverse():
    def observed(batch):
        pyro.sample("aux", dist.Normal(torch.zeros(3), 1.0).to_event(1), obs=torch.ones(batch, 3))
        pyro.factor("penalty", torch.zeros(batch))

    assert LatentSites.of(Own(more=observed)) == LatentSites({"z": 2}, {})


def test_a_latent_of_all_data_is_refused_by_name():
    # Five draws of w, [2] each without a dimension for the datapoint, became one vector [10].
    with pytest.raises(ValueError, match=r"site 'w' is outside of the plate 'data': it is drawn once for all"):
        from_prior(Own(shared=True), 5, seed=0)

    class Guide(nn.Module):
        def forward(self, x, index=None):
            guide(x)

    with pytest.raises(ValueError, match="site 'w' is outside of the plate 'data'"):
        encode_modes(Own(shared=True), Guide(), torch.rand(3, 4))


@pytest.mark.parametrize(
    ("family", "likelihood"),
    [
        ("Categorical", lambda logits: dist.Categorical(logits=torch.stack([logits, -logits], -1))),
        ("StudentT", lambda loc: dist.StudentT(1.0, loc, 1.0)),  # Cauchy's
        (
            "TransformedDistribution",
            lambda loc: dist.TransformedDistribution(dist.Normal(loc, 1.0), [dist.transforms.SigmoidTransform()]),
        ),
    ],
)
def test_a_likelihood_without_a_mean_is_refused_instead_of_drawn_black(family, likelihood):
    model = Own(likelihood)
    with pytest.raises(ValueError, match=f"site 'x' is a {family} whose mean is not a number"):
        decoded(model, {"z": torch.zeros(3, 2)})
    with pytest.raises(ValueError, match=f"site 'x' is a {family} whose mean is not a number"):
        draw(model, 3)
