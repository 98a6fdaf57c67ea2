"""What results look like when a cell or a prompt shows them: short text, and a table in a notebook."""

import pyro
import torch

from tests.pairs import SHAPE, vae_pair
from zoo.elbos import BetaVAE
from zoo.tables import as_html, as_text


def test_a_table_is_a_title_and_a_line_for_each_row():
    rows = [("x", "1"), ("a <b>", "2")]
    assert as_text("all", rows) == "all\n  x 1\n  a <b> 2"
    assert as_html("p < q", rows) == (
        "<table><tr><th colspan=2>p &lt; q</th></tr>"
        "<tr><td>x</td><td>1</td></tr><tr><td>a &lt;b&gt;</td><td>2</td></tr></table>"
    )


def test_a_report_shows_the_weighted_terms_and_the_unweighted_parts():
    pyro.set_rng_seed(0)
    objective = BetaVAE(beta=3.0)
    loss = objective.loss(*vae_pair(), torch.rand(4, *SHAPE))
    report = objective.report()
    reconstruction, kl = report.reconstruction["x"].item(), report.kl["z"].sum().item()
    rows = {
        "log p(x)": reconstruction,
        "-KL(z)": -3 * kl,
        "sum of these terms, which training maximises": -loss,
        "reconstruction of x, unweighted": reconstruction,
        "KL of z, unweighted": kl,
        "ELBO, unweighted": reconstruction - kl,
    }
    assert repr(report).splitlines() == ["nats per datapoint", *(f"  {name} {nats:.3f}" for name, nats in rows.items())]
    assert f"<td>KL of z, unweighted</td><td>{kl:.3f}</td>" in report._repr_html_()
