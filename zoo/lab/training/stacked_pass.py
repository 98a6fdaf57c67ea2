"""The passes of several pairs as one: the traced pass of one of them, mapped over stacks of their tensors."""

import time
import warnings
from collections.abc import Sequence
from itertools import chain
from typing import Any

import torch
from torch import Tensor
from torch.func import functionalize, vmap
from torch.fx import Graph, GraphModule, Node
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils._pytree import tree_flatten, tree_leaves, tree_map, tree_unflatten

from zoo.lab.device import fork_random_state, has_own_random_state, random_state, set_random_state
from zoo.lab.errors import first_line
from zoo.lab.training.compiled import options
from zoo.lab.training.tensor_pass import TensorPass


class CannotStackError(ValueError):
    """Pairs that cannot be trained as one; the message says why, and what to do instead."""


class StackedPass:
    """The passes of R pairs as one function of stacks [R, ...].

    The first member's pass is traced. Its draws are cut out of it: each member draws its own random numbers, in the
    order in which it draws them alone, from its own random state. What remains is deterministic, and is mapped over
    the stacks. So a member's draws are those of its own training, number by number.

    A graph is made for each form of the inputs: shapes of the batch, and names of the objective's state. When it is
    made, every member's pass is also evaluated by itself, and the two are compared. Passes that give a statistic its
    first value are evaluated by themselves alone.

    Args:
        device: of the tensors.
        compile: whether to compile the graph.
        half: whether networks or matrix products compute in bfloat16, whose rounding the comparison has to allow.

    Attributes:
        gain: the time of the members' passes one by one, divided by that of the stacked pass, each measured once, on a
            CPU; 0 before.
    """

    def __init__(self, device: torch.device, *, compile: bool, half: bool = False) -> None:
        self.device, self.compile, self.half = device, compile, half
        self.graphs: dict[Any, _Graph] = {}
        self.gain = 0.0

    def __call__(self, passes: Sequence[TensorPass], stacks: Any, random: list[Tensor]) -> Any:
        """The passes' outputs, stacked.

        Args:
            passes: one for each member.
            stacks: the arguments of a `TensorPass`, each tensor with a first dimension of R.
            random: the members' random states, which the draws replace by new ones.

        Raises:
            CannotStackError: the first pass cannot be traced, or a member's pass differs from the traced one.
        """
        leaves, spec = tree_flatten(stacks)
        key = (tuple(passes[0].state), tuple((t.shape, t.dtype) for t in leaves))
        with fork_random_state(self.device), torch.no_grad():
            if key in self.graphs:
                return self.graphs[key](leaves, random)
            before, constants = list(random), [one.constants() for one in passes]
            alone, seconds = self._one_by_one(passes, leaves, spec, random)
            if difference := passes[0].difference(constants[0]):
                for one, own in zip(passes, constants, strict=True):
                    one.restore(own)
                raise CannotStackError(
                    f"these pairs cannot be trained as one: {difference} after a pass, which a trace cannot hold; "
                    "make it a buffer, train each by fit, or in a sweep leave out --together"
                )
            *_, learnt = alone[0]
            stacked = tree_map(lambda *values: None if values[0] is None else torch.stack(values), *alone)
            if learnt.keys() <= set(passes[0].state):
                graph = self._traced(passes[0], leaves, spec, alone[0])
                replayed = list(before)
                _check_equal(stacked, graph(leaves, replayed), random, replayed, half=self.half)
                began = time.perf_counter()
                graph(leaves, before)
                self.gain = seconds / (time.perf_counter() - began)
                self.graphs[key] = graph
            return stacked

    def _one_by_one(self, passes: Sequence[TensorPass], leaves: list[Tensor], spec: Any, random: list[Tensor]) -> Any:
        """The members' outputs, and the time of all passes, estimated as that of the fastest times their number."""
        outputs, times = [], []
        for member, one in enumerate(passes):
            began = time.perf_counter()
            state = one.elbo.state_dict()
            set_draw_state(self.device, random[member])
            loss, gradients, figures, changed, learnt = one(*tree_unflatten([leaf[member] for leaf in leaves], spec))
            random[member] = draw_state(self.device)
            one.elbo.load_state_dict(state)
            if member == 0:
                one.settle(changed)
            changed = {name: changed[name] for name in passes[0].changing}
            outputs.append((loss, gradients, figures, changed, learnt))
            times.append(time.perf_counter() - began)
        return outputs, len(times) * min(times)

    def _traced(self, one: TensorPass, leaves: list[Tensor], spec: Any, outputs: Any) -> "_Graph":
        def flat(*tensors: Tensor) -> list[Tensor]:
            return [out for out in tree_flatten(one(*tree_unflatten(list(tensors), spec)))[0] if out is not None]

        state, own = one.elbo.state_dict(), [leaf[0] for leaf in leaves]
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # the tracer's, and those that the pair gave in its first passes
                traced = make_fx(flat)(*own)
                if any(map(_mutates, traced.graph.nodes)):
                    traced = make_fx(functionalize(traced))(*own)
                sampler, rest, used = split_draws(traced)
                draws = [torch.stack([draw] * len(leaves[0])) for draw in sampler(*(own[i] for i in used))]
                graph: Any = make_fx(vmap(rest, randomness="error"))(*leaves, *draws)
                if self.compile:
                    on_gpu = self.device.type == "cuda"
                    graph = torch.compile(graph, fullgraph=True, dynamic=False, options=options(on_gpu))
                    graph(*leaves, *draws)
        except Exception as error:  # the pair has run by itself, so the error is of the tracer or the compiler
            what = "compiled" if self.compile else "traced"
            raise CannotStackError(
                f"these pairs cannot be trained as one, because they cannot be {what} ({type(error).__name__}: "
                f"{first_line(error)}): train each by fit, or in a sweep leave out --together"
            ) from error
        finally:
            one.elbo.load_state_dict(state)
        return _Graph(graph, sampler, used, outputs, self.device)


