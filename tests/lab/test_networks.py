"""The papers' networks: their sizes by arithmetic, any leading dimensions, clear refusals."""

import pytest
import torch
from torch import nn

from zoo.lab.data import load
from zoo.lab.networks import ConvDecoder, ConvEncoder, Discriminator, MLPDecoder, MLPEncoder, check_width, networks
from zoo.papers.recipes import RECIPES


def num_parameters(module):
    return sum(p.numel() for p in module.parameters())


def conv(before, after):
    return before * after * 16 + after  # 4 x 4 and a bias


def dense(before, after):
    return before * after + after


def test_joint_vaes_networks_for_32_pixels():
    # Appendix B as the code has it: 32, 64, 64 maps, dense 1024-256; back by 64, 32, 32, 1
    encoder, decoder = ConvEncoder((1, 32, 32)), ConvDecoder(20, (1, 32, 32))
    assert num_parameters(encoder) == conv(1, 32) + conv(32, 64) + conv(64, 64) + dense(1024, 256)
    assert num_parameters(decoder) == (dense(20, 256) + dense(256, 1024) + conv(64, 32) + conv(32, 32) + conv(32, 1))


def test_joint_vaes_networks_for_64_pixels_in_colour():
    encoder, decoder = ConvEncoder((3, 64, 64)), ConvDecoder(42, (3, 64, 64))
    assert num_parameters(encoder) == (conv(3, 32) + conv(32, 32) + conv(32, 64) + conv(64, 64) + dense(1024, 256))
    assert num_parameters(decoder) == (
        dense(42, 256) + dense(256, 1024) + conv(64, 64) + conv(64, 32) + conv(32, 32) + conv(32, 3)
    )


def test_networks_for_28_pixels():
    encoder = ConvEncoder((1, 28, 28), hidden=1024)
    assert num_parameters(encoder) == conv(1, 64) + conv(64, 128) + dense(128 * 7 * 7, 1024)
    assert ConvDecoder(20, (1, 28, 28), hidden=1024)(torch.randn(2, 20)).shape == (2, 1, 28, 28)


def test_higgins_networks_for_2d_shapes():
    # 4096-1200-1200 ReLU; 10-1200-1200-1200-4096 with tanh
    encoder = MLPEncoder((1, 64, 64), hidden=(1200, 1200))
    decoder = MLPDecoder(10, (1, 64, 64), hidden=(1200, 1200, 1200), activation=nn.Tanh)
    assert num_parameters(encoder) == dense(4096, 1200) + dense(1200, 1200)
    assert num_parameters(decoder) == dense(10, 1200) + 2 * dense(1200, 1200) + dense(1200, 4096)
    kinds = [type(module).__name__ for module in decoder.modules() if not list(module.children())]
    assert kinds == ["Linear", "Tanh"] * 3 + ["Linear"]


def test_an_mlp_decoder_has_as_many_hidden_layers_as_asked_for_and_two_otherwise():
    for depth, expected in (
        (0, dense(5, 12)),
        (1, dense(5, 7) + dense(7, 12)),
        (2, dense(5, 7) + dense(7, 7) + dense(7, 12)),
        (None, dense(5, 7) + dense(7, 7) + dense(7, 12)),
    ):
        encoder, decoder = networks((1, 3, 4), 5, "mlp", width=7, depth=depth)
        assert num_parameters(decoder) == expected
        assert num_parameters(encoder) == dense(12, 7) + dense(7, 7)


def test_a_decoder_without_hidden_layers_is_linear():
    decoder = networks((1, 3, 4), 5, "mlp", depth=0)[1].double()
    a, b = torch.randn(2, 5).double()
    torch.testing.assert_close(decoder(a + b) - decoder(a), decoder(b) - decoder(torch.zeros(5).double()))


def test_a_depth_that_cannot_be_had_is_refused():
    with pytest.raises(ValueError, match="only an 'mlp' has a depth that can be chosen, got depth 1 for 'conv'"):
        networks((1, 32, 32), 5, "conv", depth=1)
    with pytest.raises(ValueError, match="networks: depth must be from 0 to 100, got -1"):
        networks((1, 3, 4), 5, "mlp", depth=-1)


