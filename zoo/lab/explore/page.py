"""A pair as one HTML file: the decoder and the encoder run in the browser, without a server or a network."""

import html
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor, nn

from zoo.lab.analysis.interventions import LatentSites, Unit, guide_inputs, ranked
from zoo.lab.analysis.posterior import needs_labels, posterior_means
from zoo.lab.analysis.selection import spread
from zoo.lab.data import Dataset
from zoo.lab.device import device_of
from zoo.lab.explore.network import Network, NotExported, text_of
from zoo.lab.explore.pair import decoder, encode, encoder, latents_of, names, used_units

HERE = Path(__file__).parent
FILES = {"style": "style.css", "interpreter": "interpreter.js", "views": "views.js", "page": "page.js"}

DRAWS = 20  # draws from the prior that a page holds
CLOUD = 400  # codes in the plane of a pair with two latent dimensions


@dataclass(frozen=True)
class Explorer:
    """A page.

    Attributes:
        html: the whole file.
        left_out: for everything that the page lacks, the reason.
    """

    html: str
    left_out: Mapping[str, str]


@dataclass
class _Content:
    """What a page holds besides its text: JSON, and floats in base64."""

    record: dict[str, Any] = field(default_factory=dict)
    floats: dict[str, str] = field(default_factory=dict)

    def network(self, name: str, network: Network, **more: Any) -> None:
        self.record[name] = {**network.program(), **more}
        self.floats[name] = text_of(network.weights())


def page(
    model: nn.Module,
    guide: nn.Module,
    *,
    title: str,
    about: str,
    description: Sequence[str],
    story: str,
    kl: Mapping[str, Tensor],
    kl_over: str,
    data: Dataset | None = None,
    without_data: str = "no data was given",
    num_images: int = 10,
    seed: int = 0,
) -> Explorer:
    """A page with a slider for each latent dimension of a pair, and the datapoint that its decoder returns.

    Args:
        model, guide: the pair, in evaluation mode.
        title: its name.
        about: how it was trained, in a sentence.
        description: paragraphs about its model.
        story: its story as text.
        kl: KL by site, nats per datapoint, [units]; as `zoo.lab.analysis.evaluate` returns. It orders the sliders.
        kl_over: the datapoints that the KL was averaged over, in words.
        data: its test set; the page holds some of its datapoints.
        without_data: the reason, where there is no test set.
        num_images: number of test images, spread over the classes.
        seed: of the draws from the prior that the page holds.

    Raises:
        NotExported: the decoder cannot be computed in a page; the message says why, and what to do.
        ValueError: the story has no latent site that can be moved, its datapoints cannot be shown, or a KL or a draw
            from its prior is not finite.
    """
    sites, draws = latents_of(model, 10 * DRAWS, seed=seed)
    if not names(sites):
        raise ValueError("the story has no latent site that can be moved: no vector of real numbers, and no type")
    for what, values in (("the KL", kl), ("a draw from the prior", draws)):
        for name in names(sites):
            if name in values and not values[name].isfinite().all():
                wrong = values[name][~values[name].isfinite()].flatten()[0].item()
                raise ValueError(f"site {name!r}: {what} is {wrong}, which a page cannot show: train the pair anew")
    left_out: dict[str, str] = {}
    content = _Content()
    network = decoder(model, sites, draws)
    (_, *rest), *_ = network.shapes
    shape = tuple(rest)
    content.network("decoder", network)
    vocabulary = () if data is None else data.vocabulary
    # Three times the distance from 0 of the prior's draws: for a prior around 0, three standard deviations.
    limits = {name: max(0.5, round(6 * float(draws[name].square().mean().sqrt())) / 2) for name in sites.units}
    content.record |= {
        "kind": _kind(shape, vocabulary),
        "shape": shape,
        "order": names(sites),
        "sizes": {**sites.units, **sites.classes},
        "draws": [{name: _rounded(draws[name][n]) for name in names(sites)} for n in range(DRAWS)],
    }
    called = {name: [(str(k), "") for k in range(size)] for name, size in sites.classes.items()}
    if data is None:
        left_out["test images and their encodings"] = without_data
    else:
        found = _tests(content, guide, sites, data, num_images, left_out)
        called |= _class_names(guide, sites, data)
        for name in sites.units.keys() & found.keys():
            limits[name] = max(limits[name], math.ceil(2 * float(found[name].abs().max())) / 2)
    units = ranked(sites, kl)
    content.record |= {
        "vocabulary": vocabulary,
        "units": [{"site": u.site, "index": u.index, "nats": u.nats, "limit": limits[u.site]} for u in units],
        "classes": [{"site": s, "names": called[s], "nats": _total(kl, s)} for s in sites.classes],
        "used": _used(model, sites, draws, units),
    }
    encoding = "Choose one: the encoder sets every latent to its posterior mean" + (
        ", and a class to the most probable one." if sites.classes else "."
    )
    texts = {
        "title": title,
        "about": about,
        "story": story,
        "order": _order(units, kl_over),
        "encoding": encoding,
    }
    return Explorer(_filled(content, texts, description, left_out), left_out)


def _order(units: Sequence[Unit], kl_over: str) -> str:
    """Text that explains the order of the sliders and the numbers next to them."""
    if all(unit.nats is None for unit in units):
        return "The prior or the guide couples these dimensions, so they have no KL of their own."
    return (
        f"Ordered by KL, in nats, averaged over {kl_over}. A dimension near 0 nats carries no information about the "
        "datapoint."
    )


