"""Joint-VAE's settings (Dupont 2018, arXiv:1804.00104, appendices B and C)."""

from guides import Amortized, Concrete, MeanField
from zoo import JointVAE
from zoo.elbos import Capacity, TermwiseELBO
from zoo.lab.data import Split
from zoo.lab.fit import ramp
from zoo.lab.recipes.experiment import Experiment, Recipe, networks


def joint_vae(
    data: Split,
    *,
    z_dim: int = 10,
    classes: int = 10,
    temperature: float = 0.67,
    gamma_z: float = 30.0,
    gamma_c: float = 30.0,
    c_z: float = 5.0,
    c_c: float = 5.0,
    over: int = 25_000,
    network: str = "conv",
    lr: float = 5e-4,
    steps: int = 93_800,
) -> Experiment:
    """Joint-VAE: a style and a type, each held at a capacity that grows.

    Dupont 2018, arXiv:1804.00104, appendices B and C.1: the defaults are MNIST's, 100 epochs of 938 batches. The text
    leaves the temperature open; 0.67 is its code's. A capacity of c beyond log K counts as log K, as in the code; the
    text has no such ceiling, and pushes on every class's entropy without end. The code divides the loss by the number
    of pixels, which changes Adam's epsilon alone; ours does not. The text drops the encoder's last layer for 32 pixels,
    the code its second; ours follows the code.

    Args:
        data: images.
        z_dim: units of the style.
        classes: of the type.
        temperature: of the relaxed type, in prior and posterior.
        gamma_z, gamma_c: how firmly the capacities are held.
        c_z, c_c: the capacities in the end, nats.
        over: steps in which they grow from 0, in a line.
        network: "conv" for 28, 32 or 64 pixels, or "mlp".
        lr: learning rate of Adam.
        steps: how long.
    """
    trunk, decoder = networks(data.train, z_dim + classes, network)
    num_data = len(data.train)
    model = JointVAE(decoder, z_dim=z_dim, c_dims=[classes], temperature=temperature, num_data=num_data)
    guide = Amortized(trunk, z=MeanField(z_dim), c=Concrete(classes, temperature=temperature), num_data=num_data)
    elbo = Capacity(gamma={"z": gamma_z, "c": gamma_c}, capacity={"z": 0.0, "c": 0.0})

    def schedule(step: int, elbo: TermwiseELBO) -> None:
        elbo.capacity = {"z": ramp(step, 0.0, c_z, over=over), "c": ramp(step, 0.0, c_c, over=over)}

    return Experiment(model, guide, elbo, steps=steps, lr=lr, schedule=schedule)


def joint_vae_fashion(data: Split, *, steps: int = 93_800) -> Experiment:
    """Joint-VAE with the settings of appendix C.2, for Fashion-MNIST.

    Args:
        data: images.
        steps: how long.
    """
    return joint_vae(data, gamma_z=100.0, gamma_c=100.0, c_c=10.0, over=50_000, steps=steps)


def joint_vae_digits(data: Split, *, c_z: float = 4.0, steps: int = 6_000) -> Experiment:
    """Joint-VAE on scikit-learn's digits, in a minute: no paper's settings, but MNIST's cut to the set's size.

    Dense layers, since the images have 8 x 8 pixels, and capacities that grow over half the run.

    Args:
        data: images.
        c_z: the style's capacity in the end, nats.
        steps: how long.
    """
    return joint_vae(data, c_z=c_z, over=steps // 2, network="mlp", lr=1e-3, steps=steps)


RECIPES = {
    "joint-vae/digits": Recipe(joint_vae_digits, data="digits", paper="after Dupont 2018"),
    "joint-vae/mnist": Recipe(joint_vae, data="mnist", paper="Dupont 2018, C.1", data_options={"size": 32}),
    "joint-vae/fashion-mnist": Recipe(
        joint_vae_fashion, data="fashion-mnist", paper="Dupont 2018, C.2", data_options={"size": 32}
    ),
}
