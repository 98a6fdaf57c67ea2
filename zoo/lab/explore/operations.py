"""PyTorch's operations that a page can run, each written in the instructions of interpreter.js."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from zoo.lab.explore.instructions import Instructions, Operand, Value, example_of

Operation = Callable[..., Any]  # of the instructions and of an aten operation's arguments


class Unsupported(ValueError):
    """An operation, or one of its options, that a page cannot run; the message is a noun phrase."""


def _add(to: Instructions, a: Operand, b: Operand, *, alpha: float = 1.0, f: str = "add") -> Value:
    return to.map(f, a, b if alpha == 1 else to.map("mul", b, alpha))


def _rsub(to: Instructions, a: Operand, b: Operand, alpha: float = 1.0) -> Value:
    return _add(to, b, a, alpha=alpha, f="sub")


def _div(to: Instructions, a: Operand, b: Operand, *, rounding_mode: str | None = None) -> Value:
    if rounding_mode is not None:
        raise Unsupported(f"a division that rounds (rounding_mode={rounding_mode!r})")
    return to.map("div", a, b)


def _clamp(to: Instructions, x: Value, low: Operand | None = None, high: Operand | None = None) -> Value:
    x = x if low is None else to.map("maximum", x, low)
    return x if high is None else to.map("minimum", x, high)


def _leaky_relu(to: Instructions, x: Value, slope: float = 0.01) -> Value:
    return to.map("leaky_relu", x, slope)


def _elu(to: Instructions, x: Value, alpha: float = 1.0, scale: float = 1.0, input_scale: float = 1.0) -> Value:
    if scale != 1 or input_scale != 1:
        raise Unsupported("an ELU with a scale (SELU, CELU)")
    return to.map("elu", x, alpha)


def _softplus(to: Instructions, x: Value, beta: float = 1.0, threshold: float = 20.0) -> Value:
    if threshold < 20:  # PyTorch returns x where beta x is above it; from 20 on this is equal in 32 bits
        raise Unsupported(f"a softplus with the threshold {threshold:g}, below 20")
    return to.map("softplus", x) if beta == 1 else to.map("div", to.map("softplus", to.map("mul", x, beta)), beta)


def _softmax(to: Instructions, x: Value, dim: int, half_to_float: bool = False, *, log: bool = False) -> Value:
    shifted = to.map("sub", x, to.reduce("max", x, [dim], True))
    powers = to.map("exp", shifted)
    total = to.reduce("sum", powers, [dim], True)
    return to.map("sub", shifted, to.map("log", total)) if log else to.map("div", powers, total)


def _logsumexp(to: Instructions, x: Value, dims: Sequence[int], keepdim: bool = False) -> Value:
    largest = to.reduce("max", x, dims, True)
    total = to.reduce("sum", to.map("exp", to.map("sub", x, largest)), dims, True)
    kept = to.map("add", to.map("log", total), largest)
    return kept if keepdim else to.reduce("sum", kept, dims, False)


def _reduce(
    to: Instructions, x: Value, dims: Sequence[int] | int | None = None, keepdim: bool = False, *, f: str, **_: Any
) -> Value:
    dims = [dims] if isinstance(dims, int) else list(dims or range(x.example.dim()))
    reduced = to.reduce("max" if f == "max" else "sum", x, dims, keepdim)
    return to.map("mul", reduced, reduced.example.numel() / x.example.numel()) if f == "mean" else reduced


def _stack(to: Instructions, values: Sequence[Operand], dim: int = 0) -> Value:
    one: list[Operand] = []
    for value in values:
        new = example_of(value).contiguous().unsqueeze(dim)
        one.append(to.view(value, new) if isinstance(value, Value) else new)
    return to.cat(one, dim)


def _cat(to: Instructions, values: Sequence[Operand], dim: int = 0) -> Value:
    return to.cat([value for value in values if example_of(value).numel()], dim)


def _addmm(to: Instructions, bias: Operand, a: Operand, b: Operand, *, beta: float = 1.0, alpha: float = 1.0) -> Value:
    if beta != 1 or alpha != 1:
        raise Unsupported(f"a scaled product (addmm with beta={beta:g}, alpha={alpha:g})")
    return to.map("add", to.matmul(a, b), bias)


def _convolution(
    to: Instructions,
    x: Value,
    weight: Operand,
    bias: Operand | None,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    transposed: bool,
    output_padding: Sequence[int],
    groups: int,
) -> Value:
    if isinstance(bias, Value):
        raise Unsupported("a convolution whose bias depends on the latents")
    if x.example.dim() != 4:
        raise Unsupported(f"a convolution over {x.example.dim() - 2} dimensions in place of 2")
    out = to.convolution(
        x,
        weight,
        stride=stride,
        padding=padding,
        dilation=dilation,
        transposed=transposed,
        output_padding=output_padding,
        groups=groups,
    )
    return out if bias is None else to.map("add", out, _per_channel(bias, out))


def _batch_norm(
    to: Instructions,
    x: Value,
    weight: Tensor | None,
    bias: Tensor | None,
    mean: Tensor | None,
    variance: Tensor | None,
    training: bool,
    momentum: float,
    eps: float,
) -> tuple[Value, None, None]:
    """In evaluation mode a factor and a summand for each channel, computed here in double precision."""
    if training or mean is None or variance is None:
        raise Unsupported("batch norm in training mode, or without running statistics")
    factor = (variance.double() + eps).rsqrt() * (1.0 if weight is None else weight.double())
    summand = (0.0 if bias is None else bias.double()) - mean.double() * factor
    scaled = to.map("mul", x, _per_channel(factor.to(x.example.dtype), x))
    return to.map("add", scaled, _per_channel(summand.to(x.example.dtype), x)), None, None


def _batch_norm_in_evaluation(
    to: Instructions,
    x: Value,
    weight: Tensor | None,
    bias: Tensor | None,
    mean: Tensor,
    variance: Tensor,
    momentum: float,
    eps: float,
) -> tuple[Value, None, None]:
    """The same operation without the argument `training`."""
    return _batch_norm(to, x, weight, bias, mean, variance, False, momentum, eps)


def _per_channel(values: Any, like: Value) -> Any:
    """Constants [C] in the shape [C, 1, ...] of a value [B, C, ...]."""
    return values.reshape(-1, *[1] * (like.example.dim() - 2))


def _index(to: Instructions, table: Operand, indices: Sequence[Operand | None]) -> Value:
    index = indices[0]
    if len(indices) != 1 or index is None:
        raise Unsupported("indexing by more than one tensor of positions")
    if example_of(index).dtype == torch.bool:
        raise Unsupported("indexing by a condition")
    if isinstance(index, Tensor):
        index = index % len(example_of(table))  # -1 is the last row
    return to.rows(table, index)


def _convert(to: Instructions, x: Value, *, dtype: torch.dtype | None = None, **_: Any) -> Value:
    if dtype is not None and not dtype.is_floating_point and x.example.is_floating_point() and dtype != torch.bool:
        raise Unsupported(f"a conversion of floats to {str(dtype).removeprefix('torch.')}")
    if dtype is not None and dtype.is_floating_point and dtype.itemsize < 4:
        raise Unsupported(f"a conversion to {str(dtype).removeprefix('torch.')}, whose rounding the page does not have")
    if dtype == torch.bool:
        return to.map("ne", x, 0.0)
    return Value(x.slot, x.example if dtype is None else x.example.to(dtype))


def _same(to: Instructions, x: Value, *_: Any, **__: Any) -> Value:
    """A copy; `_unsafe_view` also has another shape, which the caller reads off the example."""
    return x


def _prelu(to: Instructions, x: Value, slope: Operand) -> Value:
    return to.map("where", to.map("gt", x, 0.0), x, to.map("mul", slope, x))


def _map(name: str) -> Operation:
    return lambda to, *operands: to.map(name, *operands)


ELEMENTWISE = (
    *("abs", "cos", "exp", "expm1", "log", "log1p", "neg", "reciprocal", "relu", "rsqrt", "sigmoid", "silu", "sin"),
    *("sqrt", "tanh", "mul", "pow", "maximum", "minimum", "eq", "ne", "lt", "le", "gt", "ge", "where"),
)

OPERATIONS: Mapping[str, Operation] = {
    **{name: _map(name) for name in ELEMENTWISE},
    "add": _add,
    "sub": partial(_add, f="sub"),
    "rsub": _rsub,
    "div": _div,
    "clamp": _clamp,
    "clamp_min": _clamp,
    "hardtanh": _clamp,
    "leaky_relu": _leaky_relu,
    "_prelu_kernel": _prelu,
    "elu": _elu,
    "softplus": _softplus,
    "_softmax": _softmax,
    "_log_softmax": partial(_softmax, log=True),
    "logsumexp": _logsumexp,
    "sum": partial(_reduce, f="sum"),
    "mean": partial(_reduce, f="mean"),
    "amax": partial(_reduce, f="max"),
    "cat": _cat,
    "stack": _stack,
    "mm": Instructions.matmul,
    "bmm": Instructions.matmul,
    "addmm": _addmm,
    "convolution": _convolution,
    **dict.fromkeys(("native_batch_norm", "_native_batch_norm_legit"), _batch_norm),
    "_native_batch_norm_legit_no_training": _batch_norm_in_evaluation,
    "index": _index,
    "_to_copy": _convert,
    **dict.fromkeys(("clone", "_unsafe_view", "lift_fresh_copy"), _same),
}
"""By aten's name. Views (reshape, expand, permute, ...) and operations that depend on shapes alone need no entry."""
