"""A guide's gap between the log evidence and the ELBO, split in two, and the time of a training step.

log p(x) - ELBO is the sum of the approximation gap, which remains when the family is fitted to each datapoint
separately, and the amortisation gap, which is due to using one network for all datapoints (Cremer, Li & Duvenaud 2018,
https://arxiv.org/abs/1801.03558).
"""

import copy
import itertools
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from zoo.arguments import check_fields, checked, number_from
from zoo.elbos import PlainELBO
from zoo.lab.analysis.evaluate import evaluate
from zoo.lab.analysis.importance_sampling import Importance, importance
from zoo.lab.data import Batch, Dataset
from zoo.lab.device import device_of, fork_random_state
from zoo.lab.isolation import OwnParameters
from zoo.lab.runs.finished import FinishedRun
from zoo.lab.training.fit import fit
from zoo.studies.guide_gap.recipes import fitted
from zoo.termwise import How

FIT_STEPS, FIT_LR, FIT_DRAWS = 400, 0.02, 8  # of the guide that is fitted to each datapoint
WARM_UP, TIMED = 10, 50  # steps


@dataclass(frozen=True)
class GuideGap:
    """A guide's quantities on test data, in nats per datapoint.

    Attributes:
        elbo: the unweighted bound on log p(x), with types scored by mass or density as in the story.
        log_evidence: log p(x), estimated by importance samples.
        effective: median of the effective number of these samples.
        kl: KL by site on the whole test set, as in the ELBO: for types that of the categoricals.
        gap_elbo, gap_fitted, gap_evidence: on the first `gap_images` only: the bound, the bound after raw numbers are
            fitted to each datapoint separately, and the larger of the two guides' estimates of the evidence.
        num_parameters: of the guide.
    """

    elbo: float
    log_evidence: float
    effective: float
    kl: dict[str, float]
    gap_elbo: float
    gap_fitted: float
    gap_evidence: float
    num_parameters: int

    @property
    def approximation(self) -> float:
        """The approximation gap: gap_evidence - gap_fitted."""
        return self.gap_evidence - self.gap_fitted

    @property
    def amortisation(self) -> float:
        """The amortisation gap: gap_fitted - gap_elbo."""
        return self.gap_fitted - self.gap_elbo


@dataclass(frozen=True)
class TestSamples:
    """The test samples that each guide is measured on.

    Attributes:
        images: number of test datapoints, from the start of the test set.
        samples: importance samples for each.
        gap_images: number of these datapoints on which the gap is split.
    """

    __test__ = False  # pytest: not a class of tests

    images: int
    samples: int
    gap_images: int

    def __post_init__(self) -> None:
        check_fields(self, images=number_from(1), samples=number_from(1), gap_images=number_from(1))

    @classmethod
    def of(
        cls, model: nn.Module, data: Dataset, images: int | None, samples: int | None, gap_images: int | None
    ) -> "TestSamples":
        """The given numbers; by default 500 images with 1,000 samples each if the model has convolutions, else all
        images with 5,000 each; and 200 of these images for the gap.

        Raises:
            ValueError: the test set has fewer images, gap_images are more than images, or a number is below 1.
        """
        asked = {"--images": images, "--samples": samples, "--gap-images": gap_images}
        for option, number in asked.items():
            if number is not None and number < 1:
                raise ValueError(f"{option} must be at least 1, got {number}")
        convolves = any(isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)) for module in model.modules())
        images = images or min(500 if convolves else len(data), len(data))
        if images > len(data):
            raise ValueError(f"--images {images}: the test set has {len(data)}")
        if gap_images is not None and gap_images > images:
            raise ValueError(
                f"--gap-images {gap_images} is more than --images {images}, which they are the first of: give at most "
                f"{images}, or more --images"
            )
        return cls(images, samples or (1_000 if convolves else 5_000), min(gap_images or 200, images))


@checked(fit_steps=number_from(1))
def measure(
    model: nn.Module,
    guide: nn.Module,
    data: Dataset,
    on: TestSamples,
    *,
    labels: bool = False,
    kl: How | Mapping[str, How] = "closed",
    fit_steps: int = FIT_STEPS,
) -> GuideGap:
    """A trained pair's quantities on the first images of a test set; both in evaluation mode.

    The approximation gap is that of a guide which is fitted to each of these images by itself, for `fit_steps`.
    """
    device = device_of(model)
    chosen = torch.arange(on.images)

    def weigh(index: Tensor, guide: Callable[[Batch], nn.Module]) -> Importance:
        # In chunks of 1,000 codes, which fit into memory with a convolutional decoder.
        parts = []
        for rows in index.split(100):
            batch = data.batch(rows, labels=labels, device=device)
            parts.append(importance(model, guide(batch), batch.x, batch.y, num_samples=on.samples))
        return Importance(*(torch.cat([getattr(part, f.name) for part in parts]) for f in fields(Importance)))

    ours = weigh(chosen, lambda batch: guide)
    few = chosen[: on.gap_images]
    best = weigh(few, lambda batch: fitted_to(model, guide, batch, steps=fit_steps))
    of_few = ours.elbo[: len(few)].mean().item(), ours.log_evidence[: len(few)].mean().item()
    parts = evaluate(model, guide, data, labels=labels, kl=kl)
    return GuideGap(
        elbo=ours.elbo.mean().item(),
        log_evidence=ours.log_evidence.mean().item(),
        effective=ours.log_effective.exp().median().item(),
        kl={site: values.sum().item() for site, values in parts.kl.items()},
        gap_elbo=of_few[0],
        gap_fitted=max(of_few[0], best.elbo.mean().item()),  # the fit is only used where it improves the bound
        gap_evidence=max(of_few[1], best.log_evidence.mean().item()),
        num_parameters=sum(p.numel() for p in guide.parameters()),
    )


@checked(steps=number_from(1))
def fitted_to(model: nn.Module, guide: Any, batch: Batch, *, steps: int = FIT_STEPS) -> nn.Module:
    """The guide with raw numbers fitted to each datapoint of the batch separately; a flow's networks stay shared.

    The fit maximises the bound of the importance weights, in which relaxed types are scored by density.
    """
    frozen = [p for module in (model, guide) for p in module.parameters() if p.requires_grad]
    for parameter in frozen:
        parameter.requires_grad_(False)
    elbo = PlainELBO(kl="sampled", num_particles=FIT_DRAWS)
    try:
        with OwnParameters(), fork_random_state(batch.x.device):
            torch.manual_seed(0)
            loss = partial(elbo.differentiable_loss, model)
            return fitted(guide, loss, batch.x, batch.y, steps=steps, lr=FIT_LR)
    finally:
        for parameter in frozen:
            parameter.requires_grad_(True)


def step_milliseconds(run: FinishedRun) -> float:
    """The median time of a training step, over `TIMED` steps after `WARM_UP`, on a copy of the run's pair."""
    settings, experiment, data = run.settings, run.experiment, run.data.train
    model, guide, elbo = copy.deepcopy((experiment.model, experiment.guide, experiment.elbo))
    batches = experiment.batches(
        data, settings.batch_size, seed=settings.seed, labels=experiment.labels, steps=WARM_UP + TIMED
    )
    options: dict[str, Any] = {
        "lr": settings.lr,
        "optimizer": experiment.optimizer,
        "compile": settings.compile,
        "precision": settings.precision,
        "progress": False,
    }
    times = [time.perf_counter()]
    for _ in fit(model, guide, elbo, batches, device=settings.device, **options):
        if device_of(model).type == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter())
    taken = [after - before for before, after in itertools.pairwise(times)]
    return 1e3 * statistics.median(taken[WARM_UP:])
