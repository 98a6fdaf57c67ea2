"""Guides beside each other: one recipe trained under each of them, and where each loses what it loses.

log p(x) - ELBO = the approximation gap, what the family cannot hold even when it is fitted to each datapoint by itself,
and the amortisation gap, what one network for all of them loses beside that (Cremer, Li & Duvenaud 2018,
https://arxiv.org/abs/1801.03558).
"""

import itertools
import json
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from zoo.elbos import ELBO
from zoo.lab.analysis.evaluate import evaluate
from zoo.lab.analysis.importance_sampling import Importance, importance
from zoo.lab.data import Batch, Dataset
from zoo.lab.device import device_of, fork_random_state
from zoo.lab.files import write_file
from zoo.lab.isolation import OwnParameters
from zoo.lab.runs.finished import configure
from zoo.lab.runs.folder import Settings
from zoo.lab.training.experiment import Experiment, Recipe
from zoo.lab.training.fit import fit, prepare
from zoo.studies.guide_gap.posteriors import plane_posteriors, two_units
from zoo.studies.guide_gap.recipes import fitted, swap
from zoo.termwise import How

FIT_STEPS, FIT_LR, FIT_DRAWS = 400, 0.02, 8  # of the guide that is fitted to each datapoint
WARM_UP = 10  # steps that are not timed


@dataclass(frozen=True)
class Compared:
    """A guide's figures on test data, in nats per datapoint, and its price.

    Attributes:
        elbo: the bound on log p(x), with types by mass or density, as the story has them; unweighted.
        log_evidence: log p(x), by importance samples.
        effective: median of the effective number of these samples.
        kl: KL by site, as the ELBO takes it: of types that of the categoricals.
        gap_elbo, gap_fitted, gap_evidence: on the first `gap_images` alone: the bound, the bound once raw numbers are
            fitted to each datapoint by itself, and the better of the evidence by the two.
        approximation, amortisation: the parts of the gap: gap_evidence - gap_fitted, and gap_fitted - gap_elbo.
        milliseconds: of a training step, median.
        num_parameters: of the guide.
    """

    elbo: float
    log_evidence: float
    effective: float
    kl: dict[str, float]
    gap_elbo: float
    gap_fitted: float
    gap_evidence: float
    milliseconds: float
    num_parameters: int

    @property
    def approximation(self) -> float:
        """What the family cannot hold."""
        return self.gap_evidence - self.gap_fitted

    @property
    def amortisation(self) -> float:
        """What one network for all datapoints loses beside that."""
        return self.gap_fitted - self.gap_elbo


@dataclass(frozen=True)
class Budget:
    """What is spent on each guide alike.

    Attributes:
        images: how many of the test set, from its start.
        samples: importance samples for each.
        gap_images: how many of these the gap is split on.
    """

    images: int
    samples: int
    gap_images: int

    @classmethod
    def of(
        cls, model: nn.Module, data: Dataset, images: int | None, samples: int | None, gap_images: int | None
    ) -> "Budget":
        """What was asked for; else 500 x 1,000 with convolutions, and all x 5,000 without, 200 of them for the gap.

        Raises:
            ValueError: there are not so many images.
        """
        convolves = any(isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)) for module in model.modules())
        images = images or min(500 if convolves else len(data), len(data))
        if images > len(data):
            raise ValueError(f"--images {images}: the test set has {len(data)}")
        return cls(images, samples or (1_000 if convolves else 5_000), min(gap_images or 200, images))


