"""N-VAE's figures (Antorán & Miguel 2019, arXiv:1901.09415)."""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pyro
import torch
from torch import Tensor, nn

from zoo import NaturalClustering
from zoo.lab.analysis.evaluate import evaluate, posterior_means
from zoo.lab.data import Dataset, load
from zoo.lab.runs.finished import Trained
from zoo.lab.trials.reproduction import Claim, Figure, Reproduction, Results
from zoo.lab.trials.trial import FIGURES as DONE
from zoo.lab.trials.trial import Trial, short_products
from zoo.papers.natural_clustering import plots as draw
from zoo.papers.natural_clustering.augmentation import classification_error, generate
from zoo.papers.natural_clustering.class_latents import Clustering, effect, measure
from zoo.papers.natural_clustering.few_labels import FEW_LABELS
from zoo.papers.natural_clustering.gans import train_gan
from zoo.papers.natural_clustering.recipes import count_classes

PAPER = (
    "Antorán & Miguel 2019, Disentangling and Learning Robust Representations with Natural Clustering, arXiv:1901.09415"
)

FIGURES = {
    "accuracy": Figure("accuracy of the inferred y on the test set, %", better="high", digits=2),
    "KL of z_s": Figure("KL of z_s, all units, test set, nats"),
    "KL of a unit of z_s": Figure("the same per unit, the largest", digits=3),
    "KL of the least unit of z_s": Figure("the same per unit, the smallest", digits=3),
    "KL of z_cy": Figure("KL per unit of the right class's block of z_c, nats", digits=3),
    "KL of others": Figure("KL per unit of the other classes' blocks, nats", digits=4),
    "effect of z_c": Figure("change of a pixel's mean when z_c is drawn anew, root mean square", digits=4),
    "effect of z_s": Figure("change of a pixel's mean when z_s is drawn anew, root mean square", digits=4),
    "reconstruction": Figure("E[log p(x | y, z)] on the test set, nats", better="high", digits=1),
}

DEVIATIONS = (
    "The text has no networks, sizes of latents, likelihood, alpha or optimiser, and there is no code. Ours: two "
    "hidden layers of 256 ReLU units each way, on Yale B too; 4 shared units, one for each class; grey pixels under a "
    "Bernoulli; alpha_p = 0.01; Adam at 1e-3, batches of 128 (Yale B: 64).",
    "q(pi | x) is Dirichlet(alpha_p + softmax), which holds the exact posterior; the text says a Dirichlet.",
    "The short budget is 6 epochs of MNIST and Fashion-MNIST (full: 20), and 6,000 steps of Yale B (full: 10,000).",
    "Matrix products take their factors in bfloat16 where the CPU can; sums are in float32.",
    "Little is left for z_c to say where z_s tells classes apart too: its traversals change digits and garments.",
    "Yale B is held to both angles; a tenth of its images, held out by chance, is the test set.",
)


def inside(trained: Trained) -> dict[str, float]:
    """What z_c and z_s hold on the test set, and how well y is inferred."""
    data, model, guide = trained.data.test, trained.model, trained.guide
    found = measure(guide, data, classes=count_classes(trained.data.train))
    return {
        "accuracy": 100 * found.accuracy,
        "KL of z_s": found.shared.sum().item(),
        "KL of a unit of z_s": found.shared.max().item(),
        "KL of the least unit of z_s": found.shared.min().item(),
        "KL of z_cy": found.own.mean().item(),
        "KL of others": found.others.mean().item(),
        "effect of z_c": effect(model, guide, data, site="z_c"),
        "effect of z_s": effect(model, guide, data, site="z_s"),
        "reconstruction": evaluate(model, guide, data, labels=True).reconstruction["x"],
    }


def trained_on(data: str, **knobs: Any) -> Callable[[Trial], Mapping[str, float]]:
    """A trial of N-VAE on a data set."""

    def run(trial: Trial) -> Mapping[str, float]:
        short, full = (6_000, 10_000) if data == "yale-b" else (2_808, 9_360)
        with short_products():
            steps = trial.steps(full=full, short=short)
            return inside(trial.train(f"natural-clustering/{data}", steps=steps, **knobs))

    return run


