"""N-VAE's claims, each with numbers for which it holds and others for which it does not."""

from zoo.lab.trials.claims import NOT_RUN
from zoo.lab.trials.reproduction import Results
from zoo.papers.natural_clustering import claims
from zoo.papers.natural_clustering.augmentation import MODELS, error_at, key
from zoo.papers.natural_clustering.labels import with_shared, wrong_at
from zoo.papers.natural_clustering.measures import with_decoder


def agreeing(**variants):
    """Two seeds that agree, by variant: quantities, or one number for the KL of the right class's units."""
    rows = {v: value if isinstance(value, dict) else {"KL of z_cy": value} for v, value in variants.items()}
    return Results({variant: {0: row, 1: row} for variant, row in rows.items()})


def kl(own, shared, effect=0.2):
    return {"KL of z_cy": own, "KL of a unit of z_s": shared, "effect of z_c": effect, "effect of z_s": 0.2}


def test_units_by_class_and_shared_ones():
    holds = agreeing(**{"Fashion-MNIST": kl(2.0, 1.0), "MNIST": kl(0.6, 2.0), "Yale B": kl(0.01, 3.0, 0.001)})
    fails = agreeing(**{"Fashion-MNIST": kl(0.5, 1.0), "MNIST": kl(0.6, 0.05), "Yale B": kl(0.3, 3.0, 0.001)})
    for claim in (claims.fashion_own_above_shared, claims.yale_empty, claims.both_kinds, claims.fashion_most):
        assert claim()(holds)[0] is True
        assert claim()(fails)[0] is False
        assert claim()(Results({})) == (None, NOT_RUN)
    still_moves = agreeing(**{"Yale B": kl(0.01, 3.0, 0.05)})
    assert claims.yale_empty()(still_moves)[0] is False


def test_the_most_of_three_sets_says_nothing_of_the_other_two():
    """Before: it did not hold where Yale B had more than MNIST, of which the paper's sentence does not speak."""
    for mnist, yale in ((0.6, 0.01), (0.01, 0.6), (0.3, 0.3)):
        assert claims.fashion_most()(agreeing(**{"Fashion-MNIST": 2.0, "MNIST": mnist, "Yale B": yale}))[0] is True
        assert claims.fashion_most()(agreeing(**{"Fashion-MNIST": 0.5, "MNIST": mnist, "Yale B": yale}))[0] is (
            max(mnist, yale) < 0.5
        )


def test_linear_decoders():
    def found(fashion, mnist, shallow):
        rows = {"Fashion-MNIST": fashion, "MNIST": mnist}
        table = {with_decoder(data, 0, 2): row for data, row in rows.items()}
        table |= {with_decoder(data, 1, 2): kl(shallow, 2.0) for data in rows}
        checks = (claims.linear_own_above_shared, claims.linear_fashion_above_mnist, claims.linear_holds_more)
        return [check(2)(agreeing(**table))[0] for check in checks]

    assert found(kl(3.0, 2.0), kl(2.5, 2.0), 1.0) == [True, True, True]
    assert found(kl(2.0, 3.0), kl(2.5, 2.0), 2.2) == [False, False, False]
    assert claims.linear_holds_more(4)(Results({})) == (None, NOT_RUN)


def test_wrong_classes_are_empty_where_the_right_one_is_not():
    def found(**others):
        return claims.others_empty()(agreeing(**{"Yale B": {"KL of z_cy": 0.01, "KL of others": 0.01}, **others}))[0]

    fine = {"KL of z_cy": 0.6, "KL of others": 0.05}
    assert found(MNIST=fine, **{"Fashion-MNIST": fine}) is True
    assert found(MNIST=fine, **{"Fashion-MNIST": {"KL of z_cy": 0.6, "KL of others": 0.07}}) is False


def test_choices():
    assert claims.bias_saves()(agreeing(**{"MNIST, no bias": 1.6, "MNIST": 0.6}))[0] is True
    assert claims.bias_saves()(agreeing(**{"MNIST, no bias": 0.5, "MNIST": 0.6}))[0] is False
    for four, expected in ((0.80, True), (0.74, False), (1.26, False)):
        assert claims.insensitive()(agreeing(**{"MNIST, beta_c = 2": 1.0, "MNIST, beta_c = 4": four}))[0] is expected
    for shared, expected in ((0.2, True), (0.7, False)):
        table = {"beta-VAE": {"between classes": 0.6}, "MNIST, s_dim = 2": {"between classes": shared}}
        assert claims.digits_apart()(agreeing(**table))[0] is expected
    divergence = "KL(q(z) || p(z))"
    for shared, expected in ((0.1, True), (0.3, False)):
        table = {"beta-VAE": {divergence: 0.2}, "MNIST, s_dim = 2": {divergence: shared}}
        assert claims.matches_prior_better()(agreeing(**table))[0] is expected