class _Graph:
    """The mapped graph, and the sampler that draws a member's random numbers."""

    def __init__(self, graph: Any, sampler: GraphModule, used: list[int], outputs: Any, device: torch.device) -> None:
        self.graph, self.sampler, self.used, self.device = graph, sampler, used, device
        values, self.form = tree_flatten(outputs)
        self.present = [value is not None for value in values]

    def __call__(self, leaves: list[Tensor], random: list[Tensor]) -> Any:
        drawn = []
        for member, state in enumerate(random):
            set_draw_state(self.device, state)
            drawn.append(self.sampler(*(leaves[i][member] for i in self.used)))
            random[member] = draw_state(self.device)
        draws = [torch.stack(draw) for draw in zip(*drawn, strict=True)]
        if self.device.type == "cuda" and not isinstance(self.graph, GraphModule):
            torch.compiler.cudagraph_mark_step_begin()
            outputs = iter([out.clone() for out in self.graph(*leaves, *draws)])  # the next replay overwrites them
        else:
            outputs = iter(self.graph(*leaves, *draws))
        return tree_unflatten([next(outputs) if here else None for here in self.present], self.form)


def split_draws(traced: GraphModule) -> tuple[GraphModule, GraphModule, list[int]]:
    """Cuts a graph in two: a sampler, which returns its random numbers, and the rest, which is deterministic.

    The sampler repeats what the draws depend on: nothing for a normal's noise, the encoder for a Dirichlet draw.

    Returns:
        sampler: some of the graph's inputs to the list of its draws.
        rest: the graph's inputs, followed by the draws, to its outputs.
        used: the positions of the inputs that the sampler takes.
    """
    nodes = list(traced.graph.nodes)
    inputs = [node for node in nodes if node.op == "placeholder"]
    draws = list(chain.from_iterable(_tensors(node) for node in nodes if _is_random(node)))
    needed = set(draws)
    for node in reversed(nodes):
        if node in needed:
            needed.update(node.all_input_nodes)
    sampler, rest = Graph(), Graph()
    copies: dict[Node, Node] = {}
    for node in nodes:
        if node in needed:
            copies[node] = sampler.node_copy(node, copies.__getitem__)
    sampler.output([copies[draw] for draw in draws])
    kept = {node: rest.node_copy(node) for node in inputs}
    kept |= {draw: rest.placeholder(f"draw_{position}") for position, draw in enumerate(draws)}
    for node in nodes:
        if node not in kept and not _is_random(node):
            kept[node] = rest.node_copy(node, kept.__getitem__)
    rest.eliminate_dead_code()
    used = [position for position, node in enumerate(inputs) if node in needed]
    return GraphModule(traced, sampler), GraphModule(traced, rest), used


