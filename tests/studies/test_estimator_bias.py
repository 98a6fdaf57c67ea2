"""What the table of estimators claims, on sets small enough to sum."""

import itertools
import math
import re
from functools import cache

import pytest
import torch

from zoo.estimators import log_weights
from zoo.studies import estimator_bias
from zoo.studies.estimator_bias import (
    SmallTerms,
    Toy,
    bias_rows,
    closed_form,
    density_ratio_table,
    draw_toy,
    equicorrelated,
    estimate,
    summed,
)

ESTIMATORS = ["stratified", "weighted", "minibatch-stratified", "batch"]
SD = 0.3


def toy(num_data=600, size=4, correlation=0.5):
    return draw_toy(num_data, equicorrelated(size, correlation), SD)


def log_densities(means, z):
    """log Normal(z_i | mu_j, SD), [S, N, D]."""
    return -0.5 * ((z.unsqueeze(1) - means) / SD) ** 2 - math.log(SD * math.sqrt(2 * math.pi))


def drawn(toy, batch_size, seed):
    """The draws of `estimate`, made again."""
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randperm(len(toy.means), generator=generator)[:batch_size]
    z = toy.means[rows] + SD * torch.randn(batch_size, toy.means.shape[1], generator=generator)
    return rows, z


# The exact values.


def test_the_closed_form_of_two_units_by_hand():
    # C = [[1 + s^2, r], [r, 1 + s^2]]: TC = -1/2 log(1 - (r / (1 + s^2))^2), and |C| = (1 + s^2)^2 - r^2
    total_correlation, information = closed_form(equicorrelated(2, 0.8), SD)
    assert total_correlation == pytest.approx(-0.5 * math.log(1 - (0.8 / 1.09) ** 2))
    assert information == pytest.approx(0.5 * math.log((1.09**2 - 0.64) / SD**4))


def test_units_without_correlation_are_channels_side_by_side():
    # each unit is a Gaussian channel with capacity 1/2 log(1 + signal / noise)
    total_correlation, information = closed_form(equicorrelated(5, 0.0), SD)
    assert total_correlation == pytest.approx(0, abs=1e-12)
    assert information == pytest.approx(5 * 0.5 * math.log(1 + 1 / SD**2))


def test_the_sum_against_a_loop():
    small = toy(num_data=7, size=2)
    rows, z = drawn(small, 7, seed=0)
    correlations, informations = [], []
    for i in range(7):
        densities = [
            [math.exp(-0.5 * ((z[i, d] - mu[d]) / SD) ** 2) / (SD * math.sqrt(2 * math.pi)) for d in range(2)]
            for mu in small.means
        ]
        q = sum(a * b for a, b in densities) / 7
        q_0, q_1 = (sum(density[d] for density in densities) / 7 for d in range(2))
        correlations.append(math.log(q / (q_0 * q_1)))
        informations.append(math.log(math.prod(densities[rows[i]]) / q))
    (total_correlation, information), errors = summed(small, 7)
    assert total_correlation == pytest.approx(sum(correlations) / 7)
    assert information == pytest.approx(sum(informations) / 7)
    assert errors[1] == pytest.approx(torch.tensor(informations).std().item() / math.sqrt(7))


def test_the_sum_tends_to_the_closed_form():
    many = toy(num_data=3000, size=2)
    means, errors = summed(many, 3000)
    for term, limit, error in zip(means, closed_form(equicorrelated(2, 0.5), SD), errors, strict=True):
        assert abs(term - limit) < 4 * error + 0.03  # the 3,000 means' own covariance is off by about 1/sqrt(3000)
        assert error < 0.04


def test_where_information_nears_log_n_the_closed_form_is_of_no_use():
    # A finite set saturates: I is at most log N, and what it lacks the total correlation gains, since the marginals
    # q(z_d) hardly change: TC + I = E log q(z | x) - sum_d E log q(z_d).
    cov = equicorrelated(10, 0.4)
    (total_correlation, information), errors = summed(draw_toy(600, cov, SD), 600)
    limit = closed_form(cov, SD)
    assert information < math.log(600) < limit.mutual_information
    assert total_correlation > limit.total_correlation + 2
    assert abs(total_correlation + information - sum(limit)) < 4 * errors.total_correlation + 0.3


