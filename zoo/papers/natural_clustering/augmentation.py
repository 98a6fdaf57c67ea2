"""Datasets augmented with generated samples: how good a classifier they make (Antorán & Miguel 2019, section IV-C)."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo import ConditionalVAE, NaturalClustering
from zoo.lab.analysis.evaluate import decode
from zoo.lab.data import Dataset
from zoo.papers.natural_clustering.gans import Generator

Generate = Callable[[Tensor], Tensor]  # labels [B] to images [B, ...]


def generate(model: nn.Module, *, sigma: float) -> Generate:
    """A function from labels [B] to images, means of p(x | y, z), for z ~ Normal(0, sigma I), sigma a deviation.

    Raises:
        TypeError: the model cannot be told a class.
    """
    if isinstance(model, NaturalClustering):
        sizes = {"z_c": model.classes * model.c_dim, "z_s": model.s_dim}
    elif isinstance(model, ConditionalVAE):
        sizes = {"z": len(model.loc)}
    elif isinstance(model, Generator):
        sizes = {"z": model.z_dim}
    else:
        raise TypeError(
            f"{type(model).__name__} does not generate by class: a NaturalClustering, ConditionalVAE or GAN"
        )

    def images(y: Tensor) -> Tensor:
        latents = {name: sigma * torch.randn(len(y), size, device=y.device) for name, size in sizes.items()}
        with torch.no_grad():
            if isinstance(model, Generator):
                made: Tensor = model(latents["z"], y)
                return made
            return decode(model, {"y": torch.eye(int(model.classes), device=y.device)[y], **latents})

    return images


def classification_error(
    data: Dataset,
    test: Dataset,
    *,
    classes: int,
    generate: Generate | None = None,
    share: float = 0.0,
    epochs: int = 10,
    hidden: int = 256,
    batch_size: int = 500,
    lr: float = 1e-3,
    seed: int = 0,
    device: str | torch.device = "cpu",
) -> float:
    """The error, in per cent of `test`, of a classifier trained on `data` with a share of it replaced.

    Each time a datapoint is seen it is, with probability `share`, replaced by a generated one of its class: the paper
    does not say whether anew or once for all. A dense layer of ReLU units and Adam; the paper names no classifier.
    Draws from torch's generator, which is left as it was.

    Args:
        data, test: labelled.
        classes: L.
        generate: labels to images; may be left out where `share` is 0.
        share: the probability.
        epochs, hidden, batch_size, lr: of the classifier.
        seed: of weights, order and draws.
        device: where.

    Raises:
        ValueError: there are no labels, the share is not in [0, 1], or there is nothing to replace with.
    """
    if data.y is None or test.y is None:
        raise ValueError(f"data {data.name!r} has no labels, so there is nothing to classify")
    if not 0 <= share <= 1 or (share > 0 and generate is None):
        raise ValueError(f"share must be in [0, 1], and with something to replace by unless it is 0; got {share:g}")
    here = torch.device(device)
    with torch.random.fork_rng([here] if here.type == "cuda" else []):
        torch.manual_seed(seed)
        pixels = data.batch(torch.arange(1)).x.numel()
        net = nn.Sequential(nn.Flatten(), nn.Linear(pixels, hidden), nn.ReLU(), nn.Linear(hidden, classes)).to(here)
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
    wrong = 0
    with torch.no_grad():
        for batch in test.in_order(2000, labels=True, device=here):
            assert batch.y is not None
            wrong += int((net(batch.x).argmax(-1) != batch.y).sum())
    return 100 * wrong / len(test)