def _is_random(node: Node) -> bool:
    return node.op == "call_function" and torch.Tag.nondeterministic_seeded in getattr(node.target, "tags", ())


def _mutates(node: Node) -> bool:
    """Whether the node writes to a tensor; a draw into an empty tensor that was made for it does not count."""
    schema = getattr(node.target, "_schema", None)
    if schema is None or not schema.is_mutable:
        return False
    written = node.all_input_nodes
    return not (_is_random(node) and len(written) == 1 and _is_empty(written[0]) and len(written[0].users) == 1)


def _is_empty(node: Node) -> bool:
    return node.target in (torch.ops.aten.empty.memory_format, torch.ops.aten.new_empty.default)


def _tensors(node: Node) -> list[Node]:
    """The node itself where it returns one tensor; where it returns several, the nodes that use them."""
    return list(node.users) if isinstance(node.meta["val"], (tuple, list)) else [node]


def _check_equal(
    alone: Any, together: Any, random: list[Tensor], replayed: list[Tensor], *, half: bool = False
) -> None:
    """Checks that each member's loss, gradients, report and buffers agree, each in Euclidean norm, to half the digits.

    Where networks or matrix products compute in bfloat16, these are half of its digits: some per cent.

    Raises:
        CannotStackError: the numbers of a member differ; the message names the member.
    """
    for member, (own, after) in enumerate(zip(random, replayed, strict=True)):
        for part, other in zip(alone, together, strict=True):
            leaves = [leaf for leaf in tree_leaves(part) if leaf is not None]
            ours, theirs = _numbers(leaves, member), _numbers(tree_leaves(other), member)
            types = {leaf.dtype for leaf in leaves if leaf.is_floating_point()} | ({torch.bfloat16} if half else set())
            precise = max((torch.finfo(dtype).eps for dtype in types), default=0.0) ** 0.5
            if (ours - theirs).norm() <= precise * ours.norm() and torch.equal(own, after):
                continue
            raise CannotStackError(
                f"member {member} cannot be trained together with member 0: with its weights, batch, draws and "
                "hyperparameters, the pass of member 0 gives other numbers than its own, so the two differ in "
                "something else, such as a number of the model: train it by itself"
            )


def _numbers(leaves: list[Tensor | None], member: int) -> Tensor:
    """A member's numbers in one row; infinite numbers become the largest finite ones, and NaN becomes 0."""
    rows = [leaf[member].reshape(-1).double() for leaf in leaves if leaf is not None]
    return torch.cat(rows).nan_to_num() if rows else torch.zeros(0)


def draw_state(device: torch.device) -> Tensor:
    """The state of the generator that the device draws from."""
    own = random_state(device)
    return torch.get_rng_state() if own is None else own


def set_draw_state(device: torch.device, state: Tensor) -> None:
    """Sets what `draw_state` returned."""
    if has_own_random_state(device):
        set_random_state(device, state)
    else:
        torch.set_rng_state(state)
