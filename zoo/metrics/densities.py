"""Log densities of samples of q(z | x) under the aggregate posterior, of all datapoints and of each class.

Shared by I(x; z), I(y; z), the total correlation and two of the MIGs, which use the same draws.
"""

import math
import operator
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.distributions import Independent, Normal

from zoo.estimators import Scores, log_marginals, scores
from zoo.metrics.encoded import Encoded
from zoo.metrics.sites import Site
from zoo.seeds import stream


class Draws(NamedTuple):
    """S samples, each of one datapoint's posterior.

    Attributes:
        rows: the datapoints, [S].
        values: by site, [S, 1, size].
        own: log q(z | x), of whole samples [S] and of units [S, U].
        mixed: log q(z) with q(z) = 1/N sum_n q(z | x_n) summed exactly, in the same form.
    """

    rows: np.ndarray
    values: dict[str, Tensor]
    own: Scores
    mixed: Scores


def draws(encoded: Encoded, num_samples: int, seed: int, repeat: int) -> Draws:
    """One sample each of `num_samples` datapoints, drawn without replacement, or with it where there are fewer.

    Computed once for each `encoded`.
    """
    key = ("draws", num_samples, operator.index(seed), repeat)
    if key not in encoded.memo:
        rng = stream([seed, repeat])
        index = rng.choice(len(encoded), num_samples, replace=num_samples > len(encoded))
        values = {name: sample(site.at(index), rng) for name, site in encoded.sites.items()}
        own = {name: scores(site.at(index).q, values[name].squeeze(1)) for name, site in encoded.sites.items()}
        joint = torch.stack([score.joint for score in own.values()]).sum(0)
        together = Scores(joint, torch.cat([score.units for score in own.values()], dim=-1))
        encoded.memo[key] = Draws(index, values, together, _mixed(encoded.sites, values))
    found: Draws = encoded.memo[key]
    return found


def given_factors(encoded: Encoded, num_samples: int, seed: int, repeat: int) -> Tensor:
    """log q(z_d | y_k) of the samples of `draws`, [S, K, U]; y_k is the class of the sample's datapoint."""
    key = ("given", num_samples, operator.index(seed), repeat)
    if key not in encoded.memo:
        drawn = draws(encoded, num_samples, seed, repeat)
        given = torch.empty(num_samples, len(encoded.names), len(encoded.units), dtype=torch.float64)
        for k, column in enumerate(encoded.factors.T):
            for c in np.unique(column[drawn.rows]):
                rows = np.flatnonzero(column[drawn.rows] == c)
                same_class = {name: site.at(np.flatnonzero(column == c)) for name, site in encoded.sites.items()}
                values = {name: value[rows] for name, value in drawn.values.items()}
                given[rows, k] = _mixed(same_class, values).units
        encoded.memo[key] = given
    found: Tensor = encoded.memo[key]
    return found


def _mixed(sites: Mapping[str, Site], values: dict[str, Tensor]) -> Scores:
    """Log densities of samples under the equal mixture of the posteriors of all datapoints of `sites`."""
    posteriors = {name: site.q for name, site in sites.items()}
    count = len(next(iter(sites.values())).mean)

    def score(name: str, some: Mapping[str, Tensor]) -> Scores:
        return scores(posteriors[name], some[name])

    equal = torch.full((count,), -math.log(count), dtype=torch.float64)
    with torch.no_grad():
        marginals = log_marginals(score, values, equal, [list(sites)], max_elements=2**20)
    return Scores(marginals.joint, torch.cat(list(marginals.units.values()), dim=-1))


def sample(site: Site, rng: np.random.Generator) -> Tensor:
    """One value of each datapoint's posterior, [S, 1, size]."""
    if site.categorical:
        # inverse transform sampling of the classes
        total = site.mean.cumsum(1)
        below = (rng.random((len(total), 1)) * total[:, -1:] >= total).sum(1)
        value = np.eye(site.mean.shape[1])[below]
    elif isinstance(site.q, Independent) and isinstance(site.q.base_dist, Normal):
        value = site.mean + site.q.base_dist.scale.numpy() * rng.standard_normal(site.mean.shape)
    else:
        with torch.random.fork_rng([]):
            torch.manual_seed(int(rng.integers(2**63)))
            value = site.q.sample().numpy()
    return torch.from_numpy(value).unsqueeze(1)
