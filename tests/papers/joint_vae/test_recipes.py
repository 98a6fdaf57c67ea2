"""Joint-VAE's recipes against appendices B and C, setting by setting."""

import itertools
import math

import numpy as np
import pytest
from torch import nn

from guides import Concrete, Exact, StraightThrough
from zoo.lab.data import Dataset, Split, load
from zoo.papers.joint_vae.recipes import digits, joint_vae
from zoo.papers.recipes import RECIPES


def stand_in(*shape, num=640):
    data = Dataset("stand-in", np.broadcast_to(np.uint8(0), (num, *shape)))
    return Split(data, data)


# recipe, shape, z_dim, types, lr, steps, gamma, (C_z, C_c), iterations of the ramps
APPENDIX_C = [
    ("joint-vae/mnist", (1, 32, 32), 10, [10], 5e-4, 93_800, 30, (5, 5), 25_000),
    ("joint-vae/fashion-mnist", (1, 32, 32), 10, [10], 5e-4, 93_800, 100, (5, 10), 50_000),
    ("joint-vae/chairs", (1, 64, 64), 32, [10], 1e-4, 134_900, 300, (30, 5), 100_000),
    ("joint-vae/celeba", (3, 64, 64), 32, [10], 5e-4, 254_300, 100, (50, 10), 100_000),
]


