"""The latents from which traversals of a finished run start."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from zoo.lab.analysis.interventions import Latents, LatentSites, encode_modes, from_prior, guide_inputs, types
from zoo.lab.analysis.selection import spread
from zoo.lab.device import device_of
from zoo.lab.plots.traversals import Names
from zoo.lab.runs.finished import FinishedRun

ROWS = 8  # datapoints or draws, where there are no types for the rows


@dataclass(frozen=True)
class StartingPoints:
    """The starting points of traversals.

    Attributes:
        one: the latents of one starting point, [1, ...].
        rows: the latents of the rows in the picture of a unit, [N, ...]: every type, or several datapoints or draws.
        labels: of the rows, [N].
        several: latents of several datapoints or draws, [N, ...], for the types.
        datapoints: test datapoints, the starting point first.
    """

    one: Latents
    rows: Latents
    labels: list[str]
    several: Latents
    datapoints: list[int]

    @classmethod
    def of(
        cls, run: FinishedRun, sites: LatentSites, datapoint: int | None = None, prior: int | None = None
    ) -> "StartingPoints":
        """From a datapoint's code, or a draw from the prior with this seed; by default from the first of `spread`.

        Raises:
            ValueError: both are given, there is no such datapoint, or the seed is negative.
        """
        if datapoint is not None and prior is not None:
            raise ValueError("give --datapoint or --prior, not both")
        if prior is not None and prior < 0:
            raise ValueError(f"--prior takes a seed from 0, got {prior}")
        data = run.data.test
        if datapoint is not None and not 0 <= datapoint < len(data):
            raise ValueError(f"the test set of {data.name!r} has the datapoints 0 to {len(data) - 1}, got {datapoint}")
        index = spread(data, ROWS + 1)
        if datapoint is not None:
            index = [datapoint, *(n for n in index if n != datapoint)]
        index = index[:ROWS]
        if prior is None:
            several = encoded(run, index)
            labels = [f"datapoint {n}" for n in index]
        else:
            several = from_prior(run.model, ROWS, seed=prior)
            labels = [f"draw {n}" for n in range(ROWS)]
        one = {name: value[:1] for name, value in several.items()}
        if sites.classes:
            rows, labels = types(sites, one)
            return cls(one, rows, labels, several, index)
        return cls(one, several, labels, several, index)

    def named(self, names: Names) -> "StartingPoints":
        """The same points, with these names in place of labels."""
        return replace(self, labels=[names.get(label, label) for label in self.labels])


def encoded(run: FinishedRun, index: Sequence[int]) -> Latents:
    """The modes of the posteriors of these test datapoints, [N, ...] by site."""
    seen = guide_inputs(run.guide, run.data.test, index, device_of(run.model))
    return encode_modes(run.model, run.guide, *seen)
