"""HFVAE's figures and its Table 3, for images (Esmaeili et al. 2019, arXiv:1804.02086)."""

from functools import partial

from zoo.lab.trials.claims import above, at_least, correlated, falls_by, near_share, rising
from zoo.lab.trials.reproduction import Claim, Quantity, Reproduction
from zoo.lab.trials.trial import Measure
from zoo.papers.hfvae import claims
from zoo.papers.hfvae import figures as pictures
from zoo.papers.hfvae.measures import (
    BETA,
    BETAS,
    DIGITS_BETA,
    EPOCHS,
    EQUAL_VALUES,
    GAMMA,
    SENSITIVITY_EPOCHS,
    SENSITIVITY_GRID,
    SHAPES_BATCH,
    SHAPES_LR,
    SHAPES_SHORT,
    SHAPES_STEPS,
    SHAPES_WIDTH,
    SHORT_BATCH,
    SHORT_EPOCHS,
    on_celeba,
    on_digits,
    on_images,
    on_shapes,
)
from zoo.papers.hfvae.unseen import COMBINATIONS, UNSEEN_QUANTITIES, on_unseen

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
    "pruned",
)  # all without the label

THICKNESS = {
    "steady": Quantity("images in traversals of the thickness unit that keep their row's digit, %", "high", 1),
    "thickness": Quantity("correlation of that unit with the image's ink, within digits", "high"),
}

NETWORKS = (
    "Appendix C is missing from the available text: networks, temperature, optimiser and epochs are those of the "
    "authors' library for MNIST; alpha is 1."
)
MASS = (
    "The relaxed type scores the categorical's mass at the arg max of its draw, as in that library. z alone scores at "
    "each datapoint's own type, and z and c together at the sample's."
)
ESTIMATES = (
    "Quantities are of the test set: I(x; z, c) and TC from 1,000 draws, each scored under all 10,000 posteriors; "
    "I(x; z_d), I(y; z_d) and I(y; c) from twice 500, with q(z | x) given one draw of c."
)
SHORTENED = (
    f"Short budget: {SHORT_EPOCHS} epochs in batches of {SHORT_BATCH} instead of {EPOCHS} in batches of 512, with the "
    "factors of matrix products in bfloat16 where the CPU supports it. A batch of 512 takes eight times as long as "
    f"one of {SHORT_BATCH}, and the type needs many steps to match the label. But in smaller batches the estimate of "
    "q(z, c) is lower, and so are those of the total correlations in training; the numbers here do not depend on them."
)

HFVAE = f"HFVAE, beta = {DIGITS_BETA:g}, gamma = {GAMMA:g}"
BETA_VAE = "beta-VAE, beta = 4"

MNIST: dict[str, Measure] = {
    HFVAE: partial(on_digits, recipe="hfvae/mnist", beta=DIGITS_BETA, gamma=GAMMA),
    BETA_VAE: partial(on_digits, recipe="hfvae/mnist-beta-vae", beta=4.0, c_dim=0),
}

EQUAL_WEIGHTS = [f"gamma = beta = {weight:g}" for weight in EQUAL_VALUES]
OVER_BETA = ["gamma = beta = 3" if beta == GAMMA else f"gamma = 3, beta = {beta:g}" for beta in BETAS]

FIGURE_6: dict[str, Measure] = {
    **{
        name: partial(on_images, recipe="hfvae/mnist", beta=weight, gamma=weight)
        for name, weight in zip(EQUAL_WEIGHTS, EQUAL_VALUES, strict=True)
    },
    **{
        name: partial(on_images, recipe="hfvae/mnist", beta=beta, gamma=GAMMA)
        for name, beta in zip(OVER_BETA, BETAS, strict=True)
        if name not in EQUAL_WEIGHTS
    },
}

TABLE_3_HFVAE = f"HFVAE, beta = {BETA:g}, gamma = {GAMMA:g}"

