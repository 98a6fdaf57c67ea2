"""N-VAE's settings (Antorán & Miguel 2019, arXiv:1901.09415), and the conditional VAE it is compared with.

The text leaves networks, sizes of the latents, likelihood, alpha and optimiser open, and there is no public code. Ours:
two hidden layers of 256 ReLU units (for Yale B at 64 pixels too), 4 shared units and one of each class's own, grey
Bernoulli pixels, alpha_p = 0.01, one draw, Adam at 1e-3 with batches of 128, 20 epochs of MNIST. How many units are
shared matters: where there are 8 or more, none of a class's own is worth twice its nats on MNIST, and z_c stays empty.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import torch

from guides import Amortized, DirichletHead, MeanField, Predicted
from zoo import ConditionalVAE, NaturalClustering
from zoo.elbos import ELBO, NVAE
from zoo.lab.data import Batch, Dataset, Split
from zoo.lab.networks import networks
from zoo.lab.training.experiment import Experiment, Recipe, offering


def natural_clustering(
    data: Split,
    *,
    s_dim: int = 4,
    c_dim: int = 1,
    beta_c: float = 2.0,
    bias: bool = True,
    alpha: float = 0.01,
    labelled: int | None = None,
    unlabelled: bool = True,
    network: str = "mlp",
    width: int = 256,
    batch_size: int = 128,
    steps: int = 9_360,
) -> Experiment:
    """N-VAE under its equation (7): a guide that sees x alone, trained with the labels.

    Antorán & Miguel 2019, arXiv:1901.09415, section IV, where beta_c = 2. Their (4) says no more of q(pi | x) than that
    it is a Dirichlet; ours is Dirichlet(alpha_p + softmax(...)), which holds the exact posterior, so that (3) is no
    worse than it need be: under a free Dirichlet (6) drives the unlikely concentrations to 0, and (3) to thousands of
    nats. With `labelled`, every second batch comes from the whole set without labels, which are then summed out; the
    paper has no such experiment.

    Args:
        data: labelled images.
        s_dim: shared units.
        c_dim: units of each class's own.
        beta_c: weight of the KL of z_c.
        bias: whether z_cy shows the class; in appendix B it does not.
        alpha: concentration of the Dirichlet prior.
        labelled: how many datapoints keep their labels, equally many of each class; all when not given.
        unlabelled: whether the others are used without theirs, or not at all.
        network: "mlp", or "conv" for 28, 32 or 64 pixels.
        width: of an "mlp"'s hidden layers.
        batch_size: B.
        steps: how long.
    """
    from zoo.papers.natural_clustering.plots import pictures  # matplotlib, which a list of recipes does not need

    train = data.train
    classes = train.count_classes()
    decoded = classes * (c_dim + bias) + s_dim
    trunk, decoder = networks(train.shape, decoded, network, width=width)
    num_data = len(train)
    model = NaturalClustering(
        decoder, classes=classes, c_dim=c_dim, s_dim=s_dim, alpha=alpha, bias=bias, num_data=num_data
    )
    guide = Amortized(
        trunk,
        pi=DirichletHead(classes, total=1.0, floor=alpha),
        y=Predicted(classes, of="pi"),
        z_c=MeanField(classes * c_dim),
        z_s=MeanField(s_dim),
        num_data=num_data,
    )
    batches: Callable[..., Iterator[Batch]] = Dataset.batches
    if labelled is not None:
        batches = partial(partly_labelled if unlabelled else only_labelled, known=choose(train, labelled))
    return Experiment(
        model,
        guide,
        NVAE(beta_c=beta_c),
        steps=steps,
        batch_size=batch_size,
        labels=True,
        batches=batches,
        pictures=pictures,
    )


def conditional_vae(
    data: Split,
    *,
    z_dim: int = 10,
    network: str = "mlp",
    width: int = 256,
    batch_size: int = 128,
    steps: int = 9_360,
) -> Experiment:
    """The conditional VAE (Sohn, Lee & Yan 2015, NIPS) under its ELBO, as N-VAE's section IV-C compares it.

    q(z | x, y) has a hidden layer of its own, on the trunk's features and the label; the prior of z does not
    look at the class. Networks and optimiser as N-VAE's; no text says what theirs were.

    Args:
        data: labelled images.
        z_dim: units of the code.
        network: "mlp", or "conv" for 28, 32 or 64 pixels.
        width: of an "mlp"'s hidden layers.
        batch_size: B.
        steps: how long.
    """
    from zoo.papers.natural_clustering.plots import conditional_pictures  # matplotlib, as above

    train = data.train
    classes = train.count_classes()
    trunk, decoder = networks(train.shape, z_dim + classes, network, width=width)
    num_data = len(train)
    model = ConditionalVAE(decoder, classes=classes, z_dim=z_dim, num_data=num_data)
    head = MeanField(z_dim, given=("y",), hidden=(width,))
    guide = Amortized(trunk, classes=classes, z=head, num_data=num_data)
    return Experiment(
        model, guide, ELBO(), steps=steps, batch_size=batch_size, labels=True, pictures=conditional_pictures
    )


def choose(data: Dataset, labelled: int) -> np.ndarray:
    """Which datapoints keep their labels: equally many of each class, drawn with seed 0.

    Raises:
        ValueError: not a multiple of the number of classes, or more than there are of a class.
    """
    classes = data.count_classes()
    assert data.y is not None
    each, fewest = labelled // classes, int(np.bincount(data.y).min())
    if labelled < 1 or labelled % classes or each > fewest:
        raise ValueError(
            f"labelled must be a multiple of the {classes} classes, up to {classes * fewest}, which takes all of the "
            f"rarest class; got {labelled}"
        )
    order = np.random.default_rng(0).permutation(len(data))
    return np.sort(np.concatenate([order[data.y[order] == c][:each] for c in range(classes)]))


def partly_labelled(
    data: Dataset,
    batch_size: int,
    *,
    known: np.ndarray,
    seed: int,
    labels: bool = True,
    steps: int | None = None,
    start: int = 0,
) -> Iterator[Batch]:
    """Even steps: a batch of the datapoints `known`, with labels. Odd ones: a batch of all, without.

    A function of seed and step alone, as `Dataset.batches` is, so a run can go on.
    """
    rows = torch.from_numpy(known)
    some = data.subset(known)
    seen = some.batches(min(batch_size, len(some)), seed=seed, start=(start + 1) // 2, labels=labels)
    unseen = data.batches(batch_size, seed=seed, start=start // 2)
    step = start
    while steps is None or step < steps:
        batch = next(unseen) if step % 2 else next(seen)
        yield batch if step % 2 else batch._replace(index=rows[batch.index])
        step += 1


def only_labelled(data: Dataset, batch_size: int, *, known: np.ndarray, **options: Any) -> Iterator[Batch]:
    """Batches of the datapoints `known` alone; options as `Dataset.batches` takes them."""
    rows, some = torch.from_numpy(known), data.subset(known)
    for batch in some.batches(min(batch_size, len(some)), **options):
        yield batch._replace(index=rows[batch.index])


yale = offering(natural_clustering, "beta_c", "s_dim", "steps", batch_size=64, steps=10_000)
digits = offering(
    natural_clustering, "s_dim", "beta_c", "labelled", "steps", s_dim=1, beta_c=1.0, batch_size=64, steps=4_000
)

YALE = """
    N-VAE on Yale B's 28 faces, of which there are few: about 500 epochs in batches of 64.

    So many because the class's one term in thousands of pixels' is slow to be learnt: after 100 epochs the guide tells
    faces hardly better than chance.

    Args:
        As `natural-clustering/mnist`.
    """
DIGITS = """
    N-VAE on scikit-learn's digits, in under a minute: no paper's settings.

    In 8 x 8 grey pixels little is worth its nats: with two shared units, or beta_c = 2, the classes' own stay empty.

    Args:
        As `natural-clustering/mnist`.
    """

_PAPER = "Antorán & Miguel 2019, IV"

RECIPES = (
    Recipe("natural-clustering/digits", digits, "digits", "after Antorán & Miguel 2019", text=DIGITS),
    Recipe("natural-clustering/mnist", natural_clustering, "mnist", _PAPER),
    Recipe("natural-clustering/fashion-mnist", natural_clustering, "fashion-mnist", _PAPER),
    Recipe("natural-clustering/yale-b", yale, "yale-b", _PAPER, text=YALE),
    Recipe("conditional-vae", conditional_vae, "mnist", "Sohn et al. 2015"),
)
