"""Exports a trained pair to ArviZ (https://arviz.org): draws, predictions and log likelihoods, dimensions named."""

import platform
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version
from typing import Any

import numpy as np
import pyro
import torch
from pyro import poutine
from pyro.distributions.util import scale_and_mask
from pyro.poutine.trace_struct import Trace
from torch import Tensor, nn
from torch.distributions import constraints

from zoo.arguments import checked, number_from
from zoo.lab.data import Batch, Dataset
from zoo.lab.device import device_of
from zoo.lab.errors import import_optional
from zoo.lab.isolation import isolated
from zoo.sites import is_deterministic, nodes_of, sampled
from zoo.termwise import TermwiseELBO

Site = dict[str, Any]
Group = dict[str, tuple[tuple[str, ...], np.ndarray]]  # by site, dimensions and numbers

IMAGE = ("channel", "height", "width")


@checked(num=number_from(1))
def to_inference_data(
    model: nn.Module,
    guide: nn.Module,
    data: Dataset | Batch,
    *,
    elbo: TermwiseELBO | None = None,
    recipe: str = "",
    labels: bool = False,
    num: int = 32,
    draws: int = 100,
    seed: int = 0,
) -> Any:
    """A pair's draws and log likelihoods for some datapoints, as ArviZ's InferenceData, or from ArviZ 1 on a DataTree.

        data = to_inference_data(model, guide, test, elbo=elbo, recipe="vae")
        az.plot_forest(data, var_names=["z"], coords={"data": [0]})
        data.to_netcdf("vae.nc")

    Groups, each of one chain:

    - posterior: draws of q(latents | x), and the deterministic sites that the model computes from them.
    - posterior_predictive: a new draw of every observed site given those latents, in the model's order.
    - log_likelihood: log p(x | latents) of the data at those draws, in nats per datapoint; 0 under a mask.
    - prior, prior_predictive: draws of all sites from the story.
    - observed_data: the data.

    Dimensions are chain, draw and data; SITE_dim for a site's units, SITE_class for a type's classes, class for the
    labels'; channel, height, width for images; the vocabulary for word counts. Labels, where there are any, are
    the coordinate "label" of the datapoints. The pair and the random state are left as they were.

    Args:
        model, guide: the pair.
        data: a set, of which the first `num` datapoints are used; or a batch, with its index, which a guide with a row
            per datapoint needs; without an index its datapoints are numbered from 0.
        elbo: the objective that trained the pair, stored as an attribute.
        recipe: its name, stored as an attribute.
        labels: whether the pair is called with the labels of a set.
        num: number of datapoints of a set.
        draws: number of draws of each latent; images need [draws, num, C, H, W] numbers, three times.
        seed: of the draws.

    Raises:
        ModuleNotFoundError: ArviZ is not installed; the message says how to install it.
        ValueError: num or draws is not positive, or larger than the set; or the pair does not fit the data.
    """
    arviz = import_optional("arviz", "to_inference_data")
    if draws < 1:
        raise ValueError(f"draws must be at least 1, got {draws}")
    device = device_of(model)
    if isinstance(data, Dataset):
        if not 1 <= num <= len(data):
            raise ValueError(f"num must be from 1 to {len(data):,}, the size of data {data.name!r}, got {num}")
        batch = data.batch(torch.arange(num), labels=labels, device=device)
        args, kwargs = batch.arguments()
        kwargs = {}  # without index, so that the set may have another size than num_data
        y, classes = None if data.y is None else data.y[:num], data.classes
    else:
        batch = data
        args, kwargs = batch.arguments()
        y, classes = None if data.y is None else data.y.cpu().numpy(), ()
    traces: dict[str, list[Trace]] = {"posterior": [], "posterior_predictive": [], "prior": []}
    with isolated(model, guide, seed=seed):
        for _ in range(draws):
            guide_trace = poutine.trace(guide).get_trace(*args, **kwargs)
            replayed = poutine.replay(model, trace=guide_trace)
            traces["posterior"].append(poutine.trace(replayed).get_trace(*args, **kwargs))
            new = poutine.trace(poutine.uncondition(replayed)).get_trace(*args, **kwargs)
            traces["posterior_predictive"].append(new)
            traces["prior"].append(poutine.trace(poutine.uncondition(model)).get_trace(*args, **kwargs))
        first = dict(sampled(traces["posterior"][0]))
        seen = [name for name, site in first.items() if site["is_observed"] and not is_deterministic(site)]
        unseen = [name for name in first if name not in seen]
        if missing := [n for n in unseen if n not in guide_trace and not is_deterministic(first[n])]:
            raise ValueError(f"the guide has no site {missing}, so there is no posterior of it: give it a head")
        names = _Names(len(classes) or _classes(first))
        groups = {
            "posterior": _values(traces["posterior"], unseen, names),
            "posterior_predictive": _values(traces["posterior_predictive"], seen, names),
            "log_likelihood": _log_likelihoods(traces["posterior"], seen, names),
            "prior": _values(traces["prior"], unseen, names),
            "prior_predictive": _values(traces["prior"], seen, names),
            "observed_data": {name: (names.of(first[name]), _numpy(first[name]["value"])) for name in seen},
        }
    coords: dict[str, Any] = {"data": np.arange(len(batch.x)) if batch.index is None else batch.index.cpu().numpy()}
    if names.classes and classes:
        coords["class"] = np.array(classes, dtype=object)
    if isinstance(data, Dataset) and data.vocabulary:
        coords["x_dim"] = np.array(data.vocabulary, dtype=object)
    if y is not None:
        coords["label"] = ("data", np.array([classes[k] for k in y], dtype=object) if classes else y)
    about = _about(model, guide, elbo, recipe, seed, arviz)
    return _joined(arviz, {name: _dataset(group, coords, about) for name, group in groups.items()}, about)


