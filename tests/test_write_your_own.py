"""The page on writing your own: its examples run in order, and compute what they say."""

import copy
import pickle
import re
from pathlib import Path

import numpy as np
import pyro
import pytest
import torch
from pyro import poutine
from pyro.infer import SVI, TraceMeanField_ELBO
from torch.distributions import kl_divergence

from guides import Amortized, MeanField
from zoo.elbos import PlainELBO
from zoo.lab.networks import MLPDecoder, MLPEncoder
from zoo.lab.story import docstring_lines, trace_lines

PAGE = (Path(__file__).parents[1] / "docs/write-your-own.md").read_text(encoding="utf-8")
SECTIONS = {
    title: "\n".join(re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL))
    for title, text in re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", PAGE, flags=re.DOTALL | re.MULTILINE)
}


@pytest.fixture(scope="module")
def page(request) -> dict:
    """The names that the page's examples define, and those sections' own printed lines; digits need no files."""
    from zoo.lab.data import SOURCES

    before = dict(SOURCES)
    namespace: dict = {}
    torch.set_default_dtype(torch.float64)
    with pyro.validation_enabled():
        for title, code in SECTIONS.items():
            pyro.set_rng_seed(0)
            exec(compile(code, f"docs/write-your-own.md, {title}", "exec"), namespace)
            if title == "A story":
                namespace["trained"] = (namespace["story"], namespace["guide"], namespace["report"])
    SOURCES.clear()
    SOURCES.update(before)
    return namespace


def test_every_kind_has_an_example():
    assert list(SECTIONS) == ["A story", "A head", "An objective", "A data set", "A metric"]
    assert all(SECTIONS.values())


def test_the_story_learns_and_is_what_its_docstring_says(page):
    story, guide, report = page["trained"]
    # An untrained pair reconstructs at 64 log 2 = 44.4 nats.
    assert report.reconstruction["x"] > -35
    x = page["train"].batch(torch.arange(4)).x
    told, traced = docstring_lines(type(story)), trace_lines(poutine.trace(story).get_trace(x))
    assert [(line.name, line.family) for line in told] == [(line.name, line.family) for line in traced]
    assert guide(x)["z"].shape == (4, 5)


def test_the_story_agrees_with_pyros_own_elbo_and_keeps_the_particles_dimension(page):
    story, guide, _ = page["trained"]
    x, index = page["train"].batch(torch.arange(6)).x, torch.arange(6)
    pyro.set_rng_seed(3)
    ours = PlainELBO().loss(story, guide, x, index=index)
    pyro.set_rng_seed(3)
    theirs = TraceMeanField_ELBO().loss(story, guide, x, index=index) / len(page["train"])
    assert ours == pytest.approx(theirs, rel=1e-10)
    many = PlainELBO(num_particles=3)
    assert many.loss(story, guide, x, index=index) == pytest.approx(ours, rel=0.2)
    copy.deepcopy(story)


def test_what_the_table_says_about_a_story_that_does_not_keep_to_it(page):
    """The messages in the table of demands, from stories that each break one of them."""
    train = page["train"]
    x, index = train.batch(torch.arange(6)).x, torch.arange(6)
    networks = {"decoder": MLPDecoder(5, train.shape, hidden=(8,)), "w_dim": 2, "z_dim": 5}
    good = page["TwoCodes"](**networks, num_data=len(train))

    def guide(num_data, size=5):
        trunk = MLPEncoder(train.shape, hidden=(8,))
        return Amortized(trunk, w=MeanField(2), z=MeanField(size, given=("w",)), num_data=num_data)

    class NoIndex(page["TwoCodes"]):
        def forward(self, x=None):
            return super().forward(x)

    class NoPlate(page["TwoCodes"]):
        def forward(self, x=None, *, index=None):
            with pyro.plate("images", len(train), subsample=index):
                z = pyro.sample("z", pyro.distributions.Normal(torch.zeros(5), 1.0).to_event(1))
                return pyro.sample("x", pyro.distributions.Normal(self.decoder(z), 1.0).to_event(3), obs=x)

    class Scalar(page["TwoCodes"]):
        def forward(self, x=None, *, index=None):
            with page["data_plate"](x, index, len(train)):
                z = pyro.sample("z", pyro.distributions.Normal(0.0, 1.0))
                return pyro.sample("x", pyro.distributions.Normal(z[:, None, None, None], 1.0).to_event(3), obs=x)

    only_z = Amortized(MLPEncoder(train.shape, hidden=(8,)), z=MeanField(5), num_data=len(train))
    for model, its_guide, error, message in [
        (NoIndex(**networks), guide(len(train)), TypeError, r"NoIndex.forward\(x=None\) cannot be called"),
        (page["TwoCodes"](**networks), guide(len(train)), ValueError, r"give num_data= when building the program"),
        (good, guide(len(train) + 7), ValueError, r"scale differs between model .* both plates need num_data"),
        (good, guide(len(train), size=4), ValueError, r"site 'z': the model's event has shape \(5,\), the guide's"),
        (Scalar(**networks), only_z, ValueError, r"site 'z': the model's event has shape \(\), the guide's \(5,\)"),
    ]:
        with pytest.raises(error, match=message):
            PlainELBO().loss(model, its_guide, x, index=index)
    with pytest.raises(ValueError, match="no plate called 'data'"):
        PlainELBO().loss(NoPlate(**networks), only_z, x, index=index)
    with pytest.raises(ValueError, match=r"0 and 1 only; for grey pixels use zoo\.likelihoods\.bernoulli"):
        page["check_data"](x, pyro.distributions.Bernoulli(logits=torch.zeros_like(x)).to_event(3))


