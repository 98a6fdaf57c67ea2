"""Which combinations fit: every story with every guide and every objective, tried on a small pair."""

import copy
import json
import re
import string
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import pyro
import torch
from pyro import poutine
from tabulate import tabulate
from torch import nn

from zoo import elbos
from zoo.elbos import TermwiseELBO
from zoo.lab.data import Batch
from zoo.lab.files import read_record, write_file
from zoo.lab.isolation import OwnParameters
from zoo.lab.training.fit import fit
from zoo.pairing import NoClosedKL, SampledKLWarning
from zoo.sites import latent
from zoo.studies.compatibility.recipes import NUM_DATA, STORIES, SmallStory, data, guides_of, pair

STEPS, LR, LOOKS = 10, 5e-2, 2
WRITTEN = Path(__file__).parent / "results" / "matrix.json"

Objective = Callable[[SmallStory], TermwiseELBO]
Cell = Mapping[str, Any]
Matrix = Mapping[str, Mapping[str, Mapping[str, Cell]]]  # story, guide, objective
How = Literal["traced", "compiled"]
STANCE: Mapping[How, Literal["force_eager", "default"]] = {"traced": "force_eager", "compiled": "default"}
"""Backends of the compiler: the graph that `fit(compile=True)` makes is run without compiling it, or compiled."""


def _first(story: SmallStory) -> str:
    return story.real[0]


OBJECTIVES: Mapping[str, Objective] = {
    "PlainELBO": lambda story: elbos.PlainELBO(),
    "BetaVAE": lambda story: elbos.BetaVAE(beta=2.0),
    "Capacity": lambda story: elbos.Capacity(gamma=3.0, capacity=1.0),
    "TypeInformation": lambda story: elbos.TypeInformation(
        gamma={_first(story): 3.0}, capacity={_first(story): 1.0}, information=2.0, balance=3.0, smoothness=4.0
    ),
    "BetaTCVAE": lambda story: elbos.BetaTCVAE(beta=2.0, num_data=NUM_DATA),
    "HFVAE": lambda story: elbos.HFVAE(alpha=1.0, beta=3.0, gamma=2.0, num_data=NUM_DATA),
    "DIPVAE": lambda story: elbos.DIPVAE(lambda_od=1.0, lambda_d=2.0, rate=0.5, site=_first(story)),
    "DIPVAEI": lambda story: elbos.DIPVAEI(lambda_od=1.0, lambda_d=2.0, site=_first(story)),
    "DIPVAEII": lambda story: elbos.DIPVAEII(lambda_od=1.0, lambda_d=2.0, site=_first(story)),
    "Decomposition": lambda story: elbos.Decomposition(alpha=1.0, beta=1.0, divergence="mmd-joint"),
    "InfoVAE": lambda story: elbos.InfoVAE(alpha=0.5, lambda_=2.0, divergence="mmd-joint", num_data=NUM_DATA),
    "AnchoredCorEx": lambda story: elbos.AnchoredCorEx(lambda_=0.5, anchors={_first(story): [0]}, num_data=NUM_DATA),
    "InformationDropout": lambda story: elbos.InformationDropout(beta=1.0, gamma=1.0, num_data=NUM_DATA),
    "FactorVAE": lambda story: elbos.FactorVAE(gamma=0.1, log_ratio=lambda z: z.square().sum(-1)),
    "NaturalClusteringELBO": lambda story: elbos.NaturalClusteringELBO(beta_c=2.0),
}
"""Each objective, with hyperparameters suitable for a small pair."""


def cells(
    wanted: Iterable[tuple[str, str, str]] | None = None,
) -> Iterator[tuple[tuple[str, str, str], dict[str, Any]]]:
    """Tries every combination of story, guide and objective, or only those `wanted`.

    Each is trained eagerly. Those that fit are also traced with their gradients, as in `fit(compile=True)`, and the
    trace is run. Compiling takes some 20 seconds, so it is only tried for every story with its first guide under the
    plain ELBO, and for the plain VAE with its first guide under every objective.
    """
    every = [(s, g, o) for s, story in STORIES.items() for g in guides_of(story) for o in OBJECTIVES]
    for story, guide, objective in wanted or every:
        cross = guide == "mean-field" and (story == "VAE" or objective == "PlainELBO")
        how: Sequence[How] = ("traced", "compiled") if cross else ("traced",)
        yield (story, guide, objective), attempt(story, guide, objective, how)


