"""DIP-VAE's metric under other protocols: codes whose scores are known, what each protocol changes, the claims."""

from functools import partial

import numpy as np
import pytest

from tests.pictures import drawn, shown
from zoo.lab.data import Dataset, Split
from zoo.lab.plots import save_pictures
from zoo.lab.runs.finished import configure
from zoo.lab.trials.reproduction import Results
from zoo.lab.trials.trial import Trial, run_trial
from zoo.metrics import Encoded, higgins_svm
from zoo.metrics.known_answers import grid
from zoo.papers.dip_vae import measures, protocols
from zoo.papers.dip_vae.measures import FOR_EVERY_RUN, PROTOCOLS
from zoo.papers.dip_vae.protocols import CODES, RESCALED, standardised, under_protocols
from zoo.papers.recipes import RECIPES
from zoo.papers.reproductions import REPRODUCTIONS

METRIC = REPRODUCTIONS["dip-vae/metric"]
NAMES = {*PROTOCOLS, *RESCALED, "spread"}


def few_votes(codes, *, repeats, **settings):
    """The metric with the protocol's C, and at most 400 votes of 32 pairs."""
    votes = {"num_pairs": 32, "num_train": min(400, settings.get("num_train", 400)), "num_eval": 400}
    return higgins_svm(codes, repeats=repeats, **{**settings, **votes})


def test_ideal_codes_score_100_and_independent_ones_chance(monkeypatch):
    monkeypatch.setattr(measures, "higgins_svm", few_votes)
    table = grid(4, 4, 4, times=20)
    ideal = under_protocols(standardised(Encoded.of(table + 0.0, table)))
    assert ideal.keys() == NAMES
    # |difference| of the factor that is held is 0 in every vote, and of no other one
    assert all(ideal[name] == pytest.approx(100, abs=0.5) for name in (*PROTOCOLS, *RESCALED))
    assert ideal["spread"] == pytest.approx(max(ideal[n] for n in PROTOCOLS) - min(ideal[n] for n in PROTOCOLS))
    noise = np.random.default_rng(0).standard_normal((len(table), 10))
    # chance is 1 / 3: three repeats of 400 votes have a standard deviation of 100 sqrt(2 / 9 / 1200) = 1.4 points; that
    # a datapoint is drawn with itself is as probable for each factor, since all have classes of one size
    random = under_protocols(Encoded.of(noise, table))
    assert all(random[name] == pytest.approx(100 / 3, abs=4 * 1.4) for name in (*PROTOCOLS, *RESCALED))


def test_each_protocol_changes_what_it_names(monkeypatch):
    asked = []
    monkeypatch.setattr(measures, "higgins_svm", lambda codes, **settings: asked.append((codes, settings)) or 0.5)
    codes = Encoded.of(np.arange(24.0).reshape(12, 2), np.arange(12) % 3)
    assert under_protocols(codes) == dict.fromkeys(NAMES, 50.0) | {"spread": 0.0}
    settings = dict(zip((*PROTOCOLS, *RESCALED), (asked_one for _, asked_one in asked), strict=True))
    votes, pairs, weight = {"num_train": 1_000}, {"num_pairs": 200}, {"C": 1.0}
    assert settings["metric"] == settings["standardised"] == {"repeats": 3}  # the defaults, which are the text's C
    assert settings["1,000 votes"] == {"repeats": 3, **votes}
    assert settings["200 pairs"] == {"repeats": 3, **pairs}
    assert settings["C = 1, 1,000 votes"] == {"repeats": 3, **votes, **weight}
    assert settings["standardised, C = 1"] == {"repeats": 3, **weight}
    # 0.01 times the mean of 10,000 losses is 1e-6 times their sum
    assert settings["mean loss"] == {"repeats": 3, "C": pytest.approx(1e-6)}
    # every run of Table 1 is scored under some of them, and the tables have these
    assert all(
        REPRODUCTIONS[name].quantities.keys() >= set(FOR_EVERY_RUN) for name in ("dip-vae/shapes", "dip-vae/celeba")
    )
    scaled = [one for one, _ in asked if one is not codes]
    assert len(scaled) == 2
    assert all(one.codes.std(0) == pytest.approx(1) for one in scaled)


def test_standardised_codes_do_not_depend_on_scale_and_offset():
    rng = np.random.default_rng(0)
    codes, factors = rng.standard_normal((40, 3)), rng.integers(4, size=(40, 2))
    codes[:, 2] = 0.7  # a constant latent
    found = standardised(Encoded.of(codes, factors))
    assert found.codes[:, :2].std(0) == pytest.approx(1)
    assert found.codes[:, 2] == pytest.approx(0, abs=1e-12)
    again = standardised(Encoded.of(100 * codes - 3, factors))
    assert again.codes == pytest.approx(found.codes, abs=1e-12)
    assert (found.factors == Encoded.of(codes, factors).factors).all()


