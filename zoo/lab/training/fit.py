"""The training loop, a generator: the body of the caller's `for` takes the place of callbacks."""

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from itertools import chain
from operator import length_hint
from os import environ

import pyro
import torch
from pyro import poutine
from torch import Tensor, nn
from tqdm.auto import tqdm

from zoo import ranks
from zoo.arguments import POSITIVE, checked, number_from, shown
from zoo.lab.data import Batch
from zoo.lab.device import find_device, fork_random_state
from zoo.lab.isolation import OwnParameters
from zoo.lab.training.adversary import Adversary, sample
from zoo.lab.training.check_arguments import (
    check_batch,
    check_call,
    check_gradients,
    check_optimizer,
    check_options,
    check_owned,
    check_pair,
    check_switches,
    check_trainable,
    iterate,
)
from zoo.lab.training.compiled import Compiled
from zoo.lab.training.pair_loss import PairLoss
from zoo.lab.training.precision import Networks, Precision, check_precision, reduced_matmul_precision
from zoo.lab.training.processes import averaging, check_buffers, check_group, check_programs, own_shard
from zoo.report import Report
from zoo.termwise import TermwiseELBO, observed

Optimizer = Callable[..., torch.optim.Optimizer]


@checked(lr=POSITIVE)
def adam(parameters: Iterable[nn.Parameter], *, lr: float) -> torch.optim.Optimizer:
    """Adam (Kingma & Ba 2015, arXiv:1412.6980), all parameters in one kernel.

    Raises:
        TypeError: parameters are not some of a module's.
        ValueError: none of them requires a gradient.
    """
    trained = list(parameters)
    if not trained or not all(isinstance(p, Tensor) for p in trained):
        raise TypeError(
            f"adam: parameters must be some of a module's, as in model.parameters(), got {shown(parameters)}"
        )
    if not any(p.requires_grad for p in trained):
        raise ValueError(
            f"adam: none of the {len(trained)} parameters requires a gradient: unfreeze some; got {shown(parameters)}"
        )
    return torch.optim.Adam(trained, lr=lr, fused=True)


def fit(
    model: nn.Module,
    guide: nn.Module,
    elbo: TermwiseELBO,
    batches: Iterable[Batch],
    *,
    lr: float | None = None,
    optimizer: Optimizer | torch.optim.Optimizer = adam,
    device: str | torch.device | None = None,
    compile: bool = False,
    start: int = 0,
    adversary: Adversary | None = None,
    shards: bool = False,
    precision: Precision = "float32",
    progress: bool = True,
) -> Iterator[tuple[int, Report]]:
    """Trains the pair, one step per batch, and yields after each the number of steps taken and the pass's report.

        for step, report in fit(model, guide, elbo, data.batches(64, seed=0, steps=10_000), lr=5e-4):
            elbo.beta = ramp(step, 0.0, 4.0, over=5_000)     # a schedule: the next step sees it

    The report's numbers stay on the device until they are read. Before training, the pair runs once on the first batch
    with Pyro's validation on, and so it does on the first batch without labels where others have them, or with them
    where others have none; the steps run without validation. Random state, buffers and running statistics are restored
    after such a trial run.

    Args:
        model, guide: the pair, moved to the device in place.
        elbo: the objective.
        batches: (x, y or None, index); the pair is called with y where it is not None. Training ends with the batches.
        lr: the learning rate.
        optimizer: function of parameters and lr that returns an optimiser, e.g. `functools.partial(torch.optim.Adam,
            amsgrad=True)`; or an existing optimiser, without lr, for a resumed run (see `zoo.lab.runs.checkpoint`). If
            it also holds parameters of other modules, their gradients are cleared, so that no step changes them.
        device: where to train; when not given, a GPU if there is one.
        compile: whether to trace and compile the step, which removes Pyro's overhead: see
            `zoo.lab.training.compiled.Compiled`.
        start: the number of steps taken before.
        adversary: learns the density ratio that `zoo.elbos.FactorVAE` reads: the pair is trained on the first half of
            each batch, and the adversary then takes one step on the guide's samples for the second half.
        shards: whether the processes of `torch.distributed`'s default group share each batch, and each is given the
            whole of it. Terms, report and gradients are those of the whole batch.
        precision: "float32"; "bf16", networks in bfloat16 and everything else in float32; or "medium", factors of
            matrix products in bfloat16 where the hardware is faster with it: see `zoo.lab.training.precision`.
        progress: whether to show a progress bar; the environment variable TQDM_DISABLE=1 hides it, too.

    Raises:
        TypeError, ValueError: an argument is invalid, or gradients are disabled (raised when `fit` is called); a batch
            is not a `Batch`, or too small to halve; every parameter is frozen; the optimiser's step needs a closure;
            or, from the trial run, pair, objective and data do not fit.
        FloatingPointError: the loss is not finite; the message names step, term and site. On a CPU the optimiser takes
            no step with it.
    """
    check_pair(model, guide, elbo)
    check_options(elbo, lr=lr, optimizer=optimizer, compile=compile, start=start, adversary=adversary)
    check_switches(shards=shards, progress=progress)
    check_precision(precision, model, guide)
    check_gradients()
    if shards:
        check_group()
        check_programs(model, guide)
        if compile or adversary:
            raise ValueError("shards=True trains eagerly and without an adversary: leave out compile and adversary")
    found = find_device(device)
    read = map(own_shard, map(check_batch, iterate(batches))) if shards else iterate(batches)
    steps = _steps(model, guide, elbo, read, lr, optimizer, found, compile, start, adversary, shards, precision)
    if not progress or environ.get("TQDM_DISABLE"):  # tqdm's bar for notebooks ignores its own variable
        return steps
    return _with_bar(steps, length_hint(batches) or None, start)


