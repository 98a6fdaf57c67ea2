"""Pictures of what a pair has learnt; `inline` shows any of the lab's in a notebook."""

from zoo.lab.plots.anatomy import anatomy_bars
from zoo.lab.plots.inline import Picture, inline
from zoo.lab.plots.latents import aggregate, latent_scatter

__all__ = ["Picture", "aggregate", "anatomy_bars", "inline", "latent_scatter"]
