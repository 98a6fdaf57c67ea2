"""A pair's decoder and encoder as functions of tensors, and as networks for a page."""

from dataclasses import dataclass, replace
from typing import Any

import torch
from pyro import poutine
from pyro.poutine.messenger import Messenger
from torch import Tensor, nn

from zoo.lab.analysis.interventions import Latents, LatentSites, decoded, from_prior, one_hot, repeat
from zoo.lab.analysis.posterior import centre_of
from zoo.lab.explore.network import Network, NotExported, export
from zoo.lab.isolation import isolated
from zoo.sites import is_subsample, latent, nodes_of
from zoo.termwise import family


@dataclass(frozen=True)
class ExportedEncoder:
    """An encoder for a page.

    Attributes:
        network: from x [1, ...], and a label [1] where the guide needs one, to a tensor [1, size] for each site.
        sites: the sites, in the order of the outputs.
    """

    network: Network
    sites: list[str]


def latents_of(model: nn.Module, num: int, *, seed: int) -> tuple[LatentSites, Latents]:
    """The sites that a page moves, and `num` draws of every latent site from the prior; without deterministic sites."""
    with isolated(model):
        trace = poutine.trace(model).get_trace()
    drawn = {name for name, _ in latent(trace)}
    sites, draws = LatentSites.of(model), from_prior(model, num, seed=seed)
    units = {name: size for name, size in sites.units.items() if name in drawn}
    return LatentSites(units, sites.classes), {name: value for name, value in draws.items() if name in drawn}


def decoder(model: nn.Module, sites: LatentSites, example: Latents) -> Network:
    """The mean of p(x | latents) as a network: a tensor [1, size] for each site, in the order of `names`, to [1, ...].

    Args:
        model: the story.
        sites: its sites that a page moves.
        example: a draw of all its latents, [1, ...].

    Raises:
        NotExported: as `export`; or x depends on a site that is neither a vector of real numbers nor a one-hot type.
        ValueError: p(x | latents) has no mean.
    """
    decoded(model, {name: value[:1] for name, value in example.items()})  # raises the ValueError
    moved = names(sites)
    order = [*moved, *(name for name in example if name not in moved)]

    def decode(*latents: Tensor) -> tuple[Tensor]:
        with isolated(model):
            trace = poutine.trace(_Set(dict(zip(order, latents, strict=True)))(model)).get_trace()
        return (nodes_of(trace)["x"]["fn"].mean,)

    network = export("the decoder", decode, *(example[name][:1] for name in order))
    for name, slot in zip(order[len(moved) :], network.inputs[len(moved) :], strict=True):
        if network.reads(slot):
            raise NotExported(
                f"the decoder depends on site {name!r}, which is neither a vector of real numbers nor a one-hot type, "
                "so there is no slider for it; write the story so that x depends on such sites alone"
            )
    return replace(network, inputs=network.inputs[: len(moved)])


def encoder(guide: nn.Module, sites: LatentSites, *seen: Tensor) -> ExportedEncoder:
    """`encode` as a network, for one datapoint x [1, ...], and its label [1] where the guide needs one.

    Raises:
        NotExported: as `export`; or a posterior has no mean in closed form.
        ValueError: a posterior is of several types at once.
    """
    try:
        order = [name for name in encode(guide, *seen) if name in names(sites)]
    except NotImplementedError as error:
        raise NotExported(
            "a posterior of the guide has no mean in closed form, as that of a flow, so there is nothing to set the "
            "sliders to"
        ) from error

    def encoded(*x: Tensor) -> tuple[Tensor, ...]:
        found = encode(guide, *x)
        return tuple(found[name] for name in order)

    network = export("the encoder", encoded, *seen)
    return ExportedEncoder(network, order)


def encode(guide: nn.Module, *seen: Tensor) -> dict[str, Tensor]:
    """The posterior mean of each site for x [N, ...], and of a type the class probabilities.

    A head that is given earlier sites is evaluated at their means, and at the most probable class of a type: nothing is
    drawn, so that the result depends on x alone.

    Args:
        guide: the guide.
        seen: x, and labels [N] for a guide that needs them.

    Raises:
        NotImplementedError: a posterior has no mean in closed form, as that of a flow.
        ValueError: a posterior is of several types at once.
    """
    with isolated(guide):
        trace = poutine.trace(_AtModes()(guide)).get_trace(*seen)
    return {name: centre_of(name, node["fn"]) for name, node in latent(trace) if not is_subsample(node)}


def names(sites: LatentSites) -> list[str]:
    """The sites in the order of a decoder's inputs: vectors of real numbers, then types."""
    return [*sites.units, *sites.classes]


def used_units(model: nn.Module, sites: LatentSites, draw: Latents) -> list[list[bool]] | None:
    """For every class of a story's one type, whether each unit changes x: [classes][units], units in `sites`' order.

    In N-VAE, the units of other classes do not change x. Found by moving each unit of one draw [1, ...] by 1 under
    every class. None where the story has no type, or more than one.
    """
    if len(sites.classes) != 1:
        return None
    ((site, size),) = sites.classes.items()
    typed = repeat(draw, size)
    typed[site] = one_hot(draw[site], size)
    before = decoded(model, typed).flatten(1)
    columns = []
    for name, count in sites.units.items():
        for unit in range(count):
            moved = dict(typed)
            moved[name] = typed[name].clone()
            moved[name][:, unit] += 1.0
            columns.append((decoded(model, moved).flatten(1) != before).any(1))
    return torch.stack(columns, 1).tolist() if columns else None


class _Set(Messenger):
    """Sets latent sites to values, and draws nothing: x, which has no value, becomes its mean."""

    def __init__(self, values: Latents) -> None:
        super().__init__()
        self.values = values

    def _pyro_sample(self, msg: dict[str, Any]) -> None:
        if not msg["is_observed"] and not is_subsample(msg):
            msg["value"] = self.values[msg["name"]] if msg["name"] in self.values else msg["fn"].mean
            msg["done"] = True


class _AtModes(Messenger):
    """Sets every latent site of a guide to its mean; a type to its most probable class."""

    def _pyro_sample(self, msg: dict[str, Any]) -> None:
        if not msg["is_observed"] and not is_subsample(msg):
            centre = centre_of(msg["name"], msg["fn"])
            if "OneHot" in family(msg["fn"]):
                centre = (centre == centre.amax(-1, keepdim=True)).to(centre.dtype)
            msg.update(value=centre, done=True)
