"""Pictures of the order in which a run found its units, and of two runs side by side."""

from torch import Tensor

from zoo.lab.analysis.interventions import LatentSites, ranked
from zoo.lab.analysis.kl_history import Discovery, History, Run, capacities, discovery_order, overshoot
from zoo.lab.plots.kl_history import plot_kl_history
from zoo.lab.plots.picture import Picture
from zoo.lab.plots.traversals import compared_traversals
from zoo.lab.runs.finished import FinishedRun
from zoo.lab.runs.starting_points import encoded
from zoo.lab.runs.summary import read_kl


def over_training(run: FinishedRun) -> dict[str, Picture]:
    """The order in which units were found; nothing for a run too short for a curve."""
    if not _has_history(run):
        return {}
    history = _history(run, run.settings.recipe)
    found = discovery_order(history.history)
    rows = [",".join(map(str, row)) for row in (Discovery._fields, *found)]
    order = ", ".join(f"{d.unit} ({d.step:,})" for d in found) or "none"
    return {
        "discovery.png": Picture(plot_kl_history([history]), f"units in the order in which they were found: {order}"),
        "discovery.csv": Picture("\n".join(rows) + "\n", "the same as a table"),
    }


def compared(run: FinishedRun, other: FinishedRun, datapoint: int, values: Tensor) -> dict[str, Picture]:
    """Figures 1 and 10: both runs' first units from one datapoint, and by how much they exceeded their capacities."""
    both = (run, other)
    titles = [_differs(run, other), _differs(other, run)]
    figure = compared_traversals(
        [one.model for one in both],
        [encoded(one, [datapoint]) for one in both],
        [ranked(LatentSites.of(one.model), read_kl(one.folder))[:4] for one in both],
        titles,
        values=values,
    )
    pictures = {"beside.png": Picture(figure, f"left {titles[0]}, right {titles[1]}")}
    if all(map(_has_history, both)):
        histories = [_history(one, title) for one, title in zip(both, titles, strict=True)]
        worst = [
            f"{one.title}: " + ", ".join(f"{g} {overshoot(one.history.of(g), c):+.2f}" for g, c in one.capacity.items())
            for one in histories
        ]
        caption = "most nats above the capacity; " + "; ".join(worst)
        pictures["beside-kl.png"] = Picture(plot_kl_history(histories), caption)
    return pictures


def _has_history(run: FinishedRun) -> bool:
    """Whether the run was long enough to record two rows of its units' KL, which a curve needs."""
    path = run.folder / "units.csv"
    return path.is_file() and len(path.read_bytes().splitlines()) > 2


def _history(run: FinishedRun, title: str) -> Run:
    history = History.read(run.folder)
    return Run(title, history, capacities(run.experiment, history.steps))


def _differs(run: FinishedRun, other: FinishedRun) -> str:
    """A run's recipe and data, and its settings that differ from the other's."""
    mine, theirs = ({**vars(one.settings), **one.settings.hyperparameters} for one in (run, other))
    named = {"hyperparameters", "recipe", "data", "data_options", "device", "compile", "lr"}
    differ = [f"{k} {v}" for k, v in mine.items() if k not in named and v != theirs.get(k)]
    return ", ".join([f"{run.settings.recipe} on {run.settings.data}", *differ])
