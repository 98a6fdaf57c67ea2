"""The loop: a generator whose body is the callback. There is no trainer."""

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import Any

import pyro
import torch
from pyro import poutine
from pyro.poutine.messenger import Messenger
from torch import Tensor, nn

from zoo.lab.data import Batch
from zoo.termwise import Report, TermwiseELBO

Optimizer = Callable[..., torch.optim.Optimizer]


def fit(
    model: nn.Module,
    guide: nn.Module,
    elbo: TermwiseELBO,
    batches: Iterable[Batch],
    *,
    lr: float,
    optimizer: Optimizer = torch.optim.Adam,
    device: str | torch.device | None = None,
) -> Iterator[tuple[int, Report]]:
    """Trains the pair, one step per batch, and yields after each: how many steps were taken, and that pass's figures.

        for step, report in fit(model, guide, elbo, data.batches(64, seed=0, steps=10_000), lr=5e-4):
            elbo.beta = ramp(step, 0.0, 4.0, over=5_000)     # a schedule: the next step sees it

    The figures stay on the device until somebody reads them. The pair runs once on the first batch before anything is
    trained, with Pyro's validation on; the steps run without it. The random state is left as it was by that trial.

    Args:
        model, guide: the pair, moved to the device in place.
        elbo: the objective.
        batches: (x, y or None, index); y goes to the pair where there is one. The run ends with them.
        lr: the learning rate.
        optimizer: parameters and lr to an optimiser, e.g. `functools.partial(torch.optim.Adam, amsgrad=True)`.
        device: where to; found when not given: a GPU if there is one.

    Raises:
        ValueError, TypeError: from the trial run, where pair, objective and data do not fit.
        FloatingPointError: the loss is not finite; names step, term and site. No step is taken from it on a CPU.
    """
    device = find_device(device)
    model.to(device).train()
    guide.to(device).train()
    batches = iter(batches)
    first = next(batches, None)
    if first is None:
        raise ValueError("there is no batch to train on: batches is empty")
    _trial(model, guide, elbo, _to(first, device))
    program = elbo(model, guide)
    optim = optimizer(program.parameters(), lr=lr)
    watch = _Watch(device)
    for step, batch in enumerate(chain([first], batches), start=1):
        optim.zero_grad(set_to_none=True)
        args, kwargs = arguments(_to(batch, device))
        with pyro.validation_enabled(False), _OwnParameters():
            loss = program(*args, **kwargs)
            loss.backward()
        watch.look(step, elbo.report())
        optim.step()
        yield step, elbo.report()
    watch.finish()


def ramp(step: int, start: float, end: float, *, over: int) -> float:
    """The value at `step` of a line from `start` at step 0 to `end` at step `over`, constant from there."""
    return start + (end - start) * min(step / over, 1.0)


def find_device(device: str | torch.device | None = None) -> torch.device:
    """The device asked for, or the best there is.

    Raises:
        ValueError: there is no such device here; says which there are.
    """
    here = ["cpu"] + ["cuda"] * torch.cuda.is_available() + ["mps"] * torch.backends.mps.is_available()
    if device is None:
        return torch.device("cuda" if "cuda" in here else "cpu")
    try:
        asked = torch.device(device)
    except RuntimeError:
        asked = None
    if asked is None or asked.type not in here:
        raise ValueError(f"there is no device {str(device)!r} here; there is {', '.join(here)}")
    return asked


def arguments(batch: Batch) -> tuple[tuple[Tensor, ...], dict[str, Any]]:
    """How a batch is handed to model and guide: (x) or (x, y), and its index."""
    return ((batch.x,) if batch.y is None else (batch.x, batch.y)), {"index": batch.index}


def _to(batch: Batch, device: torch.device) -> Batch:
    y = None if batch.y is None else batch.y.to(device, non_blocking=True)
    return Batch(batch.x.to(device, non_blocking=True), y, batch.index.to(device, non_blocking=True))


def _trial(model: nn.Module, guide: nn.Module, elbo: TermwiseELBO, batch: Batch) -> None:
    """Runs the model on its own, then the pair, so that whatever does not fit is said before a step is taken.

    The model goes first: it names the site. An autoguide has no parameters before its first run, so the optimiser
    comes after.
    """
    args, kwargs = arguments(batch)
    state = elbo.state_dict()
    devices = [batch.x.device] if batch.x.is_cuda else []
    with (
        torch.random.fork_rng(devices),
        poutine.block(),
        pyro.validation_enabled(),
        torch.no_grad(),
        _OwnParameters(),
    ):
        poutine.trace(model).get_trace(*args, **kwargs).compute_log_prob()
        with torch.enable_grad():
            elbo.differentiable_loss(model, guide, *args, **kwargs)
    elbo.load_state_dict(state)


class _OwnParameters(Messenger):
    """Answers every `pyro.param` with the module's own tensor, so that the global store is not involved."""

    def _pyro_param(self, msg: dict[str, Any]) -> None:
        value = msg["args"][-1]  # the initial one, if the statement has one
        if isinstance(value, nn.Parameter):
            msg.update(value=value, done=True, stop=True)


class _Watch:
    """Looks for a loss that is not finite, without making an accelerator wait.

    On a CPU at once. Elsewhere the figures are copied in the background and looked at when they have long arrived.
    """

    delay = 100

    def __init__(self, device: torch.device) -> None:
        self.background = device.type == "cuda"
        self.pending: deque[tuple[int, list[str], Tensor, torch.cuda.Event]] = deque()

    def look(self, step: int, report: Report) -> None:
        figures = report.figures()
        numbers = torch.stack(list(figures.values()))
        if not self.background:
            _refuse_unless_finite(step, list(figures), numbers)
            return
        arrived = torch.empty(numbers.shape, dtype=numbers.dtype, pin_memory=True)
        arrived.copy_(numbers, non_blocking=True)
        event = torch.cuda.Event()
        event.record()
        self.pending.append((step, list(figures), arrived, event))
        if len(self.pending) > self.delay:
            self._next()

    def finish(self) -> None:
        while self.pending:
            self._next()

    def _next(self) -> None:
        step, names, numbers, event = self.pending.popleft()
        event.synchronize()
        _refuse_unless_finite(step, names, numbers)


def _refuse_unless_finite(step: int, names: list[str], numbers: Tensor) -> None:
    if numbers.isfinite().all():
        return
    bad = {name: number for name, number in zip(names, numbers.tolist(), strict=True) if not math.isfinite(number)}
    terms = [f"{name.removeprefix('term/')} = {number:g}" for name, number in bad.items() if name.startswith("term/")]
    sites = [name.split("/")[1] for name in bad if name.startswith(("reconstruction/", "kl/"))]
    raise FloatingPointError(
        f"step {step}: the loss is not finite: term {', '.join(terms) or 'none by itself'}; "
        f"site {', '.join(sites) or 'none'}. Lower the learning rate, or look at the data of this batch"
    )
