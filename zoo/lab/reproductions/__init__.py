"""What each paper reports and how we try for it, a file per paper."""

from zoo.lab.reproduce import Reproduction
from zoo.lab.reproductions import joint_vae

__all__ = ["REPRODUCTIONS"]

REPRODUCTIONS: dict[str, Reproduction] = {**joint_vae.REPRODUCTIONS}
