"""A function of tensors as a program for a web page: traced by PyTorch, written in instructions of interpreter.js."""

import base64
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyro
import torch
from torch import Tensor, fx
from torch.func import functionalize
from torch.fx.experimental.proxy_tensor import make_fx

from zoo.lab.device import fork_random_state
from zoo.lab.errors import first_line
from zoo.lab.explore.instructions import Instructions, Value
from zoo.lab.explore.operations import OPERATIONS, Unsupported


class NotExported(ValueError):
    """A page cannot compute a function; the message names the operation, and says what to do."""


@dataclass(frozen=True, eq=False)
class Network:
    """A program with its weights.

    Attributes:
        inputs, outputs: slots.
        shapes: of the outputs.
        instructions: from inputs to outputs.
    """

    inputs: list[int]
    outputs: list[int]
    shapes: list[tuple[int, ...]]
    instructions: Instructions

    def reads(self, slot: int) -> bool:
        """Whether an instruction or the result reads this array."""
        return slot in self.outputs or any(slot in step["in"] for step in self.instructions.steps)

    def program(self) -> dict[str, Any]:
        """The program as JSON; constants are [slot, first float among the weights, number of floats]."""
        at, constants = 0, []
        for slot, tensor in self.instructions.constants.items():
            constants.append([slot, at, tensor.numel()])
            at += tensor.numel()
        return {
            "inputs": self.inputs,
            "outputs": self.outputs,
            "constants": constants,
            "steps": self.instructions.steps,
        }

    def weights(self) -> np.ndarray:
        """All constants as 32-bit floats, little-endian, one after the other."""
        tensors = self.instructions.constants.values()
        parts = [tensor.detach().cpu().contiguous().numpy().astype("<f4").ravel() for tensor in tensors]
        return np.concatenate(parts) if parts else np.zeros(0, "<f4")


def text_of(floats: np.ndarray) -> str:
    """32-bit floats in base64, as a page holds them."""
    return base64.b64encode(np.ascontiguousarray(floats, "<f4").tobytes()).decode()


def export(what: str, function: Callable[..., tuple[Tensor, ...]], *examples: Tensor) -> Network:
    """Traces a function on examples, and writes what its results depend on as instructions.

    The random state is left as it was; Pyro's validation is off while the function runs.

    Args:
        what: the function's name, for messages.
        function: of tensors in the shapes of the examples; its values may not decide which operations run.
        examples: one value of each argument.

    Raises:
        NotExported: the function cannot be traced, draws at random, or uses an operation that is not in `OPERATIONS`.
    """
    with fork_random_state(examples[0].device), pyro.validation_enabled(False), torch.no_grad():
        try:
            module = make_fx(functionalize(function))(*examples)
        except Exception as error:  # whatever the function raises
            raise NotExported(f"{what} cannot be traced by PyTorch: {first_line(error)}") from error
        return _Writer(what, module, examples).network()


class _Writer:
    """Goes through a traced graph once, in order."""

    def __init__(self, what: str, module: fx.GraphModule, examples: Sequence[Tensor]) -> None:
        self.what = what
        self.module = module
        self.examples = iter(examples)
        self.to = Instructions()
        self.values: dict[fx.Node, Any] = {}
        self.inputs: list[int] = []

    def network(self) -> Network:
        needed = _needed(self.module.graph)
        for node in self.module.graph.nodes:
            if node.op == "placeholder":
                value = self.to.new(next(self.examples))
                self.inputs.append(value.slot)
                self.values[node] = value
            elif node.op == "get_attr":
                self.values[node] = getattr(self.module, str(node.target)).detach()
            elif node.op == "call_function" and node in needed:
                self.values[node] = self._call(node)
        results = self._arguments(self.module.graph.output_node().args[0])
        outputs = [value if isinstance(value, Value) else self.to.map("identity", value) for value in results]
        shapes = [tuple(value.example.shape) for value in outputs]
        return Network(self.inputs, [value.slot for value in outputs], shapes, self.to)

    def _call(self, node: fx.Node) -> Any:
        target: Any = node.target
        args, kwargs = self._arguments(node.args), self._arguments(node.kwargs)
        if target is operator.getitem:
            return args[0][args[1]]
        name = target._schema.name.removeprefix("aten::")
        if torch.Tag.nondeterministic_seeded in target.tags:
            raise NotExported(
                f"{self.what} draws at random (aten.{name}), and a page has to give the same answer each time: every "
                "site that it depends on has to be a vector of real numbers or a one-hot type, and every posterior "
                "needs a mean in closed form"
            )
        if not any(isinstance(leaf, Value) for leaf in _leaves((args, kwargs))):
            return target(*args, **kwargs)  # computed here, once
        if target.is_view:
            return self._view(target, args, kwargs)
        if name in _OF_SHAPES:
            return target(*_examples(args), **_examples(kwargs))
        if name not in OPERATIONS:
            raise self._refused(f"the operation aten.{name}")
        try:
            value = OPERATIONS[name](self.to, *args, **kwargs)
        except Unsupported as error:
            raise self._refused(str(error)) from error
        if name == "_unsafe_view":
            return Value(value.slot, value.example.reshape(args[1]))
        return value

    def _view(self, target: Any, args: Any, kwargs: Any) -> Any:
        out = target(*_examples(args), **_examples(kwargs))
        if isinstance(out, Tensor):
            return self.to.view(args[0], out)
        return [self.to.view(args[0], part) for part in out]

    def _arguments(self, arguments: Any) -> Any:
        return fx.node.map_arg(arguments, lambda node: self.values[node])

    def _refused(self, why: str) -> NotExported:
        return NotExported(
            f"{self.what} uses {why}, which the page cannot compute; it can compute {', '.join(sorted(OPERATIONS))}, "
            "and views. Build the network from these, or add the operation to zoo/lab/explore/operations.py"
        )


_OF_SHAPES = {"ones_like", "zeros_like", "full_like", "new_ones", "new_zeros", "new_full"}
"""Operations whose result depends on their tensors' shapes alone."""


def _needed(graph: fx.Graph) -> set[fx.Node]:
    """The nodes that the output depends on."""
    needed: set[fx.Node] = set()
    waiting = list(graph.output_node().all_input_nodes)
    while waiting:
        node = waiting.pop()
        if node not in needed:
            needed.add(node)
            waiting += node.all_input_nodes
    return needed


def _leaves(arguments: Any) -> list[Any]:
    if isinstance(arguments, dict):
        return _leaves(list(arguments.values()))
    if isinstance(arguments, (list, tuple)):
        return [leaf for argument in arguments for leaf in _leaves(argument)]
    return [arguments]


def _examples(arguments: Any) -> Any:
    """The arguments with each value's example in its place."""
    if isinstance(arguments, dict):
        return {name: _examples(argument) for name, argument in arguments.items()}
    if isinstance(arguments, (list, tuple)):
        return [_examples(argument) for argument in arguments]
    return arguments.example if isinstance(arguments, Value) else arguments
