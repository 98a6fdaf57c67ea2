"""What the benchmark compares is the same training: same networks, same loss, same optimiser. Nothing is timed here."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision import datasets

from tests.processes import processes
from zoo.cli.main import main
from zoo.lab.data import Dataset, Split
from zoo.studies import peak_memory
from zoo.studies import step_time as bench

CPU = torch.device("cpu")


def trained(make, task, monkeypatch):
    """The weights after three steps on draws that are alike for each variant."""
    kept = {}
    monkeypatch.setattr(bench.Task, "pair", lambda self: kept.setdefault("pair", pair(self)))
    step = make(task, CPU)
    for seed, batch in enumerate(task.data().batches(bench.BATCH, seed=1, steps=3)):
        torch.manual_seed(seed)
        step(batch)
    model, guide = kept["pair"]
    return [p.detach().clone() for p in (*model.parameters(), *guide.parameters())]


pair = bench.Task.pair


@pytest.mark.parametrize("task", [bench.Task("small", "mlp", 5, width=7), bench.TASKS["conv"]], ids=["mlp", "conv"])
def test_hand_written_and_fit_take_the_same_steps(task, monkeypatch):
    by_hand = trained(bench.by_hand, task, monkeypatch)
    by_fit = trained(bench.by_fit, task, monkeypatch)
    untrained = [p for module in pair(task) for p in module.parameters()]
    torch.testing.assert_close(by_fit, by_hand)
    assert not any(torch.equal(after, before) for after, before in zip(by_hand, untrained, strict=True))


def test_fit_in_bf16_takes_steps_near_those(monkeypatch):
    """Adam's first steps have the gradients' signs, so that a step is off by twice the rate where a sign differs."""
    torch.set_default_dtype(torch.float32)
    task = bench.Task("small", "mlp", 5, width=7)
    by_fit, in_bf16 = (trained(make, task, monkeypatch) for make in (bench.by_fit, bench.by_bf16_fit))
    apart = [(a - b).abs() for a, b in zip(in_bf16, by_fit, strict=True)]
    assert max(d.max().item() for d in apart) <= 2 * 3 * bench.LR * 1.01
    assert 0 < torch.cat([d.flatten() for d in apart]).mean() < 0.3 * bench.LR


def test_svi_trains_the_same_pair(monkeypatch):
    # Its KL is sampled, so after a step of Adam, which is about the learning rate long, it is only near.
    task = bench.Task("small", "mlp", 5, width=7)
    by_hand, by_svi = (trained(make, task, monkeypatch) for make in (bench.by_hand, bench.by_svi))
    untrained = [p for module in pair(task) for p in module.parameters()]
    apart = max((a - b).abs().max().item() for a, b in zip(by_svi, by_hand, strict=True))
    moved = min((a - b).abs().max().item() for a, b in zip(by_svi, untrained, strict=True))
    assert apart <= 2 * 3 * bench.LR * 1.01
    assert moved > 0.5 * bench.LR


def test_the_network_is_the_one_on_the_label():
    model, guide = bench.TASKS["mlp"].pair()
    widths = [m.out_features for m in guide.trunk.modules() if isinstance(m, torch.nn.Linear)]
    assert widths == [100, 100]
    assert guide.layers["z"][0].out_features == 2 * 10
    widths = [m.out_features for m in model.decoder.modules() if isinstance(m, torch.nn.Linear)]
    assert widths == [100, 100, 784]
    model, guide = bench.TASKS["conv"].pair()
    channels = [m.out_channels for m in guide.trunk.modules() if isinstance(m, torch.nn.Conv2d)]
    assert channels == [32, 64, 64]


def peaks(folder):
    """In a process of its own: a peak is of a whole process, and other tests' would hide this one."""
    torch.set_num_threads(1)
    with (folder / "printed").open("w") as sys.stderr:
        small = bench._peak(bench.TASKS["mlp"], bench.by_hand, CPU)
        held = torch.ones(512 * 2**20, dtype=torch.uint8)
        more = bench._peak(bench.TASKS["mlp"], bench.by_hand, CPU)
    (folder / "said").write_text(json.dumps([small, more, int(held[-1])]))


