"""What a page holds: its sliders and their order, the units of a class, escaped names; and what it refuses."""

import json
import re

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from torch import nn

from guides import Amortized, Flow, MeanField
from tests.lab.explore.javascript import in_node, needs_node
from tests.pairs import L, cvae_pair, images, joint_pair, nvae_pair, vae_pair
from zoo import VAE
from zoo.lab.analysis.posterior import posterior_means, posteriors
from zoo.lab.data import Dataset
from zoo.lab.explore import NotExported, page
from zoo.lab.explore.information import kl_by_unit
from zoo.lab.explore.pair import decoder, encode, encoder, latents_of, used_units
from zoo.papers import configure

TEXTS = {"title": "a pair", "about": "Trained.", "description": ["A story."], "story": "z ~ Normal", "kl_over": "all"}


def content(html):
    """The JSON of a page."""
    return json.loads(re.search(r'<script type="application/json" id="content">(.*?)</script>', html, re.DOTALL)[1])


def pair_of(recipe, **hyperparameters):
    """A recipe's untrained pair on digits, with larger weights, so that every latent has an effect."""
    _, data, experiment = configure(recipe, hyperparameters=hyperparameters, data="digits", device="cpu")
    for module in (experiment.model, experiment.guide):
        module.eval()
        with torch.no_grad():
            for parameter in module.parameters():
                parameter.mul_(3.0)
    return experiment.model, experiment.guide, data.test


@needs_node
@pytest.mark.parametrize(
    ("recipe", "hyperparameters"),
    [
        ("joint-vae/digits", {}),
        ("joint-vae/digits", {"head": "exact"}),
        ("natural-clustering/digits", {}),
        ("hfvae/digits", {}),
        ("vae", {"likelihood": "normal"}),
    ],
)
def test_decoder_and_encoder_equal_pytorchs(recipe, hyperparameters):
    model, guide, data = pair_of(recipe, **hyperparameters)
    sites, draws = latents_of(model, 20, seed=3)
    names = [*sites.units, *sites.classes]
    (found,) = in_node(decoder(model, sites, draws), *(draws[name].unsqueeze(1) for name in names))
    with torch.no_grad():
        inputs = [draws[name] for name in names]
        if recipe.startswith("natural"):
            z_cy = model.mask(draws["y"], draws["z_c"])
            inputs = [z_cy, draws["z_s"]]
        logits = model.decoder(*inputs)
    expected = logits if hyperparameters.get("likelihood") == "normal" else logits.sigmoid()
    assert expected.std() > 0.1
    np.testing.assert_allclose(found, expected.flatten(1), atol=1e-5, rtol=1e-5)
    x = data.batch(torch.arange(20)).x
    made = encoder(guide, sites, x[:1])
    assert set(made.sites) == set(names)
    for site, values in zip(made.sites, in_node(made.network, x.unsqueeze(1)), strict=True):
        np.testing.assert_allclose(values, encode(guide, x)[site], atol=1e-4)


def test_codes_are_posterior_means_and_nothing_is_drawn():
    guide = vae_pair()[1].eval()
    x = images(4)
    torch.testing.assert_close(encode(guide, x), posterior_means(guide, x))
    # HFVAE's style is given the type: at its most probable class, the head's layers give the mean by hand.
    _, guide, data = pair_of("hfvae/digits")
    x = data.batch(torch.arange(6)).x
    found = encode(guide, x)
    features = guide.trunk(x)
    c = guide.layers["c"](features)
    torch.testing.assert_close(found["c"], c.softmax(-1).detach())
    both = torch.cat([features, torch.eye(10)[c.argmax(-1)]], -1)
    torch.testing.assert_close(found["z"], guide.layers["z"](both)[:, :10].detach())
    torch.testing.assert_close(encode(guide, x), found, rtol=0, atol=0)