def test_what_the_table_says_about_pickling_and_about_registration(page):
    train = page["train"]
    x = train.batch(torch.arange(6)).x
    networks = {"decoder": MLPDecoder(5, train.shape, hidden=(8,)), "w_dim": 2, "z_dim": 5}
    data_plate, sample, normal = page["data_plate"], pyro.sample, pyro.distributions.Normal

    class Unregistered(page["TwoCodes"]):
        def forward(self, x=None, *, index=None):
            with data_plate(x, index, self.num_data):
                w = sample("w", normal(self.loc, 1.0).to_event(1))
                z = sample("z", normal(self.prior(w), 1.0).to_event(1))
                return sample("x", page["bernoulli"](self.decoder(z)).to_event(3), obs=x)

    class Registered(Unregistered):
        def forward(self, x=None, *, index=None):
            page["register"](self)
            return super().forward(x, index=index)

    class Flat(page["TwoCodes"]):
        def forward(self, x=None, *, index=None):
            with data_plate(x, index, self.num_data):
                w = sample("w", normal(self.loc, 1.0).to_event(1))
                z = sample("z", normal(self.prior(w), 1.0).to_event(1))
                return sample("x", normal(self.decoder(z), 1.0), obs=x)

    trunk = MLPEncoder(train.shape, hidden=(8,))
    guide = Amortized(trunk, w=MeanField(2), z=MeanField(5, given=("w",)))
    moved = {}
    for kind in (Unregistered, Registered):
        story = kind(**networks)
        before = story.decoder.layers[1].bias.detach().clone()
        SVI(story, guide, pyro.optim.Adam({"lr": 0.01}), PlainELBO()).step(x)
        moved[kind] = not torch.equal(before, story.decoder.layers[1].bias)
    assert moved == {Unregistered: False, Registered: True}
    with pytest.raises(TypeError, match="weakref"):
        pickle.dumps(story.decoder)
    page["picklable_state"](story)
    pickle.dumps(story.decoder)
    with pytest.raises(ValueError, match="Shape mismatch inside plate"):
        PlainELBO().loss(Flat(**networks), guide, x)
    with pytest.raises(ValueError, match=r"site 'x': its distribution has the shape \[8, 1, 8, 8\]"):
        PlainELBO().loss(Flat(**networks), guide, torch.cat([x, x[:2]]))  # 8 datapoints of 8 x 8 pixels


def test_the_head_shares_one_deviation_and_has_a_closed_kl(page):
    head = page["Spherical"](3)
    raw = torch.tensor([[1.0, -2.0, 0.5, 0.3]])
    q = head(raw)
    assert (q.batch_shape, q.event_shape) == ((1,), (3,))
    p = pyro.distributions.Normal(torch.zeros(3), 1.0).to_event(1)
    # 1/2 (D s^2 + |m|^2 - D - D log s^2) with s = e^0.3, m = (1, -2, 1/2).
    by_hand = 0.5 * (3 * np.exp(0.6) + 5.25 - 3 - 3 * 0.6)
    assert kl_divergence(q, p).item() == pytest.approx(by_hand)


def test_free_bits_at_zero_are_the_elbo_and_bound_every_unit(page):
    story, guide, _ = page["trained"]
    batch = page["train"].batch(torch.arange(8))

    def loss(elbo):
        pyro.set_rng_seed(1)
        return elbo.loss(story, guide, batch.x, index=batch.index)

    assert loss(page["FreeBits"](free=0.0)) == pytest.approx(loss(PlainELBO()), rel=1e-12)
    # 100 nats are more than any unit has: each of the 2 + 5 units costs 100.
    high = page["FreeBits"](free=100.0)
    assert loss(high) == pytest.approx(-high.report().reconstruction["x"].item() + 700)
    assert page["elbo"].free.item() == 0.0  # the end of the page's schedule


def test_the_data_sets_are_scaled_labelled_and_found_by_name(page):
    mine, split = page["mine"], page["split"]
    assert mine.shape == (1, 8, 8)
    assert next(mine.batches(200, seed=0)).x.max() == 1.0
    assert list(mine.factors.names) == ["brightness"]
    radius = np.linalg.norm(split.train.x, axis=1)
    assert radius[split.train.y == 0].mean() == pytest.approx(1, abs=0.02)
    assert radius[split.train.y == 1].mean() == pytest.approx(2, abs=0.02)
    assert not np.array_equal(split.train.x, split.test.x)


def test_the_metric_is_exact_on_one_direction_and_on_equal_ones(page):
    unit = np.random.default_rng(1).standard_normal(500)
    copies = page["used_directions"](np.stack([unit, 2 * unit, -unit, unit], axis=1))
    assert float(copies) == pytest.approx(1)
    assert copies.low == pytest.approx(1)
    # Columns of an orthogonal matrix, orthogonal to the constant: an exact multiple of the identity as covariance.
    columns, _ = np.linalg.qr(
        np.concatenate([np.ones((500, 1)), np.random.default_rng(2).standard_normal((500, 4))], 1)
    )
    assert float(page["used_directions"](columns[:, 1:])) == pytest.approx(4)
    assert copies.protocol["seed"] == 0