def _with_bar(steps: Iterator[tuple[int, Report]], count: int | None, start: int) -> Iterator[tuple[int, Report]]:
    """The steps, under a bar that counts them; where the number of batches is unknown the bar has no end."""
    with tqdm(total=count and start + count, initial=start, unit=" steps", dynamic_ncols=True) as bar:
        for step in steps:
            yield step
            bar.update()


def _steps(
    model: nn.Module,
    guide: nn.Module,
    elbo: TermwiseELBO,
    batches: Iterator[Batch],
    lr: float | None,
    optimizer: Optimizer | torch.optim.Optimizer,
    device: torch.device,
    compile: bool,
    start: int,
    adversary: Adversary | None,
    shards: bool,
    precision: Precision,
) -> Iterator[tuple[int, Report]]:
    check_gradients()  # where the steps are taken, which may be elsewhere
    try:
        first = next(batches)
    except StopIteration:
        raise ValueError("there is no batch to train on: batches is empty") from None
    networks = Networks(model, guide) if precision == "bf16" else None
    with networks.watched() if networks else nullcontext():
        parameters = prepare(model, guide, elbo, first, device, shards=shards)
    check_trainable(parameters)
    if not isinstance(optimizer, torch.optim.Optimizer):
        optimizer = optimizer(parameters, lr=lr)
    check_optimizer(optimizer, parameters)
    trained = {id(parameter) for parameter in parameters}
    others = [p for group in optimizer.param_groups for p in group["params"] if id(p) not in trained]
    pair_loss = PairLoss(elbo(model, guide), shards, networks)
    program, count = averaging(pair_loss) if shards else (pair_loss, 1)

    def eager(*args: Tensor, **kwargs: Tensor) -> tuple[Tensor, Report]:
        for parameter in parameters:
            parameter.grad = None
        with pair_loss.as_in_training(device):
            loss = program(*args, **kwargs)
            (loss * count if shards else loss).backward()  # gradients of shards add up, and are averaged here
        return loss.detach(), elbo.report()

    # For batches with labels, and for those without: a resumed run then compiles the steps that it compiled before.
    passes = {labelled: Compiled(pair_loss, elbo, eager) if compile else eager for labelled in (True, False)}
    watch, tried = _Watch(device), {first.y is None}
    for step, batch in enumerate(chain([first], batches), start=start + 1):
        batch = _to(check_batch(batch), device)
        if (batch.y is None) not in tried:  # with labels the guide draws other sites than without
            tried.add(batch.y is None)
            modes = {part: part.training for part in chain(model.modules(), guide.modules())}
            prepare(model, guide, elbo, batch, device, shards=shards)
            for part, training in modes.items():  # as of a batch norm that the loop has frozen
                part.training = training
        if adversary:
            batch, own = _halves(batch)
        args, kwargs = batch.arguments()
        for parameter in others:  # such as another pair's, whose old gradients a shared optimiser would use again
            parameter.grad = None
        with reduced_matmul_precision() if precision == "medium" else nullcontext():
            loss, report = passes[batch.y is not None](*args, **kwargs)
        watch.look(step, loss, report)
        optimizer.step()
        if adversary:
            args, kwargs = own.arguments()
            with pyro.validation_enabled(False), OwnParameters():
                adversary.step(*sample(guide, *args, **kwargs))
        yield step, report
    watch.finish()


