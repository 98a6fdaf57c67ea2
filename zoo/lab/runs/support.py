"""Whether the data have a density under a story's likelihood, before a run begins."""

from typing import Any

import numpy as np
import torch
from pyro import poutine
from scipy import sparse
from torch.distributions.constraints import unit_interval

from zoo.lab.data import Split
from zoo.lab.data.rows import blocks
from zoo.lab.isolation import isolated
from zoo.lab.training.experiment import Experiment
from zoo.sites import nodes_of


def check_support(experiment: Experiment, split: Split) -> None:
    """Refuses floats of the training or the test set that are outside the support of the likelihood of site "x".

    Without this check, a test set with another scale would be noticed only after the training. Bytes, which are scaled
    to [0, 1], and sparse counts of words are not checked.

    Raises:
        ValueError: there are such values; the message names the set and its range.
    """
    sets = [data for data in (split.train, split.test) if _are_floats(data.x)]
    if not sets:
        return
    model, guide = experiment.model, experiment.guide
    with isolated(model, guide):
        few = split.train.batch(torch.arange(min(2, len(split.train))), labels=experiment.labels)
        args, _ = few.arguments()
        drawn = poutine.trace(guide).get_trace(*args)
        story = poutine.trace(poutine.replay(model, trace=drawn)).get_trace(*args)
        if "x" not in story or not story.nodes["x"]["is_observed"]:
            return
        support = nodes_of(story)["x"]["fn"].support
        for data in sets:
            if not all(support.check(batch.x).all() for batch in data.in_order(1_000)):
                which = "test set" if data is split.test else "training set"
                low = min(block.min() for _, block in blocks(data.x))
                high = max(block.max() for _, block in blocks(data.x))
                raise ValueError(
                    f"data {data.name!r}: the {which} has values in [{low:g}, {high:g}], outside of "
                    f"{_shown(support)}, the support of x's likelihood; scale training and test set alike"
                )


def _shown(support: Any) -> str:
    """An interval in the usual notation."""
    base = getattr(support, "base_constraint", support)
    return f"[{base.lower_bound:g}, {base.upper_bound:g}]" if isinstance(base, type(unit_interval)) else str(base)


def _are_floats(x: Any) -> bool:
    """Whether x holds floats, in memory, memory-mapped or computed; sparse counts of words are left out."""
    return not sparse.issparse(x) and np.issubdtype(x.dtype, np.floating)