def test_a_width_that_would_have_no_effect_is_refused():
    check_width("conv", 400, 400)
    check_width("mlp", 64, 400)
    with pytest.raises(ValueError, match="only an 'mlp' has a width that can be chosen, got width 64 for 'conv'"):
        check_width("conv", 64, 400)


@pytest.mark.parametrize(("recipe", "data"), [("dip-vae/shapes", "shapes"), ("natural-clustering/mnist", "digits")])
def test_recipes_refuse_the_width_of_a_convolutional_network(recipe, data):
    split = load(data)
    with pytest.raises(ValueError, match="got width 64 for 'conv'"):
        RECIPES[recipe].build(split, network="conv", width=64)


def test_one_datapoint_without_a_batch_dimension():
    z = torch.randn(5)
    for decoder in (MLPDecoder(5, (1, 28, 28), hidden=(7,)), ConvDecoder(5, (1, 28, 28))):
        torch.testing.assert_close(decoder(z), decoder(z[None])[0])
    discriminator = Discriminator(5, hidden=(7,))
    torch.testing.assert_close(discriminator(z), discriminator(z[None])[0])
    assert discriminator(torch.randn(2, 3, 5)).shape == (2, 3)


@pytest.mark.parametrize(
    "decoder", [MLPDecoder(5, (3, 32, 32), hidden=(7,)), ConvDecoder(5, (3, 32, 32), hidden=11)], ids=["mlp", "conv"]
)
def test_a_decoder_keeps_every_leading_dimension_and_joins_its_latents(decoder):
    z, c = torch.randn(2, 3, 7, 2).double(), torch.randn(2, 3, 7, 3).double()
    decoder.double()
    images = decoder(z, c)
    assert images.shape == (2, 3, 7, 3, 32, 32)
    torch.testing.assert_close(images[1, 2, 4], decoder(torch.cat([z[1, 2, 4], c[1, 2, 4]])[None])[0])


def test_a_convolutional_encoders_last_layer_is_a_relu():
    features = ConvEncoder((1, 28, 28), hidden=50)(torch.rand(4, 1, 28, 28))
    assert features.min() == 0
    assert features.max() > 0


def test_the_discriminators_leaky_relu_has_the_slope_of_the_paper():
    # Weights of 1 and no bias: each of the two hidden layers multiplies a negative value by 0.2 (Kim & Mnih 2018).
    discriminator = Discriminator(1, hidden=(1, 1))
    for name, parameter in discriminator.named_parameters():
        nn.init.constant_(parameter, float(name.endswith("weight")))
    torch.testing.assert_close(discriminator(torch.tensor([[-5.0], [3.0]])), torch.tensor([-5.0 * 0.2**2, 3.0]))


def test_an_encoder_says_its_width():
    assert ConvEncoder((1, 32, 32), hidden=17)(torch.rand(5, 1, 32, 32)).shape == (5, 17)
    assert ConvEncoder((1, 32, 32), hidden=17).out_features == 17
    assert MLPEncoder((2, 3), hidden=(9, 4)).out_features == 4


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: ConvEncoder((1, 48, 48)), "no paper has a convolutional network for 48 pixels"),
        (lambda: ConvEncoder((1, 28, 28), channels=(8, 8, 8)), "multiple of 8"),
        (lambda: ConvDecoder(3, (1, 28, 20), channels=(8, 8)), r"images \[C, S, S\]"),
        (lambda: ConvEncoder((1, 32, 32))(torch.rand(5, 1, 28, 28)), r"\(B, 1, 32, 32\).*got.*\(5, 1, 28, 28\)"),
        (lambda: MLPEncoder((4,), hidden=(3,))(torch.zeros(2, 4, dtype=torch.uint8)), "takes floats.*torch.uint8"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(build, message):
    with pytest.raises(ValueError, match=message):
        build()