@pytest.mark.parametrize(("name", "shape", "z_dim", "types", "lr", "steps", "gamma", "ends", "over"), APPENDIX_C)
def test_appendix_c(name, shape, z_dim, types, lr, steps, gamma, ends, over):
    experiment = RECIPES[name].build(stand_in(*shape))
    assert len(experiment.model.loc) == z_dim
    assert list(experiment.model.types.values()) == types
    assert (experiment.lr, experiment.batch_size, experiment.steps) == (lr, 64, steps)
    elbo = experiment.elbo
    assert {site: value.item() for site, value in elbo.gamma.items()} == {"z": gamma, "c": gamma}
    for step, share in ((0, 0.0), (over // 4, 0.25), (over, 1.0), (2 * over, 1.0)):
        experiment.schedule(step, elbo)
        assert elbo.capacity["z"].item() == pytest.approx(share * ends[0])
        assert elbo.capacity["c"].item() == pytest.approx(share * ends[1])
    # 100 epochs: 938 batches of MNIST's 60,000, 2,543 of CelebA's 162,770, 1,349 of 86,366 chairs
    images = {"joint-vae/chairs": 1393 * 62, "joint-vae/celeba": 162_770}.get(name, 60_000)
    assert steps in (100 * math.ceil(images / 64), 100 * (images // 64))


def convolutions(module):
    return [
        (type(m).__name__, m.in_channels, m.out_channels, m.kernel_size, m.stride)
        for m in module.modules()
        if isinstance(m, (nn.Conv2d, nn.ConvTranspose2d))
    ]


def dense(module):
    return [(m.in_features, m.out_features) for m in module.modules() if isinstance(m, nn.Linear)]


@pytest.mark.parametrize(("name", "channels", "latents"), [("joint-vae/chairs", 1, 42), ("joint-vae/celeba", 3, 42)])
def test_appendix_b_for_64_pixels(name, channels, latents):
    experiment = RECIPES[name].build(stand_in(channels, 64, 64))
    encoder, decoder = experiment.guide.trunk, experiment.model.decoder
    shape = ((4, 4), (2, 2))
    maps = [channels, 32, 32, 64, 64]
    assert convolutions(encoder) == [("Conv2d", a, b, *shape) for a, b in itertools.pairwise(maps)]
    assert dense(encoder) == [(64 * 4 * 4, 256)]
    maps = [64, 64, 32, 32, channels]
    assert convolutions(decoder) == [("ConvTranspose2d", a, b, *shape) for a, b in itertools.pairwise(maps)]
    assert dense(decoder) == [(latents, 256), (256, 64 * 4 * 4)]
    activations = {type(m) for m in [*encoder.modules(), *decoder.modules()] if not list(m.children())}
    assert activations <= {nn.ReLU, nn.Conv2d, nn.ConvTranspose2d, nn.Linear, nn.Flatten, nn.Unflatten}
    assert isinstance(list(decoder.modules())[-1], nn.ConvTranspose2d)  # the sigmoid is in the likelihood's logits


def test_32_pixels_as_the_code_has_them():
    experiment = RECIPES["joint-vae/mnist"].build(stand_in(1, 32, 32))
    assert [c[1:3] for c in convolutions(experiment.guide.trunk)] == [(1, 32), (32, 64), (64, 64)]
    assert [c[1:3] for c in convolutions(experiment.model.decoder)] == [(64, 32), (32, 32), (32, 1)]
    assert dense(experiment.guide.layers) == [(256, 20), (256, 10)]
    # Appendix B's layers counted by hand: weights and biases, encoder, heads, decoder.
    by_hand = [
        *(16 * a * b + b for a, b in ((1, 32), (32, 64), (64, 64), (64, 32), (32, 32), (32, 1))),
        *(a * b + b for a, b in ((1024, 256), (256, 20), (256, 10), (20, 256), (256, 1024))),
    ]
    parameters = [*experiment.model.parameters(), *experiment.guide.parameters()]
    assert sum(p.numel() for p in parameters) == sum(by_hand) == 687_359


def test_the_released_chairs_model_has_three_types_of_two():
    experiment = RECIPES["joint-vae/chairs"].build(stand_in(1, 64, 64), types="2+2+2")
    assert list(experiment.model.types) == ["c1", "c2", "c3"]
    assert list(experiment.elbo.gamma) == ["z", "c1+c2+c3"]


def test_the_head_of_a_type_can_be_chosen():
    heads = {"concrete": Concrete, "straight-through": StraightThrough, "exact": Exact}
    for name, family in heads.items():
        assert type(digits(load("digits"), head=name).guide.heads["c"]) is family
    with pytest.raises(ValueError, match="head must be 'concrete', 'straight-through' or 'exact', got 'exct'"):
        digits(load("digits"), head="exct")


@pytest.mark.parametrize("recipe", ["joint-vae/digits", "joint-vae/procedural-chairs"])
def test_our_own_capacities_stay_below_the_ceiling(recipe):
    shape = (1, 8, 8) if "digits" in recipe else (1, 64, 64)
    experiment = RECIPES[recipe].build(stand_in(*shape))
    experiment.schedule(10**6, experiment.elbo)
    assert experiment.elbo.capacity["c"].item() < math.log(experiment.model.types["c"])


@pytest.mark.parametrize(
    ("hyperparameters", "message"),
    [
        ({"types": "ten"}, "types: write the classes of each type as 10 or 2\\+2\\+2, got 'ten'"),
        ({"types": "1"}, r"at least 2 classes, got \[1\]"),
        ({"temperature": 0.0}, "temperature must be positive and finite, got 0"),
        ({"temperature": -1.0}, "temperature must be positive and finite, got -1"),
        ({"over": 0}, "ramp: over must be from 1 to 1,000,000,000, got 0"),
        ({"gamma_z": -1.0}, r"gamma\['z'\] must be finite and at least 0, got -1"),
        ({"gamma_c": math.nan}, r"gamma\['c'\] must be finite and at least 0, got nan"),
    ],
)
def test_settings_that_make_no_sense_are_refused(hyperparameters, message):
    with pytest.raises(ValueError, match=message):
        joint_vae(stand_in(1, 8, 8), network="mlp", **hyperparameters)


@pytest.mark.parametrize("wrong", [{"c_z": -1.0}, {"c_c": math.inf}])
def test_capacities_that_make_no_sense_are_refused_before_anything_is_trained(wrong):
    with pytest.raises(ValueError, match=r"capacity\['.'\] must be finite and at least 0"):
        joint_vae(stand_in(1, 8, 8), network="mlp", **wrong)


def test_types_by_information_change_the_type_and_the_encoder_alone():
    ours = RECIPES["joint-vae/mnist-types"].build(stand_in(1, 32, 32))
    paper = RECIPES["joint-vae/mnist"].build(stand_in(1, 32, 32))
    assert convolutions(ours.model.decoder) == convolutions(paper.model.decoder)
    assert dense(ours.model.decoder) == dense(paper.model.decoder)
    assert dense(ours.guide.trunk) == [(1024, 1200), (1200, 1200)]
    assert ours.steps * ours.batch_size == paper.steps * paper.batch_size  # as many images
    ours.schedule(6250, ours.elbo)  # half of the ramp: 25,000 batches of 64 are 12,500 of 128
    assert ours.elbo.capacity["z"].item() == pytest.approx(2.5)
    assert ours.elbo.gamma["z"].item() == paper.elbo.gamma["z"].item()
