"""HFVAE's pictures of topics, drawn from finished trials (Esmaeili et al. 2019, arXiv:1804.02086, section 5.2)."""

from collections.abc import Mapping, Sequence

from zoo.lab.plots.picture import Picture
from zoo.lab.trials.trial import Trial
from zoo.metrics.correlations import Pair
from zoo.papers.hfvae_topics import plots
from zoo.papers.hfvae_topics.topics import Topics


def on_topics(tried: Mapping[str, Sequence[Trial]]) -> dict[str, Picture]:
    """For the first seed: correlations, the information of each topic, and its words, also as a table."""
    found = {}
    words: dict[str, Picture] = {}
    for variant, trials in tried.items():
        run = trials[0].open()
        found[variant] = topics = Topics.of(run.model, run.guide, run.data.test)  # type: ignore[arg-type]
        across = bool(topics.pairs(across=True, count=1))
        pairs = "; ".join(in_words(topics, pair) for pair in topics.pairs(across=across, count=3)) or "none"
        where = "of two groups" if across else "of one group"
        stem = f"words-{variant.lower().replace(', ', '-').replace(' ', '-')}"
        caption = f"{variant}: every topic's first words. Most correlated topics {where}: {pairs}"
        words[f"{stem}.png"] = Picture(plots.bars(topics), caption)
        words[f"{stem}.md"] = Picture(plots.markdown(topics, run.evaluate()), f"{variant}: the topics")
    return {
        "correlations.png": Picture(
            plots.correlations(found),
            "Correlations of the posterior means of the topics in use, groups apart, first seed",
        ),
        "information.png": Picture(plots.ranked(found), "I(x; z_d) of every topic, the largest first, first seed"),
        **words,
    }


def in_words(topics: Topics, pair: Pair) -> str:
    """A pair of topics by their first words."""
    return f"{topics.top_words(pair.first, 5)} / {topics.top_words(pair.second, 5)} ({pair.correlation:+.2f})"
