"""Analysis of a trained pair: its ELBO, its codes, and the meaning of its latents.

from zoo.lab.analysis import evaluate, posteriors, elbo_anatomy
"""

from zoo.lab.analysis.elbo_anatomy import ElboAnatomy, elbo_anatomy
from zoo.lab.analysis.evaluate import Evaluation, evaluate
from zoo.lab.analysis.grid import Grid2D, divergences, information, log_aggregate, log_prior
from zoo.lab.analysis.importance_sampling import Importance, importance, log_evidence
from zoo.lab.analysis.inference_data import to_inference_data
from zoo.lab.analysis.interventions import (
    RANGE_3,
    Latents,
    LatentSites,
    Unit,
    encode_modes,
    from_prior,
    guide_inputs,
    intervene,
    quantiles,
    ranked,
    traverse_classes,
    traverse_unit,
    types,
)
from zoo.lab.analysis.posterior import codes, decode, draw, posterior_means, posteriors

__all__ = [
    "RANGE_3",
    "ElboAnatomy",
    "Evaluation",
    "Grid2D",
    "Importance",
    "LatentSites",
    "Latents",
    "Unit",
    "codes",
    "decode",
    "divergences",
    "draw",
    "elbo_anatomy",
    "encode_modes",
    "evaluate",
    "from_prior",
    "guide_inputs",
    "importance",
    "information",
    "intervene",
    "log_aggregate",
    "log_evidence",
    "log_prior",
    "posterior_means",
    "posteriors",
    "quantiles",
    "ranked",
    "to_inference_data",
    "traverse_classes",
    "traverse_unit",
    "types",
]
