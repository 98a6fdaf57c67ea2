"""Every objective, with settings that make each term matter."""

from tests.pairs import NUM_DATA
from zoo.elbos import (
    DIPVAE,
    DIPVAEI,
    DIPVAEII,
    HFVAE,
    AnchoredCorEx,
    BetaTCVAE,
    BetaVAE,
    Capacity,
    Decomposition,
    FactorVAE,
    InformationDropout,
    InfoVAE,
    PlainELBO,
    TypeInformation,
)

EVERY = {
    "PlainELBO": lambda: PlainELBO(),
    "BetaVAE": lambda: BetaVAE(beta=4.0),
    "Capacity": lambda: Capacity(gamma=3.0, capacity=1.0),
    "BetaTCVAE": lambda: BetaTCVAE(beta=4.0, num_data=N),
    "HFVAE": lambda: HFVAE(alpha=2.0, beta=3.0, gamma=4.0, num_data=N),
    "DIPVAE": lambda: DIPVAE(lambda_od=2.0, lambda_d=20.0, rate=0.1),
    "DIPVAEI": lambda: DIPVAEI(lambda_od=2.0, lambda_d=20.0),
    "DIPVAEII": lambda: DIPVAEII(lambda_od=2.0, lambda_d=20.0),
    "InfoVAE-kl": lambda: InfoVAE(alpha=0.5, lambda_=2.0, divergence="kl", num_data=N),
    "InfoVAE-mmd": lambda: InfoVAE(alpha=0.5, lambda_=2.0, divergence="mmd-joint", num_data=N),
    "AnchoredCorEx": lambda: AnchoredCorEx(lambda_=0.5, anchors={"z": [1]}, num_data=N),
    "InformationDropout": lambda: InformationDropout(beta=2.0, gamma=3.0, num_data=N),
    "FactorVAE": lambda: FactorVAE(gamma=2.0, log_ratio=lambda z: z.square().sum(-1)),
    "Decomposition-kl": lambda: Decomposition(alpha=1.0, beta=2.0, divergence="kl"),
    "Decomposition-mmd": lambda: Decomposition(alpha=1.0, beta=2.0, divergence="mmd-marginal"),
}


def type_information(smoothness=7.0):
    """For pairs with a type."""
    return TypeInformation(gamma={"z": 3.0}, capacity={"z": 0.5}, information=2.0, balance=5.0, smoothness=smoothness)


N = NUM_DATA
