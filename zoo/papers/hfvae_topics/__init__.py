"""HFVAE's topic models (Esmaeili et al. 2019, arXiv:1804.02086, section 5.2)."""
