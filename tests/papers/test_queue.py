"""`reproduce --queue`: what it leaves when it is stopped, and what the next one makes up for."""

import json
import shutil
import signal
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from matplotlib.figure import Figure
from tqdm import tqdm

from tests import small_recipe
from zoo import papers
from zoo.lab.plots import Picture
from zoo.lab.runs.interrupt import Stopped
from zoo.lab.trials import queue
from zoo.lab.trials.reproduction import Claim, Quantity, Reproduction
from zoo.papers.recipes import RECIPES
from zoo.papers.reproductions import REPRODUCTIONS

pytestmark = pytest.mark.usefixtures("_quick_pictures", "two")

NAMES = ["first", "second"]


@pytest.fixture
def two(monkeypatch, tmp_path):
    """Two reproductions of a few steps; a queue runs its trials in this process, and stops at the file "stop"."""

    def measure(trial):
        return {"seed": trial.train("small", steps=3).settings.seed}

    def pictures(done):
        done["vae"][-1].open()
        return {"seeds.png": Picture(Figure(), f"{len(done['vae'])} seeds")}

    def in_this_process(run, work, on, **_):
        for measure, trial in work:
            if Path("stop").exists() and trial.folder.parent.name.startswith("second"):
                raise Stopped("stopped by SIGINT", signal.SIGINT)
            yield (measure, trial), run((measure, trial))

    quantities = {"seed": Quantity("the seed", "high")}
    for name in NAMES:
        toy = Reproduction(name, "nobody", {"vae": measure}, quantities, best=("vae", "seed"), pictures=[pictures])
        monkeypatch.setitem(REPRODUCTIONS, name, toy)
    monkeypatch.setitem(RECIPES, "small", small_recipe.RECIPES["small"])
    monkeypatch.setattr(queue, "in_parallel", in_this_process)
    monkeypatch.chdir(tmp_path)
    torch.set_default_dtype(torch.float32)


def reproduce(*names, seeds=1):
    where = {"out": Path("out"), "runs": Path("runs"), "weights": Path("kept"), "device": "cpu", "jobs": 1}
    return papers.reproduce_queue(names or NAMES, budget="short", seeds=seeds, **where)


def drawn(name):
    """The captions of the result's pictures, all of which are there."""
    captions = json.loads(Path(f"out/{name}.json").read_text())["pictures"]
    assert all((Path("out") / picture).is_file() for picture in captions)
    return list(captions.values())


def kept(name):
    """The seed of the weights."""
    return papers.pretrained(name, folder=Path("kept")).about["seed"]


def test_what_finished_before_a_stop_has_its_pictures_and_weights(capsys):
    """Before: they were never drawn and never kept, however often the command was given again."""
    Path("stop").touch()
    with pytest.raises(Stopped, match="1 of 2 trials finished"):
        reproduce()
    assert (drawn("first"), kept("first")) == (["1 seeds"], 0)
    assert "no weights of second are kept: no trial of vae is finished" in capsys.readouterr().err
    Path("stop").unlink()
    assert list(reproduce().results) == ["second"]  # the first one is complete
    assert (drawn("second"), kept("second")) == (["1 seeds"], 0)


def test_what_a_killed_queue_left_out_is_made_up_for():
    reproduce("first", seeds=2)
    result = json.loads(Path("out/first.json").read_text())
    shutil.rmtree("kept")
    shutil.rmtree("out/first")
    Path("out/first.json").write_text(json.dumps({**result, "pictures": {}}))
    done = reproduce("first", seeds=2)
    assert (list(done.results), done.finished) == (["first"], [])
    assert (drawn("first"), kept("first")) == (["2 seeds"], 1)
    (record, _) = result["variants"]["vae"]
    Path("out/first.json").write_text(json.dumps({**result, "variants": {"vae": [record]}}))
    assert list(reproduce("first", seeds=2).results) == ["first"]
    assert drawn("first") == ["2 seeds"]
    written = Path("out/first.json").stat().st_mtime_ns
    assert reproduce("first", seeds=2).results == {}
    assert Path("out/first.json").stat().st_mtime_ns == written


