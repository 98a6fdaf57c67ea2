"""HFVAE's Figure 2: each term of the ELBO is left out in turn, in an example where all four can be computed.

Esmaeili et al. 2019, Figures 1 and 2, https://arxiv.org/abs/1804.02086. The paper does not describe its example;
here it is six points on a line, a code on a line, and an encoder and a decoder flexible enough for every objective.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import repeat
from typing import Any

import pyro
import pyro.distributions as dist
import torch
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from pyro.poutine.messenger import Messenger
from pyro.poutine.trace_struct import Trace
from torch import Tensor, nn

from zoo.aggregate import dissect
from zoo.handlers import ScorePairs
from zoo.lab.analysis.elbo_anatomy import elbo_anatomy
from zoo.lab.data import Batch, Dataset
from zoo.lab.plots.style import INK, figure, styled
from zoo.lab.training.fit import fit
from zoo.likelihoods import normal
from zoo.program import data_plate, picklable_state, register
from zoo.sites import nodes_of
from zoo.termwise import TermwiseELBO, num_data_of
from zoo.vae import VAE

POINTS = (-2.5, -1.5, -0.5, 0.5, 1.5, 2.5)
NOISE = 0.5  # sd of p(x | z), half the distance of two points: neighbours can be distinguished, at a cost in KL


class FourTerms(TermwiseELBO):
    """The four terms of the ELBO in HFVAE's Figure 1, without one of them.

    As in `zoo.elbos` each number is a signed term: 1 = E[log p(x | z) - log p(x)], 2 = -I(x; z), 4 = -KL(q(z) || p(z)).
    3 = -KL(q(x) || p(x)) is replaced by E[log p(x)], the part of it that depends on the model. A batch is all of the
    data, so that q(z) is exact given its draws. A bound on log p(x) only where nothing is left out.

    Args:
        model: a `VAE` with one unit, whose evidence log p(x) is computed by quadrature.
        without: the term to leave out, "1" to "4"; none when not given.
        num_particles: number of draws for each datapoint.

    Raises:
        ValueError: there is no such term.
    """

    def __init__(self, model: VAE, *, without: str | None = None, num_particles: int = 1) -> None:
        if without not in (None, "1", "2", "3", "4"):
            raise ValueError(f"without must be one of the terms '1', '2', '3', '4', got {without!r}")
        super().__init__(num_particles=num_particles)
        self.max_plate_nesting = 1 + (
            num_particles > 1
        )  # the plate "data", and that of the draws; given here, since Pyro's guess prints a message
        self.model, self.without = model, without

    def messengers(self) -> Sequence[Messenger]:
        """`ScorePairs`, which makes it possible to score each sample under every datapoint's posterior."""
        return [ScorePairs("density")]

    def terms(self, model_trace: Trace, guide_trace: Trace) -> dict[str, Tensor]:
        """The remaining terms."""
        kl = dissect(model_trace, guide_trace, num_data=num_data_of(model_trace), estimator="batch")
        x = nodes_of(model_trace)["x"]
        evidence = log_evidence(self.model, x["value"]).mean()
        terms = {"1": x["nats"] - evidence, "2": -kl.mutual_information, "3": evidence, "4": -kl.marginal_kl}
        return {name: term for name, term in terms.items() if name != self.without}


def log_evidence(model: VAE, x: Tensor, *, num_nodes: int = 400) -> Tensor:
    """log p(x) = log of the mean of p(x | z) over the prior's quantiles; x [..., 1] to [...]."""
    quantiles = (torch.arange(num_nodes) + 0.5) / num_nodes
    z = dist.Normal(0.0, 1.0).icdf(quantiles).unsqueeze(-1)
    log_p: Tensor = model.likelihood(model.decoder(z)).log_prob(x.unsqueeze(-2)).squeeze(-1)
    return log_p.logsumexp(-1) - math.log(num_nodes)


class Encoder(nn.Module):
    """q(z | x) = Normal(mean, sd), with mean and sd from a small network."""

    def __init__(self, num_data: int) -> None:
        super().__init__()
        self.num_data = num_data
        self.layers = _network(1, 2)

    def posterior(self, x: Tensor) -> Any:
        """x [B, 1] to B normals over one unit."""
        mean, log_sd = self.layers(x).chunk(2, dim=-1)
        return dist.Normal(mean, log_sd.exp()).to_event(1)

    def forward(self, x: Tensor, *, index: Tensor | None = None) -> Tensor:
        """Samples z for the batch."""
        register(self)
        with data_plate(x, index, self.num_data):
            return pyro.sample("z", self.posterior(x))

    def __getstate__(self) -> dict[str, Any]:
        return picklable_state(self)


