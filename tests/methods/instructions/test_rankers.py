"""Rankers that know the truth, and that repeat what was said."""

from __future__ import annotations

import json

import pytest

from robustjax.methods.instructions import (
    OracleRanker,
    Ranking,
    ReplayRanker,
    save_rankings,
)
from tests.methods.instructions.pools import pool_of

RECORDS = pool_of(40).records
GROUPS = [RECORDS[:4], RECORDS[4:5], RECORDS[5:6], RECORDS[6:8]]
QUALITY = {f"r{i}": float(i % 4) for i in range(40)}


def test_an_oracle_ranks_by_the_truth_and_drops_what_is_wrong():
    ranker = OracleRanker(QUALITY, {"r3", "r5", "r6", "r7"})
    assert ranker.rank(GROUPS, 0) == [
        Ranking((2, 1, 0), "ranked"),
        Ranking((0,), "singleton"),
        Ranking((), "singleton"),
        Ranking((), "all_dropped"),
    ]


def test_a_group_is_ranked_alike_whatever_else_is_asked():
    ranker = OracleRanker(QUALITY, {"r3"}, noise=0.5)
    together = ranker.rank(GROUPS, 7)
    assert [ranker.rank([group], 7)[0] for group in GROUPS] == together
    assert ranker.rank(GROUPS[::-1], 7) == together[::-1]


def test_noise_is_the_share_of_groups_that_are_guessed():
    group, single = RECORDS[:4], RECORDS[3:4]
    truth = Ranking((2, 1, 0), "ranked")
    seeds = range(600)
    for noise in (0.0, 0.4, 1.0):
        ranker = OracleRanker(QUALITY, {"r3"}, noise)
        right = [ranker.rank([group], seed)[0] == truth for seed in seeds]
        assert sum(right) / 600 == pytest.approx(1 - noise, abs=0.06)
        kept = [ranker.rank([single], seed)[0].order == (0,) for seed in seeds]
        assert sum(kept) / 600 == pytest.approx(noise / 2, abs=0.06)
        first = [ranker.rank([group], seed)[0].order[0] for seed in seeds]
        shares = [first.count(i) / 600 for i in range(4)]
        expected = [noise / 4 + (1 - noise) * (i == 2) for i in range(4)]
        assert shares == pytest.approx(expected, abs=0.06)
    with pytest.raises(ValueError, match="noise: got 1.5"):
        OracleRanker({}, [], 1.5)


def test_rankings_come_back_for_the_same_groups(tmp_path):
    path = tmp_path / "ranked.jsonl"
    said = OracleRanker(QUALITY, {"r3", "r5"}).rank(GROUPS, 0)
    save_rankings(path, GROUPS, said)
    replay = ReplayRanker(path)
    assert replay.rank(GROUPS, 1) == said
    turned = replay.rank([GROUPS[0][::-1]], 1)[0]
    assert [GROUPS[0][::-1][i].id for i in turned.order] == ["r2", "r1", "r0"]
    with pytest.raises(ValueError, match="lacks 1 of 2 groups"):
        replay.rank([GROUPS[0], RECORDS[:3]], 0)
    with pytest.raises(ValueError, match="got 1 for 4 groups"):
        save_rankings(path, GROUPS, said[:1])


def test_outcomes_follow_where_they_are_left_out(tmp_path):
    path = tmp_path / "ranked.jsonl"
    rows = [
        {"ids": ["r0", "r1"], "order": ["r1"], "note": "ignored"},
        {"ids": ["r2", "r3"], "order": []},
        {"ids": ["r4"], "order": []},
        {"ids": ["r5", "r6"], "order": [], "outcome": "malformed"},
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    groups = [RECORDS[:2], RECORDS[2:4], RECORDS[4:5], RECORDS[5:7]]
    found = ReplayRanker(path).rank(groups, 0)
    assert [each.outcome for each in found] == [
        "ranked",
        "all_dropped",
        "singleton",
        "malformed",
    ]
    assert found[0].order == (1,)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"ids": ["a"], "order": ["b"]}], "line 1 .* not one of its ids"),
        ([{"ids": [], "order": []}], "line 1"),
        ([{"ids": ["a"]}], "line 1 .* order is not a list"),
        ([{"ids": ["a", "a"], "order": []}], "ids is not a list of different"),
        ([{"ids": ["a", 3], "order": []}], "ids is not a list of different"),
        ([{"ids": ["a"], "order": [], "outcome": "?"}], "outcome '\\?'"),
        ([{"ids": ["a"], "order": []}] * 2, "line 2 .* ranked before"),
    ],
)
def test_bad_rankings_are_refused_with_their_line(tmp_path, rows, message):
    path = tmp_path / "ranked.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(ValueError, match=message):
        ReplayRanker(path)