def says(results: Results, variants: Sequence[str], figure: str) -> str:
    """A figure's mean over seeds, by variant."""
    return f"{figure}: " + ", ".join(f"{v} {results.mean(v, figure):.3f}" for v in variants) + ". "


def every_seed(results: Results, variant: str, test: Callable[..., bool], *figures: str) -> bool | None:
    """Whether a test holds of the figures of every seed; None where there is none."""
    rows = list(zip(*(results.values(variant, figure) for figure in figures), strict=True))
    return all(test(*row) for row in rows) if rows else None


SETS = ("MNIST", "Fashion-MNIST", "Yale B")


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


def kl_pictures(tried: Mapping[str, Sequence[Trial]], folder: Path) -> Mapping[str, str]:
    """Figures 1, 2, 5, 6, 7, 8, 10 and 11, of the first seeds; Figure 5 of all."""
    captions: dict[str, str] = {}

    def kept(file: str, caption: str) -> Path:
        captions[file] = caption
        return folder / file

    def found(variant: str) -> list[Clustering]:
        return [_measured(trial.open()) for trial in tried.get(variant, ())]

    measured = {variant: seeds for variant in SETS if (seeds := found(variant))}
    if measured:
        draw.kl_by_dimension(measured, kept("figure5.png", "Figure 5: KL of each unit, mean and deviation over seeds"))
    by_class = {v: found(v)[0] for v in ("MNIST", "MNIST, no bias") if tried.get(v)}
    if by_class:
        draw.kl_by_class(by_class, kept("figure10.png", "Figure 10: KL of every block, with and without the bias"))
    numbers = {"MNIST": ("1", "2"), "Fashion-MNIST": ("6", "7"), "Yale B": ("", "8")}
    for variant, (own, shared) in numbers.items():
        if variant not in measured:
            continue
        trained = tried[variant][0].open()
        model, names = trained.model, trained.data.train.classes
        assert isinstance(model, NaturalClustering)
        if own:
            draw.class_traversals(model, kept(f"figure{own}.png", f"Figure {own}: z_c of {variant}"), names=names)
        best = measured[variant][0].shared.argsort(descending=True)[:3].tolist()
        path = kept(f"figure{shared}.png", f"Figure {shared}: units of z_s of {variant}")
        draw.shared_traversals(
            model, path, sizes=draw.sizes_of(model), units=best, classes=range(0, model.classes, 2)[:5], names=names
        )
        if variant == "MNIST":
            path = kept("figure11.png", "Figure 11: samples at sigma = 1.4")
            draw.samples(model, draw.sizes_of(model), path, sigma=1.4, names=names)
    return captions


def _measured(trained: Trained) -> Clustering:
    return measure(trained.guide, trained.data.test, classes=count_classes(trained.data.train))


# What our choices do to the conclusions; and Figure 3.


def beta_vae(trial: Trial) -> Mapping[str, float]:
    """beta-VAE with beta = 5 and two units, as Figure 3 has it."""
    with short_products():
        steps = trial.steps(full=9_360, short=2_808)
        trained = trial.train("beta-vae", data="mnist", steps=steps, batch_size=128, beta=5.0, z_dim=2)
    return {"reconstruction": evaluate(trained.model, trained.guide, trained.data.test).reconstruction["x"]} | spread(
        trained, "z"
    )


def two_shared(trial: Trial) -> Mapping[str, float]:
    """N-VAE with two shared units."""
    return {**trained_on("mnist", s_dim=2)(trial), **spread(trial.open(), "z_s")}


def spread(trained: Trained, site: str) -> dict[str, float]:
    """How far apart the classes lie in a latent space: the share of its means' variance that is between classes."""
    batch = trained.data.test.batch(torch.arange(len(trained.data.test)), labels=True)
    assert batch.y is not None
    z = posterior_means(trained.guide, batch.x)[site]
    member = torch.eye(int(batch.y.max()) + 1)[batch.y]
    centres = member.T @ z / member.sum(0)[:, None]
    between = (member.mean(0)[:, None] * (centres - z.mean(0)).square()).sum() / z.var(0, correction=0).sum()
    return {"between classes": between.item()}


def one_blob(results: Results) -> tuple[bool | None, str]:
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


