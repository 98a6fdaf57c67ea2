"""The quantities of HFVAE's figures and Table 3, and their runs (Esmaeili et al. 2019, arXiv:1804.02086)."""

from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from zoo.lab.analysis.elbo_anatomy import elbo_anatomy
from zoo.lab.analysis.interventions import RANGE_3, encode_modes, traverse_unit
from zoo.lab.analysis.knn_labels import NearestNeighbours
from zoo.lab.analysis.posterior import posterior_means
from zoo.lab.data import Dataset
from zoo.lab.device import device_of, fork_random_state
from zoo.lab.runs.finished import FinishedRun
from zoo.lab.trials.trial import Trial
from zoo.metrics import (
    Encoded,
    clusters,
    dci,
    factor_vae,
    information_about_data_by_latent,
    information_about_factors,
    mig_unnormalised,
)

EPOCHS, SHORT_EPOCHS, SHORT_BATCH = 200, 20, 128
SHAPES_STEPS, SHAPES_SHORT, SHAPES_WIDTH, SHAPES_BATCH = 37_500, 1_500, 400, 256
MINIBATCH = 512  # of the paper's estimator of q(z, c); the paper has 512 to 1,024
PRUNED = 0.1  # nats of I(x; z_d) below which a unit counts as pruned

BETA, GAMMA = 4.0, 3.0  # Table 3's
DIGITS_BETA = 10.0  # of Figures 4 and 5, for which the paper states none
EQUAL_VALUES = (2.0, 3.0, 4.0, 6.0)  # gamma = beta, the values in the caption of Figure 6
BETAS = (1.0, 3.0, 6.0)  # with gamma = 3; the caption states none
SENSITIVITY_EPOCHS = 5
SENSITIVITY_GRID = [(beta, gamma) for beta in (1.0, 4.0, 10.0) for gamma in (1.0, 3.0, 6.0)]


# Training.


def train(trial: Trial, recipe: str, *, epochs: float = SHORT_EPOCHS, **settings: Any) -> FinishedRun:
    """A run of the budget's length: 200 epochs; or `epochs` in smaller batches, with precision "medium".

    Args:
        trial, recipe: the trial and the recipe's name.
        epochs: of the short budget.
        settings: further arguments of `Trial.train`.
    """
    if trial.budget == "full":
        return trial.train(recipe, epochs=EPOCHS, **settings)
    return trial.train(recipe, epochs=epochs, batch_size=SHORT_BATCH, precision="medium", **settings)


def on_images(trial: Trial, *, recipe: str, **hyperparameters: Any) -> Mapping[str, float]:
    """A run on MNIST or Fashion-MNIST: the information of its latents about x and y."""
    return measured(train(trial, recipe, **hyperparameters))


def on_digits(trial: Trial, *, recipe: str, **hyperparameters: Any) -> Mapping[str, float]:
    """As `on_images`, on MNIST; and whether traversals of the thickness unit keep the digit (Figure 5)."""
    trained = train(trial, recipe, **hyperparameters)
    found = unit_of(trained, ink)
    return {**measured(trained), "thickness": abs(found.correlation), "steady": 100 * steady(trained, found.unit)}


def on_celeba(trial: Trial, *, recipe: str, **hyperparameters: Any) -> Mapping[str, float]:
    """A run on CelebA with the recipe's length: the information of its latents about x."""
    trained = trial.train(recipe, steps=trial.steps(full=31_700, short=600), **hyperparameters)
    return latent_quantities(trained, encoded(trained))


def train_on_shapes(trial: Trial, recipe: str, **hyperparameters: Any) -> FinishedRun:
    """A run on 2D Shapes of the budget's length."""
    if trial.budget == "full":
        return trial.train(recipe, steps=SHAPES_STEPS, **hyperparameters)
    smaller: dict[str, Any] = {"steps": SHAPES_SHORT, "batch_size": SHAPES_BATCH, "width": SHAPES_WIDTH}
    return trial.train(recipe, precision="medium", **smaller, **hyperparameters)