@needs_node
def test_a_guide_that_needs_labels_is_given_them():
    model, guide = cvae_pair()
    sites, _ = latents_of(model.eval(), 1, seed=0)
    x, y = images(5), torch.tensor([0, 2, 1, 1, 0])
    made = encoder(guide.eval(), sites, x[:1], y[:1])
    assert made.sites == ["z"]
    (found,) = in_node(made.network, x.unsqueeze(1), y.unsqueeze(1))
    np.testing.assert_allclose(found, encode(guide, x, y)["z"], atol=1e-5)


def test_the_sliders_are_ordered_by_kl():
    model, guide = vae_pair(z_dim=3)
    made = page(model.eval(), guide.eval(), kl={"z": torch.tensor([0.1, 2.0, 0.4])}, **TEXTS)
    assert [(u["index"], u["nats"]) for u in content(made.html)["units"]] == [(1, 2.0), (2, 0.4), (0, 0.1)]
    assert "Ordered by KL, in nats, averaged over all." in made.html
    coupled = page(model, guide, kl={"z": torch.tensor([2.5])}, **TEXTS).html
    assert [u["index"] for u in content(coupled)["units"]] == [0, 1, 2]
    assert "so they have no KL of their own" in coupled


def test_kl_is_over_test_datapoints_or_over_the_storys_own():
    model, guide = vae_pair()
    model.eval(), guide.eval()
    data = Dataset("images", images(30).numpy())
    with torch.no_grad():
        raw = guide.layers["z"](guide.trunk(data.batch(torch.arange(30)).x))
    mean, log_var = raw.chunk(2, -1)
    expected = 0.5 * (mean**2 + log_var.exp() - 1 - log_var).mean(0)  # Kingma & Welling 2014, appendix B
    kl, over = kl_by_unit(model, guide, data)
    torch.testing.assert_close(kl["z"], expected)
    assert over == "30 test datapoints"
    kl, over = kl_by_unit(model, guide, num=7)
    _, draws = latents_of(model, 7, seed=0)
    with torch.no_grad():
        mean, log_var = guide.layers["z"](guide.trunk(model.decoder(draws["z"]).sigmoid())).chunk(2, -1)
    torch.testing.assert_close(kl["z"], 0.5 * (mean**2 + log_var.exp() - 1 - log_var).mean(0))
    assert over == "7 datapoints that the story decodes from its prior"
    labelled = kl_by_unit(*(module.eval() for module in cvae_pair()), num=5)[0]
    assert labelled["z"].shape == (4,)


def test_units_of_other_classes_have_no_slider():
    model, guide = nvae_pair()
    sites, draws = latents_of(model.eval(), 1, seed=0)
    assert list(sites.units) == ["z_c", "z_s"]  # z_cy is computed from these
    table = np.array(used_units(model, sites, draws))
    own = np.kron(np.eye(L, dtype=bool), np.ones((1, 2), bool))  # two units of each class
    np.testing.assert_array_equal(table, np.hstack([own, np.ones((L, 4), bool)]))
    kl = {"z_c": torch.arange(6.0), "z_s": torch.tensor([9.0, 8.0, 7.0, 6.0])}
    shown = content(page(model, guide.eval(), kl=kl, **TEXTS).html)
    order = [6, 7, 8, 9, 5, 4, 3, 2, 1, 0]  # of z_c's six and z_s's four units, by KL
    np.testing.assert_array_equal(shown["used"], table[:, order])
    assert content(page(*(m.eval() for m in vae_pair()), kl={}, **TEXTS).html)["used"] is None


def test_names_are_escaped_wherever_they_stand():
    evil = "</script><img src=x onerror=alert(1)>{{story}}"
    model, guide = vae_pair()
    data = Dataset("images", images(6).numpy(), np.arange(6) % 2, classes=(evil, "b"))
    texts = {**TEXTS, "title": evil, "about": evil, "description": [evil], "story": evil, "kl_over": evil}
    made = page(model.eval(), guide.eval(), kl={"z": torch.ones(2)}, data=data, **texts)
    assert "<img" not in made.html
    assert made.html.count("</script>") == 7  # as for harmless names: content, three floats, three scripts
    assert content(made.html)["tests"][0]["name"] == evil
    assert made.html.count("&lt;/script&gt;&lt;img src=x onerror=alert(1)&gt;{{story}}") == 6


