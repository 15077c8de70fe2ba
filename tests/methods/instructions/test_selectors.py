"""Instruction selectors against their definitions in NumPy."""

from __future__ import annotations

import dataclasses

import jax
import numpy as np
import pytest

from robustjax import methods
from robustjax.data import Record
from robustjax.methods import instructions
from robustjax.methods.instructions import InstructionPool, OracleRanker, Ranking
from tests.methods.instructions.pools import pool_of, scores_of

KEY = jax.random.key(0)
ENTRIES = methods.entries("instructions")


class FirstRanker:
    """Ranks as it is shown, and says of whom."""

    def __init__(self, said=()):
        self.said, self.groups, self.seeds = dict(said), [], []

    def rank(self, instruction_groups, seed):
        self.groups, self.seeds = list(instruction_groups), [*self.seeds, seed]
        return [
            self.said.get(
                i,
                Ranking(
                    tuple(range(len(group))),
                    "singleton" if len(group) == 1 else "ranked",
                ),
            )
            for i, group in enumerate(instruction_groups)
        ]


def make(entry, pool, key=KEY, budget=12):
    given = {"ranker": OracleRanker({}, [])} if "teacher" in entry.needs else {}
    if entry.name != "alpagasus":
        given |= {"budget": budget, "key": key}
    if entry.name == "curated_stand_in":
        given["min_characters"] = 0
    return entry.make(pool, **given)


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda each: each.name)
def test_every_selector_keeps_its_word(entry):
    pool = pool_of(scores=scores_of())
    found = make(entry, pool)
    indices = found.selection.indices
    assert np.unique(indices).size == indices.size
    if entry.name != "alpagasus":
        assert indices.size == 12
    assert found.clusters.shape == found.ranks.shape == (40,)
    assert len(found.reasons) == 40
    assert all(found.reasons)
    np.testing.assert_array_equal(indices, make(entry, pool).selection.indices)
    if "key" in entry.needs and entry.name not in (
        *("longest", "ifd", "superfiltering", "gradient_similarity"),
    ):
        others = [
            make(entry, pool, jax.random.key(i)).selection.indices for i in (1, 2)
        ]
        assert any(set(other) != set(indices) for other in others)
    if "scores" in entry.needs:
        with pytest.raises(ValueError, match="scores: got None"):
            make(entry, pool_of())
    if "gradients" in entry.needs:
        with pytest.raises(ValueError, match="target_gradients: got None"):
            make(entry, pool_of(target_gradients=None))
    if "ratings" in entry.needs:
        with pytest.raises(ValueError, match="ratings: got None"):
            make(entry, pool_of(ratings=None))
    if "features" in entry.needs:
        with pytest.raises(ValueError, match="embeddings: got None"):
            make(entry, pool_of(embeddings=None))
    if entry.name != "alpagasus":
        with pytest.raises(ValueError, match="budget: got 41, expected 1 … 40"):
            make(entry, pool, budget=41)


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda each: each.name)
def test_one_record_is_a_pool(entry):
    pool = pool_of(1, ratings=[5.0], scores=scores_of(1))
    assert make(entry, pool, budget=1).selection.indices.tolist() == [0]


@pytest.mark.parametrize(("name", "sign"), [("high_quality", 1), ("low_quality", -1)])
def test_ratings_are_cut_at_the_budget_and_ties_drawn(name, sign):
    pool, budget = pool_of(), 12
    entry = methods.entry(name)
    cut = np.sort(sign * pool.ratings)[::-1][budget - 1]
    above = set(np.flatnonzero(sign * pool.ratings > cut))
    tied = set(np.flatnonzero(sign * pool.ratings == cut))
    kept = [
        set(make(entry, pool, jax.random.key(i)).selection.indices) for i in range(30)
    ]
    assert all(above <= each <= above | tied for each in kept)
    assert set.union(*kept) == above | tied
    found = make(entry, pool)
    drawn = [r for r in found.reasons if "drawn" in r]
    assert drawn == [
        f"rating {sign * cut:g}, drawn ({budget - len(above)} of {len(tied)})"
    ] * len(tied)
    order = sign * pool.ratings[np.argsort(found.ranks)]
    assert (np.diff(order) <= 0).all()


