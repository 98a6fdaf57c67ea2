"""Joint-VAE's pictures, drawn from finished trials (Dupont 2018, arXiv:1804.00104)."""

from collections.abc import Mapping, Sequence

from zoo.lab.plots.picture import Picture
from zoo.lab.runs.traverse import traversal_pictures
from zoo.lab.trials.trial import Trial, best_of

SHOWN = ("samples-by-type.png", "units.png", "z-", "discovery.png", "confusion.png", "azimuth.png")


def of_the_best_seed(
    tried: Mapping[str, Sequence[Trial]], *, variant: str = "Joint-VAE", by: str = "majority"
) -> dict[str, Picture]:
    """For a variant's best seed by a quantity: samples by type, units, the order of discovery, the azimuth."""
    best = best_of(tried[variant], by)
    return _chosen(traversal_pictures(best.open(), values="quantiles"), SHOWN, best.seed)


def both_gammas(tried: Mapping[str, Sequence[Trial]]) -> dict[str, Picture]:
    """Figures 1 and 10: the same seed under both gammas."""
    high = tried["gamma = 30"][0].open()
    low = tried["gamma = 3"][0].open()
    pictures = traversal_pictures(high, beside=low, values="quantiles")
    return _chosen(pictures, ("beside.png", "beside-kl.png"), high.settings.seed)


def _chosen(pictures: Mapping[str, Picture], beginnings: Sequence[str], seed: int) -> dict[str, Picture]:
    """The pictures whose file names begin with one of `beginnings`, with the seed in their captions."""
    return {
        name: Picture(drawn, f"Seed {seed}: {caption}.")
        for name, (drawn, caption) in pictures.items()
        if name.startswith(tuple(beginnings))
    }