@dataclass(frozen=True, eq=False)
class Panel:
    """A pair trained without a term, and its terms in nats per datapoint.

    Attributes:
        without: the term that was left out, or None.
        model, encoder: the pair.
        terms: the quantities by number: "1", E[log p(x | z) - log p(x)]; "2", I(x; z), and "4", KL(q(z) || p(z)), both
            without the minus sign of their terms; "3", E[log p(x)]; and "ELBO".
    """

    without: str | None
    model: VAE
    encoder: Encoder
    terms: dict[str, float]


def train_without(without: str | None, *, steps: int, seed: int) -> Panel:
    """Trains a new pair on the six points by `FourTerms`, each step on all of them.

    The initial weights are the same for every panel. The random state is left as it was.

    Raises:
        ValueError: there is no such term.
    """
    x = torch.tensor(POINTS).unsqueeze(1)
    N = len(x)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = VAE(_network(1, 1), z_dim=1, likelihood=partial(normal, scale=NOISE), num_data=N)
        encoder = Encoder(N)
        elbo = FourTerms(model, without=without, num_particles=16)
        batches = repeat(Batch(x, None, torch.arange(N)), steps)
        for _ in fit(model, encoder, elbo, batches, lr=1e-2, device="cpu", progress=False):
            pass
    data = Dataset.from_arrays(x, name="six points")
    d = elbo_anatomy(model, encoder, data, num_data=N, num_samples=500 * N)
    with torch.no_grad():
        evidence = log_evidence(model, x).mean().item()
    terms = {
        "1": d.reconstruction["x"].mean.item() - evidence,
        "2": d.mutual_information.mean.item(),
        "3": evidence,
        "4": d.marginal_kl.mean.item(),
        "ELBO": d.elbo.mean.item(),
    }
    return Panel(without, model, encoder, terms)


def train_every_panel(*, steps: int = 1000, seed: int = 0) -> list[Panel]:
    """Trains the pair with the ELBO, and without each term.

    According to the caption of the paper's figure: without 1, I(x; z) falls to zero and each posterior is the prior;
    without 2, I(x; z) approaches log N; without 3, p(x) does not match the data; without 4, q(z) does not match the
    prior. The result without 3 or 4 depends on the seed: many solutions are equally good.

    Args:
        steps: of training, for each panel.
        seed: of weights and draws.
    """
    return [train_without(without, steps=steps, seed=seed) for without in (None, "1", "2", "3", "4")]


def table(panels: Sequence[Panel]) -> str:
    """The quantities of each panel as plain text; -2 and -4 are the quantities without their terms' minus sign."""
    columns = {"1": "E log p(x|z)/p(x)", "2": "I(x; z)", "3": "E log p(x)", "4": "KL(q(z)||p(z))", "ELBO": ""}
    widths = {name: max(len(what), 8) + 2 for name, what in columns.items()}
    lines = [
        f"{len(POINTS)} points, log N = {math.log(len(POINTS)):.2f}; nats per datapoint; ELBO = 1 + 2 + 3 + 4",
        "",
        f"{'':12}" + "".join(f"{'-' + name if name in ('2', '4') else name:>{widths[name]}}" for name in columns),
        f"{'without':12}" + "".join(f"{what:>{widths[name]}}" for name, what in columns.items()),
    ]
    for panel in panels:
        figures = "".join(f"{_two_digits(panel.terms[name]):>{widths[name]}}" for name in columns)
        lines.append(f"{_letter(panel)}  {panel.without or 'nothing':9}{figures}")
    return "\n".join(lines)


