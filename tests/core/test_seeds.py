"""A seed is any whole number, of Python, NumPy or a tensor: each draws the same."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from tests.pairs import vae_pair
from zoo.lab.analysis import elbo_anatomy
from zoo.lab.analysis.selection import spread
from zoo.lab.data import Dataset
from zoo.lab.data.pinwheel import pinwheel
from zoo.lab.data.split import split
from zoo.lab.plots.contact_sheet import contact_sheet
from zoo.seeds import stream, torch_stream

SEEDS = [np.int64(3), np.uint8(3), np.array(3), torch.tensor(3), torch.tensor(3, dtype=torch.uint8)]


def data() -> Dataset:
    x = np.random.default_rng(0).integers(0, 256, (12, 1, 3, 5), np.uint8)
    return Dataset.from_arrays(x, np.arange(12) % 2, factors={"a": np.arange(12) % 3, "b": np.arange(12) % 2})


@pytest.mark.parametrize("seed", SEEDS, ids=lambda seed: type(seed).__name__)
def test_every_draw_of_data_takes_it(seed: Any, tmp_path: Any) -> None:
    grey = data()
    pixels = grey.binarised("dynamic")

    def drawn(seed: Any) -> list[torch.Tensor]:
        found = [batch.x for batch in pixels.batches(5, seed=seed, steps=3)]
        found += [batch.index for batch in grey.batches(5, seed=seed, steps=3, start=1)]
        found += [pixels.batch(torch.arange(4), seed=seed).x, pixels.batch(torch.arange(4), seed=(seed, 1)).x]
        found += [grey.sample(5, fixed={"a": 1}, seed=seed).index, pixels.sample(5, seed=seed).x]
        found += [torch.from_numpy(grey.binarised("static", seed=seed).x), torch.tensor(spread(grey, 5, seed=seed))]
        found += [part.batch(torch.arange(2)).x for part in split(grey, 0.3, seed=seed)]
        return [*found, torch.from_numpy(pinwheel(tmp_path, points=3, seed=seed).train.x)]

    assert all(torch.equal(a, b) for a, b in zip(drawn(seed), drawn(3), strict=True))
    classes = grey.factors.classes[grey.sample(20, fixed={"a": seed - 1}).index, 0]  # and so do classes to hold fixed
    assert set(classes.tolist()) == {2}


@pytest.mark.parametrize("seed", SEEDS[::3])
def test_an_anatomy_of_batches_takes_it(seed: Any) -> None:
    model, guide = vae_pair()
    some = Dataset("grey", data().x)
    ours, theirs = (
        elbo_anatomy(model, guide, some, num_data=12, estimator="stratified", batch_size=4, seed=s) for s in (seed, 3)
    )
    assert torch.equal(ours.elbo.mean, theirs.elbo.mean)


@pytest.mark.parametrize("seed", SEEDS[::3])
def test_a_contact_sheet_takes_it(seed: Any) -> None:
    images = replace(data(), factors=None)
    ours, theirs, others = (
        np.asarray(contact_sheet(images, seed=s).axes[0].images[0].get_array()) for s in (seed, 3, 4)
    )
    assert np.array_equal(ours, theirs)
    assert not np.array_equal(ours, others)


def test_the_largest_seed_draws_batches() -> None:
    largest = 2**63 - 1
    found = [
        [batch.index.tolist() for batch in data().batches(5, seed=seed, steps=4)] for seed in (largest, largest - 1)
    ]
    assert found[0] != found[1]
    assert found[0] == [batch.index.tolist() for batch in data().batches(5, seed=largest, steps=4)]
    # the order of an epoch is that of PyTorch's generator at seed * 1,000,003 + epoch, whose state has 64 bits
    order = torch.randperm(12, generator=torch.Generator().manual_seed((largest * 1_000_003 + 1) % 2**64))
    assert found[0][2] == order[:5].tolist()


def test_streams() -> None:
    rng = np.random.default_rng(5)
    assert stream(rng) is rng
    assert stream(None).integers(2**62) != stream(None).integers(2**62)
    assert torch_stream(3).initial_seed() == 3
    assert torch_stream(2**64 + 3).initial_seed() == 3
    with pytest.raises(TypeError):
        torch_stream(3.0)


@pytest.mark.parametrize(
    ("seed", "message"),
    [
        (3.0, "seed must be a whole number, got 3.0"),
        (-1, "seed must be from 0 to 9,223"),
        (2**63, "seed must be from 0"),
    ],
)
def test_what_is_no_seed_is_refused(seed: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        data().batches(5, seed=seed)
