"""Topics in words and pictures."""

import pytest
import torch
from matplotlib.image import imread

from guides import Amortized, FullRank, MeanFieldLaplace
from tests.papers.hfvae_topics.posts import hand_made, posts, split
from tests.pictures import drawn
from zoo.elbos import PlainELBO
from zoo.lab.analysis.evaluate import evaluate
from zoo.lab.plots import save_pictures
from zoo.lab.runs.finished import FinishedRun
from zoo.lab.training.experiment import Experiment
from zoo.papers.hfvae_topics import plots as topic_plots
from zoo.papers.hfvae_topics.topics import Topics
from zoo.papers.reproductions import REPRODUCTIONS


def test_the_pictures_tell_the_topics_in_words(tmp_path):
    model, guide = hand_made(log_var=-8.0)
    data = posts(100)
    shows = save_pictures(topic_plots.pictures(model, guide, data, evaluate(model, guide, data)), tmp_path)
    assert set(shows) == {"topics.md", "topics.png", "correlations.png"}
    text = (tmp_path / "topics.md").read_text()
    assert "1 of 2 topics are in use" in text
    lines = [line for line in text.splitlines() if line.startswith("| z_")]
    assert [line.split(" | ")[0] for line in lines] == ["| z_0", "| z_1"]  # the one that tells most first
    assert "rocket orbit moon" in lines[0]
    assert text.count("There are none.") == 2
    for name in ("topics.png", "correlations.png"):
        assert imread(tmp_path / name).std() > 0.02


@pytest.mark.parametrize("head", [FullRank, MeanFieldLaplace])
def test_topics_of_another_head_have_the_same_pictures(head, tmp_path):
    model, guide = hand_made()
    guide = Amortized(guide.trunk, z=head(2))
    data = posts(100)
    evaluation = evaluate(model, guide, data, kl="closed" if head is FullRank else "sampled")
    shows = save_pictures(topic_plots.pictures(model, guide, data, evaluation), tmp_path)
    assert set(shows) == {"topics.md", "topics.png", "correlations.png"}
    lines = [line for line in (tmp_path / "topics.md").read_text().splitlines() if line.startswith("| z_")]
    kl = {line.split(" | ")[0]: line.split(" | ")[2].strip() for line in lines}
    each = evaluation.kl["z"].tolist()
    # A full-rank head couples the two topics: their KL is one number, which is neither topic's.
    assert kl == ({"| z_0": "", "| z_1": ""} if head is FullRank else {f"| z_{k}": f"{each[k]:.2f}" for k in (0, 1)})


def test_correlated_topics_are_told_in_words():
    model, guide = hand_made(log_var=-8.0)
    with torch.no_grad():
        guide.layers["z"][0].weight[1] = -1.0  # the second topic is where the first is not
        guide.layers["z"][0].bias[3] = -8.0
    topics = Topics.of(model, guide, posts(100))
    (pair,) = topics.pairs(across=False)
    assert pair.correlation == pytest.approx(-1)
    written = topic_plots.pair_table(topics, [pair], 2)
    assert written.splitlines()[-1] == f"| -1.00 | rocket orbit | {topics.top_words('z_1', 2)} |"


def test_the_pictures_of_the_reproduction_tell_pairs_in_words(tmp_path):
    data = split(100)

    class Done:  # a finished trial
        def __init__(self, means):
            self.means = means

        def open(self):
            model, guide = hand_made(self.means, log_var=-8.0)
            with torch.no_grad():
                guide.layers["z"][0].weight[1] = 1.0
                guide.layers["z"][0].bias[3] = -8.0
            return FinishedRun(None, Experiment(model, guide, PlainELBO(), steps=1), data, tmp_path)

    pictures = drawn(REPRODUCTIONS["hfvae/topics"], {"NVDM, VAE": [Done(2.0)], "NVDM, HFVAE": [Done(-2.0)]})
    captions = save_pictures(pictures, tmp_path)
    assert captions["words-nvdm-vae.png"].endswith("(+1.00)")
    assert captions["words-nvdm-hfvae.png"].endswith("(-1.00)")
    assert "of one group: rocket orbit moon" in captions["words-nvdm-vae.png"]
    for name in captions:
        assert name.endswith(".md") or imread(tmp_path / name).std() > 0.02
    assert "| -1.00 | rocket orbit moon" in (tmp_path / "words-nvdm-hfvae.md").read_text()
