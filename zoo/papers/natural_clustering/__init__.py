"""N-VAE (Antorán & Miguel 2019, arXiv:1901.09415)."""
