"""The suite on data sets with factors, with labels alone, and with neither."""

import json
import math
import sys

import numpy as np
import pytest
import torch
from torch.distributions import Independent, Normal, OneHotCategorical

from zoo.lab.data import Dataset, load
from zoo.metrics import Suite, factor_vae, information_of_means, mig, mig_aggregate, suite
from zoo.metrics.suite import METRICS


def encoder(x: torch.Tensor) -> Independent:
    """Where the sprite is and how large, by its moments: [B, 3]."""
    mass = x.sum((1, 2, 3))
    along = torch.arange(x.shape[-1], dtype=x.dtype)
    across, down = x.sum((1, 2)) @ along / mass, x.sum((1, 3)) @ along / mass
    return Independent(Normal(torch.stack([across, down, 8 * mass.sqrt()], dim=1) / 64, 0.01), 1)


@pytest.fixture(scope="module")
def sprites() -> Dataset:
    torch.set_default_dtype(torch.float64)
    coarse = {"shape": [0], "scale": [0, 5], "orientation": [0], "posX": range(0, 32, 4), "posY": range(0, 32, 4)}
    return load("shapes", **coarse).train


def keep(monkeypatch: pytest.MonkeyPatch, few: set[str]) -> None:
    """Leaves these metrics in the suite."""
    # The module by its full name: the package exports the function of the same name.
    kept = {name: metric for name, metric in METRICS.items() if name in few}
    monkeypatch.setattr(sys.modules["zoo.metrics.suite"], "METRICS", kept)


def test_an_encoder_and_a_data_set_are_all_that_a_metric_needs(sprites):
    # the centre of mass tells the place and nothing else, the mass of a square its scale
    told = information_of_means(encoder, sprites)
    assert (told.axes[0], told.axes[1]) == (("scale", "posX", "posY"), ("z_0", "z_1", "z_2"))
    assert told.value[[1, 2, 0], [0, 1, 2]].tolist() == pytest.approx([math.log(8), math.log(8), math.log(2)])
    result = factor_vae(encoder, sprites, prune=0.01, num_train=300, num_eval=200)
    assert float(result) == 1.0
    assert result.protocol["factors"] == {"scale": 2, "posX": 8, "posY": 8}
    assert result.protocol["constant_factors"] == {"shape": 0, "orientation": 0}
    assert result.protocol["num_points"] == 128


def test_the_suite_encodes_once_and_writes_what_it_found(sprites, tmp_path, monkeypatch):
    seen = []

    def counted(x: torch.Tensor) -> Independent:
        seen.append(len(x))
        return encoder(x)

    few = {"mig", "mig_aggregate", "dci_lasso", "neighbours", "mig_unnormalised"}
    keep(monkeypatch, few)
    results = suite(counted, sprites, num_points=100, batch_size=40, repeats=2, progress=False)
    assert seen == [40, 40, 20]
    assert list(results) == [
        "dci_lasso_disentanglement",
        "dci_lasso_completeness",
        "dci_lasso_informativeness",
        "mig",
        "mig_aggregate",
        "neighbours",
    ]
    assert list(results.inapplicable) == ["mig_unnormalised"]
    results.write_json(tmp_path / "metrics.json")
    read = json.loads((tmp_path / "metrics.json").read_text())
    assert read["results"]["mig"]["value"] == float(results["mig"])
    assert read["results"]["mig"]["protocol"]["num_bins"] == 20
    assert np.shape(read["results"]["neighbours"]["value"]) == (3, 3)
    assert "the units are" in read["inapplicable"]["mig_unnormalised"]
    assert set(read["seconds"]) == {"encode", *few}
    table = results.table()
    assert f"{float(results['mig']):.3f}" in table
    assert "posX" in table
    assert "left out: MIG (unnormalised)" in table


def test_a_metric_alone_gives_what_the_suite_gives(monkeypatch):
    rng = np.random.default_rng(0)
    y = np.arange(60) % 3
    q = Independent(Normal(torch.from_numpy(rng.standard_normal((60, 2)) + y[:, None]), 0.5), 1)
    keep(monkeypatch, {"mig", "mig_aggregate"})
    results = suite(q, y, repeats=2, seed=5, progress=False)
    assert results["mig_aggregate"].runs.tolist() == mig_aggregate(q, y, repeats=2, seed=5).runs.tolist()
    assert results["mig"].runs.tolist() == mig(q, y, repeats=2, seed=5).runs.tolist()


def all_of(codes: object, data: object) -> Suite:
    return suite(codes, data, repeats=2, progress=False)  # type: ignore[arg-type]


def test_labels_stand_in_for_factors_and_a_discrete_site_for_hfvae_s_c():
    rng = np.random.default_rng(0)
    y = np.arange(60) % 3
    data = Dataset.from_arrays(rng.random((60, 4)), y)

    def two_sites(x: torch.Tensor) -> dict[str, torch.distributions.Distribution]:
        return {
            "z": Independent(Normal(x[:, :2], 0.1), 1),
            "c": OneHotCategorical(x[:, 1:].softmax(-1)),
        }

    results = all_of(two_sites, data)
    assert results["mig"].protocol["factors"] == {"label": 3}
    assert results["mig_unnormalised"].axes == (("label",),)
    assert results["information_about_data_by_latent"].axes == (("z_0", "z_1", "c"),)
    # what tells factors apart has nothing to tell, and there is no attribute of two classes
    apart = {"higgins_svm", "higgins_logistic", "factor_vae", "dci_forest", "dci_lasso", "neighbours", "modularity"}
    assert set(results.inapplicable) == {*apart, "attribute_accuracy"}


def test_codes_alone_have_what_needs_no_factor():
    results = all_of(np.random.default_rng(0).standard_normal((30, 3)), None)
    assert set(results) == {
        "hoyer",
        "total_correlation_gaussian",
        "wasserstein_correlation",
        "wasserstein_correlation_normed",
        "information_among_codes",
        "latent_correlations",
    }
    assert set(results) | set(results.inapplicable) == set(METRICS)


@pytest.mark.filterwarnings("error")
def test_a_collapsed_encoder_is_scored_and_not_divided_by_zero(tmp_path):
    y = np.stack([np.arange(120) % 2, np.arange(120) // 2 % 3], axis=1)
    collapsed = Independent(Normal(torch.zeros(120, 3), 1.0), 1)
    results = all_of(collapsed, y)
    for name in ("factor_vae", "mig", "sap", "dci_forest_disentanglement", "dci_forest_completeness", "irs"):
        assert float(results[name]) == 0.0, name
    assert float(results["information_about_data"]) == pytest.approx(0.0, abs=1e-12)
    assert float(results["mig_aggregate"]) == pytest.approx(0.0, abs=1e-12)
    assert set(results.inapplicable) == {
        "mig_unnormalised",
        "clusters",
        "hoyer",
        "total_correlation_gaussian",
        "wasserstein_correlation",
        "wasserstein_correlation_normed",
        "latent_correlations",
        "factor_correlations",
        "neighbours",
    }
    results.write_json(tmp_path / "metrics.json")
    assert np.isfinite([float(r.value.max()) for r in results.values()]).all()


def test_a_constant_factor_of_bytes_can_be_written(monkeypatch, tmp_path):
    monkeypatch.setattr(sys.modules["zoo.metrics.suite"], "METRICS", {"mig": mig})
    z, y = np.random.default_rng(0).standard_normal((200, 2)), np.arange(200) % 2
    suite(z, {"y": y, "where": np.full(200, b"here")}, repeats=2).write_json(tmp_path / "scores.json")
    assert '"where": "here"' in (tmp_path / "scores.json").read_text()
