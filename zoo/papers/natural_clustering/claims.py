"""What the paper says, as checks on the results."""

import math
from collections.abc import Callable, Sequence
from typing import Any

from zoo.lab.trials.reproduction import Results
from zoo.papers.natural_clustering.augmentation import MODELS, SIGMAS, key
from zoo.papers.natural_clustering.measures import SETS


def says(results: Results, variants: Sequence[str], figure: str) -> str:
    """A figure's mean over seeds, by variant."""
    return f"{figure}: " + ", ".join(f"{v} {results.mean(v, figure):.3f}" for v in variants) + ". "


def every_seed(results: Results, variant: str, test: Callable[..., bool], *figures: str) -> bool | None:
    """Whether a test holds of the figures of every seed; None where there is none."""
    rows = list(zip(*(results.values(variant, figure) for figure in figures), strict=True))
    return all(test(*row) for row in rows) if rows else None


def yale_empty(results: Results) -> tuple[bool | None, str]:
    """Whether the faces' own units hold less than a tenth of a nat, and move next to nothing."""
    held = every_seed(
        results, "Yale B", lambda kl, c, s: kl < 0.1 and c < 0.1 * s, "KL of z_cy", "effect of z_c", "effect of z_s"
    )
    said = says(results, SETS, "KL of z_cy")
    for figure in ("effect of z_c", "effect of z_s", "accuracy"):
        said += says(results, ["Yale B"], figure)
    return held, said + "A guide that cannot tell the faces cannot tell which block is whose either."


def fashion_above(results: Results) -> tuple[bool | None, str]:
    """Whether the right class's unit holds more than any shared one."""
    held = every_seed(results, "Fashion-MNIST", lambda c, s: c > s, "KL of z_cy", "KL of a unit of z_s")
    said = says(results, ["Fashion-MNIST"], "KL of z_cy") + says(results, ["Fashion-MNIST"], "KL of a unit of z_s")
    return held, said + says(results, ["Fashion-MNIST"], "KL of the least unit of z_s")


def ordering(results: Results) -> tuple[bool | None, str]:
    """Whether the classes' own units hold most on Fashion-MNIST, then MNIST, then Yale B."""
    fashion, mnist, yale = (results.mean(v, "KL of z_cy") for v in ("Fashion-MNIST", "MNIST", "Yale B"))
    return (None if math.isnan(fashion + mnist + yale) else fashion > mnist > yale), says(results, SETS, "KL of z_cy")


def both_kinds(results: Results) -> tuple[bool | None, str]:
    """Whether MNIST uses the right class's unit and shared ones."""
    held = every_seed(results, "MNIST", lambda c, s: c > 0.1 and s > 0.1, "KL of z_cy", "KL of a unit of z_s")
    return held, says(results, ["MNIST"], "KL of z_cy") + says(results, ["MNIST"], "KL of a unit of z_s")


def others_empty(results: Results) -> tuple[bool | None, str]:
    """Whether the blocks of the wrong classes hold less than a tenth of the right one's, where that holds anything."""
    used = [v for v in SETS if results.mean(v, "KL of z_cy") > 0.1]
    means = [(results.mean(v, "KL of others"), results.mean(v, "KL of z_cy")) for v in used]
    return (all(o < 0.1 * c for o, c in means) if means else None), says(results, SETS, "KL of others")


def bias_saves(results: Results) -> tuple[bool | None, str]:
    """Whether the right class's unit costs more without the bias, in every seed."""
    without, with_ = (results.values(v, "KL of z_cy") for v in ("MNIST, no bias", "MNIST"))
    held = all(a > b for a, b in zip(without, with_, strict=True)) if len(without) == len(with_) > 0 else None
    return held, says(results, ["MNIST", "MNIST, no bias"], "KL of z_cy")


