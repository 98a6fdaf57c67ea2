"""HFVAE's pictures for images, of finished trials (Esmaeili et al. 2019, arXiv:1804.02086)."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from zoo.lab.analysis.interventions import inferred, sweep, wide
from zoo.lab.analysis.posterior import decode, posterior_means
from zoo.lab.device import device_of
from zoo.lab.plots.image_grid import save_sheets
from zoo.lab.runs.finished import FinishedRun
from zoo.lab.runs.traverse import keep, traverse
from zoo.lab.trials.trial import Trial
from zoo.papers.hfvae import plots as plots
from zoo.papers.hfvae.measures import PRUNED, about_data, about_label, encoded, ink, unit_of
from zoo.papers.hfvae.unseen import COMBINATIONS, REST, WHOLE, chosen, feature_values

WANTED = ("units.png", "c.png", "samples-by-type.png", "confusion.png")


def best(of_it: Sequence[Trial], figure: str = "MIG") -> Trial:
    """The seed that is best by a figure."""
    return max(of_it, key=lambda trial: trial.quantities()[figure])


def on_images(tried: Mapping[str, Sequence[Trial]], folder: Path) -> Mapping[str, str]:
    """Figure 4 of the first variant's best seed."""
    return of_a_run(best(next(iter(tried.values()))).open(), folder, "Figure 4")


def on_celeba(tried: Mapping[str, Sequence[Trial]], folder: Path) -> Mapping[str, str]:
    """Figure 8 of the first seed."""
    return of_a_run(next(iter(tried.values()))[0].open(), folder, "Figure 8")


def of_a_run(trained: FinishedRun, folder: Path, name: str) -> dict[str, str]:
    """Traversals, and how much each unit knows of x, the pruned ones in grey."""
    whose = f"HFVAE, seed {trained.settings.seed}"
    captions = keep(traverse(trained, folder), WANTED, whose)
    (folder / "discovery.csv").unlink(missing_ok=True)  # of a picture that is not kept
    bars = {whose: about_data(encoded(trained))}
    file, label = "information.png", "I(x; z_d), nats, test set"
    plots.information_bars(bars, folder / file, label=label, threshold=PRUNED, dark=["c"])
    about = f"{name}, right: I(x; z_d) of each unit, those below {PRUNED} nats in grey, the type last; {whose}."
    return captions | {file: about}


def on_digits(tried: Mapping[str, Sequence[Trial]], folder: Path) -> Mapping[str, str]:
    """Figures 4 and 5: the best seed of HFVAE, and the same seed of beta-VAE beside it."""
    first = best(next(iter(tried.values())))
    captions = of_a_run(first.open(), folder, "Figure 4")
    runs = {
        variant: next(trial for trial in of_it if trial.seed == first.seed).open()
        for variant, of_it in tried.items()
        if any(trial.seed == first.seed for trial in of_it)
    }
    thickness(runs, folder / "figure5.png")
    plots.information_bars(
        {variant: about_label(encoded(trained)) for variant, trained in runs.items()},
        folder / "figure5-labels.png",
        label="I(y; z_d), nats, test set",
        threshold=PRUNED,
        dark=["c"],
    )
    return captions | {
        "figure5.png": "Figure 5, left: the unit of thickness from -3 to 3, all else as inferred from the first test "
        f"image of each digit; seed {first.seed} of both.",
        "figure5-labels.png": "Figure 5, right: what each unit tells about the label, those below "
        f"{PRUNED} nats in grey, the type last; the same seeds.",
    }


def thickness(runs: Mapping[str, FinishedRun], path: Path) -> None:
    """Figure 5, left: the unit that goes with the ink, swept, for a test image of each digit."""
    sheets, titles, labels = [], [], []
    for variant, trained in runs.items():
        data = trained.data.test
        assert data.y is not None
        rows = [int(np.flatnonzero(data.y == label)[0]) for label in np.unique(data.y)]
        start = inferred(
            trained.model, trained.guide, data.batch(torch.tensor(rows), device=device_of(trained.model)).x
        )
        found = unit_of(trained, ink)
        values = wide() if found.correlation > 0 else -wide()  # thin on the left
        sheets.append(sweep(trained.model, start, "z", found.unit, values))
        titles.append(f"{variant}: z[{found.unit}], thin to thick")
        labels.append([data.classes[data.y[row]] for row in rows])
    save_sheets(sheets, path, titles=titles, row_labels=labels)


def on_figure_6(tried: Mapping[str, Sequence[Trial]], folder: Path) -> Mapping[str, str]:
    """Both panels of Figure 6, every run a point."""
    equal = {variant: of_it for variant, of_it in tried.items() if variant.startswith("gamma = beta")}
    runs = {
        variant: [(trial.quantities()["I(x; z, c)"], trial.quantities()["TC"]) for trial in of_it]
        for variant, of_it in equal.items()
    }
    plots.trade_off(runs, folder / "figure6-left.png", x="I(x; z, c), nats", y="TC of all units, nats")
    gaps = {
        float(variant.rpartition(" = ")[2]): [trial.quantities()["MIG"] for trial in of_it]
        for variant, of_it in tried.items()
        if variant == "gamma = beta = 3" or variant not in equal
    }
    plots.over_beta({"gamma = 3": gaps}, folder / "figure6-right.png", x="beta", y="I(y; c) - max I(y; z_d), nats")
    return {
        "figure6-left.png": "Figure 6, left: every run, and each setting's mean as a cross; the lower right is best.",
        "figure6-right.png": "Figure 6, right: at gamma = 3 the gap between type and style in what they tell about the "
        "label; every run, means with two standard errors.",
    }


def on_sensitivity(tried: Mapping[str, Sequence[Trial]], folder: Path) -> Mapping[str, str]:
    """Appendix E: the gap over beta, a curve for each gamma, every run a point."""
    curves: dict[str, dict[float, list[float]]] = {}
    for variant, of_it in tried.items():
        beta, gamma = (part.rpartition(" = ")[2] for part in variant.split(", "))
        curves.setdefault(f"gamma = {gamma}", {})[float(beta)] = [trial.quantities()["MIG"] for trial in of_it]
    plots.over_beta(curves, folder / "sensitivity.png", x="beta", y="I(y; c) - max I(y; z_d), nats")
    return {
        "sensitivity.png": "Appendix E: the same gap over beta and gamma; every run, means with two standard errors."
    }


def on_unseen(tried: Mapping[str, Sequence[Trial]], folder: Path) -> Mapping[str, str]:
    """Figure 7, of the first seed."""
    trial = next(iter(tried.values()))[0]
    whole, again = trial.open(WHOLE), trial.open(REST)
    rows = chosen(whole)
    sheets, values = {}, {}
    for combination in COMBINATIONS:
        some = rows[combination.name]
        some = some[np.linspace(0, len(some) - 1, 12).astype(int)]
        x = whole.data.train.batch(torch.from_numpy(some), device=device_of(whole.model)).x
        made = [decode(trained.model, posterior_means(trained.guide, x)) for trained in (again, whole)]
        sheets[combination.name] = torch.stack([x, *made])
        values[combination.name] = feature_values(again, combination)
    plots.unseen(sheets, ["x", "never saw them", "saw them"], values, folder / "figure7.png")
    return {
        "figure7.png": "Figure 7: images of combinations that were pruned, reconstructed by the model that never saw "
        f"any and by the one that did; right, the codes of kept and pruned images of the digit. Seed {trial.seed}."
    }
