"""HFVAE's topics (Esmaeili et al. 2019, arXiv:1804.02086, section 5.2)."""

from functools import partial
from typing import Any

import numpy as np

from zoo.lab.runs.finished import FinishedRun
from zoo.lab.trials.reproduction import Claim, Quantity, Reproduction
from zoo.lab.trials.trial import Measure, Trial
from zoo.metrics import npmi, perplexity
from zoo.papers.hfvae_topics import claims
from zoo.papers.hfvae_topics.figures import on_topics
from zoo.papers.hfvae_topics.topics import IN_USE, Topics, document_nats

PAPER = "Esmaeili et al. 2019, Structured Disentangled Representations, section 5.2; https://arxiv.org/abs/1804.02086"

EPOCHS = {"full": 200, "short": 60}

QUANTITIES = {
    "in use": Quantity(f"topics in use, of 50: I(x; z_d) above {IN_USE:g} nats, test set", digits=1),
    "diversity": Quantity("share of different words among all topics' first ten", "high"),
    "npmi": Quantity("NPMI of the first ten words, in test documents, mean of all topics", "high", 3),
    "npmi train": Quantity("the same in training documents", "high", 3),
    "perplexity": Quantity("perplexity, mean over test documents, by the ELBO", "low", 0),
    "perplexity per word": Quantity("the same, mean over words", "low", 0),
    "elbo": Quantity("ELBO, nats per test document", "high", 1),
    "kl": Quantity("KL(q || p), nats per test document", digits=1),
    "across": Quantity("largest absolute correlation of two topics in use, of different groups"),
    "within": Quantity("the same of one group"),
}


def measured(trained: FinishedRun) -> dict[str, float]:
    """The quantities of a run; correlations only where at least two topics are in use."""
    train, test = trained.data
    topics = Topics.of(trained.model, trained.guide, test)  # type: ignore[arg-type]
    nats, words = document_nats(trained.model, trained.guide, test)
    evaluation = trained.evaluate()
    pairs = {"across": topics.pairs(across=True, count=1), "within": topics.pairs(across=False, count=1)}
    return {
        "in use": len(topics.in_use),
        "diversity": len(np.unique(topics.words)) / topics.words.size,
        "npmi": topics.coherence.value.mean(),
        "npmi train": npmi(topics.words, train.x, repeats=2).value.mean(),
        "perplexity": float(perplexity(nats, words, repeats=2)),
        "perplexity per word": float(perplexity(nats, words, per="word", repeats=2)),
        "elbo": evaluation.elbo,
        "kl": sum(kl.sum().item() for kl in evaluation.kl.values()),
        **{which: abs(pair[0].correlation) for which, pair in pairs.items() if pair},
    }


def train(trial: Trial, **hyperparameters: Any) -> dict[str, float]:
    """A run of the recipe, at the budget's length."""
    return measured(trial.train("hfvae/newsgroups", epochs=EPOCHS[trial.budget], **hyperparameters))


PRODLDA = ("ProdLDA with dropout", "ProdLDA")
AS_IN_ITS_CODE: dict[str, Any] = {"dropout": 0.6, "scale": False}
VARIANTS: dict[str, Measure] = {
    "ProdLDA with dropout, VAE": partial(train, model="prodlda", objective="vae", groups="50", **AS_IN_ITS_CODE),
    "ProdLDA with dropout, HFVAE": partial(train, model="prodlda", objective="hfvae", groups="25+25", **AS_IN_ITS_CODE),
    "ProdLDA, VAE": partial(train, model="prodlda", objective="vae", groups="50"),
    "ProdLDA, HFVAE": partial(train, model="prodlda", objective="hfvae", groups="25+25"),
    "NVDM, VAE": partial(train, model="nvdm", objective="vae", groups="50"),
    "NVDM, HFVAE": partial(train, model="nvdm", objective="hfvae", groups="25+25"),
}