def shared_space_unimodal(results: Results) -> tuple[bool | None, str]:
    """Whether classes lie apart under beta-VAE, and not in N-VAE's shared space."""
    blob, modes = (results.mean(v, "between classes") for v in ("MNIST, s_dim = 2", "beta-VAE"))
    said = f"Share of the means' variance that is between classes: N-VAE's z_s {blob:.3f}, beta-VAE's z {modes:.3f}."
    return (None if math.isnan(blob + modes) else blob < 0.1 < modes), said


def insensitive(results: Results) -> tuple[bool | None, str]:
    """Whether beta_c = 4 comes to what beta_c = 2 does: the right class's KL within a quarter."""
    variants = ["MNIST, beta_c = 1", "MNIST, beta_c = 2", "MNIST, beta_c = 4"]
    two, four = (results.mean(v, "KL of z_cy") for v in variants[1:])
    said = says(results, variants, "KL of z_cy") + says(results, variants, "accuracy")
    return (None if math.isnan(two + four) else abs(four - two) < 0.25 * two), said


def lowest(data: str, share: float, sigma: float, *, among: Sequence[str] = MODELS) -> Callable[[Results], Any]:
    """Whether N-VAE has the lowest mean error."""

    def held(results: Results) -> tuple[bool | None, str]:
        figure = f"p = {share:g}, sigma = {sigma:g}"
        errors = {model: results.mean(key(data, model), figure) for model in among}
        said = f"{data}, {figure}: " + ", ".join(f"{model} {error:.2f} %" for model, error in errors.items()) + "."
        return (None if any(map(math.isnan, errors.values())) else min(errors, key=errors.__getitem__) == "N-VAE"), said

    return held


def keeps_falling(results: Results) -> tuple[bool | None, str]:
    """Whether N-VAE's error falls at every step of sigma, and no other model's does."""
    falls, said = {}, []
    for model in MODELS:
        means = [results.mean(key("mnist", model), f"p = 0.4, sigma = {sigma:g}") for sigma in SIGMAS]
        if any(map(math.isnan, means)):
            return None, ""
        falls[model] = means[0] > means[1] > means[2]
        said.append(f"{model} " + ", ".join(f"{mean:.2f}" for mean in means))
    return [model for model in MODELS if falls[model]] == ["N-VAE"], "; ".join(said) + " % at sigma = 1, 1.5, 2."


def below_baseline(results: Results) -> tuple[bool | None, str]:
    """Whether most models' errors are below the baseline on MNIST at p = 0.4 and sigma = 1."""
    base = results.mean(key("mnist", "baseline"), "no samples")
    means = {m: results.mean(key("mnist", m), "p = 0.4, sigma = 1") for m in MODELS}
    said = f"Baseline {base:.2f} %; " + ", ".join(f"{m} {e:.2f}" for m, e in means.items()) + "."
    return (None if math.isnan(base + sum(means.values())) else sum(e < base for e in means.values()) > 2), said


def worse_without_real(results: Results) -> tuple[bool | None, str]:
    """Whether generated data alone are worse than real data, for every model and set."""
    rows = []
    for data in ("mnist", "fashion-mnist"):
        base = results.mean(key(data, "baseline"), "no samples")
        best = min(results.mean(key(data, m), "p = 1, sigma = 1") for m in MODELS)
        rows.append((data, base, best))
    said = "; ".join(
        f"{data}: real data {base:.2f} %, the best of generated ones {best:.2f} %" for data, base, best in rows
    )
    return (None if any(math.isnan(b + m) for _, b, m in rows) else all(m > b for _, b, m in rows)), said + "."


def cgan_then_nvae(results: Results) -> tuple[bool | None, str]:
    """Whether CGAN is best on MNIST at p = 1 and sigma = 1, and N-VAE second."""
    errors = {m: results.mean(key("mnist", m), "p = 1, sigma = 1") for m in MODELS}
    if any(map(math.isnan, errors.values())):
        return None, ""
    order = sorted(errors, key=errors.__getitem__)
    return order[:2] == ["CGAN", "N-VAE"], ", ".join(f"{m} {errors[m]:.2f} %" for m in order) + "."
