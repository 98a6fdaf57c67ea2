"""Definitions of the quantities in DIP-VAE's reproductions (Kumar et al. 2018, arXiv:1711.00848v1)."""

from zoo.lab.trials.reproduction import Quantity
from zoo.papers.dip_vae.recipes import LAMBDAS

PAPER = "Kumar, Sattigeri, Balakrishnan 2018, Variational Inference of Disentangled Latent Concepts, v1, {}; " + (
    "https://arxiv.org/abs/1711.00848v1"
)

SEARCH_QUANTITIES = {
    f"search_{quantity}_{weight:g}": Quantity(f"lambda_od = {weight:g} in the search: {about}", digits=digits)
    for weight in LAMBDAS
    for quantity, about, digits in (
        ("metric", "Higgins metric, %", 1),
        ("squared_error", "squared error per pixel", 4),
        ("cross_entropy", "cross-entropy per pixel, nats", 4),
    )
}
MEASURED = {
    "metric": Quantity("Higgins metric, %", "high", 1),
    "1,000 votes": Quantity("Higgins metric, %, with 1,000 votes", "high", 1),
    "C = 1, 5,000 votes": Quantity("Higgins metric, %, with C = 1 and 5,000 votes", "high", 1),
    "squared_error": Quantity("reconstruction: squared error per pixel", "low", 4),
    "cross_entropy": Quantity("reconstruction: cross-entropy per pixel, nats", "low", 4),
    "off_diagonal": Quantity("sum of squared covariances of different latents", "low", 4),
    "correlation": Quantity("mean absolute correlation of different latents", "low", 3),
    "kl": Quantity("KL(q || p), nats", digits=1),
    "lambda_od": Quantity("chosen lambda_od", digits=0),
}
UNDER_PROTOCOLS = {
    "metric": Quantity("Higgins metric, %: C = 0.01, 10,000 votes of 64 pairs", "high", 1),
    "1,000 votes": Quantity("with 1,000 votes", "high", 1),
    "5,000 votes": Quantity("with 5,000 votes", "high", 1),
    "16 pairs": Quantity("with 16 pairs a vote", "high", 1),
    "200 pairs": Quantity("with 200 pairs a vote", "high", 1),
    "C = 1": Quantity("with C = 1", "high", 1),
    "C = 1, 5,000 votes": Quantity("with C = 1 and 5,000 votes", "high", 1),
    "C = 1, 1,000 votes": Quantity("with C = 1 and 1,000 votes", "high", 1),
    "spread": Quantity("largest minus smallest of these eight", digits=1),
    "mean loss": Quantity("with C times the mean of the hinge loss instead of its sum", "high", 1),
    "standardised": Quantity("of the standardised codes", "high", 1),
    "standardised, C = 1": Quantity("of the standardised codes, with C = 1", "high", 1),
}
