"""Latents of another precision or length, sites of the other kind, and types under a mask or several in one site."""

import pyro
import pyro.distributions as dist
import pytest
import torch
from torch import nn

from tests.pairs import images, joint_pair, nvae_pair, vae_pair
from zoo.lab.analysis import (
    LatentSites,
    encode_modes,
    from_prior,
    intervene,
    posterior_means,
    traverse_classes,
    traverse_unit,
)
from zoo.lab.analysis.interventions import decoded
from zoo.lab.analysis.posterior import codes, decode
from zoo.lab.explore.pair import encode
from zoo.metrics import Encoded

VALUES = torch.tensor([-1.0, 0.5])


def test_a_site_of_the_other_kind_is_refused_with_the_function_that_traverses_it():
    model, _ = joint_pair((3, 2))
    latents = from_prior(model, 4, seed=0)
    for unit in (0, 7):
        with pytest.raises(ValueError, match=r"site 'c1' is a one-hot type, .*no units: use traverse_classes"):
            traverse_unit(model, latents, "c1", unit, VALUES)
    with pytest.raises(ValueError, match=r"site 'z' is a vector of numbers, .*no classes: use traverse_unit"):
        traverse_classes(model, latents, "z")
    with pytest.raises(LookupError, match="unknown site 'c'"):
        traverse_classes(model, latents, "c")
    del latents["z"]
    for change in (
        lambda: traverse_unit(model, latents, "z", 0, VALUES),
        lambda: intervene(LatentSites.of(model), latents, [("z", 0, 1.0)]),
    ):
        with pytest.raises(LookupError, match=r"latents: unknown site 'z'"):
            change()


@pytest.mark.parametrize(("stories", "given"), [("float32", "float64"), ("float64", "float32")])
def test_latents_of_another_precision_are_decoded_in_the_storys(stories, given):
    model, _ = joint_pair((3,))
    model.to(getattr(torch, stories))
    torch.set_default_dtype(getattr(torch, stories))
    latents = from_prior(model, 4, seed=0)
    latents = {name: value.to(torch.float32).to(value.dtype) for name, value in latents.items()}  # exact in both
    other = {name: value.to(getattr(torch, given)) for name, value in latents.items()}
    assert torch.equal(decode(model, other), decode(model, latents))
    assert torch.equal(
        traverse_unit(model, other, "z", 1, VALUES.double()), traverse_unit(model, latents, "z", 1, VALUES)
    )
    assert torch.equal(traverse_classes(model, other, "c"), traverse_classes(model, latents, "c"))


def test_a_unit_of_whole_numbers_is_set_to_any_value():
    model, _ = vae_pair()
    zeros = torch.zeros(3, 2)
    by_floats = traverse_unit(model, {"z": zeros}, "z", 1, VALUES)
    assert torch.equal(traverse_unit(model, {"z": zeros.long()}, "z", 1, VALUES), by_floats)
    assert intervene(LatentSites.of(model), {"z": zeros.long()}, [("z", 1, 0.5)])["z"].tolist() == [[0, 0.5]] * 3


def test_latents_of_other_lengths_are_refused(monkeypatch):
    model, _ = joint_pair((3,))
    latents = from_prior(model, 4, seed=0)
    shorter = latents | {"z": latents["z"][:2]}
    message = r"latents differ in their number of datapoints, \{'z': 2, 'c': 4\}; give each site a value for each"
    monkeypatch.setattr("zoo.lab.analysis.interventions.AT_ONCE", 2)  # the first parts are of one length
    for change in (
        lambda: decode(model, shorter),
        lambda: decoded(model, shorter),
        lambda: traverse_unit(model, shorter, "z", 0, VALUES),
        lambda: traverse_classes(model, shorter, "c"),
    ):
        with pytest.raises(ValueError, match=message):
            change()