def latent_spaces(tried: Mapping[str, Sequence[Trial]], folder: Path) -> Mapping[str, str]:
    """Figure 3."""
    means: dict[str, Tensor] = {}
    y, names = torch.zeros(0), tuple[str, ...]()
    for variant, site in (("beta-VAE", "z"), ("MNIST, s_dim = 2", "z_s")):
        for trial in list(tried.get(variant, ()))[:1]:
            data, guide = trial.open().data.test, trial.open().guide
            batch = data.batch(torch.arange(len(data)), labels=True)
            assert batch.y is not None
            y, names = batch.y, data.classes
            title = {"z": "beta-VAE, beta = 5: means of q(z | x)", "z_s": "N-VAE: means of q(z_s | x)"}[site]
            means[title] = posterior_means(guide, batch.x)[site]
    if not means:
        return {}
    draw.latent_spaces(means, y, folder / "figure3.png", names=names)
    return {"figure3.png": "Figure 3: two-dimensional latents of MNIST's test set"}


# Figure 9.

SIGMAS = (1.0, 1.5, 2.0)
SHARES = (0.4, 1.0)
MODELS = ("N-VAE", "CVAE", "CGAN", "AC-GAN")
PANELS = [(data, share) for share in SHARES for data in ("mnist", "fashion-mnist")]


def augmented(model: str | None, data: str) -> Callable[[Trial], Mapping[str, float]]:
    """Trains a generator on a data set, and a classifier for each share and sigma; without a model the baseline."""

    def run(trial: Trial) -> Mapping[str, float]:
        with short_products():
            split = load(data, folder=trial.data_dir, download=trial.download)
            error = partial(
                classification_error,
                split.train,
                split.test,
                classes=10,
                epochs=trial.steps(full=10, short=3),
                seed=trial.seed,
                device=trial.device or "cpu",
            )
            if model is None:
                return {"no samples": error()}
            made = generator(model, data, trial, split.train)
            return {
                f"p = {share:g}, sigma = {sigma:g}": error(generate=generate(made, sigma=sigma), share=share)
                for share in SHARES
                for sigma in SIGMAS
            }

    return run


def generator(model: str, data: str, trial: Trial, train: Dataset) -> nn.Module:
    """A trained generator by class."""
    steps = trial.steps(full=9_360, short=1_872)
    if model == "N-VAE":
        return trial.train(f"natural-clustering/{data}", steps=steps).model
    if model == "CVAE":
        return trial.train("conditional-vae", data=data, steps=steps, z_dim=5).model
    device = trial.device or "cpu"
    pyro.set_rng_seed(trial.seed)
    batches = train.batches(128, seed=trial.seed, steps=steps, labels=True, device=device)
    return train_gan(batches, auxiliary=model == "AC-GAN", classes=10, shape=train.shape, device=device)


def _key(data: str, model: str) -> str:
    return f"{model}, {data}"


def lowest(data: str, share: float, sigma: float, *, among: Sequence[str] = MODELS) -> Callable[[Results], Any]:
    """Whether N-VAE has the lowest mean error."""

    def held(results: Results) -> tuple[bool | None, str]:
        figure = f"p = {share:g}, sigma = {sigma:g}"
        errors = {model: results.mean(_key(data, model), figure) for model in among}
        said = f"{data}, {figure}: " + ", ".join(f"{model} {error:.2f} %" for model, error in errors.items()) + "."
        return (None if any(map(math.isnan, errors.values())) else min(errors, key=errors.__getitem__) == "N-VAE"), said

    return held


def keeps_falling(results: Results) -> tuple[bool | None, str]:
    """Whether N-VAE's error falls at every step of sigma, and no other model's does."""
    falls, said = {}, []
    for model in MODELS:
        means = [results.mean(_key("mnist", model), f"p = 0.4, sigma = {sigma:g}") for sigma in SIGMAS]
        if any(map(math.isnan, means)):
            return None, ""
        falls[model] = means[0] > means[1] > means[2]
        said.append(f"{model} " + ", ".join(f"{mean:.2f}" for mean in means))
    return [model for model in MODELS if falls[model]] == ["N-VAE"], "; ".join(said) + " % at sigma = 1, 1.5, 2."


