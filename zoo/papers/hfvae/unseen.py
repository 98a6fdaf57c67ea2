"""HFVAE's Figure 7: combinations of factors that are left out of training (section 5.5)."""

import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from zoo.lab.analysis.evaluate import evaluate
from zoo.lab.data import Dataset
from zoo.lab.files import write_file
from zoo.lab.runs.finished import FinishedRun
from zoo.lab.trials.reproduction import Quantity
from zoo.lab.trials.trial import Trial
from zoo.papers.hfvae.measures import DIGITS_BETA, GAMMA, ink, styles, train, unit_of, width

WHOLE, REST = "whole", "rest"  # the folders of the two runs of a trial
SHARE = 1 / 3  # the share of a digit's images that is pruned


class Combination(NamedTuple):
    """A digit with a feature at one end of its range: name, label, feature, and 1 or -1 for the upper or lower end."""

    name: str
    label: int
    feature: Callable[[Tensor], Tensor]
    end: int


COMBINATIONS = (Combination("thick 7s", 7, ink, 1), Combination("narrow 0s", 0, width, -1))

UNSEEN_QUANTITIES = {
    f"{combination.name}, {name}": quantity
    for combination in COMBINATIONS
    for name, quantity in {
        "unseen": Quantity(f"E[log p(x)] of test {combination.name} by the model trained without any, nats", "high", 1),
        "seen": Quantity(f"E[log p(x)] of test {combination.name} by the model trained with others, nats", "high", 1),
        "told apart": Quantity(f"area under the ROC curve, the code of {combination.name} above kept ones", "high"),
    }.items()
}


def on_unseen(trial: Trial) -> Mapping[str, float]:
    """Trains on all digits; prunes the combinations; trains again on the rest; and compares the two models on images of
    the test set that have the combinations, which neither was trained on.
    """
    hyperparameters: dict[str, Any] = {"beta": DIGITS_BETA, "gamma": GAMMA}
    whole = train(trial, "hfvae/mnist", within=WHOLE, **hyperparameters)
    path = write_pruned(whole.data.train, trial.folder)
    options = {"x_max": whole.data.train.x_max}
    again = train(trial, "hfvae/mnist", within=REST, data=str(path), data_options=options, **hyperparameters)
    return compared(whole, again)


def compared(whole: FinishedRun, again: FinishedRun) -> dict[str, float]:
    """For each combination: E[log p(x)] of its test images under both models, and how well the code of the model
    trained without it separates it from the kept datapoints of the same digit, as the area under the ROC curve.
    """
    quantities, rows = {}, chosen(whole.data.test)
    for combination in COMBINATIONS:
        unseen = whole.data.test.subset(rows[combination.name])
        for name, trained in (("seen", whole), ("unseen", again)):
            found = evaluate(trained.model, trained.guide, unseen).reconstruction["x"]
            quantities[f"{combination.name}, {name}"] = found
        quantities[f"{combination.name}, told apart"] = separation(*feature_values(again, combination))
    return quantities


def chosen(data: Dataset) -> dict[str, np.ndarray]:
    """The rows of each combination: the third of the digit's images with the most extreme values of the feature."""
    assert data.y is not None
    found = {}
    for combination in COMBINATIONS:
        among = np.flatnonzero(data.y == combination.label)
        value = combination.end * combination.feature(data.batch(torch.from_numpy(among), device="cpu").x).numpy()
        found[combination.name] = np.sort(among[np.argsort(-value)[: round(SHARE * len(among))]])
    return found


def feature_values(again: FinishedRun, combination: Combination) -> tuple[np.ndarray, np.ndarray]:
    """The unit most correlated with the feature, signed towards the pruned end, in a model trained without the
    combination: for the digit's kept datapoints, and for the pruned ones, which are that run's test set.
    """
    kept, pruned = again.data
    assert kept.y is not None
    assert pruned.y is not None
    unit, correlation = unit_of(again, combination.feature, data=kept)
    sign = combination.end * np.sign(correlation)
    codes = [sign * styles(again, data)[:, unit].numpy() for data in (kept, pruned)]
    return codes[0][kept.y == combination.label], codes[1][pruned.y == combination.label]


def separation(kept: np.ndarray, pruned: np.ndarray) -> float:
    """The probability that a pruned datapoint's code is above a kept one's; 0.5 is chance."""
    from sklearn.metrics import roc_auc_score  # takes a second to import

    labels = np.repeat([0, 1], [len(kept), len(pruned)])
    return float(roc_auc_score(labels, np.concatenate([kept, pruned])))


def write_pruned(data: Dataset, folder: Path) -> Path:
    """Writes pruned.npz into `folder`: a training set without the combinations, and what was left out as the test
    set.
    """
    path = folder / "pruned.npz"
    if not path.is_file():  # kept, so that a resumed run sees the same data
        out = np.sort(np.concatenate(list(chosen(data).values())))
        kept = np.setdiff1d(np.arange(len(data)), out)
        assert data.y is not None
        file = io.BytesIO()
        arrays = {"x": data.x[kept], "y": data.y[kept], "x_test": data.x[out], "y_test": data.y[out]}
        np.savez_compressed(file, classes=np.array(data.classes), **arrays)
        write_file(path, file.getvalue())
    return path