class Typed(nn.Module):
    """z, and c by `wrapped`; x of 5 pixels."""

    def __init__(self, wrapped, size):
        super().__init__()
        self.net, self.wrapped, self.size = nn.Linear(2 + size, 5), wrapped, size

    def forward(self, x=None, index=None):
        with pyro.plate("data", 50, 1 if x is None else len(x)):
            z = pyro.sample("z", dist.Normal(torch.zeros(2), 1.0).to_event(1))
            c = pyro.sample("c", self.wrapped(torch.zeros(*z.shape[:-1], self.size)))
            both = torch.cat([z, c.reshape(*z.shape[:-1], self.size)], -1)
            pyro.sample("x", dist.Normal(self.net(both), 1.0).to_event(1), obs=x)


class Inferred(nn.Module):
    def __init__(self, wrapped, size, types=True):
        super().__init__()
        self.net, self.wrapped, self.types = nn.Linear(5, 2 + size), wrapped, types

    def forward(self, x, index=None):
        with pyro.plate("data", 50, len(x)):
            h = self.net(x)
            pyro.sample("z", dist.Normal(h[:, :2], 1.0).to_event(1))
            if self.types:
                pyro.sample("c", self.wrapped(h[:, 2:]))


def relaxed(logits):
    return dist.RelaxedOneHotCategorical(torch.tensor(0.5), logits=logits)


def one_hot(logits):
    return dist.OneHotCategorical(logits=logits)


WRAPPED = {
    "masked": lambda logits: relaxed(logits).mask(torch.tensor(True)),
    "masked one-hot": lambda logits: one_hot(logits).mask(True),
    "expanded under a mask": lambda logits: relaxed(logits[:1]).expand(logits.shape[:-1]).mask(True),
    "independent of nothing": lambda logits: relaxed(logits).to_event(0),
}


@pytest.mark.parametrize("wrapped", WRAPPED.values(), ids=WRAPPED)
def test_a_type_under_wrappers_has_its_probabilities(wrapped):
    model, guide, x = Typed(wrapped, 3), Inferred(wrapped, 3), torch.rand(4, 5)
    logits = guide.net(x)[:, 2:].detach()
    if wrapped is WRAPPED["expanded under a mask"]:
        logits = logits[:1].expand(4, 3)
    probs = logits.softmax(1)
    torch.testing.assert_close(posterior_means(guide, x)["c"], probs)
    torch.testing.assert_close(encode(guide, x)["c"].detach(), probs)
    modes = torch.eye(3)[probs.argmax(1)]
    assert torch.equal(encode_modes(model, guide, x)["c"], modes)
    assert LatentSites.of(model).classes == {"c": 3}
    # a type that the guide lacks, drawn from the prior of equal classes
    assert encode_modes(model, Inferred(wrapped, 3, types=False), x)["c"].tolist() == [[1, 0, 0]] * 4
    site = Encoded.of({name: q for name, q in codes(guide, x.repeat(3, 1)).items() if name == "c"}).sites["c"]
    assert site.categorical
    torch.testing.assert_close(torch.from_numpy(site.mean)[:4], probs)


def test_several_types_in_one_site_are_refused():
    def several(logits):
        return relaxed(logits.unflatten(-1, (2, 3))).to_event(1)

    guide, x = Inferred(several, 6), torch.rand(4, 5)
    for infer in (
        lambda: posterior_means(guide, x),
        lambda: encode(guide, x),
        lambda: encode_modes(Typed(several, 6), guide, x),
        lambda: encode_modes(Typed(several, 6), Inferred(several, 6, types=False), x),
    ):
        with pytest.raises(ValueError, match=r"site 'c' has an event of shape \(2, 3\), not a vector: it is several"):
            infer()


def test_the_means_are_copies_of_a_guides_parameters():
    _, guide = nvae_pair()
    before = [parameter.clone() for parameter in guide.parameters()]
    for value in posterior_means(guide, images(2)).values():
        value.zero_()
    assert all(torch.equal(a, b) for a, b in zip(guide.parameters(), before, strict=True))
