"""Pretrained weights: what was trained is what is read, without its data."""

import json
import random
import zlib
from dataclasses import replace
from pathlib import Path

import pytest
import safetensors.torch
import torch

import zoo.lab
from tests.papers.hfvae_topics.posts import split
from tests.pictures import without_pictures
from zoo.cli.explore import explore
from zoo.lab.data import Split
from zoo.lab.runs import train as run
from zoo.lab.runs.command import train_command
from zoo.lab.runs.finished import FinishedRun
from zoo.lab.runs.folder import Settings
from zoo.papers import configure, open_run, recipe, shipped, weights
from zoo.papers.recipes import RECIPES


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run of a few steps."""
    folder = tmp_path_factory.mktemp("run")
    settings, split, experiment = configure("joint-vae/digits", steps=5, seed=3, device="cpu")
    with without_pictures():
        run.train(experiment, split, settings, folder, command="", progress=False)
    return open_run(folder)


def test_what_was_kept_comes_back_without_its_data(trained, tmp_path, monkeypatch):
    path = weights.keep("a/name", trained, tmp_path, {"command": "the card's"})
    assert path.name == "a-name.safetensors"

    def never(*_, **__):
        raise AssertionError("data was read")

    monkeypatch.setattr(weights, "load", never)
    pair = weights.pretrained("a/name", folder=tmp_path)
    x = trained.data.test.batch(torch.arange(5)).x.float()
    pair.guide.float()
    ours, theirs = pair.encode(x), trained.encode(x)
    assert torch.equal(ours["z"].mean, theirs["z"].mean)
    assert torch.equal(ours["c"].probs, theirs["c"].probs)
    for ours, theirs in zip(pair.model.parameters(), trained.model.parameters(), strict=True):
        assert torch.equal(ours, theirs)
    assert pair.about["command"] == "the card's"
    assert repr(pair).splitlines() == [
        "pretrained a/name",
        "  model, guide JointVAE, Amortized",
        "  trained on digits, 5 steps of 64, learning rate 0.001",
        "  command the card's; seed 3",
        *(f"  {name} {value:.2f}" for name, value in pair.about.get("quantities", {}).items()),
    ]
    assert "<td>command</td>" in pair._repr_html_()
    assert pair.settings.seed == 3
    assert pair.model.num_data == len(trained.data.train)
    assert not pair.model.training


def finished(name: str, data: Split, folder: Path) -> FinishedRun:
    """A run of the recipe on `data` that has not taken a step."""
    experiment = zoo.papers.recipe(name).build(data)
    settings = Settings(name, {}, data.train.name, {}, experiment.steps, experiment.batch_size, experiment.lr, 0, "cpu")
    return FinishedRun(settings, experiment, data, folder)


@pytest.mark.parametrize(
    ("name", "data"),
    [("natural-clustering/mnist", lambda: zoo.lab.data.load("digits")), ("hfvae/newsgroups", lambda: split(60))],
    ids=["classes", "words"],
)
def test_a_recipe_that_needs_classes_or_words_is_built_without_the_data(name, data, tmp_path):
    run = finished(name, data(), tmp_path)
    weights.keep("a/name", run, tmp_path, {})
    pair = weights.pretrained("a/name", folder=tmp_path)
    x = run.data.test.batch(torch.arange(5)).x
    run.guide.eval()
    for site, ours in pair.encode(x).items():
        torch.testing.assert_close(ours.mean, run.encode(x)[site].mean, rtol=0, atol=0)


def test_a_page_of_topics_needs_their_words(tmp_path):
    with pytest.raises(FileNotFoundError, match="hfvae/newsgroups shows the words of topics, so it needs the data: "):
        explore("hfvae/newsgroups", out=tmp_path / "page.html", data_dir=tmp_path)
    assert not list(tmp_path.iterdir())


def test_the_card_says_how_much_shorter_a_pair_was_trained(trained, tmp_path):
    weights.keep("a/name", trained, tmp_path, {"note": "A note."})
    (card,) = zoo.papers.list_pretrained(tmp_path).values()
    assert card.recipe_steps == 6_000  # of joint-vae/digits
    assert card.length == "5 of the recipe's 6,000 steps"
    assert "**Trained shorter than the recipe**: 5 of the recipe's 6,000 steps." in card.markdown()
    assert "A note." in card.markdown()
    assert "shorter" not in replace(card, recipe_steps=5).markdown()
    assert "in precision" not in card.markdown()
    in_bf16 = replace(card, settings=replace(card.settings, precision="bf16"))
    assert "learning rate 0.001; in precision bf16 |" in in_bf16.markdown()
    assert replace(card, recipe_steps=5).length == "5 steps, as the recipe"
    assert replace(card, recipe_steps=None).length == "5 steps"


def test_the_command_of_a_card_is_its_recipe_and_what_differs_from_it(trained):
    def command(run):
        return train_command(run.settings, recipe(run.settings.recipe), run.experiment)

    assert command(trained) == "python -m zoo train joint-vae/digits --steps 5 --seed 3"
    changed = replace(
        trained.settings,
        recipe="joint-vae/mnist",
        data="fashion-mnist",
        hyperparameters={"gamma_z": 100.0, "types": "10"},
        data_options={"size": 28},
        lr=5e-4,
        batch_size=32,
        compile=True,
        precision="bf16",
    )
    assert command(replace(trained, settings=changed)) == (
        "python -m zoo train joint-vae/mnist --data fashion-mnist --data-option size=28 --set gamma_z=100.0 "
        "--set types=10 --steps 5 --batch-size 32 --lr 0.0005 --precision bf16 --seed 3 --compile"
    )


def test_what_is_measured_of_a_pair_that_comes_with_the_zoo(trained):
    found = shipped.measured(open_run(trained.folder))
    assert found.items() >= weights.elbo_parts(open_run(trained.folder)).items()
    assert found["accuracy of the type by majority"] >= found["accuracy of the type, matched one to one"] > 0
    # Every recipe of a shipped pair has quantities of its own.
    for card in zoo.papers.list_pretrained().values():
        assert card.recipe in shipped.MEASURES or card.recipe.split("/")[0] in shipped.MEASURES


def test_the_data_is_the_runs(trained, tmp_path):
    weights.keep("a/name", trained, tmp_path, {})
    split = weights.pretrained("a/name", folder=tmp_path).data()
    assert len(split.train) == len(trained.data.train)


def test_a_name_that_is_not_there_is_told_with_those_that_are():
    with pytest.raises(LookupError, match=r"unknown pretrained pair 'joint-vae/mnits'"):
        zoo.papers.pretrained("joint-vae/mnits")


def test_a_folder_of_ones_own_is_a_path_or_a_string_and_its_names_are_those_it_holds(trained, tmp_path):
    weights.keep("mine", trained, str(tmp_path / "kept"), {})
    assert zoo.papers.pretrained("mine", folder=str(tmp_path / "kept")).about["name"] == "mine"
    with pytest.raises(
        LookupError, match=r"unknown pretrained pair 'min'; did you mean 'mine'\? There are: mine in .*kept"
    ):
        zoo.papers.pretrained("min", folder=tmp_path / "kept")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda content: content[:500], "is damaged"),
        (lambda content: safetensors.torch.save({"a": torch.zeros(1)}), "holds no pretrained pair: its format is None"),
    ],
)
def test_a_damaged_or_foreign_file_is_refused(trained, tmp_path, spoil, message):
    path = weights.keep("a/name", trained, tmp_path, {})
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(ValueError, match=message):
        weights.pretrained("a/name", folder=tmp_path)


def test_weights_of_another_recipe_are_refused(trained, tmp_path):
    path = weights.keep("a/name", trained, tmp_path, {})
    with safetensors.safe_open(str(path), "pt") as file:
        about = json.loads(file.metadata()["about"])
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (no mapping)
    about["settings"] |= {"recipe": "vae", "hyperparameters": {}}
    safetensors.torch.save_file(tensors, path, metadata={"format": weights.FORMAT, "about": json.dumps(about)})
    with pytest.raises(ValueError, match="the recipe vae has changed since"):
        weights.pretrained("a/name", folder=tmp_path)


@pytest.mark.parametrize("name", weights.names())
def test_those_that_come_with_the_zoo_are_small_and_whole(name):
    pair = zoo.papers.pretrained(name)
    assert pair.settings.recipe in RECIPES
    path = weights.HERE / f"{name.replace('/', '-')}.safetensors"
    assert path.stat().st_size < 3_000_000
    assert pair.about["quantities"]
    assert all(tensor.isfinite().all() for tensor in pair.model.parameters())


def test_every_flipped_bit_is_noticed(trained, tmp_path):
    """One bit of every byte of the header, and of 100 bytes among the weights."""
    path = weights.keep("a/name", trained, tmp_path, {})
    content, rng = path.read_bytes(), random.Random(0)
    header = 8 + int.from_bytes(content[:8], "little")  # the length of the JSON comes first
    for at in (*range(header), *rng.sample(range(header, len(content)), 100)):
        flipped = bytes([content[at] ^ 1 << rng.randrange(8)])
        with path.open("r+b") as file:
            file.seek(at)
            file.write(flipped)
        with pytest.raises(ValueError, match=r"is damaged|holds no pretrained pair"):
            weights.pretrained("a/name", folder=tmp_path)
        with path.open("r+b") as file:
            file.seek(at)
            file.write(content[at : at + 1])
    weights.pretrained("a/name", folder=tmp_path)


def test_names_of_a_folder_with_a_damaged_file_name_that_file(trained, tmp_path):
    path = weights.keep("a/name", trained, tmp_path, {})
    path.write_bytes(path.read_bytes().replace(b'\\"name\\": ', b'\\"name\\"; '))
    with pytest.raises(ValueError, match=r"a-name\.safetensors is damaged"):
        weights.names(tmp_path)


def test_what_is_shipped_has_its_digest():
    for path in weights.HERE.glob("*.safetensors"):
        with safetensors.safe_open(str(path), "pt") as file:
            assert len(file.metadata()["digest"]) == 64


@pytest.mark.parametrize(("dtype", "bits"), [(True, 11), (torch.float16, 11), (torch.bfloat16, 8)])
def test_half_precision_is_kept_where_the_elbo_does_not_move(trained, tmp_path, dtype, bits):
    trained = open_run(trained.folder)  # in this test's precision
    single = weights.keep("a/name", trained, tmp_path / "single", {})
    half = weights.keep("a/name", trained, tmp_path / "half", {}, half=dtype, tolerance=0.01)
    assert half.stat().st_size < 0.6 * single.stat().st_size
    pair = weights.pretrained("a/name", folder=tmp_path / "half")
    for rounded, exact in zip(pair.model.parameters(), trained.model.parameters(), strict=True):
        assert rounded.dtype == torch.get_default_dtype()
        # With that many significant bits, rounding moves a number by at most 2^-bits of it, above the subnormal range.
        assert torch.all((rounded - exact).abs() <= 2**-bits * exact.abs() + 2**-25)
    moved = pair.about["half precision"]
    assert moved["single"].keys() == moved["half"].keys() == {"reconstruction of x", "KL of c", "KL of z"}
    assert moved["single"] == weights.elbo_parts(trained)
    name = "float16" if dtype is True else str(dtype).removeprefix("torch.")
    assert f"half precision, {name}" in zoo.papers.list_pretrained(tmp_path / "half")["a/name"].markdown()


def test_half_precision_is_refused_where_a_quantity_moves(trained, tmp_path):
    trained = open_run(trained.folder)
    with pytest.raises(ValueError, match=r"KL of \w is .* with weights in half precision|reconstruction of x is"):
        weights.keep("a/name", trained, tmp_path, {}, half=True, tolerance=0.0)
    accuracies = iter([{"accuracy": 90.0}, {"accuracy": float("nan")}])
    with pytest.raises(ValueError, match="accuracy is 90, and nan with weights in half precision"):
        weights.keep("a/name", trained, tmp_path, {}, half=True, measure=lambda *_: next(accuracies))
    with pytest.raises(ValueError, match=r"half=torch.float64: choose True, torch.float16 or torch.bfloat16"):
        weights.keep("a/name", trained, tmp_path, {}, half=torch.float64)
    assert not list(tmp_path.iterdir())


def test_cards_have_the_licence_and_are_what_is_written():
    cards = zoo.papers.list_pretrained()
    assert list(cards) == weights.names()
    card = cards["joint-vae/mnist"]
    assert (card.recipe, card.seed, card.licence) == ("joint-vae/mnist", 2, "CC BY-SA 3.0")
    assert card.quantities["majority"] == 85.26
    assert card.command.startswith("python -m zoo reproduce joint-vae/mnist")
    for name, known in cards.items():
        path = weights.HERE / f"{name.replace('/', '-')}.md"
        assert path.read_text(encoding="utf-8") == known.markdown(), "run: python -m zoo.papers.weights.card"


def test_all_that_come_with_the_zoo_are_small_together_in_a_wheel():
    """A wheel is a zip file, whose members are compressed by zlib."""
    assert sum(len(zlib.compress(path.read_bytes())) for path in weights.HERE.glob("*.safetensors")) < 12_000_000


def test_the_card_of_dip_vae_names_table_1s_quantities_once(monkeypatch):
    """The cross-entropy per pixel and the KL are the ELBO's parts, which every card has."""
    names = ("metric", "squared_error", "cross_entropy", "off_diagonal", "correlation", "kl")
    found = {name: float(value) for value, name in enumerate(names, start=1)}
    monkeypatch.setattr(shipped, "of_dip_vae", lambda _: found)
    assert shipped.MEASURES["dip-vae/shapes"](None) == {
        "Higgins metric, %": 1.0,
        "reconstruction: squared error per pixel": 2.0,
        "sum of squared covariances of different latents": 4.0,
        "mean absolute correlation of different latents": 5.0,
    }


def test_a_recipe_without_quantities_of_its_own_is_refused_before_anything_is_measured(trained, monkeypatch):
    def never(*_):
        raise AssertionError("something was measured")

    monkeypatch.setattr(shipped, "elbo_parts", never)
    mine = replace(trained, settings=replace(trained.settings, recipe="mine/digits"))
    with pytest.raises(LookupError, match="the recipe 'mine/digits' has no entry in MEASURES: add quantities that"):
        shipped.measured(mine)
