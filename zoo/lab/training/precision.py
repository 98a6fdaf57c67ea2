"""The precision of a training step: networks may compute in bfloat16, everything else stays in float32.

    fit(model, guide, elbo, batches, lr=1e-3, precision="bf16")
    python -m zoo train joint-vae/mnist --precision bf16

"float32" is the default. "bf16" runs the networks of the pair under `torch.autocast`, and casts what they return back
to float32: distributions, log densities, KL, estimators of q(z), gradients and the optimiser are in float32. "medium"
is PyTorch's `set_float32_matmul_precision("medium")` for the time of a step: the factors of float32 matrix products are
rounded to bfloat16 where the hardware is faster with it, and nothing else changes. Evaluation is always in float32.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Literal, get_args

import torch
from pyro.poutine.messenger import Messenger
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from zoo.arguments import shown

Precision = Literal["float32", "medium", "bf16"]
PRECISIONS: tuple[str, ...] = get_args(Precision)
HALF = (torch.bfloat16, torch.float16)


def check_precision(precision: Any, *programs: nn.Module) -> None:
    """Refuses an unknown precision, and bfloat16 for programs that are not in float32.

    Raises:
        ValueError: there is no such precision; or a program has parameters of another type, which `torch.autocast`
            would leave as they are.
    """
    if not isinstance(precision, str) or precision not in PRECISIONS:
        raise ValueError(f"precision must be one of {', '.join(PRECISIONS)}, got {shown(precision)}")
    if precision != "bf16":
        return
    for program in programs:
        for name, parameter in program.named_parameters():
            if parameter.is_floating_point() and parameter.dtype != torch.float32:
                raise ValueError(
                    f"precision='bf16' is for pairs in float32, and {type(program).__name__}.{name} is "
                    f"{parameter.dtype}: call .float() on the pair, or leave out precision"
                )


@contextmanager
def reduced_matmul_precision() -> Iterator[None]:
    """Matrix products with factors in bfloat16, where the hardware is faster with them; sums stay float32."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


class Networks:
    """The networks of a pair, which are found by watching one pass, and then run in bfloat16.

    A module below the programs is a network if a call of it makes no Pyro statement and returns tensors. Modules that
    return something else, such as a head, which returns a distribution, stay in float32 with all that is in them, as do
    programs within programs. Where a network contains networks, only the outermost counts.

    Args:
        programs: model and guide.

    Attributes:
        found: the networks; empty before a pass was watched.
    """

    def __init__(self, *programs: nn.Module) -> None:
        self.programs = programs
        self.found: list[nn.Module] = []

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Finds the networks in what runs within the block."""
        modules = {id(m): m for program in self.programs for m in program.modules() if m not in self.programs}
        calls: list[tuple[nn.Module, tuple[nn.Module, ...]]] = []
        running: list[nn.Module] = []
        statements: set[int] = set()  # modules that make some, by id
        others: set[int] = set()  # modules that return something else than tensors, such as heads

        def watch(module: nn.Module, forward: Callable[..., Any]) -> Callable[..., Any]:
            def call(*args: Any, **kwargs: Any) -> Any:
                calls.append((module, tuple(running)))
                running.append(module)
                try:
                    with _Statements() as made:
                        out = forward(*args, **kwargs)
                finally:
                    running.pop()
                if made.count:
                    statements.add(id(module))
                elif not _is_tensors(out):
                    others.add(id(module))
                return out

            return call

        with _replaced(modules.values(), watch):
            yield
        heads = {id(part) for head in others for part in modules[head].modules()}
        networks = {id(module) for module, _ in calls} - statements - heads
        outermost = {
            id(module): module
            for module, around in calls
            if id(module) in networks and not any(id(one) in networks for one in around)
        }
        self.found = list(outermost.values())

    @contextmanager
    def in_bf16(self, device: torch.device) -> Iterator[None]:
        """Within the block the networks compute in bfloat16 and return float32."""

        def cast(module: nn.Module, forward: Callable[..., Any]) -> Callable[..., Any]:
            def call(*args: Any, **kwargs: Any) -> Any:
                # Each weight is used once a call, so there is nothing to keep; and a trace must not keep any.
                with torch.autocast(device.type, torch.bfloat16, cache_enabled=False):
                    out = forward(*args, **kwargs)
                return tree_map(_float32, out)

            return call

        with _replaced(self.found, cast):
            yield


class _Statements(Messenger):
    """Counts the Pyro statements that are made within it."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def _process_message(self, msg: Any) -> None:
        self.count += 1
        super()._process_message(msg)


@contextmanager
def _replaced(modules: Any, wrap: Callable[[nn.Module, Callable[..., Any]], Callable[..., Any]]) -> Iterator[None]:
    """Replaces `forward` of the modules themselves, not of their classes, until the block ends."""
    with ExitStack() as restored:
        for module in modules:
            own = module.__dict__
            if "forward" in own:  # set on the instance already
                restored.callback(own.__setitem__, "forward", own["forward"])
            else:
                restored.callback(own.pop, "forward")
            own["forward"] = wrap(module, module.forward)
        yield


def _is_tensors(out: Any) -> bool:
    """Whether a module returned tensors, as a network does."""
    return isinstance(out, Tensor) or (isinstance(out, (tuple, list)) and all(isinstance(one, Tensor) for one in out))


def _float32(value: Any) -> Any:
    return value.float() if isinstance(value, Tensor) and value.dtype in HALF else value
