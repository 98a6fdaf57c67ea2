"""The trials behind the decomposition paper's figures: training and measured quantities."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from zoo.estimators import mmd
from zoo.lab.analysis.grid import Grid2D, divergences, information, log_aggregate, log_prior, prior
from zoo.lab.analysis.importance_sampling import log_evidence
from zoo.lab.analysis.posterior import posteriors
from zoo.lab.data import Dataset
from zoo.lab.device import device_of, fork_random_state
from zoo.lab.runs.finished import FinishedRun
from zoo.lab.trials.trial import Measure, Trial
from zoo.metrics import Encoded, factor_vae, hoyer

Hyperparameters: TypeAlias = Mapping[str, Any]  # of a recipe

# Figure 2: priors that are not rotation-invariant.

PRIORS = ("iso", "pca", "learnt")
BETAS = (2.0, 4.0, 8.0, 16.0)
NUS = (3.0, 5.0, 9.0, 20.0, 100.0)
SHAPES_SHORT, BETAS_SHORT = 10_000, 2_000  # steps of the short budget


def on_shapes(beta: float = 1.0, *, short: int = SHAPES_SHORT, **hyperparameters: Any) -> Measure:
    """A pair of section 6.1: its reconstruction, and the metric of Kim and Mnih as in the paper's code.

    Args:
        beta: weight of the KL.
        short: steps of the short budget.
        hyperparameters: further ones of the recipe.
    """

    def measure(trial: Trial) -> Mapping[str, float]:
        whole = trial.budget == "full"
        options = (
            None if whole else {"held_out": 0.01}
        )  # the paper holds nothing out, but scoring all images takes minutes
        steps = trial.steps(full=230_400, short=short)
        trained = trial.train("decomposition/shapes", steps=steps, data_options=options, beta=beta, **hyperparameters)
        train, evaluation = trained.data.train, trained.evaluate()
        num_points = len(train) if whole else 10_000
        codes = Encoded.of(trained.codes, train, num_points=num_points, device=device_of(trained.guide))
        quantities = {
            "reconstruction loss": -evaluation.reconstruction["x"],
            "KL": evaluation.kl["z"].sum().item(),
            "metric": _metric(codes, whole),
        }
        if hyperparameters.get("prior") == "student-t":
            factors = dict(zip(codes.names, codes.factors.T, strict=True))
            scores = normal_scores(codes.codes, float(hyperparameters["nu"]))
            quantities["metric of normal scores"] = _metric(Encoded.of(scores, factors), whole)
        return quantities

    return measure


def normal_scores(codes: np.ndarray, nu: float) -> np.ndarray:
    """Codes under a Student-t mapped to the standard normal: at the normal quantile of their probability.

    By the probability beyond |code|, since that below a large code rounds to 1, whose quantile is infinite.
    """
    from scipy import stats

    return np.asarray(np.sign(codes) * stats.norm.isf(stats.t.sf(np.abs(codes), nu)))


def _metric(codes: Encoded, whole: bool) -> float:
    """FactorVAE's metric with votes of 1,000 points, scored on the training votes, without pruning."""
    num_train = 20_000 if whole else 2_000
    result = factor_vae(codes, num_points=1_000, num_train=num_train, num_eval=0, prune=0.0, repeats=2)
    return float(result)


# Figure 3: a pinwheel in four clusters.

PINWHEEL_ALPHAS = (1.0, 3.0, 5.0, 8.0)
PINWHEEL_BETAS = (0.01, 0.5, 1.0, 1.2)  # the figure's
LARGER_BETAS = (2.0, 5.0, 20.0)  # towards the limit that the text argues with

GRID: dict[str, Hyperparameters] = {
    **{f"beta {beta:g}": {"alpha": 0.0, "beta": beta} for beta in PINWHEEL_BETAS + LARGER_BETAS},
    **{f"alpha {alpha:g}": {"alpha": alpha, "beta": 0.0} for alpha in PINWHEEL_ALPHAS},
    **{
        f"beta {beta:g}, log p per unit": {"alpha": 0.0, "beta": beta, "log_p": "per-unit"}
        for beta in PINWHEEL_BETAS + LARGER_BETAS
    },
}