def attempt(story: str, guide: str, objective: str, how: Sequence[How] = ()) -> dict[str, Any]:
    """One cell: {"fits": True, "kl", "loss": [before, after], "traced", "compiled"}, or {"fits": False, "why"}.

    It fits if it trains, its loss over `LOOKS` draws is lower afterwards, and the shapes of its draws do not change.
    "kl" is "draws" where the KL of a site has no closed form; "traced" and "compiled", where they are tried, are
    "yes" if the first steps equal the eager ones, and else the reason.
    """
    try:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", SampledKLWarning)
                tried = _tried(story, guide, OBJECTIVES[objective](STORIES[story]), how)
            return {"fits": True, "kl": "closed", **tried}
        except (NoClosedKL, SampledKLWarning):
            elbo = OBJECTIVES[objective](STORIES[story])
            # For an autoguide, every site that it maps to the reals is a real site.
            elbo.kl = "sampled" if guide.startswith("Auto") else dict.fromkeys(STORIES[story].real, "sampled")
            return {"fits": True, "kl": "draws", **_tried(story, guide, elbo, how)}
    except Exception as error:  # a failure concerns this cell only; an unexpected error shows its type
        said, _, _ = str(error).partition("Trace Shapes:")  # appended by Pyro
        meant = isinstance(error, (ValueError, TypeError, FloatingPointError))
        return {"fits": False, "why": ("" if meant else f"{type(error).__name__}: ") + " ".join(said.split())}


def _tried(story: str, guide: str, elbo: TermwiseELBO, how: Sequence[How]) -> dict[str, Any]:
    """The cell of the pair under the objective, from seed 0."""
    pyro.set_rng_seed(0)
    return _train(pair(story, guide, elbo), elbo, data(story), how)


def _train(made: tuple[nn.Module, nn.Module], elbo: TermwiseELBO, batch: Batch, how: Sequence[How]) -> dict[str, Any]:
    fresh = copy.deepcopy((*made, elbo))
    shapes, before = _look(*made, elbo, batch)
    for _ in fit(*made, elbo, [batch] * STEPS, lr=LR, device="cpu", progress=False):
        pass
    again, after = _look(*made, elbo, batch)
    if again != shapes:
        raise ValueError(f"shapes changed from {shapes} to {again}")
    if not after < before:
        raise ValueError(f"the loss did not fall: {before:.3f} before, {after:.3f} after {STEPS} steps")
    return {"loss": [round(before, 3), round(after, 3)], **{kind: _same_steps(fresh, batch, kind) for kind in how}}


def _look(model: nn.Module, guide: nn.Module, elbo: TermwiseELBO, batch: Batch) -> tuple[Any, float]:
    """Shapes of the latent values by site, and the loss over several draws; computed on copies."""
    args, kwargs = batch.arguments()
    with torch.random.fork_rng([]), poutine.block(), OwnParameters(), pyro.validation_enabled():
        torch.manual_seed(0)
        losses = [copy.copy(elbo).loss(model, guide, *args, **kwargs) for _ in range(LOOKS)]
        with torch.no_grad():
            trace = poutine.trace(guide).get_trace(*args, **kwargs)
    shapes = {name: list(site["value"].shape) for name, site in latent(trace) if name != "data"}
    return shapes, sum(losses) / LOOKS


def _same_steps(fresh: tuple[nn.Module, nn.Module, TermwiseELBO], batch: Batch, how: How, steps: int = 3) -> str:
    """Whether the first traced or compiled steps equal the eager ones: "yes", or the reason why not."""
    losses, weights = [], []
    for compile in (False, True):
        model, guide, elbo = copy.deepcopy(fresh)
        pyro.set_rng_seed(1)
        with torch.compiler.set_stance(STANCE[how]), warnings.catch_warnings():
            warnings.simplefilter("error", RuntimeWarning)  # raised where a pair cannot be traced
            try:
                run = fit(model, guide, elbo, [batch] * steps, lr=LR, device="cpu", compile=compile, progress=False)
                losses.append([report.loss.item() for _, report in run])
            except RuntimeWarning as warning:
                return str(warning)
        weights.append([p.detach() for p in (*model.parameters(), *guide.parameters())])
    close = all(torch.allclose(a, b, rtol=1e-3, atol=1e-4) for a, b in zip(*weights, strict=True))
    eager, traced = (torch.tensor(of_run) for of_run in losses)
    close = close and torch.allclose(traced, eager, rtol=1e-3)
    return "yes" if close else f"the {how} steps differ: losses {losses[1]}, eager {losses[0]}"


def load(path: Path = WRITTEN) -> dict[str, dict[str, dict[str, Any]]]:
    """The stored matrix, by story, guide and objective.

    Raises:
        FileNotFoundError: there is none.
        ValueError: the file is damaged.
    """
    try:
        matrix: dict[str, dict[str, dict[str, Any]]] = read_record(path)
    except ValueError as error:
        raise ValueError(f"{error}; write it again with `python -m zoo matrix`") from error
    for story, guides in matrix.items():
        cells = [cell for objectives in guides.values() for cell in objectives.values()] if _nested(guides) else [None]
        if not cells or not all(isinstance(cell, dict) and _whole(cell) for cell in cells):
            raise ValueError(
                f"{path} is damaged: {story} must hold guides and objectives; write it again with "
                "`python -m zoo matrix`"
            )
        if any(set(objectives) != set(next(iter(guides.values()))) for objectives in guides.values()):
            raise ValueError(
                f"{path} is damaged: every guide of {story} must have the same objectives; write it again with "
                "`python -m zoo matrix`"
            )
    if not matrix:
        raise ValueError(f"{path} is damaged: it holds no story; write it again with `python -m zoo matrix`")
    return matrix


