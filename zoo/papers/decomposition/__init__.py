"""Disentangling Disentanglement (Mathieu et al. 2019, arXiv:1812.02833)."""
