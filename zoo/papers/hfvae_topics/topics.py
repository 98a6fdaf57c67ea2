"""The topics of a topic model: their words, their information about documents, and their correlations."""

from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from zoo import NVDM, ProdLDA
from zoo.lab.analysis.importance_sampling import importance
from zoo.lab.analysis.posterior import posteriors
from zoo.lab.data import Dataset
from zoo.lab.device import device_of
from zoo.metrics import Encoded, Result, information_about_data_by_latent, latent_correlations, npmi, strongest
from zoo.metrics.correlations import Pair

Story = ProdLDA | NVDM

IN_USE = 0.1  # nats of I(x; z_d)
WORDS = 10


@dataclass(frozen=True, eq=False)
class Topics:
    """A model's K topics, measured on documents.

    Attributes:
        words: the top words of each topic, as columns of the documents, [K, n].
        vocabulary: the names of the columns.
        information: I(x; z_d), [K]; its axis has the topics' names, site_unit.
        coherence: NPMI of the words, [K].
        correlations: of the topics' posterior means, [K, K].
    """

    words: np.ndarray
    vocabulary: tuple[str, ...]
    information: Result
    coherence: Result
    correlations: Result

    @classmethod
    def of(
        cls, model: Story, guide: nn.Module, data: Dataset, *, num_samples: int = 500, repeats: int = 2, seed: int = 0
    ) -> "Topics":
        """Measures a pair's topics on documents, in evaluation mode; q(z_d) is the mixture over all of them.

        Args:
            model, guide, data: the pair and the documents.
            num_samples, repeats, seed: see `zoo.metrics.information_about_data_by_latent`.

        Raises:
            Inapplicable: a head's family has no density of each unit, as a flow.
            ValueError: the data have no matching vocabulary.
        """
        if len(data.vocabulary) != data.shape[-1]:
            raise ValueError(f"data {data.name!r} has {len(data.vocabulary)} words for {data.shape[-1]} columns")
        words = first_words(word_weights(model), WORDS)
        encode = partial(posteriors, guide)
        encoded = Encoded.of(encode, data, num_points=len(data), device=model.loc.device)
        information = information_about_data_by_latent(encoded, num_samples=num_samples, repeats=repeats, seed=seed)
        return cls(
            words,
            data.vocabulary,
            information,
            npmi(words, data.x, repeats=repeats, seed=seed),
            latent_correlations(encoded, repeats=repeats, seed=seed),
        )

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the topics: site_unit."""
        return self.information.axes[0]

    @property
    def in_use(self) -> list[str]:
        """The topics whose I(x; z_d) is above 0.1 nats, the largest first."""
        order = np.argsort(-self.information.value, kind="stable")
        return [self.names[k] for k in order if self.information.value[k] > IN_USE]

    def top_words(self, name: str, num: int = WORDS) -> str:
        """The words of largest weight of a topic, the largest first."""
        return " ".join(self.vocabulary[word] for word in self.words[self.names.index(name)][:num])

    def pairs(self, *, across: bool, count: int = 5) -> list[Pair]:
        """The most correlated topics in use, from two groups or from one."""
        return strongest(self.correlations, count, across=across, among=self.in_use)


def word_weights(model: Story) -> Tensor:
    """Each topic's weights of the words, [K, V]: the rows of the decoder's one linear layer, as in both models' codes.

    ProdLDA's batch norm then divides each word by its standard deviation, which would put the rarest words first.
    NVDM's topics have a positive and a negative direction; this is the positive one.

    Raises:
        ValueError: the decoder has no linear layer, or several.
    """
    layers = [layer for layer in model.decoder.modules() if isinstance(layer, nn.Linear)]
    if len(layers) != 1:
        raise ValueError(
            f"topics are read off a decoder of one linear layer; {type(model.decoder).__name__} has {len(layers)}"
        )
    return layers[0].weight.detach().mT


def first_words(weights: Tensor, num: int) -> np.ndarray:
    """The words of largest weight of each topic, [K, V] to [K, num], or all V of a small vocabulary."""
    return weights.topk(min(num, weights.shape[1])).indices.cpu().numpy()


def document_nats(
    model: nn.Module, guide: nn.Module, data: Dataset, *, num_samples: int = 10
) -> tuple[np.ndarray, np.ndarray]:
    """Minus the ELBO of each document from `num_samples` draws, and its number of words, [N] each: for a perplexity."""
    nats, words = [], []
    for place, batch in enumerate(data.in_order(500, device=device_of(model))):
        drawn = importance(model, guide, batch.x, num_samples=num_samples, seed=place, at_once=2_000)
        nats.append(-drawn.elbo)
        words.append(batch.x.sum(-1))
    return torch.cat(nats).cpu().numpy(), torch.cat(words).cpu().numpy()
