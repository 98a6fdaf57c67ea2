"""DIP-VAE (Kumar et al. 2018, arXiv:1711.00848), and beta-VAE, its baseline."""
