"""`python -m zoo traverse RUN`: pictures of the latents of a finished run."""

import warnings
from pathlib import Path

import torch
from torch import Tensor

from zoo.arguments import checked
from zoo.lab.analysis.interventions import (
    LatentSites,
    Unit,
    guide_inputs,
    quantiles,
    ranked,
)
from zoo.lab.analysis.knn_labels import NearestNeighbours
from zoo.lab.analysis.posterior import needs_labels
from zoo.lab.device import device_of
from zoo.lab.plots.image_grid import ImageGrid
from zoo.lab.plots.latents import aggregate, latent_scatter
from zoo.lab.plots.picture import Picture, save_pictures
from zoo.lab.plots.traversals import (
    Names,
    confusion_table,
    edited_images,
    first_of,
    order_of,
    samples_by_type,
    traversal_animation,
    type_labels,
    type_traversal,
    unit_traversal,
    unit_traversals,
)
from zoo.lab.runs.finished import FinishedRun
from zoo.lab.runs.over_training import compared, over_training
from zoo.lab.runs.starting_points import StartingPoints
from zoo.lab.runs.summary import read_kl
from zoo.metrics import Inapplicable
from zoo.termwise import family

VALUES = ("wide", "quantiles")
MOST = 3  # units with a separate picture, unless one is named
ANIMATED = 6
EDITED = 6  # datapoints


@checked()
def traverse(
    run: FinishedRun,
    out: Path,
    *,
    site: str | None = None,
    unit: int | None = None,
    datapoint: int | None = None,
    prior: int | None = None,
    values: str = "wide",
    beside: FinishedRun | None = None,
) -> dict[Path, str]:
    """Draws the pictures of `traversal_pictures` into the folder `out`, which is created if necessary.

    Within `drawn_as` they have its format; the animation is a GIF.

    Returns:
        Captions by file.

    Raises:
        LookupError, ValueError: as `traversal_pictures`, and then nothing is written; or the
            pictures have no such format.
        OSError: the folder cannot be written.
    """
    pictures = traversal_pictures(
        run, site=site, unit=unit, datapoint=datapoint, prior=prior, values=values, beside=beside
    )
    return {out / name: caption for name, caption in save_pictures(pictures, out).items()}


def traversal_pictures(
    run: FinishedRun,
    *,
    site: str | None = None,
    unit: int | None = None,
    datapoint: int | None = None,
    prior: int | None = None,
    values: str = "wide",
    beside: FinishedRun | None = None,
) -> dict[str, Picture]:
    """Pictures with captions, by file name.

    Always: units ranked by KL, the first of them one by one and by type, an animation; the means of the first two by
    class, and q(z) with the prior; images with one latent changed. With types: samples by type, each type on several
    datapoints, and the confusion matrix where the test set has labels. Where the run recorded KL over training: the
    order in which units were found, also as discovery.csv. Where the test set has an azimuth: the inferred
    against the true azimuth.

    Args:
        run: the run.
        site: only this site: a picture of each class if it is a type.
        unit: only this unit of the site.
        datapoint: test datapoint from whose code to start. When neither this nor `prior` is given, the first of the
            datapoints that are spread over the classes.
        prior: start from a draw of the prior, with this seed, instead.
        values: "wide" for -3 to 3, "quantiles" for a normal's 0.05 to 0.95.
        beside: another run on the same data, for Figures 1 and 10 of Joint-VAE.

    Raises:
        LookupError, ValueError: there is no such site, unit or datapoint; the data are not images; the story has
            nothing to traverse; both starting points are given; the other run has other data.
    """
    model, data = run.model, run.data.test
    if not data.are_images:
        raise ValueError(f"traversals need images, but the datapoints of {data.name!r} have the shape {data.shape}")
    if values not in VALUES:
        raise ValueError(f"--values is one of {', '.join(VALUES)}, got {values!r}")
    if beside is not None and _on(beside) != _on(run):
        raise ValueError(f"{beside.folder} is a run on {_on(beside)}, {run.folder} on {_on(run)}")
    sites = LatentSites.of(model)
    chosen = _chosen(sites, ranked(sites, read_kl(run.folder)), site, unit)
    start = StartingPoints.of(run, sites, datapoint, prior)
    pictures: dict[str, Picture] = {}
    names: Names = {}
    if sites.classes and site is None and _infers_types(run):
        try:
            found = type_labels(run.codes, data, device=device_of(model))
        except Inapplicable as reason:
            warnings.warn(f"confusion.png is left out: {reason}", stacklevel=2)
        else:
            names = found.names
            pictures["confusion.png"] = Picture(confusion_table(found), f"types against labels: {found.accuracy}")
    start = start.named(names)
    pictures |= _of_units(run, sites, start, chosen[: 1 if unit is not None else None], values)
    others: dict[str, Picture] = {}
    if site is None and unit is None:
        others |= _of_the_pair(run, sites, start, chosen, names) | over_training(run) | _azimuth(run, sites)
    if beside is not None:
        others |= compared(run, beside, start.datapoints[0], _values(values))
    if unit is None:
        for name in sites.classes:
            if site in (None, name):
                grid = type_traversal(model, start.several, name, names=names)
                taken = f"{name}.png" in pictures | others  # as of a site that is called latents
                file = f"{name}-types.png" if taken else f"{name}.png"
                pictures[file] = Picture(grid, f"every class of {name}, in each row another datapoint or draw")
    return pictures | others


