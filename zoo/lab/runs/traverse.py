"""`python -m zoo traverse RUN`: every picture of a run that shows what its latents mean."""

import csv
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch

from zoo.lab.analysis.interventions import (
    Settings,
    Sites,
    Unit,
    from_prior,
    inferred,
    observed,
    quantiles,
    ranked,
    types,
    wide,
)
from zoo.lab.analysis.kl_history import Discovery, History, Run, capacities, order, overshoot
from zoo.lab.analysis.knn_labels import Judge
from zoo.lab.device import device_of
from zoo.lab.plots import aggregate, latent_scatter
from zoo.lab.plots import traversals as sheets
from zoo.lab.plots.azimuth import plot_azimuth
from zoo.lab.plots.kl_history import plot_kl_history
from zoo.lab.runs.finished import FinishedRun
from zoo.termwise import family

VALUES: dict[str, Callable[[], torch.Tensor]] = {"wide": wide, "quantiles": quantiles}
MOST = 3  # units with a sheet of their own, unless one is named
IN_FILM = 6
ROWS = 8  # settings, where there is no type to make rows of


def traverse(
    trained: FinishedRun,
    out: Path,
    *,
    site: str | None = None,
    unit: int | None = None,
    datapoint: int | None = None,
    prior: int | None = None,
    values: str = "wide",
    beside: FinishedRun | None = None,
) -> Iterator[tuple[Path, str]]:
    """Draws what the run allows; gives each file as soon as it is there, and in words what it shows.

    Always: units ranked by KL, the first of them one by one and by type, a film; the first two's means by class, and
    q(z) beside the prior. With types: samples by type, each type on several styles, and the confusion matrix where the
    test set has labels. Where a guide infers the latents: edited images. Where the run has its history: what was found
    when, discovery.csv too. Where the test set has an azimuth: what is inferred of it.

    Args:
        trained: the run.
        out: a folder, made if need be.
        site: this site alone: a sheet for each class if it is a type.
        unit: this unit of it alone.
        datapoint: of the test set, from whose code to start; the first when neither this nor `prior` is given.
        prior: start from a draw of the prior, with this seed, instead.
        values: "wide" for -3 to 3, "quantiles" for a normal's 0.05 to 0.95.
        beside: another run on the same data, for Figures 1 and 10.

    Raises:
        LookupError, ValueError: there is no such site, unit or datapoint; the data are no images; the story has nothing
            to traverse; both starting points are given; the other run has other data.
        OSError: the folder cannot be written.
    """
    model, data = trained.model, trained.data.test
    if len(data.shape) != 3 or data.shape[0] not in (1, 3):
        raise ValueError(f"traversals are pictures, and the datapoints of {data.name!r} have the shape {data.shape}")
    if values not in VALUES:
        raise ValueError(f"--values is one of {', '.join(VALUES)}, got {values!r}")
    if beside is not None and beside.data.test.shape != data.shape:
        raise ValueError(f"{beside.folder} is a run on {beside.settings.data}, {trained.folder} on {data.name}")
    sites = Sites.of(model)
    chosen = _chosen(sites, ranked(sites, _kl(trained)), site, unit)
    start, rows, labels = _start(trained, sites, datapoint, prior)
    swept = VALUES[values]()
    out.mkdir(parents=True, exist_ok=True)

    def file(name: str) -> Path:
        return out / name

    names: sheets.Names = {}
    if sites.classes and site is None and _infers_types(trained):
        names, accuracy = sheets.confusion(trained.encode, data, file("confusion.png"), device=device_of(model))
        yield file("confusion.png"), f"types against labels: {accuracy}"
    labels = [names.get(label, label) for label in labels]
    if chosen:
        sheets.units(model, start, chosen[:32], file("units.png"), values=swept)
        yield file("units.png"), "one unit in each row, by KL"
    judge = Judge.of(trained.data.train) if data.y is not None else None
    what = "type" if sites.classes else "setting"
    for one in chosen[: MOST if unit is None else 1]:
        path = file(f"{one.site}-{one.index}.png")
        images = sheets.one_unit(model, rows, labels, one, path, values=swept)
        yield path, f"{one.label}, in each row another {what}{_steady(judge, images)}"
    for name in [n for n in sites.classes if site in (None, n) and unit is None]:
        styles = _several(trained, datapoint or 0, prior)
        sheets.one_type(model, styles, name, file(f"{name}.png"), names=names)
        yield file(f"{name}.png"), f"every class of {name}, in each row another style"
    if chosen:
        film = file("traversal.gif")
        fine = quantiles(25) if values == "quantiles" else torch.linspace(-3.0, 3.0, 25)
        short = [label.split("  ")[0] for label in labels]
        sheets.film(model, rows, short, chosen[:IN_FILM], film, values=fine)
        yield film, "the first units, moving"
    if site is None and unit is None:
        yield from _whole(trained, file, chosen, sites, names, datapoint or 0)
    if beside is not None:
        yield from _beside(trained, beside, file, datapoint or 0, swept)


