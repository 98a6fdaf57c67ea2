"""Pictures of unusual runs: what fails alone is left out alone, and what is compared is the same."""

import os
import sys
from dataclasses import replace

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from PIL import Image
from torch import nn

from tests.lab.runs.test_traverse import finished
from zoo.elbos import PlainELBO
from zoo.lab.analysis.evaluate import Evaluation
from zoo.lab.data import Dataset, Split
from zoo.lab.runs.finished import configure
from zoo.lab.runs.folder import new_folder
from zoo.lab.runs.pictures import draw_run
from zoo.lab.runs.train import train
from zoo.lab.runs.traverse import traversal_pictures
from zoo.lab.training.experiment import Experiment
from zoo.papers import open_run, recipe


class NeedsData(nn.Module):
    """A story whose call needs data, so that nothing can be drawn from its prior."""

    def forward(self, x, index=None):
        with pyro.plate("data", 9, len(x)):
            z = pyro.sample("z", dist.Normal(torch.zeros(2), 1.0).to_event(1))
            pyro.sample("x", dist.Normal(z.sum(-1)[..., None, None, None], 1.0).expand(x.shape).to_event(3), obs=x)


def test_a_story_that_cannot_run_without_data_leaves_out_its_pictures_and_not_the_run(tmp_path):
    (tmp_path / "terms.csv").write_text("step,kl/z\n1,2.0\n2,1.0\n")
    experiment = Experiment(NeedsData(), nn.Identity(), PlainELBO(), steps=2, batch_size=4)
    data = Dataset.from_arrays(np.random.default_rng(0).random((9, 1, 2, 2)))
    evaluation = Evaluation(9, {"x": -1.0}, {"z": torch.tensor([0.5, 0.0])})
    captions, left_out = draw_run(experiment, data, evaluation, tmp_path, seed=0)
    assert set(captions) == {"curves.png", "kl.png"}
    assert left_out.keys() == {"pictures of the pair"}
    assert "missing 1 required positional argument: 'x'" in left_out["pictures of the pair"]


@pytest.mark.parametrize("name", ["latents", "units", "samples-by-type", "z-7"])
def test_a_type_called_as_another_picture_has_a_file_of_its_own(tmp_path, name):
    run = finished(tmp_path, "joint-vae/digits")
    model, guide = run.model, run.guide
    usual = traversal_pictures(run)
    model.types = {name: 10}
    for part in ("heads", "layers"):
        setattr(guide, part, nn.ModuleDict({{"c": name}.get(k, k): v for k, v in getattr(guide, part).items()}))
    (tmp_path / "run" / "kl.csv").write_text((tmp_path / "run" / "kl.csv").read_text().replace("c,", f"{name},"))
    pictures = traversal_pictures(run)
    assert len(pictures) == len(usual)
    assert usual.keys() - {"c.png"} == pictures.keys() - {f"{name}-types.png"}
    assert pictures[f"{name}.png"].caption == usual[f"{name}.png"].caption
    assert torch.equal(pictures[f"{name}-types.png"].drawn.images, usual["c.png"].drawn.images)


def test_a_run_beside_one_on_another_test_set_is_refused(tmp_path):
    # Of the same shape, but fewer datapoints: datapoint 10 is another one there, or none.
    run = finished(tmp_path, "vae")
    train, test = run.data
    other = replace(run, data=Split(train, test.subset(np.arange(50))))
    with pytest.raises(ValueError, match=r"is a run on 50 test datapoints of 'digits.*', .* on \d+ test datapoints of"):
        traversal_pictures(run, beside=other)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse these names")
def test_a_run_on_data_whose_names_are_not_utf8_ends_and_keeps_classes_apart(tmp_path, monkeypatch):
    # Latin-1 names, as old archives have them: the byte e9 is a letter there, and nothing in UTF-8.
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    root = tmp_path / os.fsdecode(b"donn\xe9es")
    for label in (b"\xe8", b"\xe9"):
        for n in range(6):
            path = root / os.fsdecode(label) / f"{n}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.random.default_rng(n).integers(0, 256, (8, 8), dtype=np.uint8)).save(path)
    settings, data, experiment = configure(recipe("vae"), data=str(root), steps=2, batch_size=2, device="cpu")
    assert data.train.name == "donn\\udce9es"
    assert data.train.classes == ("\\udce8", "\\udce9")
    train(experiment, data, settings, new_folder(tmp_path / "run"), command=f"train --data {root}", progress=False)
    summary = (tmp_path / "run" / "summary.md").read_text(encoding="utf-8")
    assert "donn\\udce9es" in summary
    assert "## Left out" not in summary  # pictures show the names of the classes
    assert open_run(tmp_path / "run").settings.data == str(root)