def test_codes_are_the_factors_or_the_components_of_the_pixels():
    rng = np.random.default_rng(0)
    factors = {"a": np.tile([-2.0, 5.0], 30), "b": np.repeat([0.0, 0.25, 1.0], 20)}
    x = (rng.standard_normal((60, 12)) * np.arange(1, 13)).astype(np.float32).reshape(60, 1, 3, 4)
    data = Dataset.from_arrays(x, factors=factors)
    assert (protocols.ideal(data).codes == np.stack([factors["a"], factors["b"]], axis=1)).all()
    assert protocols.independent(data, 3).codes.shape == (60, 10)
    components = protocols.principal_components(Split(data, data), 0)
    # the variances of the components are the ten largest eigenvalues of the pixels' covariance
    largest = np.linalg.eigvalsh(np.cov(x.reshape(60, 12), rowvar=False))[:1:-1]
    assert components.codes.var(0, ddof=1) == pytest.approx(largest, rel=1e-3)


@pytest.mark.usefixtures("_without_pictures", "_quick_pictures")
def test_a_short_run_of_it_all(tmp_path, monkeypatch):
    few = {"scale": [2, 5], "orientation": [0, 10], "posX": [*range(0, 32, 4)], "posY": [0, 9], "held_out": 0.5}
    monkeypatch.setattr(protocols, "SHORT", 3)
    monkeypatch.setattr(protocols, "configure", partial(configure, data_options=few))
    monkeypatch.setattr(measures, "higgins_svm", lambda codes, **chosen: few_votes(codes, **{**chosen, "repeats": 2}))
    small = partial(Trial.train, data_options=few, batch_size=16, width=8)
    monkeypatch.setattr(Trial, "train", lambda trial, recipe, **settings: small(trial, recipe, **settings))
    tried = {}
    for number, (variant, measure) in enumerate(CODES.items()):
        trial = Trial(0, "short", tmp_path / str(number), device="cpu", progress=False, recipes=RECIPES)
        assert run_trial(measure, trial) is None, variant
        assert trial.quantities().keys() == NAMES == METRIC.quantities.keys()
        tried[variant] = [trial]
    assert tried[protocols.IDEAL][0].quantities()["metric"] > tried[protocols.INDEPENDENT][0].quantities()["metric"]
    assert [tried[variant][0].record()["steps"] for variant in CODES] == [0] * 5 + [3] * 3
    captions = save_pictures(drawn(METRIC, tried), tmp_path / "pictures")
    assert captions.keys() == {"protocols.png"}
    assert shown(tmp_path / "pictures" / "protocols.png")


def test_every_claim_can_hold_and_can_fail():
    """Two seeds that agree; under one of the eight protocols something is changed."""
    scores = {"ideal": 100.0, "ideal, in the data set's units": 80.0, "random": 20.5, "PCA": 40.0}
    scores |= {"untrained encoder": 45.0, "VAE": 60.0, "DIP-VAE, lambda_od = 10": 70.0, "beta-VAE, beta = 60": 61.0}
    assert scores.keys() == CODES.keys()

    def verdicts(changed):
        rows = {v: dict.fromkeys([*PROTOCOLS, *RESCALED], score) for v, score in scores.items()}
        rows["VAE"]["spread"], rows["ideal, in the data set's units"]["standardised"] = 15.0, 100.0
        for variant, row in changed.items():
            rows[variant] |= row
        assert all(claim.own for claim in METRIC.claims)
        results = Results({variant: {0: row, 1: row} for variant, row in rows.items()})
        return [claim.check(results)[0] for claim in METRIC.claims]

    assert verdicts({}) == [True] * 7
    for number, changed in enumerate(
        (
            {"ideal": {"16 pairs": 94.0}},
            {"ideal, in the data set's units": {"metric": 96.0}},
            {"random": {"C = 1": 22.5}},
            {"VAE": {"spread": 9.0}},
            {"PCA": {"200 pairs": 61.0}},
            {"DIP-VAE, lambda_od = 10": {"1,000 votes": 59.0}},
            {"beta-VAE, beta = 60": {"C = 1, 1,000 votes": 59.0}},
        )
    ):
        assert verdicts(changed) == [place != number for place in range(7)]
