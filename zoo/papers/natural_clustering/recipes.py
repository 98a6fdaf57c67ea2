"""N-VAE's settings (Antorán & Miguel 2019, arXiv:1901.09415), and the conditional VAE it is compared with.

The text leaves networks, sizes of the latents, likelihood, alpha and optimiser open, and there is no public code. Ours:
two hidden layers of 256 ReLU units (also for Yale B at 64 pixels), 4 shared units and one unit per class, grey
Bernoulli pixels, alpha_p = 0.01, one draw, Adam at 1e-3 with batches of 128, 20 epochs of MNIST. The number of shared
units matters: with 8 or more on MNIST, no class's unit improves the reconstruction by twice its KL, and z_c is unused.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np
import torch

from guides import Amortized, DirichletHead, MeanField, Predicted
from zoo import ConditionalVAE, NaturalClustering
from zoo.elbos import NaturalClusteringELBO, PlainELBO
from zoo.lab.data import Batch, Dataset, Split
from zoo.lab.networks import check_width, networks
from zoo.lab.training.experiment import Experiment, Recipe, offering

WIDTH = 256  # of a dense network's hidden layers


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
    width: int = WIDTH,
    depth: int | None = None,
    batch_size: int = 128,
    steps: int = 9_360,
) -> Experiment:
    """N-VAE under its equation (7): a guide that depends on x alone, trained with labels.

    Antorán & Miguel 2019, arXiv:1901.09415, section IV, where beta_c = 2. Their (4) only says that q(pi | x) is a
    Dirichlet; ours is Dirichlet(alpha_p + softmax(...)), a family that contains the exact posterior, so that the gap of
    (3) can be small. With a free Dirichlet, training on (6) moves the improbable concentrations to 0, and (3) is then
    worse by thousands of nats. With `labelled`, every second batch is drawn from the whole set without labels, which
    are then summed out; the paper has no such experiment.

    Args:
        data: labelled images.
        s_dim: latent dimensions that all classes share.
        c_dim: latent dimensions of each class.
        beta_c: weight of the KL of z_c.
        bias: whether z_cy contains y itself; in appendix B it does not.
        alpha: concentration of the Dirichlet prior.
        labelled: number of datapoints with labels, the same for each class; all when not given.
        unlabelled: whether the others are used without labels, or not at all.
        network: "mlp", or "conv" for 28, 32 or 64 pixels.
        width: of an "mlp"'s hidden layers.
        depth: number of hidden layers in an "mlp"'s decoder, 2 when not given; at 0 it is linear.
        batch_size: B.
        steps: number of steps.

    Raises:
        ValueError: the data have no classes to learn, `labelled` does not fit them, or there is no such network.
    """
    train = data.train
    classes = train.count_classes()
    decoded = classes * (c_dim + bias) + s_dim
    check_width(network, width, WIDTH)
    trunk, decoder = networks(train.shape, decoded, network, width=width, depth=depth)
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
        NaturalClusteringELBO(beta_c=beta_c),
        steps=steps,
        batch_size=batch_size,
        labels=True,
        batches=batches,
        pictures=_pictures,
    )


def conditional_vae(
    data: Split,
    *,
    z_dim: int = 10,
    network: str = "mlp",
    width: int = WIDTH,
    batch_size: int = 128,
    steps: int = 9_360,
) -> Experiment:
    """The conditional VAE (Sohn, Lee & Yan 2015, NIPS) under its ELBO, as N-VAE's section IV-C compares it.

    q(z | x, y) has a hidden layer on the trunk's features and the label; the prior of z does not depend on the class.
    Networks and optimiser are as in N-VAE; neither paper states its own.

    Args:
        data: labelled images.
        z_dim: latent dimensions.
        network: "mlp", or "conv" for 28, 32 or 64 pixels.
        width: of an "mlp"'s hidden layers.
        batch_size: B.
        steps: number of steps.
    """
    train = data.train
    classes = train.count_classes()
    check_width(network, width, WIDTH)
    trunk, decoder = networks(train.shape, z_dim + classes, network, width=width)
    num_data = len(train)
    model = ConditionalVAE(decoder, classes=classes, z_dim=z_dim, num_data=num_data)
    head = MeanField(z_dim, given=("y",), hidden=(width,))
    guide = Amortized(trunk, classes=classes, z=head, num_data=num_data)
    return Experiment(
        model, guide, PlainELBO(), steps=steps, batch_size=batch_size, labels=True, pictures=_conditional_pictures
    )


def _pictures(*run: Any) -> Mapping[str, Any]:
    from zoo.papers.natural_clustering.plots import pictures  # here, because it imports matplotlib

    return pictures(*run)


def _conditional_pictures(*run: Any) -> Mapping[str, Any]:
    from zoo.papers.natural_clustering.plots import conditional_pictures  # here, as above

    return conditional_pictures(*run)


def choose(data: Dataset, labelled: int) -> np.ndarray:
    """Chooses the datapoints with labels: the same number from each class, drawn with seed 0.

    Raises:
        ValueError: `labelled` is not a multiple of the number of classes, or more than the rarest class allows.
    """
    classes = data.count_classes()
    assert data.y is not None
    each, fewest = labelled // classes, int(np.bincount(data.y).min())
    if labelled < 1 or labelled % classes or each > fewest:
        raise ValueError(
            f"labelled must be a multiple of the {classes} classes, up to {classes * fewest}, which includes all of "
            f"the rarest class; got {labelled}"
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
    """Batches of the datapoints `known` with labels in even steps, and of all datapoints without labels in odd ones.

    They depend only on seed and step, like those of `Dataset.batches`, so that a run can be resumed.
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
    """Batches of only the datapoints `known`; options as in `Dataset.batches`."""
    rows, some = torch.from_numpy(known), data.subset(known)
    for batch in some.batches(min(batch_size, len(some)), **options):
        yield batch._replace(index=rows[batch.index])


yale = offering(natural_clustering, "beta_c", "s_dim", "steps", batch_size=64, steps=10_000)
digits = offering(
    natural_clustering, "s_dim", "beta_c", "labelled", "steps", s_dim=1, beta_c=1.0, batch_size=64, steps=4_000
)

YALE = """
    N-VAE on Yale B's 28 faces, a small set: about 500 epochs in batches of 64.

    So many are needed because the class is one term among those of thousands of pixels, and is learnt slowly: after 100
    epochs the guide classifies faces hardly better than chance.

    Args:
        As `natural-clustering/mnist`.
    """
DIGITS = """
    N-VAE on scikit-learn's digits, in under a minute; the settings are not from the paper.

    With 8 x 8 grey pixels few latents improve the reconstruction by their KL: with two shared units, or beta_c = 2, the
    classes' units stay unused.

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