def errors(**models):
    """Errors at sigma = 1, 1.5, 2 and p = 0.4 on MNIST."""
    names = {"NVAE": "N-VAE", "CVAE": "CVAE", "CGAN": "CGAN", "ACGAN": "AC-GAN"}
    keys = [error_at(0.4, sigma) for sigma in (1, 1.5, 2)]
    return {key("mnist", names[m]): dict(zip(keys, values, strict=True)) for m, values in models.items()}


def test_errors_that_keep_falling():
    rising = (2.0, 2.1, 2.2)
    paper = agreeing(**errors(NVAE=(1.9, 1.8, 1.7), CVAE=rising, CGAN=rising, ACGAN=rising))
    assert claims.keeps_falling()(paper)[0] is True
    assert claims.lowest_error("mnist", 0.4, 2)(paper)[0] is True
    other = agreeing(**errors(NVAE=(1.9, 1.8, 1.85), CVAE=rising, CGAN=rising, ACGAN=(1.8, 1.7, 1.6)))
    assert claims.keeps_falling()(other)[0] is False
    assert claims.lowest_error("mnist", 0.4, 2)(other)[0] is False


def test_generated_data_next_to_real_data():
    baseline = {key(data, "baseline"): {"no samples": 2.0} for data in ("mnist", "fashion-mnist")}
    for better, expected in ((3, True), (2, False)):
        rows = errors(**{m: (1.9 if k < better else 2.1,) * 3 for k, m in enumerate(("NVAE", "CVAE", "CGAN", "ACGAN"))})
        assert claims.below_baseline()(agreeing(**baseline, **rows))[0] is expected
    alone = {key(data, m): {error_at(1, 1): 3.0} for data in ("mnist", "fashion-mnist") for m in MODELS}
    assert claims.worse_without_real()(agreeing(**baseline, **alone))[0] is True
    alone[key("mnist", "CVAE")] = {error_at(1, 1): 1.0}
    assert claims.worse_without_real()(agreeing(**baseline, **alone))[0] is False


def test_cgan_then_nvae():
    def found(**models):
        return claims.cgan_then_nvae()(agreeing(**{key("mnist", m): {error_at(1, 1): e} for m, e in models.items()}))[0]

    assert found(**{"N-VAE": 6.0, "CGAN": 5.0, "CVAE": 7.0, "AC-GAN": 9.0}) is True
    assert found(**{"N-VAE": 8.0, "CGAN": 5.0, "CVAE": 7.0, "AC-GAN": 9.0}) is False


def test_one_shared_unit():
    checks = (
        claims.fewer_wrong,
        claims.one_shared_holds,
        claims.one_shared_harms_less,
        claims.one_shared_lowers,
        claims.one_shared_falls,
    )

    def found(four, one):
        table = {}
        for s_dim, (wrong, errors, own) in ((4, four), (1, one)):
            row = {"no samples": 2.5, "KL of z_cy": own}
            for sigma, share, error in zip((1, 2), wrong, errors, strict=True):
                row |= {wrong_at(sigma): share, error_at(0.4, sigma): error}
            table[with_shared("MNIST", s_dim)] = row
        return [check("MNIST")(agreeing(**table))[0] for check in checks]

    four = ((8.0, 40.0), (3.3, 3.8), 1.1)
    assert found(four, ((2.0, 10.0), (2.4, 2.3), 1.5)) == [True] * 5
    assert found(four, ((2.0, 21.0), (2.6, 3.9), 0.05)) == [False] * 5


def test_few_labels():
    def found(alone, both):
        rows = {"100 labels, alone": alone, "100 labels, and the rest": both}
        table = {v: {s: {"accuracy": a} for s, a in enumerate(seeds)} for v, seeds in rows.items()}
        return claims.unlabelled_help(100)(Results(table))

    assert found([70.0, 70.2], [80.0, 80.2]) == (
        True,
        "accuracy: 100 labels, alone: 70.1 +- 0.14, 100 labels, and the rest: 80.1 +- 0.14.",
    )
    assert found([80.0, 80.2], [70.0, 70.2])[0] is False
    assert found([70.0, 72.0], [80.0, 71.0])[0] is None
    assert found([], [80.0, 71.0]) == (None, NOT_RUN)