# The estimators.


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_an_estimate_against_a_loop(estimator):
    small = toy(num_data=40, size=2)
    rows, z = drawn(small, 5, seed=3)
    weights = log_weights(5, 40, estimator).exp()
    densities = log_densities(small.means[rows], z).exp()
    correlation, information = 0.0, 0.0
    for i in range(5):
        q = sum(weights[i, j] * densities[i, j].prod() for j in range(5))
        q_units = [sum(weights[i, j] * densities[i, j, d] for j in range(5)) for d in range(2)]
        correlation += math.log(q / math.prod(q_units)) / 5
        information += math.log(densities[i, i].prod() / q) / 5
    ours = estimate(small, 5, estimator, seed=3)
    assert ours == pytest.approx((correlation, information))


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_the_expected_estimate_of_q(estimator):
    # One z from datapoint 0 and 4,000 batches of 8 others that go with it. The stratified estimators are unbiased for
    # q(z); the batch gives the own density, by far the largest, the weight 1/B instead of 1/N; weighted is 1/N of it.
    data = toy(num_data=100, size=2)
    B, N = 9, 100
    z = data.means[:1] + SD * torch.randn(1, 2)
    density = log_densities(data.means, z).sum(-1).exp().squeeze(0)
    own, others = density[0], density[1:].mean()
    weights = log_weights(B, N, estimator).exp()[0]
    batches = [torch.cat([torch.zeros(1).long(), 1 + torch.randperm(N - 1)[: B - 1]]) for _ in range(4000)]
    estimates = (density[torch.stack(batches)] * weights).sum(-1)
    of_batch = (own + (B - 1) * others) / B
    expected = {"batch": of_batch, "weighted": of_batch / N}.get(estimator, density.mean())
    error = estimates.std().item() / math.sqrt(4000)
    assert estimates.mean().item() == pytest.approx(expected.item(), abs=4 * error)
    assert abs(of_batch - density.mean()) > 10 * error  # so that the cases differ


@pytest.mark.parametrize("estimator", ["stratified", "minibatch-stratified"])
@pytest.mark.parametrize("batch_size", [64, 1024])
def test_weights_sum_to_one_at_the_sizes_of_the_table(estimator, batch_size):
    rows = log_weights(batch_size, 20_000, estimator).exp().sum(-1)
    torch.testing.assert_close(rows, torch.ones(batch_size))


@cache
def larger():
    """A set and its exact terms, which three estimators are compared with."""
    data = toy(num_data=1500, size=6)
    return data, summed(data, 1500)[0]


@cache
def mean_bias(toy, truth, estimator, batch_size, seeds=10):
    ours = torch.tensor([estimate(toy, batch_size, estimator, seed=seed) for seed in range(seeds)]).mean(0)
    return (ours - torch.tensor(truth)).tolist()


def test_the_biases_are_ordered_as_the_table_has_them():
    data, truth = larger()
    for B in (32, 128):
        bias = {estimator: mean_bias(data, truth, estimator, B) for estimator in ESTIMATORS}
        correlation = {estimator: value[0] for estimator, value in bias.items()}
        information = {estimator: value[1] for estimator, value in bias.items()}
        # Jensen: the log of an unbiased estimate of q is low, so I is high; with 1/B for the own density I <= log B.
        assert information["batch"] < 0 < information["stratified"]
        assert truth.mutual_information + information["batch"] < math.log(B)
        for terms in (correlation, information):
            stratified = abs(terms["stratified"])
            assert stratified < abs(terms["batch"])
            assert terms["minibatch-stratified"] == pytest.approx(terms["stratified"], abs=0.15)
            assert max(stratified, abs(terms["batch"])) < abs(terms["weighted"])
        # 1 / (N B) instead of 1 / B takes log N from log q(z) and from each of the log q(z_d)
        assert information["weighted"] - information["batch"] == pytest.approx(math.log(1500))
        assert correlation["weighted"] - correlation["batch"] == pytest.approx(5 * math.log(1500))


@pytest.mark.parametrize("estimator", ["stratified", "minibatch-stratified", "batch"])
def test_larger_batches_are_nearer_the_truth(estimator):
    # Not so the stratified TC, log q(z) less sum_d log q(z_d): both are low, and at small B they may happen to cancel.
    data, truth = larger()
    small, large = (mean_bias(data, truth, estimator, B) for B in (32, 256))
    assert abs(large[1]) < abs(small[1])
    if estimator == "batch":
        assert abs(large[0]) < abs(small[0])


