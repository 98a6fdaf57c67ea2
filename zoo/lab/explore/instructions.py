"""The instructions of interpreter.js, which computes a network in a web page.

There are six: map, reduce, cat, matmul, convolution and rows. Every shape is known when a page is written, so an
instruction holds sizes and strides, and the interpreter handles flat arrays of 32-bit floats only.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch.nn import functional as F

MAPS: Mapping[str, Callable[..., Tensor]] = {
    name: getattr(torch, name)
    for name in (
        *("abs", "cos", "exp", "expm1", "log", "log1p", "neg", "reciprocal", "relu", "rsqrt", "sigmoid", "sin", "sqrt"),
        *("tanh", "add", "sub", "mul", "div", "pow", "maximum", "minimum", "eq", "ne", "lt", "le", "gt", "ge", "where"),
    )
} | {"identity": torch.clone, "softplus": F.softplus, "elu": F.elu, "silu": F.silu, "leaky_relu": F.leaky_relu}
"""The functions of the instruction map, element by element, and the same in PyTorch."""

REDUCTIONS: Mapping[str, Callable[..., Tensor]] = {"sum": torch.sum, "max": torch.amax}


@dataclass(frozen=True, eq=False)
class Value:
    """A tensor that the page computes.

    Attributes:
        slot: its number among all arrays of the program.
        example: its value for the example that the function was traced on; contiguous, from the start of its storage.
    """

    slot: int
    example: Tensor


Operand: TypeAlias = Value | Tensor | float


class Instructions:
    """A program that is being written: its instructions and its constants.

    Attributes:
        steps: the instructions, as JSON.
        constants: by slot.
    """

    def __init__(self) -> None:
        self.steps: list[dict[str, Any]] = []
        self.constants: dict[int, Tensor] = {}
        self._slots = 0
        self._known: dict[int, int] = {}  # slots by the identity of constant tensors, which `constants` keeps alive

    def new(self, example: Tensor) -> Value:
        """A new array with this example."""
        self._slots += 1
        return Value(self._slots - 1, example.detach().clone(memory_format=torch.contiguous_format))

    def map(self, function: str, *operands: Operand) -> Value:
        """A function of `MAPS` of each element; operands are broadcast."""
        tensors = [example_of(operand) for operand in operands]
        apply = MAPS[function]
        numbers = function in ("leaky_relu", "elu")  # whose second argument PyTorch wants as a number
        example = apply(tensors[0], float(tensors[1])) if numbers else apply(*tensors)
        views = [tensor.contiguous().expand(example.shape) for tensor in tensors]
        return self._map(function, [self._slot(o) for o in operands], views, [0] * len(views), example)

    def view(self, operand: Value, out: Tensor) -> Value:
        """The view `out` of the operand's example: the same slot where the order of the elements is the same."""
        if out.is_contiguous() and out.numel() == operand.example.numel() and out.storage_offset() == 0:
            return Value(operand.slot, out)
        return self._map("identity", [operand.slot], [out], [int(out.storage_offset())], out)

    def reduce(self, function: str, operand: Operand, dims: Sequence[int], keepdim: bool) -> Value:
        """The sum or the largest of the elements along `dims`."""
        x = example_of(operand).contiguous()
        kept = REDUCTIONS[function](x, dim=list(dims), keepdim=True)
        out = self.new(kept if keepdim else REDUCTIONS[function](x, dim=list(dims)))
        size, strides = merged(x.shape, [x.stride(), kept.contiguous().expand(x.shape).stride()])
        self._step("reduce", out, [self._slot(operand)], f=function, size=size, strides=strides)
        return out

    def cat(self, operands: Sequence[Operand], dim: int) -> Value:
        """The operands one after the other along `dim`."""
        tensors = [example_of(operand).contiguous() for operand in operands]
        dim %= tensors[0].dim()
        out = self.new(torch.cat(tensors, dim))
        widths = [math.prod(tensor.shape[dim:]) for tensor in tensors]
        rows = math.prod(tensors[0].shape[:dim])
        self._step("cat", out, [self._slot(operand) for operand in operands], rows=rows, widths=widths)
        return out

    def matmul(self, a: Operand, b: Operand) -> Value:
        """[..., M, K] times [..., K, N], with the same leading dimensions."""
        left, right = example_of(a).contiguous(), example_of(b).contiguous()
        out = self.new(left @ right)
        size = [int(n) for n in (math.prod(left.shape[:-2]), *left.shape[-2:], right.shape[-1])]
        self._step("matmul", out, [self._slot(a), self._slot(b)], size=size)
        return out

    def convolution(
        self,
        x: Operand,
        weight: Operand,
        *,
        stride: Sequence[int],
        padding: Sequence[int],
        dilation: Sequence[int],
        transposed: bool,
        output_padding: Sequence[int],
        groups: int,
    ) -> Value:
        """A two-dimensional convolution, or a transposed one, without its bias."""
        image, kernel = example_of(x).contiguous(), example_of(weight).contiguous()
        example = torch.convolution(
            image, kernel, None, stride, padding, dilation, transposed, output_padding, groups
        ).contiguous()
        out = self.new(example)
        self._step(
            "convolution",
            out,
            [self._slot(x), self._slot(weight)],
            shapes=[list(t.shape) for t in (image, kernel, example)],
            stride=list(stride),
            padding=list(padding),
            dilation=list(dilation),
            transposed=transposed,
            groups=groups,
        )
        return out

    def rows(self, table: Operand, index: Operand) -> Value:
        """The rows of a table [R, ...] at whole numbers `index` [B], as in an embedding."""
        entries = example_of(table).contiguous()
        out = self.new(entries[example_of(index).long()])
        self._step("rows", out, [self._slot(table), self._slot(index)], width=math.prod(entries.shape[1:]))
        return out

    def _map(self, function: str, slots: list[int], views: list[Tensor], offsets: list[int], example: Tensor) -> Value:
        out = self.new(example)
        size, strides = merged(example.shape, [view.stride() for view in views])
        self._step("map", out, slots, f=function, size=size, strides=strides, offsets=offsets)
        return out

    def _slot(self, operand: Operand) -> int:
        if isinstance(operand, Value):
            return operand.slot
        if not isinstance(operand, Tensor):
            operand = torch.tensor(float(operand))
        if id(operand) not in self._known:
            self._slots += 1
            self._known[id(operand)] = self._slots - 1
            self.constants[self._slots - 1] = operand
        return self._known[id(operand)]

    def _step(self, op: str, out: Value, inputs: list[int], **attributes: Any) -> None:
        self.steps.append({"op": op, "out": out.slot, "in": inputs, "length": out.example.numel(), **attributes})


def example_of(operand: Operand) -> Tensor:
    """The example of a value; a constant or a number as a tensor."""
    if isinstance(operand, Value):
        return operand.example
    return operand if isinstance(operand, Tensor) else torch.tensor(float(operand))


def merged(shape: Sequence[int], strides: Sequence[Sequence[int]]) -> tuple[list[int], list[list[int]]]:
    """The same loops with as few dimensions as possible, at least one.

    Dimensions of size 1 are dropped, and two neighbours become one where every operand passes through both in one
    stride.

    Args:
        shape: sizes of the loops, outermost first.
        strides: of each operand, one for each loop.
    """
    sizes: list[int] = []
    steps: list[tuple[int, ...]] = []  # by dimension, a stride for each operand
    for n, step in zip(shape, zip(*strides, strict=True), strict=True):
        if n == 1:
            continue
        if sizes and all(outer == n * inner for outer, inner in zip(steps[-1], step, strict=True)):
            sizes[-1] *= n
            steps[-1] = step
        else:
            sizes.append(n)
            steps.append(step)
    if not sizes:
        return [1], [[0] for _ in strides]
    return sizes, [list(s) for s in zip(*steps, strict=True)]