def compare(
    recipe: Recipe,
    guides: Sequence[str],
    out: Path,
    *,
    images: int | None = None,
    samples: int | None = None,
    gap_images: int | None = None,
    say: Callable[[str], None] = print,
    **options: Any,
) -> dict[str, Any]:
    """Trains the recipe under each guide, for as many steps from the same seed, and measures; writes into `out`.

    compare.json, compare.md, and posteriors.png where the one latent site has two units. Guides that are in `out`
    already under the same settings and budget are kept, unless there is such a picture, which wants all of them afresh.

    Args:
        recipe, options: as `zoo.lab.runs.finished.configure` takes them.
        guides: names, as `zoo.studies.guide_gap.recipes.names` gives them.
        out: a folder.
        images, samples, gap_images: see `Budget`.
        say: what is called with a line for each guide that is done.

    Raises:
        LookupError, TypeError, ValueError: as `configure` and `swap`; or a guide does not fit the recipe's objective;
            raised before its first step.
    """
    pairs: dict[str, tuple[nn.Module, nn.Module]] = {}
    rows: dict[str, Compared] = {}
    for name in guides:  # what does not fit is said before anything is trained
        settings, split, experiment = configure(recipe, **options)
        experiment = swap(experiment, name)
        budget = Budget.of(experiment.model, split.test, images, samples, gap_images)
        first = next(iter(_batches(experiment, split.train, settings, steps=1)))
        prepare(experiment.model, experiment.guide, experiment.elbo, first, settings.device)
    pictured = not experiment.labels and two_units(experiment.model, split.test) is not None
    kept = {} if pictured else _kept(out, _result(recipe.name, settings, budget, {}))
    for name in guides:
        if name in kept:
            rows[name] = kept[name]
            say(f"{name}, kept: {_line(rows[name])}")
            continue
        settings, split, experiment = configure(recipe, **options)
        experiment = swap(experiment, name)
        model, guide, elbo = experiment.model, experiment.guide, experiment.elbo
        batches = _batches(experiment, split.train, settings, steps=settings.steps)
        taken = []
        began = time.perf_counter()
        steps = fit(
            model,
            guide,
            elbo,
            batches,
            lr=settings.lr,
            optimizer=experiment.optimizer,
            device=settings.device,
            compile=settings.compile,
        )
        for step, _ in steps:
            if experiment.schedule:
                experiment.schedule(step, elbo)
            now = time.perf_counter()
            taken.append(now - began)
            began = now
        model.eval()
        guide.eval()
        rows[name] = measure(model, guide, split.test, budget, labels=experiment.labels, kl=elbo.kl, taken=taken)
        pairs[name] = (model, guide)
        say(f"{name}: {_line(rows[name])}")
        _write(_result(recipe.name, settings, budget, kept | rows), out)  # what is done is kept, whatever comes
    result = _result(recipe.name, settings, budget, kept | rows)
    if pictured:
        plane_posteriors(pairs, split.test).savefig(out / "posteriors.png")
        result["picture"] = "posteriors.png"
    _write(result, out)
    return result


def _result(recipe: str, settings: Settings, budget: Budget, rows: Mapping[str, Compared]) -> dict[str, Any]:
    """What compare.json holds."""
    return {
        "recipe": recipe,
        "settings": asdict(settings),
        "budget": asdict(budget),
        "guides": {
            name: {**asdict(row), "approximation": row.approximation, "amortisation": row.amortisation}
            for name, row in rows.items()
        },
    }


def _kept(out: Path, wanted: Mapping[str, Any]) -> dict[str, Compared]:
    """Guides that are in `out` under the same recipe, settings and budget."""
    path = out / "compare.json"
    found = json.loads(path.read_text()) if path.is_file() else {}
    alike = all(found.get(key) == json.loads(json.dumps(wanted[key])) for key in ("recipe", "settings", "budget"))
    names = [field.name for field in fields(Compared)]
    return {n: Compared(**{name: row[name] for name in names}) for n, row in found["guides"].items()} if alike else {}