def test_weights_of_an_earlier_best_seed_are_replaced():
    reproduce("first")
    shutil.copytree("kept", "before")
    reproduce("first", seeds=2)
    shutil.rmtree("kept")
    shutil.move("before", "kept")
    reproduce("first", seeds=2)
    assert kept("first") == 1


def test_it_says_why_a_reproduction_has_no_weights(capsys):
    reproduce("first")
    shutil.rmtree("runs")
    shutil.rmtree("kept")
    done = reproduce("first")
    assert done.failures == []
    said = capsys.readouterr().err.splitlines()[-1]
    assert said == "no weights of first are kept: the run of its best seed, 0, is not on this machine"


def test_a_result_over_runs_of_a_gpu_is_drawn_on_a_machine_without_one(monkeypatch):
    """Before: there is no device 'cuda' here, and no result."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    reproduce("first")
    path = Path("runs/first-short/seed-0/settings.json")
    settings = json.loads(path.read_text())
    path.write_text(json.dumps({**{k: v for k, v in settings.items() if k != "digest"}, "device": "cuda"}))
    shutil.rmtree("out")
    shutil.rmtree("kept")
    with pytest.warns(RuntimeWarning, match="trained on cuda, which is not on this machine, is opened on the CPU"):
        assert reproduce("first").failures == []
    assert (drawn("first"), kept("first")) == (["1 seeds"], 0)


def test_a_picture_that_fails_does_not_cost_the_result(monkeypatch):
    def broken(done):
        raise ValueError("no such unit")

    monkeypatch.setitem(REPRODUCTIONS, "first", replace(REPRODUCTIONS["first"], pictures=[broken]))
    with pytest.raises(ValueError, match="no such unit"):
        papers.reproduce("first", out=Path("out"), runs=Path("runs"), budget="short", seeds=1, device="cpu")
    result = json.loads(Path("out/first.json").read_text())
    assert ([record["seed"] for record in result["variants"]["vae"]], result["pictures"]) == ([0], {})


def test_a_claim_that_cannot_be_checked_does_not_end_the_queue(monkeypatch):
    """Before: an error of a kind that was not in a list ended the queue, and with it the trials that still ran."""

    def broken(results):
        return results.mean("vae", "seed") / 0 > 1, ""

    monkeypatch.setitem(REPRODUCTIONS, "first", replace(REPRODUCTIONS["first"], claims=[Claim("broken", broken)]))
    done = reproduce()
    (failure,) = done.failures
    assert failure.startswith("first: ZeroDivisionError: float division by zero (test_queue.py, line ")
    assert len(done.finished) == 2
    assert drawn("second") == ["1 seeds"]


def test_weights_that_cannot_be_kept_do_not_end_the_queue(capsys):
    Path("kept").write_text("a file in the way of the folder")
    done = reproduce()
    assert [failure.partition(":")[0] for failure in done.failures] == NAMES
    assert [drawn(name) for name in NAMES] == [["1 seeds"]] * 2
    assert "failed: second: " in capsys.readouterr().err


def test_messages_that_nobody_can_read_do_not_cost_the_others_pictures_and_weights(monkeypatch):
    """Before: after Ctrl-C had ended the reader, as tee, the first message ended the queue."""

    def broken(*_, **__):
        raise BrokenPipeError(32, "Broken pipe")

    def undrawn(done):
        raise ValueError("no such unit")

    first = replace(REPRODUCTIONS["first"], best=None, pictures=[undrawn])  # no weights are kept, and it says why
    monkeypatch.setitem(REPRODUCTIONS, "first", first)
    monkeypatch.setattr(tqdm, "write", broken)
    assert reproduce().failures == ["first: no such unit"]
    assert (drawn("second"), kept("second")) == (["1 seeds"], 0)
