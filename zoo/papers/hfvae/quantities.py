"""What HFVAE's image reproductions share: citation, quantities, and how they deviate from the paper."""

from zoo.lab.trials.reproduction import Quantity
from zoo.papers.hfvae.measures import EPOCHS, SHORT_BATCH, SHORT_EPOCHS

PAPER = "Esmaeili, Wu, Jain, Bozkurt, Siddharth, Paige, Brooks, Dy, van de Meent 2019, Structured Disentangled " + (
    "Representations, {}; https://arxiv.org/abs/1804.02086"
)

QUANTITIES = {
    "I(y; c)": Quantity("I(y; c) of the type with the label, nats; at most log 10 = 2.30", better="high"),
    "max I(y; z_d)": Quantity("the largest I(y; z_d) of a unit of the style, nats"),
    "MIG": Quantity("I(y; c) - max I(y; z_d), nats", better="high"),
    "accuracy": Quantity("accuracy of the type, majority vote, %", better="high"),
    "types in use": Quantity("types with more than 1 % of the test set", digits=0),
    "I(x; z, c)": Quantity("I(x; z, c) on the test set, nats; at most the log of its size"),
    "TC": Quantity("TC of all units of z and c, nats"),
    "TC between": Quantity("TC between z and c, nats"),
    "I(x; z, c), B = 512": Quantity("I(x; z, c) by the paper's estimator on test batches of 512, nats; at most log N"),
    "I(x; z, c), 1/B": Quantity("the same with q(z, c) the mean over the batch, nats; at most log 512 = 6.24"),
    "TC, B = 512": Quantity("TC by the paper's estimator on test batches of 512, nats"),
    "pruned": Quantity("units of z with I(x; z_d) below 0.1 nats", digits=0),
    "reconstruction": Quantity("E[log p(x)] on the test set, nats", better="high"),
    "KL of z": Quantity("KL of z on the test set, nats"),
    "KL of c": Quantity("KL of c on the test set, nats"),
}

LABEL_FREE = (
    "reconstruction",
    "KL of z",
    "KL of c",
    "I(x; z, c)",
    "TC",
    "TC between",
    "I(x; z, c), B = 512",
    "I(x; z, c), 1/B",
    "TC, B = 512",
    "pruned",
)  # the quantities that need no label

THICKNESS = {
    "steady": Quantity("images in traversals of the thickness unit that keep their row's digit, %", "high", 1),
    "thickness": Quantity("correlation of that unit with the image's ink, within digits", "high"),
}

NETWORKS = (
    "Appendix C is missing from the available text: networks, temperature, optimiser and epochs are those of MNIST in "
    "the authors' library, whose example is semi-supervised. Here no label is used. alpha is 1."
)
MASS = (
    "The relaxed type scores the categorical's mass at the arg max of its draw, as in that library. z alone scores at "
    "each datapoint's own type, and z and c together at the sample's."
)
ESTIMATES = (
    "Quantities are of the test set: I(x; z, c) and TC from 1,000 draws, each scored under all its posteriors; "
    "I(x; z_d), I(y; z_d) and I(y; c) from twice 500, with q(z | x) given one draw of c."
)
SHORTENED = (
    f"Short budget: {SHORT_EPOCHS} epochs in batches of {SHORT_BATCH} instead of {EPOCHS} in batches of 512, with the "
    "factors of matrix products in bfloat16 where the CPU supports it. A batch of 512 takes eight times as long as "
    f"one of {SHORT_BATCH}, and the type needs many steps to match the label. But in smaller batches the estimate of "
    "q(z, c) is lower, and so are those of the total correlations in training; the numbers here do not depend on them."
)
