"""How a run's pair comes to be one of those that come with the zoo: measured, rounded to half precision, with a card.

    python -m zoo.papers.shipped NAME RUN

The quantities of its paper are measured before and after rounding. Where one moves by more than the tolerance, nothing
is written.
"""

import argparse
from collections.abc import Mapping
from pathlib import Path

import torch

from zoo.lab.analysis.grid import Grid2D, divergences, log_aggregate, log_prior
from zoo.lab.runs.command import train_command
from zoo.lab.runs.finished import FinishedRun
from zoo.metrics import Encoded, clusters, hoyer
from zoo.papers import open_run, recipe
from zoo.papers.decomposition import measures as decomposition
from zoo.papers.dip_vae.measures import measured as of_dip_vae
from zoo.papers.dip_vae.quantities import MEASURED as DIP_VAE
from zoo.papers.hfvae_topics import reproduction as topics
from zoo.papers.natural_clustering import measures as natural_clustering
from zoo.papers.weights import HERE, Measure, elbo_parts, keep
from zoo.papers.weights.card import write_cards


def of_types(trained: FinishedRun) -> dict[str, float]:
    """The accuracy in per cent of a type that was learnt without labels, and the number of its classes in use."""
    found = clusters(Encoded.of(trained.codes, trained.data.test))
    return {
        "accuracy of the type by majority": 100 * float(found.majority),
        "accuracy of the type, matched one to one": 100 * float(found.hungarian),
        "types in use": int(found.types_in_use.sum()),
    }


def of_classes(trained: FinishedRun) -> dict[str, float]:
    """N-VAE's accuracy, and the information in each class's latents and in the shared ones, nats."""
    found = natural_clustering.latent_quantities(trained)
    return {name: value for name, value in found.items() if name not in ("reconstruction", "KL of z_s")}  # the ELBO's


def of_clusters(trained: FinishedRun) -> dict[str, float]:
    """The match of q(z) of the training set with a prior in clusters on the plane, nats."""
    plane = Grid2D()
    q = decomposition.encoded(trained.guide, trained.data.train)
    found = divergences(log_prior(trained.model, plane.points), log_aggregate(q, plane.points), plane)
    return {"KL(p || q), training set": found.p_from_q, "KL(q || p), training set": found.q_from_p}


def of_sparse(trained: FinishedRun) -> dict[str, float]:
    """The sparsity of the posterior means: Hoyer's measure, from 0 to 1."""
    return {"Hoyer": float(hoyer(Encoded.of(trained.codes, trained.data.test)))}


def of_topics(trained: FinishedRun) -> dict[str, float]:
    """The use, the coherence and the correlations of topics, by their definitions, and the perplexity."""
    return {topics.QUANTITIES[name].what: value for name, value in topics.measured(trained).items()}


def of_factors(trained: FinishedRun) -> dict[str, float]:
    """DIP-VAE's metric and error, and the dependence of latents, by their definitions."""
    found = of_dip_vae(trained)
    return {DIP_VAE[name].what: value for name, value in found.items() if name not in ("cross_entropy", "kl")}


def of_units(trained: FinishedRun) -> dict[str, float]:
    """The number of latent dimensions that are used."""
    kl = trained.evaluate().kl
    return {"latent dimensions with more than 0.1 nats": int(sum((of_site > 0.1).sum() for of_site in kl.values()))}


MEASURES: Mapping[str, Measure] = {
    "vae": of_units,
    "beta-vae": of_units,
    "joint-vae": of_types,
    "hfvae": of_types,
    "hfvae/newsgroups": of_topics,
    "natural-clustering": of_classes,
    "dip-vae/digits": of_units,
    "dip-vae/shapes": of_factors,
    "decomposition/pinwheel": of_clusters,
    "decomposition/fashion-mnist": of_sparse,
}
"""The quantities of a recipe, or of all recipes of a paper that have no entry of their own."""


def measured(trained: FinishedRun) -> dict[str, float]:
    """The ELBO's parts on the test set, nats per datapoint, and the quantities of the run's paper.

    Raises:
        LookupError: the recipe has no quantities in `MEASURES`.
    """
    name = trained.settings.recipe
    own = MEASURES.get(name) or MEASURES.get(name.split("/")[0])
    if own is None:
        raise LookupError(f"the recipe {name!r} has no entry in MEASURES: add quantities that rounding may not move")
    return {**elbo_parts(trained), **own(trained)}


def ship(
    name: str,
    run: Path,
    *,
    trained_by: str = "",
    note: str = "",
    tolerance: float = 1e-3,
    bfloat16: bool = False,
) -> Path:
    """Writes the pair of the finished run in the folder `run` and the cards of all pairs; returns the weights' path.

    Args:
        name: for `zoo.papers.pretrained`.
        run: the run's folder.
        trained_by: the command that trained it, where that is not `train` with its settings.
        note: a sentence for the card.
        tolerance: see `keep`.
        bfloat16: whether the weights are rounded to bfloat16 instead of float16: about 14 % less in a wheel, which is
            compressed.

    Raises:
        FileNotFoundError: as `zoo.papers.open_run`.
        LookupError: the recipe has no quantities in `MEASURES`.
        ValueError: rounding to half precision moves a quantity by more than the tolerance.
    """
    trained = open_run(run)
    command = trained_by or train_command(trained.settings, recipe(trained.settings.recipe), trained.experiment)
    about = {"command": command, "seed": trained.settings.seed, "note": note}
    half = torch.bfloat16 if bfloat16 else torch.float16
    path = keep(name, trained, HERE, about, half=half, tolerance=tolerance, measure=measured)
    write_cards()
    return path


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("name")
    options.add_argument("run", type=Path)
    options.add_argument("--trained-by", default="")
    options.add_argument("--note", default="")
    options.add_argument("--tolerance", type=float, default=1e-3)
    options.add_argument("--bfloat16", action="store_true")
    print(f"wrote {ship(**vars(options.parse_args()))}")
