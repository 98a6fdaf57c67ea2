"""Joint-VAE's story: told and traced alike, with any number of types, under capacities."""

import math

import pytest
import torch
from pyro import poutine
from torch import nn

from guides import FullRank, MeanField
from tests.pairs import NUM_DATA, SHAPE, images, joint_pair
from tests.traced import fit
from zoo.elbos import HFVAE, Capacity, PlainELBO
from zoo.joint_vae import JointVAE
from zoo.lab.data import Batch
from zoo.lab.networks import MLPDecoder
from zoo.lab.story import docstring_lines, trace_lines
from zoo.lab.training.fit import ramp


def test_the_docstring_tells_what_the_trace_shows():
    model, _ = joint_pair()
    shown = trace_lines(poutine.trace(model).get_trace(images()))
    assert [(line.name, line.relation, line.family) for line in docstring_lines(JointVAE)] == [
        (line.name, line.relation, line.expression) for line in shown
    ]
    assert [line.shape for line in shown] == ["[B, 2]", "[B, 3]", "[B, 1, 3, 5]"]


def test_several_types_are_sites_of_their_own():
    model, guide = joint_pair((2, 3, 2))
    assert list(model.types.items()) == [("c1", 2), ("c2", 3), ("c3", 2)]
    trace = poutine.trace(model).get_trace(images())
    assert [line.name for line in trace_lines(trace)] == ["z", "c1", "c2", "c3", "x"]
    elbo = Capacity(gamma={"z": 30.0, "c1+c2+c3": 30.0}, capacity={"z": 1.0, "c1+c2+c3": 99.0})
    with pytest.warns(UserWarning, match=r"99 nats are asked of c1\+c2\+c3, whose KL is at most 2.485"):
        elbo.loss(model, guide, images())
    report = elbo.report()
    of_types = sum(report.kl[name].sum().item() for name in ("c1", "c2", "c3"))
    ceiling = math.log(2 * 3 * 2)  # independent types hold the sum of their log K
    assert report.terms["-gamma |KL(c1+c2+c3) - C|"].item() == pytest.approx(-30 * (ceiling - of_types))


def test_equation_7_with_both_capacities_reached():
    # KL_z and KL_c follow their capacities; the penalty then is small beside gamma.
    model, guide = joint_pair()
    x = torch.cat([images(35), 1 - images(35)])
    elbo = Capacity(gamma={"z": 100.0, "c": 100.0}, capacity={"z": 0.0, "c": 0.0})
    batches = (Batch(x[index], None, index) for index in (torch.randperm(70)[:30] for _ in range(700)))
    reports = []
    for step, report in fit(model, guide, elbo, batches, lr=1e-2):
        elbo.capacity = {"z": ramp(step, 0, 1.5, over=400), "c": ramp(step, 0, 0.5, over=400)}
        reports.append(report)
    late = reports[-50:]
    assert sum(r.kl["z"].sum().item() for r in late) / 50 == pytest.approx(1.5, abs=0.05)
    assert sum(r.kl["c"].sum().item() for r in late) / 50 == pytest.approx(0.5, abs=0.05)
    assert late[-1].reconstruction["x"] > reports[0].reconstruction["x"] + 0.3


@pytest.mark.parametrize("z", [MeanField(2), FullRank(2)], ids=["mean-field", "full-rank"])
def test_swapping_the_style_head_under_hfvae_changes_nothing_else(z):
    elbo = HFVAE(alpha=1, beta=4, gamma=3, groups=[["z"], ["c"]], num_data=NUM_DATA)
    model, guide = joint_pair(z=z)
    assert math.isfinite(elbo.loss_and_grads(model, guide, images(20)))


def test_the_prior_type_is_uniform():
    model, _ = joint_pair()
    trace = poutine.trace(model).get_trace(images())
    torch.testing.assert_close(trace.nodes["c"]["fn"].probs, torch.full((11, 3), 1 / 3))
    elbo = PlainELBO()
    elbo.loss(*joint_pair(), images())
    assert 0 <= elbo.report().kl["c"].item() <= math.log(3)


@pytest.mark.parametrize(("z_dim", "c_dims"), [(10, [10]), (32, [10]), (32, [2, 2, 2]), (6, [3])])
def test_the_sizes_that_the_paper_and_its_code_have(z_dim, c_dims):
    decoder = MLPDecoder(z_dim + sum(c_dims), SHAPE, hidden=(8,))
    model = JointVAE(decoder, z_dim=z_dim, c_dims=c_dims, temperature=0.67, num_data=NUM_DATA)
    trace = poutine.trace(model).get_trace(images())
    shapes = {name: tuple(site["value"].shape[1:]) for name, site in trace.nodes.items() if name in ("z", *model.types)}
    assert shapes == {"z": (z_dim,), **{name: (size,) for name, size in model.types.items()}}
    for name in model.types:
        torch.testing.assert_close(trace.nodes[name]["value"].sum(-1), torch.ones(11))


def test_a_prior_of_a_thousand_classes_at_a_low_temperature_draws_finite_images():
    decoder = MLPDecoder(2 + 1000, SHAPE, hidden=(8,))
    model = JointVAE(decoder, z_dim=2, c_dims=[1000], temperature=0.05, num_data=NUM_DATA)
    trace = poutine.trace(model).get_trace(images())
    assert trace.nodes["c"]["value"].isfinite().all()
    assert trace.nodes["x"]["fn"].mean.isfinite().all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"c_dims": (1,), "temperature": 1.0}, r"at least 2 classes, got \[1\]"),
        ({"c_dims": (), "temperature": 1.0}, r"at least 2 classes, got \[\]"),
        ({"c_dims": (2,), "temperature": 0.0}, "temperature must be positive and finite, got 0"),
        ({"c_dims": (2,), "temperature": math.nan}, "temperature must be positive and finite, got nan"),
    ],
)
def test_types_that_make_no_sense_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        JointVAE(nn.Identity(), z_dim=2, **options)
