"""HFVAE's pictures for images, drawn from finished trials (Esmaeili et al. 2019, arXiv:1804.02086)."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from zoo.lab.analysis.interventions import RANGE_3, encode_modes, traverse_unit
from zoo.lab.analysis.posterior import decode, posterior_means
from zoo.lab.device import device_of
from zoo.lab.plots.curves import Setting, curves, trade_off
from zoo.lab.plots.image_grid import ImageGrid, side_by_side
from zoo.lab.plots.picture import Picture
from zoo.lab.runs.finished import FinishedRun
from zoo.lab.runs.traverse import traversal_pictures
from zoo.lab.trials.trial import Trial, best_of
from zoo.papers.hfvae import plots
from zoo.papers.hfvae.measures import PRUNED, about_data, about_label, encoded, ink, unit_of
from zoo.papers.hfvae.unseen import COMBINATIONS, REST, WHOLE, chosen, feature_values

SHOWN = ("units.png", "c.png", "samples-by-type.png", "confusion.png")
GAP = "I(y; c) - max I(y; z_d), nats"


def on_images(tried: Mapping[str, Sequence[Trial]]) -> dict[str, Picture]:
    """Figure 4 of the first variant's best seed."""
    return of_a_run(best_of(next(iter(tried.values())), "MIG").open(), "Figure 4")


def on_shapes(tried: Mapping[str, Sequence[Trial]]) -> dict[str, Picture]:
    """Figure 4 of the first variant's best seed, on 2D Shapes."""
    return of_a_run(best_of(next(iter(tried.values())), "I(shape; c)").open(), "As Figure 4")


def on_celeba(tried: Mapping[str, Sequence[Trial]]) -> dict[str, Picture]:
    """Figure 8 of the first seed."""
    return of_a_run(next(iter(tried.values()))[0].open(), "Figure 8")


def of_a_run(run: FinishedRun, name: str) -> dict[str, Picture]:
    """Traversals, and the information about x in each unit, the pruned ones in grey."""
    whose = f"HFVAE, seed {run.settings.seed}"
    pictures = {
        file: Picture(drawn, f"{whose}: {caption}.")
        for file, (drawn, caption) in traversal_pictures(run).items()
        if file in SHOWN
    }
    nats = {whose: about_data(encoded(run))}
    pictures["information.png"] = Picture(
        plots.information_bars(nats, label="I(x; z_d), nats, test set", threshold=PRUNED),
        f"{name}, right: I(x; z_d) of each unit, those below {PRUNED} nats in grey, the type last; {whose}.",
    )
    return pictures


def on_digits(tried: Mapping[str, Sequence[Trial]]) -> dict[str, Picture]:
    """Figures 4 and 5: the best seed of HFVAE, and the same seed of beta-VAE."""
    first = best_of(next(iter(tried.values())), "MIG")
    runs = {
        variant: next(trial for trial in trials if trial.seed == first.seed).open()
        for variant, trials in tried.items()
        if any(trial.seed == first.seed for trial in trials)
    }
    nats = {variant: about_label(encoded(run)) for variant, run in runs.items()}
    return {
        **of_a_run(first.open(), "Figure 4"),
        "figure5.png": Picture(
            side_by_side([thickness(variant, run) for variant, run in runs.items()]),
            "Figure 5, left: the unit of thickness from -3 to 3, all else as inferred from the first test image of "
            f"each digit; seed {first.seed} of both.",
        ),
        "figure5-labels.png": Picture(
            plots.information_bars(nats, label="I(y; z_d), nats, test set", threshold=PRUNED),
            f"Figure 5, right: information of each unit about the label, those below {PRUNED} nats in grey, the type "
            "last; the same seeds.",
        ),
    }


def thickness(variant: str, run: FinishedRun) -> ImageGrid:
    """Figure 5, left: the unit most correlated with the ink, traversed, for a test image of each digit."""
    data = run.data.test
    assert data.y is not None
    rows = [int(np.flatnonzero(data.y == label)[0]) for label in np.unique(data.y)]
    x = data.batch(torch.tensor(rows), device=device_of(run.model)).x
    found = unit_of(run, ink)
    values = RANGE_3 if found.correlation > 0 else -RANGE_3  # thin on the left
    images = traverse_unit(run.model, encode_modes(run.model, run.guide, x), "z", found.unit, values)
    labels = [data.class_name(data.y[row]) for row in rows]
    return ImageGrid(images, f"{variant}: z[{found.unit}], thin to thick", row_labels=labels)


def on_figure_6(tried: Mapping[str, Sequence[Trial]]) -> dict[str, Picture]:
    """Both panels of Figure 6, one point per run."""
    equal = {variant: trials for variant, trials in tried.items() if variant.startswith("gamma = beta")}
    families = {}
    for variant, trials in equal.items():
        found = [trial.quantities() for trial in trials]
        across, up = [numbers["I(x; z, c)"] for numbers in found], [numbers["TC"] for numbers in found]
        families[variant] = [Setting("", across, up)]
    gaps = {
        float(variant.rpartition(" = ")[2]): [trial.quantities()["MIG"] for trial in trials]
        for variant, trials in tried.items()
        if variant == "gamma = beta = 3" or variant not in equal
    }
    return {
        "figure6-left.png": Picture(
            trade_off(families, x="I(x; z, c), nats", y="TC of all units, nats"),
            "Figure 6, left: every run, and each setting's mean as a cross with two standard errors; the lower right "
            "is best.",
        ),
        "figure6-right.png": Picture(
            curves({"": {"gamma = 3": gaps}}, x="beta", y=GAP),
            "Figure 6, right: at gamma = 3 the type's information about the label minus the style's; every run, "
            "means with two standard errors.",
        ),
    }


def on_sensitivity(tried: Mapping[str, Sequence[Trial]]) -> dict[str, Picture]:
    """Appendix E: the gap over beta, a curve for each gamma, one point per run."""
    by_gamma: dict[str, dict[float, list[float]]] = {}
    for variant, trials in tried.items():
        beta, gamma = (part.rpartition(" = ")[2] for part in variant.split(", "))
        by_gamma.setdefault(f"gamma = {gamma}", {})[float(beta)] = [trial.quantities()["MIG"] for trial in trials]
    caption = "Appendix E: the same gap over beta and gamma; every run, means with two standard errors."
    return {"sensitivity.png": Picture(curves({"": by_gamma}, x="beta", y=GAP), caption)}


def on_unseen(tried: Mapping[str, Sequence[Trial]]) -> dict[str, Picture]:
    """Figure 7, of the first seed."""
    trial = next(iter(tried.values()))[0]
    whole, again = trial.open(WHOLE), trial.open(REST)
    rows = chosen(whole.data.test)
    images, values = {}, {}
    for combination in COMBINATIONS:
        some = rows[combination.name]
        some = some[np.linspace(0, len(some) - 1, 12).astype(int)]
        x = whole.data.test.batch(torch.from_numpy(some), device=device_of(whole.model)).x
        made = [decode(run.model, posterior_means(run.guide, x)) for run in (again, whole)]
        images[combination.name] = torch.stack([x, *made])
        values[combination.name] = feature_values(again, combination)
    caption = (
        "Figure 7: test images of the pruned combinations, reconstructed by a model trained without them and by a "
        "model trained on all digits; right, the codes of kept and pruned training images of the digit. Seed "
        f"{trial.seed}."
    )
    return {"figure7.png": Picture(plots.unseen(images, ["x", "trained without", "trained with"], values), caption)}