def below_baseline(results: Results) -> tuple[bool | None, str]:
    """Whether most models' errors are below the baseline on MNIST at p = 0.4 and sigma = 1."""
    base = results.mean(_key("mnist", "baseline"), "no samples")
    means = {m: results.mean(_key("mnist", m), "p = 0.4, sigma = 1") for m in MODELS}
    said = f"Baseline {base:.2f} %; " + ", ".join(f"{m} {e:.2f}" for m, e in means.items()) + "."
    return (None if math.isnan(base + sum(means.values())) else sum(e < base for e in means.values()) > 2), said


def worse_without_real(results: Results) -> tuple[bool | None, str]:
    """Whether generated data alone are worse than real data, for every model and set."""
    rows = []
    for data in ("mnist", "fashion-mnist"):
        base = results.mean(_key(data, "baseline"), "no samples")
        best = min(results.mean(_key(data, m), "p = 1, sigma = 1") for m in MODELS)
        rows.append((data, base, best))
    said = "; ".join(
        f"{data}: real data {base:.2f} %, the best of generated ones {best:.2f} %" for data, base, best in rows
    )
    return (None if any(math.isnan(b + m) for _, b, m in rows) else all(m > b for _, b, m in rows)), said + "."


def cgan_then_nvae(results: Results) -> tuple[bool | None, str]:
    """Whether CGAN is best on MNIST at p = 1 and sigma = 1, and N-VAE second."""
    errors = {m: results.mean(_key("mnist", m), "p = 1, sigma = 1") for m in MODELS}
    if any(map(math.isnan, errors.values())):
        return None, ""
    order = sorted(errors, key=errors.__getitem__)
    return order[:2] == ["CGAN", "N-VAE"], ", ".join(f"{m} {errors[m]:.2f} %" for m in order) + "."


def augmentation_pictures(tried: Mapping[str, Sequence[Trial]], folder: Path) -> Mapping[str, str]:
    """Figure 9."""
    figures = {
        variant: [json.loads((trial.folder / DONE).read_text())["figures"] for trial in of_it]
        for variant, of_it in tried.items()
    }
    panels: dict[str, Any] = {}
    baselines: dict[str, list[float]] = {}
    for data, share in PANELS:
        title = f"{data}, p = {share:g}"
        panels[title] = {
            model: {s: [f[f"p = {share:g}, sigma = {s:g}"] for f in figures[_key(data, model)]] for s in SIGMAS}
            for model in MODELS
            if _key(data, model) in figures
        }
        if share < 1:  # far below the curves of p = 1
            baselines[title] = [f["no samples"] for f in figures.get(_key(data, "baseline"), [])]
    draw.curves(panels, baselines, folder / "figure9.png")
    return {"figure9.png": "Figure 9: error of classifiers on the test set, mean and standard deviation over repeats"}