def on_shapes(trial: Trial, *, recipe: str, **hyperparameters: Any) -> Mapping[str, float]:
    """A run of Table 3: both metrics, on the held-out images."""
    trained = train_on_shapes(trial, recipe, **hyperparameters)
    evaluation = trained.evaluate()
    codes = encoded(trained)
    return {
        "Kim": float(factor_vae(codes, repeats=3)),
        "Eastwood": float(dci(codes, regressor="forest", repeats=3).disentanglement),
        "reconstruction": evaluation.reconstruction["x"],
        "KL of z": evaluation.kl["z"].sum().item(),
        **({"KL of c": evaluation.kl["c"].sum().item()} if "c" in evaluation.kl else {}),
    }


def units_on_shapes(trial: Trial, *, recipe: str, **hyperparameters: Any) -> Mapping[str, float]:
    """A run on 2D Shapes: the information of its latents about x, and of each unit about the shape."""
    trained = train_on_shapes(trial, recipe, **hyperparameters)
    codes = encoded(trained)
    about_shape = about_factor(codes, "shape")
    return {
        "I(shape; c)": about_shape.pop("c"),
        "max I(shape; z_d)": max(about_shape.values()),
        **latent_quantities(trained, codes),
    }


# Measured quantities.


def measured(trained: FinishedRun) -> dict[str, float]:
    """The information of the latents about x, and of each unit about the label, on the whole test set, nats."""
    codes = encoded(trained)
    about_y = about_label(codes)
    quantities = latent_quantities(trained, codes) | {
        "max I(y; z_d)": max(nats for name, nats in about_y.items() if name != "c")
    }
    if "c" not in about_y:
        return quantities
    found = clusters(codes)
    return quantities | {
        "I(y; c)": about_y["c"],
        "MIG": float(mig_unnormalised(codes, repeats=2).value[0]),
        "accuracy": 100 * float(found.majority),
        "types in use": int(found.types_in_use.sum()),
    }


def latent_quantities(trained: FinishedRun, codes: Encoded) -> dict[str, float]:
    """The ELBO's parts, I(x; z, c) and the total correlation with q(z, c) summed over the test set and estimated on its
    batches, and the number of pruned units.
    """
    model, guide, data = trained.model, trained.guide, trained.data.test
    evaluation = trained.evaluate()
    anatomy = partial(elbo_anatomy, model, guide, data, num_data=len(data))
    parts = anatomy(num_samples=1000)
    batch_size = min(MINIBATCH, len(data))
    paper = anatomy(estimator="stratified", batch_size=batch_size)
    mean_of_batch = anatomy(estimator="batch", batch_size=batch_size)
    return {
        "reconstruction": evaluation.reconstruction["x"],
        **{f"KL of {site}": kl.sum().item() for site, kl in evaluation.kl.items()},
        "I(x; z, c)": parts.mutual_information.mean.item(),
        "TC": (parts.between.mean + parts.within.mean.sum()).item(),
        "TC between": parts.between.mean.item(),
        "I(x; z, c), B = 512": paper.mutual_information.mean.item(),
        "I(x; z, c), 1/B": mean_of_batch.mutual_information.mean.item(),
        "TC, B = 512": (paper.between.mean + paper.within.mean.sum()).item(),
        "pruned": sum(nats < PRUNED for name, nats in about_data(codes).items() if name != "c"),
    }


def encoded(trained: FinishedRun) -> Encoded:
    """q(z, c | x) of up to 10,000 test images, the style given one draw of the type."""
    return Encoded.of(trained.codes, trained.data.test, device=device_of(trained.guide))


def about_data(codes: Encoded) -> dict[str, float]:
    """I(x; z_d) of each unit, nats: "z[0]", ..., "c"."""
    return dict(zip(_names(codes), information_about_data_by_latent(codes, repeats=2).value.tolist(), strict=True))


def about_label(codes: Encoded) -> dict[str, float]:
    """I(y; z_d) of each unit, nats, with y the label."""
    return about_factor(codes, codes.names[0])