def of_prodlda(model: str) -> list[Claim]:
    """Section 5.2's claims, which compare one ProdLDA under both objectives."""
    return [
        Claim(f"{model}: HFVAE has 11 topics with a significant I(x; z_d).", claims.about_eleven_topics_in_use(model)),
        Claim(f"{model}: the VAE has a nonzero I(x; z_d) for all 50 topics.", claims.vae_uses_all_topics(model)),
        Claim(
            f"{model}: HFVAE finds correlated topics; the VAE finds no significant correlation.",
            claims.vae_uncorrelated(model),
        ),
        *of_groups(model),
    ]


def of_groups(model: str, *, own: bool = False) -> list[Claim]:
    """What HFVAE does with its two groups of topics; the paper says it of ProdLDA, not of NVDM."""
    return [
        Claim(f"{model}: HFVAE prunes topics that the VAE uses.", claims.prunes(model), own),
        Claim(
            f"{model}: HFVAE allows correlations across groups, and prevents those within a group.",
            claims.correlated_across_groups(model),
            own,
        ),
    ]


REPRODUCTIONS = {
    "hfvae/topics": Reproduction(
        title="HFVAE's topics: 20 Newsgroups",
        paper=PAPER,
        variants=VARIANTS,
        quantities=QUANTITIES,
        reported={
            f"{model}, {objective}": {"in use": count}
            for model in PRODLDA
            for objective, count in (("VAE", 50), ("HFVAE", 11))
        },
        headline=[
            (variant, quantity) for variant in VARIANTS for quantity in ("in use", "npmi", "perplexity", "across")
        ],
        seeds={"full": 5, "short": 2},
        best=("ProdLDA, HFVAE", "npmi"),
        claims=[
            *(claim for model in PRODLDA for claim in of_prodlda(model)),
            *of_groups("NVDM", own=True),
        ],
        deviations=[
            "The text states 50 topics, two groups of 25, beta = 0.1 and gamma = 4, but not alpha, networks, batch "
            "sizes, learning rates or length: alpha is 1, the others are ProdLDA's and NVDM's codes', except for "
            "batches of 512 under HFVAE, with learning rates in proportion.",
            "The text does not state vocabulary or preprocessing: ours are the 2,000 most frequent words of the posts "
            "without headers, footers, quotes and stop words. Posts of more than 1,000 words are left out: encoded "
            "binaries, lists and the like.",
            "ProdLDA is trained in two forms: as in its code, with dropout and a batch norm without learnt scale, and "
            "without dropout and with a learnt scale. In the first, posterior means vary by dropout in training, so "
            "that HFVAE decorrelates noise that is absent in evaluation. The text does not state which it uses, so its "
            "claims are checked for each; those about NVDM are ours.",
            "The encoders' input is documents as vectors of one length, not counts.",
            "Both groups of ProdLDA's topics share one softmax; the text leaves this open.",
            "I(x; z_d) is of the test set, with q(z_d) its exact mixture. The text does not state when it is "
            f"significant; {IN_USE:g} nats are ours. The number of topics depends on it: in `hfvae/newsgroups`, a pair "
            "of ProdLDA under HFVAE that comes with the zoo, 32 topics have more than 0.1 nats, 30 more than 0.2, 18 "
            "more than 0.3, 4 more than 0.5. Correlations are of the posterior means of the topics in use.",
            "Batch norm uses running statistics for test documents. ProdLDA's code scores them one by one with the "
            "batch's statistics, and with one document in a batch only the learnt centres remain.",
            "NVDM's decoder and guide are trained together, not alternately for ten epochs each.",
            "The text has neither NPMI nor perplexity, and its appendix D, with all results, was not available.",
            f"{EPOCHS['full']} epochs, as in ProdLDA's README.",
        ],
        shortened=[f"Short budget: {EPOCHS['short']} epochs."],
        pictures=[on_topics],
    ),
}
