"""Small pairs on 12 pixels or words for the compatibility matrix: every story with every guide for its sites."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from pyro.infer.autoguide import AutoDelta
from torch import Tensor, nn

from guides import (
    Amortized,
    Automatic,
    Concrete,
    DirichletHead,
    Exact,
    Head,
    MeanField,
    PerDatapoint,
    PointMass,
    Predicted,
    SemiAmortized,
    StraightThrough,
)
from zoo import (
    NVDM,
    VAE,
    AnisotropicVAE,
    ClusteredVAE,
    ClusterIndicatorVAE,
    ConditionalVAE,
    JointVAE,
    NaturalClustering,
    ProdLDA,
    SparseIndicatorVAE,
    SparseVAE,
    StudentTVAE,
)
from zoo.elbos import TermwiseELBO
from zoo.lab.data import Batch
from zoo.lab.networks import MLPDecoder, MLPEncoder
from zoo.likelihoods import normal
from zoo.papers.hfvae_topics.networks import TopicDecoder
from zoo.studies.guide_gap.recipes import REAL, fresh_loss

SHAPE, NUM_DATA, UNITS, CLASSES = (1, 3, 4), 40, 3, 3
WORDS = (12,)
TAU = 0.67

Heads = dict[str, Head]


@dataclass(frozen=True)
class SmallStory:
    """A story on 12 pixels, or on counts of 12 words.

    Attributes:
        build: returns the model.
        heads: function of the head for real sites and of the head for types that returns the guide's heads.
        labels: whether the pair is called with labels.
        classes: number of classes of the labels that heads are given, where there is no head for them.
        shape: of a datapoint.
    """

    build: Callable[[], nn.Module]
    heads: Callable[[Callable[..., Head], Callable[[int], Head]], Heads]
    labels: bool = False
    classes: int | None = None
    shape: tuple[int, ...] = SHAPE

    @property
    def has_type(self) -> bool:
        """Whether a site is a type, for which there are several heads."""
        return any(isinstance(head, Concrete) for head in self.heads(MeanField, CONCRETE).values())

    @property
    def real(self) -> list[str]:
        """The real sites."""
        return [site for site, head in self.heads(MeanField, CONCRETE).items() if isinstance(head, MeanField)]


CONCRETE = partial(Concrete, temperature=TAU)


def _decoder(latents: int, shape: tuple[int, ...] = SHAPE) -> MLPDecoder:
    return MLPDecoder(latents, shape, hidden=(8,))


def _only_z(real: Callable[..., Head], type_: Callable[[int], Head]) -> Heads:
    return {"z": real(UNITS)}


def _clusters(units: int) -> list[list[float]]:
    return [[float((k >> d) & 1) for d in range(units)] for k in range(4)]


def _natural_clustering(real: Callable[..., Head], type_: Callable[[int], Head]) -> Heads:
    y = {"pi": DirichletHead(CLASSES), "y": Predicted(CLASSES, of="pi")}
    return {**y, "z_c": real(CLASSES), "z_s": real(UNITS)}


def _n_vae() -> nn.Module:
    return NaturalClustering(
        _decoder(2 * CLASSES + UNITS), classes=CLASSES, c_dim=1, s_dim=UNITS, alpha=0.5, num_data=NUM_DATA
    )


# For likelihoods with a density: a fixed scale, so that densities cannot grow without bound.
_NORMAL: dict[str, Any] = {"likelihood": partial(normal, scale=0.3), "num_data": NUM_DATA}

STORIES: Mapping[str, SmallStory] = {
    "VAE": SmallStory(lambda: VAE(_decoder(UNITS), z_dim=UNITS, num_data=NUM_DATA), _only_z),
    "JointVAE": SmallStory(
        lambda: JointVAE(_decoder(UNITS + CLASSES), z_dim=UNITS, c_dims=(CLASSES,), temperature=TAU, num_data=NUM_DATA),
        lambda real, type_: {"z": real(UNITS), "c": type_(CLASSES)},
    ),
    "NaturalClustering": SmallStory(_n_vae, _natural_clustering, labels=True),
    "NaturalClustering, no labels": SmallStory(_n_vae, _natural_clustering),
    "ConditionalVAE": SmallStory(
        lambda: ConditionalVAE(_decoder(UNITS + CLASSES), classes=CLASSES, z_dim=UNITS, num_data=NUM_DATA),
        lambda real, type_: {"z": real(UNITS, given=("y",))},
        labels=True,
        classes=CLASSES,
    ),
    "AnisotropicVAE": SmallStory(
        lambda: AnisotropicVAE(_decoder(UNITS), variances=[2.0, 0.7, 0.3], num_data=NUM_DATA), _only_z
    ),
    "StudentTVAE": SmallStory(lambda: StudentTVAE(_decoder(UNITS), z_dim=UNITS, nu=5.0, num_data=NUM_DATA), _only_z),
    "ClusteredVAE": SmallStory(
        lambda: ClusteredVAE(_decoder(UNITS), places=_clusters(UNITS), scale=0.4, **_NORMAL), _only_z
    ),
    "ClusterIndicatorVAE": SmallStory(
        lambda: ClusterIndicatorVAE(_decoder(UNITS), places=_clusters(UNITS), scale=0.4, **_NORMAL), _only_z
    ),
    "SparseVAE": SmallStory(
        lambda: SparseVAE(_decoder(UNITS), z_dim=UNITS, gamma=0.5, sigma_0=0.2, num_data=NUM_DATA), _only_z
    ),
    "SparseIndicatorVAE": SmallStory(
        lambda: SparseIndicatorVAE(_decoder(UNITS), z_dim=UNITS, gamma=0.5, sigma_0=0.2, num_data=NUM_DATA), _only_z
    ),
    "ProdLDA": SmallStory(
        lambda: ProdLDA(TopicDecoder(UNITS + 2, *WORDS, dropout=0.0), groups=(UNITS, 2), num_data=NUM_DATA),
        lambda real, type_: {"z1": real(UNITS), "z2": real(2)},
        shape=WORDS,
    ),
    "NVDM": SmallStory(lambda: NVDM(_decoder(UNITS, WORDS), groups=(UNITS,), num_data=NUM_DATA), _only_z, shape=WORDS),
}

Build = Callable[[SmallStory, nn.Module, TermwiseELBO], nn.Module]


def _amortized(story: SmallStory, real: Callable[..., Head], type_: Callable[[int], Head] = CONCRETE) -> Amortized:
    trunk = MLPEncoder(story.shape, hidden=(8,))
    return Amortized(trunk, num_data=NUM_DATA, classes=story.classes, **story.heads(real, type_))


def _with(real: Callable[..., Head], story: SmallStory, model: nn.Module, elbo: TermwiseELBO) -> Amortized:
    return _amortized(story, real)


GUIDES: Mapping[str, Build] = {
    **{name: partial(_with, real) for name, real in REAL.items()},
    "point": lambda story, model, elbo: _amortized(story, PointMass),
    "straight-through": lambda story, model, elbo: _amortized(
        story, MeanField, partial(StraightThrough, temperature=TAU)
    ),
    "exact": lambda story, model, elbo: _amortized(story, MeanField, Exact),
    "per-datapoint": lambda story, model, elbo: PerDatapoint(
        NUM_DATA, classes=story.classes, **story.heads(MeanField, CONCRETE)
    ),
    "semi-amortised": lambda story, model, elbo: SemiAmortized(
        _amortized(story, MeanField), partial(fresh_loss, elbo, model), steps=2, lr=0.05
    ),
    "AutoNormal": lambda story, model, elbo: Automatic(model, num_data=NUM_DATA),
    "AutoDelta": lambda story, model, elbo: Automatic(model, AutoDelta, num_data=NUM_DATA),
}
"""Functions that return the guide for a story, by name; `straight-through` and `exact` are for stories with a type."""


def guides_of(story: SmallStory) -> list[str]:
    """The guides for a story's sites."""
    return [name for name in GUIDES if story.has_type or name not in ("straight-through", "exact")]


def pair(story: str, guide: str, elbo: TermwiseELBO) -> tuple[nn.Module, nn.Module]:
    """A story and a guide for it; a semi-amortised guide takes its steps on this objective."""
    model = STORIES[story].build()
    return model, GUIDES[guide](STORIES[story], model, elbo)


def data(story: str) -> Batch:
    """The training data of a small pair: images or word counts of three kinds, with the kind as label."""
    generator = torch.Generator().manual_seed(0)
    kinds = torch.rand(CLASSES, *SHAPE, generator=generator).round()
    y = torch.arange(NUM_DATA) % CLASSES
    noise = torch.rand(NUM_DATA, *SHAPE, generator=generator)
    x: Tensor = torch.where(noise < 0.1, 1 - kinds[y], kinds[y]).reshape(NUM_DATA, *STORIES[story].shape)
    return Batch(x, y if STORIES[story].labels else None, torch.arange(NUM_DATA))
