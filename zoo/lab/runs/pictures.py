"""The pictures of a run, drawn after training."""

import errno
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from zoo.lab.analysis.evaluate import Evaluation
from zoo.lab.analysis.interventions import LatentSites, encode_modes, guide_inputs, ranked
from zoo.lab.analysis.selection import spread
from zoo.lab.data import Dataset
from zoo.lab.device import device_of
from zoo.lab.isolation import isolated
from zoo.lab.plots.bars import kl_bars
from zoo.lab.plots.picture import Picture, save_pictures
from zoo.lab.plots.run import plot_terms, reconstructions, samples
from zoo.lab.plots.traversals import first_of, order_of, samples_by_type, unit_traversals
from zoo.lab.training.experiment import Experiment

MOST = 10  # units that are traversed
FULL = {errno.ENOSPC, errno.EDQUOT}  # no space left, or none left to this user


def draw_run(
    experiment: Experiment, data: Dataset, evaluation: Evaluation | None, folder: Path, *, seed: int
) -> tuple[dict[str, str], dict[str, str]]:
    """Draws a trained pair into its run's folder; the random state and the modules' modes are left as they were.

    Always: curves.png, the terms over steps; kl.png. Then the experiment's own pictures; if it has none and the data
    are images, reconstructions.png, samples.png, traversals.png for vectors of real numbers, and samples-by-type.png
    for types.

    Args:
        experiment: with a trained pair.
        data: the test set.
        evaluation: on it; None where it failed.
        folder: the run's folder.
        seed: of draws from the prior.

    Returns:
        Captions by file name; and for pictures that could not be drawn, the reason: a failing picture never ends a run.

    Raises:
        OSError: the disk is full.
    """
    captions: dict[str, str] = {}
    left_out: dict[str, str] = {}
    drawings: dict[str, Callable[[], Mapping[str, Picture]]] = {"the terms over steps": partial(_terms, folder)}
    if evaluation is None:
        left_out["pictures of the pair"] = "the evaluation failed"
    else:
        drawings["KL of every unit"] = partial(_kl, evaluation)
        try:
            drawings |= _of_the_pair(experiment, data, evaluation, seed)
        except Exception as error:  # as of a story that cannot run without data
            left_out["pictures of the pair"] = f"{type(error).__name__}: {error}"
    with isolated(experiment.model, experiment.guide, seed=seed):
        for what, draw in drawings.items():
            try:
                captions |= save_pictures(draw(), folder)
            except Exception as error:  # the run is trained, whatever fails here
                if isinstance(error, OSError) and error.errno in FULL:
                    raise  # the run is finished by resuming it, once there is room
                left_out[what] = f"{type(error).__name__}: {error}"
    return captions, left_out


def _of_the_pair(
    experiment: Experiment, data: Dataset, evaluation: Evaluation, seed: int
) -> dict[str, Callable[[], Mapping[str, Picture]]]:
    """Functions that draw, by what they show."""
    model, guide = experiment.model, experiment.guide
    if experiment.pictures:
        return {"the recipe's own pictures": partial(experiment.pictures, model, guide, data, evaluation)}
    if not data.are_images:
        return {}
    sites = LatentSites.of(model)

    def reconstructed() -> Mapping[str, Picture]:
        caption = "test data, spread over the classes, over the mean of p(x given the posterior mean)"
        return {"reconstructions.png": Picture(reconstructions(model, guide, data), caption)}

    def drawn() -> Mapping[str, Picture]:
        caption = "means of p(x given z) for z drawn from the prior"
        return {"samples.png": Picture(samples(model, seed=seed), caption)}

    def traversed() -> Mapping[str, Picture]:
        (index,) = spread(data, 1)
        start = encode_modes(model, guide, *guide_inputs(guide, data, [index], device_of(model)))
        units = ranked(sites, evaluation.kl)
        grid = unit_traversals(model, start, units[:MOST])
        caption = f"one unit at a time from -3 to 3, from test datapoint {index}{order_of(units)}"
        caption += first_of(len(grid.images), len(units))
        return {"traversals.png": Picture(grid, caption)}

    def by_type() -> Mapping[str, Picture]:
        caption = "a type in each row, all else drawn from the prior"
        return {"samples-by-type.png": Picture(samples_by_type(model, seed=seed), caption)}

    drawings: dict[str, Callable[[], Mapping[str, Picture]]] = {"reconstructions": reconstructed, "samples": drawn}
    if sites.units:
        drawings["traversals"] = traversed
    if sites.classes:
        drawings["samples by type"] = by_type
    return drawings


def _terms(folder: Path) -> Mapping[str, Picture]:
    caption = "every term of the objective over the steps: its batches, and means over stretches of training"
    return {"curves.png": Picture(plot_terms(folder), caption)}


def _kl(evaluation: Evaluation) -> Mapping[str, Picture]:
    return {"kl.png": Picture(kl_bars(evaluation), "KL of every latent unit on the test set, nats per datapoint")}