REPRODUCTIONS: dict[str, Reproduction] = {
    "natural-clustering/few-labels": FEW_LABELS,
    "natural-clustering/kl": Reproduction(
        title="N-VAE: what each class's latents and the shared ones hold",
        paper=f"{PAPER}, section IV-A, Figures 5 and 10, appendix B",
        variants={
            "MNIST": trained_on("mnist"),
            "MNIST, no bias": trained_on("mnist", bias=False),
            "Fashion-MNIST": trained_on("fashion-mnist"),
            "Yale B": trained_on("yale-b"),
        },
        figures=FIGURES,
        headline=[(v, f) for v in SETS for f in ("accuracy", "KL of z_cy", "KL of a unit of z_s")],
        seeds={"full": 5, "short": 3},
        claims=[
            Claim("On MNIST there are both class-dependent and shared factors (both kinds hold nats).", both_kinds),
            Claim("The class-dependent variables carry the most information for Fashion-MNIST: of the sets.", ordering),
            Claim("On Fashion-MNIST the right class's variable carries more than the shared ones.", fashion_above),
            Claim("On Yale B z_c is practically uninformative; changing it does not affect the images.", yale_empty),
            Claim("The blocks of wrong classes match the prior and say nothing.", others_empty),
            Claim("Without the bias the KL of class-dependent variables grows (Figure 10, MNIST).", bias_saves),
        ],
        deviations=DEVIATIONS,
        pictures=kl_pictures,
    ),
    "natural-clustering/choices": Reproduction(
        title="N-VAE under other choices, and beside beta-VAE",
        paper=f"{PAPER}, section IV (beta_c), Figure 3",
        variants={
            "MNIST, beta_c = 1": trained_on("mnist", beta_c=1.0),
            "MNIST, beta_c = 2": trained_on("mnist"),
            "MNIST, beta_c = 4": trained_on("mnist", beta_c=4.0),
            "MNIST, c_dim = 2": trained_on("mnist", c_dim=2),
            "MNIST, s_dim = 2": two_shared,
            "MNIST, s_dim = 10": trained_on("mnist", s_dim=10),
            "Fashion-MNIST, beta_c = 1": trained_on("fashion-mnist", beta_c=1.0),
            "Fashion-MNIST, c_dim = 2": trained_on("fashion-mnist", c_dim=2),
            "Fashion-MNIST, s_dim = 2": trained_on("fashion-mnist", s_dim=2),
            "beta-VAE": beta_vae,
        },
        figures=FIGURES | {"between classes": Figure("share of the means' variance between classes", digits=3)},
        seeds={"full": 3, "short": 1},
        claims=[
            Claim("N-VAE is relatively insensitive to beta_c as long as it is above 1.", insensitive),
            Claim("beta-VAE's latents are multimodal, about a mode for each digit; N-VAE's shared ones not.", one_blob),
        ],
        deviations=DEVIATIONS,
        pictures=latent_spaces,
    ),
    "natural-clustering/augmentation": Reproduction(
        title="Classifiers trained on generated digits and garments",
        paper=f"{PAPER}, section IV-C, Figure 9",
        variants={
            _key(data, model): augmented(None if model == "baseline" else model, data)
            for data in ("mnist", "fashion-mnist")
            for model in ("baseline", *MODELS)
        },
        figures={"no samples": Figure("test error of the classifier on real data alone, %", better="low")}
        | {
            f"p = {share:g}, sigma = {sigma:g}": Figure(
                f"test error, %, a datapoint replaced with probability {share:g}, z ~ Normal(0, {sigma:g} I)",
                better="low",
            )
            for share in SHARES
            for sigma in SIGMAS
        },
        headline=[(_key("mnist", m), f"p = 0.4, sigma = {s:g}") for m in MODELS for s in (1.0, 2.0)],
        seeds={"full": 3, "short": 3},
        claims=[
            Claim("a) On MNIST most models' samples lower the error.", below_baseline),
            Claim("a) N-VAE is the only model whose error keeps falling as sigma grows.", keeps_falling),
            Claim("b) On Fashion-MNIST N-VAE's samples harm the least (sigma = 1).", lowest("fashion-mnist", 0.4, 1.0)),
            Claim("Generated data alone are clearly worse than real data.", worse_without_real),
            Claim("c) On MNIST from generated data alone CGAN is best at sigma = 1, N-VAE second.", cgan_then_nvae),
            Claim(
                "d) On Fashion-MNIST from generated data alone N-VAE is best (sigma = 1).",
                lowest("fashion-mnist", 1, 1),
            ),
            *(
                Claim(f"N-VAE is best as sigma increases ({data}, p = {share:g}, sigma = 2).", lowest(data, share, 2.0))
                for data, share in PANELS
            ),
        ],
        deviations=(
            *DEVIATIONS[:2],
            "Generators: N-VAE as above; the conditional VAE has the same networks and 5 units; both GANs have two "
            "hidden layers of 256 units and 64 units of noise. Short budget: 4 epochs for each (full: 20).",
            "The classifier is one hidden layer of 256 ReLU units under Adam, in batches of 500, for 3 epochs (full: "
            "10); the paper names none. A point is replaced anew each time it is seen.",
            "Generated images are means of p(x | y, z); sigma is a standard deviation.",
            "The short budget says little for or against the claims: after 4 epochs the generators still mix classes, "
            "and a classifier of 3 epochs has not begun to overfit, which is what samples are to help against.",
            DEVIATIONS[3],
        ),
        pictures=augmentation_pictures,
    ),
}
