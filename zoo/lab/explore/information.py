"""The KL of every unit of a pair, by which a page orders its sliders."""

import warnings

import numpy as np
from torch import Tensor, nn

from zoo.lab.analysis.evaluate import evaluate
from zoo.lab.analysis.interventions import decoded
from zoo.lab.analysis.posterior import needs_labels
from zoo.lab.analysis.selection import spread
from zoo.lab.data import Dataset
from zoo.lab.explore.pair import latents_of
from zoo.pairing import SampledKLWarning


def kl_by_unit(
    model: nn.Module, guide: nn.Module, data: Dataset | None = None, *, num: int = 1000, seed: int = 0
) -> tuple[dict[str, Tensor], str]:
    """KL(q(site | x) || p(site)) by site, [units], nats per datapoint; and in words, what it is averaged over.

    It is averaged over `num` datapoints spread over the classes; without data, over the means of p(x | latents) for
    `num` draws from the prior.
    A KL without a closed form is estimated from one draw per datapoint.
    """
    if data is not None:
        index = np.asarray(spread(data, num))
        some, over = data.subset(index), f"{len(index):,} test datapoints"
    else:
        some, over = _of_the_story(model, num, seed), f"{num:,} datapoints that the story decodes from its prior"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SampledKLWarning)
        return evaluate(model, guide, some, labels=needs_labels(guide), seed=seed).kl, over


def _of_the_story(model: nn.Module, num: int, seed: int) -> Dataset:
    """Decoded draws from the prior, with their classes "y" as labels where the story has such a site."""
    sites, draws = latents_of(model, num, seed=seed)
    x = decoded(model, draws)
    labels = draws["y"].argmax(-1).cpu().numpy() if "y" in sites.classes else None
    return Dataset("draws from the prior", x.cpu().numpy(), labels)
