"""Pools with foreign classes: shares, names of labels, draws, bad arguments."""

from __future__ import annotations

import jax
import numpy as np
import pytest

from robustjax.corruption import _open_set as open_set

KEY = jax.random.key(0)
LABELS = np.arange(1000) % 10


def test_labels_are_renamed_in_ascending_order():
    found = open_set.open_set_labels([7, 2, 0, 5, 2, 9], (7, 2, 5))
    np.testing.assert_array_equal(found, [2, 0, 3, 1, 0, 3])
    assert found.dtype == np.int32


@pytest.mark.parametrize(
    ("num_in", "ratio", "expected"),
    # Section 9.2 and 9.3 of the paper's sizes; 0 is a pool without OOD.
    [
        *zip([20_000] * 4, (0.1, 0.2, 0.4, 0.6), (2222, 5000, 13_333, 30_000)),
        *zip([64_176] * 4, (0.1, 0.2, 0.4, 0.6), (7131, 16_044, 42_784, 96_264)),
        (50_000, 0.4, 33_333),
        (123, 0.0, 0),
    ],
)
def test_sizes_are_the_published_ones(num_in, ratio, expected):
    assert open_set.num_ood(num_in, ratio) == expected


def test_split_dataset_has_all_in_examples_and_ood_of_every_other_class():
    pool = open_set.split_dataset(KEY, LABELS, (2, 4, 5, 7), 0.2)
    is_ood = pool.labels == 4
    assert pool.num_classes == 4
    assert is_ood.sum() == 100
    assert pool.noise_ratio == 0.2
    assert len(np.unique(pool.rows)) == len(pool.rows) == 500
    # Row for row the labels of the data set, renamed.
    names = np.array([2, 4, 5, 7])
    np.testing.assert_array_equal(
        names[pool.labels[~is_ood]], LABELS[pool.rows[~is_ood]]
    )
    assert set(LABELS[pool.rows[is_ood]]) == {0, 1, 3, 6, 8, 9}
    # In random order, and another one for another key.
    assert 10 < is_ood[:100].sum() < 35
    again = open_set.split_dataset(KEY, LABELS, (7, 5, 4, 2), 0.2)
    np.testing.assert_array_equal(again.rows, pool.rows)
    other = open_set.split_dataset(jax.random.key(1), LABELS, (2, 4, 5, 7), 0.2)
    assert set(other.rows[other.labels == 4]) != set(pool.rows[is_ood])


def test_in_examples_can_be_fewer_and_ood_none():
    pool = open_set.split_dataset(KEY, LABELS, (0, 1), 0.0, num_in=50)
    assert len(pool.rows) == 50
    assert set(pool.labels) == {0, 1}
    assert pool.noise_ratio == 0


def test_cross_dataset_mixes_sources_in_equal_shares():
    labels = np.arange(60) % 3
    pool = open_set.cross_dataset(KEY, labels, 3, (500, 100), 0.6)
    is_ood = pool.labels == 3
    assert is_ood.sum() == 90
    np.testing.assert_array_equal(pool.labels[~is_ood], labels[pool.rows[~is_ood]])
    assert set(pool.rows[~is_ood]) == set(range(60))
    first = (pool.rows >= 60) & (pool.rows < 560)
    second = (pool.rows >= 560) & (pool.rows < 660)
    assert first.sum() == second.sum() == 45
    # An odd number: the first source gives one more.
    odd = open_set.cross_dataset(KEY, labels, 3, (500, 100), 0.2, num_in=60)
    assert (odd.rows[odd.labels == 3] < 560).sum() == 8
    assert len(np.unique(odd.rows)) == 75


def test_initial_sets():
    labels = np.where(np.arange(400) % 5 < 3, 2, np.arange(400) % 2)
    uniform = open_set.draw_initial(KEY, labels, 2, 100)
    exact = open_set.draw_initial(KEY, labels, 2, 100, exact_shares=True)
    assert len(np.unique(uniform)) == len(np.unique(exact)) == 100
    assert (labels[exact] == 2).sum() == 60
    shares = [
        (labels[open_set.draw_initial(jax.random.key(s), labels, 2, 100)] == 2).mean()
        for s in range(20)
    ]
    assert 0.5 < np.mean(shares) < 0.7
    assert np.std(shares) > 0
    for shares in (False, True):
        whole = open_set.draw_initial(KEY, labels, 2, 400, exact_shares=shares)
        assert sorted(whole) == list(range(400))
        none = open_set.draw_initial(KEY, labels, 2, 0, exact_shares=shares)
        assert len(none) == 0


def test_drawn_classes():
    drawn = [open_set.draw_classes(jax.random.key(s), 10, 4) for s in range(5)]
    assert all(len(set(c)) == 4 and list(c) == sorted(c) for c in drawn)
    assert len(set(drawn)) > 1
    assert open_set.draw_classes(KEY, 3, 3) == (0, 1, 2)


def test_bad_arguments():
    split = open_set.split_dataset
    with pytest.raises(ValueError, match="in_classes: got none"):
        split(KEY, LABELS, (), 0.2)
    with pytest.raises(ValueError, match="in_classes: .* each class once"):
        split(KEY, LABELS, (1, 1), 0.2)
    with pytest.raises(ValueError, match="in_classes: got float64"):
        split(KEY, LABELS, (1.7, 3), 0.2)
    with pytest.raises(ValueError, match="in_classes: class 10 has no example"):
        split(KEY, LABELS, (1, 10), 0.2)
    with pytest.raises(ValueError, match="noise_ratio: got 1.0"):
        split(KEY, LABELS, (1,), 1.0)
    with pytest.raises(ValueError, match="num_in: got 101, expected at most the 100"):
        split(KEY, LABELS, (1,), 0.2, num_in=101)
    with pytest.raises(ValueError, match=r"noise_ratio: got 0.6 .* that has 200"):
        split(KEY, LABELS, range(8), 0.6)
    with pytest.raises(ValueError, match="ood_sizes: got none"):
        open_set.cross_dataset(KEY, LABELS, 10, (), 0.2)
    with pytest.raises(ValueError, match="initial: got 6, expected at most"):
        open_set.draw_initial(KEY, np.zeros(5, int), 1, 6)
    with pytest.raises(ValueError, match="count: got 4, expected at most 3"):
        open_set.draw_classes(KEY, 3, 4)
