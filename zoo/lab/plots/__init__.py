"""Pictures of data and of trained pairs. Every function returns its picture: a matplotlib Figure, or an ImageGrid.

    from zoo.lab.plots import kl_bars, samples

    kl_bars(evaluation).savefig("kl.svg")
    samples(model).save("samples.png")

A notebook displays the last value of a cell. `with projector():` draws for slides, and
`plt.style.use("zoo.lab.plots.zoo")` sets the same style for your own pictures.
"""

from zoo.lab.plots.anatomy import anatomy_bars
from zoo.lab.plots.bars import bars_of_nats, kl_bars
from zoo.lab.plots.curves import Setting, curves, trade_off
from zoo.lab.plots.gaps import gap_bars
from zoo.lab.plots.image_grid import Animation, ImageGrid, side_by_side
from zoo.lab.plots.kl_history import plot_kl_history
from zoo.lab.plots.latents import aggregate, latent_scatter
from zoo.lab.plots.matrix import matrix
from zoo.lab.plots.picture import Picture, drawn_as, save_pictures
from zoo.lab.plots.run import plot_terms, reconstructions, samples
from zoo.lab.plots.sliders import sliders
from zoo.lab.plots.style import COLOURS, FAINT, INK, projector, scatter_by_class
from zoo.lab.plots.sweep import plot_sweep
from zoo.lab.plots.traversals import (
    compared_traversals,
    confusion_table,
    edited_images,
    samples_by_type,
    traversal_animation,
    type_labels,
    type_traversal,
    unit_traversal,
    unit_traversals,
)

__all__ = [
    "COLOURS",
    "FAINT",
    "INK",
    "Animation",
    "ImageGrid",
    "Picture",
    "Setting",
    "aggregate",
    "anatomy_bars",
    "bars_of_nats",
    "compared_traversals",
    "confusion_table",
    "curves",
    "drawn_as",
    "edited_images",
    "gap_bars",
    "kl_bars",
    "latent_scatter",
    "matrix",
    "plot_kl_history",
    "plot_sweep",
    "plot_terms",
    "projector",
    "reconstructions",
    "samples",
    "samples_by_type",
    "save_pictures",
    "scatter_by_class",
    "side_by_side",
    "sliders",
    "trade_off",
    "traversal_animation",
    "type_labels",
    "type_traversal",
    "unit_traversal",
    "unit_traversals",
]
