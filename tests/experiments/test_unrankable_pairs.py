"""Shares of pairs that a rating cannot rank."""

import csv
import json
import subprocess
import sys

import numpy as np
import pytest

from experiments import unrankable_pairs
from robustjax.data import Record


def _groups(rng):
    """Forty records in four places far apart."""
    places = np.repeat(np.arange(4), 10)
    return places, 100.0 * places[:, None] + rng.normal(size=(40, 2))


def _measure(ratings, vectors, **others):
    given = {"clusters": 4, "larger_than": 5, "shuffles": 50, "seed": 3} | others
    return unrankable_pairs.measure(ratings, vectors, **given)


def test_ratings_that_clusters_decide_are_equal_in_all_pairs(rng):
    places, vectors = _groups(rng)
    found = _measure(places % 2, vectors)
    assert found["by_cluster"] == found["pooled"] == 1
    assert found["chance"] == 0.5
    assert found["shuffled_low"] < found["shuffled"] < found["shuffled_high"] < 0.9
    assert (found["clusters"], found["records"]) == (4, 40)


def test_shares_are_those_of_a_count_by_hand(rng):
    _, vectors = _groups(rng)
    ratings = np.tile([1, 0, 0, 0, 0, 0, 0, 0, 0, 0], 4)
    found = _measure(ratings, vectors)
    # Nine pairs of the 45 in each cluster are of the one and another.
    np.testing.assert_allclose(found["by_cluster"], 36 / 45)
    np.testing.assert_allclose(found["chance"], 0.1**2 + 0.9**2)
    # A shuffled one is most often alone in its cluster, too.
    np.testing.assert_allclose(found["shuffled"], 0.815, atol=0.03)


def test_small_clusters_do_not_count(rng):
    _, vectors = _groups(rng)
    found = _measure(np.arange(35) % 2, vectors[:35])
    assert (found["clusters"], found["records"]) == (3, 30)


def test_records_are_told_by_question_and_answer():
    def record(question, answer):
        return Record(question + answer, question, "", answer)

    records = (record("a", "1"), record("a", "2"), record("b", "1"))
    high = (record("a", "2"), record("c", "1"))
    found = unrankable_pairs.rated_high(records, high)
    assert found.tolist() == [False, True, False]
    for others in (high[1:], records):
        with pytest.raises(ValueError, match="rated_high: got a file with [03] of"):
            unrankable_pairs.rated_high(records, others)


def test_the_command_leaves_a_row_per_repeat(tmp_path):
    words = ["red apple pie", "green tree leaf", "blue sea wave"]
    records = [
        {"instruction": f"{words[i % 3]} {i}", "input": "", "output": words[i % 3]}
        for i in range(30)
    ]
    for name, some in (("all", records), ("high", records[:30:3])):
        (tmp_path / f"{name}.json").write_text(json.dumps(some))
    out = tmp_path / "rows.csv"
    command = [
        *(sys.executable, "-m", "experiments.unrankable_pairs"),
        *(f"--records={tmp_path / 'all.json'}", f"--rated_high={tmp_path}/high.json"),
        *("--per_cluster=10", "--repeats=2", "--shuffles=5", f"--out={out}"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "30 records in 3 clusters, 33.3% rated high" in done.stdout
    with out.open() as file:
        rows = list(csv.DictReader(file))
    assert [row["repeat"] for row in rows] == ["0", "1"]
    assert {row["by_cluster"] for row in rows} == {"1.0"}
