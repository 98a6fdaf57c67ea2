"""Joint-VAE (Dupont 2018, arXiv:1804.00104)."""
