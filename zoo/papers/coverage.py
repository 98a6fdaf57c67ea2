"""Every figure and table of the five papers: the reproduction or command that covers it, or why there is none."""

from dataclasses import dataclass
from pathlib import Path

from zoo.lab.trials.card import table

FILE = Path(__file__).parent / "README.md"

DIAGRAM = "a diagram, without results"
SYMBOLS = "a table of symbols, without results"
FILES = " (needs files that no command can download)"


@dataclass(frozen=True)
class Item:
    """A figure or table of a paper.

    Attributes:
        number: such as "Figure 3, left"; "-" for a result of the text alone.
        what: what it shows.
        by: names of reproductions that cover it.
        otherwise: where no reproduction covers it: a command that does, or the reason why nothing does.
    """

    number: str
    what: str
    by: tuple[str, ...] = ()
    otherwise: str = ""


ITEMS: dict[str, tuple[Item, ...]] = {
    "natural_clustering": (
        Item("Figure 1", "MNIST: traversals of each class's latents", ("natural-clustering/kl",)),
        Item("Figure 2", "MNIST: traversals of the shared latents", ("natural-clustering/kl",)),
        Item("Figure 3", "latents of beta-VAE and of N-VAE in the plane", ("natural-clustering/choices",)),
        Item("Figure 4", "the graphical model", (), f"{DIAGRAM}; `python -m zoo story natural-clustering/mnist`"),
        Item("Figure 5", "KL of each latent, three data sets", ("natural-clustering/kl",)),
        Item("Figure 5", "the same with other decoders, two data sets", ("natural-clustering/decoder",)),
        Item("Figure 6", "Fashion-MNIST: traversals of each class's latents", ("natural-clustering/kl",)),
        Item("Figure 7", "Fashion-MNIST: traversals of the shared latents", ("natural-clustering/kl",)),
        Item("Figure 8", "Yale B: traversals of the shared latents", ("natural-clustering/kl",)),
        Item("Figure 9", "classifiers trained on generated data", ("natural-clustering/augmentation",)),
        Item("Figure 9", "N-VAE with fewer shared units", ("natural-clustering/labels",)),
        Item("Figure 9", "panel a with a convolutional classifier", ("natural-clustering/classifier",)),
        Item("Figure 10", "MNIST: KL by class, with and without the bias", ("natural-clustering/kl",)),
        Item("Figure 11", "MNIST: samples at sigma 1.4", ("natural-clustering/kl",)),
        Item("-", "few labels: an extension of ours", ("natural-clustering/few-labels",)),
    ),
    "hfvae": (
        Item("Figure 1", "the ELBO in four terms", (), f"{DIAGRAM}; `zoo.lab.analysis.elbo_anatomy` has the terms"),
        Item("Figure 2", "a small example without each term in turn", (), "`python -m zoo figure2`"),
        Item("Figure 3", "the hierarchical decomposition", (), f"{DIAGRAM}; the same function"),
        Item("Table 1", "objectives of several papers", (), f"{SYMBOLS}; `zoo.elbos` has these objectives"),
        Item("Table 2", "sizes of latents", (), "settings, which the recipes have"),
        Item("Figure 4", "traversals and I(x; z_d), MNIST and Fashion-MNIST", ("hfvae/mnist", "hfvae/fashion-mnist")),
        Item("Figure 4", "the same on 2D Shapes, which the text mentions", ("hfvae/shapes",)),
        Item("Table 3", "two metrics on 2D Shapes", ("hfvae/table-3",)),
        Item("Figure 5", "thickness, and I(y; z_d)", ("hfvae/mnist",)),
        Item("Figure 6", "I(x; z, c), TC and the gap over gamma and beta", ("hfvae/figure-6",)),
        Item("Figure 7", "combinations of factors that were never seen", ("hfvae/figure-7",)),
        Item("Figure 8", f"CelebA: traversals{FILES}", ("hfvae/celeba",)),
        Item("Appendix E", "sensitivity to weights and seeds", ("hfvae/sensitivity",)),
    ),
    "hfvae_topics": (Item("Section 5.2, appendix D", "topics of 20 newsgroups", ("hfvae/topics",)),),
    "dip_vae": (
        Item("Table 1", "metric and error, 2D Shapes", ("dip-vae/shapes",)),
        Item("Table 1", "its metric under other protocols, and of codes of known quality", ("dip-vae/metric",)),
        Item("Table 1", f"metric and error, CelebA{FILES}", ("dip-vae/celeba",)),
        Item("Figure 1, right", "metric against error over beta and lambda_od, 2D Shapes", ("dip-vae/figure1",)),
        Item("Figure 1, left", f"the same on CelebA{FILES}", ("dip-vae/celeba",)),
        Item("Table 2", f"accuracy of attributes, CelebA{FILES}", ("dip-vae/celeba",)),
        Item("Table 3", "correlations, 2D Shapes", ("dip-vae/shapes",)),
        Item("Table 4", f"correlations, CelebA{FILES}", ("dip-vae/celeba",)),
        Item("Figure 2", f"attributes most similar to Bangs and Rosy_Cheeks{FILES}", ("dip-vae/celeba",)),
        Item("Table 5", f"traversals, CelebA{FILES}", ("dip-vae/celeba",)),
        Item("Table 6", f"traversals, 3D Chairs{FILES}", ("dip-vae/chairs",)),
        Item("Figures 3 to 6, 8", f"correlations with attributes, CelebA{FILES}", ("dip-vae/celeba",)),
        Item("Figure 7", "the same for beta = 64", (), "not run: CelebA's files are not available"),
        Item("Figures 9, 10, 12", "correlations with factors, 2D Shapes", ("dip-vae/shapes",)),
        Item("Figure 11", "the same for beta = 20; its metric and error", ("dip-vae/figure1",)),
    ),
    "joint_vae": (
        Item("Figure 1", "a disentangled and an entangled unit", ("joint-vae/mnist-gamma",)),
        Item("Figure 2", "the architecture", (), f"{DIAGRAM}; `python -m zoo story joint-vae/mnist`"),
        Item("Figures 3, 4", "MNIST: traversals, samples by type", ("joint-vae/mnist",)),
        Item("Section 4.2", "accuracy of the type, 88.7 %", ("joint-vae/mnist", "joint-vae/mnist-types")),
        Item("Figure 5", "Fashion-MNIST: traversals", ("joint-vae/fashion-mnist",)),
        Item(
            "Figure 6",
            "CelebA: traversals",
            (),
            "not run: CelebA's files are not available; the recipe is `joint-vae/celeba`",
        ),
        Item("Figure 7", "KL of each unit during training", ("joint-vae/mnist",)),
        Item("Figure 8", "units in the order of their KL", ("joint-vae/mnist",)),
        Item("Figure 9a", "azimuth of chairs, on rendered chairs", ("joint-vae/procedural-chairs",)),
        Item("Figure 9b", "edited images", (), "not run: no files of CelebA and 3D Chairs are available"),
        Item("Figure 10", "gamma too low, on MNIST instead of CelebA", ("joint-vae/mnist-gamma",)),
    ),
    "decomposition": (
        Item("Figure 1", "overlap of encodings, and regularisation", ("decomposition/figure-3",)),
        Item(
            "Figure 2, left",
            "metric against error for three priors, over beta",
            ("decomposition/figure-2", "decomposition/figure-2-beta"),
        ),
        Item("Figure 2, right", "the same for Student-t priors, over nu", ("decomposition/figure-2-student-t",)),
        Item("Figure 3", "densities of q(z) on the pinwheel, over alpha and beta", ("decomposition/figure-3",)),
        Item("Figure 4", "sparsity, reconstruction and MMD over alpha", ("decomposition/figure-4",)),
        Item("Figure 4", "the same over beta", ("decomposition/figure-4-beta",)),
        Item("Figure 5", "active units by class, and traversals", ("decomposition/figure-4",)),
    ),
}
"""By the name of the paper's package."""


def page(titles: dict[str, str], done: dict[str, str]) -> str:
    """The page in Markdown.

    Args:
        titles: of the papers' pages, by the name of the package.
        done: how far each reproduction that has a result has come, such as "short, 3 seeds", by name.
    """
    parts = [
        "# Figures and tables of the papers",
        "Every figure and table of the five papers, and where it is reproduced. A reproduction is run with "
        "`python -m zoo reproduce NAME`; its result is on the paper's page. Written by "
        "`python -m zoo reproduce --table`.",
    ]
    for room, items in ITEMS.items():
        rows = [
            (
                item.number,
                item.what,
                ", ".join(f"`{name}`" for name in item.by) or item.otherwise,
                "; ".join(done.get(name, "not run yet") for name in item.by),
            )
            for item in items
        ]
        headers = ("in the paper", "what", "reproduction, or why there is none", "result")
        parts += [f"## [{titles[room]}]({room}/README.md)", table(headers, rows)]
    return "\n\n".join(parts) + "\n"