UNSEEN: dict[str, Measure] = {HFVAE: on_unseen}

SENSITIVITY: dict[str, Measure] = {
    f"beta = {beta:g}, gamma = {gamma:g}": partial(
        on_images, recipe="hfvae/mnist", epochs=SENSITIVITY_EPOCHS, beta=beta, gamma=gamma
    )
    for beta, gamma in SENSITIVITY_GRID
}

SHAPES: dict[str, Measure] = {
    "VAE": partial(on_shapes, recipe="hfvae/shapes-beta-vae", beta=1.0, c_dim=0),
    "beta-VAE, beta = 4": partial(on_shapes, recipe="hfvae/shapes-beta-vae", beta=4.0, c_dim=0),
    "beta-TCVAE, beta = 4": partial(on_shapes, recipe="hfvae/shapes-beta-tcvae", beta=4.0, c_dim=0),
    TABLE_3_HFVAE: partial(on_shapes, recipe="hfvae/shapes", lr=SHAPES_LR, beta=BETA, gamma=GAMMA),
}

TABLE_3 = {
    "VAE": {"Kim": 0.63, "Eastwood": 0.30},
    "beta-VAE, beta = 4": {"Kim": 0.63, "Eastwood": 0.41},
    "beta-TCVAE, beta = 4": {"Kim": 0.62, "Eastwood": 0.29},
    TABLE_3_HFVAE: {"Kim": 0.63, "Eastwood": 0.39},
}