def _whole(
    trained: FinishedRun,
    file: Callable[[str], Path],
    chosen: list[Unit],
    sites: Sites,
    names: sheets.Names,
    datapoint: int,
) -> Iterator[tuple[Path, str]]:
    """What does not depend on a site or a unit."""
    model, guide, data = trained.model, trained.guide, trained.data.test
    if sites.classes:
        sheets.samples_by_type(model, file("samples-by-type.png"), seed=trained.settings.seed, names=names)
        yield file("samples-by-type.png"), "a type in each row, all else from the prior"
    if chosen:
        changes = [(u.site, u.index, value) for u in chosen[:MOST] for value in (-2.0, 2.0)]
        some = [(datapoint + n) % len(data) for n in range(min(6, len(data)))]
        sheets.edits(model, guide, data, some, changes, file("edits.png"))
        yield file("edits.png"), "test images with one latent changed"
    if len(chosen) > 1:
        latent_scatter(guide, data, chosen, file("latents.png"))
        yield file("latents.png"), f"posterior means of {chosen[0]} and {chosen[1]}, by class"
    if chosen:
        aggregate(model, guide, data, chosen[:7], file("aggregate.png"))
        yield file("aggregate.png"), "q(z) over the test set beside the prior, by unit"
    if _has_history(trained):
        run = _run(trained, trained.settings.recipe)
        plot_kl_history([run], file("discovery.png"))
        found = order(run.history)
        with file("discovery.csv").open("w", newline="") as table:
            csv.writer(table).writerows([Discovery._fields, *found])
        yield file("discovery.png"), "found in this order: " + ", ".join(f"{d.unit} ({d.step:,})" for d in found)
    if data.factors is not None and "azimuth" in data.factors.names and sites.units:
        yield file("azimuth.png"), str(plot_azimuth(model, guide, data, file("azimuth.png")))


def _beside(
    trained: FinishedRun, other: FinishedRun, file: Callable[[str], Path], datapoint: int, values: torch.Tensor
) -> Iterator[tuple[Path, str]]:
    """Figures 1 and 10: both runs' first units from one datapoint, and whether they kept to their capacities."""
    both = (trained, other)
    titles = [_differs(trained, other), _differs(other, trained)]
    starts = [_inferred(run, [datapoint]) for run in both]
    chosen = [ranked(Sites.of(run.model), _kl(run))[:4] for run in both]
    models = [run.model for run in both]
    sheets.beside(models, starts, chosen, titles, file("beside.png"), values=values)
    yield file("beside.png"), f"left {titles[0]}, right {titles[1]}"
    if all(map(_has_history, both)):
        runs = [_run(run, title) for run, title in zip(both, titles, strict=True)]
        plot_kl_history(runs, file("beside-kl.png"))
        worst = [
            f"{run.title}: " + ", ".join(f"{g} {overshoot(run.history.of(g), c):+.2f}" for g, c in run.capacity.items())
            for run in runs
        ]
        yield file("beside-kl.png"), "nats above the capacity at worst; " + "; ".join(worst)


def _chosen(sites: Sites, units: list[Unit], site: str | None, unit: int | None) -> list[Unit]:
    """The units asked for, as they are ranked; none where a type is asked for."""
    if not sites.units and not sites.classes:
        raise ValueError("the story has no latent site that can be traversed: no vector of real numbers, and no type")
    if unit is not None and site is None:
        if len(sites.units) != 1:
            raise ValueError(f"--unit {unit} of which site? Say --site, one of {', '.join(sites.units)}")
        site = next(iter(sites.units))
    if site is None:
        return units
    sites.check(site, unit)
    if site in sites.classes and unit is not None:
        raise ValueError(f"site {site!r} is a type: leave --unit out, and all its classes are shown")
    return [u for u in units if u.site == site and unit in (None, u.index)]


