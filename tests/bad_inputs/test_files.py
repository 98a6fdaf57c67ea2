"""Damaged, missing and strange files are refused by their name in one line, or mended where nothing is lost by it."""

import contextlib
import json
import random
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tests.bad_inputs.files import ACCEPTED, DAMAGE, FIELDS, KINDS, READERS, flip
from tests.bad_inputs.judge import complaint
from tests.pictures import without_pictures
from tests.small_recipe import RECIPES
from zoo import papers
from zoo.lab.analysis.evaluate import Evaluation
from zoo.lab.data.cache import cached
from zoo.lab.runs.finished import configure, finished_run
from zoo.lab.runs.summary import write_kl
from zoo.lab.runs.train import train
from zoo.lab.trials.card import Claims
from zoo.lab.trials.result_file import read_result
from zoo.lab.trials.trial import Trial, run_trial
from zoo.papers.recipes import RECIPES as PAPERS
from zoo.papers.weights import keep
from zoo.studies.compatibility import matrix
from zoo.studies.guide_gap import comparison


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Iterator[Path]:
    """A folder with every file that READERS names."""
    there = tmp_path_factory.mktemp("files")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ZOO_DATA", "")
        patch.setenv("ZOO_CACHE", str(there / "cache"))
        patch.setattr(comparison, "RESULTS", comparison.RESULTS)
        torch.set_default_dtype(torch.float32)
        of_run, data, experiment = configure(PAPERS["beta-vae"], steps=100)
        (there / "run").mkdir()
        with without_pictures():
            train(replace(experiment, schedule=None), data, of_run, there / "run", command="zoo train", progress=False)
        keep("beta-vae", papers.open_run(there / "run"), there / "weights", {"command": "zoo reproduce"})
        run_trial(lambda trial: {"ELBO": -1.0}, Trial(0, "full", there / "trial", RECIPES))
        (there / "loose").mkdir()
        # Written here and not by a run, whose last digits depend on the processor: a bit of 8 makes it no digit.
        units, nats = ",".join(f"z[{d}]" for d in range(10)), ",".join(["0.1111111111111111"] * 10)
        (there / "loose" / "units.csv").write_bytes(f"step,{units}\r\n100,{nats}\r\n".encode())
        write_kl(Evaluation(3, {"x": -1.0}, {"z": torch.ones(2)}), there / "loose" / "kl.csv")
        (there / "results").mkdir()
        (there / "compare" / "stored").mkdir(parents=True)
        story = {"VAE": matrix.load()["VAE"]}  # one story, since the tables of all take a third of a second
        stored = {
            "results/result.json": papers.results()["joint-vae-mnist"].read_text(),
            "results/matrix.json": json.dumps(story, indent=1),
            "compare/stored/compare.json": next(comparison.RESULTS.glob("*/compare.json")).read_text(),
        }
        for name, text in stored.items():
            # Results change with every new run. Behind so many spaces, DAMAGE flips a bit of a space in each of them.
            (there / name).write_text(4 * len(text) * " " + text)
        for label in "ab":
            (there / "data" / "images" / label).mkdir(parents=True)
            for n in range(12):
                Image.fromarray(np.full((8, 8), 9 * n, np.uint8)).save(there / "data" / "images" / label / f"{n}.png")
        lines = [f"{label}/{n}.png,{n % 3}" for label in "ab" for n in range(12)]
        (there / "data" / "images" / "factors.csv").write_text("\n".join(["file,size", *lines]) + "\n")
        np.savez(there / "data" / "x.npz", x=np.arange(60, dtype=np.uint8).reshape(20, 3), y=np.arange(20) % 2)
        torch.save({"x": torch.rand(20, 3), "y": torch.arange(20) % 2}, there / "data" / "x.pt")
        raw = there / "data" / "MNIST" / "raw"
        raw.mkdir(parents=True)
        names = ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1")
        for name in names:
            (raw / f"{name}-ubyte").write_bytes(bytes(100))
        yield there