REPRODUCTIONS: dict[str, Reproduction] = {
    "hfvae/mnist": Reproduction(
        title="HFVAE on MNIST (Figures 4 and 5)",
        paper=PAPER.format("sections 5.1 and 5.3"),
        variants=MNIST,
        quantities=THICKNESS | QUANTITIES,
        reported={HFVAE: {"pruned": 3}},
        headline=[(HFVAE, "accuracy"), (HFVAE, "MIG"), (HFVAE, "pruned"), (HFVAE, "steady"), (BETA_VAE, "steady")],
        best=(HFVAE, "MIG"),
        claims=[
            Claim("HFVAE prunes 3 of 10 continuous units, and 7 are interpretable.", claims.prunes(HFVAE, 3)),
            Claim(
                "HFVAE encodes the digit in the type: I(y; c) is above every I(y; z_d).",
                above((HFVAE, "I(y; c)"), (HFVAE, "max I(y; z_d)")),
            ),
            Claim(
                "beta-VAE captures the digit less clearly, spread over its units.",
                above((HFVAE, "I(y; c)"), (BETA_VAE, "max I(y; z_d)")),
            ),
            Claim(
                "HFVAE keeps the digit over the whole range of the thickness unit, and beta-VAE does not.",
                above((HFVAE, "steady"), (BETA_VAE, "steady")),
            ),
        ],
        deviations=[
            NETWORKS,
            MASS,
            ESTIMATES,
            SHORTENED,
            "The beta and gamma of Figures 4 and 5 are not stated: gamma is that of Figure 6, right, and beta is 10, "
            "since a larger beta gives the type more information about the label. beta-VAE has no type, as in Table 2.",
            "The thickness unit is the one whose mean is most correlated with the image's ink, within digits; its "
            "traversals start from the first 50 test images, and the digit of an image is that of its nearest "
            "neighbours in pixels.",
        ],
        pictures=pictures.on_digits,
    ),
    "hfvae/fashion-mnist": Reproduction(
        title="HFVAE on Fashion-MNIST (Figure 4)",
        paper=PAPER.format("section 5.1"),
        variants={HFVAE: partial(on_images, recipe="hfvae/fashion-mnist", beta=DIGITS_BETA, gamma=GAMMA)},
        quantities=QUANTITIES,
        reported={HFVAE: {"pruned": 4}},
        headline=[(HFVAE, "accuracy"), (HFVAE, "MIG"), (HFVAE, "pruned")],
        best=(HFVAE, "MIG"),
        seeds={"full": 5, "short": 2},
        claims=[
            Claim("HFVAE prunes 4 of 10 continuous units.", claims.prunes(HFVAE, 4)),
            Claim(
                "The garment is in the type: I(y; c) is above every I(y; z_d).",
                above((HFVAE, "I(y; c)"), (HFVAE, "max I(y; z_d)")),
            ),
        ],
        deviations=[NETWORKS, MASS, ESTIMATES, SHORTENED, "beta and gamma are not stated: those of `hfvae/mnist`."],
        pictures=pictures.on_images,
    ),
    "hfvae/celeba": Reproduction(
        title="HFVAE on CelebA (Figure 8)",
        paper=PAPER.format("section 5.1, appendix"),
        variants={TABLE_3_HFVAE: partial(on_celeba, recipe="hfvae/celeba", beta=BETA, gamma=GAMMA)},
        quantities={name: QUANTITIES[name] for name in LABEL_FREE},
        headline=[(TABLE_3_HFVAE, "pruned")],
        seeds={"full": 3, "short": 1},
        deviations=[
            NETWORKS,
            MASS,
            ESTIMATES,
            "The network is the convolutional one that Joint-VAE has for 64 pixels. Short budget: 600 batches of 512.",
            "beta and gamma are not stated: those of Table 3. The features that the text names, orientation, smile and "
            "sunglasses, have to be judged by eye.",
        ],
        pictures=pictures.on_celeba,
    ),
    "hfvae/figure-6": Reproduction(
        title="HFVAE on MNIST over beta and gamma (Figure 6)",
        paper=PAPER.format("section 5.4"),
        variants=FIGURE_6,
        quantities=QUANTITIES,
        headline=[
            (name, quantity)
            for name in (EQUAL_WEIGHTS[0], EQUAL_WEIGHTS[-1])
            for quantity in ("I(x; z, c)", "TC", "MIG")
        ],
        seeds={"full": 50, "short": 3},
        claims=[
            Claim(
                "TC falls by 5 nats over gamma = beta = 2, 3, 4, 6.",
                falls_by("TC", EQUAL_WEIGHTS, 2.5, 10.0),
            ),
            Claim(
                "I(x; z, c) falls by 0.5 nats over the same range.",
                falls_by("I(x; z, c)", EQUAL_WEIGHTS, 0.0, 1.0),
            ),
            Claim(
                "Mutual information and total correlation are positively correlated.",
                correlated("I(x; z, c)", "TC", EQUAL_WEIGHTS),
            ),
            Claim(
                "At gamma = 3 the gap between I(y; c) and the largest I(y; z_d) grows with beta.",
                rising("MIG", OVER_BETA),
            ),
        ],
        deviations=[
            NETWORKS,
            MASS,
            ESTIMATES,
            SHORTENED,
            f"The caption states four of the seven values of gamma = beta, and none with gamma = 3: ours are {BETAS}. "
            "The paper does not state the number of datapoints for I(x; z, c) and TC; ours cannot exceed 9.21.",
        ],
        pictures=pictures.on_figure_6,
    ),
    "hfvae/figure-7": Reproduction(
        title="HFVAE on combinations of factors that it never saw (Figure 7)",
        paper=PAPER.format("section 5.5"),
        variants=UNSEEN,
        quantities=UNSEEN_QUANTITIES,
        headline=[
            (HFVAE, f"{combination.name}, {name}") for combination in COMBINATIONS for name in ("unseen", "seen")
        ],
        seeds={"full": 5, "short": 2},
        claims=[
            *(
                Claim(
                    f"The model trained without {combination.name} reconstructs them.",
                    near_share((HFVAE, f"{combination.name}, unseen"), (HFVAE, f"{combination.name}, seen"), 0.1),
                )
                for combination in COMBINATIONS
            ),
            *(
                Claim(
                    f"It encodes their feature correctly, beyond what it saw: {combination.name}.",
                    at_least((HFVAE, f"{combination.name}, told apart"), 0.9),
                )
                for combination in COMBINATIONS
            ),
        ],
        deviations=[
            NETWORKS,
            MASS,
            SHORTENED,
            "Pruned are the third of the 7s with the most ink and the narrowest third of the 0s, by the unit of a "
            "model of all digits whose mean is most correlated, within digits, with the ink or with its horizontal "
            "spread. Both are removed from the training set, and a second model is trained on the rest.",
            "The text has pictures but no numbers: the quantities here are ours.",
        ],
        pictures=pictures.on_unseen,
    ),
    "hfvae/sensitivity": Reproduction(
        title="HFVAE on MNIST: weights against seeds (appendix E)",
        paper=PAPER.format("section 5.1, appendix E"),
        variants=SENSITIVITY,
        quantities=QUANTITIES,
        headline=[(variant, "MIG") for variant in (next(iter(SENSITIVITY)), list(SENSITIVITY)[-1])],
        seeds={"full": 10, "short": 3},
        claims=[
            Claim(
                "A clean disentanglement of discrete and continuous variables is mostly a matter of the seed, rather "
                "than of the weights.",
                claims.seeds_matter_more("MIG", list(SENSITIVITY)),
            ),
        ],
        deviations=[
            NETWORKS,
            MASS,
            ESTIMATES,
            f"Short budget: {SENSITIVITY_EPOCHS} epochs in batches of {SHORT_BATCH}, three restarts. Appendix E is "
            "missing from the available text: the grid is ours, and so is the measure, the gap of section 5.4.",
        ],
        pictures=pictures.on_sensitivity,
    ),
    "hfvae/table-3": Reproduction(
        title="HFVAE and others on 2D Shapes (Table 3)",
        paper=PAPER.format("section 5.1"),
        variants=SHAPES,
        quantities={
            "Kim": Quantity("FactorVAE metric (Kim)", "high", 2),
            "Eastwood": Quantity("disentanglement by a random forest (Eastwood)", "high", 2),
            "reconstruction": Quantity("E[log p(x)] on the held-out images, nats", "high", 1),
            "KL of z": Quantity("KL of z, nats"),
            "KL of c": Quantity("KL of c, nats"),
        },
        reported=TABLE_3,
        headline=[(variant, quantity) for variant in SHAPES for quantity in ("Kim", "Eastwood")],
        seeds={"full": 10, "short": 3},
        claims=[
            Claim(
                "By Kim's metric HFVAE performs similarly to the others.",
                claims.similar("Kim", TABLE_3_HFVAE, list(SHAPES)[:-1]),
            ),
            Claim(
                "By Eastwood's metric HFVAE performs similarly to the others.",
                claims.similar("Eastwood", TABLE_3_HFVAE, list(SHAPES)[:-1]),
            ),
        ],
        deviations=[
            "Appendix C is missing from the available text: the network's widths are from memory, the rest is MNIST's; "
            f"the full budget's {SHAPES_STEPS:,} batches of 512 are as many images as disentanglement_lib's.",
            MASS,
            f"Short budget: {SHAPES_SHORT:,} batches of {SHAPES_BATCH}, hidden layers of {SHAPES_WIDTH} instead of "
            "1,200, the factors of matrix products in bfloat16 where the CPU supports it; three restarts, not ten.",
            f"Adam at 1e-3, for HFVAE at {SHAPES_LR:g}: at 1e-3 the KL of z grew without bound in each of three "
            "restarts, and the loss was not finite after 457, 491 and 688 steps of the short budget.",
            "VAE, beta-VAE and beta-TCVAE have no type, as in Table 2. HFVAE's codes for the metrics are the means of "
            "z and the probabilities of c.",
            "The metrics' settings are not stated: disentanglement_lib's for Kim's, the original code's for Eastwood's "
            "(10 trees), on 10,000 held-out images, 2 % of the set.",
        ],
    ),
}