def test_a_page_loads_nothing():
    made = page(*(m.eval() for m in vae_pair()), kl={}, **TEXTS).html
    assert "default-src 'none'" in made
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)|<link|@import|url\(|\bsrc=", made)


def test_what_a_page_lacks_is_said_on_it():
    model, guide = vae_pair(head=Flow(2))
    data = Dataset("images", images(6).numpy())
    made = page(model.eval(), guide.eval(), kl={}, data=data, **TEXTS)
    assert set(made.left_out) == {"encodings of test images"}
    assert "has no mean in closed form, as that of a flow" in made.left_out["encodings of test images"]
    assert "<p>Left out: encodings of test images: a posterior of the guide" in made.html
    without = page(*(m.eval() for m in vae_pair()), kl={}, without_data="no files in data/", **TEXTS)
    assert without.left_out == {"test images and their encodings": "no files in data/"}
    assert "no files in data/" in without.html


def test_a_type_is_named_by_the_labels_that_are_found_in_it():
    model, guide, data = pair_of("joint-vae/digits")
    shown = content(page(model, guide, kl={"c": torch.tensor([1.5])}, data=data, **TEXTS).html)
    (c,) = shown["classes"]
    types = encode(guide, data.batch(torch.arange(len(data))).x)["c"].argmax(-1).numpy()
    assert c["nats"] == 1.5
    for k, (name, label) in enumerate(c["names"]):
        counts = np.bincount(data.y[types == k], minlength=10)
        share = f"{counts.argmax()}: {counts.max() / max(1, counts.sum()):.0%}"
        assert (name, label) == (str(k), share if counts.any() else "unused")


def test_a_type_next_to_a_flow_is_named_too():
    """The README's own pair: types of Joint-VAE, and a style whose posterior is a flow."""
    model, guide = joint_pair(z=Flow(2))
    x, y = images(30), np.arange(30) % 3
    made = page(model.eval(), guide.eval(), kl={}, data=Dataset("images", x.numpy(), y), **TEXTS)
    assert set(made.left_out) == {"encodings of test images"}
    (c,) = content(made.html)["classes"]
    types = posteriors(guide, x)["c"].probs.argmax(-1).numpy()  # the trunk's alone: c is not given z
    for k, (name, label) in enumerate(c["names"]):
        counts = np.bincount(y[types == k], minlength=3)
        share = f"{counts.argmax()}: {counts.max() / max(1, counts.sum()):.0%}"
        assert (name, label) == (str(k), share if counts.any() else "unused")


class Ranking(VAE):
    """A story whose x depends on a Poisson count: there is no slider for it."""

    def forward(self, x=None, *, index=None):
        with pyro.plate("data", 1 if x is None else len(x)):
            k = pyro.sample("k", dist.Poisson(2.0))
            z = pyro.sample("z", dist.Normal(self.loc, self.scale).to_event(1))
            return pyro.sample("x", dist.Normal(self.decoder(z + k.unsqueeze(-1)), 1.0).to_event(3), obs=x)


def test_what_cannot_be_shown_is_refused():
    flat = nn.Linear(2, 15)
    guide = Amortized(nn.Linear(15, 7), z=MeanField(2))
    with pytest.raises(ValueError, match=r"datapoints of shape \[15\] cannot be shown: a page shows images"):
        page(VAE(flat, z_dim=2).eval(), guide.eval(), kl={}, **TEXTS)
    good = vae_pair()[0].decoder
    with pytest.raises(NotExported, match=r"depends on site 'k', which is neither a vector of real numbers"):
        page(Ranking(good, z_dim=2).eval(), guide, kl={}, **TEXTS)
    odd = nn.Sequential(good, nn.Threshold(0.1, 0.0))
    with pytest.raises(NotExported, match=r"the decoder uses the operation aten\.threshold, .* Build the network from"):
        page(VAE(odd, z_dim=2).eval(), guide, kl={}, **TEXTS)