@contextlib.contextmanager
def instead(file: Path, content: bytes) -> Iterator[None]:
    """Puts other bytes in a file for a while."""
    before = file.read_bytes()
    file.write_bytes(content)
    try:
        yield
    finally:
        file.write_bytes(before)


@contextlib.contextmanager
def flipped(file: Path, at: int, bit: int) -> Iterator[None]:
    """Changes one bit of a file for a while, in its place."""
    with file.open("r+b", buffering=0) as opened:
        opened.seek(at)
        before = opened.read(1)
        opened.seek(at)
        opened.write(flip(before, 0, bit))
        try:
            yield
        finally:
            opened.seek(at)
            opened.write(before)


@contextlib.contextmanager
def replaced(file: Path, kind: str) -> Iterator[None]:
    """Puts something else in a file's place for a while."""
    aside = Path(tempfile.mkdtemp(), file.name)
    shutil.move(file, aside)
    try:
        if kind == "a folder":
            file.mkdir()
        elif kind == "a link to nothing":
            file.symlink_to("nowhere")
        elif kind == "a link to itself":
            file.symlink_to(file)
        elif kind == "a link into a file":
            file.symlink_to(aside / "x")
        yield
    finally:
        shutil.rmtree(file) if file.is_dir() and not file.is_symlink() else file.unlink(missing_ok=True)
        shutil.move(aside, file)
        aside.parent.rmdir()


def read(name: str, file: Path) -> str:
    """What is wrong with how a damaged file is refused."""
    torch.set_default_dtype(torch.float32)
    _, reader = READERS[name]
    return complaint(lambda: reader(file), (file.name, file.stem, file.parent.name), "")


def judged(name: str, how: str, why: str) -> str:
    if (name, how) in ACCEPTED:
        return "" if why == "accepted" else f"is refused, and ACCEPTED says that it is not: {why}"
    return why


@pytest.mark.parametrize("name", [name for name in READERS if name != "mnist"])
def test_whole_files_are_read(name, folder):
    file, reader = READERS[name]
    reader(folder / file)


@pytest.mark.parametrize("name", READERS)
def test_damaged_files(name, folder, count):
    file = folder / READERS[name][0]
    content, wrong = file.read_bytes(), {}
    for how, damage in DAMAGE.items():
        if damage(content) != content:
            with instead(file, damage(content)):
                wrong[how] = judged(name, how, read(name, file))
    for kind in KINDS:
        with replaced(file, kind):
            wrong[kind] = judged(name, kind, read(name, file))
    failed = {how: why for how, why in wrong.items() if why}
    count("files and run folders", "table", len(wrong), len(wrong) - len(failed))
    assert not failed, "\n".join(f"{file.name}, {how}: {why}" for how, why in failed.items())


WRONG = (None, 3, "x", [], {}, [3], [{}], {"x": 3}, [None], True)


@pytest.mark.parametrize("field", FIELDS)
def test_fields_of_a_result(field, folder, count):
    file = folder / "results" / "result.json"
    whole, wrong = json.loads(file.read_bytes()), {}
    allowed = [value for value in WRONG if type(value) is type(whole[field]) and not (value and field != "quantities")]
    for value in WRONG:
        if value in allowed or (value == "x" and isinstance(whole[field], str)):
            continue
        with instead(file, json.dumps({**whole, field: value}).encode()):
            why = complaint(lambda: str(Claims(read_result(file))), (field,), value)
            if why:
                wrong[repr(value)] = why
    tried = len(WRONG) - len(allowed)
    count("files and run folders", "table", tried, tried - len(wrong))
    assert not wrong, "\n".join(f"{field} = {value} {why}" for value, why in wrong.items())
    without = {name: value for name, value in whole.items() if name != field}
    with instead(file, json.dumps(without).encode()):
        assert not complaint(lambda: read_result(file), (f"has no {field}",), "")


