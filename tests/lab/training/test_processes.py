"""Several processes train together as one would, resume as one would, and end together."""

import os
import signal
import socket
from contextlib import contextmanager
from dataclasses import replace

import pytest
import torch
import torch.distributed as distributed
import torch.multiprocessing
from torch import nn

from tests.draws import Draws
from tests.pairs import NUM_DATA, images, vae_pair
from tests.pictures import without_pictures
from zoo.elbos import BetaTCVAE, PlainELBO
from zoo.lab.data import Batch
from zoo.lab.runs.train import Every, train
from zoo.lab.training import fit
from zoo.lab.training.processes import LostProcess, check_programs, check_shards, joined
from zoo.papers import configure

STEPS = 12


def connected(rank, count, port):
    """The environment that torchrun sets."""
    names = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": count, "MASTER_ADDR": "localhost", "MASTER_PORT": port}
    os.environ.update({name: str(value) for name, value in names.items()})
    torch.set_num_threads(1)
    return joined()


def run(function, *args, count=2):
    """`function(rank, count, port, *args)` in processes of their own."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    started = torch.multiprocessing.start_processes(
        function, (count, port, *args), nprocs=count, join=False, start_method="forkserver"
    )
    while not started.join(grace_period=30):  # where one has failed, the others have that long to say so
        pass


def three_steps(draws=None, shards=False):
    """Parameters and reports after three steps of Adam on one batch."""
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(0)
    model, guide = vae_pair()
    x = images(8)
    if shards:
        torch.manual_seed(10 + int(os.environ["RANK"]))
    objective = BetaTCVAE(beta=4.0, num_data=NUM_DATA)
    batches = [Batch(x, None, torch.arange(8))] * 3
    reports = []
    steps = fit(model, guide, objective, batches, lr=1e-2, device="cpu", shards=shards)
    with Draws(draws) as mode:
        for _, report in steps:
            reports.append(report.terms)
    return {"parameters": [*model.parameters(), *guide.parameters()], "terms": reports, "draws": mode.drawn}


def one_rank_of_three_steps(rank, count, port, folder):
    with connected(rank, count, port):
        torch.save(three_steps(shards=True), folder / f"{rank}.pt")


def test_steps_on_shards_are_those_on_the_whole_batch(tmp_path):
    run(one_rank_of_three_steps, tmp_path)
    parts = [torch.load(tmp_path / f"{rank}.pt", weights_only=False) for rank in range(2)]
    whole = three_steps([part["draws"] for part in parts])
    for part in parts:
        torch.testing.assert_close(part["terms"], whole["terms"], rtol=0, atol=1e-9)
        torch.testing.assert_close(part["parameters"], whole["parameters"], rtol=0, atol=1e-8)


class Running(nn.Module):
    """Counts its passes, and may keep a running mean of its input."""

    def __init__(self, keeps):
        super().__init__()
        self.keeps = keeps
        self.register_buffer("count", torch.zeros(()))
        self.register_buffer("mean", torch.zeros(7))

    def forward(self, h):
        self.count = self.count + 1
        if self.keeps:
            self.mean = 0.9 * self.mean + 0.1 * h.detach().mean(0)
        return h - self.mean


def a_running_mean(rank, count, port):
    with connected(rank, count, port):
        for keeps in (False, True):
            model, guide = vae_pair()
            guide.trunk.append(Running(keeps))
            batch = Batch(images(8), None, torch.arange(8))
            steps = fit(model, guide, PlainELBO(), [batch], lr=1e-2, device="cpu", shards=True, progress=False)
            if keeps:
                with pytest.raises(ValueError, match=r"Amortized\.trunk\.3\.mean depends on the shard of each process"):
                    next(steps)
            else:
                next(steps)


def test_running_averages_over_a_shard_are_refused():
    """Before: each rank went on with its own, and they trained different networks."""
    run(a_running_mean)


@contextmanager
def said(folder):
    """Keeps the message of a process that lost another one."""
    try:
        yield
    except LostProcess as error:
        (folder / "said").write_text(str(error))
        raise


def a_run(rank, count, port, folder, killed_at, resume):
    """Trains into the folder; rank 1 kills itself at a step."""
    settings, split, experiment = configure("joint-vae/digits", steps=STEPS, seed=3, device="cpu")
    schedule = experiment.schedule

    def killing(step, elbo):
        schedule(step, elbo)
        if rank == 1 and step == killed_at:
            os.kill(os.getpid(), signal.SIGKILL)

    every = Every.parse("4")
    with said(folder), without_pictures(), connected(rank, count, port):
        train(replace(experiment, schedule=killing), split, settings, folder, command="", every=every,
              progress=False, resume=resume)  # fmt: skip


def test_a_run_that_lost_a_process_resumes_to_the_same_numbers(tmp_path):
    undisturbed, killed = tmp_path / "undisturbed", tmp_path / "killed"
    for folder in (undisturbed, killed):
        folder.mkdir()
    run(a_run, undisturbed, None, False)
    with pytest.raises(Exception, match=r"SIGKILL"):
        run(a_run, killed, 7, False)
    assert not (killed / "summary.md").exists()
    assert "process 0 of 2 lost the connection to another one, which ended" in (killed / "said").read_text()
    run(a_run, killed, None, True)
    for name in ("terms.csv", "weights.safetensors"):
        assert (killed / name).read_bytes() == (undisturbed / name).read_bytes()
    settings, split, experiment = configure("joint-vae/digits", steps=STEPS, seed=3, device="cpu")
    (killed / "summary.md").unlink()
    with pytest.raises(ValueError, match=r"trained by 2 processes, and this is 1: resume it with torchrun --nproc"):
        train(experiment, split, settings, killed, command="", progress=False, resume=True)


def test_what_processes_cannot_share_is_refused(monkeypatch):
    with pytest.raises(
        ValueError, match="batch of 64 cannot be divided equally by 3 processes: use a batch size of 63"
    ):
        check_shards(64, 3)
    with pytest.raises(ValueError, match="batch of 2 cannot be divided equally by 4 processes: use a batch size of 4"):
        check_shards(2, 4)
    check_shards(64, 4)
    with pytest.raises(ValueError, match=r"Sequential\.1 is a BatchNorm1d.*train this pair in one process"):
        check_programs(nn.Linear(2, 2), nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)))
    model, guide = vae_pair()
    with pytest.raises(ValueError, match="shards=True needs processes that share the batches: start them with"):
        fit(model, guide, PlainELBO(), [], lr=1e-3, shards=True)
    monkeypatch.setattr(distributed, "is_initialized", lambda: True)
    with pytest.raises(ValueError, match="shards=True trains eagerly and without an adversary"):
        fit(model, guide, PlainELBO(), [], lr=1e-3, compile=True, shards=True)


def test_without_torchrun_there_is_one_process():
    with joined() as rank:
        assert rank == 0


@pytest.mark.parametrize(
    ("gpus", "here", "device", "backend"),
    [(2, 4, None, "gloo"), (2, 2, None, "nccl"), (2, 2, "cuda", "nccl"), (2, 2, "cpu", "gloo"), (0, 2, None, "gloo")],
)
def test_all_processes_of_a_machine_choose_the_same_backend(gpus, here, device, backend, monkeypatch):
    """Before: with 2 GPUs, ranks 0 and 1 of 4 chose nccl, and ranks 2 and 3 gloo, so that they waited for each other.

    And it was nccl on GPUs that a run on the CPU did not use.
    """
    chosen, own = [], []
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    monkeypatch.setattr(torch.cuda, "set_device", own.append)
    monkeypatch.setattr(distributed, "init_process_group", chosen.append)
    monkeypatch.setattr(distributed, "destroy_process_group", lambda: None)
    for rank in range(here):
        for name, value in {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": 4, "LOCAL_WORLD_SIZE": here}.items():
            monkeypatch.setenv(name, str(value))
        with joined(device) as joined_as:
            assert joined_as == rank
    assert chosen == [backend] * here
    assert own == (list(range(here)) if backend == "nccl" else [])
