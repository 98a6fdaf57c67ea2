"""A training pass without Pyro's overhead: traced once, including gradients, and compiled."""

import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils._pytree import tree_map

from zoo.lab.device import fork_random_state
from zoo.lab.errors import first_line
from zoo.lab.training.pair_loss import PairLoss
from zoo.lab.training.tensor_pass import TensorPass
from zoo.termwise import Report, TermwiseELBO

Pass = Callable[..., tuple[Tensor, Report]]


class Compiled:
    """One pass, forward and backward, as a compiled function of tensors; Pyro runs only while it is traced.

    Its inputs are parameters, buffers, the objective's state and the batch, so that schedules and running statistics
    take effect. Its outputs are gradients, the report, and the buffers and statistics that a pass changes. Random
    numbers come from PyTorch's generator, by the same kernels as in eager code, so a compiled pass draws the same
    numbers as an eager one. On a GPU the compiler records CUDA graphs.

    A pass runs eagerly if tracing or compiling failed (one RuntimeWarning has the reason), if the batch differs from
    the traced one in shape, layout or type, if the objective's state has other names or types, or if its settings (kl,
    num_particles, an estimator) differ. It also runs eagerly once, where a running statistic has no value yet. With one
    RuntimeWarning it runs eagerly, too, where a parameter has a hook on its gradient, and where numbers of modules,
    their modes, or `requires_grad` of parameters have changed: a number that changes over training should be a buffer,
    or a hyperparameter of the objective.

    .. warning::
        Everything else that the programs read is a constant of the trace, such as a number in a list or in a closure: a
        compiled step silently uses its first value.

    Args:
        program: the loss of a batch; its trainable parameters are determined at the first call.
        elbo: its objective, whose report is read and whose state is an input.
        eager: the same pass, uncompiled; writes gradients to the parameters.
    """

    def __init__(self, program: PairLoss, elbo: TermwiseELBO, eager: Pass) -> None:
        self.program, self.elbo, self.eager = program, elbo, eager
        self.graph: Callable[..., Any] | None = None
        self.signature: list[Any] = []
        self.constants: list[Any] = []
        self.refused = self.warned = False

    def __call__(self, *args: Tensor, **kwargs: Tensor) -> tuple[Tensor, Report]:
        """Loss and report of a batch; writes gradients to the parameters."""
        state = self.elbo.state_dict()
        named = (*state.items(), *enumerate(args), *kwargs.items())
        signature = [self.elbo.settings(), *((name, t.shape, t.stride(), t.dtype) for name, t in named)]
        if self.graph is None and not self.refused:
            self._compile(state, args, kwargs)
            self.signature = signature
        if self.graph is None or signature != self.signature or not self._holds():
            return self.eager(*args, **kwargs)
        if self.on_gpu:
            torch.compiler.cudagraph_mark_step_begin()
        buffers = self.step.buffers
        with torch.no_grad():
            loss, gradients, figures, changed, learnt = self.graph(*self._inputs(state, args, kwargs))
            if self.on_gpu:  # the next replay overwrites its outputs
                loss, figures, learnt = tree_map(torch.clone, (loss, figures, learnt))
            for name, value in changed.items():
                buffers[name].copy_(value)
        for parameter, gradient in zip(self.step.parameters.values(), gradients, strict=True):
            parameter.grad = gradient
        if learnt:
            self.elbo.load_state_dict({**state, **learnt})
        self.elbo._report = Report(**figures)
        return loss, self.elbo.report()

    def _holds(self) -> bool:
        """Whether the trace's constants are still those of the pair; says once which are not."""
        constants = self.step.constants()
        if constants == self.constants:
            return True
        if not self.warned:
            self.warned = True
            warnings.warn(
                f"the pair has changed since the step was compiled ({self.step.difference(self.constants)}), so the "
                "run continues eagerly as long as it differs; a number that changes over training has to be a buffer",
                RuntimeWarning,
                stacklevel=3,
            )
        return False

    def _inputs(self, state: dict[str, Tensor], args: tuple[Tensor, ...], kwargs: dict[str, Tensor]) -> Any:
        live = [value.to(self.device, non_blocking=True) for value in state.values()]
        return list(self.step.parameters.values()), list(self.step.buffers.values()), live, [*args, *kwargs.values()]

    def _compile(self, state: dict[str, Tensor], args: tuple[Tensor, ...], kwargs: dict[str, Tensor]) -> None:
        self.step = step = TensorPass(self.program, self.elbo, args, kwargs)
        self.constants = step.constants()
        self.device = args[0].device
        self.on_gpu = self.device.type == "cuda"
        inputs = self._inputs(state, args, kwargs)
        # glibc returns memory to the system, and has to clear it again later, whenever more is free than twice the
        # largest block freed so far. That costs a tenth of a convolutional step, so one large block is allocated and
        # freed here, without touching its pages.
        torch.empty(31 * 2**20, dtype=torch.uint8)

        try:
            with fork_random_state(self.device), torch.no_grad(), warnings.catch_warnings():
                warnings.simplefilter("ignore")  # the compiler's warnings about its own code
                if hooked := step.hooked():
                    raise ValueError(hooked)
                *_, changed, learnt = step(*inputs)
                if difference := step.difference(self.constants):
                    raise ValueError(f"{difference} after a pass, which a trace cannot hold: make it a buffer")
                if not learnt.keys() <= state.keys():
                    return  # a statistic gets its first value in this pass, and becomes an input after it
                step.settle(changed)
                traced = make_fx(lambda *tensors: step(*tensors))(*inputs)
                graph = torch.compile(traced, fullgraph=True, dynamic=False, options=options(self.on_gpu))
                graph(*inputs)
                self.graph = graph
        except Exception as error:  # the pair has run eagerly, so an error here comes from the tracer or the compiler
            self.refused = True
            reason = f"{type(error).__name__}: {first_line(error)}"
            warnings.warn(
                f"this pair cannot be compiled, so the run continues eagerly ({reason})",
                RuntimeWarning,
                stacklevel=2,
            )
        finally:
            self.elbo.load_state_dict(state)
            step.restore(self.constants)


def options(on_gpu: bool) -> dict[str, Any]:
    """The compiler's options."""
    options: dict[str, Any] = {
        "fallback_random": True,  # the same draws as eager code
        "triton.cudagraphs": on_gpu,  # equivalent to mode="reduce-overhead"
        "layout_optimization": on_gpu,  # on a CPU, reordering images costs more than it saves
    }
    if hasattr(torch.compiler, "skip_all_guards_unsafe"):  # `Compiled` checks the inputs itself
        options["guard_filter_fn"] = torch.compiler.skip_all_guards_unsafe
    return options
