"""Selectors by scores of a language model, and the stand-in for a curated set."""

from __future__ import annotations

import jax
import numpy as np
import pytest

from robustjax.data import Record
from robustjax.methods import instructions
from robustjax.methods.instructions import InstructionPool, RecordScores
from tests.methods.instructions.pools import pool_of

KEY = jax.random.key(0)


def scored(answer, alone):
    answer, alone = np.array(answer, float), np.array(alone, float)
    ones = np.ones(len(answer), int)
    scores = RecordScores(ones, answer, alone, np.isnan(answer))
    return pool_of(len(answer), scores=scores)


def test_the_highest_ratios_below_one_are_kept():
    # Ratios of losses .5, 1, 1.5, .9; of perplexities e^-1, 1, e^.5, e^-.5.
    pool = scored([1, 2, 1.5, 4.5, np.nan], [2, 2, 1, 5, np.nan])
    found = instructions.ifd(pool, 2, key=KEY)
    assert found.selection.indices.tolist() == [1, 3]
    assert found.reasons[2] == "IFD 1.5, ruled out"
    assert found.reasons[4] == "IFD nan, ruled out"
    found = instructions.superfiltering(pool, 4, key=KEY)
    assert found.selection.indices.tolist() == [3, 0]
    assert found.reasons[1] == "ratio 1, ruled out"
    assert found.ranks[3] == 1
    with pytest.raises(ValueError, match="ratio: rules out all 2 records"):
        instructions.superfiltering(scored([2, 3], [1, 1]), 1, key=KEY)
    with pytest.raises(ValueError, match="scores: got None"):
        instructions.ifd(pool_of(), 2, key=KEY)
    with pytest.raises(ValueError, match="scores: got 5 for 4 records"):
        InstructionPool(pool.records[:4], scores=pool.scores)


@pytest.mark.parametrize(
    ("by", "best"),
    [
        ("length", lambda pool: instructions.token_counts(pool)),
        ("perplexity", lambda pool: -pool.scores.perplexity),
        ("ifd", lambda pool: pool.scores.ifd),
    ],
)
def test_clusters_keep_the_best_by_what_is_asked(by, best):
    rng = np.random.default_rng(0)
    pool = scored(*rng.uniform(1, 3, (2, 40)))
    found = instructions.cluster_score(pool, 8, key=KEY, by=by)
    groups = instructions.instruction_groups(pool, 8, 10, key=jax.random.split(KEY)[0])
    values = best(pool)
    for rows in groups:
        (kept,) = set(rows) & set(found.selection.indices)
        assert values[kept] == values[rows].max()
    again = instructions.cluster_score(pool, 8, key=KEY, by=by, groups=groups)
    assert again.reasons == found.reasons
    with pytest.raises(ValueError, match="groups: expected every record in one"):
        instructions.cluster_score(pool, 8, key=KEY, by=by, groups=groups[1:])
    with pytest.raises(ValueError, match="groups: got 8, of each of .* budget of 7"):
        instructions.cluster_score(pool, 7, key=KEY, by=by, groups=groups)
    with pytest.raises(ValueError, match="by: unknown 'luck'"):
        instructions.cluster_score(pool, 8, key=KEY, by="luck")


def test_an_answer_without_scores_is_the_last_of_its_cluster():
    pool = scored([np.nan, 1.0, 2.0], [np.nan, 2.0, 2.0])
    for by in ("perplexity", "ifd"):
        found = instructions.cluster_score(pool, 1, key=KEY, by=by)
        assert found.ranks[0] == 3


@pytest.mark.slow
def test_rules_stand_in_for_people():
    long = "The sum is twelve and the product is thirty. " * 10
    answers = {
        "short": "Twelve.",
        "refusal": f"As an AI language model, no opinion is held. {long}",
        "person": f"In my view, {long}",
        "link": f"See https://example.org for more. {long}",
        "one": long,
        "two": f"{long} It is even.",
        "too_long": long * 20,
    }
    records = [Record(name, name, "", text) for name, text in answers.items()]
    pool = InstructionPool(records, np.eye(7, dtype=np.float32))
    found = instructions.curated_stand_in(pool, 5, key=KEY)
    names = {records[row].id for row in found.selection.indices}
    assert names == {"one", "two"}
    assert found.reasons[0] == "ruled out: fewer than 300 characters"
    assert found.reasons[1] == "ruled out: a refusal"
    assert found.reasons[2] == "ruled out: first person"
    assert found.reasons[3] == "ruled out: a link or a picture"
    assert found.reasons[6] == "ruled out: more than 4096 characters"
    with pytest.raises(ValueError, match="min_characters: got 9999, and none of 7"):
        instructions.curated_stand_in(
            pool, 1, key=KEY, min_characters=9999, max_characters=99999
        )
