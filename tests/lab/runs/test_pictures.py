"""What a run draws when its training has ended, and that no picture can take a finished training away."""

import errno
import re
import signal

import numpy as np
import pytest
import torch

from guides import Amortized, MeanField
from tests.pairs import SHAPE, images, joint_pair, vae_pair
from zoo import VAE
from zoo.elbos import PlainELBO
from zoo.lab.data import Dataset, Split
from zoo.lab.plots import ImageGrid, Picture, drawn_as
from zoo.lab.runs import train as run
from zoo.lab.runs.folder import Settings, how_to_resume
from zoo.lab.runs.interrupt import Stopped
from zoo.lab.training import Experiment

pytestmark = pytest.mark.usefixtures("_quick_pictures")


def trained(folder, pair, *, test=None, kl="closed", steps=5, resume=False, **options):
    """A run of a few steps on eleven images."""
    train = Dataset("eleven", images().numpy(), np.arange(11) % 3)
    experiment = Experiment(*pair, PlainELBO(kl=kl), steps=steps, batch_size=4, **options)
    settings = Settings("toy", {}, "eleven", {}, steps, 4, 1e-3, 0, "cpu")
    folder.mkdir(exist_ok=resume)
    split = Split(train, test or train)
    return run.train(experiment, split, settings, folder, command="by hand", progress=False, resume=resume)


def embedded(folder) -> set[str]:
    """The pictures that the summary shows."""
    return set(re.findall(r"^!\[.+\]\((.+)\)$", (folder / "summary.md").read_text(), re.MULTILINE))


@pytest.mark.parametrize(("pair", "more"), [(vae_pair, set()), (joint_pair, {"samples-by-type.png"})])
def test_every_run_shows_its_terms_and_its_images_and_samples_by_type_where_there_is_a_type(tmp_path, pair, more):
    trained(tmp_path / "run", pair())
    expected = {"curves.png", "kl.png", "reconstructions.png", "samples.png", "traversals.png"} | more
    assert embedded(tmp_path / "run") == expected == {path.name for path in (tmp_path / "run").glob("*.png")}
    assert "## Left out" not in (tmp_path / "run" / "summary.md").read_text()


def test_a_picture_that_cannot_be_drawn_is_left_out_with_its_reason_and_the_run_is_kept(tmp_path):
    def broken(model, guide, data, evaluation):
        raise ZeroDivisionError("no picture today")

    with pytest.warns(
        UserWarning, match=r"whose training is complete: the recipe's own pictures \(ZeroDivisionError: no"
    ):
        evaluation = trained(tmp_path / "run", vae_pair(), pictures=broken)
    assert evaluation.num_data == 11
    assert embedded(tmp_path / "run") == {"curves.png", "kl.png"}
    summary = (tmp_path / "run" / "summary.md").read_text()
    assert "## Left out\n\n- the recipe's own pictures: ZeroDivisionError: no picture today" in summary
    assert f"| -ELBO | {-evaluation.elbo:.2f} |" in summary
    assert (tmp_path / "run" / "weights.safetensors").is_file()


def test_a_full_disk_among_the_pictures_is_no_picture_that_cannot_be_drawn(tmp_path, monkeypatch):
    def full(pictures, folder):
        raise OSError(errno.ENOSPC, "No space left on device", str(folder / "curves.png"))

    monkeypatch.setattr("zoo.lab.runs.pictures.save_pictures", full)
    with pytest.raises(OSError, match=r"curves.png: No space left on device; .* from the last checkpoint"):
        trained(tmp_path / "run", vae_pair())
    assert not (tmp_path / "run" / "summary.md").exists()  # so the run counts as one to resume


def test_where_the_evaluation_fails_everything_else_is_written_before_it_is_said(tmp_path):
    test = Dataset("wide", torch.rand(5, 1, 9, 9).numpy())  # which the encoder cannot take
    with pytest.raises(ValueError, match=r"is trained and its weights are saved, but it cannot be evaluated: .*shape"):
        trained(tmp_path / "run", vae_pair(), test=test)
    assert (tmp_path / "run" / "weights.safetensors").is_file()
    assert embedded(tmp_path / "run") == {"curves.png"}
    summary = (tmp_path / "run" / "summary.md").read_text()
    assert "- the evaluation: RuntimeError: " in summary
    assert "- pictures of the pair: the evaluation failed" in summary


def test_pictures_are_drawn_from_a_random_state_of_their_own(tmp_path):
    def drawing(model, guide, data, evaluation):
        torch.rand(1000)
        return {"noise.png": Picture(ImageGrid(torch.rand(1, 1, *SHAPE)), "noise")}

    states = []
    for name, options in (("plain", {}), ("drawing", {"pictures": drawing})):
        torch.manual_seed(7)
        trained(tmp_path / name, vae_pair(), **options)
        states.append(torch.get_rng_state())
    assert torch.equal(*states)
    terms = [(tmp_path / name / "terms.csv").read_text() for name in ("plain", "drawing")]
    assert terms[0] == terms[1]
    assert embedded(tmp_path / "drawing") == {"curves.png", "kl.png", "noise.png"}


def test_points_have_no_pictures_of_images(tmp_path):
    model = VAE(torch.nn.Linear(2, 2), z_dim=2, num_data=11)
    guide = Amortized(torch.nn.Linear(2, 4), z=MeanField(2), num_data=11)
    train = Dataset("points", torch.rand(11, 2).numpy())
    experiment = Experiment(model, guide, PlainELBO(), steps=3, batch_size=4)
    settings = Settings("toy", {}, "points", {}, 3, 4, 1e-3, 0, "cpu")
    run.train(experiment, Split(train, train), settings, tmp_path, command="", progress=False)
    assert embedded(tmp_path) == {"curves.png", "kl.png"}


def test_a_run_within_a_block_leaves_and_shows_its_pictures_in_the_blocks_format(tmp_path):
    with drawn_as("svg", slides=True):
        trained(tmp_path / "run", vae_pair())
    names = {"curves.svg", "kl.svg", "reconstructions.svg", "samples.svg", "traversals.svg"}
    assert embedded(tmp_path / "run") == names == {path.name for path in (tmp_path / "run").glob("*.svg")}
    assert not list((tmp_path / "run").glob("*.png"))


def test_ctrl_c_while_pictures_are_drawn_says_that_the_training_is_finished_and_how_to_have_them(tmp_path, monkeypatch):
    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(run, "draw_run", interrupted)
        with pytest.raises(Stopped, match=r"finished and saved, and \S+run lacks its pictures") as stopped:
            trained(tmp_path / "run", vae_pair())
    assert stopped.value.signal == signal.SIGINT
    assert f"{how_to_resume(tmp_path / 'run')} writes them" in str(stopped.value)
    log = (tmp_path / "run" / "terms.csv").read_bytes()
    torch.manual_seed(0)
    trained(tmp_path / "run", vae_pair(), resume=True)
    assert (tmp_path / "run" / "terms.csv").read_bytes() == log  # not trained again
    assert embedded(tmp_path / "run") >= {"curves.png", "samples.png"}