def _start(
    trained: FinishedRun, sites: Sites, datapoint: int | None, prior: int | None
) -> tuple[Settings, Settings, list[str]]:
    """The starting point [1, ...]; the rows of a unit's own sheet, [N, ...], and what these are called."""
    if datapoint is not None and prior is not None:
        raise ValueError("give --datapoint or --prior, not both")
    if prior is not None and prior < 0:
        raise ValueError(f"--prior takes a seed from 0, got {prior}")
    model, data = trained.model, trained.data.test
    index = datapoint or 0
    if not 0 <= index < len(data):
        raise ValueError(f"the test set of {data.name!r} has the datapoints 0 to {len(data) - 1}, got {index}")
    start = from_prior(model, 1, seed=prior) if prior is not None else _inferred(trained, [index])
    if sites.classes:
        return start, *types(sites, start)
    rows = _several(trained, index, prior)
    what = "datapoint" if prior is None else "draw"
    return start, rows, [f"{what} {(index + n) % len(data)}" for n in range(len(next(iter(rows.values()))))]


def _several(trained: FinishedRun, index: int, prior: int | None) -> Settings:
    """Settings to make rows of: draws from the prior, or the datapoint at `index` and those after it."""
    if prior is not None:
        return from_prior(trained.model, ROWS, seed=prior)
    size = len(trained.data.test)
    return _inferred(trained, [(index + n) % size for n in range(min(ROWS, size))])


def _inferred(trained: FinishedRun, index: Sequence[int]) -> Settings:
    seen = observed(trained.guide, trained.data.test, index, device_of(trained.model))
    return inferred(trained.model, trained.guide, *seen)


def _kl(trained: FinishedRun) -> dict[str, torch.Tensor]:
    """KL by site over the test set, [units], as the run wrote it down when it ended."""
    path = trained.folder / "kl.csv"
    found: dict[str, list[float]] = {}
    try:
        with path.open(newline="") as file:
            for row in csv.DictReader(file):
                found.setdefault(row["site"], []).append(float(row["kl_nats"]))
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} is damaged: {error!r}") from error
    return {site: torch.tensor(kl) for site, kl in found.items()}


def _infers_types(trained: FinishedRun) -> bool:
    """Whether the guide tells a type from x alone, and the test set has labels to hold it against."""
    data, alone = trained.data.test, not getattr(trained.guide, "needs_labels", False)
    if data.y is None or len(set(data.y.tolist())) < 2 or not alone:
        return False
    first = observed(trained.guide, data, [0], device_of(trained.model))
    return any("OneHot" in family(fn) for fn in trained.encode(*first).values())


def _steady(judge: Judge | None, images: torch.Tensor) -> str:
    """In words, how far the rows of a sheet are of one label each; nothing where there are no labels."""
    if judge is None:
        return ""
    share = judge.steady(images)
    return f"; to the nearest neighbours, {share.mean():.0%} of a row is one label, {share.min():.0%} in the worst"


def _has_history(trained: FinishedRun) -> bool:
    """Whether the run was long enough to write down a row of its units' KL."""
    path = trained.folder / "units.csv"
    return path.is_file() and len(path.read_bytes().splitlines()) > 1


def _run(trained: FinishedRun, title: str) -> Run:
    history = History.read(trained.folder)
    return Run(title, history, capacities(trained.experiment, history.steps))


def _differs(trained: FinishedRun, other: FinishedRun) -> str:
    """A run's recipe and data, and which of its settings the other does not have."""
    mine, theirs = ({**vars(run.settings), **run.settings.hyperparameters} for run in (trained, other))
    named = {"hyperparameters", "recipe", "data", "data_options", "device", "compile", "lr"}
    differ = [f"{k} {v}" for k, v in mine.items() if k not in named and v != theirs.get(k)]
    return ", ".join([f"{trained.settings.recipe} on {trained.settings.data}", *differ])


def keep(drawn: Iterator[tuple[Path, str]], wanted: Sequence[str], whose: str) -> dict[str, str]:
    """Captions of the pictures whose names begin as wanted; the others go."""
    captions = {}
    for path, caption in drawn:
        if path.name.startswith(tuple(wanted)):
            captions[path.name] = f"{whose}: {caption}."
        else:
            path.unlink()
    return captions
