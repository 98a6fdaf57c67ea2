"""KL divergences against quadrature by hand, torch's own, and Monte Carlo."""

import math

import pyro.distributions as dist
import pytest
import torch
from torch.distributions import kl_divergence

from zoo.estimators import closed_kl, sampled_kl


def test_independent_normals_unit_by_unit():
    q = dist.Normal(torch.randn(3, 5), torch.rand(3, 5) + 0.1).to_event(1)
    p = dist.Normal(torch.zeros(3, 5), 2.0).to_event(1)
    m, s = q.mean, q.stddev
    by_hand = math.log(2) - s.log() + (s**2 + m**2) / 8 - 0.5
    torch.testing.assert_close(closed_kl(q, p), by_hand)


def test_a_full_rank_normal_from_independent_ones():
    loc, tril = torch.randn(4, 3), torch.randn(4, 3, 3).tril(-1) + torch.eye(3) * (torch.rand(4, 3, 1) + 0.2)
    q = dist.MultivariateNormal(loc, scale_tril=tril)
    p_loc, p_scale = torch.randn(3), torch.rand(3) + 0.5
    p = dist.Normal(p_loc, p_scale).to_event(1).expand([4])
    same = dist.MultivariateNormal(p_loc, scale_tril=p_scale.diag()).expand([4])
    torch.testing.assert_close(closed_kl(q, p), kl_divergence(q, same).unsqueeze(-1))


def test_relaxed_categoricals_by_the_categoricals_underneath():
    # q = (1/2, 1/4, 1/4), p = uniform: KL = log 3 - 3/2 log 2, at every temperature
    logits = torch.tensor([0.5, 0.25, 0.25]).log() + 7.0
    for temperature in (0.1, 10.0):
        q = dist.RelaxedOneHotCategorical(torch.tensor(temperature), logits=logits)
        p = dist.RelaxedOneHotCategorical(torch.tensor(0.67), logits=torch.zeros(3))
        assert closed_kl(q, p).tolist() == pytest.approx([math.log(3) - 1.5 * math.log(2)])
    assert closed_kl(dist.OneHotCategorical(logits=logits), p).tolist() == pytest.approx(
        [math.log(3) - 1.5 * math.log(2)]
    )


def test_a_confident_categorical_reaches_log_k_and_no_more():
    q = dist.RelaxedOneHotCategorical(torch.tensor(0.67), logits=torch.tensor([800.0, 0.0, 0.0, 0.0]))
    p = dist.RelaxedOneHotCategorical(torch.tensor(0.67), logits=torch.zeros(4))
    assert closed_kl(q, p).item() == pytest.approx(math.log(4))


def test_dirichlets():
    # KL(Dir(2, 1) || Dir(1, 1)) = log 2 + E[log pi_1] = log 2 + digamma(2) - digamma(3) = log 2 - 1/2
    q, p = dist.Dirichlet(torch.tensor([2.0, 1.0])), dist.Dirichlet(torch.ones(2))
    assert closed_kl(q, p).tolist() == pytest.approx([math.log(2) - 0.5])


@pytest.mark.parametrize(
    ("q", "p"),
    [
        (dist.Normal(torch.tensor([0.3, -1.0]), 0.7).to_event(1), dist.Normal(torch.zeros(2), 1.0).to_event(1)),
        (
            dist.MultivariateNormal(torch.ones(2), scale_tril=torch.tensor([[1.0, 0.0], [0.8, 0.3]])),
            dist.Normal(torch.zeros(2), 1.0).to_event(1),
        ),
        (dist.Dirichlet(torch.tensor([2.0, 3.0, 1.5])), dist.Dirichlet(torch.ones(3))),
    ],
    ids=["normal", "full-rank", "dirichlet"],
)
def test_the_sampled_kl_averages_to_the_closed_one(q, p):
    value = q.sample((40_000,))
    sampled = sampled_kl(q.expand((40_000,)), p.expand((40_000,)), value)
    error = sampled.std(0) / 200
    assert ((sampled.mean(0) - closed_kl(q, p)).abs() < 5 * error).all()


def test_the_sampled_kl_is_per_unit_where_both_factorise():
    q = dist.Normal(torch.randn(3, 5), 1.0).to_event(1)
    p = dist.Normal(torch.zeros(3, 5), 1.0).to_event(1)
    z = q.sample()
    torch.testing.assert_close(sampled_kl(q, p, z), -((z - q.mean) ** 2) / 2 + z**2 / 2)
    coupled = dist.MultivariateNormal(torch.zeros(3, 5), scale_tril=torch.eye(5))
    assert sampled_kl(q, coupled, z).shape == (3, 1)


def test_what_has_no_closed_form_says_so():
    with pytest.raises(NotImplementedError):
        closed_kl(dist.StudentT(3.0), dist.Normal(0.0, 1.0))


def test_a_prior_with_more_batch_dimensions_than_the_posterior():
    # q is the datapoint's, p one of 3 classes': the KL of every class, unit by unit.
    q = dist.Normal(torch.randn(5, 2), torch.rand(5, 2) + 0.1).to_event(1)
    loc = torch.randn(3, 1, 2)
    p = dist.Normal(loc, 1.0).to_event(1).expand([3, 5])
    by_hand = 0.5 * (q.mean - loc).square() + 0.5 * q.variance - 0.5 - q.stddev.log()
    torch.testing.assert_close(closed_kl(q, p), by_hand)
    # and the other way round, a conditional posterior of a plain prior
    assert closed_kl(p, q).shape == (3, 5, 2)


@pytest.mark.parametrize(("q_batch", "p_batch"), [((), ()), ((5,), ()), ((), (5,)), ((4, 5), (5,)), ((5,), (4, 5))])
def test_both_kls_have_one_shape_whatever_the_batches(q_batch, p_batch):
    q = dist.Normal(torch.zeros(*q_batch, 2), 1.0).to_event(1)
    p = dist.Normal(torch.zeros(*p_batch, 2), 2.0).to_event(1)
    shape = torch.Size([*max(q_batch, p_batch, key=len), 2])
    assert closed_kl(q, p).shape == sampled_kl(q, p, q.sample()).shape == shape