def _whole(cell: Mapping[str, Any]) -> bool:
    """Whether a cell has what the tables show: how the KL was computed, or why the combination does not fit."""
    return isinstance(cell.get("fits"), bool) and isinstance(cell.get("kl" if cell["fits"] else "why"), str)


def _nested(guides: Any) -> bool:
    return isinstance(guides, dict) and all(isinstance(objectives, dict) for objectives in guides.values())


def tables_of(path: Path) -> Path:
    """The file of the tables, next to that of the results.

    Raises:
        ValueError: the file of the results does not end in .json.
    """
    if path.suffix != ".json":
        raise ValueError(
            f"the file of the results must end in .json, since the tables next to it end in .md, got {path}: "
            f"name it {path.with_suffix('.json').name}"
        )
    return path.with_suffix(".md")


def write(path: Path = WRITTEN, say: Callable[[str], None] = print) -> dict[str, dict[str, dict[str, Any]]]:
    """Tries all combinations, and writes the results as JSON and as tables next to it.

    Raises:
        ValueError: as `tables_of`, before any of it is tried.
    """
    tables = tables_of(path)
    matrix: dict[str, dict[str, dict[str, Any]]] = {}
    for (story, guide, objective), cell in cells():
        matrix.setdefault(story, {}).setdefault(guide, {})[objective] = cell
        if objective == "PlainELBO":
            say(f"{story}, {guide}")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_file(path, json.dumps(matrix, indent=1) + "\n")
    write_file(tables, markdown(matrix))
    return matrix


def markdown(matrix: Matrix) -> str:
    """The page: one table per story, with guides of equal rows merged; below, why combinations do not fit."""
    reasons: dict[str, str] = {}
    tables = "\n".join(_table(story, rows, reasons) for story, rows in matrix.items())
    why = "\n".join(f"- **{letter}** {reason}" for reason, letter in reasons.items())
    return f"""# Every story under every guide and objective

    python -m zoo matrix

{_counted(matrix)} ● the KL is in closed form, ○ by
draws (`kl="sampled"`); a letter stands for the reason why a combination does not fit.

How many guides fit:

{summary(matrix)}

{tables}
## Why

{why}
"""


def summary(matrix: Matrix) -> str:
    """A table of the number of guides that fit each story under each objective."""
    rows = [
        {"story": story, "guides": len(guides), **{name: count or "" for name, count in _fitting(guides).items()}}
        for story, guides in matrix.items()
    ]
    align = ("left", *["right"] * (len(rows[0]) - 1))
    return tabulate(rows, "keys", "pipe", colalign=align)


def _fitting(guides: Mapping[str, Mapping[str, Cell]]) -> dict[str, int]:
    """The number of a story's guides that fit under each objective."""
    objectives = next(iter(guides.values()))
    return {objective: sum(row[objective]["fits"] for row in guides.values()) for objective in objectives}


def _counted(matrix: Matrix) -> str:
    """A summary of the results in numbers."""
    cells = [cell for rows in matrix.values() for row in rows.values() for cell in row.values()]
    fits = sum(cell["fits"] for cell in cells)
    verdicts = {how: [cell[how] for cell in cells if how in cell] for how in STANCE}
    tried = {how: f"{len(those):,}" for how, those in verdicts.items()}
    equal = {how: f"{sum(verdict == 'yes' for verdict in those):,}" for how, those in verdicts.items()}
    return f"""{fits:,} of {len(cells):,} combinations fit: they train, lower their loss and keep their shapes.
{tried["traced"]} of these were also traced with their gradients, as `fit(compile=True)` does; {equal["traced"]} of them
take the same steps as without. {tried["compiled"]} were compiled as well: every story with its first guide under the
ELBO, and the VAE with its first guide under every objective; {equal["compiled"]} of them take the same steps."""


def _table(story: str, rows: Mapping[str, Mapping[str, Cell]], reasons: dict[str, str]) -> str:
    objectives = list(next(iter(rows.values())))
    groups: dict[tuple[str, ...], list[str]] = {}
    for guide, row in rows.items():
        groups.setdefault(tuple(_mark(row[objective], reasons) for objective in objectives), []).append(guide)
    lines = [[", ".join(guides), *marks] for marks, guides in groups.items()]
    align = ("left", *["center"] * len(objectives))
    return f"## {story}\n\n{tabulate(lines, ['guide', *objectives], 'pipe', colalign=align)}\n"


def _mark(cell: Mapping[str, Any], reasons: dict[str, str]) -> str:
    if cell["fits"]:
        return "●" if cell["kl"] == "closed" else "○"
    # Reasons that differ only in a name are one reason.
    reason = re.sub(r"'_\w+-\d+_latent'", "'_latent'", cell["why"])
    return reasons.setdefault(reason, _letters(len(reasons)))


def _letters(number: int) -> str:
    """a, b, ..., z, aa, ab, ..., like the columns of a spreadsheet."""
    before = _letters(number // 26 - 1) if number >= 26 else ""
    return before + string.ascii_lowercase[number % 26]
