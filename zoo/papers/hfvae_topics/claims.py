"""HFVAE's claims about its topics, as checks on reproduced results."""

from zoo.lab.trials.claims import Comparison, above, at_least, at_most, every, near, on_seeds

CORRELATED = 0.3
A_CORRELATION = f"A correlation is one above {CORRELATED}."


def about_eleven_topics_in_use(model: str) -> Comparison:
    """About 11 of HFVAE's topics are in use."""
    return near((f"{model}, HFVAE", "in use"), 11, 3)


def vae_uses_all_topics(model: str) -> Comparison:
    """All of the VAE's topics are in use."""
    return on_seeds((f"{model}, VAE", "in use"), lambda count: count == 50, "Holds for 50 in every seed.")


def prunes(model: str) -> Comparison:
    """HFVAE has fewer topics in use than the VAE."""
    return above((f"{model}, VAE", "in use"), (f"{model}, HFVAE", "in use"))


def correlated_across_groups(model: str) -> Comparison:
    """HFVAE's most correlated topics are in different groups, and no correlation within a group is above 0.3."""
    across, within = (f"{model}, HFVAE", "across"), (f"{model}, HFVAE", "within")
    note = f"Holds where the largest across groups is above the largest within, which is at most {CORRELATED}."
    return every(above(across, within), at_most(within, CORRELATED), note=note)


def vae_uncorrelated(model: str) -> Comparison:
    """HFVAE has a correlation above 0.3 across groups, and the VAE has none."""
    found = at_least((f"{model}, HFVAE", "across"), CORRELATED)
    return every(found, at_most((f"{model}, VAE", "within"), CORRELATED), note=A_CORRELATION)
