"""Metrics of representations. Each needs codes and factors, or an encoder and a data set, but no model.

    result = mig(codes, factors)         means [N, D] and class indices [N, K]
    result = mig(encoder, data)          a function from x [B, ...] to means or distributions, and a set with factors
    results = suite(encoder, data)       all metrics, on one encoding of the set

A `Result` has a value, an interval over repeats, and the protocol of the measurement. scikit-learn, which takes seconds
to import, is imported by the first metric that needs it.
"""

from zoo.metrics.attributes import attribute_accuracy
from zoo.metrics.clusters import Clusters, clusters
from zoo.metrics.coherence import npmi
from zoo.metrics.correlations import closest, factor_correlations, latent_correlations, neighbours, strongest
from zoo.metrics.dci import DCI, dci
from zoo.metrics.encoded import Encoded, Inapplicable
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
from zoo.metrics.known_answers import self_check
from zoo.metrics.mig import mig, mig_aggregate, mig_unnormalised
from zoo.metrics.modularity import modularity
from zoo.metrics.perplexity import perplexity
from zoo.metrics.result import Result
from zoo.metrics.sap import sap
from zoo.metrics.suite import Suite, suite
from zoo.metrics.total_correlation import total_correlation, total_correlation_gaussian
from zoo.metrics.udr import udr
from zoo.metrics.wasserstein import wasserstein_correlation, wasserstein_correlation_normed

__all__ = [
    "DCI",
    "Clusters",
    "Encoded",
    "Inapplicable",
    "Result",
    "Suite",
    "attribute_accuracy",
    "closest",
    "clusters",
    "dci",
    "explicitness",
    "factor_correlations",
    "factor_vae",
    "higgins_logistic",
    "higgins_svm",
    "hoyer",
    "information_about_data",
    "information_about_data_by_latent",
    "information_about_factors",
    "information_among_codes",
    "information_of_means",
    "irs",
    "latent_correlations",
    "mig",
    "mig_aggregate",
    "mig_unnormalised",
    "modularity",
    "neighbours",
    "npmi",
    "perplexity",
    "sap",
    "self_check",
    "strongest",
    "suite",
    "total_correlation",
    "total_correlation_gaussian",
    "udr",
    "wasserstein_correlation",
    "wasserstein_correlation_normed",
]