# The table.


def test_the_table_shows_every_estimator_at_two_batch_sizes_on_two_sets(monkeypatch):
    rows = [[64, estimator, 1.0, 2.0, 1.0, 0.25, 3.0, 2.5, -0.5, 0.125] for estimator in ESTIMATORS]
    monkeypatch.setattr(estimator_bias, "bias_rows", lambda *_, **__: rows)
    monkeypatch.setattr(estimator_bias, "summed", lambda *_: (SmallTerms(1.0, 3.0), SmallTerms(0.1, 0.1)))
    lines = [line.split() for line in estimator_bias.estimator_table(3).splitlines()]
    for estimator in ESTIMATORS:
        row = ["64", estimator, "1.00", "2.00", "+1.00", "0.25", "3.00", "2.50", "-0.50", "0.12"]
        assert lines.count(row) == 4


def test_a_row_holds_exact_mean_bias_and_spread():
    data = toy(num_data=50, size=2)
    truth, _ = summed(data, 50)
    rows = bias_rows(data, truth, batch_size=10, seeds=3)
    assert [row[:2] for row in rows] == [[10, estimator] for estimator in ESTIMATORS]
    by_seed = torch.tensor([estimate(data, 10, "batch", seed=seed) for seed in range(3)])
    expected = []
    for term in range(2):
        mean, spread = by_seed[:, term].mean().item(), by_seed[:, term].std().item()
        expected += [truth[term], mean, mean - truth[term], spread]
    assert rows[3][2:] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: bias_rows(toy(), closed_form(equicorrelated(4, 0.5), SD), batch_size=8, seeds=1), "two seeds or more"),
        (lambda: summed(Toy(torch.zeros(5, 2), SD), 6), "num_samples must be from 2 to the 5 datapoints, got 6"),
        (lambda: estimate(toy(), 601, "batch", seed=0), "num_data = 600 is less than the batch of 601"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_the_density_ratio_comes_to_the_smooth_total_correlation_from_nothing():
    # A small set and a small network: log D - log(1 - D) starts at about 0 and rises towards the closed form, well
    # below what the spikes of 2,000 narrow posteriors have.
    printed = density_ratio_table(steps=(0, 150), num_data=2_000, hidden=(64, 64), lr=8e-3, batch_size=256)
    limit, summed_up = map(float, re.search(r"infinity (\d\.\d+), .* all N (\d\.\d+)", printed).groups())
    (_, start), (_, end) = re.findall(r"^ +(\d+) +(-?\d\.\d+) ", printed, flags=re.MULTILINE)
    assert abs(float(start)) < 0.2
    assert 0.5 * limit < float(end) < 1.3 * limit < summed_up


def test_steps_that_do_not_rise_are_refused():
    """Before: the row of 10 steps showed what 30 steps gave."""
    for steps in ((30, 10), (0, 10, 10)):
        with pytest.raises(ValueError, match=rf"steps must rise, .*, got {re.escape(str(steps))}"):
            density_ratio_table(steps=steps, num_data=4, batch_size=2, hidden=(2,))


def test_the_density_ratio_is_measured_on_draws_that_it_was_not_trained_on(monkeypatch):
    """Before: with seed 2 these were the first batch, and the batches of all seeds were the same."""
    draw, seen = estimator_bias._draw, []

    def kept(*args):
        seen.append(draw(*args))
        return seen[-1]

    monkeypatch.setattr(estimator_bias, "_draw", kept)

    def run(seed):
        seen.clear()
        printed = density_ratio_table(steps=(0, 3), num_data=300, batch_size=300, hidden=(3,), seed=seed)
        _, fresh, *batches = (rows for rows, _ in seen)  # after those of the exact value
        assert len(batches) == 3
        return printed, fresh, batches

    firsts = []
    for seed in (0, 1, 2):
        printed, fresh, batches = run(seed)
        assert run(seed)[0] == printed
        alike = [torch.equal(a, b) for a, b in itertools.combinations([fresh, *batches], 2)]
        assert not any(alike)
        firsts.append(batches[0])
    assert not any(torch.equal(a, b) for a, b in itertools.combinations(firsts, 2))
