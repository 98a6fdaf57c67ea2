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
    `constants` lists the constants that are known to change in some programs. The objective's state is left changed:
    the caller restores it.

    Args:
        program: the loss of a batch.
        elbo: its objective.
        args, kwargs: a batch, as the program is called with it.

    Attributes:
        parameters: the trainable parameters, by name.
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
        buffers = {**frozen, **dict(program.named_buffers())}
        # A tensor may belong to several modules, which all get the pass's tensor. A module with several names is listed
        # once: at its second name, `functional_call` would take the pass's tensors for the module's own.
        names = {id(tensor): name for name, tensor in (named | buffers).items()}
        self._aliases = {
            f"{path}.{key}": names[id(tensor)]
            for path, part in program.named_modules(prefix="program")
            for key, tensor in (part._parameters | part._buffers).items()
            if tensor is not None
        }
        self._places = {name: _place(program, name) for name in buffers}
        self._numbers = [
            (f"{path}.{name}", vars(part), name)
            for path, part in program.named_modules()
            for name, value in vars(part).items()
            if isinstance(value, (bool, int, float))
        ]
        self._held = [(name, *_place(program, name), parameter) for name, parameter in named.items()]
        # Other objectives that a module calls, such as the one by which SemiAmortized refines its output.
        methods = [getattr(v, "func", v) for part in program.modules() for v in vars(part).values()]
        others = [getattr(method, "__self__", None) for method in methods]
        self._others = [other for other in others if isinstance(other, TermwiseELBO) and other is not elbo]
        self.state = list(elbo.state_dict())
        self.changing = list(buffers)

    @property
    def buffers(self) -> dict[str, Tensor]:
        """Frozen parameters and buffers, by name: those that the modules have now, since a buffer may be replaced."""
        return {name: tensors[key] for name, (tensors, key) in self._places.items()}

    def constants(self) -> list[Any]:
        """What a trace takes for constants: the modules' numbers and modes, which parameters are trained, which have
        hooks on their gradients, and the form of buffers.
        """
        trained = [tensors[key] is p and p.requires_grad for _, tensors, key, p in self._held]
        hooked = [is_hooked(p) for *_, p in self._held]
        forms = [(t.shape, t.stride(), t.dtype, t.device) for t in self.buffers.values()]
        states = [{name: _Number(t) for name, t in other.state_dict().items()} for other in self._others]
        return [*(values.get(name) for _, values, name in self._numbers), *trained, *hooked, *forms, *states]

    def difference(self, before: list[Any]) -> str:
        """The first of the `constants` that are not as before, in words; empty if there is none."""
        names = [
            *(name for name, *_ in self._numbers),
            *(f"{name}.requires_grad" for name, *_ in self._held),
            *(f"whether there is a hook on the gradient of {name.removeprefix('pair.')}" for name, *_ in self._held),
            *(f"{name}, its shape, stride, type and device," for name in self._places),
            *(f"the state of a second {type(other).__name__}, which a program calls," for other in self._others),
        ]
        for name, then, now in zip(names, before, self.constants(), strict=True):
            if then != now:
                return f"{name.removeprefix('pair.')} was {then}, and is {now}"
        return ""

    def hooked(self) -> str:
        """What hooks on gradients a pass would leave out, in words; empty if there are none."""
        name = next((name.removeprefix("pair.") for name, *_, p in self._held if is_hooked(p)), "")
        return name and f"{name} has a hook on its gradient, such as a clamp, which a trace leaves out"

    def restore(self, before: list[Any]) -> None:
        """Gives the modules the numbers that they had before."""
        for (_, values, name), then in zip(self._numbers, before[: len(self._numbers)], strict=True):
            values[name] = then
        for other, state in zip(self._others, before[len(before) - len(self._others) :], strict=True):
            other.load_state_dict({name: number.tensor for name, number in state.items()})

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
        within = {alias: tensors[name] for alias, name in self._aliases.items()}
        loss, gradients = functional_call(_WithGradients(self.program), within, (trained, *x), rest, tie_weights=False)
        report = self.elbo.report()
        figures = {"terms": report.terms, "reconstruction": report.reconstruction, "kl": report.kl}
        learnt = {name: t for name, t in self.elbo.state_dict().items() if t is not given.get(name)}
        changed = {name: within[f"program.{name}"].detach() for name in self.changing}  # written to, or replaced
        return loss.detach(), gradients, figures, changed, learnt

    def settle(self, changed: Mapping[str, Tensor]) -> None:
        """Leaves out of the outputs the buffers of modules that changed none of theirs in an evaluation."""
        before = self.buffers
        owners = {_owner(name) for name, after in changed.items() if not torch.equal(after, before[name])}
        self.changing = [name for name in before if _owner(name) in owners]


class _Number:
    """A tensor of an objective's state. Numbers on the CPU are compared by value, all other tensors by identity."""

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor
        self.value = tensor if tensor.dim() or tensor.device.type != "cpu" else tensor.item()

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, _Number):
            return NotImplemented
        numbers = not isinstance(self.value, Tensor) and not isinstance(other.value, Tensor)
        return bool(self.value == other.value) if numbers else self.tensor is other.tensor

    def __repr__(self) -> str:
        return f"a tensor {list(self.value.shape)}" if isinstance(self.value, Tensor) else f"{self.value:g}"


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


def is_hooked(parameter: Tensor) -> bool:
    """Whether `register_hook` or `register_post_accumulate_grad_hook` was called on a trained parameter."""
    return parameter.requires_grad and bool(parameter._backward_hooks or parameter._post_accumulate_grad_hooks)


def _owner(name: str) -> str:
    """The name of a buffer's module: a pass that changes one of its buffers may change the others."""
    return name.rpartition(".")[0]


def _place(program: nn.Module, name: str) -> tuple[dict[str, Any], str]:
    """The dictionary of a module that holds a parameter or a buffer, and its key there."""
    path, _, key = name.rpartition(".")
    module: Any = program.get_submodule(path)
    return (module._parameters if key in module._parameters else module._buffers), key
