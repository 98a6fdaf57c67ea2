"""A training pass as a function of tensors alone, gradients included, so that it can be traced."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from zoo.lab.training.pair_loss import PairLoss
from zoo.termwise import TermwiseELBO


class TensorPass:
    """One pass, forward and backward, as a function without side effects.

    Parameters, buffers, the objective's state and the batch are its inputs; the loss, gradients, the report, and the
    buffers and statistics that the pass changes are its outputs. Everything else that the programs read is a constant.
    The objective's state is left changed: the caller restores it.

    Args:
        program: the loss of a batch.
        elbo: its objective.
        args, kwargs: a batch, as the program is called with it.

    Attributes:
        parameters: the trainable parameters, by name.
        buffers: frozen parameters and buffers, by name.
        changing: the names of the buffers that are among the outputs; all until `settle`.
    """

    def __init__(
        self, program: PairLoss, elbo: TermwiseELBO, args: tuple[Tensor, ...], kwargs: Mapping[str, Tensor]
    ) -> None:
        self.program, self.elbo = program, elbo
        self.num_args, self.keywords = len(args), list(kwargs)
        named = dict(program.named_parameters())
        self.parameters = {name: p for name, p in named.items() if p.requires_grad}
        frozen = {name: p for name, p in named.items() if not p.requires_grad}
        self.buffers = {**frozen, **dict(program.named_buffers())}
        self.state = list(elbo.state_dict())
        self.changing = list(self.buffers)

    def __call__(
        self, parameters: list[Tensor], buffers: list[Tensor], live: list[Tensor], batch: list[Tensor]
    ) -> tuple[Tensor, Any, dict[str, dict[str, Tensor]], dict[str, Tensor], dict[str, Tensor]]:
        """Loss, gradients (None where a parameter has none), the report's numbers, changed buffers and statistics."""
        trained = [p.detach().requires_grad_() for p in parameters]
        # Programs write to copies, so that the pass has no side effects and can be evaluated again.
        tensors = dict(zip(self.parameters, trained, strict=True)) | {
            name: buffer.clone() for name, buffer in zip(self.buffers, buffers, strict=True)
        }
        given = dict(zip(self.state, live, strict=True))
        self.elbo.load_state_dict(given)
        x, rest = tuple(batch[: self.num_args]), dict(zip(self.keywords, batch[self.num_args :], strict=True))
        within = {f"program.{name}": tensor for name, tensor in tensors.items()}
        loss, gradients = functional_call(_WithGradients(self.program), within, (trained, *x), rest)
        report = self.elbo.report()
        figures = {"terms": report.terms, "reconstruction": report.reconstruction, "kl": report.kl}
        learnt = {name: t for name, t in self.elbo.state_dict().items() if t is not given.get(name)}
        return loss.detach(), gradients, figures, {name: tensors[name] for name in self.changing}, learnt

    def settle(self, changed: Mapping[str, Tensor]) -> None:
        """Leaves out of the outputs the buffers of modules that changed none of theirs in an evaluation."""
        owners = {_owner(name) for name, after in changed.items() if not torch.equal(after, self.buffers[name])}
        self.changing = [name for name in self.buffers if _owner(name) in owners]


class _WithGradients(nn.Module):
    """A program's loss, and its gradients with respect to the given tensors.

    They are computed in one call, since the backward pass may call the program's modules again, and has to find the
    same parameters in them.
    """

    def __init__(self, program: PairLoss) -> None:
        super().__init__()
        self.program = program

    def forward(self, trained: list[Tensor], *args: Tensor, **kwargs: Tensor) -> tuple[Tensor, Any]:
        with self.program.as_in_training(args[0].device), torch.enable_grad():
            loss: Tensor = self.program(*args, **kwargs)
            return loss, torch.autograd.grad(loss, trained, allow_unused=True)


def _owner(name: str) -> str:
    """The name of a buffer's module: a pass that changes one of its buffers may change the others."""
    return name.rpartition(".")[0]
