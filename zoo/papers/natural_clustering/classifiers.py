"""Classifiers trained on real and generated images, and the labels that they give to generated ones."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.lab.data import Dataset
from zoo.lab.device import device_of, fork_random_state
from zoo.lab.networks import ConvEncoder

Generate = Callable[[Tensor], Tensor]  # labels [B] to images [B, ...]


def train_classifier(
    data: Dataset,
    *,
    classes: int,
    generate: Generate | None = None,
    share: float = 0.0,
    network: str = "mlp",
    epochs: int = 10,
    hidden: int = 256,
    batch_size: int = 500,
    lr: float = 1e-3,
    seed: int = 0,
    device: str | torch.device = "cpu",
) -> nn.Module:
    """A classifier, images to logits [B, L], trained on `data` with a share of it replaced.

    Each time a datapoint is used it is, with probability `share`, replaced by a generated one of its class; the paper
    does not say whether this is done each time or once. It does not state its classifier either: ours are trained with
    Adam. Draws use torch's generator, whose state is left as it was.

    Args:
        data: labelled.
        classes: L.
        generate: function from labels to images; may be left out where `share` is 0.
        share: the probability.
        network: "mlp", a dense layer of ReLU units; or "conv", two 4 x 4 convolutions of stride 2 with 16 and 32
            channels before it.
        epochs, hidden, batch_size, lr: of the classifier; `hidden` units in the dense layer.
        seed: of weights, order and draws.
        device: where to train.

    Raises:
        ValueError: there are no labels, the share is not in [0, 1], `generate` is missing, there is no such network,
            or it does not fit the images.
    """
    if data.y is None:
        raise ValueError(f"data {data.name!r} has no labels, so there is nothing to classify")
    if not 0 <= share <= 1 or (share > 0 and generate is None):
        raise ValueError(f"share must be in [0, 1], and generate= must be given unless it is 0; got {share:g}")
    here = torch.device(device)
    with fork_random_state(here):
        torch.manual_seed(seed)
        net = _network(network, data.shape, classes, hidden).to(here)
        optimizer = torch.optim.Adam(net.parameters(), lr=lr, fused=True)
        steps = epochs * (len(data) // batch_size)
        for batch in data.batches(batch_size, seed=seed, steps=steps, labels=True, device=here):
            assert batch.y is not None
            x = batch.x
            if generate is not None and share > 0:
                replaced = torch.rand(len(x), device=here) < share
                x[replaced] = generate(batch.y[replaced]).to(x.dtype)
            loss = F.cross_entropy(net(x), batch.y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return net


def classification_error(data: Dataset, test: Dataset, **options: Any) -> float:
    """The error, in per cent of `test`, of a classifier trained on `data`.

    Args:
        data, test: labelled.
        options: of `train_classifier`.

    Raises:
        ValueError: the test set has no labels; or as `train_classifier`.
    """
    if test.y is None:
        raise ValueError(f"data {test.name!r} has no labels, so there is nothing to classify")
    return error_of(train_classifier(data, **options), test)


def error_of(classifier: nn.Module, test: Dataset) -> float:
    """The error of a classifier, in per cent of `test`, which is labelled."""
    wrong = 0
    with torch.no_grad():
        for batch in test.in_order(2000, labels=True, device=device_of(classifier)):
            assert batch.y is not None
            wrong += int((classifier(batch.x).argmax(-1) != batch.y).sum())
    return 100 * wrong / len(test)


def wrong_labels(
    generate: Generate,
    classifier: nn.Module,
    *,
    classes: int,
    num: int = 10_000,
    seed: int = 0,
) -> float:
    """The share of samples, in per cent, that a classifier assigns to another class than the one asked for.

    Every class is asked for equally often. Draws use torch's generator, whose state is left as it was.

    Args:
        generate: function from labels to images.
        classifier: images to logits [B, L], on the device of the generator.
        classes: L.
        num: number of samples.
        seed: of the draws.
    """
    wrong, here = 0, device_of(classifier)
    with fork_random_state(here), torch.no_grad():
        torch.manual_seed(seed)
        for y in (torch.arange(num, device=here) % classes).split(2000):
            wrong += int((classifier(generate(y)).argmax(-1) != y).sum())
    return 100 * wrong / num


def _network(network: str, shape: tuple[int, ...], classes: int, hidden: int) -> nn.Module:
    if network == "mlp":
        return nn.Sequential(nn.Flatten(), nn.Linear(math.prod(shape), hidden), nn.ReLU(), nn.Linear(hidden, classes))
    if network == "conv":
        return nn.Sequential(ConvEncoder(shape, channels=(16, 32), hidden=hidden), nn.Linear(hidden, classes))
    raise ValueError(f"network must be 'mlp' or 'conv', got {network!r}")
