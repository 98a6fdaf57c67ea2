"""An interactive traversal in a notebook: a slider for each unit, a list for each type, and the decoded image."""

from collections.abc import Mapping
from io import BytesIO
from typing import Any

from PIL import Image
from torch import Tensor, nn

from zoo.arguments import checked, number_from
from zoo.lab.analysis.interventions import (
    Latents,
    LatentSites,
    Unit,
    decoded,
    encode_modes,
    from_prior,
    guide_inputs,
    intervene,
    ranked,
)
from zoo.lab.data import Dataset
from zoo.lab.device import device_of
from zoo.lab.errors import import_optional
from zoo.lab.plots.image_grid import SMALL

REACH = 3.0
SIDE = 256


@checked(most=number_from(1))
def sliders(
    model: nn.Module,
    guide: nn.Module | None = None,
    data: Dataset | None = None,
    *,
    kl: Mapping[str, Tensor] | None = None,
    datapoint: int = 0,
    most: int = 10,
    seed: int = 0,
) -> Any:
    """A widget: the mean of p(x | latents) under sliders for the units and lists for the types.

        sliders(model, guide, test, kl=evaluate(model, guide, test).kl)

    It starts from a datapoint's posterior means and most probable types, or without a guide from a draw of the prior.

    Args:
        model: a story of images.
        guide, data: the encoder and the set of the datapoint to start from.
        kl: nats by site, [units], from `evaluate`: the units with the largest KL come first.
        datapoint: its position in the data.
        most: the largest number of units with a slider.
        seed: of the draw from the prior.

    Returns:
        An `ipywidgets.HBox`; its attribute `controls` has a widget by unit, as "z[3]", and by type, as "c".

    Raises:
        ModuleNotFoundError: ipywidgets is not installed; the message says how to install it.
        ValueError: there is a guide without data or data without a guide, there is no such datapoint, the story has no
            latent that can be changed, or is not one of images.
    """
    widgets = import_optional("ipywidgets", "sliders")
    if (guide is None) != (data is None):
        raise ValueError("give both guide and data, to start from a datapoint, or neither, to start from the prior")
    sites = LatentSites.of(model)
    units = ranked(sites, kl or {})[:most]
    if not units and not sites.classes:
        raise ValueError("the story has neither a vector of real numbers nor a type, so there is nothing to change")
    if guide is None or data is None:
        start = from_prior(model, 1, seed=seed)
    elif 0 <= datapoint < len(data):
        start = encode_modes(model, guide, *guide_inputs(guide, data, [datapoint], device_of(model)))
    else:
        raise ValueError(f"data {data.name!r} has the datapoints 0 to {len(data) - 1:,}, got {datapoint}")
    controls = _controls(widgets, sites, units, start)
    image = widgets.Image(format="png")

    def show(*_: Any) -> None:
        changes = [(unit.site, unit.index, float(controls[str(unit)].value)) for unit in units]
        changes += [(site, int(controls[site].value), 1.0) for site in sites.classes]
        image.value = picture(model, intervene(sites, start, changes))

    for control in controls.values():
        control.observe(show, names="value")
    show()
    box = widgets.HBox([image, widgets.VBox(list(controls.values()))])
    box.controls = controls
    return box


def picture(model: nn.Module, latents: Latents) -> bytes:
    """The mean of p(x | latents), one image, as a PNG of about `SIDE` pixels.

    Raises:
        ValueError: the story's datapoints are not images.
    """
    mean = decoded(model, latents)[0]
    if mean.dim() != 3 or mean.shape[0] not in (1, 3):
        raise ValueError(
            f"sliders show images [1, H, W] and [3, H, W], and a datapoint of the story is {[*mean.shape]}"
        )
    pixels = (mean.clamp(0, 1) * 255).round().byte().movedim(0, -1).cpu().numpy()
    image = Image.fromarray(pixels.squeeze(-1) if pixels.shape[-1] == 1 else pixels)
    times = max(1, SIDE // max(image.size))
    filtered = Image.Resampling.BICUBIC if min(image.size) < SMALL else Image.Resampling.NEAREST
    file = BytesIO()
    image.resize((times * image.width, times * image.height), filtered).save(file, format="PNG")
    return file.getvalue()


def _controls(widgets: Any, sites: LatentSites, units: list[Unit], start: Latents) -> dict[str, Any]:
    """A slider for each unit, whose range includes its value, and a list for each type."""
    controls = {}
    for unit in units:
        value = start[unit.site][0, unit.index].item()
        reach = max(REACH, abs(value))
        controls[str(unit)] = widgets.FloatSlider(
            value=value, min=-reach, max=reach, step=0.05, description=unit.label, continuous_update=True
        )
    for site, classes in sites.classes.items():
        chosen = int(start[site][0].argmax())
        controls[site] = widgets.Dropdown(options=list(range(classes)), value=chosen, description=site)
    return controls
