"""Diagnostics against their definitions, written out."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from robustjax.methods import instructions


def test_answer_ranks_count_who_is_nearer(rng):
    points = rng.normal(size=(30, 4))
    rows = np.array([0, 3, 3, 29])
    answers = points[rows] + rng.normal(size=(4, 4)) * [[0.01], [1.0], [3.0], [0.5]]
    expected = []
    for row, answer in zip(rows, answers):
        limit = np.linalg.norm(points[row] - answer)
        distance = np.linalg.norm(points - points[row], axis=1)
        expected.append(1 + sum(distance[j] < limit for j in range(30) if j != row))
    ranks = instructions.answer_ranks(points, rows, answers)
    assert ranks.tolist() == expected
    assert expected[0] == 1
    assert len(set(expected)) > 2
    with pytest.raises(ValueError, match="rows: "):
        instructions.answer_ranks(points, [30], answers[:1])
    with pytest.raises(ValueError, match="answers: got 3 numbers in a row"):
        instructions.answer_ranks(points, [0], answers[:1, :3])


def test_non_rankable_pairs_by_counting_them(rng):
    clusters = np.repeat([5, 1, 9, 2], [6, 8, 5, 11])
    ratings = rng.integers(0, 3, 30) / 2
    shares, equal, pairs = [], 0, 0
    for cluster in (5, 1, 2):
        inside = ratings[clusters == cluster]
        same = [a == b for a, b in itertools.combinations(inside, 2)]
        shares.append(np.mean(same))
        equal, pairs = equal + sum(same), pairs + len(same)
    found = instructions.non_rankable(ratings, clusters)
    assert found.by_cluster == pytest.approx(np.mean(shares))
    assert found.pooled == pytest.approx(equal / pairs)
    chance = np.mean([a == b for a, b in itertools.product(ratings, ratings)])
    assert found.chance == pytest.approx(chance)
    assert found.clusters == 3
    with pytest.raises(ValueError, match="larger_than: got 11"):
        instructions.non_rankable(ratings, clusters, larger_than=11)
    with pytest.raises(ValueError, match="lengths differ"):
        instructions.non_rankable(ratings[:-1], clusters)


def test_share_of_wrong_answers_against_all_selections():
    wrong = np.array([True, False, True, False, False, True])
    found = instructions.share_kept([0, 1, 3], wrong)
    assert found.kept == pytest.approx(1 / 3)
    assert found.among_kept == pytest.approx(1 / 3)
    assert found.expected == (0.5, 0.5)
    as_few = [wrong[list(c)].sum() <= 1 for c in itertools.combinations(range(6), 3)]
    assert found.p_fewer == pytest.approx(np.mean(as_few))
    with pytest.raises(ValueError, match="wrong: "):
        instructions.share_kept([0], np.zeros(6, bool))
    with pytest.raises(ValueError, match="chosen: "):
        instructions.share_kept([0, 0], wrong)


def test_covering_radius_needs_a_chosen_one(rng):
    with pytest.raises(ValueError, match="chosen"):
        instructions.covering_radius(rng.normal(size=(4, 2)), [])