def on_pinwheel(hyperparameters: Hyperparameters) -> Measure:
    """A pair of section 6.2: the match of q(z) of the training set with the prior, and the overlap of its encodings."""

    def measure(trial: Trial) -> Mapping[str, float]:
        trained = trial.train("decomposition/pinwheel", **hyperparameters)
        q, plane = encoded(trained.guide, trained.data.train), Grid2D()
        points = plane.points.to(device_of(trained.guide))
        log_p, log_q = log_prior(trained.model, points), log_aggregate(q, points)
        fit = divergences(log_p, log_q, plane)
        return {
            "KL(p || q)": fit.p_from_q,
            "KL(q || p)": fit.q_from_p,
            "I(x; z)": information(q),
            "reconstruction": trained.evaluate().reconstruction["x"],
            "least cluster": _nearest(trained, q).min().item(),
            "mass of q": fit.mass_q,
        }

    return measure


def _nearest(trained: FinishedRun, q: Any) -> Tensor:
    """The share of encodings whose mean is nearest to each cluster: [K]."""
    places = prior(trained.model).component_distribution.mean.reshape(-1, 2)
    which = torch.cdist(q.mean, places).argmin(1)
    return torch.bincount(which, minlength=len(places)) / len(which)


# Figure 4: Fashion-MNIST's images in few units each.

FASHION_MNIST_PRIORS: dict[str, Hyperparameters] = {
    "gamma 0": {"gamma": 0.0},
    "gamma 0.8, sigma_0^2 = 0.05": {"gamma": 0.8, "sigma_0": "paper"},
    "gamma 0.8, sigma_0 = 0.05": {"gamma": 0.8, "sigma_0": "code"},
}
DENSE, *SPARSE = FASHION_MNIST_PRIORS
ALPHAS = (0.0, 100.0, 1000.0)

SETTINGS: dict[str, Hyperparameters] = {
    f"{name}, alpha {alpha:g}": {**hyperparameters, "alpha": alpha}
    for alpha in ALPHAS
    for name, hyperparameters in FASHION_MNIST_PRIORS.items()
}

FASHION_MNIST_BETAS = (0.1, 1.0, 10.0)
LARGE_ALPHA = f"{SPARSE[0]}, alpha 1000"


def on_fashion_mnist(hyperparameters: Hyperparameters) -> Measure:
    """A pair of section 6.3 on the test set: sparsity, reconstruction, MMD from the prior, log evidence."""

    def measure(trial: Trial) -> Mapping[str, float]:
        steps = trial.steps(full=9_600, short=240)
        trained = trial.train("decomposition/fashion-mnist", steps=steps, **hyperparameters)
        data, device = trained.data.test, device_of(trained.guide)
        evaluation = trained.evaluate()
        q = [posteriors(trained.guide, batch.x)["z"] for batch in data.in_order(500, device=device)]
        few = data.batch(torch.arange(100), device=device).x
        return {
            "Hoyer": float(hoyer(torch.cat([some.mean for some in q]))),
            "reconstruction": evaluation.reconstruction["x"],
            "KL": evaluation.kl["z"].sum().item(),
            "MMD": statistics.fmean(_discrepancies(trained, q[:4])),
            "log evidence": log_evidence(trained.model, trained.guide, few, num_samples=200).mean().item(),
            "ELBO of these": log_evidence(trained.model, trained.guide, few, num_samples=1).mean().item(),
        }

    return measure


def _discrepancies(trained: FinishedRun, batches: Sequence[Any]) -> list[float]:
    """The marginals' MMD between a draw of q(z) and as many of the prior, batch by batch."""
    p, found = prior(trained.model), []
    with fork_random_state(device_of(trained.guide)), torch.no_grad():
        torch.manual_seed(0)
        for q in batches:
            z = q.sample()
            found.append(mmd(z, p.sample((len(z),)).squeeze(1), kernel="marginal").item())
    return found


def encoded(guide: nn.Module, data: Dataset) -> Any:
    """q(z | x) of all of a small data set."""
    return posteriors(guide, data.batch(torch.arange(len(data)), device=device_of(guide)).x)["z"]