def _write(result: Mapping[str, Any], out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    write_file(out / "compare.json", (json.dumps(result, indent=2) + "\n").encode())
    write_file(out / "compare.md", table(result).encode())


def _batches(experiment: Experiment, data: Dataset, settings: Settings, *, steps: int) -> Iterator[Batch]:
    return experiment.batches(data, settings.batch_size, seed=settings.seed, labels=experiment.labels, steps=steps)


def measure(
    model: nn.Module,
    guide: nn.Module,
    data: Dataset,
    budget: Budget,
    *,
    labels: bool,
    kl: How | Mapping[str, How],
    taken: Sequence[float],
) -> Compared:
    """A trained pair's figures on the first images of a test set; both in evaluation mode."""
    device = device_of(model)
    chosen = torch.arange(budget.images)

    def weigh(index: Tensor, guide: Callable[[Batch], nn.Module]) -> Importance:
        # A chunk is one draw of 1,000 datapoints, or 1,000 draws of one: what a convolutional decoder can hold.
        parts = []
        for rows in index.split(100):
            batch = data.batch(rows, labels=labels, device=device)
            parts.append(importance(model, guide(batch), batch.x, batch.y, num_samples=budget.samples))
        return Importance(*(torch.cat([getattr(part, f.name) for part in parts]) for f in fields(Importance)))

    ours = weigh(chosen, lambda batch: guide)
    few = chosen[: budget.gap_images]
    best = weigh(few, lambda batch: fitted_to(model, guide, batch))
    of_few = ours.elbo[: len(few)].mean().item(), ours.log_evidence[: len(few)].mean().item()
    parts = evaluate(model, guide, data, labels=labels, kl=kl)
    return Compared(
        elbo=ours.elbo.mean().item(),
        log_evidence=ours.log_evidence.mean().item(),
        effective=ours.log_effective.exp().median().item(),
        kl={site: values.sum().item() for site, values in parts.kl.items()},
        gap_elbo=of_few[0],
        gap_fitted=max(of_few[0], best.elbo.mean().item()),  # a fit that came to nothing is not kept
        gap_evidence=max(of_few[1], best.log_evidence.mean().item()),
        milliseconds=1e3 * statistics.median(list(itertools.islice(taken, WARM_UP, None)) or taken),
        num_parameters=sum(p.numel() for p in guide.parameters()),
    )


def fitted_to(model: nn.Module, guide: Any, batch: Batch, *, steps: int = FIT_STEPS) -> nn.Module:
    """The guide with raw numbers fitted to each datapoint of the batch by itself; a flow's networks stay shared.

    By the bound that importance weights are draws of: relaxed types count as densities.
    """
    frozen = [p for module in (model, guide) for p in module.parameters() if p.requires_grad]
    for parameter in frozen:
        parameter.requires_grad_(False)
    elbo = ELBO(kl="sampled", num_particles=FIT_DRAWS)
    try:
        with OwnParameters(), fork_random_state(batch.x.device):
            torch.manual_seed(0)
            loss = partial(elbo.differentiable_loss, model)
            return fitted(guide, loss, batch.x, batch.y, steps=steps, lr=FIT_LR)
    finally:
        for parameter in frozen:
            parameter.requires_grad_(True)


def table(result: Mapping[str, Any]) -> str:
    """The result in Markdown."""
    budget, settings = result["budget"], result["settings"]
    knobs = "".join(f", {name} = {value}" for name, value in settings["hyperparameters"].items())
    sites = list(next(iter(result["guides"].values()))["kl"])
    head = ["guide", "ELBO", "log p(x)", "effective samples", *(f"KL {site}" for site in sites)]
    head += ["gap", "approximation", "amortisation", "ms per step", "parameters"]
    lines = [f"| {' | '.join(head)} |", f"| --- |{' ---: |' * (len(head) - 1)}"]
    for name, row in result["guides"].items():
        numbers = [*(row["kl"][site] for site in sites), row["gap_evidence"] - row["gap_elbo"]]
        numbers += [row["approximation"], row["amortisation"], row["milliseconds"]]
        cells = [f"{row['elbo']:.2f}", f"{row['log_evidence']:.2f}", f"{row['effective']:.0f}"]
        cells += [f"{number:.2f}" for number in numbers]
        lines.append(f"| {name} | {' | '.join(cells)} | {row['num_parameters']:,} |")
    return "\n".join(
        [
            f"# {result['recipe']} on {settings['data']}, guide by guide",
            "",
            f"Each trained for {settings['steps']:,} steps of {settings['batch_size']}, seed {settings['seed']}, "
            f"{'compiled' if settings['compile'] else 'eager'}{knobs}; "
            f"nats per datapoint on {budget['images']:,} test "
            f"datapoints with {budget['samples']:,} importance samples each, the gap on {budget['gap_images']:,} of "
            "them. KL of types is that of the categoricals; bound and evidence have them as the story does, by density "
            "where they are relaxed and else by mass. Read no evidence that rests on a few effective samples.",
            "",
            *lines,
            "",
        ]
    )


def _line(row: Compared) -> str:
    kl: Iterable[str] = (f"KL {site} {value:.2f}" for site, value in row.kl.items())
    return (
        f"ELBO {row.elbo:.2f}, log p(x) {row.log_evidence:.2f} ({row.effective:.0f} effective samples), "
        f"{', '.join(kl)}; gap: approximation {row.approximation:.2f}, amortisation {row.amortisation:.2f}; "
        f"{row.milliseconds:.1f} ms per step"
    )
