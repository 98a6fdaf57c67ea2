"""All metrics that apply to a data set, on one encoding of it."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from zoo.arguments import checked
from zoo.metrics.attributes import attribute_accuracy
from zoo.metrics.clusters import Clusters, clusters
from zoo.metrics.correlations import factor_correlations, latent_correlations, neighbours
from zoo.metrics.dci import DCI, dci
from zoo.metrics.encoded import Classes, Codes, Encoded, Inapplicable
from zoo.metrics.explicitness import explicitness
from zoo.metrics.factor_vae import factor_vae
from zoo.metrics.higgins import higgins_logistic, higgins_svm
from zoo.metrics.hoyer import hoyer
from zoo.metrics.information import (
    information_about_data,
    information_about_data_by_latent,
    information_about_factors,
    information_among_codes,
    information_of_means,
)
from zoo.metrics.irs import irs
from zoo.metrics.mig import mig, mig_aggregate, mig_unnormalised
from zoo.metrics.modularity import modularity
from zoo.metrics.result import Result
from zoo.metrics.sap import sap
from zoo.metrics.total_correlation import total_correlation, total_correlation_gaussian
from zoo.metrics.wasserstein import wasserstein_correlation, wasserstein_correlation_normed

Metric = Callable[..., Result | DCI | Clusters]

METRICS: dict[str, Metric] = {
    "higgins_svm": higgins_svm,
    "higgins_logistic": higgins_logistic,
    "factor_vae": factor_vae,
    "dci_forest": lambda *args, **kwargs: dci(*args, regressor="forest", **kwargs),
    "dci_lasso": lambda *args, **kwargs: dci(*args, regressor="lasso", **kwargs),
    "modularity": modularity,
    "explicitness": explicitness,
    "irs": irs,
    "mig": mig,
    "mig_aggregate": mig_aggregate,
    "mig_unnormalised": mig_unnormalised,
    "sap": sap,
    "hoyer": hoyer,
    "information_about_data": information_about_data,
    "information_about_data_by_latent": information_about_data_by_latent,
    "information_about_factors": information_about_factors,
    "information_of_means": information_of_means,
    "information_among_codes": information_among_codes,
    "total_correlation": total_correlation,
    "total_correlation_gaussian": total_correlation_gaussian,
    "wasserstein_correlation": wasserstein_correlation,
    "wasserstein_correlation_normed": wasserstein_correlation_normed,
    "attribute_accuracy": attribute_accuracy,
    "latent_correlations": latent_correlations,
    "factor_correlations": factor_correlations,
    "neighbours": neighbours,
    "clusters": clusters,
}
# These take from minutes to hours, and run only on request.
SLOW: dict[str, Metric] = {
    "dci_boosted": lambda *args, **kwargs: dci(*args, regressor="boosted", **kwargs),
}


class Suite(dict[str, Result]):
    """Results by name.

    Attributes:
        inapplicable: the metrics that do not apply to the codes or factors, and factors without classes, each with the
            reason; the key is "encode" where no metric applies.
        seconds: the time of each metric, and of "encode".
    """

    def __init__(self) -> None:
        super().__init__()
        self.inapplicable: dict[str, str] = {}
        self.seconds: dict[str, float] = {}

    def write_json(self, path: str | Path) -> None:
        """Writes all results, including protocols and runs."""
        whole = {
            "results": {name: result.as_dict() for name, result in self.items()},
            "inapplicable": self.inapplicable,
            "seconds": {name: round(seconds, 3) for name, seconds in self.seconds.items()},
        }
        Path(path).write_text(json.dumps(whole, indent=2, allow_nan=False, default=_json) + "\n", encoding="utf-8")

    def table(self) -> str:
        """Every number on a line, matrices as matrices, and the metrics that were left out."""
        lines = [f"{'':34}{'value':>9}  {'95 % of runs':^19}"]
        for name, result in self.items():
            if len(result.axes) == 2:
                lines += _matrix(name, result)
                continue
            entries = result.entries()
            if result.axes:
                lines.append(f"{name} [{result.unit}]")
            for entry, value, low, high in entries:
                label = f"  {entry}" if result.axes else f"{name} [{result.unit}]"
                caveat = f"  {result.caveat}" if result.caveat else ""
                lines.append(f"{label:34}{value:9.3f}  [{low:8.3f},{high:8.3f}]{caveat}")
        lines += [f"left out: {why}" for why in self.inapplicable.values()]
        return "\n".join(lines)


@checked()
def suite(
    codes: Codes,
    data: Classes = None,
    *,
    num_points: int = 10_000,
    batch_size: int = 500,
    device: str | torch.device | None = None,
    seed: int = 0,
    repeats: int = 10,
    slow: bool = False,
    progress: bool = True,
) -> Suite:
    """Encodes once, then runs every metric with its defaults.

    Metrics that fix factors draw from the encoded points. A metric that does not apply to these codes or factors is
    left out, with the reason; all are left out if there are fewer than 10 points, or a distribution has no mean.

    Args:
        codes: as `Encoded.of`: codes, distributions, or an encoder.
        data: as the factors of `Encoded.of`: classes, or a data set.
        num_points: for an encoder, number of datapoints to encode.
        batch_size: for an encoder.
        device: for an encoder, as `Encoded.of`.
        seed: of every metric, and of the choice of datapoints.
        repeats: of every metric.
        slow: whether to run DCI with boosted trees as well, which takes from minutes to hours.
        progress: whether to show a progress bar.

    Raises:
        TypeError, ValueError: as `Encoded.of`.
    """
    found = Suite()
    start = time.perf_counter()
    try:
        encoded = Encoded.of(codes, data, num_points=num_points, batch_size=batch_size, device=device, seed=seed)
    except Inapplicable as why:
        found.inapplicable["encode"] = str(why)
        return found
    found.inapplicable |= encoded.left_out
    found.seconds["encode"] = time.perf_counter() - start
    metrics = METRICS | SLOW if slow else METRICS
    with tqdm(metrics.items(), disable=not progress, leave=False) as bar:
        for name, metric in bar:
            bar.set_description(name)
            start = time.perf_counter()
            try:
                result = metric(encoded, seed=seed, repeats=repeats)
            except Inapplicable as why:
                found.inapplicable[name] = str(why)
                continue
            finally:
                found.seconds[name] = time.perf_counter() - start
            if isinstance(result, (DCI, Clusters)):
                found |= {f"{name}_{part}": one for part, one in result._asdict().items()}
            else:
                found[name] = result
    return found


def _matrix(name: str, result: Result) -> list[str]:
    rows, columns = result.axes
    width = max(9, *(len(column) + 2 for column in columns))
    lines = [f"{name} [{result.unit}]", f"{'':16}" + "".join(f"{column:>{width}}" for column in columns)]
    for row, values in zip(rows, result.value, strict=True):
        lines.append(f"  {row:14}" + "".join(f"{value:{width}.3f}" for value in values))
    return lines


def _json(value: Any) -> Any:
    """NumPy's numbers as Python's."""
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")
