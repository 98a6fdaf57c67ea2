"""Two generators that are not probabilistic programs, for comparison: CGAN and AC-GAN, in plain PyTorch.

Mirza & Osindero 2014, Conditional generative adversarial nets, arXiv:1411.1784. Odena, Olah & Shlens 2017, Conditional
image synthesis with auxiliary classifier GANs, arXiv:1610.09585. Neither text's networks are used: both GANs get the
same dense ones, of the size of the VAEs that they are compared with, and Adam with Radford's lr = 2e-4, betas (0.5,
0.999), arXiv:1511.06434.
"""

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.lab.data import Batch

Shape = tuple[int, ...]
WIDTH = 256  # of the two hidden layers


class Generator(nn.Module):
    """Noise and a class to an image in [0, 1]: two dense layers with batch norm and leaky ReLU (0.2), and a sigmoid.

    Args:
        z_dim: units of noise.
        classes: L.
        shape: of an image.
    """

    def __init__(self, *, z_dim: int, classes: int, shape: Shape) -> None:
        super().__init__()
        self.z_dim, self.classes = z_dim, classes
        self.layers = nn.Sequential(
            nn.Linear(z_dim + classes, WIDTH),
            nn.BatchNorm1d(WIDTH),
            nn.LeakyReLU(0.2),
            nn.Linear(WIDTH, WIDTH),
            nn.BatchNorm1d(WIDTH),
            nn.LeakyReLU(0.2),
            nn.Linear(WIDTH, math.prod(shape)),
            nn.Sigmoid(),
            nn.Unflatten(-1, shape),
        )

    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        """Noise [B, z_dim] and labels [B] to images [B, *shape]."""
        images: Tensor = self.layers(torch.cat([z, _one_hot(y, self.classes)], -1))
        return images


class Critic(nn.Module):
    """A GAN's discriminator: maps an image to the logit of being real and the logits of its class.

    Two layers with leaky ReLU (0.2) and dropout (0.3).

    Args:
        classes: L.
        shape: of an image.
        sees_class: whether the class is an input as well as the image, as in CGAN; AC-GAN's critic infers it.
    """

    def __init__(self, *, classes: int, shape: Shape, sees_class: bool) -> None:
        super().__init__()
        self.classes, self.sees_class = classes, sees_class
        self.layers = nn.Sequential(
            nn.Linear(math.prod(shape) + classes * sees_class, WIDTH),
            nn.LeakyReLU(0.2),
            nn.Dropout(0.3),
            nn.Linear(WIDTH, WIDTH),
            nn.LeakyReLU(0.2),
            nn.Dropout(0.3),
            nn.Linear(WIDTH, 1 + classes),
        )

    def forward(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Images [B, *shape] and labels [B] to logits [B] of being real and [B, L] of the class."""
        features = x.flatten(1)
        if self.sees_class:
            features = torch.cat([features, _one_hot(y, self.classes)], -1)
        out = self.layers(features)
        return out[:, 0], out[:, 1:]


def critic_loss(real: tuple[Tensor, Tensor], fake: tuple[Tensor, Tensor], y: Tensor, *, auxiliary: bool) -> Tensor:
    """The critic's loss, from logits of real images and of generated ones with the same labels.

    CGAN's equation (2) as a cross-entropy, -L_S; for AC-GAN -L_S - L_C, its (2) and (3), each a mean over images.
    """
    source = F.softplus(-real[0]).mean() + F.softplus(fake[0]).mean()
    if not auxiliary:
        return source
    return source + F.cross_entropy(real[1], y) + F.cross_entropy(fake[1], y)


def generator_loss(fake: tuple[Tensor, Tensor], y: Tensor, *, auxiliary: bool) -> Tensor:
    """The generator's loss: -log D of its images, which does not saturate, and for AC-GAN -L_C on them."""
    source = F.softplus(-fake[0]).mean()
    return source + F.cross_entropy(fake[1], y) if auxiliary else source


def train_gan(
    batches: Iterable[Batch],
    *,
    auxiliary: bool,
    classes: int,
    shape: Shape,
    z_dim: int = 64,
    lr: float = 2e-4,
    device: str | torch.device = "cpu",
) -> Generator:
    """Trains a CGAN, or with `auxiliary` an AC-GAN, one step of critic and generator per batch; returns the generator.

    Draws and initial weights use torch's generator.

    Args:
        batches: with labels.
        auxiliary: whether the critic also infers the class.
        classes: L.
        shape: of an image.
        z_dim: units of noise.
        lr: of both Adams.
        device: where to train.

    Raises:
        ValueError: a batch has no labels, or one out of range; or there is no batch.
        FloatingPointError: a loss is not finite; the message names the step.
    """
    generator = Generator(z_dim=z_dim, classes=classes, shape=shape).to(device)
    critic = Critic(classes=classes, shape=shape, sees_class=not auxiliary).to(device)
    optimizers = [
        torch.optim.Adam(net.parameters(), lr=lr, betas=(0.5, 0.999), fused=True) for net in (generator, critic)
    ]
    step, losses = 0, torch.zeros(())
    for step, batch in enumerate(batches, start=1):
        if batch.y is None:
            raise ValueError("a GAN with classes needs labels for training: draw batches with labels=True")
        x, y = batch.x.to(device), batch.y.to(device)
        if step == 1 and not 0 <= int(y.min()) <= int(y.max()) < classes:
            raise ValueError(f"labels y go from 0 to {classes - 1}, got {int(y.min())} to {int(y.max())}")
        images = generator(torch.randn(len(x), z_dim, device=device), y)
        real_and_fake = critic(torch.cat([x, images.detach()]), torch.cat([y, y]))
        real, fake = zip(*(out.chunk(2) for out in real_and_fake), strict=True)
        of_critic = critic_loss(real, fake, y, auxiliary=auxiliary)
        optimizers[1].zero_grad()
        of_critic.backward()
        optimizers[1].step()
        of_generator = generator_loss(critic.requires_grad_(False)(images, y), y, auxiliary=auxiliary)
        critic.requires_grad_(True)
        optimizers[0].zero_grad()
        of_generator.backward()
        optimizers[0].step()
        losses = of_critic.detach() + of_generator.detach()
        if step % 100 == 1:
            _refuse_unless_finite(step, losses)
    if step == 0:
        raise ValueError("there is no batch to train on: batches is empty")
    _refuse_unless_finite(step, losses)
    return generator.eval()


def _refuse_unless_finite(step: int, losses: Tensor) -> None:
    if not math.isfinite(losses.item()):
        raise FloatingPointError(f"step {step}: a loss is not finite; lower the learning rate")


def _one_hot(y: Tensor, classes: int) -> Tensor:
    return torch.eye(classes, device=y.device)[y]
