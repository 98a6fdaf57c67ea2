"""Joint-VAE's claims about its figures, as checks on reproduced results."""

from zoo.lab.trials.claims import Comparison, Verdict, above, exceeds, near, on_seeds
from zoo.lab.trials.reproduction import Results

JOINT_VAE = "Joint-VAE"


def best_accuracy_reaches(percent: float) -> Comparison:
    """The best seed's majority vote reaches the paper's, which is that of one selected run."""

    def decide(results: Results) -> Verdict:
        values = results.values(JOINT_VAE, "majority")
        return True if max(values) >= percent else exceeds(values, [percent, percent])

    return Comparison(((JOINT_VAE, "majority"),), decide, f"Holds where the best seed reaches {percent:g} %.")


def at_capacity(site: str, nats: float, within: float) -> Comparison:
    """A site's KL on the test set ends at its capacity."""
    return near((JOINT_VAE, f"KL of {site}"), nats, within)


def type_first() -> Comparison:
    """c is the first unit to hold more than 0.1 nats."""
    return on_seeds((JOINT_VAE, "found first"), lambda place: place == 1, "Holds for first place in every seed.")


def capacity_exceeded_at_low_gamma() -> Comparison:
    """z exceeds its capacity by at least half a nat more with a low gamma."""
    return above(("gamma = 3", "overshoot of z"), ("gamma = 30", "overshoot of z"), plus=0.5)


def finds_all(variant: str) -> Comparison:
    """Every seed's types find each of the ten labels."""
    return on_seeds((variant, "labels found"), lambda found: found == 10, "Holds for ten labels in every seed.")


def misses_labels() -> Comparison:
    """No seed's types find all ten labels."""
    return on_seeds((JOINT_VAE, "labels found"), lambda found: found < 10, "Holds for fewer than ten in every seed.")


def more_accurate(variant: str) -> Comparison:
    """The variant's majority vote is higher than that of the paper's settings."""
    return above((variant, "majority"), (JOINT_VAE, "majority"))
