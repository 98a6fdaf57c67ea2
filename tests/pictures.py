"""What tests ask of pictures."""

from pathlib import Path

from matplotlib.image import imread


def shown(path: Path) -> bool:
    """Whether a picture of some size has something on it."""
    pixels = imread(path)[..., :3]
    return bool(min(pixels.shape[:2]) > 100 and pixels.std() > 0.01)