def about_factor(codes: Encoded, factor: str) -> dict[str, float]:
    """I(y; z_d) of each unit, nats, with y a factor."""
    found = information_about_factors(codes, repeats=2)
    row = found.value[list(found.axes[0]).index(factor)]
    return dict(zip(_names(codes), row.tolist(), strict=True))


def _names(codes: Encoded) -> list[str]:
    return ["c" if name == "c" else name.replace("_", "[") + "]" for name in codes.units]


# What a unit encodes.


def ink(x: Tensor) -> Tensor:
    """The mean of each image's pixels [N, C, H, W]: among images of a digit, large for thick strokes."""
    return x.flatten(1).mean(1)


def width(x: Tensor) -> Tensor:
    """The horizontal standard deviation of each image's ink [N, C, H, W], in pixels."""
    mass = x.sum((1, 2))
    across = torch.arange(mass.shape[1]).to(mass)
    share = mass / mass.sum(1, keepdim=True).clamp(min=1e-6)
    mean = (share * across).sum(1, keepdim=True)
    return (share * (across - mean).square()).sum(1).sqrt()


class Found(NamedTuple):
    """The unit of z most correlated with a feature of the image: its index, and its correlation within labels."""

    unit: int
    correlation: float


def unit_of(trained: FinishedRun, feature: Any, *, data: Dataset | None = None) -> Found:
    """The unit of z whose mean is most correlated with a feature of the image within labels: by the mean over labels of
    Pearson's correlation, on the first 5,000 images.

    Among the units with at least 0.1 nats of I(x; z_d), or among all where none has: a correlation has no scale, and
    the means of a pruned unit, which hardly vary, can have a large one.

    Raises:
        ValueError: the data has no labels.
    """
    data = data or trained.data.test
    batch = data.batch(torch.arange(min(5_000, len(data))), labels=True, device=device_of(trained.model))
    if batch.y is None:
        raise ValueError(f"data {data.name!r} has no labels to compute correlations within")
    z, value = styles(trained, data)[: len(batch.x)], feature(batch.x).double().cpu()
    used = units_in_use(trained, data) or range(z.shape[1])
    y = batch.y.cpu()
    rows = []
    for label in y.unique():
        among = torch.cat([z[y == label].T, value[y == label].unsqueeze(0)])
        rows.append(torch.corrcoef(among)[-1, :-1].nan_to_num())
    correlations = torch.stack(rows).mean(0)
    best = max(used, key=lambda unit: abs(correlations[unit].item()))
    return Found(best, correlations[best].item())


def units_in_use(trained: FinishedRun, data: Dataset) -> list[int]:
    """The units of z with at least 0.1 nats of I(x; z_d), by up to 10,000 datapoints."""
    nats = about_data(Encoded.of(trained.codes, data, device=device_of(trained.guide)))
    of_z = [found for name, found in nats.items() if name != "c"]
    return [unit for unit, found in enumerate(of_z) if found >= PRUNED]


def styles(trained: FinishedRun, data: Dataset) -> Tensor:
    """The means of q(z | x) of a whole set, [N, D], given one draw of the type."""
    device = device_of(trained.guide)
    with fork_random_state(device):
        torch.manual_seed(0)
        batches = data.in_order(1000, device=device)
        return torch.cat([posterior_means(trained.guide, batch.x)["z"].double().cpu() for batch in batches])


def steady(trained: FinishedRun, unit: int) -> float:
    """The share of images in traversals of a unit of z from -3 to 3 that have the most frequent label of their row, by
    nearest neighbours: 1 where traversals keep the digit. There is a row for each of the first 50 test images.
    """
    x = trained.data.test.batch(torch.arange(50), device=device_of(trained.model)).x
    start = encode_modes(trained.model, trained.guide, x)
    images = traverse_unit(trained.model, start, "z", unit, RANGE_3)
    return NearestNeighbours.of(trained.data.train).label_consistency(images.cpu()).mean().item()
