"""`explore`: one file for a run and for a pretrained pair, and clear errors."""

import json
import re

import torch

from zoo.lab.runs.summary import read_kl


def content(html):
    """The JSON of a page."""
    return json.loads(re.search(r'<script type="application/json" id="content">(.*?)</script>', html, re.DOTALL)[1])


def test_a_runs_page_has_its_kl_its_story_and_test_images(finished, run, tmp_path):
    folder, _ = finished
    out = tmp_path / "page.html"
    printed = run("explore", folder, "-o", out, "--images", 7)
    html = out.read_text()
    assert printed == f"wrote {out}, {len(html.encode()) / 1e6:.1f} MB; open it in a browser\n"
    shown = content(html)
    kl = read_kl(folder)
    order = kl["z"].argsort(descending=True).tolist()
    assert [unit["index"] for unit in shown["units"]] == order
    torch.testing.assert_close(torch.tensor([u["nats"] for u in shown["units"]]), kl["z"][order], check_dtype=False)
    assert [test["name"] for test in shown["tests"]] == list("0123456")
    assert "Trained on digits: 150 steps of 64 datapoints, learning rate 0.001, seed 3." in html
    assert "c ~ RelaxedOneHotCategorical(0.67, uniform)" in html
    assert "Capacity" in html
    assert "capacity.z = 0.2," in html  # 4 nats over 3,000 steps: 0.2 after 150
    assert "averaged over the test set" in html
    assert shown["encoder"]["sites"] == ["z", "c"]


def test_a_pretrained_pair_without_its_data_has_no_test_images_and_says_so(run, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("ZOO_DATA", str(tmp_path))
    out = tmp_path / "page.html"
    run("explore", "joint-vae/mnist", "-o", out)
    html = out.read_text()
    assert len(html) < 6e6
    shown = content(html)
    assert "tests" not in shown
    assert len(shown["units"]) == 10
    nats = [unit["nats"] for unit in shown["units"]]
    assert nats == sorted(nats, reverse=True)
    assert nats[4] > 0.1 > nats[5]  # five units in use, as on MNIST
    assert "1,000 datapoints that the story decodes from its prior" in html
    assert "Left out: test images and their encodings: data &#x27;mnist&#x27;" in html


def test_what_is_neither_a_run_nor_pretrained_is_refused(refused, tmp_path):
    said = refused("explore", "joint-vae/mnits", "-o", tmp_path / "page.html")
    assert said.startswith("error: joint-vae/mnits is no folder of a run, and unknown pretrained pair")
    assert "did you mean 'joint-vae/mnist'?" in said
    empty = tmp_path / "empty"
    empty.mkdir()
    assert "holds no run" in refused("explore", empty, "-o", tmp_path / "page.html")
    assert "the folder nowhere does not exist" in refused("explore", "joint-vae/mnist", "-o", "nowhere/page.html")
    assert not (tmp_path / "page.html").exists()
