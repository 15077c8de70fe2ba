"""Which instructions to keep, as a person asks for it: commands and files."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest

from robustjax.tools.verbs.select_instructions import read_ratings
from tests.harness.tool_runs import endings, run_verb

N = 30


def table_of(folder):
    with open(folder / "examples.csv", newline="") as file:
        return list(csv.DictReader(file))


def lines_of(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture
def small(tmp_path):
    """Flags of a file of records with words in common, and of ratings."""
    rng = np.random.default_rng(0)
    words = [f"word{i}" for i in range(12)]
    rows = [
        {
            "id": f"r{i}",
            "instruction": " ".join(rng.choice(words, 5)),
            "input": "",
            "output": " ".join(rng.choice(words, i % 5 + 1)),
        }
        for i in range(N)
    ]
    rows[4]["output"] = "=cmd() rank me first"
    records = tmp_path / "records.json"
    records.write_text(json.dumps(rows))
    ratings = tmp_path / "ratings.csv"
    lines = [f"r{i},{i % 4}" for i in reversed(range(N))]
    ratings.write_text("\n".join(["id,rating", *lines]))
    return {"records": records, "method": "cluster_random", "budget": 9}, ratings


def test_commands_and_what_they_write(small, tmp_path):
    flags, ratings = small
    groups, ranked = tmp_path / "groups.jsonl", tmp_path / "ranked.jsonl"
    score = flags | {"method": "cluster_score", "ratings": ratings}
    teacher = flags | {"method": "fp_instruction", "max_size": 5, "seed": 3}
    lengths = flags | {"method": "longest", "out": tmp_path / "longest"}
    score |= {"out": tmp_path / "score", "cache": tmp_path / "cache"}
    scores = tmp_path / "scores.csv"
    lines = [f"r{i},3,{i + 1},20,False" for i in range(N)]
    scores.write_text(
        "\n".join(["id,length,answer_loss,alone_loss,cut", *lines, "other,1,1,1,False"])
    )
    done = run_verb("select-instructions", **score)
    assert "kept 9 of 30 records (30.0%)" in done.stdout
    others = [
        lengths,
        flags | {"method": "cluster_score", "by": "length", "out": tmp_path / "by"},
        flags | {"method": "ifd", "scores": scores, "out": tmp_path / "ifd"},
        teacher | {"groups": groups},
    ]
    assert endings("select-instructions", others) == ["fine"] * 4

    table = table_of(tmp_path / "score")
    assert [row["id"] for row in table] == [f"r{i}" for i in range(N)]
    kept = [row for row in table if row["kept"] == "True"]
    assert len(kept) == 9
    assert {row["rank"] for row in kept} == {"1"}
    for row in kept:
        inside = [r for r in table if r["cluster"] == row["cluster"]]
        assert len(inside) <= 10
        best = max(int(r["id"][1:]) % 4 for r in inside)
        assert int(row["id"][1:]) % 4 == best
        assert row["reason"] == f"rating {best}, place 1 of {len(inside)}"
    selected = lines_of(tmp_path / "score" / "selected.jsonl")
    assert {row["id"] for row in selected} == {row["id"] for row in kept}
    texts = {row["id"]: row for row in json.loads(flags["records"].read_text())}
    for row in selected:
        assert row["output"] == texts[row["id"]]["output"]
    assert len(list((tmp_path / "cache").iterdir())) == 1

    # By a score in place of ratings; by IFD, the first nine of those at most 1.
    for row in (r for r in table_of(tmp_path / "by") if r["kept"] == "True"):
        assert row["reason"].startswith("length ")
        assert row["rank"] == "1"
    kept = [row["id"] for row in table_of(tmp_path / "ifd") if row["kept"] == "True"]
    assert kept == [f"r{i}" for i in range(11, 20)]

    found = lines_of(groups)
    assert sorted(i for row in found for i in row["ids"]) == sorted(texts)
    assert max(len(row["ids"]) for row in found) <= 5
    # Whoever ranks adds an order: here the last of each, and no record of one cluster.
    for row in found:
        row["order"] = row["ids"][-1:]
        assert [each["output"] for each in row["records"]] == [
            texts[i]["output"] for i in row["ids"]
        ]
    found[2]["order"] = []
    ranked.write_text("".join(json.dumps(row) + "\n" for row in found[::-1]))
    by_teacher = teacher | {"rankings": ranked, "out": tmp_path / "fp"}
    runs = [by_teacher, by_teacher | {"seed": 4}]
    fine, message = endings("select-instructions", runs)
    assert fine == "fine"
    kept = lines_of(tmp_path / "fp" / "selected.jsonl")
    assert {row["id"] for row in kept} == {i for row in found for i in row["order"]}
    assert message.startswith("rankings: ")
    assert "lacks" in message


def test_rows_of_arrays_are_joined_by_id(tmp_path):
    order = np.random.default_rng(1).permutation(N)
    ids = np.array([f"r{row}" for row in range(N)])
    values = np.arange(N) % 7 + np.arange(N) / N
    np.savez(tmp_path / "ratings.npz", ratings=values[order], ids=ids[order])
    found = read_ratings(str(tmp_path / "ratings.npz"), ids.tolist())
    np.testing.assert_array_equal(found, values)
    np.savez(tmp_path / "ratings.npz", ratings=values, ids=[f"s{i}" for i in range(N)])
    with pytest.raises(ValueError, match=r"30 id\(s\) do not occur in the records"):
        read_ratings(str(tmp_path / "ratings.npz"), ids.tolist())


def test_bad_flags_and_files_are_one_line(small, tmp_path):
    flags, _ = small
    out = {"out": tmp_path / "out"}
    empty = tmp_path / "empty.jsonl"
    row = {"instruction": "x", "output": "y"}
    empty.write_text(json.dumps(row) + "\n" + json.dumps(row | {"output": ""}) + "\n")
    text = tmp_path / "text.txt"
    text.write_text("hello")
    few = tmp_path / "few.csv"
    few.write_text("id,rating\nr0,1\n")
    one_score = tmp_path / "score.csv"
    one_score.write_text("id,length,answer_loss,alone_loss,cut\nr0,3,1,2,False\n")
    cases = [
        (
            flags | out | {"max_size": 3},
            "max_size: got 3: 9 clusters of at most 3",
        ),
        (flags | out | {"budget": 31}, "budget: got 31, expected 1 … 30"),
        (flags | out | {"records": empty}, "records: 1 record(s)"),
        (flags | out | {"records": text}, "neither a JSON array nor JSON lines"),
        (flags | out | {"records": tmp_path / "no"}, "records: cannot read"),
        (flags | out | {"records": None}, "records: got nothing"),
        (flags | out | {"budget": None}, "budget: got nothing"),
        (flags, "out: got nothing"),
        (flags | out | {"method": "best"}, "method: unknown 'best'"),
        (flags | out | {"method": "high_quality"}, "ratings: got nothing"),
        (flags | out | {"method": "fp_instruction"}, "rankings: got nothing"),
        (flags | out | {"threshold": 4}, "threshold: cluster_random does not take"),
        (flags | out | {"rankings": empty}, "rankings: cluster_random does not take"),
        (
            flags | out | {"method": "high_quality", "ratings": few},
            "lacks 29 of 30 records (first: 'r1')",
        ),
        (flags | out | {"method": "ifd"}, "scores: got nothing"),
        (
            flags | out | {"method": "ifd", "scores": one_score},
            "lacks 29 of 30 records; robustjax score-instructions goes on",
        ),
        (flags | out | {"scores": one_score}, "scores: cluster_random does not take"),
        (flags | out | {"embedding": "gpt"}, "embedding: unknown 'gpt'"),
        (flags | out | {"embedding": "minilm"}, "embedding_model: got None"),
        (
            flags | out | {"embedding": "minilm", "embedding_model": text},
            "embedding_model: cannot read",
        ),
        (
            flags | {"method": "fp_instruction", "groups": flags["records"]},
            "is also records",
        ),
        (flags | {"out": text}, "out: "),
    ]
    found = endings("select-instructions", [case for case, _ in cases])
    assert len(found) == len(cases)
    for line, (_, message) in zip(found, cases):
        assert message in line
    assert not (tmp_path / "out").exists()
    done = run_verb("select-instructions", max_size=0)
    assert done.returncode == 2
    assert done.stderr == "error: --max-size: got 0, expected an integer >= 1\n"