def _of_units(
    run: FinishedRun, sites: LatentSites, start: StartingPoints, chosen: list[Unit], values: str
) -> dict[str, Picture]:
    """The units chosen, all together, the first ones by themselves, and as an animation."""
    if not chosen:
        return {}
    model, data = run.model, run.data
    grid = unit_traversals(model, start.one, chosen[:32], values=_values(values))
    caption = f"one unit in each row{order_of(chosen)}{first_of(len(grid.images), len(chosen))}"
    pictures = {"units.png": Picture(grid, caption)}
    judge = NearestNeighbours.of(data.train) if data.test.y is not None else None
    what = "type" + first_of(len(start.labels), sites.combinations) if sites.classes else "starting point"
    for one in chosen[:MOST]:
        grid = unit_traversal(model, start.rows, start.labels, one, values=_values(values))
        caption = f"{one.label}, in each row another {what}{_consistency(judge, grid)}"
        pictures[f"{one.site}-{one.index}.png"] = Picture(grid, caption)
    short = [label.split(":")[0] for label in start.labels]
    animation = traversal_animation(model, start.rows, short, chosen[:ANIMATED], values=_values(values, 25))
    return pictures | {"traversal.gif": Picture(animation, "the first units, animated")}


def _of_the_pair(
    run: FinishedRun, sites: LatentSites, start: StartingPoints, chosen: list[Unit], names: Names
) -> dict[str, Picture]:
    """The pictures that do not depend on a site or a unit."""
    model, guide, data = run.model, run.guide, run.data.test
    pictures = {}
    if sites.classes:
        grid = samples_by_type(model, seed=run.settings.seed, names=names)
        pictures["samples-by-type.png"] = Picture(grid, "a type in each row, all else from the prior")
    if chosen:
        changes = [(unit.site, unit.index, value) for unit in chosen[:MOST] for value in (-2.0, 2.0)]
        grid = edited_images(model, guide, data, start.datapoints[:EDITED], changes)
        pictures["edits.png"] = Picture(grid, "test images with one latent changed")
        figure = aggregate(model, guide, data, chosen[:7])
        pictures["aggregate.png"] = Picture(figure, "q(z) over the test set and the prior, by unit")
    if len(chosen) > 1:
        figure = latent_scatter(guide, data, chosen)
        by_class = ", by class" if data.y is not None else ""
        pictures["latents.png"] = Picture(figure, f"posterior means of {chosen[0]} and {chosen[1]}{by_class}")
    return pictures


def _azimuth(run: FinishedRun, sites: LatentSites) -> dict[str, Picture]:
    """Where the test set has an azimuth, the unit most correlated with it; a warning where none can be."""
    data = run.data.test
    if data.factors is None or "azimuth" not in data.factors.names or not sites.units:
        return {}
    from zoo.lab.analysis.azimuth import azimuth  # scikit-learn, which no other picture needs
    from zoo.lab.plots.azimuth import plot_azimuth

    try:
        found = azimuth(run.model, run.guide, data)
    except ValueError as reason:  # as of an azimuth in words, or of one value
        warnings.warn(f"azimuth.png is left out: {reason}", stacklevel=2)
        return {}
    return {"azimuth.png": Picture(plot_azimuth(found, run.guide, data), str(found))}


def _on(run: FinishedRun) -> str:
    return f"{len(run.data.test):,} test datapoints of {run.data.test.name!r}, shape {list(run.data.test.shape)}"


def _chosen(sites: LatentSites, units: list[Unit], site: str | None, unit: int | None) -> list[Unit]:
    """The requested units, in their ranking; none where a type is requested."""
    if not sites.units and not sites.classes:
        raise ValueError("the story has no latent site that can be traversed: no vector of real numbers, and no type")
    if unit is not None and site is None:
        if len(sites.units) != 1:
            raise ValueError(f"--unit {unit}: give its site, too: --site, one of {', '.join(sites.units)}")
        site = next(iter(sites.units))
    if site is None:
        return units
    sites.check(site, unit)
    if site in sites.classes and unit is not None:
        raise ValueError(f"site {site!r} is a type: leave --unit out, and all its classes are shown")
    return [u for u in units if u.site == site and unit in (None, u.index)]


def _values(name: str, num: int = 13) -> Tensor:
    return quantiles(num) if name == "quantiles" else torch.linspace(-3.0, 3.0, num)


def _infers_types(run: FinishedRun) -> bool:
    """Whether the guide infers a type from x alone, and the test set has labels to compare it with."""
    data = run.data.test
    if data.y is None or len(set(data.y.tolist())) < 2 or needs_labels(run.guide):
        return False
    first = guide_inputs(run.guide, data, [0], device_of(run.model))
    return any("OneHot" in family(fn) for fn in run.encode(*first).values())


def _consistency(judge: NearestNeighbours | None, grid: ImageGrid) -> str:
    """A phrase on how consistently each row of a grid keeps one label; empty without labels."""
    if judge is None:
        return ""
    share = judge.label_consistency(grid.images)
    return f"; to the nearest neighbours, {share.mean():.0%} of a row is one label, {share.min():.0%} in the worst"
