"""The screen finds headroom where it was planted, and none where there is none."""

import numpy as np
import pytest

from experiments.studies.active_learning.screen import RULES, screened

SIZE, COUNT, REPEATS = 1500, 100, 6


def pool(seed, expected):
    """Converted scores, and noisy values whose mean is a function of the two."""
    rng = np.random.default_rng(seed)
    purity, informativeness = np.exp(rng.normal(size=(2, SIZE)))
    return purity, informativeness, rng.exponential(expected(purity, informativeness))


def gains(expected):
    """(R,) of the best function over the better of sum and product, pool by pool."""
    found = [
        screened(*pool(seed, expected), COUNT, seed=seed) for seed in range(REPEATS)
    ]
    return np.array(
        [f["screen_best"] - max(f["screen_sum"], f["screen_product"]) for f in found]
    )


@pytest.mark.parametrize(
    "expected",
    [
        # Pure enough or worth nothing; sum and product ask for the most informative.
        lambda p, i: 0.02 + np.where(p > 1, np.minimum(i, 2.0), 0.0) * (p < 2),
        # What is neither pure nor informative in excess.
        lambda p, i: 0.05 + 2 * np.exp(-(np.log(p) ** 2) - np.log(i) ** 2),
    ],
)
def test_planted_headroom_is_found(expected):
    each = gains(expected)
    error = each.std(ddof=1) / REPEATS**0.5
    assert each.mean() > 4 * error
    assert each.mean() > 0.1


@pytest.mark.parametrize(
    "expected",
    [
        lambda p, i: 0.1 + p * i,
        lambda p, i: 0.1 + p + i,
        lambda p, i: np.ones(SIZE),
    ],
)
def test_no_headroom_is_found_where_sum_or_product_is_right(expected):
    each = gains(expected)
    error = each.std(ddof=1) / REPEATS**0.5
    assert each.mean() < 2 * error


def test_the_best_function_does_not_know_an_example_by_its_own_value():
    """On values without any meaning it is as good as chance, in the mean."""
    rng = np.random.default_rng(0)
    found = []
    for seed in range(20):
        p, i, values = np.exp(rng.normal(size=(3, 400)))
        got = screened(p, i, values, 40, seed=seed)
        assert list(got) == [f"screen_{rule}" for rule in RULES]
        assert got["screen_random"] == pytest.approx(values.mean())
        found.append(got["screen_best"] - values.mean())
    error = np.std(found, ddof=1) / 20**0.5
    assert abs(np.mean(found)) < 3 * error


def test_rules_ask_for_their_own_best():
    purity = np.arange(30.0) + 1
    informativeness = purity[::-1] ** 2
    values = np.linspace(0, 1, 30)
    got = screened(purity, informativeness, values, 5)
    for rule, score in (
        ("sum", purity + informativeness),
        ("product", purity * informativeness),
    ):
        want = values[np.argsort(-score)[:5]].mean()
        assert got[f"screen_{rule}"] == pytest.approx(want)
    with pytest.raises(ValueError, match="count: got 31"):
        screened(purity, informativeness, values, 31)
    with pytest.raises(ValueError, match="purity: got 19"):
        screened(purity[:19], purity[:19], values[:19], 5)
