"""What N-VAE's reproductions share: citation, quantities, and how they deviate from the paper (arXiv:1901.09415)."""

from zoo.lab.trials.reproduction import Quantity

PAPER = (
    "Antorán & Miguel 2019, Disentangling and Learning Robust Representations with Natural Clustering, arXiv:1901.09415"
)

QUANTITIES = {
    "accuracy": Quantity("accuracy of the inferred y on the test set, %", better="high", digits=2),
    "KL of z_s": Quantity("KL of z_s, all units, test set, nats"),
    "KL of a unit of z_s": Quantity("the same per unit, the largest", digits=3),
    "KL of the least unit of z_s": Quantity("the same per unit, the smallest", digits=3),
    "KL of z_cy": Quantity("KL per unit of the right class's block of z_c, nats", digits=3),
    "KL of others": Quantity("KL per unit of the other classes' blocks, nats", digits=4),
    "effect of z_c": Quantity("change of a pixel's mean when z_c is drawn again, root mean square", digits=4),
    "effect of z_s": Quantity("change of a pixel's mean when z_s is drawn again, root mean square", digits=4),
    "reconstruction": Quantity("E[log p(x | y, z)] on the test set, nats", better="high", digits=1),
}

LATENT_SPACE = {
    "between classes": Quantity("share of the means' variance between classes", digits=3),
    "KL(q(z) || p(z))": Quantity("KL(q(z) || p(z)) of two latents over the test set, nats", better="low", digits=3),
}

DEVIATIONS = (
    "The text does not state networks, sizes of latents, likelihood, alpha, optimiser or length, and there is no code. "
    "Ours: "
    "two hidden layers of 256 ReLU units in encoder and decoder, also on Yale B; 4 shared units, one for each class; "
    "grey pixels under a Bernoulli; alpha_p = 0.01; Adam at 1e-3, batches of 128 (Yale B: 64); 20 epochs of MNIST and "
    "Fashion-MNIST, and 10,000 steps of Yale B. q(z | x) has diagonal covariances; the text calls it isotropic.",
    "q(pi | x) is Dirichlet(alpha_p + softmax), a family that contains the exact posterior; the text says a Dirichlet.",
    "Matrix products have factors in bfloat16 where the CPU supports it; sums are in float32.",
    "z_c adds little where z_s also separates classes: traversals of z_s change digits and clothes.",
    "On Yale B both angles are limited; a random tenth of its images is the test set.",
)

SHORTENED = "The short budget is 6 epochs of MNIST and Fashion-MNIST, and 6,000 steps of Yale B."