def test_alpagasus_keeps_from_the_threshold_on():
    pool = pool_of()
    found = instructions.alpagasus(pool, threshold=4.5)
    expected = np.flatnonzero(pool.ratings >= 4.5)
    assert found.selection.indices.tolist() == expected.tolist()
    assert (pool.ratings == 4.5).any()
    with pytest.raises(ValueError, match="threshold: got 9, expected at most"):
        instructions.alpagasus(pool, threshold=9)


def test_longest_counts_words_and_signs():
    records = [
        Record("a", "one two three four", "", "Yes."),
        Record("b", "x", "", "No, never!"),
        Record("c", "x", "y", "Maybe so"),
    ]
    pool = InstructionPool(records)
    assert instructions.token_counts(pool).tolist() == [2, 4, 2]
    assert instructions.token_counts(pool, "record").tolist() == [6, 5, 4]
    longest = instructions.longest(pool, 1, key=KEY)
    assert longest.selection.indices.tolist() == [1]
    longest = instructions.longest(pool, 1, key=KEY, of="record")
    assert longest.selection.indices.tolist() == [0]
    with pytest.raises(ValueError, match="of: unknown"):
        instructions.longest(pool, 1, key=KEY, of="input")


def test_covers_against_their_definitions():
    pool, budget = pool_of(), 10
    points = pool.embeddings.astype(np.float64)
    distance = np.linalg.norm(points[:, None] - points[None], axis=-1)
    wide = instructions.max_cover(pool, budget, key=KEY)
    picks = wide.selection.indices.tolist()
    for i in range(1, budget):
        nearest = distance[:, picks[:i]].min(axis=1)
        assert nearest[picks[i]] == pytest.approx(nearest.max())
    near = instructions.min_cover(pool, budget, key=KEY)
    first = near.selection.indices[0]
    order = np.argsort(distance[first], kind="stable")
    assert near.selection.indices.tolist() == order[:budget].tolist()
    assert near.selection.objective == pytest.approx(distance[first][order[budget - 1]])
    radius = instructions.covering_radius(points, picks)
    assert radius == pytest.approx(distance[:, picks].min(axis=1).max())
    assert radius == pytest.approx(wide.selection.objective, rel=1e-5)
    assert radius < instructions.covering_radius(points, near.selection.indices)


@pytest.mark.parametrize("name", ["cluster_random", "cluster_score", "fp_instruction"])
def test_one_of_every_cluster(name):
    pool = pool_of()
    entry = methods.entry(name)
    found = make(entry, pool)
    sizes = np.bincount(found.clusters)
    assert found.clusters.min() == 0
    assert sizes.max() <= 10
    kept = found.clusters[found.selection.indices]
    assert sorted(kept) == list(range(len(sizes)))
    for cluster in range(len(sizes)):
        inside = found.clusters == cluster
        assert sorted(found.ranks[inside]) == list(range(1, sizes[cluster] + 1))
        best = found.selection.indices[kept == cluster]
        assert found.ranks[best] == 1
        if name == "cluster_score":
            assert pool.ratings[best] == pool.ratings[inside].max()
    given = {"ranker": FirstRanker()} if name == "fp_instruction" else {}
    with pytest.raises(ValueError, match="max_size: got 3: 12 clusters of at most 3"):
        entry.make(pool, 12, key=KEY, max_size=3, **given)


