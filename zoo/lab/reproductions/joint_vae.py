"""Joint-VAE's figures (Dupont 2018, arXiv:1804.00104)."""

from zoo.lab.reproduce import Reproduction

REPRODUCTIONS: dict[str, Reproduction] = {}