class _Names:
    """The names of a site's dimensions; `classes` is the number of classes of the labels, 0 without labels."""

    def __init__(self, classes: int) -> None:
        self.classes = classes

    def of(self, site: Site) -> tuple[str, ...]:
        """The names of the dimensions of a site's plates and event."""
        frames = sorted(site["cond_indep_stack"], key=lambda frame: frame.dim)
        return (*(frame.name for frame in frames), *self._event(site))

    def _event(self, site: Site) -> tuple[str, ...]:
        name, shape = site["name"], site["fn"].event_shape
        if len(shape) == 3:
            return IMAGE
        if len(shape) != 1:
            return tuple(f"{name}_dim_{i}" for i in range(len(shape)))
        if site["fn"].support in (constraints.simplex, constraints.one_hot):
            return ("class" if name in ("y", "pi") and shape[0] == self.classes else f"{name}_class",)
        return (f"{name}_dim",)


def _classes(sites: Mapping[str, Site]) -> int:
    """The number of classes of the story's labels; 0 without labels."""
    return int(sites["y"]["fn"].event_shape[0]) if "y" in sites and sites["y"]["fn"].event_shape else 0


def _values(traces: Sequence[Trace], sites: Iterable[str], names: _Names) -> Group:
    return {
        site: _stacked([nodes_of(t)[site] for t in traces], [nodes_of(t)[site]["value"] for t in traces], names)
        for site in sites
    }


def _stacked(nodes: Sequence[Site], values: Sequence[Tensor], names: _Names) -> tuple[tuple[str, ...], np.ndarray]:
    """One chain of the values of a site."""
    dims = names.of(nodes[0])
    if len(dims) != values[0].dim():
        raise ValueError(
            f"site {nodes[0]['name']!r} has the shape {list(values[0].shape)}, but the dimensions {list(dims)} by its "
            "plates and its event: give pyro.deterministic the event's number of dimensions, as in event_dim=1"
        )
    return ("chain", "draw", *dims), np.stack([_numpy(value) for value in values])[None]


def _log_likelihoods(traces: Sequence[Trace], sites: Iterable[str], names: _Names) -> Group:
    group: Group = {}
    for site in sites:
        nodes = [nodes_of(trace)[site] for trace in traces]
        plates = tuple(frame.name for frame in sorted(nodes[0]["cond_indep_stack"], key=lambda frame: frame.dim))
        each = [scale_and_mask(node["fn"].log_prob(node["value"]), mask=node["mask"]) for node in nodes]
        group[site] = ("chain", "draw", *plates), np.stack([_numpy(nats) for nats in each])[None]
    return group


def _numpy(value: Tensor) -> np.ndarray:
    array: np.ndarray = value.detach().cpu().numpy()
    return array


def _dataset(group: Group, coords: Mapping[str, Any], about: Mapping[str, Any]) -> Any:
    """The group with the coordinates of its dimensions; units, pixels and draws are numbered from 0."""
    sizes = {dim: size for dims, values in group.values() for dim, size in zip(dims, values.shape, strict=True)}
    counted = {dim: np.arange(size) for dim, size in sizes.items() if dim not in coords}
    known = {n: c for n, c in coords.items() if (c[0] if isinstance(c, tuple) else n) in sizes}
    return import_optional("xarray", "to_inference_data").Dataset(group, coords={**counted, **known}, attrs=about)


def _joined(arviz: Any, groups: Mapping[str, Any], about: Mapping[str, Any]) -> Any:
    """The groups in the type that the installed ArviZ uses."""
    groups = {name: group for name, group in groups.items() if group.data_vars}
    if int(arviz.__version__.partition(".")[0]) < 1:
        return arviz.InferenceData(**groups, attrs=dict(about))
    tree = import_optional("xarray", "to_inference_data").DataTree.from_dict(
        {f"/{name}": group for name, group in groups.items()}
    )
    tree.attrs.update(about)
    return tree


def _about(
    model: nn.Module, guide: nn.Module, elbo: TermwiseELBO | None, recipe: str, seed: int, arviz: Any
) -> dict[str, Any]:
    """Attributes that say what made the draws, as strings and numbers, which netCDF can store."""
    state = {} if elbo is None else elbo.state_dict()
    numbers = [f"{name} = {value.item():g}" for name, value in state.items() if value.dim() == 0]
    return {
        "recipe": recipe,
        "model": type(model).__name__,
        "guide": type(guide).__name__,
        "objective": "" if elbo is None else f"{type(elbo).__name__}({', '.join(numbers)})",
        "seed": seed,
        "inference_library": "pyro",
        "inference_library_version": pyro.__version__,
        "torch_version": str(torch.__version__),  # a subclass of str, which netCDF refuses
        "arviz_version": arviz.__version__,
        "python_version": platform.python_version(),
        "zoo_version": version("disentangled-zoo"),
    }