def _kind(shape: tuple[int, ...], vocabulary: Sequence[str]) -> str:
    if len(shape) == 3 and shape[0] in (1, 3):
        return "image"
    if shape == (2,):
        return "point"
    if len(shape) == 1 and len(vocabulary) == shape[0]:
        return "words"
    raise ValueError(
        f"datapoints of shape {list(shape)} cannot be shown: a page shows images [1, H, W] and [3, H, W], points [2] "
        "of the plane, and counts [V] of words of a data set with a vocabulary, which has to be there"
    )


def _tests(
    content: _Content,
    guide: nn.Module,
    sites: LatentSites,
    data: Dataset,
    num: int,
    left_out: dict[str, str],
) -> dict[str, Tensor]:
    """Adds test datapoints, the encoder, and the codes of a plane. Returns the codes of what was added, [N, size]."""
    index = spread(data, num)
    seen = guide_inputs(guide, data, index, device_of(guide))
    labels = [None if data.y is None else int(data.y[n]) for n in index]
    names = ["" if y is None else data.class_name(y) for y in labels]
    try:
        made = encoder(guide, sites, *(tensor[:1] for tensor in seen))
    except NotExported as error:
        left_out["encodings of test images"] = str(error)
        return {}
    content.network("encoder", made.network, sites=made.sites, labels=needs_labels(guide))
    content.record["tests"] = [
        {"number": n, "label": y, "name": name} for n, y, name in zip(index, labels, names, strict=True)
    ]
    content.floats["tests"] = text_of(seen[0].cpu().numpy())
    codes = encode(guide, *seen)
    if list(sites.units.values()) != [2]:
        return codes
    many = spread(data, CLOUD)
    seen = guide_inputs(guide, data, many, device_of(guide))
    codes = encode(guide, *seen)
    (site,) = sites.units
    content.record["cloud"] = {
        "codes": [_rounded(code) for code in codes[site]],
        "labels": [0 if data.y is None else int(data.y[n]) for n in many],
        "x": [_rounded(x) for x in seen[0]] if content.record["kind"] == "point" else None,
    }
    return codes


def _class_names(
    guide: nn.Module, sites: LatentSites, data: Dataset, *, num: int = 1000
) -> dict[str, list[tuple[str, str]]]:
    """Each class's name and remark: for "y", the label's name; for a type, its number and its most frequent label."""
    if data.y is None:
        return {}
    index = spread(data, num)
    y = np.asarray(data.y)[index]
    called = {}
    if "y" in sites.classes:
        called["y"] = [(data.class_name(k), "") for k in range(sites.classes["y"])]
    types = sites.classes.keys() - {"y"}
    if types and not needs_labels(guide):
        codes = posterior_means(guide, *guide_inputs(guide, data, index, device_of(guide)))
        for site in types & codes.keys():
            inferred = codes[site].argmax(-1).cpu().numpy()
            called[site] = [(str(k), _commonest(y[inferred == k], data)) for k in range(sites.classes[site])]
    return called


def _commonest(y: np.ndarray, data: Dataset) -> str:
    if not len(y):
        return "unused"
    count = np.bincount(y)
    return f"{data.class_name(int(count.argmax()))}: {count.max() / len(y):.0%}"


def _used(model: nn.Module, sites: LatentSites, draws: dict[str, Tensor], units: Sequence[Unit]) -> Any:
    """`used_units` in the order of the sliders; None where every unit is used under every class."""
    table = used_units(model, sites, {name: value[:1] for name, value in draws.items()})
    if table is None or all(map(all, table)):
        return None
    before = dict(zip(sites.units, np.cumsum([0, *sites.units.values()]).tolist(), strict=False))
    return [[row[before[unit.site] + unit.index] for unit in units] for row in table]


def _total(kl: Mapping[str, Tensor], site: str) -> float | None:
    return float(kl[site].sum()) if site in kl else None


def _rounded(values: Tensor) -> list[float]:
    """The values as 32-bit floats, each with the fewest digits that determine it."""
    return [float(str(value)) for value in values.detach().cpu().numpy().astype(np.float32).ravel()]


def _filled(
    content: _Content, texts: Mapping[str, str], description: Sequence[str], left_out: Mapping[str, str]
) -> str:
    """The template with everything in its place; texts are escaped, also inside the JSON."""
    data = json.dumps(content.record, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    floats = "\n".join(
        f'<script type="text/plain" id="floats-{name}">{text}</script>' for name, text in content.floats.items()
    )
    missing = [
        f"<p>Left out: {html.escape(what)}: {html.escape(why.rstrip('.'))}.</p>" for what, why in left_out.items()
    ]
    parts = {
        **{name: html.escape(text) for name, text in texts.items()},
        "description": "\n".join(f"<p>{html.escape(text)}</p>" for text in description),
        "left_out": "\n".join(missing),
        "content": data,
        "floats": floats,
        **{name: (HERE / file).read_text(encoding="utf-8") for name, file in FILES.items()},
    }
    template = (HERE / "template.html").read_text(encoding="utf-8")
    return re.sub(r"\{\{(\w+)\}\}", lambda match: parts[match[1]], template)  # once, so that no part is searched again
