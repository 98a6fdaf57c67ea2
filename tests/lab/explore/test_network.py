"""A traced function, computed by the interpreter in Node.js, equals PyTorch's; what cannot be exported is refused."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from tests.lab.explore.javascript import all_in_node, in_node, needs_node
from zoo.lab.explore import NotExported, export
from zoo.lab.explore.instructions import merged

COUNT = torch.arange(1.0, 37, dtype=torch.float64)
CONV = COUNT[:24].reshape(2, 2, 2, 3).sin()  # [out, in / groups, height, width]
UP = COUNT[:24].reshape(2, 2, 3, 2).cos()  # [in, out / groups, height, width]
GROUPED = COUNT.reshape(4, 1, 3, 3).sin()

FUNCTIONS = {
    "elementwise": lambda x: x.abs().sqrt() + x.exp() - x.cos() * x.sin() / (x.square() + 1) + (-x).tanh(),
    "logs": lambda x: x.abs().add(0.1).log() + x.abs().log1p() + x.expm1() + x.abs().add(1).rsqrt() + 1 / (x + 9),
    "activations": lambda x: F.relu(x) + F.leaky_relu(x, 0.2) + F.elu(x, 0.7) + F.silu(x) + x.sigmoid(),
    "softplus": lambda x: F.softplus(x) + F.softplus(30 * x) + F.softplus(x, beta=2.0),
    "prelu": lambda x: F.prelu(x, torch.tensor([0.3])) + F.relu6(4 * x),
    "powers": lambda x: x**2 + 2.0**x + x.abs() ** x.abs(),
    "bounds": lambda x: x.clamp(-0.5, 0.7) + torch.maximum(x, x * 0 + 0.1) + x.clamp_min(0.2),
    "alpha": lambda x: torch.add(x, x.tanh(), alpha=2) + torch.sub(x, x.exp(), alpha=3) + torch.rsub(x, 1.0, alpha=4),
    "comparisons": lambda x: torch.where(x > 0, x, x.exp()) + (x <= 0.3).to(x.dtype),
    "one-hot": lambda x: (x == x.amax(-1, keepdim=True)).to(x.dtype),
    "sums": lambda x: x.sum(-1, keepdim=True) * x + x.mean((0, 2)).unsqueeze(-1) + x.sum() + x.mean(),
    "softmax": lambda x: x.softmax(1) + x.log_softmax(-1) + x.logsumexp(2, keepdim=True) + x.logsumexp(0),
    "views": lambda x: x.permute(2, 0, 1).reshape(4, 6)[1:, ::2].T.unsqueeze(1).expand(3, 5, 3).flatten(0, 1),
    "pieces": lambda x: torch.cat(
        [*(part.exp() for part in x.chunk(2, -1)), x[..., :0], x.select(2, 1).unsqueeze(2)], 2
    ),
    "stack": lambda x: torch.stack([x, x.tanh(), torch.ones_like(x)], dim=1),
    "products": lambda x: x @ x.mT + (x[0] @ torch.ones(4, 3).cumsum(0)) + F.linear(x, torch.ones(3, 4), torch.ones(3)),
    "convolution": lambda x: F.conv2d(x.unsqueeze(0), CONV, torch.ones(2), stride=(2, 1), padding=(1, 2)),
    "dilated": lambda x: F.conv2d(x.unsqueeze(0), CONV, dilation=(2, 1)),
    "transposed": lambda x: F.conv_transpose2d(x.unsqueeze(0), UP, torch.ones(2), stride=2, output_padding=1),
    "transposed, padded": lambda x: F.conv_transpose2d(x.unsqueeze(0), UP, stride=(3, 1), padding=(2, 1)),
    "groups": lambda x: F.conv2d(torch.cat([x, -x]).unsqueeze(0), GROUPED, groups=4, padding=1),
    "in place": lambda x: F.relu(x.clone().add_(0.1).mul_(2), inplace=True),
}


@needs_node
def test_each_function_equals_pytorchs():
    x = torch.linspace(-1.7, 1.9, 24).roll(5).reshape(2, 3, 4)
    both = torch.stack([x, x / 3 - 0.2])

    def exported(name):
        return export(name, lambda x: (FUNCTIONS[name](x),), x)

    results = all_in_node([(exported(name), both) for name in FUNCTIONS])
    for (name, f), (found,) in zip(FUNCTIONS.items(), results, strict=True):
        expected = np.stack([f(one).flatten().numpy() for one in both])
        np.testing.assert_allclose(found, expected, rtol=2e-6, atol=2e-6, err_msg=name)  # 32-bit floats against 64-bit


@needs_node
def test_batch_norm_is_that_of_evaluation_mode():
    norm = nn.BatchNorm2d(3).eval()
    with torch.no_grad():
        for tensor in (norm.weight, norm.bias, norm.running_mean):
            tensor.copy_(torch.randn(3))
        norm.running_var.copy_(torch.rand(3) + 0.1)
    x = torch.randn(5, 1, 3, 2, 2)
    (found,) = in_node(export("f", lambda x: (norm(x),), x[0]), x)
    np.testing.assert_allclose(found, norm(x[:, 0]).detach().flatten(1), rtol=1e-5, atol=1e-6)
    with pytest.raises(NotExported, match="batch norm in training mode"):
        export("f", lambda x: (norm.train()(x),), x[0])


@needs_node
def test_batch_norm_under_each_name_that_a_version_of_pytorch_gives_it():
    weight, bias, mean, variance = torch.randn(3), torch.randn(3), torch.randn(3), torch.rand(3) + 0.1
    x = torch.randn(5, 1, 3, 2, 2)
    aten = torch.ops.aten
    for f in (
        lambda x: aten.native_batch_norm(x, weight, bias, mean, variance, False, 0.1, 1e-3)[:1],
        lambda x: aten._native_batch_norm_legit_no_training(x, weight, bias, mean, variance, 0.1, 1e-3)[:1],
    ):
        (found,) = in_node(export("f", f, x[0]), x)
        expected = F.batch_norm(x[:, 0], mean, variance, weight, bias, eps=1e-3)
        np.testing.assert_allclose(found, expected.flatten(1), rtol=1e-5, atol=1e-6)


@needs_node
def test_labels_select_rows():
    table = torch.randn(4, 3)
    (found,) = in_node(export("f", lambda y: (table[y],), torch.tensor([1])), torch.tensor([[3], [0]]))
    np.testing.assert_allclose(found, table[[3, 0]], rtol=1e-6)


@needs_node
def test_results_may_be_several_and_may_be_constant():
    x = torch.randn(1, 3)
    first, second = in_node(export("f", lambda x: (x + 1, torch.arange(2.0)), x), x[None])
    np.testing.assert_allclose(first, x + 1, rtol=1e-6)
    np.testing.assert_array_equal(second, [[0, 1]])


def test_what_does_not_depend_on_the_input_is_computed_once_and_draws_without_effect_are_dropped():
    weight = torch.randn(3, 4)

    def function(x):
        torch.randn(3).exp()  # as a story draws x, which nothing reads
        return (x @ (weight.softmax(0) * 2).T.contiguous(),)

    network = export("f", function, torch.randn(1, 4))
    assert [step["op"] for step in network.program()["steps"]] == ["matmul"]
    np.testing.assert_allclose(network.weights(), (weight.softmax(0) * 2).T.flatten(), rtol=1e-6)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda x: x.cumsum(0), r"the decoder uses the operation aten\.cumsum, .* it can compute .*softplus"),
        (lambda x: F.interpolate(x[None], scale_factor=2), r"aten\.(upsample_nearest2d|_unsafe_index), which the"),
        (lambda x: x + torch.randn(3), r"draws at random \(aten\.randn\)"),
        (lambda x: torch.bernoulli(x.sigmoid()), r"draws at random \(aten\.bernoulli\)"),
        (lambda x: x if x.sum() > 0 else -x, "cannot be traced by PyTorch"),
        (lambda x: F.conv1d(x, torch.ones(1, 3, 1)), "a convolution over 1 dimensions in place of 2"),
        (lambda x: torch.div(x, 2, rounding_mode="floor"), "a division that rounds"),
        (lambda x: F.selu(x), "an ELU with a scale"),
        (lambda x: x.long().to(x.dtype), "a conversion of floats to int64"),
        (lambda x: x.half().to(x.dtype), "a conversion to float16, whose rounding the page does not have"),
        (lambda x: F.softplus(x, 2.0, 1.0), "a softplus with the threshold 1, below 20"),
        (lambda x: torch.eye(3)[(x[0] > 0).long(), (x[1] > 0).long()], "more than one tensor of positions"),
    ],
)
def test_an_operation_that_the_interpreter_lacks_is_refused_by_name(function, message):
    with pytest.raises(NotExported, match=message):
        export("the decoder", lambda x: (function(x),), torch.rand(2, 3, 3))


def test_loops_are_merged_where_every_operand_allows_it():
    assert merged((2, 3, 4), [(12, 4, 1), (12, 4, 1)]) == ([24], [[1], [1]])
    # A bias per channel: [2, 3, 4] + [3, 1]. The two inner loops differ for it, the two outer ones as well.
    assert merged((2, 3, 4), [(12, 4, 1), (0, 1, 0)]) == ([2, 3, 4], [[12, 4, 1], [0, 1, 0]])
    assert merged((1, 3, 4), [(12, 4, 1), (0, 1, 0)]) == ([3, 4], [[4, 1], [1, 0]])
    assert merged((1, 1), [(1, 1)]) == ([1], [[0]])
    assert merged((), [()]) == ([1], [[0]])