@styled
@torch.no_grad()
def draw(panels: Sequence[Panel]) -> Figure:
    """A column per panel: z-space; the maps of encoder and decoder; x-space."""
    canvas = figure(15, 7.6)
    grid = canvas.subplots(3, len(panels), sharey="row", height_ratios=[3, 4, 3])
    titles = {
        None: "the ELBO",
        "1": "without 1, E log p(x | z) / p(x)",
        "2": "without 2, -I(x; z)",
        "3": "without 3, -KL(q(x) || p(x))",
        "4": "without 4, -KL(q(z) || p(z))",
    }
    for panel, (codes, maps, points) in zip(panels, grid.T, strict=True):
        codes.set_title(f"{_letter(panel)}: {titles[panel.without]}")
        _draw_codes(codes, panel)
        _draw_maps(maps, panel)
        _draw_points(points, panel)
        information, evidence, marginal_kl = (_two_digits(panel.terms[name]) for name in "234")
        codes.text(0.02, 0.97, f"I(x; z) = {information}\nKL(q(z) || p(z)) = {marginal_kl}", **_corner(codes))
        points.text(0.02, 0.97, f"E log p(x) = {evidence}", **_corner(points))
    codes, maps, points = grid[:, 0]
    codes.set_ylabel("density of z")
    codes.set_ylim(0, 1.3 * codes.get_ylim()[1])  # room for the text above the curves
    maps.set_ylabel("x")
    points.set_ylabel("density of x")
    for axes, corner in ((codes, "upper right"), (maps, "lower right"), (points, "upper right")):
        axes.legend(loc=corner)
    return canvas


CODES = (-6.5, 6.5)  # limits of the axes of z and x
DATA = (-5.0, 5.0)
COLOURS = colormaps["viridis"](torch.linspace(0.0, 0.9, len(POINTS)).tolist())


def _draw_codes(axes: Axes, panel: Panel) -> None:
    """The posteriors, each times 1/N, which add up to q(z); and the prior."""
    z = torch.linspace(*CODES, 600)
    q = panel.encoder.posterior(torch.tensor(POINTS).unsqueeze(1)).base_dist
    shares = q.log_prob(z).exp() / len(POINTS)
    for n, (share, colour) in enumerate(zip(shares, COLOURS, strict=True)):
        label = "" if n else "q(z | x) / N"
        axes.fill_between(z, share, color=colour, alpha=0.5, linewidth=0, label=label)
    axes.plot(z, shares.sum(0), color=INK, label="q(z)")
    axes.plot(z, dist.Normal(0.0, 1.0).log_prob(z).exp(), "--", color="grey", label="p(z)")
    axes.set_xlim(*CODES)


def _draw_maps(axes: Axes, panel: Panel) -> None:
    """Each point's q(z | x), to two standard deviations; and the decoder's p(x | z)."""
    x, z = torch.tensor(POINTS), torch.linspace(*CODES, 600)
    q = panel.encoder.posterior(x.unsqueeze(1)).base_dist
    mean = panel.model.decoder(z.unsqueeze(1)).squeeze(1)
    axes.fill_between(z, mean - NOISE, mean + NOISE, color=INK, alpha=0.15, linewidth=0)
    axes.plot(z, mean, color=INK, label="p(x | z), mean and sd")
    for point, centre, sd, colour in zip(x, q.mean.squeeze(1), q.stddev.squeeze(1), COLOURS, strict=True):
        axes.errorbar(centre, point, xerr=2 * sd, fmt="o", color=colour, markersize=4)
    axes.set_xlim(*CODES)
    axes.set_xlabel("z")


def _draw_points(axes: Axes, panel: Panel) -> None:
    """The data, the model's density p(x), and the density of the data with the decoder's noise."""
    x = torch.linspace(*DATA, 400)
    own = dist.Normal(torch.tensor(POINTS).unsqueeze(1), NOISE).log_prob(x).exp().mean(0)
    axes.plot(x, log_evidence(panel.model, x.unsqueeze(1)).exp(), color=INK, label="p(x)")
    axes.plot(x, own, "--", color="grey", label="q(x), blurred")
    axes.scatter(POINTS, torch.zeros(len(POINTS)), color=COLOURS, zorder=3, clip_on=False)
    axes.set_xlabel("x")


def _letter(panel: Panel) -> str:
    return "ABCDE"[int(panel.without or 0)]


def _two_digits(nats: float) -> str:
    return f"{round(nats, 2) + 0.0:.2f}"  # no -0.00


def _corner(axes: Axes) -> dict[str, Any]:
    return {"transform": axes.transAxes, "va": "top"}


def _network(inputs: int, outputs: int, width: int = 32) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(inputs, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh(), nn.Linear(width, outputs)
    )
