"""Training by several processes, started by torchrun: each takes its shard of every batch.

    torchrun --nproc-per-node=2 -m zoo train joint-vae/mnist

The objective is that of the whole batch (see `zoo.ranks`), so training is that of one process, except that each process
draws its own random numbers.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as distributed
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel

from zoo.lab.data import Batch
from zoo.lab.training.tensor_pass import is_hooked


class LostProcess(ChildProcessError):
    """One of several processes ended, so the others cannot continue."""


def started() -> tuple[int, int]:
    """The rank of this process and the number of processes that torchrun started; (0, 1) without it."""
    return int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))


def launcher(count: int) -> list[str]:
    """The beginning of a command that runs the zoo in so many processes."""
    return [*(["python"] if count == 1 else ["torchrun", f"--nproc-per-node={count}"]), "-m", "zoo"]


@contextmanager
def joined(device: str | None = None) -> Iterator[int]:
    """Connects the processes that torchrun started, and yields the rank of this one; 0 without torchrun.

    By NCCL where each process of this machine has a GPU of its own, else by Gloo.

    Args:
        device: where they train; on GPUs where there are some when not given.

    Raises:
        LostProcess: another process ended within the block.
    """
    rank, count = started()
    if count == 1:
        yield 0
        return
    local = int(os.environ.get("LOCAL_RANK", rank))
    here = int(os.environ.get("LOCAL_WORLD_SIZE", count))  # not the rank, so that all choose the same
    on_gpus = torch.cuda.device_count() >= here and (device is None or torch.device(device).type == "cuda")
    if on_gpus:
        torch.cuda.set_device(local)
    distributed.init_process_group("nccl" if on_gpus else "gloo")
    lost = False
    try:
        yield rank
    except RuntimeError as error:
        lost = _lost(error)
        if lost:
            raise LostProcess(
                f"process {rank} of {count} lost the connection to another one, which ended; the run resumes from its "
                "last checkpoint with the same torchrun and train --resume FOLDER"
            ) from error
        raise
    finally:
        if not lost:  # leaving the group of a lost process can wait for it forever (Gloo in PyTorch 2.6)
            distributed.destroy_process_group()


def check_shards(batch_size: int, count: int) -> None:
    """Refuses a batch that the processes cannot divide.

    Raises:
        ValueError: the batch is not a multiple of the number of processes.
    """
    if batch_size % count:
        nearest = max(1, round(batch_size / count)) * count
        raise ValueError(
            f"a batch of {batch_size} cannot be divided equally by {count} processes: use a batch size of {nearest}, "
            "or another --nproc-per-node"
        )


def group() -> tuple[int, int]:
    """The rank of this process and the number of processes within `joined`; (0, 1) outside of it."""
    if not (distributed.is_available() and distributed.is_initialized()):
        return 0, 1
    return distributed.get_rank(), distributed.get_world_size()


def check_group() -> None:
    """Refuses to share batches where no other processes are connected.

    Raises:
        ValueError: `torch.distributed` has no default group.
    """
    if not (distributed.is_available() and distributed.is_initialized()):
        raise ValueError(
            "shards=True needs processes that share the batches: start them with torchrun, and train within "
            "zoo.lab.training.processes.joined()"
        )


def check_programs(*programs: nn.Module) -> None:
    """Refuses networks whose result for one datapoint depends on the other datapoints of its process.

    Raises:
        ValueError: a program has a batch normalisation over the shard of one process.
    """
    for program in programs:
        for name, module in program.named_modules():
            if isinstance(module, _BatchNorm) and not isinstance(module, nn.SyncBatchNorm):
                raise ValueError(
                    f"{type(program).__name__}.{name} is a {type(module).__name__}, which would normalise each "
                    "process's shard by itself: train this pair in one process, or on GPUs with nn.SyncBatchNorm"
                )


def check_buffers(*programs: nn.Module) -> None:
    """Refuses buffers that a pass has left different on the ranks, such as running averages over each one's shard.

    Raises:
        ValueError: a buffer differs between ranks.
    """
    for program in programs:
        for name, buffer in program.named_buffers():
            of_ranks = [torch.empty_like(buffer) for _ in range(distributed.get_world_size())]
            distributed.all_gather(of_ranks, buffer.contiguous())
            if not all(torch.equal(one, of_ranks[0]) for one in of_ranks):
                raise ValueError(
                    f"{type(program).__name__}.{name} depends on the shard of each process after a pass, so the "
                    "processes would train different networks: train this pair in one process"
                )


def averaging(program: nn.Module) -> tuple[nn.Module, int]:
    """The program with gradients that are averaged over the processes, and their number.

    Raises:
        ValueError: a parameter has a hook on its gradient.
    """
    if any(map(is_hooked, program.parameters())):
        raise ValueError(
            "a parameter has a hook on its gradient, such as a clamp, which each process would apply to its own shard: "
            "change gradients in a hook of the optimiser (register_step_pre_hook), or train in one process"
        )
    return DistributedDataParallel(program, static_graph=True), distributed.get_world_size()


def own_shard(batch: Batch) -> Batch:
    """The part of a batch that belongs to this process: the ranks take consecutive parts of one size.

    Raises:
        ValueError: the processes cannot divide the batch.
    """
    rank, count = group()
    check_shards(len(batch.x), count)

    def part(whole: Tensor) -> Tensor:
        return whole.chunk(count)[rank]

    return Batch(part(batch.x), None if batch.y is None else part(batch.y), part(batch.index))


def agree(number: int) -> int:
    """The number that rank 0 has, on all ranks."""
    device = "cuda" if distributed.get_backend() == "nccl" else "cpu"
    agreed = torch.tensor(number, device=device)
    distributed.broadcast(agreed, src=0)
    return int(agreed)


def from_all(value: Any) -> list[Any]:
    """The value of every rank, in their order."""
    values = [None] * distributed.get_world_size()
    distributed.all_gather_object(values, value)
    return values


def _lost(error: RuntimeError) -> bool:
    """Whether an error means that another process is gone."""
    said = str(error).lower()
    return isinstance(error, (distributed.DistBackendError, distributed.DistNetworkError)) or any(
        word in said for word in ("connection closed by peer", "connection reset by peer", "broken pipe", "gloo")
    )