def test_every_byte_of_the_header_of_weights_and_200_of_the_others(folder, count):
    file = folder / "run" / "weights.safetensors"
    torch.set_default_dtype(torch.float32)
    _, split, experiment = configure(PAPERS["beta-vae"], steps=100)
    content = file.read_bytes()
    header = 8 + int.from_bytes(content[:8], "little")
    rng = random.Random(0)
    places = [*range(header), *rng.sample(range(header, len(content)), 200)]
    noticed = 0
    for at in places:
        with flipped(file, at, rng.randrange(8)):
            why = complaint(lambda: finished_run(file.parent, split, experiment), (str(file),), "")
            noticed += not why
    count("files and run folders", "flipped bits of weights.safetensors", len(places), noticed)
    assert noticed == len(places)


BYTES = sorted(name for name in READERS if name not in ("image", "mnist", "pretrained"))


@given(
    name=st.sampled_from(["result", "matrix", "comparison"]),
    at=st.floats(0, 1, exclude_max=True),
    bit=st.integers(0, 7),
)
def test_a_changed_bit_of_a_stored_result_is_refused_or_read(name, at, bit, folder, count):
    file = folder / READERS[name][0]
    content = file.read_bytes()
    spaces = len(content) - len(content.lstrip())
    place = spaces + int(at * (len(content) - spaces))
    with instead(file, flip(content, place, bit)):
        why = read(name, file)
    count("files and run folders", "hypothesis", 1, why in ("", "accepted"))
    assert why in ("", "accepted"), f"{file.name}, byte {place - spaces}: {why}"


@given(
    name=st.sampled_from(["settings", "checkpoint", "quantities", "kl", "units", "terms", "digests", "npz"]),
    at=st.floats(0, 1, exclude_max=True),
    bit=st.integers(0, 7),
    cut=st.booleans(),
    more=st.binary(max_size=4),
)
def test_any_change_of_bytes_is_noticed(name, at, bit, cut, more, folder, count):
    file = folder / READERS[name][0]
    content = file.read_bytes()
    place = int(at * len(content))
    changed = content[:place] + more if cut else flip(content, place, bit)
    if changed.rstrip() == content.rstrip():  # the end of the last line means nothing
        return
    with instead(file, changed):
        why = _noticed(name, file)
    count("files and run folders", "hypothesis", 1, not why)
    assert not why, f"{file.name}, byte {place}: {why}"


def _noticed(name: str, file: Path) -> str:
    """As `read`; of an .npz, whose members have checksums and whose directory has spare fields, either is right."""
    why = read(name, file)
    return "" if name == "npz" and why == "accepted" else why


def test_a_damaged_cache_is_made_again(tmp_path, monkeypatch, count):
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path))
    made = {"x": np.arange(6)}
    cached("t", {"size": 1}, lambda: made)
    [there] = tmp_path.iterdir()
    tried = 0
    for file in sorted(there.iterdir()):
        content = file.read_bytes()
        for how, damage in DAMAGE.items():
            if damage(content) == content or how == "another line's end":  # which JSON may have
                continue
            file.write_bytes(damage(content))
            assert cached("t", {"size": 1}, lambda: made)["x"].tolist() == made["x"].tolist()
            assert file.read_bytes() == content
            tried += 1
    count("files and run folders", "caches, made again", tried, tried)


def test_a_damaged_run_is_refused_on_the_command_line(folder, monkeypatch, capsys, count):
    from zoo.cli.main import main

    wrong, tried = {}, 0
    for name in ("settings.json", "weights.safetensors"):
        file = folder / "run" / name
        for how in ("empty", "garbage", "cut in half", "a bit in the middle", "null"):
            monkeypatch.setattr(sys, "argv", ["zoo", "evaluate", str(file.parent)])
            with instead(file, DAMAGE[how](file.read_bytes())), pytest.raises(SystemExit) as ended:
                main()
            said = capsys.readouterr().err
            tried += 1
            if ended.value.code != 1 or said.count("\n") != 1 or not said.startswith("error: ") or name not in said:
                wrong[name, how] = said
    count("files and run folders", "table", tried, tried - len(wrong))
    assert not wrong
