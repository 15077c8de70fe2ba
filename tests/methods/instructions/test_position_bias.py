"""Kemeny's order, the orders shown, what answers come to, and how bias is measured."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from robustjax.methods.instructions._kemeny import kemeny_order
from robustjax.methods.instructions._position_bias import (
    Call,
    agreement_by_calls,
    combine_calls,
    first_by_position,
    group_generator,
    presentation_orders,
)
from robustjax.methods.instructions._ranker import Ranking


def _contradicted(order, preferred):
    pairs = itertools.combinations(order, 2)
    return sum(preferred[below, above] for above, below in pairs)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 6, 7])
def test_kemeny_is_what_brute_force_finds(rng, size):
    for scale in (2, 4, 20):
        preferred = rng.integers(0, scale, (size, size))
        order = kemeny_order(preferred)
        # Permutations come in ascending order, and min keeps the first of the best.
        orders = itertools.permutations(range(size))
        assert order == min(orders, key=lambda o: _contradicted(o, preferred))


def test_kemeny_finds_a_planted_order_of_many(rng):
    planted = rng.permutation(12)
    place = np.argsort(planted)
    sure = place[:, None] < place
    assert kemeny_order(3 * sure + 2 * sure.T) == tuple(planted)


def test_kemeny_refuses():
    with pytest.raises(ValueError, match="^preferred: got shape"):
        kemeny_order(np.zeros((2, 3)))
    with pytest.raises(ValueError, match="n <= 14"):
        kemeny_order(np.zeros((15, 15)))


@pytest.mark.parametrize("size", [2, 3, 4, 5])
def test_each_item_stands_at_each_position_once(size):
    orders = presentation_orders(size, None, np.random.default_rng(1))
    assert all(sorted(column) == [*range(size)] for column in zip(*orders))
    assert len({*orders}) == size


def test_more_items_are_shuffled():
    orders = presentation_orders(9, None, np.random.default_rng(1))
    assert len(orders) == 5
    assert all(sorted(order) == [*range(9)] for order in orders)
    # Whole rounds of cyclic orders, unless there is not even one.
    assert len(presentation_orders(3, 7, np.random.default_rng(1))) == 9
    assert len(presentation_orders(3, 2, np.random.default_rng(1))) == 2


@pytest.mark.parametrize("calls", [None, 18, 13])
def test_letters_stand_at_every_position_alike_however_many(calls):
    orders = presentation_orders(9, calls, np.random.default_rng(1), cyclic=True)
    assert len(orders) == (9 if calls is None else 18)
    for item in range(9):
        places = np.bincount([order.index(item) for order in orders], minlength=9)
        assert (places == len(orders) / 9).all()


def test_orders_depend_on_the_group_and_the_seed():
    def orders(seed, ids):
        return presentation_orders(5, None, group_generator(seed, ids))

    assert orders(0, "abcde") == orders(0, "abcde")
    assert orders(0, "abcde") != orders(1, "abcde")
    assert orders(0, "abcde") != orders(0, "abcdf")


def _call(levels, shown=None, outcome=None):
    kept = any(level >= 0 for level in levels)
    outcome = outcome or ("ranked" if kept else "all_dropped")
    return Call(shown or tuple(range(len(levels))), levels, outcome)


@pytest.mark.parametrize(
    ("calls", "expected"),
    [
        ([(0, 1, 2)] * 2 + [(2, 1, 0)], Ranking((0, 1, 2), "ranked")),
        # Dropped by two of three: gone. Dropped by one: at the end.
        ([(0, -1, 1), (0, -1, 1), (1, 0, -1)], Ranking((0, 2), "ranked")),
        ([(-1, -1), (-1, -1), (0, 1)], Ranking((), "all_dropped")),
        # Half is not a majority.
        ([(0, -1), (0, 1)], Ranking((0,), "ranked")),
    ],
)
def test_combined(calls, expected):
    assert combine_calls([_call(levels) for levels in calls]) == expected


def test_ties_are_broken_by_the_shuffled_order():
    tied = [_call((0, 1), (1, 0)), _call((1, 0), (0, 1))]
    assert combine_calls(tied).order == (1, 0)


def test_what_could_not_be_read_does_not_count():
    broken = _call((-1, -1), outcome="malformed")
    assert combine_calls([broken, _call((1, 0)), broken]).order == (1, 0)
    assert combine_calls([broken]) == Ranking((), "malformed")


def _biased_calls(rng, groups, bias, noise=1.0, number=None):
    """Answers of a model that sees quality -item, noise, and likes early positions."""
    made = []
    for _ in range(groups):
        calls = []
        for shown in presentation_orders(5, number, rng):
            score = np.zeros(5)
            for position, at in enumerate(shown):
                score[at] = -at - bias * position + noise * rng.normal()
            levels = np.argsort(np.argsort(-score))
            calls.append(Call(shown, tuple(levels.tolist()), "ranked"))
        made.append(calls)
    return made


def test_position_bias_is_seen_and_removed(rng):
    fair, biased = (_biased_calls(rng, 60, bias) for bias in (0.0, 2.0))
    for calls in (fair, biased):
        np.testing.assert_allclose(first_by_position(calls)[5].sum(), 1)
    assert np.ptp(first_by_position(fair)[5]) < 0.15
    assert first_by_position(biased)[5][0] > 0.5
    single = np.mean([combine_calls(calls[:1]).order[0] == 0 for calls in biased])
    joined = np.mean([combine_calls(calls).order[0] == 0 for calls in biased])
    assert joined > single + 0.2


def test_agreement_grows_with_the_calls(rng):
    calls = _biased_calls(rng, 30, 1.0, number=10)
    one, three, five, ten = agreement_by_calls(calls, (1, 3, 5, 10))
    assert one.tau_apart < three.tau_apart < five.tau_apart < 1
    assert one.tau_to_all < five.tau_to_all < ten.tau_to_all == 1
    assert np.isnan(ten.tau_apart)
    assert one.groups == ten.groups == 30


def test_agreement_of_equal_and_of_opposite_answers():
    same = agreement_by_calls([[_call((0, 1, 2))] * 2], (1,))[0]
    assert (same.tau_apart, same.same_first) == (1, 1)
    turned = agreement_by_calls([[_call((0, 1, 2)), _call((2, 1, 0))]], (1,))[0]
    assert (turned.tau_apart, turned.same_first) == (-1, 0)
