"""Topic models: ProdLDA and NVDM, with their topics in one group or in several, as in HFVAE's section 5.2.

Srivastava & Sutton 2017, Autoencoding Variational Inference for Topic Models, https://arxiv.org/abs/1703.01488; Miao,
Yu & Blunsom 2016, Neural Variational Inference for Text Processing, https://arxiv.org/abs/1511.06038; Esmaeili et al.
2019, Structured Disentangled Representations, https://arxiv.org/abs/1804.02086.

A document is a vector x of counts, [V]: how often each of the V words of the vocabulary occurs in it. The order of its
words is ignored. For each document, a story draws z, K real numbers that say how much of each topic it has, and then
the words. It draws nothing for the corpus as a whole: the topics are parameters of the decoder, without a prior, and
training finds one value for them. In LDA the topics are random variables as well.

What belongs to topic models and is not in this file:

- **The guide**, q(z | x), is another Pyro program with the same latent sites. `Amortized(trunk, z=MeanField(50))` of
  the package `guides` has independent normal units, and `z=FullRank(50)` in place of `z=MeanField(50)` correlated ones;
  story and objective stay as they are. `trunk` is the encoder's network, from counts [B, V] to features. With groups of
  topics, each site has its own head: `z1=..., z2=...`.
- **The objective.** Those of `zoo.elbos` are in nats per document, averaged over the documents of a batch, also where
  Pyro scales log p to all documents. log p(x | z) is a sum over the document's words, so long documents weigh more in
  the average than short ones. `zoo.metrics.perplexity` is exp of the nats per word; by default, as in the papers, each
  document's nats are divided by its number of words, and then averaged over the documents.
- **The networks**, with their batch norm and dropout. Without them ProdLDA's training may end in component collapse:
  most posteriors equal the prior, and the topics are alike. The paper's code has batch norm after the outputs of the
  guide's networks and after the decoder, where its shift learns how frequent each word is overall. Its dropout sets
  random hidden units of the guide and random shares of topics to 0 in training, and enlarges the others in proportion.
  In training mode a decoder with batch norm makes log p(x | z) of a document depend on the rest of the batch, so call
  `.eval()` of story and guide before an evaluation. The recipe `hfvae/newsgroups` has these networks, and says what it
  changes.
- **The coherence of topics.** `zoo.metrics.npmi` takes the top words of each topic, those with the largest logits,
  usually ten. With P the share of documents that contain a word, or both words, the score of two words is log(P(v, w) /
  (P(v) P(w))) / -log P(v, w). It is 1 if they occur only together, 0 by chance, -1 if never together. A topic's score
  is the mean over the pairs of its words. The documents are a reference corpus of your choice.

Not from the papers: documents drawn from the prior have 100 words each; documents without words are refused; and NVDM
can have groups. Where HFVAE's text can be read in two ways, a single softmax runs over all groups, and the prior is
ProdLDA's or, with alpha=None, the standard normal (see `ProdLDA`).

A story is a generative model, written as a Pyro program. The docstring of its class lists its sites. How the code
reads, here and in every story:

- `register(self)` makes the decoder's parameters known to Pyro, so that SVI trains them. `pyro.module("name", self)`
  does that too, but Pyro finds parameters by name: for a second instance with the same name, SVI would go on training
  the first one's, and the second one's would silently stay as they are. `register` chooses names that are unique.
- `data_plate` is `pyro.plate("data", B)`: the B datapoints of a batch are independent of each other, and each site
  inside the plate has one value for each of them. For a batch with `index` the plate's size is num_data, and Pyro
  multiplies log p by num_data / B; without `index`, log p is that of the batch alone.
- The likelihood has one event for each document, its V counts, so log p(x | z) has one entry for each document. With
  particles, which are several draws for each document, latents have the shape [particles, B, size], and log p(x | z)
  has [particles, B].
- `check_words` refuses data that are not word counts [B, V], whole numbers from 0 as floats, and documents without
  words.
- The constants of the priors are buffers, so that they move to a device with the module. persistent=False keeps them
  out of its state_dict, since the arguments of the constructor determine them.
- `picklable_state` makes a trained story picklable: it leaves out what Pyro attaches to each parameter in training.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import pyro
import pyro.distributions as dist
import torch
from pyro.distributions.torch_distribution import TorchDistribution
from pyro.distributions.util import is_validation_enabled
from torch import Tensor, nn

from zoo.arguments import POSITIVE, checked, number_from
from zoo.likelihoods import check_data, multinomial
from zoo.program import Misfit, conditioned_on, data_plate, picklable_state, register, whole

Likelihood = Callable[[Tensor], TorchDistribution]


class ProdLDA(nn.Module):
    """Topics whose distributions over words are multiplied (Srivastava & Sutton 2017, arXiv:1703.01488).

        z ~ Normal(0, sigma)                shares, before the softmax        [B, K]
        shares = softmax(z)                 shares of the topics              [B, K]
        x ~ Multinomial(decoder(shares))    how often each word is there      [B, V]

    The shares are the paper's theta: positive, with the sum 1 in each document. The paper's decoder is linear and has
    no bias. A topic is a column of its weights [V, K], the paper's beta: a logit for each word. The logits of a
    document are the sum of its topics' logits, weighted by its shares, so p(word) is proportional to the product of the
    topics' distributions over words, each to the power of its share. LDA averages the distributions instead.

    The prior of the shares approximates Dirichlet(alpha, ..., alpha), LDA's prior of them, by its Laplace approximation
    in the softmax basis, that is for the Dirichlet's density as a function of z: the normal density with the same mode
    and the same curvature there. Its means are 0, since no topic is preferred, and its variances are
    sigma^2 = (1 - 1 / K) / alpha. Its covariances, -1 / (K alpha), are left out, as in the paper. The paper's code uses
    alpha = 1; for 50 topics sigma^2 is then 0.98. HFVAE, which trains this story with several groups, only
    says that a Gaussian is normalised with a softmax, which may also mean z ~ Normal(0, I); this is alpha=None.

    With several groups of topics, their sites are z1, z2, ..., one for each entry of groups. The groups are for
    objectives that have terms for the dependence between sites: HFVAE (`zoo.elbos.HFVAE`) penalises correlations of
    topics within a group much and those between groups little. Then the topics of one group differ, and topics of
    different groups may occur together, such as religion and the politics of the Middle East. A single softmax runs
    over all groups, so p(x) does not depend on the grouping, and neither does the ELBO of a guide whose units are
    independent. HFVAE's text does not say whether each group has a softmax of its own. With a
    single softmax, HFVAE's model is ProdLDA, and its objective with all weights equal to 1 is the ELBO, which ProdLDA
    maximises.

    Args:
        decoder: maps shares [..., K] to logits of the words [..., V].
        groups: the number of topics in each group; K is their sum, at least 2.
        alpha: the concentration of the Dirichlet that the prior approximates; None for z ~ Normal(0, I), as in Pyro's
            tutorial on ProdLDA (https://pyro.ai/examples/prodlda.html).
        likelihood: any function from the decoder's output to a Pyro distribution over x with one event for each
            document. `zoo.likelihoods.multinomial`, the default, scores documents of any length, without the
            multinomial coefficient, which depends on no parameter; it draws documents of 100 words.
        num_data: the number of documents in the training set; needed for batches with `index`.

    Raises:
        TypeError, ValueError: a group or alpha is out of range; a document has no words; and as
            `zoo.likelihoods.check_data` and `zoo.program.data_plate` do.

    Example:
        >>> model = ProdLDA(nn.Linear(4, 30, bias=False), groups=[4])  # 4 topics, 30 words
        >>> x = torch.ones(2, 30)  # counts of words
        >>> model(x).shape
        torch.Size([2, 30])
    """

    loc: Tensor
    scale: Tensor

    @checked(alpha=POSITIVE, num_data=number_from(1))
    def __init__(
        self,
        decoder: nn.Module,
        *,
        groups: Sequence[int],
        alpha: float | None = 1.0,
        likelihood: Likelihood = multinomial,
        num_data: int | None = None,
    ) -> None:
        super().__init__()
        self.groups = _sites(groups)
        num_topics = sum(groups)
        if num_topics < 2:
            raise ValueError(
                "groups: ProdLDA needs at least 2 topics in all, since the share of a single topic is always 1; got "
                f"{list(groups)}"
            )
        # The paper's (1 - 2 / K) / alpha + 1 / (alpha K), if all topics have the same alpha, is (1 - 1 / K) / alpha.
        variance = 1.0 if alpha is None else (1 - 1 / num_topics) / alpha
        self.decoder = decoder
        self.likelihood = likelihood
        self.num_data = num_data
        self.register_buffer("loc", torch.zeros(num_topics), persistent=False)
        self.register_buffer("scale", torch.full((num_topics,), math.sqrt(variance)), persistent=False)

    def forward(self, x: Tensor | None = None, *, index: Tensor | None = None) -> Tensor:
        """Runs the story once. Returns x.

        With counts x [B, V], as floats, x is observed. Without them, `story()` draws one document from the prior,
        [1, V]; `pyro.infer.Predictive(story, num_samples=100)()` draws a hundred.

        Args:
            x: a batch of documents.
            index: the positions [B] of the batch's documents in the training set, from 0. log p is then scaled from
                the batch to all num_data documents.
        """
        register(self)
        with data_plate(x, index, self.num_data):
            z = _topics(self.groups, self.loc, self.scale)
            shares = pyro.deterministic("shares", z.softmax(-1), event_dim=1)
            words = self.likelihood(self.decoder(shares))
            check_words(x, words, index)
            return pyro.sample("x", words, obs=x)

    def __getstate__(self) -> dict[str, Any]:
        return picklable_state(self)


class NVDM(nn.Module):
    """The neural variational document model (Miao et al. 2016, arXiv:1511.06038): topics without a softmax.

        z ~ Normal(0, I)                weights of the topics         [B, K]
        x ~ Multinomial(decoder(z))     how often each word is there  [B, V]

    A weight may be negative, which makes the topic's words less probable, and the weights have no fixed sum. With
    several groups of topics, their sites are z1, z2, ..., one for each entry of groups, as in `ProdLDA`, and the
    decoder's input is their concatenation.

    Args:
        decoder: maps the topics' weights [..., K] to logits of the words [..., V]; linear in the paper.
        groups, likelihood, num_data: as in `ProdLDA`.

    Raises:
        TypeError, ValueError: as `ProdLDA`.

    Example:
        >>> model = NVDM(nn.Linear(4, 30), groups=[4])
        >>> x = torch.ones(2, 30)  # counts of words
        >>> model(x).shape
        torch.Size([2, 30])
    """

    loc: Tensor
    scale: Tensor

    @checked(num_data=number_from(1))
    def __init__(
        self,
        decoder: nn.Module,
        *,
        groups: Sequence[int],
        likelihood: Likelihood = multinomial,
        num_data: int | None = None,
    ) -> None:
        super().__init__()
        self.groups = _sites(groups)
        self.decoder = decoder
        self.likelihood = likelihood
        self.num_data = num_data
        self.register_buffer("loc", torch.zeros(sum(groups)), persistent=False)
        self.register_buffer("scale", torch.ones(sum(groups)), persistent=False)

    def forward(self, x: Tensor | None = None, *, index: Tensor | None = None) -> Tensor:
        """Runs the story once. Returns x.

        With counts x [B, V], as floats, x is observed. Without them, `story()` draws one document from the prior,
        [1, V]; `pyro.infer.Predictive(story, num_samples=100)()` draws a hundred.

        Args:
            x: a batch of documents.
            index: the positions [B] of the batch's documents in the training set, from 0. log p is then scaled from
                the batch to all num_data documents.
        """
        register(self)
        with data_plate(x, index, self.num_data):
            z = _topics(self.groups, self.loc, self.scale)
            words = self.likelihood(self.decoder(z))
            check_words(x, words, index)
            return pyro.sample("x", words, obs=x)

    def __getstate__(self) -> dict[str, Any]:
        return picklable_state(self)


def check_words(x: Tensor | None, words: TorchDistribution, index: Tensor | None = None) -> None:
    """Refuses data that are not a batch of documents, and documents without words.

    Whether a document has words is checked only if Pyro's validation is on, as it is by default.

    Args:
        x: counts [B, V].
        words: the likelihood.
        index: positions of these documents in the data set, [B].

    Raises:
        TypeError, ValueError: a document has no words, so that its topics and perplexity are undefined; or as
            `zoo.likelihoods.check_data`.
    """
    check_data(x, words)
    x = conditioned_on("x") if x is None else x
    if x is None or not is_validation_enabled():
        return
    empty = (x.sum(-1) == 0).nonzero().flatten()
    if len(empty):
        at = int(empty[0])
        of_all = "" if index is None else f", number {int(index[at])} of all,"
        raise Misfit(
            f"site 'x': document {at} of the batch{of_all} has no words ({len(empty)} of {len(x)} have none): leave "
            "such documents out, x[x.sum(1) > 0], or use a larger vocabulary"
        )


def _sites(groups: Sequence[int]) -> dict[str, int]:
    """The number of topics of each site."""
    groups = [whole("groups: a size", size, least=0) for size in groups]
    if not groups or min(groups) < 1:
        raise ValueError(f"groups: each needs at least 1 topic, got {list(groups)}; [25, 25] makes two of 25")
    return {"z": groups[0]} if len(groups) == 1 else {f"z{i}": size for i, size in enumerate(groups, start=1)}


def _topics(groups: dict[str, int], loc: Tensor, scale: Tensor) -> Tensor:
    """Samples each group and concatenates them, [..., K]."""
    parts = zip(groups, loc.split(list(groups.values())), scale.split(list(groups.values())), strict=True)
    return torch.cat([pyro.sample(name, dist.Normal(m, s).to_event(1)) for name, m, s in parts], dim=-1)
