"""HFVAE on images (Esmaeili et al. 2019, arXiv:1804.02086)."""