def test_fp_instruction_keeps_the_first_and_never_what_was_dropped():
    pool = pool_of()
    plain = FirstRanker()
    instructions.fp_instruction(pool, 12, key=KEY, ranker=plain)
    sizes = [len(group) for group in plain.groups]
    assert sum(sizes) == 40
    assert {each.id for group in plain.groups for each in group} == {
        each.id for each in pool.records
    }
    one, two, three = [i for i, size in enumerate(sizes) if size > 1][:3]
    said = {
        one: Ranking((sizes[one] - 1,), "ranked"),
        two: Ranking((), "all_dropped"),
        three: Ranking((), "malformed"),
    }
    ranker = FirstRanker(said)
    found = instructions.fp_instruction(pool, 12, key=KEY, ranker=ranker)
    assert ranker.seeds == plain.seeds
    groups = [[each.id for each in group] for group in ranker.groups]
    expected = [group[0] for group in groups]
    expected[one] = groups[one][-1]
    kept = [pool.records[i].id for i in found.selection.indices]
    skipped = {expected[two], expected[three]}
    assert kept == [each for each in expected if each not in skipped]
    ids = [each.id for each in pool.records]
    reason, rank = dict(zip(ids, found.reasons)), dict(zip(ids, found.ranks))
    assert reason[groups[one][-1]] == f"place 1 of {sizes[one]}"
    assert reason[groups[one][0]] == "dropped as wrong"
    assert rank[groups[one][0]] == 0
    assert {reason[each] for each in groups[two]} == {"dropped as wrong"}
    malformed = "the ranking of its cluster is malformed"
    assert {reason[each] for each in groups[three]} == {malformed}

    again = instructions.fp_instruction(
        pool, 12, key=KEY, ranker=ranker, fallback="rating"
    )
    (more,) = {pool.records[i].id for i in again.selection.indices} - set(kept)
    rating = dict(zip(ids, pool.ratings))
    assert more in groups[three]
    assert rating[more] == max(rating[each] for each in groups[three])


def test_singletons_are_kept_unless_found_wrong():
    pool = pool_of(3)
    said = {1: Ranking((), "singleton")}
    found = instructions.fp_instruction(pool, 3, key=KEY, ranker=FirstRanker(said))
    assert found.selection.indices.size == 2
    assert sorted(found.reasons) == [
        "alone, and found wrong",
        "alone, and kept",
        "alone, and kept",
    ]
    wrong = dict.fromkeys(range(3), Ranking((), "singleton"))
    with pytest.raises(ValueError, match="no record of any of 3 clusters is kept"):
        instructions.fp_instruction(pool, 3, key=KEY, ranker=FirstRanker(wrong))


@pytest.mark.parametrize(
    ("said", "message"),
    [
        (Ranking((0, 0), "ranked"), "different positions"),
        (Ranking((99,), "ranked"), "different positions below"),
        (Ranking((), "ranked"), r"order \(\) with outcome 'ranked'"),
        (Ranking((0,), "all_dropped"), "with outcome 'all_dropped'"),
        (Ranking((0,), "singleton"), "outcome 'singleton' for"),
        (Ranking((0,), "sorted"), "outcome 'sorted'"),
    ],
)
def test_a_ranker_that_breaks_the_protocol_is_refused(said, message):
    ranker = FirstRanker(dict.fromkeys(range(12), said))
    with pytest.raises(ValueError, match=message):
        instructions.fp_instruction(pool_of(), 12, key=KEY, ranker=ranker)

    class Silent:
        def rank(self, instruction_groups, seed):
            return []

    with pytest.raises(ValueError, match="got 0 rankings for 12 groups"):
        instructions.fp_instruction(pool_of(), 12, key=KEY, ranker=Silent())


def test_pools_are_checked():
    with pytest.raises(ValueError, match="ratings: got 3 for 4 records"):
        pool_of(4, ratings=[1.0, 2.0, 3.0])
    record = Record("a", "q", "", "x")
    with pytest.raises(ValueError, match="records: "):
        InstructionPool([record, record])
    with pytest.raises(ValueError, match="NaN"):
        instructions.high_quality(pool_of(2, ratings=[1.0, np.nan]), 1, key=KEY)


def test_of_equal_ratings_the_fallback_draws():
    """And not the one that stands first in the file."""
    pool = dataclasses.replace(pool_of(4), ratings=np.full(4, 4.5))
    said = {0: Ranking((), "malformed")}
    kept = set()
    for seed in range(12):
        ranker = FirstRanker(said)
        groups = [np.arange(4)]
        key = jax.random.key(seed)
        found, again = (
            instructions.fp_instruction(
                pool, 1, key=key, ranker=ranker, fallback="rating", groups=groups
            )
            for _ in range(2)
        )
        assert again.selection.indices.tolist() == found.selection.indices.tolist()
        kept |= set(found.selection.indices.tolist())
    assert len(kept) > 2
