"""HFVAE's claims about its topics, as checks on reproduced results."""

from zoo.lab.trials.claims import Comparison, above, at_least, at_most, every, near, on_seeds


def about_eleven_topics_in_use() -> Comparison:
    """About 11 of HFVAE's topics are in use."""
    return near(("ProdLDA, HFVAE", "in use"), 11, 3)


def vae_uses_all_topics() -> Comparison:
    """All of the VAE's topics are in use, with ProdLDA as in its code."""
    return on_seeds(("ProdLDA with dropout, VAE", "in use"), lambda count: count == 50, "Holds for 50 in every seed.")


def prunes(model: str) -> Comparison:
    """HFVAE has fewer topics in use than the VAE."""
    return above((f"{model}, VAE", "in use"), (f"{model}, HFVAE", "in use"))


def correlated_across_groups(model: str) -> Comparison:
    """HFVAE's most correlated topics are in different groups."""
    return above((f"{model}, HFVAE", "across"), (f"{model}, HFVAE", "within"))


def vae_uncorrelated() -> Comparison:
    """HFVAE has a correlation above 0.3 across groups, and the VAE has none."""
    found = at_least(("ProdLDA, HFVAE", "across"), 0.3)
    return every(found, at_most(("ProdLDA, VAE", "within"), 0.3), note="A correlation is one above 0.3.")