def test_peak_memory_rises_with_what_is_held(tmp_path):
    process = processes.Process(target=peaks, args=(tmp_path,))
    process.start()
    process.join()
    assert process.exitcode == 0
    small, more, held = json.loads((tmp_path / "said").read_text())
    assert more >= small + 400  # of 512 MiB; garbage of the first may have been freed since
    assert held == 1


def test_epochs_per_minute_are_of_sets_larger_than_those_that_the_pairs_are_built_for(monkeypatch):
    torch.set_default_dtype(torch.float32)
    images = np.random.default_rng(0).integers(0, 256, (2_000, 1, 28, 28), np.uint8)
    data = Dataset("mnist", images)
    items = [(torch.from_numpy(image / np.float32(255)), 0) for image in images]
    monkeypatch.setattr(bench, "load", lambda name, folder: Split(data, data))
    monkeypatch.setattr(datasets, "MNIST", lambda *_, **__: items)
    monkeypatch.setattr(bench, "by_compiled_fit", bench.by_fit)
    rates = bench.epochs_per_minute(CPU, None, turns=1, steps=2)
    assert len(data) > len(bench.TASKS["mlp"].data())
    assert list(rates) == [
        f"{bench.BASELINE}, DataLoader",
        f"{bench.BASELINE}, zoo's batches",
        "fit, zoo's batches",
        "fit(compile=True), zoo's batches",
    ]
    assert all(rate > 0 for rate in rates.values())


def test_where_a_peak_cannot_be_read_it_is_left_out_with_its_reason(monkeypatch):
    monkeypatch.setattr(peak_memory, "Path", lambda name: Path("nowhere"))
    monkeypatch.setattr(peak_memory.sys, "platform", "win32")
    monkeypatch.setattr(peak_memory.platform, "system", lambda: "Windows")
    with pytest.raises(
        NotImplementedError, match=r"from /proc on Linux and by getrusage on macOS, and Windows has nei"
    ):
        peak_memory.peak_memory()


def test_a_table_has_each_figure_and_its_ratio():
    shown = bench.table("a network", "ms per step", {"by hand": 2.0, "ours": 3.0}, baseline="by hand").splitlines()
    assert [line.split() for line in shown[2:]] == [
        ["ms", "per", "step", "ratio"],
        ["by", "hand", "2.000", "1.00"],
        ["ours", "3.000", "1.50"],
    ]


def test_the_command_shows_every_variant_and_says_what_is_left_out(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(bench, "TASKS", {"mlp": bench.Task("small", "mlp", 5, width=7)})
    few = {name: bench.VARIANTS[name] for name in (bench.BASELINE, "SVI, Trace_ELBO", "fit")}
    monkeypatch.setattr(bench, "VARIANTS", few)
    monkeypatch.setattr(bench, "IN_PROCESSES", {})
    monkeypatch.setattr(bench, "PAIRWISE_IN_PROCESSES", {})
    monkeypatch.setattr(
        bench, "PAIRWISE_TASKS", {"pairwise 16": bench.Task("pairs", "mlp", 5, width=7, z_dim=3, batch=16)}
    )
    eager = {name: bench.PAIRWISE[name] for name in ("ELBO", "HFVAE")}
    monkeypatch.setattr(bench, "PAIRWISE", eager)
    monkeypatch.setattr(bench, "megabytes", lambda task, device, variants: dict.fromkeys(variants, 2.0))
    monkeypatch.setattr(sys, "argv", ["zoo", "bench", "--turns", "2", "--steps", "1", "--data-dir", str(tmp_path)])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    said = capsys.readouterr().out
    assert all(said.count(f"\n{name}  ") == 2 for name in (*few, *eager))
    assert "epochs per minute are left out: data 'mnist'" in said
    bench.main(torch.device("cpu"), tmp_path, turns=1, steps=1, rows="pairwise")
    said = capsys.readouterr().out
    assert [said.count(f"\n{name}  ") for name in ("fit", "HFVAE")] == [0, 2]
    assert "epochs" not in said