def prepare(
    model: nn.Module,
    guide: nn.Module,
    elbo: TermwiseELBO,
    batch: Batch,
    device: str | torch.device,
    *,
    shards: bool = False,
) -> list[nn.Parameter]:
    """Moves the pair to the device, into training mode, and runs it once on the batch; returns its parameters.

    Networks that the objective reads are moved with it. The model runs alone first, so that an error names the site
    that does not fit. An autoguide has no parameters before its first run, so the optimiser has to be built after this
    one. The run has no other effect.

    Raises:
        ValueError, TypeError: pair, objective and data do not fit; or the model observes nothing of the batch.
    """
    check_pair(model, guide, elbo)
    check_switches(shards=shards)
    check_call(model, guide, check_batch(batch))
    device = find_device(device)
    model.to(device).train()
    guide.to(device).train()
    for network in vars(elbo).values():  # such as FactorVAE's log_ratio, which is in neither of the pair
        if isinstance(network, nn.Module):
            network.to(device)
    batch = _to(batch, device)
    args, kwargs = batch.arguments()
    state = elbo.state_dict()
    parts = chain(model.modules(), guide.modules())
    buffers = [(p._buffers, name, b, b.clone()) for p in parts for name, b in p._buffers.items() if b is not None]
    with (
        fork_random_state(batch.x.device),
        poutine.block(),
        pyro.validation_enabled(),
        torch.no_grad(),
        OwnParameters() as own,
        ranks.sharing() if shards else nullcontext(),
    ):
        trace = poutine.trace(model).get_trace(*args, **kwargs)
        if not observed(trace):
            raise ValueError(
                f"the model {type(model).__name__} observes nothing of the batch, so there would be no reconstruction "
                "to train on: the order is fit(model, guide, elbo, batches)"
            )
        trace.compute_log_prob()
        with torch.enable_grad():
            elbo.differentiable_loss(model, guide, *args, **kwargs)
        check_owned(own.strays(model, guide))
        if shards:
            check_buffers(model, guide)
        for of_module, name, buffer, before in buffers:
            buffer.copy_(before)
            of_module[name] = buffer  # which the run may have replaced
    elbo.load_state_dict(state)
    return list(elbo(model, guide).parameters())


@checked(over=number_from(1))
def ramp(step: int, start: float, end: float, *, over: int) -> float:
    """The value at `step` of a line from `start` at step 0 to `end` at step `over`, constant from there.

    Raises:
        TypeError, ValueError: over is not a positive whole number, or start or end is not finite.
    """
    return start + (end - start) * min(step / over, 1.0)


def _halves(batch: Batch) -> tuple[Batch, Batch]:
    """The pair's half and the adversary's."""
    half = len(batch.x) // 2
    if half < 2:
        raise ValueError(
            f"an adversary needs its own half of each batch, at least 2 datapoints; got {len(batch.x)} in all"
        )
    first, second = slice(half), slice(half, None)
    pair, own = (
        Batch(batch.x[part], None if batch.y is None else batch.y[part], batch.index[part]) for part in (first, second)
    )
    return pair, own


def _to(batch: Batch, device: torch.device) -> Batch:
    y = None if batch.y is None else batch.y.to(device, non_blocking=True)
    return Batch(batch.x.to(device, non_blocking=True), y, batch.index.to(device, non_blocking=True))


class _Watch:
    """Detects a loss that is not finite, without synchronising with an accelerator.

    On a CPU it is checked immediately; elsewhere it is copied asynchronously and checked some steps later.
    """

    delay = 100

    def __init__(self, device: torch.device) -> None:
        self.background = device.type == "cuda"
        self.pending: deque[tuple[int, Report, Tensor, torch.cuda.Event]] = deque()

    def look(self, step: int, loss: Tensor, report: Report) -> None:
        if not self.background:
            refuse_unless_finite(step, loss, report)
            return
        arrived = torch.empty(loss.shape, dtype=loss.dtype, pin_memory=True)
        arrived.copy_(loss, non_blocking=True)
        event = torch.cuda.Event()
        event.record()
        self.pending.append((step, report, arrived, event))
        if len(self.pending) > self.delay:
            self._next()

    def finish(self) -> None:
        while self.pending:
            self._next()

    def _next(self) -> None:
        step, report, arrived, event = self.pending.popleft()
        event.synchronize()
        refuse_unless_finite(step, arrived, report)


def refuse_unless_finite(step: int, loss: Tensor, report: Report) -> None:
    """Checks a step's loss, which waits for the device.

    Raises:
        FloatingPointError: the loss is not finite; the message names step, term and site.
    """
    if math.isfinite(loss.item()):
        return
    numbers = {name: figure.item() for name, figure in report.figures().items()}
    bad = {name: number for name, number in numbers.items() if not math.isfinite(number)}
    terms = [f"{name.removeprefix('term/')} = {number:g}" for name, number in bad.items() if name.startswith("term/")]
    sites = [name.split("/")[1] for name in bad if name.startswith(("reconstruction/", "kl/"))]
    raise FloatingPointError(
        f"step {step}: the loss is not finite: term {', '.join(terms) or 'none by itself'}; "
        f"site {', '.join(sites) or 'none'}. Lower the learning rate, or check the data of this batch"
    )
